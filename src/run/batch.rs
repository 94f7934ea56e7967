//! One batch of a play: every host's cursor, driven until all have come to an end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cursor::{Caught, Cause, Cursor, Path, State};
use super::settings::AfterFatalRescue;
use super::task::{HostOutcome, TaskRun};
use super::transaction::{Carried, Open, Range};
use super::{Effect, PlayState, Shared};
use crate::event::{EventKind, Status, TaskInfo, Undo, Verdict};
use crate::model::Keyword;
use crate::module::Reversible;
use crate::plan::{Block, Step};
use crate::template::{Expr, Scope, Value, from_wire, to_wire};
use crate::text::Diagnostic;
use crate::wire::{self, Map};

/// How long a task may go on after the first signal. CI systems give seconds, and the way back needs most of them.
const INTERRUPTED: Duration = Duration::from_secs(1);

/// One batch of a play.
pub(super) struct Batch {
    pub(super) shared: Arc<Shared>,
    pub(super) play: Arc<PlayState>,
    pub(super) cursors: IndexMap<String, Cursor>,
    /// Why the whole batch rolls back or stops.
    pub(super) fatal: Option<String>,
    /// `meta: end_batch`, `meta: end_play`.
    pub(super) ended: bool,
    /// The transactions that are open.
    pub(super) open: Vec<Open>,
    /// By place: how far a failure goes in a transaction inside an open one.
    pub(super) nested: HashMap<Path, Range>,
    /// The transaction that batches before have left open for this one.
    pub(super) carried: Option<Carried>,
    /// No batch comes after this one.
    pub(super) last: bool,
    /// A transaction was closed, and said how it ended.
    pub(super) closed: bool,
    /// A host that failed still runs the handlers that were notified on it.
    force_handlers: bool,
}

/// The hosts that do the same step now.
pub(super) struct Round {
    pub(super) step: Arc<Step>,
    pub(super) path: Path,
    pub(super) hosts: Vec<String>,
}

impl Batch {
    /// `hosts` at the beginning of the play.
    pub(super) fn new(shared: Arc<Shared>, play: Arc<PlayState>, hosts: &[String]) -> Self {
        let body = if shared.settings.atomic && play.plan.body.transaction.is_none() {
            let terms = Expr::Literal(Value::None, play.plan.span);
            Arc::new(Block { transaction: Some(Arc::new(terms)), ..(*play.plan.body).clone() })
        } else {
            play.plan.body.clone()
        };
        let cursors = hosts.iter().map(|host| (host.clone(), Cursor::new(&body))).collect();
        let mut batch = Self {
            shared,
            play,
            cursors,
            fatal: None,
            ended: false,
            open: Vec::new(),
            nested: HashMap::new(),
            carried: None,
            last: true,
            closed: false,
            force_handlers: false,
        };
        batch.force_handlers = batch.forces_handlers(hosts.first());
        batch
    }

    fn forces_handlers(&self, host: Option<&String>) -> bool {
        let (Some(expr), Some(host)) = (self.play.plan.keyword(Keyword::ForceHandlers), host) else {
            return self.shared.settings.force_handlers;
        };
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host, &self.play.plan.context));
        self.shared.templar.evaluate(expr, &scope).is_ok_and(|value| to_wire(&value).to_bool().unwrap_or_else(|| value.is_true()))
    }

    /// All hosts do a step before any does the next.
    pub(super) async fn linear(&mut self) {
        while let Some(round) = self.next_round() {
            if self.shared.cancel.is_cancelled() && self.fatal.is_none() {
                self.abort("the run was interrupted");
                continue;
            }
            if !self.transactions(&round).await {
                continue;
            }
            self.round(round).await;
            if self.shared.stop.is_cancelled() {
                break;
            }
        }
        self.close_transactions().await;
        self.tell_rollback().await;
    }

    /// A rescue ran everywhere because of `any_errors_fatal`: a roll-back written by hand, without a journal. It has a verdict too.
    async fn tell_rollback(&self) {
        let rolled = self.cursors.values().any(|cursor| cursor.state() == State::RolledBack);
        if !rolled || self.closed {
            return;
        }
        let id = format!("rescue of {}", self.play.name);
        for (host, cursor) in &self.cursors {
            let verdict = match cursor.state() {
                State::RolledBack => Verdict::RolledBack,
                State::Unreachable => Verdict::Unknown,
                State::Failed if cursor.rescue_failed() => Verdict::RollbackFailed,
                _ => Verdict::Untouched,
            };
            self.shared.events.emit(EventKind::HostVerdict { id: id.clone(), host: host.clone(), verdict, undo: None }).await;
        }
        self.shared
            .events
            .emit(EventKind::TransactionFinished { id, cause: self.fatal.clone().or(Some("a task failed".to_owned())) })
            .await;
    }

    /// The lowest of all hosts' next steps, and who stands there.
    fn next_round(&mut self) -> Option<Round> {
        if self.force_handlers {
            let handlers = self.play.handlers();
            self.cursors.values_mut().for_each(|cursor| cursor.fail_after_handlers(&handlers));
        }
        let mut round: Option<Round> = None;
        for (host, cursor) in &mut self.cursors {
            let Some(next) = cursor.next() else { continue };
            match &mut round {
                Some(round) if round.path == next.path && Arc::ptr_eq(&round.step, &next.step) => round.hosts.push(host.clone()),
                Some(lowest) if lowest.path <= next.path => {}
                _ => round = Some(Round { step: next.step, path: next.path, hosts: vec![host.clone()] }),
            }
        }
        round
    }

    async fn round(&mut self, round: Round) {
        if let Some(action) = round.step.meta() {
            let action = action.to_owned();
            self.meta(&action, round).await;
            return;
        }
        if round.step.span == self.play.plan.span && !self.gathers(&round) {
            self.advance(&round, &[]);
            return;
        }
        let id = self.announce(&round).await;
        let once = self.flag(&round, Keyword::RunOnce);
        let runners: Vec<String> = if once { round.hosts.iter().take(1).cloned().collect() } else { round.hosts.clone() };
        let outcomes = self.run_on(&round.step, &runners, id).await;
        let outcomes = if once { self.share(outcomes, &round) } else { outcomes };
        self.settle(&round, outcomes, once).await;
    }

    pub(super) async fn announce(&self, round: &Round) -> u64 {
        let id = self.shared.events.next_task();
        let info = self.info(id, round);
        self.shared.events.emit(EventKind::TaskStarted(info)).await;
        id
    }

    /// Whether the implied fact gathering does anything for these hosts.
    fn gathers(&self, round: &Round) -> bool {
        round.hosts.iter().any(|host| super::action::gather_facts::wanted(&self.shared, &self.play, host))
    }

    fn info(&self, id: u64, round: &Round) -> TaskInfo {
        let step = &round.step;
        let host = round.hosts.first().map(String::as_str).unwrap_or_default();
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host, &step.context));
        let name = match &step.name {
            Some(expr) => self.shared.templar.render(expr, &scope).unwrap_or_else(|_| self.shared.source_text(expr.span())),
            None => self.nameless(step, &scope),
        };
        let position = self.shared.sources.position(step.span);
        TaskInfo {
            id,
            name: match &step.context.role {
                Some(role) => format!("{} : {name}", role.name),
                None => name,
            },
            role: step.context.role.as_ref().map(|role| role.name.clone()),
            module: step.module.value.clone(),
            path: std::path::absolute(&position.name).map_or_else(|_| position.name.clone(), |path| path.display().to_string()),
            position,
            handler: step.handler,
            check: if step.keyword(Keyword::CheckMode).is_some() {
                self.flag(round, Keyword::CheckMode)
            } else {
                self.shared.settings.check
            },
            section: step.section.map(str::to_owned),
            bridge: matches!(step.work, crate::plan::Work::Foreign(_)),
            no_log: step.keyword(Keyword::NoLog).is_some(),
            undo: undo(step.work.reversible()),
        }
    }

    /// What a task without a name is called: its module, and the role it brings.
    fn nameless(&self, step: &Step, scope: &Arc<dyn Scope>) -> String {
        let module = step.module.value.clone();
        if step.work.name() != "include_role" {
            return module;
        }
        let Some(role) = step.param("name") else { return module };
        let role = self.shared.templar.render(role, scope).unwrap_or_else(|_| self.shared.source_text(role.span()));
        format!("{module} : {role}")
    }

    /// Runs `step` on `hosts` at once, within the limits.
    pub(super) async fn run_on(&self, step: &Arc<Step>, hosts: &[String], id: u64) -> Vec<(String, HostOutcome)> {
        let throttle = self.number(step, Keyword::Throttle, hosts.first());
        let limit =
            throttle.filter(|limit| *limit > 0).map_or(self.shared.settings.forks, |limit| limit.min(self.shared.settings.forks)).max(1);
        let gate = Arc::new(Semaphore::new(limit));
        let mut tasks = JoinSet::new();
        let stop = self.shared.stop.clone();
        for host in hosts {
            // Hosts begin in their order, also where not all can at once.
            let permits = async { (gate.clone().acquire_owned().await, self.shared.gate.clone().acquire_owned().await) };
            let permits = tokio::select! {
                permits = permits => permits,
                () = stop.cancelled() => break,
            };
            let layers = self.shared.layers(&self.play, host, &step.context);
            let run = TaskRun { shared: self.shared.clone(), play: self.play.clone(), step: step.clone(), host: host.clone(), id, layers };
            tasks.spawn(async move {
                let _permits = permits;
                (run.host.clone(), run.run().await)
            });
        }
        let mut outcomes = Vec::with_capacity(hosts.len());
        let going_on = self.fatal.is_none();
        let interrupted = async {
            self.shared.cancel.cancelled().await;
            tokio::time::sleep(INTERRUPTED).await;
        };
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                joined = tasks.join_next() => match joined {
                    Some(Ok(outcome)) => outcomes.push(outcome),
                    Some(Err(error)) => tracing::error!("a task of rappel ended: {error}"),
                    None => break,
                },
                () = stop.cancelled() => {
                    tasks.abort_all();
                    break;
                }
                // What runs on the way back is not interrupted by what began it.
                () = &mut interrupted, if going_on => {
                    tasks.abort_all();
                    break;
                }
            }
        }
        // Results are shown in the order of the hosts, not in that of chance.
        outcomes.sort_by_key(|(host, _)| hosts.iter().position(|known| known == host));
        outcomes
    }

    /// One host's outcome stands for all (`run_once`).
    fn share(&self, outcomes: Vec<(String, HostOutcome)>, round: &Round) -> Vec<(String, HostOutcome)> {
        let Some((ran, outcome)) = outcomes.first() else { return outcomes };
        let facts = outcome.raw.get("ansible_facts").and_then(wire::Value::as_map);
        for host in self.cursors.keys().filter(|host| *host != ran) {
            let memory = self.shared.memory.host(host);
            match (facts, round.step.work.name()) {
                (Some(facts), "set_fact") => facts.iter().for_each(|(name, value)| memory.set(name, from_wire(value))),
                (None, _) | (Some(_), "include_vars") => {}
                (Some(facts), _) => memory.add_facts(facts),
            }
            if let Some(name) = &round.step.register {
                memory.register(&name.value, &outcome.raw);
            }
        }
        outcomes
    }

    async fn settle(&mut self, round: &Round, outcomes: Vec<(String, HostOutcome)>, once: bool) {
        // While the fleet goes back, a host that cannot must not keep the others from it.
        let recovering = |host: &String| self.cursors.get(host).is_some_and(Cursor::recovering);
        let going_back = round.hosts.iter().any(recovering) && self.shared.settings.after_fatal_rescue == AfterFatalRescue::Stop;
        let fatal = self.any_errors_fatal(round) && !going_back;
        let mut includes = Vec::new();
        let mut failed = None;
        for (host, mut outcome) in outcomes {
            let bad = matches!(outcome.result.status, Status::Failed | Status::Unreachable) && !outcome.result.ignored;
            if bad {
                failed = Some((host.clone(), outcome.raw.clone()));
                outcome.result.rescued = self.fail_host(&host, &outcome, round, fatal, once);
            }
            let unreachable = outcome.result.status == Status::Unreachable && !outcome.result.ignored;
            if let (true, Some(open)) = (round.step.handler && outcome.result.status != Status::Skipped, self.play.transaction(&host)) {
                open.note_handler(&host, &round.step).await;
            }
            for name in std::mem::take(&mut outcome.notify) {
                self.notify(&host, &name, round).await;
            }
            for effect in std::mem::take(&mut outcome.effects) {
                match effect {
                    Effect::Include(include) => includes.push((host.clone(), *include)),
                    other => self.apply(&host, other, once).await,
                }
            }
            self.shared.events.emit(EventKind::TaskFinished(outcome.result)).await;
            if unreachable {
                self.lose(&host, State::Unreachable);
            } else if self.cursors.get(&host).is_some_and(|cursor| cursor.state() == State::Failed) {
                self.play.lose(&host);
            }
        }
        if let (Some((origin, raw)), true) = (&failed, fatal) {
            self.fail_all(round, origin, raw);
        }
        self.advance(round, &includes);
        self.include(round, includes, once).await;
        self.check_max_fail().await;
    }

    /// Every host that did its step, and was not moved by a failure or an include, goes on.
    fn advance(&mut self, round: &Round, includes: &[(String, super::include::Include)]) {
        for host in &round.hosts {
            if let Some(cursor) = self.cursors.get_mut(host) {
                let stays = cursor.next().is_some_and(|next| next.path == round.path && Arc::ptr_eq(&next.step, &round.step));
                if stays && !includes.iter().any(|(included, _)| included == host) {
                    cursor.advance();
                }
            }
        }
    }

    /// Handles a failure; whether a rescue catches it.
    fn fail_host(&mut self, host: &str, outcome: &HostOutcome, round: &Round, fatal: bool, once: bool) -> bool {
        if outcome.result.status == Status::Unreachable {
            return false;
        }
        let hosts: Vec<String> = if once { self.active() } else { vec![host.to_owned()] };
        let mut rescued = false;
        for each in hosts {
            self.remember_failure(&each, host, &outcome.raw, round);
            let cause = if fatal { self.fatal_cause() } else { Cause::Own };
            if let Some(cursor) = self.cursors.get_mut(&each) {
                let caught = cursor.fail(cause);
                rescued |= each == host && caught == Caught::Rescue;
                if cursor.state() == State::Failed {
                    self.play.lose(&each);
                }
            }
        }
        rescued
    }

    fn fatal_cause(&self) -> Cause {
        if let Some(cause) = self.transaction_cause() {
            return cause;
        }
        match self.shared.settings.after_fatal_rescue {
            AfterFatalRescue::Stop => Cause::Fatal,
            AfterFatalRescue::GoOn => Cause::Own,
        }
    }

    /// `ansible_failed_task` and `ansible_failed_result` for the rescue.
    pub(super) fn remember_failure(&self, host: &str, origin: &str, raw: &Map, round: &Round) {
        let memory = self.shared.memory.host(host);
        let step = &round.step;
        let mut task = Map::new();
        let name = self.info(0, round).name;
        let short =
            step.context.role.as_ref().and_then(|role| name.strip_prefix(&format!("{} : ", role.name)).map(str::to_owned)).unwrap_or(name);
        task.insert("name".to_owned(), short.into());
        task.insert("action".to_owned(), step.module.value.as_str().into());
        task.insert("tags".to_owned(), step.context.tags.clone().into());
        task.insert("path".to_owned(), self.shared.sources.position(step.span).name.into());
        memory.set("ansible_failed_task", from_wire(&wire::Value::Map(task)));
        memory.register("ansible_failed_result", raw);
        memory.set("rappel_failed_host", Value::from(origin));
    }

    /// A failure that stops the whole batch: hosts that are not failing yet roll back too.
    pub(super) fn fail_all(&mut self, round: &Round, origin: &str, raw: &Map) {
        let cause = self.fatal_cause();
        let reason = format!("`{}` failed on `{origin}`", self.info(0, round).name);
        self.fatal.get_or_insert(reason);
        for host in self.active() {
            let here = |cursor: &mut Cursor| cursor.next().is_some_and(|next| next.path == round.path) || !cursor.recovering();
            if !self.cursors.get_mut(&host).is_some_and(here) {
                continue;
            }
            self.remember_failure(&host, origin, raw, round);
            if let Some(cursor) = self.cursors.get_mut(&host) {
                cursor.fail(cause);
                if cursor.state() == State::Failed {
                    self.play.lose(&host);
                }
            }
        }
        self.bring_back_earlier(raw, round, origin);
    }

    /// The run is interrupted: every host goes to its rescue sections.
    pub(super) fn abort(&mut self, reason: &str) {
        self.fatal = Some(reason.to_owned());
        for cursor in self.cursors.values_mut().filter(|cursor| cursor.state() == State::Active) {
            cursor.fail(Cause::Fatal);
        }
    }

    pub(super) fn lose(&mut self, host: &str, state: State) {
        self.play.lose(host);
        if let Some(cursor) = self.cursors.get_mut(host) {
            cursor.end(state);
        }
    }

    /// Hosts that still have something to do.
    pub(super) fn active(&self) -> Vec<String> {
        self.cursors.iter().filter(|(_, cursor)| cursor.state() == State::Active).map(|(host, _)| host.clone()).collect()
    }

    pub(super) fn any_errors_fatal(&self, round: &Round) -> bool {
        if let Some(fatal) = self.fatal_in_transaction(round) {
            return fatal;
        }
        if round.step.keyword(Keyword::AnyErrorsFatal).is_none() {
            return self.shared.settings.any_errors_fatal;
        }
        self.flag(round, Keyword::AnyErrorsFatal)
    }

    pub(super) fn flag(&self, round: &Round, keyword: Keyword) -> bool {
        let Some(expr) = round.step.keyword(keyword) else { return false };
        let host = round.hosts.first().map(String::as_str).unwrap_or_default();
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host, &round.step.context));
        self.shared.templar.evaluate(expr, &scope).is_ok_and(|value| to_wire(&value).to_bool().unwrap_or_else(|| value.is_true()))
    }

    fn number(&self, step: &Arc<Step>, keyword: Keyword, host: Option<&String>) -> Option<usize> {
        let expr = step.keyword(keyword)?;
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host?, &step.context));
        to_wire(&self.shared.templar.evaluate(expr, &scope).ok()?).to_text().trim().parse().ok()
    }

    /// More than `max_fail_percentage` of the batch has failed: the rest rolls back or stops.
    async fn check_max_fail(&mut self) {
        let Some(expr) = self.play.plan.keyword(Keyword::MaxFailPercentage) else { return };
        let Some(host) = self.cursors.keys().next() else { return };
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host, &self.play.plan.context));
        let limit: Option<f64> = match self.shared.templar.evaluate(expr, &scope) {
            Ok(value) => to_wire(&value).to_text().trim().trim_end_matches('%').parse().ok(),
            Err(diagnostic) => {
                self.shared.events.warn(diagnostic).await;
                None
            }
        };
        let failed = self.cursors.values().filter(|cursor| cursor.failing() || cursor.state() == State::Unreachable).count();
        #[expect(clippy::cast_precision_loss, reason = "numbers of hosts")]
        let share = failed as f64 * 100.0 / self.cursors.len() as f64;
        if limit.is_some_and(|limit| share > limit) && self.fatal.is_none() {
            self.fatal = Some(format!("more than {} % of the hosts failed", limit.unwrap_or_default()));
            for host in self.active() {
                if let Some(cursor) = self.cursors.get_mut(&host)
                    && !cursor.recovering()
                {
                    cursor.fail(Cause::Fatal);
                }
            }
        }
    }

    async fn notify(&mut self, host: &str, name: &str, round: &Round) {
        let found = super::notify::matching(&self.shared, &self.play, host, name);
        if found.is_empty() {
            let diagnostic = Diagnostic::error(
                "unknown-handler",
                format!("The requested handler '{name}' was not found in either the main handlers list nor in the listening handlers list"),
            )
            .at(round.step.span, "notified here");
            self.shared.fail_run(diagnostic).await;
        }
        for (index, handler) in found {
            if self.cursors.get_mut(host).is_some_and(|cursor| cursor.notify(index)) {
                self.shared.events.emit(EventKind::HandlerNotified { host: host.to_owned(), handler }).await;
            }
        }
    }

    /// What each host came to.
    pub(super) fn states(&self) -> HashMap<String, State> {
        self.cursors.iter().map(|(host, cursor)| (host.clone(), cursor.state())).collect()
    }
}

fn undo(reversible: Reversible) -> Option<Undo> {
    match reversible {
        Reversible::ReadOnly => None,
        Reversible::Exact => Some(Undo::Exact),
        Reversible::BestEffort => Some(Undo::BestEffort),
        Reversible::Impossible => Some(Undo::Impossible),
    }
}
