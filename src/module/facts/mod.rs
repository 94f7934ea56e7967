//! Facts: what a host is, read from `/proc`, `/sys` and `/etc` without starting programs where those suffice.
//!
//! A collector is a function from a [`Source`] to named facts. Names have no `ansible_` here; the module `setup` adds it.

mod distribution;
mod hardware;
mod local;
mod managers;
mod netlink;
mod network;
mod platform;
mod runtime;
mod security;
mod storage;
mod user;
mod virtualization;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::{Command, Completed, find_program};
use crate::wire::{Map, Value};

/// Where facts come from: the files below a root (for tests), and programs.
#[derive(Clone, Debug)]
pub(super) struct Source {
    root: PathBuf,
    environment: BTreeMap<String, String>,
    fact_path: PathBuf,
    limit: Duration,
    /// The Python that tasks of this host run by, where that is said.
    python: Option<PathBuf>,
}

impl Source {
    /// This host without what is not asked for.
    pub(super) fn plain(environment: BTreeMap<String, String>) -> Self {
        Self::host(environment, PathBuf::new(), Duration::ZERO, None)
    }

    /// This host, with the environment that programs of the task see.
    pub(super) fn host(environment: BTreeMap<String, String>, fact_path: PathBuf, limit: Duration, python: Option<PathBuf>) -> Self {
        Self { root: PathBuf::from("/"), environment, fact_path, limit, python }
    }

    /// What starts and stops services here.
    pub(super) fn service_manager(&self) -> String {
        managers::service_manager(self)
    }

    /// Whether the root is that of a chroot.
    pub(super) fn is_chroot(&self) -> bool {
        runtime::is_chroot(self)
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read(self.place(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file's text without the white space at its ends; `None` also when nothing is left.
    fn word(&self, path: &str) -> Option<String> {
        self.text(path).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn exists(&self, path: &str) -> bool {
        self.place(path).exists()
    }

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.place(path)) else { return Vec::new() };
        let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The last component of what a link points to.
    fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.place(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// What a program that only looks prints; `None` when it is not there, fails, or takes too long.
    fn ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let path = find_program(program)?;
        self.complete(&path, arguments).filter(Completed::succeeded).map(|ran| ran.stdout_text())
    }

    fn complete(&self, program: &Path, arguments: &[&str]) -> Option<Completed> {
        let command = Command::new(program).args(arguments).plain().time_limit(self.limit);
        command.run(None, &mut |_, _| {}).ok()
    }
}

type Collector = fn(&Source, &mut Map);

/// A group of facts that is collected together.
struct Subset {
    /// Its name in `gather_subset`.
    name: &'static str,
    /// Names of single facts that mean it too.
    facts: &'static [&'static str],
    /// Other subsets that come along.
    needs: &'static [&'static str],
    /// Whether it is in `min`.
    minimal: bool,
    collect: Collector,
}

const fn subset(name: &'static str, minimal: bool, facts: &'static [&'static str], collect: Collector) -> Subset {
    Subset { name, facts, needs: &[], minimal, collect }
}

const fn needing(needs: &'static [&'static str], subset: Subset) -> Subset {
    Subset { needs, ..subset }
}

/// Which facts exist, under the names that `gather_subset` of ansible-core 2.19 takes.
static SUBSETS: &[Subset] = &[
    subset(
        "platform",
        true,
        &["system", "kernel", "kernel_version", "machine", "python_version", "architecture", "machine_id"],
        platform::collect,
    ),
    subset(
        "distribution",
        true,
        &["distribution_version", "distribution_release", "distribution_major_version", "os_family"],
        distribution::collect,
    ),
    subset("lsb", true, &[], distribution::lsb),
    needing(&["distribution"], subset("pkg_mgr", true, &[], managers::packages)),
    needing(&["platform", "distribution"], subset("service_mgr", true, &["systemd"], managers::services)),
    subset("selinux", true, &[], security::selinux),
    subset("apparmor", true, &[], security::apparmor),
    subset("fips", true, &[], security::fips),
    subset("caps", true, &["system_capabilities", "system_capabilities_enforced"], security::capabilities),
    subset(
        "ssh_pub_keys",
        true,
        &[
            "ssh_host_pub_keys",
            "ssh_host_key_dsa_public",
            "ssh_host_key_rsa_public",
            "ssh_host_key_ecdsa_public",
            "ssh_host_key_ed25519_public",
        ],
        security::ssh_keys,
    ),
    subset("cmdline", true, &[], runtime::command_line),
    subset("date_time", true, &[], runtime::date_time),
    subset("dns", true, &[], runtime::dns),
    subset("env", true, &[], runtime::environment),
    subset("python", true, &[], runtime::python),
    subset("local", true, &[], local::collect),
    subset(
        "user",
        true,
        &[
            "user_id",
            "user_uid",
            "user_gid",
            "user_gecos",
            "user_dir",
            "user_shell",
            "real_user_id",
            "effective_user_id",
            "effective_group_ids",
        ],
        user::collect,
    ),
    subset("loadavg", false, &[], runtime::load),
    subset("chroot", false, &["is_chroot"], runtime::chroot),
    subset("iscsi", false, &["nvme"], storage::initiators),
    subset("fibre_channel_wwn", false, &[], storage::fibre_channel),
    needing(
        &["platform"],
        subset("hardware", false, &["processor", "processor_cores", "processor_count", "mounts", "devices"], hardware::collect),
    ),
    needing(
        &["platform", "distribution"],
        subset(
            "network",
            false,
            &["interfaces", "default_ipv4", "default_ipv6", "all_ipv4_addresses", "all_ipv6_addresses"],
            network::collect,
        ),
    ),
    subset(
        "virtual",
        false,
        &["virtualization_type", "virtualization_role", "virtualization_tech_guest", "virtualization_tech_host"],
        virtualization::collect,
    ),
];

/// Names that are accepted and mean nothing here: they come from programs that rappel does not ask.
const FOREIGN: [&str; 2] = ["facter", "ohai"];

/// Collects what `gather_subset` asks for; names are without `ansible_`.
///
/// # Errors
/// A subset that does not exist.
pub(super) fn collect(wanted: &[String], source: &Source) -> Result<Map, String> {
    let chosen = choose(wanted)?;
    let mut facts = Map::new();
    for subset in SUBSETS.iter().filter(|subset| chosen.contains(&subset.name)) {
        (subset.collect)(source, &mut facts);
    }
    Ok(facts)
}

/// Which subsets a `gather_subset` means: `!` takes away, `all` is everything, `min` is there unless `!min` says otherwise.
fn choose(wanted: &[String]) -> Result<Vec<&'static str>, String> {
    let named = |word: &str| -> Result<Vec<&'static str>, String> {
        let all = || SUBSETS.iter();
        let found: Vec<&Subset> = match word {
            "all" => all().collect(),
            "min" => all().filter(|subset| subset.minimal).collect(),
            _ => all().filter(|subset| subset.name == word || subset.facts.contains(&word)).collect(),
        };
        if found.is_empty() && !FOREIGN.contains(&word) {
            return Err(unknown(word));
        }
        Ok(found.into_iter().map(|subset| subset.name).collect())
    };
    let (mut added, mut removed, mut explicit) = (Vec::new(), Vec::new(), Vec::new());
    let mut minimal = true;
    for word in wanted {
        match word.strip_prefix('!') {
            Some("all") => removed.extend(SUBSETS.iter().filter(|subset| !subset.minimal).map(|subset| subset.name)),
            Some("min") => minimal = false,
            // What nobody knows is not there to be left out.
            Some(word) => removed.extend(named(word).unwrap_or_default()),
            None if word == "all" => added.extend(named("all")?),
            None => explicit.extend(named(word)?),
        }
    }
    if minimal {
        added.extend(named("min")?);
    }
    // What is named explicitly stays, whatever is taken away.
    let mut chosen: Vec<&str> = added.into_iter().filter(|name| !removed.contains(name)).chain(explicit).collect();
    let needed: Vec<&str> =
        SUBSETS.iter().filter(|subset| chosen.contains(&subset.name)).flat_map(|subset| subset.needs).copied().collect();
    chosen.extend(needed);
    Ok(chosen)
}

fn unknown(word: &str) -> String {
    let mut names: Vec<&str> = SUBSETS.iter().flat_map(|subset| std::iter::once(subset.name).chain(subset.facts.iter().copied())).collect();
    names.extend(FOREIGN.into_iter().chain(["all", "min"]));
    names.sort_unstable();
    format!("Bad subset '{word}' given to Ansible. gather_subset options allowed: {}", names.join(", "))
}

/// A map out of pairs.
fn map<const N: usize>(entries: [(&str, Value); N]) -> Map {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Adds facts.
fn put<const N: usize>(facts: &mut Map, entries: [(&str, Value); N]) {
    facts.extend(entries.into_iter().map(|(key, value)| (key.to_owned(), value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Source {
        /// A host that consists of these files.
        pub(super) fn fake(files: &[(&str, &str)]) -> (tempfile::TempDir, Self) {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path.trim_start_matches('/'));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let source = Self {
                root: root.path().to_owned(),
                environment: BTreeMap::new(),
                fact_path: root.path().join("etc/ansible/facts.d"),
                limit: Duration::from_secs(5),
                python: None,
            };
            (root, source)
        }
    }

    fn chosen(wanted: &[&str]) -> Vec<&'static str> {
        let wanted: Vec<String> = wanted.iter().map(|word| (*word).to_owned()).collect();
        let mut chosen = choose(&wanted).unwrap();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// As ansible-core 2.19.14 answers.
    #[test]
    fn subsets_are_chosen_as_in_ansible() {
        assert_eq!(chosen(&["all"]).len(), SUBSETS.len());
        assert_eq!(chosen(&["!all", "!min", "network"]), ["distribution", "network", "platform"]);
        assert_eq!(chosen(&["!all", "!min", "mounts"]), ["hardware", "platform"]);
        assert_eq!(chosen(&["!all", "!min", "facter"]), [""; 0]);
        assert_eq!(chosen(&["!all", "!min"]), [""; 0]);
        assert!(chosen(&["!all"]).contains(&"date_time") && !chosen(&["!all"]).contains(&"network"));
        assert_eq!(chosen(&["!hardware"]), chosen(&["min"]));
        assert!(chosen(&["network"]).contains(&"date_time") && !chosen(&["network"]).contains(&"hardware"));
        assert!(chosen(&["all", "!network"]).contains(&"hardware") && !chosen(&["all", "!network"]).contains(&"network"));
        let error = choose(&["bogus".to_owned()]).unwrap_err();
        assert!(
            error.starts_with("Bad subset 'bogus' given to Ansible. gather_subset options allowed: all, all_ipv4_addresses"),
            "{error}"
        );
    }
}
