//! Runs a command of a Django project's `manage.py`.
//!
//! ```yaml
//! - django_manage: {command: migrate, project_path: /srv/shop, virtualenv: /srv/shop/venv}
//! ```

use super::prelude::*;
use crate::machine::{Undo, words};

params! {
    pub struct DjangoManage {
        /// The command.
        command: String,
        /// The directory of `manage.py`.
        project_path | app_path | chdir: PathText,
        /// The settings, as Python names them.
        settings: Option<String>,
        /// A directory where Python looks too.
        pythonpath | python_path: Option<PathText>,
        /// A virtual environment.
        virtualenv | virtual_env: Option<PathText>,
        /// Apps that are meant.
        apps: Option<String>,
        /// The table of `createcachetable`.
        cache_table: Option<String>,
        /// Remove what `collectstatic` made before.
        clear: bool = false,
        /// The database.
        database: Option<String>,
        /// Stop `test` at its first failure.
        failfast | fail_fast: bool = false,
        /// The fixtures of `loaddata`.
        fixtures: Option<String>,
        /// Let `collectstatic` make links.
        link: Option<bool>,
        /// Leave out migrations that are missing.
        skip: Option<bool>,
        /// Run migrations that are out of order.
        merge: Option<bool>,
        /// What runs tests.
        testrunner | test_runner: Option<String>,
    }
    rules = [Rule::When("command", "loaddata", &["fixtures"])];
}

impl Module for DjangoManage {
    const REVERSIBLE: Reversible = Reversible::Impossible;
    const CHECK_MODE: bool = false;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let folder = machine.path(&self.project_path.0);
        let given = words::split(&self.command).map_err(|error| Failure::new(format!("cannot read the command `{}`: {error}", self.command)))?;
        let verb = given.first().map(String::as_str).unwrap_or_default().to_owned();
        let mut command = match &self.virtualenv {
            Some(path) => {
                let environment = machine.path(&path.0);
                let python = environment.join("bin/python");
                if !machine.exists(&python) {
                    return Err(Failure::new(format!("{} is not a virtual environment: it has no bin/python", environment.display())));
                }
                let path = format!("{}/bin:{}", environment.display(), machine.environment().get("PATH").cloned().unwrap_or_default());
                Command::new(python).arg("./manage.py").env("PATH", path).env("VIRTUAL_ENV", environment)
            }
            None => Command::new("./manage.py"),
        };
        let flags = self.flags(machine, &verb, &given);
        command = command.args(given.iter()).args(flags).chdir(&folder);
        let ran = machine.attempt(&command, Undo::Impossible(format!("manage.py {verb}")))?;
        let (out, shown) = (ran.stdout_text(), command.words().join(" "));
        if !ran.succeeded() {
            let there = verb == "createcachetable" && ran.stderr_text().contains("already exists");
            if !there {
                let failure = ran.failure(&command).with("cmd", shown).with("path", folder.display().to_string());
                return Err(Failure { msg: format!("\n:stderr: {}", ran.stderr_text()), ..failure });
            }
        }
        if changed(&verb, &out) {
            machine.mark_changed();
        }
        let outcome = machine.outcome().with("cmd", shown).with("out", out).with("app_path", self.project_path.0.as_str()).with("project_path", self.project_path.0);
        let outcome = outcome.with("virtualenv", self.virtualenv.map(|path| path.0)).with("settings", self.settings);
        Ok(outcome.with("pythonpath", self.pythonpath.map(|path| path.0)))
    }
}

impl DjangoManage {
    fn flags(&self, machine: &Machine, verb: &str, given: &[String]) -> Vec<String> {
        let mut flags = Vec::new();
        let own = |flag: &str| given.iter().any(|word| word == flag);
        if matches!(verb, "flush" | "syncdb" | "migrate" | "test" | "collectstatic") && !own("--noinput") && !own("--no-input") {
            flags.push("--noinput".to_owned());
        }
        let switches = [(self.failfast, "--failfast"), (self.clear, "--clear"), (self.link == Some(true), "--link"), (self.skip == Some(true), "--skip"), (self.merge == Some(true), "--merge")];
        flags.extend(switches.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned()));
        let path = self.pythonpath.as_ref().map(|path| machine.path(&path.0).display().to_string());
        let values = [("--settings", &self.settings), ("--pythonpath", &path), ("--database", &self.database), ("--testrunner", &self.testrunner)];
        flags.extend(values.into_iter().filter_map(|(flag, value)| value.as_ref().map(|value| format!("{flag}={value}"))));
        let texts = [&self.apps, &self.cache_table, &self.fixtures];
        flags.extend(texts.into_iter().flatten().flat_map(|text| text.split_whitespace().map(str::to_owned)));
        flags
    }
}

/// Whether the command says that it did something; others are taken for readers, as in Ansible.
fn changed(verb: &str, out: &str) -> bool {
    let line = |wanted: &dyn Fn(&str) -> bool| out.lines().any(wanted);
    match verb {
        "flush" | "createcachetable" => true,
        "loaddata" => line(&|line| line.contains("Installed") && !line.contains("Installed 0 object")),
        "syncdb" => line(&|line| line.contains("Creating table") || line.contains("Installed") && !line.contains("Installed 0 object")),
        "migrate" => line(&|line| line.contains("Migrating forwards to ") || line.contains("Applying ") || line.contains("Installed") && !line.contains("Installed 0 object")),
        "collectstatic" => line(&|line| !line.trim().is_empty() && !line.trim().starts_with('0') && line.contains("static file")),
        _ => false,
    }
}
