//! `subelements`, the filter and the lookup: pairs of an item and each item of a list in it.

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[filter("subelements", subelements)];

fn subelements(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let path = args.required("subelements")?;
    let skip_missing = args.flag("skip_missing", false);
    subelement_pairs(eval, &value, &path, skip_missing).map(Value::list)
}

fn subelement_pairs(eval: &Eval<'_>, value: &Value, path: &Value, skip_missing: bool) -> Result<Vec<Value>> {
    let elements = match value {
        Value::Map(map) => map.get().values().cloned().collect(),
        Value::List(_) | Value::Tuple(_) => eval.iterate(value)?,
        _ => return Err(Error::failed("obj must be a list of dicts or a nested dict")),
    };
    let parts: Vec<String> = match path {
        Value::Str(path) => path.split('.').map(str::to_owned).collect(),
        Value::List(_) | Value::Tuple(_) => eval.iterate(path)?.iter().map(text_of).collect::<Result<_>>()?,
        _ => return Err(Error::failed("subelements must be a list or a string")),
    };
    let mut out = Vec::new();
    for element in elements {
        let mut found = Some(element.clone());
        for part in &parts {
            found = match found {
                Some(Value::Map(map)) => map.get().get(part.as_str()).cloned(),
                Some(Value::None) if skip_missing => None,
                Some(other) => {
                    return Err(Error::failed(format!("the key '{part}' should point to a dictionary, got '{}'", other.type_name())));
                }
                None => None,
            };
            if found.is_none() && !skip_missing {
                return Err(Error::failed(format!("could not find '{part}' key in iterated item")));
            }
        }
        let Some(found) = found else { continue };
        let Some(items) = found.as_items() else {
            return Err(Error::failed(format!("the key '{}' should point to a list, got '{}'", parts.join("."), found.type_name())));
        };
        out.extend(items.iter().map(|item| Value::tuple([element.clone(), item.clone()])));
    }
    Ok(out)
}

/// The lookup `subelements`: a list, a path, and options.
pub(in crate::template) fn subelements_of(eval: &Eval<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    const EXPECTED: &str = "subelements lookup expects a list of two or three items,";
    let (list, path, options) = match terms {
        [list, path] => (list, path, None),
        [list, path, options] => (list, path, Some(options)),
        _ => return Err(Error::failed(EXPECTED)),
    };
    let Some(path) = path.as_str() else {
        return Err(Error::failed(format!("{EXPECTED} first a dict or a list, second a string pointing to the subkey")));
    };
    let elements = match list {
        // The result of a task that was skipped.
        Value::Map(map) if map.get().get("skipped").is_some_and(is_skipped) => Vec::new(),
        Value::Map(map) => map.get().values().cloned().collect(),
        Value::List(_) | Value::Tuple(_) => eval.iterate(list)?,
        _ => return Err(Error::failed(format!("subelements lookup expects a dictionary, got '{}'", list.type_name()))),
    };
    if options.is_some_and(|options| options.as_entries().is_none()) {
        return Err(Error::failed(format!("{EXPECTED} the optional third item must be a dict with flags skip_missing")));
    }
    if let Some(other) = elements.iter().find(|element| element.as_entries().is_none()) {
        return Err(Error::failed(format!("subelements lookup expects a dictionary, got '{}'", other.to_text())));
    }
    let skip = options.and_then(|options| options.get("skip_missing")).is_some_and(|flag| flag.is_true());
    let wanted = Value::list(elements.into_iter().filter(|element| !element.get("skipped").is_some_and(|skipped| is_skipped(&skipped))));
    // As in Ansible: a list that is deeper inside stays.
    let bare = |pair: &Value| match pair.as_items().as_deref().map(Vec::as_slice) {
        Some([element, item]) if !path.contains('.') => Value::tuple([without(element, path), item.clone()]),
        _ => pair.clone(),
    };
    let pairs = subelement_pairs(eval, &wanted, &Value::from(path), skip)?;
    Ok(pairs.iter().map(bare).collect())
}

fn is_skipped(value: &Value) -> bool {
    !matches!(value, Value::Bool(false))
}

/// `value` without the entry `name`.
fn without(value: &Value, name: &str) -> Value {
    let entries = value.as_entries().unwrap_or_default();
    Value::map(entries.iter().filter(|(key, _)| key.0.as_str() != Some(name)).map(|(key, value)| (key.0.clone(), value.clone())))
}
