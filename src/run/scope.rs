//! Which variables a task on a host sees: the layers of [`plan::scope`](crate::plan::scope), filled from what the run knows.

use std::sync::Arc;

use super::magic::{Magic, View};
use super::memory::{FactsScope, IncludedScope, SetScope};
use super::{PlayState, Shared};
use crate::plan::scope::{Layer, Layered, Locals};
use crate::plan::{Context, Role, RoleVars, Vars};
use crate::template::{Binding, Scope, Value, scope_value};

impl Shared {
    /// The variables of `host` at a place of a play.
    pub(super) fn layers(self: &Arc<Self>, play: &Arc<PlayState>, host: &str, context: &Arc<Context>) -> Layered {
        self.view(play, host, context, View::Task)
    }

    /// The same as one who looks from elsewhere sees it; an entry of `hostvars` has nothing of the play.
    pub(super) fn view(self: &Arc<Self>, play: &Arc<PlayState>, host: &str, context: &Arc<Context>, view: View) -> Layered {
        let mut layers = Layered::new(self.settings.merge_hashes);
        let memory = self.memory.host(host);
        let vars = |layers: &mut Layered, layer: Layer, vars: &Arc<Vars>| {
            if !vars.is_empty() {
                layers.push(layer, vars.clone());
            }
        };
        layers.push(
            Layer::Magic,
            Arc::new(Magic { shared: self.clone(), play: play.clone(), host: host.to_owned(), context: context.clone(), view }),
        );
        vars(&mut layers, Layer::ExtraVars, &self.settings.extra);
        layers.push(Layer::SetFacts, Arc::new(SetScope(memory.clone())));
        layers.push(Layer::IncludeVars, Arc::new(IncludedScope(memory.clone())));
        layers.push(Layer::Facts, Arc::new(FactsScope { memory, inject: self.settings.inject_facts }));
        for (layer, group) in self.host_vars(play, host).iter() {
            vars(&mut layers, *layer, group);
        }
        if view == View::HostVars {
            return layers;
        }
        for include in context.include_vars.iter().rev() {
            vars(&mut layers, Layer::IncludeParams, include);
        }
        for own in context.vars.iter().rev() {
            vars(&mut layers, Layer::TaskVars, own);
        }
        let around = around(context.role.as_ref());
        for role in roles(around.clone(), play) {
            push_role(&mut layers, &role);
        }
        // Parameters hold inside the role only.
        for role in around {
            layers.push(Layer::RoleParams, Arc::new(RoleScope(role, |role| &role.params)));
        }
        for file in play.vars_files(self, host) {
            vars(&mut layers, Layer::PlayVarsFiles, &file);
        }
        layers.push(Layer::PlayPrompts, play.prompts.clone());
        vars(&mut layers, Layer::PlayVars, &play.plan.vars);
        if layers.get("ansible_ssh_host").is_none() {
            layers.push(Layer::CommandLine, Arc::new(Locals(vec![("ansible_host".to_owned(), host.into())])));
        }
        layers
    }

    /// `hostvars`: every host's variables, templated in that host's own scope.
    pub(super) fn hostvars(self: &Arc<Self>, play: &Arc<PlayState>) -> Value {
        scope_value(Arc::new(HostVars { shared: self.clone(), play: play.clone() }))
    }

    /// An entry of `hostvars`, also of a host that is in no inventory.
    pub(super) fn hostvars_of(self: &Arc<Self>, play: &Arc<PlayState>, host: &str) -> Value {
        scope_value(Arc::new(self.view(play, host, &Arc::new(Context::default()), View::HostVars)))
    }
}

/// The current role, and those around it.
fn around(current: Option<&Arc<Role>>) -> Vec<Arc<Role>> {
    current.into_iter().flat_map(|role| std::iter::once(role).chain(role.parents.iter().rev())).cloned().collect()
}

/// The roles around, then the play's other roles, the last first.
fn roles(mut roles: Vec<Arc<Role>>, play: &PlayState) -> Vec<Arc<Role>> {
    for role in play.exported_roles().iter().rev() {
        if !roles.iter().any(|known| Arc::ptr_eq(known, role)) {
            roles.push(role.clone());
        }
    }
    roles
}

fn push_role(layers: &mut Layered, role: &Arc<Role>) {
    layers.push(Layer::RoleVars, Arc::new(RoleScope(role.clone(), |role| &role.vars)));
    layers.push(Layer::RoleDefaults, Arc::new(RoleScope(role.clone(), |role| &role.defaults)));
    for index in (0..role.dependencies.get().map_or(0, Vec::len)).rev() {
        layers.push(Layer::RoleVars, Arc::new(DependencyScope(role.clone(), index, |found| &found.vars)));
        layers.push(Layer::RoleDefaults, Arc::new(DependencyScope(role.clone(), index, |found| &found.defaults)));
    }
}

#[derive(Debug)]
struct RoleScope(Arc<Role>, fn(&Role) -> &Vars);

impl Scope for RoleScope {
    fn get(&self, name: &str) -> Option<Binding> {
        Vars::get((self.1)(&self.0), name).cloned().map(Binding::Expr)
    }

    fn names(&self) -> Vec<String> {
        (self.1)(&self.0).keys().cloned().collect()
    }
}

/// What a role's dependency defines.
#[derive(Debug)]
struct DependencyScope(Arc<Role>, usize, fn(&RoleVars) -> &Vars);

impl DependencyScope {
    fn vars(&self) -> Option<&Vars> {
        self.0.dependencies.get()?.get(self.1).map(self.2)
    }
}

impl Scope for DependencyScope {
    fn get(&self, name: &str) -> Option<Binding> {
        Vars::get(self.vars()?, name).cloned().map(Binding::Expr)
    }

    fn names(&self) -> Vec<String> {
        self.vars().map(|vars| vars.keys().cloned().collect()).unwrap_or_default()
    }
}

struct HostVars {
    shared: Arc<Shared>,
    play: Arc<PlayState>,
}

impl std::fmt::Debug for HostVars {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("hostvars")
    }
}

impl Scope for HostVars {
    fn get(&self, name: &str) -> Option<Binding> {
        self.shared.inventory().host(name)?;
        Some(Binding::Value(self.shared.hostvars_of(&self.play, name)))
    }

    fn names(&self) -> Vec<String> {
        self.shared.inventory().hosts().filter(|host| !host.implicit).map(|host| host.name.clone()).collect()
    }
}
