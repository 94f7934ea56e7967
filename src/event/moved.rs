//! Two plans of the same playbooks: what has moved between them.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::changes::{Changes, Group};

/// How a step changes each host, or each item on it.
type Hosts<'a> = BTreeMap<(&'a str, Option<&'a str>), &'a Group>;

/// The steps by file, line and name: folders differ from one checkout to the next.
type Steps<'a> = IndexMap<(&'a str, u32, &'a str), Hosts<'a>>;

impl Changes {
    /// What `now` has otherwise, in words for people; nothing where both plans are the same.
    ///
    /// Secrets are stars in both: that one secret has taken the place of another is not seen.
    pub fn moved(&self, now: &Self) -> Vec<String> {
        let (then, now) = (steps(self), steps(now));
        let mut places: Vec<_> = then.keys().copied().collect();
        places.extend(now.keys().filter(|place| !then.contains_key(*place)));
        places.into_iter().flat_map(|place| step_moved(place, then.get(&place), now.get(&place))).collect()
    }
}

fn steps(changes: &Changes) -> Steps<'_> {
    let mut found = Steps::new();
    for step in changes.steps() {
        let hosts = found.entry((step.task.position.name.as_str(), step.task.position.line, step.task.name.as_str())).or_default();
        for group in &step.groups {
            hosts.extend(group.hosts.iter().map(|host| ((host.as_str(), group.item.as_deref()), group)));
        }
    }
    found
}

fn step_moved((file, line, name): (&str, u32, &str), then: Option<&Hosts<'_>>, now: Option<&Hosts<'_>>) -> Vec<String> {
    let empty = Hosts::new();
    let (then, now) = (then.unwrap_or(&empty), now.unwrap_or(&empty));
    let named = |wanted: &dyn Fn(&(&str, Option<&str>)) -> bool| {
        let mut hosts: Vec<&str> = then.keys().chain(now.keys()).filter(|key| wanted(key)).map(|(host, _)| *host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.join(", ")
    };
    let other = |key: &(&str, Option<&str>)| match (then.get(key), now.get(key)) {
        (Some(then), Some(now)) => then.diff != now.diff || then.known != now.known,
        _ => false,
    };
    let kinds = [
        ("would now also change", named(&|key| !then.contains_key(key))),
        ("would no longer change", named(&|key| !now.contains_key(key))),
        ("would now otherwise change", named(&other)),
    ];
    let said = kinds.into_iter().filter(|(_, hosts)| !hosts.is_empty());
    said.map(|(words, hosts)| format!("`{name}` ({file}:{line}) {words} {hosts}")).collect()
}
