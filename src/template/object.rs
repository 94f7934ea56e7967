//! [`Object`]: what exists only inside templates: functions, macros, `loop`, namespaces, dates.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::Eval;
use super::syntax::Operator;
use super::value::Value;

/// A value that is more than data. Everything has a default that refuses, in Python's words.
pub trait Object: Any + Send + Sync + fmt::Debug {
    /// The name of its type in Python.
    fn type_name(&self) -> &str;

    /// What `str()` gives.
    fn text(&self) -> String {
        self.repr()
    }

    /// What `repr()` gives.
    fn repr(&self) -> String {
        format!("<{}>", self.type_name())
    }

    /// `object.name`.
    fn attribute(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// `{% set object.name = value %}`; `false` where that is not allowed.
    fn set_attribute(&self, name: &Arc<str>, value: Value) -> bool {
        let _ = (name, value);
        false
    }

    /// `object(…)`.
    fn call(&self, eval: &Eval<'_>, args: Args) -> Result<Value> {
        let _ = (eval, args);
        Err(Error::failed(format!("'{}' object is not callable", self.type_name())))
    }

    /// `object.name(…)`; `None` where there is no such method.
    fn method(&self, name: &str, eval: &Eval<'_>, args: &mut Option<Args>) -> Option<Result<Value>> {
        let _ = (name, eval, args);
        None
    }

    /// What iterating over it gives.
    fn items(&self) -> Option<Vec<Value>> {
        None
    }

    /// `==`.
    fn equals(&self, other: &dyn Object) -> bool {
        self.order(other) == Some(Ordering::Equal)
            || std::ptr::addr_eq(std::ptr::from_ref(self).cast::<()>(), std::ptr::from_ref(other).cast::<()>())
    }

    /// `<` and `>`.
    fn order(&self, other: &dyn Object) -> Option<Ordering> {
        let _ = other;
        None
    }

    /// `object + right`; `None` where that is not allowed.
    fn arithmetic(&self, operator: Operator, right: &Value) -> Option<Result<Value>> {
        let _ = (operator, right);
        None
    }

    /// Whether it can be called.
    fn callable(&self) -> bool {
        matches!(self.type_name(), "function" | "Macro" | "builtin_function_or_method")
    }

    /// Whether it may be the value of a variable.
    fn storable(&self) -> bool {
        false
    }

    /// For looking behind the trait.
    fn any(&self) -> &dyn Any;
}

/// `namespace()`: the one thing that a template may assign to inside a loop.
#[derive(Debug)]
pub(super) struct Namespace(pub(super) RwLock<Vec<(Arc<str>, Value)>>);

impl Object for Namespace {
    fn type_name(&self) -> &'static str {
        "Namespace"
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        let attributes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone())
    }

    fn set_attribute(&self, name: &Arc<str>, value: Value) -> bool {
        let mut attributes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => attributes.push((Arc::clone(name), value)),
        }
        true
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// A function of Rappel's own.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) run: fn(&Eval<'_>, Args) -> Result<Value>,
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "<function {}>", self.name)
    }
}

impl Object for Function {
    fn type_name(&self) -> &'static str {
        "function"
    }

    fn call(&self, eval: &Eval<'_>, args: Args) -> Result<Value> {
        (self.run)(eval, args)
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// `text.upper`, not called yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) value: Value,
    pub(super) name: Arc<str>,
}

impl Object for Bound {
    fn type_name(&self) -> &'static str {
        "builtin_function_or_method"
    }

    fn call(&self, eval: &Eval<'_>, args: Args) -> Result<Value> {
        eval.method(&self.value, &self.name, args)
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// Names with values that cannot change: an imported template.
#[derive(Debug)]
pub(super) struct Module(pub(super) Vec<(Arc<str>, Value)>);

impl Object for Module {
    fn type_name(&self) -> &'static str {
        "TemplateModule"
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        self.0.iter().rev().find(|(known, _)| **known == *name).map(|(_, value)| value.clone())
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// What a call made once and gives out once or many times: `range(3)`.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) start: i128,
    pub(super) stop: i128,
    pub(super) step: i128,
}

impl Object for Range {
    fn type_name(&self) -> &'static str {
        "range"
    }

    fn repr(&self) -> String {
        if self.step == 1 {
            format!("range({}, {})", self.start, self.stop)
        } else {
            format!("range({}, {}, {})", self.start, self.stop, self.step)
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        let mut out = Vec::new();
        let mut number = self.start;
        while if self.step > 0 { number < self.stop } else { number > self.stop } {
            out.push(Value::Int(number));
            number += self.step;
        }
        Some(out)
    }

    fn any(&self) -> &dyn Any {
        self
    }
}
