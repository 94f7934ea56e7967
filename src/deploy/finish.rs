//! The stages after: notify, metrics, history, unlock. None of them changes how the deployment ends.

use jiff::Timestamp;

use crate::event::{Exit, StageStatus, Verdict};

use super::github::{self, Filed, Github};
use super::history::{self, Entry};
use super::metrics::{self, Addition};
use super::report::Report;
use super::{Run, slack};

impl Run<'_> {
    /// Tells everybody, writes it down, and gives the lock back.
    pub(super) async fn finish(mut self, exit: Exit) -> Report {
        self.report.exit = exit;
        self.report.took = self.started.elapsed();
        if self.report.incident.is_none() && exit != Exit::Success {
            self.report.incident = self.observer.incident().cloned();
        }
        self.notify().await;
        if self.report.attempts > 0 {
            self.count().await;
        }
        if self.held.is_some() {
            self.write_down().await;
        }
        self.unlock().await;
        self.report
    }

    /// The end of a command that changed nothing and held no lock.
    pub(super) async fn summarize(mut self, exit: Exit) -> Report {
        self.report.exit = exit;
        self.report.took = self.started.elapsed();
        let variable = |name: &str| (self.pipeline.variables)(name);
        for written in [github::summarize(&self.report.markdown(), variable), github::set_outputs(&self.report, variable)] {
            if let Err(error) = written {
                self.note(format!("the job's summary or outputs cannot be written: {error}")).await;
            }
        }
        self.report
    }

    async fn notify(&mut self) {
        let began = self.begin("notify").await;
        let (mut said, mut wrong) = (Vec::new(), Vec::new());
        let variables = self.pipeline.variables.clone();
        let variable = |name: &str| variables(name);
        for written in [github::summarize(&self.report.markdown(), variable), github::set_outputs(&self.report, variable)] {
            if let Err(error) = written {
                wrong.push(format!("step summary: {error}"));
            }
        }
        let environment = &self.pipeline.environment;
        if let Some(github) = environment.github.as_ref().and_then(|settings| Github::new(settings, variable)) {
            match github.flush().await {
                Ok(0) => {}
                Ok(count) => said.push(format!("{count} issues that waited were opened")),
                Err(error) => wrong.push(error),
            }
            if self.report.is_incident() {
                match github.file(&self.report).await {
                    Ok(Filed::New(url)) => said.push(format!("issue {url}")),
                    Ok(Filed::Known(url)) => said.push(format!("issue {url} was there already")),
                    Ok(Filed::Spooled(file)) => wrong.push(format!("GitHub cannot be reached; the issue waits in {file}")),
                    Err(error) => wrong.push(error),
                }
            }
        }
        if let Some(settings) = &environment.slack
            && self.report.attempts > 0
        {
            match slack::send(settings, &self.report, variable).await {
                Ok(true) => said.push("Slack".to_owned()),
                Ok(false) => {}
                Err(error) => wrong.push(error),
            }
        }
        let status = match (said.is_empty(), wrong.is_empty()) {
            (_, false) => StageStatus::Failed,
            (true, true) => StageStatus::Skipped,
            (false, true) => StageStatus::Passed,
        };
        said.extend(wrong);
        self.end("notify", began, status, said.join("; ")).await;
    }

    async fn count(&mut self) {
        let began = self.begin("metrics").await;
        let settings = &self.pipeline.environment.metrics;
        if settings.pushgateway.is_none() && settings.file.is_none() {
            self.end("metrics", began, StageStatus::Skipped, "no `metrics` are configured").await;
            return;
        }
        let report = &self.report;
        let addition = Addition {
            success: report.exit == Exit::Success,
            rollback: report.rolled_back.then(|| report.incident.as_ref().map_or("task", |incident| incident.reason.word()).to_owned()),
            took: report.took,
            runner: report.origin.runner.clone(),
            at: Timestamp::now().as_second(),
            failover: report.failover,
        };
        match metrics::publish(settings, &report.environment, &addition).await {
            Ok(()) => self.end("metrics", began, StageStatus::Passed, "").await,
            Err(why) => self.end("metrics", began, StageStatus::Failed, why).await,
        }
    }

    async fn write_down(&mut self) {
        let began = self.begin("history").await;
        let Report { action, target, from, origin, transaction, incident, took, .. } = self.report.clone();
        let entry = Entry {
            action,
            user: origin.user,
            commit: origin.commit,
            run_url: origin.run_url,
            runner: origin.runner,
            target,
            from,
            outcome: self.report.outcome().to_owned(),
            failure: incident.map(|incident| incident.message).unwrap_or_default(),
            transaction: transaction.unwrap_or_default(),
            took: took.as_secs_f64(),
        };
        let host = match self.pipeline.coordinator() {
            Ok(host) => host,
            Err(why) => return self.end("history", began, StageStatus::Failed, why).await,
        };
        match history::trail(self.pipeline.fleet.as_ref(), &host, &self.pipeline.environment, Some(&entry), 0).await {
            Ok(trail) => match trail.broken {
                None => self.end("history", began, StageStatus::Passed, "").await,
                Some(line) => {
                    let detail = format!("written, but line {line} does not follow from the one before: somebody changed the history");
                    self.end("history", began, StageStatus::Failed, detail).await;
                }
            },
            Err(why) => self.end("history", began, StageStatus::Failed, why).await,
        }
    }

    async fn unlock(&mut self) {
        let Some(held) = self.held.take() else { return };
        let began = self.begin("unlock").await;
        if self.unsettled || self.report.verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Unknown) {
            // Where even this cannot be written, the lease ends by itself.
            let _ = held.leave().await;
            let detail = format!("the lock stays: run `rappel recover {}`", self.report.environment);
            return self.end("unlock", began, StageStatus::Skipped, detail).await;
        }
        match held.release().await {
            Ok(()) => self.end("unlock", began, StageStatus::Passed, "").await,
            Err(error) => {
                self.end("unlock", began, StageStatus::Failed, format!("{error}; it opens by itself when its lease is over")).await;
            }
        }
    }
}
