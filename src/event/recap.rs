//! [`Recap`]: the fold over a run's events that gives the counts per host and the exit status.
//!
//! The counts are Ansible's, found by running it: a failure that is ignored counts as `ok` and `ignored` (and `changed`, if it
//! was); one that is rescued counts as `rescued` alone; one that stays counts as `failed` alone. The items of a loop do not
//! count, a task that runs elsewhere counts for the host whose task it is, `run_once` for the host it ran for.

use std::collections::HashSet;
use std::process::ExitCode;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Event, EventKind, Status, TaskResult, Verdict};

/// How the process ends. Ansible's numbers, and two of our own for transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Exit {
    /// Everything went well.
    #[default]
    Success,
    /// Something is wrong that is neither a task's nor a host's fault.
    Error,
    /// Tasks failed.
    Failed,
    /// A fleet transaction failed and every host is back as it was.
    RolledBack,
    /// Hosts could not be reached, so that how they are is not known; or a playbook cannot be read.
    Unreachable,
    /// The command line makes no sense.
    Usage,
    /// A fleet transaction failed and hosts are left neither new nor old.
    RollbackFailed,
    /// A play was broken off.
    Broken,
    /// A signal ended it.
    Interrupted,
    /// A defect of this program.
    Bug,
    /// Nothing can be said about how it ended.
    Unknown,
}

impl Exit {
    const CODES: [(Self, u8); 11] = [
        (Self::Success, 0),
        (Self::Error, 1),
        (Self::Failed, 2),
        (Self::RolledBack, 3),
        (Self::Unreachable, 4),
        (Self::Usage, 5),
        (Self::RollbackFailed, 6),
        (Self::Broken, 8),
        (Self::Interrupted, 99),
        (Self::Bug, 250),
        (Self::Unknown, 255),
    ];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        Self::CODES.iter().find(|(exit, _)| *exit == self).map_or(255, |(_, code)| *code)
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit.code()
    }
}

impl TryFrom<u8> for Exit {
    type Error = String;

    fn try_from(code: u8) -> Result<Self, String> {
        let found = Self::CODES.iter().find(|(_, known)| *known == code);
        found.map(|(exit, _)| *exit).ok_or_else(|| format!("expected an exit status of rappel, found {code}"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// One host's line of the recap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecap {
    /// Tasks that went well, changed something or not, and failures that were ignored.
    pub ok: u32,
    /// Tasks that changed something.
    pub changed: u32,
    /// Times the host could not be reached.
    pub unreachable: u32,
    /// Failures that stayed.
    pub failed: u32,
    /// Tasks whose condition did not hold.
    pub skipped: u32,
    /// Failures that a `rescue:` took over.
    pub rescued: u32,
    /// Failures that were ignored.
    pub ignored: u32,
}

/// What all events so far come to.
#[derive(Clone, Debug, Default)]
pub struct Recap {
    hosts: IndexMap<String, HostRecap>,
    verdicts: IndexMap<String, Verdict>,
    /// Tasks that include others: what counts of them is every file or role that is included, not their own result.
    includes: HashSet<u64>,
    aborted: bool,
}

impl Recap {
    /// Takes one more event into account.
    pub fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::TaskStarted(task) if task.is_include() => {
                self.includes.insert(task.id);
            }
            EventKind::Included { hosts, .. } => hosts.iter().for_each(|host| self.hosts.entry(host.clone()).or_default().ok += 1),
            EventKind::TaskFinished(result) if result.status == Status::Ok && self.includes.contains(&result.task) => {}
            EventKind::TaskFinished(result) => self.count(result),
            EventKind::HostVerdict { host, verdict, .. } => {
                self.verdicts.insert(host.clone(), *verdict);
            }
            EventKind::TransactionFinished { cause, .. } => self.aborted |= cause.is_some(),
            _ => {}
        }
    }

    fn count(&mut self, result: &TaskResult) {
        let host = self.hosts.entry(result.host.clone()).or_default();
        let changed = matches!(result.result.get("changed"), Some(crate::wire::Value::Bool(true)));
        match result.status {
            Status::Ok => host.ok += 1,
            Status::Changed => {
                host.ok += 1;
                host.changed += 1;
            }
            Status::Skipped => host.skipped += 1,
            Status::Failed | Status::Unreachable if result.ignored => {
                host.ok += 1;
                host.ignored += 1;
                host.changed += u32::from(changed);
            }
            Status::Failed if result.rescued => host.rescued += 1,
            Status::Failed => host.failed += 1,
            Status::Unreachable => host.unreachable += 1,
        }
    }

    /// The hosts that had anything to do, by name.
    pub fn hosts(&self) -> Vec<(&str, HostRecap)> {
        let mut hosts: Vec<_> = self.hosts.iter().map(|(name, recap)| (name.as_str(), *recap)).collect();
        hosts.sort_unstable_by_key(|(name, _)| *name);
        hosts
    }

    /// The hosts of fleet transactions and how those ended there, by name.
    pub fn verdicts(&self) -> Vec<(&str, Verdict)> {
        let mut verdicts: Vec<_> = self.verdicts.iter().map(|(name, verdict)| (name.as_str(), *verdict)).collect();
        verdicts.sort_unstable_by_key(|(name, _)| *name);
        verdicts
    }

    /// How the process ends, as far as events tell: the gravest of what happened.
    pub fn exit(&self) -> Exit {
        let verdict = |wanted| self.verdicts.values().any(|verdict| *verdict == wanted);
        let any = |count: fn(&HostRecap) -> u32| self.hosts.values().any(|host| count(host) > 0);
        if verdict(Verdict::RollbackFailed) {
            Exit::RollbackFailed
        } else if verdict(Verdict::Unknown) {
            Exit::Unreachable
        } else if self.aborted {
            Exit::RolledBack
        } else if any(|host| host.unreachable) {
            Exit::Unreachable
        } else if any(|host| host.failed) {
            Exit::Failed
        } else {
            Exit::Success
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::event::Shown;
    use crate::wire::{Map, Value};

    fn event(kind: EventKind) -> Event {
        Event { at: Timestamp::UNIX_EPOCH, elapsed: Duration::ZERO, kind }
    }

    fn finished(status: Status, changed: bool, ignored: bool, rescued: bool) -> Event {
        let result = Map::from_iter([("changed".to_owned(), Value::Bool(changed))]);
        event(EventKind::TaskFinished(TaskResult {
            task: 1,
            host: "h".into(),
            delegate: Some("elsewhere".into()),
            status,
            ignored,
            rescued,
            item: None,
            result,
            diff: vec![],
            warnings: vec![],
            finding: None,
            took: Duration::ZERO,
            shown: Shown::Verbose,
            looped: false,
        }))
    }

    fn verdict(host: &str, verdict: Verdict) -> Event {
        event(EventKind::HostVerdict { id: "t".into(), host: host.into(), verdict, undo: None })
    }

    fn over(cause: Option<&str>) -> Event {
        event(EventKind::TransactionFinished { id: "t".into(), cause: cause.map(str::to_owned) })
    }

    #[test]
    fn counts_as_ansible_does() {
        // ok changed unreachable failed skipped rescued ignored
        let table = [
            (finished(Status::Ok, false, false, false), [1, 0, 0, 0, 0, 0, 0]),
            (finished(Status::Changed, true, false, false), [1, 1, 0, 0, 0, 0, 0]),
            (finished(Status::Skipped, false, false, false), [0, 0, 0, 0, 1, 0, 0]),
            (finished(Status::Failed, true, false, false), [0, 0, 0, 1, 0, 0, 0]),
            (finished(Status::Failed, true, true, false), [1, 1, 0, 0, 0, 0, 1]),
            (finished(Status::Failed, false, true, false), [1, 0, 0, 0, 0, 0, 1]),
            (finished(Status::Failed, true, false, true), [0, 0, 0, 0, 0, 1, 0]),
            (finished(Status::Unreachable, false, false, false), [0, 0, 1, 0, 0, 0, 0]),
            (finished(Status::Unreachable, false, true, false), [1, 0, 0, 0, 0, 0, 1]),
        ];
        for (event, expected) in table {
            let mut recap = Recap::default();
            recap.apply(&event);
            let [(name, host)] = recap.hosts()[..] else { panic!("expected one host") };
            assert_eq!(name, "h", "a delegated task counts for the host whose task it is");
            let found = [host.ok, host.changed, host.unreachable, host.failed, host.skipped, host.rescued, host.ignored];
            assert_eq!(found, expected, "{event:?}");
        }
    }

    #[test]
    fn items_do_not_count() {
        let mut recap = Recap::default();
        let EventKind::TaskFinished(result) = finished(Status::Failed, false, false, false).kind else { panic!("expected a result") };
        recap.apply(&event(EventKind::ItemFinished(result)));
        assert!(recap.hosts().is_empty());
    }

    #[test]
    fn the_gravest_event_decides_the_exit_status() {
        let failed = || finished(Status::Failed, false, false, false);
        let table = [
            (vec![], 0),
            (vec![finished(Status::Failed, false, true, false)], 0),
            (vec![finished(Status::Failed, false, false, true)], 0),
            (vec![failed()], 2),
            (vec![finished(Status::Unreachable, false, false, false), failed()], 4),
            (vec![verdict("h", Verdict::Committed), over(None)], 0),
            (vec![failed(), verdict("h", Verdict::RolledBack), over(Some("`h` failed"))], 3),
            (vec![failed(), verdict("h", Verdict::RolledBack), verdict("i", Verdict::Unknown), over(Some("x"))], 4),
            (vec![verdict("h", Verdict::Committed), verdict("i", Verdict::Unknown), over(None)], 4),
            (vec![failed(), verdict("h", Verdict::RollbackFailed), over(Some("x"))], 6),
        ];
        for (events, code) in table {
            let mut recap = Recap::default();
            for event in &events {
                recap.apply(event);
            }
            assert_eq!(recap.exit().code(), code, "{events:?}");
        }
    }

    #[test]
    fn exit_statuses_travel_as_numbers() {
        for (exit, code) in Exit::CODES {
            assert_eq!(serde_json::to_string(&exit).unwrap(), code.to_string());
            assert_eq!(serde_json::from_str::<Exit>(&code.to_string()).unwrap(), exit);
        }
        assert!(serde_json::from_str::<Exit>("7").is_err());
    }
}
