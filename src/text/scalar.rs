//! What a scalar without quotes means: PyYAML's implicit types of YAML 1.1, which Ansible reads by.
//!
//! `yes` is true, `0644` is 420, `1:30` is 90, and `1e3` is text. Timestamps stay text, but in the form in which Ansible would print them.

use super::NodeKind;

/// The value of a plain scalar without a tag. `Err` says what is wrong with a date that cannot be.
pub(super) fn resolve(text: &str) -> Result<NodeKind, String> {
    if let Some(kind) = null(text).or_else(|| boolean(text)) {
        return Ok(kind);
    }
    // Most scalars are words: only these can begin a number or a date.
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.')) {
        return Ok(NodeKind::Str(text.to_owned()));
    }
    if is_float(text) {
        return Ok(float(text).map_or_else(|| NodeKind::Str(text.to_owned()), NodeKind::Float));
    }
    if is_int(text) {
        return Ok(int(text).unwrap_or_else(|| NodeKind::Str(text.to_owned())));
    }
    match timestamp(text) {
        Some(timestamp) => timestamp.map(NodeKind::Str),
        None => Ok(NodeKind::Str(text.to_owned())),
    }
}

/// Whether a plain scalar stays the text it is: no number, no date, none of the words with a meaning.
pub(super) fn is_text(text: &str) -> bool {
    !matches!(text, "=" | "<<") && timestamp(text).is_none() && matches!(resolve(text), Ok(NodeKind::Str(_)))
}

/// `~`, `null` or nothing.
fn null(text: &str) -> Option<NodeKind> {
    matches!(text, "" | "~" | "null" | "Null" | "NULL").then_some(NodeKind::Null)
}

/// `yes`, `True`, `OFF` …, in the three spellings that YAML 1.1 knows.
fn boolean(text: &str) -> Option<NodeKind> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(NodeKind::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(NodeKind::Bool(false)),
        _ => None,
    }
}

/// The value of `!!bool text`, in any case.
pub(super) fn tagged_bool(text: &str) -> Option<NodeKind> {
    boolean(&text.to_ascii_lowercase())
}

fn is_int(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |text: &str, allowed: fn(u8) -> bool| !text.is_empty() && text.bytes().all(|byte| byte == b'_' || allowed(byte));
    if let Some(binary) = digits.strip_prefix("0b") {
        return all(binary, |byte| matches!(byte, b'0' | b'1'));
    }
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return all(hexadecimal, |byte| byte.is_ascii_hexdigit());
    }
    if let Some(octal) = digits.strip_prefix('0') {
        return octal.is_empty() || all(octal, |byte| matches!(byte, b'0'..=b'7'));
    }
    let (first, sixtieths) = digits.split_once(':').map_or((digits, None), |(first, rest)| (first, Some(rest)));
    first.starts_with(|digit: char| matches!(digit, '1'..='9'))
        && all(first, |byte| byte.is_ascii_digit())
        && sixtieths.is_none_or(are_sixtieths)
}

/// `30`, `30:05`: what follows the first colon of `1:30:05`.
fn are_sixtieths(text: &str) -> bool {
    text.split(':').all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, fraction)) = unsigned.split_once('.') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit());
    if let Some((first, sixtieths)) = whole.split_once(':') {
        return starts_with_digit(first) && digits(first) && are_sixtieths(sixtieths) && digits(fraction);
    }
    // An exponent needs its sign: `1.5e3` is text.
    let (fraction, exponent) = fraction.split_once(['e', 'E']).map_or((fraction, None), |(fraction, exponent)| (fraction, Some(exponent)));
    let exponent_fits = exponent.is_none_or(|exponent| {
        exponent.strip_prefix(['-', '+']).is_some_and(|power| !power.is_empty() && power.bytes().all(|byte| byte.is_ascii_digit()))
    });
    // Without digits before the point there must be no sign: `-.5` is text.
    let mantissa_fits = if whole.is_empty() {
        unsigned.len() == text.len() && starts_with_digit(fraction)
    } else {
        starts_with_digit(whole) && digits(whole)
    };
    mantissa_fits && digits(fraction) && exponent_fits
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

/// The value of an integer as YAML 1.1 writes them, or of `!!int text`.
///
/// One that 64 bits cannot hold becomes its decimal digits as text, which is what a template would show of it.
pub(super) fn int(text: &str) -> Option<NodeKind> {
    let text = text.replace('_', "");
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text.as_str()),
    };
    let magnitude = if let Some(binary) = digits.strip_prefix("0b") {
        i128::from_str_radix(binary, 2).ok()?
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        i128::from_str_radix(hexadecimal, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(digits, 8).ok()?
    } else if digits.contains(':') {
        digits.split(':').try_fold(0_i128, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))?
    } else if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        match digits.parse() {
            Ok(magnitude) => magnitude,
            Err(_) => return Some(NodeKind::Str(if negative { text } else { digits.to_owned() })),
        }
    } else {
        return None;
    };
    let value = if negative { -magnitude } else { magnitude };
    Some(i64::try_from(value).map_or_else(|_| NodeKind::Str(value.to_string()), NodeKind::Int))
}

/// The value of a float as YAML 1.1 writes them, or of `!!float text`.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(&text)),
    };
    let magnitude = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ if digits.contains(':') => digits.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))?,
        _ => digits.parse().ok()?,
    };
    Some(sign * magnitude)
}

/// `2001-12-14` and `2001-12-14t21:59:43.10-05:00`, as Python prints them; `None` for what is no timestamp, `Err` for one that cannot be.
fn timestamp(text: &str) -> Option<Result<String, String>> {
    let (date, rest) = text.split_at_checked(text.find(['t', 'T', ' ', '\t']).unwrap_or(text.len()))?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let widths = if rest.is_empty() { 2..=2 } else { 1..=2 };
    let (year, month, day) = (number(year, 4..=4)?, number(month, widths.clone())?, number(day, widths)?);
    let date = format!("{year:04}-{month:02}-{day:02}");
    if !rest.is_empty() {
        let time = time_of_day(rest.strip_prefix(['t', 'T']).unwrap_or(rest).trim_start_matches([' ', '\t']))?;
        return Some(check_date(year, month, day).and(time).map(|time| format!("{date} {time}")));
    }
    Some(check_date(year, month, day).map(|()| date))
}

/// `21:59:43.10 -5`, the rest of a timestamp.
fn time_of_day(text: &str) -> Option<Result<String, String>> {
    let clock_end = text.find(|other: char| !other.is_ascii_digit() && other != ':').unwrap_or(text.len());
    let (clock, rest) = text.split_at_checked(clock_end)?;
    let mut parts = clock.split(':');
    let (hour, minute, second) = (number(parts.next()?, 1..=2)?, number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    if parts.next().is_some() {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(rest.find(|other: char| !other.is_ascii_digit()).unwrap_or(rest.len()))?,
        None => ("", rest),
    };
    let zone = offset(zone.trim_start_matches([' ', '\t']))?;
    if hour > 23 || minute > 59 || second > 59 {
        return Some(Err(format!("there is no such time of day as {hour:02}:{minute:02}:{second:02}")));
    }
    let micros = format!("{fraction:0<6.6}");
    let fraction = if micros == "000000" { String::new() } else { format!(".{micros}") };
    Some(Ok(format!("{hour:02}:{minute:02}:{second:02}{fraction}{zone}")))
}

/// `Z`, `-5`, `+01:30` as `+00:00`, `-05:00`, `+01:30`.
fn offset(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    if text == "Z" {
        return Some("+00:00".to_owned());
    }
    let (sign, rest) = text.split_at_checked(1)?;
    if !matches!(sign, "-" | "+") {
        return None;
    }
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    Some(format!("{sign}{:02}:{:02}", number(hours, 1..=2)?, number(minutes, 2..=2)?))
}

fn number(text: &str, widths: std::ops::RangeInclusive<usize>) -> Option<u32> {
    (widths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn check_date(year: u32, month: u32, day: u32) -> Result<(), String> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => 0,
    };
    if year == 0 || day == 0 || day > days {
        return Err(format!("there is no such date as {year:04}-{month:02}-{day:02}"));
    }
    Ok(())
}
