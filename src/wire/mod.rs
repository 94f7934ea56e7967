//! What controller and agent say to each other: the protocol on one screen.
//!
//! A frame is a length (four bytes, little-endian) and a postcard message. The controller sends [`Request`]s and the agent
//! [`Reply`]s; a request that has an id is answered by one final reply with the same id, after any number of `Output`.
//! Both ends are the same build (the agent's path holds its digest), so messages carry no version of their own.

pub mod carried;
pub mod protocol;
mod transaction;
mod value;

use std::fmt;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use transaction::{Begin, Recording, TransactionRecord, TransactionReply, TransactionStep, UndoReport};
pub use value::{Map, Value, parse_float, repr_float, repr_str};

/// The line an agent prints before its first frame; whatever comes before it is noise of the login.
pub const READY: &str = "RAPPEL1 READY";

/// The largest frame either side accepts, in bytes: more is a lie or a mistake.
pub const MAX_FRAME: usize = 64 << 20;

/// Content of at most this many bytes rides inside its request; more is offered by digest.
pub const INLINE_BLOB: usize = 64 << 10;

/// The bytes of one `Upload` frame.
pub const CHUNK: usize = 256 << 10;

/// The SHA-256 of some content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of all that `input` gives.
    pub fn of_reader(input: &mut impl Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(Self::from_hasher(hasher)),
                Ok(read) => hasher.update(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest that a finished hasher holds.
    pub fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// File content that a call needs: a rendered template, a file of the controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Blob {
    /// The bytes themselves.
    Inline(#[serde(with = "bytes")] Vec<u8>),
    /// Bytes that the agent has, or asks for by [`Reply::Need`].
    Stored {
        /// What they hash to.
        digest: Digest,
        /// How many there are.
        size: u64,
    },
    /// A directory of the controller: its entries, parents before children.
    Tree(Vec<TreeEntry>),
}

/// One entry of a directory that goes along.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Relative to the directory, with `/` between names.
    pub path: String,
    /// Its permission bits on the controller.
    pub mode: u32,
    /// What it is.
    pub item: TreeItem,
}

/// What an entry of a directory is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TreeItem {
    /// A directory.
    Directory,
    /// A symbolic link, with its target.
    Link(String),
    /// A file: inline or stored. Inline content of a whole tree together stays under a few megabytes.
    File(Blob),
}

/// Controller to agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Run one module.
    Call(Box<Call>),
    /// A piece of a blob that was asked for; `last` closes it and the waiting call goes on.
    Upload {
        /// Which blob.
        digest: Digest,
        /// The next bytes of it.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
        /// Whether the blob is complete now.
        last: bool,
    },
    /// One step of a fleet transaction.
    Transaction {
        /// Answered by a reply with this id.
        id: u64,
        /// What to do.
        step: TransactionStep,
    },
    /// Asks whether the agent lives; also feeds the dead-man's timer.
    Ping {
        /// Answered by a reply with this id.
        id: u64,
    },
    /// Stop the running call `id`, if it still runs.
    Cancel {
        /// Which call.
        id: u64,
    },
    /// Nothing more will come, and nobody waits for anything: end. An agent whose input ends without it waits for the controller.
    Bye,
}

/// One module call: everything a task is on a host, after templating.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Call {
    /// Numbers the requests to one agent; one that is repeated after a reconnect keeps its number and is not run twice.
    pub id: u64,
    /// The module's short name: `copy`.
    pub module: String,
    /// Its parameters by their canonical names, defaults not filled in.
    pub params: Map,
    /// The content of its `LocalFile` and `LocalTemplate` parameters, by parameter name.
    pub blobs: Vec<(String, Blob)>,
    /// Predict, do not touch.
    pub check: bool,
    /// Return what changes as before and after.
    pub diff: bool,
    /// Added to the environment of every program the call starts.
    pub environment: Vec<(String, String)>,
    /// Kill the call after this many seconds.
    pub timeout: Option<u32>,
    /// Run detached, for at most this many seconds (`async:`); the outcome holds a job id.
    pub detach: Option<u32>,
    /// Stream output of programs as `Reply::Output` while they run.
    pub stream: bool,
    /// The program for TLS that the agent may ask for, when it needs one.
    pub tls: Option<Digest>,
    /// The transaction whose journal takes the undo records.
    pub transaction: Option<Recording>,
}

/// Agent to controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Sent once, before anything else.
    Hello(Hello),
    /// The final answer to a call.
    Done {
        /// Which call.
        id: u64,
        /// What became of it.
        result: Result<Outcome, Failure>,
    },
    /// Bytes that a program of call `id` printed.
    Output {
        /// Which call.
        id: u64,
        /// Standard error rather than standard output.
        stderr: bool,
        /// What it printed.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// The call that runs now needs these blobs.
    Need {
        /// Which blobs, in the order in which they are waited for.
        digests: Vec<Digest>,
    },
    /// The final answer to a transaction step.
    Transaction {
        /// Which request.
        id: u64,
        /// The answer, or why the step was refused.
        result: Result<TransactionReply, Failure>,
    },
    /// The answer to a ping.
    Pong {
        /// Which ping.
        id: u64,
    },
}

/// The agent introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `CARGO_PKG_VERSION` of the agent.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started, in nanoseconds since the epoch; with its process, what tells it from every other agent of the host.
    pub born: u64,
    /// The user it runs as.
    pub uid: u32,
    /// That user's home directory.
    pub home: String,
    /// `x86_64`.
    pub arch: String,
    /// The host's own name for itself.
    pub hostname: String,
}

/// A module did its work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the host is different now (or would be, in check mode).
    pub changed: bool,
    /// The module could not or need not act, and says why (`creates` exists; no check mode).
    pub skipped: Option<String>,
    /// What playbooks read from the registered result: `rc`, `stdout`, `stat` …
    pub data: Map,
    /// What changed, for `--diff`.
    pub diff: Vec<Diff>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// One thing that changes, before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// What the left side is: a path, with a remark.
    pub before_header: String,
    /// What the right side is.
    pub after_header: String,
    /// Content before.
    pub before: String,
    /// Content after.
    pub after: String,
}

/// A module failed. Not an error of rappel: it is a result, and a playbook may expect it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, with the system's own error and the path or command.
    pub msg: String,
    /// What playbooks read from the registered result all the same: `rc`, `stderr` …
    pub data: Map,
    /// Whether something was changed before it failed.
    pub changed: bool,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl Failure {
    /// A failure with nothing but a message.
    pub fn new(msg: impl Into<String>) -> Self {
        Self { msg: msg.into(), ..Self::default() }
    }

    /// Adds an entry to the result.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }
}

/// Writes `message` as one frame. The caller flushes.
pub fn write_frame<T: Serialize>(out: &mut impl Write, message: &T) -> io::Result<()> {
    out.write_all(&encode(message)?)
}

/// `message` as the bytes of one frame.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME {
        return Err(io::Error::other(format!("a message of {length} bytes is over the limit of {MAX_FRAME}")));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    if let Some(head) = frame.first_chunk_mut() {
        *head = length.to_le_bytes();
    }
    Ok(frame)
}

/// Reads one frame; `None` at a clean end of the stream.
pub fn read_frame<T: for<'de> Deserialize<'de>>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match input.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; frame_length(head)?];
    input.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// The length that a frame's head announces, refused when it is absurd.
pub fn frame_length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::other(format!("a frame of {length} bytes was announced; the limit is {MAX_FRAME}")));
    }
    Ok(length)
}

/// A frame's body as a message.
pub fn decode<T: for<'de> Deserialize<'de>>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(|error| io::Error::other(format!("cannot read a message: {error}")))
}

/// Byte strings as one copy instead of element by element.
mod bytes {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("bytes")
        }
        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_travel_and_end_cleanly() {
        let call = Call { id: 7, module: "copy".into(), blobs: vec![("src".into(), Blob::Inline(vec![0, 255]))], ..Call::default() };
        let mut stream = Vec::new();
        write_frame(&mut stream, &Request::Call(Box::new(call))).unwrap();
        let mut input = stream.as_slice();
        let Some(Request::Call(back)) = read_frame::<Request>(&mut input).unwrap() else { panic!("expected a call") };
        assert_eq!((back.id, back.module.as_str()), (7, "copy"));
        assert!(matches!(&back.blobs[0].1, Blob::Inline(bytes) if bytes == &[0, 255]));
        assert!(read_frame::<Request>(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_refused() {
        let error = read_frame::<Request>(&mut [0xff, 0xff, 0xff, 0xff, 1].as_slice()).unwrap_err();
        assert!(error.to_string().contains("limit"), "{error}");
    }
}
