//! Adds and removes host keys in a `known_hosts` file.
//!
//! ```yaml
//! - known_hosts: {name: git.example.com, key: "git.example.com ssh-ed25519 AAAA…", path: /etc/ssh/ssh_known_hosts}
//! ```

use super::edit::{self, Edit, bare};
use super::prelude::*;

choice! {
    /// Whether the key is wanted.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct KnownHosts {
        /// The host, as `ssh` is told it.
        name | host: String,
        /// A whole line: names, type, key.
        key: Option<String>,
        /// The file.
        path: PathText = PathText("~/.ssh/known_hosts".to_owned()),
        /// Hide the name by a hash.
        hash_host: bool = false,
        /// Whether the key is wanted.
        state: State = State::Present,
    }
    rules = [Rule::When("state", "present", &["key"])];
}

impl Module for KnownHosts {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        self.verify()?;
        let old = machine.read_if_exists(&path)?.map(edit::Text::from_bytes);
        let text = old.as_ref().map(|old| old.text.as_str()).unwrap_or_default();
        let known = self.known(machine, &path)?;
        let new = self.edited(machine, text, &known)?;
        if new != text {
            let bytes = old.as_ref().map_or_else(|| new.clone().into_bytes(), |old| old.bytes_of(&new));
            let edit = Edit { create: self.state == State::Present, ..Edit::default() };
            edit.save(machine, &path, bytes)?;
        }
        let facts = machine.describe(&path);
        let place = path.display().to_string();
        let header = if old.is_some() { place.as_str() } else { "/dev/null" };
        let diff = [("before_header", header), ("after_header", &place), ("before", text), ("after", &new)];
        let diff: Map = diff.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        let outcome = machine.outcome().with("diff", diff).with("name", self.name).with("path", path.display().to_string()).with("hash_host", self.hash_host);
        Ok(outcome.with("key", self.key).with("state", self.state.word()).with_all(facts))
    }
}

impl KnownHosts {
    /// That the key is one of this host.
    fn verify(&self) -> Result<(), Failure> {
        if self.name.contains(',') {
            let msg = "Comma separated list of names is not supported. Please pass a single name to lookup in the known_hosts file.";
            return Err(Failure::new(msg));
        }
        let Some((names, ..)) = self.key.as_deref().and_then(parts) else { return Ok(()) };
        let plain = |name: &str| name.trim_start_matches('[').split("]:").next().unwrap_or_default().to_owned();
        if names.starts_with('|') || names.split(',').any(|name| name == self.name || plain(name) == plain(&self.name)) {
            return Ok(());
        }
        Err(Failure::new("Host parameter does not match hashed host field in supplied key"))
    }

    /// The numbers of the lines that are about this host; `ssh-keygen` knows hashed names.
    fn known(&self, machine: &Machine, path: &std::path::Path) -> Result<Vec<usize>, Failure> {
        if !machine.exists(path) {
            return Ok(Vec::new());
        }
        let done = machine.query(&Command::new("ssh-keygen").plain().args(["-F", &self.name, "-f"]).arg(path))?;
        let text = done.stdout_text();
        let numbers = text.lines().filter_map(|line| line.strip_prefix("# Host ")?.rsplit_once("found: line ")?.1.split_whitespace().next()?.parse().ok());
        Ok(numbers.collect())
    }

    fn edited(&self, machine: &Machine, old: &str, known: &[usize]) -> Result<String, Failure> {
        let wanted = self.key.as_deref().map(|key| parts(key).ok_or_else(|| Failure::new(format!("expected `host type key`, found `{key}`")))).transpose()?;
        let mut lines = edit::lines(old);
        // Authorities and patterns stand for other hosts too: they are left alone, unless just they are meant.
        let general: Vec<bool> =
            lines.iter().map(|line| line.starts_with('@') || parts(line).is_some_and(|found| found.0.contains(['*', '?', '!']))).collect();
        let this = |line: &str| {
            let named = self.key.as_deref().and_then(parts).map(|(names, ..)| (self.key.as_deref().and_then(marker), names));
            named.is_some() && named == parts(line).map(|(names, ..)| (marker(line), names))
        };
        let these: Vec<bool> = lines.iter().map(|line| this(line)).collect();
        let set = |flags: &[bool], at: usize| flags.get(at).copied().unwrap_or(false);
        let about = |at: usize| if set(&general, at) { set(&these, at) } else { known.contains(&(at + 1)) };
        match (&wanted, self.state) {
            (None, State::Present) => return Err(Failure::new("No key specified when adding a host")),
            (wanted, State::Absent) => {
                let mut at = 0;
                lines.retain(|line| {
                    at += 1;
                    let meant = wanted.as_ref().is_none_or(|wanted| parts(line).is_some_and(|found| found.1 == wanted.1 && found.2 == wanted.2));
                    !(about(at - 1) && meant)
                });
            }
            (Some((names, kind, data)), State::Present) => {
                let same_kind = |line: &str| parts(line).is_some_and(|found| found.1 == *kind);
                let same = lines.iter().enumerate().find(|(at, line)| about(*at) && parts(line).is_some_and(|found| found.1 == *kind && found.2 == *data));
                if let Some((_, line)) = same
                    && (line.starts_with("|1|") == self.hash_host || line.starts_with('@'))
                {
                    return Ok(old.to_owned());
                }
                let mut at = 0;
                lines.retain(|line| {
                    at += 1;
                    !(about(at - 1) && same_kind(line) && !set(&general, at - 1))
                });
                if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
                    last.push('\n');
                }
                let names = if self.hash_host { hashed(machine, &self.name)? } else { names.clone() };
                let marker = self.key.as_deref().and_then(marker).map(|marker| format!("{marker} ")).unwrap_or_default();
                lines.push(format!("{marker}{names} {kind} {data}\n"));
            }
        }
        Ok(lines.concat())
    }
}

/// The mark of an authority or of a key that is revoked.
fn marker(line: &str) -> Option<&str> {
    line.split_whitespace().next().filter(|word| word.starts_with('@'))
}

/// Names, type and key of a line.
fn parts(line: &str) -> Option<(String, String, String)> {
    let line = bare(line).trim();
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with('@'));
    let (names, kind, data) = (words.next()?, words.next()?, words.next()?);
    (!line.starts_with('#')).then(|| (names.to_owned(), kind.to_owned(), data.to_owned()))
}

/// The name as `ssh-keygen -H` writes it: `|1|salt|HMAC-SHA1`.
fn hashed(machine: &Machine, name: &str) -> Result<String, Failure> {
    use sha1::{Digest as _, Sha1};
    let salt = machine.random::<20>()?;
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| salt.get(at).copied().unwrap_or_default() ^ with).collect() };
    let inner = Sha1::new().chain_update(pad(0x36)).chain_update(name.as_bytes()).finalize();
    let outer = Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    Ok(format!("|1|{}|{}", super::slurp::base64(&salt), super::slurp::base64(&outer)))
}
