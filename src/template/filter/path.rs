//! Filters on paths and addresses of the web.

use std::path::{Path, PathBuf};

use super::{Filter, filter};
use crate::template::LookupCall;
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::text::text_of;
use crate::template::value::Value;
use crate::text::folder;

pub(super) const FILTERS: &[Filter] = &[
    filter("basename", |_, value, _| Ok(Value::from(split(&text_of(&value)?).1))),
    filter("dirname", |_, value, _| Ok(Value::from(split(&text_of(&value)?).0))),
    filter("splitext", splitext),
    filter("expanduser", expanduser),
    filter("expandvars", expandvars),
    filter("realpath", |_, value, _| Ok(Value::from(folder::real(Path::new(&text_of(&value)?)).display().to_string()))),
    filter("normpath", |_, value, _| Ok(Value::from(normal(&text_of(&value)?)))),
    filter("relpath", relpath),
    filter("path_join", path_join),
    filter("commonpath", commonpath),
    filter("fileglob", fileglob),
    filter("win_basename", |_, value, _| Ok(Value::from(win_split(&text_of(&value)?).1))),
    filter("win_dirname", |_, value, _| Ok(Value::from(win_split(&text_of(&value)?).0))),
    filter("win_splitdrive", win_splitdrive),
    filter("urlsplit", urlsplit),
    filter("urlencode", urlencode),
    filter("urldecode", |_, value, _| Ok(Value::from(decoded(&text_of(&value)?)))),
];

/// What is before and after the last slash.
fn split(path: &str) -> (&str, &str) {
    let (head, tail) = path.rfind('/').map_or(("", path), |at| path.split_at(at + 1));
    let trimmed = head.trim_end_matches('/');
    (if trimmed.is_empty() { head } else { trimmed }, tail)
}

fn splitext(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let path = text_of(&value)?;
    let name_start = path.rfind('/').map_or(0, |at| at + 1);
    let name = path.get(name_start..).unwrap_or_default();
    let leading = name.len() - name.trim_start_matches('.').len();
    let dot = name.get(leading..).and_then(|rest| rest.rfind('.')).map(|at| name_start + leading + at);
    let (root, extension) = path.split_at(dot.unwrap_or(path.len()));
    Ok(Value::tuple([Value::from(root), Value::from(extension)]))
}

/// A variable of the environment, asked of whoever knows the world.
fn environment(eval: &Eval<'_>, name: &str) -> Option<String> {
    let templar = eval.session.templar;
    let call = LookupCall { name: "env", terms: &[Value::from(name)], options: &[], scope: eval.scope, templar };
    templar.lookups.lookup(call).ok()?.first().map(Value::to_text).filter(|text| !text.is_empty())
}

fn expanduser(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let path = text_of(&value)?;
    match path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => {
            Ok(Value::from(format!("{}{rest}", environment(eval, "HOME").unwrap_or_else(|| "~".to_owned()).trim_end_matches('/'))))
        }
        None => Ok(path.strip_prefix('~').and_then(|rest| of_user(eval, rest)).map_or(value, Value::from)),
    }
}

/// `root/x` below the home of that user, if there is one.
fn of_user(eval: &Eval<'_>, rest: &str) -> Option<String> {
    let (user, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let sources = &eval.session.templar.sources;
    let accounts = sources.get(sources.read(Path::new("/etc/passwd")).ok()?);
    let home = accounts.text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(4)).flatten()
    })?;
    Some(format!("{}{below}", home.trim_end_matches('/')))
}

fn expandvars(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('$') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        let (name, written) = if let Some(inside) = after.strip_prefix('{') {
            let end = inside.find('}').unwrap_or(0);
            (inside.get(..end).unwrap_or_default(), end + 2)
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (after.get(..end).unwrap_or_default(), end)
        };
        if let Some(found) = environment(eval, name).filter(|_| !name.is_empty()) {
            out.push_str(&found);
            rest = after.get(written..).unwrap_or_default();
        } else {
            out.push('$');
            rest = after;
        }
    }
    Ok(Value::from(out + rest))
}

/// Without `.`, `..` and doubled slashes.
fn normal(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", None) if absolute => {}
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        // POSIX lets exactly two slashes mean something of their own.
        (true, _) if path.starts_with("//") && !path.starts_with("///") => format!("//{joined}"),
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn relpath(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let absolute = |path: &str| std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)).display().to_string();
    let path = normal(&absolute(&text_of(&value)?));
    let start = normal(&absolute(&args.required_or("start", ".")?));
    let parts = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (path, start) = (parts(&path), parts(&start));
    let same = path.iter().zip(&start).take_while(|(left, right)| left == right).count();
    let ups = std::iter::repeat_n("..".to_owned(), start.len() - same);
    let relative = ups.chain(path.into_iter().skip(same)).collect::<Vec<_>>().join("/");
    Ok(Value::from(if relative.is_empty() { ".".to_owned() } else { relative }))
}

fn path_join(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let parts = match &value {
        Value::Str(_) => vec![value.clone()],
        other => other
            .as_items()
            .map(|items| items.to_vec())
            .ok_or_else(|| Error::failed(format!("path_join expects string or sequence, got '{}' instead", other.type_name())))?,
    };
    let mut out = String::new();
    for part in parts {
        let part = text_of(&part)?;
        if part.starts_with('/') || out.is_empty() {
            out = part;
        } else {
            if !out.ends_with('/') {
                out.push('/');
            }
            out.push_str(&part);
        }
    }
    Ok(Value::from(out))
}

fn commonpath(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let paths = eval.iterate(&value)?.iter().map(text_of).collect::<Result<Vec<_>>>()?;
    let absolute = paths.iter().all(|path| path.starts_with('/'));
    if !absolute && paths.iter().any(|path| path.starts_with('/')) {
        return Err(Error::failed("Can't mix absolute and relative paths"));
    }
    let mut common: Option<Vec<&str>> = None;
    for path in &paths {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        common = Some(match common {
            None => parts,
            Some(known) => known.iter().zip(&parts).take_while(|(left, right)| left == right).map(|(part, _)| *part).collect(),
        });
    }
    let joined = common.ok_or_else(|| Error::failed("commonpath() arg is an empty sequence"))?.join("/");
    Ok(Value::from(if absolute { format!("/{joined}") } else { joined }))
}

fn fileglob(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let templar = eval.session.templar;
    let call = LookupCall { name: "fileglob", terms: &[value], options: &[], scope: eval.scope, templar };
    templar.lookups.lookup(call).map(Value::list).map_err(|refused| Error::failed(refused.message))
}

/// The drive, and the rest.
fn drive(path: &str) -> (&str, &str) {
    let same = path.replace('/', "\\");
    if same.starts_with("\\\\") {
        // `\\server\share`, `\\?\UNC\server\share`.
        let start = if same.to_uppercase().starts_with("\\\\?\\UNC\\") { 8 } else { 2 };
        let separator = |from: usize| same.get(from..).and_then(|rest| rest.find('\\')).map(|at| from + at);
        let end = separator(start).and_then(|server| separator(server + 1)).unwrap_or(path.len());
        return path.split_at(end);
    }
    if path.get(1..2) == Some(":") { path.split_at(2) } else { ("", path) }
}

fn win_split(path: &str) -> (String, String) {
    let (drive, rest) = drive(path);
    let (head, tail) = rest.rfind(['\\', '/']).map_or(("", rest), |at| rest.split_at(at + 1));
    let trimmed = head.trim_end_matches(['\\', '/']);
    (format!("{drive}{}", if trimmed.is_empty() { head } else { trimmed }), tail.to_owned())
}

fn win_splitdrive(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let path = text_of(&value)?;
    let (drive, rest) = drive(&path);
    Ok(Value::tuple([Value::from(drive), Value::from(rest)]))
}

fn urlsplit(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let url = text_of(&value)?;
    let wanted = args.text("query")?.filter(|wanted| !wanted.is_empty());
    args.end()?;
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).map_or(("", url.as_str()), |found| found);
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (netloc, path) = match rest.strip_prefix("//") {
        Some(after) => after.split_at(after.find('/').unwrap_or(after.len())),
        None => ("", rest),
    };
    let (user, host) = netloc.rsplit_once('@').map_or((None, netloc), |(user, host)| (Some(user), host));
    let (username, password) = match user.map(|user| user.split_once(':').map_or((user, None), |(name, password)| (name, Some(password)))) {
        Some((name, password)) => (Some(name), password),
        None => (None, None),
    };
    let (hostname, port) = match host.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((address, after)) => (address, after.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => Value::from(port.parse::<i64>().map_err(|_| Error::failed("Port could not be cast to integer value"))?),
        None => Value::None,
    };
    let optional = |text: Option<&str>| text.map_or(Value::None, Value::from);
    let parts = [
        ("fragment", Value::from(fragment)),
        ("hostname", if hostname.is_empty() { Value::None } else { Value::from(hostname.to_lowercase()) }),
        ("netloc", Value::from(netloc)),
        ("password", optional(password)),
        ("path", Value::from(path)),
        ("port", port),
        ("query", Value::from(query)),
        ("scheme", Value::from(scheme.to_lowercase())),
        ("username", optional(username)),
    ];
    match wanted {
        None => Ok(Value::map(parts)),
        Some(wanted) => match parts.into_iter().find(|(name, _)| *name == wanted) {
            Some((_, part)) => Ok(part),
            None => Err(Error::failed(format!("urlsplit: unknown URL component: {wanted}"))),
        },
    }
}

/// Percent-encoded; a blank is `+` in a query.
fn encoded(text: &str, in_query: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b'/' if !in_query => out.push('/'),
            b' ' if in_query => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn urlencode(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    if value.as_entries().is_none() && value.as_items().is_none() {
        return Ok(Value::from(encoded(&text_of(&value)?, false)));
    }
    let pairs: Vec<(Value, Value)> = if let Some(entries) = value.as_entries() {
        entries.iter().map(|(key, value)| (key.0.clone(), value.clone())).collect()
    } else {
        let pair = |pair: &Value| match &*eval.iterate(pair)? {
            [key, value] => Ok((key.clone(), value.clone())),
            _ => Err(Error::failed("expected pairs of a key and a value")),
        };
        eval.iterate(&value)?.iter().map(pair).collect::<Result<_>>()?
    };
    let pairs = pairs.iter().map(|(key, value)| Ok(format!("{}={}", encoded(&text_of(key)?, true), encoded(&text_of(value)?, true))));
    Ok(Value::from(pairs.collect::<Result<Vec<_>>>()?.join("&")))
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let hex = text.get(index + 1..index + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                index += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        index += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
