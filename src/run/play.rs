//! [`PlayState`]: what all hosts of a play share while it runs.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Semaphore;

use super::Shared;
use super::transaction::Transaction;
use crate::plan::scope::{Layer, Locals};
use crate::plan::{self, Handler, PlayScope, Role, Vars};
use crate::template::{Scope, to_wire};
use crate::text::{Diagnostic, Diagnostics, Span};
use crate::wire;

/// What all hosts of a play share.
#[derive(Debug)]
pub struct PlayState {
    /// The play.
    pub plan: Arc<plan::Play>,
    /// Its name, or its pattern.
    pub name: String,
    /// All its hosts, also those that failed.
    pub hosts: Vec<String>,
    /// Answers to `vars_prompt:`.
    pub prompts: Arc<Locals>,
    /// What includes compile in.
    pub scope: Arc<PlayScope>,
    batch: RwLock<Vec<String>>,
    gone: RwLock<HashSet<String>>,
    handlers: RwLock<Arc<Vec<Arc<Handler>>>>,
    roles: RwLock<Arc<Vec<Arc<Role>>>>,
    host_vars: RwLock<HashMap<String, Arc<Vec<(Layer, Arc<Vars>)>>>>,
    vars_files: RwLock<HashMap<String, Vec<Arc<Vars>>>>,
    /// By host: the transaction that it is in.
    pub(super) transactions: RwLock<HashMap<String, Arc<Transaction>>>,
    /// By task with `throttle`: how many hosts may do it at once.
    throttles: Mutex<HashMap<Span, Arc<Semaphore>>>,
    ended: std::sync::atomic::AtomicBool,
}

impl PlayState {
    /// A play that begins for `hosts`.
    pub fn new(plan: Arc<plan::Play>, name: String, hosts: Vec<String>, prompts: Locals) -> Self {
        let scope = Arc::new(PlayScope { dir: plan.dir.clone(), vars: plan.vars.clone() });
        Self {
            name,
            hosts,
            prompts: Arc::new(prompts),
            scope,
            batch: RwLock::default(),
            gone: RwLock::default(),
            handlers: RwLock::new(Arc::new(plan.handlers.clone())),
            roles: RwLock::new(Arc::new(plan.roles.clone())),
            host_vars: RwLock::default(),
            vars_files: RwLock::default(),
            transactions: RwLock::default(),
            throttles: Mutex::default(),
            ended: std::sync::atomic::AtomicBool::new(false),
            plan,
        }
    }

    /// The gate before the task at `span`, which lets `limit` hosts in.
    pub(super) fn throttle(&self, span: Span, limit: usize) -> Arc<Semaphore> {
        let mut throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        throttles.entry(span).or_insert_with(|| Arc::new(Semaphore::new(limit))).clone()
    }

    /// `meta: end_play`: no further batch.
    pub fn end(&self) {
        self.ended.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether no further batch is wanted.
    pub fn is_ended(&self) -> bool {
        self.ended.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What is written for `host` has changed.
    pub fn forget_host_vars(&self, host: &str) {
        write(&self.host_vars).remove(host);
    }

    /// Begins a batch.
    pub fn begin_batch(&self, hosts: Vec<String>) {
        *write(&self.batch) = hosts;
    }

    /// `host` has failed or cannot be reached.
    pub fn lose(&self, host: &str) {
        write(&self.gone).insert(host.to_owned());
    }

    /// `host` is back in (`meta: clear_host_errors`).
    pub fn regain(&self, host: &str) {
        write(&self.gone).remove(host);
    }

    /// Hosts that have not failed.
    pub fn alive(&self) -> Vec<String> {
        let gone = read(&self.gone);
        self.hosts.iter().filter(|host| !gone.contains(*host)).cloned().collect()
    }

    /// Hosts of the batch that have not failed.
    pub fn alive_in_batch(&self) -> Vec<String> {
        let gone = read(&self.gone);
        read(&self.batch).iter().filter(|host| !gone.contains(*host)).cloned().collect()
    }

    /// All handlers so far, in the order they run.
    pub fn handlers(&self) -> Arc<Vec<Arc<Handler>>> {
        read(&self.handlers).clone()
    }

    /// Handlers that an included role brought.
    pub fn add_handlers(&self, more: Vec<Arc<Handler>>) {
        if !more.is_empty() {
            let mut handlers = write(&self.handlers);
            let mut all = (**handlers).clone();
            all.extend(more.into_iter().filter(|new| !handlers.iter().any(|known| known.step.span == new.step.span)));
            *handlers = Arc::new(all);
        }
    }

    /// Roles whose variables all tasks see.
    pub fn exported_roles(&self) -> Arc<Vec<Arc<Role>>> {
        read(&self.roles).clone()
    }

    /// An included role with `public: true`.
    pub fn export_role(&self, role: Arc<Role>) {
        let mut roles = write(&self.roles);
        let mut all = (**roles).clone();
        all.push(role);
        *roles = Arc::new(all);
    }

    /// Forgets what was loaded for hosts: facts have changed, files may have other names now.
    pub fn forget_vars(&self) {
        write(&self.vars_files).clear();
        write(&self.host_vars).clear();
    }

    /// `vars_files:` as loaded for `host`, the last first.
    pub(super) fn vars_files(&self, shared: &Shared, host: &str) -> Vec<Arc<Vars>> {
        let _ = shared;
        read(&self.vars_files).get(host).cloned().unwrap_or_default()
    }

    /// Finds and loads `vars_files:` for `host`; again after facts came in, since names may depend on them.
    pub(super) fn load_vars_files(self: &Arc<Self>, shared: &Arc<Shared>, host: &str, strict: bool) -> Result<(), Diagnostic> {
        if self.plan.vars_files.is_empty() {
            return Ok(());
        }
        let scope: Arc<dyn Scope> = Arc::new(shared.layers(self, host, &self.plan.context));
        let mut loaded = Vec::new();
        for expr in &self.plan.vars_files {
            let names = match shared.templar.evaluate(expr, &scope) {
                Ok(value) => match to_wire(&value) {
                    wire::Value::List(items) => items.iter().map(wire::Value::to_text).collect(),
                    other => vec![other.to_text()],
                },
                Err(diagnostic) if strict => return Err(diagnostic),
                Err(_) => continue,
            };
            match names.iter().find_map(|name| self.find_vars_file(name)) {
                Some(path) => {
                    let read = shared.vars_file(&path);
                    let located = |found: Diagnostic| if found.labels.is_empty() { found.at(expr.span(), "") } else { found };
                    loaded.insert(0, read.map_err(located)?);
                }
                None if strict => {
                    return Err(
                        Diagnostic::error("file-not-found", format!("vars file {} was not found", names.join(", "))).at(expr.span(), "")
                    );
                }
                None => {}
            }
        }
        write(&self.vars_files).insert(host.to_owned(), loaded);
        Ok(())
    }

    fn find_vars_file(&self, name: &str) -> Option<PathBuf> {
        let dir = &self.plan.dir;
        [dir.join("vars").join(name), dir.join(name)].into_iter().find(|path| path.is_file())
    }

    pub(super) fn cached_host_vars(&self, host: &str) -> Option<Arc<Vec<(Layer, Arc<Vars>)>>> {
        read(&self.host_vars).get(host).cloned()
    }

    pub(super) fn cache_host_vars(&self, host: &str, vars: Arc<Vec<(Layer, Arc<Vars>)>>) {
        write(&self.host_vars).insert(host.to_owned(), vars);
    }
}

impl Shared {
    /// A file of variables, compiled once.
    pub(super) fn vars_file(&self, path: &std::path::Path) -> Result<Arc<Vars>, Diagnostic> {
        if let Some(vars) = read(&self.files).get(path) {
            return Ok(vars.clone());
        }
        let mut diags = Diagnostics::default();
        let entries = self.compiler.loader.vars_file(path, None, &mut diags);
        let vars = Arc::new(self.compiler.named(&entries, &mut diags));
        if diags.has_errors() {
            return Err(diags.into_vec().into_iter().next().unwrap_or_else(|| Diagnostic::error("vars-file", "cannot read variables")));
        }
        write(&self.files).insert(path.to_owned(), vars.clone());
        Ok(vars)
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
