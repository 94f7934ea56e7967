//! Tests of what a value is.

use super::{Test, raw, test};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::filter;
use crate::template::filter::number::to_bool;
use crate::template::method;
use crate::template::text::text_of;
use crate::template::value::Value;
use crate::text::vault;

pub(super) const TESTS: &[Test] = &[
    raw("defined", |_, value, _| Ok(!value.is_undefined())),
    raw("undefined", |_, value, _| Ok(value.is_undefined())),
    raw("none", |_, value, _| of_kind(&value, Value::is_none)),
    raw("string", |_, value, _| of_kind(&value, |value| value.as_str().is_some())),
    raw("number", |_, value, _| of_kind(&value, |value| matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)))),
    raw("integer", |_, value, _| of_kind(&value, |value| matches!(value, Value::Int(_)))),
    raw("float", |_, value, _| of_kind(&value, |value| matches!(value, Value::Float(_)))),
    raw("boolean", |_, value, _| of_kind(&value, |value| matches!(value, Value::Bool(_)))),
    raw("true", |_, value, _| of_kind(&value, |value| matches!(value, Value::Bool(true)))),
    raw("false", |_, value, _| of_kind(&value, |value| matches!(value, Value::Bool(false)))),
    raw("mapping", |_, value, _| of_kind(&value, is_mapping)),
    raw("sequence", |_, value, _| of_kind(&value, is_iterable)),
    raw("iterable", |_, value, _| of_kind(&value, is_iterable)),
    raw("callable", |_, value, _| of_kind(&value, is_callable)),
    raw("escaped", |_, value, _| of_kind(&value, |_| false)),
    test("filter", |_, value, _| Ok(value.as_str().is_some_and(|name| filter::find(name).is_some()))),
    test("test", |_, value, _| Ok(value.as_str().is_some_and(|name| super::find(name).is_some()))),
    test("lower", |eval, value, _| cased(eval, &value, "islower")),
    test("upper", |eval, value, _| cased(eval, &value, "isupper")),
    raw("truthy", truthy),
    raw("falsy", |eval, value, args| truthy(eval, value, args).map(|truth| !truth)),
    test("vault_encrypted", |_, value, _| Ok(value.as_str().is_some_and(vault::is_sealed))),
];

/// The answer for a value that must be defined, but whose content does not matter.
fn of_kind(value: &Value, answer: impl Fn(&Value) -> bool) -> Result<bool> {
    match value {
        Value::Undefined(missing) => Err(Error::undefined(missing)),
        value => Ok(answer(value)),
    }
}

fn is_mapping(value: &Value) -> bool {
    match value {
        Value::Map(_) => true,
        Value::Lazy(lazy) => !lazy.is_list(),
        _ => false,
    }
}

fn is_iterable(value: &Value) -> bool {
    match value {
        Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Map(_) | Value::Lazy(_) => true,
        Value::Object(object) => object.items().is_some(),
        _ => false,
    }
}

fn is_callable(value: &Value) -> bool {
    matches!(value, Value::Object(object) if matches!(object.type_name(), "function" | "builtin_function_or_method" | "Macro" | "Joiner"))
}

fn cased(eval: &Eval<'_>, value: &Value, question: &str) -> Result<bool> {
    method::call(eval, &Value::from(text_of(value)?), question, Args::default()).map(|answer| answer.is_true())
}

/// Python's truth, or with `convert_bool` that of Ansible's words for it.
fn truthy(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    let convert = args.flag("convert_bool", false);
    args.end()?;
    of_kind(&value, |value| if convert { to_bool(value).unwrap_or_else(|| value.is_true()) } else { value.is_true() })
}
