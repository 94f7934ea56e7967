//! The stages that change something: deploy with its attempts, health, rollback.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::event::{CheckStatus, EventKind, Exit, StageStatus, Verdict};

use super::fleet::Order;
use super::history::{HostState, Survey};
use super::observer::{Incident, Reason};
use super::{Run, Wanted, as_json};

impl Run<'_> {
    /// Deploys, as often as it is worth it, and rolls back when that does not help.
    pub(super) async fn deploy(&mut self, wanted: &Wanted) -> Exit {
        let began = self.begin("deploy").await;
        let playbook = self.pipeline.environment.playbooks.deploy.clone();
        let order = Order { playbook, variables: as_json(&wanted.variables), atomic: true, ..Order::default() };
        let exit = self.attempts(&order, Some(wanted)).await;
        self.after(began, exit).await
    }

    /// Runs the rollback playbook.
    pub(super) async fn roll_back(&mut self, target: Option<&str>) -> Exit {
        let began = self.begin("deploy").await;
        let Some(playbook) = self.pipeline.environment.playbooks.rollback.clone() else {
            self.end("deploy", began, StageStatus::Failed, "no `playbooks.rollback` is configured").await;
            return Exit::Error;
        };
        let variables = target.map(|target| ("target_version".to_owned(), json!(target))).into_iter().collect();
        let exit = self.attempts(&Order { playbook, variables, atomic: true, ..Order::default() }, None).await;
        self.after(began, exit).await
    }

    async fn after(&mut self, began: Instant, exit: Exit) -> Exit {
        // A failure that the playbook itself made good is no incident.
        self.report.incident = self.observer.incident().filter(|_| exit != Exit::Success).cloned();
        self.report.verdicts = self.observer.verdicts();
        self.report.transaction = self.observer.transaction().map(str::to_owned);
        self.report.checks = self.observer.checks().cloned().collect();
        if exit == Exit::Success {
            self.end("deploy", began, StageStatus::Passed, format!("{} changes", self.observer.changes())).await;
        } else {
            let why = self.report.incident.as_ref().map_or_else(|| "it failed".to_owned(), |incident| incident.message.clone());
            let detail = format!("{why}; {} attempts; next: rollback", self.report.attempts);
            self.end("deploy", began, StageStatus::Failed, detail).await;
        }
        self.tell_health().await;
        if exit == Exit::Success { exit } else { self.make_whole(exit).await }
    }

    async fn attempts(&mut self, order: &Order, wanted: Option<&Wanted>) -> Exit {
        let (max, wait) = (self.pipeline.environment.attempts.max.max(1), self.pipeline.environment.attempts.wait);
        loop {
            self.report.attempts += 1;
            self.observer.start_over();
            let mut exit = self.attempt(order).await;
            if exit == Exit::Success && !self.arrived(wanted).await {
                exit = Exit::Failed;
            }
            if exit == Exit::Success || self.report.attempts >= max || !self.may_try_again(exit) {
                return exit;
            }
            let why = self.observer.incident().map(|incident| incident.message.clone()).unwrap_or_default();
            self.note(format!("attempt {} of {max} failed: {why}; the next in {wait} s", self.report.attempts)).await;
            tokio::select! {
                () = self.pipeline.stop.cancelled() => return exit,
                () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            }
        }
    }

    /// Whether every host says that it is on the release. A `rescue` that went well ends a play with success, and yet the
    /// release is not there. Playbooks that keep no state file are believed.
    async fn arrived(&mut self, wanted: Option<&Wanted>) -> bool {
        let Some(wanted) = wanted else { return true };
        let survey = self.survey().await;
        let silent = survey.hosts.iter().all(|(_, state)| *state == HostState::Nothing);
        if silent || survey.is_on(wanted.get("backend_image"), wanted.get("frontend_image")) {
            return true;
        }
        let message = format!("the playbook ended well, but not every host is on the release: {}", survey.describe());
        self.observer.blame(Incident { reason: Reason::Task, host: None, task: None, place: None, message, output: Vec::new() });
        false
    }

    async fn survey(&self) -> Survey {
        let hosts = self.pipeline.fleet.hosts(&self.pipeline.environment.hosts).unwrap_or_default();
        Survey::take(&self.pipeline.fleet, &self.pipeline.environment, &hosts).await
    }

    fn may_try_again(&self, exit: Exit) -> bool {
        // A fleet that is not whole, or could not be asked, must not be deployed to again.
        let whole = !self.observer.verdicts().iter().any(|(_, verdict)| matches!(verdict, Verdict::RollbackFailed | Verdict::Unknown));
        let worth = self.observer.incident().is_some_and(|incident| incident.reason.is_worth_retrying());
        whole && worth && !matches!(exit, Exit::RollbackFailed | Exit::Interrupted)
    }

    async fn attempt(&mut self, order: &Order) -> Exit {
        let limit = Duration::from_secs(self.pipeline.environment.attempts.timeout);
        let (user, lost) = (self.pipeline.stop.clone(), self.held.as_ref().map(|held| held.lost().clone()).unwrap_or_default());
        let stop = CancellationToken::new();
        let watched = stop.clone();
        let watch = async move {
            let cause = tokio::select! {
                () = user.cancelled() => (Reason::Cancelled, "cancelled".to_owned()),
                () = lost.cancelled() => (Reason::Cancelled, "the deployment lock was lost".to_owned()),
                () = tokio::time::sleep(limit), if !limit.is_zero() => (Reason::Timeout, format!("it took longer than {} s", limit.as_secs())),
            };
            watched.cancel();
            cause
        };
        let watcher = tokio::spawn(watch);
        let exit = self.play(order.clone(), &stop).await;
        if !stop.is_cancelled() {
            watcher.abort();
        } else if let Ok((reason, message)) = watcher.await
            && exit != Exit::Success
        {
            self.observer.accuse(reason, message);
        }
        if exit != Exit::Success && self.observer.incident().is_none() {
            let message = format!("the playbook ended with status {} before any task failed", exit.code());
            self.observer.blame(Incident { reason: Reason::Mistake, host: None, task: None, place: None, message, output: Vec::new() });
        }
        exit
    }

    async fn tell_health(&mut self) {
        let began = self.begin("health").await;
        let rows = self.report.checks.clone();
        for row in &rows {
            let kind = EventKind::Checked {
                check: row.check.clone(),
                host: Some(row.host.clone()),
                status: row.status,
                detail: row.detail.clone(),
                took: row.took,
            };
            self.pipeline.tell(self.started, kind).await;
        }
        let count = |status| rows.iter().filter(|row| row.status == status).count();
        let detail = format!(
            "{} passed, {} failed, {} not applicable",
            count(CheckStatus::Passed),
            count(CheckStatus::Failed),
            count(CheckStatus::Skipped)
        );
        let status = match (rows.is_empty(), count(CheckStatus::Failed)) {
            (true, _) => StageStatus::Skipped,
            (false, 0) => StageStatus::Passed,
            (false, _) => StageStatus::Failed,
        };
        self.end("health", began, status, detail).await;
    }

    /// Sees that every host is back on the old release: by the transaction, or else by the playbook.
    async fn make_whole(&mut self, exit: Exit) -> Exit {
        let began = self.begin("rollback").await;
        let verdicts = &self.report.verdicts;
        let all = |wanted: &[Verdict]| verdicts.iter().all(|(_, verdict)| wanted.contains(verdict));
        if verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Unknown) {
            let hosts: Vec<_> =
                verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Unknown).map(|(host, _)| host.as_str()).collect();
            let detail =
                format!("{} could not be asked; the lock stays until `rappel recover {}`", hosts.join(", "), self.report.environment);
            self.end("rollback", began, StageStatus::Failed, detail).await;
            return exit;
        }
        if !verdicts.is_empty() && all(&[Verdict::RolledBack, Verdict::Untouched]) {
            self.report.rolled_back = !all(&[Verdict::Untouched]);
            self.end("rollback", began, StageStatus::Passed, "the transaction put every host back").await;
            return self.confirm_old_release(if self.report.rolled_back { Exit::RolledBack } else { exit }).await;
        }
        if verdicts.is_empty() && self.observer.changes() == 0 {
            self.end("rollback", began, StageStatus::Skipped, "nothing was changed").await;
            return exit;
        }
        if verdicts.is_empty() && self.is_back().await {
            self.report.rolled_back = true;
            self.end("rollback", began, StageStatus::Passed, "the playbook's own rescue put every host back").await;
            return self.confirm_old_release(Exit::RolledBack).await;
        }
        let Some(playbook) = self.pipeline.environment.playbooks.safe_rollback.clone() else {
            self.end("rollback", began, StageStatus::Failed, "hosts were changed, and no `playbooks.safe_rollback` is configured").await;
            return Exit::RollbackFailed;
        };
        // The user's signal has stopped the deployment; it must not stop the way back.
        let rolled = self.play(Order { playbook, atomic: true, ..Order::default() }, &CancellationToken::new()).await;
        if rolled == Exit::Success {
            self.report.rolled_back = true;
            self.end("rollback", began, StageStatus::Passed, "the rollback playbook put every host back").await;
            self.confirm_old_release(Exit::RolledBack).await
        } else {
            let detail = "the rollback playbook failed too: the fleet is mixed; see the runbook";
            self.end("rollback", began, StageStatus::Failed, detail).await;
            Exit::RollbackFailed
        }
    }

    /// Whether every host says what it said before the deployment.
    async fn is_back(&self) -> bool {
        let survey = self.survey().await;
        let asked = survey.hosts.iter().all(|(_, state)| matches!(state, HostState::Known(_) | HostState::Nothing));
        asked && !survey.is_mixed() && survey.describe() == self.report.from
    }

    /// After a rollback, is the old release well?
    async fn confirm_old_release(&mut self, exit: Exit) -> Exit {
        if !self.had_release || self.pipeline.environment.playbooks.health.is_none() {
            return exit;
        }
        let began = self.begin("health after rollback").await;
        if self.is_healthy().await {
            self.end("health after rollback", began, StageStatus::Passed, "the old release is healthy").await;
        } else {
            self.end("health after rollback", began, StageStatus::Failed, "the old release is not healthy either; see the runbook").await;
        }
        exit
    }

    /// Runs the health playbook; without one, what is there is believed.
    pub(super) async fn is_healthy(&mut self) -> bool {
        match self.pipeline.environment.playbooks.health.clone() {
            Some(playbook) => self.play(Order { playbook, ..Order::default() }, &CancellationToken::new()).await == Exit::Success,
            None => true,
        }
    }

    /// `rappel health`.
    pub(super) async fn check_health(&mut self) -> Exit {
        let Some(playbook) = self.pipeline.environment.playbooks.health.clone() else {
            let began = self.begin("health").await;
            self.end("health", began, StageStatus::Failed, "no `playbooks.health` is configured").await;
            return Exit::Error;
        };
        let exit = self.play(Order { playbook, ..Order::default() }, &self.pipeline.stop).await;
        self.report.checks = self.observer.checks().cloned().collect();
        self.report.incident = self.observer.incident().cloned();
        self.tell_health().await;
        exit
    }
}
