//! [`Contents`]: what is known of the controller's files. One that a thousand hosts get is read and digested once.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::blobs::Source;
use crate::wire::{CHUNK, Digest};

/// Files up to this size stay in memory, in bytes.
const SMALL: u64 = 4 << 20;
/// As long as all of them are not more than this.
const ROOM: u64 = 64 << 20;
/// A file that was changed less than this before it was read may change again and look the same, in nanoseconds: the system's clock for
/// such times stands still for some milliseconds.
const SETTLED: i128 = 100_000_000;

/// The files that were read, as long as they look the same. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Contents(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    files: HashMap<PathBuf, (Look, Content)>,
    /// Bytes in memory.
    held: u64,
}

/// The content of one file.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) source: Source,
}

/// What tells a file that was changed from one that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Contents {
    /// The content of `path`. Whoever wants another file meanwhile waits: it is mostly the same one that all want.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn of(&self, path: &Path) -> io::Result<Content> {
        let mut file = File::open(path)?;
        let look = Look::of(&file.metadata()?);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, content)) = known.files.get(path).filter(|(then, _)| *then == look) {
            return Ok(content.clone());
        }
        let holds = look.size <= SMALL && known.held + look.size <= ROOM;
        let content = read(&mut file, path, holds)?;
        if look.is_settled() {
            if let Source::Bytes(bytes) = &content.source {
                known.held += bytes.len() as u64;
            }
            if let Some((_, Content { source: Source::Bytes(old), .. })) = known.files.insert(path.to_owned(), (look, content.clone())) {
                known.held -= old.len() as u64;
            }
        }
        Ok(content)
    }
}

impl Look {
    fn of(meta: &Metadata) -> Self {
        Self {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        i128::try_from(now).is_ok_and(|now| now - changed > SETTLED)
    }
}

/// Reads `file`, and keeps what is in it if it shall be held.
fn read(file: &mut File, path: &Path, holds: bool) -> io::Result<Content> {
    if holds {
        let mut bytes = Vec::new();
        // One that grew meanwhile is not read for ever: its digest will not be that of what was sent.
        file.take(SMALL + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= SMALL {
            let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
            return Ok(Content { digest, size, source: Source::Bytes(Bytes::from(bytes)) });
        }
    }
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        size += count as u64;
    }
    Ok(Content { digest: Digest::from_hasher(hasher), size, source: Source::File(path.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn held(contents: &Contents) -> (usize, u64) {
        let known = contents.0.lock().unwrap();
        (known.files.len(), known.held)
    }

    #[test]
    fn a_file_is_read_again_when_it_looks_different() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let contents = Contents::default();
        std::fs::write(&path, vec![1; 100_000]).unwrap();
        // Just written, it may change again: nothing is kept of it.
        let first = contents.of(&path).unwrap();
        assert_eq!((first.digest, held(&contents)), (Digest::of(&vec![1; 100_000]), (0, 0)));
        std::thread::sleep(Duration::from_millis(150));
        for _ in 0..2 {
            assert_eq!(contents.of(&path).unwrap().digest, first.digest);
            assert_eq!(held(&contents), (1, 100_000));
        }
        std::fs::write(&path, vec![2; 50_000]).unwrap();
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(contents.of(&path).unwrap().digest, Digest::of(&vec![2; 50_000]));
        assert_eq!(held(&contents), (1, 50_000));
        assert!(contents.of(&folder.path().join("none")).is_err());
    }

    #[test]
    fn large_files_stay_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes = vec![7; usize::try_from(SMALL).unwrap() + 1];
        std::fs::write(&path, &bytes).unwrap();
        std::thread::sleep(Duration::from_millis(150));
        let contents = Contents::default();
        let content = contents.of(&path).unwrap();
        assert!(matches!(content.source, Source::File(_)));
        assert_eq!((content.digest, content.size, held(&contents)), (Digest::of(&bytes), SMALL + 1, (1, 0)));
    }
}
