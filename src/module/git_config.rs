//! Sets options of git.
//!
//! ```yaml
//! - git_config: {scope: global, name: safe.directory, value: /srv/shop, add_mode: add}
//! ```

use std::path::PathBuf;

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether it is wanted.
    pub enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// Whose option it is.
    pub enum Scope { File = "file", Local = "local", Global = "global", System = "system" }
}
choice! {
    /// What becomes of other values.
    pub enum Add { Add = "add", ReplaceAll = "replace-all" }
}

params! {
    pub struct GitConfig {
        /// The option.
        name: String,
        /// Its value.
        value: Option<String>,
        /// Whether it is wanted.
        state: State = State::Present,
        /// Whose option it is.
        scope: Option<Scope>,
        /// The repository of `local`.
        repo: Option<PathText>,
        /// The file of `file`.
        file: Option<PathText>,
        /// What becomes of other values.
        add_mode: Add = Add::ReplaceAll,
    }
    rules = [
        Rule::When("scope", "local", &["repo"]),
        Rule::When("scope", "file", &["file"]),
        Rule::When("state", "present", &["value"]),
    ];
}

impl Module for GitConfig {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let program = machine.program("git")?;
        let list = self.command(&program, machine, &["--get-all"], &[]);
        let ran = machine.query(&list)?;
        // 1 says that there is no such option.
        if ran.status > 1 {
            return Err(ran.failure(&list));
        }
        let text = ran.stdout_text();
        let now: Vec<&str> = text.lines().collect();
        let value = self.value.as_deref().unwrap_or_default();
        let right = match (self.state, self.add_mode) {
            (State::Absent, _) => now.is_empty(),
            (State::Present, Add::Add) => now.contains(&value),
            (State::Present, Add::ReplaceAll) => now == [value],
        };
        if !right {
            let (verb, values): (&[&str], &[&str]) = match (self.state, self.add_mode) {
                (State::Absent, _) => (&["--unset-all"], &[]),
                (State::Present, Add::Add) => (&["--add"], &[value]),
                (State::Present, Add::ReplaceAll) => (&["--replace-all"], &[value]),
            };
            // The file is in the journal where it is known; git's own is asked for.
            let file = self.place(machine, &program)?;
            if let Some(file) = &file {
                machine.protect(std::slice::from_ref(file), &[])?;
            }
            let undo = if file.is_some() { Undo::Nothing } else { Undo::Impossible(format!("option {} of git", self.name)) };
            machine.act(&self.command(&program, machine, verb, values), undo)?;
        }
        let outcome = machine.outcome().with("config_value", now.first().copied().unwrap_or_default());
        let msg = match (outcome.changed, self.state) {
            (true, _) => "setting changed",
            (false, State::Absent) => "no setting to unset",
            (false, State::Present) => "",
        };
        Ok(outcome.with("msg", msg))
    }
}

impl GitConfig {
    fn command(&self, program: &str, machine: &Machine, verb: &[&str], values: &[&str]) -> Command {
        let mut command = Command::new(program).arg("config").plain();
        match self.scope {
            Some(Scope::File) => {
                command = command.arg("--file").arg(self.file.as_ref().map(|file| machine.path(&file.0)).unwrap_or_default());
            }
            Some(scope) => command = command.arg(format!("--{}", scope.word())),
            None => {}
        }
        let folder = match &self.repo {
            Some(repo) => machine.path(&repo.0),
            // Somewhere that is no repository, whose options would count too.
            None => PathBuf::from("/"),
        };
        command.args(verb.iter().copied()).arg(&self.name).args(values.iter().copied()).chdir(folder)
    }

    /// The file that keeps the option.
    fn place(&self, machine: &Machine, program: &str) -> Result<Option<PathBuf>, Failure> {
        Ok(match (self.scope, &self.repo) {
            (Some(Scope::File), _) => self.file.as_ref().map(|file| machine.path(&file.0)),
            (Some(Scope::Local) | None, Some(repo)) => {
                let folder = machine.path(&repo.0);
                let command = Command::new(program).args(["rev-parse", "--git-path", "config"]).plain().chdir(&folder);
                let ran = machine.query(&command)?;
                ran.succeeded().then(|| folder.join(ran.stdout_text().trim()))
            }
            (Some(Scope::Global), _) => Some(machine.path("~/.gitconfig")),
            (Some(Scope::System), _) => Some(PathBuf::from("/etc/gitconfig")),
            _ => None,
        })
    }
}
