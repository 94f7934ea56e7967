//! Collects facts of the host: what the first task of a play does.
//!
//! ```yaml
//! - gather_facts:
//! ```

use std::sync::Arc;

use super::prelude::*;
use crate::model::Keyword;
use crate::run::{Gathering, PlayState, Shared};
use crate::template::Binding;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct GatherFacts {
        /// Collect in parallel; it is always one call here.
        parallel: Option<bool>,
    }
}

/// Whether a play wants facts of `host`.
pub(in crate::run) fn wanted(shared: &Arc<Shared>, play: &Arc<PlayState>, host: &str) -> bool {
    let known = shared.memory.host(host).has_facts();
    match play.plan.keyword(Keyword::GatherFacts) {
        Some(expr) => {
            let scope: Arc<dyn crate::template::Scope> = Arc::new(shared.layers(play, host, &play.plan.context));
            let value = shared.templar.evaluate(expr, &scope).map(|value| to_wire(&value));
            value.is_ok_and(|value| value.to_bool().unwrap_or(true)) && !(shared.settings.gathering == Gathering::Smart && known)
        }
        None => match shared.settings.gathering {
            Gathering::Implicit => true,
            Gathering::Explicit => false,
            Gathering::Smart => !known,
        },
    }
}

/// A module without the collection that it may be called by.
fn short(name: &str) -> &str {
    ["ansible.builtin.", "ansible.legacy."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// The modules that collect here: `setup`, unless `ansible_facts_modules` says otherwise.
fn modules(call: &ActionCall<'_>) -> Result<Vec<String>, Trouble> {
    let Some(binding) = call.scope().get("ansible_facts_modules") else { return Ok(vec!["setup".to_owned()]) };
    let value = match binding {
        Binding::Value(value) => value,
        Binding::Expr(expr) => call.templar().evaluate(&expr, call.scope())?,
    };
    let names = match to_wire(&value) {
        Value::List(items) => items.iter().map(Value::to_text).collect::<Vec<_>>(),
        other => other.to_text().split(',').map(|name| name.trim().to_owned()).collect(),
    };
    Ok(names.iter().map(|name| if name == "smart" { "setup" } else { short(name) }.to_owned()).collect())
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let (mut found, mut failed) = (Map::new(), Map::new());
    let modules = modules(&call)?;
    for name in &modules {
        let params = if name == "setup" { params(&call)? } else { call.item.defaults_of(name)? };
        match call.module(name, params).await {
            Ok(outcome) if modules.len() == 1 => return Ok(outcome.into()),
            Ok(mut outcome) => {
                if let Some(Value::Map(facts)) = outcome.data.shift_remove("ansible_facts") {
                    found.extend(facts);
                }
            }
            Err(Trouble::Failed(failure, _)) if modules.len() > 1 => drop(failed.insert(name.clone(), failure.msg.clone().into())),
            Err(trouble) => return Err(trouble),
        }
    }
    if failed.is_empty() {
        return Ok(Outcome::default().with("ansible_facts", found).into());
    }
    let names = failed.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let failure = Failure::new(format!("The following modules failed to execute: {names}."));
    Err(failure.with("ansible_facts", found).with("failed_modules", failed).into())
}

/// What `setup` is told.
fn params(call: &ActionCall<'_>) -> Result<Map, Trouble> {
    let mut params = call.params.clone();
    params.shift_remove("parallel");
    for (name, value) in call.item.defaults_of("setup")? {
        params.entry(name).or_insert(value);
    }
    let play = &call.item.task.play.plan;
    for (keyword, name) in
        [(Keyword::GatherSubset, "gather_subset"), (Keyword::GatherTimeout, "gather_timeout"), (Keyword::FactPath, "fact_path")]
    {
        if let (Some(expr), false) = (play.keyword(keyword), params.contains_key(name)) {
            params.insert(name.to_owned(), to_wire(&call.templar().evaluate(expr, call.scope())?));
        }
    }
    Ok(params)
}
