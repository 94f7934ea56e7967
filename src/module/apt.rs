//! Installs, upgrades and removes Debian packages.
//!
//! ```yaml
//! - apt:
//!     name: [nginx, "postgresql-15=15.*"]
//!     state: present
//!     update_cache: true
//!     cache_valid_time: 3600
//! ```

pub(super) mod cache;
mod wanted;

use std::path::{Path, PathBuf};

use super::dpkg::{Database, compare_versions};
use super::prelude::*;
use crate::machine::http::Exchange;
use crate::machine::{Content, Undo};
use cache::update;
use wanted::Wanted;

choice! {
    /// How packages shall be.
    pub enum State { Present = "present", Absent = "absent", Latest = "latest", BuildDep = "build-dep", Fixed = "fixed" }
}
choice! {
    /// How everything is upgraded.
    pub enum Upgrade { No = "no", Yes = "yes", Safe = "safe", Full = "full", Dist = "dist" }
}

params! {
    pub struct Apt {
        /// Packages: `nginx`, `nginx=1.22.*`, `nginx>=1.20`, `php8.2-*`, `libc6:i386`.
        name | package | pkg: Vec<String> = Vec::new(),
        /// How they shall be; `fixed` repairs what is half installed.
        state: State = State::Present,
        /// A `.deb` file on the host, or its address.
        deb: Option<PathText>,
        /// Ask the archives for their lists first.
        update_cache: Option<bool>,
        /// Not if they were asked in the last so many seconds.
        cache_valid_time: i64 = 0,
        /// How often to ask again when an archive does not answer.
        update_cache_retries: i64 = 5,
        /// The longest pause between two tries, in seconds.
        update_cache_retry_max_delay: i64 = 12,
        /// Remove configuration files too.
        purge: bool = false,
        /// Take packages from this release.
        default_release: Option<String>,
        /// Install what packages recommend; the host's own setting when not given.
        install_recommends: Option<bool>,
        /// Do things that may break the system. The specific parameters are better.
        force: bool = false,
        /// Delete downloaded packages.
        clean: bool = false,
        /// Install packages that nobody signed.
        allow_unauthenticated: bool = false,
        /// Install older versions than there are.
        allow_downgrade: bool = false,
        /// Change packages that are held.
        allow_change_held_packages: bool = false,
        /// Upgrade everything.
        upgrade: Upgrade = Upgrade::No,
        /// Options for dpkg, separated by commas.
        dpkg_options: String = "force-confdef,force-confold",
        /// Remove packages that nothing needs any more.
        autoremove: bool = false,
        /// Delete downloaded packages that archives do not have any more.
        autoclean: bool = false,
        /// What `/usr/sbin/policy-rc.d` answers meanwhile: 101 keeps packages from starting services.
        policy_rc_d: Option<i64>,
        /// Only upgrade packages that are installed.
        only_upgrade: bool = false,
        /// Fail rather than remove packages.
        fail_on_autoremove: bool = false,
        /// Always true here.
        force_apt_get: bool = false,
        /// How long to wait for somebody else's dpkg, in seconds.
        lock_timeout: i64 = 60,
        /// Has no meaning: no Python is needed here.
        auto_install_module_deps: bool = true,
    }
    rules = [Rule::OneOf(&["autoremove", "deb", "name", "update_cache", "upgrade", "cache_valid_time", "autoclean", "clean"]), Rule::Exclusive(&["deb", "name"])];
}

impl Module for Apt {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(mut self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if crate::machine::find_program("apt-get").is_none() {
            return Err(Failure::new("this host has no apt-get; `package` uses whatever the host has"));
        }
        // A list of packages that came out as text with spaces is one name to Ansible too; empty names come from templates.
        self.name.retain(|name| !name.trim().is_empty());
        let cache = update(&self, machine)?;
        let changed_before = machine.changed();
        let (ran, packages) = self.work(machine)?;
        if !packages && cache.updated && !changed_before {
            machine.mark_changed();
        }
        let mut outcome = machine.outcome();
        if let Some(ran) = ran {
            outcome = outcome.with("stdout", ran.stdout_text()).with("stderr", ran.stderr_text());
        }
        Ok(outcome.with("cache_updated", cache.updated).with("cache_update_time", cache.time))
    }
}

/// A package from an address.
fn fetched(machine: &Machine, url: &str) -> Result<Content, Failure> {
    let fetched = Exchange { unpack: false, ..machine.asking(url) }.content();
    fetched.map(Content::from).map_err(|why| Failure::new(format!("Failure downloading {url}, {why}")))
}

impl Apt {
    /// The result, and whether anything beside the cache was asked for.
    fn work(&self, machine: &mut Machine) -> Result<(Option<Completed>, bool), Failure> {
        if self.clean && !machine.checking() {
            machine.act(&Command::new("apt-get").arg("clean"), Undo::Nothing)?;
        }
        if let Some(deb) = &self.deb {
            let path = if deb.0.contains("://") { machine.scratch_file("package.deb", fetched(machine, &deb.0)?, false)? } else { machine.path(&deb.0) };
            return Ok((self.install_file(&path, machine)?, true));
        }
        if self.upgrade != Upgrade::No {
            let verb: &[&str] = match self.upgrade {
                Upgrade::Full | Upgrade::Dist => &["dist-upgrade"],
                _ => &["upgrade", "--with-new-pkgs"],
            };
            return Ok((Some(self.apt_get(verb, &[], Undo::Impossible("upgrade of all packages".into()), machine)?), true));
        }
        if !self.name.is_empty() {
            return Ok((self.packages(machine)?, true));
        }
        for (asked, verb) in [(self.autoremove, "autoremove"), (self.autoclean, "autoclean")] {
            if asked {
                let undo = Undo::Impossible(format!("apt-get {verb}"));
                return Ok((Some(self.apt_get(&[verb], &[], undo, machine)?), true));
            }
        }
        Ok((None, self.clean))
    }

    fn packages(&self, machine: &mut Machine) -> Result<Option<Completed>, Failure> {
        if self.name.iter().any(|name| name == "*") && self.state == State::Latest {
            let undo = Undo::Impossible("upgrade of all packages".into());
            return self.apt_get(&["upgrade", "--with-new-pkgs"], &[], undo, machine).map(Some);
        }
        let database = Database::read(machine)?;
        let wanted = Wanted::expand(&self.name, &database, machine)?;
        match self.state {
            State::Absent => self.remove(&wanted, &database, machine),
            State::BuildDep => {
                let names: Vec<String> = wanted.iter().map(|wanted| wanted.argument.clone()).collect();
                self.apt_get(&["build-dep"], &names, Undo::Impossible("build dependencies".into()), machine).map(Some)
            }
            State::Present | State::Latest | State::Fixed => self.install(&wanted, &database, machine),
        }
    }

    fn install(&self, wanted: &[Wanted], database: &Database, machine: &mut Machine) -> Result<Option<Completed>, Failure> {
        let latest = self.state != State::Present;
        let missing = |wanted: &&Wanted| latest && !wanted.is_exact() || !wanted.satisfied(database);
        let upgradable = |wanted: &&Wanted| !self.only_upgrade || database.get(&wanted.name).is_some();
        let names: Vec<String> = wanted.iter().filter(missing).filter(upgradable).map(|wanted| wanted.argument.clone()).collect();
        if names.is_empty() && self.state != State::Fixed {
            return Ok(None);
        }
        let fresh: Vec<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).filter(|name| database.get(name).is_none()).collect();
        let older = wanted.iter().filter_map(|wanted| database.get(&wanted.name)).map(|package| format!("{}={}", package.name, package.version));
        let undo = undo_install(&fresh, older.collect());
        let mut verb = vec!["install"];
        if self.only_upgrade {
            verb.push("--only-upgrade");
        }
        if self.state == State::Fixed {
            verb.push("--fix-broken");
        }
        self.apt_get(&verb, &names, undo, machine).map(Some).map_err(|failure| explain(failure, wanted))
    }

    fn remove(&self, wanted: &[Wanted], database: &Database, machine: &mut Machine) -> Result<Option<Completed>, Failure> {
        let there = |name: &str| database.get(name).is_some() || self.purge && database.known(name).any(|package| package.configured);
        let names: Vec<String> = wanted.iter().map(|wanted| wanted.name.clone()).filter(|name| there(name)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let versions: Vec<String> =
            names.iter().filter_map(|name| database.get(name)).map(|package| format!("{}={}", package.name, package.version)).collect();
        let words = format!("install {} again", versions.join(" "));
        let undo = Undo::Command(words, apt_get_words("install", &versions));
        self.apt_get(&["remove"], &names, undo, machine).map(Some)
    }

    fn install_file(&self, path: &Path, machine: &mut Machine) -> Result<Option<Completed>, Failure> {
        if !path.is_file() {
            return Err(Failure::new(format!("there is no package {}", path.display())));
        }
        let fields = machine.query(&Command::new("dpkg-deb").arg("-f").arg(path).args(["Package", "Version"]).plain())?;
        if !fields.succeeded() {
            return Err(Failure::new(format!("{} is no Debian package: {}", path.display(), fields.stderr_text().trim())));
        }
        let text = fields.stdout_text();
        let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned();
        let (name, version) = (field("Package:"), field("Version:"));
        let database = Database::read(machine)?;
        let installed = database.get(&name);
        if installed.is_some_and(|installed| installed.version == version) {
            return Ok(None);
        }
        if !self.allow_downgrade && installed.is_some_and(|installed| compare_versions(&installed.version, &version).is_gt()) {
            return Err(Failure::new(format!("A later version of {name} is already installed; `allow_downgrade` would install {version}")));
        }
        let fresh = if installed.is_none() { vec![name.as_str()] } else { Vec::new() };
        let older = installed.map(|package| format!("{name}={}", package.version)).into_iter().collect();
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        self.apt_get(&["install"], &[path.to_string_lossy().into_owned()], undo_install(&fresh, older), machine).map(Some)
    }

    /// Runs apt-get, simulating in check mode; it changed something when its own count says so.
    fn apt_get(&self, verb: &[&str], names: &[String], undo: Undo, machine: &mut Machine) -> Result<Completed, Failure> {
        let mut command = self.command(verb).args(names.iter().map(String::as_str));
        if self.policy_rc_d.is_some() && !machine.checking() {
            self.set_policy(machine)?;
        }
        let ran = if machine.checking() {
            command.argv.insert(1, "--simulate".into());
            machine.query(&command)?
        } else {
            machine.attempt(&command, undo)?
        };
        if self.policy_rc_d.is_some() && !machine.checking() {
            machine.remove(Path::new(POLICY))?;
        }
        if !ran.succeeded() {
            let shown: Vec<String> = command.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            let msg = format!("'{}' failed: {}", crate::machine::words::join(&shown), ran.stderr_text());
            return Err(Failure { msg, ..ran.failure(&command) });
        }
        if changed(&ran.stdout_text()) {
            machine.mark_changed();
        }
        Ok(ran)
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/apt-get").plain();
        command = command.env("DEBIAN_FRONTEND", "noninteractive").env("DEBIAN_PRIORITY", "critical").arg("-y");
        for option in self.dpkg_options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            command = command.arg("-o").arg(format!("Dpkg::Options::=--{option}"));
        }
        command = command.arg("-o").arg(format!("DPkg::Lock::Timeout={}", self.lock_timeout));
        if let Some(release) = &self.default_release {
            command = command.arg("-t").arg(release);
        }
        if let Some(recommended) = self.install_recommends {
            command = command.arg("-o").arg(format!("APT::Install-Recommends={}", if recommended { "yes" } else { "no" }));
        }
        let flags = [
            (self.force, "--force-yes"),
            (self.allow_unauthenticated, "--allow-unauthenticated"),
            (self.allow_downgrade, "--allow-downgrades"),
            (self.allow_change_held_packages, "--allow-change-held-packages"),
            (self.purge && !verb.contains(&"install"), "--purge"),
            (self.autoremove && !verb.contains(&"autoremove"), "--auto-remove"),
            (self.fail_on_autoremove, "--no-remove"),
        ];
        command.args(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag)).args(verb.iter().copied())
    }

    fn set_policy(&self, machine: &mut Machine) -> Result<(), Failure> {
        if machine.exists(Path::new(POLICY)) {
            return Err(Failure::new(format!("{POLICY} is there already: `policy_rc_d` would overwrite it")));
        }
        let script = format!("#!/bin/sh\nexit {}\n", self.policy_rc_d.unwrap_or(101));
        let attributes = Attributes { mode: Some("0755".to_owned()), ..Attributes::default() };
        machine.write(Path::new(POLICY), &script.into_bytes().into(), &attributes).map(drop)
    }
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

fn apt_get_words(verb: &str, names: &[String]) -> Vec<String> {
    let fixed = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "--allow-downgrades", verb].map(str::to_owned);
    fixed.into_iter().chain(names.iter().cloned()).collect()
}

/// Packages that were not there are removed; those that were get their version back.
fn undo_install(fresh: &[&str], older: Vec<String>) -> Undo {
    if fresh.is_empty() {
        return Undo::Command(format!("install {}", older.join(" ")), apt_get_words("install", &older));
    }
    let mut names: Vec<String> = older;
    names.extend(fresh.iter().map(|name| format!("{name}-")));
    Undo::Command(format!("remove {}", fresh.join(" ")), apt_get_words("install", &names))
}

/// Whether apt-get counted anything in its closing line.
fn changed(stdout: &str) -> bool {
    let counts = stdout.lines().find(|line| line.contains(" upgraded, ") && line.contains(" newly installed"));
    let Some(counts) = counts else { return stdout.lines().any(|line| line.starts_with("Del ")) };
    counts.split(',').map(|part| part.split(" and ").next().unwrap_or(part)).any(|part| {
        let number: Option<u64> = part.split_whitespace().next().and_then(|number| number.parse().ok());
        number.is_some_and(|number| number > 0) && !part.contains("not upgraded")
    })
}

/// apt-get's complaints about names in Ansible's words, since playbooks look for those.
fn explain(failure: Failure, wanted: &[Wanted]) -> Failure {
    let stderr = failure.data.get("stderr").map_or_else(String::new, Value::to_text);
    let unknown = stderr.lines().find_map(|line| line.strip_prefix("E: Unable to locate package "));
    if let Some(name) = unknown {
        return Failure { msg: format!("No package matching '{}' is available", name.trim()), ..failure };
    }
    let versioned = wanted.iter().find(|wanted| wanted.argument.contains('=') && stderr.contains(&format!("for '{}' was not found", wanted.name)));
    match versioned {
        Some(wanted) => Failure { msg: format!("no available installation candidate for {}", wanted.argument), ..failure },
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts() {
        for (line, expected) in [
            ("0 upgraded, 1 newly installed, 0 to remove and 121 not upgraded.", true),
            ("0 upgraded, 0 newly installed, 0 to remove and 121 not upgraded.", false),
            ("0 upgraded, 0 newly installed, 1 to remove and 0 not upgraded.", true),
            ("0 upgraded, 0 newly installed, 1 reinstalled, 0 to remove and 3 not upgraded.", true),
            ("0 upgraded, 0 newly installed, 1 downgraded, 0 to remove and 3 not upgraded.", true),
        ] {
            assert_eq!(changed(line), expected, "{line}");
        }
    }

    #[test]
    fn undo_brings_back_what_was() {
        let Undo::Command(words, argv) = undo_install(&["sl"], vec!["nginx=1.2".to_owned()]) else { panic!("expected a command") };
        assert_eq!(words, "remove sl");
        assert_eq!(argv.join(" "), "env DEBIAN_FRONTEND=noninteractive apt-get -y --allow-downgrades install nginx=1.2 sl-");
    }
}
