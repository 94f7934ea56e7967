//! What may be asked of the file system besides texts: what a path is, and what a folder holds.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// What a path leads to, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// Anything else; `executable` by anyone.
    File {
        /// Some execute bit is set.
        executable: bool,
    },
}

/// What `path` is, or `None` if there is nothing (or nothing that may be seen).
pub fn kind(path: &Path) -> Option<Kind> {
    let metadata = fs::metadata(path).ok()?;
    Some(if metadata.is_dir() { Kind::Folder } else { Kind::File { executable: metadata.permissions().mode() & 0o111 != 0 } })
}

/// The names in `folder`, sorted by their bytes. Names that are not UTF-8 are left out.
///
/// # Errors
/// What the system says.
pub fn list(folder: &Path) -> io::Result<Vec<String>> {
    let names: io::Result<Vec<_>> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok())).collect();
    let mut names: Vec<_> = names?.into_iter().flatten().collect();
    names.sort_unstable();
    Ok(names)
}

/// Where `path` really leads: absolute, without symbolic links; what does not exist stays as it is.
pub fn real(path: &Path) -> PathBuf {
    let mut real = PathBuf::from("/");
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            Component::Normal(name) => {
                real.push(name);
                real = fs::canonicalize(&real).unwrap_or(real);
            }
            _ => {}
        }
    }
    real
}

/// Whether two paths lead to the same file.
pub fn same(left: &Path, right: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    identity(left).is_some() && identity(left) == identity(right)
}

/// Whether a file system is mounted at `path`.
pub fn is_mount(path: &Path) -> bool {
    let device =
        |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir).map(|metadata| (metadata.dev(), metadata.ino()));
    match (device(path), device(&path.join(".."))) {
        (Some(this), Some(parent)) => this.0 != parent.0 || this.1 == parent.1,
        _ => false,
    }
}
