//! `key=value` text, split the way Ansible splits it: quotes and template blocks hold together, whitespace of free text is kept.

use std::ops::Range;

/// What a text of `key=value` and other words says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Keys and values, unquoted, with the part of the text that each took.
    pub params: Vec<(String, String, Range<usize>)>,
    /// The words that are no `key=value`, with their whitespace.
    pub free: Option<String>,
}

/// A quote or a template block is not closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// A word with the whitespace that Ansible keeps with it.
#[derive(Debug)]
struct Word {
    text: String,
    at: Range<usize>,
}

/// Splits `text`. With `only`, other keys than those belong to the free text: `command: dd if=/dev/zero chdir=/tmp`.
pub(super) fn split(text: &str, only: Option<&[&str]>) -> Result<Split, Unbalanced> {
    let mut result = Split::default();
    let mut free: Vec<String> = Vec::new();
    for word in words(text)? {
        let decoded = decode(&word.text);
        let value_at = assignment(&decoded);
        if let Some((key, value)) = value_at.and_then(|equals| Some((decoded.get(..equals)?, decoded.get(equals + 1..)?)))
            && only.is_none_or(|only| only.contains(&key))
        {
            // The last one counts, as in a mapping, but keeps the place of the first.
            let (key, value) = (key.trim(), unquote(value.trim()).to_owned());
            match result.params.iter_mut().find(|(known, ..)| known == key) {
                Some(known) => *known = (key.to_owned(), value, word.at),
                None => result.params.push((key.to_owned(), value, word.at)),
            }
        } else if value_at.is_some() {
            free.push(word.text);
        } else {
            // Ansible decodes escapes of such a word only if it has an escaped `=`.
            free.push(if word.text.contains('=') { decoded.replace("\\=", "=") } else { word.text });
        }
    }
    result.free = (!free.is_empty()).then(|| join(&free));
    Ok(result)
}

/// The words of `text` and its `key=value` pairs; `None` where a quote is not closed.
pub fn inline_options(text: &str) -> Option<(Option<String>, Vec<(String, String)>)> {
    let split = split(text, None).ok()?;
    Some((split.free, split.params.into_iter().map(|(key, value, _)| (key, value)).collect()))
}

/// Words with a space between, unless a line ended.
fn join(words: &[String]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// How deep inside quotes and template blocks the reading is.
#[derive(Default)]
struct Nesting {
    quote: Option<char>,
    print: usize,
    block: usize,
    comment: usize,
}

impl Nesting {
    fn is_open(&self) -> bool {
        self.quote.is_some() || self.print + self.block + self.comment > 0
    }

    fn read(&mut self, word: &str) {
        let mut before = '\0';
        for char in word.chars() {
            if matches!(char, '"' | '\'') && before != '\\' {
                match self.quote {
                    None => self.quote = Some(char),
                    Some(open) if open == char => self.quote = None,
                    Some(_) => {}
                }
            }
            before = char;
        }
        for (depth, open, close) in [(&mut self.print, "{{", "}}"), (&mut self.block, "{%", "%}"), (&mut self.comment, "{#", "#}")] {
            *depth = (*depth + word.matches(open).count()).saturating_sub(word.matches(close).count());
        }
    }
}

fn words(text: &str) -> Result<Vec<Word>, Unbalanced> {
    let mut words: Vec<Word> = Vec::new();
    let mut nesting = Nesting::default();
    let mut start = 0;
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let mut continued = false;
        let mut at = start;
        for (index, part) in line.split(' ').enumerate() {
            let end = at + part.len();
            let was_open = nesting.is_open();
            if part == "\\" && nesting.quote.is_none() {
                continued = true;
            } else if was_open {
                nesting.read(part);
                glue(&mut words, part, if index == 0 { "" } else { " " }, at..end);
            } else if part.is_empty() {
                if index > 0 {
                    glue(&mut words, "", " ", at..at);
                }
            } else {
                nesting.read(part);
                words.push(Word { text: part.to_owned(), at: at..end });
            }
            at = end + 1;
        }
        if lines.peek().is_some() && !continued {
            glue(&mut words, "", "\n", start..start);
        }
        start += line.len() + 1;
    }
    if nesting.is_open() { Err(Unbalanced) } else { Ok(words) }
}

/// Adds to the last word.
fn glue(words: &mut Vec<Word>, part: &str, separator: &str, at: Range<usize>) {
    match words.last_mut() {
        Some(last) => {
            last.text.push_str(separator);
            last.text.push_str(part);
            if !part.is_empty() {
                last.at.end = at.end;
            }
        }
        None => words.push(Word { text: format!("{separator}{part}"), at }),
    }
}

/// Where the `=` of `key=value` stands.
fn assignment(word: &str) -> Option<usize> {
    let is_escaped = |equals: usize| word.get(..equals).is_some_and(|before| before.ends_with('\\'));
    word.match_indices('=').map(|(equals, _)| equals).find(|equals| *equals > 0 && !is_escaped(*equals))
}

/// Without the quotes that enclose all of it.
fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote))
            && !inner.ends_with('\\')
        {
            return inner;
        }
    }
    text
}

/// Python's escapes: `\n`, `\x41`, `\u00e9`.
fn decode(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        let (before, escape) = rest.split_at(backslash);
        decoded.push_str(before);
        let mut chars = escape.chars().skip(1);
        let kind = chars.next();
        let numeric = |width: usize| {
            let digits = escape.get(2..2 + width)?;
            u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).map(|char| (char, 2 + width))
        };
        let found = match kind {
            Some('a') => Some(('\u{7}', 2)),
            Some('b') => Some(('\u{8}', 2)),
            Some('f') => Some(('\u{c}', 2)),
            Some('n') => Some(('\n', 2)),
            Some('r') => Some(('\r', 2)),
            Some('t') => Some(('\t', 2)),
            Some('v') => Some(('\u{b}', 2)),
            Some(same @ ('\\' | '\'' | '"')) => Some((same, 2)),
            Some('x') => numeric(2),
            Some('u') => numeric(4),
            Some('U') => numeric(8),
            _ => None,
        };
        let (char, width) = found.unwrap_or(('\\', 1));
        decoded.push(char);
        rest = escape.get(width..).unwrap_or_default();
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found with ansible-core 2.19: `text`, keys and values, free text.
    #[test]
    fn splits_as_ansible_does() {
        for (text, params, free) in [
            ("a=1 b=2", &[("a", "1"), ("b", "2")][..], None),
            ("echo a chdir=/tmp   b", &[("chdir", "/tmp")], Some("echo a b")),
            ("a='x y' b=\"q\"", &[("a", "x y"), ("b", "q")], None),
            ("a=\"x\\\"y\"", &[("a", "x\"y")], None),
            ("a=1 \\\n b=2", &[("a", "1"), ("b", "2")], None),
            ("msg={{ x | default('a b') }} z=1", &[("msg", "{{ x | default('a b') }}"), ("z", "1")], None),
            ("msg={% if x %}a b{% endif %}", &[("msg", "{% if x %}a")], Some("b{% endif %}")),
            ("a=b=c", &[("a", "b=c")], None),
            ("=x", &[], Some("=x")),
            ("a=", &[("a", "")], None),
            ("a\\=b", &[], Some("a=b")),
            ("a=C:\\foo\\n", &[("a", "C:\u{c}oo")], None),
            ("a=\"\\n\"", &[("a", "\n")], None),
            ("a= 1", &[("a", "")], Some("1")),
            ("u=1 u=2", &[("u", "2")], None),
            ("x={{a {{b}} c}} d", &[("x", "{{a {{b}} c}}")], Some("d")),
        ] {
            let found = split(text, None).unwrap();
            let pairs: Vec<_> = found.params.iter().map(|(key, value, _)| (key.as_str(), value.as_str())).collect();
            assert_eq!((pairs.as_slice(), found.free.as_deref()), (params, free), "{text:?}");
        }
    }

    #[test]
    fn free_text_keeps_its_whitespace() {
        for (text, free) in [
            ("echo  a   b", "echo  a   b"),
            ("echo one \\\n two", "echo one two"),
            ("one\n  two three\n\n four", "one\n  two three\n\nfour"),
            ("chdir=/tmp one\n  two", "one\n  two"),
            ("dd if=/dev/zero of=x", "dd if=/dev/zero of=x"),
            ("echo \"a\nb\" c", "echo \"a\nb\" c"),
            ("echo {{ 'chdir=/x' }} chdir=/y", "echo {{ 'chdir=/x' }}"),
            ("echo $(ls -l | awk '{print $1}') creates=/x", "echo $(ls -l | awk '{print $1}')"),
        ] {
            assert_eq!(split(text, Some(&["chdir", "creates"])).unwrap().free.as_deref(), Some(free), "{text:?}");
        }
    }

    #[test]
    fn what_is_left_open_is_refused() {
        for text in ["a={{ x", "a=\"b", "a='b\\\\' c=1", "echo \"{{ x }}\" \"{{ y"] {
            assert_eq!(split(text, None), Err(Unbalanced), "{text:?}");
        }
    }

    #[test]
    fn parts_know_their_place() {
        let text = "x a=1  b='c d' \\\n e={{ f }}";
        let places: Vec<_> = split(text, None).unwrap().params.into_iter().map(|(.., at)| &text[at]).collect();
        assert_eq!(places, ["a=1", "b='c d'", "e={{ f }}"]);
    }
}
