//! One host's part in fleet transactions: begin, vote, decide, commit, undo. Every step may be repeated.

use std::fs;
use std::time::Duration;

use super::failed;
use super::journal::{Cause, Journal, Line, State, Transaction};
use super::undo::silence;
use crate::wire::{Begin, Failure, TransactionReply, TransactionStep};

/// How many finished transactions are remembered, without what would be needed to undo them.
const REMEMBERED: usize = 20;

impl Journal {
    /// Does one step of the protocol.
    ///
    /// # Errors
    /// When the transaction is not in a state for it, or the journal cannot be written.
    pub fn step(&self, step: &TransactionStep) -> Result<TransactionReply, Failure> {
        match step {
            TransactionStep::Begin(begin) => self.begin(begin),
            TransactionStep::Prepare { id } => self.advance(id, State::Prepared),
            TransactionStep::Decide { id } => self.advance(id, State::Decided),
            TransactionStep::Commit { id } => self.advance(id, State::Committed),
            TransactionStep::Abort { id } => self.abort(id),
            TransactionStep::Rollback { id } => self.roll_back(id),
            TransactionStep::List => self.all(),
        }
    }

    /// The transaction `id`, locked; `None` when this host never heard of it, or only just.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn open(&self, id: &str) -> Result<Option<Transaction>, Failure> {
        let folder = self.folder_of(id)?;
        if !folder.join("log").exists() {
            return Ok(None);
        }
        let transaction = Transaction::locked(&folder)?;
        Ok(transaction.begin().is_ok().then_some(transaction))
    }

    fn begin(&self, begin: &Begin) -> Result<TransactionReply, Failure> {
        if let Some(known) = self.open(&begin.id)? {
            return match known.state() {
                State::Open => Ok(TransactionReply::Done),
                state => Err(Failure::new(format!("transaction `{}` is {} on this host already", begin.id, state.word()))),
            };
        }
        let mut finished = Vec::new();
        for folder in self.folders()? {
            let mut other = Transaction::locked(&folder)?;
            let Ok((found, _)) = other.begin() else { continue };
            let (id, purpose) = (found.id.clone(), found.purpose.clone());
            heal(&mut other)?;
            match other.state() {
                State::Committed | State::Ended(_) => finished.push((other.begin()?.1, other)),
                state => {
                    return Err(Failure::new(format!(
                        "transaction `{id}` ({purpose}) is still {} on this host: `rappel recover` ends it",
                        state.word()
                    )));
                }
            }
        }
        prune(finished)?;
        self.create(begin).map(|_| TransactionReply::Done)
    }

    fn advance(&self, id: &str, to: State) -> Result<TransactionReply, Failure> {
        let Some(mut transaction) = self.open(id)? else {
            return Err(Failure::new(format!("this host knows no transaction `{id}`")));
        };
        let from = transaction.state();
        let line = match (from, to) {
            (from, to) if from == to => return Ok(TransactionReply::Done),
            // A decision that was carried out is still a decision, and a vote.
            (State::Decided | State::Committed, State::Prepared) | (State::Committed, State::Decided) => return Ok(TransactionReply::Done),
            (State::Open, State::Prepared) => {
                rustix::fs::sync();
                Line::Prepared
            }
            (State::Prepared, State::Decided) => Line::Decided,
            (State::Prepared | State::Decided, State::Committed) => Line::Committed,
            _ => return Err(Failure::new(format!("transaction `{id}` is {} on this host, so it cannot be {}", from.word(), to.word()))),
        };
        transaction.append(&line)?;
        Ok(TransactionReply::Done)
    }

    fn abort(&self, id: &str) -> Result<TransactionReply, Failure> {
        // What was never begun, or not so that it reached the disk, changed nothing: presumed abort.
        let Some(mut transaction) = self.open(id)? else { return Ok(TransactionReply::Undone(crate::wire::UndoReport::default())) };
        match transaction.state() {
            State::Decided | State::Committed => {
                let word = transaction.state().word();
                Err(Failure::new(format!("transaction `{id}` is {word} on this host: it can no longer be aborted, only rolled back")))
            }
            _ => transaction.undo(Cause::Aborted).map(TransactionReply::Undone),
        }
    }

    fn roll_back(&self, id: &str) -> Result<TransactionReply, Failure> {
        let Some(mut transaction) = self.open(id)? else {
            return Err(Failure::new(format!("this host knows no transaction `{id}`")));
        };
        match transaction.state() {
            State::Committed if !transaction.folder.join("images").exists() => {
                Err(Failure::new(format!("transaction `{id}` can no longer be rolled back: a later one took its place")))
            }
            State::Committed | State::Undoing(_) | State::Ended(_) => transaction.undo(Cause::RolledBack).map(TransactionReply::Undone),
            state => Err(Failure::new(format!("transaction `{id}` is {} on this host, not committed", state.word()))),
        }
    }

    fn all(&self) -> Result<TransactionReply, Failure> {
        let mut records = Vec::new();
        for folder in self.folders()? {
            let mut transaction = Transaction::locked(&folder)?;
            if transaction.begin().is_ok() {
                heal(&mut transaction)?;
                records.push(transaction.record()?);
            }
        }
        records.sort_by(|left, right| (left.begun, &left.id).cmp(&(right.begun, &right.id)));
        Ok(TransactionReply::Listed(records))
    }
}

/// Undoes a transaction whose controller has been silent for too long, or whose undo was cut off.
///
/// # Errors
/// When the journal cannot be written.
fn heal(transaction: &mut Transaction) -> Result<(), Failure> {
    match transaction.state() {
        State::Open if expired(transaction) => transaction.undo(Cause::Healed).map(drop),
        State::Undoing(cause) => transaction.undo(cause).map(drop),
        _ => Ok(()),
    }
}

fn expired(transaction: &Transaction) -> bool {
    let limit = transaction.begin().map_or(0, |(begin, _)| begin.confirm_within);
    limit > 0 && silence(&transaction.folder).is_some_and(|silence| silence > Duration::from_secs(limit.into()))
}

/// A new transaction is the new last-known-good: what would undo the older ones goes, and in the end they are forgotten.
fn prune(mut finished: Vec<(u64, Transaction)>) -> Result<(), Failure> {
    finished.sort_by_key(|(begun, _)| std::cmp::Reverse(*begun));
    for (index, (_, transaction)) in finished.into_iter().enumerate() {
        transaction.drop_images()?;
        if index >= REMEMBERED {
            fs::remove_dir_all(&transaction.folder).map_err(|error| failed("forget", &transaction.folder, &error))?;
        }
    }
    Ok(())
}
