//! What `command`, `shell`, `script` and `expect` share: whether to run at all, running, and the result that playbooks read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::glob;
use super::params::PathText;
use crate::machine::clock::{elapsed, local_now};
use crate::machine::{Command, Completed, Machine, RunError};
use crate::wire::{Failure, Map, Outcome, Value};

/// How to run something on the playbook's behalf.
#[derive(Clone, Debug, Default)]
pub(super) struct Invocation {
    /// What the result calls the command: its words, or a shell's text.
    pub shown: Value,
    /// What is run.
    pub command: Command,
    /// Not when something matches this pattern.
    pub creates: Option<PathText>,
    /// Only when something matches this pattern.
    pub removes: Option<PathText>,
    /// Whether line ends at the end of the output are cut off.
    pub strip: bool,
}

/// When a command ran, as its result tells it.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    start: String,
    end: String,
    delta: String,
}

impl Ran {
    /// Runs `work`, and keeps the time.
    pub(super) fn time<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let (start, began) = (local_now(), Instant::now());
        let result = work();
        (result, Self { start, end: local_now(), delta: elapsed(began.elapsed()) })
    }

    /// As entries of a result.
    pub(super) fn map(&self) -> Map {
        [("start", &self.start), ("end", &self.end), ("delta", &self.delta)]
            .map(|(key, time)| (key.to_owned(), time.as_str().into()))
            .into()
    }
}

impl Invocation {
    /// Runs it.
    ///
    /// # Errors
    /// When it could not be run, or exited with something but 0.
    pub(super) fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if let Some(done) = self.settled(machine)? {
            return Ok(done);
        }
        // Without its arguments, which may hold a secret.
        machine.cannot_undo(format!("`{}`", self.command.program()))?;
        let (ran, times) = Ran::time(|| machine.run(&self.command));
        match ran {
            Ok(completed) => self.judge(&completed, &times, machine),
            Err(error) => Err(self.not_run(error)),
        }
    }

    /// The result, when there is nothing to run: `creates` or `removes` says so, or this is check mode.
    ///
    /// # Errors
    /// When the directory to run in is missing.
    pub(super) fn settled(&self, machine: &mut Machine) -> Result<Option<Outcome>, Failure> {
        if let Some(directory) = &self.command.chdir
            && let Err(error) = directory.read_dir()
        {
            let msg = format!("Unable to change directory before execution: {}", python_error(&error, &directory.to_string_lossy()));
            return Err(self.never_ran(Failure::new(msg)).with("rc", Value::Null));
        }
        let would = if machine.checking() { "Would" } else { "Did" };
        if let Some(pattern) = &self.creates
            && self.found(pattern, machine)
        {
            let stdout = format!("skipped, since {} exists", pattern.0);
            let msg = format!("{would} not run command since '{}' exists", pattern.0);
            return Ok(Some(self.idle(machine, &msg, &stdout)));
        }
        if let Some(pattern) = &self.removes
            && !self.found(pattern, machine)
        {
            let stdout = format!("skipped, since {} does not exist", pattern.0);
            let msg = format!("{would} not run command since '{}' does not exist", pattern.0);
            return Ok(Some(self.idle(machine, &msg, &stdout)));
        }
        if !machine.checking() {
            return Ok(None);
        }
        let msg = "Command would have run if not in check mode";
        let guarded = self.creates.is_some() || self.removes.is_some();
        if guarded {
            machine.mark_changed();
        }
        let mut outcome = self.idle(machine, msg, "");
        outcome.skipped = (!guarded).then(|| msg.to_owned());
        Ok(Some(outcome))
    }

    fn found(&self, pattern: &PathText, machine: &Machine) -> bool {
        let path = machine.path(&pattern.0);
        let path = self.command.chdir.as_ref().map_or_else(|| path.clone(), |directory| directory.join(&path));
        if glob::is_pattern(&path.to_string_lossy()) { !glob::paths(&path).is_empty() } else { path.symlink_metadata().is_ok() }
    }

    fn idle(&self, machine: &mut Machine, msg: &str, stdout: &str) -> Outcome {
        let outcome = machine.outcome().with("cmd", self.shown.clone()).with("msg", msg).with("rc", 0);
        let outcome = outcome.with("stdout", stdout).with("stderr", "");
        outcome.with("start", Value::Null).with("end", Value::Null).with("delta", Value::Null)
    }

    fn never_ran(&self, failure: Failure) -> Failure {
        let failure = failure.with("cmd", self.shown.clone()).with("stdout", "").with("stderr", "");
        failure.with("start", Value::Null).with("end", Value::Null).with("delta", Value::Null)
    }

    /// The result of having run.
    ///
    /// # Errors
    /// When the status is not 0.
    pub(super) fn judge(&self, completed: &Completed, times: &Ran, machine: &mut Machine) -> Result<Outcome, Failure> {
        let mut data = Map::new();
        let text = |bytes: String| if self.strip { bytes.trim_end_matches(['\r', '\n']).to_owned() } else { bytes };
        data.insert("cmd".into(), self.shown.clone());
        data.insert("rc".into(), completed.status.into());
        data.insert("stdout".into(), text(completed.stdout_text()).into());
        data.insert("stderr".into(), text(completed.stderr_text()).into());
        data.insert("start".into(), times.start.as_str().into());
        data.insert("end".into(), times.end.as_str().into());
        data.insert("delta".into(), times.delta.as_str().into());
        if !completed.succeeded() {
            return Err(Failure { msg: "non-zero return code".to_owned(), data, changed: true, warnings: Vec::new() });
        }
        data.insert("msg".into(), "".into());
        machine.mark_changed();
        let mut outcome = machine.outcome();
        outcome.data = data;
        Ok(outcome)
    }

    fn not_run(&self, error: RunError) -> Failure {
        if let RunError::Start { program, source } = &error {
            let number = source.raw_os_error().map_or(Value::Null, Value::from);
            let msg = format!("Error executing command: {}", python_error(source, program));
            // As one text, whatever it was.
            let words = self.shown.as_list().map(|words| words.iter().map(Value::to_text).collect::<Vec<_>>().join(" "));
            let failure = self.never_ran(Failure::new(msg)).with("rc", number);
            return match words {
                Some(words) => failure.with("cmd", words),
                None => failure,
            };
        }
        let changed = !matches!(error, RunError::Directory { .. });
        let mut failure = Failure::from(error).with("cmd", self.shown.clone());
        failure.changed = changed;
        failure
    }
}

/// A system error as Python prints it: `[Errno 2] No such file or directory: b'xxx'`; playbooks look for that text.
fn python_error(error: &io::Error, name: &str) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let words = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
            format!("[Errno {number}] {words}: b{}", crate::wire::repr_str(name))
        }
        None => text,
    }
}

/// The directory to run in, as the playbook wrote it.
pub(super) fn directory(chdir: Option<&PathText>, machine: &Machine) -> Option<PathBuf> {
    chdir.map(|path| machine.path(&path.0)).filter(|path| path != Path::new(""))
}

/// What a program shall read: with a line end, unless that is not wanted.
pub(super) fn input(stdin: Option<&str>, add_newline: bool) -> Vec<u8> {
    let mut bytes = stdin.unwrap_or_default().as_bytes().to_vec();
    if add_newline && stdin.is_some() {
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Invocation {
        Invocation { shown: text.into(), command: Command::shell(text), strip: true, ..Invocation::default() }
    }

    fn entry(data: &Map, key: &str) -> Value {
        data.get(key).cloned().unwrap_or_default()
    }

    #[test]
    fn results_are_as_ansible_shows_them() {
        let mut machine = Machine::default();
        let done = shell("printf 'a\n\nb\r\n\n'").run(&mut machine).unwrap();
        assert!(done.changed);
        assert_eq!((entry(&done.data, "stdout"), entry(&done.data, "msg")), ("a\n\nb".into(), "".into()));
        assert!(entry(&done.data, "delta").to_text().starts_with("0:00:0"), "{done:?}");
        let failed = shell("echo e >&2; exit 3").run(&mut machine).unwrap_err();
        assert_eq!((failed.msg.as_str(), failed.changed), ("non-zero return code", true));
        assert_eq!((entry(&failed.data, "rc"), entry(&failed.data, "stderr")), (3.into(), "e".into()));
    }

    #[test]
    fn what_cannot_be_run_says_so_as_python_does() {
        let mut machine = Machine::default();
        let missing = Invocation { command: Command::new("no-such-program").arg("x"), ..Invocation::default() };
        let failed = missing.run(&mut machine).unwrap_err();
        assert_eq!(failed.msg, "Error executing command: [Errno 2] No such file or directory: b'no-such-program'");
        assert_eq!((entry(&failed.data, "rc"), failed.changed), (2.into(), false));
        let nowhere = Invocation { command: Command::shell("true").chdir("/no/such"), ..Invocation::default() };
        let failed = nowhere.run(&mut machine).unwrap_err();
        assert_eq!(failed.msg, "Unable to change directory before execution: [Errno 2] No such file or directory: b'/no/such'");
    }

    #[test]
    fn creates_and_removes_decide() {
        let mut machine = Machine::default();
        let guard = |path: &str| Some(PathText(path.to_owned()));
        for (creates, removes, stdout) in [
            (guard("/etc/pass*"), None, "skipped, since /etc/pass* exists"),
            (guard("passwd"), None, "skipped, since passwd exists"),
            (None, guard("/no/such"), "skipped, since /no/such does not exist"),
            (guard("/no/such"), guard("/etc/passwd"), "ran"),
        ] {
            let command = Command::shell("echo ran").chdir("/etc");
            let done = Invocation { command, creates, removes, strip: true, ..Invocation::default() }.run(&mut machine).unwrap();
            assert_eq!(entry(&done.data, "stdout"), stdout.into());
        }
    }
}
