//! Closing a transaction: votes, decision, and the way back, as [`Closing`] says; then each host's verdict.

use std::sync::Arc;

use futures::future::join_all;

use super::{Member, Open, Transaction};
use crate::event::{EventKind, Verdict};
use crate::module::Reversible;
use crate::plan::{Step, Work};
use crate::run::Shared;
use crate::run::batch::{Batch, Round};
use crate::run::cursor::State;
use crate::ssh::Link;
use crate::wire::protocol::{Answer, Ask, Closing, End, Phase};
use crate::wire::{Failure, TransactionReply, TransactionStep, UndoReport};

/// What came of closing a transaction.
struct Closed {
    members: Vec<Arc<Member>>,
    closing: Closing,
    /// By member: what its undo did.
    reports: Vec<Option<UndoReport>>,
    /// Why it was not committed.
    reason: Option<String>,
}

impl Batch {
    /// Commits `open` or undoes it, and says how it ended on every host.
    pub(super) async fn close(&mut self, open: Open) {
        let transaction = &open.transaction;
        self.closed = true;
        let members: Vec<_> = transaction.members.lock().await.clone();
        if members.is_empty() {
            transaction.announce("").await;
        }
        let lost = |host: &&String| self.cursors.get(*host).is_some_and(|cursor| !matches!(cursor.state(), State::Active | State::Done));
        let mut cause = open.hosts.iter().find(lost).map(|host| format!("`{host}` failed"));
        if transaction.is_aborting() {
            cause = self.fatal.clone().or(cause).or_else(|| Some("a task failed".to_owned()));
        }
        if self.shared.stop.is_cancelled() {
            return self.leave_to_recovery(&open).await;
        }
        let closing = match &cause {
            None => Closing::commit(members.len(), 0),
            Some(_) => Closing::abort(members.len(), 0),
        };
        let shared = self.shared.clone();
        let closed = tokio::select! {
            closed = transaction.drive(&shared, members, closing) => closed,
            () = shared.stop.cancelled() => return self.leave_to_recovery(&open).await,
        };
        if closed.closing.end() != Some(End::Committed) {
            let cause = cause.get_or_insert_with(|| closed.reason.clone().unwrap_or_else(|| "a host could not prepare".to_owned()));
            self.fatal.get_or_insert_with(|| cause.clone());
        }
        let mut back = Vec::new();
        for host in &open.hosts {
            let (verdict, report) = self.verdict(&closed, transaction, host);
            if verdict == Verdict::RolledBack {
                back.push(host.clone());
            }
            let (id, host, undo) = (transaction.id.clone(), host.clone(), cause.is_some().then_some(report));
            self.shared.events.emit(EventKind::HostVerdict { id, host, verdict, undo }).await;
        }
        if cause.is_some() {
            self.repeat_handlers(transaction, &back).await;
            for (_, cursor) in self.cursors.iter_mut().filter(|(host, _)| open.hosts.contains(host)) {
                cursor.forget_notified();
            }
            self.go_back(&open);
        }
        self.shared.events.emit(EventKind::TransactionFinished { id: transaction.id.clone(), cause }).await;
    }

    /// After an undo the hosts have no more to do; a host for itself goes on where its rescue ended.
    fn go_back(&mut self, open: &Open) {
        if open.transaction.terms.range == super::Range::Host {
            return;
        }
        for cursor in self.cursors.values_mut().filter(|cursor| matches!(cursor.state(), State::Active | State::Done)) {
            cursor.end(State::RolledBack);
        }
    }

    /// The second signal: nothing more is done here. The journals stay, and `recover` undoes.
    async fn leave_to_recovery(&mut self, open: &Open) {
        let id = &open.transaction.id;
        for host in &open.hosts {
            let verdict = Verdict::Unknown;
            self.shared.events.emit(EventKind::HostVerdict { id: id.clone(), host: host.clone(), verdict, undo: None }).await;
        }
        let cause = Some("the run was stopped; `rappel recover` finishes".to_owned());
        self.shared.events.emit(EventKind::TransactionFinished { id: id.clone(), cause }).await;
    }

    fn verdict(&self, closed: &Closed, transaction: &Transaction, host: &str) -> (Verdict, UndoReport) {
        let mut report = UndoReport::default();
        let state = self.cursors.get(host).map(crate::run::cursor::Cursor::state);
        let own: Vec<usize> = closed.members.iter().enumerate().filter(|(_, member)| member.host == host).map(|(index, _)| index).collect();
        let settled = own.iter().all(|index| closed.closing.settled(*index));
        if closed.closing.end() == Some(End::Committed) {
            // The coordinator host is on the new version, also while it keeps the decision for others.
            let decided = own.contains(&0);
            return (if settled || decided { Verdict::Committed } else { Verdict::Unknown }, report);
        }
        for undone in own.iter().filter_map(|index| closed.reports.get(*index)?.as_ref()) {
            merge(&mut report, undone);
        }
        let rescued = state == Some(State::RolledBack) || !transaction.terms.undo && transaction.is_aborting();
        let rescue_failed = self.cursors.get(host).is_some_and(crate::run::cursor::Cursor::rescue_failed);
        // One whose beginning was refused has changed nothing.
        let begun = own.iter().filter_map(|index| closed.members.get(*index)).any(|member| member.heartbeat.initialized());
        let verdict = if !settled {
            Verdict::Unknown
        } else if !report.failures.is_empty() || rescue_failed {
            Verdict::RollbackFailed
        } else if state == Some(State::Unreachable) && own.is_empty() {
            Verdict::Unknown
        } else if !begun && !rescued {
            Verdict::Untouched
        } else {
            Verdict::RolledBack
        };
        (verdict, report)
    }

    /// Handlers ran for changes that are undone now. Where nothing else makes up for them, they run again for what is back.
    async fn repeat_handlers(&mut self, transaction: &Transaction, back: &[String]) {
        let ran = std::mem::take(&mut *transaction.handlers.lock().await);
        let mut steps: Vec<(Arc<Step>, Vec<String>)> = Vec::new();
        for (host, step) in ran {
            let by_hand = self.cursors.get(&host).is_some_and(|cursor| cursor.state() == State::RolledBack);
            let journaled = matches!(&step.work, Work::Module(entry) if entry.reversible != Reversible::Impossible);
            if by_hand || journaled || !back.contains(&host) {
                continue;
            }
            match steps.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &step)) {
                Some((_, hosts)) if hosts.contains(&host) => {}
                Some((_, hosts)) => hosts.push(host),
                None => steps.push((step, vec![host])),
            }
        }
        for (step, hosts) in steps {
            self.run_again(step, hosts).await;
        }
    }

    /// Runs a step on hosts that have come to their end.
    async fn run_again(&self, step: Arc<Step>, hosts: Vec<String>) {
        let round = Round { step, path: Vec::new(), hosts };
        let id = self.announce(&round).await;
        for (_, outcome) in self.run_on(&round.step, &round.hosts, id).await {
            self.shared.events.emit(EventKind::TaskFinished(outcome.result)).await;
        }
    }
}

impl Transaction {
    /// Asks the members as `closing` says, until it is over.
    async fn drive(&self, shared: &Shared, members: Vec<Arc<Member>>, mut closing: Closing) -> Closed {
        let mut reports = vec![None; members.len()];
        let mut reason = None;
        if closing.questions().iter().any(|(_, ask)| *ask == Ask::Prepare) {
            // A change that broke sshd, the firewall or the network shows on a new connection, while it can still be undone.
            join_all(members.iter().map(|member| member.hang_up(shared))).await;
        }
        loop {
            let questions: Vec<_> =
                closing.questions().into_iter().filter_map(|(who, ask)| Some((who, ask, members.get(who)?.clone()))).collect();
            if questions.is_empty() {
                break;
            }
            let voters: Vec<String> = members.iter().map(|member| member.host.clone()).collect();
            let answers = join_all(questions.iter().map(|(_, ask, member)| self.ask(shared, member, *ask, &voters))).await;
            for ((who, ask, member), (answer, said)) in questions.iter().zip(answers) {
                match said {
                    Ok(TransactionReply::Undone(report)) => reports.get_mut(*who).into_iter().for_each(|slot| *slot = Some(report.clone())),
                    Ok(_) => {}
                    Err(why) => {
                        reason.get_or_insert(format!("`{}` could not {}: {why}", member.host, word(*ask)));
                    }
                }
                closing.hear(*who, answer);
            }
        }
        Closed { members, closing, reports, reason }
    }

    async fn ask(&self, shared: &Shared, member: &Member, ask: Ask, voters: &[String]) -> (Answer, Result<TransactionReply, String>) {
        let id = self.id.clone();
        let step = match ask {
            Ask::Prepare => TransactionStep::Prepare { id, voters: voters.to_vec() },
            Ask::Decide => TransactionStep::Decide { id, voters: voters.to_vec() },
            Ask::Commit => TransactionStep::Commit { id },
            Ask::Abort | Ask::Withdraw => TransactionStep::Abort { id, unvoted: ask == Ask::Withdraw },
        };
        let said = match member.say(&step).await {
            Ok(said) => Ok(said),
            // The old connection may be what broke.
            Err(_) => match member.dial(shared).await {
                Ok(()) => member.say(&step).await,
                Err(why) => Err(why),
            },
        };
        match said {
            Ok(Ok(reply)) => (Answer::Done, Ok(reply)),
            Ok(Err(failure)) => (refusal(&failure), Err(failure.msg)),
            Err(why) => (Answer::Lost, Err(why)),
        }
    }
}

impl Member {
    async fn say(&self, step: &TransactionStep) -> Result<Result<TransactionReply, Failure>, String> {
        let link = self.link.lock().await.clone();
        link.transaction(step.clone()).await.map_err(|error| error.to_string())
    }

    /// Ends the connection; the next question makes a new one.
    async fn hang_up(&self, shared: &Shared) {
        if let Some(heartbeat) = self.heartbeat.get() {
            heartbeat.lock().await.take();
        }
        shared.fleet.forget(&self.endpoint).await;
    }

    async fn dial(&self, shared: &Shared) -> Result<(), String> {
        let session = shared.fleet.session(&self.endpoint, &shared.events).await.map_err(|error| error.to_string())?;
        let link: Arc<Link> = session.agent(self.privilege.as_ref()).await.map_err(|error| error.to_string())?;
        *self.link.lock().await = link;
        Ok(())
    }
}

/// What a refusal means for the protocol.
pub(in crate::run) fn refusal(failure: &Failure) -> Answer {
    match failure.data.get("phase").map(crate::wire::Value::to_text).as_deref() {
        Some("unknown") => Answer::Refused(None),
        Some(name) => serde_json::from_value::<Phase>(name.into()).map_or(Answer::Lost, |phase| Answer::Refused(Some(phase))),
        // It is no refusal by the rules: the journal cannot be written, or read.
        None => Answer::Lost,
    }
}

fn word(ask: Ask) -> &'static str {
    match ask {
        Ask::Prepare => "prepare",
        Ask::Decide => "write the decision",
        Ask::Commit => "commit",
        Ask::Abort | Ask::Withdraw => "undo",
    }
}

fn merge(into: &mut UndoReport, from: &UndoReport) {
    into.undone += from.undone;
    into.best_effort.extend(from.best_effort.iter().cloned());
    into.impossible.extend(from.impossible.iter().cloned());
    into.conflicts.extend(from.conflicts.iter().cloned());
    into.failures.extend(from.failures.iter().cloned());
}
