//! What tags, merge keys and duplicate keys make of the parts of a YAML document, after PyYAML and Ansible's own tags.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Diagnostic, Diagnostics, Node, NodeKind, Span, did_you_mean, scalar};

/// A tag's name and place.
type Tag<'a> = Option<(&'a str, Span)>;

const TAGS: [&str; 16] = [
    "!vault",
    "!vault-encrypted",
    "!unsafe",
    "!!str",
    "!!int",
    "!!float",
    "!!bool",
    "!!null",
    "!!binary",
    "!!timestamp",
    "!!seq",
    "!!map",
    "!!set",
    "!!omap",
    "!!pairs",
    "!!merge",
];

/// The value of a scalar.
pub(super) fn scalar(text: &str, plain: bool, tag: Tag<'_>, span: Span, diags: &mut Diagnostics) -> NodeKind {
    let string = || NodeKind::Str(text.to_owned());
    let Some((name, tag_span)) = tag else {
        if !plain {
            return string();
        }
        if text == "=" {
            diags.push(Diagnostic::error("yaml-tag", "`=` alone has a meaning of its own in YAML 1.1").at(span, "").help("write `\"=\"`"));
        }
        return scalar::resolve(text).unwrap_or_else(|reason| {
            let help = format!("quote it to have it as text: `\"{text}\"`");
            diags.push(Diagnostic::error("impossible-date", reason).at(span, "read as a timestamp").help(help));
            string()
        });
    };
    let value = match name {
        "!!str" => Some(string()),
        "!!null" => Some(NodeKind::Null),
        "!!bool" => scalar::tagged_bool(text),
        "!!int" => scalar::int(text.trim()),
        "!!float" => scalar::float(text.trim()).map(NodeKind::Float),
        "!!binary" => binary(text, span, diags),
        "!!timestamp" => scalar::resolve(text).ok().filter(|kind| matches!(kind, NodeKind::Str(_))),
        "!vault" | "!vault-encrypted" => Some(NodeKind::Vault(text.to_owned())),
        "!unsafe" => return NodeKind::Unsafe(Box::new(Node::new(scalar(text, plain, None, span, diags), span))),
        _ => {
            diags.push(wrong_tag(name, tag_span, "a scalar"));
            return string();
        }
    };
    value.unwrap_or_else(|| {
        let message = format!("`{text}` is not what its tag `{name}` says");
        diags.push(Diagnostic::error("yaml-tag", message).at(span, "").at(tag_span, "this tag"));
        string()
    })
}

/// The value of `!!binary`. Values are text here: of bytes that are none, as much is kept as can be shown.
fn binary(text: &str, span: Span, diags: &mut Diagnostics) -> Option<NodeKind> {
    let packed: String = text.chars().filter(|char| !char.is_whitespace()).collect();
    let bytes = STANDARD.decode(packed).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    if let std::borrow::Cow::Owned(_) = text {
        let message = "these bytes are no UTF-8 text; what is none is replaced";
        diags.push(Diagnostic::warning("binary-text", message).at(span, "").help("keep binary content in a file, and copy that"));
    }
    Some(NodeKind::Str(text.into_owned()))
}

/// The value of a sequence.
pub(super) fn sequence(items: Vec<Node>, tag: Tag<'_>, span: Span, diags: &mut Diagnostics) -> NodeKind {
    match tag {
        None | Some(("!!seq", _)) => NodeKind::Seq(items),
        Some(("!!omap" | "!!pairs", _)) => NodeKind::Seq(items.into_iter().map(pair).collect()),
        Some(("!unsafe", _)) => NodeKind::Unsafe(Box::new(Node::new(NodeKind::Seq(items), span))),
        Some((name, tag_span)) => {
            diags.push(wrong_tag(name, tag_span, "a list"));
            NodeKind::Seq(items)
        }
    }
}

/// `a: 1` in an ordered map becomes `[a, 1]`.
fn pair(item: Node) -> Node {
    match item.kind {
        NodeKind::Map(entries) if entries.len() == 1 => {
            Node::new(NodeKind::Seq(entries.into_iter().flat_map(|(key, value)| [key, value]).collect()), item.span)
        }
        kind => Node::new(kind, item.span),
    }
}

/// The value of a mapping.
pub(super) fn mapping(entries: Vec<(Node, Node)>, tag: Tag<'_>, span: Span, text: &str, diags: &mut Diagnostics) -> NodeKind {
    let map = NodeKind::Map(unique(entries, span, text, diags));
    match (tag, map) {
        (Some(("!!set", _)), NodeKind::Map(entries)) => NodeKind::Seq(entries.into_iter().map(|(key, _)| key).collect()),
        (None | Some(("!!map", _)), map) => map,
        (Some(("!unsafe", _)), map) => NodeKind::Unsafe(Box::new(Node::new(map, span))),
        (Some((name, tag_span)), map) => {
            diags.push(wrong_tag(name, tag_span, "a mapping"));
            map
        }
    }
}

/// What makes two keys the same: in Python `1`, `1.0` and `true` are one key.
#[derive(PartialEq, Eq, Hash)]
enum KeyId {
    Null,
    Number(u64),
    Text(String),
}

fn key_id(key: &Node) -> Option<KeyId> {
    #[expect(clippy::cast_precision_loss, reason = "two integers beyond 2^53 as keys of one mapping, equal only as floats, are no concern")]
    match &key.kind {
        NodeKind::Null => Some(KeyId::Null),
        NodeKind::Bool(value) => Some(KeyId::Number(f64::from(u8::from(*value)).to_bits())),
        NodeKind::Int(value) => Some(KeyId::Number((*value as f64).to_bits())),
        NodeKind::Float(value) => Some(KeyId::Number(value.to_bits())),
        NodeKind::Str(text) | NodeKind::Vault(text) => Some(KeyId::Text(text.clone())),
        NodeKind::Unsafe(inner) => key_id(inner),
        NodeKind::Seq(_) | NodeKind::Map(_) => None,
    }
}

/// Merges `<<`, keeps the last of equal keys (in the first one's place) and warns of it, and refuses keys that are collections.
fn unique(entries: Vec<(Node, Node)>, span: Span, text: &str, diags: &mut Diagnostics) -> Vec<(Node, Node)> {
    let mut merged = Vec::new();
    let mut own = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if is_merge_key(&key, text) { merge(value, &mut merged, diags) } else { own.push((key, value)) }
    }
    let mut places: HashMap<KeyId, usize> = HashMap::with_capacity(merged.len() + own.len());
    let mut kept: Vec<(Node, Node, bool)> = Vec::with_capacity(merged.len() + own.len());
    let inherited = merged.into_iter().map(|(key, value)| (key, value, false));
    for (key, value, is_own) in inherited.chain(own.into_iter().map(|(key, value)| (key, value, true))) {
        let Some(id) = key_id(&key) else {
            diags.push(collection_as_key(&key, span, text));
            continue;
        };
        let place = *places.entry(id).or_insert(kept.len());
        match kept.get_mut(place) {
            None => kept.push((key, value, is_own)),
            Some(before) => {
                // Overriding what was merged is what merging is for.
                if is_own && before.2 {
                    diags.push(duplicate(&before.0, &key));
                }
                *before = (key, value, is_own);
            }
        }
    }
    kept.into_iter().map(|(key, value, _)| (key, value)).collect()
}

fn is_merge_key(key: &Node, text: &str) -> bool {
    key.as_str() == Some("<<") && text.get(key.span.start as usize..key.span.end as usize) == Some("<<")
}

/// Collects what `<<: value` brings: a mapping, or a list of mappings of which the first has the last word.
fn merge(value: Node, merged: &mut Vec<(Node, Node)>, diags: &mut Diagnostics) {
    match value.kind {
        NodeKind::Map(entries) => merged.extend(entries),
        NodeKind::Seq(items) if items.iter().all(|item| matches!(item.kind, NodeKind::Map(_))) => {
            for item in items.into_iter().rev() {
                merge(item, merged, diags);
            }
        }
        _ => {
            let found = format!("found {}", value.describe());
            let message = "`<<` takes a mapping, or a list of mappings";
            diags.push(Diagnostic::error("merge-key", message).at(value.span, found).help("name the anchor of a mapping: `<<: *defaults`"));
        }
    }
}

fn duplicate(before: &Node, key: &Node) -> Diagnostic {
    let name = before.as_str().map_or_else(|| "this key".to_owned(), |name| format!("`{name}`"));
    let words = format!("found a duplicate dict key ({}). Using last defined value only.", before.as_str().unwrap_or_default());
    Diagnostic::warning("duplicate-key", format!("{name} is given twice; the last one counts"))
        .ansible(words)
        .at(key.span, "again here")
        .at(before.span, "first here, without effect")
}

/// A key that is a list or a mapping: nearly always a template that lacks its quotes.
fn collection_as_key(key: &Node, span: Span, text: &str) -> Diagnostic {
    let written = |span: Span| text.get(span.start as usize..span.end as usize).unwrap_or_default();
    let whole = written(span);
    if written(key.span).starts_with('{') && whole.starts_with("{{") {
        let rest = text.get(span.start as usize..).unwrap_or(whole);
        let template = value_with_template(rest);
        return unquoted_template(template, Span::new(span.source, span.start as usize, span.start as usize + template.len()));
    }
    Diagnostic::error("collection-as-key", format!("{} cannot be the key of a mapping", key.describe())).at(key.span, "expected text")
}

/// The value that starts `text` with a template: `{{ x }}` of `{{ x }}, b]`, all of `{{ x }}/y`.
pub(super) fn value_with_template(text: &str) -> &str {
    let close = text.find("}}").map_or(text.len(), |close| close + 2);
    let (template, rest) = text.split_at(close);
    let line = rest.split(['\n', '\r']).next().unwrap_or_default();
    if line.trim_start().is_empty() || line.trim_start().starts_with([',', ']', '}', '#']) {
        return template;
    }
    let line = line.split_once(" #").map_or(line, |(value, _)| value).trim_end();
    text.get(..close + line.len()).unwrap_or(template)
}

/// `key: {{ x }}`, which YAML takes for a mapping.
pub(super) fn unquoted_template(template: &str, span: Span) -> Diagnostic {
    let help = if template.contains('\n') {
        "put double quotes around the whole value".to_owned()
    } else if template.contains('"') {
        format!("quote the whole value: `'{template}'`")
    } else {
        format!("quote the whole value: `\"{template}\"`")
    };
    Diagnostic::error("unquoted-template", "a value that starts with `{{` must be quoted, else YAML takes it for a mapping")
        .at(span, "")
        .help(help)
}

fn wrong_tag(name: &str, span: Span, on: &str) -> Diagnostic {
    if TAGS.contains(&name) {
        return Diagnostic::error("yaml-tag", format!("tag `{name}` cannot stand on {on}")).at(span, "");
    }
    let diagnostic = Diagnostic::error("yaml-tag", format!("unknown tag `{name}`")).at(span, "");
    match did_you_mean(name, TAGS) {
        Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
        None => diagnostic
            .help("Ansible knows `!vault` and `!unsafe`, and YAML `!!str`, `!!int` and its like; text that starts with `!` needs quotes"),
    }
}

/// How many nodes a value has (long text counts as several), and how deep it is.
pub(super) fn measure(node: &Node) -> (usize, usize) {
    let deepest = |parts: &mut dyn Iterator<Item = &Node>| {
        parts.map(measure).fold((1_usize, 1_usize), |(size, depth), (part, below)| (size.saturating_add(part), depth.max(below + 1)))
    };
    match &node.kind {
        NodeKind::Seq(items) => deepest(&mut items.iter()),
        NodeKind::Map(entries) => deepest(&mut entries.iter().flat_map(|(key, value)| [key, value])),
        NodeKind::Unsafe(inner) => measure(inner),
        NodeKind::Str(text) | NodeKind::Vault(text) => (1 + text.len() / 64, 1),
        _ => (1, 1),
    }
}
