//! Tests that compare: with another value, a pattern, a version.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Test, raw, test};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::filter::regex::compiled;
use crate::template::python::{self, as_float, as_whole};
use crate::template::text::text_of;
use crate::template::value::Value;
use crate::template::version;

pub(super) const TESTS: &[Test] = &[
    test("eq", equal),
    test("equalto", equal),
    test("==", equal),
    test("ne", |eval, value, args| Ok(!equal(eval, value, args)?)),
    test("!=", |eval, value, args| Ok(!equal(eval, value, args)?)),
    test("lt", |_, value, args| ordered(&value, args, "<", |order| order == Ordering::Less)),
    test("<", |_, value, args| ordered(&value, args, "<", |order| order == Ordering::Less)),
    test("lessthan", |_, value, args| ordered(&value, args, "<", |order| order == Ordering::Less)),
    test("le", |_, value, args| ordered(&value, args, "<=", |order| order != Ordering::Greater)),
    test("<=", |_, value, args| ordered(&value, args, "<=", |order| order != Ordering::Greater)),
    test("gt", |_, value, args| ordered(&value, args, ">", |order| order == Ordering::Greater)),
    test(">", |_, value, args| ordered(&value, args, ">", |order| order == Ordering::Greater)),
    test("greaterthan", |_, value, args| ordered(&value, args, ">", |order| order == Ordering::Greater)),
    test("ge", |_, value, args| ordered(&value, args, ">=", |order| order != Ordering::Less)),
    test(">=", |_, value, args| ordered(&value, args, ">=", |order| order != Ordering::Less)),
    raw("sameas", sameas),
    test("in", |_, value, mut args| python::contains(&args.required("seq")?, &value)),
    test("contains", |_, value, mut args| python::contains(&value, &args.required("value")?)),
    test("subset", |eval, value, args| subset(eval, &value, args, false)),
    test("issubset", |eval, value, args| subset(eval, &value, args, false)),
    test("superset", |eval, value, args| subset(eval, &value, args, true)),
    test("issuperset", |eval, value, args| subset(eval, &value, args, true)),
    test("any", |eval, value, _| Ok(eval.iterate(&value)?.iter().any(Value::is_true))),
    test("all", |eval, value, _| Ok(eval.iterate(&value)?.iter().all(Value::is_true))),
    test("divisibleby", |_, value, mut args| Ok(remainder(&value, &args.required("num")?)? == 0)),
    test("even", |_, value, _| Ok(remainder(&value, &Value::Int(2))? == 0)),
    test("odd", |_, value, _| Ok(remainder(&value, &Value::Int(2))? == 1)),
    test("nan", |_, value, _| Ok(as_float(&value).is_some_and(f64::is_nan))),
    test("isnan", |_, value, _| Ok(as_float(&value).is_some_and(f64::is_nan))),
    test("lower", |_, value, _| Ok(cased(&value.to_text(), char::is_lowercase, char::is_uppercase))),
    test("upper", |_, value, _| Ok(cased(&value.to_text(), char::is_uppercase, char::is_lowercase))),
    test("match", |_, value, args| matches(&value, args, "match")),
    test("search", |_, value, args| matches(&value, args, "search")),
    test("regex", regex),
    test("version", compare_versions),
    test("version_compare", compare_versions),
];

fn equal(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    Ok(python::equal(&value, &args.required("other")?))
}

fn ordered(value: &Value, mut args: Args, sign: &str, holds: fn(Ordering) -> bool) -> Result<bool> {
    python::order(value, &args.required("other")?, sign).map(holds)
}

/// `is`: the same thing, not only an equal one.
fn sameas(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    let same = |left: *const (), right: *const ()| left == right;
    Ok(match (&value, &args.required("other")?) {
        (Value::Undefined(missing), _) | (_, Value::Undefined(missing)) => return Err(Error::undefined(missing)),
        (Value::List(left), Value::List(right)) => same(Arc::as_ptr(&left.get()).cast(), Arc::as_ptr(&right.get()).cast()),
        (Value::Map(left), Value::Map(right)) => same(Arc::as_ptr(&left.get()).cast(), Arc::as_ptr(&right.get()).cast()),
        (Value::Lazy(left), Value::Lazy(right)) => left.identity() == right.identity(),
        (Value::Tuple(left), Value::Tuple(right)) => same(left.as_ptr().cast(), right.as_ptr().cast()),
        (left, right) => left.type_name() == right.type_name() && python::equal(left, right),
    })
}

fn subset(eval: &Eval<'_>, value: &Value, mut args: Args, swapped: bool) -> Result<bool> {
    let (mut small, mut large) = (eval.iterate(value)?, eval.iterate(&args.required("b")?)?);
    if swapped {
        std::mem::swap(&mut small, &mut large);
    }
    Ok(small.iter().all(|item| large.contains(item)))
}

fn remainder(value: &Value, by: &Value) -> Result<i128> {
    let (Some(number), Some(by)) = (as_whole(value), as_whole(by)) else {
        return Err(Error::failed(format!("unsupported operand type(s) for %: '{}' and '{}'", value.type_name(), by.type_name())));
    };
    number.checked_rem_euclid(by).ok_or_else(|| Error::failed("integer modulo by zero"))
}

fn cased(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}

fn regex(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    let kind = args.text_named("match_type")?.unwrap_or_else(|| "search".to_owned());
    matches(&value, args, &kind)
}

fn matches(value: &Value, mut args: Args, kind: &str) -> Result<bool> {
    let text = text_of(value)?;
    let pattern = args.required_or("pattern", "")?;
    let (ignore_case, multiline) = (args.flag("ignorecase", false), args.flag("multiline", false));
    args.end()?;
    let regex = compiled(&pattern, ignore_case, multiline)?;
    let found = match kind {
        "match" => regex.captures_at_start(text.as_str()),
        "fullmatch" => regex.captures_whole(text.as_str()),
        _ => regex.captures(text.as_str()),
    };
    Ok(found.map_err(|error| Error::failed(error.to_string()))?.is_some())
}

fn compare_versions(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    let left = text_of(&value)?;
    let right = args.required_text("version")?;
    let operator = args.required_or("operator", "eq")?;
    let strict = args.next("strict").filter(|strict| !strict.is_none()).map(|strict| strict.is_true());
    let kind = args.text("version_type")?;
    args.end()?;
    if left.is_empty() {
        return Err(Error::failed("Input version value cannot be empty"));
    }
    if right.is_empty() {
        return Err(Error::failed("Version parameter to compare against cannot be empty"));
    }
    if strict.is_some() && kind.is_some() {
        return Err(Error::failed("Cannot specify both 'strict' and 'version_type'"));
    }
    let kind = kind.unwrap_or_else(|| if strict == Some(true) { "strict" } else { "loose" }.to_owned());
    let holds: fn(Ordering) -> bool = match operator.as_str() {
        "==" | "=" | "eq" => |order| order == Ordering::Equal,
        "<" | "lt" => |order| order == Ordering::Less,
        "<=" | "le" => |order| order != Ordering::Greater,
        ">" | "gt" => |order| order == Ordering::Greater,
        ">=" | "ge" => |order| order != Ordering::Less,
        "!=" | "<>" | "ne" => |order| order != Ordering::Equal,
        other => {
            let known = "'==', '=', 'eq', '<', 'lt', '<=', 'le', '>', 'gt', '>=', 'ge', '!=', '<>', 'ne'";
            return Err(Error::failed(format!("Invalid operator type ({other}). Must be one of {known}")));
        }
    };
    version::compare(&left, &right, &kind).map(holds)
}
