//! Trees of files: as data, on disk, and as they are found there.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A tree as a case describes it.
#[derive(Clone, Default)]
pub struct Tree(Vec<(&'static str, Node)>);

#[derive(Clone)]
enum Node {
    File(Vec<u8>, Option<u32>),
    Dir(Option<u32>),
    Link(&'static str),
    Hard(&'static str),
}

impl Tree {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn file(self, path: &'static str, content: &str) -> Self {
        self.with(path, Node::File(content.as_bytes().to_vec(), None))
    }

    pub fn bytes(self, path: &'static str, content: &[u8]) -> Self {
        self.with(path, Node::File(content.to_vec(), None))
    }

    pub fn file_mode(self, path: &'static str, content: &str, mode: u32) -> Self {
        self.with(path, Node::File(content.as_bytes().to_vec(), Some(mode)))
    }

    pub fn dir(self, path: &'static str) -> Self {
        self.with(path, Node::Dir(None))
    }

    pub fn dir_mode(self, path: &'static str, mode: u32) -> Self {
        self.with(path, Node::Dir(Some(mode)))
    }

    pub fn link(self, path: &'static str, target: &'static str) -> Self {
        self.with(path, Node::Link(target))
    }

    pub fn hard(self, path: &'static str, target: &'static str) -> Self {
        self.with(path, Node::Hard(target))
    }

    fn with(mut self, path: &'static str, node: Node) -> Self {
        self.0.push((path, node));
        self
    }

    /// Makes it on disk, with times long ago, so that whatever is touched shows.
    pub fn build(&self, root: &Path) {
        let at = |target: &str| target.replace("ROOT", root.to_str().unwrap());
        for (name, node) in &self.0 {
            let path = root.join(name);
            match node {
                Node::File(content, mode) => {
                    fs::write(&path, content).unwrap();
                    fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(0o644))).unwrap();
                }
                Node::Dir(mode) => {
                    fs::create_dir(&path).unwrap();
                    fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(0o755))).unwrap();
                }
                Node::Link(target) => symlink(at(target), &path).unwrap(),
                Node::Hard(target) => fs::hard_link(root.join(target), &path).unwrap(),
            }
        }
        let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
        let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
        for (name, node) in self.0.iter().rev() {
            if !matches!(node, Node::Link(_)) {
                File::open(root.join(name)).unwrap().set_times(times).unwrap();
            }
        }
        File::open(root).unwrap().set_times(times).unwrap();
    }

    /// Compares content, kinds and link targets with what is at `root`, and modes where they are given.
    pub fn assert_at(&self, root: &Path, case: &str) {
        let found = snapshot(root);
        let names: Vec<_> = found.keys().filter(|path| !path.as_os_str().is_empty()).map(|path| path.display().to_string()).collect();
        let mut expected: Vec<_> = self.0.iter().map(|(name, _)| (*name).to_owned()).collect();
        expected.sort_by_key(|name| PathBuf::from(name));
        assert_eq!(names, expected, "{case}: what is there");
        for (name, node) in &self.0 {
            let there = &found[Path::new(name)];
            let (content, mode) = match node {
                Node::File(content, mode) => (format!("file {:?}", String::from_utf8_lossy(content)), *mode),
                Node::Dir(mode) => ("directory".to_owned(), *mode),
                Node::Link(target) => (format!("link {}", target.replace("ROOT", root.to_str().unwrap())), None),
                Node::Hard(target) => {
                    assert_eq!(there.inode, found[Path::new(target)].inode, "{case}: {name} and {target}");
                    continue;
                }
            };
            assert_eq!(there.what, content, "{case}: {name}");
            if let Some(mode) = mode {
                assert_eq!(format!("{:o}", there.mode), format!("{mode:o}"), "{case}: mode of {name}");
            }
        }
    }
}

/// All that matters of a path. Access times are left out: looking changes them.
pub struct Found {
    pub what: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub modified: (i64, i64),
    pub names: u64,
    inode: u64,
}

impl Found {
    /// What is compared and shown, without the inode: a copy that is like the old file is as good as the old file.
    fn key(&self) -> impl PartialEq + std::fmt::Debug {
        (&self.what, self.mode, self.owner, self.modified, self.names)
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key().fmt(out)
    }
}

/// Everything below `root`, which may be a file, with `root` itself as the empty path.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, Found> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(name) = waiting.pop() {
        let path = if name.as_os_str().is_empty() { root.to_owned() } else { root.join(&name) };
        let meta = fs::symlink_metadata(&path).unwrap();
        let what = if meta.is_symlink() {
            format!("link {}", fs::read_link(&path).unwrap().display())
        } else if meta.is_dir() {
            let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
            // What a journal on another disk has set aside until the next transaction.
            let names = names.filter(|name| !name.to_string_lossy().starts_with(".rappel-undo-"));
            waiting.extend(names.map(|entry| name.join(entry)));
            "directory".to_owned()
        } else {
            format!("file {:?}", String::from_utf8_lossy(&fs::read(&path).unwrap()))
        };
        let found = Found {
            what,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            names: if meta.is_dir() { 0 } else { meta.nlink() },
            inode: meta.ino(),
        };
        all.insert(name, found);
    }
    all
}
