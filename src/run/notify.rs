//! Which handlers a notification means.

use std::sync::Arc;

use super::{PlayState, Shared};
use crate::model::Keyword;
use crate::plan::{Handler, Step};
use crate::template::{Scope, to_wire};
use crate::wire;

/// The handlers that `name` notifies: one called so, and all that listen to it.
pub(super) fn matching(shared: &Arc<Shared>, play: &Arc<PlayState>, host: &str, name: &str) -> Vec<(usize, String)> {
    let handlers = play.handlers();
    let mut found = Vec::new();
    let called = |handler: &Handler| names(shared, play, host, &handler.step).iter().any(|known| known == name);
    // As in Ansible: the first in a list of handlers, and of the lists the one that was loaded last.
    let last = handlers.iter().rev().find(|handler| called(handler)).map(|handler| handler.step.span.source);
    let by_name = handlers.iter().enumerate().find(|(_, handler)| Some(handler.step.span.source) == last && called(handler));
    if let Some((index, handler)) = by_name {
        found.push((index, label(shared, play, host, handler)));
    }
    for (index, handler) in handlers.iter().enumerate() {
        let listens = topics(shared, play, host, &handler.step).iter().any(|topic| topic == name);
        if listens && !found.iter().any(|(known, _)| *known == index) {
            found.push((index, label(shared, play, host, handler)));
        }
    }
    found.sort_by_key(|(index, _)| *index);
    found
}

fn label(shared: &Arc<Shared>, play: &Arc<PlayState>, host: &str, handler: &Handler) -> String {
    names(shared, play, host, &handler.step).into_iter().next().unwrap_or_else(|| handler.step.module.value.clone())
}

/// The names a handler answers to: its own, and with its role in front.
fn names(shared: &Arc<Shared>, play: &Arc<PlayState>, host: &str, step: &Step) -> Vec<String> {
    let Some(expr) = &step.name else { return Vec::new() };
    let name = if let Some(value) = expr.literal() {
        value.to_text()
    } else {
        let scope: Arc<dyn Scope> = Arc::new(shared.layers(play, host, &step.context));
        // A name whose variables are not known yet cannot be what was meant.
        match shared.templar.render(expr, &scope) {
            Ok(name) => name,
            Err(_) => return Vec::new(),
        }
    };
    let mut names = vec![name.clone()];
    if let Some(role) = &step.context.role {
        names.push(format!("{} : {name}", role.name));
        if let Some(collection) = &role.collection {
            names.push(format!("{collection}.{} : {name}", role.name));
        }
    }
    names
}

fn topics(shared: &Arc<Shared>, play: &Arc<PlayState>, host: &str, step: &Step) -> Vec<String> {
    let Some(expr) = step.keyword(Keyword::Listen) else { return Vec::new() };
    let value = if let Some(value) = expr.literal() {
        to_wire(value)
    } else {
        let scope: Arc<dyn Scope> = Arc::new(shared.layers(play, host, &step.context));
        match shared.templar.evaluate(expr, &scope) {
            Ok(value) => to_wire(&value),
            Err(_) => return Vec::new(),
        }
    };
    match value {
        wire::Value::List(items) => items.iter().map(wire::Value::to_text).collect(),
        wire::Value::Null => Vec::new(),
        other => vec![other.to_text()],
    }
}
