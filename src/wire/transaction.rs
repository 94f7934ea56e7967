//! Messages of fleet transactions; [`super::protocol`] has their rules.

use serde::{Deserialize, Serialize};

use super::Call;
use super::protocol::Phase;

/// Where the undo records of a call go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recording {
    /// The transaction.
    pub id: String,
    /// The number of the step in it.
    pub step: u32,
    /// The task's own undo, in place of what is known of its module.
    pub undo: Option<Box<Call>>,
}

/// What the controller asks of a participant; see [`super::protocol`] for the rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TransactionStep {
    /// Open transaction `id`: write it to the journal, arm the dead-man's timer.
    Begin(Begin),
    /// Vote: sync everything, disarm the timer.
    Prepare {
        /// Which transaction.
        id: String,
        /// Who is asked to vote.
        voters: Vec<String>,
    },
    /// On the coordinator host only: record the decision to commit. This is the commit point.
    Decide {
        /// Which transaction.
        id: String,
        /// Who has voted for it.
        voters: Vec<String>,
    },
    /// Drop the undo data.
    Commit {
        /// Which transaction.
        id: String,
    },
    /// Undo everything, newest first.
    Abort {
        /// Which transaction.
        id: String,
        /// Refuse when the host has voted; see [`super::protocol::Ask::Withdraw`].
        unvoted: bool,
    },
    /// Undo what was committed, as long as no later transaction has begun.
    Rollback {
        /// Which transaction.
        id: String,
    },
    /// List the transactions in this host's journal.
    List,
}

/// How a transaction starts on one participant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// Names the transaction on every participant.
    pub id: String,
    /// Inventory names of all participants.
    pub participants: Vec<String>,
    /// The inventory name of the host that keeps the decision.
    pub coordinator: String,
    /// This host's inventory name.
    pub host: String,
    /// Seconds without word from the controller after which the host undoes by itself; 0 for never.
    pub confirm_within: u32,
    /// Who and what for: shown by `status` and `recover`.
    pub purpose: String,
    /// Whether this journal keeps the decision.
    pub keeps_decision: bool,
}

/// What a participant says to a transaction step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TransactionReply {
    /// Done, and on disk.
    Done,
    /// Undone, with what could not be.
    Undone(UndoReport),
    /// The journal's transactions.
    Listed(Vec<TransactionRecord>),
}

/// What an abort did on one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UndoReport {
    /// Steps undone exactly.
    pub undone: u32,
    /// Steps undone as well as they can be (packages, services), in words.
    pub best_effort: Vec<String>,
    /// Steps that have no undo (`command`, `shell`), in words.
    pub impossible: Vec<String>,
    /// Things that somebody else changed since, and that were left alone, in words.
    pub conflicts: Vec<String>,
    /// Undo steps that failed, in words. Not empty means: this host is in a mixed state.
    pub failures: Vec<String>,
}

/// One transaction in a host's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransactionRecord {
    /// Its name.
    pub id: String,
    /// `open`, `prepared`, `decided`, `committed`, `undoing`, `aborted`, `healed` (undone by the host itself) or `rolled back`.
    pub state: String,
    /// How far it is by the protocol.
    pub phase: Phase,
    /// As in [`Begin`].
    pub participants: Vec<String>,
    /// As in [`Begin`].
    pub coordinator: String,
    /// As in [`Begin`].
    pub host: String,
    /// As in [`Begin`].
    pub purpose: String,
    /// Seconds since the epoch, by the host's clock.
    pub begun: u64,
    /// What an undo did, once there was one.
    pub undo: Option<UndoReport>,
    /// Whose journal it is in, when it is not that of the agent's user.
    pub user: String,
    /// As in [`Begin`].
    pub keeps_decision: bool,
    /// Who was asked to vote.
    pub voters: Vec<String>,
}
