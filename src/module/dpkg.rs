//! What dpkg has installed, read from its database; and how Debian compares versions.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;

use crate::machine::Machine;
use crate::wire::Failure;

/// One package of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64`, `all`.
    pub architecture: String,
    /// Whether it is installed, not only known.
    pub installed: bool,
    /// Whether its configuration files are there, at least.
    pub configured: bool,
    /// Whether an administrator holds it back.
    pub held: bool,
    /// Names that it stands in for.
    pub provides: Vec<String>,
    /// `utils`, `net`.
    pub section: String,
}

/// The database: packages by name; several architectures of one name follow each other.
#[derive(Debug, Default)]
pub(super) struct Database(HashMap<String, Vec<Package>>);

impl Database {
    /// Reads the host's database.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(super) fn read(machine: &Machine) -> Result<Self, Failure> {
        Ok(Self::parse(&machine.read_text(Path::new("/var/lib/dpkg/status"))?.unwrap_or_default()))
    }

    fn parse(text: &str) -> Self {
        let mut database = Self::default();
        for stanza in text.split("\n\n") {
            let package = Package::parse(stanza);
            if !package.name.is_empty() {
                database.0.entry(package.name.clone()).or_default().push(package);
            }
        }
        database
    }

    /// All packages that are installed, in no order.
    pub(super) fn installed(&self) -> impl Iterator<Item = &Package> {
        self.0.values().flatten().filter(|package| package.installed)
    }

    /// The installed package called `name`, which may end with `:architecture`.
    pub(super) fn get(&self, name: &str) -> Option<&Package> {
        self.known(name).find(|package| package.installed)
    }

    /// The package called `name`, installed or not.
    pub(super) fn known(&self, name: &str) -> impl Iterator<Item = &Package> {
        let (name, architecture) = name.split_once(':').map_or((name, None), |(name, architecture)| (name, Some(architecture)));
        let same = move |package: &&Package| {
            architecture.is_none_or(|wanted| package.architecture == wanted || wanted == "any" || package.architecture == "all")
        };
        self.0.get(name).map(Vec::as_slice).unwrap_or_default().iter().filter(same)
    }

    /// Whether an installed package stands in for `name`.
    pub(super) fn provided(&self, name: &str) -> bool {
        self.installed().any(|package| package.provides.iter().any(|provided| provided == name))
    }
}

impl Package {
    fn parse(stanza: &str) -> Self {
        let mut package = Self::default();
        for line in stanza.lines().filter(|line| !line.starts_with([' ', '\t'])) {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match key {
                "Package" => value.clone_into(&mut package.name),
                "Version" => value.clone_into(&mut package.version),
                "Architecture" => value.clone_into(&mut package.architecture),
                "Section" => value.clone_into(&mut package.section),
                "Status" => {
                    package.installed = value.ends_with(" installed");
                    package.configured = package.installed || value.ends_with(" config-files");
                    package.held = value.starts_with("hold ");
                }
                "Provides" => {
                    let names = value.split(',').filter_map(|entry| entry.split_whitespace().next());
                    package.provides = names.map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        package
    }
}

/// Compares versions as `dpkg --compare-versions` does (deb-version(7)).
pub(super) fn compare_versions(left: &str, right: &str) -> Ordering {
    let parts = |version: &'_ str| -> (u64, String, String) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.trim().parse().unwrap_or_default(), upstream.to_owned(), revision.to_owned())
    };
    let (left, right) = (parts(left.trim()), parts(right.trim()));
    left.0.cmp(&right.0).then_with(|| compare_parts(&left.1, &right.1)).then_with(|| compare_parts(&left.2, &right.2))
}

/// Text and numbers take turns; a tilde comes before everything, even before the end, and letters before other characters.
fn compare_parts(left: &str, right: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        while left.first().is_some_and(|byte| !byte.is_ascii_digit()) || right.first().is_some_and(|byte| !byte.is_ascii_digit()) {
            match weight(left.first()).cmp(&weight(right.first())) {
                Ordering::Equal => {}
                other => return other,
            }
            left = left.get(1..).unwrap_or_default();
            right = right.get(1..).unwrap_or_default();
        }
        let (first, second) = (take_number(&mut left), take_number(&mut right));
        match first.len().cmp(&second.len()).then_with(|| first.cmp(second)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

/// The digits at the front, without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    digits.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_in_dpkg() {
        for (left, right, expected) in [
            ("1.0", "1.0", Ordering::Equal),
            ("1.10", "1.9", Ordering::Greater),
            ("1:0.5", "2.0", Ordering::Greater),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0-1", "1.0-1+b1", Ordering::Less),
            ("1.0+a", "1.0a", Ordering::Greater),
            ("1.001", "1.1", Ordering::Equal),
            ("1.0-1~deb12u1", "1.0-1", Ordering::Less),
        ] {
            assert_eq!(compare_versions(left, right), expected, "{left} {right}");
            assert_eq!(compare_versions(right, left), expected.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn the_database_knows_what_is_installed() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nProvides: mta, x (= 1)\n\n\
                    Package: b\nStatus: deinstall ok config-files\nVersion: 2\n\nPackage: c\nStatus: hold ok installed\nVersion: 3\nDescription: x\n Package: y\n";
        let database = Database::parse(text);
        assert_eq!(database.get("a:amd64").map(|package| package.version.as_str()), Some("1"));
        assert!(database.get("a:arm64").is_none() && database.get("b").is_none());
        assert!(database.known("b").any(|package| package.configured));
        assert!(database.provided("mta") && database.provided("x") && !database.provided("b"));
        assert!(database.get("c").is_some_and(|package| package.held));
    }
}
