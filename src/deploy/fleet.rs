//! [`Fleet`]: all that the pipeline needs of the hosts. The command line gives it the real one, tests a made-up one.

use std::path::PathBuf;

use futures::future::BoxFuture;
use indexmap::IndexMap;
use serde_json::Value as Json;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, Exit};
use crate::wire::{Failure, Map, Outcome, TransactionReply, TransactionStep};

/// One run of a playbook.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The file.
    pub playbook: PathBuf,
    /// Extra variables.
    pub variables: IndexMap<String, Json>,
    /// Predict only, with differences.
    pub check: bool,
    /// Make every play a fleet transaction. A playbook may say so itself.
    pub atomic: bool,
    /// Who and what for: kept in the hosts' journals, so that `recover` and `status` can tell.
    pub purpose: String,
    /// Go through this host (`user@host:port`).
    pub jump: Option<String>,
}

/// Why a call brought no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The host could not be reached, or was lost.
    #[error("{0}")]
    Unreachable(String),
    /// It was reached, and the module failed.
    #[error("{}", .0.msg)]
    Failed(Failure),
}

/// The hosts of one environment.
pub trait Fleet: Send + Sync {
    /// The inventory names that a host pattern selects.
    ///
    /// # Errors
    /// A pattern that makes no sense, in words.
    fn hosts(&self, pattern: &str) -> Result<Vec<String>, String>;

    /// Runs a playbook; everything there is to know goes to `events`. Once `stop` is cancelled, the run rolls back and ends.
    fn play<'a>(&'a self, order: &'a Order, events: &'a Sender<Event>, stop: &'a CancellationToken) -> BoxFuture<'a, Exit>;

    /// Runs one module on one host, outside any transaction.
    fn call<'a>(&'a self, host: &'a str, module: &'a str, params: Map) -> BoxFuture<'a, Result<Outcome, CallError>>;

    /// Takes one step of a fleet transaction on one host.
    ///
    /// `user` is whose journal it is; empty for the user that single calls run as.
    fn transaction<'a>(&'a self, host: &'a str, user: &'a str, step: TransactionStep)
    -> BoxFuture<'a, Result<TransactionReply, CallError>>;
}
