//! What may be asked of the file system besides texts: what a path is, and what a folder holds.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
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
