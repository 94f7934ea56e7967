//! Whether this host is a guest, and of what.

use super::{Source, put};
use crate::wire::Map;

pub(super) fn collect(source: &Source, facts: &mut Map) {
    let guests = guest_techs(source);
    let hosts = host_techs(source);
    let (kind, role) = match (guests.first(), hosts.first()) {
        (Some(guest), _) => (guest.0, "guest"),
        (None, Some(host)) => (*host, "host"),
        (None, None) => ("NA", "NA"),
    };
    let mut techs: Vec<&str> = guests.iter().flat_map(|(first, more)| std::iter::once(*first).chain(more.iter().copied())).collect();
    techs.sort_unstable();
    techs.dedup();
    put(
        facts,
        [
            ("virtualization_type", kind.into()),
            ("virtualization_role", role.into()),
            ("virtualization_tech_guest", techs.into()),
            ("virtualization_tech_host", hosts.into()),
        ],
    );
}

/// What this is a guest of, the innermost first, with other words for it.
fn guest_techs(source: &Source) -> Vec<(&'static str, &'static [&'static str])> {
    let mut found: Vec<(&'static str, &'static [&'static str])> = Vec::new();
    let text = |path: &str| source.text(path).unwrap_or_default();
    let cgroup = text("/proc/1/cgroup");
    let environ = text("/proc/1/environ");
    if source.exists("/.dockerenv") || source.exists("/.dockerinit") || cgroup.contains("docker") {
        found.push(("docker", &["container"]));
    }
    if source.exists("/run/.containerenv") || environ.contains("container=podman") {
        found.push(("podman", &["container"]));
    }
    if environ.contains("container=lxc") || cgroup.contains("/lxc/") || cgroup.contains("/machine.slice/") && source.exists("/dev/lxd") {
        found.push(("lxc", &["container"]));
    }
    if environ.contains("container=systemd-nspawn") {
        found.push(("container", &["systemd-nspawn"]));
    } else if environ.contains("container=") && found.is_empty() {
        found.push(("container", &[]));
    }
    if source.exists("/proc/vz") && !source.exists("/proc/lve") && !source.exists("/proc/bc") {
        found.push(("openvz", &[]));
    }
    if source.exists("/proc/xen") && !text("/proc/xen/capabilities").contains("control_d") {
        found.push(("xen", &[]));
    }
    if let Some(machine) = firmware(source) {
        found.push((machine, &[]));
    }
    found
}

fn firmware(source: &Source) -> Option<&'static str> {
    let dmi = |file: &str| source.word(&format!("/sys/devices/virtual/dmi/id/{file}")).unwrap_or_default();
    let (product, vendor, bios) = (dmi("product_name"), dmi("sys_vendor"), dmi("bios_vendor"));
    let family = dmi("product_family");
    let kvm_products = ["KVM", "KVM Server", "Bochs", "AHV", "Google Compute Engine", "OpenStack Compute", "CloudStack KVM Hypervisor"];
    let kvm_vendors = ["QEMU", "Amazon EC2", "DigitalOcean", "Hetzner", "Google", "Scaleway", "Nutanix"];
    let cpu = source.text("/proc/cpuinfo").unwrap_or_default();
    if product == "RHEV Hypervisor" {
        Some("RHEV")
    } else if product.starts_with("VMware") {
        Some("VMware")
    } else if product == "VirtualBox" || bios == "innotek GmbH" {
        Some("virtualbox")
    } else if bios == "Xen" || product == "HVM domU" {
        Some("xen")
    } else if product.starts_with("Parallels") || vendor.starts_with("Parallels") {
        Some("parallels")
    } else if vendor == "Microsoft Corporation" && product == "Virtual Machine" {
        Some("VirtualPC")
    } else if kvm_products.contains(&product.as_str()) || kvm_vendors.contains(&vendor.as_str()) || family == "RHV" {
        Some("kvm")
    } else if vendor == "bhyve" || product == "BHYVE" {
        Some("bhyve")
    } else if cpu.contains("QEMU Virtual CPU") {
        Some("kvm")
    } else {
        None
    }
}

fn host_techs(source: &Source) -> Vec<&'static str> {
    let mut found = Vec::new();
    let modules = source.text("/proc/modules").unwrap_or_default();
    if modules.lines().any(|line| line.starts_with("kvm ") || line.starts_with("kvm_")) || source.exists("/dev/kvm") {
        found.push("kvm");
    }
    if modules.lines().any(|line| line.starts_with("vboxdrv ")) {
        found.push("virtualbox");
    }
    if source.text("/proc/xen/capabilities").is_some_and(|text| text.contains("control_d")) {
        found.push("xen");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_recognised() {
        for (files, expected) in [
            (&[("/.dockerenv", "")][..], ("docker", "guest")),
            (&[("/proc/1/environ", "container=lxc\0")], ("lxc", "guest")),
            (&[("/sys/devices/virtual/dmi/id/sys_vendor", "QEMU\n")], ("kvm", "guest")),
            (&[("/sys/devices/virtual/dmi/id/product_name", "VMware Virtual Platform\n")], ("VMware", "guest")),
            (&[("/proc/modules", "kvm 1 0 - Live\n")], ("kvm", "host")),
            (&[("/etc/hosts", "")], ("NA", "NA")),
        ] {
            let (_root, source) = Source::fake(files);
            let mut facts = Map::new();
            collect(&source, &mut facts);
            let found = (facts["virtualization_type"].to_text(), facts["virtualization_role"].to_text());
            assert_eq!((found.0.as_str(), found.1.as_str()), expected);
        }
    }
}
