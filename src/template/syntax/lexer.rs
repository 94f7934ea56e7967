//! Text to tokens, after Jinja's rules for white space round tags.

use std::fmt;
use std::sync::Arc;

use super::Range;
use crate::template::error::Error;

/// What marks statements, expressions and comments, and how white space round them is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::template) struct Delimiters {
    pub(in crate::template) block: (String, String),
    pub(in crate::template) variable: (String, String),
    pub(in crate::template) comment: (String, String),
    /// Drop the line feed after a statement.
    pub(in crate::template) trim_blocks: bool,
    /// Drop blanks before a statement at the start of a line.
    pub(in crate::template) lstrip_blocks: bool,
    /// Keep backslashes in the text of `{{ 'a\d' }}`, as Ansible does for templates inside YAML.
    pub(in crate::template) literal_backslashes: bool,
    /// Keep a line feed at the very end.
    pub(in crate::template) keep_trailing_newline: bool,
}

impl Default for Delimiters {
    fn default() -> Self {
        let pair = |begin: &str, end: &str| (begin.to_owned(), end.to_owned());
        Self {
            block: pair("{%", "%}"),
            variable: pair("{{", "}}"),
            comment: pair("{#", "#}"),
            trim_blocks: true,
            lstrip_blocks: false,
            literal_backslashes: true,
            keep_trailing_newline: false,
        }
    }
}

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Data(Arc<str>),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i128),
    Float(f64),
    Operator(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Data(_) => formatter.write_str("text"),
            Self::VariableBegin => formatter.write_str("the start of an expression"),
            Self::VariableEnd => formatter.write_str("the end of the expression"),
            Self::BlockBegin => formatter.write_str("the start of a statement"),
            Self::BlockEnd => formatter.write_str("the end of the statement"),
            Self::Name(name) => write!(formatter, "`{name}`"),
            Self::Str(_) => formatter.write_str("a string"),
            Self::Int(number) => write!(formatter, "`{number}`"),
            Self::Float(number) => write!(formatter, "`{number}`"),
            Self::Operator(operator) => write!(formatter, "`{operator}`"),
            Self::End => formatter.write_str("the end of the template"),
        }
    }
}

/// A token and where it is.
#[derive(Debug)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) at: Range,
}

/// Longest first.
const OPERATORS: &[&str] = &[
    "//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ":", "|", ",", ";", "(", ")", "[", "]", "{", "}",
];

/// The tokens of a template from byte `start` on.
pub(super) fn tokens(text: &str, start: usize, delimiters: &Delimiters) -> Result<Vec<Spanned>, Error> {
    let mut end = text.len();
    if !delimiters.keep_trailing_newline && end > start {
        end -= text.strip_suffix("\r\n").map_or_else(|| usize::from(text.ends_with('\n')), |_| 2);
    }
    let mut lexer = Lexer { text: text.get(..end).unwrap_or_default(), position: start, delimiters, tokens: Vec::new() };
    lexer.template()?;
    Ok(lexer.tokens)
}

/// The tokens of a bare expression.
pub(super) fn expression_tokens(text: &str) -> Result<Vec<Spanned>, Error> {
    let delimiters = Delimiters::default();
    let mut lexer = Lexer { text, position: 0, delimiters: &delimiters, tokens: Vec::new() };
    lexer.code(None, true)?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    position: usize,
    delimiters: &'a Delimiters,
    tokens: Vec<Spanned>,
}

/// What comes after a stretch of text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Variable,
    Block,
    Comment,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn push(&mut self, token: Token, start: usize) {
        let at = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        self.tokens.push(Spanned { token, at: (at(start), at(self.position)) });
    }

    fn template(&mut self) -> Result<(), Error> {
        let mut strip_next = Strip::None;
        loop {
            let found = self.next_tag();
            let start = self.position;
            let (end, tag) = found.map_or((self.text.len(), None), |(offset, tag)| (start + offset, Some(tag)));
            let open = tag.map_or(0, |tag| self.opening(tag).len());
            let sign =
                self.text.get(end + open..).and_then(|rest| rest.chars().next()).filter(|sign| tag.is_some() && matches!(sign, '-' | '+'));
            let data = self.text.get(start..end).unwrap_or_default();
            let data = strip_next.apply(data);
            let data = match (tag, sign) {
                (Some(_), Some('-')) => data.trim_end_matches(char::is_whitespace),
                (Some(Tag::Block | Tag::Comment), None) if self.delimiters.lstrip_blocks => self.lstrip(data, start, end),
                _ => data,
            };
            if !data.is_empty() {
                self.position = end;
                self.push(Token::Data(newlines(data).into()), start);
            }
            let Some(tag) = tag else { return Ok(()) };
            self.position = end + open + sign.map_or(0, char::len_utf8);
            strip_next = self.tag(tag, end)?;
        }
    }

    fn opening(&self, tag: Tag) -> &'a str {
        match tag {
            Tag::Variable => &self.delimiters.variable.0,
            Tag::Block => &self.delimiters.block.0,
            Tag::Comment => &self.delimiters.comment.0,
        }
    }

    /// The next tag and its distance. Where several start at one place, the longest wins.
    fn next_tag(&self) -> Option<(usize, Tag)> {
        [Tag::Comment, Tag::Block, Tag::Variable]
            .into_iter()
            .filter_map(|tag| Some((self.rest().find(self.opening(tag))?, tag)))
            .min_by_key(|(offset, tag)| (*offset, usize::MAX - self.opening(*tag).len()))
    }

    /// Without the blanks before a statement, if nothing else is before it on its line.
    fn lstrip<'d>(&self, data: &'d str, start: usize, end: usize) -> &'d str {
        let line = self.text.get(..end).unwrap_or_default();
        let line_start = line.rfind('\n').map_or(0, |newline| newline + 1);
        let blank = line.get(line_start..).unwrap_or_default().chars().all(|c| c == ' ' || c == '\t' || c == '\u{b}' || c == '\u{c}');
        if blank && line_start >= start.min(line_start) {
            let keep = data.rfind('\n').map_or(0, |newline| newline + 1);
            if start > line_start && keep == 0 && start != 0 && !self.text.get(line_start..start).unwrap_or_default().trim().is_empty() {
                return data;
            }
            return data.get(..keep).unwrap_or(data);
        }
        data
    }

    /// Reads a tag whose opening was consumed; tells how the text after it is stripped.
    fn tag(&mut self, tag: Tag, start: usize) -> Result<Strip, Error> {
        match tag {
            Tag::Comment => {
                let close = &self.delimiters.comment.1;
                let Some(length) = self.rest().find(close.as_str()) else {
                    return Err(self.error("missing end of comment tag", start));
                };
                let minus = self.rest().get(..length).is_some_and(|inside| inside.ends_with('-'));
                let plus = self.rest().get(..length).is_some_and(|inside| inside.ends_with('+'));
                self.position += length + close.len();
                Ok(Strip::after(minus, plus, self.delimiters.trim_blocks))
            }
            Tag::Variable => {
                self.push(Token::VariableBegin, start);
                let close = self.delimiters.variable.1.clone();
                let (minus, _) = self.code(Some(&close), self.delimiters.literal_backslashes)?;
                self.push_end(Token::VariableEnd);
                Ok(if minus { Strip::All } else { Strip::None })
            }
            Tag::Block => {
                if let Some(strip) = self.raw(start)? {
                    return Ok(strip);
                }
                self.push(Token::BlockBegin, start);
                let close = self.delimiters.block.1.clone();
                let (minus, plus) = self.code(Some(&close), false)?;
                self.push_end(Token::BlockEnd);
                Ok(Strip::after(minus, plus, self.delimiters.trim_blocks))
            }
        }
    }

    fn push_end(&mut self, token: Token) {
        let start = self.position;
        self.push(token, start);
    }

    /// `{% raw %}`, up to and with its end.
    fn raw(&mut self, start: usize) -> Result<Option<Strip>, Error> {
        let Some(after) = self.word_tag(self.rest(), "raw") else { return Ok(None) };
        let (length, strip) = after;
        let body_start = self.position + length;
        let mut search = body_start;
        loop {
            let rest = self.text.get(search..).unwrap_or_default();
            let Some(offset) = rest.find(self.delimiters.block.0.as_str()) else {
                return Err(self.error("missing end of raw directive", start));
            };
            let mut inside = search + offset + self.delimiters.block.0.len();
            let sign = self.text.get(inside..).and_then(|rest| rest.chars().next()).filter(|c| matches!(c, '-' | '+'));
            inside += sign.map_or(0, char::len_utf8);
            let Some((length, after)) = self.word_tag(self.text.get(inside..).unwrap_or_default(), "endraw") else {
                search = inside;
                continue;
            };
            let body_end = search + offset;
            let mut data = strip.apply(self.text.get(body_start..body_end).unwrap_or_default());
            if sign == Some('-') {
                data = data.trim_end();
            } else if self.delimiters.lstrip_blocks && sign.is_none() {
                data = self.lstrip(data, body_start, body_end);
            }
            self.position = body_end;
            if !data.is_empty() {
                self.push(Token::Data(newlines(data).into()), body_start);
            }
            self.position = inside + length;
            return Ok(Some(after));
        }
    }

    /// Whether `text` is `word` and the end of the statement: their length and how to go on.
    fn word_tag(&self, text: &str, word: &str) -> Option<(usize, Strip)> {
        let after = text.trim_start().strip_prefix(word)?.trim_start();
        let (minus, plus) = (after.starts_with('-'), after.starts_with('+'));
        let after = after.get(usize::from(minus || plus)..)?.strip_prefix(self.delimiters.block.1.as_str())?;
        Some((text.len() - after.len(), Strip::after(minus, plus, self.delimiters.trim_blocks)))
    }

    /// Code up to and with `close`; tells whether a `-` or `+` was before it.
    fn code(&mut self, close: Option<&str>, literal: bool) -> Result<(bool, bool), Error> {
        let mut open: Vec<(&'static str, usize)> = Vec::new();
        loop {
            self.position += self.rest().len() - self.rest().trim_start().len();
            if let Some(close) = close.filter(|_| open.is_empty()) {
                for (prefix, signs) in [("-", (true, false)), ("+", (false, true)), ("", (false, false))] {
                    if self.rest().strip_prefix(prefix).is_some_and(|rest| rest.starts_with(close)) {
                        self.position += prefix.len() + close.len();
                        return Ok(signs);
                    }
                }
            }
            let start = self.position;
            let Some(first) = self.rest().chars().next() else {
                return match close {
                    None => Ok((false, false)),
                    Some(close) => Err(self.error(format!("unexpected end of template, expected `{close}`"), start)),
                };
            };
            let token = match first {
                '\'' | '"' => self.string(first, literal)?,
                '0'..='9' => self.number()?,
                c if c.is_alphabetic() || c == '_' => self.word(),
                _ => self.operator(&mut open)?,
            };
            self.push(token, start);
        }
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.position += length;
        Token::Name(rest.get(..length).unwrap_or_default().into())
    }

    fn operator(&mut self, open: &mut Vec<(&'static str, usize)>) -> Result<Token, Error> {
        let rest = self.rest();
        let start = self.position;
        let Some(operator) = OPERATORS.iter().copied().find(|operator| rest.starts_with(operator)) else {
            let shown = rest.chars().next().unwrap_or_default();
            self.position += shown.len_utf8();
            return Err(self.error(format!("unexpected character `{shown}`"), start));
        };
        self.position += operator.len();
        match operator {
            "(" => open.push((")", start)),
            "[" => open.push(("]", start)),
            "{" => open.push(("}", start)),
            ")" | "]" | "}" => match open.pop() {
                Some((expected, _)) if expected == operator => {}
                Some((expected, _)) => return Err(self.error(format!("unexpected `{operator}`, expected `{expected}`"), start)),
                None => return Err(self.error(format!("unexpected `{operator}`"), start)),
            },
            _ => {}
        }
        Ok(Token::Operator(operator))
    }

    fn number(&mut self) -> Result<Token, Error> {
        let rest = self.rest();
        let start = self.position;
        for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
            if let Some(digits) = rest.strip_prefix(prefix) {
                let length = digits.find(|c: char| !c.is_digit(radix) && c != '_').unwrap_or(digits.len());
                self.position += 2 + length;
                let digits = digits.get(..length).unwrap_or_default().replace('_', "");
                return i128::from_str_radix(&digits, radix).map(Token::Int).map_err(|_| self.error("a number that is too large", start));
            }
        }
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
        let mut length = digits(rest);
        let mut float = false;
        let after = rest.get(length..).unwrap_or_default();
        // `1.0` is a float, `list.0.name` is not: a float does not follow a dot.
        let member = matches!(self.tokens.last(), Some(Spanned { token: Token::Operator("."), .. }));
        if let Some(fraction) = after.strip_prefix('.').filter(|fraction| !member && fraction.starts_with(|c: char| c.is_ascii_digit())) {
            length += 1 + digits(fraction);
            float = true;
        }
        let after = rest.get(length..).unwrap_or_default();
        if let Some(exponent) = after.strip_prefix(['e', 'E']).filter(|_| !member) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let count = digits(exponent.get(sign..).unwrap_or_default());
            if count > 0 {
                length += 1 + sign + count;
                float = true;
            }
        }
        self.position += length;
        let text = rest.get(..length).unwrap_or_default().replace('_', "");
        if float {
            text.parse().map(Token::Float).map_err(|_| self.error("expected a number", start))
        } else {
            text.parse().map(Token::Int).map_err(|_| self.error("a number that is too large", start))
        }
    }

    fn string(&mut self, quote: char, literal: bool) -> Result<Token, Error> {
        let start = self.position;
        let inside = self.rest().get(1..).unwrap_or_default();
        let mut escaped = false;
        for (offset, character) in inside.char_indices() {
            if escaped {
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == quote {
                self.position += offset + 2;
                let raw = inside.get(..offset).unwrap_or_default();
                let text = if literal || !raw.contains('\\') { newlines(raw) } else { unescape(&newlines(raw)) };
                return Ok(Token::Str(text.into()));
            }
        }
        Err(self.error(format!("unexpected end of template, expected the closing `{quote}`"), start))
    }

    fn error(&self, message: impl Into<String>, start: usize) -> Error {
        let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Error::syntax(message).within((at(start), at(self.position.max(start + 1).min(self.text.len().max(start)))))
    }
}

/// How the text after a tag is stripped.
#[derive(Clone, Copy)]
enum Strip {
    None,
    LineFeed,
    All,
}

impl Strip {
    fn after(minus: bool, plus: bool, trim: bool) -> Self {
        match (minus, plus, trim) {
            (true, ..) => Self::All,
            (_, false, true) => Self::LineFeed,
            _ => Self::None,
        }
    }

    fn apply(self, data: &str) -> &str {
        match self {
            Self::None => data,
            Self::LineFeed => data.strip_prefix("\r\n").or_else(|| data.strip_prefix('\n')).unwrap_or(data),
            Self::All => data.trim_start(),
        }
    }
}

fn newlines(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// The escapes of Python's string literals.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('\n') => {}
            Some(same @ ('\\' | '\'' | '"')) => out.push(same),
            Some(letter @ ('x' | 'u' | 'U')) => {
                let length = match letter {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits: String = rest.clone().take(length).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).filter(|_| digits.len() == length) {
                    Some(decoded) => {
                        out.push(decoded);
                        rest.nth(length - 1);
                    }
                    None => out.extend(['\\', letter]),
                }
            }
            Some(digit @ '0'..='7') => {
                let mut code = digit.to_digit(8).unwrap_or_default();
                let more: Vec<u32> = rest.clone().take(2).map_while(|c| c.to_digit(8)).collect();
                for digit in &more {
                    code = code * 8 + digit;
                    rest.next();
                }
                out.extend(char::from_u32(code));
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}
