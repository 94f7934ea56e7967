//! Recover: finishes what a dead controller left open. Presumed abort: without a decision on the coordinator host, it is undone.
//!
//! Safe at any time, twice, and from two controllers: [`Closing`] has the rules, and every step that is taken again changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use super::fleet::{CallError, Fleet};
use crate::event::Verdict;
use crate::wire::protocol::{Answer, Ask, Closing, End, Known, Phase};
use crate::wire::{Failure, TransactionRecord, TransactionReply, TransactionStep, Value};

/// What a recovery came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What became of each open transaction, in words.
    pub settled: Vec<String>,
    /// Hosts that could not be asked, or did not do it; with the reason.
    pub unknown: Vec<String>,
    /// What could not be undone, or contradicts itself: somebody has to look.
    pub failed: Vec<String>,
    /// What hosts have done by themselves, and what else there is to know.
    pub notes: Vec<String>,
}

impl Recovery {
    /// Whether every host is whole now.
    pub fn is_whole(&self) -> bool {
        self.unknown.is_empty() && self.failed.is_empty()
    }
}

/// How to go about a transaction whose coordinator host gives no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coordinator {
    /// Wait until it does.
    #[default]
    Awaited,
    /// It is gone for good: what no host is known to have committed is undone.
    Lost,
}

/// One journal that has a part in a transaction, or a host that may have one.
struct Part {
    host: String,
    /// Whose journal it is; empty for the agent's own user.
    user: String,
    known: Known,
    keeps_decision: bool,
}

/// What the journals of all hosts say.
#[derive(Default)]
struct Journals {
    hosts: BTreeMap<String, Result<Vec<TransactionRecord>, String>>,
}

impl Journals {
    async fn read(&mut self, fleet: &dyn Fleet, hosts: &[String]) {
        let new: BTreeSet<&String> = hosts.iter().filter(|host| !self.hosts.contains_key(*host)).collect();
        let listed = join_all(new.iter().map(|host| list(fleet, host))).await;
        let listed: Vec<_> = new.into_iter().cloned().zip(listed).collect();
        self.hosts.extend(listed);
    }

    fn records(&self) -> impl Iterator<Item = (&String, &TransactionRecord)> {
        self.hosts.iter().flat_map(|(host, records)| records.iter().flatten().map(move |record| (host, record)))
    }

    /// Everybody who has, or may have, a part in the transaction of `record`.
    fn parts(&self, record: &TransactionRecord) -> (Vec<Part>, usize) {
        let mut parts: Vec<Part> = Vec::new();
        for (host, found) in self.records().filter(|(_, found)| found.id == record.id) {
            let (host, user, keeps_decision) = (host.clone(), found.user.clone(), found.keeps_decision);
            parts.push(Part { host, user, known: Known::Phase(Some(found.phase)), keeps_decision });
        }
        let named: BTreeSet<&String> = record.participants.iter().chain([&record.coordinator]).collect();
        for host in named.into_iter().filter(|host| !host.is_empty()) {
            let silent = !matches!(self.hosts.get(host), Some(Ok(_)));
            let known = if silent { Known::Unreachable } else { Known::Phase(None) };
            if !parts.iter().any(|part| part.host == *host) {
                parts.push(Part { host: host.clone(), user: String::new(), known, keeps_decision: false });
            }
        }
        let keeper = parts.iter().position(|part| part.keeps_decision);
        let keeper = keeper.or_else(|| parts.iter().position(|part| part.host == record.coordinator && part.known == Known::Unreachable));
        let coordinator = keeper.unwrap_or_else(|| {
            // Its journal answers, and does not know the transaction.
            let (host, user) = (record.coordinator.clone(), String::new());
            parts.push(Part { host, user, known: Known::Phase(None), keeps_decision: false });
            parts.len() - 1
        });
        (parts, coordinator)
    }
}

/// Asks all hosts for open transactions, and ends each as its coordinator host says.
pub async fn recover(fleet: &dyn Fleet, hosts: &[String], coordinator: Coordinator) -> Recovery {
    let mut recovery = Recovery::default();
    let mut journals = Journals::default();
    journals.read(fleet, hosts).await;
    let mut open: BTreeMap<String, TransactionRecord> = BTreeMap::new();
    for (_, record) in journals.records().filter(|(_, record)| record.phase.is_open()) {
        open.entry(record.id.clone()).or_insert_with(|| record.clone());
    }
    // Not every participant need be among the hosts that were asked first.
    let more: Vec<String> = open.values().flat_map(|record| record.participants.iter().chain([&record.coordinator]).cloned()).collect();
    journals.read(fleet, &more).await;
    for (host, listed) in &journals.hosts {
        if let Err(why) = listed {
            recovery.unknown.push(format!("{host} ({why})"));
        }
    }
    notes(&journals, &mut recovery);
    for record in open.into_values() {
        settle(fleet, &record, &journals, coordinator, &mut recovery).await;
    }
    recovery
}

/// How the newest transaction of each host ended there, as its journals say: the verdict, and which one it was.
pub async fn verdicts(fleet: &dyn Fleet, hosts: &[String]) -> Vec<(String, Result<(Verdict, String), String>)> {
    let listed = join_all(hosts.iter().map(|host| list(fleet, host))).await;
    let newest = |records: Vec<TransactionRecord>| match records.iter().max_by_key(|record| (record.phase.is_open(), record.begun)) {
        Some(record) => (verdict(record), format!("{} ({})", record.id, record.purpose)),
        None => (Verdict::Untouched, String::new()),
    };
    hosts.iter().cloned().zip(listed.into_iter().map(|listed| listed.map(newest))).collect()
}

fn verdict(record: &TransactionRecord) -> Verdict {
    match record.phase {
        Phase::Committed => Verdict::Committed,
        Phase::Undone if record.undo.as_ref().is_some_and(|undo| !undo.failures.is_empty()) => Verdict::RollbackFailed,
        Phase::Undone => Verdict::RolledBack,
        Phase::Open | Phase::Prepared | Phase::Decided | Phase::Undoing => Verdict::Unknown,
    }
}

/// What hosts did by themselves in their newest transaction.
fn notes(journals: &Journals, recovery: &mut Recovery) {
    let mut healed: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (host, records) in &journals.hosts {
        let newest = records.iter().flatten().max_by_key(|record| record.begun);
        if let Some(record) = newest.filter(|record| record.state == "healed") {
            // A host that has voted never does that.
            let committed = |other: &TransactionRecord| other.id == record.id && matches!(other.phase, Phase::Decided | Phase::Committed);
            if journals.records().any(|(_, other)| committed(other)) {
                recovery.failed.push(format!(
                    "{host} undid {} by itself, which the others committed: was it set back to a backup? It is not new: bring the host in \
                     order, and remove that journal",
                    record.id
                ));
            }
            healed.entry((&record.id, &record.purpose)).or_default().push(host);
            let failures = record.undo.iter().flat_map(|undo| &undo.failures);
            recovery.failed.extend(failures.map(|failure| format!("{host} ({failure})")));
        }
    }
    let say = |((id, purpose), hosts): (_, Vec<&str>)| format!("{id} ({purpose}): {} undid it without being asked", hosts.join(", "));
    recovery.notes.extend(healed.into_iter().map(|(what, hosts): ((&str, &str), _)| say((what, hosts))));
}

async fn settle(fleet: &dyn Fleet, record: &TransactionRecord, journals: &Journals, how: Coordinator, recovery: &mut Recovery) {
    let TransactionRecord { id, purpose, .. } = record;
    let (parts, coordinator) = journals.parts(record);
    let known: Vec<Known> = parts.iter().map(|part| part.known).collect();
    let mut closing = match how {
        Coordinator::Awaited => Closing::settle(&known, coordinator),
        Coordinator::Lost => Closing::without_coordinator(&known, coordinator),
    };
    let voters: BTreeSet<&String> = journals.records().filter(|(_, other)| other.id == *id).flat_map(|(_, other)| &other.voters).collect();
    loop {
        let questions: Vec<_> = closing.questions().into_iter().filter_map(|(who, ask)| Some((who, ask, parts.get(who)?))).collect();
        if questions.is_empty() {
            break;
        }
        let answers = join_all(questions.iter().map(|(_, ask, part)| put(fleet, id, *ask, part))).await;
        for ((who, _, part), (answer, problem)) in questions.into_iter().zip(answers) {
            match problem {
                Some(Problem::Failed(why)) => recovery.failed.push(format!("{} ({why})", part.host)),
                Some(Problem::Silent(why)) => recovery.unknown.push(format!("{} ({why})", part.host)),
                None => {}
            }
            closing.hear(who, answer);
        }
    }
    let hosts: BTreeSet<&str> = parts.iter().map(|part| part.host.as_str()).collect();
    let done = (0..parts.len()).all(|who| closing.settled(who));
    match closing.end() {
        Some(End::Committed) if done => recovery.settled.push(format!("{id} ({purpose}) committed on {} hosts", hosts.len())),
        Some(End::RolledBack) if done => recovery.settled.push(format!("{id} ({purpose}) rolled back on {} hosts", hosts.len())),
        Some(End::InDoubt) => {
            let host = parts.get(coordinator).map_or("", |part| part.host.as_str());
            let advice = "once it answers, or with `--coordinator-lost` if it never will";
            recovery.unknown.push(format!("{host}, which keeps the decision on {id}: recover again {advice}"));
        }
        Some(End::Contradiction) => {
            let states: Vec<_> = parts.iter().map(|part| format!("{} {}", part.host, describe(part.known))).collect();
            let said = states.join(", ");
            recovery.failed.push(format!("{id} ({purpose}): the journals contradict each other, so nothing was touched: {said}"));
        }
        _ => {}
    }
    contradictions(&parts, &closing, &voters, id, recovery);
}

/// Journals that cannot be what this transaction left: somebody has to look at those hosts.
fn contradictions(parts: &[Part], closing: &Closing, voters: &BTreeSet<&String>, id: &str, recovery: &mut Recovery) {
    for (who, part) in parts.iter().enumerate() {
        let host = &part.host;
        match (closing.end(), part.known) {
            (Some(End::Committed), Known::Phase(None)) if closing.forgot(who) && voters.contains(host) => {
                recovery
                    .failed
                    .push(format!("{host} voted for {id} and does not know it any more: was it set back to a backup? It is not new"));
            }
            (Some(End::Committed), Known::Phase(Some(Phase::Open | Phase::Undoing | Phase::Undone))) => {
                let what = describe(part.known);
                recovery.failed.push(format!(
                    "{id} was committed, but the journal of {host} says that it is {what} there: was it set back to a backup? \
                     Bring the host in order, and remove that journal"
                ));
            }
            (Some(End::RolledBack), Known::Phase(None)) if voters.contains(host) => recovery.failed.push(format!(
                "{host} was asked to vote for {id} and does not know it: was its journal set back to a backup? It may still be new"
            )),
            _ => {}
        }
    }
}

fn describe(known: Known) -> String {
    match known {
        Known::Unreachable => "cannot be asked".to_owned(),
        Known::Phase(None) => "does not know it".to_owned(),
        Known::Phase(Some(phase)) => format!("{phase:?}").to_lowercase(),
    }
}

enum Problem {
    Silent(String),
    Failed(String),
}

async fn put(fleet: &dyn Fleet, id: &str, ask: Ask, part: &Part) -> (Answer, Option<Problem>) {
    if part.known == Known::Unreachable {
        return (Answer::Lost, None); // it is in the list of those already
    }
    let id = id.to_owned();
    let step = match ask {
        Ask::Commit => TransactionStep::Commit { id },
        Ask::Abort | Ask::Withdraw => TransactionStep::Abort { id, unvoted: ask == Ask::Withdraw },
        Ask::Prepare | Ask::Decide => return (Answer::Lost, Some(Problem::Failed("a recovery takes no votes".to_owned()))),
    };
    match fleet.transaction(&part.host, &part.user, step).await {
        Ok(TransactionReply::Undone(report)) if !report.failures.is_empty() => {
            (Answer::Done, Some(Problem::Failed(report.failures.join("; "))))
        }
        Ok(_) => (Answer::Done, None),
        Err(CallError::Failed(failure)) => match refusal(&failure) {
            Some(answer) => (answer, None),
            None => (Answer::Lost, Some(Problem::Silent(failure.msg))),
        },
        Err(error) => (Answer::Lost, Some(Problem::Silent(error.to_string()))),
    }
}

/// The phase for which a participant refused; `None` when it could not do it for another reason.
fn refusal(failure: &Failure) -> Option<Answer> {
    let phase = failure.data.get("phase").map(Value::to_text)?;
    if phase == "unknown" {
        return Some(Answer::Refused(None));
    }
    serde_json::from_value::<Phase>(phase.into()).ok().map(|phase| Answer::Refused(Some(phase)))
}

async fn list(fleet: &dyn Fleet, host: &str) -> Result<Vec<TransactionRecord>, String> {
    match fleet.transaction(host, "", TransactionStep::List).await {
        Ok(TransactionReply::Listed(records)) => Ok(records),
        Ok(_) => Err("it gave no list".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
