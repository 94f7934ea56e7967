//! Which distribution this is, in Ansible's words.

use super::{Source, map, put};
use crate::wire::Map;

/// What the files say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    name: String,
    version: String,
    release: String,
    path: &'static str,
    variety: &'static str,
}

pub(super) fn collect(source: &Source, facts: &mut Map) {
    let found = find(source);
    let major = found.version.split('.').next().unwrap_or_default().to_owned();
    put(
        facts,
        [
            ("distribution", found.name.as_str().into()),
            ("distribution_version", found.version.as_str().into()),
            ("distribution_major_version", major.into()),
            ("distribution_release", found.release.as_str().into()),
            ("os_family", family(&found.name).into()),
            ("distribution_file_parsed", true.into()),
            ("distribution_file_path", found.path.into()),
            ("distribution_file_variety", found.variety.into()),
        ],
    );
    if let Some(minor) = found.version.split('.').nth(1) {
        put(facts, [("distribution_minor_version", minor.into())]);
    }
}

pub(super) fn lsb(source: &Source, facts: &mut Map) {
    // `lsb_release` reads the same files; only where it or its file is installed does Ansible have the fact.
    let file = source.text("/etc/lsb-release").map(|text| Assignments::parse(&text));
    if file.is_none() && !source.exists("/usr/bin/lsb_release") {
        put(facts, [("lsb", Map::new().into())]);
        return;
    }
    let os = Assignments::parse(&source.text("/etc/os-release").unwrap_or_default());
    let file = file.unwrap_or_default();
    let pick = |key: &str, fallback: &str| match file.get(key) {
        "" => os.get(fallback).to_owned(),
        given => given.to_owned(),
    };
    let release = pick("DISTRIB_RELEASE", "VERSION_ID");
    let id = match pick("DISTRIB_ID", "ID").as_str() {
        "debian" => "Debian".to_owned(),
        "ubuntu" => "Ubuntu".to_owned(),
        other => other.to_owned(),
    };
    let major = release.split('.').next().unwrap_or_default().to_owned();
    let lsb = map([
        ("id", id.into()),
        ("release", release.into()),
        ("description", pick("DISTRIB_DESCRIPTION", "PRETTY_NAME").into()),
        ("codename", pick("DISTRIB_CODENAME", "VERSION_CODENAME").into()),
        ("major_release", major.into()),
    ]);
    put(facts, [("lsb", lsb.into())]);
}

fn find(source: &Source) -> Found {
    let os = Assignments::parse(&source.text("/etc/os-release").or_else(|| source.text("/usr/lib/os-release")).unwrap_or_default());
    let version = os.get("VERSION_ID").to_owned();
    let (path, variety) = ("/etc/os-release", "Debian");
    let codename = || match os.get("VERSION_CODENAME") {
        "" => bracketed(os.get("VERSION")).to_owned(),
        codename => codename.to_owned(),
    };
    let debian = |name: &str| Found { name: name.into(), version: version.clone(), release: codename(), path, variety };
    match os.get("ID") {
        "debian" => {
            // `12.11` is in no other file; `bookworm/sid` of a testing system is no version.
            let exact = source.word("/etc/debian_version").filter(|exact| exact.starts_with(|first: char| first.is_ascii_digit()));
            Found { version: exact.unwrap_or_else(|| version.clone()), ..debian("Debian") }
        }
        "ubuntu" => debian("Ubuntu"),
        "raspbian" => debian("Raspbian"),
        "linuxmint" => debian("Linux Mint"),
        "kali" => debian("Kali"),
        "devuan" => debian("Devuan"),
        "neon" => debian("KDE neon"),
        "pop" => debian("Pop!_OS"),
        "parrot" => debian("Parrot"),
        "alpine" => Found {
            name: "Alpine".into(),
            version: source.word("/etc/alpine-release").unwrap_or(version),
            release: "NA".into(),
            path: "/etc/alpine-release",
            variety: "Alpine",
        },
        "arch" => Found {
            name: "Archlinux".into(),
            version: "rolling".into(),
            release: "NA".into(),
            path: "/etc/arch-release",
            variety: "Archlinux",
        },
        "amzn" => Found { name: "Amazon".into(), version, release: "NA".into(), path: "/etc/os-release", variety: "Amazon" },
        id if id.starts_with("opensuse") || id.starts_with("sle") || id == "suse" => suse(id, &os),
        id => red_hat(id, source, &os).unwrap_or_else(|| Found {
            name: if os.get("NAME").is_empty() { "NA".into() } else { os.get("NAME").into() },
            version: if version.is_empty() { "NA".into() } else { version.clone() },
            release: "NA".into(),
            path,
            variety: "NA",
        }),
    }
}

fn suse(id: &str, os: &Assignments) -> Found {
    let name = match id {
        "opensuse-leap" => "openSUSE Leap",
        "opensuse-tumbleweed" => "openSUSE Tumbleweed",
        "sles" => "SLES",
        "sles_sap" => "SLES_SAP",
        "sled" => "SLED",
        _ => "openSUSE",
    };
    let version = os.get("VERSION_ID").to_owned();
    let release = version.split('.').nth(1).unwrap_or("0").to_owned();
    Found { name: name.into(), version, release, path: "/etc/os-release", variety: "SUSE" }
}

fn red_hat(id: &str, source: &Source, os: &Assignments) -> Option<Found> {
    let name = match id {
        "rhel" => "RedHat",
        "centos" => "CentOS",
        "fedora" => "Fedora",
        "rocky" => "Rocky",
        "almalinux" => "AlmaLinux",
        "ol" => "OracleLinux",
        "scientific" => "Scientific",
        "cloudlinux" => "CloudLinux",
        "virtuozzo" => "Virtuozzo",
        "eurolinux" => "EuroLinux",
        "openEuler" => "openEuler",
        "anolis" => "Anolis OS",
        _ => return None,
    };
    let line = source.word("/etc/redhat-release").unwrap_or_default();
    // `CentOS Linux release 7.9.2009 (Core)`: the first two numbers, as Ansible has them.
    let number = line.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let number = number.map(|number| number.split('.').take(2).collect::<Vec<_>>().join("."));
    let version = number.unwrap_or_else(|| os.get("VERSION_ID").to_owned());
    let release = match bracketed(&line) {
        "" if line.contains("Stream") => "Stream",
        "" => bracketed(os.get("VERSION")),
        codename => codename,
    };
    let release = if line.contains("Stream") { "Stream" } else { release };
    let release = if name == "Fedora" { "" } else { release };
    Some(Found { name: name.into(), version, release: release.into(), path: "/etc/redhat-release", variety: "RedHat" })
}

/// `bookworm` in `12 (bookworm)`.
fn bracketed(text: &str) -> &str {
    text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inner, _)| inner)
}

fn family(name: &str) -> &str {
    const FAMILIES: [(&str, &[&str]); 5] = [
        (
            "RedHat",
            &[
                "RedHat",
                "RHEL",
                "Fedora",
                "CentOS",
                "Scientific",
                "SLC",
                "CloudLinux",
                "PSBM",
                "OracleLinux",
                "Amazon",
                "Alibaba",
                "Anolis OS",
                "AlmaLinux",
                "Rocky",
                "Virtuozzo",
                "EuroLinux",
                "openEuler",
                "MIRACLE LINUX",
                "TencentOS",
                "Kylin Linux Advanced Server",
            ],
        ),
        (
            "Debian",
            &[
                "Debian",
                "Ubuntu",
                "Raspbian",
                "KDE neon",
                "Neon",
                "Linux Mint",
                "Kali",
                "Devuan",
                "Pop!_OS",
                "Parrot",
                "Cumulus Linux",
                "Deepin",
                "Uos",
            ],
        ),
        ("Suse", &["SLES", "SLED", "SLES_SAP", "SuSE", "openSUSE", "openSUSE Leap", "openSUSE Tumbleweed"]),
        ("Archlinux", &["Archlinux", "Antergos", "Manjaro"]),
        ("Gentoo", &["Gentoo", "Funtoo"]),
    ];
    FAMILIES.iter().find(|(_, members)| members.contains(&name)).map_or(name, |(family, _)| family)
}

/// `NAME="value"` lines.
#[derive(Debug, Default)]
struct Assignments(Vec<(String, String)>);

impl Assignments {
    fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
        Self(pairs.map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).to_owned())).collect())
    }

    /// The value of `key`, or nothing.
    fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_named_as_in_ansible() {
        let debian = "ID=debian\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\n";
        let ubuntu = "ID=ubuntu\nVERSION_ID=\"22.04\"\nVERSION_CODENAME=jammy\n";
        for (files, expected) in [
            (&[("/etc/os-release", debian), ("/etc/debian_version", "12.11\n")][..], ["Debian", "12.11", "bookworm", "Debian"]),
            (&[("/etc/os-release", debian), ("/etc/debian_version", "trixie/sid\n")], ["Debian", "12", "bookworm", "Debian"]),
            (&[("/etc/os-release", ubuntu), ("/etc/debian_version", "bookworm/sid\n")], ["Ubuntu", "22.04", "jammy", "Debian"]),
            (
                &[("/etc/os-release", "ID=\"rocky\"\n"), ("/etc/redhat-release", "Rocky Linux release 9.3 (Blue Onyx)\n")],
                ["Rocky", "9.3", "Blue Onyx", "RedHat"],
            ),
            (
                &[("/etc/os-release", "ID=\"centos\"\n"), ("/etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n")],
                ["CentOS", "7.9", "Core", "RedHat"],
            ),
            (
                &[("/etc/os-release", "ID=\"centos\"\nVERSION_ID=\"9\"\n"), ("/etc/redhat-release", "CentOS Stream release 9\n")],
                ["CentOS", "9", "Stream", "RedHat"],
            ),
            (&[("/etc/os-release", "ID=amzn\nVERSION_ID=\"2023\"\n")], ["Amazon", "2023", "NA", "RedHat"]),
            (&[("/etc/os-release", "ID=alpine\n"), ("/etc/alpine-release", "3.19.1\n")], ["Alpine", "3.19.1", "NA", "Alpine"]),
            (&[("/etc/os-release", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.5\"\n")], ["openSUSE Leap", "15.5", "5", "Suse"]),
            (&[("/etc/hosts", "")], ["NA", "NA", "NA", "NA"]),
        ] {
            let (_root, source) = Source::fake(files);
            let found = find(&source);
            assert_eq!([found.name.as_str(), &found.version, &found.release, family(&found.name)], expected, "{files:?}");
        }
    }
}
