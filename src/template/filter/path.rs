//! Filters on paths, as Python's `posixpath` and `ntpath` work on them.

use std::env;
use std::fs;

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("basename", |_, value, _| text_of(&value).map(|path| Value::from(split(&path).1))),
    filter("dirname", |_, value, _| text_of(&value).map(|path| Value::from(split(&path).0))),
    filter("splitext", splitext),
    filter("expanduser", |_, value, _| text_of(&value).map(|path| Value::from(expanded_user(&path)))),
    filter("expandvars", |_, value, _| text_of(&value).map(|path| Value::from(expanded_variables(&path)))),
    filter("realpath", |_, value, _| text_of(&value).map(|path| Value::from(real(&path)))),
    filter("relpath", relpath),
    filter("normpath", |_, value, _| text_of(&value).map(|path| Value::from(normal(&path)))),
    filter("commonpath", commonpath),
    filter("path_join", path_join),
    filter("fileglob", fileglob),
    filter("win_basename", |_, value, _| text_of(&value).map(|path| Value::from(windows_split(&path).1))),
    filter("win_dirname", |_, value, _| text_of(&value).map(|path| Value::from(windows_split(&path).0))),
    filter("win_splitdrive", |_, value, _| {
        let path = text_of(&value)?;
        let (drive, rest) = path.split_at(drive_length(&path));
        Ok(Value::tuple([Value::from(drive), Value::from(rest)]))
    }),
];

/// The folder and the name of `path`.
fn split(path: &str) -> (&str, &str) {
    let (folder, name) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
    let bare = folder.trim_end_matches('/');
    (if bare.is_empty() { folder } else { bare }, name)
}

fn splitext(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let path = text_of(&value)?;
    let start = path.rfind('/').map_or(0, |slash| slash + 1);
    let name = path.get(start..).unwrap_or_default();
    let dots = name.len() - name.trim_start_matches('.').len();
    let at = name.rfind('.').filter(|dot| *dot > dots).map_or(path.len(), |dot| start + dot);
    let (root, extension) = path.split_at(at);
    Ok(Value::tuple([Value::from(root), Value::from(extension)]))
}

/// `~` and `~user` at the start are replaced; a user that `/etc/passwd` does not have stays.
fn expanded_user(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (user, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let field = |key: usize, wanted: &str| {
        let line = passwd.lines().find(|line| line.split(':').nth(key) == Some(wanted))?;
        line.split(':').nth(5).map(str::to_owned)
    };
    let home = if user.is_empty() {
        env::var("HOME").ok().or_else(|| field(2, &rustix::process::getuid().as_raw().to_string()))
    } else {
        field(0, user)
    };
    let Some(home) = home else { return path.to_owned() };
    let whole = format!("{}{rest}", home.trim_end_matches('/'));
    if whole.is_empty() { "/".to_owned() } else { whole }
}

/// `$NAME` and `${NAME}`; what the environment does not have stays.
fn expanded_variables(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        let (name, length) = if let Some(inner) = after.strip_prefix('{') {
            inner.find('}').map_or(("", 1), |end| (inner.get(..end).unwrap_or_default(), end + 3))
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (after.get(..end).unwrap_or_default(), end + 1)
        };
        let (whole, left) = from.split_at(length);
        match env::var(name) {
            Ok(value) if !name.is_empty() => out.push_str(&value),
            _ => out.push_str(whole),
        }
        rest = left;
    }
    out.push_str(rest);
    out
}

/// Without `.`, `..` and doubled slashes; two slashes at the start stay, as POSIX says.
pub(in crate::template) fn normal(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part != ".." || (root.is_empty() && parts.last().is_none_or(|last| *last == "..")) {
            parts.push(part);
        } else {
            parts.pop();
        }
    }
    let whole = format!("{root}{}", parts.join("/"));
    if whole.is_empty() { ".".to_owned() } else { whole }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        return normal(path);
    }
    let here = env::current_dir().unwrap_or_default();
    normal(&format!("{}/{path}", here.display()))
}

/// The path with every symbolic link followed; what does not exist stays as it is.
pub(in crate::template) fn real(path: &str) -> String {
    let mut left: Vec<String> = absolute_parts(path);
    let (mut found, mut links) = (String::new(), 0);
    while let Some(part) = left.pop() {
        if part == ".." {
            found.truncate(found.rfind('/').unwrap_or_default());
            continue;
        }
        let next = format!("{found}/{part}");
        match fs::read_link(&next) {
            Ok(target) if links < 40 => {
                links += 1;
                let target = target.to_string_lossy().into_owned();
                if target.starts_with('/') {
                    found.clear();
                }
                left.extend(parts(&target));
            }
            _ => found = next,
        }
    }
    if found.is_empty() { "/".to_owned() } else { found }
}

/// The parts of `path`, the last one first.
fn parts(path: &str) -> impl Iterator<Item = String> + use<> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect();
    parts.into_iter().rev()
}

fn absolute_parts(path: &str) -> Vec<String> {
    if path.starts_with('/') {
        return parts(path).collect();
    }
    let here = env::current_dir().unwrap_or_default();
    parts(&format!("{}/{path}", here.display())).collect()
}

fn relpath(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let path = text_of(&value)?;
    let start = args.required_or("start", ".")?;
    args.end()?;
    if path.is_empty() {
        return Err(Error::failed("no path specified"));
    }
    let (path, start) = (absolute(&path), absolute(&start));
    let split = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (path, start) = (split(&path), split(&start));
    let common = path.iter().zip(&start).take_while(|(first, second)| first == second).count();
    let up = start.iter().skip(common).map(|_| "..".to_owned());
    let whole: Vec<String> = up.chain(path.into_iter().skip(common)).collect();
    Ok(Value::from(if whole.is_empty() { ".".to_owned() } else { whole.join("/") }))
}

fn commonpath(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let paths = eval.iterate(&value)?.iter().map(text_of).collect::<Result<Vec<_>>>()?;
    let Some(first) = paths.first() else { return Err(Error::failed("commonpath() arg is an empty sequence")) };
    let rooted = first.starts_with('/');
    if paths.iter().any(|path| path.starts_with('/') != rooted) {
        return Err(Error::failed("Can't mix absolute and relative paths"));
    }
    let split: Vec<Vec<&str>> =
        paths.iter().map(|path| path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()).collect();
    let mut common = split.first().cloned().unwrap_or_default();
    for parts in &split {
        common.truncate(common.iter().zip(parts).take_while(|(first, second)| first == second).count());
    }
    Ok(Value::from(format!("{}{}", if rooted { "/" } else { "" }, common.join("/"))))
}

fn path_join(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let parts = if value.as_str().is_some() { vec![value] } else { eval.iterate(&value)? };
    let mut whole = String::new();
    for part in &parts {
        let part = text_of(part)?;
        if part.starts_with('/') {
            whole.clear();
        } else if !whole.is_empty() && !whole.ends_with('/') {
            whole.push('/');
        }
        whole.push_str(&part);
    }
    Ok(Value::from(whole))
}

/// The files that a pattern matches; only its last part may have wildcards.
fn fileglob(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let pattern = text_of(&value)?;
    let (folder, name) = split(&pattern);
    let glob = globset::GlobBuilder::new(name).literal_separator(true).build();
    let glob = glob.map_err(|error| Error::failed(format!("`{pattern}` is not a pattern: {error}")))?.compile_matcher();
    let entries = fs::read_dir(if folder.is_empty() { "." } else { folder });
    let names = entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|found| glob.is_match(found) && (name.starts_with('.') || !found.starts_with('.'))).collect();
    names.sort();
    let prefix = pattern.get(..pattern.len() - name.len()).unwrap_or_default();
    let paths = names.into_iter().map(|name| format!("{prefix}{name}")).filter(|path| std::path::Path::new(path).is_file());
    Ok(Value::list(paths.map(Value::from)))
}

const SEPARATORS: [char; 2] = ['/', '\\'];

/// How long the drive at the start is: `c:`, or `\\server\share`.
fn drive_length(path: &str) -> usize {
    if let Some(rest) = path.strip_prefix(r"\\").or_else(|| path.strip_prefix("//")) {
        let Some(server) = rest.find(SEPARATORS) else { return path.len() };
        let share = rest.get(server + 1..).unwrap_or_default();
        return share.find(SEPARATORS).map_or(path.len(), |end| server + end + 3);
    }
    let mut characters = path.char_indices();
    match (characters.next(), characters.next()) {
        (Some(_), Some((at, ':'))) => at + 1,
        _ => 0,
    }
}

fn windows_split(path: &str) -> (String, &str) {
    let (drive, rest) = path.split_at(drive_length(path));
    let (folder, name) = rest.split_at(rest.rfind(SEPARATORS).map_or(0, |at| at + 1));
    let bare = folder.trim_end_matches(SEPARATORS);
    (format!("{drive}{}", if bare.is_empty() { folder } else { bare }), name)
}
