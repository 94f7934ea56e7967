//! [`Reach`]: single calls to hosts of the inventory, outside any play. The pipeline's lock, its state files and `recover` need them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};

use super::fleet::Wiring;
use super::{ConnectionDefaults, Emitter, Inputs, PlayState, Settings, Shared};
use crate::plan::scope::Locals;
use crate::plan::{self, Context};
use crate::ssh::{Blobs, Link, Method, Privilege, Session, Transport};
use crate::template::Scope;
use crate::text::Span;
use crate::wire::{Call, Failure, Map, Outcome, TransactionReply, TransactionStep};

/// Hosts within reach. Connections are opened when first needed, and kept.
pub struct Reach {
    shared: Arc<Shared>,
    play: Arc<PlayState>,
    privileged: bool,
    /// By host and user; no user is the one that single calls run as.
    links: Mutex<HashMap<(String, String), Open>>,
}

/// A connection, and the agent on it.
type Open = (Arc<Session>, Arc<Link>);

/// Why a host gave no answer, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreached(String);

impl Reach {
    /// Hosts of `inputs`, with the variables that stand beside the playbooks in `folder`; as root if `privileged`.
    pub fn new(settings: Settings, inputs: Inputs, folder: PathBuf, privileged: bool) -> Self {
        let (nobody, _) = mpsc::channel(1); // these calls are no part of a run: there is nobody to tell
        let events = Emitter::new(nobody, inputs.sources.clone(), inputs.vault.secrets().clone());
        let shared = Arc::new(Shared::new(settings, inputs, events));
        let plan = plan::Play::of(folder, Arc::default());
        let play = Arc::new(PlayState::new(Arc::new(plan), String::new(), Vec::new(), Locals::default()));
        Self { shared, play, privileged, links: Mutex::default() }
    }

    /// The hosts that a pattern selects.
    ///
    /// # Errors
    /// The pattern makes no sense.
    pub fn hosts(&self, pattern: &str) -> Result<Vec<String>, String> {
        let id = self.shared.sources.add("hosts", pattern);
        self.shared.select(pattern, Span::new(id, 0, pattern.len())).map_err(|diagnostic| diagnostic.message)
    }

    /// Runs one module on `host`.
    ///
    /// # Errors
    /// The host gave no answer. A failed module is an answer.
    pub async fn call(&self, host: &str, module: &str, params: Map) -> Result<Result<Outcome, Failure>, Unreached> {
        let link = self.link(host, "").await?;
        let call = Call { module: module.to_owned(), params, ..Call::default() };
        let answered = link.call(call, &Blobs::default(), None).await;
        self.settle(host, "", answered).await
    }

    /// Takes one step of a transaction on `host`, in the journal of `user`; no name is the user that single calls run as.
    ///
    /// # Errors
    /// The host gave no answer. A refusal is an answer.
    pub async fn transaction(&self, host: &str, user: &str, step: TransactionStep) -> Result<Result<TransactionReply, Failure>, Unreached> {
        let link = self.link(host, user).await?;
        let answered = link.transaction(step).await;
        self.settle(host, user, answered).await
    }

    /// Closes everything.
    pub async fn close(&self) {
        for (_, (session, _)) in self.links.lock().await.drain() {
            session.close().await;
        }
    }

    async fn settle<T>(&self, host: &str, user: &str, answered: Result<T, crate::ssh::LinkError>) -> Result<T, Unreached> {
        if answered.as_ref().is_err_and(crate::ssh::LinkError::is_lost) {
            self.links.lock().await.remove(&(host.to_owned(), user.to_owned()));
        }
        answered.map_err(|error| Unreached(error.to_string()))
    }

    /// Connects to `host` and starts its worker, and says how long each took.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn open(&self, host: &str) -> Result<(Duration, Duration), Unreached> {
        self.connect(host, "").await.map(|(_, took)| took)
    }

    async fn link(&self, host: &str, user: &str) -> Result<Arc<Link>, Unreached> {
        if let Some((_, link)) = self.links.lock().await.get(&(host.to_owned(), user.to_owned())) {
            return Ok(Arc::clone(link));
        }
        self.connect(host, user).await.map(|(link, _)| link)
    }

    async fn connect(&self, host: &str, user: &str) -> Result<(Arc<Link>, (Duration, Duration)), Unreached> {
        let begun = Instant::now();
        let refused = |diagnostic: crate::text::Diagnostic| Unreached(diagnostic.message);
        let context = Arc::new(Context::default());
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host, &context));
        let (templar, defaults) = (&self.shared.templar, &self.shared.settings.connection);
        let wiring = Wiring { templar, scope: &scope, context: &context, defaults };
        let mut endpoint = wiring.endpoint(host).map_err(refused)?;
        if self.shared.is_implicit(host) && scope.get("ansible_connection").is_none() {
            endpoint.transport = Transport::Local;
        }
        // The inventory may say how to become root, with which password; whether, is not for it to say here.
        let wanted = ConnectionDefaults { privileged: true, ..defaults.clone() };
        let how = Wiring { defaults: &wanted, ..wiring }.privilege().map_err(refused)?;
        let how = how.unwrap_or_else(|| Privilege { password: defaults.become_password.clone(), ..Privilege::new(Method::Sudo, "root") });
        let privilege = match user {
            "" if !self.privileged => None,
            "" => Some(how),
            user => Some(Privilege { user: user.to_owned(), ..how }),
        };
        let session = self.shared.fleet.session(&endpoint, &self.shared.events).await.map_err(|error| Unreached(error.to_string()))?;
        let connected = begun.elapsed();
        let link = match session.agent(privilege.as_ref()).await {
            Ok(link) => link,
            Err(error) => {
                self.shared.fleet.forget(&endpoint).await;
                return Err(Unreached(error.to_string()));
            }
        };
        self.links.lock().await.insert((host.to_owned(), user.to_owned()), (session, Arc::clone(&link)));
        Ok((link, (connected, begun.elapsed().saturating_sub(connected))))
    }
}
