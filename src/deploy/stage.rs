//! The stages before the first change: lock, recover, runner, preflight, plan.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::event::{Changes, CheckStatus, EventKind, Exit, StageStatus};
use crate::wire::{Map, Value};

use super::config::LockSettings;
use super::fleet::Order;
use super::history::{HostState, Survey};
use super::lock::{LockError, Waiting};
use super::recover::Coordinator;
use super::{Run, Wanted, as_json, preflight, runner};

impl Run<'_> {
    /// Everything before the deployment. `false`: there is nothing to do.
    pub(super) async fn prepare(&mut self, wanted: &Wanted) -> Result<bool, Exit> {
        self.lock(self.pipeline.environment.lock.clone()).await?;
        self.recover(Coordinator::Awaited).await?;
        self.choose_runner().await?;
        self.check_first(&wanted.images()).await?;
        self.plan(wanted).await
    }

    /// Everything before a rollback.
    pub(super) async fn prepare_rollback(&mut self) -> Result<(), Exit> {
        self.lock(self.pipeline.environment.lock.clone()).await?;
        self.recover(Coordinator::Awaited).await?;
        self.choose_runner().await?;
        self.check_first(&[]).await?;
        let hosts = self.hosts()?;
        let survey = Survey::take(&self.pipeline.fleet, &self.pipeline.environment, &hosts).await;
        self.had_release = survey.agreed().is_some();
        self.report.from = survey.describe();
        Ok(())
    }

    /// The checks of `rappel preflight`: no lock, nothing else.
    pub(super) async fn look(&mut self, wanted: &Wanted) -> Result<(), Exit> {
        self.choose_runner().await?;
        self.check_first(&wanted.images()).await
    }

    fn hosts(&self) -> Result<Vec<String>, Exit> {
        self.pipeline.fleet.hosts(&self.pipeline.environment.hosts).map_err(|_| Exit::Error)
    }

    async fn lock(&mut self, settings: LockSettings) -> Result<(), Exit> {
        let began = self.begin("lock").await;
        let place = match self.pipeline.place() {
            Ok(place) => place,
            Err(why) => {
                self.end("lock", began, StageStatus::Failed, why).await;
                return Err(Exit::Error);
            }
        };
        let owner: Map = self.report.origin.entries().map(|(name, value)| (name.to_owned(), Value::from(value))).into_iter().collect();
        let reason = format!("{} {}", self.report.action, self.report.target);
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let acquiring = async {
            let tell = tell; // dropped at the end, so that the listener ends
            place.acquire(&settings, owner, &reason, &self.pipeline.stop, |waiting| drop(tell.send(waiting))).await
        };
        let listening = async {
            let mut took_over = None;
            while let Some(waiting) = told.recv().await {
                match waiting {
                    Waiting::Behind { ahead, holder } => self.note(format!("waiting for the lock, {ahead} ahead; held by {holder}")).await,
                    Waiting::TookOver(holder) => {
                        self.note(format!("the lock's holder is dead, taking over from {holder}")).await;
                        took_over = Some(holder);
                    }
                }
            }
            took_over
        };
        match tokio::join!(acquiring, listening) {
            (Ok(held), took_over) => {
                let taken = took_over.is_some();
                let detail = took_over.map(|holder| format!(", taken over from {holder}")).unwrap_or_default();
                let detail = format!("ticket {} on {}{detail}", held.number(), place.host);
                self.held = Some(held);
                self.took_over = taken;
                self.end("lock", began, StageStatus::Passed, detail).await;
                Ok(())
            }
            (Err(error), _) => {
                self.end("lock", began, StageStatus::Failed, format!("{error}; nothing was changed")).await;
                Err(if self.pipeline.stop.is_cancelled() { Exit::Interrupted } else { Exit::Error })
            }
        }
    }

    async fn recover(&mut self, coordinator: Coordinator) -> Result<(), Exit> {
        let began = self.begin("recover").await;
        let hosts = self.hosts()?;
        let mut recovery = super::recover::recover(self.pipeline.fleet.as_ref(), &hosts, coordinator).await;
        for note in std::mem::take(&mut recovery.notes) {
            self.note(note).await;
        }
        if !recovery.is_whole() {
            let mut detail = recovery.settled;
            detail.extend(recovery.failed.iter().map(|failed| format!("FAILED: {failed}")));
            if !recovery.unknown.is_empty() {
                let again = &self.report.environment;
                detail.push(format!("cannot ask {}; once they answer: `rappel recover {again}`", recovery.unknown.join(", ")));
            }
            self.end("recover", began, StageStatus::Failed, detail.join("; ")).await;
            self.unsettled = true;
            return Err(if recovery.failed.is_empty() { Exit::Unreachable } else { Exit::RollbackFailed });
        }
        let detail = if recovery.settled.is_empty() { "no transaction was left open".to_owned() } else { recovery.settled.join("; ") };
        self.end("recover", began, StageStatus::Passed, detail).await;
        if self.took_over || !recovery.settled.is_empty() {
            self.restore(&hosts).await;
        }
        Ok(())
    }

    /// `rappel recover`.
    pub(super) async fn finish_others(&mut self, coordinator: Coordinator) -> Result<(), Exit> {
        let place = self.pipeline.place().map_err(|_| Exit::Error)?;
        let queue = match place.queue().await {
            Err(gone @ LockError::Unreachable { .. }) => return self.without_lock(coordinator, &gone).await,
            other => other.unwrap_or_default(),
        };
        if queue.first().is_some_and(|holder| holder.by_hand) {
            // Whoever holds the lock by hand wants others to stay out, and this to be done.
            for ticket in queue.into_iter().filter(|ticket| ticket.dead) {
                self.took_over |= place.release(ticket.number).await.is_ok();
            }
        } else {
            let LockSettings { lease, heartbeat, .. } = self.pipeline.environment.lock;
            self.lock(LockSettings { lease, heartbeat, timeout: lease + 2 * heartbeat }).await?;
        }
        self.recovered(coordinator).await
    }

    /// The host that keeps the lock gives no answer. If it is gone for good, nobody holds the lock, and a recovery is safe beside
    /// another one.
    async fn without_lock(&mut self, coordinator: Coordinator, gone: &LockError) -> Result<(), Exit> {
        let began = self.begin("lock").await;
        if coordinator == Coordinator::Lost {
            self.end("lock", began, StageStatus::Skipped, format!("{gone}; nobody can hold it")).await;
            return self.recovered(coordinator).await;
        }
        let advice = "recover again once it answers, or with `--coordinator-lost` if it never will";
        self.end("lock", began, StageStatus::Failed, format!("{gone}; nothing was changed; {advice}")).await;
        Err(Exit::Unreachable)
    }

    async fn recovered(&mut self, coordinator: Coordinator) -> Result<(), Exit> {
        self.recover(coordinator).await?;
        let wrong = self.report.stages.iter().any(|row| row.stage == "restore" && row.status == StageStatus::Failed);
        if wrong { Err(Exit::Failed) } else { Ok(()) }
    }

    /// After an undo that no rescue task went along with, what runs may not be what the files say: the playbook that goes to the
    /// last known-good release starts that again, and changes nothing where it runs.
    async fn restore(&mut self, hosts: &[String]) {
        let Some(playbook) = self.pipeline.environment.playbooks.safe_rollback.clone() else { return };
        let survey = Survey::take(&self.pipeline.fleet, &self.pipeline.environment, hosts).await;
        if !survey.hosts.iter().any(|(_, state)| matches!(state, HostState::Known(_))) {
            return self.note("no host has a release to go back to: what the dead deployment started may still run").await;
        }
        let began = self.begin("restore").await;
        self.observer.start_over();
        let exit = self.play(Order { playbook, atomic: true, ..Order::default() }, &CancellationToken::new()).await;
        if exit == Exit::Success {
            self.end("restore", began, StageStatus::Passed, "every host runs its last known-good release").await;
        } else {
            let why = self.observer.incident().map_or_else(|| "it failed".to_owned(), |incident| incident.message.clone());
            self.end("restore", began, StageStatus::Failed, format!("{why}; see the runbook")).await;
        }
    }

    async fn choose_runner(&mut self) -> Result<(), Exit> {
        let environment = &self.pipeline.environment;
        let began = self.begin("runner").await;
        let (Some(prometheus), false) = (&environment.prometheus, environment.runners.is_empty()) else {
            self.end("runner", began, StageStatus::Skipped, "no `runners` and `prometheus` are configured").await;
            return Ok(());
        };
        let origin = self.report.origin.runner.clone();
        // A preflight chooses for a job that has yet to be given to a runner.
        let here = (self.report.action != "preflight").then_some(origin.as_str());
        let order = runner::order(&environment.runners, here);
        let choice = runner::choose(&environment.runners, &order, prometheus, &self.report.environment).await;
        let Some(chosen) = choice.chosen.and_then(|index| environment.runners.get(index)) else {
            self.end("runner", began, StageStatus::Failed, format!("no runner is fit: {}; nothing was changed", choice.describe())).await;
            return Err(Exit::Error);
        };
        if chosen.name != origin {
            self.jump.clone_from(&chosen.jump);
        }
        if choice.answers.len() > 1 {
            self.report.failover = Some(began.elapsed());
        }
        self.report.origin.runner.clone_from(&chosen.name);
        self.report.origin.role.clone_from(&chosen.role);
        let detail = format!("{} ({}); {}", chosen.name, chosen.role, choice.describe());
        self.end("runner", began, StageStatus::Passed, detail).await;
        Ok(())
    }

    async fn check_first(&mut self, images: &[String]) -> Result<(), Exit> {
        let began = self.begin("preflight").await;
        let hosts = match self.pipeline.fleet.hosts(&self.pipeline.environment.hosts) {
            Ok(hosts) => hosts,
            Err(why) => {
                self.end("preflight", began, StageStatus::Failed, why).await;
                return Err(Exit::Error);
            }
        };
        let variables = self.pipeline.variables.as_ref();
        let checks = preflight::run(&self.pipeline.fleet, &self.pipeline.environment, &hosts, images, &variables).await;
        for check in &checks {
            let preflight::Check { name, host, status, detail, took } = check.clone();
            self.pipeline.tell(self.started, EventKind::Checked { check: name, host, status, detail, took }).await;
        }
        let count = |status| checks.iter().filter(|check| check.status == status).count();
        let named = |check: &preflight::Check| match &check.host {
            Some(host) => format!("{} on {host}: {}", check.name, check.detail),
            None => format!("{}: {}", check.name, check.detail),
        };
        let loud = checks.iter().filter(|check| matches!(check.status, CheckStatus::Failed | CheckStatus::Warned));
        let loud: Vec<_> = loud.map(|check| format!("{} {}", super::report::mark(check.status), named(check))).collect();
        let mut detail = format!("{} passed, {} failed", count(CheckStatus::Passed), count(CheckStatus::Failed));
        if !loud.is_empty() {
            detail = format!("{detail}: {}", loud.join("; "));
        }
        if preflight::passed(&checks) {
            self.end("preflight", began, StageStatus::Passed, detail).await;
            return Ok(());
        }
        self.end("preflight", began, StageStatus::Failed, format!("{detail}; nothing was changed")).await;
        Err(Exit::Error)
    }

    async fn plan(&mut self, wanted: &Wanted) -> Result<bool, Exit> {
        let began = self.begin("plan").await;
        let pipeline = self.pipeline;
        let hosts = self.hosts()?;
        let survey = Survey::take(&pipeline.fleet, &pipeline.environment, &hosts).await;
        self.had_release = survey.agreed().is_some();
        self.report.from = survey.describe();
        if let Some(detail) = survey.unreadable() {
            self.end("plan", began, StageStatus::Failed, format!("{detail}; nothing was changed: repair it, or move it away")).await;
            return Err(Exit::Error);
        }
        if survey.is_mixed() {
            self.note(format!("MIXED FLEET: {}", survey.describe())).await;
        }
        if !wanted.force && survey.is_on(wanted.get("backend_image"), wanted.get("frontend_image")) && self.is_healthy().await {
            self.report.skipped = true;
            self.end("plan", began, StageStatus::Skipped, "every host is on this release, and healthy").await;
            return Ok(false);
        }
        let order = Order {
            playbook: pipeline.environment.playbooks.deploy.clone(),
            variables: as_json(&wanted.variables),
            check: true,
            ..Order::default()
        };
        self.observer.start_over();
        self.report.changes = Changes::default();
        let exit = self.play(order, &pipeline.stop).await;
        if exit != Exit::Success {
            self.end("plan", began, StageStatus::Failed, "the dry run failed; nothing was changed").await;
            return Err(if pipeline.stop.is_cancelled() { Exit::Interrupted } else { exit });
        }
        let plan = self.report.changes.text();
        if !plan.is_empty() {
            self.note(plan.trim_end()).await;
        }
        let detail = format!("{}; the fleet is on {}", self.report.changes.summary(), survey.describe());
        self.end("plan", began, StageStatus::Passed, detail).await;
        if let Some(reason) = self.stops_here(wanted) {
            let began = Instant::now();
            self.report.skipped = true;
            self.end("deploy", began, StageStatus::Skipped, reason).await;
            return Ok(false);
        }
        Ok(true)
    }

    fn stops_here(&self, wanted: &Wanted) -> Option<String> {
        if wanted.plan_only {
            return Some("only the plan was asked for".to_owned());
        }
        let switch = self.pipeline.environment.enabled_by.as_ref()?;
        let enabled = (self.pipeline.variables)(switch).is_some_and(|value| value == "true");
        (!enabled).then(|| format!("deployments are disabled: `{switch}` is not `true`"))
    }
}
