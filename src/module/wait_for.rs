//! Waits until a port answers or is free, a file is there or gone, or a text appears.
//!
//! ```yaml
//! - wait_for: {port: 8080, timeout: 60}
//! - wait_for: {path: /run/app.pid, state: absent}
//! ```

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
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
        if matches!(self.state, State::Drained) {
            return Err(Failure::new("`state: drained` is not supported; wait for `stopped`, or ask the service itself"));
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

    fn late(&self) -> String {
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
