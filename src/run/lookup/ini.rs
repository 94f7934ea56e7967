//! `ini`: values of INI and Java properties files, as Python's `configparser` reads them.

use indexmap::IndexMap;

use super::inline::{Options, Terms};
use crate::regex::Regex;
use crate::template::{LookupCall, Value};

const OPTIONS: &[&str] =
    &["type", "file", "section", "re", "encoding", "default", "case_sensitive", "allow_no_value", "allow_none", "interpolation"];

/// The section that properties, which have none, are read into.
const PROPERTIES: &str = "java_properties";

/// The section whose values all others have too.
const DEFAULT: &str = "DEFAULT";

/// A file: values by section and key; `None` for a key without `=`.
type Sections = IndexMap<String, IndexMap<String, Option<String>>>;

/// Runs the lookup; `read` gives the text of a file, in an encoding.
pub(super) fn run(call: &LookupCall<'_>, read: impl Fn(&str, &str) -> Result<String, String>) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    let terms = Terms::read(call, OPTIONS)?;
    let first = terms.each.first().map(|(_, options)| options.clone()).unwrap_or_default();
    for (key, options) in terms.each {
        let options = if key.is_some() && terms_share(&first, &options) { first.clone() } else { options };
        let key = key.ok_or("No key to lookup was provided as first term with in string inline options")?;
        found.extend(one(&key, &options, &read)?);
    }
    Ok(found)
}

/// Terms without options of their own take those of the first.
fn terms_share(first: &Options, own: &Options) -> bool {
    OPTIONS.iter().all(|name| own.get(name).is_none_or(|value| first.get(name) == Some(value)))
}

fn one(key: &str, options: &Options, read: impl Fn(&str, &str) -> Result<String, String>) -> Result<Vec<Value>, String> {
    let file = options.text("file").unwrap_or_else(|| "ansible.ini".to_owned());
    let text = read(&file, &options.text("encoding").unwrap_or_default())?;
    let properties = options.text("type").is_some_and(|kind| kind == "properties");
    let text = if properties { format!("[{PROPERTIES}]\n{text}") } else { text };
    let exact = options.flag("case_sensitive", false);
    let bare = options.flag("allow_no_value", false) || options.flag("allow_none", false);
    let sections = parse(&text, exact, bare).map_err(|problem| problem.describe(&file, properties))?;
    let section = if properties { PROPERTIES.to_owned() } else { options.text("section").unwrap_or_else(|| "global".to_owned()) };
    let Some(values) = sections.get(&section) else { return Err(format!("No section '{section}' in '{file}'")) };
    let defaults = sections.get(DEFAULT).filter(|_| section != DEFAULT);
    let all: IndexMap<&String, &Option<String>> = defaults.into_iter().flatten().chain(values).collect();
    let finished = |value: &Option<String>| match value {
        Some(text) if options.flag("interpolation", true) => interpolated(text, &all, 0).map(|text| Some(Value::from(text))),
        Some(text) => Ok(Some(Value::from(text.as_str()))),
        None => Ok(None),
    };
    if options.flag("re", false) {
        let pattern = Regex::new(key).map_err(|error| format!("`{key}` is no regular expression: {error}"))?;
        let matching = all.iter().filter(|(name, _)| pattern.begins(name).unwrap_or(false));
        return matching.filter_map(|(_, value)| finished(value).transpose()).collect();
    }
    let key = if exact { key.to_owned() } else { key.to_lowercase() };
    match all.get(&key) {
        Some(value) => Ok(finished(value)?.into_iter().collect()),
        None => Ok(vec![options.get("default").cloned().unwrap_or_else(|| "".into())]),
    }
}

/// What `configparser` refuses.
enum Problem {
    Duplicate(String, String),
    DuplicateSection(String),
    NoSection(usize),
    NoValue(usize),
}

impl Problem {
    fn describe(&self, file: &str, properties: bool) -> String {
        let line = |number: usize| if properties { number.saturating_sub(1) } else { number };
        match self {
            Self::Duplicate(section, key) => format!("Duplicate option in '{file}': option '{key}' in section '{section}' already exists"),
            Self::DuplicateSection(section) => format!("Duplicate section in '{file}': '{section}' already exists"),
            Self::NoSection(number) => format!("{file}:{}: a line before the first section", line(*number)),
            Self::NoValue(number) => format!("{file}:{}: expected `key = value` (or give `allow_no_value=true`)", line(*number)),
        }
    }
}

fn parse(text: &str, exact: bool, bare: bool) -> Result<Sections, Problem> {
    let mut sections = Sections::new();
    let mut current: Option<(String, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) || content.is_empty() {
            if let Some(Some(value)) =
                current.as_ref().and_then(|(section, key)| sections.get_mut(section).and_then(|values| values.get_mut(key)))
            {
                value.push('\n');
                value.push_str(content);
                continue;
            }
            if content.is_empty() {
                continue;
            }
        }
        if let Some((name, _)) = content.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            if name != DEFAULT && sections.contains_key(name) {
                return Err(Problem::DuplicateSection(name.to_owned()));
            }
            sections.entry(name.to_owned()).or_default();
            current = Some((name.to_owned(), String::new()));
            continue;
        }
        let Some((section, _)) = &current else { return Err(Problem::NoSection(index + 1)) };
        let section = section.clone();
        let (key, value) = match content.split_once(['=', ':']) {
            Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
            None if bare => (content, None),
            None => return Err(Problem::NoValue(index + 1)),
        };
        let key = if exact { key.to_owned() } else { key.to_lowercase() };
        let values = sections.entry(section.clone()).or_default();
        if values.insert(key.clone(), value).is_some() {
            return Err(Problem::Duplicate(section, key));
        }
        current = Some((section, key));
    }
    for value in sections.values_mut().flat_map(IndexMap::values_mut).flatten() {
        value.truncate(value.trim_end().len());
    }
    Ok(sections)
}

/// `%(other)s` is the value of `other`, `%%` is `%`.
fn interpolated(text: &str, values: &IndexMap<&String, &Option<String>>, depth: usize) -> Result<String, String> {
    if depth > 10 {
        return Err("values refer to each other more than 10 deep".to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(")s")) {
            let value = values.get(&name.to_lowercase()).or_else(|| values.get(&name.to_owned()));
            let value = value.ok_or_else(|| format!("a value refers to `{name}`, which is not there"))?;
            out.push_str(&interpolated(value.as_deref().unwrap_or_default(), values, depth + 1)?);
            rest = after;
        } else {
            return Err("'%' must be followed by '%' or '(' (or give `interpolation=false`)".to_owned());
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# c\n[global]\nA = 1\nb: two\nmulti = one\n   two\n   # not\n   three\ninter = %(b)s x\npct = 50%%\nsemi = a ; b\n[s2]\nkey1 = v1\nkey2 = v2\nother =\n[DEFAULT]\ndd = 9\n";

    fn lookup(key: &str, options: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let mut given = Options::default();
        for (name, value) in options {
            given.set((*name).to_owned(), *value);
        }
        let file = if options.contains(&("type", "properties")) { "x=1\ny = two words\nz: 3\n" } else { FILE };
        one(key, &given, |_, _| Ok(file.to_owned())).map(|found| found.iter().map(Value::to_text).collect())
    }

    /// Recorded from ansible-core 2.19.
    #[test]
    fn reads_as_configparser_does() {
        let table: &[(&str, &[(&str, &str)], &[&str])] = &[
            ("a", &[], &["1"]),
            ("A", &[], &["1"]),
            ("b", &[], &["two"]),
            ("multi", &[], &["one\ntwo\nthree"]),
            ("inter", &[], &["two x"]),
            ("inter", &[("interpolation", "false")], &["%(b)s x"]),
            ("pct", &[], &["50%"]),
            ("semi", &[], &["a ; b"]),
            ("nokey", &[], &[""]),
            ("nokey", &[("default", "D")], &["D"]),
            (".*", &[("section", "s2"), ("re", "true")], &["9", "v1", "v2", ""]),
            ("dd", &[("section", "s2")], &["9"]),
            ("other", &[("section", "s2")], &[""]),
            ("y", &[("type", "properties")], &["two words"]),
        ];
        for (key, options, expected) in table {
            assert_eq!(lookup(key, options).unwrap(), *expected, "{key} {options:?}");
        }
        assert_eq!(lookup("k", &[("section", "nos"), ("file", "a.ini")]).unwrap_err(), "No section 'nos' in 'a.ini'");
    }

    #[test]
    fn refuses_what_configparser_refuses() {
        let table = [
            ("[a]\nx=1\nX=2", "Duplicate option in 'f': option 'x' in section 'a' already exists"),
            ("[a]\n[a]", "Duplicate section in 'f': 'a' already exists"),
            ("x=1", "f:1: a line before the first section"),
            ("[a]\nword", "f:2: expected `key = value` (or give `allow_no_value=true`)"),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text, false, false).err().unwrap().describe("f", false), expected);
        }
        assert!(parse("[a]\nx=1\nX=2", true, false).is_ok());
        assert!(parse("[a]\nword", false, true).is_ok());
    }
}
