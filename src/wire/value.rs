//! [`Value`]: the only datum that crosses the network.
//!
//! It is what Ansible's modules take and return. Postcard carries it with a tag, since that format is not self-describing;
//! JSON carries it as plain JSON, since people and other tools read it there.

use std::fmt;

use indexmap::IndexMap;
use serde::de::{self, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A mapping that keeps the order of the YAML it came from.
pub type Map = IndexMap<String, Value>;

/// One parameter, fact or result.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// YAML's `null`, Python's `None`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(String),
    /// Ordered values.
    List(Vec<Value>),
    /// Named values.
    Map(Map),
}

impl Value {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The entry `key` of a mapping.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What kind of value this is, in words for an error message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// What Python calls its type, for messages that are Ansible's.
    pub fn python_type(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Map(_) => "dict",
        }
    }

    /// A boolean as Ansible coerces module parameters: `yes`, `on`, `1`, `t`, `y` and their opposites, in any case.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            Self::Int(0) => Some(false),
            Self::Int(1) => Some(true),
            Self::Float(number) if *number == 0.0 => Some(false),
            Self::Float(number) if (*number - 1.0).abs() < f64::EPSILON => Some(true),
            Self::Str(text) => match text.to_ascii_lowercase().trim() {
                "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
                "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text that Python's `str()` gives for this value, which is how Ansible coerces parameters to strings.
    pub fn to_text(&self) -> String {
        match self {
            Self::Str(text) => text.clone(),
            other => other.repr(),
        }
    }

    /// The text that Python's `repr()` gives for this value.
    pub fn repr(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => repr_float(*number),
            Self::Str(text) => repr_str(text),
            Self::List(items) => format!("[{}]", items.iter().map(Self::repr).collect::<Vec<_>>().join(", ")),
            Self::Map(map) => {
                let entries: Vec<_> = map.iter().map(|(key, value)| format!("{}: {}", repr_str(key), value.repr())).collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
}

/// The number that `text` is: `2`, `-0.5`, `.5`, `1e3`; not `inf` and not `nan`. JSON's reader does it, which the worker carries in any
/// case: the standard library's, which gets the last bit of seventeen digits right, would make it larger by 16 KB.
pub fn parse_float(text: &str) -> Option<f64> {
    let (minus, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    let zero = if digits.starts_with('.') { "0" } else { "" };
    let end = if digits.ends_with('.') { "0" } else { "" };
    let digits = Some(digits).filter(|digits| digits.contains(|character: char| character.is_ascii_digit()) && !digits.starts_with('-'))?;
    serde_json::from_str(&format!("{minus}{zero}{digits}{end}")).ok()
}

/// A float as Python prints it: `1.0`, `0.1`, `1e+16`.
pub fn repr_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{number:?}")
}

/// Text as Python's `repr()` quotes it.
pub fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || (0x7f..0xa1).contains(&(c as u32)) => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}
impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self::Str(number.to_string()), Self::Int)
    }
}
impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}
impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

const VARIANTS: &[&str] = &["Null", "Bool", "Int", "Float", "Str", "List", "Map"];

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return match self {
                Self::Null => serializer.serialize_unit(),
                Self::Bool(flag) => serializer.serialize_bool(*flag),
                Self::Int(number) => serializer.serialize_i64(*number),
                Self::Float(number) => serializer.serialize_f64(*number),
                Self::Str(text) => serializer.serialize_str(text),
                Self::List(items) => items.serialize(serializer),
                Self::Map(map) => map.serialize(serializer),
            };
        }
        match self {
            Self::Null => serializer.serialize_unit_variant("Value", 0, "Null"),
            Self::Bool(flag) => serializer.serialize_newtype_variant("Value", 1, "Bool", flag),
            Self::Int(number) => serializer.serialize_newtype_variant("Value", 2, "Int", number),
            Self::Float(number) => serializer.serialize_newtype_variant("Value", 3, "Float", number),
            Self::Str(text) => serializer.serialize_newtype_variant("Value", 4, "Str", text),
            Self::List(items) => serializer.serialize_newtype_variant("Value", 5, "List", items),
            Self::Map(map) => serializer.serialize_newtype_variant("Value", 6, "Map", map),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Plain)
        } else {
            deserializer.deserialize_enum("Value", VARIANTS, Tagged)
        }
    }
}

struct Plain;

impl<'de> Visitor<'de> for Plain {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "a number beyond i64 is a float in JSON's other readers too")]
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Str(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = access.next_entry()? {
            map.insert(key, value);
        }
        Ok(Value::Map(map))
    }
}

struct Tagged;

impl<'de> Visitor<'de> for Tagged {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a tagged value")
    }
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let (tag, content): (u32, _) = access.variant_seed(Tag)?;
        match tag {
            0 => content.unit_variant().map(|()| Value::Null),
            1 => content.newtype_variant().map(Value::Bool),
            2 => content.newtype_variant().map(Value::Int),
            3 => content.newtype_variant().map(Value::Float),
            4 => content.newtype_variant().map(Value::Str),
            5 => content.newtype_variant().map(Value::List),
            6 => content.newtype_variant().map(Value::Map),
            other => Err(de::Error::custom(format!("no value has the tag {other}"))),
        }
    }
}

struct Tag;

impl<'de> de::DeserializeSeed<'de> for Tag {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        u32::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        let mut map = Map::new();
        map.insert("b".into(), Value::List(vec![Value::Null, true.into(), 7.into(), 0.5.into(), "it's".into()]));
        map.insert("a".into(), Value::Map(Map::new()));
        Value::Map(map)
    }

    #[test]
    fn travels_through_postcard_and_json_unchanged() {
        let value = sample();
        let bytes = postcard::to_stdvec(&value).unwrap();
        assert_eq!(postcard::from_bytes::<Value>(&bytes).unwrap(), value);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, r#"{"b":[null,true,7,0.5,"it's"],"a":{}}"#);
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
    }

    #[test]
    fn prints_as_python_does() {
        assert_eq!(sample().to_text(), r#"{'b': [None, True, 7, 0.5, "it's"], 'a': {}}"#);
        for (number, text) in [(1.0, "1.0"), (0.1, "0.1"), (1e16, "1e+16"), (1.5e-7, "1.5e-07"), (123_456.789, "123456.789")] {
            assert_eq!((repr_float(number).as_str(), parse_float(text)), (text, Some(number)));
        }
    }
    #[test]
    fn reads_numbers_as_python_does() {
        for (text, number) in [(".5", 0.5), ("5.", 5.0), ("+2", 2.0), ("-.25", -0.25), ("1e3", 1000.0)] {
            assert_eq!(parse_float(text), Some(number), "{text}");
        }
        for text in ["", ".", "-", "+-1", "1.5.2", "0x1", "nan", "true", "1 2"] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }
}
