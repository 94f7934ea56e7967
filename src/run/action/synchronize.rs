//! Makes a directory of the host what a directory of the controller is, or the other way round, or one of the host itself.
//!
//! ```yaml
//! - synchronize: {src: build/, dest: /srv/shop/, delete: true, rsync_opts: ["--exclude=.git", "--chmod=D755,F644"]}
//! - synchronize: {src: /srv/shop/releases/7/, dest: /srv/shop/current/}
//!   delegate_to: "{{ inventory_hostname }}"
//! - synchronize: {src: /var/log/shop/, dest: logs/, mode: pull}
//! ```
//!
//! Neither end needs rsync: trees go the way that `copy` takes, through the connection that is there, only what differs, with
//! every change in the journal. Options of rsync that mean something here do what they do there; others are refused by name.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::fetch;
use super::prelude::*;
use crate::choice;
use crate::module::Field as _;
use crate::module::filter::Filter;
use crate::run::call::{ModuleCall, find_in};
use crate::run::tree;
use crate::ssh::Blobs;
use crate::wire::{Blob, Call, TreeEntry, TreeItem};

pub(super) const REVERSIBLE: Reversible = Reversible::Exact;

choice! {
    /// Where to.
    pub(super) enum Direction { Push = "push", Pull = "pull" }
}

params! {
    pub struct Synchronize {
        /// What is sent. A slash at its end stands for what is in it.
        src: String,
        /// Where to.
        dest: String,
        /// The direction: to the host, or from it to the controller.
        mode: Direction = Direction::Push,
        /// Everything inside, with links, modes, times, owners and groups.
        archive: bool = true,
        /// Compare by content, which is always done.
        checksum: bool = false,
        /// Compress on the way, which the connection decides.
        compress: bool = true,
        /// Make nothing that is not there.
        existing_only: bool = false,
        /// Remove what is not in `src`.
        delete: bool = false,
        /// Directories without what is in them.
        dirs: bool = false,
        /// Everything inside; as `archive` when not given.
        recursive: Option<bool>,
        /// Links as links; as `archive`.
        links: Option<bool>,
        /// What links point to.
        copy_links: bool = false,
        /// Modes; as `archive`.
        perms: Option<bool>,
        /// Times; as `archive`.
        times: Option<bool>,
        /// Owners, as root; as `archive`.
        owner: Option<bool>,
        /// Groups, as root; as `archive`.
        group: Option<bool>,
        /// Options of rsync.
        rsync_opts: Vec<String> = Vec::<String>::new(),
        /// Where rsync is on the host: not needed.
        rsync_path: Option<String>,
        /// How long rsync may wait: not needed.
        rsync_timeout: i64 = 0,
        /// Keep a part of a file: files are whole here.
        partial: bool = false,
        /// Put files in place at the end: each is put in place whole here.
        delay_updates: bool = true,
        /// The port of the host: the connection's is used.
        dest_port: Option<i64>,
        /// The user of the host: the connection's is used.
        set_remote_user: bool = true,
        /// Options of ssh: the connection's are used.
        use_ssh_args: bool = false,
        /// Share a connection: it is shared.
        ssh_connection_multiplexing: bool = false,
        /// The key to log in with: the connection's is used.
        private_key: Option<String>,
        /// Check the key of the host: the connection does.
        verify_host: bool = false,
        /// Directories to link files from.
        link_dest: Option<Vec<String>>,
    }
}

/// What the host's part is told.
#[derive(Default)]
struct Orders {
    filter: Vec<String>,
    chmod: Vec<String>,
    flags: Map,
}

impl Orders {
    fn set(&mut self, name: &str, value: bool) {
        self.flags.insert(name.to_owned(), value.into());
    }

    fn of(params: &Synchronize) -> Result<Self, Failure> {
        let mut orders = Self::default();
        let archive = |own: Option<bool>| own.unwrap_or(params.archive);
        let flags = [
            ("perms", archive(params.perms)),
            ("times", archive(params.times)),
            ("owner", archive(params.owner)),
            ("group", archive(params.group)),
            ("links", archive(params.links) || params.copy_links),
            ("copy_links", params.copy_links),
            ("delete", params.delete),
            ("existing_only", params.existing_only),
        ];
        flags.into_iter().for_each(|(name, value)| orders.set(name, value));
        let mut words = params.rsync_opts.iter().cloned();
        while let Some(word) = words.next() {
            let (name, value) = word.split_once(['=', ' ']).map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
            if matches!(name, "--exclude" | "--include" | "--filter" | "-f" | "--chmod" | "--chown") {
                let value = value.or_else(|| words.next()).unwrap_or_default();
                orders.valued(name, value.trim().trim_matches(['\'', '"']))?;
            } else if word.starts_with("--") {
                orders.named(&word)?;
            } else if let Some(letters) = word.strip_prefix('-') {
                letters.chars().try_for_each(|letter| orders.letter(letter))?;
            } else if !word.is_empty() {
                return Err(unknown(&word));
            }
        }
        Ok(orders)
    }

    fn valued(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "--exclude" => self.filter.push(format!("- {value}")),
            "--include" => self.filter.push(format!("+ {value}")),
            "--chmod" => self.chmod.extend(value.split(',').map(str::to_owned)),
            "--chown" => drop(self.flags.insert("chown".to_owned(), value.into())),
            _ => self.filter.push(value.to_owned()),
        }
        Filter::parse(&self.filter).map(drop).map_err(|why| Failure::new(format!("rsync_opts: {why}")))
    }

    fn named(&mut self, option: &str) -> Result<(), Failure> {
        match option {
            "--delete" | "--delete-after" | "--delete-before" | "--delete-during" | "--delete-delay" => self.set("delete", true),
            "--delete-excluded" => ["delete", "delete_excluded"].into_iter().for_each(|name| self.set(name, true)),
            "--no-owner" | "--no-o" => self.set("owner", false),
            "--no-group" | "--no-g" => self.set("group", false),
            "--no-perms" | "--no-p" => self.set("perms", false),
            "--no-times" | "--no-t" => self.set("times", false),
            "--no-links" | "--no-l" => self.set("links", false),
            "--omit-dir-times" => self.set("directory_times", false),
            "--owner" | "--group" | "--perms" | "--times" | "--links" => self.set(option.trim_start_matches('-'), true),
            "--copy-links" => ["links", "copy_links"].into_iter().for_each(|name| self.set(name, true)),
            "--existing" | "--ignore-non-existing" => self.set("existing_only", true),
            "--ignore-existing" => self.set("ignore_existing", true),
            // What only says how, not what: shown or compared otherwise, compressed, in which order.
            "--verbose" | "--quiet" | "--stats" | "--progress" | "--human-readable" | "--itemize-changes" | "--compress" | "--checksum"
            | "--recursive" | "--archive" | "--partial" | "--delay-updates" | "--whole-file" | "--no-whole-file" | "--no-compress"
            | "--no-motd" | "--force" | "--mkpath" => {}
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    fn letter(&mut self, letter: char) -> Result<(), Failure> {
        match letter {
            'p' => self.named("--perms"),
            't' => self.named("--times"),
            'o' => self.named("--owner"),
            'g' => self.named("--group"),
            'l' => self.named("--links"),
            'L' => self.named("--copy-links"),
            'O' => self.named("--omit-dir-times"),
            'v' | 'q' | 'z' | 'h' | 'i' | 'c' | 'r' | 'a' | 'P' | 'W' => Ok(()),
            other => Err(unknown(&format!("-{other}"))),
        }
    }
}

fn unknown(option: &str) -> Failure {
    Failure::new(format!("rsync_opts: `{option}` is not supported: directories are synchronized without rsync"))
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Synchronize = call.decode()?;
    let host = &call.item.task.host;
    if let Some(links) = params.link_dest.as_ref().filter(|links| !links.is_empty()) {
        return Err(Failure::new(format!("`link_dest` of synchronize is not supported: {}", links.join(", "))).into());
    }
    let on_host = call.delegate.as_ref() == Some(host);
    let other = call.delegate.as_ref().filter(|delegate| !on_host && *delegate != "localhost");
    if let Some(delegate) = other {
        return Err(Failure::new(format!(
            "synchronize between `{delegate}` and `{host}` is not supported: the other end is the controller, or the host itself"
        ))
        .into());
    }
    if !params.recursive.unwrap_or(params.archive) {
        return Err(Failure::new("synchronize without `recursive` is not supported: use `file` for directories, `copy` for files").into());
    }
    let orders = Orders::of(&params)?;
    let mut map = orders.flags;
    map.insert("src".to_owned(), params.src.as_str().into());
    map.insert("dest".to_owned(), params.dest.as_str().into());
    map.insert("filter".to_owned(), orders.filter.clone().into());
    map.insert("chmod".to_owned(), orders.chmod.into());
    if on_host {
        map.insert("remote_src".to_owned(), true.into());
        return call.module("tree", map).await.map(Answer::from);
    }
    if params.mode == Direction::Pull {
        return pull(&ActionCall { item: call.item, params: Map::new(), delegate: None }, &params, map).await;
    }
    // Delegated to the controller means: from the controller, which it is anyway.
    let wired = ModuleCall { item: call.item, params: Map::new(), delegate: None };
    let path = wired.find("files", &params.src)?;
    let mut blobs = wired.blobs();
    let (blob, looks) = if path.is_dir() {
        let filter = Filter::parse(&orders.filter).map_err(Failure::new)?;
        let name = path.file_name().filter(|_| !params.src.ends_with('/'));
        let skip = |relative: &str, directory: bool| {
            let under = name.map_or_else(|| relative.to_owned(), |name| Path::new(name).join(relative).to_string_lossy().into_owned());
            filter.excludes(&under, directory)
        };
        tree::attach_part(&path, &skip, params.copy_links, &mut blobs)?
    } else {
        let unread = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
        let blob = tree::attach_file(&path, None, &mut blobs).map_err(unread)?;
        (blob, tree::looks(std::iter::once(path), true)?)
    };
    map.insert("looks".to_owned(), looks);
    let request = Call { module: "tree".to_owned(), params: map, blobs: vec![("src".to_owned(), blob)], ..wired.around()? };
    wired.dispatch(request, &blobs).await.map(Answer::from)
}

/// What the host says there is becomes what the controller has: the other end of the same engine. Files that are here already do not
/// come again.
async fn pull(call: &ActionCall<'_>, params: &Synchronize, mut map: Map) -> Result<Answer, Trouble> {
    let mut query = map.clone();
    query.extend([("remote_src", true), ("list", true)].map(|(name, value)| (name.to_owned(), value.into())));
    let listed = call.query("tree", query).await?.data;
    let rows = listed.get("entries").and_then(Value::as_list).unwrap_or_default();
    let dest = destination(call, &params.dest);
    let kept = tempfile::tempdir().map_err(|error| Failure::new(format!("cannot make a directory for what comes: {error}")))?;
    let mut blobs = Blobs::default();
    let mut entries = Vec::new();
    let (mut looks, mut whole, mut root) = (Vec::new(), true, PathBuf::from(&dest));
    let mut folders = BTreeSet::new();
    for (number, row) in rows.iter().filter_map(Value::as_list).enumerate() {
        let [path, kind, what, look] = row else { continue };
        let (path, what) = (path.to_text(), what.to_text());
        looks.push(look.clone());
        let mode =
            look.as_list().and_then(|look| i64::decode(look.first()?).ok().and_then(|mode| u32::try_from(mode).ok())).unwrap_or(0o644);
        if number == 0 {
            whole = kind.to_text() == "directory";
            let inside = if whole { !params.src.ends_with('/') } else { dest.ends_with('/') || root.is_dir() };
            root.extend(Path::new(&params.src).file_name().filter(|_| inside));
            if whole {
                continue;
            }
        }
        if whole && !inside(&path, &folders) {
            return Err(Failure::new(format!("the host tells of `{path}`, which is not inside `{}`", params.src)).into());
        }
        let item = match kind.to_text().as_str() {
            "directory" => {
                folders.insert(PathBuf::from(&path));
                TreeItem::Directory
            }
            "link" => TreeItem::Link(what),
            _ => TreeItem::File(content(call, &params.src, &path, &root, &what, &kept.path().join(number.to_string()), &mut blobs).await?),
        };
        entries.push(TreeEntry { path, mode, item });
    }
    let blob = match entries.pop() {
        Some(TreeEntry { item: TreeItem::File(file), .. }) if !whole => file,
        last => Blob::Tree(entries.into_iter().chain(last).collect()),
    };
    map.extend([("dest".to_owned(), dest.into()), ("looks".to_owned(), Value::List(looks))]);
    let here = ModuleCall { item: call.item, params: Map::new(), delegate: Some("localhost".to_owned()) };
    let request = Call { module: "tree".to_owned(), params: map, blobs: vec![("src".to_owned(), blob)], ..here.around()? };
    here.dispatch_here(request, &blobs).await.map(Answer::from)
}

/// Whether `path` stays where it belongs: what a host says may not lead elsewhere on the controller, by itself or through a link.
fn inside(path: &str, folders: &BTreeSet<PathBuf>) -> bool {
    let path = Path::new(path);
    let plain = path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)));
    plain && path.parent().is_none_or(|parent| parent.as_os_str().is_empty() || folders.contains(parent))
}

/// The content of the file `path` under `src` of the host, which has the checksum `sum`: what is here under `root`, if it is the
/// same, else what the host sends.
async fn content(
    call: &ActionCall<'_>,
    src: &str,
    path: &str,
    root: &Path,
    sum: &str,
    kept: &Path,
    blobs: &mut Blobs,
) -> Result<Blob, Trouble> {
    let (there, here) = match path {
        "" => (src.to_owned(), root.to_owned()),
        path => (format!("{}/{path}", src.trim_end_matches('/')), root.join(path)),
    };
    let unread = |path: &Path, error: std::io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    if fetch::checksum(&here).is_some_and(|known| known == sum) {
        return tree::attach_file(&here, None, blobs).map_err(|error| unread(&here, error).into());
    }
    fetch::bring(call, &there, kept).await?;
    tree::attach_file(kept, None, blobs).map_err(|error| unread(kept, error).into())
}

/// Where to on the controller, with the slash at its end: what is found as `src` would be, else beside the playbook.
fn destination(call: &ActionCall<'_>, dest: &str) -> String {
    let found = find_in(&call.search_path(), "files", dest);
    let path = found.unwrap_or_else(|| call.item.task.play.plan.dir.join(dest));
    let path = tree::tidy(&path).display().to_string();
    if dest.ends_with('/') && !path.ends_with('/') { path + "/" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared as _;

    fn orders(options: &[&str]) -> Result<Orders, String> {
        let given = [("src", "a/".into()), ("dest", "/b".into()), ("rsync_opts", Value::from(options.to_vec()))];
        let params = Synchronize::decode(&given.map(|(key, value)| (key.to_owned(), value)).into()).unwrap();
        Orders::of(&params).map_err(|failure| failure.msg)
    }

    #[test]
    fn options_of_rsync_mean_what_they_mean_there_or_are_refused() {
        let given = orders(&["--exclude=.git", "--exclude", "*.log", "-avz", "--no-owner", "--delete-after", "--chmod=D755,F644"]).unwrap();
        assert_eq!(given.filter, ["- .git", "- *.log"]);
        assert_eq!(given.chmod, ["D755", "F644"]);
        assert_eq!(
            (given.flags["owner"].clone(), given.flags["delete"].clone(), given.flags["group"].clone()),
            (false.into(), true.into(), true.into())
        );
        assert!(orders(&["--bwlimit=10"]).is_err_and(|msg| msg.contains("`--bwlimit=10` is not supported")));
        assert!(orders(&["-u"]).is_err_and(|msg| msg.contains("`-u`")));
    }

    #[test]
    fn a_host_cannot_write_elsewhere() {
        let folders = BTreeSet::from([PathBuf::from("a")]);
        for (path, fine) in [("f", true), ("a/f", true), ("b/f", false), ("../f", false), ("a/../../f", false), ("/f", false), ("", false)]
        {
            assert_eq!(inside(path, &folders), fine, "{path}");
        }
    }
}
