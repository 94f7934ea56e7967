//! JSON, written byte for byte as Python writes it.

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::text::{check, text_of};
use crate::template::value::{Entries, Key, List, Map, Value, json_key};
use crate::wire::repr_float;

pub(super) const FILTERS: &[Filter] = &[
    filter("to_json", |_, value, args| to_json(&value, args, None, false)),
    filter("to_nice_json", |_, value, args| to_json(&value, args, Some(4), true)),
    filter("tojson", tojson),
    filter("from_json", from_json),
];

/// How JSON is laid out.
struct Json {
    indent: Option<usize>,
    sorted: bool,
    ascii: bool,
    item: String,
    key: String,
}

fn to_json(value: &Value, mut args: Args, indent: Option<usize>, sorted: bool) -> Result<Value> {
    check(value)?;
    let indent = match args.next("indent").or_else(|| args.named("indent")) {
        Some(given) => given.as_int().and_then(|given| usize::try_from(given).ok()),
        None => indent,
    };
    let separators = args.named("separators").and_then(|separators| separators.as_items());
    let (mut item, mut key) = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    if let Some([first, second]) = separators.as_deref().map(Vec::as_slice) {
        (item, key) = (first.to_text(), second.to_text());
    }
    let json = Json { indent, sorted: args.named_flag("sort_keys", sorted), ascii: args.named_flag("ensure_ascii", true), item, key };
    for known in ["vault_to_text", "preprocess_unsafe", "profile", "allow_nan", "check_circular", "skipkeys"] {
        args.named(known);
    }
    args.end()?;
    let mut out = String::new();
    json.write(value, 0, &mut out);
    Ok(Value::from(out))
}

fn tojson(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    check(&value)?;
    let indent = args.int("indent")?.and_then(|indent| usize::try_from(indent).ok());
    let item = if indent.is_some() { "," } else { ", " }.to_owned();
    let json = Json { indent, sorted: true, ascii: true, item, key: ": ".to_owned() };
    let mut out = String::new();
    json.write(&value, 0, &mut out);
    let safe = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\'', "\\u0027")];
    Ok(Value::from(safe.iter().fold(out, |text, (character, escape)| text.replace(*character, escape))))
}

impl Json {
    fn write(&self, value: &Value, level: usize, out: &mut String) {
        match value {
            Value::None | Value::Undefined(_) | Value::Omit | Value::Lazy(_) => out.push_str("null"),
            Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) if number.is_nan() => out.push_str("NaN"),
            Value::Float(number) if number.is_infinite() => out.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
            Value::Float(number) => out.push_str(&repr_float(*number)),
            Value::Str(text) => self.text(text, out),
            Value::List(list) => self.items(&list.get(), level, out),
            Value::Tuple(items) => self.items(items, level, out),
            Value::Map(map) => self.entries(&map.get(), level, out),
            Value::Object(object) => match object.items() {
                Some(items) => self.items(&items, level, out),
                None => self.text(&object.text(), out),
            },
        }
    }

    fn line(&self, level: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * level));
        }
    }

    fn items(&self, items: &[Value], level: usize, out: &mut String) {
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(&self.item);
            }
            self.line(level + 1, out);
            self.write(item, level + 1, out);
        }
        if !items.is_empty() {
            self.line(level, out);
        }
        out.push(']');
    }

    fn entries(&self, entries: &Entries, level: usize, out: &mut String) {
        let mut named: Vec<(String, &Value)> = entries.iter().map(|(key, value)| (json_key(&key.0), value)).collect();
        if self.sorted {
            named.sort_by(|(left, _), (right, _)| left.cmp(right));
        }
        out.push('{');
        for (index, (key, value)) in named.iter().enumerate() {
            if index > 0 {
                out.push_str(&self.item);
            }
            self.line(level + 1, out);
            self.text(key, out);
            out.push_str(&self.key);
            self.write(value, level + 1, out);
        }
        if !named.is_empty() {
            self.line(level, out);
        }
        out.push('}');
    }

    fn text(&self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if u32::from(c) < 0x20 || (self.ascii && !c.is_ascii()) || (c == '\u{7f}' && self.ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn from_json(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let parsed: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        // The parser's own words would quote nothing of the text, which may be a secret.
        Error::failed(format!("expected JSON: line {} column {}", error.line(), error.column()))
    })?;
    Ok(of_json(&parsed))
}

pub(super) fn of_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => Value::Float(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::List(List::open(items.iter().map(of_json).collect())),
        serde_json::Value::Object(entries) => {
            Value::Map(Map::open(entries.iter().map(|(key, item)| (Key::from(key.as_str()), of_json(item))).collect()))
        }
    }
}
