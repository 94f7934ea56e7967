//! Python's rules: printing, equality, order, arithmetic, indexing. Messages are Python's, since people search for them.

use std::cmp::Ordering;

use super::error::{Error, Result};
use super::format;
use super::syntax::Operator;
use super::value::{Entries, Value};
use crate::wire::{repr_float, repr_str};

/// What Python's `repr()` gives.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Undefined(_) => "Undefined".to_owned(),
        Value::Omit => "<<Omit>>".to_owned(),
        Value::None => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => repr_float(*number),
        Value::Str(text) => repr_str(text),
        Value::List(list) => format!("[{}]", list.get().iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Tuple(items) => match &**items {
            [only] => format!("({},)", repr(only)),
            items => format!("({})", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        },
        Value::Map(map) => {
            let entries: Vec<_> = map.get().iter().map(|(key, value)| format!("{}: {}", repr(&key.0), repr(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Lazy(_) => "{...}".to_owned(),
        Value::Object(object) => object.repr(),
    }
}

/// The whole number that a float is.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
pub(super) fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e38).then_some(number as i128)
}

/// A number that is not a whole number only because it is a float.
#[expect(clippy::cast_precision_loss, reason = "as in Python, where the nearest float is taken")]
pub(super) fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

pub(super) fn as_whole(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(flag) => Some(i128::from(*flag)),
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

/// `==`.
#[expect(clippy::float_cmp, reason = "this is the language's own operator")]
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::Omit, Value::Omit) | (Value::None, Value::None) => true,
        (Value::Str(left), Value::Str(right)) => left == right,
        (Value::List(left), Value::List(right)) => *left.get() == *right.get(),
        (Value::Tuple(left), Value::Tuple(right)) => left == right,
        (Value::Map(left), Value::Map(right)) => equal_entries(&left.get(), &right.get()),
        (Value::Object(left), Value::Object(right)) => left.equals(&**right),
        _ => match (as_whole(left), as_whole(right)) {
            (Some(left), Some(right)) => left == right,
            _ => matches!((as_float(left), as_float(right)), (Some(left), Some(right)) if left == right),
        },
    }
}

fn equal_entries(left: &Entries, right: &Entries) -> bool {
    left.len() == right.len() && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
}

/// `<`, `>` and their kin; `sign` is only for the message.
pub(super) fn order(left: &Value, right: &Value, sign: &str) -> Result<Ordering> {
    let refused =
        || Error::failed(format!("'{sign}' not supported between instances of '{}' and '{}'", left.type_name(), right.type_name()));
    match (left, right) {
        (Value::Str(left), Value::Str(right)) => Ok(left.cmp(right)),
        (Value::List(left), Value::List(right)) => order_items(&left.get(), &right.get(), sign),
        (Value::Tuple(left), Value::Tuple(right)) => order_items(left, right, sign),
        (Value::Object(left), Value::Object(right)) => left.order(&**right).ok_or_else(refused),
        _ => match (as_whole(left), as_whole(right)) {
            (Some(left), Some(right)) => Ok(left.cmp(&right)),
            _ => match (as_float(left), as_float(right)) {
                (Some(left), Some(right)) => Ok(left.partial_cmp(&right).unwrap_or(Ordering::Equal)),
                _ => Err(refused()),
            },
        },
    }
}

fn order_items(left: &[Value], right: &[Value], sign: &str) -> Result<Ordering> {
    for (left, right) in left.iter().zip(right) {
        if !equal(left, right) {
            return order(left, right, sign);
        }
    }
    Ok(left.len().cmp(&right.len()))
}

/// `needle in haystack`.
pub(super) fn contains(haystack: &Value, needle: &Value) -> Result<bool> {
    match haystack {
        Value::Str(text) => match needle {
            Value::Str(needle) => Ok(text.contains(&**needle)),
            other => Err(Error::failed(format!("'in <string>' requires string as left operand, not {}", other.type_name()))),
        },
        Value::List(list) => Ok(list.get().contains(needle)),
        Value::Tuple(items) => Ok(items.contains(needle)),
        Value::Map(map) => Ok(map.get().keys().any(|key| key.0 == *needle)),
        Value::Object(object) => match object.items() {
            Some(items) => Ok(items.contains(needle)),
            None => Err(Error::failed(format!("argument of type '{}' is not iterable", object.type_name()))),
        },
        other => Err(Error::failed(format!("argument of type '{}' is not iterable", other.type_name()))),
    }
}

fn overflow() -> Error {
    Error::failed("the number is too large: beyond 127 bits")
}

/// Arithmetic.
pub(super) fn binary(operator: Operator, left: &Value, right: &Value) -> Result<Value> {
    match (operator, left, right) {
        (Operator::Add, Value::Str(first), Value::Str(second)) => Ok(Value::from(format!("{first}{second}"))),
        (Operator::Add, Value::List(first), Value::List(second)) => Ok(Value::list(first.get().iter().chain(second.get().iter()).cloned())),
        (Operator::Add, Value::Tuple(first), Value::Tuple(second)) => Ok(Value::tuple(first.iter().chain(second.iter()).cloned())),
        (Operator::Multiply, Value::Str(_) | Value::List(_) | Value::Tuple(_), count) if as_whole(count).is_some() => repeat(left, count),
        (Operator::Multiply, count, Value::Str(_) | Value::List(_) | Value::Tuple(_)) if as_whole(count).is_some() => repeat(right, count),
        (Operator::Modulo, Value::Str(pattern), arguments) => format::percent(pattern, arguments).map(Value::from),
        _ => arithmetic(operator, left, right),
    }
}

/// How many values `value` is made of when it is written out; what is nested more than `depth` times counts as one.
fn weight(value: &Value, depth: usize) -> usize {
    match value.as_items().filter(|_| depth > 0) {
        Some(items) => {
            items.iter().fold(1, |sum: usize, item| if sum > 1_000_000 { sum } else { sum.saturating_add(weight(item, depth - 1)) })
        }
        None => 1,
    }
}

fn repeat(what: &Value, count: &Value) -> Result<Value> {
    let count = usize::try_from(as_whole(count).unwrap_or_default().max(0)).unwrap_or(usize::MAX);
    // An item takes some tens of bytes, and is then written as text.
    let (length, most) = match what {
        Value::Str(text) => (text.len(), 100_000_000),
        other => (other.as_items().map_or(0, |items| items.iter().map(|item| weight(item, 50)).sum()), 1_000_000),
    };
    if length.saturating_mul(count) > most {
        return Err(Error::failed("the repeated text or list is too large"));
    }
    // Nothing stays nothing, and needs no time for it.
    let count = if length == 0 { 0 } else { count };
    Ok(match what {
        Value::Str(text) => Value::from(text.repeat(count)),
        Value::Tuple(items) => Value::tuple(std::iter::repeat_n(items, count).flat_map(|items| items.iter().cloned())),
        other => Value::list(std::iter::repeat_n(other.as_items().unwrap_or_default(), count).flat_map(|items| items.to_vec())),
    })
}

fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Result<Value> {
    if let (Value::Object(_), _) | (_, Value::Object(_)) = (left, right) {
        if let Value::Object(object) = left
            && let Some(result) = object.arithmetic(operator, right)
        {
            return result;
        }
        return Err(unsupported(operator, left, right));
    }
    if let (Some(first), Some(second)) = (as_whole(left), as_whole(right)) {
        return whole_arithmetic(operator, first, second);
    }
    let (Some(first), Some(second)) = (as_float(left), as_float(right)) else { return Err(unsupported(operator, left, right)) };
    Ok(Value::Float(match operator {
        Operator::Add => first + second,
        Operator::Subtract => first - second,
        Operator::Multiply => first * second,
        Operator::Divide | Operator::FloorDivide | Operator::Modulo if second == 0.0 => return Err(by_zero(operator, true)),
        Operator::Divide => first / second,
        Operator::FloorDivide => (first / second).floor(),
        Operator::Modulo => first - second * (first / second).floor(),
        Operator::Power if first == 0.0 && second < 0.0 => return Err(Error::failed("0.0 cannot be raised to a negative power")),
        Operator::Power => first.powf(second),
    }))
}

fn by_zero(operator: Operator, float: bool) -> Error {
    Error::failed(match (operator, float) {
        (Operator::Divide, true) => "float division by zero",
        (Operator::Divide, false) => "division by zero",
        (Operator::FloorDivide, true) => "float floor division by zero",
        (Operator::Modulo, true) => "float modulo by zero",
        (Operator::Modulo, false) => "integer modulo by zero",
        _ => "integer division or modulo by zero",
    })
}

#[expect(clippy::cast_precision_loss, reason = "as in Python, where the nearest float is taken")]
fn whole_arithmetic(operator: Operator, first: i128, second: i128) -> Result<Value> {
    let result = match operator {
        Operator::Add => first.checked_add(second),
        Operator::Subtract => first.checked_sub(second),
        Operator::Multiply => first.checked_mul(second),
        Operator::Divide | Operator::FloorDivide | Operator::Modulo if second == 0 => return Err(by_zero(operator, false)),
        Operator::Divide => return Ok(Value::Float(first as f64 / second as f64)),
        Operator::FloorDivide => first
            .checked_div_euclid(second)
            .map(|quotient| if second < 0 && first.rem_euclid(second) != 0 { quotient - 1 } else { quotient }),
        Operator::Modulo => first.checked_rem_euclid(second).map(|rest| if second < 0 && rest != 0 { rest + second } else { rest }),
        Operator::Power if second < 0 && first == 0 => return Err(Error::failed("0.0 cannot be raised to a negative power")),
        Operator::Power if second < 0 => return Ok(Value::Float((first as f64).powf(second as f64))),
        Operator::Power => u32::try_from(second).ok().and_then(|exponent| first.checked_pow(exponent)),
    };
    result.map(Value::Int).ok_or_else(overflow)
}

fn unsupported(operator: Operator, left: &Value, right: &Value) -> Error {
    let (first, second) = (left.type_name(), right.type_name());
    if let (Operator::Add, Value::Str(_) | Value::List(_) | Value::Tuple(_)) = (operator, left) {
        Error::failed(format!("can only concatenate {first} (not \"{second}\") to {first}"))
    } else {
        let sign = match operator {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::FloorDivide => "//",
            Operator::Modulo => "%",
            Operator::Power => "** or pow()",
        };
        Error::failed(format!("unsupported operand type(s) for {sign}: '{first}' and '{second}'"))
    }
}

/// `-value`.
pub(super) fn negative(value: &Value) -> Result<Value> {
    match value {
        Value::Float(number) => Ok(Value::Float(-number)),
        other => match as_whole(other) {
            Some(number) => number.checked_neg().map(Value::Int).ok_or_else(overflow),
            None => Err(Error::failed(format!("bad operand type for unary -: '{}'", other.type_name()))),
        },
    }
}

/// `value[index]` of a sequence or text; counts from the end if negative.
pub(super) fn at<T>(items: &[T], index: i128) -> Option<&T> {
    let length = i128::try_from(items.len()).ok()?;
    let index = if index < 0 { index + length } else { index };
    items.get(usize::try_from(index).ok()?)
}

/// `value[start:stop:step]`.
pub(super) fn slice(value: &Value, bounds: [Option<i128>; 3]) -> Result<Value> {
    match value {
        Value::Str(text) => {
            let characters: Vec<char> = text.chars().collect();
            Ok(Value::from(picked(&characters, bounds)?.into_iter().collect::<String>()))
        }
        Value::List(list) => Ok(Value::list(picked(&list.get(), bounds)?)),
        Value::Tuple(items) => Ok(Value::tuple(picked(items, bounds)?)),
        Value::Object(object) => match object.items() {
            Some(items) => Ok(Value::list(picked(&items, bounds)?)),
            None => Err(Error::failed(format!("'{}' object is not subscriptable", object.type_name()))),
        },
        Value::Map(_) => Err(Error::failed("unhashable type: 'slice'")),
        other => Err(Error::failed(format!("'{}' object is not subscriptable", other.type_name()))),
    }
}

fn picked<T: Clone>(items: &[T], [start, stop, step]: [Option<i128>; 3]) -> Result<Vec<T>> {
    let length = i128::try_from(items.len()).unwrap_or(i128::MAX);
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::failed("slice step cannot be zero"));
    }
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |given: Option<i128>, default: i128| match given {
        None => default,
        Some(index) if index < 0 => (index + length).max(lowest),
        Some(index) => index.min(highest),
    };
    let (mut index, stop) =
        if step > 0 { (bound(start, lowest), bound(stop, highest)) } else { (bound(start, highest), bound(stop, lowest)) };
    let mut out = Vec::new();
    while if step > 0 { index < stop } else { index > stop } {
        out.extend(usize::try_from(index).ok().and_then(|index| items.get(index)).cloned());
        index = index.saturating_add(step);
    }
    Ok(out)
}
