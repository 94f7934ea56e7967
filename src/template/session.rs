//! [`Session`]: one evaluation: what was evaluated already, what is being evaluated, and in which scopes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::error::{Error, Result};
use super::eval::{Eval, Frame};
use super::lazy::Lazy;
use super::render::Output;
use super::source::{Body, Template};
use super::value::{Entries, List, Map, Value};
use super::{Binding, Expr, Scope, Templar};

/// Templates that are evaluated inside each other deeper than this are taken for endless, before the stack is used up.
const DEEPEST: usize = 60;

/// One evaluation and everything it leads to.
pub(super) struct Session<'t> {
    pub(super) templar: &'t Templar,
    /// The templates that are being evaluated, each for the one before it.
    running: RefCell<Vec<Running>>,
    /// Variables that are templates, by scope and name.
    cache: RefCell<HashMap<(usize, Arc<str>), Value>>,
    /// Lazy containers that are being evaluated as a whole.
    opening: RefCell<Vec<(usize, usize)>>,
    /// Frames that macros hold on to, to be emptied in the end.
    frames: RefCell<Vec<Arc<Frame>>>,
}

struct Running {
    template: usize,
    scope: usize,
    name: Option<Arc<str>>,
}

fn address(scope: &Arc<dyn Scope>) -> usize {
    Arc::as_ptr(scope).cast::<()>() as usize
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // A macro holds the frame it was defined in, which holds the macro.
        for frame in self.frames.borrow().iter() {
            frame.clear();
        }
    }
}

impl<'t> Session<'t> {
    pub(super) fn new(templar: &'t Templar) -> Self {
        Self { templar, running: RefCell::default(), cache: RefCell::default(), opening: RefCell::default(), frames: RefCell::default() }
    }

    /// Empties `frame` when the evaluation is over.
    pub(super) fn adopt(&self, frame: &Arc<Frame>) {
        self.frames.borrow_mut().push(Arc::clone(frame));
    }

    /// What `expr` is in `scope`: possibly lazy, possibly undefined.
    pub(super) fn resolve(&self, expr: &Expr, scope: &Arc<dyn Scope>) -> Result<Value> {
        self.resolve_named(expr, scope, None)
    }

    fn resolve_named(&self, expr: &Expr, scope: &Arc<dyn Scope>, name: Option<&Arc<str>>) -> Result<Value> {
        match expr {
            Expr::Literal(value, _) => Ok(value.clone()),
            Expr::Template(template) => self.run(template, scope, name),
            Expr::List(items, _) => Ok(Lazy::list(items, scope)),
            Expr::Map(entries, _) => Ok(Lazy::map(entries, scope)),
            Expr::All(conditions, _) => {
                for condition in conditions.iter() {
                    if !self.holds(condition, scope)? {
                        return Ok(Value::Bool(false));
                    }
                }
                Ok(Value::Bool(true))
            }
            Expr::Sealed(sealed) => self.resolve_named(sealed.open(self.templar)?, scope, name),
            Expr::Broken(diagnostic) => {
                let mut error = Error::syntax(diagnostic.message.clone());
                error.help.clone_from(&diagnostic.help);
                error.trail.clone_from(&diagnostic.labels);
                Err(error)
            }
        }
    }

    /// The variable `name` of `scope`; `None` where there is none.
    pub(super) fn variable(&self, name: &str, scope: &Arc<dyn Scope>) -> Result<Option<Value>> {
        let cached = self.cache.borrow();
        if !cached.is_empty()
            && let Some(value) = cached.get(&(address(scope), Arc::from(name)))
        {
            return Ok(Some(value.clone()));
        }
        drop(cached);
        match scope.get(name) {
            None => Ok(None),
            Some(Binding::Value(value)) => Ok(Some(value)),
            Some(Binding::Expr(expr)) => {
                let name: Arc<str> = name.into();
                let value = self.resolve_named(&expr, scope, Some(&name))?;
                self.remember(name, scope, value.clone());
                Ok(Some(value))
            }
        }
    }

    /// From now on, in this evaluation, `name` is `value`.
    pub(super) fn remember(&self, name: Arc<str>, scope: &Arc<dyn Scope>, value: Value) {
        self.cache.borrow_mut().insert((address(scope), name), value);
    }

    /// Evaluates `template` in `scope`; `name` is the variable that it is the value of.
    pub(super) fn run(&self, template: &Arc<Template>, scope: &Arc<dyn Scope>, name: Option<&Arc<str>>) -> Result<Value> {
        self.enter(template, scope, name)?;
        let eval = Eval::new(self, scope, template);
        let result = match &template.body {
            Body::Expression(expression) => eval.expression(expression),
            Body::Statements(block) => {
                let mut output = Output::new(template.native);
                eval.template(block, &mut output).map(|()| output.finish(template.trailing))
            }
        };
        self.running.borrow_mut().pop();
        result.map_err(|error| {
            let inner = error.range.is_none();
            let mut error = template.locate(error);
            if let (true, Some(name)) = (inner, name) {
                error.trail.push((template.place.span, format!("in the value of `{name}`")));
            }
            error
        })
    }

    fn enter(&self, template: &Arc<Template>, scope: &Arc<dyn Scope>, name: Option<&Arc<str>>) -> Result<()> {
        let mut running = self.running.borrow_mut();
        let this = Running { template: Arc::as_ptr(template) as usize, scope: address(scope), name: name.cloned() };
        let again = running.iter().position(|other| (other.template, other.scope) == (this.template, this.scope));
        if again.is_none() && running.len() < DEEPEST {
            running.push(this);
            return Ok(());
        }
        let shown = |running: &Running| running.name.as_ref().map(|name| format!("`{name}`"));
        let mut chain: Vec<String> = running.iter().skip(again.unwrap_or_default()).filter_map(shown).collect();
        chain.extend(shown(&this));
        let message = match (again, &*chain) {
            (None, _) => format!("templates are evaluated inside each other more than {DEEPEST} deep"),
            (Some(_), []) => "Recursive loop detected in template".to_owned(),
            (Some(_), chain) => format!("Recursive loop detected in template: {}", chain.join(" needs ")),
        };
        let mut error = Error::new("recursive-template", message).help("a variable cannot be part of its own value");
        error.trail.push((template.place.span, String::new()));
        Err(error)
    }

    /// As [`run`](Self::run), for a template that another one includes.
    pub(super) fn nest(&self, template: &Arc<Template>, scope: &Arc<dyn Scope>) -> Result<()> {
        // An included template may include itself, as long as that ends.
        let mut running = self.running.borrow_mut();
        if running.len() >= DEEPEST {
            return Err(Error::new("recursive-template", format!("templates include each other more than {DEEPEST} deep")));
        }
        running.push(Running { template: Arc::as_ptr(template) as usize, scope: address(scope), name: None });
        Ok(())
    }

    /// The end of what [`nest`](Self::nest) or [`deeper`](Self::deeper) began.
    pub(super) fn leave(&self) {
        self.running.borrow_mut().pop();
    }

    /// A macro is called, or a recursive loop.
    pub(super) fn deeper(&self) -> Result<()> {
        let mut running = self.running.borrow_mut();
        if running.len() >= DEEPEST {
            return Err(Error::new("recursive-template", format!("macros call each other more than {DEEPEST} deep")));
        }
        running.push(Running { template: 0, scope: 0, name: None });
        Ok(())
    }

    /// All of a lazy container, which must not be part of itself.
    fn whole(&self, lazy: &Lazy, then: impl Fn(&Self, Value) -> Result<Value>) -> Result<Value> {
        let identity = lazy.identity();
        if self.opening.borrow().contains(&identity) {
            return Err(Error::new("recursive-template", "Recursive loop detected in template: a container that is part of itself")
                .help("a variable cannot be part of its own value"));
        }
        self.opening.borrow_mut().push(identity);
        let result = lazy.open(self).and_then(|value| then(self, value));
        self.opening.borrow_mut().pop();
        result
    }

    /// `value` without laziness, at any depth. What is undefined stays so.
    pub(super) fn force(&self, value: Value) -> Result<Value> {
        match &value {
            Value::Lazy(lazy) => self.whole(lazy, Self::force),
            Value::List(list) if !list.is_fixed() => {
                let items = list.get();
                if !items.iter().any(is_deep) {
                    return Ok(value);
                }
                let forced = items.iter().map(|item| self.force(item.clone())).collect::<Result<Vec<_>>>()?;
                list.edit(|items| *items = forced);
                Ok(value)
            }
            Value::Map(map) if !map.is_fixed() => {
                let entries = map.get();
                if !entries.values().any(is_deep) {
                    return Ok(value);
                }
                let forced: Result<Entries> = entries.iter().map(|(key, item)| Ok((key.clone(), self.force(item.clone())?))).collect();
                let forced = forced?;
                map.edit(|entries| *entries = forced);
                Ok(value)
            }
            Value::Tuple(items) if items.iter().any(is_deep) => {
                Ok(Value::Tuple(items.iter().map(|item| self.force(item.clone())).collect::<Result<_>>()?))
            }
            _ => Ok(value),
        }
    }

    /// `value` as a variable may have it: nothing lazy, nothing undefined, nothing omitted inside, unchangeable.
    pub(super) fn finish(&self, value: Value) -> Result<Value> {
        match &value {
            Value::Undefined(missing) => Err(Error::undefined(missing)),
            Value::Lazy(lazy) => self.whole(lazy, Self::finish),
            Value::List(list) if !list.is_fixed() => self.finish_items(&list.get()),
            Value::Tuple(items) => self.finish_items(items),
            Value::Map(map) if !map.is_fixed() => {
                let mut out = Entries::new();
                for (key, item) in map.get().iter() {
                    if !matches!(item, Value::Omit) {
                        let key = match &key.0 {
                            Value::Tuple(_) => return Err(unsupported("tuple")),
                            Value::Undefined(missing) => return Err(Error::undefined(missing)),
                            _ => key.clone(),
                        };
                        out.insert(key, self.finish(item.clone())?);
                    }
                }
                Ok(Value::Map(Map::fixed(out)))
            }
            Value::Object(object) if object.storable() => Ok(value),
            Value::Object(object) => {
                match object.items().filter(|_| object.type_name() != "range" || self.templar.manner.truthy_conditions) {
                    Some(items) => self.finish_items(&items),
                    None => Err(unsupported(object.type_name())),
                }
            }
            _ => Ok(value),
        }
    }

    fn finish_items(&self, items: &[Value]) -> Result<Value> {
        let kept = items.iter().filter(|item| !matches!(item, Value::Omit));
        Ok(Value::List(List::fixed(kept.map(|item| self.finish(item.clone())).collect::<Result<_>>()?)))
    }

    /// Whether the condition `expr` holds.
    pub(super) fn holds(&self, expr: &Expr, scope: &Arc<dyn Scope>) -> Result<bool> {
        let value = self.resolve(expr, scope)?;
        let value = self.force(value)?;
        let error = match value {
            Value::Bool(flag) => return Ok(flag),
            Value::Undefined(missing) => Error::undefined(&missing),
            // As in Ansible, the text that `{{ }}` gave is an expression again; only words are taken for one here.
            Value::Str(text) if expr.is_wrapped() => match word(&text) {
                Some(flag) => return Ok(flag),
                None => Error::new("condition-type", format!("the condition's template gives the text `{text}`, and no boolean"))
                    .help("write the condition itself, without `{{ }}`: text is not evaluated again"),
            },
            other if self.templar.manner.truthy_conditions => return Ok(other.is_true()),
            other => {
                let shown = if other.is_true() { "True" } else { "False" };
                let message = format!(
                    "Conditional result ({shown}) was derived from value of type '{}'. Conditionals must have a boolean result.",
                    other.type_name()
                );
                Error::new("condition-type", message).help("compare it, or use `| bool` or `| length > 0`")
            }
        };
        Err(if error.trail.is_empty() { error.at(expr.span()) } else { error })
    }
}

/// What a condition that is only this word means.
fn word(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "True" => Some(true),
        "" | "false" | "False" | "none" | "None" => Some(false),
        number => number.parse().ok().map(|number: f64| number != 0.0),
    }
}

fn unsupported(name: &str) -> Error {
    Error::failed(format!("Type '{name}' is unsupported for variable storage."))
}

/// Whether forcing `value` may change something.
fn is_deep(value: &Value) -> bool {
    match value {
        Value::Lazy(_) => true,
        Value::List(list) => !list.is_fixed(),
        Value::Map(map) => !map.is_fixed(),
        Value::Tuple(_) => true,
        _ => false,
    }
}
