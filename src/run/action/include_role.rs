//! Runs a role that is named while the play runs.
//!
//! ```yaml
//! - include_role: {name: deployment, tasks_from: rollback}
//! ```

use super::prelude::*;
use crate::plan::RoleFiles;
use crate::run::include::{Include, WantedRole, What};

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct IncludeRole {
        /// The role.
        name | role: String,
        /// Its file of tasks.
        tasks_from: Option<String>,
        /// Its file of variables.
        vars_from: Option<String>,
        /// Its file of defaults.
        defaults_from: Option<String>,
        /// Its file of handlers.
        handlers_from: Option<String>,
        /// Run it again although it ran before.
        allow_duplicates: bool = true,
        /// Its variables stay for the tasks that follow.
        public: Option<bool>,
        /// Check its argument specification.
        rolespec_validate: bool = true,
        /// Keywords for the included tasks.
        apply: Option<Map>,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: IncludeRole = call.decode()?;
    let wanted = WantedRole {
        name: params.name.clone(),
        files: RoleFiles {
            tasks: params.tasks_from,
            vars: params.vars_from,
            defaults: params.defaults_from,
            handlers: params.handlers_from,
        },
        allow_duplicates: params.allow_duplicates,
        public: params.public.unwrap_or(call.item.task.shared.compiler.private_roles == Some(false)),
        validate: params.rolespec_validate,
    };
    let include =
        Include { what: What::Role(Box::new(wanted)), locals: call.item.locals(), label: call.item.label.clone(), apply: params.apply };
    let outcome = Outcome::default().with("include_args", call.params.clone()).with("include_variables", Map::new());
    Ok(Answer { outcome, effects: vec![Effect::Include(Box::new(include))], ..Answer::default() })
}
