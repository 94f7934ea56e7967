//! Sets variables of the host, for the rest of the run.
//!
//! ```yaml
//! - set_fact: {release_dir: "/srv/app/{{ version }}"}
//! ```

use super::prelude::*;
use crate::text::{Diagnostics, Node, NodeKind};

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct SetFact {
        /// Also keep them as facts, in the cache if there is one.
        cacheable: bool = false,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let SetFact { cacheable } = call.decode()?;
    let mut facts = call.params.clone();
    facts.shift_remove("cacheable");
    if facts.is_empty() {
        return Err(Failure::new("No key/value pairs provided, at least one is required for this action to succeed").into());
    }
    let task = call.item.task;
    let delegated = call.delegate.as_deref().filter(|_| task.flag(crate::model::Keyword::DelegateFacts));
    let memory = task.shared.memory.host(delegated.unwrap_or(&task.host));
    let mut named = Map::new();
    for (name, value) in facts {
        named.insert(templated(&call, name)?, value);
    }
    let facts = named;
    for (name, value) in &facts {
        if !is_name(name) {
            return Err(Failure::new(format!("The variable name '{name}' is not valid. Variables must start with a letter or underscore character, and contain only letters, numbers and underscores.")).into());
        }
        memory.set(name, from_wire(value));
        if cacheable {
            memory.cache(name, from_wire(value));
        }
    }
    let host = delegated.unwrap_or(&task.host);
    let kept = if cacheable { task.shared.memory.keep(host) } else { Ok(()) };
    let outcome = Outcome::default().with("ansible_facts", facts).with("_ansible_facts_cacheable", cacheable);
    let warnings = kept.err().map(|error| format!("cannot keep the facts of `{host}`: {error}")).into_iter().collect();
    Ok(Outcome { warnings, ..outcome }.into())
}

/// The name of a variable, which may be a template: `"{{ item }}_path": /srv`.
fn templated(call: &ActionCall<'_>, name: String) -> Result<String, Trouble> {
    if !name.contains("{{") {
        return Ok(name);
    }
    let span = call.item.task.step.params.iter().find(|(known, _)| known.value == name).map(|(known, _)| known.span);
    let node = Node::new(NodeKind::Str(name), span.unwrap_or(call.item.task.step.span));
    let expr = call.templar().compile(&node, &mut Diagnostics::default());
    Ok(call.templar().render(&expr, call.scope())?)
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first == '_' || first.is_ascii_alphabetic())
        && letters.all(|letter| letter == '_' || letter.is_ascii_alphanumeric())
}
