//! Installs packages of Node.js: those of a project, or one by name.
//!
//! ```yaml
//! - npm: {path: /srv/shop, ci: true, production: true}
//! ```

use std::path::{Path, PathBuf};

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// What is wanted.
    pub enum State { Present = "present", Absent = "absent", Latest = "latest" }
}

params! {
    pub struct Npm {
        /// The package; without it, all of `package.json`.
        name: Option<String>,
        /// The directory of the project.
        path: Option<PathText>,
        /// The version, or range of versions.
        version: Option<String>,
        /// For the whole host.
        global: bool = false,
        /// The program `npm`.
        executable: Option<PathText>,
        /// Run no scripts of packages.
        ignore_scripts: bool = false,
        /// Let scripts run as root.
        unsafe_perm: bool = false,
        /// Install what the lock file says, `npm ci`.
        ci: bool = false,
        /// Without what is only for development.
        production: bool = false,
        /// Where packages come from.
        registry: Option<String>,
        /// Whether it is wanted.
        state: State = State::Present,
        /// Without what is optional.
        no_optional: bool = false,
        /// Make no links to programs.
        no_bin_links: bool = false,
        /// Go on where npm would refuse.
        force: bool = false,
    }
}

/// What `npm list` says of the packages.
struct Listed {
    installed: Vec<String>,
    missing: Vec<String>,
}

impl Module for Npm {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if self.path.is_none() && !self.global {
            return Err(Failure::new("path must be specified when not using global"));
        }
        if self.ci && self.state == State::Present && self.name.is_none() {
            self.act(machine, &["ci"])?;
            return Ok(machine.outcome());
        }
        let listed = self.list(machine)?;
        match self.state {
            State::Present if self.ci || !listed.missing.is_empty() => self.act(machine, &[if self.ci { "ci" } else { "install" }])?,
            State::Latest if !listed.missing.is_empty() => self.act(machine, &["install"])?,
            State::Latest if !self.outdated(machine)?.is_empty() => self.act(machine, &["update"])?,
            State::Absent if self.name.as_ref().is_some_and(|name| listed.installed.contains(name)) => self.act(machine, &["uninstall"])?,
            State::Absent if self.name.is_none() => return Err(Failure::new("`state: absent` needs the `name` of a package")),
            _ => {}
        }
        Ok(machine.outcome())
    }
}

impl Npm {
    fn program(&self, machine: &Machine) -> Result<Vec<String>, Failure> {
        match &self.executable {
            Some(path) => Ok(machine.path(&path.0).display().to_string().split_whitespace().map(str::to_owned).collect()),
            None => Ok(vec![machine.program("npm")?]),
        }
    }

    fn folder(&self, machine: &Machine) -> Option<PathBuf> {
        self.path.as_ref().map(|path| machine.path(&path.0))
    }

    /// The package with its version, as npm takes it.
    fn package(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(self.version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}@{version}")))
    }

    fn command(&self, words: &[&str], with_package: bool, machine: &Machine) -> Result<Command, Failure> {
        let mut argv = self.program(machine)?;
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        let options = [
            (self.global, "--global"),
            (self.production && words.iter().any(|word| matches!(*word, "install" | "update" | "ci")), "--production"),
            (self.force, "--force"),
            (self.ignore_scripts, "--ignore-scripts"),
            (self.unsafe_perm, "--unsafe-perm"),
            (self.no_optional, "--no-optional"),
            (self.no_bin_links, "--no-bin-links"),
        ];
        argv.extend(options.into_iter().filter(|(given, _)| *given).map(|(_, option)| option.to_owned()));
        if with_package {
            argv.extend(if words == ["uninstall"] { self.name.clone() } else { self.package() });
        }
        if let Some(registry) = &self.registry {
            argv.extend(["--registry".to_owned(), registry.clone()]);
        }
        let command = Command { argv: argv.into_iter().map(Into::into).collect(), ..Command::default() }.plain();
        Ok(match self.folder(machine) {
            Some(folder) => command.chdir(folder),
            None => command,
        })
    }

    fn list(&self, machine: &mut Machine) -> Result<Listed, Failure> {
        if let Some(folder) = self.folder(machine) {
            if machine.stat(&folder, true)?.is_none() {
                machine.make_dir(&folder, &Attributes::default())?;
                if machine.checking() {
                    return Ok(Listed { installed: Vec::new(), missing: vec![self.name.clone().unwrap_or_default()] });
                }
            } else if !machine.is_dir(&folder) {
                return Err(Failure::new(format!("path {} is not a directory", folder.display())));
            }
        }
        let command = self.command(&["list", "--json", "--long"], false, machine)?;
        // A package that is missing is in the answer, and makes npm fail.
        let ran = machine.query(&command)?;
        let answer: Value = serde_json::from_slice(&ran.stdout).map_err(|_| ran.failure(&command))?;
        let mut listed = Listed { installed: Vec::new(), missing: Vec::new() };
        for (name, package) in answer.get("dependencies").and_then(Value::as_map).into_iter().flatten() {
            let flag = |key: &str| package.get(key).and_then(Value::to_bool) == Some(true);
            if flag("missing") || flag("invalid") || package.get("invalid").is_some_and(|why| why.as_str().is_some()) {
                listed.missing.push(name.clone());
            } else {
                listed.installed.push(name.clone());
                let version = package.get("version").map(Value::to_text);
                let other = self.name.as_ref() == Some(name) && self.version.is_some() && self.version != version;
                if other {
                    listed.missing.push(name.clone());
                }
            }
        }
        // A project that says nothing of itself is for npm to complain of.
        let project = self.folder(machine).map(|folder| folder.join("package.json"));
        if self.name.is_none() && !self.global && project.is_some_and(|project| !machine.exists(&project)) {
            listed.missing.push("package.json".to_owned());
        }
        if let Some(name) = self.name.as_ref().filter(|name| !listed.installed.contains(name) && !listed.missing.contains(name)) {
            listed.missing.push(name.clone());
        }
        Ok(listed)
    }

    fn outdated(&self, machine: &Machine) -> Result<Vec<String>, Failure> {
        let command = self.command(&["outdated", "--json"], false, machine)?;
        let answer: Value = serde_json::from_slice(&machine.query(&command)?.stdout).unwrap_or_default();
        let names = answer.as_map().into_iter().flatten().map(|(name, _)| name.clone());
        Ok(names.filter(|name| self.name.as_ref().is_none_or(|wanted| wanted == name)).collect())
    }

    fn act(&self, machine: &mut Machine, words: &[&str]) -> Result<(), Failure> {
        let command = self.command(words, true, machine)?;
        let undo = if machine.checking() { Undo::Nothing } else { self.undo(machine, words)? };
        machine.act(&command, undo).map(drop)
    }

    /// A project without packages loses them again, a package by name goes; anything else npm cannot bring back.
    fn undo(&self, machine: &mut Machine, words: &[&str]) -> Result<Undo, Failure> {
        if let Some(folder) = self.folder(machine).filter(|_| !self.global) {
            machine.protect(&[folder.join("package.json"), folder.join("package-lock.json")], &[])?;
            let modules = folder.join("node_modules");
            if !machine.exists(&modules) {
                return Ok(remove(&modules));
            }
        }
        let name = self.name.as_deref().unwrap_or("packages");
        let alone = Self { name: self.name.clone(), ..self.clone() };
        Ok(match words {
            ["install"] if self.global && self.name.is_some() && self.version.is_none() => {
                Undo::by(format!("uninstall {name}"), &alone.command(&["uninstall"], true, machine)?)
            }
            _ => Undo::Impossible(format!("npm {} {name}", words.join(" "))),
        })
    }
}

fn remove(folder: &Path) -> Undo {
    Undo::by(format!("remove {}", folder.display()), &Command::new("rm").args(["-rf", "--"]).arg(folder))
}
