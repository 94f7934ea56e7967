//! Makes a file system on a device, or removes one.
//!
//! ```yaml
//! - filesystem: {dev: /dev/sdb1, fstype: ext4}
//! ```

use std::path::Path;

use super::prelude::*;
use crate::machine::{Undo, words};

choice! {
    /// Whether it is wanted.
    pub enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// Its type.
    pub enum Type {
        Bcachefs = "bcachefs", Btrfs = "btrfs", Ext2 = "ext2", Ext3 = "ext3", Ext4 = "ext4", Ext4dev = "ext4dev", F2fs = "f2fs",
        Lvm = "lvm", Ocfs2 = "ocfs2", Reiserfs = "reiserfs", Xfs = "xfs", Vfat = "vfat", Swap = "swap",
    }
}

params! {
    pub struct Filesystem {
        /// The device, or a file that is used as one.
        dev | device: PathText,
        /// Its type.
        fstype | r#type: Option<Type>,
        /// Whether it is wanted.
        state: State = State::Present,
        /// Replace a file system of another type.
        force: bool = false,
        /// Let it grow to the size of its device: `ext2` to `ext4`, `xfs`, `btrfs`.
        resizefs: bool = false,
        /// Options for the program that makes it.
        opts: Option<String>,
        /// Its number.
        uuid: Option<String>,
    }
    rules = [Rule::When("state", "present", &["fstype"])];
}

impl Module for Filesystem {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let device = machine.path(&self.dev.0);
        let shown = device.display().to_string();
        if machine.stat(&device, true)?.is_none() {
            if self.state == State::Absent {
                return Ok(machine.outcome().with("msg", format!("Device {shown} not found.")));
            }
            return Err(Failure::new(format!("Device {shown} not found.")));
        }
        let now = current(machine, &device)?;
        if self.state == State::Absent {
            if let Some(now) = now {
                let command = Command::new(machine.program("wipefs")?).arg("--all").arg(&device).plain();
                machine.act(&command, Undo::Impossible(format!("the file system {now} on {shown}")))?;
            }
            return Ok(machine.outcome());
        }
        let Some(wanted) = self.fstype else { return Err(Failure::new("state is present but all of the following are missing: fstype")) };
        let same = now.as_deref() == Some(if wanted == Type::Lvm { "LVM2_member" } else { wanted.word() });
        match now {
            Some(_) if same && self.resizefs => grow(machine, wanted, &device)?,
            Some(_) if same => {}
            Some(now) if !self.force => {
                return Err(Failure::new(format!("'{shown}' is already used as {now}, use force=true to overwrite")).with("rc", 0));
            }
            now => self.make(machine, wanted, &device, now.is_some())?,
        }
        let outcome = machine.outcome();
        let idle = !outcome.changed && self.resizefs && !machine.checking();
        Ok(if idle { outcome.with("msg", format!("{} filesystem is using the whole device {shown}", wanted.word())) } else { outcome })
    }
}

/// The type of what is on a device; `None` for nothing.
fn current(machine: &Machine, device: &Path) -> Result<Option<String>, Failure> {
    let command = Command::new(machine.program("blkid")?).args(["-c", "/dev/null", "-o", "value", "-s", "TYPE"]).arg(device).plain();
    let ran = machine.query(&command)?;
    match ran.status {
        0 => Ok(Some(ran.stdout_text().trim().to_owned()).filter(|found| !found.is_empty())),
        2 => Ok(None),
        _ => Err(ran.failure(&command)),
    }
}

impl Filesystem {
    fn make(&self, machine: &mut Machine, wanted: Type, device: &Path, over: bool) -> Result<(), Failure> {
        // Each has its own way to say "yes, really", and to be told a number.
        let (program, force, uuid): (&str, &[&str], &[&str]) = match wanted {
            Type::Lvm => ("pvcreate", &["-f"], &["-u"]),
            Type::Swap => ("mkswap", &["-f"], &["-U"]),
            Type::Xfs => ("mkfs.xfs", &["-f"], &[]),
            Type::Btrfs => ("mkfs.btrfs", &["-f"], &["-U"]),
            Type::Bcachefs => ("mkfs.bcachefs", &["--force"], &["-U"]),
            Type::F2fs => ("mkfs.f2fs", &["-f"], &[]),
            Type::Vfat => ("mkfs.vfat", &["-I"], &["-i"]),
            Type::Reiserfs => ("mkfs.reiserfs", &["-q"], &["-u"]),
            Type::Ocfs2 => ("mkfs.ocfs2", &["-Fx"], &["-U"]),
            Type::Ext2 => ("mkfs.ext2", &["-F"], &["-U"]),
            Type::Ext3 => ("mkfs.ext3", &["-F"], &["-U"]),
            Type::Ext4 | Type::Ext4dev => ("mkfs.ext4", &["-F"], &["-U"]),
        };
        let mut command = Command::new(machine.program(program)?).plain().args(force.iter().copied());
        match (&self.uuid, uuid, wanted) {
            (Some(number), [option], _) => command = command.args([option, number.as_str()]),
            (Some(number), _, Type::Xfs) => command = command.args(["-m".to_owned(), format!("uuid={number}")]),
            (Some(_), ..) => return Err(Failure::new(format!("'uuid' options (UUID) of a new file system are not supported for `{}`", wanted.word()))),
            (None, ..) => {}
        }
        let options = words::split(self.opts.as_deref().unwrap_or_default()).map_err(Failure::new)?;
        let lost = if over { format!("what was on {}", device.display()) } else { format!("the new file system on {}", device.display()) };
        machine.act(&command.args(options).arg(device), Undo::Impossible(lost)).map(drop)
    }
}

/// Grows it; the programs say whether there was anything to do.
fn grow(machine: &mut Machine, wanted: Type, device: &Path) -> Result<(), Failure> {
    let place = Command::new("findmnt").args(["-n", "-o", "TARGET", "--source"]).arg(device).plain();
    let mounted = machine.query(&place)?.stdout_text().lines().next().map(str::to_owned);
    let (command, idle) = match (wanted, &mounted) {
        (Type::Ext2 | Type::Ext3 | Type::Ext4, _) => (Command::new(machine.program("resize2fs")?).arg(device), "Nothing to do!"),
        (Type::Xfs, Some(mounted)) => (Command::new(machine.program("xfs_growfs")?).arg(mounted), "data size unchanged"),
        (Type::Btrfs, Some(mounted)) => (Command::new(machine.program("btrfs")?).args(["filesystem", "resize", "max", mounted]), "unchanged"),
        (Type::Xfs | Type::Btrfs, None) => return Err(Failure::new(format!("{} is not mounted: a file system of type {} grows only when it is", device.display(), wanted.word()))),
        _ => return Err(Failure::new(format!("module does not support resizing {} filesystem yet", wanted.word()))),
    };
    if machine.checking() {
        let why = format!("whether {} can grow is known only by trying", device.display());
        machine.warn(why);
        return Ok(());
    }
    let command = command.plain();
    let ran = machine.attempt(&command, Undo::Impossible(format!("the size of {}", device.display())))?;
    if !ran.succeeded() {
        return Err(ran.failure(&command));
    }
    if !(ran.stdout_text() + &ran.stderr_text()).contains(idle) {
        machine.mark_changed();
    }
    Ok(())
}
