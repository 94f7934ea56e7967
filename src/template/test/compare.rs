//! Tests that compare: with another value, with a list, with a regular expression.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Test, raw, test};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::filter::regex::compiled;
use crate::template::python;
use crate::template::syntax::Operator;
use crate::template::text::{check, text_of};
use crate::template::value::Value;

pub(super) const TESTS: &[Test] = &[
    test("equalto", equal),
    test("eq", equal),
    test("==", equal),
    test("ne", |eval, value, args| equal(eval, value, args).map(|same| !same)),
    test("!=", |eval, value, args| equal(eval, value, args).map(|same| !same)),
    test("gt", |_, value, args| Ok(ordered(&value, args, ">")? == Ordering::Greater)),
    test("greaterthan", |_, value, args| Ok(ordered(&value, args, ">")? == Ordering::Greater)),
    test(">", |_, value, args| Ok(ordered(&value, args, ">")? == Ordering::Greater)),
    test("ge", |_, value, args| Ok(ordered(&value, args, ">=")? != Ordering::Less)),
    test(">=", |_, value, args| Ok(ordered(&value, args, ">=")? != Ordering::Less)),
    test("lt", |_, value, args| Ok(ordered(&value, args, "<")? == Ordering::Less)),
    test("lessthan", |_, value, args| Ok(ordered(&value, args, "<")? == Ordering::Less)),
    test("<", |_, value, args| Ok(ordered(&value, args, "<")? == Ordering::Less)),
    test("le", |_, value, args| Ok(ordered(&value, args, "<=")? != Ordering::Greater)),
    test("<=", |_, value, args| Ok(ordered(&value, args, "<=")? != Ordering::Greater)),
    test("sameas", |_, value, mut args| Ok(same(&value, &args.required("other")?))),
    test("in", |_, value, mut args| python::contains(&args.required("seq")?, &value)),
    test("contains", |_, value, mut args| python::contains(&value, &args.required("value")?)),
    test("even", |_, value, _| divisible(&value, &Value::Int(2))),
    test("odd", |_, value, _| divisible(&value, &Value::Int(2)).map(|even| !even)),
    test("divisibleby", |_, value, mut args| divisible(&value, &args.required("num")?)),
    test("subset", |eval, value, args| covers(eval, &value, args, false)),
    test("issubset", |eval, value, args| covers(eval, &value, args, false)),
    test("superset", |eval, value, args| covers(eval, &value, args, true)),
    test("issuperset", |eval, value, args| covers(eval, &value, args, true)),
    raw("any", |eval, value, _| Ok(truths(eval, &value)?.contains(&true))),
    raw("all", |eval, value, _| Ok(!truths(eval, &value)?.contains(&false))),
    test("match", |_, value, args| matches(&value, args, "match")),
    test("search", |_, value, args| matches(&value, args, "search")),
    test("regex", |_, value, args| matches(&value, args, "")),
];

fn equal(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    let other = args.required("other")?;
    check(&value)?;
    check(&other)?;
    Ok(python::equal(&value, &other))
}

fn ordered(value: &Value, mut args: Args, sign: &str) -> Result<Ordering> {
    python::order(value, &args.required("other")?, sign)
}

/// Python's `is`: the same object, or the same small constant.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::List(left), Value::List(right)) => Arc::ptr_eq(&left.get(), &right.get()),
        (Value::Map(left), Value::Map(right)) => Arc::ptr_eq(&left.get(), &right.get()),
        _ => left.type_name() == right.type_name() && python::equal(left, right),
    }
}

fn divisible(value: &Value, by: &Value) -> Result<bool> {
    Ok(!python::binary(Operator::Modulo, value, by)?.is_true())
}

fn covers(eval: &Eval<'_>, value: &Value, mut args: Args, larger: bool) -> Result<bool> {
    let (value, other) = (eval.iterate(value)?, eval.iterate(&args.required("b")?)?);
    let (large, small) = if larger { (value, other) } else { (other, value) };
    Ok(small.iter().all(|item| large.contains(item)))
}

fn truths(eval: &Eval<'_>, value: &Value) -> Result<Vec<bool>> {
    let items = eval.iterate(value)?;
    items.into_iter().map(|item| eval.ready(item).map(|item| item.is_true())).collect()
}

/// `match` is anchored at the start, `search` is not, `regex` is told by `match_type`.
fn matches(value: &Value, mut args: Args, how: &str) -> Result<bool> {
    let text = text_of(value)?;
    let pattern = args.required_or("pattern", "")?;
    let (ignore_case, multiline) = (args.flag("ignorecase", false), args.flag("multiline", false));
    let how = if how.is_empty() { args.required_or("match_type", "search")? } else { how.to_owned() };
    args.end()?;
    let pattern = match how.as_str() {
        "search" => pattern,
        "match" => format!("\\A(?:{pattern})"),
        "fullmatch" => format!("\\A(?:{pattern})\\Z"),
        other => return Err(Error::failed(format!("expected `search`, `match` or `fullmatch` for `match_type`, found `{other}`"))),
    };
    compiled(&pattern, ignore_case, multiline)?
        .is_match(text.as_str())
        .map_err(|error| Error::failed(format!("the regular expression gave up: {error}")))
}
