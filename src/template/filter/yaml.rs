//! Values as YAML, byte for byte as Ansible writes it, and back.

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::{Eval, hashable};
use crate::template::text::check;
use crate::template::value::{Entries, Key, Map, Value, to_wire};
use crate::text::emit::{self, Flow, Layout};
use crate::text::yaml::parse;
use crate::text::{Diagnostics, Node, NodeKind, Sources};

pub(super) const FILTERS: &[Filter] = &[
    filter("to_yaml", |_, value, args| dumped(&value, args, Layout { flow: Flow::Leaves, ..Layout::default() })),
    filter("to_nice_yaml", |_, value, args| dumped(&value, args, Layout { indent: 4, ..Layout::default() })),
    filter("from_yaml", from_yaml),
    filter("from_yaml_all", from_yaml_all),
];

fn dumped(value: &Value, mut args: Args, mut layout: Layout) -> Result<Value> {
    let indent = args.size("indent", layout.indent)?;
    // PyYAML takes what it cannot use for the default.
    layout.indent = if (2..10).contains(&indent) { indent } else { 2 };
    if let Some(width) = args.named("width").and_then(|width| width.as_int()) {
        layout.width = usize::try_from(width).ok().filter(|width| *width > layout.indent * 2).unwrap_or(80);
    }
    layout.sorted = args.named_flag("sort_keys", true);
    match args.named("default_flow_style") {
        Some(Value::None) => layout.flow = Flow::Leaves,
        Some(style) => layout.flow = if style.is_true() { Flow::Always } else { Flow::Never },
        None => {}
    }
    let start = args.named_flag("explicit_start", false);
    let end = args.named_flag("explicit_end", false);
    for ignored in ["allow_unicode", "dump_vault_tags", "encoding"] {
        drop(args.named(ignored));
    }
    args.end()?;
    check(value)?;
    let text = emit::yaml(&to_wire(value), layout);
    let block = matches!(value, Value::Map(map) if !map.get().is_empty()) || value.as_items().is_some_and(|items| !items.is_empty());
    let separator = if block && !text.starts_with(['[', '{']) { '\n' } else { ' ' };
    let head = if start { format!("---{separator}") } else { String::new() };
    Ok(Value::from(format!("{head}{text}{}", if end { "...\n" } else { "" })))
}

/// All documents of a text.
fn documents(text: &str) -> Result<Vec<Value>> {
    let sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let nodes = parse(&sources, sources.add("text", text), &mut diagnostics);
    if let Some(finding) = diagnostics.iter().find(|finding| finding.severity == crate::text::Severity::Error) {
        return Err(Error::failed(format!("the text is not YAML: {}", finding.message)));
    }
    nodes.iter().map(value).collect()
}

fn value(node: &Node) -> Result<Value> {
    Ok(match &node.kind {
        NodeKind::Null => Value::None,
        NodeKind::Bool(flag) => Value::Bool(*flag),
        NodeKind::Int(number) => Value::from(*number),
        NodeKind::Float(number) => Value::Float(*number),
        NodeKind::Str(text) | NodeKind::Vault(text) => Value::from(text.as_str()),
        NodeKind::Unsafe(inner) => value(inner)?,
        NodeKind::Seq(items) => Value::list(items.iter().map(value).collect::<Result<Vec<_>>>()?),
        NodeKind::Map(entries) => {
            let mut out = Entries::new();
            for (key, entry) in entries {
                out.insert(Key(hashable(value(key)?)?), value(entry)?);
            }
            Value::Map(Map::open(out))
        }
    })
}

fn from_yaml(_eval: &Eval<'_>, value: Value, args: Args) -> Result<Value> {
    args.end()?;
    let Some(text) = value.as_str() else { return Ok(value) };
    let mut found = documents(text)?;
    if found.len() > 1 {
        return Err(Error::failed("expected a single document in the text, but found another").help("use `from_yaml_all`"));
    }
    Ok(found.pop().unwrap_or_default())
}

fn from_yaml_all(_eval: &Eval<'_>, value: Value, args: Args) -> Result<Value> {
    args.end()?;
    let Some(text) = value.as_str() else { return Ok(value) };
    documents(text).map(Value::list)
}
