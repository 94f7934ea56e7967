//! Adds the keys of package archives to what apt trusts, or takes them away.
//!
//! ```yaml
//! - apt_key: {url: "https://download.docker.com/linux/debian/gpg", keyring: /etc/apt/trusted.gpg.d/docker.gpg}
//! ```
//!
//! Neither `apt-key`, which new Debian releases do not have, nor `gpg` is needed: keyrings are read and written here.
//! `deb822_repository` with `signed_by` is the better way: a key trusted here is trusted for every archive.

use std::path::{Path, PathBuf};

use super::openpgp::{self, Key};
use super::prelude::*;
use crate::machine::http::Exchange;

choice! {
    /// Whether the key shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct AptKey {
        /// The key's number: its fingerprint or the last 16 or 8 digits. Without it, the first key that was fetched says it.
        id: Option<String>,
        /// The key itself.
        data: Option<String>,
        /// A file on the host that holds it.
        file: Option<PathText>,
        /// Where it is fetched from.
        url: Option<String>,
        /// A key server that knows it.
        keyserver: Option<String>,
        /// The file that keeps it: `/etc/apt/trusted.gpg.d/docker.gpg`. Without it, `/etc/apt/trusted.gpg`.
        keyring: Option<PathText>,
        /// Check the certificate of `url`.
        validate_certs: bool = true,
        /// Whether it shall be there.
        state: State = State::Present,
    }
    rules = [Rule::Exclusive(&["data", "file", "keyserver", "url"])];
}

const OWN: &str = "/etc/apt/trusted.gpg";
const FOLDER: &str = "/etc/apt/trusted.gpg.d";

/// A key's number as it was asked for.
struct Id {
    given: String,
    digits: String,
}

impl Id {
    fn new(given: &str) -> Result<Self, Failure> {
        let digits = given.trim().to_ascii_uppercase();
        let digits = digits.strip_prefix("0X").unwrap_or(&digits).replace(' ', "");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::new("Invalid key_id").with("id", given));
        }
        Ok(Self { given: given.to_owned(), digits })
    }

    fn end(&self, length: usize) -> &str {
        self.digits.get(self.digits.len().saturating_sub(length)..).unwrap_or_default()
    }
}

impl Module for AptKey {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let rings = self.rings(machine)?;
        let mut fetched = None;
        let id = match &self.id {
            Some(id) => Id::new(id)?,
            None if self.state == State::Absent => return Err(Failure::new("parameter `id` says which key shall be absent")),
            None => {
                let keys = self.fetch(machine, None)?;
                let id = Id::new(keys.first().map_or("", Key::id))?;
                fetched = Some(keys);
                id
            }
        };
        let before = known(&rings, &id);
        let there = rings.iter().flat_map(|(_, keys)| keys).any(|key| key.has(&id.digits));
        match self.state {
            State::Present if !there => {
                let keys = match fetched {
                    Some(keys) => keys,
                    None => self.fetch(machine, Some(&id))?,
                };
                if !keys.iter().any(|key| key.is_called(&id.digits)) {
                    let msg = "apt-key did not return an error, but failed to add the key (check that the id is correct and *not* a subkey)";
                    return Err(describe(Outcome::default(), &id, before).into_failure(msg));
                }
                self.add(machine, &rings, &keys)?;
            }
            State::Absent if there => {
                for (path, keys) in rings.iter().filter(|(_, keys)| keys.iter().any(|key| key.has(&id.digits))) {
                    let left: Vec<&Key> = keys.iter().filter(|key| !key.has(&id.digits)).collect();
                    keep(machine, path, &left)?;
                }
            }
            State::Present | State::Absent => {}
        }
        let outcome = describe(machine.outcome(), &id, before);
        if !outcome.changed || machine.checking() {
            return Ok(outcome);
        }
        let after = known(&self.rings(machine)?, &id);
        Ok(outcome.with("after", after))
    }
}

impl Outcome {
    fn into_failure(self, msg: &str) -> Failure {
        Failure { data: self.data, ..Failure::new(msg) }
    }
}

fn describe(outcome: Outcome, id: &Id, before: Vec<String>) -> Outcome {
    let outcome = outcome.with("id", id.given.as_str()).with("key_id", id.digits.as_str()).with("short_id", id.end(8));
    outcome.with("fp", id.end(16)).with("before", before)
}

/// The numbers of all keys and subkeys, as long as the one that was asked for.
fn known(rings: &[(PathBuf, Vec<Key>)], id: &Id) -> Vec<String> {
    let digits = if id.digits.len() > 8 { 16 } else { 8 };
    let short = |print: &String| print.get(print.len().saturating_sub(digits)..).unwrap_or_default().to_owned();
    let keys = rings.iter().flat_map(|(_, keys)| keys);
    keys.flat_map(|key| std::iter::once(&key.fingerprint).chain(&key.subkeys)).map(short).collect()
}

fn keep(machine: &mut Machine, path: &Path, keys: &[&Key]) -> Result<(), Failure> {
    if keys.is_empty() {
        machine.remove(path)?;
        return Ok(());
    }
    let bytes: Vec<u8> = keys.iter().flat_map(|key| key.bytes.clone()).collect();
    machine.write(path, &bytes.into(), &Attributes::default()).map(drop)
}

impl AptKey {
    /// The keyrings that count, with their keys: the one of `keyring`, or all that apt trusts.
    fn rings(&self, machine: &Machine) -> Result<Vec<(PathBuf, Vec<Key>)>, Failure> {
        let paths = if let Some(keyring) = &self.keyring {
            vec![machine.path(&keyring.0)]
        } else {
            let folder = Path::new(FOLDER);
            let mut paths = if machine.is_dir(folder) { machine.list(folder)? } else { Vec::new() };
            paths.retain(|path| path.extension().is_some_and(|end| end == "gpg" || end == "asc"));
            paths.sort();
            [PathBuf::from(OWN)].into_iter().chain(paths).collect()
        };
        let mut rings = Vec::new();
        for path in paths {
            let bytes = machine.read_if_exists(&path)?.unwrap_or_default();
            if bytes.get(8..12) == Some(b"KBXf") {
                return Err(Failure::new(format!("{} is a keybox, which apt cannot read; `gpg --export` makes a keyring of it", path.display())));
            }
            rings.push((path, openpgp::keys(&bytes)));
        }
        Ok(rings)
    }

    fn add(&self, machine: &mut Machine, rings: &[(PathBuf, Vec<Key>)], new: &[Key]) -> Result<(), Failure> {
        let Some((path, old)) = rings.first() else { return Ok(()) };
        let others = old.iter().filter(|key| !new.iter().any(|new| new.fingerprint == key.fingerprint));
        let all: Vec<&Key> = others.chain(new).collect();
        keep(machine, path, &all)
    }

    fn fetch(&self, machine: &Machine, id: Option<&Id>) -> Result<Vec<Key>, Failure> {
        let (bytes, from) = if let Some(data) = &self.data {
            (data.clone().into_bytes(), "inline data".to_owned())
        } else if let Some(file) = &self.file {
            (machine.read(&machine.path(&file.0))?, file.0.clone())
        } else if let Some(url) = &self.url {
            (download(machine, url, self.validate_certs)?, url.clone())
        } else if let Some(server) = &self.keyserver {
            let id = id.ok_or_else(|| Failure::new("Missing key_id, required with keyserver."))?;
            let url = format!("{}/pks/lookup?op=get&options=mr&search=0x{}", server_url(server), id.digits);
            (download(machine, &url, self.validate_certs)?, server.clone())
        } else {
            return Err(Failure::new("no key to add: `data`, `file`, `keyserver` or `url` says where it is"));
        };
        let keys = openpgp::keys(&bytes);
        if keys.is_empty() { Err(Failure::new(format!("Unable to extract key from '{from}'"))) } else { Ok(keys) }
    }
}

/// What `url` answers.
fn download(machine: &Machine, url: &str, validate: bool) -> Result<Vec<u8>, Failure> {
    let exchange = Exchange { validate, ..machine.asking(url) };
    exchange.content().map_err(|why| Failure::new(format!("Failed to download key at {url}: {why}")))
}

/// A key server speaks HTTP, on a port of its own.
fn server_url(server: &str) -> String {
    let server = server.trim_end_matches('/');
    if let Some(host) = server.strip_prefix("hkps://") {
        return format!("https://{host}");
    }
    if server.contains("://") && !server.starts_with("hkp://") {
        return server.to_owned();
    }
    let host = server.strip_prefix("hkp://").unwrap_or(server);
    if host.contains(':') { format!("http://{host}") } else { format!("http://{host}:11371") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_servers_are_web_servers() {
        for (server, url) in [
            ("keyserver.ubuntu.com", "http://keyserver.ubuntu.com:11371"),
            ("hkp://keyserver.ubuntu.com:80", "http://keyserver.ubuntu.com:80"),
            ("hkps://keys.openpgp.org/", "https://keys.openpgp.org"),
            ("https://keys.example.com", "https://keys.example.com"),
        ] {
            assert_eq!(server_url(server), url);
        }
    }

    #[test]
    fn numbers_are_digits() {
        let id = Id::new("0x9dc8 58229fc7dd38854ae2d88d81803c0ebfcd88").unwrap();
        assert_eq!((id.end(8), id.end(16)), ("0EBFCD88", "8D81803C0EBFCD88"));
        assert_eq!(Id::new("xyz").err().unwrap().msg, "Invalid key_id");
    }
}
