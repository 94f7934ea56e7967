//! Fleet transactions: opened when the first host enters one, closed when the last has left.
//!
//! [`crate::wire::protocol`] has the rules, [`close`] carries them out, [`course`] knows which hosts are inside. An agent takes
//! part from the first call on that may change something: one host has an agent for each user that tasks run as, and each keeps
//! a journal of its own. The first of all to take part keeps the decision.

mod close;
mod course;
mod terms;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};

pub(super) use course::{Carried, Open};
pub(super) use terms::{Range, Terms};

use super::item::Trouble;
use super::{Emitter, PlayState};
use crate::event::EventKind;
use crate::plan::Step;
use crate::ssh::{Endpoint, Heartbeat, Link, Privilege};
use crate::wire::{Begin, Call, Recording, TransactionStep};

/// A transaction that is open.
pub(super) struct Transaction {
    id: String,
    terms: Terms,
    /// Everybody who may take part, in all batches.
    hosts: Vec<String>,
    purpose: String,
    /// Who does. The first is the coordinator host.
    members: Mutex<Vec<Arc<Member>>>,
    steps: AtomicU32,
    /// It will be undone. What tasks of `rescue` and `always` do from here on is no part of what is undone.
    aborting: AtomicBool,
    /// Handlers that ran inside, and where.
    handlers: Mutex<Vec<(String, Arc<Step>)>>,
    events: Emitter,
}

/// One agent that takes part.
struct Member {
    host: String,
    uid: u32,
    endpoint: Endpoint,
    privilege: Option<Privilege>,
    /// Another after prepare, which makes a new connection.
    link: Mutex<Arc<Link>>,
    /// Tells the host that the controller is there, once it has begun.
    heartbeat: OnceCell<Mutex<Option<Heartbeat>>>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "transaction {}", self.id)
    }
}

impl Transaction {
    fn new(terms: Terms, hosts: Vec<String>, purpose: String, events: Emitter) -> Self {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let id = format!("{stamp}-{}", uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect::<String>());
        Self {
            id,
            terms,
            hosts,
            purpose,
            members: Mutex::default(),
            steps: AtomicU32::new(1),
            aborting: AtomicBool::new(false),
            handlers: Mutex::default(),
            events,
        }
    }

    /// It will be undone, whatever comes.
    pub(super) fn abort(&self) {
        self.aborting.store(true, Ordering::SeqCst);
    }

    fn is_aborting(&self) -> bool {
        self.aborting.load(Ordering::SeqCst)
    }

    /// A handler ran on `host`.
    pub(super) async fn note_handler(&self, host: &str, step: &Arc<Step>) {
        self.handlers.lock().await.push((host.to_owned(), step.clone()));
    }

    /// Where a call through `link` is recorded; the agent joins if it has not yet.
    pub(super) async fn join(
        &self,
        host: &str,
        endpoint: &Endpoint,
        privilege: Option<&Privilege>,
        link: &Arc<Link>,
        undo: Option<Call>,
    ) -> Result<Option<Recording>, Trouble> {
        if !self.terms.undo || self.is_aborting() {
            return Ok(None);
        }
        let uid = link.hello().uid;
        let (member, keeper, first) = {
            let mut members = self.members.lock().await;
            let known = members.iter().find(|member| member.host == host && member.uid == uid).cloned();
            let member = known.unwrap_or_else(|| {
                // From now on its vote is needed, whether it hears that it has begun or not.
                let member = Arc::new(Member {
                    host: host.to_owned(),
                    uid,
                    endpoint: endpoint.clone(),
                    privilege: privilege.cloned(),
                    link: Mutex::new(link.clone()),
                    heartbeat: OnceCell::new(),
                });
                members.push(member.clone());
                member
            });
            let keeper = members.first().cloned().unwrap_or_else(|| member.clone());
            let first = members.len() == 1 && !member.heartbeat.initialized();
            (member, keeper, first)
        };
        if first {
            self.announce(&keeper.host).await;
        }
        member.heartbeat.get_or_try_init(async || self.begin(&member, &keeper, link).await).await?;
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Recording { id: self.id.clone(), step, undo: undo.map(Box::new) }))
    }

    async fn announce(&self, coordinator: &str) {
        let (id, hosts, coordinator) = (self.id.clone(), self.hosts.clone(), coordinator.to_owned());
        self.events.emit(EventKind::TransactionStarted { id, hosts, coordinator }).await;
    }

    async fn begin(&self, member: &Member, keeper: &Member, link: &Arc<Link>) -> Result<Mutex<Option<Heartbeat>>, Trouble> {
        let begin = Begin {
            id: self.id.clone(),
            participants: self.hosts.clone(),
            coordinator: keeper.host.clone(),
            host: member.host.clone(),
            confirm_within: self.terms.confirm_within,
            purpose: self.purpose.clone(),
            keeps_decision: (&member.host, member.uid) == (&keeper.host, keeper.uid),
        };
        match link.transaction(TransactionStep::Begin(begin)).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => return Err(Trouble::from(failure)),
            Err(error) => return Err(Trouble::Unreachable(error.to_string())),
        }
        let interval = Duration::from_secs(u64::from(self.terms.confirm_within.max(4) / 4));
        Ok(Mutex::new(Some(link.heartbeat(interval))))
    }
}

impl PlayState {
    /// The transaction that calls for `host` are recorded in now.
    pub(super) fn transaction(&self, host: &str) -> Option<Arc<Transaction>> {
        self.transactions.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(host).cloned()
    }

    /// Opens or closes the journal for the calls that follow.
    fn set_transaction(&self, hosts: &[String], open: Option<&Arc<Transaction>>) {
        let mut transactions = self.transactions.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for host in hosts {
            match open {
                Some(open) => drop(transactions.insert(host.clone(), open.clone())),
                None => drop(transactions.remove(host)),
            }
        }
    }
}
