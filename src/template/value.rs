//! [`Value`]: what expressions work on: Python's data model as far as Jinja shows it, and the conversions from and to the wire.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use indexmap::{Equivalent, IndexMap};

use super::lazy::Lazy;
use super::object::Object;
use super::python;
use crate::wire;

/// A value of an expression or a variable. Cloning is cheap; lists and mappings are shared, as in Python.
#[derive(Clone, Default)]
pub enum Value {
    /// Nothing is known by that name. Most uses of it are errors; see [`Missing`].
    Undefined(Arc<Missing>),
    /// `omit`: the parameter that has this value is left out.
    Omit,
    /// `none`.
    #[default]
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number. Python's are unbounded; beyond this range is an error.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// Ordered values.
    List(List),
    /// Ordered values that cannot be changed.
    Tuple(Arc<[Value]>),
    /// Named values, in order.
    Map(Map),
    /// A container whose entries are evaluated when they are asked for.
    Lazy(Arc<Lazy>),
    /// What exists only inside templates: functions, macros, `loop`, namespaces, dates.
    Object(Arc<dyn Object>),
}

/// Why a value is undefined: the text of the error that any use of it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where that was found out, once it is known.
    pub place: Option<crate::text::Span>,
    /// `'x' is undefined`.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Missing {
    /// The same, found out at `span`.
    pub(super) fn at(&self, span: crate::text::Span) -> Value {
        Value::Undefined(Arc::new(Self { place: Some(span), ..self.clone() }))
    }
}

/// A shared container: fixed where it came from outside, open to `append` and `update` where a template made it.
///
/// Readers get a snapshot, so that no lock is ever held while something is evaluated.
pub enum Shared<T> {
    /// Never changes.
    Fixed(Arc<T>),
    /// Made by a template that runs now.
    Open(Arc<RwLock<Arc<T>>>),
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Fixed(inner) => Self::Fixed(Arc::clone(inner)),
            Self::Open(inner) => Self::Open(Arc::clone(inner)),
        }
    }
}

impl<T: Clone> Shared<T> {
    /// A container that a template may change.
    pub fn open(inner: T) -> Self {
        Self::Open(Arc::new(RwLock::new(Arc::new(inner))))
    }

    /// A container that never changes.
    pub fn fixed(inner: T) -> Self {
        Self::Fixed(Arc::new(inner))
    }

    /// The content as it is now.
    pub fn get(&self) -> Arc<T> {
        match self {
            Self::Fixed(inner) => Arc::clone(inner),
            Self::Open(inner) => Arc::clone(&inner.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Changes the content; `None` where it is fixed.
    pub fn edit<R>(&self, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        match self {
            Self::Fixed(_) => None,
            Self::Open(inner) => Some(change(Arc::make_mut(&mut inner.write().unwrap_or_else(PoisonError::into_inner)))),
        }
    }

    /// Whether nothing can change it any more.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

/// A list.
pub type List = Shared<Vec<Value>>;
/// A mapping.
pub type Map = Shared<Entries>;
/// What a mapping holds.
pub type Entries = IndexMap<Key, Value>;

/// The key of a mapping: `1`, `1.0` and `true` are the same key, as in Python.
#[derive(Clone, Debug)]
pub struct Key(pub Value);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Value::Str(text) => text.hash(state),
            Value::Bool(flag) => i128::from(*flag).hash(state),
            Value::Int(number) => number.hash(state),
            Value::Float(number) => match python::whole(*number) {
                Some(whole) => whole.hash(state),
                None => number.to_bits().hash(state),
            },
            Value::Tuple(items) => items.iter().for_each(|item| Key(item.clone()).hash(state)),
            _ => 0_u8.hash(state),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(&key.0, Value::Str(text) if **text == *self)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Value {
    /// A list that templates may change.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::List(List::open(items.into_iter().collect()))
    }

    /// A mapping that templates may change.
    pub fn map<K: Into<Value>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(Map::open(entries.into_iter().map(|(key, value)| (Key(key.into()), value)).collect()))
    }

    /// A tuple.
    pub fn tuple(items: impl IntoIterator<Item = Value>) -> Self {
        Self::Tuple(items.into_iter().collect())
    }

    /// The value that says that `message` is what is wrong.
    pub fn undefined(message: impl Into<String>) -> Self {
        Self::Undefined(Arc::new(Missing { place: None, message: message.into(), help: None }))
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if this is one that fits (`true` is 1).
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => i64::try_from(*number).ok(),
            Self::Bool(flag) => Some(i64::from(*flag)),
            _ => None,
        }
    }

    /// The items of a list or a tuple.
    pub fn as_items(&self) -> Option<Arc<Vec<Value>>> {
        match self {
            Self::List(list) => Some(list.get()),
            Self::Tuple(items) => Some(Arc::new(items.to_vec())),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn as_entries(&self) -> Option<Arc<Entries>> {
        match self {
            Self::Map(map) => Some(map.get()),
            _ => None,
        }
    }

    /// The entry `key` of a mapping.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.as_entries()?.get(key).cloned()
    }

    /// Whether this is undefined.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    /// Whether this is `none`.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether Python would take this for true. Undefined is false here; conditions refuse it before.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Omit | Self::Object(_) => true,
            Self::Bool(flag) => *flag,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(list) => !list.get().is_empty(),
            Self::Tuple(items) => !items.is_empty(),
            Self::Map(map) => !map.get().is_empty(),
            Self::Lazy(lazy) => !lazy.is_empty(),
        }
    }

    /// The name of the type in Python: `str`, `dict`.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Undefined(_) => "AnsibleUndefined",
            Self::Omit => "Omit",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Map(_) => "dict",
            Self::Lazy(lazy) => lazy.type_name(),
            Self::Object(object) => object.type_name(),
        }
    }

    /// What Python's `str()` gives.
    pub fn to_text(&self) -> String {
        match self {
            Self::Str(text) => text.to_string(),
            Self::Object(object) => object.text(),
            other => python::repr(other),
        }
    }
}

/// Never the content: a variable may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::List(list) => write!(formatter, "<list of {}>", list.get().len()),
            Self::Map(map) => write!(formatter, "<dict of {}>", map.get().len()),
            other => write!(formatter, "<{}>", other.type_name()),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        python::equal(self, other)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}
impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Str(text)
    }
}
impl From<char> for Value {
    fn from(character: char) -> Self {
        Self::from(character.to_string())
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(i128::try_from(number).unwrap_or(i128::MAX))
    }
}
macro_rules! from_integer {
    ($($type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(number: $type) -> Self {
                Self::Int(number.into())
            }
        }
    )*};
}
from_integer!(i32, u32, i64, u64, i128);
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::list(items.into_iter().map(Into::into))
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// The value that leaves a parameter out.
pub fn omit() -> Value {
    Value::Omit
}

/// Whether `value` is [`omit`].
pub fn is_omit(value: &Value) -> bool {
    matches!(value, Value::Omit)
}

/// A value that came from a host or a variables layer; its text is never a template.
pub fn from_wire(value: &wire::Value) -> Value {
    match value {
        wire::Value::Null => Value::None,
        wire::Value::Bool(flag) => Value::Bool(*flag),
        wire::Value::Int(number) => Value::Int((*number).into()),
        wire::Value::Float(number) => Value::Float(*number),
        wire::Value::Str(text) => text.as_str().into(),
        wire::Value::List(items) => Value::List(List::fixed(items.iter().map(from_wire).collect())),
        wire::Value::Map(map) => {
            Value::Map(Map::fixed(map.iter().map(|(key, value)| (Key::from(key.as_str()), from_wire(value))).collect()))
        }
    }
}

/// What can be sent to a host or shown. Entries that are [`omit`] are left out; keys become text, as JSON wants.
pub fn to_wire(value: &Value) -> wire::Value {
    match value {
        Value::Undefined(_) | Value::Omit | Value::None => wire::Value::Null,
        Value::Bool(flag) => wire::Value::Bool(*flag),
        #[expect(clippy::cast_precision_loss, reason = "JSON readers take a number beyond 64 bits for a float too")]
        Value::Int(number) => i64::try_from(*number).map_or(wire::Value::Float(*number as f64), wire::Value::Int),
        Value::Float(number) => wire::Value::Float(*number),
        Value::Str(text) => wire::Value::Str(text.to_string()),
        Value::List(list) => wire::Value::List(list.get().iter().filter(|item| !is_omit(item)).map(to_wire).collect()),
        Value::Tuple(items) => wire::Value::List(items.iter().filter(|item| !is_omit(item)).map(to_wire).collect()),
        Value::Map(map) => wire::Value::Map(
            map.get().iter().filter(|(_, value)| !is_omit(value)).map(|(key, value)| (json_key(&key.0), to_wire(value))).collect(),
        ),
        Value::Lazy(_) => wire::Value::Null,
        Value::Object(object) => wire::Value::Str(object.text()),
    }
}

/// A mapping's key as JSON has it.
pub(super) fn json_key(key: &Value) -> String {
    match key {
        Value::None => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        other => other.to_text(),
    }
}
