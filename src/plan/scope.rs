//! Where variables come from: Ansible's levels of precedence, in one table.

use std::sync::Arc;

use indexmap::IndexSet;

use super::{Context, PlayScope, Vars};
use crate::template::{Binding, Expr, Key, Map, Scope, Value};
use crate::text::Span;

/// A level of precedence, lowest first. The numbers in parentheses are those of Ansible's documentation ("Understanding
/// variable precedence"); level 1, command-line values such as `-u`, is no variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Values of the configuration that show as variables, such as `ansible_connection` from `-c` (1).
    CommandLine,
    /// `defaults/` of roles (2).
    RoleDefaults,
    /// Group variables written in the inventory file (3).
    InventoryGroups,
    /// `group_vars/all` beside the inventory (4).
    InventoryGroupVarsAll,
    /// `group_vars/all` beside the playbook (5).
    PlaybookGroupVarsAll,
    /// `group_vars/*` beside the inventory (6).
    InventoryGroupVars,
    /// `group_vars/*` beside the playbook (7).
    PlaybookGroupVars,
    /// Host variables written in the inventory file (8).
    InventoryHost,
    /// `host_vars/*` beside the inventory (9).
    InventoryHostVars,
    /// `host_vars/*` beside the playbook (10).
    PlaybookHostVars,
    /// Facts, and `set_fact` with `cacheable` (11).
    Facts,
    /// `vars:` of the play (12).
    PlayVars,
    /// `vars_prompt:` (13).
    PlayPrompts,
    /// `vars_files:` (14).
    PlayVarsFiles,
    /// `vars/` of roles (15).
    RoleVars,
    /// `vars:` of blocks, then of the task (16, 17).
    TaskVars,
    /// `include_vars` (18).
    IncludeVars,
    /// `set_fact` and `register` (19).
    SetFacts,
    /// Parameters of a role (20).
    RoleParams,
    /// `vars:` of includes and imports (21).
    IncludeParams,
    /// `-e` (22).
    ExtraVars,
    /// `inventory_hostname`, `groups` and their like: they cannot be set.
    Magic,
    /// `item`, `ansible_loop`: what a loop sets for the task it repeats.
    Loop,
}

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Binding> {
        Vars::get(self, name).map(|expr| Binding::Expr(expr.clone()))
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// A few values by name: loop variables, a task's own result.
#[derive(Clone, Debug, Default)]
pub struct Locals(pub Vec<(String, Value)>);

impl Scope for Locals {
    fn get(&self, name: &str) -> Option<Binding> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, value)| Binding::Value(value.clone()))
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Layers of variables, looked up from the highest.
#[derive(Clone, Debug, Default)]
pub struct Layered {
    /// Highest first; within a layer, the first pushed wins.
    layers: Vec<(Layer, Arc<dyn Scope>)>,
    /// Mappings of the same name go into each other (`hash_behaviour = merge`).
    merging: bool,
}

/// The mapping `above` put into the mapping `below`, to the bottom; anything else replaces what is below it.
pub fn merge(below: &Expr, above: &Expr) -> Expr {
    let (Some(mut entries), Some(more)) = (entries(below), entries(above)) else { return above.clone() };
    let key = |expr: &Expr| expr.literal().map(|key| Key(key.clone()));
    for (name, value) in more {
        match entries.iter_mut().find(|(known, _)| key(known).is_some() && key(known) == key(&name)) {
            Some((_, before)) => *before = merge(before, &value),
            None => entries.push((name, value)),
        }
    }
    let literal = |(key, value): &(Expr, Expr)| Some((Key(key.literal()?.clone()), value.literal()?.clone()));
    match entries.iter().map(literal).collect() {
        Some(entries) => Expr::Literal(Value::Map(Map::fixed(entries)), above.span()),
        None => Expr::Map(entries.into(), above.span()),
    }
}

/// The entries of a mapping.
fn entries(expr: &Expr) -> Option<Vec<(Expr, Expr)>> {
    let literal = |value: &Value| Expr::Literal(value.clone(), expr.span());
    match expr {
        Expr::Map(entries, _) => Some(entries.to_vec()),
        Expr::Literal(value, _) => Some(value.as_entries()?.iter().map(|(key, value)| (literal(&key.0), literal(value))).collect()),
        _ => None,
    }
}

fn as_expr(binding: Binding) -> Arc<Expr> {
    match binding {
        Binding::Value(value) => Arc::new(Expr::Literal(value, Span::default())),
        Binding::Expr(expr) => expr,
    }
}

impl Layered {
    /// None yet.
    pub fn new(merging: bool) -> Self {
        Self { layers: Vec::new(), merging }
    }

    /// Adds variables at their level.
    pub fn push(&mut self, layer: Layer, scope: Arc<dyn Scope>) {
        let place = self.layers.iter().position(|(other, _)| *other < layer).unwrap_or(self.layers.len());
        self.layers.insert(place, (layer, scope));
    }

    /// The same, with `locals` on top.
    #[must_use]
    pub fn with(&self, locals: Locals) -> Self {
        let mut layers = Vec::with_capacity(self.layers.len() + 1);
        layers.push((Layer::Loop, Arc::new(locals) as Arc<dyn Scope>));
        layers.extend(self.layers.iter().cloned());
        Self { layers, merging: self.merging }
    }

    /// The level that `name` comes from.
    pub fn origin(&self, name: &str) -> Option<Layer> {
        self.layers.iter().find(|(_, scope)| scope.get(name).is_some()).map(|(layer, _)| *layer)
    }
}

impl Scope for Layered {
    fn get(&self, name: &str) -> Option<Binding> {
        let mut found = self.layers.iter().filter_map(|(_, scope)| scope.get(name));
        let first = found.next()?;
        if !self.merging {
            return Some(first);
        }
        let mut expr = as_expr(first);
        if entries(&expr).is_none() {
            return Some(Binding::Expr(expr));
        }
        for below in found {
            expr = Arc::new(merge(&as_expr(below), &expr));
        }
        Some(Binding::Expr(expr))
    }

    fn names(&self) -> Vec<String> {
        // As in Ansible: the lowest level first, each name where it was first met.
        let names: IndexSet<_> = self.layers.iter().rev().flat_map(|(_, scope)| scope.names()).collect();
        names.into_iter().collect()
    }
}

/// What is known before there are hosts: enough for the names of imported files.
#[derive(Clone, Debug, Default)]
pub(super) struct StaticScope {
    pub(super) extra: Arc<Vars>,
    pub(super) play: Arc<PlayScope>,
    pub(super) context: Arc<Context>,
}

impl Scope for StaticScope {
    fn get(&self, name: &str) -> Option<Binding> {
        let magic = match name {
            "playbook_dir" => Some(self.play.dir.display().to_string()),
            "role_path" => self.context.role.as_ref().map(|role| role.path.display().to_string()),
            "role_name" | "ansible_role_name" => self.context.role.as_ref().map(|role| role.name.clone()),
            _ => None,
        };
        if let Some(text) = magic {
            return Some(Binding::Value(Value::from(text)));
        }
        let role = self.context.role.as_deref();
        let find = |vars: &Vars| Vars::get(vars, name).cloned();
        find(&self.extra)
            .or_else(|| self.context.include_vars.iter().rev().find_map(|vars| find(vars)))
            .or_else(|| role.and_then(|role| find(&role.params)))
            .or_else(|| self.context.vars.iter().rev().find_map(|vars| find(vars)))
            .or_else(|| role.and_then(|role| find(&role.vars)))
            .or_else(|| find(&self.play.vars))
            .or_else(|| role.and_then(|role| find(&role.defaults)))
            .map(Binding::Expr)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.extra.keys().chain(self.play.vars.keys()).cloned().collect();
        names.extend(self.context.vars.iter().chain(&self.context.include_vars).flat_map(|vars| vars.keys().cloned()));
        names
    }
}
