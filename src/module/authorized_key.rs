//! Adds and removes SSH public keys of a user.
//!
//! ```yaml
//! - authorized_key: {user: deploy, key: "{{ lookup('file', 'keys/ci.pub') }}", exclusive: true}
//! ```

use std::path::{Path, PathBuf};

use super::edit::{self, Edit, bare};
use super::prelude::*;
use crate::machine::WriteOptions;
use crate::machine::owner::User;

choice! {
    /// Whether the keys are wanted.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct AuthorizedKey {
        /// Whose keys.
        user: String,
        /// Public keys, one a line; addresses of key lists are not fetched.
        key: String,
        /// Whether the keys are wanted.
        state: State = State::Present,
        /// The file; otherwise `~user/.ssh/authorized_keys`.
        path: Option<PathText>,
        /// Make `.ssh` with the right owner and mode.
        manage_dir: bool = true,
        /// Remove all other keys.
        exclusive: bool = false,
        /// Options in front of the keys.
        key_options: Option<String>,
        /// Comment behind the keys, in place of their own.
        comment: Option<String>,
        /// Write through a link.
        follow: bool = false,
        /// Check the certificate of the address of a key list.
        validate_certs: bool = true,
    }
}

/// A line of the file, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    options: String,
    kind: String,
    data: String,
    comment: String,
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let line = bare(line).trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let words = split_options(line);
        let at = words.iter().position(|word| is_kind(word))?;
        let (options, rest) = (words.get(..at)?.join(" "), words.get(at..)?);
        let (kind, data) = (rest.first()?, rest.get(1)?);
        Some(Self { options, kind: (*kind).to_owned(), data: (*data).to_owned(), comment: rest.get(2..)?.join(" ") })
    }

    fn line(&self) -> String {
        let parts = [&self.options, &self.kind, &self.data, &self.comment];
        let parts: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join(" ") + "\n"
    }
}

fn is_kind(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-")
}

/// Words, but spaces between quotes stay together: `command="a b" ssh-ed25519 …`.
fn split_options(line: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted, mut escaped) = (Vec::new(), None, false, false);
    for (at, character) in line.char_indices() {
        if character.is_whitespace() && !quoted {
            if let Some(start) = start.take() {
                words.extend(line.get(start..at));
            }
            continue;
        }
        start.get_or_insert(at);
        quoted ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
    }
    words.extend(start.and_then(|start| line.get(start..)));
    words
}

impl Module for AuthorizedKey {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let user = User::named(&self.user);
        let (path, user) = match (&self.path, user) {
            (Some(path), user) => (machine.path(&path.0), user),
            (None, Some(user)) => (user.home.join(".ssh/authorized_keys"), Some(user)),
            (None, None) if machine.checking() => {
                machine.warn(format!("there is no user `{}` yet", self.user));
                machine.mark_changed();
                return Ok(machine.outcome());
            }
            (None, None) => return Err(Failure::new(format!("Failed to lookup user {}: there is no such user", self.user))),
        };
        let path = if self.follow { machine.resolve(&path) } else { path };
        let wanted = self.wanted()?;
        let owner = user.as_ref().map(|user| (user.uid.to_string(), user.gid.to_string()));
        let old = machine.read_if_exists(&path)?.map(edit::Text::from_bytes);
        let text = old.as_ref().map(|old| old.text.as_str()).unwrap_or_default();
        let new = self.edited(text, &wanted);
        if new != text {
            self.prepare_folder(machine, &path, owner.as_ref())?;
            let bytes = old.as_ref().map_or_else(|| new.clone().into_bytes(), |old| old.bytes_of(&new));
            let (uid, gid) = owner.unzip();
            let mode = if old.is_some() { None } else { Some("0600".to_owned()) };
            let attributes = Attributes { mode, owner: uid, group: gid, ..Attributes::default() };
            let edit = Edit { options: WriteOptions { attributes, ..WriteOptions::default() }, create: false };
            edit.save(machine, &path, bytes)?;
        }
        let (keyfile, key) = (path.display().to_string(), self.key.clone());
        let described = machine.describe(&path);
        let outcome = machine.outcome().with_all(described).with("user", self.user).with("key", key).with("path", keyfile.as_str()).with("keyfile", keyfile);
        let options = self.key_options.map_or(Value::Null, Value::from);
        let outcome = outcome.with("exclusive", self.exclusive).with("follow", self.follow).with("manage_dir", self.manage_dir);
        Ok(outcome.with("key_options", options).with("validate_certs", self.validate_certs))
    }
}

impl AuthorizedKey {
    fn wanted(&self) -> Result<Vec<Key>, Failure> {
        if self.key.starts_with("http://") || self.key.starts_with("https://") {
            return Err(Failure::new("keys are not fetched from an address: fetch them with `get_url` or the `url` lookup first"));
        }
        let lines = self.key.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        lines
            .map(|line| {
                let mut key = Key::parse(line).ok_or_else(|| Failure::new(format!("invalid key specified: {line}")))?;
                if let Some(options) = &self.key_options {
                    key.options.clone_from(options);
                }
                if let Some(comment) = &self.comment {
                    key.comment.clone_from(comment);
                }
                Ok(key)
            })
            .collect()
    }

    fn prepare_folder(&self, machine: &mut Machine, path: &Path, owner: Option<&(String, String)>) -> Result<(), Failure> {
        let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        if !self.manage_dir {
            return Ok(());
        }
        let (uid, gid) = owner.cloned().unzip();
        machine.make_dir(&folder, &Attributes { mode: Some("0700".to_owned()), owner: uid, group: gid, ..Attributes::default() })?;
        Ok(())
    }

    fn edited(&self, old: &str, wanted: &[Key]) -> String {
        let same = |left: &Key, right: &Key| left.kind == right.kind && left.data == right.data;
        let mut lines = Vec::new();
        let mut placed: Vec<&Key> = Vec::new();
        for line in edit::lines(old) {
            let found = Key::parse(&line);
            match found.as_ref().and_then(|found| wanted.iter().find(|wanted| same(found, wanted)).map(|wanted| (found, wanted))) {
                Some(_) if self.state == State::Absent => {}
                Some((found, wanted)) => {
                    lines.push(if wanted == found { line } else { wanted.line() });
                    placed.push(wanted);
                }
                None if self.exclusive && found.is_some() && self.state == State::Present => {}
                None => lines.push(line),
            }
        }
        if self.state == State::Present {
            if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
                last.push('\n');
            }
            lines.extend(wanted.iter().filter(|wanted| !placed.contains(wanted)).map(Key::line));
        }
        lines.concat()
    }
}
