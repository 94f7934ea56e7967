//! Statements: what a template prints.

use std::sync::{Arc, PoisonError, RwLock};

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::{Eval, Frame};
use super::object::{Module, Object};
use super::session::Session;
use super::source::{Body, Template};
use super::syntax::{Block, Expression, For, Kind, Macro, NamedBlock, Statement, Target};
use super::value::Value;
use super::{Scope, compile};

/// The message of the one undefined value that prints as nothing: `x if false`, without `else`.
pub(super) const SILENT: &str = "the inline if-expression evaluated to false and no else section was defined";

/// What was printed: a single value keeps its type, several become text.
#[derive(Debug, Default)]
pub(super) struct Output {
    single: Option<Value>,
    text: String,
    count: usize,
    native: bool,
}

impl Output {
    pub(super) fn new(native: bool) -> Self {
        Self { native, ..Self::default() }
    }

    fn push_text(&mut self, text: &str, session: &Session<'_>) -> Result<()> {
        if self.is_single() {
            self.single = Some(Value::from(text));
        } else {
            self.settle(session)?;
            self.text.push_str(text);
        }
        self.count += 1;
        Ok(())
    }

    fn push(&mut self, value: Value, session: &Session<'_>) -> Result<()> {
        if self.is_single() {
            self.single = Some(value);
        } else {
            self.settle(session)?;
            self.append(value, session)?;
        }
        self.count += 1;
        Ok(())
    }

    /// The first value becomes text once there is a second.
    fn settle(&mut self, session: &Session<'_>) -> Result<()> {
        self.single.take().map_or(Ok(()), |single| self.append(single, session))
    }

    fn append(&mut self, value: Value, session: &Session<'_>) -> Result<()> {
        match value {
            Value::None => {}
            Value::Undefined(missing) if missing.message == SILENT => {}
            Value::Str(text) => self.text.push_str(&text),
            // As a variable has it: a tuple is a list there.
            value => self.text.push_str(&session.finish(value)?.to_text()),
        }
        Ok(())
    }

    /// The result; text gets `trailing` line feeds at its end.
    pub(super) fn finish(mut self, trailing: usize) -> Value {
        match self.single.take() {
            Some(Value::Str(text)) if trailing > 0 => Value::from(padded(text.to_string(), trailing)),
            Some(single) => single,
            None if self.count == 0 && self.native => Value::None,
            None => Value::from(padded(self.text, trailing)),
        }
    }

    fn is_single(&self) -> bool {
        self.count == 0 && self.native
    }
}

fn padded(mut text: String, trailing: usize) -> String {
    let present = text.len() - text.trim_end_matches('\n').len();
    text.extend(std::iter::repeat_n('\n', trailing.saturating_sub(present)));
    text
}

/// How a block ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
    /// `{% extends %}` was met: what follows is not printed.
    Extended,
}

/// The named blocks of a template and of those it extends, the youngest first.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    all: RwLock<Vec<Arc<NamedBlock>>>,
    parent: RwLock<Option<Arc<Template>>>,
}

impl Eval<'_> {
    /// Runs a whole template, and the templates it extends.
    pub(super) fn template(&self, block: &Block, output: &mut Output) -> Result<()> {
        if !has_blocks(block) {
            return self.block(block, output).map(|_| ());
        }
        let blocks = Arc::new(Blocks::default());
        collect(block, &blocks);
        let this = Self { blocks: Some(Arc::clone(&blocks)), ..self.clone() };
        if this.block(block, output)? != Flow::Extended {
            return Ok(());
        }
        loop {
            let parent = blocks.parent.write().unwrap_or_else(PoisonError::into_inner).take();
            let Some(parent) = parent else { return Ok(()) };
            let Body::Statements(body) = &parent.body else { return Ok(()) };
            collect(body, &blocks);
            let of_parent = Eval { template: &parent, ..this.clone() };
            let flow = of_parent.block(body, output).map_err(|error| parent.locate(error))?;
            if flow != Flow::Extended {
                return Ok(());
            }
        }
    }

    /// Runs statements.
    pub(super) fn block(&self, block: &Block, output: &mut Output) -> Result<Flow> {
        for statement in block {
            let flow = self.statement(statement, output)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&self, statement: &Statement, output: &mut Output) -> Result<Flow> {
        match statement {
            Statement::Text(text) => output.push_text(text, self.session)?,
            Statement::Print(expression) => self.print(expression, output)?,
            Statement::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.truth(test)? {
                        return self.block(body, output);
                    }
                }
                return self.block(otherwise, output);
            }
            Statement::For(repeat) => {
                let iterable = self.expression(&repeat.iterable)?;
                self.repeat(repeat, iterable, 0, output)?;
            }
            Statement::Set(target, expression) => self.assign(target, self.expression(expression)?)?,
            Statement::SetBlock(target, filter, body) => {
                let value = self.captured(body)?;
                let value = match filter {
                    Some(filter) => self.filtered(filter, value)?,
                    None => value,
                };
                self.assign(target, value)?;
            }
            Statement::With(assignments, body) => {
                let inner = self.nested();
                // As in Jinja, no assignment sees another one of the same statement.
                for (target, expression) in assignments {
                    inner.assign(target, self.expression(expression)?)?;
                }
                return inner.block(body, output);
            }
            Statement::Macro(definition) => {
                let value = self.closure(definition);
                self.frame.set(&definition.name, value);
            }
            Statement::CallBlock(call, definition) => self.call_block(call, definition, output)?,
            Statement::Filter(filter, body) => {
                let value = self.captured(body)?;
                output.push(self.filtered(filter, value)?, self.session)?;
            }
            Statement::Include { names, ignore_missing } => self.include(names, *ignore_missing, output)?,
            Statement::Import { from, name } => {
                let module = self.import(from)?;
                self.frame.set(name, Value::Object(Arc::new(module)));
            }
            Statement::FromImport { from, names } => {
                let module = self.import(from)?;
                for (name, alias) in names {
                    let message = || Value::undefined(format!("the template does not export the requested name '{name}'"));
                    self.frame.set(alias, module.attribute(name).unwrap_or_else(message));
                }
            }
            Statement::Extends(name) => {
                let parent = self.load(&self.defined(name)?).map_err(|error| error.within(name.at))?;
                if let (Some(blocks), Some(parent)) = (&self.blocks, parent) {
                    *blocks.parent.write().unwrap_or_else(PoisonError::into_inner) = Some(parent);
                }
                return Ok(Flow::Extended);
            }
            Statement::Block(named) => self.named_block(named, output)?,
            Statement::Do(expression) => drop(self.expression(expression)?),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&self, expression: &Expression, output: &mut Output) -> Result<()> {
        let mut value = self.expression(expression)?;
        if output.is_single() {
            // What is printed does not change any more.
            value = frozen(value);
        }
        output.push(value, self.session).map_err(|error| error.within(expression.at))
    }

    /// What a block prints, as a value.
    fn captured(&self, body: &Block) -> Result<Value> {
        let mut inner = Output::new(self.template.native);
        self.nested().block(body, &mut inner)?;
        let value = inner.finish(0);
        self.session.force(value)
    }

    /// Sends `value` through a chain of filters that was written without a subject.
    fn filtered(&self, filter: &Expression, value: Value) -> Result<Value> {
        let Kind::Filter(before, name, arguments) = &filter.kind else { return self.expression(filter) };
        let value = match before {
            Some(before) => self.filtered(before, value)?,
            None => value,
        };
        self.filter(value, name, self.arguments(arguments)?).map_err(|error| error.within(filter.at))
    }

    pub(super) fn assign(&self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => self.frame.set(name, opened(value)),
            Target::Attribute(name, attribute, at) => match self.name(name)? {
                Value::Object(object) if object.set_attribute(attribute, opened(value.clone())) => {}
                _ => return Err(Error::failed("cannot assign attribute on non-namespace object").within(*at)),
            },
            Target::Tuple(targets, at) => {
                let items = self.iterate(&value).map_err(|error| error.within(*at))?;
                if items.len() != targets.len() {
                    let message = if items.len() > targets.len() {
                        format!("too many values to unpack (expected {})", targets.len())
                    } else {
                        format!("not enough values to unpack (expected {}, got {})", targets.len(), items.len())
                    };
                    return Err(Error::failed(message).within(*at));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn repeat(&self, repeat: &Arc<For>, iterable: Value, depth: usize, output: &mut Output) -> Result<()> {
        let mut items = self.iterate(&iterable).map_err(|error| error.within(repeat.iterable.at))?;
        if let Some(condition) = &repeat.condition {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let inner = self.nested();
                inner.assign(&repeat.target, item.clone())?;
                if inner.truth(condition)? {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.nested().block(&repeat.otherwise, output).map(|_| ());
        }
        let items = Arc::new(items);
        let state =
            super::repeat::Loop::new(Arc::clone(&items), depth, repeat.recursive.then(|| (Arc::clone(repeat), Arc::clone(&self.frame))));
        let this: Arc<str> = "loop".into();
        for (index, item) in items.iter().enumerate() {
            let inner = self.nested();
            inner.frame.set(&this, state.at(index));
            inner.assign(&repeat.target, item.clone())?;
            if inner.block(&repeat.body, output)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    /// A macro with what it sees.
    fn closure(&self, definition: &Arc<Macro>) -> Value {
        self.session.adopt(&self.frame);
        Value::Object(Arc::new(Closure {
            definition: Arc::clone(definition),
            frame: Arc::clone(&self.frame),
            scope: Arc::clone(self.scope),
            template: Arc::clone(self.template),
            blocks: self.blocks.clone(),
        }))
    }

    fn call_block(&self, call: &Expression, definition: &Arc<Macro>, output: &mut Output) -> Result<()> {
        let Kind::Call(callee, arguments) = &call.kind else { return Ok(()) };
        let mut args = self.arguments(arguments)?;
        args.named.push(("caller".into(), self.closure(definition)));
        let value = match self.expression(callee)? {
            Value::Object(object) => object.call(self, args),
            Value::Undefined(missing) => Err(Error::undefined(&missing)),
            other => Err(Error::failed(format!("'{}' object is not callable", other.type_name()))),
        };
        output.push(value.map_err(|error| error.within(call.at))?, self.session)
    }

    fn named_block(&self, named: &Arc<NamedBlock>, output: &mut Output) -> Result<()> {
        let Some(blocks) = &self.blocks else { return self.nested().block(&named.body, output).map(|_| ()) };
        let layers: Vec<Arc<NamedBlock>> =
            blocks.all.read().unwrap_or_else(PoisonError::into_inner).iter().filter(|block| block.name == named.name).cloned().collect();
        let inner = self.nested();
        super::repeat::block_layers(&inner, &layers, output)
    }

    fn load(&self, name: &Value) -> Result<Option<Arc<Template>>> {
        let Some(name) = name.as_str() else { return Err(Error::failed("the name of a template must be text")) };
        compile::included(self.session.templar, name, self.template)
    }

    fn include(&self, names: &Expression, ignore_missing: bool, output: &mut Output) -> Result<()> {
        let given = self.defined(names)?;
        let names_given = match &given {
            Value::Str(_) => vec![given.clone()],
            other => self.iterate(other)?,
        };
        for name in &names_given {
            let Some(template) = self.load(name).map_err(|error| error.within(names.at))? else { continue };
            let inner = Eval { template: &template, blocks: None, ..self.nested() };
            let Body::Statements(body) = &template.body else { return Ok(()) };
            return self.guarded(&template, || inner.template(body, output).map_err(|error| template.locate(error)));
        }
        if ignore_missing {
            return Ok(());
        }
        let shown: Vec<_> = names_given.iter().map(|name| format!("`{}`", name.to_text())).collect();
        Err(not_found(&shown.join(", "), &self.template.search).within(names.at))
    }

    fn guarded(&self, template: &Arc<Template>, run: impl FnOnce() -> Result<()>) -> Result<()> {
        self.session.nest(template, self.scope)?;
        let result = run();
        self.session.leave();
        result
    }

    /// The names that a template sets. It sees the variables of the scope, but not the names of the template that imports it.
    fn import(&self, from: &Expression) -> Result<Module> {
        let name = self.defined(from)?;
        let Some(template) = self.load(&name).map_err(|error| error.within(from.at))? else {
            return Err(not_found(&format!("`{}`", name.to_text()), &self.template.search).within(from.at));
        };
        let Body::Statements(body) = &template.body else { return Ok(Module(Vec::new())) };
        let inner = Eval { template: &template, frame: Arc::default(), blocks: None, ..self.clone() };
        self.guarded(&template, || inner.template(body, &mut Output::new(false)).map_err(|error| template.locate(error)))?;
        Ok(Module(inner.frame.own()))
    }
}

fn not_found(names: &str, search: &[std::path::PathBuf]) -> Error {
    let searched: Vec<_> = search.iter().map(|folder| format!("`{}`", folder.display())).collect();
    let error = Error::new("template-not-found", format!("no template {names}"));
    if searched.is_empty() { error } else { error.help(format!("looked in {}", searched.join(", "))) }
}

/// What is set can be changed from then on.
fn opened(value: Value) -> Value {
    match &value {
        Value::List(list) if list.is_fixed() => Value::list(list.get().iter().cloned()),
        Value::Map(map) if map.is_fixed() => Value::Map(super::value::Map::open((*map.get()).clone())),
        _ => value,
    }
}

/// A copy of what a template may still change.
fn frozen(value: Value) -> Value {
    match &value {
        Value::List(list) if !list.is_fixed() => Value::list(list.get().iter().cloned().map(frozen)),
        Value::Map(map) if !map.is_fixed() => {
            let entries = map.get().iter().map(|(key, value)| (key.clone(), frozen(value.clone()))).collect();
            Value::Map(super::value::Map::open(entries))
        }
        _ => value,
    }
}

fn has_blocks(block: &Block) -> bool {
    block.iter().any(|statement| matches!(statement, Statement::Block(_) | Statement::Extends(_)))
}

fn collect(block: &Block, blocks: &Blocks) {
    for statement in block {
        match statement {
            Statement::Block(named) => {
                blocks.all.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(named));
                collect(&named.body, blocks);
            }
            Statement::If(branches, otherwise) => {
                for (_, body) in branches {
                    collect(body, blocks);
                }
                collect(otherwise, blocks);
            }
            Statement::For(repeat) => {
                collect(&repeat.body, blocks);
                collect(&repeat.otherwise, blocks);
            }
            Statement::Macro(definition) | Statement::CallBlock(_, definition) => collect(&definition.body, blocks),
            Statement::SetBlock(_, _, body) | Statement::With(_, body) | Statement::Filter(_, body) => collect(body, blocks),
            _ => {}
        }
    }
}

/// A macro, and what was around it when it was defined.
#[derive(Debug)]
struct Closure {
    definition: Arc<Macro>,
    frame: Arc<Frame>,
    scope: Arc<dyn Scope>,
    template: Arc<Template>,
    /// The blocks of the template, which one in the macro's body may be.
    blocks: Option<Arc<Blocks>>,
}

impl Closure {
    fn bind(&self, inner: &Eval<'_>, mut args: Args) -> Result<()> {
        for (name, default) in &self.definition.parameters {
            let given = match args.next(name) {
                Some(value) => value,
                None => match default {
                    Some(default) => inner.expression(default).map_err(|error| self.template.locate(error))?,
                    None => Value::undefined(format!("parameter '{name}' was not provided")),
                },
            };
            inner.frame.set(name, given);
        }
        if let Some(caller) = args.named("caller") {
            inner.frame.set(&"caller".into(), caller);
        }
        let varargs = args.rest();
        let kwargs: Vec<_> = args.named.drain(..).map(|(name, value)| (Value::Str(name), value)).collect();
        inner.frame.set(&"varargs".into(), Value::tuple(varargs));
        inner.frame.set(&"kwargs".into(), Value::map(kwargs));
        Ok(())
    }
}

impl Object for Closure {
    fn type_name(&self) -> &'static str {
        "Macro"
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        match name {
            "name" => Some(Value::Str(Arc::clone(&self.definition.name))),
            "arguments" => Some(Value::tuple(self.definition.parameters.iter().map(|(name, _)| Value::Str(Arc::clone(name))))),
            _ => None,
        }
    }

    fn call(&self, eval: &Eval<'_>, args: Args) -> Result<Value> {
        let session: &Session<'_> = eval.session;
        session.deeper()?;
        let (frame, blocks) = (Frame::inside(&self.frame), self.blocks.clone());
        let inner = Eval { session, scope: &self.scope, template: &self.template, frame, blocks };
        let mut output = Output::new(self.template.native);
        let result = self.bind(&inner, args).and_then(|()| inner.block(&self.definition.body, &mut output));
        session.leave();
        result.map_err(|error| self.template.locate(error))?;
        session.force(output.finish(0))
    }

    fn any(&self) -> &dyn std::any::Any {
        self
    }
}
