//! The methods of text, lists and mappings.

use std::sync::Arc;

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::{Eval, hashable};
use super::format;
use super::text::text_of;
use super::value::{Entries, Key, List, Map, Value};

const TEXT: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];
const LIST: &[&str] = &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const MAP: &[&str] = &["clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
const CHANGING: &[&str] = &["append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"];

/// Whether values of this type have the method `name`.
pub(super) fn has(type_name: &str, name: &str) -> bool {
    match type_name {
        "str" => TEXT.contains(&name),
        "list" => LIST.contains(&name),
        "dict" | "HostVarsVars" => MAP.contains(&name),
        "tuple" => matches!(name, "count" | "index"),
        "int" => matches!(name, "bit_length"),
        "float" => matches!(name, "is_integer"),
        _ => false,
    }
}

/// Whether the method changes its subject.
pub(super) fn changes(type_name: &str, name: &str) -> bool {
    matches!(type_name, "list" | "dict") && CHANGING.contains(&name)
}

/// `value.name(args)`.
pub(super) fn call(eval: &Eval<'_>, value: &Value, name: &str, mut args: Args) -> Result<Value> {
    let result = match value {
        Value::Str(subject) => text(eval, subject, name, &mut args),
        Value::List(subject) => list(eval, subject, name, &mut args),
        Value::Map(subject) => map(subject, name, &mut args),
        Value::Tuple(items) => list(eval, &List::fixed(items.to_vec()), name, &mut args),
        Value::Int(number) if name == "bit_length" => Ok(Value::from(u64::from(128 - number.unsigned_abs().leading_zeros()))),
        Value::Float(number) if name == "is_integer" => Ok(Value::Bool(number.fract() == 0.0)),
        _ => Err(Error::failed(format!("'{}' object has no attribute '{name}'", value.type_name()))),
    }?;
    args.end()?;
    Ok(result)
}

fn at(index: Option<usize>) -> Value {
    index.map_or(Value::Int(-1), Value::from)
}

/// The position of a byte, counted in characters.
fn characters_before(text: &str, byte: usize) -> usize {
    text.get(..byte).unwrap_or_default().chars().count()
}

/// The prefixes of `startswith` and `endswith`: one, or a tuple of them.
fn choices(args: &mut Args, name: &str) -> Result<Vec<String>> {
    match args.required(name)? {
        Value::Str(one) => Ok(vec![one.to_string()]),
        Value::Tuple(many) => many.iter().map(text_of).collect(),
        other => Err(Error::failed(format!("{name} first arg must be str or a tuple of str, not {}", other.type_name()))),
    }
}

fn text(eval: &Eval<'_>, subject: &str, name: &str, args: &mut Args) -> Result<Value> {
    if let Some(flag) = question(subject, name) {
        return Ok(Value::Bool(flag));
    }
    Ok(match name {
        "upper" => Value::from(subject.to_uppercase()),
        "lower" | "casefold" => Value::from(subject.to_lowercase()),
        "capitalize" => Value::from(capitalize(subject)),
        "title" => Value::from(title(subject)),
        "swapcase" => Value::from(swapped(subject)),
        "encode" => {
            args.rest();
            args.named.clear();
            Value::from(subject)
        }
        "strip" | "lstrip" | "rstrip" => {
            let set = args.text("chars")?;
            let strip = |c: char| set.as_ref().map_or_else(|| c.is_whitespace(), |set| set.contains(c));
            let mut out = subject;
            if name != "rstrip" {
                out = out.trim_start_matches(strip);
            }
            if name != "lstrip" {
                out = out.trim_end_matches(strip);
            }
            Value::from(out)
        }
        "split" => Value::list(split(subject, args.text("sep")?.as_deref(), args.int("maxsplit")?)?),
        "rsplit" => Value::list(rsplit(subject, args.text("sep")?.as_deref(), args.int("maxsplit")?)?),
        "splitlines" => Value::list(lines(subject, args.flag("keepends", false)).into_iter().map(Value::from)),
        "partition" | "rpartition" => {
            let separator = args.required_text("sep")?;
            let found = if name == "partition" { subject.split_once(&separator) } else { subject.rsplit_once(&separator) };
            let parts = match found {
                Some((before, after)) => [before, &separator, after],
                None if name == "partition" => [subject, "", ""],
                None => ["", "", subject],
            };
            Value::tuple(parts.map(Value::from))
        }
        "join" => {
            let items = args.required("iterable")?;
            let mut parts = Vec::new();
            for (index, item) in eval.iterate(&eval.session.force(items)?)?.into_iter().enumerate() {
                match item {
                    Value::Str(part) => parts.push(part.to_string()),
                    Value::Undefined(missing) => return Err(Error::undefined(&missing)),
                    other => {
                        return Err(Error::failed(format!("sequence item {index}: expected str instance, {} found", other.type_name())));
                    }
                }
            }
            Value::from(parts.join(subject))
        }
        "replace" => {
            let (old, new) = (args.required_text("old")?, args.required_text("new")?);
            match args.int("count")? {
                Some(count) if count >= 0 => Value::from(subject.replacen(&old, &new, usize::try_from(count).unwrap_or(usize::MAX))),
                _ => Value::from(subject.replace(&old, &new)),
            }
        }
        "startswith" => Value::Bool(choices(args, name)?.iter().any(|prefix| subject.starts_with(&**prefix))),
        "endswith" => Value::Bool(choices(args, name)?.iter().any(|suffix| subject.ends_with(&**suffix))),
        "removeprefix" => Value::from(subject.strip_prefix(&*args.required_text("prefix")?).unwrap_or(subject)),
        "removesuffix" => Value::from(subject.strip_suffix(&*args.required_text("suffix")?).unwrap_or(subject)),
        "find" | "rfind" | "index" | "rindex" => {
            let needle = args.required_text("sub")?;
            let (start, end) = (args.int("start")?, args.int("end")?);
            let whole: Vec<char> = subject.chars().collect();
            let length = whole.len();
            let bound = |given: Option<i128>, default: usize| {
                given.map_or(default, |given| {
                    let length = i128::try_from(length).unwrap_or(i128::MAX);
                    usize::try_from(if given < 0 { given + length } else { given }.clamp(0, length)).unwrap_or(default)
                })
            };
            let (start, end) = (bound(start, 0), bound(end, length));
            let part: String = whole.get(start..end.max(start)).unwrap_or_default().iter().collect();
            let found = if name.starts_with('r') { part.rfind(&needle) } else { part.find(&needle) };
            let found = found.map(|byte| start + characters_before(&part, byte));
            if found.is_none() && name.ends_with("index") {
                return Err(Error::failed("substring not found"));
            }
            at(found)
        }
        "count" => {
            let needle = args.required_text("sub")?;
            Value::from(if needle.is_empty() { subject.chars().count() + 1 } else { subject.matches(&needle).count() })
        }
        "ljust" | "rjust" | "center" => {
            let width = args.size("width", 0)?;
            let fill = args.text("fillchar")?.and_then(|fill| fill.chars().next()).unwrap_or(' ');
            Value::from(justified(subject, width, fill, name))
        }
        "zfill" => {
            let width = args.size("width", 0)?;
            let (sign, digits) =
                subject.strip_prefix(['-', '+']).map_or(("", subject), |digits| (subject.get(..1).unwrap_or_default(), digits));
            Value::from(format!("{sign}{}", justified(digits, width.saturating_sub(sign.len()), '0', "rjust")))
        }
        "expandtabs" => {
            let size = args.size("tabsize", 8)?;
            Value::from(expanded(subject, size))
        }
        "format" | "format_map" => {
            let (positional, mut named) = (args.rest(), std::mem::take(&mut args.named));
            let (positional, mut given) = if name == "format" { (positional, Vec::new()) } else { (Vec::new(), positional) };
            for entries in given.drain(..).filter_map(|value| value.as_entries()) {
                named.extend(entries.iter().map(|(key, value)| (Arc::from(key.0.to_text()), value.clone())));
            }
            let positional = positional.into_iter().map(|value| eval.session.force(value)).collect::<Result<Vec<_>>>()?;
            for (_, value) in &mut named {
                *value = eval.session.force(std::mem::take(value))?;
            }
            let below = |value: &Value, key: &str, item: bool| match (item, key.parse::<i64>()) {
                (true, Ok(index)) => eval.item(value, &Value::from(index)),
                (true, Err(_)) => eval.item(value, &Value::from(key)),
                // Unlike Jinja, Python does not take an entry for an attribute.
                (false, _) if value.as_entries().is_some() => Err(Error::failed(format!("'dict' object has no attribute '{key}'"))),
                (false, _) => eval.attribute(value, &key.into()),
            };
            Value::from(format::braces(subject, &positional, &named, &below)?)
        }
        _ => return Err(Error::failed(format!("'str' object has no attribute '{name}'"))),
    })
}

/// The methods of text that ask something about all its characters.
fn question(subject: &str, name: &str) -> Option<bool> {
    let all = |test: fn(char) -> bool| !subject.is_empty() && subject.chars().all(test);
    let cased = |test: fn(char) -> bool, other: fn(char) -> bool| subject.chars().any(test) && !subject.chars().any(other);
    Some(match name {
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "isascii" => subject.is_ascii(),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "istitle" => cased(char::is_alphabetic, |_| false) && title(subject) == subject,
        "isidentifier" => all(|c| c.is_alphanumeric() || c == '_') && !subject.starts_with(|c: char| c.is_numeric()),
        _ => return None,
    })
}

pub(super) fn capitalize(subject: &str) -> String {
    let mut rest = subject.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest.as_str().to_lowercase().chars()).collect())
}

fn title(subject: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for character in subject.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = character.is_alphabetic();
    }
    out
}

fn swapped(subject: &str) -> String {
    subject.chars().flat_map(|c| if c.is_uppercase() { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() }).collect()
}

/// Text padded to `width` characters.
pub(super) fn justified(subject: &str, width: usize, fill: char, how: &str) -> String {
    let missing = width.saturating_sub(subject.chars().count());
    let filled = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    match how {
        "ljust" => format!("{subject}{}", filled(missing)),
        "rjust" => format!("{}{subject}", filled(missing)),
        _ => {
            let left = missing / 2 + (missing & width & 1);
            format!("{}{subject}{}", filled(left), filled(missing - left))
        }
    }
}

fn expanded(subject: &str, size: usize) -> String {
    let mut column = 0;
    let mut out = String::new();
    for character in subject.chars() {
        match character {
            '\t' if size > 0 => {
                let count = size - column % size;
                out.extend(std::iter::repeat_n(' ', count));
                column += count;
            }
            '\t' => {}
            other => {
                out.push(other);
                column = if other == '\n' { 0 } else { column + 1 };
            }
        }
    }
    out
}

/// `str.split`.
pub(super) fn split(subject: &str, separator: Option<&str>, most: Option<i128>) -> Result<Vec<Value>> {
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1);
    Ok(match separator {
        Some("") => return Err(Error::failed("empty separator")),
        Some(separator) => subject.splitn(most + 1, separator).map(Value::from).collect(),
        None => {
            let mut out = Vec::new();
            let mut rest = subject.trim_start();
            while !rest.is_empty() {
                if out.len() == most {
                    out.push(Value::from(rest.trim_end()));
                    break;
                }
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                out.push(Value::from(word));
                rest = after.trim_start();
            }
            out
        }
    })
}

fn rsplit(subject: &str, separator: Option<&str>, most: Option<i128>) -> Result<Vec<Value>> {
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1);
    let mut out: Vec<Value> = match separator {
        Some("") => return Err(Error::failed("empty separator")),
        Some(separator) => subject.rsplitn(most + 1, separator).map(Value::from).collect(),
        None => {
            let mut out = Vec::new();
            let mut rest = subject.trim_end();
            while !rest.is_empty() {
                if out.len() == most {
                    out.push(Value::from(rest.trim_start()));
                    break;
                }
                let start = rest
                    .rfind(char::is_whitespace)
                    .map_or(0, |at| at + rest.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8));
                let (before, word) = rest.split_at(start);
                out.push(Value::from(word));
                rest = before.trim_end();
            }
            out
        }
    };
    out.reverse();
    Ok(out)
}

/// `str.splitlines`.
pub(super) fn lines(subject: &str, keep: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = subject;
    while !rest.is_empty() {
        let end = rest.find(['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}']);
        let Some(end) = end else {
            out.push(rest.to_owned());
            break;
        };
        let tail = rest.get(end..).unwrap_or_default();
        let length = if tail.starts_with("\r\n") { 2 } else { tail.chars().next().map_or(1, char::len_utf8) };
        out.push(rest.get(..if keep { end + length } else { end }).unwrap_or_default().to_owned());
        rest = rest.get(end + length..).unwrap_or_default();
    }
    out
}

fn frozen() -> Error {
    Error::failed("this value cannot be changed here: assign it to a name with `set` first")
}

fn list(eval: &Eval<'_>, subject: &List, name: &str, args: &mut Args) -> Result<Value> {
    let items = subject.get();
    let done = |changed: Option<()>| changed.map(|()| Value::None).ok_or_else(frozen);
    match name {
        "append" => {
            let item = args.required("object")?;
            done(subject.edit(|items| items.push(item)))
        }
        "extend" => {
            let more = args.required("iterable")?;
            let more = eval.iterate(&eval.session.force(more)?)?;
            done(subject.edit(|items| items.extend(more)))
        }
        "insert" => {
            let index = args.int("index")?.unwrap_or_default();
            let item = args.required("object")?;
            let length = i128::try_from(items.len()).unwrap_or(i128::MAX);
            let index = usize::try_from((if index < 0 { index + length } else { index }).clamp(0, length)).unwrap_or_default();
            done(subject.edit(|items| items.insert(index, item)))
        }
        "pop" => {
            let index = args.int("index")?.unwrap_or(-1);
            let length = i128::try_from(items.len()).unwrap_or(i128::MAX);
            let index = if index < 0 { index + length } else { index };
            match usize::try_from(index).ok().filter(|index| *index < items.len()) {
                Some(index) => subject.edit(|items| items.remove(index)).ok_or_else(frozen),
                None => Err(Error::failed(if items.is_empty() { "pop from empty list" } else { "pop index out of range" })),
            }
        }
        "remove" => {
            let item = args.required("value")?;
            match items.iter().position(|known| *known == item) {
                Some(index) => done(subject.edit(|items| drop(items.remove(index)))),
                None => Err(Error::failed("list.remove(x): x not in list")),
            }
        }
        "clear" => done(subject.edit(Vec::clear)),
        "reverse" => done(subject.edit(|items| items.reverse())),
        "sort" => {
            let reverse = args.named_flag("reverse", false);
            let sorted = super::filter::list::sorted(items.to_vec(), reverse)?;
            done(subject.edit(|items| *items = sorted))
        }
        "copy" => Ok(Value::list(items.iter().cloned())),
        "count" => {
            let item = args.required("value")?;
            Ok(Value::from(items.iter().filter(|known| **known == item).count()))
        }
        "index" => {
            let item = args.required("value")?;
            let found = items.iter().position(|known| *known == item);
            found.map(Value::from).ok_or_else(|| Error::failed("list.index(x): x is not in list"))
        }
        _ => Err(Error::failed(format!("'list' object has no attribute '{name}'"))),
    }
}

fn map(subject: &Map, name: &str, args: &mut Args) -> Result<Value> {
    let entries = subject.get();
    let done = |changed: Option<()>| changed.map(|()| Value::None).ok_or_else(frozen);
    match name {
        "get" => {
            let key = Key(hashable(args.required("key")?)?);
            let default = args.next("default");
            Ok(entries.get(&key).cloned().or(default).unwrap_or_default())
        }
        "keys" => Ok(Value::list(entries.keys().map(|key| key.0.clone()))),
        "values" => Ok(Value::list(entries.values().cloned())),
        "items" => Ok(Value::list(entries.iter().map(|(key, value)| Value::tuple([key.0.clone(), value.clone()])))),
        "copy" => Ok(Value::Map(Map::open((*entries).clone()))),
        "update" => {
            let mut more = Entries::new();
            if let Some(other) = args.next("other") {
                match other.as_entries() {
                    Some(other) => more.extend(other.iter().map(|(key, value)| (key.clone(), value.clone()))),
                    None => {
                        for pair in other.as_items().unwrap_or_default().iter() {
                            if let [key, value] = &**pair.as_items().unwrap_or_default() {
                                more.insert(Key(hashable(key.clone())?), value.clone());
                            }
                        }
                    }
                }
            }
            more.extend(args.named.drain(..).map(|(name, value)| (Key(Value::Str(name)), value)));
            done(subject.edit(|entries| entries.extend(more)))
        }
        "setdefault" => {
            let (key, default) = (Key(hashable(args.required("key")?)?), args.next("default").unwrap_or_default());
            subject.edit(|entries| entries.entry(key).or_insert(default).clone()).ok_or_else(frozen)
        }
        "pop" => {
            let (key, default) = (Key(hashable(args.required("key")?)?), args.next("default"));
            match (entries.contains_key(&key), default) {
                (true, _) => subject.edit(|entries| entries.shift_remove(&key)).ok_or_else(frozen).map(Option::unwrap_or_default),
                (false, Some(default)) => Ok(default),
                (false, None) => Err(Error::failed("dict.pop(key): key is not in dict")),
            }
        }
        "popitem" => match subject.edit(Entries::pop).ok_or_else(frozen)? {
            Some((key, value)) => Ok(Value::tuple([key.0, value])),
            None => Err(Error::failed("'popitem(): dictionary is empty'")),
        },
        "clear" => done(subject.edit(Entries::clear)),
        _ => Err(Error::failed(format!("'dict' object has no attribute '{name}'"))),
    }
}
