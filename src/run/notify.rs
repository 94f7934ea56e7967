//! Which handlers a notification means.

use std::sync::Arc;

use super::{PlayState, Shared};
use crate::model::Keyword;
use crate::plan::{Handler, Role, Step};
use crate::template::{Expr, Scope, Value, to_wire};
use crate::text::Diagnostic;
use crate::wire;

/// What a notification came to.
#[derive(Default)]
pub(super) struct Found {
    /// Handlers by their numbers, and what they are called.
    pub(super) handlers: Vec<(usize, String)>,
    /// What cannot be notified, because nobody knows its name.
    pub(super) unusable: Vec<Diagnostic>,
}

/// The handlers that `name` notifies: one called so, and all that listen to it.
pub(super) fn matching(shared: &Arc<Shared>, play: &Arc<PlayState>, name: &str) -> Found {
    let handlers = play.handlers();
    let mut found = Found::default();
    let mut names: Vec<Option<String>> = Vec::with_capacity(handlers.len());
    for handler in handlers.iter() {
        names.push(called(shared, play, &handler.step).unwrap_or_else(|unusable| {
            found.unusable.extend(unusable);
            None
        }));
    }
    let label = |index: usize| {
        let handler: &Handler = &handlers[index];
        names[index].clone().unwrap_or_else(|| handler.step.module.value.clone())
    };
    let is_called = |index: usize| names[index].as_ref().is_some_and(|own| is_one(own, handlers[index].step.context.role.as_deref(), name));
    // As in Ansible: the first in a list of handlers, and of the lists the one that was loaded last.
    let last = (0..handlers.len()).rev().find(|index| is_called(*index)).map(|index| handlers[index].step.span.source);
    let by_name = (0..handlers.len()).find(|index| Some(handlers[*index].step.span.source) == last && is_called(*index));
    found.handlers.extend(by_name.map(|index| (index, label(index))));
    // Of those with the same name one listens: that of the list that was loaded last.
    let list = |index: usize| handlers.iter().position(|handler| handler.step.span.source == handlers[index].step.span.source);
    let mut order: Vec<usize> = (0..handlers.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(list(*index)));
    let mut heard: Vec<&str> = Vec::new();
    for index in order {
        let handler = &handlers[index];
        let role = handler.step.context.role.as_deref();
        if !topics(&handler.step).iter().any(|topic| is_one(topic, role, name)) {
            continue;
        }
        if let Some(own) = &names[index] {
            if heard.contains(&own.as_str()) {
                continue;
            }
            heard.push(own);
        }
        if by_name != Some(index) {
            found.handlers.push((index, label(index)));
        }
    }
    found.handlers.sort_by_key(|(index, _)| *index);
    found
}

/// Whether `wanted` is `own`, with or without the role it belongs to in front.
fn is_one(own: &str, role: Option<&Role>, wanted: &str) -> bool {
    if own == wanted {
        return true;
    }
    let (Some(role), Some(prefix)) = (role, wanted.strip_suffix(own).and_then(|before| before.strip_suffix(" : "))) else { return false };
    let full = role.collection.as_ref().map(|collection| format!("{collection}.{}", role.name));
    prefix == role.name || full.as_deref() == Some(prefix) || role.collection.is_some() && role.name.rsplit('.').next() == Some(prefix)
}

/// The name of a handler. It is the same for all hosts: what only one of them knows is not in it.
fn called(shared: &Arc<Shared>, play: &Arc<PlayState>, step: &Step) -> Result<Option<String>, Option<Diagnostic>> {
    let Some(expr) = &step.name else { return Ok(None) };
    if let Some(value) = expr.literal() {
        return Ok(Some(value.to_text()));
    }
    let scope: Arc<dyn Scope> = Arc::new(shared.layers(play, "", &step.context));
    shared.templar.render(expr, &scope).map(Some).map_err(|error| {
        // Whoever listens can be notified all the same.
        let message = format!(
            "Handler '{}' is unusable because it has no listen topics and the name could not be templated (host-specific variables are not \
             supported in handler names). The error: {}",
            shared.source_text(expr.span()),
            error.message
        );
        topics(step).is_empty().then(|| Diagnostic::warning("unusable-handler", message).at(expr.span(), ""))
    })
}

/// What a handler listens to, as it is written: topics are no templates.
fn topics(step: &Step) -> Vec<String> {
    let Some(expr) = step.keyword(Keyword::Listen) else { return Vec::new() };
    if let Expr::List(items, _) = expr {
        return items.iter().filter_map(|item| item.literal().map(Value::to_text)).collect();
    }
    match expr.literal().map(to_wire) {
        Some(wire::Value::List(items)) => items.iter().map(wire::Value::to_text).collect(),
        Some(wire::Value::Null) | None => Vec::new(),
        Some(other) => vec![other.to_text()],
    }
}
