//! What a pattern is made of.

use super::set::{Class, Set, fold};

/// A pattern as a tree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Exactly one character.
    One(One),
    /// A place.
    At(At),
    /// All of them, one after the other.
    Sequence(Vec<Node>),
    /// The first of them that leads to a match.
    Either(Vec<Node>),
    /// A numbered group.
    Group(usize, Box<Node>),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: u32,
        greed: Greed,
    },
    /// What a group matched, again.
    Same {
        group: usize,
        ignore_case: bool,
    },
    /// What follows or comes before, without being consumed.
    Look {
        behind: bool,
        negated: bool,
        node: Box<Node>,
    },
    /// Without a second thought once it has matched.
    Atomic(Box<Node>),
    /// One or the other, as a group took part or not.
    If {
        group: usize,
        yes: Box<Node>,
        no: Box<Node>,
    },
}

/// Something that one character is.
#[derive(Clone, Debug)]
pub(super) enum One {
    Char(char),
    /// In any case.
    Fold(char),
    /// Not a line feed.
    Dot,
    Any,
    Class(Class),
    Set(Set),
}

impl One {
    pub(super) fn is(&self, character: char) -> bool {
        match self {
            Self::Char(wanted) => character == *wanted,
            Self::Fold(wanted) => fold(character) == *wanted,
            Self::Dot => character != '\n',
            Self::Any => true,
            Self::Class(class) => class.has(character),
            Self::Set(set) => set.has(character),
        }
    }
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Start,
    LineStart,
    /// The end, or before a line feed that ends the text.
    End,
    LineEnd,
    VeryEnd,
    Boundary(Class),
    Inside(Class),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}
