//! Python's syntax of patterns, read into a tree.

use super::set::{Class, Kind, Set, fold};
pub(super) use super::tree::{At, Greed, Node, One};
use super::{Error, Flags};

/// Deeper nesting is a mistake or an attack.
const DEEPEST: usize = 200;

/// A pattern that has been read.
pub(super) struct Parsed {
    pub(super) node: Node,
    /// How many groups there are, the whole match among them.
    pub(super) groups: usize,
    pub(super) names: Vec<(String, usize)>,
}

pub(super) fn parse(pattern: &str, mut flags: Flags) -> Result<Parsed, Error> {
    let mut parser =
        Parser { characters: pattern.chars().collect(), at: 0, open: vec![true], names: Vec::new(), conditions: Vec::new(), behind: None };
    let node = parser.alternatives(&mut flags, 0)?;
    if parser.peek().is_some() {
        return Err(parser.error("unbalanced parenthesis", parser.at));
    }
    if let Some((group, position)) = parser.conditions.iter().find(|(group, _)| *group >= parser.open.len()) {
        return Err(parser.error(format!("invalid group reference {group}"), *position));
    }
    Ok(Parsed { node, groups: parser.open.len(), names: parser.names })
}

/// What a repetition would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Repetition,
    Item,
}

struct Parser {
    characters: Vec<char>,
    at: usize,
    /// For every group whether it is still open.
    open: Vec<bool>,
    names: Vec<(String, usize)>,
    /// The groups that conditions ask for; they may come later.
    conditions: Vec<(usize, usize)>,
    /// How many groups there were where the look-behind began that is being read.
    behind: Option<usize>,
}

impl Parser {
    #[expect(clippy::unused_self, reason = "reads as what the parser says")]
    fn error(&self, reason: impl Into<String>, position: usize) -> Error {
        Error::Syntax { reason: reason.into(), position }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek();
        self.at += usize::from(character.is_some());
        character
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn take_while(&mut self, most: usize, wanted: fn(&char) -> bool) -> String {
        let text: String = self.characters.iter().skip(self.at).take(most).copied().take_while(wanted).collect();
        self.at += text.chars().count();
        text
    }

    /// All up to `end`, which is consumed.
    fn until(&mut self, end: char, what: &str) -> Result<String, Error> {
        let start = self.at;
        let text: String = self.characters.iter().skip(start).copied().take_while(|character| *character != end).collect();
        self.at += text.chars().count();
        if self.eat(end) { Ok(text) } else { Err(self.error(format!("missing {what}, unterminated name"), start)) }
    }

    fn alternatives(&mut self, flags: &mut Flags, depth: usize) -> Result<Node, Error> {
        if depth > DEEPEST {
            return Err(self.error("too many groups in groups", self.at));
        }
        let mut branches = vec![self.sequence(flags, depth, depth == 0)?];
        while self.eat('|') {
            branches.push(self.sequence(flags, depth, false)?);
        }
        Ok(if branches.len() > 1 { Node::Either(branches) } else { branches.pop().unwrap_or(Node::Sequence(Vec::new())) })
    }

    /// Up to the next `|` or `)`; flags for the whole pattern may stand at its `head`.
    fn sequence(&mut self, flags: &mut Flags, depth: usize, head: bool) -> Result<Node, Error> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut last = Last::Nothing;
        while let Some(character) = self.peek().filter(|next| !matches!(next, '|' | ')')) {
            let here = self.at;
            self.at += 1;
            if flags.verbose && character.is_whitespace() {
                continue;
            }
            if flags.verbose && character == '#' {
                self.take_while(usize::MAX, |character| *character != '\n');
                continue;
            }
            let node = match character {
                '\\' => self.escape(*flags, here)?,
                '[' => Node::One(self.set(*flags, here)?),
                '.' => Node::One(if flags.dot_all { One::Any } else { One::Dot }),
                '^' => Node::At(if flags.multi_line { At::LineStart } else { At::Start }),
                '$' => Node::At(if flags.multi_line { At::LineEnd } else { At::End }),
                '(' => match self.group(flags, depth, head && nodes.is_empty(), here)? {
                    Some(node) => node,
                    None => continue,
                },
                '*' | '+' | '?' | '{' => {
                    if let Some((least, most)) = self.repetition(character, here)? {
                        let repeated = nodes.pop().filter(|_| last == Last::Item);
                        let reason = if last == Last::Repetition { "multiple repeat" } else { "nothing to repeat" };
                        let node = repeated.ok_or_else(|| self.error(reason, here))?;
                        let greed = if self.eat('?') {
                            Greed::Lazy
                        } else if self.eat('+') {
                            Greed::Possessive
                        } else {
                            Greed::Greedy
                        };
                        nodes.push(Node::Repeat { node: Box::new(node), least, most, greed });
                        last = Last::Repetition;
                        continue;
                    }
                    literal(character, *flags)
                }
                other => literal(other, *flags),
            };
            last = if matches!(node, Node::At(_)) && character != '(' { Last::Nothing } else { Last::Item };
            nodes.push(node);
        }
        Ok(if nodes.len() == 1 { nodes.pop().unwrap_or(Node::Sequence(Vec::new())) } else { Node::Sequence(nodes) })
    }

    /// How often; `None` for a brace that is a character.
    fn repetition(&mut self, character: char, here: usize) -> Result<Option<(u32, u32)>, Error> {
        match character {
            '*' => return Ok(Some((0, u32::MAX))),
            '+' => return Ok(Some((1, u32::MAX))),
            '?' => return Ok(Some((0, 1))),
            _ => {}
        }
        let digits = |parser: &mut Self| parser.take_while(usize::MAX, char::is_ascii_digit);
        let least = digits(self);
        let most = if self.eat(',') { Some(digits(self)) } else { None };
        if !self.eat('}') || least.is_empty() && most.is_none() {
            self.at = here + 1;
            return Ok(None);
        }
        let number = |text: &str, none: u32| match text {
            "" => Ok(none),
            text => text.parse().map_err(|_| self.error("the repetition number is too large", here)),
        };
        let least_number = number(&least, 0)?;
        let most_number = most.map_or(Ok(least_number), |most| number(&most, u32::MAX))?;
        if most_number < least_number {
            return Err(self.error("min repeat greater than max repeat", here));
        }
        Ok(Some((least_number, most_number)))
    }

    /// After `(`. `None` when nothing is matched: comments and flags.
    fn group(&mut self, flags: &mut Flags, depth: usize, head: bool, here: usize) -> Result<Option<Node>, Error> {
        if !self.eat('?') {
            return self.numbered(*flags, depth, here, None).map(Some);
        }
        let look = |behind, negated| move |node| Node::Look { behind, negated, node: Box::new(node) };
        let node = match self.next() {
            Some('P') => match self.next() {
                Some('<') => {
                    let name = self.until('>', ">")?;
                    return self.numbered(*flags, depth, here, Some(name)).map(Some);
                }
                Some('=') => {
                    let name = self.until(')', ")")?;
                    let group = self.named(&name, here)?;
                    return self.same(group, *flags, here).map(Some);
                }
                other => return Err(self.error(format!("unknown extension ?P{}", other.map_or(String::new(), String::from)), here + 1)),
            },
            Some(':') => self.inner(*flags, depth, here)?,
            Some('#') => {
                self.until(')', ")").map_err(|_| self.error("missing ), unterminated comment", here))?;
                return Ok(None);
            }
            Some('=') => look(false, false)(self.inner(*flags, depth, here)?),
            Some('!') => look(false, true)(self.inner(*flags, depth, here)?),
            Some('<') => match self.next() {
                Some(sign @ ('=' | '!')) => {
                    let outer = self.behind;
                    self.behind = outer.or(Some(self.open.len()));
                    let node = self.inner(*flags, depth, here)?;
                    self.behind = outer;
                    look(true, sign == '!')(node)
                }
                other => return Err(self.error(format!("unknown extension ?<{}", other.map_or(String::new(), String::from)), here + 1)),
            },
            Some('>') => Node::Atomic(Box::new(self.inner(*flags, depth, here)?)),
            Some('(') => self.condition(*flags, depth, here)?,
            Some(letter) if letter == '-' || letter.is_ascii_alphabetic() => {
                self.at -= 1;
                return self.flags(flags, depth, head, here);
            }
            other => return Err(self.error(format!("unknown extension ?{}", other.map_or(String::new(), String::from)), here + 1)),
        };
        Ok(Some(node))
    }

    /// What is in a group, up to its end.
    fn inner(&mut self, mut flags: Flags, depth: usize, here: usize) -> Result<Node, Error> {
        let node = self.alternatives(&mut flags, depth + 1)?;
        if self.eat(')') { Ok(node) } else { Err(self.error("missing ), unterminated subpattern", here)) }
    }

    fn numbered(&mut self, flags: Flags, depth: usize, here: usize, name: Option<String>) -> Result<Node, Error> {
        let number = self.open.len();
        if let Some(name) = name {
            let fits =
                |(at, letter): (usize, char)| letter == '_' || if at == 0 { letter.is_alphabetic() } else { letter.is_alphanumeric() };
            if name.is_empty() || !name.chars().enumerate().all(fits) {
                return Err(self.error(format!("bad character in group name '{name}'"), here + 4));
            }
            if let Some((_, other)) = self.names.iter().find(|(known, _)| *known == name) {
                let reason = format!("redefinition of group name '{name}' as group {number}; was group {other}");
                return Err(self.error(reason, here + 4));
            }
            self.names.push((name, number));
        }
        self.open.push(true);
        let node = self.inner(flags, depth, here)?;
        if let Some(open) = self.open.get_mut(number) {
            *open = false;
        }
        Ok(Node::Group(number, Box::new(node)))
    }

    fn named(&self, name: &str, here: usize) -> Result<usize, Error> {
        let known = self.names.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
        known.ok_or_else(|| self.error(format!("unknown group name '{name}'"), here + 4))
    }

    fn same(&self, group: usize, flags: Flags, here: usize) -> Result<Node, Error> {
        match self.open.get(group) {
            Some(false) => self.known_behind(group, here).map(|()| Node::Same { group, ignore_case: flags.ignore_case }),
            Some(true) if group > 0 => Err(self.error("cannot refer to an open group", here)),
            _ => Err(self.error(format!("invalid group reference {group}"), here + 1)),
        }
    }

    /// A look-behind must know how long a group is.
    fn known_behind(&self, group: usize, here: usize) -> Result<(), Error> {
        match self.behind {
            Some(_) if self.open.get(group) != Some(&false) => Err(self.error("cannot refer to an open group", here)),
            Some(groups) if group >= groups => Err(self.error("cannot refer to group defined in the same lookbehind subpattern", here)),
            _ => Ok(()),
        }
    }

    fn condition(&mut self, flags: Flags, depth: usize, here: usize) -> Result<Node, Error> {
        let name = self.until(')', ")")?;
        let group = match name.parse() {
            Ok(0) => return Err(self.error("bad group number", here + 3)),
            Ok(number) => number,
            Err(_) => self.named(&name, here)?,
        };
        self.known_behind(group, here)?;
        self.conditions.push((group, here + 3));
        let mut inside = flags;
        let yes = self.sequence(&mut inside, depth + 1, false)?;
        let no = if self.eat('|') { self.sequence(&mut inside, depth + 1, false)? } else { Node::Sequence(Vec::new()) };
        if self.peek() == Some('|') {
            return Err(self.error("conditional backref with more than two branches", self.at));
        }
        if !self.eat(')') {
            return Err(self.error("missing ), unterminated subpattern", here));
        }
        Ok(Node::If { group, yes: Box::new(yes), no: Box::new(no) })
    }

    /// `(?im)` for the whole pattern, or `(?i-m:…)` for what follows inside.
    fn flags(&mut self, flags: &mut Flags, depth: usize, head: bool, here: usize) -> Result<Option<Node>, Error> {
        let mut wanted = *flags;
        let mut on = true;
        loop {
            let position = self.at;
            match self.next() {
                Some('i') => wanted.ignore_case = on,
                Some('m') => wanted.multi_line = on,
                Some('s') => wanted.dot_all = on,
                Some('x') => wanted.verbose = on,
                Some('a') if on => wanted.ascii = true,
                Some('u') if on => wanted.ascii = false,
                Some('-') if on => on = false,
                Some(':') => return self.inner(wanted, depth, here).map(Some),
                Some(')') if on && head => {
                    *flags = wanted;
                    return Ok(None);
                }
                Some(')') if on => return Err(self.error("global flags not at the start of the expression", here)),
                None if on => return Err(self.error("missing -, : or )", position)),
                None | Some(')') => return Err(self.error("missing :", position)),
                Some('L') => return Err(self.error("bad inline flags: cannot use 'L' flag with a str pattern", position)),
                Some(letter) if position == here + 2 => return Err(self.error(format!("unknown extension ?{letter}"), here + 1)),
                Some(_) => return Err(self.error("unknown flag", position)),
            }
        }
    }

    /// After a backslash outside of brackets.
    fn escape(&mut self, flags: Flags, here: usize) -> Result<Node, Error> {
        let word = Class { kind: Kind::Word, negated: false, ascii: flags.ascii };
        let character = self.next().ok_or_else(|| self.error("bad escape (end of pattern)", here))?;
        Ok(match character {
            'A' => Node::At(At::Start),
            'Z' => Node::At(At::VeryEnd),
            'b' => Node::At(At::Boundary(word)),
            'B' => Node::At(At::Inside(word)),
            '1'..='9' => {
                self.at -= 1;
                let digits = self.take_while(3, char::is_ascii_digit);
                let octal = digits.len() == 3 && digits.chars().all(|digit| digit.is_digit(8));
                if octal {
                    return Ok(literal(self.octal(&digits, here)?, flags));
                }
                let number = digits.get(..2).unwrap_or(&digits);
                self.at = here + 1 + number.len();
                self.same(number.parse().unwrap_or(usize::MAX), flags, here)?
            }
            '0' => {
                self.at -= 1;
                let digits = self.take_while(3, |digit| digit.is_digit(8));
                literal(self.octal(&digits, here)?, flags)
            }
            letter => match class(letter, flags) {
                Some(class) => Node::One(One::Class(class)),
                None => literal(self.plain_escape(letter, here)?, flags),
            },
        })
    }

    /// An escape that stands for one character wherever it is.
    fn plain_escape(&mut self, character: char, here: usize) -> Result<char, Error> {
        Ok(match character {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hexadecimal(2, here)?,
            'u' => self.hexadecimal(4, here)?,
            'U' => self.hexadecimal(8, here)?,
            letter if letter.is_ascii_alphanumeric() => return Err(self.error(format!("bad escape \\{letter}"), here)),
            other => other,
        })
    }

    fn hexadecimal(&mut self, digits: usize, here: usize) -> Result<char, Error> {
        let text = self.take_while(digits, char::is_ascii_hexdigit);
        let character = u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == digits).and_then(char::from_u32);
        character.ok_or_else(|| self.error(format!("incomplete escape \\{}", self.slice(here + 1)), here))
    }

    fn slice(&self, from: usize) -> String {
        self.characters.get(from..self.at).unwrap_or_default().iter().collect()
    }

    fn octal(&self, digits: &str, here: usize) -> Result<char, Error> {
        let code = u32::from_str_radix(digits, 8).ok().filter(|code| *code <= 0o377).and_then(char::from_u32);
        code.ok_or_else(|| self.error(format!("octal escape value \\{digits} outside of range 0-0o377"), here))
    }

    /// After `[`.
    fn set(&mut self, flags: Flags, here: usize) -> Result<One, Error> {
        let mut set = Set { negated: self.eat('^'), ignore_case: flags.ignore_case, ..Set::default() };
        let mut first = true;
        let unterminated = |parser: &Self| parser.error("unterminated character set", here);
        loop {
            let start = self.at;
            let low = match self.next().ok_or_else(|| unterminated(self))? {
                ']' if !first => return Ok(One::Set(set)),
                character => self.member(character, flags, start)?,
            };
            first = false;
            if self.peek() == Some('-') && self.characters.get(self.at + 1) != Some(&']') {
                self.at += 1;
                let end = self.at;
                let high = self.next().ok_or_else(|| unterminated(self))?;
                let bad = |parser: &Self| parser.error(format!("bad character range {}", parser.slice(start)), start);
                match (low, self.member(high, flags, end)?) {
                    (Member::Char(low), Member::Char(high)) if low <= high => set.ranges.push((low, high)),
                    _ => return Err(bad(self)),
                }
                continue;
            }
            match low {
                Member::Char(character) => set.ranges.push((character, character)),
                Member::Class(class) => set.classes.push(class),
            }
        }
    }

    fn member(&mut self, character: char, flags: Flags, here: usize) -> Result<Member, Error> {
        if character != '\\' {
            return Ok(Member::Char(character));
        }
        let escaped = self.next().ok_or_else(|| self.error("bad escape (end of pattern)", here))?;
        if let Some(class) = class(escaped, flags) {
            return Ok(Member::Class(class));
        }
        if escaped.is_digit(8) {
            self.at -= 1;
            let digits = self.take_while(3, |digit| digit.is_digit(8));
            return self.octal(&digits, here).map(Member::Char);
        }
        if escaped == 'b' {
            return Ok(Member::Char('\u{8}'));
        }
        self.plain_escape(escaped, here).map(Member::Char)
    }
}

/// One thing in brackets.
enum Member {
    Char(char),
    Class(Class),
}

fn class(letter: char, flags: Flags) -> Option<Class> {
    let kind = match letter.to_ascii_lowercase() {
        'd' => Kind::Digit,
        's' => Kind::Space,
        'w' => Kind::Word,
        _ => return None,
    };
    Some(Class { kind, negated: letter.is_ascii_uppercase(), ascii: flags.ascii })
}

fn literal(character: char, flags: Flags) -> Node {
    Node::One(if flags.ignore_case { One::Fold(fold(character)) } else { One::Char(character) })
}
