//! Python's regular expressions, as playbooks write them, for both programs.
//!
//! Backtracking, as Python does it: only so do look-around, references to groups and the order of alternatives mean the same.
//! Text that would take it forever is an error, and long text takes no stack. The libraries for Rust speak another dialect, and
//! make the worker, which every host gets, a fifth larger.

mod compile;
mod parse;
mod run;
mod set;
mod template;
mod tree;

use std::fmt;

use compile::Program;
use run::Run;
pub use template::Template;

/// What `re.compile` takes beside the pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `re.IGNORECASE`
    pub ignore_case: bool,
    /// `re.MULTILINE`: `^` and `$` match at every line.
    pub multi_line: bool,
    /// `re.DOTALL`: a dot matches line feeds too.
    pub dot_all: bool,
    /// `re.VERBOSE`: space and comments mean nothing.
    pub(crate) verbose: bool,
    /// `re.ASCII`: `\w`, `\d`, `\s` and `\b` know no other letters.
    pub(crate) ascii: bool,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Regex {
    program: Program,
}

/// Why there is no pattern, or no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The pattern is wrong, in Python's words.
    #[error("{reason} at position {position}")]
    Syntax {
        /// What is wrong.
        reason: String,
        /// Where, in characters.
        position: usize,
    },
    /// There are more ways to match than can be tried.
    #[error("the regular expression has too many ways to match this text")]
    TooHard,
}

/// Where a search may begin, and where a match must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    /// `re.search`
    None,
    /// `re.match`
    Start,
    /// `re.fullmatch`
    Both,
}

impl Regex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// Python would refuse it.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        Self::with(pattern, Flags::default())
    }

    /// Compiles `pattern` with flags.
    ///
    /// # Errors
    /// Python would refuse it.
    pub fn with(pattern: &str, flags: Flags) -> Result<Self, Error> {
        Ok(Self { program: compile::compile(parse::parse(pattern, flags)?)? })
    }

    /// Whether it is anywhere in `text`.
    ///
    /// # Errors
    /// That would take too long to find out, as with all that follow.
    pub fn is_match(&self, text: &str) -> Result<bool, Error> {
        Ok(self.captures(text)?.is_some())
    }

    /// Whether `text` begins with it, as `re.match` asks.
    ///
    /// # Errors
    /// See [`Regex::is_match`].
    pub fn begins(&self, text: &str) -> Result<bool, Error> {
        Ok(self.captures_at_start(text)?.is_some())
    }

    /// The first match in `text`.
    ///
    /// # Errors
    /// See [`Regex::is_match`].
    pub fn find<'t>(&self, text: &'t str) -> Result<Option<Match<'t>>, Error> {
        Ok(self.captures(text)?.and_then(|captures| captures.get(0)))
    }

    /// The first match in `text`, with its groups.
    ///
    /// # Errors
    /// See [`Regex::is_match`].
    pub fn captures<'r, 't>(&'r self, text: &'t str) -> Result<Option<Captures<'r, 't>>, Error> {
        self.search(text, 0, false, Anchor::None)
    }

    /// The match at the beginning of `text`, as `re.match` finds it.
    ///
    /// # Errors
    /// See [`Regex::is_match`].
    pub fn captures_at_start<'r, 't>(&'r self, text: &'t str) -> Result<Option<Captures<'r, 't>>, Error> {
        self.search(text, 0, false, Anchor::Start)
    }

    /// The match of the whole `text`, as `re.fullmatch` finds it.
    ///
    /// # Errors
    /// See [`Regex::is_match`].
    pub fn captures_whole<'r, 't>(&'r self, text: &'t str) -> Result<Option<Captures<'r, 't>>, Error> {
        self.search(text, 0, false, Anchor::Both)
    }

    /// All matches in `text`, one after the other, as `re.finditer` finds them.
    pub fn captures_iter<'r, 't>(&'r self, text: &'t str) -> Matches<'r, 't> {
        Matches { regex: self, text, from: Some(0), moved: false }
    }

    /// How many groups it has, the whole match among them.
    pub fn groups(&self) -> usize {
        self.program.groups
    }

    /// The number of the group called `name`.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.program.names.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    }

    /// The names of its groups, with their numbers.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.program.names.iter().map(|(name, number)| (name.as_str(), *number))
    }

    fn search<'r, 't>(&'r self, text: &'t str, from: usize, must_move: bool, anchor: Anchor) -> Result<Option<Captures<'r, 't>>, Error> {
        let slots = Run::new(&self.program, text, anchor).search(from, must_move)?;
        Ok(slots.map(|slots| Captures { regex: self, text, slots }))
    }
}

/// A piece of a text that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

impl<'t> Match<'t> {
    /// Where it begins, in bytes.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where it ends, in bytes.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The piece.
    pub fn as_str(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }
}

/// A match and its groups.
#[derive(Clone, Debug)]
pub struct Captures<'r, 't> {
    regex: &'r Regex,
    text: &'t str,
    slots: Vec<usize>,
}

impl<'t> Captures<'_, 't> {
    /// Group `number`; 0 is the whole match. `None` when it took no part.
    pub fn get(&self, number: usize) -> Option<Match<'t>> {
        let (start, end) = (*self.slots.get(2 * number)?, *self.slots.get(2 * number + 1)?);
        (number < self.regex.groups() && end != run::NONE).then_some(Match { text: self.text, start, end })
    }

    /// The group called `name`.
    pub fn name(&self, name: &str) -> Option<Match<'t>> {
        self.get(self.regex.group(name)?)
    }

    /// The text of group `number`; empty when it took no part.
    pub fn text(&self, number: usize) -> &'t str {
        self.get(number).map_or("", |found| found.as_str())
    }

    /// How many groups there are, the whole match among them.
    #[expect(clippy::len_without_is_empty, reason = "the whole match is always there")]
    pub fn len(&self) -> usize {
        self.regex.groups()
    }
}

/// See [`Regex::captures_iter`].
#[derive(Debug)]
pub struct Matches<'r, 't> {
    regex: &'r Regex,
    text: &'t str,
    from: Option<usize>,
    /// The last match was empty, so that the next one must not be the same again.
    moved: bool,
}

impl<'r, 't> Iterator for Matches<'r, 't> {
    type Item = Result<Captures<'r, 't>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.regex.search(self.text, self.from?, self.moved, Anchor::None).transpose();
        let whole = found.as_ref().and_then(|found| found.as_ref().ok()).and_then(|captures| captures.get(0));
        self.moved = whole.is_some_and(|whole| whole.start == whole.end);
        self.from = whole.map(|whole| whole.end);
        found
    }
}

/// `text` such that it matches only itself, as `re.escape` writes it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

impl fmt::Display for Match<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
