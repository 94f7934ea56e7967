//! Host names to addresses, without the C library's resolver: in a static program that one crashes on what it cannot load.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

/// The addresses of `host`, which may be an address itself. Asks `getent`, so that `/etc/hosts` and the host's own
/// configuration count.
///
/// # Errors
/// `NotFound` for a name without addresses, or `getent` cannot be run.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if bare == "localhost" {
        return Ok(vec![SocketAddr::new([127, 0, 0, 1].into(), port), SocketAddr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), port)]);
    }
    let done = Command::new("getent").args(["ahosts", bare]).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let Some(address) = line.split_whitespace().next().and_then(|word| word.parse().ok()) else { continue };
        let address = SocketAddr::new(address, port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no address is known for `{bare}`")));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_resolver_and_unknown_names_are_said() {
        for (host, wanted) in [("127.0.0.1", "127.0.0.1:80"), ("[::1]", "[::1]:80"), ("localhost", "127.0.0.1:80")] {
            assert_eq!(resolve(host, 80).unwrap()[0].to_string(), wanted);
        }
        assert_eq!(resolve("no-such-host.invalid", 80).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
