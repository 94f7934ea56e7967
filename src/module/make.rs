//! Runs `make`.
//!
//! ```yaml
//! - make: {chdir: /usr/src/shop, target: install, params: {PREFIX: /usr/local}}
//! ```
//!
//! Changed is what make would not call up to date.

use super::prelude::*;
use crate::machine::Undo;

params! {
    pub struct Make {
        /// The directory to run it in.
        chdir: PathText,
        /// What to make.
        target: Option<String>,
        /// Several things to make.
        targets: Option<Vec<String>>,
        /// Variables; one without a value stands alone.
        params: Option<Map>,
        /// The file with the rules.
        file: Option<PathText>,
        /// The program.
        make: Option<PathText>,
        /// How many jobs at once.
        jobs: Option<i64>,
    }
    rules = [Rule::Exclusive(&["target", "targets"])];
}

impl Module for Make {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let program = match &self.make {
            Some(path) => machine.path(&path.0).display().to_string(),
            None => machine.program("gmake").or_else(|_| machine.program("make"))?,
        };
        let command = self.command(&program, machine);
        let mut question = command.clone();
        question.argv.push("--question".into());
        let asked = machine.query(&question)?;
        // 0: up to date; 1: not; 2: make cannot say.
        let shown = command.words().join(" ");
        let (mut stdout, mut stderr) = (asked.stdout_text(), asked.stderr_text());
        if machine.checking() {
            if !asked.succeeded() {
                machine.mark_changed();
            }
        } else if !asked.succeeded() {
            let ran = machine.act(&command, Undo::Impossible(format!("make {}", self.target.as_deref().unwrap_or_default())));
            let ran = ran.map_err(|failure| failure.with("cmd", shown.as_str()))?;
            (stdout, stderr) = (ran.stdout_text(), ran.stderr_text());
        }
        let bare = |text: &str| text.trim_end_matches(['\r', '\n']).to_owned();
        let outcome = machine.outcome().with("stdout", bare(&stdout)).with("stderr", bare(&stderr)).with("command", shown).with("chdir", self.chdir.0);
        let outcome = outcome.with("target", self.target).with("targets", self.targets).with("params", self.params.map_or(Value::Null, Value::from));
        Ok(outcome.with("file", self.file.map(|file| file.0)).with("jobs", self.jobs.map_or(Value::Null, Value::from)))
    }
}

impl Make {
    fn command(&self, program: &str, machine: &Machine) -> Command {
        let mut command = Command::new(program).plain().chdir(machine.path(&self.chdir.0));
        if let Some(jobs) = self.jobs {
            command = command.args(["-j".to_owned(), jobs.to_string()]);
        }
        if let Some(file) = &self.file {
            command = command.arg("--file").arg(machine.path(&file.0));
        }
        command = command.args(self.target.iter().chain(self.targets.iter().flatten()));
        let variables = self.params.iter().flatten().map(|(name, value)| match value {
            Value::Null => name.clone(),
            value => format!("{name}={}", value.to_text()),
        });
        command.args(variables)
    }
}
