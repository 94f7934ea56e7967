//! [`Link`]: calls to one agent. It outlives the connection under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::conduit::{Conduit, Question};
use super::session::Route;
use super::{Blobs, ConnectError, LinkError, Privilege};
use crate::wire::{Call, Failure, Hello, Outcome, Reply, Request, TransactionReply, TransactionStep};

/// How much longer than its own time limit a call may stay unanswered before the link gives up on it.
const GRACE: Duration = Duration::from_secs(30);

/// How long a lost connection is tried to be had again while answers are awaited. The agent waits longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes that a program of a running call printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// On standard error rather than standard output.
    pub stderr: bool,
    /// What it printed.
    pub bytes: Vec<u8>,
    /// How many bytes before these were not passed on, because the receiver was full.
    pub missed: u64,
}

/// Calls to one agent: one user on one host. Many tasks may call at once; the agent answers in order.
#[derive(Debug)]
pub struct Link {
    route: Arc<Route>,
    privilege: Option<Privilege>,
    /// Tells the agent which calls belong together across a reconnect.
    token: String,
    next: AtomicU64,
    hello: Hello,
    cold: bool,
    conduit: Mutex<Arc<Conduit>>,
}

impl Link {
    /// Starts an agent.
    pub(super) async fn open(route: Arc<Route>, privilege: Option<Privilege>) -> Result<Self, ConnectError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let (conduit, hello, cold) = route.boot(privilege.as_ref(), &token).await?;
        Ok(Self { route, privilege, token, next: AtomicU64::new(1), hello, cold, conduit: Mutex::new(Arc::new(conduit)) })
    }

    /// What the agent said of itself when it was first started.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whether the agent had to be sent to the host first.
    pub fn was_cold(&self) -> bool {
        self.cold
    }

    /// Runs one module. The link numbers the call; content that the agent lacks is sent from `blobs`; what its programs print
    /// goes to `output` while they run (and is dropped, and counted, while that is full: the outcome has it all).
    ///
    /// Dropping the future stops the call on the host. A connection that is lost meanwhile is made again, and the agent then
    /// answers what it was asked before; nothing is run twice.
    ///
    /// # Errors
    /// There is no answer. A failed module is an answer.
    pub async fn call(
        &self,
        call: Call,
        blobs: &Blobs,
        output: Option<mpsc::Sender<Output>>,
    ) -> Result<Result<Outcome, Failure>, LinkError> {
        self.call_in_line(call, blobs, output, None).await
    }

    /// As [`Link::call`]; `queued` is told once the call is on its way. The agent works in the order of the requests, so the
    /// next call may then be sent without waiting for this one's answer.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub async fn call_in_line(
        &self,
        mut call: Call,
        blobs: &Blobs,
        output: Option<mpsc::Sender<Output>>,
        queued: Option<oneshot::Sender<()>>,
    ) -> Result<Result<Outcome, Failure>, LinkError> {
        let id = self.number();
        call.id = id;
        let limit = call.timeout.map(|seconds| Duration::from_secs(seconds.into()) + GRACE);
        let doing = call.module.clone();
        let mut blobs = blobs.clone();
        if let Some((digest, program)) = self.route.tls(&self.hello.arch) {
            blobs.offer(digest, program);
            call.tls = Some(digest);
            // The undo may run when nobody can be asked.
            if let Some(undo) = call.transaction.as_mut().and_then(|recording| recording.undo.as_mut()) {
                undo.tls = Some(digest);
            }
        }
        let question = Question { blobs, output, limit, queued, ..Question::plain(id, &doing) };
        match self.ask(&Request::Call(Box::new(call)), question).await? {
            Reply::Done { result, .. } => Ok(result),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Takes one step of a transaction.
    ///
    /// # Errors
    /// There is no answer. A refusal is an answer.
    pub async fn transaction(&self, step: TransactionStep) -> Result<Result<TransactionReply, Failure>, LinkError> {
        let id = self.number();
        let question = Question::plain(id, step_name(&step));
        match self.ask(&Request::Transaction { id, step }, question).await? {
            Reply::Transaction { result, .. } => Ok(result),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Asks whether the agent lives. A call that runs is finished first.
    ///
    /// # Errors
    /// It does not, and could not be started again.
    pub async fn ping(&self) -> Result<(), LinkError> {
        let id = self.number();
        let question = Question::plain(id, "ping");
        match self.ask(&Request::Ping { id }, question).await? {
            Reply::Pong { .. } => Ok(()),
            other => Err(self.nonsense(&other)),
        }
    }

    /// Pings the agent every `interval` until the answer is dropped: feeds a transaction's dead-man's timer, and dials again
    /// when the connection is lost meanwhile.
    pub fn heartbeat(self: &Arc<Self>, interval: Duration) -> Heartbeat {
        let link = Arc::clone(self);
        Heartbeat(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Err(error) = link.beat().await {
                    tracing::debug!(host = link.route.name(), %error, "heartbeat");
                }
            }
        }))
    }

    /// Sends a ping and does not wait for its answer: the agent may be busy with a long call.
    async fn beat(&self) -> Result<(), LinkError> {
        let id = self.number();
        let conduit = self.conduit().await?;
        conduit.send(&Request::Ping { id }).await
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The conduit, opened again if the last one broke. Who waits for answers of that one waits for this one's then.
    async fn conduit(&self) -> Result<Arc<Conduit>, ConnectError> {
        let mut conduit = self.conduit.lock().await;
        if conduit.is_broken() {
            match self.open_again(conduit.is_awaited()).await {
                Ok(opened) => {
                    opened.take_over(&conduit).await;
                    *conduit = Arc::new(opened);
                }
                Err(error) => {
                    conduit.give_up(&format!("it could not be had again: {error}"));
                    return Err(error);
                }
            }
        }
        Ok(Arc::clone(&conduit))
    }

    async fn open_again(&self, awaited: bool) -> Result<Conduit, ConnectError> {
        let until = Instant::now() + if awaited { PATIENCE } else { Duration::ZERO };
        loop {
            match self.route.boot(self.privilege.as_ref(), &self.token).await {
                Ok((opened, ..)) => return Ok(opened),
                Err(error) if error.is_privilege() || Instant::now() + PAUSE > until => return Err(error),
                Err(error) => tracing::debug!(host = self.route.name(), %error, "dial again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self, request: &Request, question: Question) -> Result<Reply, LinkError> {
        let (limit, doing) = (question.limit, question.doing.clone());
        let watch = self.route.watch(&doing);
        let asked = self.ask_until_answered(request, question);
        let reply = match limit {
            None => asked.await,
            Some(after) => tokio::time::timeout(after, asked)
                .await
                .unwrap_or_else(|_| Err(LinkError::Timeout { host: self.route.name().to_owned(), doing, after })),
        };
        drop(watch);
        reply
    }

    async fn ask_until_answered(&self, request: &Request, mut question: Question) -> Result<Reply, LinkError> {
        let conduit = self.conduit().await?;
        let mut answered = conduit.post(request, &mut question).await?;
        let mut withdrawal = Withdrawal { id: question.id, conduit };
        loop {
            let conduit = Arc::clone(&withdrawal.conduit);
            let moved = async {
                conduit.ended().await;
                self.conduit().await
            };
            tokio::select! {
                biased;
                answer = &mut answered => return match answer {
                    Ok(Ok(reply)) => Ok(reply),
                    Ok(Err(broken)) => Err(conduit.explain(&question.doing, Some(broken))),
                    Err(_) => Err(conduit.explain(&question.doing, None)),
                },
                Ok(next) = moved => {
                    // A request that came to the broken one after the others had moved on.
                    next.take_over(&conduit).await;
                    withdrawal.conduit = next;
                }
            }
        }
    }

    fn nonsense(&self, reply: &Reply) -> LinkError {
        let kind = match reply {
            Reply::Hello(_) => "a greeting",
            Reply::Done { .. } => "an outcome",
            Reply::Output { .. } => "output",
            Reply::Need { .. } => "a request for content",
            Reply::Transaction { .. } => "a transaction's answer",
            Reply::Pong { .. } => "a pong",
        };
        LinkError::Protocol { host: self.route.name().to_owned(), reason: format!("expected another answer, found {kind}") }
    }

    /// Ends the agent. A later call starts it again.
    pub(super) async fn close(&self) {
        self.conduit.lock().await.close("it was closed").await;
    }
}

/// Tells the agent to stop a call whose caller went away.
struct Withdrawal {
    id: u64,
    conduit: Arc<Conduit>,
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        self.conduit.withdraw(self.id);
    }
}

fn step_name(step: &TransactionStep) -> &'static str {
    match step {
        TransactionStep::Begin(_) => "begin transaction",
        TransactionStep::Prepare { .. } => "prepare transaction",
        TransactionStep::Decide { .. } => "decide transaction",
        TransactionStep::Commit { .. } => "commit transaction",
        TransactionStep::Abort { .. } => "abort transaction",
        TransactionStep::Rollback { .. } => "roll back a transaction",
        TransactionStep::List => "list transactions",
    }
}

/// Keeps pinging until dropped; see [`Link::heartbeat`].
#[derive(Debug)]
pub struct Heartbeat(JoinHandle<()>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}
