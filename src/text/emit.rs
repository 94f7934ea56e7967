//! Values become YAML, laid out as PyYAML lays it out: scripts and eyes are used to it.
//!
//! Block style, keys sorted, lists not indented below their key, long text folded at spaces. The choice between plain, quoted and
//! literal text follows PyYAML's analysis of scalars, which asks what a reader of YAML 1.1 would make of them.

mod flow;

use super::scalar;
use crate::wire::{Map, Value, repr_float};

pub use flow::Flow;

/// How YAML is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Columns of one level.
    pub indent: usize,
    /// Text is folded at the first space beyond this column.
    pub width: usize,
    /// Keys in alphabetical order, not in the order of the value.
    pub sorted: bool,
    /// Text of several lines is written as it is, after `|`.
    pub literal: bool,
    /// `{"__ansible_vault": TEXT}` is written as `!vault`.
    pub sealed: bool,
    /// Which collections are written in brackets.
    pub flow: Flow,
}

impl Default for Layout {
    fn default() -> Self {
        Self { indent: 2, width: 80, sorted: true, literal: false, sealed: false, flow: Flow::Never }
    }
}

/// `value` as one YAML document, which ends with a newline.
pub fn yaml(value: &Value, layout: Layout) -> String {
    let mut emitter = Emitter::new(layout);
    emitter.node(value, Position::Root);
    emitter.document_end()
}

/// `map` as one YAML document, which ends with a newline.
pub fn yaml_map(map: &Map, layout: Layout) -> String {
    let mut emitter = Emitter::new(layout);
    emitter.map(map);
    emitter.document_end()
}

/// The key under which JSON keeps an encrypted string.
pub const SEALED: &str = "__ansible_vault";

/// Where a node stands, as far as its layout depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Root,
    Key,
    Value,
    Item,
}

struct Emitter {
    layout: Layout,
    out: String,
    column: usize,
    /// Columns of the collection that is being written; `None` before the first.
    indent: Option<usize>,
    /// The last thing written was white space.
    blank: bool,
    /// Nothing but indentation and `-` stands on this line.
    fresh: bool,
    /// Some text keeps the newlines at its end.
    kept: bool,
    /// Inside brackets.
    flowing: bool,
}

impl Emitter {
    fn new(layout: Layout) -> Self {
        Self { layout, out: String::new(), column: 0, indent: None, blank: true, fresh: true, kept: false, flowing: false }
    }

    fn document_end(mut self) -> String {
        if self.column > 0 {
            self.out.push('\n');
        }
        if self.kept {
            // libyaml wants to be sure that newlines at the end of text are not taken for the document's own.
            self.out.push_str("...\n");
        }
        self.out
    }

    fn node(&mut self, value: &Value, position: Position) {
        if let Some(envelope) = value.get(SEALED).filter(|_| self.layout.sealed) {
            return self.sealed(envelope);
        }
        match value {
            Value::List(items) if items.is_empty() => self.word("[]"),
            Value::Map(map) if map.is_empty() => self.word("{}"),
            Value::List(_) | Value::Map(_) if self.flows(value) => self.flow(value),
            Value::List(items) => self.list(items, position),
            Value::Map(map) => self.map(map),
            scalar => self.scalar(scalar, position),
        }
    }

    fn list(&mut self, items: &[Value], position: Position) {
        let outer = self.indent;
        self.deepen(position == Position::Value && !self.fresh);
        for item in items {
            self.next_line();
            self.marker("-");
            self.node(item, Position::Item);
        }
        self.indent = outer;
    }

    fn map(&mut self, map: &Map) {
        if map.is_empty() {
            return self.word("{}");
        }
        let outer = self.indent;
        self.deepen(false);
        let mut entries: Vec<_> = map.iter().collect();
        if self.layout.sorted {
            entries.sort_by_key(|(key, _)| *key);
        }
        for (key, value) in entries {
            self.next_line();
            let simple = key.len() <= 128 && !key.contains('\n');
            if simple {
                self.text(key, Position::Key);
                self.put(":");
                (self.blank, self.fresh) = (false, false);
            } else {
                self.marker("?");
                self.inside(|emitter| emitter.text(key, Position::Value));
                self.next_line();
                self.marker(":");
            }
            self.node(value, Position::Value);
        }
        self.indent = outer;
    }

    fn deepen(&mut self, same: bool) {
        self.indent = match self.indent {
            None => Some(0),
            Some(columns) if same => Some(columns),
            Some(columns) => Some(columns + self.layout.indent),
        };
    }

    fn scalar(&mut self, value: &Value, position: Position) {
        self.inside(|emitter| match value {
            Value::Null => emitter.word("null"),
            Value::Bool(flag) => emitter.word(if *flag { "true" } else { "false" }),
            Value::Int(number) => emitter.word(&number.to_string()),
            Value::Float(number) => emitter.word(&float(*number)),
            other => emitter.text(&other.to_text(), position),
        });
    }

    /// Writes a scalar, whose further lines stand one level deeper.
    fn inside(&mut self, write: impl FnOnce(&mut Self)) {
        let outer = self.indent;
        self.indent = Some(outer.map_or(self.layout.indent, |columns| columns + self.layout.indent));
        write(self);
        self.indent = outer;
    }

    fn text(&mut self, text: &str, position: Position) {
        let found = Analysis::of(text);
        let key = position == Position::Key;
        if found.plain && !(self.flowing && flow::has_indicators(text)) && !(key && text.is_empty()) && scalar::is_text(text) {
            self.folded(text, !key);
        } else if self.layout.literal && !self.flowing && found.lines && found.block && !key {
            self.literal(text);
        } else if found.single && !(key && found.lines) {
            self.single_quoted(text, !key);
        } else {
            self.double_quoted(text, !key);
        }
    }

    /// Text without quotes, folded at single spaces beyond the width.
    fn folded(&mut self, text: &str, may_fold: bool) {
        self.separate();
        self.words(text, may_fold, false);
        (self.blank, self.fresh) = (false, false);
    }

    fn single_quoted(&mut self, text: &str, may_fold: bool) {
        self.separate();
        self.put("'");
        let lines: Vec<&str> = text.split('\n').collect();
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                // One line break of the text is two in the document; more are as many and one.
                if !lines.get(index - 1).is_some_and(|before| before.is_empty()) || index == 1 {
                    self.line_break();
                }
                self.line_break();
                if !line.is_empty() || index + 1 == lines.len() {
                    self.pad();
                }
            }
            self.words(&line.replace('\'', "''"), may_fold, true);
        }
        self.put("'");
        (self.blank, self.fresh) = (false, false);
    }

    /// Writes `text`; a single space inside it beyond the width becomes a line break. Inside quotes the outermost characters stay.
    fn words(&mut self, text: &str, may_fold: bool, quoted: bool) {
        let mut rest = text;
        let mut first = true;
        while !rest.is_empty() {
            let word = rest.find(' ').unwrap_or(rest.len());
            self.put(rest.get(..word).unwrap_or_default());
            rest = rest.get(word..).unwrap_or_default();
            let spaces = rest.len() - rest.trim_start_matches(' ').len();
            let inner = !quoted || (!(first && word == 0) && spaces < rest.len());
            if spaces == 1 && may_fold && inner && self.column > self.layout.width {
                self.line_break();
                self.pad();
            } else {
                self.put(&" ".repeat(spaces));
            }
            rest = rest.get(spaces..).unwrap_or_default();
            first = false;
        }
    }

    fn double_quoted(&mut self, text: &str, may_fold: bool) {
        self.separate();
        self.put("\"");
        let letters: Vec<char> = text.chars().collect();
        let mut pending = String::new();
        for (index, letter) in letters.iter().enumerate() {
            let inner = index > 0 && index + 1 < letters.len();
            if inner && may_fold && *letter == ' ' && self.column + pending.chars().count() > self.layout.width {
                self.put(&std::mem::take(&mut pending));
                self.line_break();
                self.pad();
                // The line break reads as this space; a second one would be lost at the start of a line.
                if letters.get(index + 1) == Some(&' ') {
                    self.put("\\");
                }
                continue;
            }
            match escape(*letter) {
                Some(escaped) => {
                    self.put(&std::mem::take(&mut pending));
                    self.put(&escaped);
                }
                None => pending.push(*letter),
            }
        }
        self.put(&pending);
        self.put("\"");
        (self.blank, self.fresh) = (false, false);
    }

    fn literal(&mut self, text: &str) {
        self.separate();
        let lead = if text.starts_with([' ', '\n']) { self.layout.indent.to_string() } else { String::new() };
        let tail = match text.strip_suffix('\n') {
            None => "-",
            Some(before) if before.is_empty() || before.ends_with('\n') => "+",
            Some(_) => "",
        };
        self.put(&format!("|{lead}{tail}"));
        self.kept |= tail == "+";
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.line_break();
            if !line.is_empty() {
                self.pad();
                self.put(line);
            }
        }
        (self.blank, self.fresh) = (false, false);
        if text.ends_with('\n') {
            self.line_break();
        }
    }

    fn sealed(&mut self, envelope: &Value) {
        self.word("!vault");
        self.inside(|emitter| emitter.literal(&envelope.to_text()));
    }

    fn word(&mut self, text: &str) {
        self.separate();
        self.put(text);
        (self.blank, self.fresh) = (false, false);
    }

    /// `-`, `?` or `:`, after which a collection may begin on the same line.
    fn marker(&mut self, text: &str) {
        self.separate();
        self.put(text);
        self.blank = false;
    }

    fn separate(&mut self) {
        if !self.blank {
            self.put(" ");
        }
    }

    /// To the column of the collection: on this line if nothing but `-` stands before it, else on the next.
    fn next_line(&mut self) {
        let columns = self.indent.unwrap_or_default();
        if !self.fresh || self.column > columns || (self.column == columns && !self.blank) {
            self.line_break();
        }
        self.pad();
        self.fresh = true;
    }

    fn pad(&mut self) {
        let columns = self.indent.unwrap_or_default();
        if self.column < columns {
            self.put(&" ".repeat(columns - self.column));
            self.blank = true;
        }
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
        (self.blank, self.fresh) = (true, true);
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }
}

/// A float that YAML reads as one: an exponent needs a point before it.
fn float(number: f64) -> String {
    let text = repr_float(number);
    match text.as_str() {
        "nan" => ".nan".to_owned(),
        "inf" => ".inf".to_owned(),
        "-inf" => "-.inf".to_owned(),
        _ if !text.contains('.') && text.contains('e') => text.replacen('e', ".0e", 1),
        _ => text,
    }
}

/// The escape sequence of a character that cannot stand in double quotes as it is.
fn escape(letter: char) -> Option<String> {
    let short = match letter {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\0' => "\\0",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        '\u{85}' => "\\N",
        '\u{2028}' => "\\L",
        '\u{2029}' => "\\P",
        ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' => return None,
        other if u32::from(other) <= 0xff => return Some(format!("\\x{:02X}", u32::from(other))),
        other if u32::from(other) <= 0xffff => return Some(format!("\\u{:04X}", u32::from(other))),
        other => return Some(format!("\\U{:08X}", u32::from(other))),
    };
    Some(short.to_owned())
}

/// In which styles a text can be written.
#[expect(clippy::struct_excessive_bools, reason = "each style is possible or not by itself")]
struct Analysis {
    plain: bool,
    single: bool,
    block: bool,
    /// It has several lines.
    lines: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        let lines = text.contains('\n');
        let special = text.chars().any(|letter| letter != '\n' && !matches!(letter, '"' | '\\') && escape(letter).is_some());
        let space_before_break = text.contains(" \n");
        let space_after_break = text.contains("\n ");
        let edges = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let hard = special || space_before_break;
        Self {
            plain: !hard && !edges && !lines && !has_indicators(text),
            single: !(hard || space_after_break || lines && text.ends_with(' ')),
            block: !hard && !text.ends_with(' '),
            lines,
        }
    }
}

/// Whether something in `text` would mean something to a reader of YAML.
fn has_indicators(text: &str) -> bool {
    let mut rest = text.chars();
    let first = rest.next();
    let second_is_space = rest.next().is_none_or(char::is_whitespace);
    let leading = match first {
        Some('#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => true,
        Some('?' | ':' | '-') => second_is_space,
        _ => false,
    };
    leading || text.starts_with("---") || text.starts_with("...") || text.contains(": ") || text.ends_with(':') || text.contains(" #")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(json: &str, layout: Layout) -> String {
        yaml(&serde_json::from_str(json).unwrap(), layout)
    }

    // Every expectation was written by PyYAML with libyaml, as Ansible uses it.
    #[test]
    fn chooses_styles_as_pyyaml_does() {
        let table = [
            (r#""a{b""#, "a{b"),
            (r#""- a""#, "'- a'"),
            (r#""2024-01-01""#, "'2024-01-01'"),
            (r#""☺😀""#, "\"☺\\U0001F600\""),
            (r#""=""#, "'='"),
            (r#""a #b""#, "'a #b'"),
            (r#""<<""#, "'<<'"),
            (r#""0644""#, "'0644'"),
            (r#""%a""#, "'%a'"),
            (r#""it's: a""#, "'it''s: a'"),
            (r#""? a""#, "'? a'"),
            (r#""é \" \\ \u0001""#, "\"é \\\" \\\\ \\x01\""),
            (r#""  x ""#, "'  x '"),
            (r#""a\tb""#, "\"a\\tb\""),
            (r#""x:""#, "'x:'"),
            (r#""http://x:80/""#, "http://x:80/"),
            (r#""yes""#, "'yes'"),
            (r#""""#, "''"),
            ("1.5", "1.5"),
            ("null", "null"),
            ("{}", "{}"),
            ("[]", "[]"),
            (r#""a \nb""#, "\"a \\nb\""),
            (r#""a\nb""#, "'a\n\n  b'"),
            (r#""a\n\nb""#, "'a\n\n\n  b'"),
        ];
        for (json, expected) in table {
            assert_eq!(emitted(&format!("{{\"k\": {json}}}"), Layout::default()), format!("k: {expected}\n"), "{json}");
        }
    }

    #[test]
    fn text_of_several_lines_can_stay_as_it_is() {
        let literal = Layout { indent: 4, literal: true, ..Layout::default() };
        let table = [
            (r#""x\n""#, "|\n    x"),
            (r#""x\n\n""#, "|+\n    x\n\n..."),
            (r#""\nx""#, "|4-\n\n    x"),
            (r#""a\nb\n\nc""#, "|-\n    a\n    b\n\n    c"),
            (r#""a\n b""#, "|-\n    a\n     b"),
            (r#""a \nb""#, "\"a \\nb\""),
        ];
        for (json, expected) in table {
            assert_eq!(emitted(&format!("{{\"k\": {json}}}"), literal), format!("k: {expected}\n"), "{json}");
        }
    }

    #[test]
    fn lays_collections_out_as_pyyaml_does() {
        let json = r#"{"n": [[1, 2], {"a": {"b": "c", "d": ["x"]}}], "b": {"e": {}}, "k: y": 1}"#;
        let two = "b:\n  e: {}\n'k: y': 1\nn:\n- - 1\n  - 2\n- a:\n    b: c\n    d:\n    - x\n";
        let four = "b:\n    e: {}\n'k: y': 1\nn:\n-   - 1\n    - 2\n-   a:\n        b: c\n        d:\n        - x\n";
        assert_eq!(emitted(json, Layout::default()), two);
        assert_eq!(emitted(json, Layout { indent: 4, ..Layout::default() }), four);
        assert_eq!(emitted("[1, [2]]", Layout::default()), "- 1\n- - 2\n");
        assert_eq!(emitted("\"a\"", Layout::default()), "a\n");
    }

    #[test]
    fn folds_long_text_at_the_first_space_beyond_the_width() {
        let layout = Layout { indent: 4, ..Layout::default() };
        let (a, b) = ("aaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccc ddddddddddddddddddd", "eeeeeeeeeeeeee fffffffffffffffff");
        assert_eq!(emitted(&format!(r#"{{"long": "{a} {b}"}}"#), layout), format!("long: {a}\n    {b}\n"));
        assert_eq!(emitted(&format!(r#"{{"q": "x: {a} {b}"}}"#), layout), format!("q: 'x: {a}\n    {b}'\n"));
        assert_eq!(emitted(&format!(r#"{{"d": "\u0001{a} {b}"}}"#), layout), format!("d: \"\\x01{a}\n    {b}\"\n"));
    }
}
