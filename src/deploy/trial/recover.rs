//! Recovery: any mixture of open, prepared and decided participants ends all-new or all-old.

use crate::deploy::recover::{Coordinator, Recovery, recover};
use crate::wire::TransactionRecord;
use crate::wire::protocol::Phase;

use super::*;

/// Journals of hosts, in memory.
struct Journals(Mutex<HashMap<String, String>>, Vec<&'static str>);

impl Fleet for Journals {
    fn hosts(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn play<'a>(&'a self, _: &'a Order, _: &'a Sender<Event>, _: &'a CancellationToken) -> BoxFuture<'a, Exit> {
        Box::pin(async { Exit::Bug })
    }

    fn call<'a>(&'a self, _: &'a str, _: &'a str, _: Map) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async { Err(CallError::Unreachable("no modules here".into())) })
    }

    fn transaction<'a>(&'a self, host: &'a str, _: &'a str, step: TransactionStep) -> BoxFuture<'a, Result<TransactionReply, CallError>> {
        Box::pin(async move {
            if self.1.contains(&host) {
                return Err(CallError::Unreachable("cut".into()));
            }
            let mut journals = self.0.lock().unwrap();
            Ok(match step {
                TransactionStep::List => {
                    TransactionReply::Listed(journals.get(host).map(|state| record(host, state)).into_iter().collect())
                }
                TransactionStep::Commit { .. } if matches!(journals.get(host).map(String::as_str), None | Some("open")) => {
                    let phase = journals.get(host).map_or("unknown", String::as_str);
                    return Err(CallError::Failed(crate::wire::Failure::new("no").with("phase", phase)));
                }
                TransactionStep::Commit { .. } => {
                    journals.insert(host.to_owned(), "committed".into());
                    TransactionReply::Done
                }
                TransactionStep::Abort { .. } => {
                    assert_ne!(journals.get(host).map(String::as_str), Some("committed"), "a commit is never undone");
                    journals.insert(host.to_owned(), "aborted".into());
                    TransactionReply::Undone(crate::wire::UndoReport::default())
                }
                other => panic!("{other:?} is no step of a recovery"),
            })
        })
    }
}

fn record(host: &str, state: &str) -> TransactionRecord {
    TransactionRecord {
        id: "t".into(),
        state: state.into(),
        participants: ["a", "b", "c"].map(str::to_owned).to_vec(),
        coordinator: "a".into(),
        host: host.into(),
        purpose: "test".into(),
        begun: 0,
        undo: None,
        phase: phase(state),
        user: String::new(),
        keeps_decision: host == "a",
        voters: if state == "open" { Vec::new() } else { ["a", "b", "c"].map(str::to_owned).to_vec() },
    }
}

fn phase(state: &str) -> Phase {
    match state {
        "open" => Phase::Open,
        "prepared" => Phase::Prepared,
        "decided" => Phase::Decided,
        "committed" => Phase::Committed,
        _ => Phase::Undone,
    }
}

#[tokio::test]
async fn every_mixture_ends_as_the_coordinator_decided() {
    let hosts = ["a", "b", "c"].map(str::to_owned);
    // a is the coordinator host.
    let table = [
        (["open", "open", "open"], "aborted"),
        (["prepared", "prepared", "open"], "aborted"),
        (["prepared", "prepared", "prepared"], "aborted"),
        (["decided", "prepared", "prepared"], "committed"),
        (["decided", "committed", "prepared"], "committed"),
        (["committed", "prepared", "committed"], "committed"),
        (["aborted", "open", "healed"], "aborted"),
    ];
    for (states, wanted) in table {
        let journals = hosts.iter().cloned().zip(states.map(str::to_owned)).collect();
        let fleet = Journals(Mutex::new(journals), Vec::new());
        let recovery = recover(&fleet, &hosts, Coordinator::Awaited).await;
        assert_eq!((recovery.settled.len(), recovery.unknown.len()), (1, 0), "{states:?}");
        assert!(fleet.0.lock().unwrap().values().all(|state| state == wanted), "{states:?}: {:?}", fleet.0.lock().unwrap());
        let again = recover(&fleet, &hosts, Coordinator::Awaited).await;
        assert_eq!(Recovery { notes: Vec::new(), ..again }, Recovery::default(), "the second time there is nothing to do");
    }
}

#[tokio::test]
async fn without_the_coordinator_nothing_is_decided() {
    let hosts = ["a", "b", "c"].map(str::to_owned);
    let journals = hosts.iter().map(|host| (host.clone(), "prepared".to_owned())).collect();
    let fleet = Journals(Mutex::new(journals), vec!["a"]);
    let recovery = recover(&fleet, &hosts, Coordinator::Awaited).await;
    assert!(recovery.settled.is_empty() && !recovery.unknown.is_empty(), "{recovery:?}");
    assert!(fleet.0.lock().unwrap().values().all(|state| state == "prepared"));
}

#[tokio::test]
async fn a_journal_from_a_backup_is_told() {
    let hosts = ["a", "b", "c"].map(str::to_owned);
    let table = [
        ("committed", Some("open"), "t was committed, but the journal of c says that it is open there: was it set back to a backup?"),
        ("committed", Some("healed"), "c undid t by itself, which the others committed: was it set back to a backup?"),
        ("prepared", None, "c was asked to vote for t and does not know it: was its journal set back to a backup? It may still be new"),
        ("decided", None, "c voted for t and does not know it any more: was it set back to a backup? It is not new"),
    ];
    for (others, its, wanted) in table {
        let states = [("a", Some(others)), ("b", Some(if others == "decided" { "prepared" } else { others })), ("c", its)];
        let journals = states.into_iter().filter_map(|(host, state)| Some((host.to_owned(), state?.to_owned()))).collect();
        let fleet = Journals(Mutex::new(journals), Vec::new());
        let recovery = recover(&fleet, &hosts, Coordinator::Awaited).await;
        assert!(!recovery.is_whole() && recovery.failed.iter().any(|failed| failed.starts_with(wanted)), "{others} {its:?}: {recovery:?}");
    }
}
