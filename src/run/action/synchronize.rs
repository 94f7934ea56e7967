//! Makes a directory of the host what a directory of the controller is, or one of the host itself.
//!
//! ```yaml
//! - synchronize: {src: build/, dest: /srv/shop/, delete: true, rsync_opts: ["--exclude=.git", "--chmod=D755,F644"]}
//! - synchronize: {src: /srv/shop/releases/7/, dest: /srv/shop/current/}
//!   delegate_to: "{{ inventory_hostname }}"
//! ```
//!
//! Neither end needs rsync: trees go the way that `copy` takes, through the connection that is there, only what differs, with
//! every change in the journal. Options of rsync that mean something here do what they do there; others are refused by name.

use std::path::Path;

use super::prelude::*;
use crate::module::filter::Filter;
use crate::run::call::ModuleCall;
use crate::run::tree;
use crate::ssh::Blobs;
use crate::wire::Call;

pub(super) const REVERSIBLE: Reversible = Reversible::Exact;

params! {
    pub struct Synchronize {
        /// What is sent. A slash at its end stands for what is in it.
        src: String,
        /// Where to.
        dest: String,
        /// The direction; `pull` is not supported.
        mode: String = "push",
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
    if params.mode != "push" {
        let help = "use `fetch` for files, or `archive` and `fetch` for directories";
        return Err(Failure::new(format!("`mode: {}` of synchronize is not supported: {help}", params.mode)).into());
    }
    if let Some(links) = params.link_dest.as_ref().filter(|links| !links.is_empty()) {
        return Err(Failure::new(format!("`link_dest` of synchronize is not supported: {}", links.join(", "))).into());
    }
    let on_host = call.delegate.as_ref() == Some(host);
    let other = call.delegate.as_ref().filter(|delegate| !on_host && *delegate != "localhost");
    if let Some(delegate) = other {
        return Err(Failure::new(format!(
            "synchronize from `{delegate}` to `{host}` is not supported: files come from the controller or from the host itself"
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
    // Delegated to the controller means: from the controller, which it is anyway.
    let wired = ModuleCall { item: call.item, params: Map::new(), delegate: None };
    let path = wired.find("files", &params.src)?;
    let mut blobs = Blobs::default();
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
}
