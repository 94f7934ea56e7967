//! The functions of `JMESPath`.

use super::parse::Node;
use super::{find, items};
use crate::template::error::{Error, Result};
use crate::template::filter::list::sorted;
use crate::template::python::{self, as_float};
use crate::template::syntax::Operator;
use crate::template::value::{Entries, Map, Value};

fn refused(name: &str, wanted: &str, found: &Value) -> Error {
    Error::failed(format!("`{name}()` expects {wanted}, found '{}'", found.type_name()))
}

/// `name(arguments)` at `value`.
pub(super) fn call(name: &str, arguments: &[Node], value: &Value) -> Result<Value> {
    let given = arguments.iter().map(|argument| find(argument, value)).collect::<Result<Vec<_>>>()?;
    let first = given.first().cloned().unwrap_or_default();
    let second = given.get(1).cloned().unwrap_or_default();
    let list = |value: &Value| items(value).ok_or_else(|| refused(name, "a list", value));
    let entries = |value: &Value| value.as_entries().ok_or_else(|| refused(name, "a mapping", value));
    let number = |value: &Value| as_float(value).ok_or_else(|| refused(name, "a number", value));
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| refused(name, "text", value));
    let referenced = |index: usize| match arguments.get(index) {
        Some(Node::Reference(inner)) => Ok(&**inner),
        _ => Err(Error::failed(format!("`{name}()` expects an expression like `&key`"))),
    };
    Ok(match name {
        "length" => Value::from(match (&first, items(&first), first.as_entries()) {
            (Value::Str(text), ..) => text.chars().count(),
            (_, Some(items), _) => items.len(),
            (_, _, Some(entries)) => entries.len(),
            _ => return Err(refused(name, "text, a list or a mapping", &first)),
        }),
        "keys" => Value::list(entries(&first)?.keys().map(|key| key.0.clone())),
        "values" => Value::list(entries(&first)?.values().cloned()),
        "contains" => Value::Bool(match (&first, &second) {
            (Value::Str(text), Value::Str(part)) => text.contains(&**part),
            (Value::Str(_), _) => false,
            _ => list(&first)?.contains(&second),
        }),
        "starts_with" => Value::Bool(text(&first)?.starts_with(&text(&second)?)),
        "ends_with" => Value::Bool(text(&first)?.ends_with(&text(&second)?)),
        "join" => {
            let parts = list(&second)?.iter().map(text).collect::<Result<Vec<_>>>()?;
            Value::from(parts.join(&text(&first)?))
        }
        "to_string" => match &first {
            Value::Str(_) => first,
            other => Value::from(serde_json::to_string(&crate::template::to_wire(other)).unwrap_or_default()),
        },
        "to_number" => match &first {
            Value::Int(_) | Value::Float(_) => first,
            Value::Str(text) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => Value::from(whole),
                (_, Ok(number)) => Value::Float(number),
                _ => Value::None,
            },
            _ => Value::None,
        },
        "to_array" => items(&first).map_or_else(|| Value::list([first.clone()]), Value::list),
        "type" => Value::from(match &first {
            Value::None | Value::Undefined(_) => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) | Value::Float(_) => "number",
            Value::List(_) | Value::Tuple(_) => "array",
            Value::Map(_) => "object",
            _ => "string",
        }),
        "not_null" => given.into_iter().find(|value| !value.is_none()).unwrap_or_default(),
        "merge" => {
            let mut out = Entries::new();
            for value in &given {
                out.extend(entries(value)?.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            Value::Map(Map::open(out))
        }
        "reverse" => match &first {
            Value::Str(text) => Value::from(text.chars().rev().collect::<String>()),
            other => Value::list(list(other)?.into_iter().rev()),
        },
        "sort" => Value::list(sorted(list(&first)?, false)?),
        "max" => sorted(list(&first)?, true)?.into_iter().next().unwrap_or_default(),
        "min" => sorted(list(&first)?, false)?.into_iter().next().unwrap_or_default(),
        "sum" => list(&first)?.iter().try_fold(Value::Int(0), |sum, item| python::binary(Operator::Add, &sum, item))?,
        "avg" => {
            let numbers = list(&first)?;
            #[expect(clippy::cast_precision_loss, reason = "as in Python, where the nearest float is taken")]
            let count = numbers.len() as f64;
            if numbers.is_empty() { Value::None } else { Value::Float(numbers.iter().map(number).sum::<Result<f64>>()? / count) }
        }
        "abs" => {
            if number(&first)? < 0.0 {
                python::negative(&first)?
            } else {
                first
            }
        }
        "ceil" => python::whole(number(&first)?.ceil()).map_or(Value::None, Value::Int),
        "floor" => python::whole(number(&first)?.floor()).map_or(Value::None, Value::Int),
        "map" => {
            let node = referenced(0)?;
            Value::list(list(&second)?.iter().map(|item| find(node, item)).collect::<Result<Vec<_>>>()?)
        }
        "sort_by" => Value::list(by(&list(&first)?, referenced(1)?)?),
        "max_by" => by(&list(&first)?, referenced(1)?)?.pop().unwrap_or_default(),
        "min_by" => by(&list(&first)?, referenced(1)?)?.into_iter().next().unwrap_or_default(),
        other => return Err(Error::failed(format!("JMESPath has no function `{other}`"))),
    })
}

/// The items in the order of what `node` gives for each.
fn by(items: &[Value], node: &Node) -> Result<Vec<Value>> {
    let mut keyed = items.iter().map(|item| Ok((find(node, item)?, item.clone()))).collect::<Result<Vec<_>>>()?;
    let mut failure = None;
    keyed.sort_by(|(left, _), (right, _)| {
        python::order(left, right, "<").unwrap_or_else(|error| {
            failure.get_or_insert(error);
            std::cmp::Ordering::Equal
        })
    });
    failure.map_or_else(|| Ok(keyed.into_iter().map(|(_, item)| item).collect()), Err)
}
