//! The tests, as in `x is defined`.

#![expect(clippy::needless_pass_by_value, reason = "all tests have one signature, so that they fit in one table")]

mod compare;
mod result;
mod world;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::Eval;
use super::filter;
use super::value::Value;

/// One test.
#[derive(Clone, Copy)]
pub(super) struct Test {
    pub(super) name: &'static str,
    pub(super) run: Run,
    /// Whether it takes its subject and arguments as they are: lazy, or undefined.
    pub(super) raw: bool,
}

pub(super) type Run = fn(&Eval<'_>, Value, Args) -> Result<bool>;

const fn test(name: &'static str, run: Run) -> Test {
    Test { name, run, raw: false }
}

const fn raw(name: &'static str, run: Run) -> Test {
    Test { name, run, raw: true }
}

static ALL: LazyLock<HashMap<&'static str, &'static Test>> = LazyLock::new(|| {
    let areas: &[&[Test]] = &[TYPES, compare::TESTS, result::TESTS, world::TESTS];
    areas.iter().flat_map(|area| area.iter()).map(|test| (test.name, test)).collect()
});

/// The test `name`, short or with its collection.
pub(super) fn find(name: &str) -> Option<&'static Test> {
    ALL.get(filter::short(name)).copied()
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.keys().copied()
}

/// What a value is. These look at the type alone, so that nothing lazy is evaluated.
const TYPES: &[Test] = &[
    raw("defined", |_, value, _| Ok(!value.is_undefined())),
    raw("undefined", |_, value, _| Ok(value.is_undefined())),
    raw("none", |_, value, _| kind(&value).map(|kind| kind == "NoneType")),
    raw("string", |_, value, _| kind(&value).map(|kind| kind == "str")),
    raw("mapping", |_, value, _| kind(&value).map(|kind| matches!(kind, "dict" | "HostVarsVars"))),
    raw("sequence", |_, value, _| kind(&value).map(|kind| !matches!(kind, "int" | "float" | "bool" | "NoneType") && iterable(&value))),
    raw("iterable", |_, value, _| kind(&value).map(|_| iterable(&value))),
    raw("number", |_, value, _| kind(&value).map(|kind| matches!(kind, "int" | "float" | "bool"))),
    raw("integer", |_, value, _| kind(&value).map(|kind| kind == "int")),
    raw("float", |_, value, _| kind(&value).map(|kind| kind == "float")),
    raw("boolean", |_, value, _| kind(&value).map(|kind| kind == "bool")),
    raw("callable", |_, value, _| Ok(matches!(&value, Value::Object(object) if object.callable()))),
    raw("true", |eval, value, _| boolean(eval, value, true)),
    raw("false", |eval, value, _| boolean(eval, value, false)),
    test("truthy", |_, value, args| truthy(&value, args)),
    test("falsy", |_, value, args| Ok(!truthy(&value, args)?)),
    test("escaped", |_, _, _| Ok(false)),
    test("filter", |_, value, _| Ok(filter::find(&value.to_text()).is_some())),
    test("test", |_, value, _| Ok(find(&value.to_text()).is_some())),
    // What a vault held is known by its text: it may have gone through other variables.
    test("vault_encrypted", |eval, value, _| Ok(value.as_str().is_some_and(|text| eval.session.templar.vault.secrets().contains(text)))),
];

/// The type's name, of what is defined.
fn kind(value: &Value) -> Result<&str> {
    match value {
        Value::Undefined(missing) => Err(Error::undefined(missing)),
        value => Ok(value.type_name()),
    }
}

/// Whether it is just that; before Ansible 2.19, what is undefined was neither.
fn boolean(eval: &Eval<'_>, value: Value, wanted: bool) -> Result<bool> {
    if value.is_undefined() && eval.session.templar.manner().truthy_conditions {
        return Ok(false);
    }
    Ok(matches!(eval.ready(value)?, Value::Bool(found) if found == wanted))
}

fn iterable(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.items().is_some(),
        value => matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Map(_) | Value::Lazy(_)),
    }
}

fn truthy(value: &Value, mut args: Args) -> Result<bool> {
    let convert = args.flag("convert_bool", false);
    args.end()?;
    if convert && let Value::Str(text) = value {
        match text.trim().to_ascii_lowercase().as_str() {
            "yes" | "y" | "on" | "1" | "true" | "t" => return Ok(true),
            "no" | "n" | "off" | "0" | "false" | "f" => return Ok(false),
            _ => {}
        }
    }
    Ok(value.is_true())
}
