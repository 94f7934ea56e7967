//! Interfaces, their addresses, and which of them leads out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::{self, Address};
use super::{Source, map, put};
use crate::wire::{Map, Value};

/// Addresses far away, to ask the kernel for the way there; nothing is sent. The same as Ansible uses.
const FAR_V4: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);
const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2404, 0x6800, 0x400a, 0x800, 0, 0, 0, 0x1012);

pub(super) fn collect(source: &Source, facts: &mut Map) {
    let addresses = netlink::addresses().unwrap_or_default();
    let indexes = netlink::interfaces().unwrap_or_default();
    let mut interfaces: BTreeMap<String, Map> = indexes.values().map(|name| (name.clone(), interface(source, name))).collect();
    for address in &addresses {
        let Some(device) = indexes.get(&address.interface) else { continue };
        add_address(&mut interfaces, device, address);
    }
    let shown = |address: IpAddr| match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => address != Ipv6Addr::LOCALHOST,
    };
    let of_family = |v4: bool| -> Vec<String> {
        let all = addresses.iter().map(|address| address.ip).filter(|address| address.is_ipv4() == v4 && shown(*address));
        all.map(|address| address.to_string()).collect()
    };
    put(
        facts,
        [
            ("interfaces", interfaces.keys().map(String::as_str).collect::<Vec<_>>().into()),
            ("default_ipv4", default_v4(&indexes, &interfaces, &addresses).into()),
            ("default_ipv6", default_v6(&indexes, &interfaces).into()),
            ("all_ipv4_addresses", of_family(true).into()),
            ("all_ipv6_addresses", of_family(false).into()),
            ("locally_reachable_ips", reachable().into()),
        ],
    );
    for (name, entry) in interfaces {
        facts.insert(name.replace(['-', ':'], "_"), entry.into());
    }
}

fn number(source: &Source, name: &str, file: &str) -> Option<i64> {
    source.word(&format!("/sys/class/net/{name}/{file}"))?.parse().ok()
}

fn interface(source: &Source, name: &str) -> Map {
    let place = format!("/sys/class/net/{name}");
    let word = |file: &str| source.word(&format!("{place}/{file}"));
    let mut entry = map([("device", name.into())]);
    if let Some(mac) = word("address").filter(|mac| mac != "00:00:00:00:00:00") {
        put(&mut entry, [("macaddress", mac.into())]);
    }
    if let Some(mtu) = number(source, name, "mtu") {
        put(&mut entry, [("mtu", mtu.into())]);
    }
    put(&mut entry, [("active", (word("operstate").as_deref() != Some("down")).into())]);
    if let Some(driver) = source.link_name(&format!("{place}/device/driver/module")) {
        put(&mut entry, [("module", driver.into())]);
    }
    let kind = match word("type").as_deref() {
        Some("1") => Some("ether"),
        Some("32") => Some("infiniband"),
        Some("512") => Some("ppp"),
        Some("772") => Some("loopback"),
        Some("65534") => Some("tunnel"),
        _ => None,
    };
    if let Some(kind) = kind {
        put(&mut entry, [("type", kind.into())]);
    }
    if source.exists(&format!("{place}/bridge")) {
        let stp = word("bridge/stp_state").as_deref() == Some("1");
        put(&mut entry, [("type", "bridge".into()), ("interfaces", source.names(&format!("{place}/brif")).into()), ("stp", stp.into())]);
        if let Some(id) = word("bridge/bridge_id") {
            put(&mut entry, [("id", id.into())]);
        }
    }
    if source.exists(&format!("{place}/bonding")) {
        bonding(source, &place, &mut entry);
    }
    if source.exists(&format!("{place}/bonding_slave")) {
        if let Some(mac) = word("bonding_slave/perm_hwaddr") {
            put(&mut entry, [("perm_macaddress", mac.into())]);
        }
        put(&mut entry, [("type", "bonding_slave".into())]);
    }
    if let Some(device) = source.link_name(&format!("{place}/device")) {
        put(&mut entry, [("pciid", device.into())]);
    }
    if let Some(speed) = number(source, name, "speed") {
        put(&mut entry, [("speed", speed.into())]);
    }
    let flags = word("flags").and_then(|flags| i64::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
    put(&mut entry, [("promisc", (flags.unwrap_or_default() & 0x100 != 0).into())]);
    entry
}

fn bonding(source: &Source, place: &str, entry: &mut Map) {
    let word = |file: &str| source.word(&format!("{place}/bonding/{file}")).unwrap_or_default();
    let first = |text: String| text.split_whitespace().next().unwrap_or_default().to_owned();
    let slaves: Vec<String> = word("slaves").split_whitespace().map(str::to_owned).collect();
    put(
        entry,
        [
            ("type", "bonding".into()),
            ("slaves", slaves.into()),
            ("mode", first(word("mode")).into()),
            ("miimon", word("miimon").into()),
            ("lacp_rate", first(word("lacp_rate")).into()),
        ],
    );
    let primary = word("primary");
    if !primary.is_empty() {
        let active = source.exists(&format!("{place}/bonding/all_slaves_active"));
        put(entry, [("primary", primary.into()), ("all_slaves_active", active.into())]);
    }
}

fn add_address(interfaces: &mut BTreeMap<String, Map>, device: &str, address: &Address) {
    match address.ip {
        IpAddr::V6(ip) => {
            let scope = match address.scope {
                0 => "global",
                200 => "site",
                253 => "link",
                254 => "host",
                _ => "unknown",
            };
            let found = map([("address", ip.to_string().into()), ("prefix", address.prefix.to_string().into()), ("scope", scope.into())]);
            append(interfaces, device, "ipv6", found);
        }
        IpAddr::V4(ip) => {
            let found = ipv4(ip, address);
            let label = address.label.as_deref().unwrap_or(device);
            if label != device {
                let own = interfaces.entry(label.to_owned()).or_default();
                put(own, [("ipv4", found.clone().into())]);
            }
            let has_one = interfaces.get(device).is_some_and(|entry| entry.contains_key("ipv4"));
            if !address.secondary && !has_one {
                let entry = interfaces.entry(device.to_owned()).or_default();
                put(entry, [("ipv4", found.into())]);
            } else if label == device || address.secondary {
                append(interfaces, device, "ipv4_secondaries", found);
            }
        }
    }
}

fn append(interfaces: &mut BTreeMap<String, Map>, device: &str, key: &str, found: Map) {
    let list = interfaces.entry(device.to_owned()).or_default().entry(key.to_owned()).or_insert_with(|| Value::List(Vec::new()));
    if let Value::List(list) = list {
        list.push(found.into());
    }
}

fn ipv4(ip: Ipv4Addr, address: &Address) -> Map {
    let mask = u32::MAX.checked_shl(32 - u32::from(address.prefix)).unwrap_or(0);
    map([
        ("address", ip.to_string().into()),
        ("broadcast", address.broadcast.map_or_else(String::new, |broadcast| broadcast.to_string()).into()),
        ("netmask", Ipv4Addr::from(mask).to_string().into()),
        ("network", Ipv4Addr::from(u32::from(ip) & mask).to_string().into()),
        ("prefix", address.prefix.to_string().into()),
    ])
}

fn default_v4(indexes: &BTreeMap<u32, String>, interfaces: &BTreeMap<String, Map>, addresses: &[Address]) -> Map {
    let Ok(Some(route)) = netlink::route_to(FAR_V4.into()) else { return Map::new() };
    let (Some(name), Some(gateway)) = (indexes.get(&route.interface), route.gateway) else { return Map::new() };
    let mut found = map([("gateway", gateway.to_string().into()), ("interface", name.as_str().into())]);
    let own = addresses.iter().find(|address| Some(address.ip) == route.source && address.interface == route.interface);
    if let Some((address, IpAddr::V4(ip))) = own.map(|own| (own, own.ip)) {
        found.extend(ipv4(ip, address));
        put(&mut found, [("alias", address.label.as_deref().unwrap_or(name).into())]);
    }
    inherit(&mut found, interfaces.get(name));
    found
}

fn default_v6(indexes: &BTreeMap<u32, String>, interfaces: &BTreeMap<String, Map>) -> Map {
    let Ok(Some(route)) = netlink::route_to(FAR_V6.into()) else { return Map::new() };
    let (Some(name), Some(gateway)) = (indexes.get(&route.interface), route.gateway) else { return Map::new() };
    let mut found = map([("gateway", gateway.to_string().into()), ("interface", name.as_str().into())]);
    let own = interfaces.get(name);
    let address = route.source.map(|source| source.to_string()).unwrap_or_default();
    let list = own.and_then(|entry| entry.get("ipv6")).and_then(Value::as_list).unwrap_or_default();
    if let Some(entry) = list.iter().find(|entry| entry.get("address").and_then(Value::as_str) == Some(&address)) {
        found.extend(entry.as_map().cloned().unwrap_or_default());
    }
    inherit(&mut found, own);
    found
}

fn inherit(found: &mut Map, own: Option<&Map>) {
    for key in ["macaddress", "mtu", "type"] {
        if let Some(value) = own.and_then(|entry| entry.get(key)) {
            found.insert(key.to_owned(), value.clone());
        }
    }
}

fn reachable() -> Map {
    let routes = netlink::local_routes().unwrap_or_default();
    let of_family = |v4: bool| -> Vec<String> {
        let routes = routes.iter().filter_map(|route| Some((route.destination?, route.prefix)));
        let mut shown: Vec<String> = routes
            .filter(|(destination, _)| destination.is_ipv4() == v4)
            .map(|(destination, prefix)| match prefix {
                32 if v4 => destination.to_string(),
                128 => destination.to_string(),
                shorter => format!("{destination}/{shorter}"),
            })
            .collect();
        shown.sort();
        shown
    };
    map([("ipv4", of_family(true).into()), ("ipv6", of_family(false).into())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, prefix: u8, label: &str, secondary: bool) -> Address {
        let label = (!label.is_empty()).then(|| label.to_owned());
        Address { interface: 2, label, ip: text.parse().unwrap(), prefix, broadcast: None, scope: 0, secondary }
    }

    #[test]
    fn addresses_go_to_their_interface() {
        let mut interfaces = BTreeMap::new();
        for found in [
            address("10.1.2.3", 20, "eth0", false),
            address("10.1.2.4", 20, "eth0", true),
            address("10.9.0.1", 32, "eth0:1", false),
            address("fd00::2", 64, "", false),
        ] {
            add_address(&mut interfaces, "eth0", &found);
        }
        let text = serde_json::to_string(&interfaces).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"eth0":{"ipv4":{"address":"10.1.2.3","broadcast":"","netmask":"255.255.240.0","network":"10.1.0.0","prefix":"20"},"#,
                r#""ipv4_secondaries":[{"address":"10.1.2.4","broadcast":"","netmask":"255.255.240.0","network":"10.1.0.0","prefix":"20"}],"#,
                r#""ipv6":[{"address":"fd00::2","prefix":"64","scope":"global"}]},"#,
                r#""eth0:1":{"ipv4":{"address":"10.9.0.1","broadcast":"","netmask":"255.255.255.255","network":"10.9.0.1","prefix":"32"}}}"#
            )
        );
    }
}
