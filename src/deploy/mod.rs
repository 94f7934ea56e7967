//! Deploy: the whole pipeline round the plays, from the lock to the metrics.
//!
//! Stages in order: lock, recover, runner, preflight, plan, deploy, health, rollback, notify, metrics, history, unlock. `stage`
//! has those before the first change, `attempt` those that change, `finish` those after.

mod attempt;
pub mod config;
mod finish;
pub mod fleet;
pub mod github;
pub mod history;
pub mod http;
pub mod lock;
pub mod metrics;
pub mod observer;
mod plan;
pub mod preflight;
pub mod recover;
pub mod registry;
pub mod report;
pub mod runner;
pub mod setting;
pub mod slack;
mod stage;
#[cfg(test)]
mod trial;

use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{self, Sender};
use tokio_util::sync::CancellationToken;

use crate::event::{Changes, Event, EventKind, Exit, StageStatus};
use config::Environment;
use fleet::{Fleet, Order};
use lock::{Held, Place};
use observer::{Observer, Reason};
use plan::Hush;
use report::{Origin, Report, StageRow};

/// Looks up a variable of the process.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// One environment, ready to be deployed to.
pub struct Pipeline {
    /// The environment's name.
    pub name: String,
    /// Its settings.
    pub environment: Environment,
    /// Its hosts.
    pub fleet: Arc<dyn Fleet>,
    /// Who deploys, and from where.
    pub origin: Origin,
    /// The process's environment variables.
    pub variables: Variables,
    /// Where everything that happens is told.
    pub events: Sender<Event>,
    /// Cancelled by a signal: what was begun is rolled back.
    pub stop: CancellationToken,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `backend_image`, `frontend_image` and whatever else is given to the playbooks.
    pub variables: IndexMap<String, String>,
    /// Stop after the plan.
    pub plan_only: bool,
    /// Deploy although every host is on the release already.
    pub force: bool,
}

impl Wanted {
    /// The images among the variables.
    pub fn images(&self) -> Vec<String> {
        self.variables.iter().filter(|(name, _)| name.ends_with("_image")).map(|(_, image)| image.clone()).collect()
    }

    fn get(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }
}

impl Pipeline {
    /// Deploys; the report says what came of it.
    pub async fn deploy(&self, wanted: &Wanted) -> Report {
        let mut run = Run::new(self, "deploy", wanted.images().join(" "));
        let exit = match run.prepare(wanted).await {
            Ok(true) => run.deploy(wanted).await,
            Ok(false) => Exit::Success,
            Err(exit) => exit,
        };
        run.finish(exit).await
    }

    /// Goes back to `target`, or to the release before.
    pub async fn rollback(&self, target: Option<&str>) -> Report {
        let mut run = Run::new(self, "rollback", target.unwrap_or("the release before").to_owned());
        let exit = match run.prepare_rollback().await {
            Ok(()) => run.roll_back(target).await,
            Err(exit) => exit,
        };
        run.finish(exit).await
    }

    /// Only looks whether a deployment could begin.
    pub async fn preflight(&self, wanted: &Wanted) -> Report {
        let mut run = Run::new(self, "preflight", wanted.images().join(" "));
        let exit = match run.look(wanted).await {
            Ok(()) => Exit::Success,
            Err(exit) => exit,
        };
        run.summarize(exit).await
    }

    /// Runs the health checks for what is deployed.
    pub async fn health(&self) -> Report {
        let mut run = Run::new(self, "health", String::new());
        let exit = run.check_health().await;
        run.summarize(exit).await
    }

    /// Ends what a dead controller left open, and sees that the hosts run what they say. A deployment that lives is left alone.
    pub async fn recover(&self, coordinator: recover::Coordinator) -> Report {
        let mut run = Run::new(self, "recover", String::new());
        let exit = match run.finish_others(coordinator).await {
            Ok(()) => Exit::Success,
            Err(exit) => exit,
        };
        run.finish(exit).await
    }

    /// The host that keeps lock and history.
    ///
    /// # Errors
    /// The inventory has none.
    pub fn coordinator(&self) -> Result<String, String> {
        if let Some(host) = &self.environment.coordinator {
            return Ok(host.clone());
        }
        let hosts = self.fleet.hosts(&self.environment.hosts)?;
        hosts.into_iter().next().ok_or_else(|| format!("`{}` selects no host", self.environment.hosts))
    }

    /// The lock.
    ///
    /// # Errors
    /// As [`Pipeline::coordinator`].
    pub fn place(&self) -> Result<Place, String> {
        let directory = self.environment.coordinator_directory.to_string_lossy().into_owned();
        Ok(Place { fleet: Arc::clone(&self.fleet), host: self.coordinator()?, directory })
    }

    async fn tell(&self, started: Instant, kind: EventKind) {
        // Nobody listening is no reason to stop a deployment.
        let _ = self.events.send(Event { at: Timestamp::now(), elapsed: started.elapsed(), kind }).await;
    }
}

/// One command of the pipeline while it runs.
struct Run<'a> {
    pipeline: &'a Pipeline,
    started: Instant,
    observer: Observer,
    report: Report,
    held: Option<Held>,
    jump: Option<String>,
    /// All hosts were on one release before.
    had_release: bool,
    /// The lock's holder had died.
    took_over: bool,
    /// Hosts could not be asked about transactions: nobody may deploy before they were.
    unsettled: bool,
}

impl<'a> Run<'a> {
    fn new(pipeline: &'a Pipeline, action: &str, target: String) -> Self {
        let report = Report {
            environment: pipeline.name.clone(),
            action: action.to_owned(),
            target,
            from: String::new(),
            origin: pipeline.origin.clone(),
            attempts: 0,
            stages: Vec::new(),
            checks: Vec::new(),
            verdicts: Vec::new(),
            changes: Changes::default(),
            incident: None,
            transaction: None,
            rolled_back: false,
            skipped: false,
            exit: Exit::Unknown,
            took: Duration::ZERO,
            failover: None,
        };
        let observer = Observer::default();
        Self {
            pipeline,
            started: Instant::now(),
            observer,
            report,
            held: None,
            jump: None,
            had_release: false,
            took_over: false,
            unsettled: false,
        }
    }

    async fn begin(&self, stage: &str) -> Instant {
        self.pipeline.tell(self.started, EventKind::StageStarted { stage: stage.to_owned() }).await;
        Instant::now()
    }

    async fn end(&mut self, stage: &str, began: Instant, status: StageStatus, detail: impl Into<String>) {
        let row = StageRow { stage: stage.to_owned(), status, detail: detail.into(), took: began.elapsed() };
        let StageRow { stage, detail, took, .. } = row.clone();
        self.report.stages.push(row);
        self.pipeline.tell(self.started, EventKind::StageFinished { stage, status, detail, took }).await;
    }

    async fn note(&self, text: impl Into<String>) {
        self.pipeline.tell(self.started, EventKind::Note { text: text.into() }).await;
    }

    /// Runs a playbook, and watches it.
    async fn play(&mut self, mut order: Order, stop: &CancellationToken) -> Exit {
        let Pipeline { fleet, events, environment, origin, .. } = self.pipeline;
        for (name, value) in environment.variables.iter().chain(
            [("deployment_runner".to_owned(), json!(self.report.origin.runner)), ("deployment_user".to_owned(), json!(origin.user))]
                .iter()
                .map(|(name, value)| (name, value)),
        ) {
            order.variables.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if let Some(seconds) = environment.health.min_healthy_time {
            order.variables.entry("deployment_min_healthy_seconds".to_owned()).or_insert_with(|| json!(seconds));
        }
        order.jump = self.jump.clone();
        let ticket = self.held.as_ref().map(|held| format!(" (ticket {})", held.number())).unwrap_or_default();
        order.purpose =
            format!("{} of {} to {} by {}{ticket}", self.report.action, self.report.environment, self.report.target, origin.user);
        let (sender, mut receiver) = mpsc::channel(256);
        let stop = stop.child_token();
        let playing = async {
            let exit = fleet.play(&order, &sender, &stop).await;
            drop(sender);
            exit
        };
        let limit = Duration::from_secs(environment.health.deadline);
        let (observer, changes) = (&mut self.observer, &mut self.report.changes);
        let watching = async {
            let mut hush = Hush::default();
            loop {
                tokio::select! {
                    event = receiver.recv() => {
                        let Some(event) = event else { return };
                        observer.apply(&event);
                        if order.check {
                            changes.apply(&event);
                            for event in hush.pass(event) {
                                let _ = events.send(event).await;
                            }
                        } else {
                            let _ = events.send(event).await;
                        }
                    }
                    () = overdue(observer.checking_since(), limit) => {
                        observer.accuse(Reason::Health, format!("the health checks took longer than {} s (`health.deadline`)", limit.as_secs()));
                        observer.stop_checking();
                        stop.cancel();
                    }
                }
            }
        };
        tokio::join!(playing, watching).0
    }
}

/// Comes when health checks that run `since` then have had `limit`.
async fn overdue(since: Option<Instant>, limit: Duration) {
    match since {
        Some(since) if !limit.is_zero() => tokio::time::sleep_until((since + limit).into()).await,
        _ => std::future::pending().await,
    }
}

/// Variables for a playbook.
fn as_json(variables: &IndexMap<String, String>) -> IndexMap<String, Json> {
    variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
}
