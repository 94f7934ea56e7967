//! What the modules that change text inside a file share: reading it without loss, patterns, writing it back.

use std::path::{Path, PathBuf};

use super::prelude::*;
use crate::machine::{WriteOptions, Written};
use crate::regex::{self, Flags, Regex};
use crate::wire::carried;

/// What is said of a file whose content was right already.
const DRESSED: &str = "ownership, perms or SE linux context changed";

/// A file's content as text. Bytes that are not UTF-8 are carried along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    carries: bool,
}

impl Text {
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        let carries = std::str::from_utf8(&bytes).is_err();
        Self { text: carried::text_of(bytes), carries }
    }

    /// The bytes of `text`, which was made out of this one.
    pub(super) fn bytes_of(&self, text: &str) -> Vec<u8> {
        if self.carries { carried::bytes_of(text) } else { text.as_bytes().to_vec() }
    }
}

/// Compiles a pattern.
///
/// # Errors
/// Names the parameter it came from.
pub(super) fn pattern(name: &str, pattern: &str) -> Result<Regex, Failure> {
    pattern_with(name, pattern, Flags::default())
}

/// Compiles a pattern with flags.
///
/// # Errors
/// Names the parameter it came from.
pub(super) fn pattern_with(name: &str, pattern: &str, flags: Flags) -> Result<Regex, Failure> {
    Regex::with(pattern, flags).map_err(|error| Failure::new(format!("`{name}` is not a regular expression: `{pattern}`: {error}")))
}

/// Whether the pattern is somewhere in the text.
pub(super) fn found(regex: &Regex, text: &str) -> Result<bool, Failure> {
    regex.is_match(text).map_err(|error| too_hard(&error))
}

pub(super) fn too_hard(error: &regex::Error) -> Failure {
    Failure::new(error.to_string())
}

/// Whether the pattern says itself, by `(?m)`, that it looks at more than one line.
pub(super) fn spans_lines(pattern: &str) -> bool {
    let flags = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')).map_or("", |(flags, _)| flags);
    flags.contains('m') && flags.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A text in lines that keep their ends.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// A line without its end.
pub(super) fn bare(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// How the edited file is to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Edit {
    pub(super) options: WriteOptions,
    pub(super) create: bool,
}

impl Edit {
    /// The content of the file to edit; `None` when it is to be created.
    ///
    /// # Errors
    /// A directory, or nothing where nothing may be created: with Ansible's `rc`.
    pub(super) fn open(&self, machine: &Machine, path: &Path) -> Result<Option<Text>, Failure> {
        match machine.stat(path, true)? {
            Some(stat) if stat.is_dir() => Err(Failure::new(format!("Path {} is a directory !", path.display())).with("rc", 256)),
            Some(_) => Ok(Some(Text::from_bytes(machine.read(path)?))),
            None if self.create => Ok(None),
            None => Err(Failure::new(format!("Path {} does not exist !", path.display())).with("rc", 257)),
        }
    }

    /// Writes the edited content through links, making the folder for a new file.
    ///
    /// # Errors
    /// As [`Machine::write_with`].
    pub(super) fn save(&self, machine: &mut Machine, path: &Path, bytes: Vec<u8>) -> Result<Written, Failure> {
        let path = machine.resolve(path);
        let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        if self.create && !machine.is_dir(&folder) {
            machine.make_dir(&folder, &Attributes::default())?;
        }
        machine.write_with(&path, &bytes.into(), &self.options)
    }

    /// What came of an edit, with the differences of content and attributes apart.
    pub(super) fn outcome(machine: &mut Machine, path: &Path) -> Outcome {
        let name = format!("{} (file attributes)", path.display());
        let attributes = ["before_header", "after_header"].map(|side| (side.to_owned(), Value::from(name.as_str())));
        machine.outcome().with_diffs(Some(Map::from_iter(attributes)))
    }

    /// Dresses a file whose content stays, and says so in Ansible's words.
    ///
    /// # Errors
    /// As [`Machine::attributes`].
    pub(super) fn dress(&self, machine: &mut Machine, path: &Path, msg: &str) -> Result<String, Failure> {
        let real = machine.resolve(path);
        let dressed = machine.exists(&real) && machine.attributes(&real, &self.options.attributes)?;
        Ok(match (dressed, msg) {
            (false, msg) => msg.to_owned(),
            (true, "") => DRESSED.to_owned(),
            (true, msg) => format!("{msg} and {DRESSED}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_survive() {
        for bytes in [b"plain\n".to_vec(), b"caf\xe9\n\xff\xfe x\n".to_vec(), "\u{10FE90}".as_bytes().to_vec()] {
            let text = Text::from_bytes(bytes.clone());
            assert_eq!(text.bytes_of(&text.text), bytes);
        }
    }
}
