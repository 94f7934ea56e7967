//! YAML and JSON inventories: groups with `hosts`, `children` and `vars`.

use super::load::{Brought, Reading};
use super::{Inventory, Variables, ini, range};
use crate::model::reader::scalar_text;
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Severity, Span, Spanned, did_you_mean};

const KEYS: [&str; 3] = ["vars", "children", "hosts"];

/// Adds what the mapping `root` says: groups by name.
pub(super) fn read(inventory: &mut Inventory, reading: &Reading<'_>, root: &Node, brought: &Brought, diags: &mut Diagnostics) {
    let NodeKind::Map(groups) = &root.kind else {
        diags.push(wrong_kind("an inventory", "a mapping of groups", root));
        return;
    };
    let mut reader = Reader { inventory, reading, brought, diags };
    for (name, body) in groups {
        match body.kind {
            NodeKind::Map(_) | NodeKind::Null => drop(reader.group(name, body)),
            // Ansible skips it: other programs keep things of their own in such files.
            _ => reader.diags.push(Diagnostic { severity: Severity::Warning, ..not_a_group(name, body) }),
        }
    }
}

fn not_a_group(name: &Node, body: &Node) -> Diagnostic {
    let what = format!("group `{}`", name.as_str().unwrap_or_default());
    wrong_kind(&what, "a mapping with `hosts`, `children` or `vars`", body)
}

fn wrong_kind(what: &str, expected: &str, found: &Node) -> Diagnostic {
    Diagnostic::error("inventory-type", format!("expected {expected} for {what}, found {}", found.describe())).at(found.span, "")
}

struct Reader<'a, 'r> {
    inventory: &'a mut Inventory,
    reading: &'a Reading<'r>,
    brought: &'a Brought,
    diags: &'a mut Diagnostics,
}

impl Reader<'_, '_> {
    /// Reads one group and returns its name.
    fn group(&mut self, name: &Node, body: &Node) -> Option<Spanned<String>> {
        let Some(text) = name.as_str() else {
            self.diags.push(wrong_kind("the name of a group", "a string", name).help("put it in quotation marks"));
            return None;
        };
        let group = self.reading.group_name(&Spanned::new(text.to_owned(), name.span));
        let entries = match &body.kind {
            NodeKind::Map(entries) => entries.as_slice(),
            NodeKind::Null => &[],
            _ => {
                self.diags.push(not_a_group(name, body));
                return None;
            }
        };
        self.inventory.group_entry(&group);
        for (key, value) in entries {
            self.section(&group, key, value);
        }
        Some(group)
    }

    fn section(&mut self, group: &Spanned<String>, key: &Node, value: &Node) {
        let word = key.as_str().unwrap_or_default();
        if !KEYS.contains(&word) {
            let warning = Diagnostic::warning("unknown-key", format!("unknown key `{word}` in group `{}`", group.value));
            let warning = warning.at(key.span, "expected `hosts`, `children` or `vars`");
            self.diags.push(match did_you_mean(word, KEYS) {
                Some(meant) => warning.help(format!("did you mean `{meant}`?")),
                None => warning.help("variables of a group go below `vars`"),
            });
            return;
        }
        let null = Node::new(NodeKind::Null, value.span);
        let entries: Vec<(&Node, &Node)> = match &value.kind {
            NodeKind::Map(entries) => entries.iter().map(|(key, value)| (key, value)).collect(),
            NodeKind::Str(_) => vec![(value, &null)],
            NodeKind::Null => Vec::new(),
            _ => {
                let help = format!("write each as a key with a colon: `{word}: {{name: {{}}}}`");
                self.diags.push(wrong_kind(&format!("`{word}` of group `{}`", group.value), "a mapping", value).help(help));
                return;
            }
        };
        match word {
            "vars" => {
                let vars = entries.into_iter().filter_map(|(name, value)| variable(name, value, self.diags)).collect();
                self.inventory.set_group_vars(&group.value, vars);
            }
            "children" => {
                for (name, body) in entries {
                    self.child(group, name, body);
                }
            }
            _ => {
                for (name, body) in entries {
                    self.host(group, name, body);
                }
            }
        }
    }

    fn child(&mut self, group: &Spanned<String>, name: &Node, body: &Node) {
        if let Some(child) = self.group(name, body)
            && let Err(cycle) = self.inventory.nest(&group.value, &child.value)
        {
            self.diags.push(cycle.diagnostic(&group.value, name.span));
        }
    }

    fn host(&mut self, group: &Spanned<String>, name: &Node, body: &Node) {
        let Some(text) = name.as_str() else {
            let message = format!("Host pattern {} must be a string", scalar_text(name).unwrap_or_else(|| name.describe().to_owned()));
            self.diags.push(Diagnostic::error("inventory-type", message).at(name.span, "").help("put it in quotation marks"));
            return;
        };
        let vars = match &body.kind {
            NodeKind::Map(_) => variables(body, self.diags),
            NodeKind::Null => Vec::new(),
            _ => {
                self.diags.push(wrong_kind(&format!("the variables of host `{text}`"), "a mapping", body));
                return;
            }
        };
        match range::expand(&Spanned::new(text.to_owned(), name.span)) {
            Ok(hosts) => ini::add_hosts(self.inventory, &hosts, &group.value, &vars, &Spanned::new(self.brought, name.span)),
            Err(diagnostic) => self.diags.push(diagnostic),
        }
    }
}

/// The entries of a mapping as variables.
pub(super) fn variables(node: &Node, diags: &mut Diagnostics) -> Variables {
    match &node.kind {
        NodeKind::Map(entries) => entries.iter().filter_map(|(name, value)| variable(name, value, diags)).collect(),
        _ => Vec::new(),
    }
}

/// One variable. A name that is no string is one that no template could ever mention.
fn variable(name: &Node, value: &Node, diags: &mut Diagnostics) -> Option<(Spanned<String>, Node)> {
    let Some(text) = name.as_str() else {
        diags.push(wrong_kind("the name of a variable", "a string", name).help("put it in quotation marks"));
        return None;
    };
    Some((Spanned::new(text.to_owned(), name.span), value.clone()))
}

impl super::Cycle {
    /// What to say where `parent` names its child.
    pub(super) fn diagnostic(&self, parent: &str, span: Span) -> Diagnostic {
        let child = self.path.first().map_or("", String::as_str);
        let message = if child == parent {
            format!("group `{child}` is its own child")
        } else {
            format!("group `{child}` is inside `{parent}`, and `{parent}` inside `{child}`")
        };
        let way = self.path.iter().map(|group| format!("`{group}`")).collect::<Vec<_>>().join(" > ");
        let error = Diagnostic::error("group-cycle", message).at(span, format!("closes the circle: {way}"));
        error.help("take one of them out of the other's children")
    }
}
