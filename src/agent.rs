//! The second program: frames in, modules run, frames out.
//!
//! One thread reads, so that pings and cancellations are heard while a module runs on the other. When the controller says
//! goodbye, the running call and every program it started end: nothing is left behind on the host but detached jobs and the
//! dead-man's timer of an open transaction. When the connection is lost, `reunion` gives the controller some time to come back.

mod boot;
mod job;
mod replies;
mod reunion;
mod spool;
#[cfg(test)]
mod tests;
mod timer;
mod tls;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::getuid;
use rustix::system::uname;

use crate::machine::{
    Journal, Machine, Received, Recorder, Settings, Sink, Stop, Stream, beat, crash_point, is_claimed, own_home, undo_tasks_by,
};
use crate::module::{self, Reversible};
use crate::wire::{self, Call, Failure, Hello, Outcome, Recording, Reply, Request, TransactionReply, TransactionStep};
use replies::Replies;
use reunion::Connection;
use spool::Spool;

/// What an agent works on.
#[derive(Debug)]
pub struct Host {
    /// Where transactions are.
    pub journal: Journal,
    /// How this program is started again, for the dead-man's timer and detached jobs; without it the timer is a thread.
    pub program: Option<Vec<OsString>>,
    /// What the controller shows to get this agent back after its connection broke; without it the agent ends with its input.
    pub token: Option<String>,
}

impl Default for Host {
    fn default() -> Self {
        Self { journal: Journal::of_this_user(), program: None, token: None }
    }
}

/// Runs the program `rappel-agent`: the agent itself until its input ends, or what it starts beside itself.
pub fn main() -> ExitCode {
    // The hook that comes with the standard library can look for source lines, and what does that is not in the worker as it ships.
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "rappel-agent: {panic}"); // the last word, if anybody listens
    }));
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // The executable of this process, whatever has become of its file; `rappel __agent` is this program too.
    let mut program = vec![OsString::from("/proc/self/exe")];
    if arguments.first().is_some_and(|first| first == "__agent") {
        program.push(arguments.remove(0));
    }
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let done = match words.iter().map(AsRef::as_ref).collect::<Vec<_>>().as_slice() {
        ["--version"] => writeln!(io::stdout(), "rappel-agent {}", env!("CARGO_PKG_VERSION")),
        ["--timer", folder] => {
            // A session of its own: the end of the connection is no signal for it.
            let _ = rustix::process::setsid(); // a leader already, when started by hand
            undo_tasks_by(inverse);
            let watched = timer::watch(Path::new(folder)).map_err(|failure| io::Error::other(failure.msg));
            boot::disarm(&Journal::of_this_user());
            watched
        }
        ["--boot"] => {
            undo_tasks_by(inverse);
            boot::undo(&Journal::of_this_user()).map_err(|failure| io::Error::other(failure.msg))
        }
        ["--job", file] => job::main(Path::new(file)),
        [token] if reunion::is_token(token) && reunion::rejoin(token) => Ok(()),
        words => {
            forget_old_agents();
            spool::forget_the_dead();
            let token = words.first().filter(|word| reunion::is_token(word)).map(|word| (*word).to_owned());
            serve_on(Host { program: Some(program), token, ..Host::default() }, io::stdin(), io::stdout())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "rappel-agent: {error}"); // the last word, if anybody listens
            ExitCode::FAILURE
        }
    }
}

/// Removes agents of other builds that nobody has started for a month.
fn forget_old_agents() {
    const MONTH: Duration = Duration::from_hours(30 * 24);
    let (Ok(own), Some(folder)) = (std::env::current_exe(), own_folder()) else { return };
    // Its age is counted from its last start.
    let _ = fs::File::open(&own).and_then(|file| file.set_modified(SystemTime::now()));
    let others = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in others.filter(|path| is_agent(path) && *path != own) {
        let age = fs::metadata(&path).and_then(|meta| meta.modified()).ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > MONTH) {
            let _ = fs::remove_file(path); // somebody else's attempt is as good
        }
    }
}

/// Where this program is kept between runs.
fn own_folder() -> Option<PathBuf> {
    let own = std::env::current_exe().ok().filter(|own| is_agent(own))?;
    own.parent().map(Path::to_owned)
}

fn is_agent(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("agent-"))
}

/// What all threads of an agent share.
struct Shared {
    connection: Connection,
    /// When it started, in nanoseconds: with its process number, what tells it from every other agent of the host.
    born: u64,
    /// The call that runs, and how to end it.
    running: Mutex<Option<(u64, Stop)>>,
    spool: Spool,
    host: Host,
    /// The open transaction that pings keep alive.
    watched: Mutex<Option<PathBuf>>,
}

/// What the working thread is told.
enum Told {
    /// A request, and the number of the connection that it came by.
    Asked(u64, Request),
    /// There will be no more.
    Over(io::Result<()>),
}

/// Answers the requests of `input` on `output` until `input` ends.
///
/// # Errors
/// Of reading or writing either, and a frame that is no request.
pub fn serve(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> io::Result<()> {
    serve_on(Host::default(), input, output)
}

/// Like [`serve`], with a journal of one's own choice.
///
/// # Errors
/// As [`serve`].
pub fn serve_on(host: Host, input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> io::Result<()> {
    let listener = host.token.as_deref().and_then(reunion::listen);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let shared = Arc::new(Shared {
        connection: Connection::new(output),
        born: u64::try_from(since.as_nanos()).unwrap_or_default(),
        running: Mutex::new(None),
        spool: Spool::new(),
        host,
        watched: Mutex::new(None),
    });
    undo_tasks_by(inverse);
    shared.connection.say(&shared.greeting()?);
    let (sender, told) = channel();
    // Threads that still wait for input end with the process: nobody is there any more.
    thread::spawn({
        let (shared, sender, lasting) = (Arc::clone(&shared), sender.clone(), listener.is_some());
        move || shared.attend(1, input, &sender, lasting)
    });
    match listener {
        Some(listener) => {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.welcome(&listener, &sender));
        }
        None => drop(sender),
    }
    shared.work(&told)
}

/// Runs a task of `rappel_undo`.
fn inverse(call: &Call) -> Result<(), String> {
    let entry = module::find(&call.module).ok_or_else(|| format!("this agent has no module `{}`", call.module))?;
    tls::find(call);
    let mut machine = Machine::new(Settings { environment: call.environment.clone(), ..Settings::default() });
    entry.run(&call.params, &mut machine).map(drop).map_err(|failure| failure.msg)
}

impl Shared {
    /// What a connection hears first.
    fn greeting(&self) -> io::Result<Vec<u8>> {
        let system = uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            born: self.born,
            uid: getuid().as_raw(),
            home: own_home().map(|home| home.display().to_string()).unwrap_or_default(),
            arch: text(system.machine()),
            hostname: text(system.nodename()),
        };
        let mut greeting = format!("{}\n", wire::READY).into_bytes();
        greeting.append(&mut wire::encode(&Reply::Hello(hello))?);
        Ok(greeting)
    }

    fn running(&self) -> MutexGuard<'_, Option<(u64, Stop)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, reply: &Reply) -> io::Result<()> {
        self.connection.say(&wire::encode(reply)?);
        Ok(())
    }

    /// Takes in whoever comes back with the token.
    fn welcome(self: &Arc<Self>, listener: &UnixListener, queue: &Sender<Told>) {
        while let Some(stream) = reunion::next(listener) {
            let (Ok(output), Ok(greeting)) = (stream.try_clone(), self.greeting()) else { continue };
            let number = self.connection.take_over(output, &greeting);
            let (shared, queue) = (Arc::clone(self), queue.clone());
            thread::spawn(move || shared.attend(number, stream, &queue, true));
        }
    }

    /// The reading thread of connection `number`. An agent that is `lasting` outlives it for a while.
    fn attend(&self, number: u64, input: impl Read, queue: &Sender<Told>, lasting: bool) {
        let ended = match self.listen(number, input, queue) {
            Ok(false) if lasting && self.connection.outlive(number, || self.is_unwanted()) => return,
            ended => ended,
        };
        self.hang_up();
        let _ = queue.send(Told::Over(ended.map(drop))); // a working thread that is gone knows
    }

    /// Answers what cannot wait, and queues the rest. `true` at a goodbye, `false` when the connection was lost.
    fn listen(&self, number: u64, input: impl Read, queue: &Sender<Told>) -> io::Result<bool> {
        let mut input = BufReader::with_capacity(64 << 10, input);
        loop {
            let request = match wire::read_frame::<Request>(&mut input) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(false),
                Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => return Ok(false),
                Err(error) => return Err(error),
            };
            if !self.connection.is(number) {
                return Ok(false); // what is late on an old connection was asked for again on the new one
            }
            match request {
                Request::Bye => return Ok(true),
                Request::Ping { id } => {
                    self.beat();
                    self.reply(&Reply::Pong { id })?;
                }
                Request::Upload { digest, bytes, last } => self.spool.receive(digest, &bytes, last),
                Request::Cancel { id } => self.cancel(id),
                other => {
                    if matches!(&other, Request::Call(call) if self.runs(call.id)) {
                        self.spool.ask_again(&|digests| self.reply(&Reply::Need { digests }))?;
                    }
                    if queue.send(Told::Asked(number, other)).is_err() {
                        return Ok(true); // the working thread has given up
                    }
                }
            }
        }
    }

    fn runs(&self, id: u64) -> bool {
        self.running().as_ref().is_some_and(|(running, _)| *running == id)
    }

    /// Whether somebody waits for the transaction that the running call is in, to undo it.
    fn is_unwanted(&self) -> bool {
        self.watched().as_deref().is_some_and(is_claimed)
    }

    fn watched(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The controller was heard: the timer starts anew.
    fn beat(&self) {
        if let Some(folder) = self.watched().as_deref() {
            let _ = beat(folder); // without it the host undoes by itself, which is safe
        }
    }

    fn cancel(&self, id: u64) {
        if let Some((running, stop)) = self.running().as_ref()
            && *running == id
        {
            stop.ask();
        }
    }

    /// Nobody waits any more: everything ends.
    fn hang_up(&self) {
        self.connection.end();
        self.spool.close();
        if let Some((_, stop)) = self.running().as_ref() {
            stop.ask();
        }
    }

    /// The working thread: one request after the other.
    fn work(self: &Arc<Self>, told: &Receiver<Told>) -> io::Result<()> {
        let mut replies = Replies::default();
        for told in told {
            let (number, request) = match told {
                Told::Asked(number, request) => (number, request),
                Told::Over(result) => return result,
            };
            if !self.connection.is(number) {
                continue; // lost with its connection: it is asked for again, or nobody waits for it
            }
            crash_point();
            match request {
                Request::Call(call) => {
                    let frame = replies.answer(call.id, || Reply::Done { id: call.id, result: self.call(&call) })?;
                    self.connection.say(&frame);
                }
                Request::Transaction { id, step } => {
                    let frame = replies.answer(id, || Reply::Transaction { id, result: self.transaction(&step) })?;
                    self.connection.say(&frame);
                }
                Request::Upload { .. } | Request::Ping { .. } | Request::Cancel { .. } | Request::Bye => {}
            }
            crash_point();
        }
        Ok(())
    }

    fn transaction(&self, step: &TransactionStep) -> Result<TransactionReply, Failure> {
        let answer = self.host.journal.step(step)?;
        match step {
            TransactionStep::Begin(begin) => {
                let folder = self.host.journal.folder_of(&begin.id)?;
                if begin.confirm_within > 0 {
                    timer::arm(&folder, self.host.program.as_deref())
                        .map_err(|error| Failure::new(format!("cannot start the dead-man's timer: {error}")))?;
                }
                let noted = boot::arm(&self.host.journal, self.host.program.as_deref());
                noted.map_err(|error| Failure::new(format!("cannot have the next start of the host undo this: {error}")))?;
                *self.watched() = Some(folder);
            }
            TransactionStep::List => boot::disarm(&self.host.journal),
            TransactionStep::Prepare { .. } | TransactionStep::Decide { .. } => *self.watched() = None,
            _ => {
                *self.watched() = None;
                boot::disarm(&self.host.journal);
            }
        }
        Ok(answer)
    }

    /// The journal for the undo records of a call.
    fn recorder(&self, recording: &Recording) -> Result<Recorder, Failure> {
        let Recording { id, step, undo } = recording;
        let transaction = self.host.journal.open(id)?;
        let transaction = transaction.ok_or_else(|| Failure::new(format!("transaction `{id}` was not begun on this host")))?;
        undo.as_deref().map_or(Ok(()), tls::fetch_for)?;
        let recorder = Recorder::new(transaction, *step, undo.as_deref().cloned())?;
        *self.watched() = Some(self.host.journal.folder_of(id)?);
        self.beat();
        Ok(recorder)
    }

    fn call(self: &Arc<Self>, call: &Call) -> Result<Outcome, Failure> {
        let entry = module::find(&call.module).ok_or_else(|| Failure::new(format!("this agent has no module `{}`", call.module)))?;
        let stop = Stop::new().map_err(|error| Failure::new(format!("cannot start the task: {error}")))?;
        *self.running() = Some((call.id, stop.clone()));
        if self.spool.closed() {
            stop.ask();
        }
        let deadline = call.timeout.map(|seconds| (seconds, Deadline::start(Duration::from_secs(seconds.into()), stop.clone())));
        let mut result = self.run(entry, call, stop);
        if let (Err(failure), Some((seconds, deadline))) = (&mut result, deadline)
            && deadline.passed()
        {
            failure.msg = format!("the task took longer than its timeout of {seconds} s and was stopped");
        }
        *self.running() = None;
        result
    }

    fn run(self: &Arc<Self>, entry: &module::Entry, call: &Call, stop: Stop) -> Result<Outcome, Failure> {
        tls::ask(self, call);
        let received = self.spool.gather(&call.blobs, &|digests| self.reply(&Reply::Need { digests }))?;
        if call.detach.is_some() {
            return self.detach(call, received);
        }
        let recorded = call.transaction.as_ref().filter(|_| !call.check && entry.reversible != Reversible::ReadOnly);
        let journal = recorded.map(|recording| self.recorder(recording)).transpose()?;
        let mut machine = Machine::new(Settings {
            journal,
            check: call.check,
            diff: call.diff,
            environment: call.environment.clone(),
            received,
            stop: Some(stop),
            output: call.stream.then(|| self.sink(call.id)),
        });
        entry.run(&call.params, &mut machine).map_err(|failure| machine.failure(failure))
    }

    /// Starts a job; what it will do cannot be undone, since nobody waits for it.
    fn detach(&self, call: &Call, received: Vec<(String, Received)>) -> Result<Outcome, Failure> {
        if let Some(recording) = &call.transaction {
            let words = format!("`{}` in the background", call.module);
            Machine::new(Settings { journal: Some(self.recorder(recording)?), ..Settings::default() }).cannot_undo(words)?;
        }
        tls::fetch_for(call)?;
        job::start(call.clone(), received, self.host.program.as_deref())
    }

    fn sink(self: &Arc<Self>, id: u64) -> Sink {
        let shared = Arc::clone(self);
        Sink::new(move |stream, bytes| {
            // A broken output is noticed when the final reply is written.
            let _ = shared.reply(&Reply::Output { id, stderr: stream == Stream::Stderr, bytes: bytes.to_vec() });
        })
    }
}

/// Ends a call after its time limit; dropped when the call ended in time.
struct Deadline {
    passed: Arc<AtomicBool>,
    /// Its end is the signal that the call has ended.
    _alive: Sender<()>,
}

impl Deadline {
    fn start(limit: Duration, stop: Stop) -> Self {
        let (alive, ended) = channel::<()>();
        let passed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&passed);
        thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::SeqCst);
                stop.ask();
            }
        });
        Self { passed, _alive: alive }
    }

    fn passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
    }
}
