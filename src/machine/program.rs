//! Running programs through the door: in check mode only what reads, in a transaction with a declared undo.

use serde::{Deserialize, Serialize};

use super::command::find_program_in;
use super::{Command, Completed, Machine, RunError, Settings};
use crate::wire::{Call, Failure};

/// How the effect of a program is undone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// There is nothing to undo: `systemctl daemon-reload`.
    Nothing,
    /// This command brings the old state back, as well as it can be: words for the report, and the program with its arguments.
    Command(String, Vec<String>),
    /// The same, once everything else is undone: what a service is to be restarted for must be back first.
    Afterwards(String, Vec<String>),
    /// The task's own `rappel_undo`: words for the report, and what to call.
    Task(String, Box<Call>),
    /// It cannot be undone: words for the report.
    Impossible(String),
}

impl Undo {
    /// Undone by running `command`: what it would read and its own environment are not kept.
    pub fn by(words: impl Into<String>, command: &Command) -> Self {
        Self::Command(words.into(), command.words())
    }
}

impl Machine {
    /// Where the program `name` is, by the task's own `PATH`: its undo runs with another one.
    ///
    /// # Errors
    /// When it is nowhere.
    pub fn program(&self, name: &str) -> Result<String, Failure> {
        let path = self.variable("PATH").unwrap_or_default();
        let found = find_program_in(path.as_ref(), name).map(|found| found.to_string_lossy().into_owned());
        found.ok_or_else(|| Failure::new(format!("Failed to find required executable \"{name}\" in paths: {path}")))
    }

    /// Runs a program in the task's environment; what it prints is streamed if the call wants that.
    ///
    /// This runs it in check mode too: it is for programs that only look, and for modules that have asked [`Machine::checking`].
    ///
    /// # Errors
    /// When it did not run to its end; see [`RunError`]. Its exit status is for the module to judge.
    pub fn run(&mut self, command: &Command) -> Result<Completed, RunError> {
        let command = self.with_environment(command);
        let Settings { stop, output, .. } = &mut self.settings;
        command.run(stop.as_ref(), &mut |stream, bytes| {
            if let Some(sink) = output {
                sink.send(stream, bytes);
            }
        })
    }

    /// Runs a program that only looks, in check mode too, without showing what it prints.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn query(&self, command: &Command) -> Result<Completed, RunError> {
        self.with_environment(command).run(self.settings.stop.as_ref(), &mut |_, _| {})
    }

    /// Runs a program that changes the host, and marks the call as changed; in check mode it only marks, and returns an empty
    /// success. `undo` is written to the journal before.
    ///
    /// # Errors
    /// When it did not run to its end, or exited with something but 0.
    pub fn act(&mut self, command: &Command, undo: Undo) -> Result<Completed, Failure> {
        if self.checking() {
            self.changed = true;
            return Ok(Completed::default());
        }
        self.intend_program(undo)?;
        let ran = self.run(command)?;
        if !ran.succeeded() {
            return Err(ran.failure(command));
        }
        self.changed = true;
        Ok(ran)
    }

    /// Runs a program that may change the host, for a module that judges by what it printed; `undo` is written to the journal
    /// before. Not for check mode: the module asks [`Machine::checking`] first.
    ///
    /// # Errors
    /// When it did not run to its end.
    pub fn attempt(&mut self, command: &Command, undo: Undo) -> Result<Completed, Failure> {
        self.intend_program(undo)?;
        Ok(self.run(command)?)
    }

    fn with_environment(&self, command: &Command) -> Command {
        let mut command = command.clone();
        let given = self.settings.environment.iter().map(|(name, value)| (name.into(), value.into()));
        command.environment = given.chain(command.environment).collect();
        command
    }
}
