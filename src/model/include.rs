//! What may stand on tasks that bring in other tasks: less than on others, for most keywords are meant for the tasks inside.

use super::args::short_name;
use super::{Keyword, Level, Task};
use crate::text::{Diagnostic, Diagnostics, did_you_mean};

const ROLE_FILES: [&str; 4] = ["defaults_from", "handlers_from", "tasks_from", "vars_from"];

/// Reports keywords and options that an include or import does not have.
pub(super) fn check(task: &Task, level: Level, diags: &mut Diagnostics) {
    let module = short_name(&task.action.module.value);
    let own: &[&str] = match module {
        "include_tasks" => &["apply", "file"],
        "import_tasks" => &["file"],
        "include_role" => &["allow_duplicates", "apply", "name", "public", "role", "rolespec_validate"],
        "import_role" => &["allow_duplicates", "name", "public", "role", "rolespec_validate"],
        _ => return,
    };
    if level == Level::Handler && module == "include_role" {
        let help = "notify a handler that the role itself has";
        let diagnostic =
            Diagnostic::error("include-handler", "`include_role` cannot be a handler").at(task.action.module.span, "").help(help);
        diags.push(diagnostic.ansible("Using 'include_role' as a handler is not supported."));
    }
    if module.starts_with("include_") {
        keywords(task, module, diags);
    }
    let mut options = own.to_vec();
    if module.ends_with("_role") {
        options.extend(ROLE_FILES);
    }
    for (name, _) in &task.action.args.params {
        if options.contains(&name.value.as_str()) {
            continue;
        }
        let diagnostic =
            Diagnostic::error("unknown-parameter", format!("unknown parameter `{}` for `{module}`", name.value)).at(name.span, "");
        diags.push(match did_you_mean(&name.value, options.iter().copied()) {
            _ if name.value == "apply" => diagnostic.help("keywords of an import are handed on: put them on the task itself"),
            Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
            None => diagnostic.help("to hand variables on, put them under `vars:`"),
        });
    }
}

/// An include has only a few keywords of its own; others go to the tasks by `apply`.
fn keywords(task: &Task, module: &str, diags: &mut Diagnostics) {
    for (keyword, _) in &task.keywords.0 {
        let name = keyword.value.name();
        let help = match keyword.value {
            Keyword::Args
            | Keyword::Collections
            | Keyword::Debugger
            | Keyword::IgnoreErrors
            | Keyword::Listen
            | Keyword::Loop
            | Keyword::LoopControl
            | Keyword::Name
            | Keyword::NoLog
            | Keyword::Register
            | Keyword::RunOnce
            | Keyword::Tags
            | Keyword::Timeout
            | Keyword::Vars
            | Keyword::When => continue,
            Keyword::Until
            | Keyword::Retries
            | Keyword::Delay
            | Keyword::ChangedWhen
            | Keyword::FailedWhen
            | Keyword::Async
            | Keyword::Poll => "put it on the tasks inside".to_owned(),
            _ => format!("hand it to the tasks inside: `apply: {{{name}: …}}` below `{module}`"),
        };
        let message = format!("`{name}` cannot stand on `{module}`");
        diags.push(Diagnostic::error("unknown-keyword", message).at(keyword.span, "").help(help));
    }
}
