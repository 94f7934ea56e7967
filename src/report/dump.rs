//! Results as text: which parts are shown, and how JSON looks when Python writes it.

use std::fmt::Write;

use crate::event::{Status, TaskResult};
use crate::text::emit::{self, Layout};
use crate::wire::{Map, Value, repr_float};

/// From this verbosity on nothing is left out.
const EVERYTHING: u8 = 3;

/// The part of a result that people are shown.
pub(super) fn visible(result: &TaskResult, module: &str, verbosity: u8) -> Map {
    const NOISE: [&str; 5] = ["failed", "skipped", "results", "warnings", "deprecations"];
    const VERBOSE: [&str; 3] = ["invocation", "diff", "exception"];
    let debug = is_debug(module);
    let alone = debug && result.result.contains_key("msg");
    let shown = |key: &str| match key {
        _ if key.starts_with("_ansible") || NOISE.contains(&key) => false,
        "msg" => true,
        _ if alone => false,
        "ansible_loop_var" if debug => result.status == Status::Skipped,
        "changed" | "invocation" | "skip_reason" | "failed_when_result" if debug => false,
        _ => verbosity >= EVERYTHING || !VERBOSE.contains(&key),
    };
    result.result.iter().filter(|(key, _)| shown(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether `module` is `debug`, whose result is the text it was given and nothing else.
pub(super) fn is_debug(module: &str) -> bool {
    matches!(module, "debug" | "ansible.builtin.debug" | "ansible.legacy.debug")
}

/// YAML below a heading: every line indented, no newline at the end.
///
/// Made `pretty` it is for reading: text of several lines loses its white space at line ends, and what stands there twice is left out.
pub(super) fn yaml(map: &Map, pretty: bool) -> String {
    let indent = if pretty { 4 } else { 2 };
    let layout = Layout { indent, literal: true, ..Layout::default() };
    let text = if pretty { emit::yaml_map(&simplified(map), layout) } else { emit::yaml_map(map, layout) };
    let text = text.strip_suffix("...\n").unwrap_or(&text);
    let lines = text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("\n    {line}") });
    lines.collect::<String>().trim_end().to_owned()
}

fn simplified(map: &Map) -> Map {
    let omitted = |key: &str| matches!(key.strip_suffix("_lines"), Some(text @ ("stdout" | "stderr")) if map.contains_key(text));
    let simple = |(key, value): (&String, &Value)| {
        let value = if omitted(key) { Value::from("<omitted>") } else { simple_value(value) };
        (key.clone(), value)
    };
    map.iter().map(simple).collect()
}

fn simple_value(value: &Value) -> Value {
    match value {
        Value::Str(text) if text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) => {
            let visible: String = text.trim_end().replace('\t', "        ").chars().filter(|letter| !unprintable(*letter)).collect();
            let lines: Vec<_> = visible.split('\n').map(|line| line.trim_end_matches(' ')).collect();
            Value::Str(lines.join("\n"))
        }
        Value::List(items) => Value::List(items.iter().map(simple_value).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), simple_value(value))).collect()),
        other => other.clone(),
    }
}

fn unprintable(letter: char) -> bool {
    letter != '\n' && (letter < ' ' || ('\u{7f}'..'\u{a0}').contains(&letter))
}

/// JSON with sorted keys; on one line, or with every level indented by `indent`.
pub fn json(map: &Map, indent: Option<usize>) -> String {
    let mut text = String::new();
    write_map(&mut text, map, indent, 0);
    text
}

fn write_json(text: &mut String, value: &Value, indent: Option<usize>, depth: usize) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) => push(text, format_args!("{number}")),
        Value::Float(number) if number.is_nan() => text.push_str("NaN"),
        Value::Float(number) if number.is_infinite() => text.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Float(number) => text.push_str(&repr_float(*number)),
        Value::Str(string) => write_string(text, string),
        Value::List(items) => {
            let entries = items.iter().map(|item| move |text: &mut String| write_json(text, item, indent, depth + 1));
            write_entries(text, ['[', ']'], entries, indent, depth);
        }
        Value::Map(map) => write_map(text, map, indent, depth),
    }
}

fn write_map(text: &mut String, map: &Map, indent: Option<usize>, depth: usize) {
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    let entries = sorted.into_iter().map(|(key, value)| {
        move |text: &mut String| {
            write_string(text, key);
            text.push_str(": ");
            write_json(text, value, indent, depth + 1);
        }
    });
    write_entries(text, ['{', '}'], entries, indent, depth);
}

fn write_entries(
    text: &mut String,
    [open, close]: [char; 2],
    entries: impl ExactSizeIterator<Item = impl FnOnce(&mut String)>,
    indent: Option<usize>,
    depth: usize,
) {
    let empty = entries.len() == 0;
    let newline = |text: &mut String, depth: usize| {
        if let Some(width) = indent {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    text.push(open);
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            text.push_str(if indent.is_some() { "," } else { ", " });
        }
        newline(text, depth + 1);
        entry(text);
    }
    if !empty {
        newline(text, depth);
    }
    text.push(close);
}

fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            control if (control as u32) < 0x20 => push(text, format_args!("\\u{:04x}", control as u32)),
            other => text.push(other),
        }
    }
    text.push('"');
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn json_looks_as_python_writes_it() {
        let sample = map(r#"{"b": [1, 1.0, null, true, [], {}], "a": "é \" \\ \u0001 \u007f\n"}"#);
        assert_eq!(json(&sample, None), "{\"a\": \"é \\\" \\\\ \\u0001 \u{7f}\\n\", \"b\": [1, 1.0, null, true, [], {}]}");
        let indented = "{\n    \"a\": [\n        1,\n        {}\n    ],\n    \"b\": []\n}";
        assert_eq!(json(&map(r#"{"b": [], "a": [1, {}]}"#), Some(4)), indented);
    }

    #[test]
    fn yaml_for_reading_leaves_out_what_stands_there_twice() {
        let result = map(r#"{"stdout": "a \nb\tc\n", "stdout_lines": ["a", "b"], "rc": 0}"#);
        assert_eq!(yaml(&result, true), "\n    rc: 0\n    stdout: |-\n        a\n        b        c\n    stdout_lines: <omitted>");
        let expected = "\n    rc: 0\n    stdout: \"a \\nb\\tc\\n\"\n    stdout_lines:\n    - a\n    - b";
        assert_eq!(yaml(&result, false), expected);
    }
}
