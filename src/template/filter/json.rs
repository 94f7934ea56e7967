//! Values as JSON, byte for byte as Python writes it, and back.

use super::{Filter, filter, list};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::python;
use crate::template::text::{check, text_of};
use crate::template::value::{Key, Map, Value, json_key};
use crate::wire::repr_float;

pub(super) const FILTERS: &[Filter] = &[
    filter("to_json", |_, value, args| dumped(&value, args, false)),
    filter("to_nice_json", |_, value, args| dumped(&value, args, true)),
    filter("tojson", for_html),
    filter("from_json", from_json),
];

/// How `json.dumps` was asked to write.
#[derive(Clone, Debug)]
struct Style {
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
    ascii: bool,
}

fn dumped(value: &Value, mut args: Args, nice: bool) -> Result<Value> {
    let indent = match args.next("indent") {
        None if nice => Some("    ".to_owned()),
        None | Some(Value::None) => None,
        Some(Value::Str(text)) => Some(text.to_string()),
        Some(width) => Some(" ".repeat(width.as_int().and_then(|width| usize::try_from(width).ok()).unwrap_or_default().min(100))),
    };
    let sort_keys = args.flag("sort_keys", nice);
    let separators = args.named("separators").and_then(|pair| pair.as_items());
    let (item, key) = match separators.as_deref().map(Vec::as_slice) {
        Some([item, key]) => (text_of(item)?, text_of(key)?),
        _ => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let ascii = args.named_flag("ensure_ascii", true);
    for ignored in ["vault_to_text", "preprocess_unsafe", "skipkeys", "check_circular", "allow_nan", "cls", "default", "profile"] {
        drop(args.named(ignored));
    }
    args.end()?;
    let style = Style { indent, item_separator: item, key_separator: key, sort_keys, ascii };
    check(value)?;
    let mut out = String::new();
    write(&mut out, value, &style, 0)?;
    Ok(Value::from(out))
}

/// Jinja's own: safe inside HTML.
fn for_html(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let indent = args.int("indent")?;
    args.end()?;
    let mut inner = Args { named: vec![("sort_keys".into(), Value::Bool(true))], ..Args::default() };
    inner.named.extend(indent.map(|indent| ("indent".into(), Value::Int(indent))));
    let text = dumped(&value, inner, false)?.to_text();
    Ok(Value::from(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027")))
}

fn write(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<()> {
    match value {
        Value::Undefined(_) | Value::Omit | Value::None => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) if number.is_nan() => out.push_str("NaN"),
        Value::Float(number) if number.is_infinite() => out.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Float(number) => out.push_str(&repr_float(*number)),
        Value::Str(text) => string(out, text, style.ascii),
        Value::List(items) => sequence(out, &items.get(), style, depth)?,
        Value::Tuple(items) => sequence(out, items, style, depth)?,
        Value::Map(map) => {
            let entries = map.get();
            let mut keys: Vec<Value> =
                entries.iter().filter(|(_, value)| !matches!(value, Value::Omit)).map(|(key, _)| key.0.clone()).collect();
            if style.sort_keys {
                keys = list::sorted(keys, false)?;
            }
            if keys.is_empty() {
                out.push_str("{}");
                return Ok(());
            }
            out.push('{');
            for (index, key) in keys.iter().enumerate() {
                separate(out, style, depth + 1, index > 0);
                string(out, &json_key(key), style.ascii);
                out.push_str(&style.key_separator);
                write(out, entries.get(&Key(key.clone())).unwrap_or(&Value::None), style, depth + 1)?;
            }
            close(out, style, depth, '}');
        }
        Value::Object(object) => match object.items().filter(|_| !object.storable()) {
            Some(items) => sequence(out, &items, style, depth)?,
            None if object.storable() => string(out, &object.text(), style.ascii),
            None => return Err(Error::failed(format!("Object of type {} is not JSON serializable", object.type_name()))),
        },
        Value::Lazy(_) => return Err(Error::failed(format!("Object of type {} is not JSON serializable", python::repr(value)))),
    }
    Ok(())
}

fn sequence(out: &mut String, items: &[Value], style: &Style, depth: usize) -> Result<()> {
    if items.iter().all(|item| matches!(item, Value::Omit)) {
        out.push_str("[]");
        return Ok(());
    }
    out.push('[');
    for (index, item) in items.iter().filter(|item| !matches!(item, Value::Omit)).enumerate() {
        separate(out, style, depth + 1, index > 0);
        write(out, item, style, depth + 1)?;
    }
    close(out, style, depth, ']');
    Ok(())
}

fn separate(out: &mut String, style: &Style, depth: usize, comma: bool) {
    if comma {
        out.push_str(&style.item_separator);
    }
    if let Some(indent) = &style.indent {
        out.push('\n');
        out.push_str(&indent.repeat(depth));
    }
}

fn close(out: &mut String, style: &Style, depth: usize, bracket: char) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        out.push_str(&indent.repeat(depth));
    }
    out.push(bracket);
}

fn string(out: &mut String, text: &str, ascii: bool) {
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
            other if other < ' ' || (ascii && other > '~') => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn from_json(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    drop(args.named("profile"));
    args.end()?;
    let Some(text) = value.as_str() else {
        return Err(Error::failed(format!("the JSON object must be str, bytes or bytearray, not {}", value.type_name())));
    };
    serde_json::from_str(text).map(|json: serde_json::Value| from_tree(&json)).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Error::failed(format!("the text is not JSON ({place})"))
    })
}

fn from_tree(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number.into()),
            (_, Some(number)) => Value::Int(number.into()),
            _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::list(items.iter().map(from_tree)),
        serde_json::Value::Object(entries) => {
            Value::Map(Map::open(entries.iter().map(|(key, value)| (Key::from(key.as_str()), from_tree(value))).collect()))
        }
    }
}
