//! Directories, links, removal, renaming, times.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use super::image::Look;
use super::intent::Intent;
use super::write::Temporary;
use super::{Attributes, FileKind, Machine, Stat, failed};
use crate::wire::{Failure, Value};

impl Machine {
    /// Makes `path` a directory, with its parents; every directory made here gets the attributes, as in Ansible.
    ///
    /// # Errors
    /// When something else is in the way, or the system's.
    pub fn make_dir(&mut self, path: &Path, wanted: &Attributes) -> Result<bool, Failure> {
        match self.stat(path, true)? {
            Some(stat) if stat.is_dir() => return self.attributes(path, wanted),
            Some(_) => return Err(Failure::new(format!("{} already exists and is not a directory", path.display()))),
            None => {}
        }
        self.state_diff(path, &[("state", "absent".into(), "directory".into())]);
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = Some(path);
        while let Some(directory) = at.filter(|directory| *directory != Path::new("") && !directory.exists()) {
            missing.push(directory.to_owned());
            at = directory.parent();
        }
        for directory in missing.iter().rev() {
            self.intend(&Intent::Directory { path: directory })?;
            match fs::DirBuilder::new().create(directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
                Err(error) => return Err(failed("make the directory", directory, &error)),
            }
            self.dress(directory, wanted, false)?;
        }
        Ok(true)
    }

    /// Makes `path` a symbolic link to `target`, replacing a file or link that is there.
    ///
    /// # Errors
    /// When a directory is there, or the system's.
    pub fn symlink(&mut self, target: &Path, path: &Path) -> Result<bool, Failure> {
        if fs::read_link(path).is_ok_and(|there| there == target) {
            return Ok(false);
        }
        let name = Temporary::name_beside(path);
        self.place_link((target, path), "link", &name, &Intent::Link { path, target, temporary: &name }, |temporary| {
            symlink(target, temporary)
        })
    }

    /// Makes `path` a second name of the file `target`, replacing a file or link that is there.
    ///
    /// # Errors
    /// When a directory is there, or the system's.
    pub fn hard_link(&mut self, target: &Path, path: &Path) -> Result<bool, Failure> {
        use std::os::unix::fs::MetadataExt;
        let identity = |path: &Path| fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        if identity(path).is_some() && identity(path) == identity(target) {
            return Ok(false);
        }
        let name = Temporary::name_beside(path);
        self.place_link((target, path), "hard", &name, &Intent::Unknown { path, temporary: Some(&name) }, |temporary| {
            fs::hard_link(target, temporary)
        })
    }

    fn place_link(
        &mut self,
        (target, path): (&Path, &Path),
        state: &str,
        name: &Path,
        intent: &Intent<'_>,
        make: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<bool, Failure> {
        let old = self.stat(path, false)?;
        if old.as_ref().is_some_and(Stat::is_dir) {
            return Err(Failure::new(format!("cannot make the link {}: there is a directory", path.display())));
        }
        let before = old.as_ref().map_or("absent", Stat::state);
        let source = |target: io::Result<PathBuf>| target.map_or(Value::Null, |target| target.display().to_string().into());
        let sources = ("src", source(fs::read_link(path)), target.display().to_string().into());
        let states = [sources, ("state", before.into(), state.into())];
        self.state_diff(path, states.get(..if before == state { 1 } else { 2 }).unwrap_or_default());
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        self.intend(intent)?;
        let Some(_) = old else {
            return make(path).map(|()| true).map_err(|error| failed("make the link", path, &error));
        };
        let temporary = Temporary::named(name.to_owned());
        make(&temporary.path).map_err(|error| failed("make the link", path, &error))?;
        fs::rename(&temporary.path, path).map_err(|error| failed("make the link", path, &error))?;
        // A rename between two names of one file does nothing and leaves both, so the temporary is dropped, not kept.
        Ok(true)
    }

    /// Removes whatever is at `path`: a file, a link, a directory with all that is in it.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&mut self, path: &Path) -> Result<bool, Failure> {
        let Some(stat) = self.stat(path, false)? else { return Ok(false) };
        self.state_diff(path, &[("state", stat.state().into(), "absent".into())]);
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        self.intend(&Intent::Remove { path })?;
        let removed = if stat.kind == FileKind::Directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
            _ => Ok(true),
        }
    }

    /// Removes a file of our own that is no part of what a playbook manages: no change, no undo.
    ///
    /// # Errors
    /// The system's.
    pub fn forget(&self, path: &Path) -> Result<(), Failure> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
            _ => Ok(()),
        }
    }

    /// Renames `from` to `to`, replacing a file there. Both must be on one file system.
    ///
    /// # Errors
    /// The system's.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<bool, Failure> {
        if self.stat(from, false)?.is_none() && !self.checking() {
            return Err(Failure::new(format!("cannot rename {}: it does not exist", from.display())));
        }
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        self.intend(&Intent::Rename { from, to })?;
        fs::rename(from, to).map_err(|error| failed("rename", from, &error))?;
        Ok(true)
    }

    /// Sets the time of last access and of last modification; `None` leaves one as it is.
    ///
    /// # Errors
    /// The system's.
    pub fn times(&mut self, path: &Path, accessed: Option<SystemTime>, modified: Option<SystemTime>) -> Result<bool, Failure> {
        self.retime(path, accessed, modified, |path| {
            let mut times = FileTimes::new();
            if let Some(accessed) = accessed {
                times = times.set_accessed(accessed);
            }
            if let Some(modified) = modified {
                times = times.set_modified(modified);
            }
            File::open(path)?.set_times(times)
        })
    }

    /// Sets both times to now, which whoever may write a file may do, not only its owner.
    ///
    /// # Errors
    /// The system's.
    pub fn touch(&mut self, path: &Path) -> Result<bool, Failure> {
        let now = SystemTime::now();
        let both = |clock| Timestamps { last_access: clock, last_modification: clock };
        let (seconds, nanoseconds) = since_epoch(now);
        let exact = both(Timespec { tv_sec: seconds, tv_nsec: nanoseconds });
        let whenever = both(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW });
        // An owner sets the very time that the journal has for it; others may only say "now".
        let set = |path: &Path| {
            utimensat(CWD, path, &exact, AtFlags::empty()).or_else(|_| utimensat(CWD, path, &whenever, AtFlags::empty()))?;
            Ok(())
        };
        self.retime(path, Some(now), Some(now), set)
    }

    fn retime(
        &mut self,
        path: &Path,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
        set: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<bool, Failure> {
        let Some(stat) = self.stat(path, true)? else { return Ok(false) };
        let differs = |wanted: Option<SystemTime>, there: io::Result<SystemTime>| wanted.filter(|wanted| there.ok() != Some(*wanted));
        let (accessed, modified) = (differs(accessed, stat.meta.accessed()), differs(modified, stat.meta.modified()));
        if accessed.is_none() && modified.is_none() {
            return Ok(false);
        }
        let seconds = |time: io::Result<SystemTime>| time.map_or(Value::Null, |time| since_epoch(time).0.into());
        let times = [("atime", accessed, stat.meta.accessed()), ("mtime", modified, stat.meta.modified())];
        for (name, wanted, there) in times {
            if let Some(wanted) = wanted {
                self.note_state(name, seconds(there), seconds(Ok(wanted)));
            }
        }
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        let after = Look { accessed: accessed.map(since_epoch), modified: modified.map(since_epoch), ..Look::default() };
        self.intend(&Intent::Attributes { path, after })?;
        set(path).map_err(|error| failed("set the times of", path, &error))?;
        Ok(true)
    }
}

fn since_epoch(time: SystemTime) -> (i64, i64) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos().into())
}
