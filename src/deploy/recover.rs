//! Recover: finishes what a dead controller left open. Presumed abort: without a decision on the coordinator host, it is undone.
//!
//! Safe at any time, twice, and from two controllers: every step that is taken again changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use super::fleet::{CallError, Fleet};
use crate::wire::{TransactionRecord, TransactionReply, TransactionStep};

/// What a recovery came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What became of each open transaction, in words.
    pub settled: Vec<String>,
    /// Hosts that could not be asked, or did not do it; with the reason.
    pub unknown: Vec<String>,
}

/// Asks all hosts for open transactions, and ends each as its coordinator host says.
pub async fn recover(fleet: &dyn Fleet, hosts: &[String]) -> Recovery {
    let mut recovery = Recovery::default();
    let listed = join_all(hosts.iter().map(|host| list(fleet, host))).await;
    let mut open: BTreeMap<String, TransactionRecord> = BTreeMap::new();
    let mut known: BTreeMap<(String, String), String> = BTreeMap::new();
    for (host, listed) in hosts.iter().zip(listed) {
        match listed {
            Ok(records) => {
                for record in records {
                    known.insert((record.id.clone(), host.clone()), record.state.clone());
                    if matches!(record.state.as_str(), "open" | "prepared" | "decided") {
                        open.entry(record.id.clone()).or_insert(record);
                    }
                }
            }
            Err(why) => recovery.unknown.push(format!("{host} ({why})")),
        }
    }
    for record in open.into_values() {
        settle(fleet, &record, &known, &mut recovery).await;
    }
    recovery
}

async fn settle(fleet: &dyn Fleet, record: &TransactionRecord, known: &BTreeMap<(String, String), String>, recovery: &mut Recovery) {
    let TransactionRecord { id, coordinator, participants, purpose, .. } = record;
    // Not every participant need be among the hosts that were asked first.
    let decision = match known.get(&(id.clone(), coordinator.clone())) {
        Some(state) => Some(state.clone()),
        None => match list(fleet, coordinator).await {
            Ok(records) => records.into_iter().find(|other| other.id == *id).map(|other| other.state),
            Err(why) => {
                recovery.unknown.push(format!("{coordinator}, which keeps the decision on {id} ({why})"));
                return;
            }
        },
    };
    let commit = matches!(decision.as_deref(), Some("decided" | "committed"));
    let id = id.clone();
    let step = || if commit { TransactionStep::Commit { id: id.clone() } } else { TransactionStep::Abort { id: id.clone() } };
    // The coordinator host last: until all others know, its record must stay.
    let others: BTreeSet<&String> = participants.iter().filter(|host| *host != coordinator).collect();
    let answers = join_all(others.iter().map(|host| async { (host.as_str(), fleet.transaction(host, step()).await) })).await;
    let mut failed = judge(answers);
    if failed.is_empty() {
        failed = judge(vec![(coordinator.as_str(), fleet.transaction(coordinator, step()).await)]);
    }
    let what = if commit { "committed" } else { "rolled back" };
    if failed.is_empty() {
        recovery.settled.push(format!("{id} ({purpose}) {what} on {} hosts", participants.len()));
    }
    recovery.unknown.extend(failed);
}

fn judge(answers: Vec<(&str, Result<TransactionReply, CallError>)>) -> Vec<String> {
    let wrong = |(host, answer): (&str, Result<TransactionReply, CallError>)| match answer {
        Ok(TransactionReply::Undone(report)) if !report.failures.is_empty() => Some(format!("{host} ({})", report.failures.join("; "))),
        Ok(_) => None,
        Err(error) => Some(format!("{host} ({error})")),
    };
    answers.into_iter().filter_map(wrong).collect()
}

async fn list(fleet: &dyn Fleet, host: &str) -> Result<Vec<TransactionRecord>, String> {
    match fleet.transaction(host, TransactionStep::List).await {
        Ok(TransactionReply::Listed(records)) => Ok(records),
        Ok(_) => Err("it gave no list".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
