//! Reads what the system knows of a path.
//!
//! ```yaml
//! - stat: {path: /srv/shop/current}
//!   register: current
//! ```

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Access, access};

use super::prelude::*;
use crate::machine::Algorithm;
use crate::machine::owner::{Group, User};

params! {
    pub struct StatModule {
        /// The path.
        path | dest | name: PathText,
        /// Look at what a link points to.
        follow: bool = false,
        /// Take the checksum of a file.
        get_checksum: bool = true,
        /// By which algorithm.
        checksum_algorithm | checksum | checksum_algo: Algorithm = Algorithm::Sha1,
        /// Ask `file` for the kind of content.
        get_mime | mime | mime_type: bool = true,
        /// Read the flags that `lsattr` shows.
        get_attributes | attr | attributes: bool = true,
        /// Not used any more.
        get_md5: Option<bool>,
        /// Ask for the SELinux context.
        get_selinux_context: bool = false,
    }
}

impl Module for StatModule {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let Some(stat) = machine.stat(&path, self.follow)? else {
            let missing: Map = [("exists".to_owned(), false.into())].into_iter().collect();
            return Ok(machine.outcome().with("stat", missing));
        };
        let mut facts: Map = [("exists".to_owned(), true.into()), ("path".to_owned(), path.display().to_string().into())].into_iter().collect();
        facts.extend(numbers(&stat));
        let reachable = |access_kind| access(&path, access_kind).is_ok();
        facts.insert("readable".into(), reachable(Access::READ_OK).into());
        facts.insert("writeable".into(), reachable(Access::WRITE_OK).into());
        facts.insert("executable".into(), reachable(Access::EXEC_OK).into());
        if stat.is_link() {
            facts.insert("lnk_target".into(), machine.read_link(&path)?.display().to_string().into());
            facts.insert("lnk_source".into(), machine.resolve(&path).display().to_string().into());
        }
        if stat.is_file() && self.get_checksum && reachable(Access::READ_OK) {
            facts.insert("checksum".into(), machine.checksum(&path, self.checksum_algorithm)?.into());
        }
        if self.get_mime {
            match known_kind(&path, &stat) {
                Some(kind) => named(&mut facts, kind, "binary"),
                None => mime(machine, &path, self.follow, &mut facts),
            }
        }
        if self.get_attributes {
            flags(machine, &path, &mut facts);
        }
        Ok(machine.outcome().with("stat", facts))
    }
}

/// All that `stat(2)` says, as `stat` and `find` of Ansible call it.
pub(super) fn numbers(stat: &Stat) -> Map {
    let (meta, mode) = (&stat.meta, stat.mode());
    let mut facts = Map::new();
    let mut add = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    add("mode", format!("{mode:04o}").into());
    let kind = meta.file_type();
    add("isdir", kind.is_dir().into());
    add("ischr", kind.is_char_device().into());
    add("isblk", kind.is_block_device().into());
    add("isreg", kind.is_file().into());
    add("isfifo", kind.is_fifo().into());
    add("islnk", kind.is_symlink().into());
    add("issock", kind.is_socket().into());
    add("uid", meta.uid().into());
    add("gid", meta.gid().into());
    add("size", meta.size().into());
    add("inode", meta.ino().into());
    add("dev", meta.dev().into());
    add("nlink", meta.nlink().into());
    add("atime", seconds(meta.atime(), meta.atime_nsec()));
    add("mtime", seconds(meta.mtime(), meta.mtime_nsec()));
    add("ctime", seconds(meta.ctime(), meta.ctime_nsec()));
    for (shift, who) in [(6, "usr"), (3, "grp"), (0, "oth")] {
        for (bit, what) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            add(&format!("{what}{who}"), (mode >> shift & bit != 0).into());
        }
    }
    add("isuid", (mode & 0o4000 != 0).into());
    add("isgid", (mode & 0o2000 != 0).into());
    add("block_size", meta.blksize().into());
    add("blocks", meta.blocks().into());
    add("device_type", meta.rdev().into());
    if let Some(user) = User::numbered(meta.uid()) {
        add("pw_name", user.name.into());
    }
    if let Some(group) = Group::numbered(meta.gid()) {
        add("gr_name", group.name.into());
    }
    facts
}

fn seconds(seconds: i64, nanoseconds: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "Ansible gives times as floats")]
    Value::Float(seconds as f64 + nanoseconds as f64 / 1e9)
}

/// What `file` says of what has no content, without asking it.
fn known_kind(path: &Path, stat: &Stat) -> Option<&'static str> {
    let kind = stat.meta.file_type();
    Some(match stat.kind {
        FileKind::Directory => "inode/directory",
        // It says less of a link to nothing.
        FileKind::Link if path.exists() => "inode/symlink",
        FileKind::File if stat.meta.len() == 0 => "inode/x-empty",
        FileKind::Special if kind.is_char_device() => "inode/chardevice",
        FileKind::Special if kind.is_block_device() => "inode/blockdevice",
        FileKind::Special if kind.is_fifo() => "inode/fifo",
        FileKind::Special if kind.is_socket() => "inode/socket",
        _ => return None,
    })
}

fn named(facts: &mut Map, kind: &str, charset: &str) {
    facts.insert("mimetype".into(), kind.into());
    facts.insert("charset".into(), charset.into());
}

fn mime(machine: &Machine, path: &Path, follow: bool, facts: &mut Map) {
    let mut command = Command::new("file").arg("--mime");
    if follow {
        command = command.arg("-L");
    }
    // A host without `file` has unknown kinds, as in Ansible.
    let answer = machine.query(&command.arg("--").arg(path).plain()).ok().filter(Completed::succeeded).map(|done| done.stdout_text());
    let described = answer.as_deref().and_then(|text| text.rsplit_once(": ")).and_then(|(_, kind)| kind.trim().split_once(';'));
    let (kind, charset) = described.map_or(("unknown", "unknown"), |(kind, rest)| (kind, rest.split_once('=').map_or("unknown", |(_, name)| name)));
    named(facts, kind, charset);
}

fn flags(machine: &Machine, path: &Path, facts: &mut Map) {
    let letters = machine.flags(path);
    let names: Vec<String> = letters.chars().filter_map(flag_name).map(str::to_owned).collect();
    facts.insert("version".into(), Value::Null);
    facts.insert("attr_flags".into(), letters.into());
    facts.insert("attributes".into(), names.into());
}

fn flag_name(letter: char) -> Option<&'static str> {
    Some(match letter {
        'A' => "noatime",
        'a' => "append",
        'c' => "compressed",
        'C' => "nocow",
        'd' => "nodump",
        'D' => "dirsync",
        'e' => "extents",
        'E' => "encrypted",
        'h' => "blocksize",
        'i' => "immutable",
        'I' => "indexed",
        'j' => "journalled",
        'N' => "inline",
        's' => "zero",
        'S' => "synchronous",
        't' => "notail",
        'T' => "blockroot",
        'u' => "undelete",
        'X' => "compressedraw",
        'Z' => "compresseddirty",
        _ => return None,
    })
}
