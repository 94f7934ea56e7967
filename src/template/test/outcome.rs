//! Tests of what a task registered: `result is changed`.

use super::{Test, raw};
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::value::{Entries, Value};

pub(super) const TESTS: &[Test] = &[
    raw("failed", |eval, value, _| failed(eval, value, "failed")),
    raw("failure", |eval, value, _| failed(eval, value, "failure")),
    raw("succeeded", |eval, value, _| failed(eval, value, "succeeded").map(|failed| !failed)),
    raw("success", |eval, value, _| failed(eval, value, "success").map(|failed| !failed)),
    raw("successful", |eval, value, _| failed(eval, value, "successful").map(|failed| !failed)),
    raw("changed", |eval, value, _| changed(eval, value, "changed")),
    raw("change", |eval, value, _| changed(eval, value, "change")),
    raw("skipped", |eval, value, _| flag(eval, value, "skipped", "skipped")),
    raw("skip", |eval, value, _| flag(eval, value, "skip", "skipped")),
    raw("unreachable", |eval, value, _| flag(eval, value, "unreachable", "unreachable")),
    raw("reachable", |eval, value, _| flag(eval, value, "reachable", "unreachable").map(|unreachable| !unreachable)),
    raw("started", |eval, value, _| asynchronous(eval, value, "started")),
    raw("finished", |eval, value, _| asynchronous(eval, value, "finished")),
    raw("timedout", timed_out),
];

/// The entries of a result; anything else cannot be the result of a task.
fn result(eval: &Eval<'_>, value: Value, test: &str) -> Result<std::sync::Arc<Entries>> {
    let value = eval.ready(value)?;
    value.as_entries().ok_or_else(|| {
        Error::failed(format!("The '{test}' test expects a dictionary")).help("test the variable that `register` set, not a part of it")
    })
}

fn is_set(entries: &Entries, name: &str) -> bool {
    entries.get(name).is_some_and(Value::is_true)
}

fn flag(eval: &Eval<'_>, value: Value, test: &str, name: &str) -> Result<bool> {
    Ok(is_set(&*result(eval, value, test)?, name))
}

fn failed(eval: &Eval<'_>, value: Value, test: &str) -> Result<bool> {
    flag(eval, value, test, "failed")
}

/// A loop has changed something if one of its rounds has.
fn changed(eval: &Eval<'_>, value: Value, test: &str) -> Result<bool> {
    let entries = result(eval, value, test)?;
    if entries.contains_key("changed") {
        return Ok(is_set(&entries, "changed"));
    }
    let rounds = entries.get("results").and_then(Value::as_items).unwrap_or_default();
    Ok(rounds.iter().any(|round| round.get("changed").is_some_and(|changed| changed.is_true())))
}

/// A task that was not asynchronous has both started and finished.
fn asynchronous(eval: &Eval<'_>, value: Value, name: &str) -> Result<bool> {
    let entries = result(eval, value, name)?;
    Ok(!entries.contains_key(name) || is_set(&entries, name))
}

fn timed_out(eval: &Eval<'_>, value: Value, _args: crate::template::arguments::Args) -> Result<bool> {
    let entries = result(eval, value, "timedout")?;
    Ok(entries.get("timedout").and_then(|details| details.get("period")).is_some_and(|period| period.is_true()))
}
