//! The second program: frames in, modules run, frames out.
//!
//! One thread reads, so that pings and cancellations are heard while a module runs on the other. When the input ends, the
//! running call and every program it started end too: nothing is left behind on the host but detached jobs and the
//! dead-man's timer of an open transaction.

mod boot;
mod job;
mod replies;
mod spool;
mod timer;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::getuid;
use rustix::system::uname;

use crate::machine::{Journal, Machine, Received, Recorder, Settings, Sink, Stop, Stream, beat, own_home, undo_tasks_by};
use crate::module::{self, Reversible};
use crate::wire::{self, Call, Failure, Hello, Outcome, Recording, Reply, Request, TransactionReply, TransactionStep};
use replies::Replies;
use spool::Spool;

/// What an agent works on.
#[derive(Debug)]
pub struct Host {
    /// Where transactions are.
    pub journal: Journal,
    /// How this program is started again, for the dead-man's timer and detached jobs; without it the timer is a thread.
    pub program: Option<Vec<OsString>>,
}

impl Default for Host {
    fn default() -> Self {
        Self { journal: Journal::of_this_user(), program: None }
    }
}

/// Runs the program `rappel-agent`: the agent itself until its input ends, or what it starts beside itself.
pub fn main() -> ExitCode {
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
        _ => {
            forget_old_agents();
            serve_on(Host { program: Some(program), ..Host::default() }, io::stdin(), io::stdout())
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
    let Ok(own) = std::env::current_exe() else { return };
    let named = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("agent-"));
    let Some(folder) = own.parent().filter(|_| named(&own)) else { return };
    // Its age is counted from its last start.
    let _ = fs::File::open(&own).and_then(|file| file.set_modified(SystemTime::now()));
    let others = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in others.filter(|path| named(path) && *path != own) {
        let age = fs::metadata(&path).and_then(|meta| meta.modified()).ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > MONTH) {
            let _ = fs::remove_file(path); // somebody else's attempt is as good
        }
    }
}

/// What both threads of an agent share.
struct Shared {
    out: Mutex<Box<dyn Write + Send>>,
    /// The call that runs, and how to end it.
    running: Mutex<Option<(u64, Stop)>>,
    spool: Spool,
    host: Host,
    /// The open transaction that pings keep alive.
    watched: Mutex<Option<PathBuf>>,
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
    let shared = Arc::new(Shared {
        out: Mutex::new(Box::new(output)),
        running: Mutex::new(None),
        spool: Spool::new(),
        host,
        watched: Mutex::new(None),
    });
    undo_tasks_by(inverse);
    shared.greet()?;
    let (sender, requests) = channel();
    let reader = thread::spawn({
        let shared = Arc::clone(&shared);
        move || {
            let ended = shared.listen(input, &sender);
            shared.hang_up();
            ended
        }
    });
    let worked = shared.work(&requests);
    drop(requests);
    // A reader that still waits for input ends with the process: the output is broken, so nobody is there.
    worked?;
    reader.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")))
}

/// Runs a task of `rappel_undo`.
fn inverse(call: &Call) -> Result<(), String> {
    let entry = module::find(&call.module).ok_or_else(|| format!("this agent has no module `{}`", call.module))?;
    let mut machine = Machine::new(Settings { environment: call.environment.clone(), ..Settings::default() });
    (entry.run)(&call.params, &mut machine).map(drop).map_err(|failure| failure.msg)
}

impl Shared {
    fn greet(&self) -> io::Result<()> {
        let system = uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uid: getuid().as_raw(),
            home: own_home().map(|home| home.display().to_string()).unwrap_or_default(),
            arch: text(system.machine()),
            hostname: text(system.nodename()),
        };
        let mut out = self.out();
        writeln!(out, "{}", wire::READY)?;
        wire::write_frame(&mut *out, &Reply::Hello(hello))?;
        out.flush()
    }

    fn out(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Option<(u64, Stop)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, reply: &Reply) -> io::Result<()> {
        let frame = wire::encode(reply)?;
        let mut out = self.out();
        out.write_all(&frame)?;
        out.flush()
    }

    /// The reading thread: answers what cannot wait, and queues the rest.
    fn listen(&self, input: impl Read, queue: &Sender<Request>) -> io::Result<()> {
        let mut input = BufReader::with_capacity(64 << 10, input);
        while let Some(request) = wire::read_frame::<Request>(&mut input)? {
            match request {
                Request::Ping { id } => {
                    self.beat();
                    self.reply(&Reply::Pong { id })?;
                }
                Request::Upload { digest, bytes, last } => self.spool.receive(digest, &bytes, last),
                Request::Cancel { id } => self.cancel(id),
                other => {
                    if queue.send(other).is_err() {
                        break; // the working thread has given up
                    }
                }
            }
        }
        Ok(())
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

    /// The input has ended: so does everything.
    fn hang_up(&self) {
        self.spool.close();
        if let Some((_, stop)) = self.running().as_ref() {
            stop.ask();
        }
    }

    /// The working thread: one request after the other.
    fn work(self: &Arc<Self>, requests: &Receiver<Request>) -> io::Result<()> {
        let mut replies = Replies::default();
        for request in requests {
            if self.spool.closed() {
                break; // nobody waits for what is still queued, and what was not asked for twice must not happen
            }
            match request {
                Request::Call(call) => {
                    let reply = if let Some(known) = replies.find(call.id) {
                        known.clone()
                    } else {
                        let reply = Reply::Done { id: call.id, result: self.call(&call) };
                        replies.keep(reply.clone());
                        reply
                    };
                    self.reply(&reply)?;
                }
                Request::Transaction { id, step } => {
                    let result = self.transaction(&step);
                    self.reply(&Reply::Transaction { id, result })?;
                }
                Request::Upload { .. } | Request::Ping { .. } | Request::Cancel { .. } => {}
            }
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
        let received = self.spool.gather(&call.blobs, &|digest| self.reply(&Reply::Need { digest }))?;
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
        (entry.run)(&call.params, &mut machine).map_err(|failure| machine.failure(failure))
    }

    /// Starts a job; what it will do cannot be undone, since nobody waits for it.
    fn detach(&self, call: &Call, received: Vec<(String, Received)>) -> Result<Outcome, Failure> {
        if let Some(recording) = &call.transaction {
            let words = format!("`{}` in the background", call.module);
            Machine::new(Settings { journal: Some(self.recorder(recording)?), ..Settings::default() }).cannot_undo(words)?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Blob, Digest, Map};

    /// Everything that is written, in one place that outlives the agent.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn talk(requests: &[Request]) -> Vec<Reply> {
        let (reader, mut writer) = io::pipe().unwrap();
        let written = Written::default();
        let agent = thread::spawn({
            let written = written.clone();
            move || serve(reader, written)
        });
        for request in requests {
            wire::write_frame(&mut writer, request).unwrap();
        }
        // The input may only end once everything was answered: its end stops what runs.
        let done = |reply: &Reply| !matches!(reply, Reply::Hello(_) | Reply::Output { .. } | Reply::Need { .. });
        let wanted = requests.iter().filter(|request| !matches!(request, Request::Upload { .. } | Request::Cancel { .. })).count();
        loop {
            let replies = read(&written.0.lock().unwrap());
            if replies.iter().filter(|reply| done(reply)).count() == wanted {
                drop(writer);
                agent.join().unwrap().unwrap();
                return replies;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn read(bytes: &[u8]) -> Vec<Reply> {
        let Some(mut rest) = bytes.strip_prefix(b"RAPPEL1 READY\n") else { return Vec::new() };
        std::iter::from_fn(|| wire::read_frame(&mut rest).ok().flatten()).collect()
    }

    fn call(id: u64, module: &str, params: &[(&str, &str)]) -> Call {
        let params: Map = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Call { id, module: module.to_owned(), params, ..Call::default() }
    }

    #[test]
    fn greets_and_runs_a_module() {
        let replies = talk(&[Request::Ping { id: 3 }, Request::Call(Box::new(call(4, "ping", &[("data", "yes")])))]);
        let Some(Reply::Hello(hello)) = replies.first() else { panic!("expected a greeting, found {replies:?}") };
        assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
        assert!(matches!(replies.get(1), Some(Reply::Pong { id: 3 })));
        let Some(Reply::Done { id: 4, result: Ok(outcome) }) = replies.get(2) else { panic!("expected an outcome, found {replies:?}") };
        assert_eq!(outcome.data["ping"], "yes".into());
    }

    #[test]
    fn a_large_blob_is_asked_for() {
        let bytes = vec![7; 1000];
        let digest = Digest::of(&bytes);
        let mut needs = call(1, "ping", &[]);
        needs.blobs.push(("src".into(), Blob::Stored { digest, size: 1000 }));
        let (reader, mut writer) = io::pipe().unwrap();
        let written = Written::default();
        let agent = thread::spawn({
            let written = written.clone();
            move || serve(reader, written)
        });
        let wait_for = |wanted: fn(&Reply) -> bool| {
            while !read(&written.0.lock().unwrap()).iter().any(wanted) {
                thread::sleep(Duration::from_millis(2));
            }
        };
        wire::write_frame(&mut writer, &Request::Call(Box::new(needs.clone()))).unwrap();
        wait_for(|reply| matches!(reply, Reply::Need { .. }));
        for (half, last) in bytes.chunks(500).zip([false, true]) {
            wire::write_frame(&mut writer, &Request::Upload { digest, bytes: half.to_vec(), last }).unwrap();
        }
        wait_for(|reply| matches!(reply, Reply::Done { id: 1, result: Ok(_) }));
        needs.id = 2;
        wire::write_frame(&mut writer, &Request::Call(Box::new(needs))).unwrap();
        wait_for(|reply| matches!(reply, Reply::Done { id: 2, result: Ok(_) }));
        drop(writer);
        agent.join().unwrap().unwrap();
        let needs = read(&written.0.lock().unwrap()).iter().filter(|reply| matches!(reply, Reply::Need { .. })).count();
        assert_eq!(needs, 1, "a blob is asked for once");
    }

    #[test]
    fn a_call_that_is_repeated_is_not_run_twice() {
        let first = Request::Call(Box::new(call(1, "ping", &[("data", "a")])));
        let again = Request::Call(Box::new(call(1, "ping", &[("data", "b")])));
        let replies = talk(&[first, again]);
        for reply in &replies[1..] {
            let Reply::Done { result: Ok(outcome), .. } = reply else { panic!("expected an outcome, found {reply:?}") };
            assert_eq!(outcome.data["ping"], "a".into());
        }
    }
}
