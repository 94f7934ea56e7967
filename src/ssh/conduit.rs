//! [`Conduit`]: frames to and from one running agent. When the connection is lost, whoever waits can move on to another conduit
//! to the same agent; when it ends for another reason, they are told why.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::blobs::Source;
use super::program::{Ending, Program, Reader, Said, Writer};
use super::{Blobs, LinkError, Output};
use crate::wire::{self, Digest, Hello, Reply, Request};

/// Frames on their way to the writer: few, so that an upload takes constant memory.
const OUTGOING: usize = 4;

/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much of the agent's last words is kept for the message.
const LAST_WORDS: usize = 4 << 10;

/// A request, and what its answer needs.
pub(super) struct Question {
    pub(super) id: u64,
    pub(super) doing: String,
    pub(super) blobs: Blobs,
    pub(super) output: Option<mpsc::Sender<Output>>,
    pub(super) limit: Option<Duration>,
    /// Told once the request is on its way: what is asked after that is also answered after it.
    pub(super) queued: Option<oneshot::Sender<()>>,
}

impl Question {
    /// A question without content or a time limit of its own.
    pub(super) fn plain(id: u64, doing: &str) -> Self {
        Self { id, doing: doing.to_owned(), blobs: Blobs::default(), output: None, limit: None, queued: None }
    }
}

/// Frames to and from one running agent.
#[derive(Debug)]
pub(super) struct Conduit {
    host: String,
    /// Which agent it is: its process, and when that started.
    agent: (u32, u64),
    outgoing: mpsc::Sender<Outgoing>,
    shared: Arc<Mutex<Shared>>,
    writing: Mutex<Option<JoinHandle<Option<()>>>>,
}

#[derive(Debug)]
enum Outgoing {
    Frame(Bytes),
    Close,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: HashMap<u64, Waiting>,
    broken: Option<String>,
    /// Tells those who wait that it is broken.
    ended: CancellationToken,
}

/// A request that has no answer yet.
#[derive(Debug)]
struct Waiting {
    frame: Bytes,
    answer: oneshot::Sender<Result<Reply, Broken>>,
    blobs: Blobs,
    output: Option<mpsc::Sender<Output>>,
    missed: u64,
}

/// Where the answer to a request will come.
pub(super) type Answer = oneshot::Receiver<Result<Reply, Broken>>;

/// Why there will be no answer.
#[derive(Debug)]
pub(super) enum Broken {
    Lost(String),
    Blob { what: String, reason: String },
}

impl Conduit {
    /// Takes over `program`, an agent that has greeted; `leftover` are bytes of frames that were read already.
    pub(super) fn new(host: &str, hello: &Hello, program: Program, leftover: Vec<u8>) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let (needs, needed) = mpsc::unbounded_channel();
        let deaf = CancellationToken::new();
        let heard = deaf.clone().drop_guard();
        let writing = tokio::spawn(deaf.run_until_cancelled_owned(write(program.writer, queue, Arc::clone(&shared))));
        let writing = Mutex::new(Some(writing));
        tokio::spawn(upload(needed, outgoing.downgrade(), Arc::clone(&shared)));
        let reading = read(program.reader, leftover, needs, Arc::clone(&shared));
        tokio::spawn(async move {
            reading.await;
            // Whoever has nothing to say any more does not listen either, and russh lets a writer wait for a window that never opens.
            drop(heard);
        });
        Self { host: host.to_owned(), agent: (hello.pid, hello.born), outgoing, shared, writing }
    }

    /// Whether nothing can be asked any more.
    pub(super) fn is_broken(&self) -> bool {
        lock(&self.shared).broken.is_some()
    }

    /// Whether requests wait for their answers.
    pub(super) fn is_awaited(&self) -> bool {
        !lock(&self.shared).waiting.is_empty()
    }

    /// Comes when it is broken.
    pub(super) async fn ended(&self) {
        let ended = lock(&self.shared).ended.clone();
        ended.cancelled().await;
    }

    /// Sends `request` and nothing more.
    pub(super) async fn send(&self, request: &Request) -> Result<(), LinkError> {
        let frame = wire::encode(request).map_err(|error| self.protocol(error.to_string()))?;
        frame_point();
        let queued = self.outgoing.send(Outgoing::Frame(frame.into())).await;
        queued.map_err(|_| self.lost("ping", lock(&self.shared).reason()))
    }

    /// Sends `request`. Its answer comes from this conduit, or from the one that takes over.
    pub(super) async fn post(&self, request: &Request, question: &mut Question) -> Result<Answer, LinkError> {
        let frame = Bytes::from(wire::encode(request).map_err(|error| self.protocol(error.to_string()))?);
        let (answer, answered) = oneshot::channel();
        let (blobs, output) = (std::mem::take(&mut question.blobs), question.output.take());
        lock(&self.shared).waiting.insert(question.id, Waiting { frame: frame.clone(), answer, blobs, output, missed: 0 });
        frame_point();
        let _ = self.outgoing.send(Outgoing::Frame(frame)).await; // broken, it is sent by the next
        if let Some(queued) = question.queued.take() {
            let _ = queued.send(()); // nobody need wait for it
        }
        Ok(answered)
    }

    /// What is said of a request that got no answer.
    pub(super) fn explain(&self, doing: &str, broken: Option<Broken>) -> LinkError {
        match broken {
            Some(Broken::Lost(reason)) => self.lost(doing, reason),
            Some(Broken::Blob { what, reason }) => LinkError::Blob { host: self.host.clone(), what, reason },
            None => self.lost(doing, lock(&self.shared).reason()),
        }
    }

    /// Nobody waits for the answer to request `id` any more: the agent is told to stop it.
    pub(super) fn withdraw(&self, id: u64) {
        if lock(&self.shared).waiting.remove(&id).is_none() {
            return;
        }
        if let Ok(frame) = wire::encode(&Request::Cancel { id }) {
            let outgoing = self.outgoing.clone();
            tokio::spawn(async move { outgoing.send(Outgoing::Frame(frame.into())).await });
        }
    }

    /// Asks the agent for all that `before`, which is broken, has no answer for, in the order it was asked: it knows what it has
    /// done. Another agent does not, so then nobody does.
    pub(super) async fn take_over(&self, before: &Self) {
        if self.agent != before.agent {
            return before.give_up("the agent that ran it is gone");
        }
        let mut left: Vec<_> = lock(&before.shared).waiting.drain().collect();
        left.sort_unstable_by_key(|(id, _)| *id);
        let frames: Vec<Bytes> = left.iter().map(|(_, waiting)| waiting.frame.clone()).collect();
        lock(&self.shared).waiting.extend(left);
        for frame in frames {
            frame_point();
            let _ = self.outgoing.send(Outgoing::Frame(frame)).await; // broken again, they move on again
        }
    }

    /// Tells all who wait that there will be no answer.
    pub(super) fn give_up(&self, why: &str) {
        let mut shared = lock(&self.shared);
        let reason = format!("{}, and {why}", shared.reason());
        shared.tell(&reason);
    }

    /// Says goodbye to the agent: it ends, with what it runs.
    pub(super) async fn close(&self, reason: &str) {
        lock(&self.shared).fail(reason);
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let farewell = async {
            let _ = self.outgoing.send(Outgoing::Close).await;
            if let Some(writing) = writing {
                // The connection is closed next, and the goodbye has to go before that.
                let _ = writing.await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    fn lost(&self, doing: &str, reason: String) -> LinkError {
        LinkError::Lost { host: self.host.clone(), doing: doing.to_owned(), reason }
    }

    fn protocol(&self, reason: String) -> LinkError {
        LinkError::Protocol { host: self.host.clone(), reason }
    }
}

impl Shared {
    fn reason(&self) -> String {
        self.broken.clone().unwrap_or_else(|| "it ended".to_owned())
    }

    /// The connection is no more; the first reason counts. Those who wait may move on.
    fn lose(&mut self, reason: &str) {
        self.broken.get_or_insert_with(|| reason.to_owned());
        self.ended.cancel();
    }

    /// Nothing will be answered any more.
    fn fail(&mut self, reason: &str) {
        let reason = self.broken.get_or_insert_with(|| reason.to_owned()).clone();
        self.tell(&reason);
        self.ended.cancel();
    }

    fn tell(&mut self, reason: &str) {
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.answer.send(Err(Broken::Lost(reason.to_owned())));
        }
    }

    /// Gives `reply` to whom it belongs. Never waits: an unread channel stops the whole connection.
    fn deliver(&mut self, reply: Reply, needs: &mpsc::UnboundedSender<Digest>) {
        match reply {
            Reply::Hello(_) => {}
            Reply::Need { digests } => {
                for digest in digests {
                    let _ = needs.send(digest); // it is gone when there is nobody to send anything to
                }
            }
            Reply::Output { id, stderr, bytes } => {
                let Some(waiting) = self.waiting.get_mut(&id) else { return };
                let Some(output) = &waiting.output else { return };
                let length = bytes.len() as u64;
                match output.try_send(Output { stderr, bytes, missed: waiting.missed }) {
                    Ok(()) => waiting.missed = 0,
                    Err(_) => waiting.missed += length,
                }
            }
            Reply::Done { id, .. } | Reply::Transaction { id, .. } | Reply::Pong { id } => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    frame_point();
                    let _ = waiting.answer.send(Ok(reply));
                }
            }
        }
    }

    /// Where the content `digest` comes from, and the call that has it.
    fn source(&self, digest: &Digest) -> Option<(u64, Source)> {
        self.waiting.iter().find_map(|(id, waiting)| Some((*id, waiting.blobs.get(digest)?.clone())))
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(mut writer: Writer, mut queue: mpsc::Receiver<Outgoing>, shared: Arc<Mutex<Shared>>) {
    while let Some(Outgoing::Frame(frame)) = queue.recv().await {
        if let Err(error) = writer.write(frame).await {
            lock(&shared).lose(&format!("cannot send: {error}"));
            return;
        }
    }
    if let Ok(goodbye) = wire::encode(&Request::Bye) {
        let _ = writer.write(goodbye).await; // an agent that is gone needs none
    }
    writer.end().await;
}

/// Reads frames and hands them out until the agent ends.
async fn read(mut reader: Reader, leftover: Vec<u8>, needs: mpsc::UnboundedSender<Digest>, shared: Arc<Mutex<Shared>>) {
    let mut frames = Frames { bytes: leftover, start: 0 };
    let mut words = Vec::new();
    let mut ending = None;
    let broken = loop {
        match frames.next() {
            Ok(Some(reply)) => {
                lock(&shared).deliver(reply, &needs);
                continue;
            }
            Ok(None) => {}
            Err(error) => break Some(error.to_string()),
        }
        match reader.next().await {
            Some(Said::Out(bytes)) => frames.bytes.extend_from_slice(&bytes),
            Some(Said::Err(bytes)) => {
                words.extend_from_slice(&bytes);
                words.drain(..words.len().saturating_sub(LAST_WORDS));
            }
            Some(Said::Ended(how)) => ending = Some(how),
            None => break None,
        }
    };
    let reason = broken.clone().unwrap_or_else(|| last_words(ending.as_ref(), &words));
    if broken.is_some() || ending.is_some() { lock(&shared).fail(&reason) } else { lock(&shared).lose(&reason) }
}

fn last_words(ending: Option<&Ending>, words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let how = ending.map_or_else(|| "the connection ended".to_owned(), |ending| format!("the agent ended, {}", ending.describe()));
    if text.trim().is_empty() { how } else { format!("{how}: {}", text.trim()) }
}

/// Bytes as frames.
struct Frames {
    bytes: Vec<u8>,
    start: usize,
}

impl Frames {
    fn next(&mut self) -> std::io::Result<Option<Reply>> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let found = match rest.split_first_chunk::<4>() {
            None => None,
            Some((head, rest)) => {
                let length = wire::frame_length(*head)?;
                rest.get(..length).map(|body| (length, body))
            }
        };
        let Some((length, body)) = found else {
            self.bytes.drain(..self.start);
            self.start = 0;
            return Ok(None);
        };
        let reply = wire::decode(body)?;
        self.start += 4 + length;
        Ok(Some(reply))
    }
}

/// Sends content that the agent asked for, one blob after the other.
async fn upload(mut needed: mpsc::UnboundedReceiver<Digest>, outgoing: mpsc::WeakSender<Outgoing>, shared: Arc<Mutex<Shared>>) {
    while let Some(digest) = needed.recv().await {
        let Some(outgoing) = outgoing.upgrade() else { return };
        let found = lock(&shared).source(&digest);
        let Some((id, source)) = found else {
            lock(&shared).fail(&format!("the agent asked for content {digest}, which no call has"));
            return;
        };
        if let Err(error) = send_blob(&source, digest, &outgoing).await {
            let broken = Broken::Blob { what: source.describe(&digest), reason: error.to_string() };
            let waiting = lock(&shared).waiting.remove(&id);
            if let Some(waiting) = waiting {
                let _ = waiting.answer.send(Err(broken));
            }
            // The agent waits for the rest in vain: end it, the next call starts another.
            lock(&shared).fail("content could not be sent");
            let _ = outgoing.send(Outgoing::Close).await;
            return;
        }
    }
}

/// Tests end the controller here: every request that goes out, and every answer that comes in, is one numbered point.
#[inline]
fn frame_point() {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicU32, Ordering};
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let at = std::env::var("RAPPEL_CRASH_FRAME").ok().and_then(|at| at.parse::<u32>().ok());
        if at.is_some_and(|at| PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at) {
            std::process::abort();
        }
    }
}

async fn send_blob(source: &Source, digest: Digest, outgoing: &mpsc::Sender<Outgoing>) -> std::io::Result<()> {
    let mut chunks = source.open()?;
    loop {
        let read = if chunks.block() {
            let read = move || {
                let read = chunks.next(&digest);
                (chunks, read)
            };
            let (back, read) = tokio::task::spawn_blocking(read).await?;
            chunks = back;
            read
        } else {
            chunks.next(&digest)
        };
        let (bytes, last) = read?;
        let frame = wire::encode(&Request::Upload { digest, bytes, last })?;
        if outgoing.send(Outgoing::Frame(frame.into())).await.is_err() || last {
            return Ok(()); // when the writer is gone, the reader tells why
        }
    }
}
