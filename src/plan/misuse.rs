//! What a task may not ask for, though each of its parts is fine.

use super::compile::{Place, short_name};
use crate::model::Task;
use crate::text::{Diagnostic, Node, NodeKind};

/// What is wrong with `task`, in Ansible's words.
pub(super) fn found(task: &Task, place: &Place) -> Option<Diagnostic> {
    match short_name(&task.action.module.value) {
        "import_tasks" => apply_of_import(task),
        "import_role" => apply_of_import(task).or_else(|| unnamed_file(task)),
        "include_role" => unnamed_file(task),
        "include_tasks" => no_file(task),
        "meta" if task.action.args.free.as_ref().and_then(Node::as_str) == Some("end_role") => {
            let why = match (place.handler, &place.context.role) {
                (true, _) => "from a handler",
                (false, None) => "from outside of a role",
                (false, Some(_)) => return None,
            };
            Some(Diagnostic::error("no-role", format!("Cannot execute 'end_role' {why}")).at(task.span, "in this task"))
        }
        _ => None,
    }
}

fn parameter<'a>(task: &'a Task, name: &str) -> Option<&'a Node> {
    task.action.args.params.iter().find(|(known, _)| known.value == name).map(|(_, node)| node)
}

/// An include of nothing.
fn no_file(task: &Task) -> Option<Diagnostic> {
    let args = &task.action.args;
    let given = args.whole.is_some() || args.free.is_some() || parameter(task, "file").is_some_and(|node| node.kind != NodeKind::Null);
    let message = format!("No file specified for {}", task.action.module.value);
    (!given).then(|| Diagnostic::error("missing-parameter", message).at(task.span, "in this task"))
}

/// `apply` of what is no include.
fn apply_of_import(task: &Task) -> Option<Diagnostic> {
    let module = short_name(&task.action.module.value);
    let apply = parameter(task, "apply")?;
    let error = Diagnostic::error("import-apply", format!("Invalid options for {module}: apply")).at(apply.span, "");
    Some(error.help("what an import brings inherits its keywords: write them at the task"))
}

/// `tasks_from` and its like are text.
fn unnamed_file(task: &Task) -> Option<Diagnostic> {
    let wrong = |name: &&str| matches!(parameter(task, name).map(|node| &node.kind), Some(NodeKind::Seq(_) | NodeKind::Map(_)));
    let name = ["tasks_from", "vars_from", "defaults_from", "handlers_from"].into_iter().find(wrong)?;
    let node = parameter(task, name)?;
    let message = format!("Expected a string for {name} but got {} instead", node.describe());
    Some(Diagnostic::error("parameter-type", message).at(node.span, "this names no file"))
}
