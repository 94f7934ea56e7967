//! Taking expressions apart, and making them of values that are there already.

use std::sync::Arc;

use super::value::{Key, Value, from_wire};
use super::{Expr, Templar};
use crate::text::{Diagnostics, Node, NodeKind, Span};
use crate::wire;

impl Expr {
    /// `value`, as if it had been written at `span`. Text in it is no template.
    pub fn value(value: &wire::Value, span: Span) -> Self {
        Self::Literal(from_wire(value), span)
    }

    /// The entry `key` of a mapping as it is written.
    pub fn entry(&self, key: &str) -> Option<Expr> {
        match self {
            Self::Literal(value, span) => Some(Self::Literal(value.as_entries()?.get(&Key(Value::from(key)))?.clone(), *span)),
            Self::Map(entries, _) => {
                entries.iter().find(|(name, _)| name.literal().and_then(Value::as_str) == Some(key)).map(|(_, entry)| entry.clone())
            }
            _ => None,
        }
    }
}

impl Templar {
    /// The bare expression `text`, as `debug: var=` and `assert: that=` take it.
    pub fn expression(&self, text: &str, span: Span) -> Arc<Expr> {
        let node = Node::new(NodeKind::Str(text.to_owned()), span);
        // What is wrong with it is found again by evaluating it.
        Arc::new(self.condition(&node, &mut Diagnostics::default()))
    }
}

/// A node as a plain value: what `false_condition` shows.
pub fn node_value(node: &Node) -> wire::Value {
    match &node.kind {
        NodeKind::Null | NodeKind::Vault(_) => wire::Value::Null,
        NodeKind::Bool(flag) => (*flag).into(),
        NodeKind::Int(number) => (*number).into(),
        NodeKind::Float(number) => (*number).into(),
        NodeKind::Str(text) => text.as_str().into(),
        NodeKind::Unsafe(inner) => node_value(inner),
        NodeKind::Seq(items) => wire::Value::List(items.iter().map(node_value).collect()),
        NodeKind::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (node_value(key).to_text(), node_value(value)));
            wire::Value::Map(entries.collect())
        }
    }
}

/// A value as if it had been written at `span`; text in it is no template.
pub fn value_node(value: &wire::Value, span: Span) -> Node {
    let kind = match value {
        wire::Value::Null => NodeKind::Null,
        wire::Value::Bool(flag) => NodeKind::Bool(*flag),
        wire::Value::Int(number) => NodeKind::Int(*number),
        wire::Value::Float(number) => NodeKind::Float(*number),
        wire::Value::Str(text) => NodeKind::Str(text.clone()),
        wire::Value::List(items) => NodeKind::Seq(items.iter().map(|item| value_node(item, span)).collect()),
        wire::Value::Map(map) => {
            NodeKind::Map(map.iter().map(|(name, entry)| (Node::new(NodeKind::Str(name.clone()), span), value_node(entry, span))).collect())
        }
    };
    Node::new(NodeKind::Unsafe(Box::new(Node::new(kind, span))), span)
}
