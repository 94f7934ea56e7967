//! Options inside a term, as old playbooks write them: `lookup('ini', 'user section=mysqld file=my.cnf')`.

use crate::model::inline_options;
use crate::template::{LookupCall, Value, to_wire};

/// The term without its options, and all options: those of the call, then those of the term.
pub(super) struct Terms {
    /// What is left of each term, with the options that hold for it.
    pub(super) each: Vec<(Option<String>, Options)>,
}

/// Options by name, as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Options(Vec<(String, Value)>);

impl Options {
    /// The options of the call itself.
    pub(super) fn of(call: &LookupCall<'_>, known: &[&str]) -> Self {
        let given = call.options.iter().filter(|(name, _)| known.contains(&&**name));
        Self(given.map(|(name, value)| (name.to_string(), value.clone())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_none()).map(Value::to_text)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(|value| to_wire(value).to_bool()).unwrap_or(default)
    }

    /// A whole number, such as a column.
    pub(super) fn number(&self, name: &str, default: usize) -> Result<usize, String> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.trim().parse().map_err(|_| format!("`{name}`: expected a whole number, found `{text}`"))
    }

    pub(super) fn set(&mut self, name: String, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }
}

impl Terms {
    /// Takes the terms of `call` apart. An option of a term that is not in `known` is an error.
    pub(super) fn read(call: &LookupCall<'_>, known: &[&str]) -> Result<Self, String> {
        let common = Options::of(call, known);
        let mut each = Vec::new();
        for term in call.terms {
            let text = term.to_text();
            if !text.contains('=') {
                each.push((Some(text).filter(|text| !text.trim().is_empty()), common.clone()));
                continue;
            }
            let (free, named) = inline_options(&text).ok_or_else(|| "a quote in the term is not closed".to_owned())?;
            let mut options = common.clone();
            for (name, value) in named {
                if !known.contains(&&*name) {
                    return Err(format!("'{name}' is not a valid option"));
                }
                options.set(name, value);
            }
            each.push((free.map(|free| free.trim().to_owned()).filter(|free| !free.is_empty()), options));
        }
        Ok(Self { each })
    }
}
