//! Python's `'%s' % x` and `'{}'.format(x)`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::{Error, Result};
use super::python::{self, as_float, as_whole};
use super::value::Value;

/// The flags, width and precision of one conversion, in both languages.
#[derive(Clone, Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    comma: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn failed(message: impl Into<String>) -> Error {
    Error::failed(message)
}

/// `pattern % arguments`.
pub(super) fn percent(pattern: &str, arguments: &Value) -> Result<String> {
    let mut positional: VecDeque<Value> = match arguments {
        Value::Tuple(items) => items.iter().cloned().collect(),
        other => [other.clone()].into(),
    };
    let named = arguments.as_entries();
    let mut used_name = false;
    let mut out = String::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        if rest.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut value = None;
        if rest.next_if_eq(&'(').is_some() {
            let name: String = rest.by_ref().take_while(|c| *c != ')').collect();
            let entries = named.as_ref().ok_or_else(|| failed("format requires a mapping"))?;
            value = Some(entries.get(name.as_str()).cloned().ok_or_else(|| failed(format!("no key '{name}' to format")))?);
            used_name = true;
        }
        let mut spec = Spec::default();
        while let Some(flag) = rest.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => spec.align = Some('<'),
                '+' | ' ' => spec.sign = Some(flag),
                '#' => spec.alternate = true,
                _ => spec.zero = true,
            }
        }
        let number = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>, positional: &mut VecDeque<Value>| -> Result<usize> {
            if rest.next_if_eq(&'*').is_some() {
                let given = positional.pop_front().ok_or_else(|| failed("not enough arguments for format string"))?;
                let given = as_whole(&given).ok_or_else(|| failed("* wants int"))?;
                return Ok(usize::try_from(given).unwrap_or_default());
            }
            let mut number = 0_usize;
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                number = (number * 10 + digit.to_digit(10).unwrap_or_default() as usize).min(1 << 20);
            }
            Ok(number)
        };
        spec.width = number(&mut rest, &mut positional)?;
        if rest.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut rest, &mut positional)?);
        }
        while rest.next_if(|c| "hlL".contains(*c)).is_some() {}
        let kind = rest.next().ok_or_else(|| failed("incomplete format"))?;
        let value = match value {
            Some(value) => value,
            None => positional.pop_front().ok_or_else(|| failed("not enough arguments for format string"))?,
        };
        super::text::check(&value)?;
        spec.kind = Some(kind);
        if spec.align.is_none() {
            spec.align = Some('>');
        } else {
            spec.zero = false;
        }
        out.push_str(&percent_one(&value, spec, kind)?);
    }
    if !used_name && !positional.is_empty() && named.is_none() {
        return Err(failed("not all arguments converted during string formatting"));
    }
    Ok(out)
}

fn percent_one(value: &Value, mut spec: Spec, kind: char) -> Result<String> {
    match kind {
        's' | 'r' | 'a' => {
            let text = if kind == 's' { value.to_text() } else { python::repr(value) };
            spec.kind = Some('s');
            spec.zero = false;
            text_with(&text, &spec)
        }
        'c' => match as_whole(value).and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32) {
            Some(character) => text_with(&character.to_string(), &Spec { kind: Some('s'), zero: false, ..spec }),
            None => text_with(&value.to_text(), &Spec { kind: Some('s'), zero: false, ..spec }),
        },
        'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
            let number = match value {
                Value::Float(number) if matches!(kind, 'd' | 'i' | 'u') => python::whole(number.trunc()),
                other => as_whole(other),
            };
            let Some(number) = number else {
                let wanted = if matches!(kind, 'd' | 'i' | 'u') { "a real number" } else { "an integer" };
                return Err(failed(format!("%{kind} format: {wanted} is required, not {}", value.type_name())));
            };
            if matches!(kind, 'i' | 'u') {
                spec.kind = Some('d');
            }
            if let Some(precision) = spec.precision.take() {
                let digits = format!("{:0>precision$}", number.unsigned_abs());
                let sign = if number < 0 { "-" } else { "" };
                return text_with(&format!("{sign}{digits}"), &Spec { kind: Some('s'), zero: false, ..spec });
            }
            whole_with(number, &spec)
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => match as_float(value) {
            Some(number) => float_with(number, &spec),
            None => Err(failed(format!("must be real number, not {}", value.type_name()))),
        },
        other => Err(failed(format!("unsupported format character '{other}'"))),
    }
}

fn pad(sign: &str, body: &str, spec: &Spec, default_align: char) -> String {
    let length = sign.chars().count() + body.chars().count();
    let missing = spec.width.saturating_sub(length);
    if missing == 0 {
        return format!("{sign}{body}");
    }
    let (fill, align) = match (spec.fill, spec.align, spec.zero) {
        (None, None | Some('>'), true) => ('0', '='),
        (fill, align, _) => (fill.unwrap_or(' '), align.unwrap_or(default_align)),
    };
    let filled = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    match align {
        '<' => format!("{sign}{body}{}", filled(missing)),
        '^' => format!("{}{sign}{body}{}", filled(missing / 2), filled(missing - missing / 2)),
        '=' => format!("{sign}{}{body}", filled(missing)),
        _ => format!("{}{sign}{body}", filled(missing)),
    }
}

fn text_with(text: &str, spec: &Spec) -> Result<String> {
    if !matches!(spec.kind, None | Some('s')) {
        return Err(failed(format!("Unknown format code '{}' for object of type 'str'", spec.kind.unwrap_or_default())));
    }
    let text: String = spec.precision.map_or_else(|| text.to_owned(), |most| text.chars().take(most).collect());
    Ok(pad("", &text, spec, '<'))
}

fn sign_of(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    }
}

fn whole_with(number: i128, spec: &Spec) -> Result<String> {
    let magnitude = number.unsigned_abs();
    let (prefix, digits) = match spec.kind {
        None | Some('d' | 'n') => ("", magnitude.to_string()),
        Some('x') => ("0x", format!("{magnitude:x}")),
        Some('X') => ("0X", format!("{magnitude:X}")),
        Some('o') => ("0o", format!("{magnitude:o}")),
        Some('b') => ("0b", format!("{magnitude:b}")),
        Some('c') => {
            return text_with(
                &char::from_u32(u32::try_from(number).unwrap_or_default()).unwrap_or_default().to_string(),
                &Spec { kind: None, ..spec.clone() },
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "as in Python, where the nearest float is taken")]
        Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => return float_with(number as f64, spec),
        Some(other) => return Err(failed(format!("Unknown format code '{other}' for object of type 'int'"))),
    };
    let digits = spec.comma.map_or_else(|| digits.clone(), |comma| grouped(&digits, comma));
    let sign = format!("{}{}", sign_of(number < 0, spec), if spec.alternate { prefix } else { "" });
    Ok(pad(&sign, &digits, spec, '>'))
}

fn grouped(digits: &str, comma: char) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(comma);
        }
        out.push(digit);
    }
    out
}

/// `1.5e+03` from Rust's `1.5e3`.
fn exponent(text: &str, upper: bool) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    let text = format!("{mantissa}e{sign}{digits:0>2}");
    if upper { text.to_uppercase() } else { text }
}

fn general(magnitude: f64, precision: usize, alternate: bool) -> String {
    let precision = precision.max(1);
    let scientific = format!("{magnitude:.*e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or_default();
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    let trim = |text: &str| {
        if alternate || !text.contains('.') { text.to_owned() } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
    };
    if power < -4 || power >= limit {
        let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponent(&format!("{}e{power}", trim(mantissa)), false);
    }
    let decimals = usize::try_from(limit - 1 - power).unwrap_or_default();
    trim(&format!("{magnitude:.decimals$}"))
}

fn float_with(number: f64, spec: &Spec) -> Result<String> {
    let magnitude = number.abs();
    let precision = spec.precision.unwrap_or(6);
    let kind = spec.kind;
    let mut digits = if number.is_finite() {
        match kind {
            Some('f' | 'F') => format!("{magnitude:.precision$}"),
            Some('e') => exponent(&format!("{magnitude:.precision$e}"), false),
            Some('E') => exponent(&format!("{magnitude:.precision$e}"), true),
            Some('g') => general(magnitude, precision, spec.alternate),
            Some('G') => general(magnitude, precision, spec.alternate).to_uppercase(),
            Some('%') => format!("{:.precision$}%", magnitude * 100.0),
            None if spec.precision.is_some() => {
                let text = general(magnitude, precision, false);
                if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
            }
            None => crate::wire::repr_float(magnitude),
            Some(other) => return Err(failed(format!("Unknown format code '{other}' for object of type 'float'"))),
        }
    } else if number.is_nan() {
        "nan".to_owned()
    } else {
        "inf".to_owned()
    };
    if let Some(comma) = spec.comma {
        let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
        digits = fraction.map_or_else(|| grouped(whole, comma), |fraction| format!("{}.{fraction}", grouped(whole, comma)));
    }
    Ok(pad(sign_of(number.is_sign_negative() && !number.is_nan(), spec), &digits, spec, '>'))
}

/// `format(value, spec)`.
pub(super) fn with_spec(value: &Value, spec: &str) -> Result<String> {
    super::text::check(value)?;
    if spec.is_empty() {
        return Ok(value.to_text());
    }
    let parsed = parse_spec(spec)?;
    match value {
        Value::Bool(flag) if parsed.kind.is_none() => text_with(if *flag { "True" } else { "False" }, &parsed),
        Value::Bool(_) | Value::Int(_) => whole_with(as_whole(value).unwrap_or_default(), &parsed),
        Value::Float(number) => float_with(*number, &parsed),
        Value::Str(text) => text_with(text, &parsed),
        other => Err(failed(format!("unsupported format string passed to {}.__format__", other.type_name()))),
    }
}

fn parse_spec(text: &str) -> Result<Spec> {
    let mut spec = Spec::default();
    let characters: Vec<char> = text.chars().collect();
    let mut rest = &characters[..];
    let is_align = |c: &char| "<>=^".contains(*c);
    match rest {
        [fill, align, tail @ ..] if is_align(align) => {
            (spec.fill, spec.align, rest) = (Some(*fill), Some(*align), tail);
        }
        [align, tail @ ..] if is_align(align) => (spec.align, rest) = (Some(*align), tail),
        _ => {}
    }
    if let [sign @ ('+' | '-' | ' '), tail @ ..] = rest {
        (spec.sign, rest) = (Some(*sign), tail);
    }
    if let ['#', tail @ ..] = rest {
        (spec.alternate, rest) = (true, tail);
    }
    if let ['0', tail @ ..] = rest {
        (spec.zero, rest) = (true, tail);
    }
    let number = |rest: &mut &[char]| {
        let mut number = None;
        while let [digit @ '0'..='9', tail @ ..] = *rest {
            number = Some((number.unwrap_or(0) * 10 + digit.to_digit(10).unwrap_or_default() as usize).min(1 << 20));
            *rest = tail;
        }
        number
    };
    spec.width = number(&mut rest).unwrap_or(0);
    if let [comma @ (',' | '_'), tail @ ..] = rest {
        (spec.comma, rest) = (Some(*comma), tail);
    }
    if let ['.', tail @ ..] = rest {
        rest = tail;
        spec.precision = Some(number(&mut rest).ok_or_else(|| failed("Format specifier missing precision"))?);
    }
    match rest {
        [] => Ok(spec),
        [kind] => Ok(Spec { kind: Some(*kind), ..spec }),
        _ => Err(failed(format!("Invalid format specifier '{text}'"))),
    }
}

/// `pattern.format(…)`; `field` finds `a.b[0]` below a value.
pub(super) fn braces(
    pattern: &str,
    positional: &[Value],
    named: &[(Arc<str>, Value)],
    below: &dyn Fn(&Value, &str, bool) -> Result<Value>,
) -> Result<String> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = pattern;
    while let Some(offset) = rest.find(['{', '}']) {
        out.push_str(rest.get(..offset).unwrap_or_default());
        let brace = rest.get(offset..=offset).unwrap_or_default();
        rest = rest.get(offset + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(failed("Single '}' encountered in format string"));
        }
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0
        });
        let Some(end) = end else { return Err(failed("Single '{' encountered in format string")) };
        let field = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
        let value = field_value(name, &mut next, positional, named, below)?;
        let spec =
            if spec.contains('{') { braces(spec, positional.get(next..).unwrap_or_default(), named, below)? } else { spec.to_owned() };
        let value = match conversion {
            "r" => Value::from(python::repr(&value)),
            "s" => Value::from(value.to_text()),
            _ => value,
        };
        out.push_str(&with_spec(&value, &spec)?);
    }
    out.push_str(rest);
    Ok(out)
}

fn field_value(
    name: &str,
    next: &mut usize,
    positional: &[Value],
    named: &[(Arc<str>, Value)],
    below: &dyn Fn(&Value, &str, bool) -> Result<Value>,
) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut path) = name.split_at(end);
    let mut value = if first.is_empty() || first.bytes().all(|byte| byte.is_ascii_digit()) {
        let index = if first.is_empty() {
            *next += 1;
            *next - 1
        } else {
            first.parse().unwrap_or(usize::MAX)
        };
        positional.get(index).cloned().ok_or_else(|| failed(format!("Replacement index {index} out of range for positional args tuple")))?
    } else {
        let found = named.iter().find(|(known, _)| **known == *first).map(|(_, value)| value.clone());
        found.ok_or_else(|| failed(format!("no argument '{first}' to format")))?
    };
    while !path.is_empty() {
        if let Some(inside) = path.strip_prefix('[') {
            let (key, after) = inside.split_once(']').ok_or_else(|| failed("Missing ']' in format string"))?;
            (value, path) = (below(&value, key, true)?, after);
        } else {
            let inside = path.strip_prefix('.').unwrap_or(path);
            let end = inside.find(['.', '[']).unwrap_or(inside.len());
            let (key, after) = inside.split_at(end);
            (value, path) = (below(&value, key, false)?, after);
        }
    }
    Ok(value)
}
