//! Steers the run itself.
//!
//! ```yaml
//! - meta: flush_handlers
//! ```
//!
//! `flush_handlers`, `end_play`, `end_host`, `end_batch`, `end_role`, `clear_facts`, `clear_host_errors`,
//! `refresh_inventory`, `reset_connection`, `noop`.

use super::prelude::*;
use crate::choice;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

choice! {
    pub enum Word {
        FlushHandlers = "flush_handlers",
        EndPlay = "end_play",
        EndHost = "end_host",
        EndBatch = "end_batch",
        EndRole = "end_role",
        ClearFacts = "clear_facts",
        ClearHostErrors = "clear_host_errors",
        RefreshInventory = "refresh_inventory",
        ResetConnection = "reset_connection",
        Noop = "noop",
    }
}

params! {
    pub struct Meta {
        /// What to do.
        action: Word,
    }
    free_form = action;
}

pub(super) async fn run(_call: ActionCall<'_>) -> Result<Answer, Trouble> {
    // The play does it, for all hosts at once; only a name that is a template comes here.
    Err(Failure::new("the name of a `meta` action cannot be a template").into())
}
