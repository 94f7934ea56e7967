//! The inventory plugin `constructed`: variables and groups computed from what sources before it said. As in Ansible, the names of its
//! groups have no odd characters, whatever the configuration says about those that people write.

use std::sync::Arc;

use crate::model::inventory::{Inventory, Origin, Plugins, sanitized};
use crate::plan::Vars;
use crate::template::{Expr, Scope, Templar, to_wire};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Span, Spanned};
use crate::wire::Value;

/// Runs the plugin.
pub(in crate::cli) struct Constructed<'a> {
    pub(in crate::cli) templar: &'a Templar,
    /// `-e`, for `use_extra_vars`.
    pub(in crate::cli) extra: &'a Vars,
}

impl Plugins for Constructed<'_> {
    fn apply(&self, name: &str, root: &Node, inventory: &mut Inventory, diags: &mut Diagnostics) -> Option<()> {
        if !matches!(name.strip_prefix("ansible.builtin.").unwrap_or(name), "constructed") {
            return None;
        }
        let flag = |key: &str, default: bool| root.get(key).and_then(|node| truth(&value(node))).unwrap_or(default);
        let rules = Rules {
            plugin: self,
            strict: flag("strict", false),
            leading_separator: flag("leading_separator", true),
            vars_plugins: flag("use_vars_plugins", false),
            extra_vars: flag(
                "use_extra_vars",
                std::env::var_os("ANSIBLE_INVENTORY_USE_EXTRA_VARS").is_some_and(|set| set == "1" || set == "True"),
            ),
        };
        let hosts: Vec<String> = inventory.hosts().map(|host| host.name.clone()).collect();
        for host in hosts {
            rules.compose(&host, root.get("compose"), inventory, diags);
            rules.groups(&host, root.get("groups"), inventory, diags);
            rules.keyed(&host, root.get("keyed_groups"), inventory, diags);
        }
        Some(())
    }
}

struct Rules<'a> {
    plugin: &'a Constructed<'a>,
    strict: bool,
    leading_separator: bool,
    vars_plugins: bool,
    extra_vars: bool,
}

impl Rules<'_> {
    /// What is known about a host at this moment.
    fn scope(&self, host: &str, inventory: &Inventory, diags: &mut Diagnostics) -> Arc<dyn Scope> {
        let mut vars = Vars::new();
        let Some(host) = inventory.host(host) else { return Arc::new(vars) };
        for from in inventory.vars(host, None, diags) {
            if self.vars_plugins || matches!(from.origin, Origin::Group | Origin::Host) {
                for (name, node) in from.vars.iter() {
                    vars.insert(name.value.clone(), Arc::new(self.plugin.templar.compile(node, &mut Diagnostics::default())));
                }
            }
        }
        let mut magic = |name: &str, value: Value| drop(vars.insert(name.to_owned(), Arc::new(Expr::value(&value, Span::default()))));
        magic("inventory_hostname", host.name.as_str().into());
        magic("inventory_hostname_short", host.name.split('.').next().unwrap_or_default().into());
        magic("group_names", inventory.group_names(host).into());
        if self.extra_vars {
            vars.extend(self.plugin.extra.iter().map(|(name, expr)| (name.clone(), expr.clone())));
        }
        Arc::new(vars)
    }

    /// `compose`: variables by name.
    fn compose(&self, host: &str, rules: Option<&Node>, inventory: &mut Inventory, diags: &mut Diagnostics) {
        for (name, node) in entries(rules) {
            let scope = self.scope(host, inventory, diags);
            if let Some(value) = self.evaluate(node, &scope, &format!("could not set `{name}` for host `{host}`"), diags) {
                let node = crate::template::value_node(&value, node.span);
                let vars = [(Spanned::new(name.to_owned(), node.span), node)].into_iter().collect();
                inventory.add_host(host, &[], vars);
            }
        }
    }

    /// `groups`: groups by name, for hosts for which a condition holds.
    fn groups(&self, host: &str, rules: Option<&Node>, inventory: &mut Inventory, diags: &mut Diagnostics) {
        for (name, node) in entries(rules) {
            let scope = self.scope(host, inventory, diags);
            let held = self.evaluate(node, &scope, &format!("could not add host `{host}` to group `{name}`"), diags);
            if held.is_some_and(|value| truth(&value).unwrap_or_else(|| !value.is_null() && !value.to_text().is_empty())) {
                inventory.add_to_group(host, &sanitized(name));
            }
        }
    }

    /// `keyed_groups`: groups named by a variable's value.
    fn keyed(&self, host: &str, rules: Option<&Node>, inventory: &mut Inventory, diags: &mut Diagnostics) {
        let Some(NodeKind::Seq(rules)) = rules.map(|node| &node.kind) else { return };
        for rule in rules {
            let scope = self.scope(host, inventory, diags);
            let Some(key) = rule.get("key") else {
                diags.push(Diagnostic::error("missing-key", "an entry of `keyed_groups` needs a `key`").at(rule.span, ""));
                continue;
            };
            let Some(found) = self.evaluate(key, &scope, &format!("could not make a group from `key` for host `{host}`"), diags) else {
                continue;
            };
            let text = |name: &str| {
                let expr = self.plugin.templar.compile(rule.get(name)?, &mut Diagnostics::default());
                self.plugin.templar.render(&expr, &scope).ok()
            };
            let (prefix, separator) = (text("prefix").unwrap_or_default(), text("separator").unwrap_or_else(|| "_".to_owned()));
            let fallback = text("default_value");
            let trailing = rule.get("trailing_separator").and_then(|node| truth(&value(node))).unwrap_or(true);
            let parent = text("parent_group").map(|name| sanitized(&name));
            for name in names(&found, &separator, fallback.as_deref(), trailing) {
                let bare = prefix.is_empty() && !self.leading_separator;
                let name = sanitized(&if bare { name } else { format!("{prefix}{separator}{name}") });
                inventory.add_to_group(host, &name);
                if let Some(parent) = &parent
                    && inventory.add_child(parent, &name).is_err()
                {
                    diags.push(Diagnostic::error("group-cycle", format!("group `{name}` cannot be inside `{parent}`")).at(rule.span, ""));
                }
            }
        }
    }

    /// A bare expression. What it cannot be evaluated for is left out, unless the rules are strict.
    fn evaluate(&self, node: &Node, scope: &Arc<dyn Scope>, what: &str, diags: &mut Diagnostics) -> Option<Value> {
        let NodeKind::Str(text) = &node.kind else { return Some(value(node)) };
        let templar = self.plugin.templar;
        match templar.evaluate(&templar.expression(text, node.span), scope) {
            Ok(value) => Some(to_wire(&value)),
            Err(refused) if self.strict => {
                diags.push(Diagnostic { message: format!("{what}: {}", refused.message), ..refused });
                None
            }
            Err(_) => None,
        }
    }
}

/// The names that a key's value gives.
fn names(found: &Value, separator: &str, fallback: Option<&str>, trailing: bool) -> Vec<String> {
    let or_default = |text: String| if text.is_empty() { fallback.map(str::to_owned) } else { Some(text) };
    match found {
        Value::Null => Vec::new(),
        Value::List(items) => items.iter().filter_map(|item| or_default(item.to_text())).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| match or_default(value.to_text()) {
                Some(value) => format!("{key}{separator}{value}"),
                None if trailing => format!("{key}{separator}"),
                None => key.clone(),
            })
            .collect(),
        scalar => or_default(scalar.to_text()).into_iter().collect(),
    }
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match node.map(|node| &node.kind) {
        Some(NodeKind::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().filter_map(|(name, node)| Some((name.as_str()?, node)))
}

fn value(node: &Node) -> Value {
    crate::template::node_value(node)
}

fn truth(value: &Value) -> Option<bool> {
    value.to_bool()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_name_groups() {
        let map = |value: &str| serde_json::from_str::<Value>(value).unwrap();
        for (found, fallback, trailing, expected) in [
            ("\"a\"", None, true, vec!["a"]),
            ("[\"a\", \"\"]", None, true, vec!["a"]),
            ("[\"a\", \"\"]", Some("d"), true, vec!["a", "d"]),
            ("{\"k\": \"v\", \"e\": \"\"}", None, true, vec!["k_v", "e_"]),
            ("{\"k\": \"v\", \"e\": \"\"}", None, false, vec!["k_v", "e"]),
            ("{\"e\": \"\"}", Some("d"), true, vec!["e_d"]),
            ("\"\"", None, true, vec![]),
            ("null", Some("d"), true, vec![]),
        ] {
            assert_eq!(names(&map(found), "_", fallback, trailing), expected, "{found}");
        }
    }
}
