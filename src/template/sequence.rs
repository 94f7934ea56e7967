//! The lookup `sequence`: `start=1 end=5 stride=2 format=host%02d`, or `1-5/2:host%02d`.

use std::sync::Arc;

use super::error::{Error, Result};
use super::format;
use super::value::Value;

/// The texts of one sequence.
pub(super) fn sequence(term: &Value, options: &[(Arc<str>, Value)]) -> Result<Vec<Value>> {
    let term = term.to_text();
    let (mut start, mut end, mut count, mut stride, mut pattern) = (1_i128, None, None, 1_i128, "%d".to_owned());
    let number = |name: &str, text: &str| {
        let text = text.trim();
        let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| i128::from_str_radix(hex, 16));
        parsed.map_err(|_| Error::failed(format!("Invalid type for '{name}': expected a whole number, found `{text}`")))
    };
    let words = term.split_whitespace().filter_map(|word| word.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given = options.iter().map(|(name, value)| (name.to_string(), value.to_text()));
    for (name, value) in words.chain(given) {
        match name.as_str() {
            "start" => start = number("start", &value)?,
            "end" => end = Some(number("end", &value)?),
            "count" => count = Some(number("count", &value)?),
            "stride" => stride = number("stride", &value)?,
            "format" => pattern = value,
            other => return Err(Error::failed(format!("unrecognized arguments to with_sequence: ['{other}']"))),
        }
    }
    if !term.contains('=') && !term.trim().is_empty() {
        let (numbers, shape) = term.split_once(':').map_or((term.as_str(), None), |(numbers, shape)| (numbers, Some(shape)));
        pattern = shape.map_or(pattern, str::to_owned);
        let (numbers, step) = numbers.split_once('/').map_or((numbers, None), |(numbers, step)| (numbers, Some(step)));
        if let Some(step) = step {
            stride = number("stride", step)?;
        }
        match numbers.split_once('-') {
            Some((first, last)) => (start, end) = (number("start", first)?, Some(number("end", last)?)),
            None => end = Some(number("end", numbers)?),
        }
    }
    let end = match (end, count) {
        (Some(_), Some(_)) => return Err(Error::failed("can't specify both count and end in with_sequence")),
        (None, None) => return Err(Error::failed("must specify count or end in with_sequence")),
        (None, Some(0)) => return Ok(Vec::new()),
        (None, Some(count)) => start + (count - 1) * stride,
        (Some(end), None) => end,
    };
    if stride > 0 && end < start {
        return Err(Error::failed("to count backwards make stride negative"));
    }
    if stride < 0 && end > start {
        return Err(Error::failed("to count forward don't make stride negative"));
    }
    if stride == 0 || (end - start) / stride > 1_000_000 {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    let mut current = start;
    while if stride > 0 { current <= end } else { current >= end } {
        out.push(Value::from(
            format::percent(&pattern, &Value::Int(current)).map_err(|_| Error::failed(format!("bad formatting string: {pattern}")))?,
        ));
        current += stride;
    }
    Ok(out)
}
