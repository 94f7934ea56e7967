//! Installs, upgrades and removes packages with dnf, or with yum where there is no dnf.
//!
//! ```yaml
//! - dnf: {name: [nginx, "postgresql-server-15*", "@Development tools"], state: present}
//! ```
//!
//! The host's own program does the work; what changed is read from the database of rpm before and after. Undo takes the host
//! back along dnf's own history, as far as the archives still have the packages.

use std::collections::BTreeSet;

use super::prelude::*;
use crate::machine::{Undo, find_program};

choice! {
    /// How packages shall be.
    pub enum State { Present = "present", Installed = "installed", Latest = "latest", Absent = "absent", Removed = "removed" }
}

params! {
    pub struct Dnf {
        /// Packages: `nginx`, `nginx-1.22*`, a file, an address, `@group`.
        name | pkg: Vec<String> = Vec::<String>::new(),
        /// How they shall be; present when not given, absent with `autoremove`.
        state: Option<State>,
        /// Archives to use as well.
        enablerepo: Vec<String> = Vec::<String>::new(),
        /// Archives not to use.
        disablerepo: Vec<String> = Vec::<String>::new(),
        /// Another configuration file.
        conf_file: Option<PathText>,
        /// Do not check signatures.
        disable_gpg_check: bool = false,
        /// Another root directory.
        installroot: String = "/",
        /// Another release.
        releasever: Option<String>,
        /// Remove what nothing needs any more.
        autoremove: bool = false,
        /// Leave these out.
        exclude: Vec<String> = Vec::<String>::new(),
        /// Skip what cannot be installed.
        skip_broken: bool = false,
        /// Fetch the lists first.
        update_cache | expire_cache: bool = false,
        /// Only upgrade what is installed.
        update_only: bool = false,
        /// Only what mends bugs.
        bugfix: bool = false,
        /// Only what mends holes.
        security: bool = false,
        /// Ignore the configuration's excludes.
        disable_excludes: Option<String>,
        /// Plugins of dnf not to use.
        disable_plugin: Vec<String> = Vec::<String>::new(),
        /// Plugins of dnf to use.
        enable_plugin: Vec<String> = Vec::<String>::new(),
        /// Only download.
        download_only: bool = false,
        /// Where to.
        download_dir: Option<PathText>,
        /// Accept older versions; dnf does so anyway when a version is named.
        allow_downgrade: bool = false,
        /// Accept that others are removed.
        allowerasing: bool = false,
        /// Accept less than the best version.
        nobest: Option<bool>,
        /// Accept nothing but the best version.
        best: Option<bool>,
        /// Install what packages recommend.
        install_weak_deps: bool = true,
        /// Use nothing but what was fetched before.
        cacheonly: bool = false,
        /// Check certificates.
        validate_certs: bool = true,
        /// Check certificates.
        sslverify: bool = true,
        /// How long to wait for somebody else, in seconds; dnf decides that itself.
        lock_timeout: i64 = 30,
        /// The program: `dnf`, `dnf5` or `yum`.
        use_backend | r#use: String = "auto",
        /// Has no meaning: no Python is needed here.
        install_repoquery: bool = true,
        /// Has no meaning: no Python is needed here.
        auto_install_module_deps: bool = true,
    }
}

impl Module for Dnf {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(mut self, machine: &mut Machine) -> Result<Outcome, Failure> {
        self.name.retain(|name| !name.trim().is_empty());
        let absent = matches!(self.state, Some(State::Absent | State::Removed)) || self.state.is_none() && self.autoremove;
        if self.autoremove && !absent {
            return Err(Failure::new("Autoremove should be used alone or with state=absent"));
        }
        let program = self.program()?;
        if self.update_cache && !machine.checking() {
            let command = self.command(&program).arg("makecache");
            let ran = machine.run(&command)?;
            if !ran.succeeded() {
                return Err(self.refused(&command, &ran));
            }
        }
        if self.name.is_empty() && !self.autoremove {
            let msg = if self.update_cache { "Cache updated" } else { "" };
            return Ok(machine.outcome().with("msg", msg).with("results", Vec::<String>::new()).with("rc", 0));
        }
        let mut results = Vec::new();
        for (verb, names) in self.steps(absent, machine)? {
            results.extend(self.act(&program, &verb, &names, machine)?);
        }
        let msg = if results.is_empty() { "Nothing to do" } else { "" };
        Ok(machine.outcome().with("msg", msg).with("results", results).with("rc", 0))
    }
}

impl Dnf {
    fn program(&self) -> Result<String, Failure> {
        let asked = self.use_backend.rsplit('.').next().unwrap_or_default();
        let candidates: &[&str] = match asked {
            "dnf" | "dnf4" => &["dnf-3", "dnf"],
            "dnf5" => &["dnf5"],
            "yum" | "yum4" | "auto" => &["dnf5", "dnf", "yum"],
            other => return Err(Failure::new(format!("`{other}` is no program to install packages with: `dnf`, `dnf5` and `yum` are"))),
        };
        let found = candidates.iter().find_map(|name| find_program(name));
        found.map(|path| path.display().to_string()).ok_or_else(|| {
            Failure::new("this host has no dnf or yum; `package` uses whatever the host has")
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program).plain().arg("-y");
        let switches = [
            (self.disable_gpg_check, "--nogpgcheck"),
            (self.skip_broken, "--skip-broken"),
            (self.bugfix, "--bugfix"),
            (self.security, "--security"),
            (self.download_only, "--downloadonly"),
            (self.allowerasing, "--allowerasing"),
            (self.nobest == Some(true) || self.best == Some(false), "--nobest"),
            (self.best == Some(true) || self.nobest == Some(false), "--best"),
            (self.cacheonly, "--cacheonly"),
            (!self.install_weak_deps, "--setopt=install_weak_deps=False"),
            (!(self.validate_certs && self.sslverify), "--setopt=sslverify=False"),
        ];
        command = command.args(switches.into_iter().filter(|(wanted, _)| *wanted).map(|(_, switch)| switch));
        let several = [
            ("--enablerepo", &self.enablerepo),
            ("--disablerepo", &self.disablerepo),
            ("--exclude", &self.exclude),
            ("--disableplugin", &self.disable_plugin),
            ("--enableplugin", &self.enable_plugin),
        ];
        for (option, values) in several {
            command = command.args(values.iter().map(|value| format!("{option}={value}")));
        }
        let single = [
            ("--config", self.conf_file.as_ref().map(|path| path.0.as_str())),
            ("--releasever", self.releasever.as_deref()),
            ("--disableexcludes", self.disable_excludes.as_deref()),
            ("--downloaddir", self.download_dir.as_ref().map(|path| path.0.as_str())),
            ("--installroot", Some(self.installroot.as_str()).filter(|root| *root != "/")),
        ];
        command.args(single.into_iter().filter_map(|(option, value)| value.map(|value| format!("{option}={value}"))))
    }

    fn rpm(&self) -> Command {
        let command = Command::new("rpm").plain();
        if self.installroot == "/" { command } else { command.args(["--root", self.installroot.as_str()]) }
    }

    /// Whether rpm has it: a name, a name with version or architecture, something a package provides, a file that one owns.
    fn has(&self, name: &str, machine: &Machine) -> Result<bool, Failure> {
        if name.contains("://") || name.starts_with('@') || name == "*" {
            return Ok(false); // only dnf knows
        }
        if name.rsplit_once('.').is_some_and(|(_, end)| end == "rpm") {
            let asked = machine.query(&Command::new("rpm").args(["-qp", "--nosignature", "--qf", "%{NAME}-%{EVR}.%{ARCH}", name]).plain())?;
            let exact = asked.stdout_text();
            return Ok(asked.succeeded() && machine.query(&self.rpm().args(["-q", exact.trim()]))?.succeeded());
        }
        let name = name.split(' ').next().unwrap_or(name);
        if name.contains(['*', '?', '[']) {
            let found = machine.query(&self.rpm().args(["-qa", name]))?;
            return Ok(!found.stdout_text().trim().is_empty());
        }
        Ok(machine.query(&self.rpm().args(["-q", name]))?.succeeded() || machine.query(&self.rpm().args(["-q", "--whatprovides", name]))?.succeeded())
    }

    /// What to tell dnf: a verb, and the names it is about.
    fn steps(&self, absent: bool, machine: &Machine) -> Result<Vec<(String, Vec<String>)>, Failure> {
        let step = |verb: &str, names: Vec<String>| (verb.to_owned(), names);
        if self.name.is_empty() {
            return Ok(vec![step("autoremove", Vec::new())]);
        }
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for name in &self.name {
            if self.has(name, machine)? { there.push(name.clone()) } else { missing.push(name.clone()) }
        }
        let groups = |names: &[String]| names.iter().any(|name| name.starts_with('@'));
        if absent {
            if groups(&missing) {
                there.extend(missing.into_iter().filter(|name| name.starts_with('@')));
            }
            let verb = if self.autoremove { "autoremove" } else { "remove" };
            return Ok(if there.is_empty() { Vec::new() } else { vec![step(verb, there)] });
        }
        let latest = self.state == Some(State::Latest);
        let mut steps = Vec::new();
        if self.name.iter().any(|name| name == "*") {
            return Ok(if latest { vec![step("upgrade", Vec::new())] } else { Vec::new() });
        }
        if !missing.is_empty() && !self.update_only {
            steps.push(step("install", missing));
        }
        if latest && !there.is_empty() {
            steps.push(step("upgrade", there));
        }
        Ok(steps)
    }

    /// Runs one step; in check mode dnf says what it would do, and does not.
    fn act(&self, program: &str, verb: &str, names: &[String], machine: &mut Machine) -> Result<Vec<String>, Failure> {
        let mut command = self.command(program).arg(verb).args(names.iter().map(String::as_str));
        if machine.checking() {
            command.argv.retain(|word| word != "-y");
            command.argv.insert(1, "--assumeno".into());
            let ran = machine.query(&command)?;
            let text = ran.stdout_text();
            let asked = text.contains("Operation aborted") || text.contains("Transaction Summary") || text.contains("Exiting on user command");
            if !asked && !ran.succeeded() {
                return Err(self.refused(&command, &ran));
            }
            if asked {
                machine.mark_changed();
            }
            return Ok(if asked { names.iter().map(|name| format!("Would {verb}: {name}")).collect() } else { Vec::new() });
        }
        let before = self.installed(machine)?;
        let ran = machine.attempt(&command, self.undo(program, verb, names, machine)?)?;
        if !ran.succeeded() {
            return Err(self.refused(&command, &ran));
        }
        let after = self.installed(machine)?;
        let line = |word: &'static str| move |package: &String| format!("{word}: {package}");
        let results: Vec<String> = after.difference(&before).map(line("Installed")).chain(before.difference(&after).map(line("Removed"))).collect();
        if !results.is_empty() || self.download_only {
            machine.mark_changed();
        }
        Ok(results)
    }

    fn installed(&self, machine: &Machine) -> Result<BTreeSet<String>, Failure> {
        let text = machine.query(&self.rpm().args(["-qa", "--qf", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\\n"]))?.stdout_text();
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn undo(&self, program: &str, verb: &str, names: &[String], machine: &Machine) -> Result<Undo, Failure> {
        let what = if names.is_empty() { "all packages".to_owned() } else { names.join(" ") };
        let mut history = Command::new(program).plain();
        if self.installroot != "/" {
            history = history.arg(format!("--installroot={}", self.installroot));
        }
        let listed = machine.query(&history.clone().args(["history", "list"]))?.stdout_text();
        let number = listed.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).max();
        let Some(number) = number else {
            return Ok(Undo::Impossible(format!("{verb} of {what}: dnf keeps no history")));
        };
        let words = history.argv.iter().map(|word| word.to_string_lossy().into_owned());
        let words = words.chain(["-y".to_owned(), "history".to_owned(), "rollback".to_owned(), number.to_string()]);
        Ok(Undo::Command(format!("go back to transaction {number} of dnf's history, before {verb} of {what}"), words.collect()))
    }

    fn refused(&self, command: &Command, ran: &Completed) -> Failure {
        let stderr = ran.stderr_text();
        let unknown: Vec<String> = [ran.stdout_text(), stderr.clone()]
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| line.trim().strip_prefix("No match for argument: ").or_else(|| line.trim().strip_prefix("No package ")))
            .map(|name| name.trim_end_matches(" available.").to_owned())
            .collect();
        if unknown.is_empty() {
            return ran.failure(command).with("results", Vec::<String>::new());
        }
        let failures: Vec<String> = unknown.iter().map(|name| format!("No package {name} available.")).collect();
        let failure = Failure { msg: "Failed to install some of the specified packages".to_owned(), ..ran.failure(command) };
        failure.with("failures", failures).with("results", Vec::<String>::new())
    }
}
