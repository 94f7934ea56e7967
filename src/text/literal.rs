//! Python literals, which is how INI inventories spell values that are not text: `8080`, `True`, `['a', 1]`, `{'k': None}`.
//!
//! What is not a literal as a whole is text: `yes`, `1.2.3.4`, `{{ template }}`.

use super::{Node, NodeKind, Span};

/// The value that `text` spells, or `None` where it is plain text. `span` is that of `text`.
pub fn parse(text: &str, span: Span) -> Option<Node> {
    let mut parser = Parser { text, at: 0, span, depth: 0 };
    let node = parser.value()?;
    parser.blank();
    parser.rest().is_empty().then_some(node)
}

/// Deeper nesting is taken for text: nobody means it, and the stack is finite.
const MAX_DEPTH: usize = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    span: Span,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips white space and a comment, which Python allows behind a value.
    fn blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
        if self.rest().starts_with('#') {
            self.at = self.rest().find('\n').map_or(self.text.len(), |newline| self.at + newline);
        }
    }

    fn eat(&mut self, token: char) -> bool {
        self.blank();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn node(&self, kind: NodeKind) -> Node {
        Node::new(kind, self.span)
    }

    fn value(&mut self) -> Option<Node> {
        self.blank();
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let node = match self.rest().chars().next()? {
            '\'' | '"' => self.strings(),
            '[' => self.list(']'),
            '(' => self.list(')'),
            '{' => self.braces(),
            '0'..='9' | '.' | '-' | '+' => self.number(),
            _ => self.word(),
        };
        self.depth -= 1;
        node
    }

    fn word(&mut self) -> Option<Node> {
        let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
        let word: String = self.rest().chars().take_while(|letter| is_letter(*letter)).collect();
        self.at += word.len();
        let kind = match word.as_str() {
            "True" => NodeKind::Bool(true),
            "False" => NodeKind::Bool(false),
            "None" => NodeKind::Null,
            "r" | "R" | "u" | "U" if self.rest().starts_with(['\'', '"']) => {
                self.at -= word.len();
                return self.strings();
            }
            _ => return None,
        };
        Some(self.node(kind))
    }

    fn number(&mut self) -> Option<Node> {
        let mut negative = false;
        while let Some(sign @ ('-' | '+')) = self.rest().chars().next() {
            negative ^= sign == '-';
            self.at += 1;
            self.blank();
        }
        let is_part = |(index, letter): (usize, char), text: &str| {
            let exponent = || text.get(..index).is_some_and(|before| before.ends_with(['e', 'E']) && !before.starts_with("0x"));
            letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_') || (matches!(letter, '+' | '-') && exponent())
        };
        let rest = self.rest();
        let length = rest.char_indices().find(|part| !is_part(*part, rest)).map_or(rest.len(), |(index, _)| index);
        let digits = rest.get(..length)?.to_ascii_lowercase();
        self.at += length;
        let underscores_fit = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
        let bare = digits.replace('_', "");
        if !underscores_fit || bare.is_empty() {
            return None;
        }
        let radix = |prefix: &str, radix| Some((bare.strip_prefix(prefix)?, radix));
        let kind = if let Some((digits, radix)) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)) {
            NodeKind::Int(i64::from_str_radix(digits, radix).ok()?)
        } else if bare.bytes().all(|byte| byte.is_ascii_digit()) {
            let leading_zero = bare.starts_with('0') && bare.bytes().any(|byte| byte != b'0');
            NodeKind::Int(bare.parse().ok().filter(|_| !leading_zero)?)
        } else if bare.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-')) {
            NodeKind::Float(bare.parse().ok()?)
        } else {
            return None;
        };
        Some(self.node(match kind {
            NodeKind::Int(number) if negative => NodeKind::Int(-number),
            NodeKind::Float(number) if negative => NodeKind::Float(-number),
            kind => kind,
        }))
    }

    /// One string or several side by side, which Python joins.
    fn strings(&mut self) -> Option<Node> {
        let mut text = String::new();
        loop {
            self.blank();
            let raw = self.rest().starts_with(['r', 'R']);
            if self.rest().starts_with(['r', 'R', 'u', 'U']) {
                self.at += 1;
            }
            if !self.rest().starts_with(['\'', '"']) {
                return None;
            }
            self.string(raw, &mut text)?;
            self.blank();
            if !self.rest().starts_with(['\'', '"', 'r', 'R', 'u', 'U']) {
                return Some(self.node(NodeKind::Str(text)));
            }
        }
    }

    fn string(&mut self, raw: bool, text: &mut String) -> Option<()> {
        let mut letters = self.text.get(self.at..)?.char_indices();
        let (_, quote) = letters.next()?;
        while let Some((index, letter)) = letters.next() {
            match letter {
                letter if letter == quote => {
                    self.at += index + 1;
                    return Some(());
                }
                '\\' if raw => text.extend(['\\', letters.next()?.1]),
                '\\' => escaped(&mut letters, text)?,
                letter => text.push(letter),
            }
        }
        None
    }

    /// The inside of `[…]` or `(…)`. One value in parentheses without a comma is that value.
    fn list(&mut self, close: char) -> Option<Node> {
        self.at += 1;
        let mut items = Vec::new();
        let mut comma = false;
        while !self.eat(close) {
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.value()?);
            comma = self.eat(',');
        }
        match (close, comma, items.len()) {
            (')', false, 1) => items.pop(),
            _ => Some(self.node(NodeKind::Seq(items))),
        }
    }

    /// A mapping, or a set, which becomes a list.
    fn braces(&mut self) -> Option<Node> {
        self.at += 1;
        let (mut entries, mut items) = (Vec::<(Node, Node)>::new(), Vec::new());
        let mut comma = true;
        while !self.eat('}') {
            let key = self.value().filter(|key| comma && is_hashable(key))?;
            if self.eat(':') {
                let value = self.value()?;
                match entries.iter_mut().find(|(known, _)| known.kind == key.kind) {
                    Some(entry) => entry.1 = value,
                    None => entries.push((key, value)),
                }
            } else if !items.contains(&key) {
                items.push(key);
            }
            comma = self.eat(',');
        }
        match (entries.is_empty(), items.is_empty()) {
            (_, true) => Some(self.node(NodeKind::Map(entries))),
            (true, false) => Some(self.node(NodeKind::Seq(items))),
            (false, false) => None,
        }
    }
}

fn is_hashable(node: &Node) -> bool {
    !matches!(node.kind, NodeKind::Seq(_) | NodeKind::Map(_))
}

fn escaped(letters: &mut std::str::CharIndices<'_>, text: &mut String) -> Option<()> {
    let letter = match letters.next()?.1 {
        'x' => code_point(letters, 2)?,
        'u' => code_point(letters, 4)?,
        'U' => code_point(letters, 8)?,
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '0' => '\0',
        letter @ ('\\' | '\'' | '"') => letter,
        '\n' => return Some(()),
        other => {
            text.push('\\');
            other
        }
    };
    text.push(letter);
    Some(())
}

fn code_point(letters: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let code: String = letters.take(digits).map(|(_, digit)| digit).collect();
    if code.len() < digits {
        return None;
    }
    char::from_u32(u32::from_str_radix(&code, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.kind {
            NodeKind::Seq(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            NodeKind::Map(entries) => {
                format!(
                    "{{{}}}",
                    entries.iter().map(|(key, value)| format!("{}:{}", shown(key), shown(value))).collect::<Vec<_>>().join(" ")
                )
            }
            kind => format!("{kind:?}"),
        }
    }

    /// Each checked against `ast.literal_eval` of Python 3.11; `-` stands for "not a literal".
    #[test]
    fn reads_what_python_reads() {
        let cases = [
            ("1", "Int(1)"),
            (" 8080 ", "Int(8080)"),
            ("-1", "Int(-1)"),
            ("- 1", "Int(-1)"),
            ("+5", "Int(5)"),
            ("1_000", "Int(1000)"),
            ("0x1F", "Int(31)"),
            ("0o17", "Int(15)"),
            ("0b101", "Int(5)"),
            ("0", "Int(0)"),
            ("00", "Int(0)"),
            ("0644", "-"),
            ("1__0", "-"),
            ("_1", "-"),
            ("1_", "-"),
            ("1.5", "Float(1.5)"),
            (".5", "Float(0.5)"),
            ("1.", "Float(1.0)"),
            ("1e5", "Float(100000.0)"),
            ("1e-3", "Float(0.001)"),
            ("-1.5E+2", "Float(-150.0)"),
            ("1e", "-"),
            ("1.2.3.4", "-"),
            (".", "-"),
            ("0x", "-"),
            ("12ab", "-"),
            ("1-2", "-"),
            ("nan", "-"),
            ("inf", "-"),
            ("99999999999999999999", "-"),
            ("True", "Bool(true)"),
            ("False", "Bool(false)"),
            ("None", "Null"),
            ("true", "-"),
            ("yes", "-"),
            ("Truely", "-"),
            ("'a'", "Str(\"a\")"),
            ("\"a\"", "Str(\"a\")"),
            ("'a' 'b'", "Str(\"ab\")"),
            ("'a\\nb'", "Str(\"a\\nb\")"),
            ("r'a\\nb'", "Str(\"a\\\\nb\")"),
            ("u'a'", "Str(\"a\")"),
            ("'it\\'s'", "Str(\"it's\")"),
            ("'\\x41\\u00e9'", "Str(\"Aé\")"),
            ("'\\d'", "Str(\"\\\\d\")"),
            ("'open", "-"),
            ("'a' b", "-"),
            ("[]", "[]"),
            ("[1, 'a', None]", "[Int(1) Str(\"a\") Null]"),
            ("[1,]", "[Int(1)]"),
            ("[,]", "-"),
            ("[1 2]", "-"),
            ("[1, 2,", "-"),
            ("[a]", "-"),
            ("(1, 2)", "[Int(1) Int(2)]"),
            ("(1)", "Int(1)"),
            ("(1,)", "[Int(1)]"),
            ("()", "[]"),
            ("[[1], (2,)]", "[[Int(1)] [Int(2)]]"),
            ("{}", "{}"),
            ("{'a': 1, 'b': [2]}", "{Str(\"a\"):Int(1) Str(\"b\"):[Int(2)]}"),
            ("{3: True}", "{Int(3):Bool(true)}"),
            ("{'a': 1, 'a': 2}", "{Str(\"a\"):Int(2)}"),
            ("{1, 2, 1}", "[Int(1) Int(2)]"),
            ("{a: 1}", "-"),
            ("{'a': 1, 2}", "-"),
            ("{'a' 1}", "-"),
            ("{'a': 1 'b': 2}", "-"),
            ("{{ x }}", "-"),
            ("{{1}}", "-"),
            ("5 # five", "Int(5)"),
            ("# five", "-"),
            ("", "-"),
            ("a", "-"),
            ("é", "-"),
            ("1é", "-"),
            ("f'a'", "-"),
            ("b'a'", "-"),
        ];
        for (text, expected) in cases {
            let found = parse(text, Span::default()).map_or_else(|| "-".to_owned(), |node| shown(&node));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_text() {
        assert_eq!(parse(&"[".repeat(100_000), Span::default()), None);
    }
}
