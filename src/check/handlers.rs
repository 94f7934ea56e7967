//! Notifications that nobody hears, and handlers that nobody notifies.

use std::collections::HashSet;

use super::survey::{Seen, Survey, text};
use crate::model::Keyword;
use crate::template::{Expr, to_wire};
use crate::text::{Diagnostic, Diagnostics, did_you_mean};
use crate::wire::Value;

pub(super) fn check(survey: &Survey, diags: &mut Diagnostics) {
    // A handler file or role that only the run names may have any handler; a handler that includes may be a dozen.
    let open = survey.open || survey.handlers.iter().any(|handler| matches!(handler.step.work.name(), "include_tasks" | "include_role"));
    let heard: HashSet<String> = survey.handlers.iter().flat_map(names).collect();
    let templated = survey.handlers.iter().any(|handler| handler.step.name.as_ref().is_some_and(|name| name.literal().is_none()));
    let mut notified = HashSet::new();
    let mut guessed = false;
    for seen in survey.all() {
        for expr in &seen.step.context.notify {
            let Some(names) = strings(expr) else {
                guessed = true;
                continue;
            };
            for name in names {
                if !heard.contains(&name) && !open && !templated {
                    let finding =
                        super::judged(seen.certain, "unknown-handler", format!("no handler is called `{name}`, and none listens to it"));
                    let finding = finding.at(expr.span(), "notified here");
                    diags.push(match did_you_mean(&name, heard.iter().map(String::as_str)) {
                        Some(close) => finding.help(format!("did you mean `{close}`?")),
                        None => finding.help("add it to `handlers:` of the play or of the role"),
                    });
                }
                notified.insert(name);
            }
        }
    }
    if guessed || open {
        return;
    }
    let of_whole = |handler: &&Seen| handler.step.context.role.as_deref().is_none_or(super::survey::whole);
    for handler in survey.handlers.iter().filter(of_whole) {
        let mut names = names(handler).peekable();
        if names.peek().is_some() && !names.any(|name| notified.contains(&name)) {
            let message = "nothing notifies this handler";
            diags.push(
                Diagnostic::warning("unreachable-handler", message)
                    .at(handler.step.name.as_ref().map_or(handler.step.span, Expr::span), "")
                    .help("add `notify:` with its name to a task, or remove it"),
            );
        }
    }
}

/// What a handler hears.
fn names(handler: &Seen) -> impl Iterator<Item = String> {
    let step = &handler.step;
    let role = step.context.role.as_ref().map(|role| role.name.clone());
    let name = step.name.as_ref().and_then(text);
    let qualified = name.as_ref().zip(role).map(|(name, role)| format!("{role} : {name}"));
    let topics = step.keyword(Keyword::Listen).and_then(strings).unwrap_or_default();
    name.into_iter().chain(qualified).chain(topics)
}

/// The names, where they are written out.
fn strings(expr: &Expr) -> Option<Vec<String>> {
    Some(match to_wire(expr.literal()?) {
        Value::List(items) => items.iter().map(Value::to_text).collect(),
        Value::Null => Vec::new(),
        other => vec![other.to_text()],
    })
}
