//! Addresses and routes from the kernel itself (rtnetlink(7)), instead of from the text of `ip`.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// Request, and all entries.
const DUMP: u16 = 0x301;
/// Request, and one answer.
const ONE: u16 = 1;
const SECONDARY: u8 = 1;

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The number of the interface.
    pub(super) interface: u32,
    /// The name it was given, `eth0:1`.
    pub(super) label: Option<String>,
    /// The address.
    pub(super) ip: IpAddr,
    /// Bits of the network.
    pub(super) prefix: u8,
    /// The broadcast address.
    pub(super) broadcast: Option<IpAddr>,
    /// As the kernel numbers scopes: 0 is global, 253 the link, 254 the host.
    pub(super) scope: u8,
    /// Whether another one in the same network came first.
    pub(super) secondary: bool,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// The number of the interface.
    pub(super) interface: u32,
    /// The next hop.
    pub(super) gateway: Option<IpAddr>,
    /// The address that is used as source.
    pub(super) source: Option<IpAddr>,
    /// Where it leads to.
    pub(super) destination: Option<IpAddr>,
    /// Bits of the destination.
    pub(super) prefix: u8,
    /// Local addresses are 2.
    pub(super) kind: u8,
    /// The table: local is 255.
    pub(super) table: u8,
}

/// All addresses of all interfaces.
pub(super) fn addresses() -> io::Result<Vec<Address>> {
    Ok(talk(GET_ADDRESS, DUMP, &[0; 8])?.iter().filter(|message| message.kind == NEW_ADDRESS).filter_map(Message::address).collect())
}

/// The interfaces of this network namespace, by number. `/sys` may be that of another one inside a container.
pub(super) fn interfaces() -> io::Result<BTreeMap<u32, String>> {
    let messages = talk(GET_LINK, DUMP, &[0; 16])?;
    Ok(messages.iter().filter(|message| message.kind == NEW_LINK).filter_map(Message::link).collect())
}

/// The routes of the local table, of both families.
pub(super) fn local_routes() -> io::Result<Vec<Route>> {
    let mut body = [0; 12];
    body[4] = 255;
    let mut routes = Vec::new();
    for family in [2, 10] {
        body[0] = family;
        let messages = talk(GET_ROUTE, DUMP, &body)?;
        routes.extend(messages.iter().filter(|message| message.kind == NEW_ROUTE).filter_map(Message::route));
    }
    routes.retain(|route| route.table == 255 && route.kind == 2);
    Ok(routes)
}

/// The way to `destination`; nothing is sent there.
pub(super) fn route_to(destination: IpAddr) -> io::Result<Option<Route>> {
    let mut body = vec![0; 12];
    let octets = match destination {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let family = if destination.is_ipv4() { 2 } else { 10 };
    let bits = if destination.is_ipv4() { 32 } else { 128 };
    body.splice(..2, [family, bits]);
    let length = if destination.is_ipv4() { 8_u16 } else { 20 };
    body.extend(length.to_ne_bytes());
    body.extend(1_u16.to_ne_bytes());
    body.extend(octets);
    Ok(talk(GET_ROUTE, ONE, &body)?.iter().find(|message| message.kind == NEW_ROUTE).and_then(Message::route))
}

struct Message {
    kind: u16,
    body: Vec<u8>,
}

fn talk(kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
    // No protocol means NETLINK_ROUTE, whose number is 0.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let length = u32::try_from(16 + body.len()).unwrap_or_default();
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    send(&socket, &request, SendFlags::empty())?;
    let mut messages = Vec::new();
    let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
    loop {
        let ((received, _), _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest: &[u8] = received;
        if rest.is_empty() {
            return Ok(messages);
        }
        while let Some(message) = take_message(&mut rest) {
            match message.kind {
                DONE => return Ok(messages),
                ERROR => return Err(io::Error::other("the kernel refused a question about the network")),
                _ => messages.push(message),
            }
        }
        if flags == ONE {
            return Ok(messages);
        }
    }
}

fn take_message(rest: &mut &[u8]) -> Option<Message> {
    let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
    let body = rest.get(16..length)?.to_vec();
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(Message { kind, body })
}

impl Message {
    fn link(&self) -> Option<(u32, String)> {
        let (head, attributes) = self.body.split_at_checked(16)?;
        let number = u32::from_ne_bytes(*head.get(4..)?.first_chunk()?);
        let (_, name) = Attributes(attributes).find(|(kind, _)| *kind == 3)?;
        let name = std::ffi::CStr::from_bytes_until_nul(name).ok()?;
        Some((number, name.to_string_lossy().into_owned()))
    }

    fn address(&self) -> Option<Address> {
        let (head, attributes) = self.body.split_at_checked(8)?;
        let interface = u32::from_ne_bytes(*head.get(4..)?.first_chunk()?);
        let [_, prefix, flags, scope] = *head.first_chunk()?;
        let mut found = Address {
            interface,
            label: None,
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            prefix,
            broadcast: None,
            scope,
            secondary: flags & SECONDARY != 0,
        };
        let (mut address, mut local) = (None, None);
        for (kind, value) in Attributes(attributes) {
            match kind {
                1 => address = ip(value),
                2 => local = ip(value),
                3 => found.label = std::ffi::CStr::from_bytes_until_nul(value).ok().map(|label| label.to_string_lossy().into_owned()),
                4 => found.broadcast = ip(value),
                _ => {}
            }
        }
        // On a point-to-point interface the first is the peer's.
        found.ip = local.or(address)?;
        // IPv6 uses the flag for temporary addresses.
        found.secondary &= found.ip.is_ipv4();
        Some(found)
    }

    fn route(&self) -> Option<Route> {
        let (head, attributes) = self.body.split_at_checked(12)?;
        let [_, prefix, _, _, table, _, _, kind] = *head.first_chunk()?;
        let mut route = Route { prefix, kind, table, ..Route::default() };
        for (kind, value) in Attributes(attributes) {
            match kind {
                1 => route.destination = ip(value),
                4 => route.interface = value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)),
                5 => route.gateway = ip(value),
                7 => route.source = ip(value),
                _ => {}
            }
        }
        Some(route)
    }
}

/// Type and value, padded to four bytes.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?);
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        return Some(IpAddr::V6(Ipv6Addr::from(octets)));
    }
    <[u8; 4]>::try_from(bytes).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_the_loopback_address() {
        assert!(interfaces().unwrap().values().any(|name| name == "lo"));
        let all = addresses().unwrap();
        assert!(all.iter().any(|address| address.ip == IpAddr::V4(Ipv4Addr::LOCALHOST) && address.prefix == 8), "{all:?}");
        let route = route_to(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap().unwrap();
        assert_eq!(route.source, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(local_routes().unwrap().iter().any(|route| route.destination == Some(IpAddr::V4(Ipv4Addr::LOCALHOST))));
    }
}
