//! Known hosts: files parsed once, looked up by name, and what they say about a key.
//!
//! The library's own helper is not used: it knows no wildcards, no `@revoked`, and reads the file again for each connection.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};
use sha1::Sha1;

use super::config::matches_patterns;

/// One line of a file.
#[derive(Clone, Debug)]
struct Entry {
    marker: Marker,
    hosts: Hosts,
    key: KeyData,
    place: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

#[derive(Clone, Debug)]
enum Hosts {
    Patterns(Vec<String>),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl Hosts {
    fn cover(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => matches_patterns(name, patterns),
            Self::Hashed { salt, hash } => digest(salt, name).is_some_and(|found| found == *hash),
        }
    }
}

fn digest(salt: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

/// The name under which a host's key is kept: `host`, or `[host]:port`.
pub(super) fn key_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// What the files say about a host's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    Unknown,
    /// Another key is known for the host, there.
    Changed(String),
    /// The key is revoked, there.
    Revoked(String),
    /// The certificate is not good.
    BadCertificate(String),
}

/// All files, each parsed once.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    files: Mutex<HashMap<PathBuf, Arc<Vec<Entry>>>>,
}

impl KnownHosts {
    /// What is known of the host `name`.
    pub(super) fn of(&self, name: &str, paths: &[PathBuf]) -> Known {
        let files: Vec<_> = paths.iter().map(|path| self.entries(path)).collect();
        let covering = files.iter().flat_map(|entries| entries.iter()).filter(|entry| entry.hosts.cover(name));
        Known { name: name.to_owned(), entries: covering.cloned().collect() }
    }

    fn entries(&self, path: &Path) -> Arc<Vec<Entry>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = files.entry(path.to_owned()).or_insert_with(|| {
            // As in OpenSSH, a file that cannot be read knows nothing.
            let text = std::fs::read(path).unwrap_or_default();
            Arc::new(parse(&String::from_utf8_lossy(&text), path))
        });
        Arc::clone(parsed)
    }

    /// Appends `key` for the host `name` to the file `path`, with a lock so that concurrent runs do not mix their lines.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn learn(&self, path: &Path, name: &str, key: &PublicKey, hashed: bool) -> std::io::Result<()> {
        if path == Path::new("/dev/null") {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).create(true).append(true).open(path)?;
        file.lock()?;
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut text)?;
        let known = parse(&String::from_utf8_lossy(&text), path);
        if !known.iter().any(|entry| entry.hosts.cover(name) && entry.key == *key.key_data()) {
            let break_line = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
            let line = format!("{break_line}{}\n", line(name, key, hashed)?);
            file.write_all(line.as_bytes())?;
        }
        drop(file);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        Ok(())
    }
}

/// The line of a file that makes `key` known for `name`.
fn line(name: &str, key: &PublicKey, hashed: bool) -> std::io::Result<String> {
    let bare = PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(std::io::Error::other)?;
    if !hashed {
        return Ok(format!("{name} {bare}"));
    }
    let salt: [u8; 20] = rand::random();
    let hash = digest(&salt, name).unwrap_or_default();
    Ok(format!("|1|{}|{} {bare}", STANDARD.encode(salt), STANDARD.encode(hash)))
}

fn parse(text: &str, path: &Path) -> Vec<Entry> {
    let lines = text.lines().enumerate();
    lines.filter_map(|(index, line)| parse_line(line, &format!("{}:{}", path.display(), index + 1))).collect()
}

/// A line that cannot be read is skipped, as in OpenSSH.
fn parse_line(line: &str, place: &str) -> Option<Entry> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let mut hosts = words.next()?;
    let marker = match hosts {
        "@cert-authority" => Marker::Authority,
        "@revoked" => Marker::Revoked,
        unknown if unknown.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        hosts = words.next()?;
    }
    let key = PublicKey::from_openssh(&format!("{} {}", words.next()?, words.next()?)).ok()?;
    let hosts = match hosts.strip_prefix("|1|") {
        Some(hashed) => {
            let (salt, hash) = hashed.split_once('|')?;
            Hosts::Hashed { salt: STANDARD.decode(salt).ok()?, hash: STANDARD.decode(hash).ok()? }
        }
        None => Hosts::Patterns(hosts.split(',').map(str::to_owned).collect()),
    };
    Some(Entry { marker, hosts, key: key.key_data().clone(), place: place.to_owned() })
}

/// What is known of one host.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: String,
    entries: Vec<Entry>,
}

impl Known {
    /// Whether the host is trusted by an authority, so that its certificate is wanted.
    pub(super) fn has_authority(&self) -> bool {
        self.entries.iter().any(|entry| entry.marker == Marker::Authority)
    }

    /// `order` with the algorithms first for which a key is known: a server shows the first it has.
    pub(super) fn prefer(&self, order: &[Algorithm]) -> Vec<Algorithm> {
        let known = |algorithm: &Algorithm| {
            let plain = self.entries.iter().filter(|entry| entry.marker == Marker::None);
            plain.map(|entry| entry.key.algorithm()).any(|key| match (&key, algorithm) {
                (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
                (key, algorithm) => key == algorithm,
            })
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = order.iter().cloned().partition(known);
        first.extend(rest);
        first
    }

    /// What the files say about the plain key `key`.
    pub(super) fn judge(&self, key: &PublicKey) -> Verdict {
        if let Some(place) = self.revoked(key.key_data()) {
            return Verdict::Revoked(place);
        }
        let mut plain = self.entries.iter().filter(|entry| entry.marker == Marker::None).peekable();
        let first = plain.peek().map(|entry| entry.place.clone());
        if plain.any(|entry| entry.key == *key.key_data()) {
            return Verdict::Known;
        }
        // As in OpenSSH, any other key of the host makes an unknown one a changed one.
        first.map_or(Verdict::Unknown, Verdict::Changed)
    }

    /// What the files say about the host certificate `certificate` at `now` (seconds since the epoch).
    pub(super) fn judge_certificate(&self, certificate: &Certificate, host: &str, now: u64) -> Verdict {
        let authority = certificate.signature_key();
        if let Some(place) = self.revoked(authority).or_else(|| self.revoked(certificate.public_key())) {
            return Verdict::Revoked(place);
        }
        let trusted = self.entries.iter().any(|entry| entry.marker == Marker::Authority && entry.key == *authority);
        if !trusted {
            return self.judge(&PublicKey::new(certificate.public_key().clone(), ""));
        }
        if !certificate.cert_type().is_host() {
            return Verdict::BadCertificate("it is for a user, not for a host".to_owned());
        }
        let principals = certificate.valid_principals();
        if !principals.is_empty() && !matches_patterns(host, principals) {
            return Verdict::BadCertificate(format!("it is for {}", principals.join(", ")));
        }
        let prints = [authority.fingerprint(HashAlg::Sha256)];
        match certificate.validate_at(now, prints.iter()) {
            Ok(()) => Verdict::Known,
            Err(_) if now < certificate.valid_after() => Verdict::BadCertificate("it is not valid yet".to_owned()),
            Err(_) if now >= certificate.valid_before() => Verdict::BadCertificate("it has expired".to_owned()),
            Err(error) => Verdict::BadCertificate(error.to_string()),
        }
    }

    fn revoked(&self, key: &KeyData) -> Option<String> {
        let found = self.entries.iter().find(|entry| entry.marker == Marker::Revoked && entry.key == *key);
        found.map(|entry| entry.place.clone())
    }
}
