//! Ports for servers that cannot be asked for any free one.

use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::Mutex;

/// Below those that a system gives to outgoing connections, which would take one between its choice and its use.
const PORTS: std::ops::Range<u16> = 14_000..30_000;

/// Locks of the ports that this process gave out; they go with it.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port that nothing listens on, kept from other tests' processes until this one ends.
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join("rappel-test-ports");
    fs::create_dir_all(&folder).unwrap();
    let mut held = HELD.lock().unwrap();
    let first = u16::try_from(std::process::id() * 16 % u32::from(PORTS.end - PORTS.start)).unwrap();
    let ports = (PORTS.start + first..PORTS.end).chain(PORTS.start..PORTS.start + first);
    for port in ports {
        let lock = File::options().create(true).append(true).open(folder.join(port.to_string())).unwrap();
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            held.push(lock);
            return port;
        }
    }
    panic!("every port of {PORTS:?} is taken")
}
