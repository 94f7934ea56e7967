//! Filters that choose: defaults, conditions, and those that run other filters and tests on each item.

use std::sync::Arc;

use super::{Filter, filter, raw};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::python;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[
    raw("default", default),
    raw("d", default),
    raw("mandatory", mandatory),
    filter("ternary", ternary),
    raw("map", map),
    raw("select", |eval, value, args| pick(eval, value, args, true, false)),
    raw("reject", |eval, value, args| pick(eval, value, args, false, false)),
    raw("selectattr", |eval, value, args| pick(eval, value, args, true, true)),
    raw("rejectattr", |eval, value, args| pick(eval, value, args, false, true)),
    raw("type_debug", |_, value, _| Ok(Value::from(value.type_name()))),
];

fn default(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let fallback = args.next("default_value").unwrap_or_else(|| Value::from(""));
    let also_false = args.next("boolean").is_some_and(|flag| flag.is_true());
    args.end()?;
    Ok(if value.is_undefined() || (also_false && !value.is_true()) { fallback } else { value })
}

fn mandatory(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let Value::Undefined(missing) = &value else { return Ok(value) };
    let message = match args.text("msg")? {
        Some(message) => message,
        None => match missing.message.strip_suffix(" is undefined") {
            Some(name) => format!("Mandatory variable {name} not defined."),
            None => format!("Mandatory variable not defined: {}", missing.message),
        },
    };
    Err(Error::new("mandatory-variable", message))
}

fn ternary(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let (then, otherwise) = (args.required("true_val")?, args.required("false_val")?);
    match (args.next("none_val"), &value) {
        (Some(none), Value::None) if !none.is_none() => Ok(none),
        _ => Ok(if value.is_true() { then } else { otherwise }),
    }
}

/// The items of the subject of `map` and its kin.
fn items(eval: &Eval<'_>, value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Undefined(missing) => Err(Error::undefined(&missing)),
        value => eval.iterate(&value),
    }
}

/// `a.b.0` below `value`: attributes, entries and indexes; undefined where something is missing.
pub(super) fn below(eval: &Eval<'_>, value: &Value, path: &Value) -> Result<Value> {
    below_or(eval, value, path, None)
}

/// The same with a default, which Jinja takes at each step of the path.
fn below_or(eval: &Eval<'_>, value: &Value, path: &Value, default: Option<&Value>) -> Result<Value> {
    let Some(path) = path.as_str() else { return eval.item(value, path) };
    let mut found = value.clone();
    for part in path.split('.') {
        found = match part.parse::<i64>() {
            Ok(index) if part.bytes().all(|byte| byte.is_ascii_digit()) => eval.item(&found, &Value::from(index))?,
            _ => eval.item(&found, &Value::from(part))?,
        };
        if let (true, Some(default)) = (found.is_undefined(), default) {
            found = default.clone();
        }
    }
    Ok(found)
}

fn map(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let items = items(eval, value)?;
    if args.positional.is_empty() {
        let Some(path) = args.named("attribute") else {
            return Err(Error::failed("map requires a filter argument"));
        };
        let fallback = args.named("default");
        args.end()?;
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            out.push(below_or(eval, &item, &path, fallback.as_ref())?);
        }
        return Ok(Value::list(out));
    }
    let name = args.required_text("filter")?;
    items.into_iter().map(|item| eval.filter(item, &name, args.clone())).collect::<Result<Vec<_>>>().map(Value::list)
}

/// `select`, `reject` and their kin for attributes.
fn pick(eval: &Eval<'_>, value: Value, mut args: Args, keep: bool, by_attribute: bool) -> Result<Value> {
    let items = items(eval, value)?;
    let path = if by_attribute { Some(args.required("attribute")?) } else { None };
    let test = args.positional.pop_front();
    let test: Option<Arc<str>> = match test {
        None => None,
        Some(Value::Str(name)) => Some(name),
        Some(other) => return Err(Error::failed(format!("no test named '{}'", python::repr(&other)))),
    };
    let mut out = Vec::new();
    for item in items {
        let subject = match &path {
            Some(path) => below(eval, &item, path)?,
            None => item.clone(),
        };
        let holds = match &test {
            Some(name) => eval.test(subject, name, args.clone())?,
            None => match subject {
                Value::Undefined(missing) => return Err(Error::undefined(&missing)),
                subject => subject.is_true(),
            },
        };
        if holds == keep {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}
