//! `section!`: one declaration of a mapping in `rappel.yml` gives the struct, its reading, its documentation and its JSON Schema.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, did_you_mean};

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number from zero.
    Number,
    /// A boolean.
    Flag,
    /// A list.
    List(&'static Kind),
    /// A mapping whose keys are the user's.
    Table(&'static Kind),
    /// A mapping with known keys.
    Section(&'static [Key]),
    /// Any YAML value.
    Any,
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// What it is when not given, as written in Rust; empty for none.
    pub default: &'static str,
    /// Its documentation.
    pub doc: &'static str,
}

/// A Rust type that a key can have.
pub trait Setting: Sized {
    /// What the key takes.
    const KIND: Kind;

    /// Reads it; mistakes go to `diags`, and `None` comes back.
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self>;

    /// What it is when not given; `None` makes the key required.
    fn absent() -> Option<Self> {
        None
    }
}

fn unexpected<T>(wanted: &str, node: &Node, diags: &mut Diagnostics) -> Option<T> {
    let found = match &node.kind {
        NodeKind::Str(text) => format!("`{text}`"),
        _ => node.describe().to_owned(),
    };
    diags.push(Diagnostic::error("wrong-type", format!("expected {wanted}, found {found}")).at(node.span, ""));
    None
}

impl Setting for String {
    const KIND: Kind = Kind::Text;
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            NodeKind::Str(text) => Some(text.clone()),
            NodeKind::Int(number) => Some(number.to_string()),
            _ => unexpected("a string", node, diags),
        }
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Text;
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        String::read(node, diags).map(Self::from)
    }
}

impl Setting for u64 {
    const KIND: Kind = Kind::Number;
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            NodeKind::Int(number) => Self::try_from(*number).ok().or_else(|| unexpected("a number from 0", node, diags)),
            _ => unexpected("a whole number", node, diags),
        }
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Flag;
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            NodeKind::Bool(flag) => Some(*flag),
            _ => unexpected("a boolean", node, diags),
        }
    }
}

impl Setting for Json {
    const KIND: Kind = Kind::Any;
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        Some(match &node.kind {
            NodeKind::Null => Self::Null,
            NodeKind::Bool(flag) => json!(flag),
            NodeKind::Int(number) => json!(number),
            NodeKind::Float(number) => json!(number),
            NodeKind::Str(text) => json!(text),
            NodeKind::Seq(items) => Self::Array(items.iter().map(|item| Self::read(item, diags)).collect::<Option<_>>()?),
            NodeKind::Map(entries) => Self::Object(
                entries.iter().map(|(key, value)| Some((String::read(key, diags)?, Self::read(value, diags)?))).collect::<Option<_>>()?,
            ),
            NodeKind::Vault(_) | NodeKind::Unsafe(_) => return unexpected("a plain value", node, diags),
        })
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            NodeKind::Seq(items) => Some(items.iter().filter_map(|item| T::read(item, diags)).collect()),
            _ => unexpected("a list", node, diags),
        }
    }
}

impl<T: Setting> Setting for IndexMap<String, T> {
    const KIND: Kind = Kind::Table(&T::KIND);
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            NodeKind::Map(entries) => {
                Some(entries.iter().filter_map(|(key, value)| Some((String::read(key, diags)?, T::read(value, diags)?))).collect())
            }
            _ => unexpected("a mapping", node, diags),
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;
    fn read(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        if node.kind == NodeKind::Null { Some(None) } else { T::read(node, diags).map(Some) }
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// The entry `key` of a section as a `T`; a missing required key is a finding.
pub fn take<T: Setting>(section: &Node, key: &str, default: Option<T>, diags: &mut Diagnostics) -> Option<T> {
    match section.get(key) {
        Some(node) => T::read(node, diags),
        None => default.or_else(T::absent).or_else(|| {
            diags.push(Diagnostic::error("missing-key", format!("missing key `{key}`")).at(section.span, "in this mapping"));
            None
        }),
    }
}

/// Refuses what is not a mapping, and keys that are not among `keys`.
pub fn check_keys(node: &Node, keys: &[Key], diags: &mut Diagnostics) -> Option<()> {
    let NodeKind::Map(entries) = &node.kind else {
        return unexpected("a mapping", node, diags);
    };
    for (key, _) in entries {
        let Some(name) = String::read(key, diags) else { continue };
        if keys.iter().any(|known| known.name == name) {
            continue;
        }
        let names = || keys.iter().map(|known| known.name);
        let help = match did_you_mean(&name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys are {}", names().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ")),
        };
        diags.push(Diagnostic::error("unknown-key", format!("unknown key `{name}`")).at(key.span, "not a key of this mapping").help(help));
    }
    Some(())
}

/// The JSON Schema of a kind.
pub fn schema(kind: &Kind) -> Json {
    match kind {
        Kind::Text => json!({"type": ["string", "integer"]}),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::List(item) => json!({"type": "array", "items": schema(item)}),
        Kind::Table(value) => json!({"type": "object", "additionalProperties": schema(value)}),
        Kind::Any => json!({}),
        Kind::Section(keys) => {
            let properties: serde_json::Map<_, _> = keys
                .iter()
                .map(|key| {
                    let mut property = schema(&key.kind);
                    if let Json::Object(object) = &mut property {
                        let default = if key.default.is_empty() { String::new() } else { format!(" Default: {}.", key.default) };
                        object.insert("description".into(), json!(format!("{}{default}", key.doc.trim())));
                    }
                    (key.name.to_owned(), property)
                })
                .collect();
            let required: Vec<_> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
        }
    }
}

/// Every key below `kind` with its full path, in the order of the declarations: the reference page.
pub fn document(kind: &Kind, path: &str, lines: &mut Vec<String>) {
    match kind {
        Kind::Section(keys) => {
            for key in *keys {
                let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
                let default = match (key.required, key.default) {
                    (true, _) => "required".to_owned(),
                    (false, "") => String::new(),
                    (false, default) => format!("`{}`", default.trim_matches('"').replace("\\\"", "\"")),
                };
                lines.push(format!("| `{path}` | {default} | {} |", key.doc.trim().replace('\n', " ")));
                document(&key.kind, &path, lines);
            }
        }
        Kind::List(item) => document(item, &format!("{path}[]"), lines),
        Kind::Table(value) => document(value, &format!("{path}.NAME"), lines),
        _ => {}
    }
}

/// Declares a section: `name: Type = default,` each with a doc comment. A type without default is required unless it
/// is an `Option`; a section whose keys all have defaults is itself optional with `= Section::default()`.
#[macro_export]
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* $field:ident : $ty:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty ),*
        }

        impl $crate::deploy::setting::Setting for $name {
            const KIND: $crate::deploy::setting::Kind = $crate::deploy::setting::Kind::Section(&[$(
                $crate::deploy::setting::Key {
                    name: stringify!($field),
                    kind: <$ty as $crate::deploy::setting::Setting>::KIND,
                    required: concat!($(stringify!($default))?).is_empty() && !$crate::deploy::setting::is_option(stringify!($ty)),
                    default: $crate::deploy::setting::plain_default(concat!($(stringify!($default))?)),
                    doc: concat!($($doc, "\n"),*),
                }
            ),*]);

            fn read(node: &$crate::text::Node, diags: &mut $crate::text::Diagnostics) -> Option<Self> {
                if let $crate::deploy::setting::Kind::Section(keys) = Self::KIND {
                    $crate::deploy::setting::check_keys(node, keys, diags)?;
                }
                // Read all fields before giving up, so that every mistake is found at once.
                $(
                    #[allow(unused_mut, unused_assignments, clippy::allow_attributes, reason = "the default is optional")]
                    let $field = {
                        let mut default: Option<$ty> = None;
                        $(default = Some($default.into());)?
                        $crate::deploy::setting::take::<$ty>(node, stringify!($field), default, diags)
                    };
                )*
                Some(Self { $($field: $field?),* })
            }
        }

        impl $name {
            /// The section as it is when the file has none.
            ///
            /// `None` where a key is required.
            pub fn none() -> Option<Self> {
                let mut diags = $crate::text::Diagnostics::default();
                let empty = $crate::text::Node::new($crate::text::NodeKind::Map(Vec::new()), $crate::text::Span::default());
                <Self as $crate::deploy::setting::Setting>::read(&empty, &mut diags)
            }
        }
    };
}

/// Whether a type's text is an `Option`.
pub const fn is_option(ty: &str) -> bool {
    matches!(ty.as_bytes(), [b'O', b'p', b't', b'i', b'o', b'n', ..])
}

/// A default as the reference shows it: none for whole sections and empty collections.
pub const fn plain_default(text: &'static str) -> &'static str {
    match text.as_bytes() {
        [.., b')' | b']' | b'?'] => "",
        [.., b'_', b'u', b'6', b'4'] => text.split_at(text.len() - 4).0,
        _ => text,
    }
}
