//! [`Shared`]: what every task of a run can reach.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::cursor::State;
use super::fleet::Fleet;
use super::memory::Memory;
use super::{AfterFatalRescue, Effect, Emitter, Inputs, PlayState, Prompter, Settings, Unmatched};
use crate::event::{EventKind, Exit};
use crate::model::inventory::{Origin, VarsDir};
use crate::model::{Inventory, Pattern};
use crate::plan::scope::{Layer, Layered};
use crate::plan::{Compiler, Vars};
use crate::template::{Expr, FileOptions, Templar, Value};
use crate::text::{Diagnostic, Diagnostics, Severity, Sources, Span, Spanned, Vault};
use crate::wire::{self, Map};

type InventoryVars = crate::model::Variables;

/// What every task of a run can reach.
pub struct Shared {
    /// What was asked for.
    pub settings: Settings,
    /// Every text that was read.
    pub sources: Sources,
    pub(super) vault: Arc<Vault>,
    pub(super) templar: Templar,
    pub(super) compiler: Compiler,
    pub(super) memory: Memory,
    pub(super) fleet: Arc<Fleet>,
    pub(super) events: Emitter,
    pub(super) prompter: Option<Arc<dyn Prompter>>,
    pub(super) cancel: CancellationToken,
    pub(super) stop: CancellationToken,
    /// At most `forks` hosts work at once, whatever the strategy.
    pub(super) gate: Arc<Semaphore>,
    /// The files of the controller that went along with calls.
    pub(super) contents: crate::ssh::Contents,
    pub(super) files: RwLock<HashMap<PathBuf, Arc<Vars>>>,
    templates: RwLock<HashMap<PathBuf, Expr>>,
    inventory: RwLock<Arc<Inventory>>,
    reload: Arc<dyn Fn() -> Option<Inventory> + Send + Sync>,
    groups: Mutex<Option<Value>>,
    /// Compiled variables of the inventory, by the address of what was written.
    compiled: RwLock<HashMap<usize, (Arc<InventoryVars>, Arc<Vars>)>>,
    beside: RwLock<HashMap<PathBuf, Arc<VarsDir>>>,
    lost: RwLock<HashMap<String, State>>,
    /// Hosts that `add_host` has brought: they outlive a fresh reading of the inventory.
    added: Mutex<Vec<(String, Effect)>>,
    /// What `set_stats` has collected, by host, or for the run.
    stats: Mutex<HashMap<Option<String>, Map>>,
    /// Why the run cannot go on, if it cannot.
    stopped: OnceLock<Exit>,
}

impl Shared {
    pub(super) fn new(settings: Settings, inputs: Inputs, events: Emitter) -> Self {
        if let (true, Some(cache)) = (settings.flush_cache, &settings.fact_cache) {
            inputs.inventory.hosts().for_each(|host| cache.forget(&host.name));
        }
        Self {
            gate: Arc::new(Semaphore::new(settings.forks.max(1))),
            sources: inputs.sources,
            vault: inputs.vault,
            templar: inputs.templar,
            compiler: inputs.compiler,
            memory: Memory::new(settings.fact_cache.clone()),
            fleet: inputs.fleet,
            events,
            prompter: inputs.prompter,
            cancel: inputs.cancel,
            stop: inputs.stop,
            contents: crate::ssh::Contents::default(),
            files: RwLock::default(),
            templates: RwLock::default(),
            inventory: RwLock::new(Arc::new(inputs.inventory)),
            reload: inputs.reload,
            groups: Mutex::default(),
            compiled: RwLock::default(),
            beside: RwLock::default(),
            lost: RwLock::default(),
            added: Mutex::default(),
            stats: Mutex::default(),
            stopped: OnceLock::new(),
            settings,
        }
    }

    pub(super) async fn started(&self, plays: usize) {
        self.hide_passwords();
        let playbooks = self.settings.playbooks.iter().map(|path| path.display().to_string()).collect();
        let config = self.settings.config_file.as_ref().map(|path| path.display().to_string());
        let hosts = self.inventory().hosts().len();
        self.events.emit(EventKind::RunStarted { playbooks, plays, check: self.settings.check, hosts, config }).await;
    }

    /// Connection passwords of the inventory are secrets from the first event on, used or not.
    fn hide_passwords(&self) {
        let inventory = self.inventory();
        let vars = inventory.hosts().map(|host| &host.vars).chain(inventory.groups().map(|group| &group.vars));
        for (name, value) in vars.flat_map(|vars| vars.iter()) {
            let password = name.value.starts_with("ansible_") && (name.value.ends_with("_pass") || name.value.ends_with("password"));
            if let (true, Some(text)) = (password, value.as_str()) {
                self.events.hide(text);
            }
        }
    }

    pub(super) async fn finished(&self) -> Exit {
        let exit = match self.events.exit() {
            _ if self.has_failed() => self.stopped.get().copied().unwrap_or(Exit::Error),
            // As in Ansible, what counts is who is lost in the end.
            Exit::Failed | Exit::Unreachable if self.settings.after_fatal_rescue == AfterFatalRescue::GoOn => self.lost_in_the_end(),
            exit => exit,
        };
        self.events.emit(EventKind::RunFinished { exit }).await;
        exit
    }

    fn lost_in_the_end(&self) -> Exit {
        let lost = read(&self.lost);
        if lost.values().any(|state| *state == State::Unreachable) {
            Exit::Unreachable
        } else if lost.is_empty() {
            Exit::Success
        } else {
            Exit::Failed
        }
    }

    /// The hosts as they are now.
    pub fn inventory(&self) -> Arc<Inventory> {
        read(&self.inventory).clone()
    }

    /// The hosts of `pattern`, within `--limit`.
    pub(super) fn select(&self, pattern: &str, span: Span) -> Result<Vec<String>, Diagnostic> {
        let inventory = self.inventory();
        let limit = self.settings.limit.as_ref().map(|limit| Pattern::limit(&self.sources, limit)).transpose()?;
        let pattern = Pattern::parse(&[Spanned::new(pattern.to_owned(), span)]);
        let mut diags = Diagnostics::default();
        let hosts = inventory.select(&pattern, limit.as_ref(), &mut diags).into_iter().map(|host| host.name.clone()).collect();
        for mut diagnostic in diags.into_vec() {
            match self.settings.unmatched {
                Unmatched::Fatal if diagnostic.code == "unmatched-pattern" => {
                    diagnostic.severity = Severity::Error;
                    return Err(diagnostic);
                }
                Unmatched::Ignored if diagnostic.code == "unmatched-pattern" => {}
                _ => self.later(diagnostic),
            }
        }
        Ok(hosts)
    }

    /// The hosts of every group.
    pub(super) fn groups(&self) -> Value {
        let mut cached = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        cached
            .get_or_insert_with(|| {
                let inventory = self.inventory();
                let members = |name: &str| super::magic::list(inventory.members(name).into_iter().map(str::to_owned));
                Value::map(inventory.groups().map(|group| (group.name.clone(), members(&group.name))))
            })
            .clone()
    }

    /// Changes the inventory for what follows.
    pub(super) fn change_inventory(&self, change: impl FnOnce(&mut Inventory)) {
        change(Arc::make_mut(&mut write(&self.inventory)));
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// `meta: refresh_inventory`.
    pub(super) async fn refresh_inventory(&self, play: &PlayState) {
        let reload = self.reload.clone();
        if let Ok(Some(fresh)) = tokio::task::spawn_blocking(move || reload()).await {
            self.change_inventory(|inventory| *inventory = fresh);
            let added = self.added.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for (host, effect) in &added {
                self.extend_inventory(host, effect);
            }
            play.forget_vars();
        }
    }

    pub(super) fn is_implicit(&self, host: &str) -> bool {
        self.inventory().host(host).is_some_and(|host| host.implicit)
    }

    /// What is written for `host` in inventories and beside them, the strongest first.
    pub(super) fn host_vars(&self, play: &PlayState, name: &str) -> Arc<Vec<(Layer, Arc<Vars>)>> {
        if let Some(vars) = play.cached_host_vars(name) {
            return vars;
        }
        let inventory = self.inventory();
        let mut diags = Diagnostics::default();
        let mut layers = Vec::new();
        if let Some(host) = inventory.host(name) {
            let beside = self.beside(&play.plan.dir);
            for from in inventory.vars(host, Some(&beside), &mut diags).into_iter().rev() {
                layers.push((layer(from.origin), self.compiled(&from.vars, &mut diags)));
            }
            if host.implicit {
                layers.push((Layer::CommandLine, self.implicit_vars()));
            }
        }
        for diagnostic in diags.into_vec() {
            if diagnostic.severity == Severity::Error {
                // The first reason counts.
                let _ = self.stopped.set(Exit::Unreachable);
            }
            self.later(diagnostic);
        }
        let layers = Arc::new(layers);
        play.cache_host_vars(name, layers.clone());
        layers
    }

    fn implicit_vars(&self) -> Arc<Vars> {
        let literal = |text: &str| Arc::new(Expr::Literal(Value::from(text), Span::default()));
        let vars = [("ansible_connection", literal("local")), ("ansible_python_interpreter", literal(&self.python()))];
        Arc::new(vars.into_iter().map(|(name, expr)| (name.to_owned(), expr)).collect())
    }

    fn beside(&self, dir: &Path) -> Arc<VarsDir> {
        if let Some(found) = read(&self.beside).get(dir) {
            return found.clone();
        }
        let opened = Arc::new(VarsDir::open(&self.compiler.loader, dir));
        write(&self.beside).entry(dir.to_owned()).or_insert(opened).clone()
    }

    fn compiled(&self, vars: &Arc<InventoryVars>, diags: &mut Diagnostics) -> Arc<Vars> {
        let key = Arc::as_ptr(vars) as usize;
        if let Some((_, compiled)) = read(&self.compiled).get(&key) {
            return compiled.clone();
        }
        let compiled = Arc::new(self.compiler.named(vars, diags));
        // The written variables are kept too, so that their address stays theirs.
        write(&self.compiled).insert(key, (vars.clone(), compiled.clone()));
        compiled
    }

    /// The variables that are known before a play has a host.
    pub(super) fn static_layers(self: &Arc<Self>, play: &Arc<PlayState>) -> Layered {
        self.layers(play, "", &play.plan.context)
    }

    /// A template file, compiled once.
    pub(super) fn template_file(&self, path: &Path, options: &FileOptions, diags: &mut Diagnostics) -> Option<Expr> {
        let plain = options.trim_blocks
            && !options.lstrip_blocks
            && options.newline_sequence == "\n"
            && options.block.is_none()
            && options.variable.is_none();
        if let (Some(expr), true) = (read(&self.templates).get(path), plain) {
            return Some(expr.clone());
        }
        let source = self.compiler.loader.text(path, "the template", diags)?;
        let expr = self.templar.file(source, options, diags)?;
        if plain {
            write(&self.templates).insert(path.to_owned(), expr.clone());
        }
        Some(expr)
    }

    /// The text at `span`, as written.
    pub(super) fn source_text(&self, span: Span) -> String {
        let source = self.sources.get(span.source);
        source.text.get(span.start as usize..span.end as usize).unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    }

    /// A Python on the controller, for `ansible_playbook_python`; playbooks that ask expect a path.
    #[expect(clippy::unused_self, reason = "it will be looked up once and kept")]
    pub(super) fn python(&self) -> String {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file());
        found.map_or_else(|| "/usr/bin/python3".to_owned(), |file| file.display().to_string())
    }

    /// The run cannot go on as asked.
    pub(super) async fn fail_run(&self, diagnostic: Diagnostic) {
        self.stop(Exit::Error, diagnostic).await;
    }

    /// The run cannot go on, because a file cannot be read.
    pub(super) async fn unreadable(&self, diagnostic: Diagnostic) {
        self.stop(Exit::Unreachable, diagnostic).await;
    }

    async fn stop(&self, exit: Exit, diagnostic: Diagnostic) {
        // The first reason counts.
        let _ = self.stopped.set(exit);
        self.events.warn(diagnostic).await;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// Warns when there is an async context to do it in.
    fn later(&self, diagnostic: Diagnostic) {
        let events = self.events.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { events.warn(diagnostic).await });
        }
    }

    pub(super) fn is_lost(&self, host: &str) -> bool {
        read(&self.lost).contains_key(host)
    }

    pub(super) fn lose(&self, host: &str, state: State) {
        write(&self.lost).insert(host.to_owned(), state);
    }

    /// Applies what a task does to the run.
    pub(super) async fn apply(&self, host: &str, effect: Effect, play: &PlayState) {
        match effect {
            Effect::AddHost { .. } | Effect::GroupBy { .. } => {
                self.extend_inventory(host, &effect);
                play.forget_host_vars(match &effect {
                    Effect::AddHost { name, .. } => name,
                    _ => host,
                });
                self.added.lock().unwrap_or_else(PoisonError::into_inner).push((host.to_owned(), effect));
            }
            Effect::Stats { data, per_host, aggregate } => {
                let host = per_host.then(|| host.to_owned());
                let data = {
                    let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
                    let known = stats.entry(host.clone()).or_default();
                    for (name, value) in data {
                        let value = match known.shift_remove(&name).filter(|_| aggregate) {
                            Some(before) => added(before, value),
                            None => value,
                        };
                        known.insert(name, value);
                    }
                    known.clone()
                };
                self.events.emit(EventKind::Stats { host, data }).await;
            }
            Effect::Include(_) => {}
        }
    }

    /// What a task on `host` adds to the inventory.
    fn extend_inventory(&self, host: &str, effect: &Effect) {
        match effect {
            Effect::AddHost { name, groups, vars } => {
                let vars = self.written(vars);
                self.change_inventory(|inventory| {
                    inventory.add_host(name, groups, vars);
                });
            }
            Effect::GroupBy { group, parents } if self.inventory().host(host).is_some() => self.change_inventory(|inventory| {
                inventory.add_to_group(host, group);
                for parent in parents {
                    // A group inside itself adds nothing.
                    let _ = inventory.add_child(parent, group);
                }
            }),
            _ => {}
        }
    }

    /// Values as if somebody had written them down.
    fn written(&self, vars: &Map) -> InventoryVars {
        let span = Span::new(self.sources.add("add_host", ""), 0, 0);
        vars.iter().map(|(name, value)| (Spanned::new(name.clone(), span), crate::template::value_node(value, span))).collect()
    }
}

/// What `set_stats` with `aggregate` makes of two values: a sum, a longer text or list, both mappings in one.
fn added(before: wire::Value, value: wire::Value) -> wire::Value {
    match (before, value) {
        (wire::Value::Int(before), wire::Value::Int(value)) => wire::Value::Int(before.saturating_add(value)),
        (wire::Value::Float(before), wire::Value::Float(value)) => wire::Value::Float(before + value),
        (wire::Value::Str(before), wire::Value::Str(value)) => wire::Value::Str(before + &value),
        (wire::Value::List(before), wire::Value::List(value)) => wire::Value::List(before.into_iter().chain(value).collect()),
        (wire::Value::Map(mut before), wire::Value::Map(value)) => {
            before.extend(value);
            wire::Value::Map(before)
        }
        // As in Ansible: values of different types do not add up, the first stays.
        (before, _) => before,
    }
}

fn layer(origin: Origin) -> Layer {
    match origin {
        Origin::Group => Layer::InventoryGroups,
        Origin::InventoryAll => Layer::InventoryGroupVarsAll,
        Origin::PlaybookAll => Layer::PlaybookGroupVarsAll,
        Origin::InventoryGroup => Layer::InventoryGroupVars,
        Origin::PlaybookGroup => Layer::PlaybookGroupVars,
        Origin::Host => Layer::InventoryHost,
        Origin::InventoryHost => Layer::InventoryHostVars,
        Origin::PlaybookHost => Layer::PlaybookHostVars,
    }
}

impl super::batch::Batch {
    pub(super) async fn apply(&self, host: &str, effect: Effect, _once: bool) {
        self.shared.apply(host, effect, &self.play).await;
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
