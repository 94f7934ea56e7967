//! Fleet transactions: opened when the first host enters one, closed when the last has left.
//!
//! Two-phase commit with presumed abort. The coordinator host, the first of the batch, keeps the decision; until it is
//! written there, everything that happens means "undo". An agent takes part from its first call on: one host has an agent
//! for each user that tasks run as, and each keeps a journal of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex, OnceCell};

use super::batch::{Batch, Round};
use super::cursor::{Path, State};
use super::item::Trouble;
use super::{PlayState, Shared};
use crate::event::{EventKind, Verdict};
use crate::ssh::{Endpoint, Heartbeat, Link, Privilege};
use crate::template::{Expr, Scope, to_wire};
use crate::text::Diagnostic;
use crate::wire::{self, Begin, Failure, TransactionReply, TransactionStep, UndoReport};

/// Seconds without word from the controller after which a host undoes by itself.
const CONFIRM_WITHIN: u32 = 60;

/// `rappel_transaction`, evaluated.
#[derive(Clone, Copy, Debug)]
struct Terms {
    undo: bool,
    confirm_within: u32,
}

/// A transaction that is open.
pub(super) struct Transaction {
    id: String,
    path: Path,
    terms: Terms,
    hosts: Vec<String>,
    purpose: String,
    /// By host and user: who takes part.
    agents: Mutex<HashMap<String, Arc<OnceCell<Arc<Participant>>>>>,
    steps: AtomicU32,
}

struct Participant {
    host: String,
    endpoint: Endpoint,
    privilege: Option<Privilege>,
    link: Arc<Link>,
    _heartbeat: Heartbeat,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "transaction {}", self.id)
    }
}

impl Transaction {
    fn coordinator(&self) -> &str {
        self.hosts.first().map(String::as_str).unwrap_or_default()
    }

    /// Where a call through `link` is recorded; the agent joins if it has not yet.
    pub(super) async fn join(
        &self,
        host: &str,
        endpoint: &Endpoint,
        privilege: Option<&Privilege>,
        link: &Arc<Link>,
    ) -> Result<Option<(String, u32)>, Trouble> {
        if !self.terms.undo {
            return Ok(None);
        }
        let key = format!("{host} {}", link.hello().uid);
        let cell = self.agents.lock().await.entry(key).or_default().clone();
        let begin = Begin {
            id: self.id.clone(),
            participants: self.hosts.clone(),
            coordinator: self.coordinator().to_owned(),
            host: host.to_owned(),
            confirm_within: self.terms.confirm_within,
            purpose: self.purpose.clone(),
        };
        cell.get_or_try_init(async || {
            match link.transaction(TransactionStep::Begin(begin)).await {
                Ok(Ok(_)) => {}
                Ok(Err(failure)) => return Err(Trouble::from(failure)),
                Err(error) => return Err(Trouble::Unreachable(error.to_string())),
            }
            let interval = Duration::from_secs(u64::from(self.terms.confirm_within.max(4) / 4));
            Ok(Arc::new(Participant {
                host: host.to_owned(),
                endpoint: endpoint.clone(),
                privilege: privilege.cloned(),
                link: link.clone(),
                _heartbeat: link.heartbeat(interval),
            }))
        })
        .await?;
        let number = self.steps.fetch_add(1, Ordering::Relaxed);
        Ok(Some((self.id.clone(), number)))
    }
}

impl Batch {
    /// Opens the transaction that `round` enters, and closes those that all hosts have left.
    pub(super) async fn transactions(&mut self, round: &Round) {
        self.close_left().await;
        let Some(host) = round.hosts.first().cloned() else { return };
        let entered = self.cursors.get(&host).map(super::cursor::Cursor::transactions).unwrap_or_default();
        for (path, block) in entered {
            let known = self.transaction.as_ref().is_some_and(|open| path.starts_with(&open.path));
            if known || self.shared.settings.check {
                continue;
            }
            let Some(expr) = &block.transaction else { continue };
            match self.terms(expr, &host) {
                Ok(terms) => self.open(path, terms).await,
                Err(diagnostic) => {
                    self.shared.fail_run(diagnostic).await;
                    self.abort("the transaction's terms are wrong");
                }
            }
        }
    }

    fn terms(&self, expr: &Expr, host: &str) -> Result<Terms, Diagnostic> {
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host, &self.play.plan.context));
        let written = to_wire(&self.shared.templar.evaluate(expr, &scope)?);
        let mut terms = Terms { undo: true, confirm_within: CONFIRM_WITHIN };
        let wrong = |message: String| Diagnostic::error("transaction", message).at(expr.span(), "");
        for (key, value) in written.as_map().into_iter().flatten() {
            match (key.as_str(), value) {
                ("scope", wire::Value::Str(scope)) if scope == "fleet" || scope == "batch" => {}
                ("scope", other) => return Err(wrong(format!("`scope`: expected `fleet` or `batch`, found `{}`", other.to_text()))),
                ("undo", wire::Value::Str(undo)) if undo == "auto" => {}
                ("undo", wire::Value::Str(undo)) if undo == "none" => terms.undo = false,
                ("undo", other) => return Err(wrong(format!("`undo`: expected `auto` or `none`, found `{}`", other.to_text()))),
                ("confirm_within", wire::Value::Int(seconds)) if u32::try_from(*seconds).is_ok() => {
                    terms.confirm_within = u32::try_from(*seconds).unwrap_or(CONFIRM_WITHIN);
                }
                (other, _) => {
                    return Err(wrong(format!("`rappel_transaction` has no `{other}` like that"))
                        .help("expected `scope`, `undo` and `confirm_within` (seconds)"));
                }
            }
        }
        Ok(terms)
    }

    async fn open(&mut self, path: Path, terms: Terms) {
        let hosts = self.active();
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let id = format!("{stamp}-{}", uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect::<String>());
        let transaction = Transaction {
            id: id.clone(),
            path,
            terms,
            hosts: hosts.clone(),
            purpose: format!("play `{}`", self.play.name),
            agents: Mutex::default(),
            steps: AtomicU32::new(1),
        };
        let coordinator = transaction.coordinator().to_owned();
        let transaction = Arc::new(transaction);
        self.play.set_transaction(Some(transaction.clone()));
        self.transaction = Some(transaction);
        self.shared.events.emit(EventKind::TransactionStarted { id, hosts, coordinator }).await;
    }

    /// Whether the failure of a step concerns all hosts because of an open transaction.
    pub(super) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    async fn close_left(&mut self) {
        let Some(open) = self.transaction.clone() else { return };
        let inside = |cursor: &super::cursor::Cursor| cursor.transactions().iter().any(|(path, _)| *path == open.path);
        if !self.cursors.values().any(|cursor| cursor.state() == State::Active && inside(cursor)) {
            self.close(&open).await;
        }
    }

    /// Closes what is still open at the end of a batch.
    pub(super) async fn close_transactions(&mut self) {
        if let Some(open) = self.transaction.clone() {
            self.close(&open).await;
        }
    }

    async fn close(&mut self, open: &Arc<Transaction>) {
        self.transaction = None;
        self.closed = true;
        self.play.set_transaction(None);
        let lost = self.cursors.iter().find(|(_, cursor)| !matches!(cursor.state(), State::Active | State::Done));
        let mut cause = self.fatal.clone().or_else(|| lost.map(|(host, _)| format!("`{host}` failed")));
        if self.shared.stop.is_cancelled() {
            // The second signal: nothing more is done here. The journals stay, and `recover` undoes.
            for host in &open.hosts {
                self.verdict(open, host, Verdict::Unknown, None).await;
            }
            let cause = Some("the run was stopped; `rappel recover` finishes".to_owned());
            self.shared.events.emit(EventKind::TransactionFinished { id: open.id.clone(), cause }).await;
            return;
        }
        if cause.is_none() {
            cause = self.commit(open).await.err();
        }
        if let Some(cause) = &cause {
            self.fatal.get_or_insert_with(|| cause.clone());
            self.roll_back(open).await;
            for cursor in self.cursors.values_mut().filter(|cursor| matches!(cursor.state(), State::Active | State::Done)) {
                cursor.end(State::RolledBack);
            }
        }
        self.shared.events.emit(EventKind::TransactionFinished { id: open.id.clone(), cause }).await;
    }

    /// Prepare everywhere over new connections, decide, commit everywhere.
    async fn commit(&self, open: &Arc<Transaction>) -> Result<(), String> {
        let agents = participants(open).await;
        let votes = join_all(agents.iter().map(|agent| async {
            // A change that broke sshd, the firewall or the network shows here, while it can still be undone.
            self.shared.fleet.forget(&agent.endpoint).await;
            let link = fresh(&self.shared, agent).await?;
            step(&link, TransactionStep::Prepare { id: open.id.clone() }).await.map(|_| link)
        }))
        .await;
        let mut links = Vec::new();
        for (agent, vote) in agents.iter().zip(votes) {
            links.push(vote.map_err(|reason| format!("`{}` could not prepare: {reason}", agent.host))?);
        }
        let decider = agents.iter().position(|agent| agent.host == open.coordinator()).or((!agents.is_empty()).then_some(0));
        if let Some(link) = decider.and_then(|index| links.get(index)) {
            step(link, TransactionStep::Decide { id: open.id.clone() })
                .await
                .map_err(|reason| format!("the decision could not be written: {reason}"))?;
        }
        // From here on it is committed, whatever happens: who does not hear it now hears it from `recover`.
        let done = join_all(links.iter().map(|link| step(link, TransactionStep::Commit { id: open.id.clone() }))).await;
        for host in &open.hosts {
            let heard = agents.iter().zip(&done).filter(|(agent, _)| agent.host == *host).all(|(_, done)| done.is_ok());
            self.verdict(open, host, if heard { Verdict::Committed } else { Verdict::Unknown }, None).await;
        }
        Ok(())
    }

    /// Undoes everything on every host that can be reached.
    async fn roll_back(&self, open: &Arc<Transaction>) {
        let agents = participants(open).await;
        let undone = join_all(agents.iter().map(|agent| self.undo(open, agent))).await;
        for host in &open.hosts {
            let mut report = UndoReport::default();
            let mut verdict = if self.cursors.get(host).is_some_and(|cursor| cursor.state() == State::Unreachable) {
                Verdict::Unknown
            } else {
                Verdict::Untouched
            };
            for (_, undone) in agents.iter().zip(&undone).filter(|(agent, _)| agent.host == *host) {
                let own = match undone {
                    Ok(own) => {
                        let failed = !own.failures.is_empty();
                        merge(&mut report, own);
                        if failed { Verdict::RollbackFailed } else { Verdict::RolledBack }
                    }
                    Err(_) => Verdict::Unknown,
                };
                verdict = verdict.max(own);
            }
            if self.cursors.get(host).is_some_and(|cursor| cursor.state() == State::Failed && cursor.rescue_failed()) {
                verdict = Verdict::RollbackFailed;
            }
            self.verdict(open, host, verdict, Some(report)).await;
        }
    }

    async fn undo(&self, open: &Arc<Transaction>, agent: &Participant) -> Result<UndoReport, String> {
        let abort = || TransactionStep::Abort { id: open.id.clone() };
        let reply = if let Ok(reply) = step(&agent.link, abort()).await {
            reply
        } else {
            // The old connection may be what broke.
            self.shared.fleet.forget(&agent.endpoint).await;
            let link = fresh(&self.shared, agent).await?;
            step(&link, abort()).await?
        };
        match reply {
            TransactionReply::Undone(report) => Ok(report),
            _ => Ok(UndoReport::default()),
        }
    }

    async fn verdict(&self, open: &Transaction, host: &str, verdict: Verdict, undo: Option<UndoReport>) {
        self.shared.events.emit(EventKind::HostVerdict { id: open.id.clone(), host: host.to_owned(), verdict, undo }).await;
    }
}

impl PlayState {
    /// The transaction that calls are recorded in now.
    pub(super) fn transaction(&self) -> Option<Arc<Transaction>> {
        self.transaction.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Opens or closes the journal for the calls that follow.
    pub(super) fn set_transaction(&self, open: Option<Arc<Transaction>>) {
        *self.transaction.write().unwrap_or_else(std::sync::PoisonError::into_inner) = open;
    }
}

async fn participants(open: &Transaction) -> Vec<Arc<Participant>> {
    open.agents.lock().await.values().filter_map(|cell| cell.get().cloned()).collect()
}

async fn fresh(shared: &Shared, agent: &Participant) -> Result<Arc<Link>, String> {
    let session = shared.fleet.session(&agent.endpoint, &shared.events).await.map_err(|error| error.to_string())?;
    session.agent(agent.privilege.as_ref()).await.map_err(|error| error.to_string())
}

async fn step(link: &Link, step: TransactionStep) -> Result<TransactionReply, String> {
    match link.transaction(step).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(Failure { msg, .. })) => Err(msg),
        Err(error) => Err(error.to_string()),
    }
}

fn merge(into: &mut UndoReport, from: &UndoReport) {
    into.undone += from.undone;
    into.best_effort.extend(from.best_effort.iter().cloned());
    into.impossible.extend(from.impossible.iter().cloned());
    into.conflicts.extend(from.conflicts.iter().cloned());
    into.failures.extend(from.failures.iter().cloned());
}
