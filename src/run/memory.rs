//! [`Memory`]: what the run has learnt of each host: facts, registered results, `set_fact`, `include_vars`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use indexmap::IndexMap;

use super::fact_cache::FactCache;
use crate::plan::Vars;
use crate::template::{Binding, Scope, Value, from_wire, to_wire};
use crate::wire::{self, Map};

/// What is known of all hosts.
#[derive(Debug, Default)]
pub(super) struct Memory {
    hosts: RwLock<HashMap<String, Arc<HostMemory>>>,
    cache: Option<FactCache>,
}

/// What is known of one host.
#[derive(Debug, Default)]
pub(super) struct HostMemory {
    facts: RwLock<IndexMap<String, Value>>,
    cached: RwLock<IndexMap<String, Value>>,
    set: RwLock<IndexMap<String, Value>>,
    included: RwLock<Vars>,
}

impl Memory {
    /// Nothing but what `cache` has kept of earlier runs.
    pub(super) fn new(cache: Option<FactCache>) -> Self {
        Self { hosts: RwLock::default(), cache }
    }

    /// What is known of `host`.
    pub(super) fn host(&self, host: &str) -> Arc<HostMemory> {
        if let Some(memory) = read(&self.hosts).get(host) {
            return memory.clone();
        }
        let known = self.cache.as_ref().and_then(|cache| cache.load(host));
        let memory = || {
            let memory = HostMemory::default();
            known.iter().for_each(|facts| memory.add_facts(facts));
            Arc::new(memory)
        };
        write(&self.hosts).entry(host.to_owned()).or_insert_with(memory).clone()
    }

    /// Keeps the facts of `host` for runs to come, where they are kept.
    pub(super) fn keep(&self, host: &str) -> std::io::Result<()> {
        let Some(cache) = &self.cache else { return Ok(()) };
        let facts = self.host(host).kept();
        if facts.is_empty() { Ok(()) } else { cache.store(host, &facts) }
    }

    /// Forgets the facts of `host`, kept ones too.
    pub(super) fn forget(&self, host: &str) {
        self.host(host).clear_facts();
        self.cache.iter().for_each(|cache| cache.forget(host));
    }
}

impl HostMemory {
    /// Keeps facts as `setup` and other modules return them, with or without `ansible_` in front.
    pub(super) fn add_facts(&self, facts: &Map) {
        let mut known = write(&self.facts);
        for (name, value) in facts {
            let short = name.strip_prefix("ansible_");
            if short.is_none() {
                // A variable under its own name, too: `getent_passwd`.
                write(&self.cached).insert(name.clone(), from_wire(value));
            }
            known.insert(short.unwrap_or(name).to_owned(), from_wire(value));
        }
    }

    /// All facts under the names that modules give them.
    fn kept(&self) -> Map {
        let own = read(&self.cached);
        let name = |name: &String| if own.contains_key(name) { name.clone() } else { format!("ansible_{name}") };
        read(&self.facts).iter().map(|(known, value)| (name(known), to_wire(value))).collect()
    }

    /// All facts, without `ansible_` in front.
    pub(super) fn facts(&self) -> Value {
        Value::map(read(&self.facts).iter().map(|(name, value)| (name.clone(), value.clone())))
    }

    /// Whether facts were gathered.
    pub(super) fn has_facts(&self) -> bool {
        !read(&self.facts).is_empty()
    }

    fn clear_facts(&self) {
        write(&self.facts).clear();
        write(&self.cached).clear();
    }

    /// `set_fact`, `register`.
    pub(super) fn set(&self, name: &str, value: Value) {
        write(&self.set).insert(name.to_owned(), value);
    }

    /// `set_fact` with `cacheable`: also a fact.
    pub(super) fn cache(&self, name: &str, value: Value) {
        write(&self.cached).insert(name.to_owned(), value.clone());
        write(&self.facts).insert(name.to_owned(), value);
    }

    /// `register`, from a result.
    pub(super) fn register(&self, name: &str, result: &Map) {
        self.set(name, from_wire(&wire::Value::Map(super::invocation::without(result))));
    }

    /// `include_vars`.
    pub(super) fn include(&self, vars: Vars) {
        write(&self.included).extend(vars);
    }
}

/// Facts as variables: `ansible_facts`, and each as `ansible_NAME`.
#[derive(Debug)]
pub(super) struct FactsScope {
    pub(super) memory: Arc<HostMemory>,
    /// Facts are variables of their own too, and not only entries of `ansible_facts`.
    pub(super) inject: bool,
}

impl Scope for FactsScope {
    fn get(&self, name: &str) -> Option<Binding> {
        if name == "ansible_facts" {
            return Some(Binding::Value(self.memory.facts()));
        }
        if let Some(value) = read(&self.memory.cached).get(name) {
            return Some(Binding::Value(value.clone()));
        }
        let short = name.strip_prefix("ansible_").filter(|short| self.inject || *short == "local")?;
        // `ansible_local` and `ansible_user` of the same name: the connection variable is no fact.
        read(&self.memory.facts).get(short).cloned().map(Binding::Value)
    }

    fn names(&self) -> Vec<String> {
        let facts = read(&self.memory.facts);
        let mut names: Vec<_> = facts.keys().filter(|_| self.inject).map(|name| format!("ansible_{name}")).collect();
        names.push("ansible_facts".to_owned());
        names.extend(read(&self.memory.cached).keys().cloned());
        names
    }
}

/// `set_fact` and `register` as variables.
#[derive(Debug)]
pub(super) struct SetScope(pub Arc<HostMemory>);

impl Scope for SetScope {
    fn get(&self, name: &str) -> Option<Binding> {
        read(&self.0.set).get(name).cloned().map(Binding::Value)
    }

    fn names(&self) -> Vec<String> {
        read(&self.0.set).keys().cloned().collect()
    }
}

/// `include_vars` as variables.
#[derive(Debug)]
pub(super) struct IncludedScope(pub Arc<HostMemory>);

impl Scope for IncludedScope {
    fn get(&self, name: &str) -> Option<Binding> {
        Vars::get(&read(&self.0.included), name).cloned().map(Binding::Expr)
    }

    fn names(&self) -> Vec<String> {
        read(&self.0.included).keys().cloned().collect()
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
