//! [`Lazy`]: a container whose entries are templates of their own, evaluated in the scope that asked when they are asked for.

use std::fmt;
use std::sync::Arc;

use super::error::Result;
use super::session::Session;
use super::value::{Entries, Key, List, Map, Value};
use super::{Binding, Expr, Scope};

/// A list or mapping of expressions, or a whole scope: `hostvars['web1']`.
pub struct Lazy {
    content: Content,
    scope: Arc<dyn Scope>,
}

enum Content {
    List(Arc<[Expr]>),
    Map(Arc<[(Expr, Expr)]>),
    Scope,
}

/// Never the content: a variable may be a secret.
impl fmt::Debug for Lazy {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "<lazy {}>", self.type_name())
    }
}

impl Lazy {
    /// A list whose items are evaluated in `scope`.
    pub(super) fn list(items: &Arc<[Expr]>, scope: &Arc<dyn Scope>) -> Value {
        Value::Lazy(Arc::new(Self { content: Content::List(Arc::clone(items)), scope: Arc::clone(scope) }))
    }

    /// A mapping whose entries are evaluated in `scope`.
    pub(super) fn map(entries: &Arc<[(Expr, Expr)]>, scope: &Arc<dyn Scope>) -> Value {
        Value::Lazy(Arc::new(Self { content: Content::Map(Arc::clone(entries)), scope: Arc::clone(scope) }))
    }

    /// All variables of `scope` as a mapping.
    pub(super) fn scope(scope: Arc<dyn Scope>) -> Value {
        Value::Lazy(Arc::new(Self { content: Content::Scope, scope }))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self.content {
            Content::List(_) => "list",
            Content::Map(_) => "dict",
            Content::Scope => "HostVarsVars",
        }
    }

    /// Tells this content in this scope from any other.
    pub(super) fn identity(&self) -> (usize, usize) {
        let content = match &self.content {
            Content::List(items) => Arc::as_ptr(items).cast::<()>() as usize,
            Content::Map(entries) => Arc::as_ptr(entries).cast::<()>() as usize,
            Content::Scope => 0,
        };
        (content, Arc::as_ptr(&self.scope).cast::<()>() as usize)
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.content, Content::List(_))
    }

    pub(super) fn len(&self) -> usize {
        match &self.content {
            Content::List(items) => items.len(),
            Content::Map(entries) => entries.len(),
            Content::Scope => self.scope.names().len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry `key`, evaluated; `None` where there is none.
    pub(super) fn pick(&self, key: &Value, session: &Session<'_>) -> Result<Option<Value>> {
        match &self.content {
            Content::List(items) => {
                let Some(index) = super::python::as_whole(key) else { return Ok(None) };
                super::python::at(items, index).map(|item| session.resolve(item, &self.scope)).transpose()
            }
            Content::Map(entries) => {
                for (name, value) in entries.iter().rev() {
                    if session.resolve(name, &self.scope)? == *key {
                        return session.resolve(value, &self.scope).map(Some);
                    }
                }
                Ok(None)
            }
            Content::Scope => key.as_str().map_or(Ok(None), |name| session.variable(name, &self.scope)),
        }
    }

    /// The names of the entries, without their values.
    pub(super) fn keys(&self, session: &Session<'_>) -> Result<Vec<Value>> {
        match &self.content {
            Content::List(items) => items.iter().map(|item| session.resolve(item, &self.scope)).collect(),
            Content::Map(entries) => entries.iter().map(|(name, _)| session.resolve(name, &self.scope)).collect(),
            Content::Scope => Ok(self.scope.names().into_iter().map(Value::from).collect()),
        }
    }

    /// The same as an ordinary list or mapping; its entries may be lazy themselves.
    pub(super) fn open(&self, session: &Session<'_>) -> Result<Value> {
        match &self.content {
            Content::List(_) => Ok(Value::List(List::open(self.keys(session)?))),
            Content::Map(entries) => {
                let mut out = Entries::with_capacity(entries.len());
                for (name, value) in entries.iter() {
                    out.insert(Key(session.resolve(name, &self.scope)?), session.resolve(value, &self.scope)?);
                }
                Ok(Value::Map(Map::open(out)))
            }
            Content::Scope => {
                let mut out = Entries::new();
                for name in self.scope.names() {
                    // One variable that cannot be evaluated must not hide all others.
                    let value = match self.scope.get(&name) {
                        Some(Binding::Value(value)) => value,
                        Some(Binding::Expr(_)) => session.variable(&name, &self.scope).ok().flatten().unwrap_or_default(),
                        None => continue,
                    };
                    out.insert(Key(Value::from(name)), value);
                }
                Ok(Value::Map(Map::open(out)))
            }
        }
    }
}
