//! What the outcomes of a step do to a batch: who is rescued, who is lost, and when a failure is everybody's.

use std::sync::Arc;

use super::Effect;
use super::batch::{Batch, Round};
use super::cursor::{Caught, Cause, Cursor, State};
use super::settings::AfterFatalRescue;
use super::task::HostOutcome;
use crate::event::{EventKind, Status};
use crate::model::Keyword;
use crate::template::{Scope, Value, from_wire, to_wire};
use crate::text::{Diagnostic, Severity};
use crate::wire::{self, Map};

impl Batch {
    /// One host's outcome stands for all (`run_once`).
    pub(super) fn share(&self, outcomes: Vec<(String, HostOutcome)>, round: &Round) -> Vec<(String, HostOutcome)> {
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

    pub(super) async fn settle(&mut self, round: &Round, outcomes: Vec<(String, HostOutcome)>, once: bool) {
        // While the fleet goes back, a host that cannot must not keep the others from it.
        let recovering = |host: &String| self.cursors.get(host).is_some_and(Cursor::recovering);
        let going_back = round.hosts.iter().any(recovering) && self.shared.settings.after_fatal_rescue == AfterFatalRescue::Stop;
        let fatal = self.any_errors_fatal(round) && !going_back;
        let mut includes = Vec::new();
        let mut failed = None;
        for (host, mut outcome) in outcomes {
            if !matches!(outcome.result.status, Status::Skipped | Status::Unreachable) {
                self.cursors.entry(host.clone()).and_modify(Cursor::note_run);
            }
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
            if self.is_over() {
                return;
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
        self.include(round, includes).await;
        self.check_max_fail().await;
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
        // In Ansible a task without a name has none here either.
        let nameless = step.name.is_none() && self.shared.settings.after_fatal_rescue == AfterFatalRescue::GoOn;
        task.insert("name".to_owned(), if nameless { "".into() } else { short.into() });
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
            self.over_limit = true;
            for host in self.active() {
                if let Some(cursor) = self.cursors.get_mut(&host)
                    && !cursor.recovering()
                {
                    cursor.fail(Cause::Fatal);
                }
            }
        }
    }

    /// Something is wrong with the run itself. As in Ansible, nothing more is done then; where hosts go back, they do first.
    pub(super) fn is_over(&self) -> bool {
        self.shared.has_failed() && self.shared.settings.after_fatal_rescue == AfterFatalRescue::GoOn
    }

    async fn notify(&mut self, host: &str, name: &str, round: &Round) {
        let found = super::notify::matching(&self.shared, &self.play, name);
        for unusable in found.unusable {
            self.shared.events.warn(unusable).await;
        }
        if found.handlers.is_empty() {
            let message =
                format!("The requested handler '{name}' was not found in either the main handlers list nor in the listening handlers list");
            let diagnostic = Diagnostic::error("unknown-handler", message).at(round.step.span, "notified here");
            if self.shared.settings.error_on_missing_handler {
                self.shared.fail_run(diagnostic).await;
            } else {
                self.shared.events.warn(Diagnostic { severity: Severity::Warning, ..diagnostic }).await;
            }
        }
        for (index, handler) in found.handlers {
            if self.cursors.get_mut(host).is_some_and(|cursor| cursor.notify(index)) {
                self.shared.events.emit(EventKind::HandlerNotified { host: host.to_owned(), handler }).await;
            }
        }
    }
}
