//! Looking at the host: nothing here changes anything.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_384, Sha3_512};

use super::owner::{Group, User};
use super::{Content, Machine, failed};
use crate::choice;
use crate::wire::{Failure, Map};

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Special,
}

/// What the system says of a path.
#[derive(Clone, Debug)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// All that the system said.
    pub meta: fs::Metadata,
}

impl Stat {
    /// Permission bits with set-id and sticky.
    pub fn mode(&self) -> u32 {
        self.meta.mode() & 0o7777
    }

    /// Number of the user it belongs to.
    pub fn uid(&self) -> u32 {
        self.meta.uid()
    }

    /// Number of the group it belongs to.
    pub fn gid(&self) -> u32 {
        self.meta.gid()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == FileKind::File
    }

    /// What Ansible calls it: `file`, `hard` (a file with several names), `directory` or `link`.
    pub fn state(&self) -> &'static str {
        match self.kind {
            FileKind::Directory => "directory",
            FileKind::Link => "link",
            FileKind::File | FileKind::Special if self.meta.nlink() > 1 => "hard",
            FileKind::File | FileKind::Special => "file",
        }
    }

    /// Whether it is a symbolic link (only when it was not followed).
    pub fn is_link(&self) -> bool {
        self.kind == FileKind::Link
    }
}

impl From<fs::Metadata> for Stat {
    fn from(meta: fs::Metadata) -> Self {
        let kind = match meta.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Directory,
            kind if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Special,
        };
        Self { kind, meta }
    }
}

choice! {
    /// A checksum algorithm.
    pub enum Algorithm {
        Md5 = "md5", Sha1 = "sha1", Sha224 = "sha224", Sha256 = "sha256", Sha384 = "sha384", Sha512 = "sha512",
        Sha3256 = "sha3_256", Sha3384 = "sha3_384", Sha3512 = "sha3_512",
    }
}

impl Machine {
    /// Looks at `path`; `None` when there is nothing.
    ///
    /// # Errors
    /// Any other answer of the system.
    pub fn stat(&self, path: &Path, follow: bool) -> Result<Option<Stat>, Failure> {
        stat(path, follow).map_err(|error| failed("look at", path, &error))
    }

    /// Whether there is anything at `path`, a dangling link included.
    pub fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    /// Whether `path` is a directory, or a link to one.
    pub fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    /// The content of a file.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        fs::read(path).map_err(|error| failed("read", path, &error))
    }

    /// The content of a file; `None` when there is none.
    ///
    /// # Errors
    /// Any other answer of the system.
    pub fn read_if_exists(&self, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(failed("read", path, &error)),
        }
    }

    /// The content of a file, to be written elsewhere without reading it into memory.
    ///
    /// # Errors
    /// The system's.
    pub fn content_of(&self, path: &Path) -> Result<Content, Failure> {
        Content::of_file(path).map_err(|error| failed("read", path, &error))
    }

    /// The content of a text file; bytes that are not UTF-8 become `U+FFFD`. `None` when there is none.
    ///
    /// # Errors
    /// Any other answer of the system.
    pub fn read_text(&self, path: &Path) -> Result<Option<String>, Failure> {
        Ok(self.read_if_exists(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Bytes that nobody can guess.
    ///
    /// # Errors
    /// The system's.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        let source = Path::new("/dev/urandom");
        let read = fs::File::open(source).and_then(|mut file| file.read_exact(&mut bytes));
        read.map(|()| bytes).map_err(|error| failed("read", source, &error))
    }

    /// Where a symbolic link points to, as it is written.
    ///
    /// # Errors
    /// When it is no link.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, Failure> {
        fs::read_link(path).map_err(|error| failed("read the link", path, &error))
    }

    /// What is in a directory, sorted by name.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&self, path: &Path) -> Result<Vec<PathBuf>, Failure> {
        let names =
            fs::read_dir(path).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>());
        let mut names = names.map_err(|error| failed("list", path, &error))?;
        names.sort();
        Ok(names)
    }

    /// The path with every link in it resolved; what does not exist stays as it is written.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        resolve(path)
    }

    /// What Ansible adds to the result of every module that has a `path` or `dest`: owner, mode, size and so on.
    pub fn describe(&self, path: &Path) -> Map {
        let mut facts = Map::new();
        let Ok(Some(stat)) = stat(path, false) else { return facts };
        let text = |name: Option<String>, number: u32| name.unwrap_or_else(|| number.to_string());
        facts.insert("uid".into(), stat.uid().into());
        facts.insert("gid".into(), stat.gid().into());
        facts.insert("owner".into(), text(User::numbered(stat.uid()).map(|user| user.name), stat.uid()).into());
        facts.insert("group".into(), text(Group::numbered(stat.gid()).map(|group| group.name), stat.gid()).into());
        // Not as `stat` has it: `01777`.
        facts.insert("mode".into(), format!("0{:03o}", stat.mode()).into());
        facts.insert("size".into(), stat.meta.len().into());
        facts.insert("state".into(), stat.state().into());
        facts
    }

    /// The checksum of a file, in hexadecimal.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn checksum(&self, path: &Path, algorithm: Algorithm) -> Result<String, Failure> {
        let file = fs::File::open(path).map_err(|error| failed("read", path, &error))?;
        checksum_of(file, algorithm).map_err(|error| failed("read", path, &error))
    }
}

/// Looks at `path`; `None` when there is nothing.
pub(super) fn stat(path: &Path, follow: bool) -> io::Result<Option<Stat>> {
    let found = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    match found {
        Ok(meta) => Ok(Some(Stat::from(meta))),
        // A link to itself points to nothing.
        Err(error) if absent(&error) || follow && error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error means that there is nothing at a path.
pub(super) fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The checksum of what `input` gives, in hexadecimal.
pub(super) fn checksum_of(mut input: impl Read, algorithm: Algorithm) -> io::Result<String> {
    let mut hasher: Box<dyn DynDigest> = match algorithm {
        Algorithm::Md5 => Box::new(Md5::default()),
        Algorithm::Sha1 => Box::new(Sha1::default()),
        Algorithm::Sha224 => Box::new(Sha224::default()),
        Algorithm::Sha256 => Box::new(Sha256::default()),
        Algorithm::Sha384 => Box::new(Sha384::default()),
        Algorithm::Sha512 => Box::new(Sha512::default()),
        Algorithm::Sha3256 => Box::new(Sha3_256::default()),
        Algorithm::Sha3384 => Box::new(Sha3_384::default()),
        Algorithm::Sha3512 => Box::new(Sha3_512::default()),
    };
    let mut buffer = vec![0; 64 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(read) => hasher.update(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

fn resolve(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    // A dangling link is followed to where its file would be.
    if let (Ok(target), Some(parent)) = (fs::read_link(path), path.parent()) {
        let target = parent.join(target);
        if target != path && fs::symlink_metadata(&target).is_err() {
            return tidy(&target);
        }
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent != Path::new("") => resolve(parent).join(name),
        _ => path.to_owned(),
    }
}

/// Takes `.` and `..` out of a path by its words alone.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    tidied
}

/// Expands `~`, `~user`, `$NAME` and `${NAME}`, as Ansible does with paths on the host; what is unknown stays.
pub(super) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let text = expand_variables(text, variable);
    let Some(rest) = text.strip_prefix('~') else { return PathBuf::from(text) };
    let (user, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = if user.is_empty() {
        variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from).or_else(own_home)
    } else {
        User::named(user).map(|user| user.home)
    };
    match home {
        // Joining nothing would add a slash.
        Some(home) if tail.is_empty() => home,
        Some(home) => home.join(tail.trim_start_matches('/')),
        None => PathBuf::from(text),
    }
}

/// The home directory of the user this process runs as: `$HOME` first, as everywhere.
pub(crate) fn own_home() -> Option<PathBuf> {
    let given = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    given.or_else(|| User::numbered(rustix::process::geteuid().as_raw()).map(|user| user.home))
}

fn expand_variables(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let after = tail.get(1..).unwrap_or_default();
        let (name, length) = if let Some((name, _)) = after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            (name, name.len() + 3)
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (after.get(..end).unwrap_or_default(), end + 1)
        };
        let written = tail.get(..length).unwrap_or(tail);
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(written),
        }
        rest = tail.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_expanded_as_ansible_does() {
        let variable = |name: &str| match name {
            "HOME" => Some("/home/web".to_owned()),
            "APP" => Some("shop".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("/srv/$APP/x", "/srv/shop/x"),
            ("/srv/${APP}2", "/srv/shop2"),
            ("~/x", "/home/web/x"),
            ("~", "/home/web"),
            ("~root", "/root"),
            ("~root/x", "/root/x"),
            ("~nobody-here/x", "~nobody-here/x"),
            ("/a/$NOPE/b$", "/a/$NOPE/b$"),
            ("/a~b", "/a~b"),
        ] {
            assert_eq!(expand(text, &variable).as_os_str(), expected, "{text}");
        }
    }

    #[test]
    fn checksums_are_right() {
        for (algorithm, start) in [
            (Algorithm::Md5, "90015098"),
            (Algorithm::Sha1, "a9993e36"),
            (Algorithm::Sha256, "ba7816bf"),
            (Algorithm::Sha512, "ddaf35a1"),
            (Algorithm::Sha3256, "3a985da7"),
        ] {
            assert!(checksum_of(b"abc".as_slice(), algorithm).unwrap().starts_with(start));
        }
    }
}
