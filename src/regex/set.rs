//! Sets of characters: `[a-z]`, `\w`, and what is the same in upper and lower case.

/// The first of every ten decimal digits that Unicode has.
const ZEROS: [u32; 68] = [
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20, 0x1040, 0x1090,
    0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
    0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950,
    0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0,
    0x1E950, 0x1FBF0,
];

/// `\d`, `\s`, `\w`, and their opposites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) kind: Kind,
    pub(super) negated: bool,
    pub(super) ascii: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Digit,
    Space,
    Word,
}

impl Class {
    pub(super) fn has(self, character: char) -> bool {
        let inside = if self.ascii && !character.is_ascii() {
            false
        } else {
            match self.kind {
                Kind::Digit => is_digit(character),
                Kind::Space => character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}'),
                Kind::Word => character == '_' || character.is_alphanumeric(),
            }
        };
        // `re.ASCII` knows fewer spaces.
        let inside = inside && !(self.ascii && matches!(character, '\u{1c}'..='\u{1f}'));
        inside != self.negated
    }
}

fn is_digit(character: char) -> bool {
    let code = u32::from(character);
    let next = ZEROS.partition_point(|zero| *zero <= code);
    next.checked_sub(1).and_then(|last| ZEROS.get(last)).is_some_and(|zero| code - zero < 10)
}

/// A set in brackets.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    pub(super) negated: bool,
    pub(super) ignore_case: bool,
    pub(super) ranges: Vec<(char, char)>,
    pub(super) classes: Vec<Class>,
}

impl Set {
    pub(super) fn has(&self, character: char) -> bool {
        let mut inside = self.lists(character);
        if !inside && self.ignore_case {
            let (lower, upper) = (lower(character), upper(character));
            inside = self.lists(lower) || self.lists(upper) || self.lists(fold(character));
        }
        inside != self.negated
    }

    fn lists(&self, character: char) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&character))
            || self.classes.iter().any(|class| class.has(character))
    }
}

/// The form that all cases of a character share.
pub(super) fn fold(character: char) -> char {
    lower(upper(character))
}

fn lower(character: char) -> char {
    let mut letters = character.to_lowercase();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => letter,
        _ => character,
    }
}

fn upper(character: char) -> char {
    let mut letters = character.to_uppercase();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => letter,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_all_scripts() {
        let digit = Class { kind: Kind::Digit, negated: false, ascii: false };
        for (character, is) in [('0', true), ('9', true), (':', false), ('/', false), ('٣', true), ('²', false), ('Ⅷ', false), ('𝟗', true)]
        {
            assert_eq!(digit.has(character), is, "{character}");
        }
    }

    #[test]
    fn cases_that_python_takes_for_the_same() {
        for (one, other) in [('a', 'A'), ('ſ', 's'), ('K', 'k'), ('µ', 'μ'), ('ς', 'Σ'), ('ß', 'ẞ')] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold('ß'), fold('s'));
    }
}
