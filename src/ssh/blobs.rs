//! [`Blobs`]: file content that calls carry, found by digest when an agent asks for it, and sent in constant memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::contents::{Content, Contents};
use crate::wire::{Blob, CHUNK, Digest, INLINE_BLOB};

/// Content by digest. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Blobs {
    sources: HashMap<Digest, Source>,
    contents: Contents,
}

/// Where content comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// It is in memory.
    Bytes(Bytes),
    /// It is in a file of the controller.
    File(PathBuf),
}

impl Blobs {
    /// None yet. Files are known by `contents`, which all calls of a run share.
    pub fn new(contents: &Contents) -> Self {
        Self { sources: HashMap::new(), contents: contents.clone() }
    }

    /// Adds `bytes` and says how a call refers to them: small content rides along, large content is offered by digest.
    pub fn add_bytes(&mut self, bytes: impl Into<Arc<[u8]>>) -> Blob {
        let bytes = bytes.into();
        if bytes.len() <= INLINE_BLOB {
            return Blob::Inline(bytes.to_vec());
        }
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        self.sources.insert(digest, Source::Bytes(Bytes::from_owner(bytes)));
        Blob::Stored { digest, size }
    }

    /// Adds the content of the file `path`. A large one is read once for its digest, and again when an agent asks for it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn add_file(&mut self, path: &Path) -> io::Result<Blob> {
        let file = File::open(path)?;
        if file.metadata()?.len() <= INLINE_BLOB as u64 {
            let mut bytes = Vec::new();
            file.take(INLINE_BLOB as u64 + 1).read_to_end(&mut bytes)?;
            if bytes.len() <= INLINE_BLOB {
                return Ok(Blob::Inline(bytes));
            }
        }
        self.add_stored(path)
    }

    /// The same, but never to ride along: for one of many files.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn add_stored(&mut self, path: &Path) -> io::Result<Blob> {
        let Content { digest, size, source } = self.contents.of(path)?;
        self.sources.insert(digest, source);
        Ok(Blob::Stored { digest, size })
    }

    /// Takes over the content of `other`.
    pub fn extend(&mut self, other: Blobs) {
        self.sources.extend(other.sources);
    }

    /// Adds content that no parameter names.
    pub(super) fn offer(&mut self, digest: Digest, source: Source) {
        self.sources.insert(digest, source);
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<&Source> {
        self.sources.get(digest)
    }
}

impl Source {
    /// What to call it in a message.
    pub(super) fn describe(&self, digest: &Digest) -> String {
        match self {
            Self::Bytes(_) => format!("content {digest}"),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// A reader of its chunks, from the first.
    pub(super) fn open(&self) -> io::Result<Chunks> {
        Ok(match self {
            Self::Bytes(bytes) => Chunks::Bytes { bytes: bytes.clone(), offset: 0 },
            Self::File(path) => Chunks::File { file: File::open(path)?, hasher: Sha256::new() },
        })
    }
}

/// Content, chunk by chunk.
pub(super) enum Chunks {
    Bytes { bytes: Bytes, offset: usize },
    File { file: File, hasher: Sha256 },
}

impl Chunks {
    /// Whether reading them may block.
    pub(super) fn block(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// The next at most [`CHUNK`] bytes, and whether they are the last. Files block: call it where that is allowed.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it was when its digest was taken.
    pub(super) fn next(&mut self, digest: &Digest) -> io::Result<(Vec<u8>, bool)> {
        match self {
            Self::Bytes { bytes, offset } => {
                let end = bytes.len().min(*offset + CHUNK);
                let chunk = bytes.get(*offset..end).unwrap_or_default().to_vec();
                *offset = end;
                Ok((chunk, end == bytes.len()))
            }
            Self::File { file, hasher } => {
                let mut chunk = Vec::with_capacity(CHUNK);
                file.take(CHUNK as u64).read_to_end(&mut chunk)?;
                hasher.update(&chunk);
                let last = chunk.len() < CHUNK;
                if last && Digest::from_hasher(hasher.clone()) != *digest {
                    return Err(io::Error::other("the file changed while it was sent"));
                }
                Ok((chunk, last))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(blobs: &Blobs, digest: &Digest) -> io::Result<Vec<u8>> {
        let mut chunks = blobs.get(digest).unwrap().open()?;
        let mut all = Vec::new();
        loop {
            let (chunk, last) = chunks.next(digest)?;
            assert!(chunk.len() <= CHUNK);
            all.extend(chunk);
            if last {
                return Ok(all);
            }
        }
    }

    #[test]
    fn small_content_rides_along_and_large_content_comes_in_chunks() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0, 1, INLINE_BLOB, INLINE_BLOB + 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            let path = folder.path().join("blob");
            std::fs::write(&path, &content).unwrap();
            let mut blobs = Blobs::default();
            for blob in [blobs.add_bytes(content.clone()), blobs.add_file(&path).unwrap()] {
                match blob {
                    Blob::Inline(bytes) => assert!(size <= INLINE_BLOB && bytes == content),
                    Blob::Tree(_) => panic!("expected a file"),
                    Blob::Stored { digest, size: stated } => {
                        assert!(size > INLINE_BLOB && stated == size as u64 && digest == Digest::of(&content));
                        assert!(drain(&blobs, &digest).unwrap() == content);
                    }
                }
            }
        }
    }

    #[test]
    fn a_file_that_changes_between_digest_and_upload_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, vec![1; 5 << 20]).unwrap();
        let mut blobs = Blobs::default();
        let Blob::Stored { digest, .. } = blobs.add_file(&path).unwrap() else { panic!("expected a stored blob") };
        std::fs::write(&path, vec![2; 5 << 20]).unwrap();
        assert!(drain(&blobs, &digest).unwrap_err().to_string().contains("changed"));
    }
}
