//! [`Task`] and [`Block`]: what stands in a list of tasks.

use super::{Keyword, Keywords};
use crate::text::{Node, Span, Spanned};

/// One entry of a list of tasks.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A task.
    Task(Task),
    /// A block.
    Block(Block),
}

/// One task (or handler).
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The whole task.
    pub span: Span,
    /// All keywords but the action itself.
    pub keywords: Keywords,
    /// `with_X: …`: the X and its argument. (`loop:` is a keyword.)
    pub with: Option<(Spanned<String>, Node)>,
    /// What it does.
    pub action: Action,
}

/// A module and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The module's name as written: `copy`, `ansible.builtin.copy`.
    pub module: Spanned<String>,
    /// Its parameters.
    pub args: Args,
}

/// Parameters of a module: those of the module's own value, then those of `args:`, which only fill gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    /// By name: from a mapping, or from `k=v` text (then the span is that of the text's part).
    pub params: Vec<(Spanned<String>, Node)>,
    /// Text that is not `k=v`: `command: ls -l`.
    pub free: Option<Node>,
    /// One template that gives all parameters: `copy: "{{ arguments }}"`, or `args: "{{ … }}"`.
    pub whole: Option<Node>,
}

/// Tasks that share keywords, with what to do on failure and at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The whole block.
    pub span: Span,
    /// Its keywords.
    pub keywords: Keywords,
    /// The tasks.
    pub block: Vec<Item>,
    /// Run when one of them fails.
    pub rescue: Vec<Item>,
    /// Whether `rescue:` stands there at all (it may be empty).
    pub has_rescue: bool,
    /// Run in any case.
    pub always: Vec<Item>,
}

impl Task {
    /// The name as written, not templated.
    pub fn name(&self) -> Option<&str> {
        self.keywords.get(Keyword::Name).and_then(Node::as_str)
    }
}
