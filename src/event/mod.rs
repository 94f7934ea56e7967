//! [`Event`]: all that the world may know of a run, as plain data.
//!
//! Events are complete (a reporter never asks back), serialisable (a run can be recorded and replayed), and free of secrets:
//! those are removed where the event is made, by [`crate::run`].

mod changes;
mod finding;
mod moved;
mod recap;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text::{Diagnostic, Position};
use crate::wire::{Diff, Map, UndoReport};

pub use changes::{Changes, Group, Step, difference, unified};
pub use recap::{Exit, HostRecap, Recap};

/// Something happened. As JSON it is one flat object: `{"at": …, "elapsed": …, "event": "task_finished", …}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When, by the controller's clock.
    pub at: Timestamp,
    /// Since the run started.
    #[serde(with = "seconds")]
    pub elapsed: Duration,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run begins.
    RunStarted {
        /// Playbooks, as they were named.
        playbooks: Vec<String>,
        /// How many plays they have together.
        #[serde(default)]
        plays: usize,
        /// Nothing will be changed.
        check: bool,
        /// How many hosts the inventory has.
        hosts: usize,
        /// The configuration file in force, if there is one.
        config: Option<String>,
    },
    /// A play begins.
    PlayStarted {
        /// Its name, or its host pattern where it has none.
        name: String,
        /// The hosts it acts on.
        hosts: Vec<String>,
        /// Nothing will be changed.
        check: bool,
        /// All hosts do a task before any does the next (strategy `linear`). Otherwise results of different tasks mix, and the
        /// task's banner is shown again where the task changes.
        lockstep: bool,
    },
    /// A play's pattern matches no host: the play is skipped.
    NoHostsMatched,
    /// All hosts of a play have failed: the play stops.
    NoHostsRemaining,
    /// A host was reached.
    HostConnected {
        /// Which.
        host: String,
        /// How long it took.
        #[serde(with = "seconds")]
        took: Duration,
        /// Whether the agent had to be sent.
        cold: bool,
    },
    /// A task begins.
    TaskStarted(TaskInfo),
    /// A task begins on one host.
    HostStarted {
        /// [`TaskInfo::id`].
        task: u64,
        /// Which host.
        host: String,
    },
    /// A task is over on one host; its result follows, with those of the other hosts in their order.
    HostEnded {
        /// [`TaskInfo::id`].
        task: u64,
        /// Which host.
        host: String,
    },
    /// One item of a loop is done on one host.
    ItemFinished(TaskResult),
    /// A task is done on one host.
    TaskFinished(TaskResult),
    /// An attempt of an `until` loop did not satisfy; there will be another.
    Retrying {
        /// The attempt's result; its `status` is not final.
        result: TaskResult,
        /// Attempts left.
        left: u32,
    },
    /// A background job (`async:`) was looked at, or is over.
    Polled {
        /// Where it runs.
        host: String,
        /// The job.
        job: String,
        /// `None` while it runs; then whether it went well.
        finished: Option<bool>,
    },
    /// A handler was notified.
    HandlerNotified {
        /// By which host.
        host: String,
        /// The handler.
        handler: String,
    },
    /// A file of tasks or a role was included while the play runs.
    Included {
        /// The file, or the role.
        path: String,
        /// For which hosts.
        hosts: Vec<String>,
        /// The item of a looped include.
        item: Option<String>,
    },
    /// A program that runs on a host printed something (with `--stream`).
    Output {
        /// [`TaskInfo::id`].
        task: u64,
        /// Which host.
        host: String,
        /// Standard error rather than standard output.
        stderr: bool,
        /// What it printed.
        text: String,
    },
    /// A host takes unusually long.
    Waiting {
        /// Which host.
        host: String,
        /// For what: the task's name.
        task: String,
        /// How long already.
        #[serde(with = "seconds")]
        since: Duration,
    },
    /// A fleet transaction was opened.
    TransactionStarted {
        /// Its name on every host.
        id: String,
        /// Who takes part.
        hosts: Vec<String>,
        /// The host that keeps the decision.
        coordinator: String,
    },
    /// One host's part in a transaction is over.
    HostVerdict {
        /// Which transaction.
        id: String,
        /// Which host.
        host: String,
        /// How it ended there.
        verdict: Verdict,
        /// What the undo did, if there was one.
        undo: Option<UndoReport>,
    },
    /// A transaction is over.
    TransactionFinished {
        /// Which.
        id: String,
        /// Why it was aborted; `None` when it was committed.
        cause: Option<String>,
    },
    /// A stage of a deployment begins.
    StageStarted {
        /// `lock`, `preflight` …
        stage: String,
    },
    /// A stage of a deployment is over.
    StageFinished {
        /// `lock`, `preflight` …
        stage: String,
        /// How it went.
        status: StageStatus,
        /// What there is to say: why it failed, what happens next, what it left.
        detail: String,
        /// How long it took.
        #[serde(with = "seconds")]
        took: Duration,
    },
    /// A health check or preflight check gave its answer.
    Checked {
        /// The check's name.
        check: String,
        /// Where it ran; the controller when `None`.
        host: Option<String>,
        /// Its answer.
        status: CheckStatus,
        /// What there is to say.
        detail: String,
        /// How long it took.
        #[serde(with = "seconds")]
        took: Duration,
    },
    /// Text that is meant for the user, as it is (`debug`-like messages of the pipeline).
    Note {
        /// The text.
        text: String,
    },
    /// Something is not as it should be, but the run goes on (or, as an error, why it stops).
    Warned(Finding),
    /// Data set by `set_stats`.
    Stats {
        /// For one host, or for the run.
        host: Option<String>,
        /// The data.
        data: Map,
    },
    /// The run is over.
    RunFinished {
        /// How it ended; [`Recap::exit`] of all events before, unless the run could not do its work.
        exit: Exit,
    },
}

/// A task, as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Numbers the tasks of a run. The same task of the same batch has one number, whatever host it runs on.
    pub id: u64,
    /// `role : name`, templated as far as it can be without a host.
    pub name: String,
    /// The role it belongs to, as it stands in front of the name.
    pub role: Option<String>,
    /// The module as written.
    pub module: String,
    /// Where it was written.
    pub position: Position,
    /// The absolute path of the file it was written in.
    pub path: String,
    /// It is a handler.
    pub handler: bool,
    /// Nothing will be changed.
    pub check: bool,
    /// `rescue` or `always` when it stands there.
    pub section: Option<String>,
    /// Its name and parameters stay secret.
    pub no_log: bool,
    /// Its module is not rappel's own: it is packed and run on the host with Python or whatever else it needs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bridge: bool,
    /// How well its work can be undone in a transaction; `None` when it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
}

impl TaskInfo {
    /// Whether it includes tasks while the play runs.
    pub fn is_include(&self) -> bool {
        let short = self.module.strip_prefix("ansible.builtin.").unwrap_or(&self.module);
        matches!(short, "include_tasks" | "include_role")
    }

    /// The name without the role, unless the task has no other.
    pub fn short_name(&self) -> &str {
        let prefix = self.role.as_deref().and_then(|role| self.name.strip_prefix(role)?.strip_prefix(" : "));
        prefix.filter(|name| *name != self.module).unwrap_or(&self.name)
    }
}

/// How well a task's work can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Byte for byte, from the journal.
    Exact,
    /// As well as it can be: packages, services.
    BestEffort,
    /// Not at all: a rescue task must do it.
    Impossible,
}

/// What a task came to on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing was to be done.
    Ok,
    /// Something was done.
    Changed,
    /// Its condition did not hold, or the module skipped itself.
    Skipped,
    /// It failed.
    Failed,
    /// The host could not be reached.
    Unreachable,
}

/// A task's result on one host, or one item of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskResult {
    /// [`TaskInfo::id`].
    pub task: u64,
    /// The host whose task it is.
    pub host: String,
    /// The host it ran on, if another.
    pub delegate: Option<String>,
    /// What it came to.
    pub status: Status,
    /// It failed, and `ignore_errors` (or `ignore_unreachable`) lets the host go on.
    pub ignored: bool,
    /// It failed, and a `rescue:` takes over on this host.
    pub rescued: bool,
    /// The label of the loop's item.
    pub item: Option<String>,
    /// The registered result, as the user may see it: secrets removed, or only `censored`. Reporters leave out what is noise.
    pub result: Map,
    /// What changed.
    pub diff: Vec<Diff>,
    /// Warnings of the module.
    pub warnings: Vec<String>,
    /// Where the failing expression or task stands.
    pub finding: Option<Finding>,
    /// How long it took.
    #[serde(with = "seconds")]
    pub took: Duration,
    /// When the result is shown.
    pub shown: Shown,
    /// The task was a loop and its items were shown one by one.
    pub looped: bool,
}

/// From which verbosity a result is shown to people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// With `-v`.
    #[default]
    Verbose,
    /// Always (`debug`, `assert`).
    Always,
    /// Never (`setup`, which would fill screens).
    Never,
}

/// How a transaction ended on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing had been done there.
    Untouched,
    /// On the new version.
    Committed,
    /// Back on the old version.
    RolledBack,
    /// Could not be asked; `rappel recover` will.
    Unknown,
    /// Neither new nor old.
    RollbackFailed,
}

/// How a stage went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// As it should.
    Passed,
    /// It was not needed.
    Skipped,
    /// It failed.
    Failed,
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Good.
    Passed,
    /// Not good, but no reason to stop.
    Warned,
    /// Bad.
    Failed,
    /// Not applicable here.
    Skipped,
}

/// A [`Diagnostic`] with the source lines it points at, so that a reporter needs no files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The finding.
    pub diagnostic: Diagnostic,
    /// One excerpt for each label, in their order.
    pub excerpts: Vec<Excerpt>,
}

/// The lines around a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// Where the label starts.
    pub position: Position,
    /// The number of the first line in `text`.
    pub first_line: u32,
    /// Whole lines of the source.
    pub text: String,
    /// The label's first byte in `text`.
    pub start: usize,
    /// The byte after the label's last in `text`.
    pub end: usize,
}

/// Durations as seconds with a fraction, as people and other programs read them.
mod seconds {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        // Microseconds: more is noise.
        serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e6)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_json_object() {
        let line = r#"{"at":"2026-11-23T09:00:00Z","elapsed":1.5,"event":"host_connected","host":"web1","took":0.25,"cold":true}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.elapsed, Duration::from_millis(1500));
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
}
