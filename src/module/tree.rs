//! Makes a directory what another one is: the host's part of `synchronize`.
//!
//! ```yaml
//! - synchronize: {src: build/, dest: /srv/shop/, delete: true}
//! ```
//!
//! Files are compared by what they hold, and every change is in the journal: the old tree comes back as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Field as _;
use super::copy::entries_of;
use super::filter::Filter;
use super::prelude::*;
use crate::machine::owner::{self, Names};
use crate::machine::{Algorithm, Entry, Item, Mode, Received, WriteOptions};

params! {
    pub struct TreeModule {
        /// The directory or file as it was named; a slash at its end stands for what is in it.
        src: LocalFile,
        /// Where to.
        dest: PathText,
        /// `src` is on the host.
        remote_src: bool = false,
        /// How what came along looks, the directory itself first: mode, seconds and nanoseconds of the time, user, its number, group, its
        /// number.
        looks: Vec<Vec<Value>> = Vec::<Vec<Value>>::new(),
        /// Remove what is not in `src`.
        delete: bool = false,
        /// Remove also what a pattern leaves out.
        delete_excluded: bool = false,
        /// Give modes too.
        perms: bool = true,
        /// Give times too.
        times: bool = true,
        /// Give times of directories too.
        directory_times: bool = true,
        /// Give owners too, as root.
        owner: bool = true,
        /// Give groups too, as root.
        group: bool = true,
        /// Make links.
        links: bool = true,
        /// Follow links of the source.
        copy_links: bool = false,
        /// Make nothing that is not there.
        existing_only: bool = false,
        /// Change nothing that is there.
        ignore_existing: bool = false,
        /// Patterns of what is left out, after `- `, or not, after `+ `.
        filter: Vec<String> = Vec::<String>::new(),
        /// Changes of modes, as `rsync --chmod` takes them.
        chmod: Vec<String> = Vec::<String>::new(),
        /// Owner and group of everything.
        chown: Option<String>,
        /// Only tell what there is at `src`, which is on the host: path, kind, checksum or target, and how it looks.
        list: bool = false,
    }
}

/// What an entry looks like beside its content.
#[derive(Clone, Default)]
struct Look {
    modified: Option<SystemTime>,
    owner: Option<String>,
    group: Option<String>,
}

/// What is to be made: a file, or a directory and everything in it.
struct Wanted {
    whole: bool,
    /// The directory itself is the first, with an empty path.
    entries: Vec<(Entry, Look)>,
}

impl Module for TreeModule {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let filter = Filter::parse(&self.filter).map_err(Failure::new)?;
        let dest = machine.path(&self.dest.0);
        let Wanted { whole, entries } = self.wanted(machine, &filter)?;
        if self.list {
            return self.listed(machine, &entries);
        }
        let name = Path::new(&self.src.0).file_name();
        let inside = name.filter(|_| if whole { !self.src.0.ends_with('/') } else { self.dest.0.ends_with('/') || machine.is_dir(&dest) });
        let root = inside.map_or_else(|| dest.clone(), |name| dest.join(name));
        if let Some(folder) = root.parent().filter(|folder| !machine.is_dir(folder)) {
            machine.make_dir(folder, &Attributes::default())?;
        }
        let at = |entry: &Entry| if entry.path.as_os_str().is_empty() { root.clone() } else { root.join(&entry.path) };
        let mut said = Vec::new();
        for (entry, look) in &entries {
            machine.go_on()?;
            let path = at(entry);
            if self.place(machine, entry, look, &path)? {
                said.push(path.display().to_string());
            }
        }
        if self.delete && whole {
            self.clear(machine, &root, &entries, &filter, &mut said)?;
        }
        // What is written into a directory changes its time, so those come last, the inner ones first.
        for (entry, look) in entries.iter().rev().filter(|(entry, _)| self.directory_times && matches!(entry.item, Item::Directory)) {
            self.stamp(machine, look, &at(entry))?;
        }
        let outcome = machine.outcome().with("msg", said.join("\n")).with("stdout_lines", said).with("rc", 0);
        Ok(outcome.with("dest", root.display().to_string()))
    }
}

impl TreeModule {
    fn wanted(&self, machine: &Machine, filter: &Filter) -> Result<Wanted, Failure> {
        let mut looks = Looks::new(&self.looks);
        match machine.received("src").cloned() {
            Some(Received::File(content)) => {
                let (mode, look) = looks.next(0o644);
                Ok(Wanted { whole: false, entries: vec![(Entry { path: PathBuf::new(), mode, item: Item::File(content) }, look)] })
            }
            Some(Received::Tree(entries)) => {
                let (mode, look) = looks.next(0o755);
                let root = (Entry { path: PathBuf::new(), mode, item: Item::Directory }, look);
                let inside = entries.into_iter().map(|entry| {
                    let (_, look) = looks.next(entry.mode);
                    (entry, look)
                });
                Ok(Wanted { whole: true, entries: std::iter::once(root).chain(inside).collect() })
            }
            None if self.remote_src => self.on_host(machine, filter),
            None => Err(Failure::new(format!("the content of `{}` did not come along", self.src.0))),
        }
    }

    fn listed(&self, machine: &mut Machine, entries: &[(Entry, Look)]) -> Result<Outcome, Failure> {
        let (source, mut names) = (machine.path(&self.src.0), Names::default());
        let mut rows = Vec::new();
        for (entry, _) in entries {
            machine.go_on()?;
            let path = if entry.path.as_os_str().is_empty() { source.clone() } else { source.join(&entry.path) };
            let (kind, what) = match &entry.item {
                Item::Directory => ("directory", String::new()),
                Item::Link(target) => ("link", target.display().to_string()),
                Item::File(_) => ("file", machine.checksum(&path, Algorithm::Sha1)?),
            };
            let follow = self.copy_links || entry.path.as_os_str().is_empty();
            let Some(stat) = machine.stat(&path, follow)? else { continue };
            let (user, group): (Value, Value) = (names.user(stat.uid()).into(), names.group(stat.gid()).into());
            let look = vec![entry.mode.into(), stat.meta.mtime().into(), stat.meta.mtime_nsec().into(), user, stat.uid().into(), group, stat.gid().into()];
            let row = vec![entry.path.display().to_string().into(), kind.into(), what.into(), Value::List(look)];
            rows.push(Value::List(row));
        }
        Ok(machine.outcome().with("entries", rows))
    }

    fn on_host(&self, machine: &Machine, filter: &Filter) -> Result<Wanted, Failure> {
        let source = machine.path(&self.src.0);
        let Some(stat) = machine.stat(&source, true)? else { return Err(Failure::new(format!("Source {} not found", self.src.0))) };
        let mut names = Names::default();
        let whole = stat.is_dir();
        let item = if whole { Item::Directory } else { Item::File(machine.content_of(&source)?) };
        let mut entries = vec![(Entry { path: PathBuf::new(), mode: stat.mode(), item }, Look::of(&stat, &mut names))];
        let mut found = if whole { entries_of(machine, &source, self.copy_links)? } else { Vec::new() };
        found.sort_by(|one, other| one.path.cmp(&other.path));
        let mut left_out: Vec<PathBuf> = Vec::new();
        for entry in found {
            if left_out.iter().any(|folder| entry.path.starts_with(folder)) {
                continue;
            }
            if filter.excludes(&self.under_root(&entry.path), matches!(entry.item, Item::Directory)) {
                left_out.push(entry.path);
                continue;
            }
            let look = machine.stat(&source.join(&entry.path), self.copy_links)?.map(|stat| Look::of(&stat, &mut names)).unwrap_or_default();
            entries.push((entry, look));
        }
        Ok(Wanted { whole, entries })
    }

    /// A path as patterns see it: without a slash at the end of `src`, the directory itself is part of it.
    fn under_root(&self, path: &Path) -> String {
        let name = Path::new(&self.src.0).file_name().filter(|_| !self.src.0.ends_with('/'));
        name.map_or_else(|| path.to_owned(), |name| Path::new(name).join(path)).to_string_lossy().into_owned()
    }

    fn attributes(&self, machine: &Machine, entry: &Entry, look: &Look) -> Result<Attributes, Failure> {
        let directory = matches!(entry.item, Item::Directory);
        let mut mode = (self.perms || !self.chmod.is_empty()).then_some(entry.mode);
        for clause in &self.chmod {
            let of = clause.strip_prefix('D').map(|rest| (true, rest)).or_else(|| clause.strip_prefix('F').map(|rest| (false, rest)));
            let (kind, change) = of.map_or((directory, clause.as_str()), |(kind, rest)| (kind, rest));
            if kind == directory {
                let change = Mode::parse(change)?;
                mode = mode.map(|mode| change.apply(mode, directory, 0));
            }
        }
        let root = machine.privileged();
        let (mut user, mut group) = (look.owner.clone().filter(|_| self.owner && root), look.group.clone().filter(|_| self.group && root));
        if let Some(chown) = &self.chown {
            let (owner, of) = chown.split_once(':').unwrap_or((chown, ""));
            user = Some(owner.to_owned()).filter(|owner| !owner.is_empty()).or(user);
            group = Some(of.to_owned()).filter(|of| !of.is_empty()).or(group);
        }
        let link = matches!(entry.item, Item::Link(_));
        let mode = mode.filter(|_| !link).map(|mode| format!("{mode:o}"));
        Ok(Attributes { mode, owner: user, group, flags: None, no_follow: link })
    }

    /// Puts one entry in its place; whether that changed anything.
    fn place(&self, machine: &mut Machine, entry: &Entry, look: &Look, path: &Path) -> Result<bool, Failure> {
        let there = machine.stat(path, false)?;
        if there.is_none() && self.existing_only || there.as_ref().is_some_and(|there| self.ignore_existing && !there.is_dir()) {
            return Ok(false);
        }
        let attributes = self.attributes(machine, entry, look)?;
        // A directory gives way to a file, and a file or link to a directory.
        let in_the_way = match (&entry.item, &there) {
            (Item::Directory, Some(there)) => !there.is_dir(),
            (_, Some(there)) => there.is_dir(),
            _ => false,
        };
        if in_the_way {
            machine.remove(path)?;
            // A prediction still finds what is in the way.
            if machine.checking() {
                return Ok(true);
            }
        }
        match &entry.item {
            Item::Directory => machine.make_dir(path, &attributes),
            Item::Link(_) if !self.links => Ok(false),
            Item::Link(target) => {
                let made = machine.symlink(target, path)?;
                Ok((machine.exists(path) && machine.attributes(path, &attributes)?) || made)
            }
            Item::File(content) => {
                let written = machine.write_with(path, content, &WriteOptions { attributes, ..WriteOptions::default() })?;
                Ok(self.stamp(machine, look, path)? || written.changed)
            }
        }
    }

    fn stamp(&self, machine: &mut Machine, look: &Look, path: &Path) -> Result<bool, Failure> {
        match look.modified.filter(|_| self.times) {
            Some(modified) => machine.times(path, None, Some(modified)),
            None => Ok(false),
        }
    }

    /// Removes what the source does not have; what a pattern leaves out is safe.
    fn clear(&self, machine: &mut Machine, root: &Path, entries: &[(Entry, Look)], filter: &Filter, said: &mut Vec<String>) -> Result<(), Failure> {
        let known: BTreeSet<&Path> = entries.iter().map(|(entry, _)| entry.path.as_path()).collect();
        for (entry, _) in entries.iter().filter(|(entry, _)| matches!(entry.item, Item::Directory)) {
            let place = root.join(&entry.path);
            if machine.stat(&place, false)?.is_none_or(|stat| !stat.is_dir()) {
                continue;
            }
            for path in machine.list(&place)? {
                let Ok(relative) = path.strip_prefix(root) else { continue };
                let directory = machine.stat(&path, false)?.is_some_and(|stat| stat.is_dir());
                let kept = !self.delete_excluded && filter.excludes(&self.under_root(relative), directory);
                if !known.contains(relative) && !kept {
                    machine.remove(&path)?;
                    said.push(format!("deleting {}", path.display()));
                }
            }
        }
        Ok(())
    }
}

impl Look {
    fn of(stat: &Stat, names: &mut Names) -> Self {
        let modified = stamp(stat.meta.mtime(), stat.meta.mtime_nsec());
        Self { modified, owner: Some(names.user(stat.uid()).to_owned()), group: Some(names.group(stat.gid()).to_owned()) }
    }
}

/// What the controller says of how entries look, one after the other. A name that this host does not have is a number here, as
/// with rsync.
struct Looks<'a> {
    given: std::slice::Iter<'a, Vec<Value>>,
    users: BTreeMap<String, bool>,
    groups: BTreeMap<String, bool>,
}

impl<'a> Looks<'a> {
    fn new(given: &'a [Vec<Value>]) -> Self {
        Self { given: given.iter(), users: BTreeMap::new(), groups: BTreeMap::new() }
    }

    fn next(&mut self, mode: u32) -> (u32, Look) {
        let Some(look) = self.given.next() else { return (mode, Look::default()) };
        let text = |at: usize| look.get(at).map(Value::to_text).unwrap_or_default();
        let (user, group) = (text(3), text(5));
        let has_user = *self.users.entry(user.clone()).or_insert_with(|| owner::User::named(&user).is_some());
        let has_group = *self.groups.entry(group.clone()).or_insert_with(|| owner::Group::named(&group).is_some());
        let owner = if has_user { user } else { number(look, 4).to_string() };
        let group = if has_group { group } else { number(look, 6).to_string() };
        let mode = u32::try_from(number(look, 0)).unwrap_or(mode);
        (mode, Look { modified: stamp(number(look, 1), number(look, 2)), owner: Some(owner), group: Some(group) })
    }
}

fn number(look: &[Value], at: usize) -> i64 {
    look.get(at).and_then(|value| i64::decode(value).ok()).unwrap_or_default()
}

fn stamp(seconds: i64, nanoseconds: i64) -> Option<SystemTime> {
    let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}
