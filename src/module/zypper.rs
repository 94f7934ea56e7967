//! Installs, upgrades and removes packages of SUSE.
//!
//! ```yaml
//! - zypper: {name: [nginx, "redis>=7", -telnet], state: present, update_cache: true}
//! ```
//!
//! The host's own program does the work; what changed is read from the database of rpm before and after.

use std::collections::BTreeMap;

use super::prelude::*;
use crate::machine::{Undo, words};

choice! {
    /// How packages shall be.
    pub enum State {
        Present = "present",
        Latest = "latest",
        Absent = "absent",
        DistUpgrade = "dist-upgrade",
        Installed = "installed",
        Removed = "removed",
    }
}
choice! {
    /// What kind of thing is meant.
    pub enum Kind {
        Package = "package",
        Patch = "patch",
        Pattern = "pattern",
        Product = "product",
        Srcpackage = "srcpackage",
        Application = "application",
    }
}

params! {
    pub struct Zypper {
        /// Packages: `nginx`, `nginx>=1.20`, a file, an address; `-nginx` for one to remove at the same time; `*` for all.
        name | pkg: Vec<String>,
        /// How they shall be.
        state: State = State::Present,
        /// What kind of thing is meant.
        r#type: Kind = Kind::Package,
        /// Fetch the lists first.
        update_cache | refresh: bool = false,
        /// Do not check signatures.
        disable_gpg_check: bool = false,
        /// Take new keys for signatures.
        auto_import_keys: bool = false,
        /// Leave out what packages recommend.
        disable_recommends: bool = true,
        /// Accept older versions, other vendors and architectures.
        force: bool = false,
        /// Let zypper solve what contradicts itself.
        force_resolution: bool = false,
        /// Accept older versions.
        oldpackage: bool = false,
        /// Accept another vendor while upgrading everything.
        allow_vendor_change: bool = false,
        /// Replace files of other packages.
        replacefiles: bool = false,
        /// Remove what nothing needs any more.
        clean_deps: bool = false,
        /// Has no meaning: what zypper prints is only shown when it fails.
        simple_errors: bool = false,
        /// Has no meaning: what zypper prints is only shown when it fails.
        quiet: bool = true,
        /// Go on when only a script after the installation failed.
        skip_post_errors: bool = false,
        /// More options of the command.
        extra_args: String = "",
        /// More options before the command.
        extra_args_precommand: String = "",
    }
}

/// Names with their versions.
type Versions = BTreeMap<String, String>;

impl Module for Zypper {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(mut self, machine: &mut Machine) -> Result<Outcome, Failure> {
        self.name.retain(|name| !name.trim().is_empty());
        let program = machine.program("zypper")?;
        if self.update_cache && !machine.checking() {
            // Fresher lists harm nobody: they stay.
            let command = self.command(&program, "refresh", &[])?;
            let ran = machine.attempt(&command, Undo::Nothing)?;
            if !ran.succeeded() {
                return Err(ran.failure(&command));
            }
        }
        let before = installed(machine)?;
        for (verb, names) in self.steps(&before, machine)? {
            self.act(&program, verb, &names, &before, machine)?;
        }
        let (after, name) = (if machine.checking() { before.clone() } else { installed(machine)? }, self.name.clone());
        if before != after {
            machine.mark_changed();
        }
        Ok(machine.outcome().with("name", name).with("state", self.state.word()).with("rc", 0))
    }
}

impl Zypper {
    fn command(&self, program: &str, verb: &str, names: &[String]) -> Result<Command, Failure> {
        let split = |text: &str| words::split(text).map_err(|error| Failure::new(format!("cannot read the options `{text}`: {error}")));
        let before = [(self.disable_gpg_check, "--no-gpg-checks"), (self.auto_import_keys, "--gpg-auto-import-keys")];
        let mut command = Command::new(program).plain().args(["--quiet", "--non-interactive"]);
        command = command.args(before.into_iter().filter(|(wanted, _)| *wanted).map(|(_, option)| option)).args(split(&self.extra_args_precommand)?).arg(verb);
        if verb == "refresh" {
            return Ok(command);
        }
        let (install, upgrade) = (verb == "install", matches!(verb, "update" | "dist-upgrade"));
        let older = self.oldpackage || names.iter().any(|name| name.contains(['=', '<', '>']));
        let options = [
            (install || upgrade, "--auto-agree-with-licenses"),
            ((install || upgrade) && self.disable_recommends, "--no-recommends"),
            (install && self.force, "--force"),
            (install && older, "--oldpackage"),
            (self.force_resolution, "--force-resolution"),
            ((install || upgrade) && self.replacefiles, "--replacefiles"),
            (verb == "dist-upgrade" && self.allow_vendor_change, "--allow-vendor-change"),
            (verb == "remove" && self.clean_deps, "--clean-deps"),
        ];
        command = command.args(options.into_iter().filter(|(wanted, _)| *wanted).map(|(_, option)| option));
        if self.r#type != Kind::Package && verb != "dist-upgrade" {
            command = command.args(["--type", self.r#type.word()]);
        }
        // After `--`, a name that begins with a minus is a name.
        command = command.args(split(&self.extra_args)?);
        Ok(if names.is_empty() { command } else { command.arg("--").args(names) })
    }

    /// What to tell zypper: a verb, and the names it is about.
    fn steps(&self, there: &Versions, machine: &Machine) -> Result<Vec<(&'static str, Vec<String>)>, Failure> {
        if self.state == State::DistUpgrade {
            return Ok(vec![("dist-upgrade", Vec::new())]);
        }
        let latest = self.state == State::Latest;
        if self.name.iter().any(|name| name == "*") {
            return Ok(if latest { vec![("update", Vec::new())] } else { Vec::new() });
        }
        let absent = matches!(self.state, State::Absent | State::Removed);
        let (mut install, mut remove) = (Vec::new(), Vec::new());
        for name in &self.name {
            let (bare, gone) = match name.strip_prefix(['-', '+']) {
                Some(bare) => (bare, name.starts_with('-')),
                None => (name.as_str(), absent),
            };
            let has = self.has(bare, there, machine)?;
            if gone && has != Some(false) {
                remove.push(bare.to_owned());
            } else if !gone && (latest || self.force || has != Some(true)) {
                install.push(bare.to_owned());
            }
        }
        let steps = [("remove", remove), ("install", install)];
        Ok(steps.into_iter().filter(|(_, names)| !names.is_empty()).collect())
    }

    /// Whether it is installed; `None` where only zypper knows.
    fn has(&self, name: &str, there: &Versions, machine: &Machine) -> Result<Option<bool>, Failure> {
        if self.r#type != Kind::Package || name.contains(['=', '<', '>', '*', '?']) || name.contains("://") {
            return Ok(None);
        }
        if name.rsplit_once('.').is_some_and(|(_, end)| end == "rpm") {
            let asked = machine.query(&Command::new("rpm").plain().args(["-qp", "--nosignature", "--qf", "%{NAME}\t%{VERSION}-%{RELEASE}", name]))?;
            let text = asked.stdout_text();
            return Ok(text.split_once('\t').map(|(name, version)| there.get(name).is_some_and(|known| known == version.trim())));
        }
        let provided = || machine.query(&Command::new("rpm").plain().args(["-q", "--whatprovides", name])).map(|ran| ran.succeeded());
        Ok(Some(there.contains_key(name) || provided()?))
    }

    /// Runs one step; in check mode zypper says what it would do, and does not.
    fn act(&self, program: &str, verb: &str, names: &[String], before: &Versions, machine: &mut Machine) -> Result<(), Failure> {
        let mut command = self.command(program, verb, names)?;
        if machine.checking() {
            let at = command.argv.iter().position(|word| word == verb).map_or(1, |at| at + 1);
            command.argv.retain(|word| word != "--quiet");
            command.argv.insert(at - 1, "--dry-run".into());
            let ran = machine.query(&command)?;
            self.verdict(&command, &ran)?;
            if !ran.stdout_text().contains("Nothing to do") {
                machine.mark_changed();
            }
            return Ok(());
        }
        let words = format!("{verb} of {}", if names.is_empty() { "all packages".to_owned() } else { names.join(", ") });
        let plain = names.iter().all(|name| before.contains_key(name) == (verb == "remove") && !name.contains(['/', '=', '<', '>', '*']));
        let undo = match (verb, plain && self.r#type == Kind::Package) {
            ("install", true) => Undo::by(words, &Command::new(program).plain().args(["--quiet", "--non-interactive", "remove", "--"]).args(names)),
            ("remove", true) => {
                let exact = names.iter().filter_map(|name| Some(format!("{name}={}", before.get(name)?)));
                Undo::by(words, &Command::new(program).plain().args(["--quiet", "--non-interactive", "install", "--oldpackage", "--"]).args(exact))
            }
            _ => Undo::Impossible(words),
        };
        let ran = machine.attempt(&command, undo)?;
        self.verdict(&command, &ran)
    }

    /// 102 and 103 say that a restart is wanted, 106 that an archive could not be reached, 107 that a script failed.
    fn verdict(&self, command: &Command, ran: &Completed) -> Result<(), Failure> {
        match ran.status {
            0 | 102 | 103 | 106 => Ok(()),
            107 if self.skip_post_errors => Ok(()),
            _ => Err(Failure { msg: format!("Zypper run command failed with return code {}.", ran.status), ..ran.failure(command) }),
        }
    }
}

fn installed(machine: &Machine) -> Result<Versions, Failure> {
    let command = Command::new("rpm").plain().args(["-qa", "--qf", "%{NAME}\t%{VERSION}-%{RELEASE}\n"]);
    let text = machine.query(&command)?.stdout_text();
    Ok(text.lines().filter_map(|line| line.split_once('\t')).map(|(name, version)| (name.to_owned(), version.to_owned())).collect())
}
