//! One host's part in fleet transactions: begin, vote, decide, commit, undo. Every step may be repeated.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failed;
use super::journal::{Cause, Journal, Line, State, Transaction};
use super::undo::silence;
use crate::wire::protocol::{Act, Ask, Phase, Ruling};
use crate::wire::{Begin, Failure, TransactionRecord, TransactionReply, TransactionStep, UndoReport};

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
            TransactionStep::Prepare { id, voters } => self.answer(id, Ask::Prepare, voters),
            TransactionStep::Decide { id, voters } => self.answer(id, Ask::Decide, voters),
            TransactionStep::Commit { id } => self.answer(id, Ask::Commit, &[]),
            TransactionStep::Abort { id, unvoted: true } => self.answer(id, Ask::Withdraw, &[]),
            TransactionStep::Abort { id, unvoted: false } => self.answer(id, Ask::Abort, &[]),
            TransactionStep::Rollback { id } => self.roll_back(id),
            TransactionStep::List => self.all(),
        }
    }

    /// The transaction `id`, locked; `None` when this host never heard of it, or only just.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn open(&self, id: &str) -> Result<Option<Transaction>, Failure> {
        self.open_by(id, Transaction::locked)
    }

    fn open_by(&self, id: &str, lock: fn(&Path) -> Result<Transaction, Failure>) -> Result<Option<Transaction>, Failure> {
        let folder = self.folder_of(id)?;
        if !folder.join("log").exists() {
            return Ok(None);
        }
        let mut transaction = lock(&folder)?;
        if transaction.begin().is_err() {
            return Ok(None);
        }
        transaction.heal_after_restart()?;
        Ok(Some(transaction))
    }

    fn begin(&self, begin: &Begin) -> Result<TransactionReply, Failure> {
        let _turn = self.turn()?;
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
            other.heal()?;
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

    /// Answers as the protocol says.
    fn answer(&self, id: &str, ask: Ask, voters: &[String]) -> Result<TransactionReply, Failure> {
        let undoes = matches!(ask, Ask::Abort | Ask::Withdraw);
        let mut known = self.open_by(id, if undoes { Transaction::claimed } else { Transaction::locked })?;
        let phase = known.as_ref().map(|transaction| Phase::from(transaction.state()));
        let Ruling::Do(acts) = Phase::rule(phase, ask) else {
            return Err(refusal(id, known.as_ref().map(Transaction::state), ask));
        };
        if let Some(transaction) = &mut known {
            for act in acts {
                transaction.perform(*act, Cause::Aborted, voters)?;
            }
        }
        Ok(match (ask, known) {
            (Ask::Abort | Ask::Withdraw, None) => TransactionReply::Undone(UndoReport::default()),
            (Ask::Abort | Ask::Withdraw, Some(transaction)) => TransactionReply::Undone(transaction.ended()?),
            _ => TransactionReply::Done,
        })
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

    /// Undoes what is to be undone without anybody asking.
    ///
    /// # Errors
    /// The last of what went wrong; everything was tried.
    pub fn heal_all(&self) -> Result<(), Failure> {
        let mut result = Ok(());
        for folder in self.folders()? {
            let healed = Transaction::locked(&folder).and_then(|mut transaction| match transaction.begin() {
                Ok(_) => transaction.heal(),
                Err(_) => Ok(()), // nothing was changed
            });
            result = healed.and(result);
        }
        result
    }

    /// Whether a transaction is open; one that cannot be read counts.
    pub fn has_open(&self) -> bool {
        let open = |folder: &PathBuf| match Transaction::locked(folder) {
            Ok(transaction) => transaction.begin().is_ok() && Phase::from(transaction.state()).is_open(),
            Err(_) => true,
        };
        self.folders().map_or(true, |folders| folders.iter().any(open))
    }

    fn all(&self) -> Result<TransactionReply, Failure> {
        let mut records = Vec::new();
        for folder in self.folders()? {
            // Whoever asks need not wait for a long task, but for an undo, whose end is near.
            let busy = Transaction::is_busy(&folder).then(|| Transaction::peek(&folder)).flatten();
            if let Some(record) = busy.filter(|record| record.phase != Phase::Undoing) {
                records.push(record);
                continue;
            }
            let mut transaction = Transaction::locked(&folder)?;
            if transaction.begin().is_ok() {
                transaction.heal()?;
                records.push(transaction.record()?);
            }
        }
        records.extend(self.of_others());
        records.sort_by(|left, right| (left.begun, &left.id).cmp(&(right.begun, &right.id)));
        Ok(TransactionReply::Listed(records))
    }
}

impl Journal {
    /// What is open in the journals of other users, for root to tell. Only read: nothing that they wrote is acted on as root.
    fn of_others(&self) -> Vec<TransactionRecord> {
        if !self.is_the_systems() {
            return Vec::new();
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut records = Vec::new();
        for line in users.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [user, _, uid, _, _, home, ..] = fields.as_slice() else { continue };
            if *uid == "0" || !home.starts_with('/') {
                continue;
            }
            let folder = Path::new(home).join(".local/state/rappel/transactions");
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let record = Transaction::peek(&entry.path()).filter(|record| record.phase.is_open());
                records.extend(record.map(|record| TransactionRecord { user: (*user).to_owned(), ..record }));
            }
        }
        records
    }
}

/// Why a step was refused, with the phase for the other side's protocol.
fn refusal(id: &str, state: Option<State>, ask: Ask) -> Failure {
    let Some(state) = state else { return Failure::new(format!("this host knows no transaction `{id}`")).with("phase", "unknown") };
    let word = state.word();
    let msg = match (ask, state) {
        (Ask::Abort, _) => format!("transaction `{id}` is {word} on this host: it can no longer be aborted, only rolled back"),
        (Ask::Withdraw, _) => format!("transaction `{id}` is {word} on this host: it has voted"),
        (Ask::Prepare, State::Undoing(Cause::Restarted) | State::Ended(Cause::Restarted)) => {
            format!("this host started again in the middle of transaction `{id}`, and has undone it")
        }
        (Ask::Prepare, State::Undoing(Cause::Healed) | State::Ended(Cause::Healed)) => {
            format!("this host did not hear from the controller for too long, and has undone transaction `{id}`")
        }
        (ask, _) => {
            let wanted = match ask {
                Ask::Prepare => "prepared",
                Ask::Decide => "decided",
                _ => "committed",
            };
            format!("transaction `{id}` is {word} on this host, so it cannot be {wanted}")
        }
    };
    Failure::new(msg)
        .with("phase", serde_json::to_value(Phase::from(state)).ok().as_ref().and_then(|name| name.as_str()).unwrap_or_default())
}

impl Transaction {
    fn perform(&mut self, act: Act, cause: Cause, voters: &[String]) -> Result<(), Failure> {
        match act {
            Act::SyncEffects => {
                rustix::fs::sync();
                Ok(())
            }
            Act::Write(Phase::Prepared) => self.append(&Line::Voted { voters: voters.to_vec() }),
            Act::Write(Phase::Decided) => self.append(&Line::Decided { voters: voters.to_vec() }),
            Act::Write(Phase::Committed) => self.append(&Line::Committed),
            Act::Write(Phase::Undoing) => self.append(&Line::Undoing { cause }),
            Act::Undo => self.undo_entries(),
            Act::Write(Phase::Undone) => self.close_undo(),
            Act::Write(Phase::Open) => Ok(()), // `begin` writes that
        }
    }

    /// Undoes by itself what the protocol lets it.
    fn heal_because(&mut self, cause: Cause) -> Result<(), Failure> {
        for act in Phase::from(self.state()).heal() {
            self.perform(*act, cause, &[])?;
        }
        Ok(())
    }

    /// What the host does with it when it has started again.
    pub(super) fn heal_after_restart(&mut self) -> Result<(), Failure> {
        let phase = Phase::from(self.state());
        if phase != phase.restarted() && self.outlived_a_start() { self.heal_because(Cause::Restarted) } else { Ok(()) }
    }

    /// Undoes what began before the host started again, what has waited for its controller for too long, and goes on with an
    /// undo that was cut off.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn heal(&mut self) -> Result<(), Failure> {
        self.heal_after_restart()?;
        match self.state() {
            State::Open if expired(self) => self.heal_because(Cause::Healed),
            State::Undoing(cause) => self.heal_because(cause),
            _ => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of it when all of `ids` begin at once in a new journal.
    fn begun(ids: &[&str]) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::at(folder.path());
        let begin = |id: &&str| Begin {
            id: (*id).to_owned(),
            participants: Vec::new(),
            coordinator: String::new(),
            host: String::new(),
            confirm_within: 0,
            purpose: String::new(),
            keeps_decision: true,
        };
        std::thread::scope(|scope| {
            let started: Vec<_> = ids.iter().map(|id| scope.spawn(|| journal.step(&TransactionStep::Begin(begin(id))))).collect();
            started.into_iter().flat_map(|thread| thread.join().unwrap()).count()
        })
    }

    #[test]
    fn who_begins_at_the_same_moment_is_seen() {
        for _ in 0..20 {
            assert_eq!(begun(&["a", "b", "c", "d"]), 1, "a host is in one transaction at a time");
            assert_eq!(begun(&["a"; 4]), 4, "one machine may have several names");
        }
    }
}
