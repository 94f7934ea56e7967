//! Installs, upgrades and removes packages of Alpine Linux.
//!
//! ```yaml
//! - apk: {name: [nginx, git], update_cache: true}
//! ```

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// What is wanted.
    pub enum State { Present = "present", Absent = "absent", Latest = "latest", Installed = "installed", Removed = "removed" }
}

params! {
    pub struct Apk {
        /// The packages.
        name: Vec<String> = Vec::<String>::new(),
        /// Whether they are wanted.
        state: State = State::Present,
        /// Fetch the lists of packages first.
        update_cache: bool = false,
        /// Upgrade everything.
        upgrade: bool = false,
        /// While upgrading, take what the lists have, also when it is older.
        available: bool = false,
        /// Keep no lists.
        no_cache: bool = false,
        /// Where packages come from, instead of the host's own list.
        repository: Vec<String> = Vec::<String>::new(),
        /// The list of what was asked for by name.
        world: PathText = PathText("/etc/apk/world".to_owned()),
    }
    rules = [Rule::OneOf(&["name", "update_cache", "upgrade"]), Rule::Exclusive(&["name", "upgrade"])];
}

impl Module for Apk {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let program = machine.program("apk")?;
        if self.update_cache && !machine.checking() {
            // Fresher lists harm nobody: they stay.
            let command = self.command(&program, &["update"]);
            let ran = machine.attempt(&command, Undo::Nothing)?;
            if !ran.succeeded() {
                return Err(Failure { msg: format!("could not update package db: {}", ran.failure(&command).msg), ..ran.failure(&command) });
            }
        }
        if self.name.is_empty() && !self.upgrade {
            machine.mark_changed();
            return Ok(machine.outcome().with("msg", "updated repository indexes"));
        }
        let (words, msg) = match self.state {
            _ if self.upgrade => {
                let words: &[&str] = if self.available { &["upgrade", "--available"] } else { &["upgrade"] };
                (words, "upgraded packages")
            }
            State::Present | State::Installed => (&["add"][..], "installed package(s)"),
            State::Latest => (&["add", "--upgrade"][..], "installed package(s)"),
            State::Absent | State::Removed => (&["del", "--purge"][..], "removed package(s)"),
        };
        let names = self.wanted(machine, &program)?;
        if names.is_empty() && !self.upgrade {
            return Ok(machine.outcome().with("msg", "package(s) already in the wanted state").with("packages", Vec::<String>::new()));
        }
        let command = self.command(&program, words).args(&names);
        let mut simulation = command.clone();
        simulation.argv.push("--simulate".into());
        let asked = machine.query(&simulation)?;
        if !asked.succeeded() {
            return Err(Failure { msg: format!("failed to change {}: {}", names.join(" "), asked.failure(&command).msg), ..asked.failure(&command) });
        }
        let packages = done(&asked.stdout_text());
        // A package that is there only for another one is asked for by name now, which changes nothing but the list.
        let listed = self.listed(machine, &names)?;
        if packages.is_empty() && listed == !matches!(self.state, State::Absent | State::Removed) {
            return Ok(machine.outcome().with("msg", "package(s) already in the wanted state").with("packages", packages));
        }
        let undo = match self.state {
            State::Present | State::Installed if !self.upgrade => Undo::by(format!("remove {}", names.join(", ")), &Command::new(&program).arg("del").args(&names)),
            State::Absent | State::Removed if !self.upgrade => Undo::by(format!("install {} again", names.join(", ")), &Command::new(&program).arg("add").args(&names)),
            _ => Undo::Impossible(format!("upgrade of {}", packages.join(", "))),
        };
        let ran = machine.act(&command, undo)?;
        Ok(machine.outcome().with("msg", msg).with("packages", packages).with("stdout", ran.stdout_text()).with("stderr", ran.stderr_text()))
    }
}

impl Apk {
    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program).plain();
        if self.no_cache {
            command = command.arg("--no-cache");
        }
        for (at, repository) in self.repository.iter().enumerate() {
            if at == 0 {
                command = command.args(["--repositories-file", "/dev/null"]);
            }
            command = command.args(["--repository", repository]);
        }
        command.args(words.iter().copied())
    }

    /// The packages that are not as they should be. `apk info -e` says so by its status.
    fn wanted(&self, machine: &Machine, program: &str) -> Result<Vec<String>, Failure> {
        let mut wanted = Vec::new();
        for name in &self.name {
            let there = machine.query(&Command::new(program).args(["info", "--installed", name]).plain())?.succeeded();
            let right = match self.state {
                State::Present | State::Installed => there && self.listed(machine, std::slice::from_ref(name))?,
                State::Absent | State::Removed => !there,
                State::Latest => false,
            };
            if !right {
                wanted.push(name.clone());
            }
        }
        Ok(wanted)
    }

    /// Whether all of these were asked for by name.
    fn listed(&self, machine: &Machine, names: &[String]) -> Result<bool, Failure> {
        let text = machine.read_text(&machine.path(&self.world.0))?.unwrap_or_default();
        let bare = |word: &str| word.split(['=', '<', '>', '~', '@']).next().unwrap_or_default().to_owned();
        Ok(names.iter().all(|name| text.split_whitespace().any(|word| bare(word) == bare(name))))
    }
}

/// The packages in apk's list of steps: `(1/2) Installing nginx (1.24.0-r7)`.
fn done(text: &str) -> Vec<String> {
    let steps = text.lines().filter_map(|line| line.strip_prefix('(')?.split_once(") ").map(|(_, step)| step));
    steps.filter_map(|step| step.split_whitespace().nth(1)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_name_their_packages() {
        let text = "fetch https://dl-cdn.alpinelinux.org/alpine/v3.19/main\n(1/2) Installing pcre2 (10.42-r2)\n(2/2) Purging nginx (1.24.0-r14)\nOK: 12 MiB in 20 packages\n";
        assert_eq!(done(text), ["pcre2", "nginx"]);
        assert!(done("OK: 12 MiB in 20 packages\n").is_empty());
    }
}
