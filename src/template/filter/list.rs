//! Filters on lists.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::choose::below;
use super::{Filter, filter, raw};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::{Eval, hashable};
use crate::template::python;
use crate::template::syntax::Operator;
use crate::template::text::{borrowed, check};
use crate::template::value::{Key, Value};

pub(super) const FILTERS: &[Filter] = &[
    raw("list", |eval, value, _| {
        let list = Value::list(eval.iterate(&defined(value)?)?);
        check(&list).map(|()| list)
    }),
    raw("length", length),
    raw("count", length),
    raw("first", |eval, value, _| first(eval, value)),
    raw("last", |eval, value, _| last(eval, value)),
    filter("join", join),
    filter("sort", sort),
    filter("reverse", reverse),
    filter("unique", unique),
    filter("min", |eval, value, args| extreme(eval, &value, args, Ordering::Less)),
    filter("max", |eval, value, args| extreme(eval, &value, args, Ordering::Greater)),
    filter("sum", sum),
    filter("flatten", flatten),
    filter("batch", batch),
    filter("slice", slice),
    filter("groupby", groupby),
    filter("dictsort", dictsort),
    filter("items", items),
    filter("union", |eval, value, args| sets(eval, &value, args, |_, _| true, true)),
    filter("intersect", |eval, value, args| sets(eval, &value, args, |_, right| right, false)),
    filter("difference", |eval, value, args| sets(eval, &value, args, |_, right| !right, false)),
    filter("symmetric_difference", symmetric_difference),
    filter("zip", |eval, value, args| zip(eval, &value, args, false)),
    filter("zip_longest", |eval, value, args| zip(eval, &value, args, true)),
    filter("product", product),
    filter("permutations", |eval, value, args| arranged(eval, &value, args, true)),
    filter("combinations", |eval, value, args| arranged(eval, &value, args, false)),
    filter("powerset", powerset),
];

fn defined(value: Value) -> Result<Value> {
    match value {
        Value::Undefined(missing) => Err(Error::undefined(&missing)),
        value => Ok(value),
    }
}

fn length(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    Ok(Value::from(match defined(value)? {
        Value::Str(text) => text.chars().count(),
        Value::List(list) => list.get().len(),
        Value::Tuple(items) => items.len(),
        Value::Map(map) => map.get().len(),
        Value::Lazy(lazy) => lazy.len(),
        other => match &other {
            Value::Object(object) if object.items().is_some() => object.items().map_or(0, |items| items.len()),
            _ => return Err(Error::failed(format!("object of type '{}' has no len()", other.type_name()))),
        },
    }))
}

fn first(eval: &Eval<'_>, value: Value) -> Result<Value> {
    let items = eval.iterate(&defined(value)?)?;
    Ok(items.into_iter().next().unwrap_or_else(|| Value::undefined("No first item, sequence was empty.")))
}

fn last(eval: &Eval<'_>, value: Value) -> Result<Value> {
    let items = eval.iterate(&defined(value)?)?;
    Ok(items.into_iter().next_back().unwrap_or_else(|| Value::undefined("No last item, sequence was empty.")))
}

fn join(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let separator = args.text("d")?.unwrap_or_default();
    let attribute = args.next("attribute");
    let mut parts = Vec::new();
    for item in eval.iterate(&value)? {
        let item = match &attribute {
            Some(path) if !path.is_none() => below(eval, &item, path)?,
            _ => item,
        };
        parts.push(borrowed(&item)?.into_owned());
    }
    Ok(Value::from(parts.join(&separator)))
}

/// Sorted by Python's order.
pub(in crate::template) fn sorted(items: Vec<Value>, reverse: bool) -> Result<Vec<Value>> {
    sorted_by(items.into_iter().map(|item| (vec![item.clone()], item)).collect(), reverse)
}

/// Sorted by keys; the order of equal ones is kept.
fn sorted_by(mut items: Vec<(Vec<Value>, Value)>, reverse: bool) -> Result<Vec<Value>> {
    let mut failure = None;
    items.sort_by(|(left, _), (right, _)| {
        for (left, right) in left.iter().zip(right) {
            match python::order(left, right, "<") {
                Ok(Ordering::Equal) => {}
                Ok(order) => return if reverse { order.reverse() } else { order },
                Err(error) => {
                    failure.get_or_insert(error);
                    return Ordering::Equal;
                }
            }
        }
        Ordering::Equal
    });
    failure.map_or_else(|| Ok(items.into_iter().map(|(_, item)| item).collect()), Err)
}

/// Text in lower case, unless case matters.
fn folded(value: Value, case_sensitive: bool) -> Value {
    match &value {
        Value::Str(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    }
}

fn sort(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let (reverse, case_sensitive) = (args.flag("reverse", false), args.flag("case_sensitive", false));
    let attribute = args.next("attribute").filter(|path| !path.is_none());
    args.end()?;
    let paths: Vec<Value> = match &attribute {
        Some(Value::Str(paths)) => paths.split(',').map(Value::from).collect(),
        Some(other) => vec![other.clone()],
        None => Vec::new(),
    };
    let mut keyed = Vec::new();
    for item in eval.iterate(&value)? {
        let mut keys = Vec::new();
        for path in &paths {
            keys.push(folded(defined(below(eval, &item, path)?)?, case_sensitive));
        }
        if paths.is_empty() {
            keys.push(folded(defined(item.clone())?, case_sensitive));
        }
        keyed.push((keys, item));
    }
    sorted_by(keyed, reverse).map(Value::list)
}

fn reverse(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    if let Value::Str(text) = &value {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = eval.iterate(&value)?;
    items.reverse();
    Ok(Value::list(items))
}

fn unique(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let case_sensitive = args.next("case_sensitive");
    let attribute = args.next("attribute").filter(|path| !path.is_none());
    args.end()?;
    let plain = case_sensitive.is_none() && attribute.is_none();
    let case_sensitive = case_sensitive.is_some_and(|flag| flag.is_true());
    #[expect(clippy::mutable_key_type, reason = "values that change are not hashable, and never become keys")]
    let mut seen: HashSet<Key> = HashSet::new();
    let mut unhashable: Vec<Value> = Vec::new();
    let mut out = Vec::new();
    for item in eval.iterate(&value)? {
        let key = match &attribute {
            Some(path) => below(eval, &item, path)?,
            None => item.clone(),
        };
        let new = match hashable(folded(key, case_sensitive)) {
            Ok(key) => seen.insert(Key(key)),
            // Ansible then compares one with another, which knows no options.
            Err(error) if !plain => {
                let reason = "Jinja2's unique filter failed and we cannot fall back to Ansible's version as it does not support the parameters supplied";
                return Err(Error::failed(format!("{reason}: {}", error.message)));
            }
            Err(_) if unhashable.contains(&item) => false,
            Err(_) => {
                unhashable.push(item.clone());
                true
            }
        };
        if new {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}

fn extreme(eval: &Eval<'_>, value: &Value, mut args: Args, wanted: Ordering) -> Result<Value> {
    let case_sensitive = args.next("case_sensitive").is_none_or(|flag| flag.is_true());
    let attribute = args.next("attribute").filter(|path| !path.is_none());
    let mut best: Option<(Value, Value)> = None;
    for item in eval.iterate(value)? {
        let key = match &attribute {
            Some(path) => below(eval, &item, path)?,
            None => item.clone(),
        };
        let key = folded(defined(key)?, case_sensitive);
        let better = match &best {
            Some((known, _)) => python::order(&key, known, if wanted == Ordering::Less { "<" } else { ">" })? == wanted,
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::undefined("No aggregated item, sequence was empty."), |(_, item)| item))
}

fn sum(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let attribute = args.next("attribute").filter(|path| !path.is_none());
    let mut total = args.next("start").unwrap_or(Value::Int(0));
    for item in eval.iterate(&value)? {
        let item = match &attribute {
            Some(path) => defined(below(eval, &item, path)?)?,
            None => item,
        };
        total = python::binary(Operator::Add, &total, &item)?;
    }
    Ok(total)
}

/// Lists inside lists, laid out in one.
pub(in crate::template) fn flattened(items: &[Value], levels: Option<i128>, skip_nulls: bool) -> Vec<Value> {
    let mut out = Vec::new();
    for item in items {
        match item.as_items() {
            _ if skip_nulls && (item.is_none() || matches!(item.as_str(), Some("None" | "null"))) => {}
            Some(inner) if levels.is_none_or(|levels| levels > 0) => {
                out.extend(flattened(&inner, levels.map(|levels| levels - 1), skip_nulls));
            }
            _ => out.push(item.clone()),
        }
    }
    out
}

fn flatten(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let levels = args.int("levels")?;
    let skip_nulls = args.flag("skip_nulls", true);
    args.end()?;
    Ok(Value::list(flattened(&eval.iterate(&value)?, levels, skip_nulls)))
}

fn batch(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let size = args.size("linecount", 1)?.max(1);
    let fill = args.next("fill_with").filter(|fill| !fill.is_none());
    let items = eval.iterate(&value)?;
    let rows = items.chunks(size).map(<[Value]>::to_vec).map(|mut row| {
        if let Some(fill) = &fill {
            row.resize(size, fill.clone());
        }
        Value::list(row)
    });
    Ok(Value::list(rows.collect::<Vec<_>>()))
}

fn slice(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let count = args.size("slices", 1)?.max(1);
    let fill = args.next("fill_with").filter(|fill| !fill.is_none());
    let items = eval.iterate(&value)?;
    let (size, extra) = (items.len() / count, items.len() % count);
    let mut rest = items.into_iter();
    let columns = (0..count).map(|index| {
        let mut column: Vec<Value> = rest.by_ref().take(size + usize::from(index < extra)).collect();
        if let (Some(fill), true) = (&fill, index >= extra && extra > 0) {
            column.push(fill.clone());
        }
        Value::list(column)
    });
    Ok(Value::list(columns.collect::<Vec<_>>()))
}

fn groupby(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let path = args.required("attribute")?;
    let default = args.next("default").filter(|default| !default.is_none());
    let case_sensitive = args.flag("case_sensitive", false);
    let mut keyed = Vec::new();
    for item in eval.iterate(&value)? {
        let mut key = below(eval, &item, &path)?;
        if let (true, Some(default)) = (key.is_undefined(), &default) {
            key = default.clone();
        }
        let key = defined(key)?;
        keyed.push((vec![folded(key.clone(), case_sensitive)], Value::tuple([key, item])));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for pair in sorted_by(keyed, false)? {
        let Value::Tuple(pair) = pair else { continue };
        let [key, item] = &*pair else { continue };
        let group = folded(key.clone(), case_sensitive);
        match groups.last_mut() {
            Some((known, _, items)) if *known == group => items.push(item.clone()),
            _ => groups.push((group, key.clone(), vec![item.clone()])),
        }
    }
    Ok(Value::list(groups.into_iter().map(|(_, key, items)| Value::tuple([key, Value::list(items)]))))
}

fn dictsort(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let case_sensitive = args.flag("case_sensitive", false);
    let by = args.text("by")?.unwrap_or_else(|| "key".to_owned());
    let reverse = args.flag("reverse", false);
    let Some(entries) = value.as_entries() else {
        return Err(Error::failed(format!("'{}' object has no attribute 'items'", value.type_name())));
    };
    let keyed = entries.iter().map(|(key, value)| {
        let sorted = if by == "value" { value.clone() } else { key.0.clone() };
        (vec![folded(sorted, case_sensitive)], Value::tuple([key.0.clone(), value.clone()]))
    });
    sorted_by(keyed.collect(), reverse).map(Value::list)
}

fn items(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let Some(entries) = value.as_entries() else { return Err(Error::failed("Can only get item pairs from a mapping.")) };
    Ok(Value::list(entries.iter().map(|(key, value)| Value::tuple([key.0.clone(), value.clone()]))))
}

/// Each item once, in order.
fn distinct(items: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut out = Vec::new();
    for item in items {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

/// What of the left is kept, by whether it is on the right; then what is only on the right, if `both`.
fn sets(eval: &Eval<'_>, value: &Value, mut args: Args, keep: fn(&Value, bool) -> bool, both: bool) -> Result<Value> {
    let left = eval.iterate(value)?;
    let right = eval.iterate(&args.required("b")?)?;
    let kept = left.into_iter().filter(|item| keep(item, right.contains(item)));
    Ok(Value::list(if both { distinct(kept.chain(right.iter().cloned())) } else { distinct(kept) }))
}

fn symmetric_difference(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let left = distinct(eval.iterate(&value)?);
    let right = distinct(eval.iterate(&args.required("b")?)?);
    let only_left = left.iter().filter(|item| !right.contains(item));
    let only_right = right.iter().filter(|item| !left.contains(item));
    Ok(Value::list(only_left.chain(only_right).cloned()))
}

fn all_lists(eval: &Eval<'_>, value: &Value, args: &mut Args) -> Result<Vec<Vec<Value>>> {
    std::iter::once(value.clone()).chain(args.rest()).map(|list| eval.iterate(&list)).collect()
}

fn zip(eval: &Eval<'_>, value: &Value, mut args: Args, longest: bool) -> Result<Value> {
    let fill = args.named("fillvalue").unwrap_or_default();
    let strict = args.named_flag("strict", false);
    let lists = all_lists(eval, value, &mut args)?;
    args.end()?;
    let lengths = lists.iter().map(Vec::len);
    let length = if longest { lengths.clone().max() } else { lengths.clone().min() }.unwrap_or_default();
    if strict && lengths.clone().any(|other| other != length) {
        return Err(Error::failed("zip() arguments have different lengths"));
    }
    Ok(Value::list(
        (0..length).map(|index| Value::tuple(lists.iter().map(|list| list.get(index).cloned().unwrap_or_else(|| fill.clone())))),
    ))
}

fn product(eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let repeat = args.named("repeat").and_then(|count| count.as_int()).unwrap_or(1);
    let lists = all_lists(eval, &value, &mut args)?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for _ in 0..repeat {
        for choices in &lists {
            if rows.len().saturating_mul(choices.len()) > 1_000_000 {
                return Err(Error::failed("the product has more than a million rows"));
            }
            rows = rows.iter().flat_map(|row| choices.iter().map(|choice| row.iter().cloned().chain([choice.clone()]).collect())).collect();
        }
    }
    Ok(Value::list(rows.into_iter().map(Value::tuple)))
}

/// Selections of `size` of the items' indexes, in order.
fn selections(count: usize, size: usize, ordered: bool) -> Vec<Vec<usize>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for shorter in selections(count, size - 1, ordered) {
        let from = if ordered { 0 } else { shorter.last().map_or(0, |last| last + 1) };
        let next = (from..count).filter(|index| !shorter.contains(index));
        out.extend(next.map(|index| shorter.iter().copied().chain([index]).collect::<Vec<_>>()));
    }
    out
}

fn arranged(eval: &Eval<'_>, value: &Value, mut args: Args, ordered: bool) -> Result<Value> {
    let items = eval.iterate(value)?;
    let size = args.size("r", items.len())?;
    if items.len() > 10 && size > 4 {
        return Err(Error::failed("too many arrangements"));
    }
    let rows = selections(items.len(), size, ordered);
    Ok(Value::list(rows.into_iter().map(|row| Value::tuple(row.into_iter().filter_map(|index| items.get(index).cloned())))))
}

fn powerset(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let items = eval.iterate(&value)?;
    if items.len() > 16 {
        return Err(Error::failed("too many subsets"));
    }
    let rows = (0..=items.len()).flat_map(|size| selections(items.len(), size, false));
    Ok(Value::list(rows.map(|row| Value::tuple(row.into_iter().filter_map(|index| items.get(index).cloned())))))
}
