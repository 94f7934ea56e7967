//! Mode, owner, group and flags of what is there.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, XattrFlags, chownat, ioctl_getflags, lgetxattr, llistxattr, lsetxattr};
use rustix::process::{Gid, Uid};
use serde::Serialize;

use super::image::Look;
use super::intent::Intent;
use super::{Command, Machine, Mode, Stat, failed, owner};
use crate::wire::{Diff, Failure, Map, Value};

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

/// The kernel's inode flags and the letters that `lsattr` has for them, in its order.
const FLAGS: [(u32, char); 19] = [
    (0x1, 's'),
    (0x2, 'u'),
    (0x8, 'S'),
    (0x1_0000, 'D'),
    (0x10, 'i'),
    (0x20, 'a'),
    (0x40, 'd'),
    (0x80, 'A'),
    (0x4, 'c'),
    (0x800, 'E'),
    (0x4000, 'j'),
    (0x1000, 'I'),
    (0x8000, 't'),
    (0x2_0000, 'T'),
    (0x8_0000, 'e'),
    (0x80_0000, 'C'),
    (0x1000_0000, 'N'),
    (0x2000_0000, 'P'),
    (0x10_0000, 'V'),
];

/// Attributes in the system's numbers, for one path.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Machine {
    /// Gives what is at `path` these attributes. In check mode a path that is not there yet is left out of account.
    ///
    /// # Errors
    /// An unknown user or group, a mode that cannot be read, or the system's.
    pub fn attributes(&mut self, path: &Path, wanted: &Attributes) -> Result<bool, Failure> {
        self.dress(path, wanted, true)
    }

    /// Like [`Machine::attributes`]; something that was made just now is `shown` as made,
    /// not as changed, and its undo is to be gone.
    pub(super) fn dress(&mut self, path: &Path, wanted: &Attributes, shown: bool) -> Result<bool, Failure> {
        if wanted.is_empty() {
            return Ok(false);
        }
        let Some(stat) = self.stat(path, !wanted.no_follow)? else {
            return if self.checking() { Ok(false) } else { Err(Failure::new(format!("{} does not exist", path.display()))) };
        };
        let numbers = numbers(wanted, &stat)?;
        let flags = match &wanted.flags {
            Some(flags) => self.flags_to_change(path, flags),
            None => None,
        };
        let chmod = numbers.mode.filter(|mode| *mode != stat.mode());
        let uid = numbers.uid.filter(|uid| *uid != stat.uid());
        let gid = numbers.gid.filter(|gid| *gid != stat.gid());
        if chmod.is_none() && uid.is_none() && gid.is_none() && flags.is_none() {
            return Ok(false);
        }
        if shown {
            self.attributes_diff(path, &stat, chmod, uid, gid);
        }
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        if shown {
            let after = Look { mode: chmod, uid, gid, ..Look::default() };
            self.intend(&Intent::Attributes { path, after })?;
        }
        set(path, numbers.mode, chmod.is_some(), uid, gid, wanted.no_follow)?;
        if let Some(flags) = flags {
            self.chattr(path, &flags)?;
        }
        Ok(true)
    }

    fn attributes_diff(&mut self, path: &Path, stat: &Stat, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>) {
        let entries: Vec<(&str, Value, Value)> = [
            gid.map(|gid| ("group", stat.gid().into(), gid.into())),
            mode.map(|mode| ("mode", format!("{:04o}", stat.mode()).into(), format!("{mode:04o}").into())),
            uid.map(|uid| ("owner", stat.uid().into(), uid.into())),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.state_diff(path, &entries);
    }

    /// Adds a diff of things beside the content: name, before, after.
    pub(super) fn state_diff(&mut self, path: &Path, entries: &[(&str, Value, Value)]) {
        for (name, before, after) in entries {
            self.note_state(name, before.clone(), after.clone());
        }
        if !self.diffing() {
            return;
        }
        let text = |side: fn(&(&str, Value, Value)) -> Value| {
            let path = ("path".to_owned(), Value::from(path.display().to_string()));
            let mut map: Map = entries.iter().map(|entry| (entry.0.to_owned(), side(entry))).chain([path]).collect();
            map.sort_keys();
            indented(&map)
        };
        self.add_diff(Diff { before: text(|entry| entry.1.clone()), after: text(|entry| entry.2.clone()), ..Diff::default() });
    }

    /// Keeps what changes beside the content for [`Machine::states`].
    pub(super) fn note_state(&mut self, name: &str, before: Value, after: Value) {
        match self.states.iter_mut().find(|state| state.0 == name) {
            Some(state) => state.2 = after,
            None => self.states.push((name.to_owned(), before, after)),
        }
    }

    fn flags_to_change(&self, path: &Path, flags: &str) -> Option<String> {
        let (operator, letters) = match flags.strip_prefix(['+', '-', '=']) {
            Some(letters) => (flags.chars().next().unwrap_or('='), letters),
            None => ('=', flags),
        };
        let has = self.flags(path);
        let right = match operator {
            '+' => letters.chars().all(|letter| has.contains(letter)),
            '-' => !letters.chars().any(|letter| has.contains(letter)),
            // `e` (extents) is the file system's own business.
            _ => sorted(&has.replace('e', "")) == sorted(&letters.replace('e', "")),
        };
        (!right).then(|| format!("{operator}{letters}"))
    }

    /// The flags of a file or directory as `lsattr` shows them; empty where the file system has none.
    pub fn flags(&self, path: &Path) -> String {
        // A device must not be opened just to look at it.
        let plain = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir());
        let Some(flags) = plain.then(|| File::open(path).ok().and_then(|file| ioctl_getflags(file).ok())).flatten() else {
            return String::new();
        };
        FLAGS.iter().filter(|(bit, _)| flags.bits() & bit != 0).map(|(_, letter)| letter).collect()
    }

    fn chattr(&mut self, path: &Path, flags: &str) -> Result<(), Failure> {
        let done = self.query(&Command::new("chattr").arg(flags).arg("--").arg(path).plain())?;
        if done.succeeded() {
            return Ok(());
        }
        Err(Failure::new(format!("cannot set the attributes {flags} of {}: {}", path.display(), done.stderr_text().trim())))
    }
}

/// JSON with an indent of four, as Ansible shows such a diff.
fn indented(map: &Map) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, serde_json::ser::PrettyFormatter::with_indent(b"    "));
    // Text, numbers and lists of them: nothing that JSON could refuse.
    let _ = map.serialize(&mut serializer);
    String::from_utf8_lossy(&out).into_owned() + "\n"
}

fn sorted(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters
}

fn numbers(wanted: &Attributes, stat: &Stat) -> Result<Numbers, Failure> {
    let mode = match &wanted.mode {
        Some(_) if stat.is_link() => None,
        Some(text) => Some(Mode::parse(text)?.apply(stat.mode(), stat.is_dir(), umask())),
        None => None,
    };
    Ok(Numbers { mode, uid: wanted.owner.as_deref().map(uid).transpose()?, gid: wanted.group.as_deref().map(gid).transpose()? })
}

/// What a new file gets that takes the place of `old`: what was asked for, else what `old` has, else the default.
pub(super) fn numbers_of_new(wanted: &Attributes, old: Option<&Stat>) -> Result<Numbers, Failure> {
    let base = old.map_or(0o666 & !umask(), Stat::mode);
    let mode = match &wanted.mode {
        Some(text) => Mode::parse(text)?.apply(base, false, umask()),
        None => base,
    };
    // Without privilege a file of somebody else's becomes ours, as in Ansible.
    let privileged = rustix::process::geteuid().is_root();
    let owner = wanted.owner.as_deref().map(uid).transpose()?.or_else(|| old.filter(|_| privileged).map(Stat::uid));
    let group = wanted.group.as_deref().map(gid).transpose()?.or_else(|| old.filter(|_| privileged).map(Stat::gid));
    Ok(Numbers { mode: Some(mode), uid: owner, gid: group })
}

fn uid(text: &str) -> Result<u32, Failure> {
    owner::user_id(text).ok_or_else(|| Failure::new(format!("chown failed: failed to look up user {text}")))
}

fn gid(text: &str) -> Result<u32, Failure> {
    owner::group_id(text).ok_or_else(|| Failure::new(format!("chgrp failed: failed to look up group {text}")))
}

/// Gives `to` the access list, the SELinux context and the user's attributes of `from`, as far as the file system and our rights
/// allow: what cannot be kept is no reason not to write.
pub(super) fn copy_extended(from: &Path, to: &Path) {
    let mut names = vec![0; 4096];
    let Ok(length) = llistxattr(from, names.as_mut_slice()) else { return };
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if name != "system.posix_acl_access" && name != "security.selinux" && !name.starts_with("user.") {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = lgetxattr(from, name, value.as_mut_slice()) {
            let _ = lsetxattr(to, name, value.get(..length).unwrap_or_default(), XattrFlags::empty()); // see above
        }
    }
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
