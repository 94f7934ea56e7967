//! Reads and changes the access list of a file or directory.
//!
//! ```yaml
//! - acl: {path: /srv/shop/var, etype: user, entity: www-data, permissions: rwX, recursive: true, default: true, state: present}
//! ```
//!
//! `getfacl` and `setfacl` do the work, because they know how entries and masks add up.

use std::path::Path;

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether the entry is wanted.
    pub enum State { Absent = "absent", Present = "present", Query = "query" }
}

choice! {
    /// Whom an entry is about.
    pub enum Type { Group = "group", Mask = "mask", Other = "other", User = "user" }
}

choice! {
    /// When the mask is made anew.
    pub enum Recalculate { Default = "default", Always = "mask", Never = "no_mask" }
}

params! {
    pub struct Acl {
        /// The file or directory.
        path | name: PathText,
        /// Whether the entry is wanted; `query` only reads.
        state: State = State::Query,
        /// Whom the entry is about.
        etype: Option<Type>,
        /// The user or group.
        entity: String = "",
        /// What they may do: `rwX`.
        permissions: Option<String>,
        /// The entry in one: `user:joe:rwx`.
        entry: Option<String>,
        /// The list that new files in a directory begin with.
        default: bool = false,
        /// Everything in a directory too.
        recursive | recurse: bool = false,
        /// What a link points to, rather than the link.
        follow: bool = true,
        /// When the mask is made anew.
        recalculate_mask: Recalculate = Recalculate::Default,
        /// Lists as NFS version 4 has them.
        use_nfsv4_acls: bool = false,
    }
}

/// The most of old lists that the journal takes.
const MAX_KEPT: usize = 100_000;

/// An entry, taken apart.
struct Entry {
    default: bool,
    /// As `setfacl` takes it.
    text: String,
}

impl Module for Acl {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if self.use_nfsv4_acls {
            return Err(Failure::new("access lists of NFS version 4 are not supported"));
        }
        let given = machine.path(&self.path.0);
        if machine.stat(&given, true)?.is_none() {
            return Err(Failure::new("Path not found or not accessible."));
        }
        let path = if self.follow { machine.resolve(&given) } else { given };
        let entry = self.parsed()?;
        let get = machine.program("getfacl")?;
        let Some(entry) = entry else {
            let acl = self.read(machine, &get, &path)?;
            return Ok(machine.outcome().with("msg", "current acl").with("acl", acl));
        };
        let set = machine.program("setfacl")?;
        let mut test = self.change(&set, &entry, &path);
        test.argv.insert(1, "--test".into());
        let asked = machine.query(&test)?;
        if !asked.succeeded() {
            return Err(asked.failure(&test));
        }
        // `*` stands for a list that stays as it is; after it, the one for new files.
        if asked.stdout_text().lines().any(|line| !line.ends_with("*,*")) {
            let undo = if machine.checking() { Undo::Nothing } else { self.undo(machine, &get, &set, &path)? };
            machine.act(&self.change(&set, &entry, &path), undo)?;
        }
        let acl = self.read(machine, &get, &path)?;
        let outcome = machine.outcome().with("msg", format!("{} is {}", entry.text, self.state.word()));
        Ok(outcome.with("acl", acl))
    }
}

fn entry_of(etype: &str, entity: &str, permissions: Option<&str>, default: bool) -> Entry {
    let etype = match etype {
        "u" => "user",
        "g" => "group",
        "o" => "other",
        "m" => "mask",
        other => other,
    };
    let permissions = permissions.map_or_else(String::new, |permissions| format!(":{permissions}"));
    Entry { default, text: format!("{etype}:{entity}{permissions}") }
}

impl Acl {
    /// The entry that is wanted or not; `None` for a query.
    fn parsed(&self) -> Result<Option<Entry>, Failure> {
        if self.state == State::Query {
            let why = "'recursive' MUST NOT be set when 'state=query'.";
            return if self.recursive { Err(Failure::new(why)) } else { Ok(None) };
        }
        let absent = self.state == State::Absent;
        if absent && self.permissions.is_some() {
            return Err(Failure::new("'permissions' MUST NOT be set when 'state=absent'."));
        }
        let Some(entry) = &self.entry else {
            let Some(etype) = self.etype else { return Err(Failure::new("'etype' MUST be set when 'state=present' or 'absent'.")) };
            return Ok(Some(entry_of(etype.word(), &self.entity, self.permissions.as_deref(), self.default)));
        };
        if self.etype.is_some() || !self.entity.is_empty() || self.permissions.is_some() {
            return Err(Failure::new("'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set."));
        }
        let (default, rest) = match entry.strip_prefix("default:").or_else(|| entry.strip_prefix("d:")) {
            Some(rest) => (true, rest),
            None => (self.default, entry.as_str()),
        };
        match (rest.split(':').collect::<Vec<_>>().as_slice(), absent) {
            ([etype, entity, permissions], false) => Ok(Some(entry_of(etype, entity, Some(permissions), default))),
            ([etype, entity] | [etype, entity, _], true) => Ok(Some(entry_of(etype, entity, None, default))),
            _ => Err(Failure::new(format!("expected `type:name:permissions`, found `{entry}`; `state: absent` takes no permissions"))),
        }
    }

    fn change(&self, set: &str, entry: &Entry, path: &Path) -> Command {
        let mut command = Command::new(set).plain();
        let options = [
            (self.recursive, "--recursive"),
            (self.recalculate_mask == Recalculate::Always, "--mask"),
            (self.recalculate_mask == Recalculate::Never, "--no-mask"),
            (!self.follow, "--physical"),
            (entry.default, "-d"),
        ];
        command = command.args(options.into_iter().filter(|(given, _)| *given).map(|(_, option)| option));
        command.args([if self.state == State::Absent { "-x" } else { "-m" }, &entry.text]).arg(path)
    }

    fn listing(&self, get: &str, path: &Path) -> Command {
        let mut command = Command::new(get).plain().arg("--absolute-names");
        if self.recursive {
            command = command.arg("--recursive");
        }
        if !self.follow {
            command = command.arg("--physical");
        }
        command.arg(path)
    }

    /// The list as it is now: of a directory, or of everything in it, one after the other.
    fn read(&self, machine: &Machine, get: &str, path: &Path) -> Result<Vec<String>, Failure> {
        let mut command = self.listing(get, path);
        command.argv.insert(1, "--omit-header".into());
        if self.default {
            command.argv.insert(1, "-d".into());
        }
        let ran = machine.query(&command)?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        Ok(ran.stdout_text().trim().lines().map(str::to_owned).collect())
    }

    /// The old lists, for `setfacl` to read.
    fn undo(&self, machine: &Machine, get: &str, set: &str, path: &Path) -> Result<Undo, Failure> {
        let command = self.listing(get, path);
        let ran = machine.query(&command)?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        let (text, place) = (ran.stdout_text(), path.display());
        if text.len() > MAX_KEPT {
            return Ok(Undo::Impossible(format!("access lists below {place}: too many to keep")));
        }
        let script = "printf '%s' \"$1\" | \"$0\" --restore=-";
        Ok(Undo::Command(format!("access lists of {place}"), ["sh", "-c", script, set, &text].map(str::to_owned).to_vec()))
    }
}
