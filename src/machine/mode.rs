//! File modes as playbooks write them: `0644`, `"u=rwX,g-w,o="`.

use crate::wire::Failure;

/// The permission bits that a mode may speak of.
const ALL: u32 = 0o7777;

/// A mode that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

/// `ug+rw-x`: who, then operations in order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    /// Mask of the classes meant; the umask applies when nobody was named.
    who: u32,
    named: bool,
    operations: Vec<(Operator, Vec<char>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Assign,
}

impl Mode {
    /// Reads a mode.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return match u32::from_str_radix(digits, 8) {
                Ok(bits) if bits <= ALL => Ok(Self(Kind::Octal(bits))),
                _ => Err(Failure::new(format!("expected an octal file mode up to 7777, found `{text}`")).with("details", wrong(text))),
            };
        }
        let clauses = text.split(',').filter(|_| !text.is_empty()).map(|clause| {
            Clause::parse(clause).ok_or_else(|| Failure::new("mode must be in octal or symbolic form").with("details", wrong(clause)))
        });
        clauses.collect::<Result<_, _>>().map(|clauses| Self(Kind::Symbolic(clauses)))
    }

    /// The bits this mode gives to something that has `current`.
    pub fn apply(&self, current: u32, directory: bool, umask: u32) -> u32 {
        match &self.0 {
            Kind::Octal(bits) => *bits,
            Kind::Symbolic(clauses) => clauses.iter().fold(current & ALL, |bits, clause| clause.apply(bits, directory, umask)),
        }
    }
}

fn wrong(mode: &str) -> String {
    format!("bad symbolic permission for mode: {mode}")
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let operator_at = text.find(['+', '-', '='])?;
        let (classes, mut rest) = text.split_at(operator_at);
        let mut who = if classes == "a" { ALL } else { 0 };
        for class in classes.chars().filter(|_| classes != "a") {
            who |= match class {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o0007,
                _ => return None,
            };
        }
        let named = who != 0;
        let mut operations = Vec::new();
        while let Some(first) = rest.chars().next() {
            let operator = match first {
                '+' => Operator::Add,
                '-' => Operator::Remove,
                '=' => Operator::Assign,
                _ => return None,
            };
            rest = rest.get(1..)?;
            let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
            let (permissions, tail) = rest.split_at(end);
            if !permissions.chars().all(|letter| "rwxXstugo".contains(letter)) {
                return None;
            }
            operations.push((operator, permissions.chars().collect()));
            rest = tail;
        }
        Some(Self { who: if named { who } else { ALL }, named, operations })
    }

    fn apply(&self, mut bits: u32, directory: bool, umask: u32) -> u32 {
        for (operator, permissions) in &self.operations {
            let mut wanted = permissions.iter().fold(0, |wanted, letter| wanted | self.bits_of(*letter, bits, directory));
            if !self.named {
                wanted &= !umask;
            }
            bits = match operator {
                Operator::Add => bits | wanted,
                Operator::Remove => bits & !wanted,
                Operator::Assign => (bits & !self.assigned()) | wanted,
            };
        }
        bits
    }

    /// What `=` clears first: the sticky bit belongs to nobody but `a`.
    fn assigned(&self) -> u32 {
        if self.who == ALL { ALL } else { self.who & 0o6777 }
    }

    fn bits_of(&self, letter: char, current: u32, directory: bool) -> u32 {
        let mask = self.who;
        match letter {
            'r' => 0o444 & mask,
            'w' => 0o222 & mask,
            'x' => 0o111 & mask,
            'X' if directory || current & 0o111 != 0 => 0o111 & mask,
            's' => 0o6000 & mask,
            't' => 0o1000,
            'u' => spread(current >> 6) & mask,
            'g' => spread(current >> 3) & mask,
            'o' => spread(current) & mask,
            _ => 0,
        }
    }
}

/// The lowest three bits, for all three classes.
fn spread(bits: u32) -> u32 {
    (bits & 7) * 0o111
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_apply_as_chmod_does() {
        for (text, current, directory, expected) in [
            ("0644", 0o777, false, 0o644),
            ("644", 0, false, 0o644),
            ("1777", 0, true, 0o1777),
            ("u=rw,g=r,o=", 0o777, false, 0o640),
            ("u=rwX,g=rX,o=", 0o644, false, 0o640),
            ("u=rwX,g=rX,o=", 0o644, true, 0o750),
            ("a+x", 0o644, false, 0o755),
            ("go-rwx", 0o755, false, 0o700),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755),
            ("+t", 0o777, true, 0o1777),
            ("o=g", 0o640, false, 0o644),
            ("+x", 0o644, false, 0o755),
            ("u+rw-x", 0o500, false, 0o600),
            ("", 0o640, false, 0o640),
        ] {
            let mode = Mode::parse(text).unwrap();
            assert_eq!(mode.apply(current, directory, 0o022), expected, "{text} on {current:o}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["8888", "77777", "rw", "u~x", "u=q", "ao=r", "preserved"] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
