//! Collects facts of the host: what the first task of a play does.
//!
//! ```yaml
//! - gather_facts:
//! ```

use std::sync::Arc;

use super::prelude::*;
use crate::model::Keyword;
use crate::run::{Gathering, PlayState, Shared};

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

/// What `module_defaults` say of the module that does the work.
fn defaults(call: &ActionCall<'_>) -> Result<Map, Trouble> {
    let mut params = Map::new();
    for defaults in &call.item.task.step.context.module_defaults {
        let Value::Map(defaults) = to_wire(&call.templar().evaluate(defaults, call.scope())?) else { continue };
        for (module, values) in defaults {
            if let ("setup" | "ansible.builtin.setup" | "ansible.legacy.setup", Value::Map(values)) = (module.as_str(), values) {
                params.extend(values);
            }
        }
    }
    Ok(params)
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let mut params = call.params.clone();
    params.shift_remove("parallel");
    for (name, value) in defaults(&call)? {
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
    call.module("setup", params).await.map(Answer::from)
}
