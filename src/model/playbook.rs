//! [`Playbook`] and [`Play`].

use std::path::PathBuf;

use super::{Item, Keywords, RoleRef};
use crate::text::{Node, Span, Spanned};

/// One playbook file.
#[derive(Clone, Debug, PartialEq)]
pub struct Playbook {
    /// Its file.
    pub path: PathBuf,
    /// Its plays and imports, in order.
    pub entries: Vec<Entry>,
}

/// One entry of a playbook.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A play.
    Play(Box<Play>),
    /// `import_playbook:`.
    Import(Import),
}

/// `import_playbook:` with what it hands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// The whole entry.
    pub span: Span,
    /// The file as written; may be a template.
    pub file: Spanned<String>,
    /// `name`, `vars`, `when`, `tags`.
    pub keywords: Keywords,
}

/// One play.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    /// The whole play.
    pub span: Span,
    /// All its keywords; lists of tasks and roles are beside.
    pub keywords: Keywords,
    /// `hosts:`, a string or a list of strings; may be a template.
    pub hosts: Node,
    /// `roles:`.
    pub roles: Vec<RoleRef>,
    /// `pre_tasks:`.
    pub pre_tasks: Vec<Item>,
    /// `tasks:`.
    pub tasks: Vec<Item>,
    /// `post_tasks:`.
    pub post_tasks: Vec<Item>,
    /// `handlers:`.
    pub handlers: Vec<Item>,
    /// `vars_files:`: each a name, or a list of which the first that exists is taken.
    pub vars_files: Vec<Node>,
    /// `vars_prompt:`.
    pub prompts: Vec<Prompt>,
}

/// One entry of `vars_prompt:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The variable.
    pub name: Spanned<String>,
    /// What to ask; the name when not given.
    pub prompt: Option<Node>,
    /// Taken for an empty answer.
    pub default: Option<Node>,
    /// Hide what is typed (the default).
    pub private: bool,
    /// Ask twice.
    pub confirm: bool,
    /// Hash the answer: `sha512_crypt`.
    pub encrypt: Option<String>,
    /// Salt for the hash.
    pub salt: Option<String>,
    /// Salt size for the hash.
    pub salt_size: Option<i64>,
    /// The answer is never a template.
    pub is_unsafe: bool,
}
