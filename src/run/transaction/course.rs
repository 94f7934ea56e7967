//! Which hosts are inside which transaction, as a batch runs its course.

use std::sync::Arc;

use super::{Range, Terms, Transaction};
use crate::run::batch::{Batch, Round};
use crate::run::cursor::{Cause, Path, State};
use crate::wire::Map;

/// A transaction that hosts of this batch are in.
pub(in crate::run) struct Open {
    pub(super) transaction: Arc<Transaction>,
    path: Path,
    pub(super) hosts: Vec<String>,
}

/// A transaction that waits for the next batch.
#[derive(Debug)]
pub(in crate::run) struct Carried {
    transaction: Arc<Transaction>,
    path: Path,
    /// Who has come through it, in batches before.
    hosts: Vec<String>,
}

impl Batch {
    /// Opens the transactions that hosts of `round` enter, and closes those that all hosts have left. `false`: the round must not
    /// begin, because what a transaction asks for makes no sense.
    pub(in crate::run) async fn transactions(&mut self, round: &Round) -> bool {
        self.mark_aborting();
        self.close_left().await;
        for host in &round.hosts {
            let entered = self.cursors.get(host).map(crate::run::cursor::Cursor::transactions).unwrap_or_default();
            for (path, block) in entered {
                if self.shared.settings.check || self.is_inside(host, &path) {
                    continue;
                }
                let Some(expr) = &block.transaction else { continue };
                match Terms::read(&self.shared, expr, self.shared.layers(&self.play, host, &self.play.plan.context)) {
                    Ok(terms) => self.enter_transaction(host, path, terms),
                    Err(diagnostic) => {
                        self.shared.fail_run(diagnostic).await;
                        self.abort("the transaction's terms are wrong");
                        return false;
                    }
                }
            }
        }
        true
    }

    fn is_inside(&self, host: &str, path: &Path) -> bool {
        let open = self.open.iter().any(|open| open.path == *path && open.hosts.iter().any(|inside| inside == host));
        open || self.nested.contains_key(path)
    }

    fn enter_transaction(&mut self, host: &str, path: Path, terms: Terms) {
        if self.open.iter().any(|open| open.hosts.iter().any(|inside| inside == host)) {
            // The outer one is the one that is undone; the inner one says how far a failure in it goes.
            self.nested.insert(path, terms.range);
            return;
        }
        let hosts = if terms.range == Range::Host { vec![host.to_owned()] } else { self.active() };
        let purpose = format!("play `{}`", self.play.name);
        let new = |all: Vec<String>| Arc::new(Transaction::new(terms, all, purpose, self.shared.events.clone()));
        let transaction = match (terms.range, &self.carried) {
            (Range::Fleet, Some(carried)) if carried.path == path => carried.transaction.clone(),
            (Range::Fleet, _) => new(self.play.alive()),
            _ => new(hosts.clone()),
        };
        self.play.set_transaction(&hosts, Some(&transaction));
        self.open.push(Open { transaction, path, hosts });
    }

    /// Whether the failure of a step concerns all hosts because of an open transaction; `None` outside of any.
    pub(in crate::run) fn fatal_in_transaction(&self, round: &Round) -> Option<bool> {
        let host = round.hosts.first()?;
        let open = self.open.iter().find(|open| open.hosts.contains(host))?;
        let paths = self.cursors.get(host)?.transactions();
        let innermost = paths.last().and_then(|(path, _)| self.nested.get(path).copied());
        Some(innermost.unwrap_or(open.transaction.terms.range) != Range::Host)
    }

    /// Whether a transaction is open that more than one host is in.
    pub(in crate::run) fn in_transaction(&self) -> bool {
        self.open.iter().any(|open| open.transaction.terms.range != Range::Host)
    }

    /// From the first failure on that nothing inside catches, tasks only help to go back.
    fn mark_aborting(&self) {
        for open in &self.open {
            let aborts = match open.transaction.terms.range {
                Range::Host => open.hosts.iter().any(|host| self.cursors.get(host).is_some_and(|cursor| cursor.failing_at(&open.path))),
                _ => self.fatal.is_some(),
            };
            if aborts {
                open.transaction.abort();
            }
        }
    }

    /// Hosts of batches before go back with this one: they do what `model` does from here on.
    pub(in crate::run) fn bring_back_earlier(&mut self, raw: &Map, round: &Round, origin: &str) {
        let Some(carried) = &self.carried else { return };
        if !self.open.iter().any(|open| open.path == carried.path) {
            return;
        }
        let model = self.cursors.values().find(|cursor| cursor.state() == State::Active && cursor.recovering()).cloned();
        let Some(mut model) = model else { return };
        model.forget_notified();
        for host in carried.hosts.clone() {
            if !self.cursors.contains_key(&host) {
                self.remember_failure(&host, origin, raw, round);
                self.cursors.insert(host, model.clone());
            }
        }
    }

    async fn close_left(&mut self) {
        let inside = |open: &Open, host: &String| {
            let cursor = self.cursors.get(host);
            cursor.is_some_and(|cursor| cursor.state() == State::Active && cursor.transactions().iter().any(|(path, _)| *path == open.path))
        };
        let left: Vec<bool> = self.open.iter().map(|open| !open.hosts.iter().any(|host| inside(open, host))).collect();
        for (index, _) in left.iter().enumerate().rev().filter(|(_, left)| **left) {
            let open = self.open.remove(index);
            self.leave(open).await;
        }
        if self.open.is_empty() {
            self.nested.clear();
        }
    }

    /// All hosts have left `open`.
    async fn leave(&mut self, open: Open) {
        self.play.set_transaction(&open.hosts, None);
        let fine = |host: &String| self.cursors.get(host).is_none_or(|cursor| matches!(cursor.state(), State::Active | State::Done));
        let whole = !open.transaction.is_aborting() && open.hosts.iter().all(fine);
        if whole && open.transaction.terms.range == Range::Fleet && !self.last {
            let before = self.carried.take().filter(|carried| carried.path == open.path).map(|carried| carried.hosts).unwrap_or_default();
            let hosts = before.into_iter().chain(open.hosts).collect();
            self.carried = Some(Carried { transaction: open.transaction, path: open.path, hosts });
            return;
        }
        let carried = self.carried.take_if(|carried| Arc::ptr_eq(&carried.transaction, &open.transaction));
        let hosts = open.hosts.into_iter().chain(carried.map(|carried| carried.hosts).unwrap_or_default()).collect();
        self.close(Open { hosts, ..open }).await;
    }

    /// Closes what is still open at the end of a batch; what waits for the next batch stays, unless there will be none.
    pub(in crate::run) async fn close_transactions(&mut self) {
        self.mark_aborting();
        for open in std::mem::take(&mut self.open) {
            self.leave(open).await;
        }
        let lost = |state: State| matches!(state, State::Failed | State::Unreachable | State::RolledBack);
        let broken = self.fatal.is_some() || self.cursors.values().all(|cursor| lost(cursor.state()));
        if !broken && !self.last {
            return;
        }
        if let Some(Carried { transaction, path, hosts }) = self.carried.take() {
            if broken {
                transaction.abort();
            }
            self.close(Open { transaction, path, hosts }).await;
        }
    }

    /// Why a failure here is unwound as it is.
    pub(in crate::run) fn transaction_cause(&self) -> Option<Cause> {
        self.in_transaction().then_some(Cause::Fatal)
    }
}
