//! `SELinux`, `AppArmor`, FIPS, capabilities, host keys.

use super::{Source, map, put};
use crate::wire::{Map, Value};

pub(super) fn selinux(source: &Source, facts: &mut Map) {
    put(facts, [("selinux_python_present", true.into())]);
    let Some(mode) = source.word("/sys/fs/selinux/enforce") else {
        put(facts, [("selinux", map([("status", "disabled".into())]).into())]);
        return;
    };
    let config = source.text("/etc/selinux/config").unwrap_or_default();
    let setting = |name: &str| {
        let found = config.lines().filter_map(|line| line.trim().split_once('=')).find(|(key, _)| *key == name);
        found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let policy = source.word("/sys/fs/selinux/policyvers").and_then(|number| number.parse::<i64>().ok());
    let selinux = map([
        ("status", "enabled".into()),
        ("policyvers", policy.map_or_else(|| "unknown".into(), Value::from)),
        ("config_mode", setting("SELINUX").into()),
        ("mode", if mode == "1" { "enforcing" } else { "permissive" }.into()),
        ("type", setting("SELINUXTYPE").into()),
    ]);
    put(facts, [("selinux", selinux.into())]);
}

pub(super) fn apparmor(source: &Source, facts: &mut Map) {
    let status = if source.exists("/sys/kernel/security/apparmor") { "enabled" } else { "disabled" };
    put(facts, [("apparmor", map([("status", status.into())]).into())]);
}

pub(super) fn fips(source: &Source, facts: &mut Map) {
    put(facts, [("fips", (source.word("/proc/sys/crypto/fips_enabled").as_deref() == Some("1")).into())]);
}

/// In the words of `capsh`: a process with everything is not limited, so nothing is listed.
pub(super) fn capabilities(source: &Source, facts: &mut Map) {
    const NAMES: [&str; 41] = [
        "cap_chown",
        "cap_dac_override",
        "cap_dac_read_search",
        "cap_fowner",
        "cap_fsetid",
        "cap_kill",
        "cap_setgid",
        "cap_setuid",
        "cap_setpcap",
        "cap_linux_immutable",
        "cap_net_bind_service",
        "cap_net_broadcast",
        "cap_net_admin",
        "cap_net_raw",
        "cap_ipc_lock",
        "cap_ipc_owner",
        "cap_sys_module",
        "cap_sys_rawio",
        "cap_sys_chroot",
        "cap_sys_ptrace",
        "cap_sys_pacct",
        "cap_sys_admin",
        "cap_sys_boot",
        "cap_sys_nice",
        "cap_sys_resource",
        "cap_sys_time",
        "cap_sys_tty_config",
        "cap_mknod",
        "cap_lease",
        "cap_audit_write",
        "cap_audit_control",
        "cap_setfcap",
        "cap_mac_override",
        "cap_mac_admin",
        "cap_syslog",
        "cap_wake_alarm",
        "cap_block_suspend",
        "cap_audit_read",
        "cap_perfmon",
        "cap_bpf",
        "cap_checkpoint_restore",
    ];
    let status = source.text("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(value.trim(), 16).ok()
    };
    let Some(effective) = field("CapEff:") else { return };
    let known = field("CapBnd:").unwrap_or_default();
    let unlimited = known != 0 && effective & known == known;
    let held = NAMES.iter().enumerate().filter(|(bit, _)| effective >> bit & 1 == 1).map(|(_, name)| *name);
    let held: Vec<&str> = if unlimited { Vec::new() } else { held.collect() };
    let enforced = if unlimited { "False" } else { "True" };
    put(facts, [("system_capabilities_enforced", enforced.into()), ("system_capabilities", held.into())]);
}

pub(super) fn ssh_keys(source: &Source, facts: &mut Map) {
    for kind in ["dsa", "rsa", "ecdsa", "ed25519"] {
        let paths = ["/etc/ssh", "/etc/openssh", "/etc"].map(|directory| format!("{directory}/ssh_host_{kind}_key.pub"));
        let Some(line) = paths.iter().find_map(|path| source.word(path)) else { continue };
        let mut words = line.split_whitespace();
        if let (Some(keytype), Some(key)) = (words.next(), words.next()) {
            facts.insert(format!("ssh_host_key_{kind}_public"), key.into());
            facts.insert(format!("ssh_host_key_{kind}_public_keytype"), keytype.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(collect: fn(&Source, &mut Map), files: &[(&str, &str)]) -> String {
        let (_root, source) = Source::fake(files);
        let mut facts = Map::new();
        collect(&source, &mut facts);
        serde_json::to_string(&facts).unwrap()
    }

    #[test]
    fn files_become_facts() {
        let enforcing = [
            ("/sys/fs/selinux/enforce", "1"),
            ("/sys/fs/selinux/policyvers", "33"),
            ("/etc/selinux/config", "# SELINUX=\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"),
        ];
        assert_eq!(
            json(selinux, &enforcing),
            concat!(
                r#"{"selinux_python_present":true,"selinux":{"status":"enabled","policyvers":33,"#,
                r#""config_mode":"enforcing","mode":"enforcing","type":"targeted"}}"#
            )
        );
        assert_eq!(json(selinux, &[]), r#"{"selinux_python_present":true,"selinux":{"status":"disabled"}}"#);
        assert_eq!(
            json(ssh_keys, &[("/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@x\n")]),
            r#"{"ssh_host_key_ed25519_public":"AAAA","ssh_host_key_ed25519_public_keytype":"ssh-ed25519"}"#
        );
        let limited = "CapEff:\t0000000000000401\nCapBnd:\t000001ffffffffff\n";
        assert_eq!(
            json(capabilities, &[("/proc/self/status", limited)]),
            r#"{"system_capabilities_enforced":"True","system_capabilities":["cap_chown","cap_net_bind_service"]}"#
        );
    }
}
