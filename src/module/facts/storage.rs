//! Mounted file systems and block devices.

use std::collections::BTreeMap;
use std::fs;

use super::{Source, map, put};
use crate::wire::{Map, Value};

pub(super) fn collect(source: &Source, facts: &mut Map) {
    let links = Links::read(source);
    put(facts, [("mounts", Value::List(mounts(source, &links))), ("devices", devices(source, &links).into())]);
    put(facts, [("device_links", links.all().into()), ("lvm", "N/A".into())]);
}

/// Names of this host as a client of network storage.
pub(super) fn initiators(source: &Source, facts: &mut Map) {
    let iqn = source.text("/etc/iscsi/initiatorname.iscsi").unwrap_or_default();
    let iqn = iqn.lines().find_map(|line| line.trim().strip_prefix("InitiatorName=")).unwrap_or_default().to_owned();
    put(facts, [("iscsi_iqn", iqn.into()), ("hostnqn", source.word("/etc/nvme/hostnqn").unwrap_or_default().into())]);
}

/// The addresses of Fibre Channel adapters.
pub(super) fn fibre_channel(source: &Source, facts: &mut Map) {
    let hosts = source.names("/sys/class/fc_host");
    let ports: Vec<String> = hosts.iter().filter_map(|host| source.word(&format!("/sys/class/fc_host/{host}/port_name"))).collect();
    let ports: Vec<String> = ports.iter().map(|port| port.trim_start_matches("0x").to_owned()).collect();
    put(facts, [("fibre_channel_wwn", ports.into())]);
}

/// Every name that udev gives a block device, by the device's own name.
#[derive(Debug, Default)]
struct Links {
    ids: BTreeMap<String, Vec<String>>,
    uuids: BTreeMap<String, Vec<String>>,
    labels: BTreeMap<String, Vec<String>>,
    masters: BTreeMap<String, Vec<String>>,
}

impl Links {
    fn read(source: &Source) -> Self {
        let below = |directory: &str| {
            let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for name in source.names(directory) {
                if let Some(device) = source.link_name(&format!("{directory}/{name}")) {
                    found.entry(device).or_default().push(name);
                }
            }
            found
        };
        let mut masters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for device in source.names("/sys/block") {
            for slave in source.names(&format!("/sys/block/{device}/slaves")) {
                masters.entry(slave).or_default().push(device.clone());
            }
        }
        Self { ids: below("/dev/disk/by-id"), uuids: below("/dev/disk/by-uuid"), labels: below("/dev/disk/by-label"), masters }
    }

    fn kinds(&self) -> [(&'static str, &BTreeMap<String, Vec<String>>); 4] {
        [("ids", &self.ids), ("uuids", &self.uuids), ("labels", &self.labels), ("masters", &self.masters)]
    }

    fn of(&self, device: &str) -> Map {
        self.kinds().map(|(kind, all)| (kind.to_owned(), all.get(device).cloned().unwrap_or_default().into())).into_iter().collect()
    }

    fn all(&self) -> Map {
        let whole = |all: &BTreeMap<String, Vec<String>>| -> Map {
            all.iter().map(|(device, names)| (device.clone(), names.clone().into())).collect()
        };
        self.kinds().map(|(kind, all)| (kind.to_owned(), whole(all).into())).into_iter().collect()
    }
}

fn mounts(source: &Source, links: &Links) -> Vec<Value> {
    let table = source.text("/proc/self/mounts").or_else(|| source.text("/etc/mtab")).unwrap_or_default();
    let mut found = Vec::new();
    for line in table.lines() {
        let fields: Vec<String> = line.split_whitespace().map(unescape).collect();
        let [device, mount, fstype, options, dump, pass] = fields.as_slice() else { continue };
        // As in Ansible: file systems of the kernel's own have neither a path nor a host in their name.
        if !device.starts_with(['/', '\\']) && !device.contains(":/") || fstype == "none" {
            continue;
        }
        let mut entry = map([
            ("mount", mount.as_str().into()),
            ("device", device.as_str().into()),
            ("fstype", fstype.as_str().into()),
            ("options", options.as_str().into()),
            ("dump", dump.parse::<i64>().unwrap_or_default().into()),
            ("passno", pass.parse::<i64>().unwrap_or_default().into()),
        ]);
        sizes(source, mount, &mut entry);
        let name = fs::canonicalize(source.place(device)).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let uuid = name.and_then(|name| links.uuids.get(&name)?.first().cloned());
        put(&mut entry, [("uuid", uuid.unwrap_or_else(|| "N/A".to_owned()).into())]);
        found.push(entry.into());
    }
    found
}

fn sizes(source: &Source, mount: &str, entry: &mut Map) {
    let Ok(stat) = rustix::fs::statvfs(source.place(mount)) else { return };
    put(
        entry,
        [
            ("size_total", (stat.f_frsize * stat.f_blocks).into()),
            ("size_available", (stat.f_frsize * stat.f_bavail).into()),
            ("block_size", stat.f_bsize.into()),
            ("block_total", stat.f_blocks.into()),
            ("block_available", stat.f_bavail.into()),
            ("block_used", (stat.f_blocks - stat.f_bavail.min(stat.f_blocks)).into()),
            ("inode_total", stat.f_files.into()),
            ("inode_available", stat.f_favail.into()),
            ("inode_used", (stat.f_files - stat.f_favail.min(stat.f_files)).into()),
        ],
    );
}

/// A space in a mount point is written `\040`.
fn unescape(text: &str) -> String {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match (*first, code) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            (byte, _) => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn devices(source: &Source, links: &Links) -> Map {
    let mut found = Map::new();
    for name in source.names("/sys/block") {
        found.insert(name.clone(), device(source, &name, links).into());
    }
    found
}

fn device(source: &Source, name: &str, links: &Links) -> Map {
    let place = format!("/sys/block/{name}");
    let word = |file: &str| source.word(&format!("{place}/{file}"));
    let optional = |file: &str| word(file).map_or(Value::Null, Value::from);
    let sector_size: i64 = word("queue/logical_block_size").and_then(|text| text.parse().ok()).unwrap_or(512);
    let sectors = |place: &str| source.word(&format!("{place}/size")).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    let mut partitions = Map::new();
    for part in source.names(&place).into_iter().filter(|part| source.exists(&format!("{place}/{part}/partition"))) {
        let inside = format!("{place}/{part}");
        let uuid = links.uuids.get(&part).and_then(|uuids| uuids.first().cloned());
        let entry = map([
            ("links", links.of(&part).into()),
            ("start", source.word(&format!("{inside}/start")).unwrap_or_else(|| "0".to_owned()).into()),
            ("sectors", sectors(&inside).into()),
            ("sectorsize", sector_size.into()),
            ("size", human(sectors(&inside) * 512).into()),
            ("uuid", uuid.map_or(Value::Null, Value::from)),
            ("holders", source.names(&format!("{inside}/holders")).into()),
        ]);
        partitions.insert(part, entry.into());
    }
    let scheduler = word("queue/scheduler").unwrap_or_default();
    let scheduler =
        scheduler.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or_else(String::new, |(mode, _)| mode.to_owned());
    let discard = word("queue/discard_granularity").unwrap_or_else(|| "0".to_owned());
    map([
        ("virtual", 1.into()),
        ("links", links.of(name).into()),
        ("vendor", optional("device/vendor")),
        ("model", optional("device/model")),
        ("sas_address", optional("device/sas_address")),
        ("sas_device_handle", optional("device/sas_device_handle")),
        ("removable", optional("removable")),
        ("support_discard", discard.into()),
        ("partitions", partitions.into()),
        ("rotational", optional("queue/rotational")),
        ("scheduler_mode", scheduler.into()),
        ("sectors", sectors(&place).into()),
        ("sectorsize", sector_size.to_string().into()),
        ("size", human(sectors(&place) * 512).into()),
        ("host", "".into()),
        ("holders", source.names(&format!("{place}/holders")).into()),
    ])
}

/// `20.00 GB`: Ansible's words for powers of 1024.
fn human(bytes: i64) -> String {
    const UNITS: [(u32, &str); 5] = [(50, "PB"), (40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let number = bytes as f64;
    match UNITS.iter().find(|(bits, _)| bytes >> bits > 0) {
        Some((bits, unit)) => format!("{:.2} {unit}", number / f64::from(*bits).exp2()),
        None => format!("{number:.2} Bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_partitions() {
        let (_root, source) = Source::fake(&[
            ("/sys/block/sda/size", "41943040"),
            ("/sys/block/sda/queue/scheduler", "none [mq-deadline]"),
            ("/sys/block/sda/device/model", "QEMU HARDDISK   "),
            ("/sys/block/sda/sda1/partition", "1"),
            ("/sys/block/sda/sda1/start", "2048"),
            ("/sys/block/sda/sda1/size", "2097152"),
        ]);
        let found = devices(&source, &Links::default());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["sda"]);
        let sda = found["sda"].as_map().unwrap();
        assert_eq!((sda["size"].to_text().as_str(), sda["scheduler_mode"].to_text().as_str()), ("20.00 GB", "mq-deadline"));
        let part = sda["partitions"].get("sda1").unwrap();
        assert_eq!(part.get("size"), Some(&"1.00 GB".into()));
    }

    #[test]
    fn mounts_are_those_of_disks() {
        let table = "proc /proc proc rw 0 0\n/dev/sda1 /my\\040disk ext4 rw,relatime 0 1\nnas:/x /mnt nfs rw 0 0\n";
        let (_root, source) = Source::fake(&[("/proc/self/mounts", table), ("/my disk/x", "")]);
        let found = mounts(&source, &Links::default());
        let names: Vec<_> = found.iter().map(|mount| mount.get("mount").unwrap().to_text()).collect();
        assert_eq!(names, ["/my disk", "/mnt"]);
        assert!(found[0].get("size_total").is_some());
    }
}
