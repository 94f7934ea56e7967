//! Collections in brackets: `[1, 2]` and `{a: b}`.

use super::{Emitter, Position};
use crate::wire::Value;

/// Which collections stand in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Only empty ones.
    Never,
    /// Those without a collection inside.
    Leaves,
    /// All.
    Always,
}

fn is_collection(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(_))
}

/// Whether something in `text` would mean something inside brackets.
pub(super) fn has_indicators(text: &str) -> bool {
    text.contains([',', '?', '[', ']', '{', '}', ':'])
}

impl Emitter {
    /// Whether `value`, a collection, is written in brackets.
    pub(super) fn flows(&self, value: &Value) -> bool {
        let leaf = match value {
            Value::List(items) => !items.iter().any(is_collection),
            Value::Map(map) => !map.values().any(is_collection),
            _ => false,
        };
        self.flowing || self.layout.flow == Flow::Always || (leaf && self.layout.flow == Flow::Leaves)
    }

    pub(super) fn flow(&mut self, value: &Value) {
        let outer = std::mem::replace(&mut self.flowing, true);
        self.inside(|emitter| match value {
            Value::List(items) => {
                emitter.open("[");
                for (index, item) in items.iter().enumerate() {
                    emitter.comma(index);
                    emitter.node(item, Position::Item);
                }
                emitter.put("]");
            }
            Value::Map(map) => {
                emitter.open("{");
                let mut entries: Vec<_> = map.iter().collect();
                if emitter.layout.sorted {
                    entries.sort_by_key(|(key, _)| *key);
                }
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    emitter.comma(index);
                    emitter.text(key, Position::Key);
                    emitter.put(":");
                    emitter.blank = false;
                    emitter.node(value, Position::Value);
                }
                emitter.put("}");
            }
            other => emitter.node(other, Position::Value),
        });
        self.flowing = outer;
        (self.blank, self.fresh) = (false, false);
    }

    fn open(&mut self, bracket: &str) {
        self.separate();
        self.put(bracket);
        (self.blank, self.fresh) = (true, false);
    }

    /// Before the item `index`: what is beyond the width goes to the next line.
    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.put(",");
            self.blank = false;
        }
        if self.column > self.layout.width {
            self.line_break();
            self.pad();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, yaml};
    use super::Flow;

    // Written by PyYAML with libyaml, as `to_yaml` uses it.
    #[test]
    fn leaves_stand_in_brackets() {
        let layout = Layout { flow: Flow::Leaves, ..Layout::default() };
        let table = [
            (r#"[1, 2, {"a": 1, "b": [1, 2]}]"#, "- 1\n- 2\n- a: 1\n  b: [1, 2]\n"),
            (r#"{"x": {"b": "c:d", "a": "e"}, "y": []}"#, "x: {a: e, b: 'c:d'}\ny: []\n"),
        ];
        for (json, expected) in table {
            assert_eq!(yaml(&serde_json::from_str(json).unwrap(), layout), expected, "{json}");
        }
    }
}
