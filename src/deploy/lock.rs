//! The controller's side of the deployment lock: draw a ticket, wait for one's turn, keep it alive, give it back.
//!
//! The queue itself is on the coordinator host: [`crate::module`]'s `lock`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::LockSettings;
use super::fleet::{CallError, Fleet};
use crate::wire::{Map, Outcome, Value};

/// Which lock.
#[derive(Clone)]
pub struct Place {
    /// The hosts.
    pub fleet: Arc<dyn Fleet>,
    /// The one that keeps the queue.
    pub host: String,
    /// Where.
    pub directory: String,
}

/// Somebody in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its number; it only grows.
    pub number: i64,
    /// `user`, `runner`, `run_url`, `commit` … as given.
    pub owner: Vec<(String, String)>,
    /// What for.
    pub reason: String,
    /// How long ago it was drawn.
    pub age: Duration,
    /// How long nothing was heard.
    pub silent: Duration,
    /// Its lease ran out.
    pub dead: bool,
    /// It was drawn by hand and never dies.
    pub by_hand: bool,
}

impl Ticket {
    /// The ticket in one line.
    pub fn describe(&self) -> String {
        let owner: Vec<_> = self.owner.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key} {value}")).collect();
        let dead = if self.dead { format!(", silent for {} s", self.silent.as_secs()) } else { String::new() };
        format!("ticket {} ({}), `{}`, since {} s{dead}", self.number, owner.join(", "), self.reason, self.age.as_secs())
    }
}

/// The lock could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LockError {
    /// The coordinator host gives no answer.
    #[error("cannot ask {host} for the lock: {why}")]
    Unreachable {
        /// Which host.
        host: String,
        /// Why.
        why: String,
    },
    /// The coordinator host does not do what it is asked.
    #[error("cannot ask {host} for the lock: {why}")]
    Coordinator {
        /// Which host.
        host: String,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("waited {waited} s for the lock; it is held by {holder}")]
    Timeout {
        /// Seconds.
        waited: u64,
        /// Who holds it.
        holder: String,
    },
    /// The user did not want to wait any longer.
    #[error("cancelled while it waited for the lock")]
    Cancelled,
    /// Another took over.
    #[error("the lock was lost: {0}")]
    Lost(String),
}

/// What a waiting deployment is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Others come first.
    Behind {
        /// How many.
        ahead: usize,
        /// Who holds the lock now.
        holder: String,
    },
    /// A dead holder was pushed aside: what it left must be recovered.
    TookOver(String),
}

impl Place {
    /// The queue, first the holder.
    pub async fn queue(&self) -> Result<Vec<Ticket>, LockError> {
        Ok(tickets(&self.ask("show", Map::new()).await?))
    }

    /// Draws a ticket and waits for its turn. `tell` hears whenever the answer changes.
    pub async fn acquire(
        &self,
        settings: &LockSettings,
        owner: Map,
        reason: &str,
        stop: &CancellationToken,
        tell: impl Fn(Waiting),
    ) -> Result<Held, LockError> {
        let lease = i64::try_from(settings.lease).unwrap_or(i64::MAX);
        let params = [("owner", Value::Map(owner)), ("reason", reason.into()), ("lease", Value::Int(lease))];
        let mut answer = self.ask("take", named(params)).await?;
        let number = number(&answer, "ticket");
        let waiting = self.wait(settings, number, &mut answer, stop, tell).await;
        if let Err(error) = waiting {
            // A ticket that nobody renews would hold up the others until its lease is over.
            let _ = self.ask("release", named([("ticket", Value::Int(number))])).await;
            return Err(error);
        }
        Ok(self.keep(settings, number))
    }

    async fn wait(
        &self,
        settings: &LockSettings,
        number: i64,
        answer: &mut Outcome,
        stop: &CancellationToken,
        tell: impl Fn(Waiting),
    ) -> Result<(), LockError> {
        let started = Instant::now();
        let mut told = None;
        while answer.data.get("held") != Some(&Value::Bool(true)) {
            let queue = tickets(answer);
            let ahead = queue.iter().position(|ticket| ticket.number == number).unwrap_or(0);
            let holder = queue.first().map(Ticket::describe).unwrap_or_default();
            if ahead == 1
                && queue.first().is_some_and(|holder| holder.dead)
                && let Ok(taken) = self.ask("take_over", named([("ticket", Value::Int(number))])).await
            {
                tell(Waiting::TookOver(holder));
                *answer = taken;
                continue;
            }
            let first = queue.first().map(|ticket| ticket.number);
            if told != Some((ahead, first)) {
                told = Some((ahead, first));
                tell(Waiting::Behind { ahead, holder: holder.clone() });
            }
            let waited = started.elapsed();
            if settings.timeout > 0 && waited >= Duration::from_secs(settings.timeout) {
                return Err(LockError::Timeout { waited: waited.as_secs(), holder });
            }
            tokio::select! {
                () = stop.cancelled() => return Err(LockError::Cancelled),
                () = tokio::time::sleep(Duration::from_secs(settings.heartbeat.max(1))) => {}
            }
            *answer = self.ask("renew", named([("ticket", Value::Int(number))])).await?;
        }
        Ok(())
    }

    fn keep(&self, settings: &LockSettings, number: i64) -> Held {
        let lost = CancellationToken::new();
        let (place, heard, beat) = (self.clone(), lost.clone(), Duration::from_secs(settings.heartbeat.max(1)));
        let lease = Duration::from_secs(settings.lease);
        let heart = tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(beat).await;
                match place.ask("renew", named([("ticket", Value::Int(number))])).await {
                    Ok(_) => last = Instant::now(),
                    // Somebody may have taken over by now: whoever cannot renew must stop before the lease is over.
                    Err(LockError::Unreachable { .. } | LockError::Coordinator { .. })
                        if lease.is_zero() || last.elapsed() + beat < lease => {}
                    Err(_) => return heard.cancel(),
                }
            }
        });
        Held { place: self.clone(), number, heart, lost }
    }

    /// Removes a ticket, whoever has it.
    pub async fn release(&self, number: i64) -> Result<(), LockError> {
        self.ask("release", named([("ticket", Value::Int(number))])).await.map(drop)
    }

    /// Draws a ticket that never dies, for `rappel lock acquire`, and does not wait.
    pub async fn hold(&self, owner: Map, reason: &str) -> Result<(i64, Vec<Ticket>), LockError> {
        let params = [("owner", Value::Map(owner)), ("reason", reason.into()), ("lease", Value::Int(0))];
        let answer = self.ask("take", named(params)).await?;
        Ok((number(&answer, "ticket"), tickets(&answer)))
    }

    async fn ask(&self, action: &str, mut params: Map) -> Result<Outcome, LockError> {
        params.insert("action".into(), action.into());
        params.insert("directory".into(), self.directory.as_str().into());
        match self.fleet.call(&self.host, "lock", params).await {
            Ok(outcome) => Ok(outcome),
            Err(CallError::Failed(failure)) if failure.data.get("lost") == Some(&Value::Bool(true)) => Err(LockError::Lost(failure.msg)),
            Err(CallError::Failed(failure)) => Err(LockError::Coordinator { host: self.host.clone(), why: failure.msg }),
            Err(CallError::Unreachable(why)) => Err(LockError::Unreachable { host: self.host.clone(), why }),
        }
    }
}

/// The lock, held. Its heart beats until it is released.
pub struct Held {
    place: Place,
    number: i64,
    heart: JoinHandle<()>,
    lost: CancellationToken,
}

impl Held {
    /// The ticket's number. It fences: a later holder has a greater one.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Cancelled when another took over, or may have.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives it back.
    pub async fn release(self) -> Result<(), LockError> {
        self.heart.abort();
        self.place.release(self.number).await
    }

    /// Stops the heart and leaves the ticket as one of a dead holder: who comes next must recover first.
    pub async fn leave(self) -> Result<(), LockError> {
        self.heart.abort();
        self.place.ask("leave", named([("ticket", Value::Int(self.number))])).await.map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

fn named<const N: usize>(params: [(&str, Value); N]) -> Map {
    params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn number(outcome: &Outcome, key: &str) -> i64 {
    match outcome.data.get(key) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}

fn tickets(outcome: &Outcome) -> Vec<Ticket> {
    let Some(Value::List(queue)) = outcome.data.get("queue") else { return Vec::new() };
    queue
        .iter()
        .filter_map(|ticket| {
            let Value::Map(ticket) = ticket else { return None };
            let int = |key: &str| match ticket.get(key) {
                Some(Value::Int(number)) => *number,
                _ => 0,
            };
            let seconds = |key| Duration::from_secs(u64::try_from(int(key)).unwrap_or(0));
            let owner = match ticket.get("owner") {
                Some(Value::Map(owner)) => owner.iter().map(|(key, value)| (key.clone(), value.to_text())).collect(),
                _ => Vec::new(),
            };
            Some(Ticket {
                number: int("ticket"),
                owner,
                reason: ticket.get("reason").map(Value::to_text).unwrap_or_default(),
                age: seconds("age"),
                silent: seconds("silent"),
                dead: ticket.get("dead") == Some(&Value::Bool(true)),
                by_hand: int("lease") == 0,
            })
        })
        .collect()
}
