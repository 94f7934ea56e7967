//! Lists the packages that are installed, as facts.
//!
//! ```yaml
//! - package_facts:
//! - debug: {msg: "{{ ansible_facts.packages.nginx[0].version }}"}
//! ```
//!
//! `origin` of a Debian package is empty: saying which archive it came from would mean reading all lists.

use super::dpkg::Database;
use super::prelude::*;
use crate::machine::find_program;

choice! {
    /// How many package managers are asked.
    pub enum Strategy { First = "first", All = "all" }
}

params! {
    pub struct PackageFacts {
        /// The package managers to ask; `auto` for those that the host has.
        manager: Vec<String> = vec!["auto".to_owned()],
        /// Ask the first that is there, or all.
        strategy: Strategy = Strategy::First,
    }
}

/// The package managers that can be asked, and the names that mean them.
const MANAGERS: [(&str, &[&str]); 4] =
    [("apt", &["apt"]), ("rpm", &["rpm", "dnf", "dnf5", "yum", "zypper"]), ("pacman", &["pacman"]), ("apk", &["apk"])];

impl Module for PackageFacts {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let mut asked: Vec<&str> = Vec::new();
        let mut unknown: Vec<&str> = Vec::new();
        for name in &self.manager {
            match MANAGERS.iter().find(|(_, names)| names.contains(&name.to_ascii_lowercase().as_str())) {
                Some((manager, _)) => asked.push(manager),
                None if name == "auto" => asked.extend(MANAGERS.iter().map(|(manager, _)| manager)),
                None => unknown.push(name),
            }
        }
        if !unknown.is_empty() {
            return Err(Failure::new(format!("Unsupported package managers requested: {}", unknown.join(", "))));
        }
        let mut packages = Map::new();
        let mut found = false;
        for manager in asked {
            if !usable(manager) {
                if self.manager != ["auto"] {
                    machine.warn(format!("Requested package manager {manager} was not usable by this module"));
                }
                continue;
            }
            found = true;
            collect(manager, machine, &mut packages)?;
            if self.strategy == Strategy::First {
                break;
            }
        }
        if !found {
            let list = Value::from(self.manager.clone()).repr();
            return Err(Failure::new(format!("Could not detect a supported package manager from the following list: {list}, or the required Python library is not installed. Check warnings for details.")));
        }
        packages.sort_keys();
        Ok(machine.outcome().with("ansible_facts", Map::from_iter([("packages".to_owned(), packages.into())])))
    }
}

fn usable(manager: &str) -> bool {
    find_program(if manager == "apt" { "dpkg" } else { manager }).is_some()
}

fn add(packages: &mut Map, name: &str, entry: Map) {
    match packages.get_mut(name) {
        Some(Value::List(entries)) => entries.push(entry.into()),
        _ => drop(packages.insert(name.to_owned(), Value::List(vec![entry.into()]))),
    }
}

fn entry(fields: &[(&str, &str)]) -> Map {
    fields.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect()
}

fn collect(manager: &str, machine: &Machine, packages: &mut Map) -> Result<(), Failure> {
    let run = |command: Command| {
        let ran = machine.query(&command.clone().plain())?;
        if ran.succeeded() { Ok(ran.stdout_text()) } else { Err(ran.failure(&command)) }
    };
    match manager {
        "apt" => {
            for package in Database::read(machine)?.installed() {
                let fields = [
                    ("arch", package.architecture.as_str()),
                    ("category", &package.section),
                    ("name", &package.name),
                    ("origin", ""),
                    ("source", "apt"),
                    ("version", &package.version),
                ];
                add(packages, &package.name, entry(&fields));
            }
        }
        "rpm" => rpm(&run(Command::new("rpm").args(["-qa", "--qf", "%{NAME}\\t%{VERSION}\\t%{RELEASE}\\t%{EPOCHNUM}\\t%{ARCH}\\n"]))?, packages),
        "pacman" => {
            let text = run(Command::new("pacman").arg("-Q"))?;
            for (name, version) in text.lines().filter_map(|line| line.split_once(' ')) {
                add(packages, name, entry(&[("name", name), ("source", "pacman"), ("version", version)]));
            }
        }
        _ => {
            let text = run(Command::new("apk").args(["info", "-v"]))?;
            for (name, version) in text.lines().filter_map(apk) {
                add(packages, name, entry(&[("name", name), ("source", "apk"), ("version", version)]));
            }
        }
    }
    Ok(())
}

fn rpm(text: &str, packages: &mut Map) {
    for line in text.lines() {
        let [name, version, release, epoch, arch] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let arch = if arch == "(none)" { Value::Null } else { arch.into() };
        let mut fields = entry(&[("name", name), ("release", release), ("source", "rpm"), ("version", version)]);
        fields.insert("arch".to_owned(), arch);
        fields.insert("epoch".to_owned(), epoch.parse::<i64>().ok().filter(|epoch| *epoch > 0).into());
        add(packages, name, fields);
    }
}

/// `busybox-extras-1.36.1-r2`: the version begins at the last but one hyphen.
fn apk(line: &str) -> Option<(&str, &str)> {
    let (rest, _) = line.rsplit_once('-')?;
    let (name, _) = rest.rsplit_once('-')?;
    Some((name, line.get(name.len() + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_packages() {
        let mut packages = Map::new();
        rpm("bash\t5.1.8\t6.el9\t0\tx86_64\ngpg-pubkey\ta\tb\t0\t(none)\ngpg-pubkey\tc\td\t2\t(none)\n", &mut packages);
        let names: Vec<(&str, usize)> = packages.iter().map(|(name, list)| (name.as_str(), list.as_list().unwrap().len())).collect();
        assert_eq!(names, [("bash", 1), ("gpg-pubkey", 2)]);
        assert_eq!(apk("busybox-extras-1.36.1-r2"), Some(("busybox-extras", "1.36.1-r2")));
    }
}
