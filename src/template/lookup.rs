//! Lookups that need nothing but their terms and the variables.

use std::sync::Arc;

use super::error::{Error, Result};
use super::eval::Eval;
use super::filter::list::flattened;
use super::value::Value;

/// The names of the lookups here.
pub(super) const NAMES: &[&str] = &[
    "cartesian",
    "dict",
    "flattened",
    "indexed_items",
    "items",
    "list",
    "nested",
    "random_choice",
    "sequence",
    "subelements",
    "together",
    "varnames",
    "vars",
];

/// Runs the lookup `name`, if it is one of these.
pub(super) fn builtin(eval: &Eval<'_>, name: &str, terms: &[Value], options: &[(Arc<str>, Value)]) -> Option<Result<Vec<Value>>> {
    Some(match name {
        "list" => Ok(terms.to_vec()),
        "items" => Ok(flattened(terms, Some(1), false)),
        "flattened" => Ok(flattened(terms, None, true)),
        "indexed_items" => {
            let items = flattened(terms, Some(1), false);
            Ok(items.into_iter().enumerate().map(|(index, item)| Value::tuple([Value::from(index), item])).collect())
        }
        "dict" => dict(terms),
        "nested" | "cartesian" => nested(eval, terms),
        "together" => together(eval, terms),
        "sequence" => terms.iter().map(|term| super::sequence::sequence(term, options)).collect::<Result<Vec<_>>>().map(|all| all.concat()),
        "subelements" => super::filter::subelements::subelements_of(eval, terms),
        "random_choice" => Ok(super::random::choice(terms).into_iter().collect()),
        "vars" => vars(eval, terms, options),
        "varnames" => varnames(eval, terms),
        _ => return None,
    })
}

fn dict(terms: &[Value]) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    for term in flattened(terms, Some(1), false) {
        let Some(entries) = term.as_entries() else {
            return Err(Error::failed(format!("with_dict expects a dict, found '{}'", term.type_name())));
        };
        let pair = |key: &Value, value: &Value| Value::map([("key", key.clone()), ("value", value.clone())]);
        out.extend(entries.iter().map(|(key, value)| pair(&key.0, value)));
    }
    Ok(out)
}

fn lists(eval: &Eval<'_>, terms: &[Value]) -> Result<Vec<Vec<Value>>> {
    terms.iter().map(|term| if term.as_str().is_some() { Ok(vec![term.clone()]) } else { eval.iterate(term) }).collect()
}

fn nested(eval: &Eval<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    if terms.is_empty() {
        return Err(Error::failed("with_nested requires at least one element in the nested list"));
    }
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for choices in lists(eval, terms)? {
        rows = rows.iter().flat_map(|row| choices.iter().map(|choice| row.iter().cloned().chain([choice.clone()]).collect())).collect();
    }
    Ok(rows.into_iter().map(|row| Value::list(flattened(&row, Some(1), false))).collect())
}

fn together(eval: &Eval<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    if terms.is_empty() {
        return Err(Error::failed("with_together requires at least one element in each list"));
    }
    let lists = lists(eval, terms)?;
    let longest = lists.iter().map(Vec::len).max().unwrap_or_default();
    let row = |index: usize| Value::list(lists.iter().map(|list| list.get(index).cloned().unwrap_or_default()));
    Ok((0..longest).map(row).collect())
}

fn vars(eval: &Eval<'_>, terms: &[Value], options: &[(Arc<str>, Value)]) -> Result<Vec<Value>> {
    let default = options.iter().find(|(name, _)| **name == *"default").map(|(_, value)| value.clone());
    let mut out = Vec::new();
    for term in terms {
        let Some(name) = term.as_str() else {
            return Err(Error::failed(format!("Invalid setting identifier: Variable name must be 'str' not '{}'.", term.type_name())));
        };
        match (eval.session.variable(name, eval.scope)?, &default) {
            (Some(Value::Undefined(_)) | None, Some(default)) => out.push(default.clone()),
            (Some(value), _) => out.push(eval.session.force(value)?),
            (None, None) => return Err(Error::new("undefined-variable", format!("No variable named '{name}' was found."))),
        }
    }
    Ok(out)
}

fn varnames(eval: &Eval<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    let names = eval.scope.names();
    let mut out = Vec::new();
    for term in terms {
        let Some(text) = term.as_str() else {
            let message = format!("Invalid setting identifier, a '{}' is not a string", term.type_name());
            return Err(Error::failed(message));
        };
        let pattern = super::filter::regex::compiled(text, false, false).map_err(|error| {
            Error::failed(format!(
                "Unable to use \"{text}\" as a search parameter: {}",
                error.message.replace("Target of repeat operator is invalid", "nothing to repeat")
            ))
        })?;
        out.extend(names.iter().filter(|name| pattern.is_match(name).unwrap_or(false)).map(|name| Value::from(name.as_str())));
    }
    Ok(out)
}
