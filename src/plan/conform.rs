//! The parameters of one call, templated, against their module's declaration, in Ansible's words: playbooks match on them.
//!
//! `check` finds what can be found before there are hosts; this finds the rest, and in Ansible's order: what excludes each
//! other, what is missing, types, the other rules, and last what the module does not know.

use crate::module::{Kind, Rule, Spec};
use crate::wire::{Map, Value};

/// Says what is wrong with `params`, which are under their canonical names.
///
/// # Errors
/// The first mistake, as Ansible words it.
pub fn conform(module: &str, spec: &Spec, open: bool, params: &Map) -> Result<(), String> {
    let call = Call { spec, params };
    call.first(module)?;
    call.exclusive()?;
    call.required()?;
    call.values()?;
    call.rules()?;
    if open { Ok(()) } else { call.unknown(module) }
}

struct Call<'a> {
    spec: &'a Spec,
    params: &'a Map,
}

impl Call<'_> {
    fn has(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|value| !value.is_null())
    }

    fn given<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        names.iter().copied().filter(|name| self.has(name)).collect()
    }

    /// What Ansible's own actions ask before anything else, in words of their own.
    fn first(&self, module: &str) -> Result<(), String> {
        let complaint = match module {
            "fail" | "group_by" | "set_stats" | "wait_for_connection" => {
                let mut unknown: Vec<_> = self.strange();
                unknown.sort_unstable();
                return if unknown.is_empty() { Ok(()) } else { Err(format!("Invalid options for {module}: {}", unknown.join(","))) };
            }
            "fetch" if self.params.get("src").is_some_and(|src| src.as_str().is_none() && !src.is_null()) => {
                "Invalid type supplied for source option, it must be a string"
            }
            "fetch" if self.params.get("dest").is_some_and(|dest| dest.as_str().is_none() && !dest.is_null()) => {
                "Invalid type supplied for dest option, it must be a string"
            }
            "fetch" | "template" | "assemble" if self.given(&["src", "dest"]).len() < 2 => "src and dest are required",
            "unarchive" if self.given(&["src", "dest"]).len() < 2 => "src (or content) and dest are required",
            "command" | "shell" if self.given(&["cmd", "argv"]).is_empty() => "no command given",
            "command" if self.given(&["cmd", "argv"]).len() > 1 => "only command or argv can be given, not both",
            "shell" if self.params.contains_key("expand_argument_vars") => {
                "Unsupported parameters for (shell) module: expand_argument_vars"
            }
            "wait_for" if self.given(&["port", "path"]).len() > 1 => "port and path parameter can not both be passed to wait_for",
            "copy" if self.given(&["src", "content"]).is_empty() || self.params.get("src").and_then(Value::as_str) == Some("") => {
                "src (or content) is required"
            }
            "copy" if !self.has("dest") => "dest is required",
            "copy" if self.given(&["src", "content"]).len() > 1 => "src and content are mutually exclusive",
            _ => return Ok(()),
        };
        Err(complaint.to_owned())
    }

    fn strange(&self) -> Vec<&str> {
        self.params.keys().map(String::as_str).filter(|name| self.spec.find(name).is_none()).collect()
    }

    fn exclusive(&self) -> Result<(), String> {
        for rule in self.spec.rules {
            if let Rule::Exclusive(names) = rule
                && self.given(names).len() > 1
            {
                return Err(format!("parameters are mutually exclusive: {}", names.join("|")));
            }
        }
        Ok(())
    }

    fn required(&self) -> Result<(), String> {
        let mut missing: Vec<_> =
            self.spec.params.iter().filter(|param| param.required && !self.has(param.name)).map(|param| param.name).collect();
        missing.sort_unstable();
        if missing.is_empty() { Ok(()) } else { Err(format!("missing required arguments: {}", missing.join(", "))) }
    }

    fn values(&self) -> Result<(), String> {
        for param in self.spec.params {
            let Some(value) = self.params.get(param.name).filter(|value| !value.is_null()) else { continue };
            match &param.kind {
                Kind::Choice(words) => choice(param.name, words, value)?,
                Kind::List(inner) => elements(param.name, inner, value)?,
                kind => convert(kind, value).map_err(|reason| unconvertible("argument", param.name, kind, value, &reason))?,
            }
        }
        Ok(())
    }

    fn rules(&self) -> Result<(), String> {
        for rule in self.spec.rules {
            match rule {
                Rule::Exclusive(_) => {}
                Rule::OneOf(names) if self.given(names).is_empty() => {
                    return Err(format!("one of the following is required: {}", names.join(", ")));
                }
                Rule::Together(names) if !matches!(self.given(names).len(), 0) && self.given(names).len() < names.len() => {
                    return Err(format!("parameters are required together: {}", names.join(", ")));
                }
                Rule::Needs(name, others) if self.has(name) && self.given(others).len() < others.len() => {
                    let missing: Vec<_> = others.iter().copied().filter(|other| !self.has(other)).collect();
                    return Err(format!("missing parameter(s) required by '{name}': {}", missing.join(", ")));
                }
                Rule::When(name, word, others) if self.is(name, word) && self.given(others).len() < others.len() => {
                    let missing: Vec<_> = others.iter().copied().filter(|other| !self.has(other)).collect();
                    return Err(format!("{name} is {word} but all of the following are missing: {}", missing.join(", ")));
                }
                Rule::OneOf(_) | Rule::Together(_) | Rule::Needs(..) | Rule::When(..) => {}
            }
        }
        Ok(())
    }

    fn is(&self, name: &str, word: &str) -> bool {
        match self.params.get(name).filter(|value| !value.is_null()) {
            Some(value) => value.to_text() == word,
            None => self.spec.find(name).is_some_and(|param| !param.default.is_empty() && param.default.ends_with(word)),
        }
    }

    fn unknown(&self, module: &str) -> Result<(), String> {
        let mut unknown = self.strange();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        let mut names: Vec<_> = self.spec.params.iter().map(|param| param.name).collect();
        names.sort_unstable();
        let mut aliases: Vec<_> = self.spec.params.iter().flat_map(|param| param.aliases.iter().copied()).collect();
        aliases.sort_unstable();
        let aliases = if aliases.is_empty() { String::new() } else { format!(" ({})", aliases.join(", ")) };
        Err(format!(
            "Unsupported parameters for ({module}) module: {}. Supported parameters include: {}{aliases}.",
            unknown.join(", "),
            names.join(", ")
        ))
    }
}

fn choice(name: &str, words: &[&str], value: &Value) -> Result<(), String> {
    let text = value.to_text();
    let same_flag = |word: &&str| value.to_bool().is_some() && Value::from(*word).to_bool() == value.to_bool();
    if words.contains(&text.as_str()) || words.iter().any(same_flag) {
        return Ok(());
    }
    Err(format!("value of {name} must be one of: {}, got: {text}", words.join(", ")))
}

fn elements(name: &str, inner: &Kind, value: &Value) -> Result<(), String> {
    let items = match value {
        Value::List(items) => items.clone(),
        Value::Str(text) => text.split(',').map(|part| part.trim().into()).collect(),
        Value::Map(_) if matches!(inner, Kind::Map | Kind::Any) => return Ok(()),
        Value::Map(_) => {
            let reason = "<class 'dict'> cannot be converted to a list";
            return Err(format!("argument '{name}' is of type dict and we were unable to convert to list: {reason}"));
        }
        scalar => vec![scalar.clone()],
    };
    for item in items.iter().filter(|item| !item.is_null() && item.as_str() != Some("")) {
        if let Kind::Choice(words) = inner {
            if choice(name, words, item).is_err() {
                let text = item.to_text();
                return Err(format!("value of {name} must be one or more of: {}. Got no match for: {text}", words.join(", ")));
            }
            continue;
        }
        convert(inner, item).map_err(|reason| unconvertible("Elements value for option", name, inner, item, &reason))?;
    }
    Ok(())
}

/// Why `value` cannot be what `kind` asks for.
fn convert(kind: &Kind, value: &Value) -> Result<(), String> {
    use crate::module::Field;
    match kind {
        Kind::Int => i64::decode(value).map(drop).map_err(|_| format!("\"{}\" cannot be converted to an int", value.repr())),
        Kind::Float => f64::decode(value).map(drop).map_err(|_| format!("\"{}\" cannot be converted to a float", value.repr())),
        Kind::Bool => bool::decode(value).map(drop).map_err(|_| not_boolean(&value.to_text())),
        Kind::Map => Map::decode(value).map(drop).map_err(|_| match value {
            Value::Str(_) => "dictionary requested, could not parse JSON or key=value".to_owned(),
            other => format!("<class '{}'> cannot be converted to a dict", other.python_type()),
        }),
        Kind::List(_) | Kind::Choice(_) | Kind::Str | Kind::Path | Kind::Mode | Kind::Any | Kind::LocalFile | Kind::LocalTemplate => Ok(()),
    }
}

/// That `text` is no boolean.
pub(super) fn not_boolean(text: &str) -> String {
    let valid = "'0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes', 0, 1";
    format!("The value '{text}' is not a valid boolean. Valid booleans include: {valid}")
}

fn unconvertible(what: &str, name: &str, kind: &Kind, value: &Value, reason: &str) -> String {
    let wanted = match kind {
        Kind::Int => "int",
        Kind::Float => "float",
        Kind::Bool => "bool",
        Kind::Map => "dict",
        _ => "str",
    };
    format!("{what} '{name}' is of type {} and we were unable to convert to {wanted}: {reason}", value.python_type())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module;

    #[test]
    fn mistakes_are_told_in_the_words_of_ansible() {
        // module, parameters, the beginning of what ansible-core 2.19 says
        let cases = [
            ("file", "{path: /x, state: touch}", ""),
            ("file", "{path: /x, foo: 1, bar: 2}", "Unsupported parameters for (file) module: bar, foo. Supported parameters include: "),
            ("file", "{state: touch, foo: 1}", "missing required arguments: path"),
            ("file", "{path: /x, state: bogus}", "value of state must be one of: "),
            (
                "file",
                "{path: /x, recurse: bogus}",
                "argument 'recurse' is of type str and we were unable to convert to bool: The value 'bogus' is not a valid boolean.",
            ),
            ("command", "{cmd: ls, argv: [ls]}", "only command or argv can be given, not both"),
            (
                "wait_for",
                "{port: abc}",
                "argument 'port' is of type str and we were unable to convert to int: \"'abc'\" cannot be converted to an int",
            ),
            (
                "find",
                "{paths: {a: b}}",
                "argument 'paths' is of type dict and we were unable to convert to list: <class 'dict'> cannot be converted to a list",
            ),
            ("find", "{paths: /x, recurse: null}", ""),
        ];
        for (name, params, expected) in cases {
            let entry = module::find(name).unwrap();
            let params: Map = serde_yaml_map(params);
            let found = conform(name, &entry.spec, false, &params).err().unwrap_or_default();
            assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{name} {params:?}: {found}");
        }
    }

    fn serde_yaml_map(text: &str) -> Map {
        let sources = crate::text::Sources::default();
        let id = sources.add("case", text);
        let node = crate::text::yaml::parse_one(&sources, id, &mut crate::text::Diagnostics::default()).unwrap();
        match crate::template::node_value(&node) {
            Value::Map(map) => map,
            other => panic!("{other:?}"),
        }
    }
}
