//! The run: a plan, driven on a fleet. Everything asynchronous about playbooks is here; what is to be done was decided before.

pub mod action;
mod argument_spec;
mod batch;
mod bridge;
mod call;
mod cursor;
mod delegate;
mod emit;
mod fact_cache;
mod fleet;
mod include;
mod invocation;
mod item;
mod judge;
mod lookup;
mod looping;
mod magic;
mod memory;
mod meta;
mod notify;
mod play;
mod reach;
mod scope;
mod serial;
mod settings;
mod settle;
mod shared;
mod task;
mod transaction;
mod tree;

use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, EventKind, Exit};
use crate::model::{Inventory, Keyword, Loader, Prompt};
use crate::plan::scope::Locals;
use crate::plan::{self, Plan};
use crate::template::{Expr, Scope, Templar, to_wire};
use crate::text::{Diagnostic, Sources, Vault};
use crate::wire;

use batch::Batch;
use cursor::State;
pub use emit::Emitter;
pub use fact_cache::FactCache;
pub use fleet::Fleet;
pub use lookup::WorldLookups;
pub use magic::NAMES as MAGIC_NAMES;
pub use play::PlayState;
pub use reach::{Reach, Unreached};
pub use settings::{AfterFatalRescue, ConnectionDefaults, Gathering, Settings, Unmatched};
pub use shared::Shared;
use transaction::Carried;

/// The stack of a thread that runs hosts, in bytes: templates that call each other are evaluated on it, down to their limit.
pub const STACK: usize = 32 << 20;

/// What a run works with, beside its settings.
pub struct Inputs {
    /// Every text that was read.
    pub sources: Sources,
    /// Opens what is encrypted.
    pub vault: Arc<Vault>,
    /// Reads playbooks and roles.
    pub loader: Arc<Loader>,
    /// Compiles and evaluates templates.
    pub templar: Templar,
    /// Compiles what dynamic includes bring.
    pub compiler: plan::Compiler,
    /// The hosts.
    pub inventory: Inventory,
    /// Reads the inventory again (`meta: refresh_inventory`).
    pub reload: Arc<dyn Fn() -> Option<Inventory> + Send + Sync>,
    /// The connections, of this run alone or of others before it too.
    pub fleet: Arc<Fleet>,
    /// Asks the user (`vars_prompt`, `pause`); `None` where there is nobody to ask.
    pub prompter: Option<Arc<dyn Prompter>>,
    /// The first signal: no new tasks, roll back.
    pub cancel: CancellationToken,
    /// The second signal: stop now, leave the journal.
    pub stop: CancellationToken,
}

/// Asks the user.
pub trait Prompter: Send + Sync {
    /// Shows `text` and reads a line, hidden if `private`.
    ///
    /// # Errors
    /// The input ended, or it is no terminal.
    fn ask(&self, text: &str, private: bool) -> std::io::Result<String>;

    /// Waits for the user, or for a time that the user may cut short.
    ///
    /// # Errors
    /// The input ended, or it is no terminal.
    fn pause(&self, pausing: &Pausing) -> std::io::Result<Paused>;
}

/// A wait at the terminal.
#[derive(Clone, Debug)]
pub struct Pausing {
    /// What to show, if not the usual invitation.
    pub prompt: Option<String>,
    /// Go on after this time, whatever is typed.
    pub time: Option<std::time::Duration>,
    /// Do not show what is typed.
    pub private: bool,
}

/// How a wait at the terminal ended.
#[derive(Clone, Debug)]
pub enum Paused {
    /// With what was typed.
    Answered(String),
    /// With the wish to end the play.
    Aborted,
}

/// What a task does to the run itself.
#[derive(Clone, Debug)]
enum Effect {
    /// A host for the plays that follow.
    AddHost { name: String, groups: Vec<String>, vars: wire::Map },
    /// A group for the plays that follow.
    GroupBy { group: String, parents: Vec<String> },
    /// More tasks.
    Include(Box<include::Include>),
    /// Data for the end of the run.
    Stats { data: wire::Map, per_host: bool, aggregate: bool },
}

/// Runs `plan` and says how it ended.
pub async fn run(plan: Plan, settings: Settings, inputs: Inputs, events: Sender<Event>) -> Exit {
    let emitter = Emitter::new(events, inputs.sources.clone(), inputs.vault.secrets().clone());
    let shared = Arc::new(Shared::new(settings, inputs, emitter));
    shared.started(plan.plays.len()).await;
    let mut runner = Runner { shared: shared.clone() };
    for play in &plan.plays {
        if let Err(diagnostic) = runner.lockstep(play) {
            // Before the first play changes anything.
            shared.fail_run(diagnostic).await;
            return shared.finished().await;
        }
    }
    for play in &plan.plays {
        if !runner.play(play).await {
            break;
        }
    }
    if !shared.settings.keep_connections {
        shared.fleet.close().await;
    }
    shared.finished().await
}

struct Runner {
    shared: Arc<Shared>,
}

impl Runner {
    /// Runs one play; `false` when no other may follow.
    async fn play(&mut self, plan: &Arc<plan::Play>) -> bool {
        let (name, hosts) = match self.hosts(plan) {
            Ok(found) => found,
            Err(diagnostic) => {
                self.shared.fail_run(diagnostic).await;
                return false;
            }
        };
        let lockstep = match self.lockstep(plan) {
            Ok(lockstep) => lockstep,
            Err(diagnostic) => {
                self.shared.fail_run(diagnostic).await;
                return false;
            }
        };
        if hosts.is_empty() {
            self.announce(plan, &name, hosts, lockstep).await;
            self.shared.events.emit(EventKind::NoHostsMatched).await;
            return true;
        }
        let prompts = match self.prompts(plan) {
            Ok(prompts) => prompts,
            Err(diagnostic) => {
                self.shared.fail_run(diagnostic).await;
                return false;
            }
        };
        let play = Arc::new(PlayState::new(plan.clone(), name, hosts.clone(), prompts));
        hosts.iter().filter(|host| self.shared.is_lost(host)).for_each(|host| play.lose(host));
        let batches = match serial::batches(&self.shared, &play) {
            Ok(batches) => batches,
            Err(diagnostic) => {
                self.shared.fail_run(diagnostic).await;
                return false;
            }
        };
        self.batches(&play, batches, lockstep).await
    }

    async fn batches(&self, play: &Arc<PlayState>, batches: Vec<Vec<String>>, lockstep: bool) -> bool {
        let shared = &self.shared;
        let mut carried = None;
        let count = batches.len();
        for (index, hosts) in batches.into_iter().enumerate() {
            let hosts: Vec<String> = hosts.into_iter().filter(|host| !shared.is_lost(host)).collect();
            let last = index + 1 == count;
            if (hosts.is_empty() || play.is_ended()) && !(last && carried.is_some()) {
                continue;
            }
            self.announce(&play.plan, &play.name, hosts.clone(), lockstep).await;
            play.begin_batch(hosts.clone());
            for host in &hosts {
                if let Err(diagnostic) = play.load_vars_files(shared, host, false) {
                    match diagnostic.code.as_str() {
                        "vault" | "unreadable" => shared.fail_run(diagnostic).await,
                        _ => shared.unreadable(diagnostic).await,
                    }
                    return false;
                }
            }
            let outcome = if lockstep { self.linear(play, &hosts, &mut carried, last).await } else { self.free(play, &hosts).await };
            let lost =
                outcome.states.iter().filter(|state| matches!(state, State::Failed | State::Unreachable | State::RolledBack)).count();
            if outcome.fatal || shared.has_failed() {
                return false;
            }
            if lost == hosts.len() {
                let says = match shared.settings.after_fatal_rescue {
                    AfterFatalRescue::GoOn => outcome.over_limit,
                    AfterFatalRescue::Stop => outcome.states.iter().any(|state| *state != State::RolledBack),
                };
                if says {
                    shared.events.emit(EventKind::NoHostsRemaining).await;
                }
                return false;
            }
        }
        true
    }

    async fn announce(&self, plan: &Arc<plan::Play>, name: &str, hosts: Vec<String>, lockstep: bool) {
        let written = plan.keyword(Keyword::CheckMode).and_then(Expr::literal).and_then(|value| to_wire(value).to_bool());
        let check = written.unwrap_or(self.shared.settings.check);
        self.shared.events.emit(EventKind::PlayStarted { name: name.to_owned(), hosts, check, lockstep }).await;
    }

    async fn linear(&self, play: &Arc<PlayState>, hosts: &[String], carried: &mut Option<Carried>, last: bool) -> BatchOutcome {
        let mut batch = Batch::new(self.shared.clone(), play.clone(), hosts);
        (batch.carried, batch.last) = (carried.take(), last);
        batch.linear().await;
        *carried = batch.carried.take();
        self.account(&batch)
    }

    /// Hosts go on by themselves (`strategy: free`): each is a batch of its own.
    async fn free(&self, play: &Arc<PlayState>, hosts: &[String]) -> BatchOutcome {
        let mut tasks = tokio::task::JoinSet::new();
        for host in hosts {
            let mut batch = Batch::new(self.shared.clone(), play.clone(), std::slice::from_ref(host));
            tasks.spawn(async move {
                batch.linear().await;
                batch
            });
        }
        let mut outcome = BatchOutcome::default();
        while let Some(joined) = tasks.join_next().await {
            if let Ok(batch) = joined {
                let own = self.account(&batch);
                outcome.states.extend(own.states);
            }
        }
        outcome
    }

    fn account(&self, batch: &Batch) -> BatchOutcome {
        let states = batch.states();
        for (host, state) in &states {
            if matches!(state, State::Failed | State::Unreachable | State::RolledBack) {
                self.shared.lose(host, *state);
            }
        }
        BatchOutcome {
            fatal: batch.fatal.is_some() && self.shared.settings.after_fatal_rescue == AfterFatalRescue::Stop,
            over_limit: batch.over_limit,
            states: states.into_values().collect(),
        }
    }

    /// The play's name and its hosts.
    fn hosts(&self, plan: &Arc<plan::Play>) -> Result<(String, Vec<String>), Diagnostic> {
        let shared = &self.shared;
        let bare = Arc::new(PlayState::new(plan.clone(), String::new(), Vec::new(), Locals::default()));
        let scope: Arc<dyn Scope> = Arc::new(shared.static_layers(&bare));
        let value = to_wire(&shared.templar.evaluate(&plan.hosts, &scope)?);
        let pattern = match &value {
            wire::Value::List(items) => items.iter().map(wire::Value::to_text).collect::<Vec<_>>().join(","),
            other => other.to_text(),
        };
        let name = match &plan.name {
            Some(expr) => shared.templar.render(expr, &scope).unwrap_or_else(|_| shared.source_text(expr.span())),
            None => pattern.clone(),
        };
        Ok((name, shared.select(&pattern, plan.hosts.span())?))
    }

    fn lockstep(&self, plan: &Arc<plan::Play>) -> Result<bool, Diagnostic> {
        let expr = plan.keyword(Keyword::Strategy);
        let name = match expr {
            Some(expr) => {
                let bare = Arc::new(PlayState::new(plan.clone(), String::new(), Vec::new(), Locals::default()));
                let scope: Arc<dyn Scope> = Arc::new(self.shared.static_layers(&bare));
                self.shared.templar.render(expr, &scope)?
            }
            None => self.shared.settings.strategy.clone(),
        };
        let span = expr.map_or(plan.span, Expr::span);
        match name.strip_prefix("ansible.builtin.").unwrap_or(&name) {
            "linear" => Ok(true),
            "free" | "host_pinned" => {
                let Some(together) = self.goes_back_together(plan) else { return Ok(false) };
                let message = format!("hosts that go back together go in step, which `strategy: {name}` does not give");
                Err(Diagnostic::error("free-transaction", message).at(span, "").help(format!("remove it, or do without {together}")))
            }
            other => Err(Diagnostic::error("unknown-strategy", format!("strategy `{other}` is not supported"))
                .at(span, "")
                .help("expected `linear`, `free` or `host_pinned`")),
        }
    }

    /// What makes the hosts of a play go back together, if anything does.
    fn goes_back_together(&self, plan: &plan::Play) -> Option<&'static str> {
        fn inside(block: &plan::Block) -> bool {
            let within = |item: &plan::Item| matches!(item, plan::Item::Block(block) if inside(block));
            block.transaction.is_some() || block.tasks.iter().any(within)
        }
        let fatal = plan.keyword(Keyword::AnyErrorsFatal).and_then(Expr::literal).and_then(|value| to_wire(value).to_bool());
        if self.shared.settings.atomic {
            Some("`--atomic`")
        } else if inside(&plan.body) {
            Some("`rappel_transaction`")
        } else {
            let stops = self.shared.settings.after_fatal_rescue == AfterFatalRescue::Stop;
            (stops && fatal == Some(true)).then_some("`any_errors_fatal`")
        }
    }

    fn prompts(&self, plan: &Arc<plan::Play>) -> Result<Locals, Diagnostic> {
        let mut answers = Locals::default();
        for prompt in &plan.prompts {
            if self.shared.settings.extra.contains_key(&prompt.name.value) {
                continue;
            }
            answers.0.push((prompt.name.value.clone(), self.prompt(prompt)?.into()));
        }
        Ok(answers)
    }

    fn prompt(&self, prompt: &Prompt) -> Result<String, Diagnostic> {
        let text = |node: &Option<crate::text::Node>| node.as_ref().and_then(|node| node.as_str().map(str::to_owned));
        let default = text(&prompt.default);
        let question = text(&prompt.prompt).unwrap_or_else(|| prompt.name.value.clone());
        let Some(prompter) = &self.shared.prompter else {
            return default.ok_or_else(|| {
                Diagnostic::error("no-answer", format!("`{}` is asked for, but there is no terminal", prompt.name.value))
                    .at(prompt.name.span, "")
                    .help(format!("give it with `-e {}=…`", prompt.name.value))
            });
        };
        let suffix = default.as_ref().map(|default| format!(" [{default}]")).unwrap_or_default();
        let ask = |text: &str| {
            prompter.ask(text, prompt.private).map_err(|error| {
                Diagnostic::error("no-answer", format!("cannot ask for `{}`: {error}", prompt.name.value)).at(prompt.name.span, "")
            })
        };
        loop {
            let answer = ask(&format!("{question}{suffix}: "))?;
            if prompt.confirm && ask(&format!("confirm {question}{suffix}: "))? != answer {
                continue;
            }
            // The default stands in the playbook for all to see, and is often a word like `yes`.
            if answer.is_empty() {
                return Ok(default.unwrap_or_default());
            }
            if prompt.private {
                self.shared.events.hide(&answer);
            }
            return Ok(answer);
        }
    }
}

#[derive(Default)]
struct BatchOutcome {
    fatal: bool,
    over_limit: bool,
    states: Vec<State>,
}
