//! Text: bytes become nodes that know where they were written. Nothing here touches the world but `source`.

mod compose;
pub mod config;
mod diagnostic;
pub mod emit;
pub mod folder;
pub mod ini;
pub mod literal;
mod mistake;
mod scalar;
mod secrets;
mod source;
pub mod vault;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Severity, did_you_mean};
pub use secrets::Secrets;
pub use source::{Position, Source, SourceId, Sources, Span, Spanned, files_below};
pub use vault::{Vault, VaultError};

/// A YAML value (or a value of an INI inventory) and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: NodeKind,
    /// Where it was written; for a scalar, with its quotes.
    pub span: Span,
}

/// What a [`Node`] is, after PyYAML's YAML 1.1 rules.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `~`, `null`, nothing.
    Null,
    /// `true`, `yes`, `on` …
    Bool(bool),
    /// `7`, `0644`, `0x1f`, `1_000`, `1:30`.
    Int(i64),
    /// `0.5`, `.inf`.
    Float(f64),
    /// Text, quoted or plain.
    Str(String),
    /// `!vault`: still encrypted text.
    Vault(String),
    /// `!unsafe`: never a template.
    Unsafe(Box<Node>),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping, in order, merge keys resolved, the last of duplicate keys kept.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// `kind`, written at `span`.
    pub fn new(kind: NodeKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of node this is, in words for an error message.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Int(_) => "an integer",
            NodeKind::Float(_) => "a float",
            NodeKind::Str(_) => "a string",
            NodeKind::Vault(_) => "an encrypted string",
            NodeKind::Unsafe(inner) => inner.describe(),
            NodeKind::Seq(_) => "a list",
            NodeKind::Map(_) => "a mapping",
        }
    }

    /// The entry `key` of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Map(entries) => entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value),
            _ => None,
        }
    }
}
