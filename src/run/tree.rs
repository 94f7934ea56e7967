//! What goes along with a call from the controller: directories, modes, and what templates may know of themselves.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::plan::scope::Locals;
use crate::ssh::Blobs;
use crate::template::{FileOptions, Value};
use crate::text::vault::{Vault, VaultError, is_sealed};
use crate::wire::{self, Blob, Failure, Map, TreeEntry, TreeItem};

/// Small files of a tree ride inline up to this sum, in bytes; the rest is offered by digest.
const INLINE_TREE: usize = 2 << 20;

/// The directory `path` as a blob.
pub(super) fn attach(path: &Path, follow: bool, vault: Option<&Vault>, blobs: &mut Blobs) -> Result<Blob, Failure> {
    walk(path, &|_, _| false, follow, vault, blobs).map(Blob::Tree)
}

/// The directory `path` without what `skip` says, as a blob; and how the directory and every entry look.
pub(super) fn attach_part(path: &Path, skip: Skip<'_>, follow: bool, blobs: &mut Blobs) -> Result<(Blob, wire::Value), Failure> {
    let entries = walk(path, skip, follow, None, blobs)?;
    let paths = std::iter::once(path.to_owned()).chain(entries.iter().map(|entry| path.join(&entry.path)));
    let looks = looks(paths, follow)?;
    Ok((Blob::Tree(entries), looks))
}

/// How paths look beside their content: mode, seconds and nanoseconds of the time, user, its number, group, its number.
pub(super) fn looks(paths: impl Iterator<Item = PathBuf>, follow: bool) -> Result<wire::Value, Failure> {
    use std::os::unix::fs::MetadataExt;
    let mut names = crate::machine::owner::Names::default();
    let look = |path: PathBuf| {
        let plain = || fs::symlink_metadata(&path);
        let meta = if follow { fs::metadata(&path).or_else(|_| plain()) } else { plain() };
        let meta = meta.map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        let user: wire::Value = names.user(meta.uid()).into();
        let group: wire::Value = names.group(meta.gid()).into();
        let mode = meta.mode() & 0o7777;
        Ok(vec![mode.into(), meta.mtime().into(), meta.mtime_nsec().into(), user, meta.uid().into(), group, meta.gid().into()].into())
    };
    paths.map(look).collect::<Result<Vec<wire::Value>, Failure>>().map(wire::Value::List)
}

/// Whether a path, relative to the directory, is left out; and whether it is a directory.
pub(super) type Skip<'a> = &'a dyn Fn(&str, bool) -> bool;

fn walk(path: &Path, skip: Skip<'_>, follow: bool, vault: Option<&Vault>, blobs: &mut Blobs) -> Result<Vec<TreeEntry>, Failure> {
    let mut walk = Walk { skip, follow, vault, blobs, above: Vec::new(), entries: Vec::new(), inline: 0 };
    walk.directory(path, "").map_err(|error| unread(path, &error))?;
    Ok(walk.entries)
}

/// The file `path` as a blob, opened if it is sealed and there is a vault to open it.
pub(super) fn attach_file(path: &Path, vault: Option<&Vault>, blobs: &mut Blobs) -> io::Result<Blob> {
    match unsealed(path, vault)? {
        Some(opened) => Ok(blobs.add_bytes(opened)),
        None => blobs.add_file(path),
    }
}

/// Why a file could not be sent. A vault's refusal names its file itself.
pub(super) fn unread(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Other => Failure::new(error.to_string()),
        _ => Failure::new(format!("cannot read {}: {error}", path.display())),
    }
}

/// What a sealed file holds; `None` when it is not sealed, or nobody wants it open.
pub(super) fn unsealed(path: &Path, vault: Option<&Vault>) -> io::Result<Option<Vec<u8>>> {
    let Some(vault) = vault else { return Ok(None) };
    let mut head = Vec::new();
    fs::File::open(path)?.take(32).read_to_end(&mut head)?;
    if !is_sealed(&head) {
        return Ok(None);
    }
    vault.open_hidden(&fs::read_to_string(path)?).map(Some).map_err(|error| {
        let shown = path.display();
        io::Error::other(match error {
            VaultError::NoPassword { .. } => format!("A vault password or secret must be specified to decrypt {shown}"),
            error => format!("cannot open {shown}: {error}"),
        })
    })
}

struct Walk<'a> {
    skip: Skip<'a>,
    follow: bool,
    vault: Option<&'a Vault>,
    blobs: &'a mut Blobs,
    /// The directories that we are in.
    above: Vec<PathBuf>,
    entries: Vec<TreeEntry>,
    inline: usize,
}

impl Walk<'_> {
    fn directory(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        self.above.push(fs::canonicalize(folder)?);
        let read = self.entries_of(folder, prefix);
        self.above.pop();
        read
    }

    fn entries_of(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let mut names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?;
        // The files of a directory before what is below it.
        names.sort_by_cached_key(|name| (folder.join(name).is_dir(), name.clone()));
        for name in names {
            let path = folder.join(&name);
            let relative = format!("{prefix}{}", name.to_string_lossy());
            let meta = fs::symlink_metadata(&path)?;
            if (self.skip)(&relative, meta.is_dir()) {
                continue;
            }
            if meta.is_symlink() && !self.follow {
                let target = fs::read_link(&path)?.display().to_string();
                self.entries.push(TreeEntry { path: relative, mode: 0o777, item: TreeItem::Link(target) });
                continue;
            }
            let Ok(meta) = fs::metadata(&path) else {
                // A link to nowhere, or to itself: there is nothing to follow.
                let target = fs::read_link(&path)?.display().to_string();
                self.entries.push(TreeEntry { path: relative, mode: 0o777, item: TreeItem::Link(target) });
                continue;
            };
            if meta.is_dir() && fs::canonicalize(&path).is_ok_and(|real| self.above.contains(&real)) {
                // A link to a directory that it is in: followed, it would never end.
                let target = fs::read_link(&path)?.display().to_string();
                self.entries.push(TreeEntry { path: relative, mode: 0o777, item: TreeItem::Link(target) });
                continue;
            }
            let mode = meta.permissions().mode() & 0o7777;
            if meta.is_dir() {
                self.entries.push(TreeEntry { path: relative.clone(), mode, item: TreeItem::Directory });
                self.directory(&path, &format!("{relative}/"))?;
            } else if meta.is_file() {
                let item = TreeItem::File(self.file(&path)?);
                self.entries.push(TreeEntry { path: relative, mode, item });
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<Blob> {
        if let Some(opened) = unsealed(path, self.vault)? {
            return Ok(self.blobs.add_bytes(opened));
        }
        let blob = self.blobs.add_file(path)?;
        if let Blob::Inline(bytes) = &blob {
            self.inline += bytes.len();
            if self.inline > INLINE_TREE {
                return self.blobs.add_stored(path);
            }
        }
        Ok(blob)
    }
}

/// `mode: preserve`: the mode of the controller's file.
pub(super) fn preserve_mode(path: &Path, params: &mut Map) {
    if let Ok(meta) = fs::metadata(path) {
        params.insert("mode".to_owned(), format!("{:04o}", meta.permissions().mode() & 0o7777).into());
    }
}

/// How `template` wants its file read.
pub(super) fn template_options(params: &Map, search: Vec<PathBuf>) -> FileOptions {
    let text = |name: &str| params.get(name).filter(|value| !value.is_null()).map(wire::Value::to_text);
    let flag = |name: &str, default: bool| params.get(name).and_then(wire::Value::to_bool).unwrap_or(default);
    let pair = |start: &str, end: &str, defaults: (&str, &str)| {
        let (given_start, given_end) = (text(start), text(end));
        (given_start.is_some() || given_end.is_some())
            .then(|| (given_start.unwrap_or_else(|| defaults.0.to_owned()), given_end.unwrap_or_else(|| defaults.1.to_owned())))
    };
    FileOptions {
        search: search.iter().flat_map(|place| [place.join("templates"), place.clone()]).collect(),
        trim_blocks: flag("trim_blocks", true),
        lstrip_blocks: flag("lstrip_blocks", false),
        newline_sequence: text("newline_sequence").map_or_else(|| "\n".to_owned(), |text| text.replace("\\r", "\r").replace("\\n", "\n")),
        block: pair("block_start_string", "block_end_string", ("{%", "%}")),
        variable: pair("variable_start_string", "variable_end_string", ("{{", "}}")),
        comment: pair("comment_start_string", "comment_end_string", ("{#", "#}")),
        ..FileOptions::default()
    }
}

/// `text` in the encoding that a template's result is wanted in.
pub(super) fn encoded(text: &str, encoding: &str) -> Result<Vec<u8>, String> {
    /// What Windows' Western code page has where Latin-1 has controls.
    const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    let name = encoding.to_ascii_lowercase().replace('_', "-");
    let latin = |letter: char| u8::try_from(letter).ok();
    let windows = |letter: char| {
        let special = WINDOWS.chars().position(|known| known == letter).and_then(|at| u8::try_from(0x80 + at).ok());
        special.or_else(|| latin(letter).filter(|byte| !(0x80..0xa0).contains(byte)))
    };
    let byte: &dyn Fn(char) -> Option<u8> = match name.as_str() {
        "" | "utf-8" | "utf8" => return Ok(wire::carried::bytes_of(text)),
        "windows-1252" | "cp1252" | "1252" => &windows,
        "ascii" | "us-ascii" => &|letter| latin(letter).filter(u8::is_ascii),
        "iso-8859-1" | "latin-1" | "latin1" => &latin,
        _ => return Err(format!("unknown encoding: {encoding}")),
    };
    text.chars().map(|letter| byte(letter).ok_or_else(|| format!("'{encoding}' codec can't encode character {letter:?}"))).collect()
}

/// What a template may know of itself.
pub(super) fn template_locals(path: &Path, name: &str, params: &Map) -> Locals {
    let full = path.display().to_string();
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let stamp = modified.and_then(|time| jiff::Timestamp::try_from(time).ok()).map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string());
    let dest = params.get("dest").map(wire::Value::to_text).unwrap_or_default();
    let entries = [
        ("ansible_managed", "Ansible managed".to_owned()),
        ("template_host", rustix::system::uname().nodename().to_string_lossy().into_owned()),
        ("template_uid", owner(path)),
        ("template_path", name.to_owned()),
        ("template_fullpath", full.clone()),
        ("template_run_date", jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string()),
        ("template_destpath", dest),
        ("template_mtime", stamp.unwrap_or_default()),
    ];
    Locals(entries.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect())
}

/// The home directory of a user of the controller; of our own when `name` is empty.
pub(super) fn home_of(name: &str) -> Option<PathBuf> {
    if name.is_empty() {
        return std::env::var_os("HOME").map(PathBuf::from);
    }
    crate::machine::owner::User::named(name).map(|user| user.home)
}

fn owner(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let uid = fs::metadata(path).map(|meta| meta.uid()).unwrap_or_default();
    crate::machine::owner::User::numbered(uid).map_or_else(|| uid.to_string(), |user| user.name)
}

/// `path` without `.` and `..`, as far as that needs no look at links.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if tidy.file_name().is_some() => {
                tidy.pop();
            }
            Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    tidy
}
