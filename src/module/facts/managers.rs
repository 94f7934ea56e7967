//! Which program installs packages here, and which one runs services.

use super::{Source, put};
use crate::machine::find_program;
use crate::wire::{Map, Value};

pub(super) fn packages(source: &Source, facts: &mut Map) {
    let family = facts.get("os_family").and_then(Value::as_str).unwrap_or_default().to_owned();
    put(facts, [("pkg_mgr", package_manager(source, &family).into())]);
}

/// `apt`, `dnf`, `yum`, `apk` …; `unknown` when there is none.
pub(super) fn package_manager(source: &Source, family: &str) -> &'static str {
    const PROGRAMS: [(&str, &str); 13] = [
        ("/usr/bin/apt-get", "apt"),
        ("/usr/bin/dnf-3", "dnf"),
        ("/usr/bin/dnf5", "dnf5"),
        ("/usr/bin/microdnf", "dnf"),
        ("/usr/bin/yum", "yum"),
        ("/usr/bin/zypper", "zypper"),
        ("/usr/bin/pacman", "pacman"),
        ("/sbin/apk", "apk"),
        ("/usr/bin/apk", "apk"),
        ("/usr/bin/xbps-install", "xbps"),
        ("/usr/bin/emerge", "portage"),
        ("/usr/sbin/swupd", "swupd"),
        ("/usr/bin/installp", "installp"),
    ];
    let preferred = match family {
        "Debian" => "apt",
        "RedHat" if source.exists("/usr/bin/dnf5") && !source.exists("/usr/bin/dnf-3") => "dnf5",
        "RedHat" => "dnf",
        "Archlinux" => "pacman",
        "Suse" => "zypper",
        _ => "",
    };
    let there = || PROGRAMS.iter().filter(|(path, _)| source.exists(path)).map(|(_, name)| *name);
    there().find(|name| *name == preferred).or_else(|| there().next()).unwrap_or("unknown")
}

pub(super) fn services(source: &Source, facts: &mut Map) {
    put(facts, [("service_mgr", service_manager(source).into())]);
}

/// `systemd`, `openrc`, `sysvinit`, or the name of whatever is process 1.
pub(super) fn service_manager(source: &Source) -> String {
    let first = source.word("/proc/1/comm").unwrap_or_default();
    let first = first.rsplit('/').next().unwrap_or_default();
    // A shell or a container's init as process 1 says nothing about services.
    let telling = !first.is_empty() && !first.ends_with("sh") && !matches!(first, "init" | "COMMAND");
    if telling {
        return match first {
            "runit-init" => "runit".to_owned(),
            "svscan" => "svc".to_owned(),
            "openrc-init" => "openrc".to_owned(),
            other => other.to_owned(),
        };
    }
    let is_systemd = ["/run/systemd/system", "/dev/.run/systemd", "/dev/.systemd"].iter().any(|path| source.exists(path));
    if is_systemd && find_program("systemctl").is_some() {
        return "systemd".to_owned();
    }
    for (path, name) in [("/sbin/openrc", "openrc"), ("/etc/init", "upstart")] {
        if source.exists(path) && (name != "upstart" || find_program("initctl").is_some()) {
            return name.to_owned();
        }
    }
    if source.link_name("/sbin/init").is_some_and(|target| target == "systemd") {
        return "systemd".to_owned();
    }
    if source.exists("/etc/init.d/") { "sysvinit".to_owned() } else { "service".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_found_by_their_files() {
        for (files, family, expected) in [
            (&[("/usr/bin/apt-get", "")][..], "Debian", "apt"),
            (&[("/usr/bin/apt-get", ""), ("/usr/bin/dnf-3", "")], "RedHat", "dnf"),
            (&[("/usr/bin/yum", "")], "RedHat", "yum"),
            (&[("/sbin/apk", "")], "Alpine", "apk"),
            (&[("/etc/hosts", "")], "", "unknown"),
        ] {
            let (_root, source) = Source::fake(files);
            assert_eq!(package_manager(&source, family), expected, "{files:?}");
        }
    }

    #[test]
    fn process_one_names_the_service_manager() {
        for (files, expected) in [
            (&[("/proc/1/comm", "systemd\n")][..], "systemd"),
            (&[("/proc/1/comm", "init\n"), ("/sbin/openrc", "")], "openrc"),
            (&[("/proc/1/comm", "sh\n"), ("/etc/init.d/cron", "")], "sysvinit"),
            (&[("/proc/1/comm", "sh\n")], "service"),
            (&[("/proc/1/comm", "process_api\n")], "process_api"),
        ] {
            let (_root, source) = Source::fake(files);
            assert_eq!(service_manager(&source), expected, "{files:?}");
        }
    }
}
