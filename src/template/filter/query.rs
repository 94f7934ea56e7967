//! `json_query`: `JMESPath`, <https://jmespath.org/specification.html>.

mod function;
mod parse;

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::Result;
use crate::template::eval::Eval;
use crate::template::python;
use crate::template::value::Value;
use parse::{Comparator, Node};

pub(super) const FILTERS: &[Filter] = &[filter("json_query", json_query)];

fn json_query(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = args.required_text("expr")?;
    args.end()?;
    find(&parse::parse(&text)?, &value)
}

/// What `JMESPath` takes for false: nothing, and everything empty.
fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::None | Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Map(_) => value.is_true(),
        _ => true,
    }
}

/// Lists, also those that Python has as tuples.
fn items(value: &Value) -> Option<Vec<Value>> {
    value.as_items().map(|items| items.to_vec())
}

/// Each item through `node`, without those that give nothing.
fn project(items: Vec<Value>, node: &Node) -> Result<Value> {
    let found = items.iter().map(|item| find(node, item)).collect::<Result<Vec<_>>>()?;
    Ok(Value::list(found.into_iter().filter(|item| !item.is_none())))
}

/// Evaluates `node` at `value`.
fn find(node: &Node, value: &Value) -> Result<Value> {
    Ok(match node {
        Node::Current => value.clone(),
        Node::Literal(literal) => literal.clone(),
        Node::Field(name) => value.get(name).unwrap_or_default(),
        Node::Index(index) => items(value).and_then(|items| python::at(&items, *index).cloned()).unwrap_or_default(),
        Node::Slice(bounds) => match items(value) {
            Some(items) => python::slice(&Value::list(items), *bounds)?,
            None => Value::None,
        },
        Node::Sub(left, right) | Node::Pipe(left, right) => find(right, &find(left, value)?)?,
        Node::Project(left, right) => match items(&find(left, value)?) {
            Some(items) => project(items, right)?,
            None => Value::None,
        },
        Node::Values(left, right) => match find(left, value)?.as_entries() {
            Some(entries) => project(entries.values().cloned().collect(), right)?,
            None => Value::None,
        },
        Node::Flatten(inner) => match items(&find(inner, value)?) {
            Some(found) => Value::list(found.iter().flat_map(|item| items(item).unwrap_or_else(|| vec![item.clone()])).collect::<Vec<_>>()),
            None => Value::None,
        },
        Node::Filter(left, condition, right) => match items(&find(left, value)?) {
            Some(found) => {
                let mut kept = Vec::new();
                for item in found {
                    if truth(&find(condition, &item)?) {
                        kept.push(item);
                    }
                }
                project(kept, right)?
            }
            None => Value::None,
        },
        Node::Compare(comparator, left, right) => compare(*comparator, &find(left, value)?, &find(right, value)?),
        Node::Or(left, right) => match find(left, value)? {
            found if truth(&found) => found,
            _ => find(right, value)?,
        },
        Node::And(left, right) => match find(left, value)? {
            found if truth(&found) => find(right, value)?,
            found => found,
        },
        Node::Not(inner) => Value::Bool(!truth(&find(inner, value)?)),
        Node::List(_) | Node::Hash(_) if value.is_none() => Value::None,
        Node::List(nodes) => Value::list(nodes.iter().map(|node| find(node, value)).collect::<Result<Vec<_>>>()?),
        Node::Hash(entries) => {
            let found = entries.iter().map(|(name, node)| Ok((name.as_str(), find(node, value)?))).collect::<Result<Vec<_>>>()?;
            Value::map(found)
        }
        Node::Call(name, arguments) => function::call(name, arguments, value)?,
        Node::Reference(_) => Value::None,
    })
}

fn compare(comparator: Comparator, left: &Value, right: &Value) -> Value {
    // Unlike in Python, a boolean is no number.
    let equal = python::equal(left, right) && matches!(left, Value::Bool(_)) == matches!(right, Value::Bool(_));
    let ordered = |holds: fn(f64, f64) -> bool| match (left, right) {
        (Value::Bool(_), _) | (_, Value::Bool(_)) => Value::None,
        _ => match (python::as_float(left), python::as_float(right)) {
            (Some(left), Some(right)) => Value::Bool(holds(left, right)),
            // The specification wants numbers; Python's library compares text too.
            _ => match (left.as_str(), right.as_str()) {
                (Some(left), Some(right)) => Value::Bool(match left.cmp(right) {
                    std::cmp::Ordering::Less => holds(0.0, 1.0),
                    std::cmp::Ordering::Equal => holds(0.0, 0.0),
                    std::cmp::Ordering::Greater => holds(1.0, 0.0),
                }),
                _ => Value::None,
            },
        },
    };
    match comparator {
        Comparator::Equal => Value::Bool(equal),
        Comparator::NotEqual => Value::Bool(!equal),
        Comparator::Less => ordered(|left, right| left < right),
        Comparator::LessEqual => ordered(|left, right| left <= right),
        Comparator::Greater => ordered(|left, right| left > right),
        Comparator::GreaterEqual => ordered(|left, right| left >= right),
    }
}
