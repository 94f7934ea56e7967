//! Starts the agent on a host: finds it there or sends it, over one channel and in as few round trips as there can be.
//!
//! The script prints `RAPPEL1 NEED …` when the agent is not there; the sizes and the agent then follow on the same channel.
//! The agent's own first line is `RAPPEL1 READY …`, and frames follow it. Every other line is a login script's noise.
//! The agent is written under another name and renamed when complete, so that a broken upload leaves nothing behind and
//! concurrent ones do no harm. A folder that somebody else prepared is not used (`-O`).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use super::privilege::{BECAME, Talk, Turn};
use super::program::{Ending, Program, Said};
use super::{ConnectError, Privilege, PrivilegeError};
use crate::wire::{self, Digest, Hello, Reply};

/// The agent for the architecture that this program was built for. Empty in quick development builds.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent.bin"));

/// How much noise a login may make before the agent greets, in bytes.
const NOISE: usize = 64 << 10;

/// How many of the host's last lines a message shows.
const LAST_LINES: usize = 4;

/// How long the host may be silent while the agent starts.
const SILENCE: Duration = Duration::from_mins(1);

/// One write of an upload.
const PIECE: usize = 128 << 10;

/// The agents that can be sent, and the name under which hosts keep them.
#[derive(Debug)]
pub(super) struct Agents {
    own: Result<Bytes, String>,
    folder: Option<PathBuf>,
    name: String,
    packed: OnceLock<Result<Bytes, String>>,
}

impl Agents {
    /// The embedded agent, or the file `replacement` in its place; `folder` holds `agent-ARCH` for other architectures.
    pub(super) fn new(replacement: Option<&Path>, folder: Option<PathBuf>) -> Self {
        let own = match replacement {
            Some(path) => std::fs::read(path).map(Bytes::from).map_err(|error| format!("cannot read {}: {error}", path.display())),
            None if EMBEDDED.is_empty() => {
                Err("this build of rappel carries no agent (it was built with RAPPEL_AGENT_BIN=/dev/null)".to_owned())
            }
            None => Ok(Bytes::from_static(EMBEDDED)),
        };
        let digest = own.as_ref().map_or_else(|_| String::new(), |bytes| Digest::of(bytes).to_string());
        let name = format!("agent-{}", digest.get(..32).unwrap_or_default());
        Self { own, folder, name, packed: OnceLock::new() }
    }

    /// The agent for a host that says `system` (`Linux x86_64`) of itself.
    fn find(&self, system: &str) -> Result<Bytes, String> {
        let arch = system.strip_prefix("Linux ").ok_or_else(|| format!("expected Linux, found `{system}`"))?;
        if arch == std::env::consts::ARCH {
            return self.own.clone();
        }
        let Some(folder) = &self.folder else {
            return Err(format!("there is no agent for `{arch}`: this build carries the one for `{}`", std::env::consts::ARCH));
        };
        let path = folder.join(format!("agent-{arch}"));
        std::fs::read(&path).map(Bytes::from).map_err(|error| format!("there is no agent for `{arch}`: {}: {error}", path.display()))
    }

    /// `agent` in gzip's format; the own agent is packed once per run, by the first who asks while the others wait.
    fn pack(&self, agent: &Bytes) -> io::Result<Bytes> {
        let pack = || {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(agent)?;
            encoder.finish().map(Bytes::from)
        };
        if self.own.as_ref().is_ok_and(|own| own == agent) {
            let packed = self.packed.get_or_init(|| pack().map_err(|error| error.to_string()));
            return packed.clone().map_err(io::Error::other);
        }
        pack()
    }

    /// The script that starts the agent in any POSIX shell. It holds no single quote and no `!`.
    pub(super) fn script(&self, token: &str, place: Place) -> String {
        let name = &self.name;
        let (first, others) = match place {
            Place::Home => {
                ("${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/rappel", "/var/tmp/rappel-$u /tmp/rappel-$u /dev/shm/rappel-$u")
            }
            Place::Memory => ("/dev/shm/rappel-$(id -u)", "/run/user/$u/rappel /tmp/rappel-$u"),
        };
        format!(
            "a={name}; d={first}; [ -O \"$d\" ] && [ -x \"$d/$a\" ] && exec \"$d/$a\" {token}; \
             u=$(id -u); m=$(umask); umask 077; set -- \"$d\" {others}; \
             for d do [ -O \"$d\" ] && [ -x \"$d/$a\" ] && umask $m && exec \"$d/$a\" {token}; done; \
             for d do t=$d/.$a.$$; mkdir -p \"$d\" && [ -O \"$d\" ] && : >\"$t\" && chmod 700 \"$t\" && [ -x \"$t\" ] && break; \
             rm -f \"$t\"; t=; done 2>/dev/null; \
             [ \"$t\" ] || {{ echo RAPPEL1 FAIL no folder to put the agent in: tried \"$*\"; exit 97; }}; \
             echo \"RAPPEL1 NEED $(uname -sm) $(command -v gzip)\"; read n z; \
             if [ \"$z\" = 0 ]; then head -c \"$n\" >\"$t\"; else head -c \"$z\" | gzip -dc >\"$t\"; fi; \
             [ \"$(wc -c <\"$t\")\" -eq \"$n\" ] && mv -f \"$t\" \"$d/$a\" && umask $m && exec \"$d/$a\" {token}; \
             rm -f \"$t\"; echo RAPPEL1 FAIL cannot put the agent into \"$d\"; exit 97"
        )
    }
}

/// Where the agent is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the user's cache, or another folder on disk.
    Home,
    /// In memory, when the disk is full.
    Memory,
}

/// A running agent that has greeted.
pub(super) struct Booted {
    pub(super) program: Program,
    /// Bytes of frames that came along.
    pub(super) leftover: Vec<u8>,
    pub(super) hello: Hello,
    /// It had to be sent.
    pub(super) cold: bool,
}

/// Why the agent did not start.
#[derive(Debug)]
pub(super) enum Failed {
    /// The host has no room for it where we tried.
    NoRoom(String),
    Privilege(PrivilegeError),
    Other(String),
}

impl Failed {
    pub(super) fn explain(self, host: &str, privilege: Option<&Privilege>) -> ConnectError {
        match (self, privilege) {
            (Self::Privilege(reason), Some(privilege)) => {
                ConnectError::Privilege { host: host.to_owned(), user: privilege.user.clone(), method: privilege.method.name(), reason }
            }
            (Self::Privilege(reason), None) => ConnectError::Bootstrap { host: host.to_owned(), reason: reason.to_string() },
            (Self::NoRoom(reason) | Self::Other(reason), _) => ConnectError::Bootstrap { host: host.to_owned(), reason },
        }
    }
}

/// Brings the agent up in `program`, which runs the script, after the talk about the password if there is one.
pub(super) async fn boot(program: Program, agents: &Arc<Agents>, privilege: Option<(&Privilege, &str)>) -> Result<Booted, Failed> {
    let mut dialogue = Dialogue::new(program);
    if let Some((privilege, token)) = privilege {
        dialogue.elevate(privilege, token).await.map_err(Failed::Privilege)?;
    }
    let mut cold = false;
    loop {
        let line = dialogue.line().await.map_err(|stop| stop.explain(&dialogue))?;
        let Some((_, word)) = line.split_once("RAPPEL1 ") else { continue };
        if word.starts_with("READY") {
            break;
        } else if let Some(about) = word.strip_prefix("NEED ") {
            cold = true;
            dialogue.upload(agents, about).await?;
        } else if let Some(reason) = word.strip_prefix("FAIL ") {
            return Err(dialogue.refused(reason).await);
        }
    }
    let hello = dialogue.hello().await.map_err(|stop| stop.explain(&dialogue))?;
    Ok(Booted { program: dialogue.program, leftover: dialogue.out, hello, cold })
}

/// Why there is no next line.
enum Stop {
    Silent,
    Noisy,
    Garbage(String),
    Ended,
}

impl Stop {
    fn explain(self, dialogue: &Dialogue) -> Failed {
        let said = dialogue.said();
        let after = if said.is_empty() { String::new() } else { format!(": {said}") };
        Failed::Other(match self {
            Self::Silent => format!("no word from the host for {} s{after}", SILENCE.as_secs()),
            Self::Noisy => format!("the login printed more than {} KiB before the agent started{after}", NOISE >> 10),
            Self::Garbage(reason) => format!("its greeting cannot be read: {reason}"),
            Self::Ended => match &dialogue.ending {
                Some(Ending::Status(126)) => format!("the host cannot execute it (another architecture, or not allowed){after}"),
                Some(ending) => format!("{}{after}", ending.describe()),
                None => format!("the connection was closed{after}"),
            },
        })
    }
}

/// A program that we talk to line by line until frames begin.
pub(super) struct Dialogue {
    program: Program,
    out: Vec<u8>,
    err: Vec<u8>,
    /// Lines that were not for us.
    noise: Vec<u8>,
    ending: Option<Ending>,
}

impl Dialogue {
    pub(super) fn new(program: Program) -> Self {
        Self { program, out: Vec::new(), err: Vec::new(), noise: Vec::new(), ending: None }
    }

    /// The program, what it has said on standard output since the last line, and what it has complained.
    pub(super) fn into_parts(self) -> (Program, Vec<u8>, Vec<u8>) {
        (self.program, self.out, self.err)
    }

    /// The last lines that the host printed: on standard error, or else on standard output.
    fn said(&self) -> String {
        let out = [self.noise.as_slice(), &self.out].concat();
        let text =
            [&self.err, &out].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned()).into_iter().find(|text| !text.is_empty());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("; ")
    }

    /// Waits for the program to say something.
    async fn listen(&mut self) -> Result<(), Stop> {
        if self.out.len() + self.err.len() + self.noise.len() > NOISE {
            return Err(Stop::Noisy);
        }
        match tokio::time::timeout(SILENCE, self.program.reader.next()).await {
            Err(_) => Err(Stop::Silent),
            Ok(Some(Said::Out(bytes))) => {
                self.out.extend_from_slice(&bytes);
                Ok(())
            }
            Ok(Some(Said::Err(bytes))) => {
                self.err.extend_from_slice(&bytes);
                Ok(())
            }
            Ok(Some(Said::Ended(ending))) => {
                self.ending = Some(ending);
                Ok(()) // what it said may still be under way
            }
            Ok(None) => Err(Stop::Ended),
        }
    }

    /// The next line of standard output, without its end.
    async fn line(&mut self) -> Result<String, Stop> {
        loop {
            if let Some(end) = self.out.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.out.drain(..=end).collect();
                self.noise.extend_from_slice(&line);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.listen().await?;
        }
    }

    /// Gets past the password, up to the line that says that we are the other user.
    pub(super) async fn elevate(&mut self, privilege: &Privilege, token: &str) -> Result<(), PrivilegeError> {
        let mut talk = Talk::new(privilege, token);
        loop {
            if let Some(end) = find(&self.out, BECAME.as_bytes()) {
                let rest = self.out.get(end..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
                if let Some(rest) = rest {
                    self.out.drain(..=end + rest);
                    self.err.clear();
                    return Ok(());
                }
            }
            let heard = format!("{}\n{}", String::from_utf8_lossy(&self.out), String::from_utf8_lossy(&self.err));
            match talk.hear(&heard) {
                Turn::Wait => {}
                Turn::Fail(error) => {
                    self.program.writer.close().await;
                    return Err(error);
                }
                Turn::Answer => {
                    let password = privilege.password.as_ref().map(|password| format!("{}\n", password.expose()));
                    // A program that has gone meanwhile says why.
                    let _ = self.program.writer.write(password.unwrap_or_default().into_bytes()).await;
                }
            }
            match self.listen().await {
                Ok(()) => {}
                Err(Stop::Silent) => return Err(PrivilegeError::Other(format!("no word for {} s", SILENCE.as_secs()))),
                Err(_) => {
                    let heard = format!("{}\n{}", String::from_utf8_lossy(&self.out), String::from_utf8_lossy(&self.err));
                    return Err(talk.explain(self.ending.as_ref().map(Ending::code), &heard));
                }
            }
        }
    }

    /// Sends the agent; `about` is what the host says of itself: `Linux x86_64 /usr/bin/gzip`.
    async fn upload(&mut self, agents: &Arc<Agents>, about: &str) -> Result<(), Failed> {
        let mut words = about.split_whitespace();
        let system = format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let agent = agents.find(&system).map_err(Failed::Other)?;
        let (agents, unpacked) = (Arc::clone(agents), agent.clone());
        let packed = match words.next() {
            None => None,
            // Half the bytes for 10 ms of the host: not worth asking whether the network is slow.
            Some(_gzip) => tokio::task::spawn_blocking(move || agents.pack(&unpacked)).await.ok().and_then(Result::ok),
        };
        let sizes = format!("{} {}\n", agent.len(), packed.as_ref().map_or(0, Bytes::len));
        let mut rest = packed.unwrap_or(agent);
        let mut piece = Bytes::from(sizes);
        loop {
            // A host that stops reading (a full disk) has said why, or will.
            match tokio::time::timeout(SILENCE, self.program.writer.write(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err(Failed::Other(format!("the host took nothing for {} s while the agent was sent", SILENCE.as_secs()))),
            }
            if rest.is_empty() {
                return Ok(());
            }
            piece = rest.split_to(rest.len().min(PIECE));
        }
    }

    async fn refused(&mut self, reason: &str) -> Failed {
        while self.ending.is_none() && self.listen().await.is_ok() {}
        let said = String::from_utf8_lossy(&self.err).trim().replace('\n', "; ");
        let reason = if said.is_empty() { reason.to_owned() } else { format!("{reason}: {said}") };
        let full = said.contains("No space left") || said.contains("quota");
        if full { Failed::NoRoom(reason) } else { Failed::Other(reason) }
    }

    /// The agent's first frame.
    async fn hello(&mut self) -> Result<Hello, Stop> {
        self.noise.clear();
        loop {
            if let Some((head, rest)) = self.out.split_first_chunk::<4>() {
                let length = wire::frame_length(*head).map_err(|error| Stop::Garbage(error.to_string()))?;
                if let Some(body) = rest.get(..length) {
                    let reply = wire::decode(body).map_err(|error| Stop::Garbage(error.to_string()))?;
                    self.out.drain(..4 + length);
                    return match reply {
                        Reply::Hello(hello) => Ok(hello),
                        other => Err(Stop::Garbage(format!("expected a greeting, found {other:?}"))),
                    };
                }
            }
            self.listen().await?;
        }
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}
