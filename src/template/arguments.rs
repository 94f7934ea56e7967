//! [`Args`]: the arguments of a call, taken one by one in the order the callee declares them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::{Error, Result};
use super::value::{List, Value};
use super::{python, text::text_of};

/// Evaluated arguments.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Those without a name.
    pub(super) positional: VecDeque<Value>,
    /// Those with one.
    pub(super) named: Vec<(Arc<str>, Value)>,
}

impl Args {
    /// The next argument, which is called `name`.
    pub(super) fn next(&mut self, name: &str) -> Option<Value> {
        self.positional.pop_front().or_else(|| self.named(name))
    }

    /// The argument that can only be given by its name.
    pub(super) fn named(&mut self, name: &str) -> Option<Value> {
        let found = self.named.iter().position(|(known, _)| **known == *name)?;
        Some(self.named.remove(found).1)
    }

    /// The next argument, which must be there.
    pub(super) fn required(&mut self, name: &str) -> Result<Value> {
        self.next(name).ok_or_else(|| Error::failed(format!("missing 1 required positional argument: '{name}'")))
    }

    /// The next argument as text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.next(name) {
            None | Some(Value::None) => Ok(None),
            Some(value) => text_of(&value).map(Some),
        }
    }

    /// The next argument as text, which must be there.
    pub(super) fn required_text(&mut self, name: &str) -> Result<String> {
        text_of(&self.required(name)?)
    }

    /// The next argument as text, `default` if it is not given.
    pub(super) fn required_or(&mut self, name: &str, default: &str) -> Result<String> {
        Ok(self.text(name)?.unwrap_or_else(|| default.to_owned()))
    }

    /// The argument that can only be given by its name, as text.
    pub(super) fn text_named(&mut self, name: &str) -> Result<Option<String>> {
        self.named(name).map(|value| text_of(&value)).transpose()
    }

    /// The next argument as a whole number.
    pub(super) fn int(&mut self, name: &str) -> Result<Option<i128>> {
        match self.next(name) {
            None | Some(Value::None) => Ok(None),
            Some(value) => match python::as_whole(&value).or_else(|| match &value {
                Value::Float(number) => python::whole(*number),
                Value::Str(text) => text.trim().parse().ok(),
                _ => None,
            }) {
                Some(number) => Ok(Some(number)),
                None => Err(Error::failed(format!("expected a whole number for `{name}`, found '{}'", value.type_name()))),
            },
        }
    }

    /// The next argument as a size, `default` if it is not given; negative numbers are 0.
    pub(super) fn size(&mut self, name: &str, default: usize) -> Result<usize> {
        Ok(self.int(name)?.map_or(default, |number| usize::try_from(number.max(0)).unwrap_or(usize::MAX)))
    }

    /// The next argument's truth.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> bool {
        self.next(name).map_or(default, |value| match &value {
            Value::Str(text) => !matches!(text.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0" | ""),
            other => other.is_true(),
        })
    }

    /// The argument that can only be given by its name, as truth.
    pub(super) fn named_flag(&mut self, name: &str, default: bool) -> bool {
        self.named(name).map_or(default, |value| value.is_true())
    }

    /// All arguments without a name that are left.
    pub(super) fn rest(&mut self) -> Vec<Value> {
        self.positional.drain(..).collect()
    }

    /// That nothing is left over.
    pub(super) fn end(&self) -> Result<()> {
        if let Some((name, _)) = self.named.first() {
            return Err(Error::failed(format!("got an unexpected keyword argument '{name}'")));
        }
        match self.positional.len() {
            0 => Ok(()),
            more => Err(Error::failed(format!("takes {more} positional argument{} fewer", if more == 1 { "" } else { "s" }))),
        }
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        Self::open(items)
    }
}
