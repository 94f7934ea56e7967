//! Puts a file together from the pieces in a directory of the host, or with `remote_src: false` of the controller.
//!
//! ```yaml
//! - assemble: {src: /etc/shop/conf.d, dest: /etc/shop.conf, delimiter: "# ---"}
//! ```

use std::path::Path;

use super::copy::Placing;
use super::edit;
use super::prelude::*;
use crate::machine::{Content, Entry, Item, Received};

params! {
    pub struct Assemble {
        /// The directory of pieces, joined in the order of their names.
        src: LocalFile,
        /// The file.
        dest: PathText,
        /// The pieces are on the host.
        remote_src: bool = true,
        /// What stands between two pieces.
        delimiter: Option<String>,
        /// Only pieces whose name matches this.
        regexp: Option<String>,
        /// Leave out pieces whose name starts with a dot.
        ignore_hidden: bool = false,
        /// Keep what was there as `dest.PID.date~`.
        backup: bool = false,
        /// Open vault files on the controller.
        decrypt: bool = true,
        /// A command that must accept the file `%s` before it is put in place.
        validate: Option<String>,
    }
    group = file: FileAttributes;
}

impl Module for Assemble {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let folder = machine.path(&self.src.0);
        let no_folder = || Failure::new(format!("Source ({}) is not a directory", self.src.0));
        let pieces = match machine.received("src") {
            Some(Received::Tree(entries)) => sent(entries),
            Some(Received::File(_)) => return Err(no_folder()),
            None => match machine.stat(&folder, true)? {
                None => return Err(Failure::new(format!("Source ({}) does not exist", self.src.0))),
                Some(stat) if !stat.is_dir() => return Err(no_folder()),
                Some(_) => there(machine, &folder)?,
            },
        };
        let content = self.content(pieces)?;
        let placing = Placing {
            options: self.file.options(self.backup, self.validate.as_deref()),
            directory_mode: None,
            force: true,
            follow: false,
            on_host: self.remote_src,
        };
        let outcome = placing.file(machine, Some(&self.src.0), &content, &self.dest.0)?;
        let alone = outcome.data.get("diff").and_then(Value::as_list).and_then(<[Value]>::first).cloned();
        let outcome = outcome.with("msg", "OK");
        Ok(match alone {
            Some(diff) => outcome.with("diff", diff),
            None => outcome,
        })
    }
}

impl Assemble {
    fn content(&self, pieces: Vec<Piece>) -> Result<Content, Failure> {
        let pattern = self.regexp.as_deref().map(|regexp| edit::pattern("regexp", regexp)).transpose()?;
        let delimiter = self.delimiter.as_deref().map(unescaped);
        let mut whole: Vec<u8> = Vec::new();
        let mut first = true;
        for (name, piece) in pieces {
            let wanted = match &pattern {
                Some(pattern) => edit::found(pattern, &name)?,
                None => true,
            };
            if !wanted || self.ignore_hidden && name.starts_with('.') {
                continue;
            }
            if !first && whole.last().is_some_and(|byte| *byte != b'\n') {
                whole.push(b'\n');
            }
            if let Some(delimiter) = delimiter.as_deref().filter(|_| !first) {
                whole.extend_from_slice(delimiter.as_bytes());
                if !delimiter.ends_with('\n') {
                    whole.push(b'\n');
                }
            }
            whole.extend(piece.to_vec().map_err(|error| Failure::new(format!("cannot read the piece {name}: {error}")))?);
            first = false;
        }
        Ok(whole.into())
    }
}

/// A piece: its name and what it holds.
type Piece = (String, Content);

/// The pieces that came along.
fn sent(entries: &[Entry]) -> Vec<Piece> {
    let inside = entries.iter().filter(|entry| entry.path.components().count() == 1);
    let mut pieces: Vec<Piece> = inside
        .filter_map(|entry| match &entry.item {
            Item::File(content) => Some((entry.path.to_string_lossy().into_owned(), content.clone())),
            Item::Directory | Item::Link(_) => None,
        })
        .collect();
    pieces.sort_by(|left, right| left.0.cmp(&right.0));
    pieces
}

/// The pieces in a directory of the host.
fn there(machine: &Machine, folder: &Path) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::new();
    for path in machine.list(folder)? {
        if machine.stat(&path, true)?.is_some_and(|stat| stat.is_file()) {
            pieces.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), machine.content_of(&path)?));
        }
    }
    Ok(pieces)
}

/// `\n` and `\t` in a delimiter are what they are in Python.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}
