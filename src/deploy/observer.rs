//! [`Observer`]: the fold over a deployment's events that gives its incident, its table of checks and its verdicts.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::event::{CheckStatus, Event, EventKind, Recap, Status, TaskInfo, TaskResult, Verdict};
use crate::wire::Value;

/// A task whose name starts so is a health check.
pub const CHECK: &str = "Check: ";

/// Lines of output that an incident keeps.
const LAST_LINES: usize = 20;

/// Why a deployment failed, in the words of the metrics' `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A task failed.
    Task,
    /// A health check failed.
    Health,
    /// A host could not be reached.
    Unreachable,
    /// It took too long.
    Timeout,
    /// A signal, or the user.
    Cancelled,
    /// A playbook or its variables make no sense.
    Mistake,
}

impl Reason {
    /// The word in metrics and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Health => "health",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Mistake => "mistake",
        }
    }

    /// Whether the same deployment could succeed a little later. A release that is not healthy, and a playbook that makes
    /// no sense, will be so again.
    pub fn is_worth_retrying(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::Task)
    }
}

/// The first thing that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// What kind of thing.
    pub reason: Reason,
    /// On which host, if on one.
    pub host: Option<String>,
    /// The task's name.
    pub task: Option<String>,
    /// Where the task stands, `file:line`.
    pub place: Option<String>,
    /// What it said.
    pub message: String,
    /// The last lines it printed.
    pub output: Vec<String>,
}

/// One health check on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRow {
    /// Its name, without the mark.
    pub check: String,
    /// Where.
    pub host: String,
    /// Its answer.
    pub status: CheckStatus,
    /// What it said.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    recap: Recap,
    tasks: IndexMap<u64, TaskInfo>,
    checks: IndexMap<(String, String), CheckRow>,
    incident: Option<Incident>,
    transaction: Option<String>,
    aborted: Option<String>,
    checking: Option<Instant>,
}

impl Observer {
    /// Takes one more event into account.
    pub fn apply(&mut self, event: &Event) {
        self.recap.apply(event);
        match &event.kind {
            EventKind::TaskStarted(info) => {
                self.tasks.insert(info.id, info.clone());
                self.checking = own_name(info).starts_with(CHECK).then(|| self.checking.unwrap_or_else(Instant::now));
            }
            EventKind::TaskFinished(result) => self.finished(result),
            EventKind::TransactionStarted { id, .. } => self.transaction = Some(id.clone()),
            EventKind::TransactionFinished { cause: Some(cause), .. } => self.aborted = Some(cause.clone()),
            EventKind::Warned(finding) if finding.diagnostic.severity == crate::text::Severity::Error => {
                let place = finding.excerpts.first().map(|excerpt| format!("{}:{}", excerpt.position.name, excerpt.position.line));
                self.blame(Incident {
                    reason: Reason::Mistake,
                    host: None,
                    task: None,
                    place,
                    message: finding.diagnostic.message.clone(),
                    output: Vec::new(),
                });
            }
            _ => {}
        }
    }

    fn finished(&mut self, result: &TaskResult) {
        let Some(info) = self.tasks.get(&result.task) else { return };
        let name = own_name(info).to_owned();
        let place = Some(format!("{}:{}", info.position.name, info.position.line));
        let failed = !result.ignored && matches!(result.status, Status::Failed | Status::Unreachable);
        let message = if info.no_log { "the output is secret (`no_log`)".to_owned() } else { text(result, "msg") };
        if let Some(check) = name.strip_prefix(CHECK) {
            let status = match result.status {
                Status::Ok | Status::Changed => CheckStatus::Passed,
                Status::Skipped => CheckStatus::Skipped,
                Status::Failed | Status::Unreachable if result.ignored => CheckStatus::Warned,
                Status::Failed | Status::Unreachable => CheckStatus::Failed,
            };
            let detail = if failed { message.clone() } else { String::new() };
            let row = CheckRow { check: check.to_owned(), host: result.host.clone(), status, detail, took: result.took };
            self.checks.insert((row.check.clone(), row.host.clone()), row);
        }
        if !failed {
            return;
        }
        let reason = match result.status {
            Status::Unreachable => Reason::Unreachable,
            _ if name.starts_with(CHECK) => Reason::Health,
            _ if result.finding.is_some() || matches!(info.module.rsplit('.').next(), Some("assert" | "fail")) => Reason::Mistake,
            _ => Reason::Task,
        };
        let output = if info.no_log { Vec::new() } else { last_lines(result) };
        self.blame(Incident { reason, host: Some(result.host.clone()), task: Some(name), place, message, output });
    }

    /// Keeps the first cause: what fails later mostly fails because of it.
    pub fn blame(&mut self, incident: Incident) {
        self.incident.get_or_insert(incident);
    }

    /// Names the cause from outside: what failed before was only its effect.
    pub fn accuse(&mut self, reason: Reason, message: String) {
        let effect = self.incident.take();
        let (host, task, place, output) =
            effect.map_or_else(Default::default, |effect| (effect.host, effect.task, effect.place, effect.output));
        self.incident = Some(Incident { reason, host, task, place, message, output });
    }

    /// Since when health checks run, if they do.
    pub fn checking_since(&self) -> Option<Instant> {
        self.checking
    }

    /// Their time is over.
    pub fn stop_checking(&mut self) {
        self.checking = None;
    }

    /// Forgets the failure of an attempt before the next one begins; the checks and the tasks are those of the last attempt.
    pub fn start_over(&mut self) {
        *self = Self::default();
    }

    /// What went wrong first.
    pub fn incident(&self) -> Option<&Incident> {
        self.incident.as_ref()
    }

    /// The health checks, in the order in which they first ran.
    pub fn checks(&self) -> impl Iterator<Item = &CheckRow> {
        self.checks.values()
    }

    /// How a transaction ended on each host.
    pub fn verdicts(&self) -> Vec<(String, Verdict)> {
        self.recap.verdicts().into_iter().map(|(host, verdict)| (host.to_owned(), verdict)).collect()
    }

    /// The last transaction's id.
    pub fn transaction(&self) -> Option<&str> {
        self.transaction.as_deref()
    }

    /// Why the last transaction was undone, if it was.
    pub fn aborted(&self) -> Option<&str> {
        self.aborted.as_deref()
    }

    /// How many tasks changed something.
    pub fn changes(&self) -> u32 {
        self.recap.hosts().iter().map(|(_, host)| host.changed).sum()
    }
}

/// A task's name without its role.
fn own_name(info: &TaskInfo) -> &str {
    info.name.rsplit_once(" : ").map_or(info.name.as_str(), |(_, name)| name)
}

fn text(result: &TaskResult, key: &str) -> String {
    result.result.get(key).map(Value::to_text).unwrap_or_default()
}

fn last_lines(result: &TaskResult) -> Vec<String> {
    let all = ["stdout", "stderr"].map(|key| text(result, key)).join("\n");
    let lines: Vec<_> = all.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().to_vec()
}
