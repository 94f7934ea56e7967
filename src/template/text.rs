//! Values as text, where what is undefined is an error.

use std::borrow::Cow;

use super::error::{Error, Result};
use super::value::Value;

/// What `str()` gives; an error for what is undefined, also deep inside.
pub(super) fn text_of(value: &Value) -> Result<String> {
    check(value)?;
    Ok(value.to_text())
}

/// The text of a value, without a copy where it is text already.
pub(super) fn borrowed(value: &Value) -> Result<Cow<'_, str>> {
    match value {
        Value::Str(text) => Ok(Cow::Borrowed(text)),
        other => text_of(other).map(Cow::Owned),
    }
}

/// That nothing in `value` is undefined.
pub(super) fn check(value: &Value) -> Result<()> {
    match value {
        Value::Undefined(missing) => Err(Error::undefined(missing)),
        // What came from outside was complete then.
        Value::List(list) if list.is_fixed() => Ok(()),
        Value::Map(map) if map.is_fixed() => Ok(()),
        Value::List(list) => list.get().iter().try_for_each(check),
        Value::Tuple(items) => items.iter().try_for_each(check),
        Value::Map(map) => map.get().values().try_for_each(check),
        _ => Ok(()),
    }
}
