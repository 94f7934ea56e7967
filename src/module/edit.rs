//! What the modules that change text inside a file share: reading it without loss, Python's patterns, writing it back.

use std::path::{Path, PathBuf};

use fancy_regex::{Captures, Regex};

use super::prelude::*;
use crate::machine::{WriteOptions, Written};
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

/// Compiles one of Python's patterns.
///
/// # Errors
/// Names the parameter it came from.
pub(super) fn pattern(name: &str, pattern: &str, multiline: bool) -> Result<Regex, Failure> {
    let flags = if multiline { "(?m)" } else { "" };
    let translated = format!("{flags}{}", from_python(pattern, multiline));
    Regex::new(&translated).map_err(|error| Failure::new(format!("`{name}` is not a regular expression: `{pattern}`: {error}")))
}

/// Python's dialect in ours, where they differ.
fn from_python(pattern: &str, multiline: bool) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    while let Some(character) = characters.next() {
        let first_in_class = std::mem::take(&mut class_start);
        match character {
            '\\' => match characters.next() {
                Some('Z') if !in_class => out.push_str(r"\z"),
                Some(plain @ ('<' | '>')) => out.push(plain),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            ']' if in_class && !first_in_class => {
                in_class = false;
                out.push(']');
            }
            // Sets inside sets are not Python's.
            special @ ('[' | ']' | '&' | '~') if in_class => out.extend(['\\', special]),
            '[' => {
                in_class = true;
                class_start = true;
                out.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            // Python's matches before a last newline too.
            '$' if !in_class && !multiline => out.push_str(r"(?=\n?\z)"),
            '{' if !in_class && characters.peek() == Some(&',') => out.push_str("{0"),
            other => out.push(other),
        }
    }
    out
}

/// Whether the pattern is somewhere in the text.
pub(super) fn found(regex: &Regex, text: &str) -> Result<bool, Failure> {
    regex.is_match(text).map_err(|error| too_hard(&error))
}

pub(super) fn too_hard(error: &fancy_regex::Error) -> Failure {
    Failure::new(format!("the regular expression is too hard to match: {error}"))
}

/// Fills Python's replacement template: `\1`, `\g<1>`, `\g<name>`, `\n`.
///
/// # Errors
/// A group that the pattern does not have.
pub(super) fn expand(template: &str, captures: &Captures<'_, str>) -> Result<String, Failure> {
    let unknown = |group: &str| Failure::new(format!("invalid group reference {group} in `{template}`"));
    let mut out = String::new();
    let mut characters = template.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some(digit @ '1'..='9') => {
                let mut group = digit.to_string();
                group.extend(characters.next_if(char::is_ascii_digit));
                out.push_str(numbered(captures, &group).ok_or_else(|| unknown(&group))?);
            }
            Some('g') if characters.peek() == Some(&'<') => {
                let group: String = characters.by_ref().skip(1).take_while(|character| *character != '>').collect();
                let text = if group.bytes().all(|byte| byte.is_ascii_digit()) {
                    numbered(captures, &group)
                } else {
                    captures.name(&group).map(|found| found.as_str())
                };
                out.push_str(text.ok_or_else(|| unknown(&group))?);
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('0') => out.push('\0'),
            Some('\\') => out.push('\\'),
            Some(letter) if letter.is_ascii_alphabetic() => return Err(Failure::new(format!("bad escape \\{letter} in `{template}`"))),
            Some(other) => out.extend(['\\', other]),
            None => return Err(Failure::new(format!("`{template}` ends in a backslash"))),
        }
    }
    Ok(out)
}

/// The first letter that means nothing after a backslash, which Python refuses even where nothing is replaced.
pub(super) fn bad_escape(template: &str) -> Option<char> {
    let mut characters = template.chars();
    while let Some(character) = characters.next() {
        if character == '\\'
            && let Some(letter) = characters.next()
            && letter.is_ascii_alphabetic()
            && !"gabfnrtv".contains(letter)
        {
            return Some(letter);
        }
    }
    None
}

/// A group that took no part in the match is empty; one that does not exist is none.
fn numbered<'t>(captures: &Captures<'t, str>, group: &str) -> Option<&'t str> {
    let number: usize = group.parse().ok()?;
    (number < captures.len()).then(|| captures.get(number).map_or("", |found| found.as_str()))
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

    #[test]
    fn patterns_mean_what_they_mean_in_python() {
        for (source, text, matches) in [
            (r"^a$", "a\n", true),
            (r"^a$", "a\nb", false),
            (r"a\Z", "a\n", false),
            (r"[[]x", "[x", true),
            (r"[^]]x", "ax", true),
            (r"[]a]+b", "]ab", true),
            (r"\<b\>", "<b>", true),
            (r"^x{,2}$", "xx", true),
            (r"^(\w)\1$", "aa", true),
            (r"^(?P<q>['\x22])a(?P=q)$", "'a'", true),
            (r"^(?!#)\s*Port", "Port 22", true),
            (r"(?<=a)b", "ab", true),
            (r"(?i)^PERMIT", "permit", true),
            (r"a&&b[&~]", "a&&b~", true),
            (r"^\bü\b", "ü x", true),
        ] {
            assert_eq!(found(&pattern("regexp", source, false).unwrap(), text).unwrap(), matches, "{source} on {text:?}");
        }
        assert!(found(&pattern("regexp", "^b$", true).unwrap(), "a\nb\nc").unwrap());
        assert!(pattern("regexp", "(", false).unwrap_err().msg.starts_with("`regexp` is not a regular expression: `(`"));
    }

    #[test]
    fn templates_are_filled_as_in_python() {
        let regex = Regex::new("(a)(?P<n>b)(c)?").unwrap();
        let captures = regex.captures("ab").unwrap().unwrap();
        for (template, expected) in [(r"\1-\2", "a-b"), (r"\g<1>0\g<n>", "a0b"), (r"[\3]", "[]"), (r"x\ny", "x\ny"), (r"\.\\", r"\.\")] {
            assert_eq!(expand(template, &captures).unwrap(), expected);
        }
        assert_eq!([r"\D", r"a\n\g<x>", r"\\D"].map(bad_escape), [Some('D'), None, None]);
        for template in [r"\9", r"\g<x>", r"\q"] {
            assert!(expand(template, &captures).is_err(), "{template}");
        }
    }
}
