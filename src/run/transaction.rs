//! Fleet transactions: opened when the first host enters one, closed when the last has left.
//!
//! Two-phase commit with presumed abort. The coordinator host, the first of the batch, keeps the decision; until it is
//! written there, everything that happens means "undo".

use super::batch::{Batch, Round};

impl Batch {
    /// Opens the transaction that `round` enters, and closes one that all hosts have left.
    #[expect(clippy::unused_async, clippy::needless_pass_by_ref_mut, reason = "the journal comes with the next change")]
    pub(super) async fn transactions(&mut self, _round: &Round) {}

    /// Closes what is still open at the end of a batch.
    #[expect(clippy::unused_async, clippy::needless_pass_by_ref_mut, reason = "the journal comes with the next change")]
    pub(super) async fn close_transactions(&mut self) {}
}
