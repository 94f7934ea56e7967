//! [`Eval`]: evaluates expressions in one template.

use std::cmp::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use super::error::{Error, Result};
use super::object::Bound;
use super::session::Session;
use super::source::Template;
use super::syntax::{Comparison, Expression, Kind};
use super::text::{borrowed, check};
use super::value::{Entries, Key, Map, Value};
use super::{Scope, global, method, python};

/// Names that a template set, and those of the statements around.
#[derive(Debug, Default)]
pub(super) struct Frame {
    names: RwLock<Vec<(Arc<str>, Value)>>,
    parent: Option<Arc<Frame>>,
}

impl Frame {
    /// A frame inside `parent`.
    pub(super) fn inside(parent: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { names: RwLock::default(), parent: Some(Arc::clone(parent)) })
    }

    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = names.iter().rev().find(|(known, _)| **known == *name) {
            return Some(value.clone());
        }
        drop(names);
        self.parent.as_ref()?.get(name)
    }

    pub(super) fn set(&self, name: &Arc<str>, value: Value) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        match names.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => names.push((Arc::clone(name), value)),
        }
    }

    /// Replaces `name` where it was set; `false` where it was not.
    fn replace(&self, name: &str, value: &Value) -> bool {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = names.iter_mut().find(|(known, _)| **known == *name) {
            *slot = value.clone();
            return true;
        }
        drop(names);
        self.parent.as_ref().is_some_and(|parent| parent.replace(name, value))
    }

    /// All names set in this frame itself.
    pub(super) fn own(&self) -> Vec<(Arc<str>, Value)> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Evaluates in one template, one scope, one frame.
#[derive(Clone)]
pub struct Eval<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) scope: &'a Arc<dyn Scope>,
    pub(super) template: &'a Arc<Template>,
    pub(super) frame: Arc<Frame>,
    /// The named blocks, the youngest template's first, and which of them runs.
    pub(super) blocks: Option<Arc<super::render::Blocks>>,
}

impl<'a> Eval<'a> {
    pub(super) fn new(session: &'a Session<'a>, scope: &'a Arc<dyn Scope>, template: &'a Arc<Template>) -> Self {
        Self { session, scope, template, frame: Arc::default(), blocks: None }
    }

    /// The same in a frame of its own.
    pub(super) fn nested(&self) -> Self {
        Self { frame: Frame::inside(&self.frame), ..self.clone() }
    }

    /// What a name stands for; undefined where it stands for nothing.
    pub(super) fn name(&self, name: &str) -> Result<Value> {
        if let Some(value) = self.frame.get(name) {
            return Ok(value);
        }
        if let Some(value) = self.session.variable(name, self.scope)? {
            return Ok(value);
        }
        Ok(global::get(name).unwrap_or_else(|| Value::undefined(format!("'{name}' is undefined"))))
    }

    /// The value of an expression: possibly lazy, possibly undefined.
    pub(super) fn expression(&self, expression: &Expression) -> Result<Value> {
        match self.kind(expression) {
            // The place is known here and nowhere later.
            Ok(Value::Undefined(missing)) if missing.place.is_none() && missing.message != super::render::SILENT => {
                Ok(missing.at(self.template.place.span(expression.at)))
            }
            Ok(value) => Ok(value),
            Err(error) => Err(error.within(expression.at)),
        }
    }

    /// The value of an expression, which must be defined.
    pub(super) fn defined(&self, expression: &Expression) -> Result<Value> {
        match self.expression(expression)? {
            Value::Undefined(missing) => Err(Error::undefined(&missing).within(expression.at)),
            Value::Lazy(lazy) => self.session.force(Value::Lazy(lazy)).map_err(|error| error.within(expression.at)),
            value => Ok(value),
        }
    }

    /// Whether an expression is true.
    pub(super) fn truth(&self, expression: &Expression) -> Result<bool> {
        match self.expression(expression)? {
            Value::Undefined(missing) => Err(Error::undefined(&missing).within(expression.at)),
            value => Ok(value.is_true()),
        }
    }

    fn kind(&self, expression: &Expression) -> Result<Value> {
        match &expression.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Embedded(block) => {
                let mut output = super::render::Output::new(true);
                self.nested().template(block, &mut output)?;
                Ok(output.finish(0))
            }
            Kind::Name(name) => self.name(name),
            Kind::Attribute(subject, name) => self.attribute(&self.expression(subject)?, name),
            Kind::Item(subject, key) => {
                let subject = self.expression(subject)?;
                if subject.is_undefined() { Ok(subject) } else { self.item(&subject, &self.defined(key)?) }
            }
            Kind::Slice(subject, bounds) => self.slice(subject, bounds),
            Kind::Call(callee, arguments) => self.call(callee, arguments),
            Kind::Filter(subject, name, arguments) => match subject {
                Some(subject) => self.filter(self.expression(subject)?, name, self.arguments(arguments)?),
                None => Err(Error::failed("a filter without a subject")),
            },
            Kind::Test(subject, name, arguments) => {
                let subject = self.expression(subject)?;
                self.test(subject, name, self.arguments(arguments)?).map(Value::Bool)
            }
            Kind::Not(inner) => Ok(Value::Bool(!self.truth(inner)?)),
            Kind::Negative(inner) => python::negative(&self.defined(inner)?),
            Kind::Binary(operator, left, right) => {
                let left = self.defined(left)?;
                python::binary(*operator, &left, &self.defined(right)?)
            }
            Kind::Concat(parts) => {
                let mut out = String::new();
                for part in parts {
                    out.push_str(&borrowed(&self.defined(part)?)?);
                }
                Ok(Value::from(out))
            }
            Kind::Compare(first, rest) => self.compare(first, rest),
            Kind::And(left, right) => self.either(left, right, false),
            Kind::Or(left, right) => self.either(left, right, true),
            Kind::If(test, then, otherwise) => match (self.truth(test)?, otherwise) {
                (true, _) => self.expression(then),
                (false, Some(otherwise)) => self.expression(otherwise),
                (false, None) => Ok(Value::undefined(super::render::SILENT)),
            },
            Kind::List(items) => Ok(Value::list(items.iter().map(|item| self.expression(item)).collect::<Result<Vec<_>>>()?)),
            Kind::Tuple(items) => Ok(Value::tuple(items.iter().map(|item| self.expression(item)).collect::<Result<Vec<_>>>()?)),
            Kind::Dict(entries) => {
                let mut out = Entries::with_capacity(entries.len());
                for (key, value) in entries {
                    out.insert(Key(hashable(self.defined(key)?)?), self.expression(value)?);
                }
                Ok(Value::Map(Map::open(out)))
            }
        }
    }

    /// `and` and `or` give one of their operands, as in Python.
    fn either(&self, left: &Expression, right: &Expression, stop: bool) -> Result<Value> {
        let value = self.expression(left)?;
        if let Value::Undefined(missing) = &value {
            return Err(Error::undefined(missing).within(left.at));
        }
        if value.is_true() == stop { Ok(value) } else { self.expression(right) }
    }

    fn compare(&self, first: &Expression, rest: &[(Comparison, Expression)]) -> Result<Value> {
        let mut left = self.defined(first)?;
        for (comparison, right) in rest {
            let right = match (comparison, self.expression(right)?) {
                // Only the names matter, which need not be evaluated.
                (Comparison::In | Comparison::NotIn, Value::Lazy(lazy)) if !lazy.is_list() => Value::list(lazy.keys(self.session)?),
                (_, Value::Undefined(missing)) => return Err(Error::undefined(&missing).within(right.at)),
                (_, value) => self.session.force(value)?,
            };
            let holds = match comparison {
                Comparison::Equal | Comparison::NotEqual => {
                    check(&left)?;
                    check(&right)?;
                    python::equal(&left, &right) == (*comparison == Comparison::Equal)
                }
                Comparison::In | Comparison::NotIn if check(&right).is_err() => return check(&right).map(|()| Value::None),
                Comparison::In => python::contains(&right, &left)?,
                Comparison::NotIn => !python::contains(&right, &left)?,
                Comparison::Less => python::order(&left, &right, "<")? == Ordering::Less,
                Comparison::LessEqual => python::order(&left, &right, "<=")? != Ordering::Greater,
                Comparison::Greater => python::order(&left, &right, ">")? == Ordering::Greater,
                Comparison::GreaterEqual => python::order(&left, &right, ">=")? != Ordering::Less,
            };
            if !holds {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn slice(&self, subject: &Expression, bounds: &[Option<Expression>; 3]) -> Result<Value> {
        let value = self.expression(subject)?;
        if value.is_undefined() {
            return Ok(value);
        }
        let value = self.session.force(value)?;
        let mut numbers = [None; 3];
        for (number, bound) in numbers.iter_mut().zip(bounds) {
            let Some(bound) = bound else { continue };
            match self.defined(bound)? {
                Value::None => {}
                given => match python::as_whole(&given) {
                    Some(given) => *number = Some(given),
                    None => {
                        return Err(Error::failed("slice indices must be integers or None or have an __index__ method").within(bound.at));
                    }
                },
            }
        }
        python::slice(&value, numbers)
    }

    /// `value.name`: a method before an entry, as Jinja has it.
    pub(super) fn attribute(&self, value: &Value, name: &Arc<str>) -> Result<Value> {
        match value {
            Value::Undefined(_) => Ok(value.clone()),
            Value::Lazy(lazy) if method::has(lazy.type_name(), name) => {
                Ok(Value::Object(Arc::new(Bound { value: value.clone(), name: Arc::clone(name) })))
            }
            Value::Lazy(lazy) => match lazy.pick(&Value::Str(Arc::clone(name)), self.session)? {
                Some(found) => Ok(found),
                None => Ok(no_attribute(value, name)),
            },
            Value::Object(object) => Ok(object.attribute(name).unwrap_or_else(|| no_attribute(value, name))),
            // What `groupby` gives are pairs with these names.
            Value::Tuple(pair) if pair.len() == 2 && matches!(&**name, "grouper" | "list") => {
                Ok(pair.get(usize::from(**name == *"list")).cloned().unwrap_or_default())
            }
            _ if method::has(value.type_name(), name) => {
                Ok(Value::Object(Arc::new(Bound { value: value.clone(), name: Arc::clone(name) })))
            }
            Value::Map(map) => Ok(map.get().get(&**name).cloned().unwrap_or_else(|| no_attribute(value, name))),
            _ => Ok(no_attribute(value, name)),
        }
    }

    /// `value[key]`: an entry before a method.
    pub(super) fn item(&self, value: &Value, key: &Value) -> Result<Value> {
        let found = match value {
            Value::Undefined(_) => return Ok(value.clone()),
            Value::Lazy(lazy) => lazy.pick(key, self.session)?,
            Value::Map(map) => match key {
                Value::Str(name) => map.get().get(&**name).cloned(),
                _ => map.get().get(&Key(key.clone())).cloned(),
            },
            Value::List(list) => python::as_whole(key).and_then(|index| python::at(&list.get(), index).cloned()),
            Value::Tuple(items) => python::as_whole(key).and_then(|index| python::at(items, index).cloned()),
            Value::Str(text) => python::as_whole(key).and_then(|index| {
                let characters: Vec<char> = text.chars().collect();
                python::at(&characters, index).map(|character| Value::from(*character))
            }),
            Value::Object(object) => match (object.items(), python::as_whole(key)) {
                (Some(items), Some(index)) => python::at(&items, index).cloned(),
                _ => None,
            },
            _ => None,
        };
        match (found, key) {
            (Some(found), _) => Ok(found),
            (None, Value::Str(name)) => match value {
                Value::Object(_) => self.attribute(value, name),
                _ if method::has(value.type_name(), name) => {
                    Ok(Value::Object(Arc::new(Bound { value: value.clone(), name: Arc::clone(name) })))
                }
                _ => Ok(no_attribute(value, name)),
            },
            (None, Value::Int(_))
                if !matches!(value, Value::List(_) | Value::Map(_) | Value::Str(_) | Value::Lazy(_) | Value::Tuple(_)) =>
            {
                Ok(Value::undefined(format!("{} object has no element {}", value.type_name(), python::repr(key))))
            }
            (None, _) => Ok(Value::undefined(format!("object of type '{}' has no attribute {}", value.type_name(), python::repr(key)))),
        }
    }

    /// Makes the variable at the root of `expression` changeable: a copy of it, in this evaluation only.
    pub(super) fn thaw(&self, expression: &Expression) -> Result<bool> {
        match &expression.kind {
            Kind::Name(name) => {
                let value = thawed(&self.session.force(self.name(name)?)?);
                if !self.frame.replace(name, &value) {
                    self.session.remember(Arc::clone(name), self.scope, value);
                }
                Ok(true)
            }
            Kind::Attribute(subject, _) | Kind::Item(subject, _) => self.thaw(subject),
            _ => Ok(false),
        }
    }
}

/// A copy that can be changed at any depth.
fn thawed(value: &Value) -> Value {
    match value {
        Value::List(list) => Value::list(list.get().iter().map(thawed)),
        Value::Map(map) => Value::Map(Map::open(map.get().iter().map(|(key, value)| (key.clone(), thawed(value))).collect())),
        other => other.clone(),
    }
}

/// That `value` can be the key of a mapping.
pub(super) fn hashable(value: Value) -> Result<Value> {
    match &value {
        Value::List(_) | Value::Map(_) | Value::Lazy(_) => Err(Error::failed(format!("unhashable type: '{}'", value.type_name()))),
        _ => Ok(value),
    }
}

fn no_attribute(value: &Value, name: &str) -> Value {
    Value::undefined(format!("object of type '{}' has no attribute '{name}'", value.type_name()))
}
