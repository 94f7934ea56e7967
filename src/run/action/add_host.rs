//! Adds a host to the inventory of this run.
//!
//! ```yaml
//! - add_host: {name: "{{ created.ip }}", groups: [fresh], role: web}
//! ```

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct AddHost {
        /// Its name; `name:port` sets the port too.
        name | hostname | host: String,
        /// The groups it joins.
        groups | group | groupname: Option<Vec<String>>,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: AddHost = call.decode()?;
    let mut vars = call.params.clone();
    vars.retain(|name, _| !["name", "groups"].contains(&name.as_str()));
    let (name, port) = split_port(&params.name);
    if let Some(port) = port {
        vars.entry("ansible_ssh_port".to_owned()).or_insert(port.into());
    }
    let groups = params.groups.unwrap_or_default();
    let mut added = Map::new();
    added.insert("host_name".to_owned(), name.as_str().into());
    added.insert("groups".to_owned(), groups.clone().into());
    added.insert("host_vars".to_owned(), vars.clone().into());
    let shared = &call.item.task.shared;
    let known = shared.inventory();
    let has = |host: &crate::model::Host, name: &str, value: &Value| {
        host.vars.iter().any(|(known, written)| known.value == name && crate::template::node_value(written) == *value)
    };
    let news = known.host(&name).is_none_or(|host| vars.iter().any(|(name, value)| !has(host, name, value)));
    let changed = news || groups.iter().any(|group| !known.members(group).contains(name.as_str()));
    let outcome = Outcome { changed, ..Outcome::default() }.with("add_host", added);
    // At once: the next item of a loop sees it.
    let task = call.item.task;
    task.shared.apply(&task.host, Effect::AddHost { name, groups, vars }, &task.play).await;
    Ok(outcome.into())
}

fn split_port(name: &str) -> (String, Option<i64>) {
    match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match port.parse() {
            Ok(port) => (host.to_owned(), Some(port)),
            Err(_) => (name.to_owned(), None),
        },
        _ => (name.to_owned(), None),
    }
}
