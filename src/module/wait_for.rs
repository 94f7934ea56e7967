//! Waits until a port answers or is free, a file is there or gone, or a text appears.
//!
//! ```yaml
//! - wait_for: {port: 8080, timeout: 60}
//! - wait_for: {path: /run/app.pid, state: absent}
//! ```

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};


use super::edit;
use super::prelude::*;
use crate::choice;
use crate::machine::address;
use crate::regex::{Flags, Regex};

choice! {
    pub enum State {
        Started = "started",
        Present = "present",
        Stopped = "stopped",
        Absent = "absent",
        Drained = "drained",
    }
}

params! {
    pub struct WaitFor {
        /// Where the port is.
        host: String = "127.0.0.1",
        /// The port.
        port: Option<i64>,
        /// The file.
        path: Option<PathText>,
        /// What to wait for.
        state: State = State::Started,
        /// A text that the port sends or the file has, as a regular expression.
        search_regex: Option<String>,
        /// Seconds after which to give up.
        timeout: i64 = 300,
        /// Seconds to wait before the first look.
        delay: i64 = 0,
        /// Seconds between looks.
        sleep: i64 = 1,
        /// Seconds for one attempt to connect.
        connect_timeout: i64 = 5,
        /// What to say when it takes too long.
        msg: Option<String>,
        /// Hosts whose connections do not count for `drained`.
        exclude_hosts: Vec<String> = [],
        /// Connections that count for `drained`.
        active_connection_states: Vec<String> = ["ESTABLISHED".to_owned(), "FIN_WAIT1".to_owned(), "FIN_WAIT2".to_owned(), "SYN_RECV".to_owned(), "SYN_SENT".to_owned(), "TIME_WAIT".to_owned()],
    }
    rules = [Rule::Exclusive(&["port", "path"])];
}

impl Module for WaitFor {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;
    const CHECK_MODE: bool = false;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let seconds = |number: i64| Duration::from_secs(number.max(0).unsigned_abs());
        if matches!(self.state, State::Drained) && self.port.is_none() {
            return Err(Failure::new("state=drained should only be used for checking a port, not a path"));
        }
        let pattern = match &self.search_regex {
            Some(text) => Some(edit::pattern_with("search_regex", text, Flags { multi_line: true, ..Flags::default() })?),
            None => None,
        };
        thread::sleep(seconds(self.delay));
        if self.port.is_none() && self.path.is_none() {
            thread::sleep(seconds(self.timeout));
            return Ok(self.done(machine, begun, &Found::default()));
        }
        let mut pause = Duration::from_millis(50);
        loop {
            if let Some(found) = self.reached(machine, pattern.as_ref())? {
                return Ok(self.done(machine, begun, &found));
            }
            if begun.elapsed() >= seconds(self.timeout) {
                return Err(Failure::new(self.late()).with("elapsed", begun.elapsed().as_secs()));
            }
            // The first looks come quickly: most services need less than the pause that was asked for.
            thread::sleep(pause.min(seconds(self.sleep)));
            pause = (pause * 2).min(seconds(self.sleep.max(1)));
        }
    }
}

impl WaitFor {
    /// What was found, once it is as it is wanted.
    fn reached(&self, machine: &Machine, pattern: Option<&Regex>) -> Result<Option<Found>, Failure> {
        let found = match (&self.path, self.port) {
            (Some(path), _) => match machine.read_if_exists(&machine.path(&path.0)) {
                Ok(None) => None,
                Ok(Some(bytes)) => pattern.map_or_else(|| Some(Found::default()), |pattern| Found::of(pattern, &bytes)),
                // A directory, or a file that we may not read, is there all the same.
                Err(_) => pattern.is_none().then(Found::default),
            },
            (None, Some(port)) if matches!(self.state, State::Drained) => self.connected(port, machine)?.then(Found::default),
            (None, Some(port)) => self.answers(port, pattern)?,
            (None, None) => Some(Found::default()),
        };
        let wanted = matches!(self.state, State::Started | State::Present);
        Ok(if wanted { found } else { found.is_none().then(Found::default) })
    }

    fn answers(&self, port: i64, pattern: Option<&Regex>) -> Result<Option<Found>, Failure> {
        let number = u16::try_from(port).map_err(|_| Failure::new(format!("expected a port number, found `{port}`")))?;
        let limit = Duration::from_secs(self.connect_timeout.max(1).unsigned_abs());
        let Ok(addresses) = address::resolve(&self.host, number) else { return Ok(None) };
        let Some(mut stream) = addresses.iter().find_map(|address| TcpStream::connect_timeout(address, limit).ok()) else { return Ok(None) };
        let Some(pattern) = pattern else {
            // Whether the peer has gone already does not matter.
            let _ = stream.shutdown(Shutdown::Both);
            return Ok(Some(Found::default()));
        };
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        if stream.set_read_timeout(Some(limit)).is_err() || stream.flush().is_err() {
            return Ok(None);
        }
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if let Some(found) = Found::of(pattern, &seen) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether anybody is connected to the port, by the kernel's own tables.
    fn connected(&self, port: i64, machine: &Machine) -> Result<bool, Failure> {
        let number = u16::try_from(port).map_err(|_| Failure::new(format!("expected a port number, found `{port}`")))?;
        let addresses = |host: &str| address::resolve(host, number).map(|found| found.into_iter().map(|address| address.ip()).collect::<Vec<_>>());
        let ours = addresses(&self.host).map_err(|error| Failure::new(format!("no address is known for `{}`: {error}", self.host)))?;
        let excluded: Vec<IpAddr> = self.exclude_hosts.iter().filter_map(|host| addresses(host).ok()).flatten().collect();
        let any = ours.iter().any(IpAddr::is_unspecified);
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let text = machine.read_text(Path::new(table))?.unwrap_or_default();
            let counts = text.lines().skip(1).filter_map(Connection::parse).any(|connection| {
                let here = any || connection.local.0.is_unspecified() || ours.contains(&connection.local.0);
                let state = self.active_connection_states.iter().any(|state| state == connection.state);
                here && connection.local.1 == number && state && !excluded.contains(&connection.remote)
            });
            if counts {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn late(&self) -> String {
        if let (State::Drained, None, Some(port)) = (&self.state, &self.msg, self.port) {
            return format!("Timeout when waiting for {}:{port} to drain", self.host);
        }
        if let Some(msg) = &self.msg {
            return msg.clone();
        }
        let up = matches!(self.state, State::Started | State::Present);
        match (&self.path, self.port, &self.search_regex) {
            (Some(path), _, Some(pattern)) => format!("Timeout when waiting for search string {pattern} in {}", path.0),
            (Some(path), ..) if up => format!("Timeout when waiting for file {}", path.0),
            (Some(path), ..) => format!("Timeout when waiting for {} to be absent.", path.0),
            (None, Some(port), Some(pattern)) => format!("Timeout when waiting for search string {pattern} in {}:{port}", self.host),
            (None, Some(port), _) if up => format!("Timeout when waiting for {}:{port}", self.host),
            (None, port, _) => format!("Timeout when waiting for {}:{} to stop.", self.host, port.unwrap_or_default()),
        }
    }

    fn done(&self, machine: &mut Machine, begun: Instant, found: &Found) -> Outcome {
        let facts = self.path.as_ref().map(|path| machine.describe(&machine.path(&path.0))).unwrap_or_default();
        machine
            .outcome()
            .with("elapsed", begun.elapsed().as_secs())
            .with("path", self.path.as_ref().map(|path| path.0.clone()))
            .with("port", self.port)
            .with("search_regex", self.search_regex.clone())
            .with("state", self.state.word())
            .with("match_groups", found.groups.clone())
            .with("match_groupdict", found.named.clone())
            .with_all(facts)
    }
}

/// A line of the kernel's table of TCP connections.
struct Connection {
    local: (IpAddr, u16),
    remote: IpAddr,
    state: &'static str,
}

impl Connection {
    fn parse(line: &str) -> Option<Self> {
        const STATES: [&str; 11] =
            ["ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"];
        let mut words = line.split_whitespace().skip(1);
        let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
        let state = usize::from_str_radix(state, 16).ok()?.checked_sub(1)?;
        Some(Self { local: place(local)?, remote: place(remote)?.0, state: STATES.get(state)? })
    }
}

/// `0100007F:1F90`: groups of four bytes as this machine has them in memory.
fn place(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let groups = (0..address.len() / 8).map(|at| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok());
    let bytes: Vec<u8> = groups.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let address = if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        IpAddr::from(four)
    } else {
        let six = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?);
        six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4)
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

/// What the pattern found, by its groups.
#[derive(Default)]
struct Found {
    groups: Vec<Value>,
    named: Map,
}

impl Found {
    fn of(pattern: &Regex, bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let captures = pattern.captures(&text).ok()??;
        let group = |number| captures.get(number).map_or(Value::Null, |found| found.as_str().into());
        let named = pattern.names().map(|(name, number)| (name.to_owned(), group(number)));
        Some(Self { groups: (1..captures.len()).map(group).collect(), named: named.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_read_from_the_kernels_table() {
        let line = "   0: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
        let connection = Connection::parse(line).unwrap();
        assert_eq!((connection.local, connection.state), ((IpAddr::from([127, 0, 0, 1]), 8080), "ESTABLISHED"));
        assert_eq!(connection.remote, IpAddr::from([127, 0, 0, 2]));
        let six = place("0000000000000000FFFF00000100007F:0050").unwrap();
        assert_eq!(six, (IpAddr::from([127, 0, 0, 1]), 80), "an address of four bytes inside one of sixteen");
        assert!(Connection::parse("nonsense").is_none());
    }
}
