//! Directories, links, removal, renaming, times.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::journal::Intent;
use super::write::Temporary;
use super::{Attributes, FileKind, Machine, Stat, failed};
use crate::wire::Failure;

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
            let mode = self.new_mode(&Attributes::default(), 0o777, true)?;
            self.intend(&[Intent::Create { path: directory, digest: None }])?;
            match fs::DirBuilder::new().mode(mode).create(directory) {
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
        self.place_link(path, "link", |temporary| symlink(target, temporary))
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
        self.place_link(path, "hard", |temporary| fs::hard_link(target, temporary))
    }

    fn place_link(&mut self, path: &Path, state: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<bool, Failure> {
        let old = self.stat(path, false)?;
        if old.as_ref().is_some_and(Stat::is_dir) {
            return Err(Failure::new(format!("cannot make the link {}: there is a directory", path.display())));
        }
        self.state_diff(path, &[("state", old.as_ref().map_or("absent", Stat::state).into(), state.into())]);
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        let Some(_) = old else {
            self.intend(&[Intent::Create { path, digest: None }])?;
            return make(path).map(|()| true).map_err(|error| failed("make the link", path, &error));
        };
        self.intend(&[Intent::Replace { path, digest: None }])?;
        let temporary = Temporary::beside(path)?;
        fs::remove_file(&temporary.path).map_err(|error| failed("make the link", path, &error))?;
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
        self.intend(&[Intent::Replace { path, digest: None }])?;
        let removed = if stat.kind == FileKind::Directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
            _ => Ok(true),
        }
    }

    /// Renames `from` to `to`, replacing a file there; across file systems it copies.
    ///
    /// # Errors
    /// The system's.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<bool, Failure> {
        if self.stat(from, false)?.is_none() && !self.checking() {
            return Err(Failure::new(format!("cannot rename {}: it does not exist", from.display())));
        }
        let replaced = self.exists(to);
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        let target = if replaced { Intent::Replace { path: to, digest: None } } else { Intent::Create { path: to, digest: None } };
        self.intend(&[target, Intent::Replace { path: from, digest: None }])?;
        fs::rename(from, to).map_err(|error| failed("rename", from, &error))?;
        Ok(true)
    }

    /// Sets the time of last access and of last modification; `None` leaves one as it is.
    ///
    /// # Errors
    /// The system's.
    pub fn times(&mut self, path: &Path, accessed: Option<SystemTime>, modified: Option<SystemTime>) -> Result<bool, Failure> {
        let Some(stat) = self.stat(path, true)? else { return Ok(false) };
        let differs = |wanted: Option<SystemTime>, there: io::Result<SystemTime>| wanted.filter(|wanted| there.ok() != Some(*wanted));
        let (accessed, modified) = (differs(accessed, stat.meta.accessed()), differs(modified, stat.meta.modified()));
        if accessed.is_none() && modified.is_none() {
            return Ok(false);
        }
        self.changed = true;
        if self.checking() {
            return Ok(true);
        }
        self.intend(&[Intent::Attributes { path }])?;
        let mut times = FileTimes::new();
        if let Some(accessed) = accessed {
            times = times.set_accessed(accessed);
        }
        if let Some(modified) = modified {
            times = times.set_modified(modified);
        }
        File::open(path).and_then(|file| file.set_times(times)).map_err(|error| failed("set the times of", path, &error))?;
        Ok(true)
    }
}
