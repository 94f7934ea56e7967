//! Filters on mappings.

use std::sync::Arc;

use super::{Filter, filter, raw};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::{Eval, hashable};
use crate::template::text::text_of;
use crate::template::value::{Entries, Key, Map, Value};

pub(super) const FILTERS: &[Filter] = &[
    filter("dict2items", to_items),
    filter("items2dict", from_items),
    filter("combine", combine),
    filter("extract", extract),
    raw("attr", attr),
    filter("rekey_on_member", rekey),
    filter("dict_kv", |_, value, mut args| Ok(Value::map([(args.required("key")?, value)]))),
    filter("dict", pairs),
    filter("counter", counter),
    filter("lists_mergeby", merge_lists),
];

fn to_items(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let key_name = args.required_or("key_name", "key")?;
    let value_name = args.required_or("value_name", "value")?;
    args.end()?;
    let Some(entries) = value.as_entries() else {
        return Err(Error::failed(format!("dict2items requires a dictionary, got {} instead.", value.type_name())));
    };
    Ok(Value::list(
        entries.iter().map(|(key, value)| Value::map([(key_name.as_str(), key.0.clone()), (value_name.as_str(), value.clone())])),
    ))
}

fn from_items(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let key_name = args.required_or("key_name", "key")?;
    let value_name = args.required_or("value_name", "value")?;
    args.end()?;
    if !matches!(value, Value::List(_) | Value::Tuple(_)) {
        return Err(Error::failed(format!("items2dict requires a list, got {} instead.", value.type_name())));
    }
    let mut out = Entries::new();
    for item in eval.iterate(&value)? {
        let Some(entries) = item.as_entries() else {
            return Err(Error::failed(format!("items2dict requires a list of dictionaries, got a list with a {} in it", item.type_name())));
        };
        let (Some(key), Some(value)) = (entries.get(key_name.as_str()), entries.get(value_name.as_str())) else {
            return Err(Error::failed(format!(
                "items2dict requires each dictionary in the list to contain the keys '{key_name}' and '{value_name}'"
            )));
        };
        out.insert(Key(hashable(key.clone())?), value.clone());
    }
    Ok(Value::Map(Map::open(out)))
}

/// How lists under the same key become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendRp,
    PrependRp,
}

impl Lists {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "replace" => Self::Replace,
            "keep" => Self::Keep,
            "append" => Self::Append,
            "prepend" => Self::Prepend,
            "append_rp" => Self::AppendRp,
            "prepend_rp" => Self::PrependRp,
            other => {
                return Err(Error::failed(format!(
                    "merge_hash: 'list_merge' argument can only be equal to 'replace', 'keep', 'append', 'prepend', 'append_rp' or \
                     'prepend_rp', found '{other}'"
                )));
            }
        })
    }

    fn merge(self, low: &[Value], high: &[Value]) -> Value {
        let absent = |items: &[Value], from: &[Value]| items.iter().filter(|item| !from.contains(item)).cloned().collect::<Vec<_>>();
        Value::list(match self {
            Self::Replace => high.to_vec(),
            Self::Keep => low.to_vec(),
            Self::Append => [low, high].concat(),
            Self::Prepend => [high, low].concat(),
            Self::AppendRp => [absent(low, high), high.to_vec()].concat(),
            Self::PrependRp => [high.to_vec(), absent(low, high)].concat(),
        })
    }
}

/// `low` with the entries of `high` over it.
fn merged(low: &Entries, high: &Entries, recursive: bool, lists: Lists) -> Entries {
    let mut out = low.clone();
    for (key, value) in high {
        let value = match (out.get(key), value) {
            (Some(Value::Map(below)), Value::Map(above)) if recursive => {
                Value::Map(Map::open(merged(&below.get(), &above.get(), recursive, lists)))
            }
            (Some(Value::List(below)), Value::List(above)) => lists.merge(&below.get(), &above.get()),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    out
}

fn combine(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let recursive = args.named_flag("recursive", false);
    let lists = Lists::named(args.text_named("list_merge")?.as_deref().unwrap_or("replace"))?;
    let others = args.rest();
    if let Some((name, _)) = args.named.first() {
        return Err(Error::failed(format!("'recursive' and 'list_merge' are the only valid keyword arguments, found '{name}'")));
    }
    let mut out = Entries::new();
    for layer in laid_out(eval, &std::iter::once(value).chain(others).collect::<Vec<_>>())? {
        out = merged(&out, &layer, recursive, lists);
    }
    Ok(Value::Map(Map::open(out)))
}

/// Mappings, and those in lists.
fn laid_out(eval: &Eval<'_>, values: &[Value]) -> Result<Vec<Arc<Entries>>> {
    let mut out = Vec::new();
    for value in values {
        match value {
            Value::Map(map) => out.push(map.get()),
            Value::List(_) | Value::Tuple(_) => out.extend(laid_out(eval, &eval.iterate(value)?)?),
            Value::Undefined(missing) => return Err(Error::undefined(missing)),
            other => {
                return Err(Error::failed(format!("failed to combine variables, expected dicts but got a '{}'", other.type_name())));
            }
        }
    }
    Ok(out)
}

/// `'key' | extract(container, morekeys)`.
fn extract(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let container = args.required("container")?;
    let more = args.next("morekeys").filter(|more| !more.is_none());
    args.end()?;
    let mut found = eval.item(&container, &value)?;
    if let Some(more) = more {
        let keys = more.as_items().map_or_else(|| vec![more.clone()], |keys| keys.to_vec());
        for key in keys {
            found = eval.item(&found, &key)?;
        }
    }
    Ok(found)
}

fn attr(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let name: Arc<str> = args.required_text("name")?.into();
    match &value {
        Value::Undefined(missing) => Err(Error::undefined(missing)),
        _ => eval.attribute(&value, &name),
    }
}

fn rekey(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let name = args.required_text("key")?;
    let overwrite = match args.required_or("duplicates", "error")?.as_str() {
        "error" => false,
        "overwrite" => true,
        other => return Err(Error::failed(format!("duplicates parameter to rekey_on_member has unknown value: {other}"))),
    };
    let items = match &value {
        Value::Map(map) => map.get().values().cloned().collect(),
        Value::List(_) | Value::Tuple(_) => eval.iterate(&value)?,
        _ => return Err(Error::failed("Type is not a valid list, set, or dict")),
    };
    let mut out = Entries::new();
    for item in items {
        let entries = item.as_entries().ok_or_else(|| Error::failed("List item is not a valid dict"))?;
        let key = entries.get(name.as_str()).cloned().ok_or_else(|| Error::failed(format!("Key {name} was not found")))?;
        let key = Key(hashable(key)?);
        if !overwrite && out.contains_key(&key) {
            return Err(Error::failed(format!("Key {} is not unique, cannot convert to dict", key.0.to_text())));
        }
        out.insert(key, item);
    }
    Ok(Value::Map(Map::open(out)))
}

/// A list of pairs as a mapping.
fn pairs(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let mut found = Vec::new();
    for pair in eval.iterate(&value)? {
        match eval.iterate(&pair)?.as_slice() {
            [key, value] => found.push((key.clone(), value.clone())),
            other => return Err(Error::failed(format!("expected pairs, found a sequence of {}", other.len()))),
        }
    }
    super::list::mapping(found)
}

fn counter(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let mut counts = Entries::new();
    for item in eval.iterate(&value)? {
        let count = counts.entry(Key(hashable(item)?)).or_insert(Value::Int(0));
        *count = Value::Int(count.as_int().map_or(1, |count| i128::from(count) + 1));
    }
    Ok(Value::Map(Map::open(counts)))
}

fn merge_lists(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let recursive = args.named_flag("recursive", false);
    let lists = Lists::named(args.text_named("list_merge")?.as_deref().unwrap_or("replace"))?;
    let mut all: Vec<Value> = std::iter::once(value).chain(args.rest()).collect();
    let index = match args.named("index") {
        Some(index) => index,
        None => all.pop().ok_or_else(|| Error::failed("missing 1 required positional argument: 'index'"))?,
    };
    let index = text_of(&index)?;
    let nested = all.iter().flat_map(|value| {
        let items = value.as_items().unwrap_or_default();
        if items.iter().any(|item| item.as_items().is_some()) { items.to_vec() } else { vec![value.clone()] }
    });
    let mut out: Vec<(Value, Entries)> = Vec::new();
    for list in nested.collect::<Vec<_>>() {
        for item in eval.iterate(&list)? {
            let Some(entries) = item.as_entries() else {
                return Err(Error::failed(format!(
                    "Elements of list arguments for lists_mergeby must be dictionaries, found {}",
                    item.type_name()
                )));
            };
            // Without the key there is nothing to merge by.
            let Some(key) = entries.get(index.as_str()).cloned() else { continue };
            match out.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = merged(known, &entries, recursive, lists),
                None => out.push((key, (*entries).clone())),
            }
        }
    }
    let rows = super::list::sorted(out.iter().map(|(key, _)| key.clone()).collect(), false)?;
    let found = rows.iter().filter_map(|key| out.iter().find(|(known, _)| known == key));
    Ok(Value::list(found.map(|(_, entries)| Value::Map(Map::open(entries.clone()))).collect::<Vec<_>>()))
}
