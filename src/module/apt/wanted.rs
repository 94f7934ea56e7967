//! One entry of `name`: a package, with a version or without.

use crate::machine::{Command, Machine};
use crate::module::dpkg::{Database, compare_versions};
use crate::module::glob;
use crate::wire::Failure;

/// A package that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name.
    pub(super) name: String,
    /// What apt-get is told.
    pub(super) argument: String,
    version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Version {
    Any,
    /// `=1.2.*`
    Like(String),
    /// `>=1.2`
    AtLeast(String),
}

impl Wanted {
    /// The entries of `name`, patterns replaced by the packages that they match.
    pub(super) fn expand(names: &[String], database: &Database, machine: &Machine) -> Result<Vec<Self>, Failure> {
        let mut found = Vec::new();
        for entry in names {
            let wanted = Self::parse(entry.trim());
            if !glob::is_pattern(&wanted.name) {
                found.push(wanted);
                continue;
            }
            let known = machine.query(&Command::new("apt-cache").arg("pkgnames").plain())?.stdout_text();
            let installed = database.installed().map(|package| package.name.clone());
            let mut matching: Vec<String> =
                known.lines().map(str::to_owned).chain(installed).filter(|name| glob::matches(&wanted.name, name)).collect();
            matching.sort();
            matching.dedup();
            if matching.is_empty() {
                return Err(Failure::new(format!("No package(s) matching '{}' available", wanted.name)));
            }
            found.extend(matching.into_iter().map(|name| {
                let argument = wanted.argument.replacen(&wanted.name, &name, 1);
                Self { name, argument, version: wanted.version.clone() }
            }));
        }
        Ok(found)
    }

    fn parse(entry: &str) -> Self {
        if let Some((name, version)) = entry.split_once(">=") {
            let (name, version) = (name.trim().to_owned(), version.trim().to_owned());
            return Self { argument: name.clone(), name, version: Version::AtLeast(version) };
        }
        if let Some((name, version)) = entry.split_once('=') {
            let version = Version::Like(version.trim().to_owned());
            return Self { name: name.trim().to_owned(), argument: entry.to_owned(), version };
        }
        // `nginx/bookworm-backports` names a release.
        let name = entry.split('/').next().unwrap_or(entry);
        Self { name: name.to_owned(), argument: entry.to_owned(), version: Version::Any }
    }

    /// Whether one version is asked for, so that there is no later one.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.version, Version::Like(_))
    }

    /// Whether it is there as asked.
    pub(super) fn satisfied(&self, database: &Database) -> bool {
        let Some(package) = database.get(&self.name) else { return self.version == Version::Any && database.provided(&self.name) };
        match &self.version {
            Version::Any => true,
            Version::Like(pattern) => glob::matches(pattern, &package.version),
            Version::AtLeast(version) => compare_versions(&package.version, version).is_ge(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_names_with_versions() {
        for (entry, name, argument, version) in [
            ("nginx", "nginx", "nginx", Version::Any),
            ("nginx=1.2*", "nginx", "nginx=1.2*", Version::Like("1.2*".into())),
            ("nginx >= 1.2", "nginx", "nginx", Version::AtLeast("1.2".into())),
            ("nginx/sid", "nginx", "nginx/sid", Version::Any),
        ] {
            assert_eq!(Wanted::parse(entry), Wanted { name: name.into(), argument: argument.into(), version });
        }
    }
}
