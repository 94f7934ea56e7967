//! What replaces a match: text with `\1`, `\g<name>` and `\n` in it, as `re.sub` takes it.

use super::{Captures, Error, Regex};

/// A replacement, checked against a pattern.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads `text`, whose groups are those of `regex`.
    ///
    /// # Errors
    /// A group that the pattern does not have, or an escape that means nothing.
    pub fn new(text: &str, regex: &Regex) -> Result<Self, Error> {
        let mut reader = Reader { characters: text.chars().collect(), at: 0, regex, pieces: Vec::new(), plain: String::new() };
        while let Some(character) = reader.next() {
            if character == '\\' { reader.escape()? } else { reader.plain.push(character) }
        }
        reader.flush();
        Ok(Self { pieces: reader.pieces })
    }

    /// The replacement for one match.
    pub fn fill(&self, captures: &Captures<'_, '_>) -> String {
        let texts = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Group(number) => captures.text(*number),
        });
        texts.collect()
    }
}

struct Reader<'r> {
    characters: Vec<char>,
    at: usize,
    regex: &'r Regex,
    pieces: Vec<Piece>,
    plain: String,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.characters.get(self.at).copied();
        self.at += usize::from(character.is_some());
        character
    }

    fn flush(&mut self) {
        if !self.plain.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(&mut self.plain)));
        }
    }

    /// After a backslash.
    fn escape(&mut self) -> Result<(), Error> {
        let here = self.at - 1;
        let error = |reason: String| Error::Syntax { reason, position: here };
        let Some(character) = self.next() else { return Err(error("bad escape (end of pattern)".to_owned())) };
        let plain = match character {
            'g' => return self.named(here),
            '0' => {
                let digits = self.digits(2, 8);
                char::from(u8::from_str_radix(&digits, 8).unwrap_or_default())
            }
            '1'..='9' => return self.numbered(here),
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            letter if letter.is_ascii_alphabetic() => return Err(error(format!("bad escape \\{letter}"))),
            other => {
                self.plain.push('\\');
                other
            }
        };
        self.plain.push(plain);
        Ok(())
    }

    fn digits(&mut self, most: usize, radix: u32) -> String {
        let digits: String = self.characters.iter().skip(self.at).take(most).take_while(|digit| digit.is_digit(radix)).collect();
        self.at += digits.len();
        digits
    }

    /// A group by one or two digits; three octal ones are a character.
    fn numbered(&mut self, here: usize) -> Result<(), Error> {
        self.at -= 1;
        let octal = self.digits(3, 8);
        if octal.len() == 3 {
            let code = u8::from_str_radix(&octal, 8);
            let reason = format!("octal escape value \\{octal} outside of range 0-0o377");
            self.plain.push(code.map(char::from).map_err(|_| Error::Syntax { reason, position: here })?);
            return Ok(());
        }
        self.at = here + 1;
        let digits = self.digits(2, 10);
        self.group(digits.parse().ok(), &digits, here + 1)
    }

    fn named(&mut self, here: usize) -> Result<(), Error> {
        let error = |reason: &str| Error::Syntax { reason: reason.to_owned(), position: here + 2 };
        if self.next() != Some('<') {
            return Err(error("missing <"));
        }
        let name: String = self.characters.iter().skip(self.at).take_while(|character| **character != '>').collect();
        self.at += name.chars().count();
        if self.next().is_none() {
            return Err(error("missing >, unterminated name"));
        }
        if name.is_empty() {
            return Err(error("missing group name"));
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.group(name.parse().ok(), &name, here + 3);
        }
        let number = self.regex.group(&name).ok_or_else(|| error(&format!("unknown group name '{name}'")))?;
        self.group(Some(number), &name, here + 3)
    }

    fn group(&mut self, number: Option<usize>, name: &str, position: usize) -> Result<(), Error> {
        let known = number.filter(|number| *number < self.regex.groups());
        let number = known.ok_or_else(|| Error::Syntax { reason: format!("invalid group reference {name}"), position })?;
        self.flush();
        self.pieces.push(Piece::Group(number));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_as_in_python() {
        let regex = Regex::new("(a)(?P<n>b)(c)?").unwrap();
        let captures = regex.captures("ab").unwrap().unwrap();
        for (template, expected) in
            [(r"\1-\2", "a-b"), (r"\g<1>0\g<n>\g<0>", "a0bab"), (r"[\3]", "[]"), (r"x\ny\0\101", "x\ny\0A"), (r"\.\\", r"\.\")]
        {
            assert_eq!(Template::new(template, &regex).unwrap().fill(&captures), expected);
        }
        for (template, expected) in [
            (r"\9", "invalid group reference 9 at position 1"),
            (r"\g<x>", "unknown group name 'x' at position 2"),
            (r"a\q", r"bad escape \q at position 1"),
            ("\\", "bad escape (end of pattern) at position 0"),
        ] {
            assert_eq!(Template::new(template, &regex).unwrap_err().to_string(), expected);
        }
    }
}
