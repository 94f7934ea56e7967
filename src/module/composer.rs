//! Runs Composer, which installs what a PHP project needs.
//!
//! ```yaml
//! - composer: {working_dir: /srv/shop, no_dev: true}
//! ```

use super::prelude::*;
use crate::machine::{Undo, words};

params! {
    pub struct Composer {
        /// What Composer is to do: `install`, `update`, `require` …
        command: String = "install",
        /// Further arguments.
        arguments: String = "",
        /// The program `php`.
        executable | php_path: Option<PathText>,
        /// The directory of the project.
        working_dir: Option<PathText>,
        /// The program `composer`.
        composer_executable: Option<PathText>,
        /// For the user rather than a project.
        global_command: bool = false,
        /// From sources.
        prefer_source: bool = false,
        /// From archives.
        prefer_dist: bool = false,
        /// Without what is only for development.
        no_dev: bool = true,
        /// Run no scripts.
        no_scripts: bool = false,
        /// Load no plugins.
        no_plugins: bool = false,
        /// Let classes be found faster.
        optimize_autoloader: bool = true,
        /// Find classes in the map only.
        classmap_authoritative: bool = false,
        /// Keep what was found in `APCu`.
        apcu_autoloader: bool = false,
        /// Install what does not fit the host's PHP.
        ignore_platform_reqs: bool = false,
    }
}

impl Module for Composer {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if self.command.trim().contains(char::is_whitespace) {
            return Err(Failure::new("Use the 'arguments' param for passing arguments with the 'command'"));
        }
        let Some(folder) = self.working_dir.as_ref().map(|path| machine.path(&path.0)).or_else(|| self.global_command.then(Default::default)) else {
            return Err(Failure::new("global_command is False but all of the following are missing: working_dir"));
        };
        let php = self.executable.as_ref().map_or_else(|| machine.program("php"), |path| Ok(machine.path(&path.0).display().to_string()))?;
        let composer = match &self.composer_executable {
            Some(path) => machine.path(&path.0).display().to_string(),
            None => machine.program("composer")?,
        };
        let known = self.options(machine, &php, &composer)?;
        let place = folder.display().to_string();
        let mut command = Command::new(&php).arg(&composer).plain();
        command = if self.global_command { command.arg("global") } else { command.args(["--working-dir", &place]) };
        command = command.arg(self.command.trim()).args(self.flags(&known));
        command = command.args(words::split(&self.arguments).map_err(Failure::new)?);
        if machine.checking() && known.iter().any(|option| option == "dry-run") {
            command = command.arg("--dry-run");
        } else if machine.checking() {
            let why = format!("`composer {}` cannot predict what it would do", self.command);
            return Ok(Outcome { skipped: Some(why), ..machine.outcome() });
        }
        let ran = machine.attempt(&command, Undo::Impossible(format!("composer {} in {place}", self.command)))?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        // Composer tells what it does on its second output.
        let said = ran.stdout_text() + &ran.stderr_text();
        let idle = ["Nothing to install or update", "Nothing to install, update or remove"].iter().any(|text| said.contains(text));
        if !idle {
            machine.mark_changed();
        }
        let said = said.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Ok(machine.outcome().with("msg", said.trim()).with("stdout", ran.stdout_text() + &ran.stderr_text()))
    }
}

impl Composer {
    /// The options that this command of this version has.
    fn options(&self, machine: &Machine, php: &str, composer: &str) -> Result<Vec<String>, Failure> {
        let mut command = Command::new(php).arg(composer).plain();
        if self.global_command {
            command = command.arg("global");
        }
        let command = command.args(["help", self.command.trim(), "--no-interaction", "--format=json"]);
        let ran = machine.query(&command)?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        let text = ran.stdout_text();
        // Warnings may stand before it.
        let json = text.find('{').and_then(|at| text.get(at..)).unwrap_or_default();
        let help: Value = serde_json::from_str(json).map_err(|error| Failure::new(format!("cannot read what Composer says of `{}`: {error}", self.command)))?;
        let options = help.get("definition").and_then(|definition| definition.get("options")).and_then(Value::as_map);
        Ok(options.into_iter().flatten().map(|(name, _)| name.clone()).collect())
    }

    fn flags(&self, known: &[String]) -> Vec<String> {
        let flags = [
            (true, "no-ansi"),
            (true, "no-interaction"),
            (true, "no-progress"),
            (self.prefer_source, "prefer-source"),
            (self.prefer_dist, "prefer-dist"),
            (self.no_dev, "no-dev"),
            (self.no_scripts, "no-scripts"),
            (self.no_plugins, "no-plugins"),
            (self.optimize_autoloader, "optimize-autoloader"),
            (self.classmap_authoritative, "classmap-authoritative"),
            (self.apcu_autoloader, "apcu-autoloader"),
            (self.ignore_platform_reqs, "ignore-platform-reqs"),
        ];
        let wanted = flags.into_iter().filter(|(given, name)| *given && known.iter().any(|option| option == name));
        wanted.map(|(_, name)| format!("--{name}")).collect()
    }
}
