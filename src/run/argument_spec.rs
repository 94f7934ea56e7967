//! Values against an argument specification, as roles declare one: types, choices, what is required, options inside options.

use crate::module::Field;
use crate::wire::{Map, Value};

/// What is wrong with `given`, in Ansible's words.
pub(super) fn errors(spec: &Map, given: &Map) -> Vec<String> {
    let mut errors = Vec::new();
    check(spec, given, "", &mut errors);
    errors
}

fn check(spec: &Map, given: &Map, within: &str, errors: &mut Vec<String>) {
    let mut missing: Vec<&str> = spec
        .iter()
        .filter(|(name, option)| truth(option, "required") && !given.contains_key(*name))
        .map(|(name, _)| name.as_str())
        .collect();
    missing.sort_unstable();
    if !missing.is_empty() {
        errors.push(format!("missing required arguments: {}{}", missing.join(", "), found_in(within)));
    }
    for (name, option) in spec {
        // Nothing is a value where one must be given.
        let counts =
            |value: &&Value| !value.is_null() || truth(option, "required") || option.get("default").is_some_and(|value| !value.is_null());
        if let Some(value) = given.get(name).filter(counts) {
            one(name, option, value, within, errors);
        }
    }
}

fn one(name: &str, option: &Value, value: &Value, within: &str, errors: &mut Vec<String>) {
    let kind = option.get("type").map_or_else(|| "str".to_owned(), Value::to_text);
    if let Err(reason) = fits(&kind, value) {
        let class = python_class(value);
        errors.push(format!("argument '{name}' is of type {class}{} and we were unable to convert to {kind}: {reason}", found_in(within)));
        return;
    }
    if let Some(choices) = option.get("choices").and_then(Value::as_list) {
        let allowed = |value: &Value| choices.iter().any(|choice| choice == value || choice.to_text() == value.to_text());
        let shown = choices.iter().map(Value::to_text).collect::<Vec<_>>().join(", ");
        match value.as_list() {
            Some(items) => {
                let wrong: Vec<_> = items.iter().filter(|item| !allowed(item)).map(Value::to_text).collect();
                if !wrong.is_empty() {
                    errors.push(format!(
                        "value of {name} must be one or more of: {shown}. Got no match for: {}{}",
                        wrong.join(", "),
                        found_in(within)
                    ));
                }
            }
            None if !allowed(value) => {
                errors.push(format!("value of {name} must be one of: {shown}, got: {}{}", value.to_text(), found_in(within)));
            }
            None => {}
        }
    }
    elements(name, option, value, within, errors);
    inner(name, option, value, within, errors);
}

fn elements(name: &str, option: &Value, value: &Value, within: &str, errors: &mut Vec<String>) {
    let (Some(kind), Some(items)) = (option.get("elements").map(Value::to_text), value.as_list()) else { return };
    for item in items {
        if let Err(reason) = fits(&kind, item) {
            let class = python_class(item);
            errors.push(format!(
                "Elements value for option '{name}' is of type {class}{} and we were unable to convert to {kind}: {reason}",
                found_in(within)
            ));
        }
    }
}

fn inner(name: &str, option: &Value, value: &Value, within: &str, errors: &mut Vec<String>) {
    let Some(options) = option.get("options").and_then(Value::as_map) else { return };
    let path = if within.is_empty() { name.to_owned() } else { format!("{within} -> {name}") };
    let maps: Vec<&Map> = match value {
        Value::Map(map) => vec![map],
        Value::List(items) => items.iter().filter_map(Value::as_map).collect(),
        _ => Vec::new(),
    };
    for map in maps {
        check(options, map, &path, errors);
        let unknown: Vec<&str> = map.keys().filter(|key| !options.contains_key(*key)).map(String::as_str).collect();
        if !unknown.is_empty() {
            let known = options.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let named = unknown.iter().map(|key| format!("{}.{key}", path.replace(" -> ", "."))).collect::<Vec<_>>().join(", ");
            errors.push(format!("{named}. Supported parameters include: {known}."));
        }
    }
}

fn fits(kind: &str, value: &Value) -> Result<(), String> {
    let cannot = |name: &str| format!("{} cannot be converted to {name}", python_class(value));
    match kind {
        "int" => i64::decode(value).map(drop).map_err(|_| format!("\"{}\" cannot be converted to an int", value.repr())),
        "str" if value.is_null() => Err("'None' is not a string and conversion is not allowed".to_owned()),
        "float" => f64::decode(value).map(drop).map_err(|_| cannot("a float")),
        "bool" => value.to_bool().map(drop).ok_or_else(|| format!("The value '{}' is not a valid boolean. ", value.to_text())),
        "list" => match value {
            Value::List(_) | Value::Str(_) | Value::Int(_) | Value::Float(_) => Ok(()),
            _ => Err(cannot("a list")),
        },
        "dict" if value.as_str().is_some() => {
            Map::decode(value).map(drop).map_err(|_| "dictionary requested, could not parse JSON or key=value".to_owned())
        }
        "dict" => Map::decode(value).map(drop).map_err(|_| cannot("a dict")),
        "json" | "jsonarg" if !matches!(value, Value::Str(_) | Value::List(_) | Value::Map(_)) => Err(cannot("a json string")),
        "bytes" | "bits" => {
            let unit = if kind == "bytes" { "a Byte value" } else { "a Bit value" };
            let number = value.to_text();
            let number = number.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
            number.trim().parse::<f64>().map(drop).map_err(|_| cannot(unit))
        }
        _ => Ok(()),
    }
}

fn truth(option: &Value, key: &str) -> bool {
    option.get(key).and_then(Value::to_bool).unwrap_or(false)
}

fn found_in(within: &str) -> String {
    if within.is_empty() { String::new() } else { format!(" found in {within}") }
}

fn python_class(value: &Value) -> &'static str {
    match value {
        Value::Null => "<class 'NoneType'>",
        Value::Bool(_) => "<class 'bool'>",
        Value::Int(_) => "<class 'int'>",
        Value::Float(_) => "<class 'float'>",
        Value::Str(_) => "<class 'str'>",
        Value::List(_) => "<class 'list'>",
        Value::Map(_) => "<class 'dict'>",
    }
}
