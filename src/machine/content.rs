//! [`Content`]: file content in memory or in a spool file, so that large files stream in constant memory.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::look::{Algorithm, checksum_of};
use crate::wire::Digest;

/// What a file is to contain.
#[derive(Clone)]
pub enum Content {
    /// The bytes themselves.
    Bytes(Vec<u8>),
    /// The bytes of another file.
    File {
        /// Where they are.
        path: PathBuf,
        /// How many there are.
        size: u64,
        /// What they hash to, where it is known already.
        digest: Option<Digest>,
    },
}

/// What came along for a parameter.
#[derive(Clone, Debug)]
pub enum Received {
    /// A file.
    File(Content),
    /// A directory: its entries, parents before children, by relative path.
    Tree(Vec<Entry>),
}

/// One entry of a received directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Relative to the directory.
    pub path: PathBuf,
    /// Permission bits on the controller.
    pub mode: u32,
    /// What it is.
    pub item: Item,
}

/// What an entry of a received directory is.
#[derive(Clone, Debug)]
pub enum Item {
    /// A directory.
    Directory,
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// A file.
    File(Content),
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        // Never the bytes: they may be a secret.
        write!(formatter, "Content({} bytes)", self.size())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl Content {
    /// The content of the file at `path`.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        Ok(Self::File { path: path.to_owned(), size: std::fs::metadata(path)?.len(), digest: None })
    }

    /// How many bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Where it is, if it is in a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Bytes(_) => None,
            Self::File { path, .. } => Some(path),
        }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// When the spool file cannot be read.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File { path, .. } => std::fs::read(path),
        }
    }

    /// The first `limit` bytes.
    ///
    /// # Errors
    /// When the spool file cannot be read.
    pub fn head(&self, limit: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open()?.take(limit as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// What it hashes to.
    ///
    /// # Errors
    /// When the spool file cannot be read.
    pub fn digest(&self) -> io::Result<Digest> {
        match self {
            Self::File { digest: Some(digest), .. } => Ok(*digest),
            other => Digest::of_reader(&mut other.open()?),
        }
    }

    /// Its checksum, in hexadecimal.
    ///
    /// # Errors
    /// When the spool file cannot be read.
    pub fn checksum(&self, algorithm: Algorithm) -> io::Result<String> {
        checksum_of(self.open()?, algorithm)
    }

    /// Writes it to `out`.
    ///
    /// # Errors
    /// Of reading or writing.
    pub fn write_to(&self, out: &mut File) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => out.write_all(bytes),
            // File to file, so that the kernel copies, or shares the blocks where the file system can.
            Self::File { path, .. } => io::copy(&mut File::open(path)?, out).map(drop),
        }
    }

    /// Whether `file` holds exactly this.
    ///
    /// # Errors
    /// Of reading either.
    pub fn equals(&self, file: &Path) -> io::Result<bool> {
        let mut theirs = File::open(file)?;
        if theirs.metadata()?.len() != self.size() {
            return Ok(false);
        }
        same(&mut self.open()?, &mut theirs)
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
            Self::File { path, .. } => Box::new(File::open(path)?),
        })
    }
}

fn same(left: &mut dyn Read, right: &mut dyn Read) -> io::Result<bool> {
    let (mut ours, mut theirs) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let (read, other) = (fill(left, &mut ours)?, fill(right, &mut theirs)?);
        if ours.get(..read) != theirs.get(..other) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
