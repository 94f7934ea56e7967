//! The grammar of `JMESPath`.

use crate::template::error::{Error, Result};
use crate::template::value::Value;

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Current,
    Literal(Value),
    Field(String),
    Index(i128),
    Slice([Option<i128>; 3]),
    Sub(Box<Node>, Box<Node>),
    Pipe(Box<Node>, Box<Node>),
    /// `left[*].right`.
    Project(Box<Node>, Box<Node>),
    /// `left.*.right`.
    Values(Box<Node>, Box<Node>),
    Flatten(Box<Node>),
    /// `left[?condition].right`.
    Filter(Box<Node>, Box<Node>, Box<Node>),
    Compare(Comparator, Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Not(Box<Node>),
    List(Vec<Node>),
    Hash(Vec<(String, Node)>),
    Call(String, Vec<Node>),
    /// `&expression`.
    Reference(Box<Node>),
}

/// `==` and its kin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Literal(Value),
    Number(i128),
    Sign(&'static str),
    End,
}

/// Longest first.
const SIGNS: &[&str] =
    &["[?", "[]", "||", "&&", "==", "!=", "<=", ">=", "<", ">", "!", "[", "]", "{", "}", "(", ")", ".", "*", ",", ":", "|", "@", "&"];

fn refused(message: impl std::fmt::Display) -> Error {
    Error::failed(format!("expected a JMESPath expression: {message}"))
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let quoted = |quote: char| -> Result<(String, &str)> {
            let mut escaped = false;
            let inside = rest.get(1..).unwrap_or_default();
            let end = inside.find(|c| {
                let ends = c == quote && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.ok_or_else(|| refused(format!("`{quote}` is not closed")))?;
            Ok((inside.get(..end).unwrap_or_default().to_owned(), inside.get(end + 1..).unwrap_or_default()))
        };
        let length = |class: fn(char) -> bool| rest.find(|c| !class(c)).unwrap_or(rest.len());
        match first {
            '\'' => {
                let (raw, after) = quoted('\'')?;
                out.push(Token::Literal(Value::from(raw.replace("\\'", "'"))));
                rest = after;
            }
            '"' => {
                let (raw, after) = quoted('"')?;
                let name = serde_json::from_str(&format!("\"{raw}\"")).map_err(|_| refused(format!("`\"{raw}\"` is not a name")))?;
                out.push(Token::Name(name));
                rest = after;
            }
            '`' => {
                let (raw, after) = quoted('`')?;
                let raw = raw.replace("\\`", "`");
                // What is no JSON is text, as in Python's library.
                let literal =
                    serde_json::from_str(&raw).map_or_else(|_| Value::from(raw.trim()), |json| super::super::json::of_json(&json));
                out.push(Token::Literal(literal));
                rest = after;
            }
            '0'..='9' | '-' => {
                let digits = 1 + rest.get(1..).map_or(0, |rest| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
                let (number, after) = rest.split_at(digits);
                out.push(Token::Number(number.parse().map_err(|_| refused(format!("unexpected `{number}`")))?));
                rest = after;
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let (name, after) = rest.split_at(length(|c| c.is_ascii_alphanumeric() || c == '_'));
                out.push(Token::Name(name.to_owned()));
                rest = after;
            }
            c => {
                let sign = SIGNS.iter().copied().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| refused(format!("unexpected `{c}`")))?;
                out.push(Token::Sign(sign));
                rest = rest.get(sign.len()..).unwrap_or_default();
            }
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    depth: usize,
}

/// How strongly an operator binds what is left of it.
fn power(token: &Token) -> u8 {
    match token {
        Token::Sign("|") => 1,
        Token::Sign("||") => 2,
        Token::Sign("&&") => 3,
        Token::Sign("==" | "!=" | "<" | "<=" | ">" | ">=") => 5,
        Token::Sign("[]") => 9,
        Token::Sign("[?") => 21,
        Token::Sign(".") => 40,
        Token::Sign("[") => 55,
        Token::Sign("(") => 60,
        _ => 0,
    }
}

/// What binds weaker than this ends a projection.
const PROJECTION: u8 = 10;

/// Reads `text`.
pub(super) fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { tokens: tokens(text)?, position: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(node),
        other => Err(refused(format!("unexpected {}", shown(&other)))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Literal(_) => "a literal".to_owned(),
        Token::Number(number) => format!("`{number}`"),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "end".to_owned(),
    }
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.position).cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        self.position += 1;
        self.tokens.get(self.position - 1).cloned().unwrap_or(Token::End)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if found == sign);
        self.position += usize::from(found);
        found
    }

    fn require(&mut self, sign: &str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(refused(format!("expected `{sign}`, found {}", shown(&self.peek())))) }
    }

    fn expression(&mut self, strength: u8) -> Result<Node> {
        self.depth += 1;
        if self.depth > 60 {
            return Err(refused("nested too deeply"));
        }
        let mut left = self.prefix()?;
        while power(&self.peek()) > strength {
            left = self.infix(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Node> {
        Ok(match self.next() {
            Token::Literal(literal) => Node::Literal(literal),
            Token::Name(name) => Node::Field(name),
            Token::Sign("@") => Node::Current,
            Token::Sign("*") => Node::Values(Box::new(Node::Current), Box::new(self.projected(20)?)),
            Token::Sign("[?") => self.filter(Node::Current)?,
            Token::Sign("[]") => Node::Project(Box::new(Node::Flatten(Box::new(Node::Current))), Box::new(self.projected(9)?)),
            Token::Sign("!") => Node::Not(Box::new(self.expression(45)?)),
            Token::Sign("&") => Node::Reference(Box::new(self.expression(0)?)),
            Token::Sign("(") => {
                let inner = self.expression(0)?;
                self.require(")")?;
                inner
            }
            Token::Sign("{") => self.hash()?,
            Token::Sign("[") => self.bracket(Node::Current, true)?,
            other => return Err(refused(format!("unexpected {}", shown(&other)))),
        })
    }

    fn infix(&mut self, left: Node) -> Result<Node> {
        let token = self.next();
        let mut binary = |strength| self.expression(strength).map(Box::new);
        Ok(match token {
            Token::Sign("|") => Node::Pipe(Box::new(left), binary(1)?),
            Token::Sign("||") => Node::Or(Box::new(left), binary(2)?),
            Token::Sign("&&") => Node::And(Box::new(left), binary(3)?),
            Token::Sign("==") => Node::Compare(Comparator::Equal, Box::new(left), binary(5)?),
            Token::Sign("!=") => Node::Compare(Comparator::NotEqual, Box::new(left), binary(5)?),
            Token::Sign("<") => Node::Compare(Comparator::Less, Box::new(left), binary(5)?),
            Token::Sign("<=") => Node::Compare(Comparator::LessEqual, Box::new(left), binary(5)?),
            Token::Sign(">") => Node::Compare(Comparator::Greater, Box::new(left), binary(5)?),
            Token::Sign(">=") => Node::Compare(Comparator::GreaterEqual, Box::new(left), binary(5)?),
            Token::Sign("[]") => Node::Project(Box::new(Node::Flatten(Box::new(left))), Box::new(self.projected(9)?)),
            Token::Sign("[?") => self.filter(left)?,
            Token::Sign("[") => self.bracket(left, false)?,
            Token::Sign(".") if self.take("*") => Node::Values(Box::new(left), Box::new(self.projected(20)?)),
            Token::Sign(".") => Node::Sub(Box::new(left), Box::new(self.member(40)?)),
            Token::Sign("(") => match left {
                Node::Field(name) => Node::Call(name, self.arguments()?),
                _ => return Err(refused("only functions can be called")),
            },
            other => return Err(refused(format!("unexpected {}", shown(&other)))),
        })
    }

    /// What follows a dot.
    fn member(&mut self, strength: u8) -> Result<Node> {
        match self.peek() {
            Token::Name(_) | Token::Sign("*") => self.expression(strength),
            Token::Sign("[") => {
                self.position += 1;
                self.list()
            }
            Token::Sign("{") => {
                self.position += 1;
                self.hash()
            }
            other => Err(refused(format!("unexpected {} after `.`", shown(&other)))),
        }
    }

    /// What is done with each item of a projection.
    fn projected(&mut self, strength: u8) -> Result<Node> {
        match self.peek() {
            token if power(&token) < PROJECTION => Ok(Node::Current),
            Token::Sign(".") => {
                self.position += 1;
                self.member(strength)
            }
            Token::Sign("[" | "[?") => self.expression_on_current(strength),
            other => Err(refused(format!("unexpected {}", shown(&other)))),
        }
    }

    fn expression_on_current(&mut self, strength: u8) -> Result<Node> {
        let mut left = Node::Current;
        while power(&self.peek()) > strength {
            left = self.infix(left)?;
        }
        Ok(left)
    }

    fn filter(&mut self, left: Node) -> Result<Node> {
        let condition = self.expression(0)?;
        self.require("]")?;
        let right = if matches!(self.peek(), Token::Sign("[]")) { Node::Current } else { self.projected(21)? };
        Ok(Node::Filter(Box::new(left), Box::new(condition), Box::new(right)))
    }

    /// After `[`: an index, a slice, `*`, or (at the start of an expression) a list.
    fn bracket(&mut self, left: Node, may_list: bool) -> Result<Node> {
        if matches!(self.peek(), Token::Number(_) | Token::Sign(":")) {
            return self.index(left);
        }
        let star = matches!(self.peek(), Token::Sign("*")) && matches!(self.tokens.get(self.position + 1), Some(Token::Sign("]")));
        if star {
            self.position += 2;
            return Ok(Node::Project(Box::new(left), Box::new(self.projected(20)?)));
        }
        if may_list { self.list() } else { Err(refused(format!("unexpected {} after `[`", shown(&self.peek())))) }
    }

    fn index(&mut self, left: Node) -> Result<Node> {
        let mut bounds = [None; 3];
        let mut at = 0;
        loop {
            match self.next() {
                Token::Number(number) => {
                    if let Some(bound) = bounds.get_mut(at) {
                        *bound = Some(number);
                    }
                }
                Token::Sign(":") if at < 2 => at += 1,
                Token::Sign("]") => break,
                other => return Err(refused(format!("unexpected {} in an index", shown(&other)))),
            }
        }
        let [first, ..] = bounds;
        if let (0, Some(index)) = (at, first) {
            Ok(Node::Sub(Box::new(left), Box::new(Node::Index(index))))
        } else {
            let sliced = Node::Sub(Box::new(left), Box::new(Node::Slice(bounds)));
            Ok(Node::Project(Box::new(sliced), Box::new(self.projected(20)?)))
        }
    }

    fn list(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        loop {
            nodes.push(self.expression(0)?);
            if self.take("]") {
                return Ok(Node::List(nodes));
            }
            self.require(",")?;
        }
    }

    fn hash(&mut self) -> Result<Node> {
        let mut entries = Vec::new();
        loop {
            let Token::Name(name) = self.next() else { return Err(refused("expected a name in `{}`")) };
            self.require(":")?;
            entries.push((name, self.expression(0)?));
            if self.take("}") {
                return Ok(Node::Hash(entries));
            }
            self.require(",")?;
        }
    }

    fn arguments(&mut self) -> Result<Vec<Node>> {
        let mut arguments = Vec::new();
        while !self.take(")") {
            if !arguments.is_empty() {
                self.require(",")?;
            }
            arguments.push(self.expression(0)?);
        }
        Ok(arguments)
    }
}
