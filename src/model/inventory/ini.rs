//! INI inventories: what their sections mean.

use std::collections::HashMap;

use super::load::{Brought, Reading};
use super::{Inventory, Variables, range};
use crate::text::ini::{Section, SectionKind};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, SourceId, Span, Spanned, did_you_mean, ini};

/// Adds what the INI text `source` says.
pub(super) fn read(inventory: &mut Inventory, reading: &Reading<'_>, source: SourceId, brought: &Brought, diags: &mut Diagnostics) {
    let mut sections = ini::parse(reading.loader.sources(), source, diags);
    let mut defined = Vec::new();
    // Groups that are talked about, until a section of their own or a place among somebody's children defines them.
    let mut pending: HashMap<String, (Span, &'static str)> = HashMap::new();
    for section in &mut sections {
        if section.group.value.is_empty() {
            super::UNGROUPED.clone_into(&mut section.group.value);
        } else {
            section.group = reading.group_name(&section.group);
        }
        add_section(inventory, reading, section, brought, &mut pending, diags);
        if section.kind != SectionKind::Vars {
            defined.push(section.group.value.clone());
        }
    }
    let mut undefined: Vec<_> = pending.into_iter().filter(|(group, _)| !known(group, &defined)).collect();
    undefined.sort_by_key(|(_, (span, _))| *span);
    for (group, (span, role)) in undefined {
        let error = Diagnostic::error("undefined-group", format!("group `{group}` is not defined")).at(span, role);
        diags.push(match did_you_mean(&group, defined.iter().map(String::as_str)) {
            Some(meant) => error.help(format!("did you mean `{meant}`?")),
            None => error.help(format!("add a section `[{group}]`, empty if need be")),
        });
    }
}

/// Variables may be given to a group that only this file's own sections define; `all` and `ungrouped` always exist.
fn known(group: &str, defined: &[String]) -> bool {
    [super::ALL, super::UNGROUPED].contains(&group) || defined.iter().any(|known| known == group)
}

fn add_section(
    inventory: &mut Inventory,
    reading: &Reading<'_>,
    section: &Section,
    brought: &Brought,
    pending: &mut HashMap<String, (Span, &'static str)>,
    diags: &mut Diagnostics,
) {
    let group = &section.group;
    inventory.group_entry(group);
    for (name, vars) in &section.hosts {
        match range::expand(name) {
            Ok(expanded) => add_hosts(inventory, &expanded, &group.value, vars, &Spanned::new(brought, name.span)),
            Err(diagnostic) => diags.push(diagnostic),
        }
    }
    for child in &section.children {
        let child = reading.group_name(child);
        inventory.group_entry(&child);
        pending.entry(child.value.clone()).or_insert((child.span, "listed as a child here"));
        if let Err(cycle) = inventory.nest(&group.value, &child.value) {
            diags.push(cycle.diagnostic(&group.value, child.span));
        }
    }
    if section.kind == SectionKind::Vars {
        pending.entry(group.value.clone()).or_insert((group.span, "given variables here"));
        inventory.set_group_vars(&group.value, section.vars.clone());
    }
}

/// Adds the hosts of one name to `group`, all with the same variables.
pub(super) fn add_hosts(inventory: &mut Inventory, hosts: &range::Expanded, group: &str, vars: &Variables, from: &Spanned<&Brought>) {
    for name in &hosts.names {
        let port = hosts.port.map(|port| (Spanned::new("ansible_port".to_owned(), from.span), Node::new(NodeKind::Int(port), from.span)));
        inventory.bring(&Spanned::new(name.clone(), from.span), from.value, port.into_iter().chain(vars.iter().cloned()).collect());
        inventory.put(name, group);
    }
}
