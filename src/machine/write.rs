//! Writing files: atomically, by a file beside that is renamed over the old one.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use super::attributes::{self, Numbers};
use super::clock::{Moment, Zone};
use super::intent::Intent;
use super::{Attributes, Command, Content, Machine, Stat, failed};
use crate::wire::{Diff, Failure, Value};

/// Content beyond this many bytes is not shown in a diff, as in Ansible (`max_diff_size`).
pub const MAX_DIFF: usize = 104_448;

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// What the file should look like beside its content.
    pub attributes: Attributes,
    /// Keep what was there as `path.PID.date~`.
    pub backup: bool,
    /// A command that must accept the new content; `%s` is the file that holds it.
    pub validate: Option<String>,
    /// Write into the file where it cannot be replaced (a bind mount); else the task's `ANSIBLE_UNSAFE_WRITES` decides.
    pub unsafe_writes: Option<bool>,
}

/// What writing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Whether content or attributes are different now.
    pub changed: bool,
    /// Whether the content is different now.
    pub content_changed: bool,
    /// Where the old content was kept.
    pub backup: Option<PathBuf>,
}

impl Machine {
    /// Makes `path` a file with this content and these attributes. A link at `path` is replaced, not followed; see
    /// [`Machine::resolve`].
    ///
    /// # Errors
    /// A directory that does not exist, a directory at `path`, or the system's.
    pub fn write(&mut self, path: &Path, content: &Content, attributes: &Attributes) -> Result<bool, Failure> {
        let options = WriteOptions { attributes: attributes.clone(), ..WriteOptions::default() };
        Ok(self.write_with(path, content, &options)?.changed)
    }

    /// Like [`Machine::write`], for content that no diff may show.
    ///
    /// # Errors
    /// As [`Machine::write`].
    pub fn write_secret(&mut self, path: &Path, content: &Content, attributes: &Attributes) -> Result<bool, Failure> {
        let diffing = std::mem::take(&mut self.settings.diff);
        let written = self.write(path, content, attributes);
        self.settings.diff = diffing;
        written
    }

    /// Like [`Machine::write`], with options.
    ///
    /// # Errors
    /// As [`Machine::write`], and when `validate` refuses the content.
    pub fn write_with(&mut self, path: &Path, content: &Content, options: &WriteOptions) -> Result<Written, Failure> {
        let old = self.stat(path, false)?;
        if old.as_ref().is_some_and(Stat::is_dir) {
            return Err(Failure::new(format!("cannot write {}: it is a directory", path.display())));
        }
        let file = old.as_ref().filter(|old| old.is_file());
        let same = file.is_some() && content.equals(path).map_err(|error| failed("read", path, &error))?;
        if same {
            let changed = self.attributes(path, &options.attributes)?;
            return Ok(Written { changed, ..Written::default() });
        }
        let mut written = Written { changed: true, content_changed: true, backup: None };
        if self.diffing() {
            self.content_diff(path, file.is_some(), content)?;
        }
        if self.checking() {
            self.changed = true;
            if file.is_some() {
                self.attributes(path, &options.attributes)?;
            }
            return Ok(written);
        }
        let in_place = options
            .unsafe_writes
            .unwrap_or_else(|| self.variable("ANSIBLE_UNSAFE_WRITES").and_then(|text| Value::from(text).to_bool()).unwrap_or(false));
        let numbers = attributes::numbers_of_new(&options.attributes, file)?;
        let digest = content.digest().map_err(|error| failed("read", path, &error))?;
        let name = Temporary::name_beside(path);
        self.intend(&Intent::Place { path, digest, temporary: &name })?;
        let temporary = match Temporary::create(name, path) {
            // Nothing can be put beside it, but it can be written itself.
            Err(_) if in_place && file.is_some() && options.validate.is_none() => {
                if options.backup {
                    written.backup = Some(self.backup(path)?);
                }
                self.rewrite(path, content)?;
                self.changed = true;
                self.attributes(path, &options.attributes)?;
                return Ok(written);
            }
            created => created?,
        };
        temporary.fill(content)?;
        if let Some(validate) = &options.validate {
            self.validate(validate, &temporary.path)?;
        }
        self.changed = true;
        if options.backup && file.is_some() {
            written.backup = Some(self.backup(path)?);
        }
        if file.is_some() {
            attributes::copy_extended(path, &temporary.path);
        }
        // Dressed before it has its name: nobody sees a secret with an open mode.
        temporary.dress(&numbers)?;
        self.put(temporary, path, content, old.is_some() && in_place)?;
        if options.attributes.flags.is_some() {
            let flags = Attributes { flags: options.attributes.flags.clone(), ..Attributes::default() };
            self.dress(path, &flags, false)?;
        }
        Ok(written)
    }

    fn put(&mut self, temporary: Temporary, path: &Path, content: &Content, in_place: bool) -> Result<(), Failure> {
        match fs::rename(&temporary.path, path) {
            Ok(()) => {
                temporary.keep();
                Ok(())
            }
            Err(error)
                if in_place
                    && matches!(
                        error.kind(),
                        io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                self.rewrite(path, content)
            }
            Err(error) => Err(failed("write", path, &error)),
        }
    }

    /// Writes into a file that cannot be replaced.
    fn rewrite(&mut self, path: &Path, content: &Content) -> Result<(), Failure> {
        let digest = content.digest().map_err(|error| failed("read", path, &error))?;
        self.intend(&Intent::Rewrite { path, digest })?;
        let file = OpenOptions::new().write(true).truncate(true).open(path);
        file.and_then(|mut file| content.write_to(&mut file)).map_err(|error| failed("write", path, &error))
    }

    /// Runs the `validate` command on a file.
    fn validate(&mut self, command: &str, file: &Path) -> Result<(), Failure> {
        if !command.contains("%s") {
            return Err(Failure::new(format!("validate must contain %s: {command}")));
        }
        let words = super::words::split(&command.replace("%s", &file.display().to_string()))
            .map_err(|error| Failure::new(format!("cannot read the validate command `{command}`: {error}")))?;
        let done = self.query(&Command { argv: words.into_iter().map(Into::into).collect(), ..Command::default() })?;
        if done.succeeded() {
            return Ok(());
        }
        Err(Failure::new("failed to validate")
            .with("exit_status", done.status)
            .with("stdout", done.stdout_text())
            .with("stderr", done.stderr_text()))
    }

    /// Copies a file to `path.PID.date~`, as Ansible names it, with mode, owner and times. This process may do so more than once
    /// in a second, so a name that is taken gets the next number.
    ///
    /// # Errors
    /// The system's.
    pub fn backup(&mut self, path: &Path) -> Result<PathBuf, Failure> {
        let stamp = local_stamp(SystemTime::now());
        let named = |number: u32| PathBuf::from([path.as_os_str(), format!(".{number}.{stamp}~").as_ref()].join(OsStr::new("")));
        let mut number = std::process::id();
        while fs::symlink_metadata(named(number)).is_ok() {
            number += 1;
        }
        let backup = named(number);
        if self.checking() {
            return Ok(backup);
        }
        self.intend(&Intent::Unknown { path: &backup, temporary: None })?;
        copy_whole(path, &backup).map_err(|error| failed("copy", path, &error))?;
        Ok(backup)
    }

    /// A file that holds `content`, for a program to read; it is gone when this machine is.
    ///
    /// # Errors
    /// The system's.
    pub fn spooled(&mut self, content: &Content) -> Result<PathBuf, Failure> {
        if let Some(path) = content.path() {
            return Ok(path.to_owned());
        }
        let mut name = String::from("rappel-file-");
        name.push_str(&super::look::hex(&self.random::<12>()?));
        let path = std::env::temp_dir().join(name);
        let temporary = Temporary::create(path.clone(), &path)?;
        temporary.fill(content)?;
        self.spooled.push(temporary);
        Ok(path)
    }

    fn content_diff(&mut self, path: &Path, exists: bool, content: &Content) -> Result<(), Failure> {
        let before = if exists { Content::of_file(path) } else { Ok(Content::Bytes(Vec::new())) };
        let before = before.and_then(|before| shown(&before)).map_err(|error| failed("read", path, &error))?;
        let after = shown(content).map_err(|error| failed("read", path, &error))?;
        let name = path.display().to_string();
        self.add_diff(Diff { before_header: if exists { name.clone() } else { String::new() }, after_header: name, before, after });
        Ok(())
    }
}

/// Content as a diff shows it.
fn shown(content: &Content) -> io::Result<String> {
    let head = content.head(MAX_DIFF + 1)?;
    if head.len() > MAX_DIFF {
        return Ok(format!("(diff skipped: file size {} is greater than {MAX_DIFF})\n", content.size()));
    }
    if head.contains(&0) {
        return Ok("(diff skipped: file appears to be binary)\n".to_owned());
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Copies content, mode, owner (where allowed) and times.
fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let meta = fs::metadata(from)?;
    fs::copy(from, to)?;
    let _ = std::os::unix::fs::chown(to, Some(meta.uid()), Some(meta.gid())); // only root may give files away
    fs::set_permissions(to, meta.permissions())?;
    let times = fs::FileTimes::new().set_accessed(meta.accessed()?).set_modified(meta.modified()?);
    match File::options().write(true).open(to) {
        Ok(file) => file.set_times(times),
        Err(_) => File::open(to)?.set_times(times),
    }
}

/// `2026-11-23@09:14:56` in local time.
fn local_stamp(now: SystemTime) -> String {
    let Moment { year, month, day, hour, minute, second, .. } = Moment::of(now, &Zone::of_host());
    format!("{year}-{month:02}-{day:02}@{hour:02}:{minute:02}:{second:02}")
}

/// A file beside the one to be written; gone when it was not renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) path: PathBuf,
    kept: bool,
}

impl Temporary {
    /// A name beside `path` that no other call of this process has.
    pub(super) fn name_beside(path: &Path) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        path.with_file_name(format!(".rappel-{}-{number}", std::process::id()))
    }

    /// Creates it, readable by its owner alone.
    fn create(name: PathBuf, path: &Path) -> Result<Self, Failure> {
        let _ = fs::remove_file(&name); // left by an older process with our number
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name) {
            Ok(_) => Ok(Self { path: name, kept: false }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                Err(Failure::new(format!("cannot write {}: the directory {} does not exist", path.display(), folder.display())))
            }
            Err(error) => Err(failed("write", path, &error)),
        }
    }

    /// The same for something that is no file: nothing is made.
    pub(super) fn named(name: PathBuf) -> Self {
        Self { path: name, kept: false }
    }

    fn fill(&self, content: &Content) -> Result<(), Failure> {
        let file = OpenOptions::new().write(true).open(&self.path);
        file.and_then(|mut file| content.write_to(&mut file)).map_err(|error| failed("write", &self.path, &error))
    }

    fn dress(&self, numbers: &Numbers) -> Result<(), Failure> {
        attributes::set(&self.path, numbers.mode, true, numbers.uid, numbers.gid, false)
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path); // nobody is left to tell
        }
    }
}
