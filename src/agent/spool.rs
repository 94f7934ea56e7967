//! Blobs that a call needs and that are too large for its frame: asked for once, verified, kept for the run.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::machine::{Content, Entry, Item, Received};
use crate::wire::{Blob, Digest, Failure, TreeItem};

/// Where blobs are kept, the first that can be had.
const PLACES: [&str; 3] = ["/var/tmp", "/tmp", "/dev/shm"];

pub(super) struct Spool {
    state: Mutex<State>,
    arrived: Condvar,
}

/// Asks the controller for content.
type Ask<'a> = &'a dyn Fn(Vec<Digest>) -> io::Result<()>;

#[derive(Default)]
struct State {
    folder: Option<PathBuf>,
    blobs: HashMap<Digest, Arrival>,
    closed: bool,
}

enum Arrival {
    /// Asked for. No file is open for it: it may be one of thousands.
    Wanted,
    Coming(File, Sha256),
    Here(u64),
    Broken(String),
}

impl Spool {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::default()), arrived: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more will come.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    pub(super) fn closed(&self) -> bool {
        self.state().closed
    }

    /// Takes a piece of a blob.
    pub(super) fn receive(&self, digest: Digest, bytes: &[u8], last: bool) {
        let mut state = self.state();
        if let Err(error) = state.receive(digest, bytes, last) {
            state.blobs.insert(digest, Arrival::Broken(error.to_string()));
        }
        drop(state);
        if last {
            self.arrived.notify_all();
        }
    }

    /// Asks once more for what was on its way when the connection broke, from the start.
    pub(super) fn ask_again(&self, ask: Ask<'_>) -> io::Result<()> {
        let mut digests = Vec::new();
        for (digest, arrival) in &mut self.state().blobs {
            if matches!(arrival, Arrival::Wanted | Arrival::Coming(..)) {
                *arrival = Arrival::Wanted;
                digests.push(*digest);
            }
        }
        if digests.is_empty() { Ok(()) } else { ask(digests) }
    }

    /// Everything that a call brought along, after asking for what is missing.
    pub(super) fn gather(&self, blobs: &[(String, Blob)], ask: Ask<'_>) -> Result<Vec<(String, Received)>, Failure> {
        self.ask_for_all(blobs, ask)?;
        let mut received = Vec::with_capacity(blobs.len());
        for (name, blob) in blobs {
            let what = match blob {
                Blob::Tree(entries) => {
                    let entries = entries.iter().map(|entry| {
                        let item = match &entry.item {
                            TreeItem::Directory => Item::Directory,
                            TreeItem::Link(target) => Item::Link(target.into()),
                            TreeItem::File(blob) => Item::File(self.content(blob, ask)?),
                        };
                        Ok(Entry { path: safe(&entry.path)?, mode: entry.mode, item })
                    });
                    Received::Tree(entries.collect::<Result<_, Failure>>()?)
                }
                file => Received::File(self.content(file, ask)?),
            };
            received.push((name.clone(), what));
        }
        Ok(received)
    }

    /// Asks for everything that is missing before it waits for any of it: a round trip for each file of a tree would take forever.
    fn ask_for_all(&self, blobs: &[(String, Blob)], ask: Ask<'_>) -> Result<(), Failure> {
        let mut wanted = Vec::new();
        for (_, blob) in blobs {
            match blob {
                Blob::Stored { digest, .. } => wanted.push(*digest),
                Blob::Inline(_) => {}
                Blob::Tree(entries) => wanted.extend(entries.iter().filter_map(|entry| match &entry.item {
                    TreeItem::File(Blob::Stored { digest, .. }) => Some(*digest),
                    _ => None,
                })),
            }
        }
        self.want(wanted, ask)
    }

    /// Asks for those of `digests` that are neither here nor on their way.
    fn want(&self, mut digests: Vec<Digest>, ask: Ask<'_>) -> Result<(), Failure> {
        let refused = |error| Failure::new(format!("cannot take files from the controller: {error}"));
        if digests.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        state.make_folder().map_err(refused)?;
        digests.retain(|digest| state.expect(*digest));
        drop(state);
        if digests.is_empty() { Ok(()) } else { ask(digests).map_err(refused) }
    }

    fn content(&self, blob: &Blob, ask: Ask<'_>) -> Result<Content, Failure> {
        match blob {
            Blob::Inline(bytes) => Ok(Content::Bytes(bytes.clone())),
            Blob::Stored { digest, .. } => self.stored(*digest, ask),
            Blob::Tree(_) => Err(Failure::new("a directory came where a file was expected")),
        }
    }

    /// The file with the content of `digest`, after asking for it unless it is there.
    pub(super) fn file(&self, digest: Digest, ask: Ask<'_>) -> Result<PathBuf, Failure> {
        self.stored(digest, ask)?;
        Ok(self.state().path(digest))
    }

    fn stored(&self, digest: Digest, ask: Ask<'_>) -> Result<Content, Failure> {
        self.want(vec![digest], ask)?;
        let mut state = self.state();
        while matches!(state.blobs.get(&digest), Some(Arrival::Wanted | Arrival::Coming(..))) && !state.closed {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.blobs.get(&digest) {
            Some(Arrival::Here(size)) => Ok(Content::File { path: state.path(digest), size: *size, digest: Some(digest) }),
            Some(Arrival::Broken(reason)) => {
                let failure = Failure::new(format!("a file did not arrive from the controller: {reason}"));
                state.blobs.remove(&digest);
                Err(failure)
            }
            _ => Err(Failure::new("the connection ended before a file had arrived")),
        }
    }
}

impl State {
    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.as_deref().unwrap_or(Path::new("/nonexistent")).join(digest.to_string())
    }

    fn make_folder(&mut self) -> io::Result<()> {
        if self.folder.is_none() {
            self.folder = Some(make_folder()?);
        }
        Ok(())
    }

    /// Makes ready for `digest`; whether it must be asked for.
    fn expect(&mut self, digest: Digest) -> bool {
        if matches!(self.blobs.get(&digest), Some(Arrival::Wanted | Arrival::Coming(..) | Arrival::Here(_))) {
            return false;
        }
        self.blobs.insert(digest, Arrival::Wanted);
        true
    }

    fn receive(&mut self, digest: Digest, bytes: &[u8], last: bool) -> io::Result<()> {
        if matches!(self.blobs.get(&digest), Some(Arrival::Wanted)) {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path(digest))?;
            self.blobs.insert(digest, Arrival::Coming(file, Sha256::new()));
        }
        let Some(Arrival::Coming(file, hasher)) = self.blobs.get_mut(&digest) else {
            return Ok(()); // not asked for, or broken already
        };
        file.write_all(bytes)?;
        hasher.update(bytes);
        if !last {
            return Ok(());
        }
        let size = file.metadata()?.len();
        let found = Digest::from_hasher(hasher.clone());
        let arrival = if found == digest { Arrival::Here(size) } else { Arrival::Broken(format!("expected {digest}, found {found}")) };
        self.blobs.insert(digest, arrival);
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder); // in a place for temporary files anyway
        }
    }
}

/// Removes what agents of this user that were killed left in places for temporary files.
pub(super) fn forget_the_dead() {
    let own = rustix::process::geteuid().as_raw();
    let places = PLACES.map(PathBuf::from).into_iter().chain([std::env::temp_dir()]);
    for entry in places.filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix("rappel-spool-").or_else(|| name.strip_prefix("rappel-call-"));
        let Some(process) = rest.and_then(|rest| rest.split_once('-')?.0.parse::<u32>().ok()) else { continue };
        let ours = fs::symlink_metadata(entry.path()).is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        if ours && !Path::new("/proc").join(process.to_string()).exists() {
            let _ = fs::remove_dir_all(entry.path()); // the next agent tries again
        }
    }
}

/// A folder that is ours alone.
fn make_folder() -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut refused = io::Error::other("there is no place for temporary files");
    for base in PLACES {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("{base}/rappel-spool-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// A path inside a tree, refused when it would lead out of it.
fn safe(path: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(path);
    if path.components().all(|component| matches!(component, std::path::Component::Normal(_))) {
        Ok(path)
    } else {
        Err(Failure::new(format!("`{}` leads out of the directory it came with", path.display())))
    }
}
