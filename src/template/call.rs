//! Calls: functions, methods, filters and tests.

use std::sync::Arc;

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::Eval;
use super::syntax::{Arguments, Expression, Kind};
use super::text::check;
use super::value::{Missing, Value};
use super::{filter, method, test};
use crate::text::did_you_mean;

impl Eval<'_> {
    /// Evaluates arguments.
    pub(super) fn arguments(&self, arguments: &Arguments) -> Result<Args> {
        let mut out = Args::default();
        for argument in &arguments.positional {
            out.positional.push_back(self.expression(argument)?);
        }
        if let Some(unpacked) = &arguments.unpacked {
            out.positional.extend(self.iterate(&self.defined(unpacked)?)?);
        }
        for (name, argument) in &arguments.named {
            out.named.push((Arc::clone(name), self.expression(argument)?));
        }
        if let Some(unpacked) = &arguments.unpacked_named {
            let value = self.defined(unpacked)?;
            let entries = value.as_entries().ok_or_else(|| Error::failed("argument after ** must be a mapping").within(unpacked.at))?;
            for (key, value) in entries.iter() {
                out.named.push((key.0.to_text().into(), value.clone()));
            }
        }
        Ok(out)
    }

    /// `callee(arguments)`.
    pub(super) fn call(&self, callee: &Expression, arguments: &Arguments) -> Result<Value> {
        if let Kind::Attribute(subject, name) = &callee.kind {
            let value = self.expression(subject)?;
            if value.is_undefined() {
                return Ok(value);
            }
            let args = self.arguments(arguments)?;
            if method::has(value.type_name(), name) {
                return self.method_of(subject, &value, name, args);
            }
            if let Value::Object(object) = &value {
                let mut args = Some(args);
                if let Some(result) = object.method(name, self, &mut args) {
                    return result;
                }
                return self.call_value(&self.attribute(&value, name)?, args.unwrap_or_default());
            }
            return self.call_value(&self.attribute(&value, name)?, args);
        }
        let value = self.expression(callee)?;
        let args = self.arguments(arguments)?;
        self.call_value(&value, args)
    }

    fn call_value(&self, value: &Value, args: Args) -> Result<Value> {
        match value {
            Value::Object(object) if object.type_name() == "function" => object.call(self, args).or_else(surfaced),
            Value::Object(object) => object.call(self, args),
            Value::Undefined(_) => Ok(value.clone()),
            other => Err(Error::failed(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    /// A method that may change its subject: what cannot change is first replaced by a copy.
    fn method_of(&self, subject: &Expression, value: &Value, name: &Arc<str>, args: Args) -> Result<Value> {
        let changes = method::changes(value.type_name(), name);
        let fixed = match value {
            Value::List(list) => list.is_fixed(),
            Value::Map(map) => map.is_fixed(),
            Value::Lazy(_) => true,
            _ => false,
        };
        if changes && fixed && self.thaw(subject)? {
            let value = self.expression(subject)?;
            return self.method(&value, name, args);
        }
        self.method(value, name, args)
    }

    /// `value.name(args)` of text, lists and mappings.
    pub(super) fn method(&self, value: &Value, name: &str, args: Args) -> Result<Value> {
        method::call(self, &self.session.force(value.clone())?, name, args).or_else(surfaced).map_err(|mut error| {
            if error.code == "template-failed" && error.message.starts_with(['m', 'g', 't']) {
                for prefix in ["missing ", "got an unexpected", "takes "] {
                    if error.message.starts_with(prefix) {
                        error.message = format!("{name}() {}", error.message);
                    }
                }
            }
            error
        })
    }

    /// `value | name(args)`.
    pub(super) fn filter(&self, value: Value, name: &str, args: Args) -> Result<Value> {
        let found = check_filter(name)?;
        let run = || {
            let (value, args) = if found.raw { (value, args) } else { (self.complete(value)?, self.ready_args(args)?) };
            (found.run)(self, value, args)
        };
        // What is made of something undefined is undefined: `(x | int) | default(1)`.
        run().or_else(surfaced).map_err(|error| prefixed(error, "filter", name))
    }

    /// `value is name(args)`.
    pub(super) fn test(&self, value: Value, name: &str, args: Args) -> Result<bool> {
        let found = check_test(name)?;
        let (value, args) = if found.raw { (value, args) } else { (self.ready(value)?, self.ready_args(args)?) };
        (found.run)(self, value, args).map_err(|error| prefixed(error, "test", name))
    }

    /// `value` as a filter wants its subject: nothing undefined in it, and nothing lazy.
    fn complete(&self, value: Value) -> Result<Value> {
        let value = self.ready(value)?;
        check(&value).map(|()| value)
    }

    /// `value` as a filter wants it: defined and not lazy.
    pub(super) fn ready(&self, value: Value) -> Result<Value> {
        match value {
            Value::Undefined(missing) => Err(Error::undefined(&missing)),
            value => self.session.force(value),
        }
    }

    fn ready_args(&self, mut args: Args) -> Result<Args> {
        for value in args.positional.iter_mut().chain(args.named.iter_mut().map(|(_, value)| value)) {
            *value = self.ready(std::mem::take(value))?;
        }
        Ok(args)
    }

    /// What a `for` loop over `value` gives.
    pub(super) fn iterate(&self, value: &Value) -> Result<Vec<Value>> {
        match value {
            Value::Undefined(missing) => Err(Error::undefined(missing)),
            Value::Str(text) => Ok(text.chars().map(Value::from).collect()),
            Value::List(list) => Ok(list.get().to_vec()),
            Value::Tuple(items) => Ok(items.to_vec()),
            Value::Map(map) => Ok(map.get().keys().map(|key| key.0.clone()).collect()),
            Value::Lazy(lazy) => lazy.keys(self.session),
            Value::Object(object) => object.items().ok_or_else(|| not_iterable(value)),
            _ => Err(not_iterable(value)),
        }
    }
}

/// An error for something undefined is an undefined value, which `default` can still replace.
fn surfaced(error: Error) -> Result<Value> {
    if error.code != "undefined-variable" {
        return Err(error);
    }
    let place = error.trail.first().map(|(span, _)| *span);
    Ok(Value::Undefined(Arc::new(Missing { message: error.message, help: error.help, place })))
}

fn not_iterable(value: &Value) -> Error {
    Error::failed(format!("'{}' object is not iterable", value.type_name()))
}

/// The filter `name`, or what was probably meant.
pub(super) fn check_filter(name: &str) -> Result<&'static filter::Filter> {
    filter::find(name).ok_or_else(|| unknown("filter", name, &filter::names().collect::<Vec<_>>()))
}

/// The test `name`, or what was probably meant.
pub(super) fn check_test(name: &str) -> Result<&'static test::Test> {
    test::find(name).ok_or_else(|| unknown("test", name, &test::names().collect::<Vec<_>>()))
}

fn unknown(what: &'static str, name: &str, known: &[&str]) -> Error {
    let code = if what == "filter" { "unknown-filter" } else { "unknown-test" };
    let error = Error::new(code, format!("no {what} named `{name}`"));
    match did_you_mean(name, known.iter().copied()) {
        Some(meant) => error.help(format!("did you mean `{meant}`?")),
        None => error,
    }
}

/// Says which filter failed, where the message is one of Python's, which fit everywhere.
fn prefixed(mut error: Error, what: &str, name: &str) -> Error {
    const PYTHON: [&str; 6] = [" object ", "operand", "positional argument", "unexpected keyword", "not supported between", "expected a "];
    let general = PYTHON.iter().any(|words| error.message.contains(words)) && !error.message.starts_with("the ");
    if error.code == "template-failed" && error.range.is_none() && error.trail.is_empty() && general {
        error.message = format!("the {what} `{name}` failed: {}", error.message);
    }
    error
}
