//! Installs or removes packages with whatever the host has for that.
//!
//! ```yaml
//! - package: {name: [git, curl], state: present}
//! ```
//!
//! What `module_defaults` say of the package manager's own module holds too. All other parameters are the package manager's own: `apt`, `dnf`, `zypper`, `pacman`, `apk`.

use super::prelude::*;
use crate::module;
use crate::template::Binding;

pub(super) const REVERSIBLE: Reversible = Reversible::BestEffort;

params! {
    pub struct Package {
        /// The package manager, when the host cannot be trusted to know; also `ansible_package_use`.
        r#use: String = "auto",
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Package = call.decode()?;
    let manager = match params.r#use.as_str() {
        "auto" => manager(&call).await?,
        given => given.to_owned(),
    };
    let unknown = || Failure::new(format!("Could not find a matching action for the \"{manager}\" package manager."));
    let entry = module::find(&manager).filter(|entry| entry.spec.find("name").is_some()).ok_or_else(unknown)?;
    let mut given = call.item.defaults_of(entry.name)?;
    for (name, value) in call.params.iter().filter(|(name, _)| *name != "use") {
        let param = entry.spec.find(name).ok_or_else(|| Failure::new(format!("`{}` has no parameter `{name}`", entry.name)))?;
        given.insert(param.name.to_owned(), value.clone());
    }
    call.module(entry.name, given).await.map(Answer::from)
}

/// What the host installs packages with: a variable says it, or a fact, or the host itself.
async fn manager(call: &ActionCall<'_>) -> Result<String, Trouble> {
    for name in ["ansible_package_use", "ansible_facts", "ansible_pkg_mgr"] {
        let value = match call.scope().get(name) {
            None => continue,
            Some(Binding::Value(value)) => to_wire(&value),
            Some(Binding::Expr(expr)) => to_wire(&call.templar().evaluate(&expr, call.scope())?),
        };
        // Facts of the play's host say nothing of the one that the task is delegated to.
        let delegated = call.delegate.is_some() && name != "ansible_package_use";
        let found = if name == "ansible_facts" { value.get("pkg_mgr").cloned() } else { Some(value) };
        if let Some(found) = found.as_ref().and_then(Value::as_str).filter(|found| !delegated && !found.is_empty() && *found != "auto") {
            return Ok(found.to_owned());
        }
    }
    let subsets = Value::from(vec!["!all", "!min", "pkg_mgr"]);
    let facts = call.module("setup", Map::from_iter([("gather_subset".to_owned(), subsets)])).await?;
    let facts = facts.data.get("ansible_facts").cloned().unwrap_or_default();
    let found = ["ansible_pkg_mgr", "pkg_mgr"].iter().find_map(|name| facts.get(name)).map(Value::to_text);
    Ok(found.unwrap_or_else(|| "unknown".to_owned()))
}
