//! Filters on mappings.

use super::list::flattened;
use super::{Filter, filter, raw};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::{Eval, hashable};
use crate::template::python;
use crate::template::text::text_of;
use crate::template::value::{Entries, Key, Map, Value};

pub(super) const FILTERS: &[Filter] = &[
    filter("combine", combine),
    filter("dict2items", dict2items),
    filter("items2dict", items2dict),
    filter("rekey_on_member", rekey_on_member),
    raw("extract", extract),
    filter("attr", attr),
    filter("dict_kv", |_, value, mut args| Ok(Value::map([(args.required("key")?, value)]))),
    filter("dict", |eval, value, _| pairs(eval, &value)),
    filter("keep_keys", |eval, value, args| keys(eval, &value, args, true)),
    filter("remove_keys", |eval, value, args| keys(eval, &value, args, false)),
    filter("counter", counter),
    filter("lists_mergeby", lists_mergeby),
];

/// How lists are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendOnce,
    PrependOnce,
}

impl Merge {
    /// The argument `list_merge`.
    fn taken(args: &mut Args) -> Result<Self> {
        Ok(match args.text_named("list_merge")?.as_deref() {
            None | Some("replace") => Self::Replace,
            Some("keep") => Self::Keep,
            Some("append") => Self::Append,
            Some("prepend") => Self::Prepend,
            Some("append_rp") => Self::AppendOnce,
            Some("prepend_rp") => Self::PrependOnce,
            Some(_) => {
                return Err(Error::failed(
                    "merge_hash: 'list_merge' argument can only be equal to 'replace', 'keep', 'append', 'prepend', 'append_rp' or 'prepend_rp'",
                ));
            }
        })
    }
}

fn combine(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let recursive = args.named_flag("recursive", false);
    let merge = Merge::taken(&mut args)?;
    let all = flattened(&[value], Some(1), false).into_iter().chain(flattened(&args.rest(), Some(1), false));
    if !args.named.is_empty() {
        return Err(Error::failed("'recursive' and 'list_merge' are the only valid keyword arguments"));
    }
    let mut result: Option<Entries> = None;
    // As in Ansible, `none` is nothing to combine.
    for other in all.filter(|other| !other.is_none()) {
        let Some(entries) = other.as_entries() else {
            return Err(Error::failed(format!("failed to combine variables, expected dicts but got a '{}'", other.type_name())));
        };
        result = Some(match result {
            None => (*entries).clone(),
            Some(first) => merged(first, &entries, recursive, merge),
        });
    }
    Ok(Value::Map(Map::open(result.unwrap_or_default())))
}

fn merged(mut first: Entries, second: &Entries, recursive: bool, merge: Merge) -> Entries {
    for (key, new) in second {
        let value = match (first.get(key), new) {
            (Some(Value::Map(old)), Value::Map(new)) if recursive => {
                Value::Map(Map::open(merged((*old.get()).clone(), &new.get(), recursive, merge)))
            }
            (Some(Value::List(old)), Value::List(new)) => Value::list(merged_lists(&old.get(), &new.get(), merge)),
            _ => new.clone(),
        };
        first.insert(key.clone(), value);
    }
    first
}

fn merged_lists(old: &[Value], new: &[Value], merge: Merge) -> Vec<Value> {
    let missing = |list: &[Value], from: &[Value]| list.iter().filter(|item| !from.contains(item)).cloned().collect::<Vec<_>>();
    match merge {
        Merge::Replace => new.to_vec(),
        Merge::Keep => old.to_vec(),
        Merge::Append => [old, new].concat(),
        Merge::Prepend => [new, old].concat(),
        Merge::AppendOnce => [missing(old, new), new.to_vec()].concat(),
        Merge::PrependOnce => [new.to_vec(), missing(old, new)].concat(),
    }
}

fn dict2items(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let (key_name, value_name) = (args.required_or("key_name", "key")?, args.required_or("value_name", "value")?);
    args.end()?;
    let Some(entries) = value.as_entries() else {
        return Err(Error::failed(format!("dict2items requires a dictionary, got '{}' instead", value.type_name())));
    };
    let pair = |(key, value): (&Key, &Value)| Value::map([(key_name.as_str(), key.0.clone()), (value_name.as_str(), value.clone())]);
    Ok(Value::list(entries.iter().map(pair)))
}

fn items2dict(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let (key_name, value_name) = (args.required_or("key_name", "key")?, args.required_or("value_name", "value")?);
    args.end()?;
    let Some(items) = value.as_items() else {
        return Err(Error::failed(format!("items2dict requires a list, got '{}' instead", value.type_name())));
    };
    let mut out = Entries::new();
    for item in items.iter() {
        let (Some(key), Some(value)) = (item.get(&key_name), item.get(&value_name)) else {
            return Err(Error::failed(format!(
                "items2dict requires each dictionary in the list to contain the keys '{key_name}' and '{value_name}'"
            )));
        };
        out.insert(Key(hashable(key)?), value);
    }
    Ok(Value::Map(Map::open(out)))
}

fn rekey_on_member(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let key = args.required("key")?;
    let overwrite = match args.required_or("duplicates", "error")?.as_str() {
        "error" => false,
        "overwrite" => true,
        _ => return Err(Error::failed("duplicates parameter to rekey_on_member has unknown value: expected `error` or `overwrite`")),
    };
    args.end()?;
    let items = match &value {
        Value::Map(map) => map.get().values().cloned().collect(),
        Value::List(_) | Value::Tuple(_) => eval.iterate(&value)?,
        _ => return Err(Error::failed("Type is not a valid list, set, or dict")),
    };
    let mut out = Entries::new();
    for item in items {
        let Some(entries) = item.as_entries() else { return Err(Error::failed("List item is not a valid dict")) };
        let shown = key.to_text();
        let Some(member) = entries.get(&Key(key.clone())).cloned() else {
            return Err(Error::failed(format!("Key '{shown}' was not found")));
        };
        // Its value is not told: it may be a secret.
        if out.insert(Key(hashable(member)?), item).is_some() && !overwrite {
            return Err(Error::failed(format!("the value of '{shown}' is not unique, cannot correctly turn into dict")));
        }
    }
    Ok(Value::Map(Map::open(out)))
}

/// `'web1' | extract(hostvars, 'address')`. The container stays lazy: it may be all variables of all hosts.
fn extract(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    if let Value::Undefined(missing) = &value {
        return Err(Error::undefined(missing));
    }
    let container = args.required("container")?;
    let more = match args.next("morekeys") {
        None | Some(Value::None) => Vec::new(),
        Some(Value::List(keys)) => keys.get().to_vec(),
        Some(key) => vec![key],
    };
    args.end()?;
    if let Value::Undefined(missing) = &container {
        return Err(Error::undefined(missing));
    }
    std::iter::once(value).chain(more).try_fold(container, |found, key| eval.item(&found, &key))
}

fn attr(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    eval.attribute(&value, &args.required_text("name")?.into())
}

fn pairs(eval: &Eval<'_>, value: &Value) -> Result<Value> {
    let mut out = Entries::new();
    for pair in eval.iterate(value)? {
        let pair = eval.iterate(&pair)?;
        let [key, value] = &*pair else { return Err(Error::failed("expected pairs of a key and a value")) };
        out.insert(Key(hashable(key.clone())?), value.clone());
    }
    Ok(Value::Map(Map::open(out)))
}

/// `community.general.keep_keys` and `remove_keys`, of mappings in a list.
fn keys(eval: &Eval<'_>, value: &Value, mut args: Args, keep: bool) -> Result<Value> {
    let target = args.named("target").or_else(|| args.next("target")).unwrap_or_default();
    let matching = args.text_named("matching_parameter")?.unwrap_or_else(|| "equal".to_owned());
    let targets: Vec<String> = match &target {
        Value::Str(one) => vec![one.to_string()],
        other => eval.iterate(other)?.iter().map(text_of).collect::<Result<_>>()?,
    };
    let pattern = match matching.as_str() {
        "regex" => Some(super::regex::compiled(&targets.join("|"), false, false)?),
        _ => None,
    };
    let matches = |key: &str| match (&pattern, matching.as_str()) {
        (Some(pattern), _) => pattern.is_match(key).unwrap_or(false),
        (_, "starts_with") => targets.iter().any(|target| key.starts_with(target.as_str())),
        (_, "ends_with") => targets.iter().any(|target| key.ends_with(target.as_str())),
        _ => targets.iter().any(|target| key == target),
    };
    let mut out = Vec::new();
    for item in eval.iterate(value)? {
        let entries = item.as_entries().unwrap_or_default();
        let kept = entries.iter().filter(|(key, _)| matches(&key.0.to_text()) == keep);
        out.push(Value::Map(Map::open(kept.map(|(key, value)| (key.clone(), value.clone())).collect())));
    }
    Ok(Value::list(out))
}

fn counter(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let mut out = Entries::new();
    for item in eval.iterate(&value)? {
        let count = out.entry(Key(hashable(item)?)).or_insert(Value::Int(0));
        *count = Value::Int(python::as_whole(count).unwrap_or_default() + 1);
    }
    Ok(Value::Map(Map::open(out)))
}

/// `community.general.lists_mergeby`: lists of mappings, those with the same `index` made one.
fn lists_mergeby(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let recursive = args.named_flag("recursive", false);
    let merge = Merge::taken(&mut args)?;
    let mut all: Vec<Value> = std::iter::once(value).chain(args.rest()).collect();
    let index = match args.named("index") {
        Some(index) => index,
        None => all.pop().ok_or_else(|| Error::failed("missing 1 required positional argument: 'index'"))?,
    };
    args.end()?;
    let index = text_of(&index)?;
    let mut out: Vec<(Value, Entries)> = Vec::new();
    for item in flattened(&all, None, false) {
        let Some(entries) = item.as_entries() else {
            return Err(Error::failed(format!("expected lists of dictionaries, found '{}'", item.type_name())));
        };
        // Without the key there is nothing to merge by.
        let Some(key) = entries.get(index.as_str()).cloned() else { continue };
        match out.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = merged(std::mem::take(known), &entries, recursive, merge),
            None => out.push((key, (*entries).clone())),
        }
    }
    let order = super::list::sorted(out.iter().map(|(key, _)| key.clone()).collect(), false)?;
    let found = order.iter().filter_map(|key| out.iter().find(|(known, _)| known == key));
    Ok(Value::list(found.map(|(_, entries)| Value::Map(Map::open(entries.clone()))).collect::<Vec<_>>()))
}
