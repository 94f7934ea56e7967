//! [`Command`]: a program to run, what became of it, and why it did not.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::MAX_OUTPUT;
use crate::wire::Failure;

/// A program to run.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Where to run it; `None` for where the agent is.
    pub chdir: Option<PathBuf>,
    /// Added to the environment, over what is there.
    pub environment: Vec<(OsString, OsString)>,
    /// What it reads; then its input ends.
    pub stdin: Vec<u8>,
    /// Its file mode creation mask.
    pub umask: Option<u32>,
    /// How long it may take.
    pub time_limit: Option<Duration>,
}

/// Which output of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A program that ran.
#[derive(Clone, Debug, Default)]
pub struct Completed {
    /// Its exit status; the negative number of a signal that ended it.
    pub status: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained.
    pub stderr: Vec<u8>,
}

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("cannot run `{program}`: {source}")]
    Start {
        /// What was to be run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be run there.
    #[error("cannot change to the directory {}: {source}", directory.display())]
    Directory {
        /// Where it was to be run.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long, and was killed with everything it had started.
    #[error("`{program}` was killed after its time limit of {} s", limit.as_secs_f64())]
    TimedOut {
        /// What was run.
        program: String,
        /// The limit.
        limit: Duration,
        /// What it had printed until then; the status is the signal's.
        until_then: Completed,
    },
    /// Somebody asked to stop, and it was killed with everything it had started.
    #[error("`{program}` was stopped")]
    Stopped {
        /// What was run.
        program: String,
    },
    /// It printed more than is kept, and was killed with everything it had started.
    #[error("`{program}` printed more than {} MiB; let it write to a file", MAX_OUTPUT >> 20)]
    TooMuch {
        /// What was run.
        program: String,
    },
    /// The system refused something while it ran; it was killed.
    #[error("lost sight of `{program}`: {source}")]
    Lost {
        /// What was run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl RunError {
    /// The system's error number, if it was the system that refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Start { source, .. } | Self::Directory { source, .. } | Self::Lost { source, .. } => source.raw_os_error(),
            Self::TimedOut { .. } | Self::Stopped { .. } | Self::TooMuch { .. } => None,
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            RunError::TimedOut { until_then, .. } => until_then.attach(failure),
            other => match other.errno() {
                Some(number) => failure.with("rc", number),
                None => failure,
            },
        }
    }
}

impl Completed {
    /// The failure of `command`, that exited so: what it complained of comes first, because that says why.
    pub fn failure(&self, command: &Command) -> Failure {
        let complaint = self.stderr_text();
        let complaint = if complaint.trim().is_empty() { self.stdout_text() } else { complaint };
        let program = command.program();
        let end = match self.status {
            status if status < 0 => format!("was ended by signal {}", -status),
            status => format!("exited with {status}"),
        };
        let msg = match complaint.trim() {
            "" => format!("`{program}` {end}"),
            complaint => format!("`{program}` {end}: {complaint}"),
        };
        self.attach(Failure::new(msg))
    }

    fn attach(&self, failure: Failure) -> Failure {
        failure.with("rc", self.status).with("stdout", self.stdout_text()).with("stderr", self.stderr_text())
    }

    /// Whether it exited with 0.
    pub fn succeeded(&self) -> bool {
        self.status == 0
    }

    /// What it printed, as text; bytes that are not UTF-8 become `U+FFFD`.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What it complained, as text; bytes that are not UTF-8 become `U+FFFD`.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Command {
    /// `program`, looked up in `PATH` when it has no slash.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { argv: vec![program.into()], ..Self::default() }
    }

    /// `text` for `/bin/sh`.
    pub fn shell(text: impl Into<OsString>) -> Self {
        Self::new("/bin/sh").arg("-c").arg(text)
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// In the directory `path`.
    #[must_use]
    pub fn chdir(mut self, path: impl Into<PathBuf>) -> Self {
        self.chdir = Some(path.into());
        self
    }

    /// With `name` in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With messages in English, for output that is read by us.
    #[must_use]
    pub fn plain(self) -> Self {
        self.env("LC_ALL", "C.UTF-8").env("LANG", "C.UTF-8").env("LANGUAGE", "C")
    }

    /// Reading `bytes`.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// For at most this long.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Program and arguments as text.
    pub fn words(&self) -> Vec<String> {
        self.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// The program's name, for messages.
    pub fn program(&self) -> String {
        self.argv.first().map_or_else(String::new, |program| program.to_string_lossy().into_owned())
    }
}

/// Where the program `name` is: in `PATH`, or where administrators' programs are when `PATH` lacks those places.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(&std::env::var_os("PATH").unwrap_or_default(), name)
}

/// The same with a `PATH` of its own.
pub(super) fn find_program_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    let places = std::env::split_paths(path).chain(["/sbin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places.map(|place| place.join(name)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path.as_os_str(), rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_why() {
        let command = Command::shell("echo out; echo why >&2; exit 7");
        let failure = command.run(None, &mut |_, _| {}).unwrap().failure(&command);
        assert_eq!(failure.msg, "`/bin/sh` exited with 7: why");
        assert_eq!(failure.data.get("rc"), Some(&7.into()));
        let silent = Completed { status: -15, ..Completed::default() };
        assert_eq!(silent.failure(&command).msg, "`/bin/sh` was ended by signal 15");
        let error = Command::new("no-such-program").run(None, &mut |_, _| {}).unwrap_err();
        assert_eq!(Failure::from(error).data.get("rc"), Some(&2.into()));
    }

    #[test]
    fn finds_programs() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program"), None);
    }
}
