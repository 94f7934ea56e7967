//! Kernel, architecture, and the names of the host.

use super::{Source, put};
use crate::wire::Map;

pub(super) fn collect(source: &Source, facts: &mut Map) {
    let system = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let machine = text(system.machine());
    let nodename = text(system.nodename());
    let fqdn = full_name(&nodename, source);
    let (hostname, _) = nodename.split_once('.').unwrap_or((&nodename, ""));
    let domain = fqdn.split_once('.').map_or("", |(_, domain)| domain);
    let bits = if machine.contains("64") || machine == "s390x" { "64" } else { "32" };
    put(
        facts,
        [
            ("system", text(system.sysname()).into()),
            ("kernel", text(system.release()).into()),
            ("kernel_version", text(system.version()).into()),
            ("machine", machine.as_str().into()),
            ("userspace_bits", bits.into()),
            ("userspace_architecture", architecture(&machine).into()),
            ("architecture", architecture(&machine).into()),
            ("hostname", hostname.into()),
            ("domain", domain.into()),
            ("nodename", nodename.as_str().into()),
            ("fqdn", fqdn.as_str().into()),
        ],
    );
    if let Some(id) = source.word("/var/lib/dbus/machine-id").or_else(|| source.word("/etc/machine-id")) {
        put(facts, [("machine_id", id.as_str().into())]);
    }
}

fn architecture(machine: &str) -> &str {
    match machine {
        "i486" | "i586" | "i686" => "i386",
        other => other,
    }
}

/// What Python's `socket.getfqdn()` finds: the first name with a dot that the address of the host has.
fn full_name(nodename: &str, source: &Source) -> String {
    let hosts = source.text("/etc/hosts").unwrap_or_default();
    let names = names_in_hosts(&hosts, nodename).unwrap_or_else(|| asked(nodename, source));
    let canonical = names.first().cloned();
    let dotted = std::iter::once(nodename.to_owned()).chain(names).find(|name| name.contains('.'));
    dotted.or(canonical).unwrap_or_else(|| nodename.to_owned())
}

/// All names of the first address that has this name; the canonical name is the first one.
fn names_in_hosts(hosts: &str, name: &str) -> Option<Vec<String>> {
    let lines = || hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let address = lines().find_map(|mut words| {
        let address = words.next()?;
        words.any(|word| word == name).then_some(address)
    })?;
    let names = lines().find_map(|mut words| (words.next()? == address).then(|| words.map(str::to_owned).collect()))?;
    Some(names)
}

fn asked(name: &str, source: &Source) -> Vec<String> {
    let answer = source.ask("getent", &["hosts", name]).unwrap_or_default();
    answer.lines().next().unwrap_or_default().split_whitespace().skip(1).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_is_pythons() {
        let hosts =
            "127.0.0.1 localhost vm\n# 10.0.0.1 web9.example.com web9\n127.0.1.1 web1.example.com web1 # me\n10.0.0.2 db1 db1.lan\n";
        let (_root, source) = Source::fake(&[("/etc/hosts", hosts)]);
        for (nodename, expected) in
            [("web1", "web1.example.com"), ("vm", "localhost"), ("db1", "db1.lan"), ("a.b", "a.b"), ("nowhere.invalid", "nowhere.invalid")]
        {
            assert_eq!(full_name(nodename, &source), expected);
        }
    }
}
