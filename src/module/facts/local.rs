//! The administrator's own facts: `/etc/ansible/facts.d/*.fact`, as files or programs, JSON or INI.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Source, put};
use crate::wire::{Map, Value};

pub(super) fn collect(source: &Source, facts: &mut Map) {
    let mut local = Map::new();
    let mut paths: Vec<_> =
        fs::read_dir(&source.fact_path).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "fact") && !path.is_dir());
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let value = read(&path, source).and_then(|text| parse(&text, &path)).unwrap_or_else(Value::Str);
        local.insert(name, value);
    }
    put(facts, [("local", local.into())]);
}

/// The text of a fact; the error is the fact's value, as in Ansible, so that a playbook can see it.
fn read(path: &Path, source: &Source) -> Result<String, String> {
    fs::metadata(path).map_err(|error| format!("Could not stat fact ({}): {error}", path.display()))?;
    if access(path, Access::EXEC_OK).is_err() {
        let bytes = fs::read(path).map_err(|error| format!("error loading facts as {}: {error}", path.display()))?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let Some(ran) = source.complete(path, &[]) else {
        return Err(format!("Could not execute fact script ({})", path.display()));
    };
    if ran.succeeded() {
        return Ok(ran.stdout_text());
    }
    Err(format!("Failure executing fact script ({}), rc: {}, err: {}", path.display(), ran.status, ran.stderr_text().trim()))
}

fn parse(text: &str, path: &Path) -> Result<Value, String> {
    serde_json::from_str(text).or_else(|_| {
        let sections = sections(text).ok_or_else(|| format!("error loading facts as ini - please check content: {}", path.display()))?;
        Ok(Value::Map(sections))
    })
}

/// `str::to_lowercase` would bring the tables of Greek's last sigma along.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// As Python's `ConfigParser` reads: keys in lower case, `=` or `:`, continued by indented lines; `None` for what is no INI.
fn sections(text: &str) -> Option<Map> {
    let mut sections = Map::new();
    let mut section: Option<String> = None;
    let mut last: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.entry(name.to_owned()).or_insert_with(|| Value::Map(Map::new()));
            (section, last) = (Some(name.to_owned()), None);
            continue;
        }
        let Some(Value::Map(entries)) = sections.get_mut(section.as_ref()?) else { return None };
        if line.starts_with([' ', '\t'])
            && let Some(Value::Str(value)) = last.as_ref().and_then(|key| entries.get_mut(key))
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        let (key, value) = trimmed.split_once(['=', ':'])?;
        let key = lower(key.trim());
        entries.insert(key.clone(), plain(value.trim(), entries)?.into());
        last = Some(key);
    }
    Some(sections)
}

/// A value with `%%` as `%` and `%(name)s` as that entry's value; `None` for any other `%`, which Python refuses.
fn plain(value: &str, entries: &Map) -> Option<String> {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((head, tail)) = rest.split_once('%') {
        out.push_str(head);
        rest = if let Some(tail) = tail.strip_prefix('%') {
            out.push('%');
            tail
        } else {
            let (name, tail) = tail.strip_prefix('(')?.split_once(")s")?;
            out.push_str(&entries.get(&lower(name))?.to_text());
            tail
        };
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn facts_are_json_or_ini_or_programs() {
        let (root, source) = Source::fake(&[
            ("/etc/ansible/facts.d/a.fact", "[one]\nKey = 1\nlong: x\n  y\n[two]\n"),
            ("/etc/ansible/facts.d/b.fact", "{\"x\": [1, true]}"),
            ("/etc/ansible/facts.d/c.fact", "#!/bin/sh\necho '{\"ran\": 1}'\n"),
            ("/etc/ansible/facts.d/d.fact", "nonsense"),
            ("/etc/ansible/facts.d/e.fact", "#!/bin/sh\necho no >&2; exit 3\n"),
            ("/etc/ansible/facts.d/f.fact", "[f]\na = b\nc = %(a)s 5 %%\n"),
            ("/etc/ansible/facts.d/g.fact", "[g]\na = 5 % b\n"),
            ("/etc/ansible/facts.d/readme", "not a fact"),
        ]);
        let place = root.path().join("etc/ansible/facts.d");
        for program in ["c.fact", "e.fact"] {
            fs::set_permissions(place.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut facts = Map::new();
        collect(&source, &mut facts);
        let text = serde_json::to_string(&facts).unwrap().replace(&*root.path().to_string_lossy(), "");
        assert_eq!(
            text,
            concat!(
                r#"{"local":{"a":{"one":{"key":"1","long":"x\ny"},"two":{}},"b":{"x":[1,true]},"c":{"ran":1},"#,
                r#""d":"error loading facts as ini - please check content: /etc/ansible/facts.d/d.fact","#,
                r#""e":"Failure executing fact script (/etc/ansible/facts.d/e.fact), rc: 3, err: no","f":{"f":{"a":"b","c":"b 5 %"}},"#,
                r#""g":"error loading facts as ini - please check content: /etc/ansible/facts.d/g.fact"}}"#
            )
        );
    }
}
