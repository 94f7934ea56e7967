//! Processors, memory, and what the firmware says of the machine.

use std::collections::BTreeSet;

use super::{Source, map, put, storage};
use crate::wire::{Map, Value};

pub(super) fn collect(source: &Source, facts: &mut Map) {
    processors(source, facts);
    memory(source, facts);
    firmware(source, facts);
    if let Some(seconds) = source.word("/proc/uptime").and_then(|text| text.split('.').next()?.parse::<i64>().ok()) {
        put(facts, [("uptime_seconds", seconds.into())]);
    }
    storage::collect(source, facts);
}

fn processors(source: &Source, facts: &mut Map) {
    let text = source.text("/proc/cpuinfo").unwrap_or_default();
    let mut shown: Vec<Value> = Vec::new();
    let mut sockets = BTreeSet::new();
    let mut cores = BTreeSet::new();
    let (mut socket, mut siblings, mut per_socket) = (String::new(), 0, 0);
    let mut threads = 0_i64;
    let mut models = 0_i64;
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key.trim(), value.trim())) {
        match key {
            "processor" => {
                threads += 1;
                shown.push(value.into());
            }
            "vendor_id" | "model name" | "Model" | "Processor" => {
                models += i64::from(key == "model name");
                shown.push(value.into());
            }
            "physical id" => {
                value.clone_into(&mut socket);
                sockets.insert(socket.clone());
            }
            "core id" => drop(cores.insert((socket.clone(), value.to_owned()))),
            "siblings" => siblings = value.parse().unwrap_or_default(),
            "cpu cores" => per_socket = value.parse().unwrap_or_default(),
            "flags" | "Features" if !facts.contains_key("flags") => {
                let flags: Vec<&str> = value.split_whitespace().collect();
                put(facts, [("flags", flags.into())]);
            }
            _ => {}
        }
    }
    let _ = models;
    let count = i64::try_from(sockets.len()).unwrap_or_default();
    // Without topology (ARM, some virtual machines) every processor counts as a socket of its own.
    let (count, per_core) = match (count, per_socket) {
        (0, _) => (threads.max(1), (1, 1)),
        (count, 0) => (count, (1, 1)),
        (count, per_socket) => (count, (per_socket, (siblings / per_socket).max(1))),
    };
    let (cores_each, threads_each) = per_core;
    let allowed = source.text("/proc/self/status").and_then(|status| {
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned();
        Some(list.split(',').map(span).sum::<i64>())
    });
    put(
        facts,
        [
            ("processor", Value::List(shown)),
            ("processor_count", count.into()),
            ("processor_cores", cores_each.into()),
            ("processor_threads_per_core", threads_each.into()),
            ("processor_vcpus", (count * cores_each * threads_each).into()),
            ("processor_nproc", allowed.unwrap_or(threads).into()),
        ],
    );
}

/// How many numbers `0-3` names.
fn span(text: &str) -> i64 {
    match text.split_once('-') {
        Some((first, last)) => match (first.parse::<i64>(), last.parse::<i64>()) {
            (Ok(first), Ok(last)) => last - first + 1,
            _ => 0,
        },
        None => 1,
    }
}

fn memory(source: &Source, facts: &mut Map) {
    let text = source.text("/proc/meminfo").unwrap_or_default();
    let mb = |name: &str| -> i64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<i64>().ok()).unwrap_or_default() / 1024
    };
    let (total, free) = (mb("MemTotal"), mb("MemFree"));
    let (swap_total, swap_free) = (mb("SwapTotal"), mb("SwapFree"));
    let unused = free + mb("Cached") + mb("Buffers");
    let real = map([("total", total.into()), ("used", (total - free).into()), ("free", free.into())]);
    let nocache = map([("free", unused.into()), ("used", (total - unused).into())]);
    let swap = map([
        ("total", swap_total.into()),
        ("free", swap_free.into()),
        ("used", (swap_total - swap_free).into()),
        ("cached", mb("SwapCached").into()),
    ]);
    put(
        facts,
        [
            ("memtotal_mb", total.into()),
            ("memfree_mb", free.into()),
            ("swaptotal_mb", swap_total.into()),
            ("swapfree_mb", swap_free.into()),
            ("memory_mb", map([("real", real.into()), ("nocache", nocache.into()), ("swap", swap.into())]).into()),
        ],
    );
}

fn firmware(source: &Source, facts: &mut Map) {
    const FIELDS: [(&str, &str); 19] = [
        ("bios_date", "bios_date"),
        ("bios_vendor", "bios_vendor"),
        ("bios_version", "bios_version"),
        ("board_asset_tag", "board_asset_tag"),
        ("board_name", "board_name"),
        ("board_serial", "board_serial"),
        ("board_vendor", "board_vendor"),
        ("board_version", "board_version"),
        ("chassis_asset_tag", "chassis_asset_tag"),
        ("chassis_serial", "chassis_serial"),
        ("chassis_vendor", "chassis_vendor"),
        ("chassis_version", "chassis_version"),
        ("form_factor", "chassis_type"),
        ("product_name", "product_name"),
        ("product_serial", "product_serial"),
        ("product_uuid", "product_uuid"),
        ("product_version", "product_version"),
        ("system_vendor", "sys_vendor"),
        ("product_family", "product_family"),
    ];
    for (fact, file) in FIELDS.iter().filter(|(fact, _)| *fact != "product_family") {
        let value = source.word(&format!("/sys/devices/virtual/dmi/id/{file}"));
        let value = match (value, *fact) {
            (Some(number), "form_factor") => form_factor(&number).to_owned(),
            (Some(value), _) => value,
            (None, _) => "NA".to_owned(),
        };
        facts.insert((*fact).to_owned(), value.into());
    }
}

/// The names of the SMBIOS specification, by number.
fn form_factor(number: &str) -> &str {
    const NAMES: [&str; 37] = [
        "Unknown",
        "Other",
        "Unknown",
        "Desktop",
        "Low Profile Desktop",
        "Pizza Box",
        "Mini Tower",
        "Tower",
        "Portable",
        "Laptop",
        "Notebook",
        "Hand Held",
        "Docking Station",
        "All In One",
        "Sub Notebook",
        "Space-saving",
        "Lunch Box",
        "Main Server Chassis",
        "Expansion Chassis",
        "Sub Chassis",
        "Bus Expansion Chassis",
        "Peripheral Chassis",
        "RAID Chassis",
        "Rack Mount Chassis",
        "Sealed-case PC",
        "Multi-system",
        "CompactPCI",
        "AdvancedTCA",
        "Blade",
        "Blade Enclosure",
        "Tablet",
        "Convertible",
        "Detachable",
        "IoT Gateway",
        "Embedded PC",
        "Mini PC",
        "Stick PC",
    ];
    number.parse::<usize>().ok().and_then(|index| NAMES.get(index).copied()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_as_in_ansible() {
        let one = |id: u32, socket: u32, core: u32| {
            format!(
                "processor\t: {id}\nvendor_id\t: V\nmodel name\t: M\nphysical id\t: {socket}\nsiblings\t: 4\ncore id\t: {core}\ncpu cores\t: 2\nflags\t: fpu vme\n\n"
            )
        };
        let two_sockets: String = (0..8).map(|id| one(id, id / 4, id % 2)).collect();
        let arm = "processor\t: 0\nBogoMIPS\t: 1\nFeatures\t: fp\n\nprocessor\t: 1\nBogoMIPS\t: 1\n";
        for (cpuinfo, expected) in [(two_sockets.as_str(), [2, 2, 2, 8, 2]), (arm, [2, 1, 1, 2, 2])] {
            let (_root, source) = Source::fake(&[("/proc/cpuinfo", cpuinfo), ("/proc/self/status", "Cpus_allowed_list:\t0,4-4\n")]);
            let mut facts = Map::new();
            processors(&source, &mut facts);
            let keys = ["count", "cores", "threads_per_core", "vcpus", "nproc"].map(|key| facts[&format!("processor_{key}")].clone());
            assert_eq!(keys, expected.map(Value::from));
        }
    }

    #[test]
    fn memory_is_in_mebibytes() {
        let text = "MemTotal: 2048000 kB\nMemFree: 1024000 kB\nBuffers: 1024 kB\nCached: 2048 kB\nSwapTotal: 10240 kB\nSwapFree: 5120 kB\nSwapCached: 0 kB\n";
        let (_root, source) = Source::fake(&[("/proc/meminfo", text)]);
        let mut facts = Map::new();
        memory(&source, &mut facts);
        assert_eq!(
            serde_json::to_string(&facts["memory_mb"]).unwrap(),
            r#"{"real":{"total":2000,"used":1000,"free":1000},"nocache":{"free":1003,"used":997},"swap":{"total":10,"free":5,"used":5,"cached":0}}"#
        );
    }
}
