//! Tests on the results of tasks.

use super::{Test, test};
use crate::template::error::{Error, Result};
use crate::template::value::Value;

pub(super) const TESTS: &[Test] = &[
    test("failed", |_, value, _| flag(&value, "failed", "failed")),
    test("failure", |_, value, _| flag(&value, "failure", "failed")),
    test("succeeded", |_, value, _| Ok(!flag(&value, "succeeded", "failed")?)),
    test("success", |_, value, _| Ok(!flag(&value, "success", "failed")?)),
    test("successful", |_, value, _| Ok(!flag(&value, "successful", "failed")?)),
    test("changed", |_, value, _| changed(&value, "changed")),
    test("change", |_, value, _| changed(&value, "change")),
    test("skipped", |_, value, _| flag(&value, "skipped", "skipped")),
    test("skip", |_, value, _| flag(&value, "skip", "skipped")),
    test("unreachable", |_, value, _| flag(&value, "unreachable", "unreachable")),
    test("reachable", |_, value, _| Ok(!flag(&value, "reachable", "unreachable")?)),
    test("timedout", |_, value, _| {
        Ok(entry(&value, "timedout", "timedout")?.and_then(|given| given.get("period")).is_some_and(|period| period.is_true()))
    }),
    test("started", |_, value, _| Ok(entry(&value, "started", "started")?.is_none_or(|started| started.is_true()))),
    test("finished", |_, value, _| Ok(entry(&value, "finished", "finished")?.is_none_or(|finished| finished.is_true()))),
];

/// The entry `key` of a result.
fn entry(value: &Value, test: &str, key: &str) -> Result<Option<Value>> {
    let entries = value.as_entries().ok_or_else(|| Error::failed(format!("The '{test}' test expects a dictionary")))?;
    Ok(entries.get(key).cloned())
}

fn flag(value: &Value, test: &str, key: &str) -> Result<bool> {
    Ok(entry(value, test, key)?.is_some_and(|flag| flag.is_true()))
}

/// Of a loop, whether any item changed something.
fn changed(value: &Value, test: &str) -> Result<bool> {
    if let Some(changed) = entry(value, test, "changed")? {
        return Ok(changed.is_true());
    }
    let results = value.get("results").and_then(|results| results.as_items()).unwrap_or_default();
    let first = results.first().is_some_and(|item| item.as_entries().is_some());
    Ok(first && results.iter().any(|item| item.get("changed").is_some_and(|changed| changed.is_true())))
}
