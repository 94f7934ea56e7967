//! What a path was before an effect, and what the effect makes of it: the records of the journal.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::journal::sync_folder;
use super::look;
use crate::wire::{Digest, Failure};

/// Bytes that stay free on the disk of the journal.
const RESERVE: u64 = 16 << 20;

/// One thing that an effect changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// What is at `path` is made, replaced, rewritten or removed.
    Path {
        #[serde(with = "path_text")]
        path: PathBuf,
        before: Image,
        after: After,
        /// The time of the directory it is in.
        folder_time: Option<Time>,
        /// A file beside that the effect makes first; a crash may leave it.
        #[serde(with = "optional_path")]
        temporary: Option<PathBuf>,
    },
    /// Mode, owner or times of `path` are changed; `after` is empty when a program does it.
    Attributes {
        #[serde(with = "path_text")]
        path: PathBuf,
        before: Look,
        after: Look,
    },
    /// `from` becomes `to`.
    Renamed {
        #[serde(with = "path_text")]
        from: PathBuf,
        #[serde(with = "path_text")]
        to: PathBuf,
        folder_times: (Option<Time>, Option<Time>),
    },
}

/// Seconds and nanoseconds since the epoch.
pub(super) type Time = (i64, i64);

/// What was there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Image {
    Absent,
    /// A file, kept at `image`: the file itself under a second name, or a copy.
    File {
        #[serde(with = "path_text")]
        image: PathBuf,
        look: Look,
        /// It must be written into, because it cannot be replaced.
        in_place: bool,
    },
    Link {
        #[serde(with = "path_text")]
        target: PathBuf,
        look: Look,
    },
    /// A directory with all that is in it (or a device, socket, pipe), to be moved to `image`.
    Moved {
        #[serde(with = "path_text")]
        image: PathBuf,
    },
}

/// What an effect leaves; by it an undo knows whether somebody else was there since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum After {
    Absent,
    File(Digest),
    Link(#[serde(with = "path_text")] PathBuf),
    Directory,
    /// A program makes it.
    Unknown,
}

/// Attributes; `None` for what an effect leaves alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) accessed: Option<Time>,
    pub(super) modified: Option<Time>,
}

impl Look {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self {
            mode: Some(meta.mode() & 0o7777),
            uid: Some(meta.uid()),
            gid: Some(meta.gid()),
            accessed: Some((meta.atime(), meta.atime_nsec())),
            modified: Some((meta.mtime(), meta.mtime_nsec())),
        }
    }
}

/// The time of the directory that `path` is in.
pub(super) fn folder_time(path: &Path) -> Option<Time> {
    let meta = fs::metadata(path.parent()?).ok()?;
    Some((meta.mtime(), meta.mtime_nsec()))
}

/// Saves what is at `path` in `images`, so that it can be brought back after it was replaced, rewritten or removed.
///
/// `replaced` says that the file itself is left alone, so that a second name for it is enough.
///
/// # Errors
/// Not enough space, or the system's. Then nothing was changed.
pub(super) fn save(path: &Path, images: &Path, number: usize, replaced: bool) -> Result<Image, Failure> {
    let refused = |error: io::Error| Failure::new(format!("cannot save {} for the undo, so it was left as it is: {error}", path.display()));
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if look::absent(&error) => return Ok(Image::Absent),
        Err(error) => return Err(refused(error)),
    };
    let look = Look::of(&meta);
    if meta.is_symlink() {
        return Ok(Image::Link { target: fs::read_link(path).map_err(refused)?, look });
    }
    if meta.is_file() {
        let image = keep_file(path, &meta, images, number, replaced).map_err(refused)?;
        return Ok(Image::File { image, look, in_place: !replaced });
    }
    let same_disk = fs::metadata(images).map_err(refused)?.dev() == meta.dev();
    // Moving within a disk costs nothing, however large the directory is.
    Ok(Image::Moved { image: if same_disk { images.join(number.to_string()) } else { beside(path, images, number) } })
}

/// The second name that a file must get beside itself, if it has other names and the journal is on another disk.
pub(super) fn second_name(path: &Path, images: &Path, number: usize) -> Option<PathBuf> {
    let (file, kept) = (fs::symlink_metadata(path).ok()?, fs::metadata(images).ok()?);
    (file.is_file() && file.nlink() > 1 && file.dev() != kept.dev()).then(|| beside(path, images, number))
}

/// Where something is kept on its own disk, when the journal is on another.
fn beside(path: &Path, images: &Path, number: usize) -> PathBuf {
    let name = images.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".rappel-undo-{name}-{number}"))
}

fn keep_file(path: &Path, meta: &Metadata, images: &Path, number: usize, replaced: bool) -> io::Result<PathBuf> {
    if replaced {
        let image = images.join(number.to_string());
        let _ = fs::remove_file(&image); // left by a crash before its record was written
        if fs::hard_link(path, &image).is_ok() {
            sync_folder(images)?;
            return Ok(image);
        }
        // A copy would no longer be the same file as its other names.
        let image = beside(path, images, number);
        if meta.nlink() > 1 && fs::hard_link(path, &image).is_ok() {
            return Ok(image);
        }
    }
    let room = rustix::fs::statvfs(images)?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if meta.len().saturating_add(RESERVE) > free {
        return Err(io::Error::other(format!("it has {} bytes, and {} has {free} left", meta.len(), images.display())));
    }
    let partial = images.join(format!("{number}.partial"));
    let digest = copy_hashed(path, &partial)?;
    let image = images.join(digest.to_string());
    fs::rename(&partial, &image)?;
    sync_folder(images)?;
    Ok(image)
}

fn copy_hashed(from: &Path, to: &Path) -> io::Result<Digest> {
    let mut input = File::open(from)?;
    let mut output = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        hasher.update(bytes);
        output.write_all(bytes)?;
    }
    output.sync_all()?;
    Ok(Digest::from_hasher(hasher))
}

/// The same for a path that may be none: an empty one then.
pub(super) mod optional_path {
    use std::path::{Path, PathBuf};

    use serde::{Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(in crate::machine) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        super::path_text::serialize(path.as_deref().unwrap_or(Path::new("")), serializer)
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        super::path_text::deserialize(deserializer).map(|path| Some(path).filter(|path| !path.as_os_str().is_empty()))
    }
}

/// Paths in JSON: text where they are text, else their bytes.
pub(super) mod path_text {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(in crate::machine) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => text.into(),
            Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_the_journal() {
        use std::os::unix::ffi::OsStringExt;
        for bytes in [b"/etc/plain".to_vec(), b"/etc/\xff\"\n".to_vec()] {
            let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
            let text = serde_json::to_string(&After::Link(path.clone())).unwrap();
            assert_eq!(serde_json::from_str::<After>(&text).unwrap(), After::Link(path));
        }
    }
}
