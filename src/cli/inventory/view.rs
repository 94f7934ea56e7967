//! An inventory as text: the JSON that inventory scripts print, YAML that can be an inventory again, a tree.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::model::inventory::{ALL, Group, Host, Inventory, Origin, VarsDir, VarsFrom};
use crate::report::python_json;
use crate::template::node_value;
use crate::text::emit::{self, Layout, SEALED};
use crate::text::{Diagnostics, Node, NodeKind, Vault};
use crate::wire::{Map, Value};

/// The key under which JSON keeps a string that is never a template.
const UNSAFE: &str = "__ansible_unsafe";

/// What is shown of an inventory, and how.
pub struct View<'a> {
    /// The inventory.
    pub inventory: &'a Inventory,
    /// What lies beside the playbook.
    pub playbook: Option<&'a VarsDir>,
    /// Opens encrypted values where people read them.
    pub vault: &'a Vault,
    /// Variables of `-e`.
    pub extra: Map,
    /// Variables stay with the group they were written for.
    pub export: bool,
    /// The hosts to show; all if `None`.
    pub hosts: Option<HashSet<String>>,
    /// What turned out to be wrong with files of variables.
    pub diags: RefCell<Diagnostics>,
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Encrypted and unsafe strings are marked as such.
    Marked,
    /// Encrypted strings are marked.
    Sealed,
    /// For people: encrypted strings are opened.
    Open,
}

impl View<'_> {
    /// `--list`: what an inventory script prints.
    pub fn json(&self) -> String {
        let mut root = Map::new();
        if let Some(all) = self.inventory.group(ALL) {
            self.json_group(all, &mut root);
        }
        root.retain(|_, group| group.as_map().is_some_and(|group| !group.is_empty()));
        let mut hostvars = Map::new();
        for host in self.inventory.hosts().filter(|host| self.shows(&host.name)) {
            let vars = self.host_vars(host, Form::Marked);
            if !vars.is_empty() {
                hostvars.insert(host.name.clone(), Value::Map(vars));
            }
        }
        let meta = [("hostvars", Value::Map(hostvars)), ("profile", Value::from("inventory_legacy"))];
        root.insert("_meta".to_owned(), Value::Map(meta.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()));
        python_json(&root, Some(4))
    }

    fn json_group(&self, group: &Group, root: &mut Map) {
        let mut shown = Map::new();
        let names = |names: Vec<&String>| Value::List(names.into_iter().map(|name| Value::from(name.as_str())).collect());
        let hosts: Vec<_> = group.hosts.iter().filter(|host| group.name != ALL && self.shows(host)).collect();
        if !hosts.is_empty() {
            shown.insert("hosts".to_owned(), names(hosts));
        }
        if !group.children.is_empty() {
            shown.insert("children".to_owned(), names(group.children.iter().collect()));
        }
        if self.export {
            self.insert_vars(group, Form::Marked, &mut shown);
        }
        root.insert(group.name.clone(), Value::Map(shown));
        for child in group.children.iter().filter_map(|name| self.inventory.group(name)) {
            if !root.contains_key(&child.name) {
                self.json_group(child, root);
            }
        }
    }

    fn insert_vars(&self, group: &Group, form: Form, shown: &mut Map) {
        let vars = self.group_vars(group, form);
        if !vars.is_empty() {
            shown.insert("vars".to_owned(), Value::Map(vars));
        }
    }

    /// `--list --yaml`: an inventory again. Values that several hosts share are written out for each, not as aliases.
    pub fn yaml(&self) -> String {
        let (mut groups, mut hosts) = (HashSet::new(), HashSet::new());
        let mut root = Map::new();
        if let Some(all) = self.inventory.group(ALL) {
            self.yaml_group(all, &mut groups, &mut hosts, &mut root);
        }
        emit::yaml_map(&root, yaml_layout())
    }

    fn yaml_group<'a>(&'a self, group: &'a Group, groups: &mut HashSet<&'a str>, hosts: &mut HashSet<&'a str>, into: &mut Map) {
        let mut shown = Map::new();
        let mut children = Map::new();
        for child in group.children.iter().filter_map(|name| self.inventory.group(name)) {
            if groups.contains(child.name.as_str()) {
                children.insert(child.name.clone(), Value::Map(Map::new()));
            } else {
                self.yaml_group(child, groups, hosts, &mut children);
                groups.insert(&child.name);
            }
        }
        let mut members = Map::new();
        for name in group.hosts.iter().filter(|host| group.name != ALL && self.shows(host)) {
            // Variables stand where the host is named first.
            let vars = if hosts.insert(name) { self.inventory.host(name).map(|host| self.host_vars(host, Form::Sealed)) } else { None };
            members.insert(name.clone(), Value::Map(vars.unwrap_or_default()));
        }
        for (key, entries) in [("children", children), ("hosts", members)] {
            if !entries.is_empty() {
                shown.insert(key.to_owned(), Value::Map(entries));
            }
        }
        if self.export {
            self.insert_vars(group, Form::Sealed, &mut shown);
        }
        if !shown.is_empty() {
            into.insert(group.name.clone(), Value::Map(shown));
        }
    }

    /// `--host`: the variables of one host.
    pub fn host(&self, host: &Host, yaml: bool) -> String {
        let mut vars = self.host_vars(host, Form::Sealed);
        if host.implicit {
            vars.entry("ansible_connection".to_owned()).or_insert(Value::from("local"));
        }
        vars.extend(self.extra.clone());
        if yaml { emit::yaml_map(&vars, yaml_layout()) } else { python_json(&vars, Some(4)) }
    }

    /// `--graph`: the tree below `group`, with its variables if `vars`.
    pub fn graph(&self, group: &Group, vars: bool) -> String {
        let mut lines = Vec::new();
        self.graph_group(group, vars, 0, &mut lines);
        lines.join("\n")
    }

    fn graph_group(&self, group: &Group, vars: bool, depth: usize, lines: &mut Vec<String>) {
        lines.push(branch(&format!("@{}:", group.name), depth));
        for child in group.children.iter().filter_map(|name| self.inventory.group(name)) {
            self.graph_group(child, vars, depth + 1, lines);
        }
        for host in group.hosts.iter().filter(|_| group.name != ALL) {
            lines.push(branch(host, depth + 1));
            if let Some(host) = self.inventory.host(host).filter(|_| vars) {
                graph_vars(&self.host_vars(host, Form::Open), depth + 2, lines);
            }
        }
        if vars {
            graph_vars(&self.group_vars(group, Form::Open), depth + 1, lines);
        }
    }

    fn shows(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
    }

    fn host_vars(&self, host: &Host, form: Form) -> Map {
        let mut layers = self.inventory.vars(host, self.playbook, &mut self.diags.borrow_mut());
        layers.retain(|layer| !self.export || layer.origin >= Origin::Host);
        self.merged(&layers, form)
    }

    fn group_vars(&self, group: &Group, form: Form) -> Map {
        let layers = self.inventory.group_vars(group, self.playbook, &mut self.diags.borrow_mut());
        let mut vars = self.merged(&layers, form);
        if group.priority != 1 {
            vars.insert("ansible_group_priority".to_owned(), Value::Int(group.priority));
        }
        vars
    }

    fn merged(&self, layers: &[VarsFrom], form: Form) -> Map {
        let vars = layers.iter().flat_map(|layer| layer.vars.iter());
        vars.map(|(name, node)| (name.value.clone(), self.value(node, form))).collect()
    }

    fn value(&self, node: &Node, form: Form) -> Value {
        let marked = |key: &str, value: Value| Value::Map(Map::from_iter([(key.to_owned(), value)]));
        match &node.kind {
            NodeKind::Vault(envelope) => match self.vault.open(envelope).map(String::from_utf8) {
                Ok(Ok(plain)) if form == Form::Open => Value::Str(plain),
                _ => marked(SEALED, Value::Str(envelope.clone())),
            },
            NodeKind::Unsafe(inner) if form == Form::Marked => unsafe_text(self.value(inner, form)),
            NodeKind::Unsafe(inner) => self.value(inner, form),
            NodeKind::Seq(items) => Value::List(items.iter().map(|item| self.value(item, form)).collect()),
            NodeKind::Map(entries) => {
                Value::Map(entries.iter().map(|(key, value)| (node_value(key).to_text(), self.value(value, form))).collect())
            }
            _ => node_value(node),
        }
    }
}

/// Marks the texts in `value`: nothing else could be taken for a template.
fn unsafe_text(value: Value) -> Value {
    match value {
        Value::Str(_) => Value::Map([(UNSAFE.to_owned(), value)].into_iter().collect()),
        Value::List(items) => Value::List(items.into_iter().map(unsafe_text).collect()),
        Value::Map(map) if map.contains_key(UNSAFE) => Value::Map(map),
        Value::Map(map) => Value::Map(map.into_iter().map(|(key, value)| (key, unsafe_text(value))).collect()),
        other => other,
    }
}

fn yaml_layout() -> Layout {
    Layout { sealed: true, ..Layout::default() }
}

fn branch(text: &str, depth: usize) -> String {
    if depth == 0 { text.to_owned() } else { format!("{}--{text}", "  |".repeat(depth)) }
}

fn graph_vars(vars: &Map, depth: usize, lines: &mut Vec<String>) {
    let mut sorted: Vec<_> = vars.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    lines.extend(sorted.into_iter().map(|(name, value)| branch(&format!("{{{name} = {}}}", value.to_text()), depth)));
}
