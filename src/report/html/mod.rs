//! One page of HTML that needs nothing else: who did what when, what failed and where it is written, what changed, how the
//! transaction and the health checks ended.

mod page;
mod tables;
mod timeline;

use std::collections::HashMap;

use indexmap::{IndexMap, IndexSet};
use jiff::Timestamp;

use crate::event::{Changes, CheckStatus, Event, EventKind, Exit, Finding, Recap, StageStatus, Status, TaskResult, Verdict};
use crate::wire::Value;

/// Collects a run for its page.
#[derive(Debug, Default)]
pub struct Html {
    run: Run,
}

/// What the page is made of.
#[derive(Debug, Default)]
struct Run {
    title: String,
    began: Option<Timestamp>,
    /// Seconds.
    took: f64,
    check: bool,
    exit: Option<Exit>,
    plays: Vec<String>,
    hosts: IndexSet<String>,
    tasks: Vec<Task>,
    /// The number that the present run gives a task, and its place in `tasks`.
    numbers: HashMap<u64, usize>,
    /// When a task began, at all or on one host: results are told together, when the last of them is there.
    begun: HashMap<(u64, Option<String>), f64>,
    bars: Vec<Bar>,
    failures: Vec<Failure>,
    stages: Vec<Stage>,
    checks: Vec<Check>,
    verdicts: IndexMap<(String, String), Verdict>,
    causes: Vec<(String, String)>,
    notes: Vec<String>,
    changes: Changes,
    recap: Recap,
}

#[derive(Debug)]
struct Task {
    name: String,
    module: String,
    place: String,
    secret: bool,
}

/// One task on one host; seconds since the beginning.
#[derive(Debug)]
struct Bar {
    task: usize,
    host: usize,
    status: Status,
    start: f64,
    end: f64,
}

#[derive(Debug)]
struct Failure {
    host: String,
    task: usize,
    status: Status,
    kept: &'static str,
    message: String,
    finding: Option<Finding>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    status: StageStatus,
    detail: String,
    took: f64,
}

#[derive(Debug)]
struct Check {
    name: String,
    host: String,
    status: CheckStatus,
    detail: String,
    took: f64,
}

impl Html {
    /// Takes one more event into account.
    pub fn add(&mut self, event: &Event) {
        self.run.apply(event);
    }

    /// The page for everything so far.
    pub fn page(&self) -> String {
        page::render(&self.run)
    }
}

impl Run {
    fn apply(&mut self, event: &Event) {
        let began = *self.began.get_or_insert(event.at);
        let now = event.at.duration_since(began).as_secs_f64();
        self.took = self.took.max(now);
        self.recap.apply(event);
        self.changes.apply(event);
        match &event.kind {
            EventKind::RunStarted { playbooks, check, .. } => {
                self.numbers.clear();
                self.begun.clear();
                self.check |= *check;
                if self.title.is_empty() {
                    self.title = playbooks.join(" ");
                }
            }
            EventKind::PlayStarted { name, hosts, .. } => {
                self.plays.push(name.clone());
                self.hosts.extend(hosts.iter().cloned());
            }
            EventKind::TaskStarted(info) => {
                self.numbers.insert(info.id, self.tasks.len());
                self.begun.insert((info.id, None), now);
                let place = format!("{}:{}", info.position.name, info.position.line);
                self.tasks.push(Task { name: info.name.clone(), module: info.module.clone(), place, secret: info.no_log });
            }
            EventKind::HostStarted { task, host } => {
                self.begun.insert((*task, Some(host.clone())), now);
            }
            EventKind::TaskFinished(result) => self.finished(result, now),
            EventKind::HostVerdict { id, host, verdict, .. } => {
                self.verdicts.insert((id.clone(), host.clone()), *verdict);
            }
            EventKind::TransactionFinished { id, cause: Some(cause) } => self.causes.push((id.clone(), cause.clone())),
            EventKind::StageFinished { stage, status, detail, took } => {
                self.stages.push(Stage { name: stage.clone(), status: *status, detail: detail.clone(), took: took.as_secs_f64() });
            }
            EventKind::Checked { check, host, status, detail, took } => {
                let host = host.clone().unwrap_or_else(|| "controller".to_owned());
                self.checks.push(Check { name: check.clone(), host, status: *status, detail: detail.clone(), took: took.as_secs_f64() });
            }
            EventKind::Note { text } => self.notes.push(text.clone()),
            EventKind::RunFinished { exit } => self.exit = Some(*exit),
            _ => {}
        }
    }

    fn finished(&mut self, result: &TaskResult, now: f64) {
        let Some(task) = self.numbers.get(&result.task).copied() else { return };
        let (host, _) = self.hosts.insert_full(result.host.clone());
        let took = result.took.as_secs_f64();
        let begun = |host: Option<String>| self.begun.get(&(result.task, host)).copied();
        let start = begun(Some(result.host.clone())).or_else(|| begun(None)).unwrap_or(now - took).clamp(0.0, (now - took).max(0.0));
        self.bars.push(Bar { task, host, status: result.status, start, end: start + took });
        if !matches!(result.status, Status::Failed | Status::Unreachable) {
            return;
        }
        let kept = if result.ignored {
            "ignored"
        } else if result.rescued {
            "rescued"
        } else {
            ""
        };
        let text = |key: &str| result.result.get(key).map(Value::to_text).unwrap_or_default();
        let secret = self.tasks.get(task).is_some_and(|task| task.secret);
        let message = if secret {
            "the output is secret (`no_log`)".to_owned()
        } else {
            ["msg", "cmd", "stdout", "stderr"].map(text).into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
        };
        let finding = result.finding.clone();
        self.failures.push(Failure { host: result.host.clone(), task, status: result.status, kept, message, finding });
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Changed => "changed",
        Status::Skipped => "skipped",
        Status::Failed => "failed",
        Status::Unreachable => "unreachable",
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.1 => format!("{:.0} ms", seconds * 1000.0),
        ..120.0 => format!("{seconds:.1} s"),
        _ => format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()),
    }
}

/// Text that is no markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            char if char.is_control() && char != '\n' && char != '\t' => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    out
}
