//! Mode, owner, group and flags of what is there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, chownat};
use rustix::process::{Gid, Uid};

use super::journal::Intent;
use super::{Command, Machine, Mode, Stat, failed, owner};
use crate::wire::{Diff, Failure};

/// What a file should look like beside its content; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Octal or symbolic mode.
    pub mode: Option<String>,
    /// User name or number.
    pub owner: Option<String>,
    /// Group name or number.
    pub group: Option<String>,
    /// Flags as `chattr` takes them: `+i`, `=A`.
    pub flags: Option<String>,
    /// Change a link itself rather than what it points to. Links have no mode of their own.
    pub no_follow: bool,
}

impl Attributes {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.mode.is_none() && self.owner.is_none() && self.group.is_none() && self.flags.is_none()
    }
}

/// Attributes in the system's numbers, for one path.
struct Wanted {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Machine {
    /// Gives what is at `path` these attributes. In check mode a path that is not there yet is left out of account.
    ///
    /// # Errors
    /// An unknown user or group, a mode that cannot be read, or the system's.
    pub fn attributes(&mut self, path: &Path, wanted: &Attributes) -> Result<bool, Failure> {
        if wanted.is_empty() {
            return Ok(false);
        }
        let Some(stat) = self.stat(path, !wanted.no_follow)? else {
            return if self.checking() { Ok(false) } else { Err(Failure::new(format!("{} does not exist", path.display()))) };
        };
        let numbers = self.numbers(wanted, &stat)?;
        let flags = match &wanted.flags {
            Some(flags) => self.flags_to_change(path, flags)?,
            None => None,
        };
        let chmod = numbers.mode.filter(|mode| *mode != stat.mode());
        let uid = numbers.uid.filter(|uid| *uid != stat.uid());
        let gid = numbers.gid.filter(|gid| *gid != stat.gid());
        if chmod.is_none() && uid.is_none() && gid.is_none() && flags.is_none() {
            return Ok(false);
        }
        self.attributes_diff(path, &stat, chmod, uid, gid);
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        self.intend(&[Intent::Attributes { path }])?;
        set(path, numbers.mode, chmod.is_some(), uid, gid, wanted.no_follow)?;
        if let Some(flags) = flags {
            self.chattr(path, &flags)?;
        }
        Ok(true)
    }

    fn numbers(&self, wanted: &Attributes, stat: &Stat) -> Result<Wanted, Failure> {
        let mode = match &wanted.mode {
            Some(_) if stat.is_link() => None,
            Some(text) => Some(Mode::parse(text).map_err(Failure::new)?.apply(stat.mode(), stat.is_dir(), umask())),
            None => None,
        };
        Ok(Wanted { mode, uid: wanted.owner.as_deref().map(uid).transpose()?, gid: wanted.group.as_deref().map(gid).transpose()? })
    }

    /// The mode that something new gets: what was asked for on top of `base`, which the umask has not touched yet.
    pub(super) fn new_mode(&self, wanted: &Attributes, base: u32, directory: bool) -> Result<u32, Failure> {
        let base = base & !umask();
        match &wanted.mode {
            Some(text) => Ok(Mode::parse(text).map_err(Failure::new)?.apply(base, directory, umask())),
            None => Ok(base),
        }
    }

    fn attributes_diff(&mut self, path: &Path, stat: &Stat, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>) {
        let entries = [
            gid.map(|gid| ("group", stat.gid().to_string(), gid.to_string())),
            mode.map(|mode| ("mode", format!("\"{:04o}\"", stat.mode()), format!("\"{mode:04o}\""))),
            uid.map(|uid| ("owner", stat.uid().to_string(), uid.to_string())),
        ];
        let path = format!("{:?}", path.display().to_string());
        let text = |after: bool| {
            let mut lines: Vec<String> =
                entries.iter().flatten().map(|(name, old, new)| format!("    \"{name}\": {}", if after { new } else { old })).collect();
            lines.push(format!("    \"path\": {path}"));
            format!("{{\n{}\n}}\n", lines.join(",\n"))
        };
        self.add_diff(Diff { before: text(false), after: text(true), ..Diff::default() });
    }

    fn flags_to_change(&self, path: &Path, flags: &str) -> Result<Option<String>, Failure> {
        let (operator, letters) = match flags.strip_prefix(['+', '-', '=']) {
            Some(letters) => (flags.chars().next().unwrap_or('='), letters),
            None => ('=', flags),
        };
        let has = self.flags(path)?;
        let right = match operator {
            '+' => letters.chars().all(|letter| has.contains(letter)),
            '-' => !letters.chars().any(|letter| has.contains(letter)),
            // `e` (extents) is the file system's own business.
            _ => sorted(&has.replace('e', "")) == sorted(&letters.replace('e', "")),
        };
        Ok((!right).then(|| format!("{operator}{letters}")))
    }

    /// The flags of a file as `lsattr` shows them; empty where the file system has none.
    ///
    /// # Errors
    /// When `lsattr` cannot be run.
    pub fn flags(&self, path: &Path) -> Result<String, Failure> {
        let done = self.query(&Command::new("lsattr").arg("-d").arg("--").arg(path).plain())?;
        let text = done.stdout_text();
        Ok(text.split_whitespace().next().unwrap_or_default().replace('-', ""))
    }

    fn chattr(&mut self, path: &Path, flags: &str) -> Result<(), Failure> {
        let done = self.query(&Command::new("chattr").arg(flags).arg("--").arg(path).plain())?;
        if done.succeeded() {
            return Ok(());
        }
        Err(Failure::new(format!("cannot set the attributes {flags} of {}: {}", path.display(), done.stderr_text().trim())))
    }
}

fn sorted(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters
}

fn uid(text: &str) -> Result<u32, Failure> {
    owner::user_id(text).ok_or_else(|| Failure::new(format!("cannot change the owner: there is no user `{text}`")))
}

fn gid(text: &str) -> Result<u32, Failure> {
    owner::group_id(text).ok_or_else(|| Failure::new(format!("cannot change the group: there is no group `{text}`")))
}

/// Owner first: chown takes set-id bits away.
pub(super) fn set(path: &Path, mode: Option<u32>, chmod: bool, uid: Option<u32>, gid: Option<u32>, no_follow: bool) -> Result<(), Failure> {
    let owned = uid.is_some() || gid.is_some();
    if owned {
        let flags = if no_follow { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
        chownat(CWD, path, uid.map(Uid::from_raw), gid.map(Gid::from_raw), flags)
            .map_err(|error| failed("change the owner of", path, &error.into()))?;
    }
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    if meta.is_symlink() && no_follow {
        return Ok(());
    }
    match mode {
        Some(mode) if chmod || (owned && meta.mode() & 0o7777 != mode) => {
            fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| failed("change the mode of", path, &error))
        }
        _ => Ok(()),
    }
}

/// The file mode creation mask, read without touching it: it belongs to all threads.
pub(super) fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
}
