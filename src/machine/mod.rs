//! [`Machine`]: the only door to side effects on a host.
//!
//! Every effect compares with what is there, does nothing when it is right already, only records in check mode, keeps
//! before and after for the diff, and writes its undo to the journal before it acts. An effect returns whether it changed
//! something; in check mode it says what it would have done, and later looks in the same call still see the old state.

pub mod address;
mod attributes;
pub mod clock;
mod command;
mod content;
pub mod http;
mod image;
mod intent;
mod journal;
mod log;
mod look;
mod mode;
pub mod owner;
mod participant;
mod process;
mod program;
mod scratch;
pub mod smtp;
pub mod socket;
pub mod terminal;
mod tree;
mod undo;
pub mod words;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::wire::{Diff, Failure, Map, Outcome, Value};

pub use attributes::Attributes;
pub use command::{Command, Completed, RunError, Stream, find_program};
pub use content::{Content, Entry, Item, Received};
pub use intent::Recorder;
pub use journal::{Cause, Journal, State, Transaction, beat, crash_point, is_claimed};
pub(crate) use look::own_home;
pub use look::{Algorithm, FileKind, Stat};
pub use mode::Mode;
pub use process::{MAX_OUTPUT, Sink, Stop};
pub use program::Undo;
pub use undo::{Inverse, undo_tasks_by};
pub use write::{MAX_DIFF, WriteOptions, Written};

/// How a call wants its machine.
#[derive(Default)]
pub struct Settings {
    /// Predict, do not touch.
    pub check: bool,
    /// Keep before and after of everything.
    pub diff: bool,
    /// Added to the environment of every program.
    pub environment: Vec<(String, String)>,
    /// The content that came along, by parameter name.
    pub received: Vec<(String, Received)>,
    /// Where the undo of every effect goes, inside a transaction.
    pub journal: Option<Recorder>,
    /// Ends the call from another thread.
    pub stop: Option<Stop>,
    /// Sees what programs print.
    pub output: Option<Sink>,
}

/// The door.
#[derive(Default)]
pub struct Machine {
    settings: Settings,
    changed: bool,
    diff: Vec<Diff>,
    warnings: Vec<String>,
    /// What was changed beside content: name, before, after.
    states: Vec<(String, Value, Value)>,
    /// Files for programs to read; gone when this is.
    spooled: Vec<write::Temporary>,
    /// The folder of this call; gone when this is.
    scratch: Option<scratch::Scratch>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        // Content and environment may hold secrets.
        formatter.debug_struct("Machine").field("check", &self.settings.check).field("changed", &self.changed).finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine for one call.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Whether this call only predicts.
    pub fn checking(&self) -> bool {
        self.settings.check
    }

    /// Whether it acts as root, who alone can give files away.
    pub fn privileged(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Whether the user wants to see differences.
    pub fn diffing(&self) -> bool {
        self.settings.diff
    }

    /// Whether something was changed (or would have been) so far.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Tells the user something that is not a failure.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Records that something outside [`Machine`]'s sight changed (a program did it).
    pub fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// Adds to what `--diff` shows.
    pub fn add_diff(&mut self, diff: Diff) {
        if self.settings.diff {
            self.diff.push(diff);
        }
    }

    /// Says what of its file the last difference is about.
    pub fn label_diff(&mut self, what: &str) {
        if let Some(diff) = self.diff.last_mut() {
            for header in [&mut diff.before_header, &mut diff.after_header] {
                header.push_str(what);
            }
        }
    }

    /// What was changed of `path` beside its content, as the results of `file` have it: before and after.
    pub fn states(&self, path: &Path) -> Map {
        let path = ("path".to_owned(), Value::from(path.display().to_string()));
        let side = |pick: fn(&(String, Value, Value)) -> &Value| -> Value {
            let entries = self.states.iter().map(|state| (state.0.clone(), pick(state).clone()));
            entries.filter(|(_, value)| !value.is_null()).chain([path.clone()]).collect::<Map>().into()
        };
        Map::from_iter([("before".to_owned(), side(|state| &state.1)), ("after".to_owned(), side(|state| &state.2))])
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

    /// Adds what this machine knows to the failure of its call.
    #[must_use]
    pub fn failure(&mut self, mut failure: Failure) -> Failure {
        failure.changed |= self.changed && !self.settings.check;
        failure.warnings.append(&mut self.warnings);
        if !failure.warnings.is_empty() {
            failure.data.insert("warnings".to_owned(), failure.warnings.clone().into());
        }
        failure
    }

    /// A path as the playbook wrote it, with `~`, `~user` and `$VAR` expanded as the agent's user.
    pub fn path(&self, text: &str) -> PathBuf {
        look::expand(text, &|name| self.variable(name))
    }

    /// The environment that programs of this call see.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let own = std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        own.chain(self.settings.environment.iter().cloned()).collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        let own = self.settings.environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        own.or_else(|| std::env::var(name).ok())
    }

    /// The content that came along for the parameter `name`.
    pub fn received(&self, name: &str) -> Option<&Received> {
        self.settings.received.iter().find(|(parameter, _)| parameter == name).map(|(_, received)| received)
    }

    /// The file content that came along for the parameter `name`; `None` also for a directory.
    pub fn content(&self, name: &str) -> Option<&Content> {
        match self.received(name) {
            Some(Received::File(content)) => Some(content),
            _ => None,
        }
    }

    /// Fails when the call was asked to stop: long work calls this between its steps.
    pub fn go_on(&self) -> Result<(), Failure> {
        match &self.settings.stop {
            Some(stop) if stop.asked() => Err(Failure::new("the task was stopped")),
            _ => Ok(()),
        }
    }
}

/// A failure of the system's, with what was tried and on which path.
pub(crate) fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {error}", path.display()))
}

impl Outcome {
    /// Adds an entry to the result.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }

    /// Adds the differences to the result as a list, with `more` at its end.
    #[must_use]
    pub fn with_diffs(self, more: Option<Map>) -> Self {
        let one = |diff: &Diff| {
            let headers = [("before_header", &diff.before_header), ("after_header", &diff.after_header)];
            let headers = headers.into_iter().filter(|(_, header)| !header.is_empty());
            let entries = headers.chain([("before", &diff.before), ("after", &diff.after)]);
            entries.map(|(name, text)| (name.to_owned(), Value::from(text.as_str()))).collect::<Map>()
        };
        if self.diff.is_empty() {
            return self;
        }
        let diffs: Vec<Map> = self.diff.iter().map(one).chain(more).collect();
        self.with("diff", diffs)
    }

    /// Adds entries to the result.
    #[must_use]
    pub fn with_all(mut self, entries: Map) -> Self {
        self.data.extend(entries);
        self
    }
}
