//! [`Machine`]: the only door to side effects on a host.
//!
//! Every effect compares with what is there, does nothing when it is right already, only records in check mode, keeps
//! before and after for the diff, and writes its undo to the journal before it acts.

mod command;
mod process;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::wire::{Diff, Failure, Map, Outcome, Value};

pub use command::{Command, Completed, RunError, Stream, find_program};
pub use process::{MAX_OUTPUT, Sink, Stop};

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Special,
}

/// What the system says of a path.
#[derive(Clone, Debug)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// All that the system said.
    pub meta: fs::Metadata,
}

impl Stat {
    /// Permission bits with set-id and sticky.
    pub fn mode(&self) -> u32 {
        self.meta.mode() & 0o7777
    }
}

/// What a file should look like beside its content; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Octal or symbolic mode.
    pub mode: Option<String>,
    /// User name or number.
    pub owner: Option<String>,
    /// Group name or number.
    pub group: Option<String>,
}

/// The door.
#[derive(Debug, Default)]
pub struct Machine {
    check: bool,
    want_diff: bool,
    changed: bool,
    diff: Vec<Diff>,
    warnings: Vec<String>,
    environment: Vec<(String, String)>,
    blobs: Vec<(String, Vec<u8>)>,
    stop: Option<Stop>,
    output: Option<Sink>,
}

impl Machine {
    /// Whether this call only predicts.
    pub fn checking(&self) -> bool {
        self.check
    }

    /// Whether the user wants to see differences.
    pub fn diffing(&self) -> bool {
        self.want_diff
    }

    /// Tells the user something that is not a failure.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Records that something outside [`Machine`]'s sight changed (a program did it).
    pub fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// What the call came to so far; modules add their data to it.
    pub fn outcome(&mut self) -> Outcome {
        Outcome {
            changed: self.changed,
            skipped: None,
            data: Map::new(),
            diff: std::mem::take(&mut self.diff),
            warnings: std::mem::take(&mut self.warnings),
        }
    }

    /// A path as the playbook wrote it, with `~` and `$VAR` expanded as the agent's user.
    pub fn path(&self, text: &str) -> PathBuf {
        PathBuf::from(text)
    }

    /// Looks at `path`; `None` when there is nothing.
    ///
    /// # Errors
    /// Any other answer of the system.
    pub fn stat(&self, path: &Path, follow: bool) -> Result<Option<Stat>, Failure> {
        let found = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
        match found {
            Ok(meta) => {
                let kind = match meta.file_type() {
                    kind if kind.is_file() => FileKind::File,
                    kind if kind.is_dir() => FileKind::Directory,
                    kind if kind.is_symlink() => FileKind::Link,
                    _ => FileKind::Special,
                };
                Ok(Some(Stat { kind, meta }))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Failure::new(format!("cannot look at {}: {error}", path.display()))),
        }
    }

    /// Runs a program in the task's environment; what it prints is streamed if the call wants that.
    ///
    /// This runs it in check mode too: it is for programs that only look, and for modules that have asked [`Machine::checking`].
    ///
    /// # Errors
    /// When it did not run to its end; see [`RunError`]. Its exit status is for the module to judge.
    pub fn run(&mut self, command: &Command) -> Result<Completed, RunError> {
        let mut command = command.clone();
        let given = self.environment.iter().map(|(name, value)| (name.into(), value.into()));
        command.environment = given.chain(command.environment).collect();
        let Self { stop, output, .. } = self;
        command.run(stop.as_ref(), &mut |stream, bytes| {
            if let Some(sink) = output {
                sink.send(stream, bytes);
            }
        })
    }

    /// Runs a program that changes the host, and marks the call as changed; in check mode it only marks.
    ///
    /// # Errors
    /// When it did not run to its end, or exited with something but 0.
    pub fn act(&mut self, command: &Command) -> Result<Completed, Failure> {
        if self.check {
            self.changed = true;
            return Ok(Completed::default());
        }
        let ran = self.run(command)?;
        if !ran.succeeded() {
            return Err(ran.failure(command));
        }
        self.changed = true;
        Ok(ran)
    }

    /// The content that came along for the parameter `name`.
    pub fn blob(&self, name: &str) -> Option<&[u8]> {
        self.blobs.iter().find(|(parameter, _)| parameter == name).map(|(_, bytes)| bytes.as_slice())
    }
}

impl Outcome {
    /// Adds an entry to the result.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }
}
