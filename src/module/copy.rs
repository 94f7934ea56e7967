//! Puts files and directories of the controller, or of the host itself, where they belong.
//!
//! ```yaml
//! - copy: {src: nginx.conf, dest: /etc/nginx/, mode: "0644", validate: nginx -t -c %s}
//! - copy: {content: "{{ settings | to_json }}", dest: /etc/shop.json}
//! ```

use std::path::{Path, PathBuf};

use super::prelude::*;
use crate::machine::{Algorithm, Content, Entry, Item, Received, WriteOptions};
use crate::wire::carried;

params! {
    pub struct Copy {
        /// A file or directory of the controller, or with `remote_src` of the host.
        src: Option<LocalFile>,
        /// What the file is to contain; a mapping or list is written as JSON.
        content: Option<Value>,
        /// Where to.
        dest: PathText,
        /// `src` is on the host.
        remote_src: bool = false,
        /// Replace what differs; otherwise only write what is not there.
        force | thirsty: bool = true,
        /// Keep what was there as `dest.PID.date~`.
        backup: bool = false,
        /// A command that must accept the file `%s` before it is put in place.
        validate: Option<String>,
        /// Permissions of directories made on the way.
        directory_mode: Option<ModeText>,
        /// Write through a link at `dest` instead of replacing it.
        follow: bool = false,
        /// Send what links on the controller point to, rather than the links.
        local_follow: bool = true,
        /// Open vault files on the controller.
        decrypt: bool = true,
        /// SHA-1 that `src` must have.
        checksum: Option<String>,
    }
    group = file: FileAttributes;
    rules = [Rule::Exclusive(&["src", "content"]), Rule::OneOf(&["src", "content"])];
}

impl Module for Copy {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        self.file.foresee(machine);
        let mut placing = Placing {
            options: self.file.options(self.backup, self.validate.as_deref()),
            directory_mode: self.directory_mode.as_ref().map(|mode| mode.0.clone()),
            force: self.force,
            follow: self.follow,
            on_host: self.remote_src,
        };
        if let Some(content) = &self.content {
            if self.dest.0.ends_with('/') || machine.is_dir(&machine.path(&self.dest.0)) {
                return Err(Failure::new("can not use content with a dir as dest"));
            }
            if placing.options.attributes.mode.as_deref() == Some("preserve") {
                // That of the file which Ansible makes of it on its way.
                placing.options.attributes.mode = Some("0600".to_owned());
            }
            return placing.file(machine, None, &Content::Bytes(carried::bytes_of(&text_of(content))), &self.dest.0);
        }
        let src = self.src.as_ref().map(|src| src.0.as_str()).unwrap_or_default();
        match machine.received("src").cloned() {
            Some(Received::File(content)) => {
                self.verify(&content)?;
                placing.file(machine, Some(src), &content, &self.dest.0)
            }
            Some(Received::Tree(entries)) => placing.tree(machine, src, &entries, &self.dest.0),
            None if self.remote_src => self.remote(machine, &placing, src),
            None => Err(Failure::new(format!("the content of `{src}` did not come along"))),
        }
    }
}

impl Copy {
    fn verify(&self, content: &Content) -> Result<(), Failure> {
        let Some(expected) = &self.checksum else { return Ok(()) };
        let found = content.checksum(Algorithm::Sha1).map_err(|error| Failure::new(format!("cannot read the file to copy: {error}")))?;
        if found.eq_ignore_ascii_case(expected.trim()) {
            return Ok(());
        }
        Err(Failure::new("Copied file does not match the expected checksum. Transfer failed.")
            .with("checksum", found)
            .with("expected_checksum", expected.as_str()))
    }

    fn remote(&self, machine: &mut Machine, placing: &Placing, src: &str) -> Result<Outcome, Failure> {
        let source = machine.path(src);
        let Some(stat) = machine.stat(&source, true)? else {
            return Err(Failure::new(format!("Source {src} not found")));
        };
        if stat.is_dir() {
            let entries = entries_of(machine, &source, self.local_follow)?;
            return placing.tree(machine, src, &entries, &self.dest.0);
        }
        if !stat.is_file() {
            return Err(Failure::new(format!("Cannot copy invalid source '{src}': not a file")));
        }
        let content = machine.content_of(&source)?;
        self.verify(&content)?;
        let mut placing = placing.clone();
        if placing.options.attributes.mode.as_deref() == Some("preserve") {
            placing.options.attributes.mode = Some(format!("{:o}", stat.mode()));
        }
        placing.file(machine, Some(src), &content, &self.dest.0)
    }
}

/// Everything inside a directory of the host.
pub(super) fn entries_of(machine: &Machine, directory: &Path, follow: bool) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        for path in machine.list(&directory.join(&relative))? {
            let Some(name) = path.file_name() else { continue };
            let relative = relative.join(name);
            // A link that points to nothing stays a link.
            let stat = if follow { machine.stat(&path, true)? } else { None };
            let Some(stat) = stat.map_or_else(|| machine.stat(&path, false), |stat| Ok(Some(stat)))? else { continue };
            let item = match stat.kind {
                FileKind::Directory => {
                    waiting.push(relative.clone());
                    Item::Directory
                }
                FileKind::Link => Item::Link(machine.read_link(&path)?),
                FileKind::File => Item::File(machine.content_of(&path)?),
                FileKind::Special => continue,
            };
            entries.push(Entry { path: relative, mode: stat.mode(), item });
        }
    }
    Ok(entries)
}

/// A value as the text of a file: text as it is, anything else as JSON in Python's spacing.
fn text_of(content: &Value) -> String {
    match content {
        Value::Str(text) => text.clone(),
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Map(_) => json(content),
        other => other.to_text(),
    }
}

fn json(value: &Value) -> String {
    match value {
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entries: Vec<_> = map.iter().map(|(key, value)| format!("{}: {}", json(&key.as_str().into()), json(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Float(number) => crate::wire::repr_float(*number),
        scalar => serde_json::to_string(scalar).unwrap_or_default(),
    }
}

/// How `copy` and `template` put files in place.
#[derive(Clone, Debug)]
pub(super) struct Placing {
    pub(super) options: WriteOptions,
    pub(super) directory_mode: Option<String>,
    pub(super) force: bool,
    pub(super) follow: bool,
    /// The source is on the host: the result then has its checksums also when nothing was written.
    pub(super) on_host: bool,
}

impl Placing {
    /// Puts one file at `dest`, or in it when it is a directory.
    pub(super) fn file(&self, machine: &mut Machine, src: Option<&str>, content: &Content, dest: &str) -> Result<Outcome, Failure> {
        if self.options.attributes.mode.as_deref() == Some("preserve") {
            return Err(Failure::new("expected the mode of `src` in place of `preserve`: the controller did not send it"));
        }
        let sum = |algorithm| content.checksum(algorithm).map_err(|error| Failure::new(format!("cannot read the file to copy: {error}")));
        let checksum = sum(Algorithm::Sha1)?;
        let path = self.destination(machine, src, dest).map_err(|failure| failure.with("checksum", checksum.as_str()))?;
        if !self.force && machine.exists(&path) {
            let outcome = machine.outcome().with("dest", path.display().to_string());
            return Ok(match src {
                Some(src) => outcome.with("src", src),
                None => outcome,
            });
        }
        let written = machine.write_with(&path, content, &self.options).map_err(|failure| failure.with("checksum", checksum.as_str()))?;
        let facts = machine.describe(&path);
        let states = machine.diffing().then(|| machine.states(&path));
        let path = path.display().to_string();
        let mut outcome = machine.outcome().with("dest", path.as_str()).with("checksum", checksum);
        outcome = match states {
            _ if written.content_changed => outcome.with_diffs(None),
            Some(states) => outcome.with("diff", states),
            None => outcome,
        };
        outcome = if written.content_changed {
            outcome.with("src", src.map_or_else(|| source_beside(&path), str::to_owned)).with("md5sum", sum(Algorithm::Md5)?)
        } else {
            outcome.with("path", path)
        };
        if self.on_host && !written.content_changed {
            outcome = outcome.with("src", src).with("md5sum", sum(Algorithm::Md5)?);
        }
        if let Some(backup) = written.backup {
            outcome = outcome.with("backup_file", backup.display().to_string());
        }
        Ok(outcome.with_all(facts))
    }

    fn destination(&self, machine: &mut Machine, src: Option<&str>, dest: &str) -> Result<PathBuf, Failure> {
        let mut path = machine.path(dest);
        let name = src.and_then(|src| Path::new(src).file_name());
        let folder = dest.ends_with('/');
        if let Some(name) = name.filter(|_| folder || machine.is_dir(&path)) {
            if folder {
                self.make_folder(machine, &path)?;
            }
            path.push(name);
        }
        if self.follow && machine.stat(&path, false)?.is_some_and(|stat| stat.is_link()) {
            path = machine.resolve(&path);
        }
        let parent = match path.parent() {
            Some(parent) if parent == Path::new("") => Path::new("."),
            parent => parent.unwrap_or(Path::new("/")),
        };
        // A prediction cannot know which directories earlier tasks would have made; a dry run must get past it.
        if !(machine.checking() || machine.is_dir(parent)) {
            return Err(Failure::new(format!("Destination directory {} does not exist", parent.display())));
        }
        Ok(path)
    }

    fn folder_attributes(&self) -> Attributes {
        let Attributes { owner, group, .. } = self.options.attributes.clone();
        Attributes { mode: self.directory_mode.clone(), owner, group, ..Attributes::default() }
    }

    fn make_folder(&self, machine: &mut Machine, path: &Path) -> Result<(), Failure> {
        if !machine.is_dir(path) {
            machine.make_dir(path, &self.folder_attributes())?;
        }
        Ok(())
    }

    /// Puts a whole directory at `dest`; without a slash at the end of `src`, the directory itself goes in.
    fn tree(&self, machine: &mut Machine, src: &str, entries: &[Entry], dest: &str) -> Result<Outcome, Failure> {
        let mut root = machine.path(dest);
        if machine.stat(&root, true)?.is_some_and(|stat| !stat.is_dir()) {
            return Err(Failure::new(format!("cannot copy the directory `{src}` to {}: that is not a directory", root.display())));
        }
        if let Some(name) = Path::new(src).file_name().filter(|_| !src.ends_with('/')) {
            root.push(name);
        }
        self.make_folder(machine, &root)?;
        for entry in entries {
            machine.go_on()?;
            self.entry(machine, entry, &root.join(&entry.path))?;
        }
        let facts = machine.describe(&root);
        let outcome = machine.outcome().with_all(facts).with("src", src);
        Ok(if self.on_host {
            outcome.with("dest", dest).with("checksum", Value::Null).with("md5sum", Value::Null)
        } else {
            outcome.with("dest", format!("{}/", dest.trim_end_matches('/')))
        })
    }

    fn entry(&self, machine: &mut Machine, entry: &Entry, path: &Path) -> Result<(), Failure> {
        match &entry.item {
            Item::Directory => {
                machine.make_dir(path, &self.folder_attributes())?;
            }
            Item::Link(target) => {
                if self.force || !machine.exists(path) {
                    machine.symlink(target, path)?;
                }
            }
            Item::File(content) => {
                if !self.force && machine.exists(path) {
                    return Ok(());
                }
                let mut options = self.options.clone();
                if options.attributes.mode.as_deref() == Some("preserve") {
                    options.attributes.mode = Some(format!("{:o}", entry.mode));
                }
                let followed = if self.follow { machine.resolve(path) } else { path.to_owned() };
                machine.write_with(&followed, content, &options)?;
            }
        }
        Ok(())
    }
}

/// Content that was no file has the name that it has in Ansible on its way.
fn source_beside(path: &str) -> String {
    let path = Path::new(path);
    let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!(".source{ending}")).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_content_is_json_as_python_spaces_it() {
        let mut map = Map::new();
        map.insert("a".into(), vec![1, 2].into());
        map.insert("b".into(), Value::Null);
        assert_eq!(text_of(&map.into()), r#"{"a": [1, 2], "b": null}"#);
        assert_eq!(text_of(&"plain".into()), "plain");
    }
}
