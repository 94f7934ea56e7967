//! Regular expressions, in Python's syntax.

use fancy_regex::{Captures, Regex};

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] =
    &[filter("regex_replace", replace), filter("regex_search", search), filter("regex_findall", findall), filter("regex_escape", escape)];

/// Compiles Python's `pattern`.
pub(in crate::template) fn compiled(pattern: &str, ignore_case: bool, multiline: bool) -> Result<Regex> {
    let flags = match (ignore_case, multiline) {
        (true, true) => "(?im)",
        (true, false) => "(?i)",
        (false, true) => "(?m)",
        (false, false) => "",
    };
    let translated = format!("{flags}{}", translated(pattern));
    Regex::new(&translated).map_err(|error| Error::failed(format!("`{pattern}` is not a regular expression: {error}")))
}

/// The differences between Python's syntax and the library's: `\Z` is the very end, `$` also matches before a last line feed.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(character) = rest.next() {
        match character {
            '\\' => {
                match rest.next() {
                    Some('Z') if !in_class => out.push_str("\\z"),
                    Some('/') => out.push('/'),
                    Some(escaped @ ('"' | '\'' | '@' | '%' | ',' | ':' | ';' | '=' | '!' | '`' | '<' | '>' | '_' | ' ')) => {
                        if escaped == ' ' { out.push_str("\\x20") } else { out.push(escaped) }
                    }
                    Some(escaped) => out.extend(['\\', escaped]),
                    None => out.push_str("\\\\"),
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that comes first is a character.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' => out.push_str("\\["),
            '&' | '~' if in_class => out.extend(['\\', character]),
            '-' if in_class && rest.peek() == Some(&'-') => out.push_str("\\-"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '$' if !in_class => out.push_str("(?:$|(?=\\n\\z))"),
            '{' if !in_class && !is_repetition(rest.clone()) => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    out
}

/// Whether `{` starts a repetition; anything else is the character itself in Python.
fn is_repetition(rest: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let inside: String = rest.take_while(|c| *c != '}').collect();
    !inside.is_empty() && inside != "," && inside.chars().all(|c| c.is_ascii_digit() || c == ',') && inside.matches(',').count() <= 1
}

fn failed(error: &fancy_regex::Error) -> Error {
    Error::failed(format!("the regular expression gave up: {error}"))
}

/// What Python's replacement template gives for one match.
fn expanded(template: &str, captures: &Captures<'_, str>) -> Result<String> {
    let group = |name: &str| -> Result<String> {
        let found = match name.parse::<usize>() {
            Ok(number) if number < captures.len() => captures.get(number),
            Ok(number) => return Err(Error::failed(format!("invalid group reference {number}"))),
            Err(_) => captures.name(name),
        };
        Ok(found.map_or_else(String::new, |found| found.as_str().to_owned()))
    };
    let mut out = String::new();
    let mut rest = template.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('g') if rest.next_if_eq(&'<').is_some() => {
                let name: String = rest.by_ref().take_while(|c| *c != '>').collect();
                out.push_str(&group(&name)?);
            }
            Some('0') => out.push('\0'),
            Some(digit @ '1'..='9') => {
                let mut number = digit.to_string();
                number.extend(rest.next_if(char::is_ascii_digit));
                out.push_str(&group(&number)?);
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a') => out.push('\u{7}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('b') => out.push('\u{8}'),
            Some('\\') | None => out.push('\\'),
            Some(letter) if letter.is_ascii_alphabetic() => return Err(Error::failed(format!("bad escape \\{letter}"))),
            Some(other) => out.extend(['\\', other]),
        }
    }
    Ok(out)
}

fn replace(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let pattern = args.required_or("pattern", "")?;
    let replacement = args.required_or("replacement", "")?;
    let (ignore_case, multiline) = (args.flag("ignorecase", false), args.flag("multiline", false));
    let most = args.size("count", 0)?;
    let mandatory = args.size("mandatory_count", 0)?;
    args.end()?;
    let regex = compiled(&pattern, ignore_case, multiline)?;
    let mut out = String::with_capacity(text.len());
    let (mut end, mut count) = (0, 0);
    for captures in regex.captures_iter(text.as_str()) {
        let captures = captures.map_err(|error| failed(&error))?;
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(text.get(end..whole.start()).unwrap_or_default());
        out.push_str(&expanded(&replacement, &captures)?);
        end = whole.end();
        count += 1;
        if most > 0 && count == most {
            break;
        }
    }
    if mandatory > 0 && count != mandatory {
        return Err(Error::failed(format!("'{pattern}' should match {mandatory} times, but matches {count} times")));
    }
    out.push_str(text.get(end..).unwrap_or_default());
    Ok(Value::from(out))
}

fn search(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let pattern = args.required_text("regex")?;
    let groups = args.rest();
    let (ignore_case, multiline) = (args.named_flag("ignorecase", false), args.named_flag("multiline", false));
    args.end()?;
    let regex = compiled(&pattern, ignore_case, multiline)?;
    let Some(captures) = regex.captures(text.as_str()).map_err(|error| failed(&error))? else { return Ok(Value::None) };
    let matched = |name: Option<&str>| {
        let found = match name {
            None => captures.get(0),
            Some(name) => name.parse().ok().map_or_else(|| captures.name(name), |number| captures.get(number)),
        };
        found.map(|found| Value::from(found.as_str())).unwrap_or_default()
    };
    if groups.is_empty() {
        return Ok(matched(None));
    }
    let mut out = Vec::new();
    for group in groups {
        let group = text_of(&group)?;
        let name = group.strip_prefix("\\g<").and_then(|rest| rest.strip_suffix('>')).or_else(|| group.strip_prefix('\\'));
        out.push(matched(Some(name.ok_or_else(|| Error::failed("Unknown argument"))?)));
    }
    Ok(Value::list(out))
}

fn findall(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let pattern = args.required_text("regex")?;
    let multiline = args.flag("multiline", false);
    let ignore_case = args.flag("ignorecase", false);
    args.end()?;
    let regex = compiled(&pattern, ignore_case, multiline)?;
    let mut out = Vec::new();
    for captures in regex.captures_iter(text.as_str()) {
        let captures = captures.map_err(|error| failed(&error))?;
        let group = |number| Value::from(captures.get(number).map_or("", |found| found.as_str()));
        out.push(match captures.len() {
            1 => group(0),
            2 => group(1),
            more => Value::tuple((1..more).map(group)),
        });
    }
    Ok(Value::list(out))
}

fn escape(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let kind = args.text("re_type")?.unwrap_or_else(|| "python".to_owned());
    let special: &str = match kind.as_str() {
        "python" => "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}",
        "posix_basic" => "].[^$*\\",
        "posix_extended" => return Err(Error::failed(format!("Regex type ({kind}) not yet implemented"))),
        _ => return Err(Error::failed(format!("Invalid regex type ({kind})"))),
    };
    Ok(Value::from(text.chars().flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c])).collect::<String>()))
}
