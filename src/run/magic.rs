//! Variables that rappel itself sets: `inventory_hostname`, `groups`, `hostvars` and their like.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{PlayState, Shared};
use crate::plan::{Context, Role};
use crate::template::{Binding, Scope, Value};

/// Magic variables for one host in one place of a play.
pub(super) struct Magic {
    pub(super) shared: Arc<Shared>,
    pub(super) play: Arc<PlayState>,
    pub(super) host: String,
    pub(super) context: Arc<Context>,
    pub(super) view: View,
}

/// Who looks at a host's variables. Each view shows less than the one before it, so that none contains itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// An entry of `hostvars`: nothing that depends on the play or the task.
    HostVars,
    /// The mapping `vars`.
    Vars,
    /// A task.
    Task,
}

impl fmt::Debug for Magic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "magic variables of {}", self.host)
    }
}

/// Names that entries of `hostvars` have too.
const OF_HOSTS: &[&str] = &[
    "inventory_hostname",
    "inventory_hostname_short",
    "inventory_dir",
    "inventory_file",
    "group_names",
    "groups",
    "playbook_dir",
    "ansible_check_mode",
    "ansible_diff_mode",
    "ansible_forks",
    "ansible_verbosity",
    "ansible_version",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_limit",
    "ansible_config_file",
    "ansible_inventory_sources",
    "ansible_playbook_python",
];

/// All names that are set for every task.
pub const NAMES: &[&str] = &[
    "inventory_hostname",
    "inventory_hostname_short",
    "inventory_dir",
    "inventory_file",
    "group_names",
    "groups",
    "hostvars",
    "play_hosts",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_batch",
    "ansible_play_name",
    "ansible_play_role_names",
    "ansible_role_names",
    "ansible_dependent_role_names",
    "ansible_role_name",
    "ansible_parent_role_names",
    "ansible_parent_role_paths",
    "ansible_collection_name",
    "role_name",
    "role_path",
    "role_names",
    "role_uuid",
    "playbook_dir",
    "ansible_search_path",
    "ansible_check_mode",
    "ansible_diff_mode",
    "ansible_forks",
    "ansible_verbosity",
    "ansible_version",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_limit",
    "ansible_config_file",
    "ansible_inventory_sources",
    "ansible_playbook_python",
    "omit",
    "vars",
];

impl Scope for Magic {
    fn get(&self, name: &str) -> Option<Binding> {
        if self.shows(name) { self.value(name).map(Binding::Value) } else { None }
    }

    fn names(&self) -> Vec<String> {
        NAMES.iter().filter(|name| self.is_set(name)).map(|&name| name.to_owned()).collect()
    }
}

impl Magic {
    fn shows(&self, name: &str) -> bool {
        match self.view {
            View::Task => true,
            View::Vars => !matches!(name, "vars" | "omit"),
            View::HostVars => OF_HOSTS.contains(&name),
        }
    }

    fn is_set(&self, name: &str) -> bool {
        if !self.shows(name) {
            return false;
        }
        match name {
            "role_name" | "role_path" | "ansible_role_name" => self.context.role.is_some(),
            "ansible_parent_role_names" | "ansible_parent_role_paths" => self.parents().is_some(),
            "ansible_limit" => self.shared.settings.limit.is_some(),
            _ => true,
        }
    }

    /// The roles around an included or imported one, the nearest first; `None` where there are none to tell of.
    fn parents(&self) -> Option<impl Iterator<Item = &Arc<Role>>> {
        let role = self.context.role.as_ref().filter(|role| role.nested && !role.parents.is_empty())?;
        Some(role.parents.iter().rev())
    }

    fn value(&self, name: &str) -> Option<Value> {
        let settings = &self.shared.settings;
        let role = self.context.role.as_deref();
        Some(match name {
            "inventory_hostname" => self.host.as_str().into(),
            "inventory_hostname_short" => self.host.split('.').next().unwrap_or_default().into(),
            "inventory_dir" => self.source().and_then(|source| Some(text(source.parent()?))).unwrap_or_default(),
            "inventory_file" => self.source().map(|source| text(&source)).unwrap_or_default(),
            "group_names" => self.group_names(),
            "groups" => self.shared.groups(),
            "hostvars" => self.shared.hostvars(&self.play),
            "play_hosts" | "ansible_play_hosts" => list(self.play.alive()),
            "ansible_play_hosts_all" => list(self.play.hosts.clone()),
            "ansible_play_batch" => list(self.play.alive_in_batch()),
            "ansible_play_name" => self.play.name.as_str().into(),
            "ansible_play_role_names" | "role_names" => self.role_names(|role| role.parents.is_empty()),
            "ansible_role_names" => self.role_names(|_| true),
            "ansible_dependent_role_names" => self.role_names(|role| !role.parents.is_empty()),
            "ansible_role_name" => full_name(role?).into(),
            "role_name" => role?.name.as_str().into(),
            "role_path" => text(&role?.path),
            "role_uuid" => role?.identity.as_str().into(),
            "ansible_parent_role_names" => list(self.parents()?.map(|parent| parent.name.clone())),
            "ansible_parent_role_paths" => list(self.parents()?.map(|parent| parent.path.display().to_string())),
            "ansible_collection_name" => role?.collection.clone()?.into(),
            "playbook_dir" => text(&self.play.plan.dir),
            "ansible_search_path" => list(search_path(&self.play, &self.context).into_iter().map(|path| path.display().to_string())),
            "ansible_check_mode" => settings.check.into(),
            "ansible_diff_mode" => settings.diff.into(),
            "ansible_forks" => settings.forks.into(),
            "ansible_verbosity" => u64::from(settings.verbosity).into(),
            "ansible_version" => version(),
            "ansible_run_tags" if settings.selection.only.is_empty() => list(["all".to_owned()]),
            "ansible_run_tags" => list(settings.selection.only.clone()),
            "ansible_skip_tags" => list(settings.selection.skip.clone()),
            "ansible_limit" => settings.limit.clone()?.into(),
            "ansible_config_file" => settings.config_file.as_deref().map_or_else(|| Value::None, text),
            "ansible_inventory_sources" => list(settings.inventory_sources.clone()),
            "ansible_playbook_python" => self.shared.python().into(),
            "omit" => crate::template::omit(),
            "vars" => crate::template::scope_value(Arc::new(self.shared.view(&self.play, &self.host, &self.context, View::Vars))),
            _ => return None,
        })
    }

    /// The names of those roles of the play that `wanted` takes, each once.
    fn role_names(&self, wanted: impl Fn(&Role) -> bool) -> Value {
        let names: indexmap::IndexSet<_> = self.play.plan.roles.iter().filter(|role| wanted(role)).map(|role| role.name.clone()).collect();
        list(names)
    }

    fn source(&self) -> Option<std::path::PathBuf> {
        self.shared.inventory().host(&self.host)?.source.clone()
    }

    fn group_names(&self) -> Value {
        let inventory = self.shared.inventory();
        let Some(host) = inventory.host(&self.host) else { return list([]) };
        list(inventory.group_names(host).into_iter().map(str::to_owned))
    }
}

/// Where relative files of a task are looked for: the role and those around it, the task's own file, the playbook.
pub(super) fn search_path(play: &PlayState, context: &Context) -> Vec<std::path::PathBuf> {
    let mut paths = Vec::new();
    if let Some(role) = &context.role {
        paths.push(role.path.clone());
        paths.extend(role.parents.iter().rev().map(|parent| parent.path.clone()));
    }
    paths.push(context.dir.clone());
    paths.push(play.plan.dir.clone());
    paths.dedup();
    paths
}

fn full_name(role: &Role) -> String {
    match &role.collection {
        Some(collection) if !role.name.starts_with(collection.as_str()) => format!("{collection}.{}", role.name),
        _ => role.name.clone(),
    }
}

fn text(path: &Path) -> Value {
    Value::from(path.display().to_string())
}

pub(super) fn list(items: impl IntoIterator<Item = String>) -> Value {
    Value::list(items.into_iter().map(Value::from))
}

/// The version of Ansible whose behaviour this is.
fn version() -> Value {
    let entries = [
        ("full", Value::from("2.19.14")),
        ("major", 2.into()),
        ("minor", 19.into()),
        ("revision", 14.into()),
        ("string", "2.19.14".into()),
    ];
    Value::map(entries)
}
