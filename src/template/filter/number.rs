//! Filters that give numbers and booleans.

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::python::{self, as_float, as_whole};
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("int", int),
    filter("float", float),
    filter("bool", bool),
    filter("abs", abs),
    filter("round", round),
    filter("filesizeformat", file_size),
];

/// Python's `int(text, base)`.
fn parsed(text: &str, base: u32) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)];
    let (digits, base) = match prefixed.iter().find(|(prefix, with)| lower.starts_with(prefix) && (base == *with || base == 0)) {
        Some((prefix, with)) => (lower.strip_prefix(prefix)?.trim_start_matches('_').to_owned(), *with),
        None => (lower, if base == 0 { 10 } else { base }),
    };
    if digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -number } else { number })
}

/// Python's `float(text)`.
fn parsed_float(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    text.replace('_', "").parse().ok()
}

fn int(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let default = args.next("default").unwrap_or(Value::Int(0));
    let base = args.int("base")?.unwrap_or(10);
    args.end()?;
    let base = u32::try_from(base).ok().filter(|base| *base == 0 || (2..=36).contains(base));
    let base = base.ok_or_else(|| Error::failed("int() base must be >= 2 and <= 36, or 0"))?;
    let number = match &value {
        Value::Str(text) => parsed(text, base).or_else(|| parsed_float(text).and_then(|number| python::whole(number.trunc()))),
        Value::Float(number) => python::whole(number.trunc()),
        other => as_whole(other),
    };
    Ok(number.map_or(default, Value::Int))
}

fn float(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let default = args.next("default").unwrap_or(Value::Float(0.0));
    args.end()?;
    let number = match &value {
        Value::Str(text) => parsed_float(text),
        other => as_float(other),
    };
    Ok(number.map_or(default, Value::Float))
}

/// What Ansible's words for true and false mean; `None` for any other value.
pub(in crate::template) fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Str(text) => match text.trim().to_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
            _ => None,
        },
        other => match as_float(other) {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
    }
}

fn bool(_eval: &Eval<'_>, value: Value, args: Args) -> Result<Value> {
    args.end()?;
    // Ansible warns about other values, and takes them for false.
    Ok(Value::Bool(match &value {
        Value::Str(text) => matches!(text.to_lowercase().as_str(), "yes" | "on" | "1" | "true"),
        other => to_bool(other).unwrap_or(false),
    }))
}

fn abs(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    match &value {
        Value::Float(number) => Ok(Value::Float(number.abs())),
        other => match as_whole(other) {
            Some(number) => Ok(Value::Int(number.saturating_abs())),
            None => Err(Error::failed(format!("bad operand type for abs(): '{}'", value.type_name()))),
        },
    }
}

fn round(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let precision = args.int("precision")?.unwrap_or(0);
    let method = args.required_or("method", "common")?;
    args.end()?;
    let number = as_float(&value).ok_or_else(|| Error::failed(format!("type {} doesn't define __round__ method", value.type_name())))?;
    let precision = i32::try_from(precision.clamp(-300, 300)).unwrap_or_default();
    let factor = 10_f64.powi(precision);
    match method.as_str() {
        "common" if as_whole(&value).is_some() && precision >= 0 => Ok(value),
        "common" => {
            let rounded = match usize::try_from(precision) {
                // The decimal that is nearest to the exact value, as Python rounds.
                Ok(digits) => format!("{number:.digits$}").parse().unwrap_or(number),
                Err(_) => (number * factor).round_ties_even() / factor,
            };
            let whole = if as_whole(&value).is_some() { python::whole(rounded) } else { None };
            Ok(whole.map_or(Value::Float(rounded), Value::Int))
        }
        "ceil" => Ok(Value::Float((number * factor).ceil() / factor)),
        "floor" => Ok(Value::Float((number * factor).floor() / factor)),
        _ => Err(Error::failed("method must be common, ceil or floor")),
    }
}

fn file_size(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let binary = args.flag("binary", false);
    args.end()?;
    let bytes = match &value {
        Value::Str(text) => parsed_float(text),
        other => as_float(other),
    };
    let bytes = bytes.ok_or_else(|| Error::failed(format!("expected a number of bytes, found '{}'", value.type_name())))?;
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if (bytes - 1.0).abs() < f64::EPSILON {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{bytes:.0} Bytes")));
    }
    let units =
        if binary { ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"] } else { ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"] };
    let mut size = bytes / base;
    for (index, unit) in units.iter().enumerate() {
        if size < base || index + 1 == units.len() {
            return Ok(Value::from(format!("{size:.1} {unit}")));
        }
        size /= base;
    }
    Ok(value)
}
