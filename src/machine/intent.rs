//! The door between effects and the journal: every effect says what it is about to do, and only then does it.

use std::fs;
use std::path::{Path, PathBuf};

use super::image::{After, Entry, Image, Look, folder_time, save, second_name};
use super::journal::{Line, State, Transaction, crash_point};
use super::{Machine, Undo, failed};
use crate::wire::{Call, Digest, Failure};

/// What an effect is about to do to one path.
#[derive(Debug)]
pub(super) enum Intent<'a> {
    /// Put a file with this content at a path, over whatever is there, leaving the old file itself untouched.
    Place { path: &'a Path, digest: Digest, temporary: &'a Path },
    /// Write this content into the file that is there.
    Rewrite { path: &'a Path, digest: Digest },
    /// Put a link at a path, over whatever file is there.
    Link { path: &'a Path, target: &'a Path, temporary: &'a Path },
    /// Make a directory where nothing is.
    Directory { path: &'a Path },
    /// Put something at a path whose content is not known, over whatever file is there.
    Unknown { path: &'a Path, temporary: Option<&'a Path> },
    /// Remove what is at a path. Directories are gone afterwards: moved to the journal.
    Remove { path: &'a Path },
    /// Change attributes; what is `None` stays.
    Attributes { path: &'a Path, after: Look },
    /// Give a path another name.
    Rename { from: &'a Path, to: &'a Path },
}

impl Machine {
    /// Writes the undo of what comes next to the journal, synced, when a transaction is open.
    ///
    /// # Errors
    /// When it cannot be written or saved; then nothing was changed.
    pub(super) fn intend(&mut self, intent: &Intent<'_>) -> Result<(), Failure> {
        match &mut self.settings.journal {
            Some(journal) => journal.intend(intent),
            None => Ok(()),
        }
    }

    /// Announces that a program is about to make, replace or remove these files and directories.
    ///
    /// Files that are there are copied to the journal. Of directories only the looks are kept: name what is in them too.
    ///
    /// # Errors
    /// When it cannot be written or saved; then nothing was changed.
    pub fn protect(&mut self, files: &[PathBuf], directories: &[PathBuf]) -> Result<(), Failure> {
        match &mut self.settings.journal {
            Some(journal) if !self.settings.check => journal.protect(files, directories),
            _ => Ok(()),
        }
    }

    /// Writes to the journal that what comes next cannot be undone, in words for the report.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn cannot_undo(&mut self, words: impl Into<String>) -> Result<(), Failure> {
        self.intend_program(Undo::Impossible(words.into()))
    }

    /// Writes the undo of what a module is about to ask of a service to the journal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn announce(&mut self, undo: Undo) -> Result<(), Failure> {
        self.intend_program(undo)
    }

    /// Writes the undo of the program that is run next to the journal, synced, when a transaction is open.
    pub(super) fn intend_program(&mut self, undo: Undo) -> Result<(), Failure> {
        match &mut self.settings.journal {
            Some(journal) if !matches!(undo, Undo::Nothing) => journal.append_program(undo),
            _ => Ok(()),
        }
    }
}

/// The journal of the transaction that a call belongs to.
#[derive(Debug)]
pub struct Recorder {
    transaction: Transaction,
    step: u32,
    /// How many images there are; each gets a name of its own.
    images: usize,
    /// The task brought its own undo for what programs do.
    declared: bool,
}

impl Recorder {
    /// Takes the records of step `step`, which `inverse` undoes if the task says so.
    ///
    /// # Errors
    /// When the transaction is over, or was never begun.
    pub fn new(transaction: Transaction, step: u32, inverse: Option<Call>) -> Result<Self, Failure> {
        let (begin, _) = transaction.begin()?;
        if transaction.state() != State::Open {
            let (id, state) = (&begin.id, transaction.state().word());
            return Err(Failure::new(format!("transaction `{id}` is {state} on this host: nothing more can be done in it")));
        }
        let images = transaction.lines.iter().map(|line| if let Line::Before { entries, .. } = line { entries.len() } else { 0 }).sum();
        let mut recorder = Self { transaction, step, images, declared: false };
        if let Some(inverse) = inverse {
            recorder.append_program(Undo::Task(format!("`{}` of `rappel_undo`", inverse.module), Box::new(inverse)))?;
            recorder.declared = true;
        }
        Ok(recorder)
    }

    fn intend(&mut self, intent: &Intent<'_>) -> Result<(), Failure> {
        let entry = match *intent {
            Intent::Attributes { path, ref after } => {
                let meta = fs::metadata(path).map_err(|error| failed("look at", path, &error))?;
                Entry::Attributes { path: path.to_owned(), before: Look::of(&meta), after: after.clone() }
            }
            Intent::Rename { from, to } => {
                let folder_times = (folder_time(from), folder_time(to));
                if fs::symlink_metadata(to).is_ok() {
                    let replaced = self.path(to, true, After::Unknown, None)?;
                    self.write(vec![replaced])?;
                }
                Entry::Renamed { from: from.to_owned(), to: to.to_owned(), folder_times }
            }
            Intent::Place { path, digest, temporary } => self.path(path, true, After::File(digest), Some(temporary))?,
            Intent::Rewrite { path, digest } => self.path(path, false, After::File(digest), None)?,
            Intent::Link { path, target, temporary } => self.path(path, true, After::Link(target.to_owned()), Some(temporary))?,
            Intent::Directory { path } => self.path(path, true, After::Directory, None)?,
            Intent::Unknown { path, temporary } => self.path(path, true, After::Unknown, temporary)?,
            Intent::Remove { path } => self.path(path, true, After::Absent, None)?,
        };
        let moved = match &entry {
            Entry::Path { path, before: Image::Moved { image }, .. } => Some((path.clone(), image.clone())),
            _ => None,
        };
        self.write(vec![entry])?;
        if let Some((path, image)) = moved {
            crash_point();
            fs::rename(&path, &image).map_err(|error| failed("set aside", &path, &error))?;
        }
        Ok(())
    }

    fn protect(&mut self, files: &[PathBuf], directories: &[PathBuf]) -> Result<(), Failure> {
        let mut entries = Vec::with_capacity(files.len() + directories.len());
        // Undone newest first: what is in a directory goes before it.
        for path in directories {
            match fs::symlink_metadata(path) {
                Ok(meta) if meta.is_dir() => {
                    entries.push(Entry::Attributes { path: path.clone(), before: Look::of(&meta), after: Look::default() });
                }
                _ => entries.push(self.path(path, false, After::Directory, None)?),
            }
        }
        for path in files {
            entries.push(self.path(path, false, After::Unknown, None)?);
        }
        if entries.is_empty() { Ok(()) } else { self.write(entries) }
    }

    fn path(&mut self, path: &Path, replaced: bool, after: After, temporary: Option<&Path>) -> Result<Entry, Failure> {
        let number = self.images;
        self.images += 1;
        // First: keeping a file beside touches the directory.
        let folder_time = folder_time(path);
        let images = self.transaction.folder.join("images");
        if let Some(image) = second_name(path, &images, number).filter(|_| replaced) {
            self.transaction.append(&Line::Beside { image, folder_time })?;
        }
        let before = save(path, &images, number, replaced)?;
        Ok(Entry::Path { path: path.to_owned(), before, after, folder_time, temporary: temporary.map(Path::to_owned) })
    }

    fn write(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        self.transaction.append(&Line::Before { step: self.step, entries })
    }

    fn append_program(&mut self, undo: Undo) -> Result<(), Failure> {
        if self.declared {
            return Ok(());
        }
        self.transaction.append(&Line::Program { step: self.step, undo })
    }
}
