//! Inventory scripts: programs that print JSON for `--list` and `--host NAME`.

use std::path::Path;

use super::load::{Brought, Reading};
use super::{Inventory, Variables};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, SourceId, Span, Spanned};

/// Runs inventory scripts. Starting programs is no business of this layer, so whoever loads an inventory hands this in.
pub trait Scripts {
    /// What `script` prints when called with `arguments`, or why it could not be run.
    fn run(&self, script: &Path, arguments: &[&str]) -> Result<String, String>;
}

/// Refuses to run anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoScripts;

impl Scripts for NoScripts {
    fn run(&self, _script: &Path, _arguments: &[&str]) -> Result<String, String> {
        Err("inventory scripts are not run here".to_owned())
    }
}

/// Adds what the program at `path` prints.
pub(super) fn read(inventory: &mut Inventory, reading: &Reading<'_>, path: &Path, brought: &Brought, diags: &mut Diagnostics) {
    let Some((root, source)) = output(reading, path, &["--list"], diags) else { return };
    let NodeKind::Map(groups) = &root.kind else {
        diags.push(wrong_kind(path, "output", "an object of groups", &root));
        return;
    };
    let span = Span::new(source, 0, 0);
    let mut hosts = Vec::new();
    for (name, body) in groups {
        let Some(name) = name.as_str().filter(|name| *name != "_meta") else { continue };
        let group = reading.group_name(&Spanned::new(name.to_owned(), span));
        inventory.group_entry(&group);
        add_group(inventory, reading, &group, body, &Script { path, brought }, &mut hosts, diags);
    }
    match root.get("_meta").and_then(|meta| meta.get("hostvars")) {
        Some(all) => {
            for (name, vars) in entries(all) {
                if hosts.contains(&name.value) {
                    inventory.bring(&name, brought, entries(vars).map(owned).collect());
                }
            }
        }
        None => {
            for host in hosts {
                let Some((vars, _)) = output(reading, path, &["--host", &host], diags) else { return };
                inventory.bring(&Spanned::new(host, span), brought, entries(&vars).map(owned).collect());
            }
        }
    }
}

struct Script<'a> {
    path: &'a Path,
    brought: &'a Brought,
}

fn add_group(
    inventory: &mut Inventory,
    reading: &Reading<'_>,
    group: &Spanned<String>,
    body: &Node,
    script: &Script<'_>,
    hosts: &mut Vec<String>,
    diags: &mut Diagnostics,
) {
    let known = ["hosts", "vars", "children"].iter().any(|key| body.get(key).is_some());
    let members: Vec<(String, Variables)> = match &body.kind {
        NodeKind::Seq(_) => without_vars(names(body, "hosts", &group.value, script, diags)),
        NodeKind::Map(entries) if entries.is_empty() => Vec::new(),
        // An object without any of the three keys is a host with variables: the oldest form of all.
        NodeKind::Map(_) if !known => vec![(group.value.clone(), entries(body).map(owned).collect())],
        NodeKind::Map(_) => {
            add_vars_and_children(inventory, reading, group, body, script, diags);
            body.get("hosts").map(|hosts| without_vars(names(hosts, "hosts", &group.value, script, diags))).unwrap_or_default()
        }
        _ => {
            diags.push(wrong_kind(script.path, &format!("group `{}`", group.value), "an object or a list of hosts", body));
            return;
        }
    };
    for (host, vars) in members {
        inventory.bring(&Spanned::new(host.clone(), group.span), script.brought, vars);
        inventory.put(&host, &group.value);
        hosts.push(host);
    }
}

fn without_vars(names: Vec<String>) -> Vec<(String, Variables)> {
    names.into_iter().map(|name| (name, Variables::new())).collect()
}

fn add_vars_and_children(
    inventory: &mut Inventory,
    reading: &Reading<'_>,
    group: &Spanned<String>,
    body: &Node,
    script: &Script<'_>,
    diags: &mut Diagnostics,
) {
    if let Some(vars) = body.get("vars") {
        inventory.set_group_vars(&group.value, entries(vars).map(owned).collect());
    }
    let children = body.get("children").map(|children| names(children, "children", &group.value, script, diags));
    for child in children.unwrap_or_default() {
        let child = reading.group_name(&Spanned::new(child, group.span));
        inventory.group_entry(&child);
        if let Err(cycle) = inventory.nest(&group.value, &child.value) {
            diags.push(cycle.diagnostic(&group.value, group.span));
        }
    }
}

fn wrong_kind(path: &Path, what: &str, expected: &str, found: &Node) -> Diagnostic {
    let message = format!("{what} of inventory script `{}`: expected {expected}, found {}", path.display(), found.describe());
    Diagnostic::error("inventory-script", message).at(found.span, "")
}

fn names(node: &Node, key: &str, group: &str, script: &Script<'_>, diags: &mut Diagnostics) -> Vec<String> {
    let NodeKind::Seq(items) = &node.kind else {
        if node.kind != NodeKind::Null {
            diags.push(wrong_kind(script.path, &format!("`{key}` of group `{group}`"), "a list", node));
        }
        return Vec::new();
    };
    items.iter().filter_map(Node::as_str).map(str::to_owned).collect()
}

fn entries(node: &Node) -> impl Iterator<Item = (Spanned<String>, &Node)> {
    let entries = if let NodeKind::Map(entries) = &node.kind { entries.as_slice() } else { &[] };
    entries.iter().filter_map(|(name, value)| Some((Spanned::new(name.as_str()?.to_owned(), value.span), value)))
}

fn owned((name, value): (Spanned<String>, &Node)) -> (Spanned<String>, Node) {
    (name, value.clone())
}

/// The JSON that a script prints.
fn output(reading: &Reading<'_>, path: &Path, arguments: &[&str], diags: &mut Diagnostics) -> Option<(Node, SourceId)> {
    let call = format!("{} {}", path.display(), arguments.join(" "));
    let failed = |why: String| Diagnostic::error("inventory-script", format!("inventory script `{call}` {why}"));
    let text = match reading.scripts.run(path, arguments) {
        Ok(text) => text,
        Err(why) => {
            diags.push(failed(format!("failed: {why}")));
            return None;
        }
    };
    let source = reading.loader.sources().add(call.as_str(), text.as_str());
    let span = Span::new(source, 0, 0);
    if text.trim().is_empty() && arguments.contains(&"--host") {
        return Some((Node::new(NodeKind::Map(Vec::new()), span), source));
    }
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) => Some((node(value, span), source)),
        Err(error) => {
            let start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = Span::new(source, start + error.column().saturating_sub(1), start + error.column());
            diags.push(failed("printed no JSON".to_owned()).at(at, error.to_string()));
            None
        }
    }
}

fn node(value: serde_json::Value, span: Span) -> Node {
    use serde_json::Value;
    let kind = match value {
        Value::Null => NodeKind::Null,
        Value::Bool(flag) => NodeKind::Bool(flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => NodeKind::Int(number),
            (None, Some(number)) => NodeKind::Float(number),
            (None, None) => NodeKind::Str(number.to_string()),
        },
        Value::String(text) => NodeKind::Str(text),
        Value::Array(items) => NodeKind::Seq(items.into_iter().map(|item| node(item, span)).collect()),
        // `ansible-inventory --list` writes encrypted and unsafe strings as objects with one key.
        Value::Object(entries) if entries.len() == 1 => match entries.into_iter().next() {
            Some((key, Value::String(sealed))) if key == "__ansible_vault" => NodeKind::Vault(sealed),
            Some((key, value)) if key == "__ansible_unsafe" => NodeKind::Unsafe(Box::new(node(value, span))),
            entry => map(entry, span),
        },
        Value::Object(entries) => map(entries, span),
    };
    Node::new(kind, span)
}

fn map(entries: impl IntoIterator<Item = (String, serde_json::Value)>, span: Span) -> NodeKind {
    NodeKind::Map(entries.into_iter().map(|(key, value)| (Node::new(NodeKind::Str(key), span), node(value, span))).collect())
}
