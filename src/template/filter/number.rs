//! Filters on numbers, sizes and chance.

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::python::{as_float, as_whole, whole};
use crate::template::random::Random;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("int", int),
    filter("float", float),
    filter("abs", abs),
    filter("round", round),
    filter("bool", |_, value, _| Ok(Value::Bool(truth(&value)))),
    filter("log", log),
    filter("pow", pow),
    filter("root", root),
    filter("random", random),
    filter("shuffle", shuffle),
    filter("human_readable", human_readable),
    filter("human_to_bytes", human_to_bytes),
    filter("filesizeformat", filesizeformat),
];

/// A whole number in text as Python reads it: underscores between digits, a prefix if the base is 0 or fits.
fn parsed(text: &str, base: u32) -> Option<i128> {
    let text = text.trim().to_lowercase();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)];
    let found = prefixed.iter().find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = match found {
        Some((digits, radix)) if base == 0 || base == radix => (digits, radix),
        _ => (digits, if base == 0 { 10 } else { base }),
    };
    if !(2..=36).contains(&radix) || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if negative { -number } else { number })
}

fn int(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let default = args.next("default").unwrap_or(Value::Int(0));
    let base = u32::try_from(args.int("base")?.unwrap_or(10)).unwrap_or(10);
    args.end()?;
    let number = match &value {
        Value::Str(text) => parsed(text, base).or_else(|| whole(text.trim().parse::<f64>().ok().filter(|_| base == 10)?.trunc())),
        Value::Float(number) => whole(number.trunc()),
        other => as_whole(other),
    };
    Ok(number.map_or(default, Value::Int))
}

fn float(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let default = args.next("default").unwrap_or(Value::Float(0.0));
    args.end()?;
    let number = match &value {
        Value::Str(text) => text.trim().replace('_', "").parse().ok(),
        other => as_float(other),
    };
    Ok(number.map_or(default, Value::Float))
}

fn abs(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    match &value {
        Value::Float(number) => Ok(Value::Float(number.abs())),
        other => match as_whole(other) {
            Some(number) => Ok(Value::Int(number.saturating_abs())),
            None => Err(Error::failed(format!("bad operand type for abs(): '{}'", other.type_name()))),
        },
    }
}

fn round(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let precision = i32::try_from(args.int("precision")?.unwrap_or(0)).unwrap_or(0);
    let method = args.required_or("method", "common")?;
    args.end()?;
    let Some(number) = as_float(&value) else {
        return Err(Error::failed(format!("type {} doesn't define __round__ method", value.type_name())));
    };
    let scale = 10_f64.powi(precision.abs());
    // Text is the one place where Rust rounds a decimal exactly, as Python does.
    let nearest = |number: f64| match usize::try_from(precision) {
        Ok(decimals) => format!("{number:.decimals$}").parse().unwrap_or(number),
        Err(_) => format!("{:.0}", number / scale).parse::<f64>().map_or(number, |tens| tens * scale),
    };
    let directed = |direction: fn(f64) -> f64| {
        if precision >= 0 { direction(number * scale) / scale } else { direction(number / scale) * scale }
    };
    Ok(match method.as_str() {
        "common" if as_whole(&value).is_some() => whole(nearest(number)).map_or(value, Value::Int),
        "common" => Value::Float(nearest(number)),
        "ceil" => Value::Float(directed(f64::ceil)),
        "floor" => Value::Float(directed(f64::floor)),
        _ => return Err(Error::failed("method must be common, ceil or floor")),
    })
}

/// Ansible's `bool`: everything that is not a word for true is false.
pub(in crate::template) fn truth(value: &Value) -> bool {
    match value {
        Value::Str(text) => matches!(text.to_ascii_lowercase().as_str(), "yes" | "on" | "1" | "true"),
        other => as_float(other).is_some_and(|number| (number - 1.0).abs() < f64::EPSILON),
    }
}

fn number(value: &Value, what: &str) -> Result<f64> {
    let refused = || Error::failed(format!("{what} can only be used on numbers: must be real number, not {}", value.type_name()));
    as_float(value).ok_or_else(refused)
}

fn log(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let subject = number(&value, "log()")?;
    let base = args.next("base").map(|base| number(&base, "log()")).transpose()?;
    if subject <= 0.0 {
        return Err(Error::failed("log() can only be used on numbers: math domain error"));
    }
    Ok(Value::Float(match base {
        Some(10.0) => subject.log10(),
        Some(2.0) => subject.log2(),
        Some(base) => subject.ln() / base.ln(),
        None => subject.ln(),
    }))
}

fn pow(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let (base, exponent) = (number(&value, "pow()")?, number(&args.required("y")?, "pow()")?);
    Ok(Value::Float(base.powf(exponent)))
}

fn root(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let subject = number(&value, "root()")?;
    let base = args.next("base").map_or(Ok(2.0), |base| number(&base, "root()"))?;
    Ok(Value::Float(if (base - 2.0).abs() < f64::EPSILON { subject.sqrt() } else { subject.powf(1.0 / base) }))
}

/// Python's generator: seeded, or from the system.
fn generator(args: &mut Args) -> Random {
    match args.next("seed") {
        Some(seed) if !seed.is_none() => Random::seeded(&seed),
        _ => Random::system(),
    }
}

fn random(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let (start, step) = (args.int("start")?, args.int("step")?);
    let mut random = generator(&mut args);
    args.end()?;
    let end = match &value {
        Value::Float(number) => whole(*number),
        other => as_whole(other),
    };
    let Some(end) = end else {
        if start.is_some() || step.is_some() {
            return Err(Error::failed("start and step can only be used with integer values"));
        }
        let items = eval.iterate(&value).map_err(|_| Error::failed("random can only be used on sequences and integers"))?;
        if items.is_empty() {
            return Err(Error::failed("Cannot choose from an empty sequence"));
        }
        return Ok(items.get(random.position(items.len())).cloned().unwrap_or_default());
    };
    let (start, step) = (start.unwrap_or(0), step.unwrap_or(1));
    let choices = match step {
        1.. => (end - start + step - 1) / step,
        0 => return Err(Error::failed("zero step for randrange()")),
        _ => (end - start + step + 1) / step,
    };
    match u128::try_from(choices) {
        Ok(choices @ 1..) => Ok(Value::Int(start + step * i128::try_from(random.below(choices)).unwrap_or_default())),
        _ => Err(Error::failed(format!("empty range in randrange({start}, {end})"))),
    }
}

fn shuffle(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let mut random = generator(&mut args);
    args.end()?;
    let mut items = eval.iterate(&value)?;
    random.shuffle(&mut items);
    Ok(Value::list(items))
}

const SIZES: [(char, i128); 9] = [
    ('Y', 1 << 80),
    ('Z', 1 << 70),
    ('E', 1 << 60),
    ('P', 1 << 50),
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
    ('B', 1),
];

#[expect(clippy::cast_precision_loss, reason = "as in Python, where the nearest float is taken")]
fn human_readable(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let bits = args.flag("isbits", false);
    let unit = args.text("unit")?;
    args.end()?;
    let size = match &value {
        Value::Str(text) => text.trim().parse().ok(),
        other => as_float(other),
    };
    let Some(size) = size else { return Err(Error::failed("human_readable() failed on bad input: expected a number")) };
    let wanted = unit.and_then(|unit| unit.to_uppercase().chars().next());
    let found = SIZES.iter().find(|(letter, limit)| wanted.map_or(size >= *limit as f64, |wanted| wanted == *letter));
    let (letter, limit) = found.copied().unwrap_or(('B', 1));
    let suffix = match (limit, bits) {
        (1, true) => "bits".to_owned(),
        (1, false) => "Bytes".to_owned(),
        (_, true) => format!("{letter}b"),
        (_, false) => format!("{letter}B"),
    };
    Ok(Value::from(format!("{:.2} {suffix}", size / limit as f64)))
}

#[expect(clippy::cast_precision_loss, reason = "as in Python, where the nearest float is taken")]
fn human_to_bytes(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let default = args.text("default_unit")?;
    let bits = args.flag("isbits", false);
    args.end()?;
    let text = text_of(&value)?;
    let refused = |why: &str| {
        Error::failed(format!("human_to_bytes() can't interpret the input: human_to_bytes() can't interpret following string: {why}"))
    };
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    let number: f64 = digits.parse().map_err(|_| refused(&text))?;
    let unit = unit.trim();
    let unit = if unit.is_empty() { default.unwrap_or_default() } else { unit.to_owned() };
    let Some(letter) = unit.to_uppercase().chars().next() else { return Ok(Value::Int(whole(number.round()).unwrap_or_default())) };
    let Some((_, limit)) = SIZES.iter().find(|(known, _)| *known == letter) else { return Err(refused(&text)) };
    // `Mb` are bits, `MB` are bytes; the wrong one is a mistake.
    if unit.len() == 2 && !unit.ends_with(if bits { 'b' } else { 'B' }) {
        return Err(refused(&text));
    }
    // Through text, since a float beyond 53 bits is a whole number already.
    Ok(Value::Int(whole((number * *limit as f64).round()).unwrap_or_default()))
}

fn filesizeformat(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let binary = args.flag("binary", false);
    let size = match &value {
        Value::Str(text) => text.trim().parse().ok(),
        other => as_float(other),
    };
    let Some(size): Option<f64> = size else { return Err(Error::failed("expected a number of bytes")) };
    let base = if binary { 1024.0 } else { 1000.0 };
    if (size - 1.0).abs() < f64::EPSILON {
        return Ok(Value::from("1 Byte"));
    }
    if size < base {
        return Ok(Value::from(format!("{size:.0} Bytes")));
    }
    let names = if binary { ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] } else { ["kB", "MB", "GB", "TB", "PB", "EB"] };
    let mut scaled = size / base;
    let mut chosen = names.first().copied().unwrap_or_default();
    for name in names.iter().skip(1) {
        if scaled < base {
            break;
        }
        scaled /= base;
        chosen = name;
    }
    Ok(Value::from(format!("{scaled:.1} {chosen}")))
}
