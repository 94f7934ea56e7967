//! Undoing a transaction: newest record first, each one once, never over what somebody else did since.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::image::{After, Entry, Image, Look, Time, folder_time};
use super::journal::{Cause, Line, State, Transaction, Undone, crash_point};
use super::look::absent;
use super::{Undo, failed};
use crate::wire::{Call, Digest, Failure, UndoReport};

impl Transaction {
    /// Undoes everything that is in the log. Goes on where an undo was cut off; an undo that ended says what it said.
    ///
    /// # Errors
    /// Only when the journal itself cannot be written: what could not be undone is in the report.
    pub fn undo(&mut self, cause: Cause) -> Result<UndoReport, Failure> {
        match self.state() {
            State::Ended(_) => return self.ended(),
            State::Undoing(_) => {}
            _ => self.append(&Line::Undoing { cause })?,
        }
        self.undo_entries()?;
        self.close_undo()?;
        self.ended()
    }

    /// Undoes what is still to be undone, and brings that to disk.
    pub(super) fn undo_entries(&mut self) -> Result<(), Failure> {
        for (line, entry) in self.waiting() {
            crash_point();
            let result = match self.lines.get(line) {
                Some(Line::Before { entries, .. }) => entries.get(entry).map(Entry::undo),
                Some(Line::Program { undo: Undo::Afterwards(words, argv), .. }) if self.was_run(argv) => {
                    Some(Undone::BestEffort(words.clone()))
                }
                Some(Line::Program { undo, .. }) => Some(undo.undo()),
                Some(Line::Beside { image, folder_time }) => {
                    // What was kept there is back, or was never needed.
                    if self.report().failures.is_empty() && fs::remove_file(image).is_ok() {
                        set_folder_time(image, *folder_time);
                    }
                    None
                }
                _ => None,
            };
            if let Some(result) = result {
                self.append(&Line::Undone { line, entry, result })?;
            }
        }
        rustix::fs::sync();
        Ok(())
    }

    /// Writes that the undo is over.
    pub(super) fn close_undo(&mut self) -> Result<(), Failure> {
        match self.state() {
            State::Undoing(cause) => self.append(&Line::Ended { cause }),
            _ => Ok(()),
        }
    }

    /// What an undo that has ended came to. What it no longer needs goes, here too when a crash came in between.
    pub(super) fn ended(&self) -> Result<UndoReport, Failure> {
        let report = self.report();
        // Somebody may still have to put back by hand what failed.
        if report.failures.is_empty() {
            self.drop_images()?;
        }
        Ok(report)
    }

    /// Drops what would be needed to undo it.
    pub(super) fn drop_images(&self) -> Result<(), Failure> {
        for line in &self.lines {
            let Line::Before { entries, .. } = line else { continue };
            for entry in entries {
                if let Entry::Path { before: Image::Moved { image } | Image::File { image, .. }, .. } = entry {
                    let folder_time = folder_time(image);
                    let gone = if image.is_dir() { fs::remove_dir_all(image) } else { fs::remove_file(image) };
                    gone.or_else(|error| if absent(&error) { Ok(()) } else { Err(error) })
                        .map_err(|error| failed("remove", image, &error))?;
                    set_folder_time(image, folder_time);
                }
            }
        }
        let images = self.folder.join("images");
        fs::remove_dir_all(&images)
            .or_else(|error| if absent(&error) { Ok(()) } else { Err(error) })
            .map_err(|error| failed("remove", &images, &error))
    }

    /// What is still to be undone, newest first; then what comes after all that, in the order it was done.
    fn waiting(&self) -> Vec<(usize, usize)> {
        let (mut all, mut afterwards) = (Vec::new(), Vec::<(usize, usize)>::new());
        for (number, line) in self.lines.iter().enumerate() {
            match line {
                Line::Before { entries, .. } => all.extend((0..entries.len()).map(|entry| (number, entry))),
                Line::Program { undo: Undo::Afterwards(..), .. } => afterwards.push((number, 0)),
                Line::Program { .. } | Line::Beside { .. } => all.push((number, 0)),
                Line::Undone { line, entry, .. } => {
                    all.retain(|waiting| waiting != &(*line, *entry));
                    afterwards.retain(|waiting| waiting != &(*line, *entry));
                }
                _ => {}
            }
        }
        all.reverse();
        all.extend(afterwards);
        all
    }

    /// Whether the same program was run for this undo already: several restarts of a service are undone by one.
    fn was_run(&self, argv: &[String]) -> bool {
        self.lines.iter().any(|line| {
            let Line::Undone { line, result: Undone::BestEffort(_), .. } = line else { return false };
            matches!(self.lines.get(*line), Some(Line::Program { undo: Undo::Afterwards(_, known), .. }) if known == argv)
        })
    }
}

impl Undo {
    fn undo(&self) -> Undone {
        match self {
            Self::Nothing => Undone::Exact,
            Self::Impossible(words) => Undone::Impossible(words.clone()),
            Self::Command(words, argv) | Self::Afterwards(words, argv) => tried(words, run(argv)),
            Self::Task(words, call) => tried(words, INVERSE.get().map_or_else(|| Err("no modules are here".to_owned()), |run| run(call))),
        }
    }
}

fn tried(words: &str, result: Result<(), String>) -> Undone {
    match result {
        Ok(()) => Undone::BestEffort(words.to_owned()),
        Err(reason) => Undone::Failed(format!("{words}: {reason}")),
    }
}

/// Runs the task that undoes another one; modules are above this layer.
pub type Inverse = fn(&Call) -> Result<(), String>;

static INVERSE: OnceLock<Inverse> = OnceLock::new();

/// Says how tasks of `rappel_undo` are run; the first one counts.
pub fn undo_tasks_by(run: Inverse) {
    let _ = INVERSE.set(run);
}

fn run(argv: &[String]) -> Result<(), String> {
    let (program, arguments) = argv.split_first().ok_or("there is no program to run")?;
    let mut command = std::process::Command::new(program);
    let done = command.args(arguments).stdin(Stdio::null()).output().map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("`{program}`: {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim()))
}

/// Why something was not put back.
enum Refused {
    /// Somebody else changed it.
    Conflict(String),
    System(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Entry {
    fn undo(&self) -> Undone {
        let (done, path) = match self {
            Self::Path { path, before, after, folder_time, temporary } => {
                if let Some(temporary) = temporary {
                    let _ = fs::remove_file(temporary); // a crash left it, or it is gone
                }
                let done = before.bring_back(path, after);
                if done.is_ok() {
                    set_folder_time(path, *folder_time);
                }
                (done, path)
            }
            Self::Attributes { path, before, after } => (before.dress_again(path, after), path),
            Self::Renamed { from, to, folder_times } => {
                let done = rename_back(from, to);
                set_folder_time(from, folder_times.0);
                set_folder_time(to, folder_times.1);
                (done, from)
            }
        };
        match done {
            Ok(()) => Undone::Exact,
            Err(Refused::Conflict(words)) => Undone::Conflict(words),
            Err(Refused::System(error)) => Undone::Failed(format!("{}: {error}", path.display())),
        }
    }
}

impl Image {
    /// Puts this where it was, unless it is there already or somebody else's work is.
    fn bring_back(&self, path: &Path, after: &After) -> Result<(), Refused> {
        if self.is_at(path)? {
            return Ok(());
        }
        // A rescue wrote it again: only its looks are missing.
        match self {
            Self::File { image, look, .. } if is_file(path) && digest(image)? == digest(path)? => return Ok(look.apply(path, false)?),
            Self::Link { target, look } if fs::read_link(path).is_ok_and(|there| there == *target) => return Ok(look.apply(path, true)?),
            _ => {}
        }
        if let Some(found) = after.differs_from(path)? {
            let kept = self.keep_beside(path)?;
            return Err(Refused::Conflict(format!("{}: {found}, so it was left alone{kept}", path.display())));
        }
        match self {
            Self::Absent => remove(path, after),
            Self::File { image, look, in_place: true } if is_file(path) => {
                write_into(path, image)?;
                Ok(look.apply(path, false)?)
            }
            Self::File { image, look, .. } => {
                let temporary = temporary_beside(path);
                place_file(image, look, &temporary)?;
                Ok(swap(&temporary, path)?)
            }
            Self::Link { target, look } => {
                let temporary = temporary_beside(path);
                symlink(target, &temporary)?;
                look.apply(&temporary, true)?;
                Ok(swap(&temporary, path)?)
            }
            Self::Moved { image } => Ok(fs::rename(image, path)?),
        }
    }

    /// Whether what was there is there (again, or still).
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let there = match fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if absent(&error) => return Ok(matches!(self, Self::Absent)),
            Err(error) => return Err(error),
        };
        Ok(match self {
            Self::Absent => false,
            Self::File { image, look, .. } => {
                let kept = fs::symlink_metadata(image)?;
                let same = (kept.dev(), kept.ino()) == (there.dev(), there.ino());
                same || (there.is_file() && look.fits(&there) && kept.len() == there.len() && digest(image)? == digest(path)?)
            }
            Self::Link { target, look } => there.is_symlink() && look.fits(&there) && fs::read_link(path)? == *target,
            // Not moved yet, or moved back already.
            Self::Moved { image } => fs::symlink_metadata(image).is_err(),
        })
    }

    /// Keeps what was there beside what is there now; says so in words.
    fn keep_beside(&self, path: &Path) -> io::Result<String> {
        let mut name = path.as_os_str().to_owned();
        name.push(".rappel-conflict");
        let beside = PathBuf::from(name);
        match self {
            Self::Absent => return Ok(String::new()),
            Self::File { image, look, .. } => {
                let temporary = temporary_beside(path);
                place_file(image, look, &temporary)?;
                swap(&temporary, &beside)?;
            }
            Self::Link { target, .. } => {
                let temporary = temporary_beside(path);
                symlink(target, &temporary)?;
                swap(&temporary, &beside)?;
            }
            Self::Moved { image } => fs::rename(image, &beside)?,
        }
        Ok(format!("; what was there before is in {}", beside.display()))
    }
}

impl After {
    /// What is at `path` in words, if that is not what the effect left there.
    fn differs_from(&self, path: &Path) -> io::Result<Option<&'static str>> {
        let there = match fs::symlink_metadata(path) {
            Ok(there) => Some(there),
            Err(error) if absent(&error) => None,
            Err(error) => return Err(error),
        };
        let Some(there) = there else {
            return Ok(match self {
                Self::Absent | Self::Unknown => None,
                _ => Some("somebody removed it since"),
            });
        };
        let ours = match self {
            Self::Unknown => true,
            Self::Absent => return Ok(Some("somebody made it again since")),
            Self::File(written) => there.is_file() && digest(path)? == *written,
            Self::Link(target) => there.is_symlink() && fs::read_link(path)? == *target,
            Self::Directory => there.is_dir(),
        };
        Ok((!ours).then_some("somebody changed it since"))
    }
}

impl Look {
    /// Whether `there` has this mode, owner and modification time.
    fn fits(&self, there: &fs::Metadata) -> bool {
        let there = Self::of(there);
        (self.mode, self.uid, self.gid, self.modified) == (there.mode, there.uid, there.gid, there.modified)
    }

    /// Gives all of it to `path`, a link itself included.
    fn apply(&self, path: &Path, link: bool) -> io::Result<()> {
        if let Err(error) = lchown(path, self.uid, self.gid) {
            let there = fs::symlink_metadata(path)?;
            if (Some(there.uid()), Some(there.gid())) != (self.uid, self.gid) {
                return Err(error);
            }
        }
        if let Some(mode) = self.mode.filter(|_| !link) {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        set_times(path, self.accessed, self.modified)
    }

    /// Undoes a change of attributes: what the effect set is set back, if nobody else has set it since.
    fn dress_again(&self, path: &Path, after: &Self) -> Result<(), Refused> {
        let there = match fs::metadata(path) {
            Ok(there) => Self::of(&there),
            Err(error) if absent(&error) => return Err(Refused::Conflict(format!("{}: somebody removed it since", path.display()))),
            Err(error) => return Err(error.into()),
        };
        if *after == Self::default() {
            return Ok(self.apply(path, false)?); // a program did what it liked
        }
        let theirs = |was: Option<u32>, made: Option<u32>, is: Option<u32>| made.is_some() && is != made && is != was;
        if theirs(self.uid, after.uid, there.uid) || theirs(self.gid, after.gid, there.gid) {
            return Err(Refused::Conflict(format!("{}: somebody changed its owner since, so that was left alone", path.display())));
        }
        if theirs(self.mode, after.mode, there.mode) {
            return Err(Refused::Conflict(format!("{}: somebody changed its mode since, so that was left alone", path.display())));
        }
        let owned = after.uid.is_some() || after.gid.is_some();
        if owned {
            std::os::unix::fs::chown(path, self.uid.filter(|_| after.uid.is_some()), self.gid.filter(|_| after.gid.is_some()))?;
        }
        if let Some(mode) = self.mode.filter(|_| owned || after.mode.is_some()) {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        let accessed = self.accessed.filter(|_| after.accessed.is_some());
        // A file that was written to since keeps the time of that.
        let modified = self.modified.filter(|_| after.modified.is_some() && after.modified == there.modified);
        if accessed.is_some() || modified.is_some() {
            set_times(path, accessed, modified)?;
        }
        Ok(())
    }
}

fn remove(path: &Path, after: &After) -> Result<(), Refused> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !there.is_dir() {
        return Ok(fs::remove_file(path)?);
    }
    if *after == After::Unknown {
        return Ok(fs::remove_dir_all(path)?);
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Err(Refused::Conflict(format!("{}: somebody put something into it since, so it was left", path.display())))
        }
        other => Ok(other?),
    }
}

fn rename_back(from: &Path, to: &Path) -> Result<(), Refused> {
    match (fs::symlink_metadata(from).is_ok(), fs::symlink_metadata(to).is_ok()) {
        (false, true) => Ok(fs::rename(to, from)?),
        (true, false) => Ok(()),
        (true, true) => Err(Refused::Conflict(format!("{}: somebody made it again since, so {} was left", from.display(), to.display()))),
        (false, false) => Err(Refused::Conflict(format!("{}: somebody removed it since", to.display()))),
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_file())
}

/// Makes `path` the file that is kept at `image`: the same file when it is on the same disk, else a copy.
fn place_file(image: &Path, look: &Look, path: &Path) -> io::Result<()> {
    let kept = fs::symlink_metadata(image)?;
    if look.fits(&kept) && fs::hard_link(image, path).is_ok() {
        return Ok(());
    }
    fs::copy(image, path)?;
    File::open(path)?.sync_all()?;
    look.apply(path, false)
}

fn write_into(path: &Path, image: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    io::copy(&mut File::open(image)?, &mut file)?;
    file.flush()?;
    file.sync_all()
}

/// A name beside `path` that nobody uses; what an undo that was cut off left there is dropped.
fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".rappel-undo-{name}"));
    let _ = fs::remove_file(&temporary);
    temporary
}

/// Puts `temporary` at `path`; two names of one file are left as one.
fn swap(temporary: &Path, path: &Path) -> io::Result<()> {
    crash_point();
    fs::rename(temporary, path)?;
    match fs::remove_file(temporary) {
        Err(error) if !absent(&error) => Err(error),
        _ => Ok(()),
    }
}

fn set_folder_time(path: &Path, time: Option<Time>) {
    if let (Some(folder), Some(time)) = (path.parent(), time) {
        // A nicety: nothing depends on it.
        let _ = set_times(folder, None, Some(time));
    }
}

fn set_times(path: &Path, accessed: Option<Time>, modified: Option<Time>) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
    let time = |time: Option<Time>| match time {
        Some((tv_sec, nanoseconds)) => Timespec { tv_sec, tv_nsec: nanoseconds },
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    };
    let times = Timestamps { last_access: time(accessed), last_modification: time(modified) };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn digest(path: &Path) -> io::Result<Digest> {
    Digest::of_reader(&mut File::open(path)?)
}

/// How long ago the controller was heard, by the host's clock.
pub(super) fn silence(folder: &Path) -> Option<Duration> {
    let heard = fs::metadata(folder.join("heartbeat")).and_then(|meta| meta.modified()).ok()?;
    SystemTime::now().duration_since(heard).ok()
}
