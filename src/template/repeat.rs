//! `loop`, recursive loops, and the layers of a named block.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::{Eval, Frame};
use super::object::Object;
use super::python;
use super::render::Output;
use super::syntax::{For, NamedBlock};
use super::value::Value;

/// One run of a `for` statement.
#[derive(Debug)]
pub(super) struct Loop {
    items: Arc<Vec<Value>>,
    depth: usize,
    /// What `loop.changed()` saw last.
    last_seen: Arc<Mutex<Option<Vec<Value>>>>,
    /// The statement and what is around it, where `loop(…)` starts it again.
    again: Option<(Arc<For>, Arc<Frame>)>,
}

impl Loop {
    pub(super) fn new(items: Arc<Vec<Value>>, depth: usize, again: Option<(Arc<For>, Arc<Frame>)>) -> Self {
        Self { items, depth, last_seen: Arc::default(), again }
    }

    /// `loop` in the round `index`.
    pub(super) fn at(&self, index: usize) -> Value {
        let again = self.again.clone();
        let last_seen = Arc::clone(&self.last_seen);
        Value::Object(Arc::new(Round { items: Arc::clone(&self.items), depth: self.depth, last_seen, index, again }))
    }
}

/// `loop`.
struct Round {
    items: Arc<Vec<Value>>,
    depth: usize,
    last_seen: Arc<Mutex<Option<Vec<Value>>>>,
    index: usize,
    again: Option<(Arc<For>, Arc<Frame>)>,
}

impl fmt::Debug for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "<loop {} of {}>", self.index + 1, self.items.len())
    }
}

impl Object for Round {
    fn type_name(&self) -> &'static str {
        "LoopContext"
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        let length = self.items.len();
        let missing = |name: &str| Value::undefined(format!("there is no {name} item"));
        Some(match name {
            "index" => Value::from(self.index + 1),
            "index0" => Value::from(self.index),
            "revindex" => Value::from(length - self.index),
            "revindex0" => Value::from(length - self.index - 1),
            "first" => Value::Bool(self.index == 0),
            "last" => Value::Bool(self.index + 1 == length),
            "length" => Value::from(length),
            "depth" => Value::from(self.depth + 1),
            "depth0" => Value::from(self.depth),
            "previtem" => self.index.checked_sub(1).and_then(|index| self.items.get(index)).cloned().unwrap_or_else(|| missing("previous")),
            "nextitem" => self.items.get(self.index + 1).cloned().unwrap_or_else(|| missing("next")),
            _ => return None,
        })
    }

    fn method(&self, name: &str, _eval: &Eval<'_>, args: &mut Option<Args>) -> Option<Result<Value>> {
        let given = args.as_mut()?;
        match name {
            "cycle" => {
                let choices = given.rest();
                Some(if choices.is_empty() {
                    Err(Error::failed("no items for cycling given"))
                } else {
                    Ok(choices.get(self.index % choices.len()).cloned().unwrap_or_default())
                })
            }
            "changed" => {
                let now = given.rest();
                let mut seen = self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
                let same = seen
                    .as_ref()
                    .is_some_and(|seen| seen.len() == now.len() && seen.iter().zip(&now).all(|(left, right)| python::equal(left, right)));
                *seen = Some(now);
                Some(Ok(Value::Bool(!same)))
            }
            _ => None,
        }
    }

    fn call(&self, eval: &Eval<'_>, mut args: Args) -> Result<Value> {
        let Some((repeat, frame)) = &self.again else {
            return Err(Error::failed("only a loop that is marked `recursive` can be called"));
        };
        let iterable = args.required("iterable")?;
        eval.session.deeper()?;
        let outer = Eval { frame: Arc::clone(frame), ..eval.clone() };
        let mut output = Output::new(false);
        let result = outer.repeat(repeat, iterable, self.depth + 1, &mut output);
        eval.session.leave();
        result.map(|()| output.finish(0))
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// The youngest layer of a named block, in which `super()` prints the next older one.
pub(super) fn block_layers(eval: &Eval<'_>, layers: &[Arc<NamedBlock>], output: &mut Output) -> Result<()> {
    let Some((youngest, older)) = layers.split_first() else { return Ok(()) };
    if !older.is_empty() {
        let mut text = Output::new(false);
        block_layers(&eval.nested(), older, &mut text)?;
        eval.frame.set(&"super".into(), Value::Object(Arc::new(Super(text.finish(0)))));
    }
    eval.block(&youngest.body, output).map(|_| ())
}

/// `super`.
#[derive(Debug)]
struct Super(Value);

impl Object for Super {
    fn type_name(&self) -> &'static str {
        "BlockReference"
    }

    fn call(&self, _eval: &Eval<'_>, _args: Args) -> Result<Value> {
        Ok(self.0.clone())
    }

    fn any(&self) -> &dyn Any {
        self
    }
}
