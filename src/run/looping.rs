//! Loops: `loop` takes a list as it is, `with_X` asks the lookup X.

use std::sync::Arc;

use super::Shared;
use crate::plan::Loop;
use crate::template::{Scope, Value, to_wire};
use crate::text::Diagnostic;

/// The items of `looped`.
pub(super) fn items(shared: &Shared, looped: &Loop, scope: &Arc<dyn Scope>) -> Result<Vec<Value>, Diagnostic> {
    let terms = shared.templar.evaluate(&looped.items, scope)?;
    if looped.kind.value == "list" && terms.as_items().is_none() {
        let message = format!("with_list expects a list, found '{}'", to_wire(&terms).kind());
        return Err(Diagnostic::error("loop-type", message).at(looped.items.span(), "").help("use `with_items`, or a list"));
    }
    if looped.kind.value != "loop" {
        return shared
            .templar
            .lookup(&looped.kind.value, &terms, scope)
            .map_err(|diagnostic| diagnostic.at(looped.kind.span, "in this loop"));
    }
    match terms.as_items() {
        Some(items) => Ok(items.to_vec()),
        None if terms.is_none() || crate::template::is_omit(&terms) => Ok(Vec::new()),
        None => {
            let found = to_wire(&terms);
            let message = format!("Invalid data passed to 'loop', it requires a list, got this instead: {}.", found.kind());
            Err(Diagnostic::error("loop-type", message)
                .at(looped.items.span(), format!("expected a list, found {}", found.kind()))
                .help("use `query` instead of `lookup`, or a filter that gives a list: `dict2items`, `list`"))
        }
    }
}
