//! [`Role`]: a directory of tasks, handlers, variables and files.

use std::path::PathBuf;

use super::{Item, Keywords};
use crate::text::{Node, Span, Spanned};

/// A mention of a role: an entry of `roles:` or of a role's dependencies.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleRef {
    /// The whole entry.
    pub span: Span,
    /// The role's name; may be a template.
    pub name: Spanned<String>,
    /// Keywords of the entry.
    pub keywords: Keywords,
    /// Everything else in the entry: variables for the role.
    pub params: Vec<(Spanned<String>, Node)>,
}

/// A role, loaded with one choice of `tasks_from` and its like.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// Its name as shown in the output: the name it was asked for by.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// The collection it belongs to: `namespace.name`.
    pub collection: Option<String>,
    /// `defaults/main.yml`: variables of the lowest precedence.
    pub defaults: Vec<(Spanned<String>, Node)>,
    /// `vars/main.yml`.
    pub vars: Vec<(Spanned<String>, Node)>,
    /// `tasks/main.yml`.
    pub tasks: Vec<Item>,
    /// `handlers/main.yml`.
    pub handlers: Vec<Item>,
    /// `meta/main.yml`, `dependencies:`.
    pub dependencies: Vec<RoleRef>,
    /// `meta/main.yml`, `allow_duplicates:`.
    pub allow_duplicates: bool,
    /// The argument specification of the chosen entry point, from `meta/argument_specs.yml` or `meta/main.yml`.
    pub argument_spec: Option<Node>,
}
