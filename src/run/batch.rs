//! One batch of a play: every host's cursor, driven until all have come to an end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cursor::{Cursor, Path, State};
use super::task::{HostOutcome, TaskRun};
use super::transaction::{Carried, Open, Range};
use super::{PlayState, Shared};
use crate::event::{EventKind, TaskInfo, Undo, Verdict};
use crate::model::Keyword;
use crate::module::Reversible;
use crate::plan::{Block, Step};
use crate::template::{Expr, Scope, Value, to_wire};

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
    /// More hosts failed than the play allows.
    pub(super) over_limit: bool,
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
            over_limit: false,
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
            if self.is_over() {
                break;
            }
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
        for host in &round.hosts {
            self.cursors.entry(host.clone()).and_modify(Cursor::begin);
        }
        let id = self.announce(&round).await;
        // Facts are of one host each.
        let once = round.step.span != self.play.plan.span && (round.step.is_for_all() || self.flag(&round, Keyword::RunOnce));
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

    pub(super) fn info(&self, id: u64, round: &Round) -> TaskInfo {
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
                // As in Ansible, the include of a role does not say in which role it stands.
                Some(role) if step.work.name() != "include_role" => format!("{} : {name}", role.name),
                _ => name,
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
        let throttle = self.number(step, Keyword::Throttle, hosts.first()).filter(|limit| *limit > 0);
        let limit = throttle.map_or(self.shared.settings.forks, |limit| limit.min(self.shared.settings.forks)).max(1);
        // Hosts that go on by themselves still share the limit of the task.
        let gate = throttle.map_or_else(|| Arc::new(Semaphore::new(limit)), |_| self.play.throttle(step.span, limit));
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

    /// Every host that did its step, and was not moved by a failure or an include, goes on.
    pub(super) fn advance(&mut self, round: &Round, includes: &[(String, super::include::Include)]) {
        for host in &round.hosts {
            if let Some(cursor) = self.cursors.get_mut(host) {
                let stays = cursor.next().is_some_and(|next| next.path == round.path && Arc::ptr_eq(&next.step, &round.step));
                if stays && !includes.iter().any(|(included, _)| included == host) {
                    cursor.advance();
                }
            }
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
