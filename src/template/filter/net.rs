//! Filters on addresses and networks: what playbooks use most of `ansible.utils`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::python::as_whole;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("ipaddr", |eval, value, args| query(eval, &value, args, None)),
    filter("ipv4", |eval, value, args| query(eval, &value, args, Some(4))),
    filter("ipv6", |eval, value, args| query(eval, &value, args, Some(6))),
    filter("ip4_hex", |_, value, mut args| hex(&value, &args.required_or("delimiter", "")?)),
    filter("ipwrap", ipwrap),
    filter("ipmath", ipmath),
    filter("ipsubnet", ipsubnet),
    filter("nthhost", nthhost),
    filter("network_in_network", |_, value, mut args| inside(&value, &args.required("test")?)),
    filter("network_in_usable", |_, value, mut args| inside(&value, &args.required("test")?)),
    filter("hwaddr", |_, value, mut args| hardware(&value, &args.required_or("query", "")?)),
    filter("macaddr", |_, value, mut args| hardware(&value, &args.required_or("query", "")?)),
];

/// An address, and the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    prefix: u32,
    /// Whether the prefix was written.
    written: bool,
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number & u128::from(u32::MAX)).unwrap_or_default())),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

impl Net {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (first, mask) = text.split_once('/').map_or((text, None), |(first, mask)| (first, Some(mask)));
        let address: IpAddr = first.parse().ok()?;
        let prefix = match mask {
            None => bits(address),
            Some(mask) => match mask.parse::<u32>() {
                Ok(prefix) if prefix <= bits(address) => prefix,
                Ok(_) => return None,
                Err(_) => {
                    let mask = number(mask.parse::<Ipv4Addr>().ok()?.into());
                    let prefix = u32::try_from(mask).ok()?.leading_ones();
                    (u32::try_from(mask).ok()?.count_ones() == prefix).then_some(prefix)?
                }
            },
        };
        Some(Self { address, prefix, written: mask.is_some() })
    }

    fn host_bits(self) -> u32 {
        bits(self.address) - self.prefix
    }

    /// How many addresses the network has; the largest number for all of IPv6.
    fn size(self) -> u128 {
        1_u128.checked_shl(self.host_bits()).unwrap_or(u128::MAX)
    }

    fn hostmask(self) -> u128 {
        if self.host_bits() >= 128 { u128::MAX } else { self.size() - 1 }
    }

    fn first(self) -> u128 {
        number(self.address) & !self.hostmask()
    }

    fn last(self) -> u128 {
        self.first() | self.hostmask()
    }

    fn at(self, number: u128) -> IpAddr {
        address(number, self.address)
    }

    fn netmask(self) -> IpAddr {
        let all = if bits(self.address) == 32 { u128::from(u32::MAX) } else { u128::MAX };
        self.at(all & !self.hostmask())
    }

    /// The first and the last address for hosts.
    fn usable(self) -> (u128, u128) {
        match (self.address, self.host_bits()) {
            (IpAddr::V4(_), 2..) => (self.first() + 1, self.last() - 1),
            (IpAddr::V6(_), 1..) => (self.first() + 1, self.last()),
            _ => (self.first(), self.last()),
        }
    }

    fn contains(self, other: Self) -> bool {
        bits(self.address) == bits(other.address) && other.first() >= self.first() && other.last() <= self.last()
    }

    fn is_network(self) -> bool {
        self.written && self.host_bits() > 0 && number(self.address) == self.first()
    }

    fn cidr(self, number: u128) -> String {
        format!("{}/{}", self.at(number), self.prefix)
    }
}

/// Whether `text` is an address of this version.
pub(in crate::template) fn is_address(text: &str, version: Option<u8>) -> bool {
    text.parse::<IpAddr>().is_ok_and(|address| version.is_none_or(|version| (version == 4) == address.is_ipv4()))
}

/// Whether `text` is an address or a network of this version.
pub(in crate::template) fn is_address_or_network(text: &str, version: Option<u8>) -> bool {
    Net::parse(text).is_some_and(|net| version.is_none_or(|version| (version == 4) == net.address.is_ipv4()))
}

fn query(eval: &Eval<'_>, value: &Value, mut args: Args, version: Option<u8>) -> Result<Value> {
    let wanted = args.next("query").unwrap_or_else(|| Value::from(""));
    args.next("version");
    args.named("alias");
    let asked = version.or_else(|| match wanted.as_str() {
        Some("ipv4") => Some(4),
        Some("ipv6") => Some(6),
        _ => None,
    });
    if let Some(items) = value.as_items() {
        // Of a list, what answers the question.
        let answers = eval
            .iterate(&Value::list(items.iter().cloned()))?
            .iter()
            .map(|item| answer(item, &wanted, asked))
            .collect::<Result<Vec<_>>>()?;
        return Ok(Value::list(answers.into_iter().filter(|answer| !matches!(answer, Value::Bool(false)))));
    }
    answer(value, &wanted, asked)
}

fn answer(value: &Value, wanted: &Value, version: Option<u8>) -> Result<Value> {
    let no = Value::Bool(false);
    let text = match value {
        Value::Int(whole) if *whole > 0 => match u32::try_from(*whole) {
            Ok(whole) => Ipv4Addr::from(whole).to_string(),
            Err(_) => Ipv6Addr::from(u128::try_from(*whole).unwrap_or_default()).to_string(),
        },
        Value::Str(text) => text.to_string(),
        _ => return Ok(no),
    };
    let Some(net) = Net::parse(&text).filter(|net| version.is_none_or(|version| (version == 4) == net.address.is_ipv4())) else {
        return Ok(no);
    };
    let index = as_whole(wanted).or_else(|| wanted.as_str()?.parse().ok());
    if let Some(index) = index.filter(|_| !wanted.is_none()) {
        return Ok(nth(net, index)
            .map_or(no, |address| Value::from(if net.written { format!("{address}/{}", net.prefix) } else { address.to_string() })));
    }
    let (low, high) = net.usable();
    let usable = net.host_bits() > 1;
    let text_of_address = |number: u128| Value::from(net.at(number).to_string());
    let when = |holds: bool, value: Value| if holds { value } else { Value::Bool(false) };
    Ok(match wanted.as_str().unwrap_or_default() {
        "" | "ipv4" | "ipv6" => Value::from(text),
        "address" | "ip" => when(!net.is_network(), Value::from(net.address.to_string())),
        "host" => when(!net.is_network(), Value::from(format!("{}/{}", net.address, net.prefix))),
        "net" => when(net.is_network(), Value::from(net.cidr(net.first()))),
        "network" | "network_id" => text_of_address(net.first()),
        "prefix" => Value::from(net.prefix),
        "netmask" => Value::from(net.netmask().to_string()),
        "hostmask" | "wildcard" => text_of_address(net.hostmask()),
        "broadcast" => when(usable || net.host_bits() > 0, text_of_address(net.last())),
        "size" => Value::Int(i128::try_from(net.size()).unwrap_or(i128::MAX)),
        "subnet" | "network/prefix" => Value::from(net.cidr(net.first())),
        "host/prefix" => when(!net.is_network() && usable, Value::from(net.cidr(number(net.address)))),
        "address/prefix" | "ip/prefix" | "gateway" | "gw" | "cidr" => Value::from(net.cidr(number(net.address))),
        "network/netmask" => Value::from(format!("{}/{}", net.at(net.first()), net.netmask())),
        "ip_netmask" | "address/netmask" => Value::from(format!("{} {}", net.address, net.netmask())),
        "first_usable" => when(net.host_bits() > 0, text_of_address(low)),
        "last_usable" => when(net.host_bits() > 0, text_of_address(high)),
        "next_usable" => when(number(net.address) < high, text_of_address(number(net.address).saturating_add(1))),
        "previous_usable" => when(number(net.address) > low, text_of_address(number(net.address).saturating_sub(1))),
        "range_usable" => when(net.host_bits() > 0, Value::from(format!("{}-{}", net.at(low), net.at(high)))),
        "private" => when(is_private(net), Value::from(text)),
        "public" => when(!is_private(net) && !is_special(net), Value::from(text)),
        "loopback" => when(net.address.is_loopback(), Value::from(text)),
        "multicast" => when(net.address.is_multicast(), Value::from(text)),
        "link-local" | "lladdr" => when(is_link_local(net), Value::from(text)),
        "version" => Value::from(if net.address.is_ipv4() { 4 } else { 6 }),
        "type" => Value::from(if net.is_network() { "network" } else { "address" }),
        "int" => Value::from(number(net.address).to_string()),
        "bool" => Value::Bool(true),
        "revdns" => Value::from(reverse(net.address)),
        "wrap" => wrapped(&text),
        other => match Net::parse(other) {
            Some(outer) => when(outer.contains(net), Value::from(text)),
            None => return Err(Error::failed(format!("ipaddr: unknown filter type: {other}"))),
        },
    })
}

fn is_private(net: Net) -> bool {
    match net.address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

fn is_link_local(net: Net) -> bool {
    match net.address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_special(net: Net) -> bool {
    net.address.is_loopback() || net.address.is_multicast() || net.address.is_unspecified() || is_link_local(net)
}

/// The address at `index` of the network, from its end if negative.
fn nth(net: Net, index: i128) -> Option<IpAddr> {
    let offset = index.unsigned_abs();
    let chosen = if index < 0 { (net.last() + 1).checked_sub(offset)? } else { net.first().checked_add(offset)? };
    (net.first()..=net.last()).contains(&chosen).then(|| net.at(chosen))
}

fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let digits: Vec<char> = format!("{:032x}", u128::from(address)).chars().rev().collect();
            format!("{}.ip6.arpa.", digits.iter().map(char::to_string).collect::<Vec<_>>().join("."))
        }
    }
}

/// An IPv6 address in brackets; everything else as it is.
fn wrapped(text: &str) -> Value {
    match text.split_once('/') {
        Some((address, prefix)) if is_address(address, Some(6)) => Value::from(format!("[{address}]/{prefix}")),
        None if is_address(text, Some(6)) => Value::from(format!("[{text}]")),
        _ => Value::from(text),
    }
}

fn ipwrap(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    match value.as_items() {
        Some(items) => items.iter().map(|item| text_of(item).map(|text| wrapped(&text))).collect::<Result<Vec<_>>>().map(Value::list),
        None => Ok(wrapped(&text_of(&value)?)),
    }
}

fn parsed(value: &Value) -> Result<Net> {
    Net::parse(&value.to_text()).ok_or_else(|| Error::failed("expected an address or a network"))
}

fn ipmath(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let net = parsed(&value)?;
    let amount = args.int("amount")?.ok_or_else(|| Error::failed("expected a number to add"))?;
    let sum = if amount < 0 {
        number(net.address).checked_sub(amount.unsigned_abs())
    } else {
        number(net.address).checked_add(amount.unsigned_abs())
    };
    sum.map(|sum| Value::from(net.at(sum).to_string())).ok_or_else(|| Error::failed("the address is out of range"))
}

fn ipsubnet(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let Some(net) = Net::parse(&value.to_text()) else { return Ok(Value::Bool(false)) };
    let wanted = args.next("query").filter(|wanted| wanted.as_str() != Some("")).map(|wanted| wanted.to_text());
    let index = args.int("index")?;
    let Some(wanted) = wanted else { return Ok(Value::from(net.cidr(net.first()))) };
    let Ok(prefix) = wanted.parse::<u32>() else {
        // Which subnet of that size the network is in the larger one.
        let outer = Net::parse(&wanted).filter(|outer| outer.contains(net));
        let outer = outer.ok_or_else(|| Error::failed(format!("{} is not in the subnet {wanted}", net.cidr(net.first()))))?;
        return Ok(Value::from(((net.first() - outer.first()) / net.size() + 1).to_string()));
    };
    if prefix > bits(net.address) {
        return Ok(Value::Bool(false));
    }
    let small = Net { prefix, written: true, ..net };
    if prefix <= net.prefix && !net.is_network() {
        return Ok(Value::from(match index {
            None => 1_u128.checked_shl(net.prefix - prefix).unwrap_or(u128::MAX).to_string(),
            Some(_) => small.cidr(small.first()),
        }));
    }
    let count = net.size() / small.size();
    let Some(index) = index else { return Ok(Value::from(count.to_string())) };
    let position = if index < 0 { count.checked_sub(index.unsigned_abs()) } else { Some(index.unsigned_abs()) };
    Ok(match position.filter(|position| *position < count) {
        Some(position) => Value::from(small.cidr(net.first() + position * small.size())),
        None => Value::Bool(false),
    })
}

fn nthhost(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let index = args.int("query")?.unwrap_or(0);
    Ok(Net::parse(&value.to_text()).and_then(|net| nth(net, index)).map_or(Value::Bool(false), |address| Value::from(address.to_string())))
}

fn inside(value: &Value, test: &Value) -> Result<Value> {
    Ok(Value::Bool(parsed(value)?.contains(parsed(test)?)))
}

fn hex(value: &Value, delimiter: &str) -> Result<Value> {
    let address: Ipv4Addr = value.to_text().parse().map_err(|_| Error::failed("expected an IPv4 address"))?;
    Ok(Value::from(address.octets().map(|octet| format!("{octet:02x}")).join(delimiter)))
}

fn hardware(value: &Value, wanted: &str) -> Result<Value> {
    let digits: String = value.to_text().chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
    if digits.len() != 12 {
        return Ok(Value::Bool(false));
    }
    let grouped = |size: usize, separator: &str| {
        let groups: Vec<String> = digits.chars().collect::<Vec<_>>().chunks(size).map(|chunk| chunk.iter().collect()).collect();
        Value::from(groups.join(separator))
    };
    Ok(match wanted {
        "" => value.clone(),
        "bool" => Value::Bool(true),
        "linux" | "unix" => grouped(2, ":"),
        "win" | "eui48" => Value::from(grouped(2, "-").to_text().to_uppercase()),
        "cisco" => grouped(4, "."),
        "bare" => Value::from(digits.to_uppercase()),
        "int" => Value::from(i64::from_str_radix(&digits, 16).unwrap_or_default()),
        other => return Err(Error::failed(format!("hwaddr: unknown filter type: {other}"))),
    })
}
