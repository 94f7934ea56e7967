//! Sets kernel parameters, now and for the next boot.
//!
//! ```yaml
//! - sysctl: {name: vm.swappiness, value: "10", sysctl_set: true}
//! ```

use super::edit::{self, Edit, bare};
use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether the setting is wanted in the file.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct Sysctl {
        /// The parameter: `net.ipv4.ip_forward`.
        name | key: String,
        /// Its value.
        value | val: Option<String>,
        /// Whether the setting is wanted in the file.
        state: State = State::Present,
        /// The file.
        sysctl_file: PathText = PathText("/etc/sysctl.conf".to_owned()),
        /// Set the running kernel too, if it differs.
        sysctl_set: bool = false,
        /// Load the file after it was changed.
        reload: bool = true,
        /// Go on when the kernel does not know a parameter.
        ignoreerrors: bool = false,
    }
    rules = [Rule::When("state", "present", &["value"])];
}

impl Module for Sysctl {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let name = self.name.trim().to_owned();
        if name.is_empty() || self.state == State::Present && self.value.as_deref().is_none_or(|value| value.trim().is_empty()) {
            return Err(Failure::new("name and value cannot be blank"));
        }
        let path = machine.path(&self.sysctl_file.0);
        let edit = Edit { create: true, ..Edit::default() };
        let text = edit.open(machine, &path)?;
        let old = text.as_ref().map(|text| text.text.as_str()).unwrap_or_default();
        let new = self.edited(old, &name);
        // The kernel is undone last, when the file is back: so it is announced first.
        let kernel = self.kernel(machine, &name)?;
        if new != old {
            let bytes = text.as_ref().map_or_else(|| new.clone().into_bytes(), |text| text.bytes_of(&new));
            edit.save(machine, &path, bytes)?;
        }
        if let Some(command) = kernel {
            self.act(machine, &command, &name)?;
        }
        if new != old && self.reload {
            let command = self.tool().arg("-p").arg(&path);
            self.act(machine, &command, &name)?;
        }
        Ok(machine.outcome())
    }
}

impl Sysctl {
    fn tool(&self) -> Command {
        let tool = Command::new("sysctl").plain();
        if self.ignoreerrors { tool.arg("-e") } else { tool }
    }

    /// The command that sets the running kernel, if that is asked for and needed.
    fn kernel(&self, machine: &Machine, name: &str) -> Result<Option<Command>, Failure> {
        let Some(value) = self.value.as_deref().filter(|_| self.state == State::Present && self.sysctl_set) else { return Ok(None) };
        let done = machine.query(&self.tool().args(["-n", name]))?;
        let same = done.succeeded() && words(&done.stdout_text()) == words(value);
        Ok((!same).then(|| self.tool().arg("-w").arg(format!("{name}={value}"))))
    }

    fn act(&self, machine: &mut Machine, command: &Command, name: &str) -> Result<(), Failure> {
        let before = machine.query(&Command::new("sysctl").plain().args(["-n", name]))?;
        let undo = if before.succeeded() {
            let old = format!("{name}={}", before.stdout_text().trim());
            Undo::Command(format!("kernel parameter {old}"), vec!["sysctl".into(), "-w".into(), old])
        } else {
            Undo::Nothing
        };
        match machine.act(command, undo) {
            Err(failure) if !self.ignoreerrors => Err(Failure { msg: format!("Failed to set or reload {name}: {}", failure.msg), ..failure }),
            _ => Ok(()),
        }
    }

    fn edited(&self, old: &str, name: &str) -> String {
        let wanted = match (&self.value, self.state) {
            (Some(value), State::Present) => Some(format!("{name}={}\n", value.trim())),
            _ => None,
        };
        let mut lines = Vec::new();
        let mut placed = false;
        for line in edit::lines(old) {
            match setting(&line) {
                Some((key, value)) if key == name => {
                    let same = self.value.as_deref().is_some_and(|wanted| words(wanted) == words(value));
                    if let Some(wanted) = wanted.as_ref().filter(|_| !placed) {
                        lines.push(if same { line.clone() } else { wanted.clone() });
                        placed = true;
                    }
                }
                _ => lines.push(line),
            }
        }
        if let Some(wanted) = wanted.filter(|_| !placed) {
            if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
                last.push('\n');
            }
            lines.push(wanted);
        }
        lines.concat()
    }
}

/// `name = value`, unless the line is a comment.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = bare(line).trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))
}

/// Values with several numbers are written with any spaces.
fn words(value: &str) -> Vec<&str> {
    value.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared;

    #[test]
    fn the_file_keeps_everything_else() {
        let edited = |state: &str, old: &str| {
            let params = [("name", "a.b"), ("value", "1 2"), ("state", state)];
            let params: Map = params.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
            Sysctl::decode(&params).unwrap().edited(old, "a.b")
        };
        for (state, old, new) in [
            ("present", "# a.b = 0\nx=1", "# a.b = 0\nx=1\na.b=1 2\n"),
            ("present", "a.b = 0\nx=1\na.b=3\n", "a.b=1 2\nx=1\n"),
            ("present", "a.b = 1\t2\n", "a.b = 1\t2\n"),
            ("absent", "a.b = 0\nx=1\n", "x=1\n"),
        ] {
            assert_eq!(edited(state, old), new, "{state} {old:?}");
        }
    }
}
