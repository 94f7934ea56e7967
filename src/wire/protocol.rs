//! The rules of fleet transactions, without disk and network: two-phase commit with presumed abort.
//!
//! A participant answers by [`Phase::rule`]; who closes a transaction, the controller that ran it or a later `recover`, asks as
//! [`Closing`] says. Nothing else decides, so that the explorer in `tests/protocol.rs` walks through what really runs.
//!
//! A decision to commit is one record on the coordinator host. As long as it may have been written, nobody is told to abort
//! before somebody whose vote it needs has refused for good: the coordinator host itself, or a participant that had not voted.

use serde::{Deserialize, Serialize};

/// How far a transaction is on one participant, as its journal on disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Tasks run; the dead-man's timer may undo.
    Open,
    /// Voted: it undoes only when asked.
    Prepared,
    /// Voted, and this host keeps the decision to commit.
    Decided,
    /// Over, with success.
    Committed,
    /// Being undone.
    Undoing,
    /// Over, undone.
    Undone,
}

/// What is asked of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// Vote.
    Prepare,
    /// Record the decision to commit.
    Decide,
    /// It is committed.
    Commit,
    /// Undo everything.
    Abort,
    /// Undo everything, unless you have voted: what makes a decision impossible without the coordinator host.
    Withdraw,
}

/// One thing that a participant does to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Bring the effects of all tasks to disk.
    SyncEffects,
    /// Write this phase to the journal, and bring it to disk.
    Write(Phase),
    /// Undo all effects, and bring that to disk.
    Undo,
}

/// How a participant answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// By doing this, in this order. Nothing, when it was done before.
    Do(&'static [Act]),
    /// It is too late, or too early.
    Refuse,
}

impl Phase {
    /// What a participant in `phase` does when asked; `None` is one that does not know the transaction.
    pub fn rule(phase: Option<Self>, ask: Ask) -> Ruling {
        use Act::{SyncEffects, Undo, Write};
        match (ask, phase) {
            // A vote for effects that a loss of power takes back would be a lie.
            (Ask::Prepare, Some(Self::Open)) => Ruling::Do(&[SyncEffects, Write(Self::Prepared)]),
            (Ask::Prepare, Some(Self::Prepared | Self::Decided | Self::Committed)) => Ruling::Do(&[]),
            (Ask::Decide, Some(Self::Prepared)) => Ruling::Do(&[Write(Self::Decided)]),
            (Ask::Decide, Some(Self::Decided | Self::Committed)) => Ruling::Do(&[]),
            (Ask::Commit, Some(Self::Prepared | Self::Decided)) => Ruling::Do(&[Write(Self::Committed)]),
            (Ask::Commit, Some(Self::Committed)) => Ruling::Do(&[]),
            (Ask::Withdraw, Some(Self::Open)) | (Ask::Abort, Some(Self::Open | Self::Prepared)) => {
                Ruling::Do(&[Write(Self::Undoing), Undo, Write(Self::Undone)])
            }
            (Ask::Abort | Ask::Withdraw, Some(Self::Undoing)) => Ruling::Do(&[Undo, Write(Self::Undone)]),
            // What was never begun changed nothing.
            (Ask::Abort, Some(Self::Undone) | None) | (Ask::Withdraw, Some(Self::Undone)) => Ruling::Do(&[]),
            _ => Ruling::Refuse,
        }
    }

    /// What a participant does by itself when the controller is silent for too long, or after a reboot.
    pub fn heal(self) -> &'static [Act] {
        match self {
            Self::Open => &[Act::Write(Self::Undoing), Act::Undo, Act::Write(Self::Undone)],
            Self::Undoing => &[Act::Undo, Act::Write(Self::Undone)],
            _ => &[],
        }
    }

    /// What it is in after the host has started again. What tasks did may be lost then, so there is no voting for it any more.
    #[must_use]
    pub fn restarted(self) -> Self {
        if self == Self::Open { Self::Undoing } else { self }
    }

    /// Whether it still has to hear how it ended.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Prepared | Self::Decided | Self::Undoing)
    }
}

/// What a participant said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// It did what it was asked, or had done it before.
    Done,
    /// It refused, being in this phase; `None` when it does not know the transaction.
    Refused(Option<Phase>),
    /// It gave no answer, or could not do it.
    Lost,
}

/// What is known of a participant before anybody closes the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Known {
    /// Its journal says so; `None` when the journal does not have the transaction.
    Phase(Option<Phase>),
    /// It cannot be asked.
    Unreachable,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Everybody is on the new version, or will be told.
    Committed,
    /// Everybody is back on the old version, or will be told.
    RolledBack,
    /// Nobody can say now: whoever keeps the decision gives no answer.
    InDoubt,
    /// One host has committed, and the coordinator host has undone: a journal was lost, or is from a backup.
    Contradiction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// Everybody votes.
    Voting,
    /// The coordinator host records the decision.
    Deciding,
    /// Everybody but the coordinator host hears of the decision; its record must outlast that.
    Committing,
    /// The coordinator host hears of it too, and may forget.
    Sealing,
    /// The decision, should it have been written, must be impossible before anybody else undoes.
    Forbidding(usize),
    /// Everybody undoes.
    Aborting,
    Over(End),
}

/// Closes a transaction: says whom to ask what, is told what they said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Closing {
    coordinator: usize,
    stage: Stage,
    /// By participant: its answer in this stage; `None` while it is awaited.
    heard: Vec<Option<Answer>>,
    /// By participant: whether it is known to have done what the end asks for.
    settled: Vec<bool>,
    /// A participant that had voted does not know the transaction any more.
    forgot: Vec<bool>,
}

impl Closing {
    /// To commit, when all votes are cast for it; by the controller that ran the transaction.
    pub fn commit(participants: usize, coordinator: usize) -> Self {
        let mut closing = Self::new(participants, coordinator);
        closing.enter(Stage::Voting);
        closing
    }

    /// To undo, by the controller that ran the transaction and has not asked for a decision.
    pub fn abort(participants: usize, coordinator: usize) -> Self {
        let mut closing = Self::new(participants, coordinator);
        closing.enter(Stage::Aborting);
        closing
    }

    /// To finish what another controller left, from what the journals say.
    pub fn settle(known: &[Known], coordinator: usize) -> Self {
        let mut closing = Self::new(known.len(), coordinator);
        let phase = |phase| known.contains(&Known::Phase(Some(phase)));
        let kept = known.get(coordinator).copied().unwrap_or(Known::Unreachable);
        let unvoted = known.iter().position(|known| matches!(known, Known::Phase(Some(Phase::Open | Phase::Undoing | Phase::Undone))));
        let stage = if phase(Phase::Committed) || phase(Phase::Decided) {
            match kept {
                Known::Phase(Some(Phase::Undoing | Phase::Undone)) => Stage::Over(End::Contradiction),
                _ => Stage::Committing,
            }
        } else if kept == Known::Unreachable {
            // The decision needs every vote: one that was not cast, and never will be, makes it impossible.
            unvoted.map_or(Stage::Over(End::InDoubt), Stage::Forbidding)
        } else {
            Stage::Forbidding(coordinator)
        };
        closing.enter(stage);
        closing
    }

    /// To undo although the coordinator host is gone for good with its record; somebody has to answer for that.
    pub fn without_coordinator(known: &[Known], coordinator: usize) -> Self {
        let mut closing = Self::settle(known, coordinator);
        if closing.end() == Some(End::InDoubt) {
            closing.enter(Stage::Aborting);
        }
        closing
    }

    fn new(participants: usize, coordinator: usize) -> Self {
        Self {
            coordinator,
            stage: Stage::Over(End::RolledBack),
            heard: vec![None; participants],
            settled: vec![false; participants],
            forgot: vec![false; participants],
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.heard.iter_mut().for_each(|heard| *heard = None);
        if !self.heard.is_empty() && self.asked().is_empty() {
            self.go_on();
        }
        if self.heard.is_empty() {
            self.stage = match stage {
                Stage::Voting | Stage::Committing => Stage::Over(End::Committed),
                Stage::Over(end) => Stage::Over(end),
                _ => Stage::Over(End::RolledBack),
            };
        }
    }

    /// Who has a question in this stage, answered or not.
    fn asked(&self) -> Vec<usize> {
        let all = 0..self.heard.len();
        match self.stage {
            Stage::Voting => all.collect(),
            Stage::Deciding | Stage::Sealing => vec![self.coordinator],
            Stage::Committing => all.filter(|who| *who != self.coordinator).collect(),
            Stage::Forbidding(who) => vec![who],
            Stage::Aborting => all.filter(|who| !self.settled.get(*who).copied().unwrap_or(false)).collect(),
            Stage::Over(_) => Vec::new(),
        }
    }

    /// Who is to be asked what now, all at once. Empty when it is over.
    pub fn questions(&self) -> Vec<(usize, Ask)> {
        let ask = match self.stage {
            Stage::Voting => Ask::Prepare,
            Stage::Deciding => Ask::Decide,
            Stage::Committing | Stage::Sealing => Ask::Commit,
            Stage::Forbidding(who) if who != self.coordinator => Ask::Withdraw,
            Stage::Forbidding(_) | Stage::Aborting => Ask::Abort,
            Stage::Over(_) => return Vec::new(),
        };
        self.asked().into_iter().filter(|who| self.heard.get(*who) == Some(&None)).map(|who| (who, ask)).collect()
    }

    /// Takes an answer to one of the questions.
    pub fn hear(&mut self, who: usize, answer: Answer) {
        if let Some(heard) = self.heard.get_mut(who) {
            *heard = Some(answer);
        }
        if self.questions().is_empty() {
            self.go_on();
        }
    }

    fn answers(&self) -> Vec<(usize, Answer)> {
        self.asked().into_iter().filter_map(|who| Some((who, (*self.heard.get(who)?)?))).collect()
    }

    fn mark(&mut self, who: usize) {
        if let Some(settled) = self.settled.get_mut(who) {
            *settled = true;
        }
    }

    /// Everybody has answered.
    fn go_on(&mut self) {
        let answers = self.answers();
        let all_done = answers.iter().all(|(_, answer)| *answer == Answer::Done);
        let first = answers.first().map(|(_, answer)| *answer);
        match self.stage {
            Stage::Voting if all_done => self.enter(Stage::Deciding),
            Stage::Voting => self.enter(Stage::Aborting),
            Stage::Deciding if all_done => self.enter(Stage::Committing),
            // It may have been written all the same.
            Stage::Deciding => self.enter(Stage::Forbidding(self.coordinator)),
            Stage::Forbidding(who) => match first {
                Some(Answer::Done) => {
                    self.mark(who);
                    self.enter(Stage::Aborting);
                }
                Some(Answer::Refused(Some(Phase::Decided | Phase::Committed))) => self.enter(Stage::Committing),
                _ => self.stage = Stage::Over(End::InDoubt),
            },
            Stage::Committing => {
                let mut missing = false;
                for (who, answer) in answers {
                    match answer {
                        Answer::Done => self.mark(who),
                        // It has nothing that could be undone: it never took part, or it was set back to before.
                        Answer::Refused(None) => {
                            self.mark(who);
                            self.forgot.get_mut(who).into_iter().for_each(|forgot| *forgot = true);
                        }
                        Answer::Refused(Some(_)) | Answer::Lost => missing = true,
                    }
                }
                // Whoever has not heard of the decision will ask for it.
                if missing { self.stage = Stage::Over(End::Committed) } else { self.enter(Stage::Sealing) }
            }
            Stage::Sealing => {
                if all_done {
                    self.mark(self.coordinator);
                }
                self.stage = Stage::Over(End::Committed);
            }
            Stage::Aborting => {
                for (who, _) in answers.iter().filter(|(_, answer)| *answer == Answer::Done) {
                    self.mark(*who);
                }
                let committed = |(_, answer): &(usize, Answer)| matches!(answer, Answer::Refused(Some(Phase::Decided | Phase::Committed)));
                self.stage = Stage::Over(if answers.iter().any(committed) { End::Contradiction } else { End::RolledBack });
            }
            Stage::Over(_) => {}
        }
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<End> {
        match self.stage {
            Stage::Over(end) => Some(end),
            _ => None,
        }
    }

    /// Whether participant `who` is known to be where the transaction ended.
    pub fn settled(&self, who: usize) -> bool {
        self.settled.get(who).copied().unwrap_or(false)
    }

    /// Whether participant `who` does not know the transaction, although the others committed it.
    pub fn forgot(&self, who: usize) -> bool {
        self.forgot.get(who).copied().unwrap_or(false)
    }
}
