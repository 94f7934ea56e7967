//! Environments that share hosts: their deployments must not run at the same time, so they must share the lock.

use std::collections::HashMap;

use super::options::{HostOptions, VariableOptions};
use super::prepare::Prepared;
use crate::deploy::config::{Config, Environment};
use crate::model::{Host, Pattern};
use crate::text::{Diagnostic, Diagnostics, Span, Spanned};

/// Refuses environments that share hosts but not the lock. One whose inventory cannot be read has no hosts to share: whoever
/// deploys to it is told.
pub(super) fn check(config: &Config) -> Result<Vec<Diagnostic>, super::Stopped> {
    let mut seen: HashMap<String, (&str, &Environment)> = HashMap::new();
    let mut found: Vec<Diagnostic> = Vec::new();
    let places = config.environments.values().map(place).collect::<std::collections::HashSet<_>>();
    if places.len() < 2 {
        return Ok(found);
    }
    let prepared = Prepared::new(&VariableOptions::default())?;
    for (name, environment) in &config.environments {
        for (host, address) in addresses(&prepared, environment) {
            let (other, first) = *seen.entry(address).or_insert((name, environment));
            if place(first) != place(environment) && !found.iter().any(|found| found.message.contains(&format!("`{other}` and `{name}`"))) {
                let message =
                    format!("`{other}` and `{name}` share the host `{host}`, but not the lock: they could deploy at the same time");
                let help = "give both the same `coordinator` and `coordinator_directory`";
                found.push(Diagnostic::error("shared-hosts", message).help(help));
            }
        }
    }
    Ok(found)
}

fn place(environment: &Environment) -> (Option<&str>, &std::path::Path) {
    (environment.coordinator.as_deref(), &environment.coordinator_directory)
}

/// The hosts that are deployed to, each with where it is reached.
fn addresses(prepared: &Prepared, environment: &Environment) -> Vec<(String, String)> {
    let mut prepared = prepared.again();
    let source = HostOptions { inventory: vec![environment.inventory.display().to_string()], ..HostOptions::default() };
    let inventory = prepared.inventory(&source);
    let pattern = Pattern::parse(&[Spanned::new(environment.hosts.clone(), Span::default())]);
    let hosts = inventory.select(&pattern, None, &mut Diagnostics::default());
    let find = |host: &Host, name: &str| host.vars.iter().find(|(key, _)| key.value == name).map(|(_, node)| prepared.text(node.span));
    hosts
        .into_iter()
        .map(|host| {
            let address = find(host, "ansible_host").unwrap_or_else(|| host.name.clone());
            let port = find(host, "ansible_port").unwrap_or_default();
            (host.name.clone(), format!("{address}:{port}"))
        })
        .collect()
}
