//! Runs a file of tasks that is found while the play runs.
//!
//! ```yaml
//! - include_tasks: "{{ ansible_facts.os_family }}.yml"
//! ```

use super::prelude::*;
use crate::run::include::{Include, What};

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct IncludeTasks {
        /// The file.
        file: String,
        /// Keywords for the included tasks.
        apply: Option<Map>,
    }
    free_form = file;
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: IncludeTasks = call.decode()?;
    let task = call.item.task;
    let name = params.file.trim();
    let Some(path) = find(&call, name) else {
        let place = task.step.context.dir.join(name);
        let failure = Failure::new(format!("Could not find or access '{}' on the Ansible Controller.", place.display()));
        let span = task.step.param("file").map_or(task.step.span, crate::template::Expr::span);
        let finding =
            crate::text::Diagnostic::error("file-not-found", format!("cannot find the task file `{name}`")).at(span, "included here");
        return Err(Trouble::Failed(Box::new(failure), Some(Box::new(finding))));
    };
    let include = Include { what: What::Tasks(path), locals: call.item.locals(), label: call.item.label.clone(), apply: params.apply };
    let outcome = Outcome::default().with("include", name).with("include_args", Map::new());
    Ok(Answer { outcome, effects: vec![Effect::Include(Box::new(include))], ..Answer::default() })
}

fn find(call: &ActionCall<'_>, name: &str) -> Option<std::path::PathBuf> {
    let task = call.item.task;
    let context = &task.step.context;
    let mut folders = vec![context.dir.clone()];
    if let Some(role) = &context.role {
        folders.push(role.path.join(if task.step.handler { "handlers" } else { "tasks" }));
        folders.push(role.path.join("tasks"));
        folders.push(role.path.clone());
    }
    folders.push(task.play.plan.dir.join("tasks"));
    folders.push(task.play.plan.dir.clone());
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file()).map(|path| crate::run::tree::tidy(&path))
}
