//! Installs, upgrades and removes packages with pacman.
//!
//! ```yaml
//! - pacman: {name: [nginx, git], state: present, update_cache: true}
//! ```

use std::collections::BTreeMap;

use super::prelude::*;
use crate::machine::{Undo, words};

choice! {
    /// What is wanted.
    pub enum State { Absent = "absent", Installed = "installed", Latest = "latest", Present = "present", Removed = "removed" }
}
choice! {
    /// Why a package is installed.
    pub enum Reason { Dependency = "dependency", Explicit = "explicit" }
}
choice! {
    /// Which packages get the reason.
    pub enum ReasonFor { All = "all", New = "new" }
}

params! {
    pub struct Pacman {
        /// Packages, groups, or files and addresses of packages.
        name | package | pkg: Vec<String> = Vec::<String>::new(),
        /// Whether they are wanted.
        state: State = State::Present,
        /// Fetch the lists of packages first.
        update_cache: bool = false,
        /// Upgrade everything.
        upgrade: bool = false,
        /// Remove without looking at dependencies; fetch lists that are new too.
        force: bool = false,
        /// Remove settings without keeping them.
        remove_nosave: bool = false,
        /// The program: `pacman`, or one that takes the same options.
        executable: String = "pacman",
        /// More options.
        extra_args: String = "",
        /// More options of the upgrade.
        upgrade_extra_args: String = "",
        /// More options of fetching the lists.
        update_cache_extra_args: String = "",
        /// Why a package is installed.
        reason: Option<Reason>,
        /// Which packages get the reason.
        reason_for: ReasonFor = ReasonFor::New,
    }
    rules = [Rule::Exclusive(&["name", "upgrade"]), Rule::OneOf(&["name", "update_cache", "upgrade"])];
}

impl Module for Pacman {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let program = machine.program(&self.executable)?;
        let mut results = Map::new();
        if self.update_cache {
            let updated = self.update(machine, &program)?;
            results.insert("cache_updated".to_owned(), updated.into());
        }
        let packages = if self.upgrade {
            self.upgrade(machine, &program)?
        } else if matches!(self.state, State::Absent | State::Removed) {
            self.remove(machine, &program)?
        } else {
            self.install(machine, &program)?
        };
        let msg = match (packages.is_empty(), machine.changed(), self.upgrade) {
            (true, true, _) => "Updated package db".to_owned(),
            (true, false, true) => "Nothing to upgrade".to_owned(),
            (true, false, false) => "package(s) already in the wanted state".to_owned(),
            (false, ..) => format!("{} package(s): {}", if machine.checking() { "would change" } else { "changed" }, packages.join(" ")),
        };
        let outcome = machine.outcome().with_all(results).with("msg", msg);
        Ok(if self.upgrade || !self.name.is_empty() { outcome.with("packages", packages) } else { outcome })
    }
}

impl Pacman {
    /// The lists are compared by what they hold: pacman says in words only whether they are new.
    fn update(&self, machine: &mut Machine, program: &str) -> Result<bool, Failure> {
        if machine.checking() {
            machine.mark_changed();
            return Ok(true);
        }
        let options: &[&str] = if self.force { &["--sync", "--refresh", "--refresh"] } else { &["--sync", "--refresh"] };
        let list = Command::new(program).args(["--sync", "--list"]).plain();
        let before = machine.query(&list)?.stdout;
        let command = command(program, options, &self.update_cache_extra_args)?;
        // Fresher lists harm nobody: they stay.
        let ran = machine.attempt(&command, Undo::Nothing)?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        let updated = self.force || before != machine.query(&list)?.stdout;
        if updated {
            machine.mark_changed();
        }
        Ok(updated)
    }

    fn upgrade(&self, machine: &mut Machine, program: &str) -> Result<Vec<String>, Failure> {
        let outdated = listed(machine, program, &["--query", "--upgrades"])?;
        let names: Vec<String> = outdated.into_keys().collect();
        if !names.is_empty() {
            let command = command(program, &["--sync", "--sysupgrade", "--quiet"], &self.upgrade_extra_args)?;
            machine.act(&command, Undo::Impossible(format!("upgrade of {} packages", names.len())))?;
        }
        Ok(names)
    }

    fn remove(&self, machine: &mut Machine, program: &str) -> Result<Vec<String>, Failure> {
        let installed = listed(machine, program, &["--query"])?;
        let groups = members(machine, program, "--query")?;
        let names: Vec<String> = self.name.iter().flat_map(|name| groups.get(name).cloned().unwrap_or_else(|| vec![name.clone()]))
            .filter(|name| installed.contains_key(name)).collect();
        if names.is_empty() {
            return Ok(names);
        }
        let mut options = vec!["--remove"];
        options.extend(self.force.then_some(["--nodeps", "--nodeps"]).into_iter().flatten());
        options.extend(self.remove_nosave.then_some("--nosave"));
        let command = command(program, &options, &self.extra_args)?.args(&names);
        let back = Command::new(program).args(["--sync", "--noconfirm", "--needed"]).args(&names);
        machine.act(&command, Undo::by(format!("install {} again", names.join(", ")), &back))?;
        Ok(names)
    }

    fn install(&self, machine: &mut Machine, program: &str) -> Result<Vec<String>, Failure> {
        if self.name.is_empty() {
            return Ok(Vec::new());
        }
        let installed = listed(machine, program, &["--query"])?;
        let outdated = if self.state == State::Latest { listed(machine, program, &["--query", "--upgrades"])? } else { BTreeMap::new() };
        let groups = members(machine, program, "--sync")?;
        let (mut repository, mut files) = (Vec::new(), Vec::new());
        for name in &self.name {
            let file = name.contains(".pkg.tar") || name.contains("://");
            if file {
                let package = package_of(machine, program, name)?;
                if installed.get(&package.0) != Some(&package.1) {
                    files.push((name.clone(), package.0));
                }
                continue;
            }
            let members = groups.get(name).filter(|_| !installed.contains_key(name)).cloned().unwrap_or_else(|| vec![name.clone()]);
            repository.extend(members.into_iter().filter(|name| !installed.contains_key(name) || outdated.contains_key(name)));
        }
        self.place(machine, program, "--sync", &repository, &repository, &installed)?;
        let (paths, names): (Vec<String>, Vec<String>) = files.into_iter().unzip();
        self.place(machine, program, "--upgrade", &paths, &names, &installed)?;
        let changed: Vec<String> = repository.into_iter().chain(names).collect();
        self.mark(machine, program, &changed)?;
        Ok(changed)
    }

    fn place(&self, machine: &mut Machine, program: &str, verb: &str, what: &[String], names: &[String], installed: &BTreeMap<String, String>) -> Result<(), Failure> {
        if what.is_empty() {
            return Ok(());
        }
        let command = command(program, &[verb, "--needed"], &self.extra_args)?.args(what);
        // In check mode pacman is asked too: a package that nobody has fails.
        if machine.checking() {
            let ask = Command::new(program).args([verb, "--print-format", "%n"]).args(what).plain();
            let ran = machine.query(&ask)?;
            if !ran.succeeded() {
                return Err(ran.failure(&ask));
            }
        }
        let new: Vec<&String> = names.iter().filter(|name| !installed.contains_key(*name)).collect();
        let undo = if new.len() == names.len() {
            Undo::by(format!("remove {}", names.join(", ")), &Command::new(program).args(["--remove", "--noconfirm"]).args(names))
        } else {
            Undo::Impossible(format!("upgrade of {}", names.join(", ")))
        };
        machine.act(&command, undo).map(drop)
    }

    /// Gives packages the reason that was asked for.
    fn mark(&self, machine: &mut Machine, program: &str, changed: &[String]) -> Result<(), Failure> {
        let Some(reason) = self.reason else { return Ok(()) };
        let explicit = listed(machine, program, &["--query", "--explicit"])?;
        let all = if self.reason_for == ReasonFor::All { &self.name } else { changed };
        let wrong: Vec<&String> = all.iter().filter(|name| explicit.contains_key(*name) != (reason == Reason::Explicit)).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let option = |explicit: bool| if explicit { "--asexplicit" } else { "--asdeps" };
        let command = |explicit: bool| Command::new(program).args(["--database", option(explicit)]).args(wrong.iter().copied()).plain();
        let wanted = reason == Reason::Explicit;
        machine.act(&command(wanted), Undo::by("why packages are installed", &command(!wanted))).map(drop)
    }
}

fn command(program: &str, options: &[&str], extra: &str) -> Result<Command, Failure> {
    let extra = words::split(extra).map_err(|error| Failure::new(format!("cannot read the options `{extra}`: {error}")))?;
    Ok(Command::new(program).args(options).arg("--noconfirm").args(extra).plain())
}

/// Name and version per line; a query that finds nothing exits with 1.
fn listed(machine: &Machine, program: &str, options: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
    let command = Command::new(program).args(options).plain();
    let ran = machine.query(&command)?;
    let nothing = |line: &str| line.starts_with("warning:") || line.contains("was not found");
    if !(ran.succeeded() || ran.status == 1 && ran.stderr_text().lines().all(nothing)) {
        return Err(ran.failure(&command));
    }
    let text = ran.stdout_text();
    // `name old -> new` for upgrades, `name version` for the rest.
    let pairs = text.lines().filter(|line| !line.contains("[ignored]")).filter_map(|line| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?.to_owned(), fields.last()?.to_owned()))
    });
    Ok(pairs.collect())
}

/// Groups with what belongs to them.
fn members(machine: &Machine, program: &str, verb: &str) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let command = Command::new(program).args([verb, "--groups"]).args(if verb == "--sync" { &["--groups"][..] } else { &[] }).plain();
    let ran = machine.query(&command)?;
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (group, package) in ran.stdout_text().lines().filter_map(|line| line.split_once(' ')) {
        groups.entry(group.to_owned()).or_default().push(package.trim().to_owned());
    }
    Ok(groups)
}

/// Name and version of a package that is a file or an address.
fn package_of(machine: &Machine, program: &str, file: &str) -> Result<(String, String), Failure> {
    let command = Command::new(program).args(["--upgrade", "--print-format", "%n %v", file]).plain();
    let ran = machine.query(&command)?;
    let text = ran.stdout_text();
    let named = text.lines().rev().find_map(|line| line.trim().split_once(' '));
    match named.filter(|_| ran.succeeded()) {
        Some((name, version)) => Ok((name.to_owned(), version.to_owned())),
        None => Err(ran.failure(&command)),
    }
}
