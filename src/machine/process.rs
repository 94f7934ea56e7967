//! Running a program: capture, time limit, process group, standard input.
//!
//! One thread polls everything at once: both outputs, standard input, the end of the program, the time limit and the wish to
//! stop. So a program that fills one pipe while we fill another cannot dead-lock, and nothing is left running behind us.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, umask};

use super::command::{Command, Completed, RunError, Stream};

/// The bytes of one output stream that are kept, at most: a program that prints more is stopped.
pub const MAX_OUTPUT: usize = 16 << 20;

/// How long a pipe that something in the background keeps open must be silent after the program's end, before it is left alone.
const QUIET: Duration = Duration::from_millis(100);
/// How long such a pipe is read at most.
const LINGER: Duration = Duration::from_secs(1);
/// How long a program has between the polite signal and the other.
const TERMINATION: Duration = Duration::from_secs(2);
/// How often a kernel without pidfds (before 5.3) is asked whether the program has ended.
const TICK: Duration = Duration::from_millis(10);

/// Stops running programs from another thread.
#[derive(Clone, Debug)]
pub struct Stop(Arc<OwnedFd>);

impl Stop {
    /// A fresh one, not asked yet.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Asks every program that runs with it to stop, and every one to come.
    pub fn ask(&self) {
        // The counter of the eventfd can only be full when it was asked before.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    /// Whether it was asked.
    pub fn asked(&self) -> bool {
        let mut fds = [PollFd::new(&*self.0, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

/// Takes what programs print, as they print it.
pub struct Sink(Box<Taker>);

type Taker = dyn FnMut(Stream, &[u8]) + Send;

impl Sink {
    /// One that hands everything to `take`.
    pub fn new(take: impl FnMut(Stream, &[u8]) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    pub(super) fn send(&mut self, stream: Stream, bytes: &[u8]) {
        (self.0)(stream, bytes);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Sink")
    }
}

impl Command {
    /// Runs it to its end in a process group of its own; `output` sees what it prints as it is printed.
    ///
    /// A process that it leaves in the background, holding its output open, is not waited for.
    ///
    /// # Errors
    /// See [`RunError`]. An exit status other than 0 is not an error.
    pub fn run(&self, stop: Option<&Stop>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<Completed, RunError> {
        let mut running = Running::start(self)?;
        match running.watch(self, stop, output) {
            Ok(status) => Ok(Completed { status: status_of(status), ..running.printed }),
            Err(interruption) => {
                let status = running.kill();
                let program = self.program();
                Err(match interruption {
                    Interruption::Deadline(limit) => {
                        let until_then = Completed { status: status.map_or(-9, status_of), ..running.printed };
                        RunError::TimedOut { program, limit, until_then }
                    }
                    Interruption::Stop => RunError::Stopped { program },
                    Interruption::TooMuch => RunError::TooMuch { program },
                    Interruption::System(source) => RunError::Lost { program, source },
                })
            }
        }
    }

    fn spawn(&self) -> Result<Child, RunError> {
        let (program, arguments) = self.argv.split_first().ok_or_else(|| RunError::Start {
            program: String::new(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "there is no program to run"),
        })?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        if let Some(directory) = &self.chdir {
            // Looked at before, because the system's one error for both does not say whether program or directory is missing.
            std::fs::read_dir(directory).map_err(|source| RunError::Directory { directory: directory.clone(), source })?;
            command.current_dir(directory);
        }
        with_umask(self.umask, || command.spawn()).map_err(|source| RunError::Start { program: self.program(), source })
    }
}

/// The mask belongs to the whole process, so it is changed for the moment of the start only, by one at a time.
fn with_umask<T>(mask: Option<u32>, start: impl FnOnce() -> T) -> T {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = mask.map(|mask| umask(Mode::from_raw_mode(mask)));
    let started = start();
    if let Some(before) = before {
        umask(before);
    }
    started
}

pub(super) fn status_of(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(-1)
}

enum Interruption {
    Deadline(Duration),
    Stop,
    TooMuch,
    System(io::Error),
}

impl From<io::Error> for Interruption {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<rustix::io::Errno> for Interruption {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

/// A program that runs, and our ends of its pipes; a pipe that is over is `None`.
struct Running {
    child: Child,
    group: Pid,
    end: Option<OwnedFd>,
    stdin: Option<ChildStdin>,
    written: usize,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    printed: Completed,
}

/// What [`poll`] reported.
#[derive(Clone, Copy)]
enum Ready {
    Stdin,
    Output(Stream),
    End,
    Stop,
}

impl Running {
    fn start(command: &Command) -> Result<Self, RunError> {
        let mut child = command.spawn()?;
        let group = Pid::from_child(&child);
        let stdin = child.stdin.take();
        if let Some(pipe) = &stdin {
            let nonblocking = fcntl_getfl(pipe).and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK));
            nonblocking.map_err(|error| RunError::Lost { program: command.program(), source: error.into() })?;
        }
        Ok(Self {
            group,
            end: pidfd_open(group, PidfdFlags::empty()).ok(),
            stdin,
            written: 0,
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            printed: Completed::default(),
            child,
        })
    }

    fn watch(&mut self, command: &Command, stop: Option<&Stop>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<ExitStatus, Interruption> {
        let started = Instant::now();
        let mut ended: Option<(ExitStatus, Instant)> = None;
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some((status, since)) = ended {
                let silent = self.stdout.is_none() && self.stderr.is_none();
                if silent || since.elapsed() >= LINGER {
                    return Ok(status);
                }
            }
            let left = command.time_limit.map(|limit| limit.saturating_sub(started.elapsed()));
            if let (Some(limit), Some(Duration::ZERO)) = (command.time_limit, left) {
                return Err(Interruption::Deadline(limit));
            }
            let patience = match (&ended, &self.end) {
                (Some(_), _) => Some(QUIET),
                (None, None) => Some(left.map_or(TICK, |left| left.min(TICK))),
                (None, Some(_)) => left,
            };
            let ready = self.poll(stop, ended.is_none(), patience)?;
            for event in &ready {
                match event {
                    Ready::Stop => return Err(Interruption::Stop),
                    Ready::Stdin => self.feed(&command.stdin),
                    Ready::Output(stream) => self.drain(*stream, &mut buffer, output)?,
                    Ready::End => {}
                }
            }
            match ended {
                Some((status, _)) if ready.is_empty() => return Ok(status),
                Some(_) => {}
                None => ended = self.child.try_wait()?.map(|status| (status, Instant::now())),
            }
        }
    }

    fn poll(&self, stop: Option<&Stop>, runs: bool, patience: Option<Duration>) -> Result<Vec<Ready>, Interruption> {
        let end = self.end.as_ref().filter(|_| runs);
        let watched: Vec<(Ready, BorrowedFd, PollFlags)> = [
            self.stdin.as_ref().map(|pipe| (Ready::Stdin, pipe.as_fd(), PollFlags::OUT)),
            self.stdout.as_ref().map(|pipe| (Ready::Output(Stream::Stdout), pipe.as_fd(), PollFlags::IN)),
            self.stderr.as_ref().map(|pipe| (Ready::Output(Stream::Stderr), pipe.as_fd(), PollFlags::IN)),
            end.map(|end| (Ready::End, end.as_fd(), PollFlags::IN)),
            stop.map(|stop| (Ready::Stop, stop.0.as_fd(), PollFlags::IN)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut fds: Vec<PollFd> = watched.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(watched.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|((ready, ..), _)| *ready).collect())
    }

    /// Writes what the pipe takes; a program that does not read its input is no error.
    fn feed(&mut self, bytes: &[u8]) {
        let Some(pipe) = &mut self.stdin else { return };
        let rest = bytes.get(self.written..).unwrap_or_default();
        match pipe.write(rest) {
            Ok(count) => self.written += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.written = bytes.len(),
        }
        if self.written >= bytes.len() {
            self.stdin = None;
        }
    }

    fn drain(&mut self, stream: Stream, buffer: &mut [u8], output: &mut dyn FnMut(Stream, &[u8])) -> Result<(), Interruption> {
        let (read, kept) = match stream {
            Stream::Stdout => (self.stdout.as_mut().map_or(Ok(0), |pipe| pipe.read(buffer)), &mut self.printed.stdout),
            Stream::Stderr => (self.stderr.as_mut().map_or(Ok(0), |pipe| pipe.read(buffer)), &mut self.printed.stderr),
        };
        let bytes = match read {
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if kept.len() + bytes.len() > MAX_OUTPUT {
            return Err(Interruption::TooMuch);
        }
        kept.extend_from_slice(bytes);
        if !bytes.is_empty() {
            output(stream, bytes);
            return Ok(());
        }
        match stream {
            Stream::Stdout => self.stdout = None,
            Stream::Stderr => self.stderr = None,
        }
        Ok(())
    }

    /// Ends the whole group, politely first.
    fn kill(&mut self) -> Option<ExitStatus> {
        let _ = kill_process_group(self.group, Signal::TERM);
        let asked = Instant::now();
        let mut status = None;
        while status.is_none() && asked.elapsed() < TERMINATION {
            status = self.child.try_wait().ok().flatten();
            if status.is_none() {
                std::thread::sleep(TICK);
            }
        }
        // Those of the group that did not listen; when all did, there is nobody to tell.
        let _ = kill_process_group(self.group, Signal::KILL);
        status.or_else(|| self.child.wait().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Completed {
        Command::shell(text).run(None, &mut |_, _| {}).unwrap()
    }

    #[test]
    fn keeps_both_outputs_and_the_status() {
        for (text, status, stdout, stderr) in [
            ("printf out; printf err >&2; exit 3", 3, "out", "err"),
            ("kill -9 $$", -9, "", ""),
            ("cat", 0, "", ""),
            ("exec 1>&-; exec 2>&-; sleep 0.05; exit 4", 4, "", ""),
        ] {
            let ran = shell(text);
            assert_eq!((ran.status, ran.stdout_text().as_str(), ran.stderr_text().as_str()), (status, stdout, stderr), "{text}");
        }
    }

    #[test]
    fn much_input_and_output_at_once_do_not_dead_lock() {
        let bytes = vec![b'x'; 3 << 20];
        let ran = Command::shell("cat; head -c 1000000 /dev/zero >&2").stdin(bytes.clone()).run(None, &mut |_, _| {}).unwrap();
        assert_eq!((ran.stdout.len(), ran.stderr.len()), (bytes.len(), 1_000_000));
        assert!(shell("exec 0<&-; sleep 0.05").succeeded());
        assert!(Command::shell("exit 0").stdin(bytes).run(None, &mut |_, _| {}).unwrap().succeeded());
    }

    #[test]
    fn too_much_output_is_an_error() {
        let error = Command::shell("cat /dev/zero").run(None, &mut |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "`/bin/sh` printed more than 16 MiB; let it write to a file");
    }

    #[test]
    fn a_background_process_is_not_waited_for() {
        let started = Instant::now();
        let ran = shell("sleep 30 & echo $!");
        assert!(started.elapsed() < Duration::from_secs(5));
        let pid: i32 = ran.stdout_text().trim().parse().unwrap();
        // It lives on: it was asked for.
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn a_time_limit_kills_the_whole_group() {
        let limit = Duration::from_millis(200);
        let error = Command::shell("echo early; sleep 30 & echo $!; wait").time_limit(limit).run(None, &mut |_, _| {}).unwrap_err();
        let RunError::TimedOut { until_then, .. } = &error else { panic!("{error}") };
        assert_eq!(error.to_string(), "`/bin/sh` was killed after its time limit of 0.2 s");
        assert_eq!(until_then.status, -15);
        let printed = until_then.stdout_text();
        let (early, pid) = printed.trim().split_once('\n').unwrap();
        assert_eq!(early, "early");
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z"), "{state}");
    }

    #[test]
    fn stops_when_asked() {
        let stop = Stop::new().unwrap();
        assert!(!stop.asked());
        let other = stop.clone();
        let asker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            other.ask();
        });
        let error = Command::shell("sleep 30").run(Some(&stop), &mut |_, _| {}).unwrap_err();
        asker.join().unwrap();
        assert!(matches!(error, RunError::Stopped { .. }), "{error}");
        assert!(stop.asked());
    }

    #[test]
    fn streams_while_it_runs() {
        let mut seen = Vec::new();
        let ran =
            Command::shell("echo a; sleep 0.1; echo b >&2").run(None, &mut |stream, bytes| seen.push((stream, bytes.to_vec()))).unwrap();
        assert_eq!(seen, [(Stream::Stdout, b"a\n".to_vec()), (Stream::Stderr, b"b\n".to_vec())]);
        assert_eq!(ran.stdout, b"a\n");
    }

    #[test]
    fn surroundings_are_as_asked() {
        let ran = Command::shell("pwd; umask; echo $RAPPEL; cat").chdir("/").env("RAPPEL", "x").stdin("in");
        let ran = Command { umask: Some(0o027), ..ran }.run(None, &mut |_, _| {}).unwrap();
        assert_eq!(ran.stdout_text(), "/\n0027\nx\nin");
    }

    #[test]
    fn says_what_is_missing() {
        let start = |command: Command| command.run(None, &mut |_, _| {}).unwrap_err().to_string();
        assert_eq!(start(Command::new("no-such-program")), "cannot run `no-such-program`: No such file or directory (os error 2)");
        let error = start(Command::new("true").chdir("/no/such/place"));
        assert_eq!(error, "cannot change to the directory /no/such/place: No such file or directory (os error 2)");
        assert_eq!(start(Command::default()), "cannot run ``: there is no program to run");
    }
}
