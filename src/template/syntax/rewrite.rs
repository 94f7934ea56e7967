//! What Jinja reads and minijinja does not, in words that both read.
//!
//! Learned by running ansible-core 2.19: tuples without brackets where a statement or a `{{ }}` has an expression, blanks that are
//! not ASCII, blocks inside macros. Every byte keeps its place but for the brackets that are added, which [`Rewritten`] knows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Delimiters;

/// Text for minijinja, and how its bytes lie in what was written.
pub(super) struct Rewritten<'a> {
    pub(super) text: Cow<'a, str>,
    /// The bytes of `text` that were not written, in order.
    added: Vec<u32>,
    /// The names of the blocks that became `with` statements, by the byte of `text` where those begin.
    pub(super) blocks: HashMap<u32, Arc<str>>,
}

impl Rewritten<'_> {
    /// The byte of what was written for one of `text`.
    pub(super) fn original(&self, at: u32) -> u32 {
        let before = self.added.partition_point(|added| *added < at);
        at.saturating_sub(u32::try_from(before).unwrap_or(u32::MAX))
    }
}

/// A whole template.
pub(super) fn template<'a>(text: &'a str, delimiters: &Delimiters) -> Rewritten<'a> {
    let mut rewriter = Rewriter { text, delimiters, edits: Vec::new(), blocks: HashMap::new(), macros: 0, in_macro: Vec::new() };
    rewriter.template();
    rewriter.finish()
}

/// An expression without delimiters.
pub(super) fn expression(text: &str) -> Rewritten<'_> {
    let delimiters = Delimiters::default();
    let mut rewriter =
        Rewriter { text, delimiters: &delimiters, edits: Vec::new(), blocks: HashMap::new(), macros: 0, in_macro: Vec::new() };
    rewriter.tag(0, None, false);
    rewriter.finish()
}

/// What is between the delimiters of a statement or a `{{ }}`.
#[derive(Default)]
struct Tag {
    /// Names, keywords and numbers outside of brackets and quotes.
    words: Vec<Range<usize>>,
    /// Commas outside of brackets and quotes.
    commas: Vec<usize>,
    /// The end of the last thing in it.
    end: usize,
    /// What comes after its closing delimiter.
    after: usize,
}

struct Rewriter<'a, 'd> {
    text: &'a str,
    delimiters: &'d Delimiters,
    /// What is put in the place of what, in order within a tag.
    edits: Vec<(Range<usize>, String)>,
    /// Blocks that become `with` statements: where, and their names.
    blocks: HashMap<usize, Arc<str>>,
    /// How many macros, and bodies of `call`, are open.
    macros: usize,
    /// For each open block, whether it was written inside a macro.
    in_macro: Vec<bool>,
}

impl<'a> Rewriter<'a, '_> {
    fn rest(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    /// The first byte after `mark`, which is looked for from `at` on.
    fn past(&self, at: usize, mark: &str) -> Option<usize> {
        self.rest(at).find(mark).map(|offset| at + offset + mark.len())
    }

    fn template(&mut self) {
        let (block, variable, comment) = (&self.delimiters.block, &self.delimiters.variable, &self.delimiters.comment);
        let mut ahead = [block, variable, comment].map(|pair| (self.text.find(&pair.0), pair));
        let mut at = 0;
        loop {
            // Looked for again only where it lies behind, so that a long template is not searched for every tag.
            for (found, pair) in &mut ahead {
                if found.is_some_and(|found| found < at) {
                    *found = self.rest(at).find(&pair.0).map(|offset| at + offset);
                }
            }
            // Of two that begin at the same byte, the longer one.
            let found = ahead.iter().filter_map(|(found, pair)| Some(((*found)?, *pair)));
            let Some((start, pair)) = found.min_by_key(|(start, pair)| (*start, usize::MAX - pair.0.len())) else { return };
            let open = start + pair.0.len();
            let inside = open + usize::from(self.rest(open).starts_with(['-', '+']));
            let next = if std::ptr::eq(pair, comment) {
                self.past(inside, &pair.1)
            } else if std::ptr::eq(pair, variable) {
                self.tag(inside, Some(&pair.1), self.delimiters.literal_backslashes).map(|tag| {
                    self.bracket(&tag, inside..tag.end);
                    tag.after
                })
            } else {
                self.statement(inside)
            };
            // What is not closed is for the parser to say.
            let Some(next) = next else { return };
            at = next;
        }
    }

    /// One statement; tells where the text after it begins.
    fn statement(&mut self, inside: usize) -> Option<usize> {
        let tag = self.tag(inside, Some(&self.delimiters.block.1), false)?;
        let word = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        let first = tag.words.first()?.clone();
        match word(&first) {
            "raw" => return self.end_of_raw(tag.after),
            "if" | "elif" => self.bracket(&tag, first.end..tag.end),
            "for" => {
                let mut words = tag.words.iter().skip_while(|range| word(range) != "in");
                let from = words.next().map_or(tag.end, |range| range.end);
                let to = words.find(|range| matches!(word(range), "if" | "recursive")).map_or(tag.end, |range| range.start);
                self.bracket(&tag, from..to);
            }
            "macro" | "call" => self.macros += 1,
            "endmacro" | "endcall" => self.macros = self.macros.saturating_sub(1),
            "block" => {
                self.in_macro.push(self.macros > 0);
                if self.macros > 0 {
                    let name = tag.words.get(1).map(word).unwrap_or_default();
                    self.blocks.insert(first.start, name.into());
                    self.replace(first.start..tag.end, "with");
                }
            }
            "endblock" if self.in_macro.pop() == Some(true) => self.replace(first.start..tag.end, "endwith"),
            _ => {}
        }
        Some(tag.after)
    }

    /// The text after the end of a `raw` block whose content begins at `at`.
    fn end_of_raw(&self, at: usize) -> Option<usize> {
        let (open, close) = &self.delimiters.block;
        let mut at = at;
        loop {
            at = self.past(at, open)?;
            let inner = self.rest(at).trim_start_matches(['-', '+']).trim_start();
            let after = inner.strip_prefix("endraw").map(|after| after.trim_start().trim_start_matches(['-', '+']));
            if after.is_some_and(|after| after.starts_with(close.as_str())) {
                return self.past(at, close);
            }
        }
    }

    /// Reads up to the delimiter `close`; `None` if it is missing. With `literal` backslashes, those before what would be the
    /// number of a letter become other letters: there a backslash is one, and what a literal means is read from the text itself.
    fn tag(&mut self, inside: usize, close: Option<&str>, literal: bool) -> Option<Tag> {
        let mut tag = Tag { end: inside, ..Tag::default() };
        let (mut at, mut depth) = (inside, 0_usize);
        while let Some(next) = self.rest(at).chars().next() {
            let rest = self.rest(at);
            if let Some(close) = close.filter(|_| depth == 0)
                && rest.strip_prefix(['-', '+']).unwrap_or(rest).starts_with(close)
            {
                tag.after = self.past(at, close)?;
                return Some(tag);
            }
            let length = match next {
                '\'' | '"' => self.string(at, literal)?,
                _ if next.is_alphanumeric() || next == '_' => {
                    let length = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
                    if depth == 0 {
                        tag.words.push(at..at + length);
                    }
                    length
                }
                _ => next.len_utf8(),
            };
            match next {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => tag.commas.push(at),
                _ if next.is_whitespace() && !next.is_ascii() => self.replace(at..at + length, ""),
                _ => {}
            }
            at += length;
            if !next.is_whitespace() {
                tag.end = at;
            }
        }
        None
    }

    /// The length of the literal that begins at `at`; `None` if it has no end.
    fn string(&mut self, at: usize, literal: bool) -> Option<usize> {
        let bytes = self.rest(at).as_bytes();
        let quote = bytes.first()?;
        let mut length = 1;
        loop {
            match bytes.get(length)? {
                b'\\' => {
                    if literal && matches!(bytes.get(length + 1), Some(b'x' | b'u')) {
                        self.replace(at + length..at + length + 1, "_");
                    }
                    length += 2;
                }
                byte if byte == quote => return Some(length + 1),
                _ => length += 1,
            }
        }
    }

    /// Puts brackets round a tuple that has none.
    fn bracket(&mut self, tag: &Tag, range: Range<usize>) {
        if tag.commas.iter().any(|comma| range.contains(comma)) {
            self.edits.push((range.start..range.start, "(".to_owned()));
            self.edits.push((range.end..range.end, ")".to_owned()));
        }
    }

    /// Puts `text` and blanks in the place of something longer.
    fn replace(&mut self, range: Range<usize>, text: &str) {
        let width = range.len();
        self.edits.push((range, format!("{text:width$}")));
    }

    fn finish(mut self) -> Rewritten<'a> {
        if self.edits.is_empty() {
            return Rewritten { text: self.text.into(), added: Vec::new(), blocks: HashMap::new() };
        }
        // What is added comes before what begins at the same byte.
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (mut text, mut added, mut blocks, mut from) = (String::with_capacity(self.text.len() + 2), Vec::new(), HashMap::new(), 0);
        for (range, instead) in self.edits {
            // A blank inside of what became blanks already.
            if range.start < from {
                continue;
            }
            text.push_str(self.text.get(from..range.start).unwrap_or_default());
            if range.is_empty() {
                added.push(offset(text.len()));
            } else if let Some(name) = self.blocks.remove(&range.start) {
                blocks.insert(offset(text.len()), name);
            }
            text.push_str(&instead);
            from = range.end;
        }
        text.push_str(self.text.get(from..).unwrap_or_default());
        Rewritten { text: text.into(), added, blocks }
    }
}
