//! [`Session`]: a host that was reached, and [`Route`]: how to reach it again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinHandle;

use super::blobs::Source;
use super::bootstrap::{self, Booted, Dialogue, Failed, Place};
use super::client::Connection;
use super::conduit::Conduit;
use super::connector::Shared;
use super::privilege;
use super::program::{Ending, Program, Said};
use super::{ConnectError, Endpoint, Link, Method, Privilege, PrivilegeError, Transport};
use crate::wire::{Digest, Hello};

/// The argument that makes `rappel` itself the agent, for hosts that are the controller.
pub const AGENT_ARGUMENT: &str = "__agent";

/// How long a program's output may stay open after the program has ended.
const LINGER: Duration = Duration::from_millis(200);

/// A host that was reached.
#[derive(Debug)]
pub struct Session {
    route: Arc<Route>,
    links: Mutex<HashMap<Option<Identity>, Started>>,
}

/// An agent, once it has been started.
type Started = Arc<OnceCell<Arc<Link>>>;

/// Whom an agent works as, and how that came about.
type Identity = (Method, String, Option<String>, Option<String>);

/// A program that ran without an agent (`raw`, `script`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// Its exit status; negative for a signal.
    pub status: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained.
    pub stderr: Vec<u8>,
}

impl Session {
    pub(super) async fn open(shared: Arc<Shared>, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let route = Arc::new(Route { shared, endpoint, connection: Mutex::new(None), others: Mutex::default() });
        if route.endpoint.transport == Transport::Ssh {
            route.connection().await?;
        }
        Ok(Self { route, links: Mutex::default() })
    }

    /// The agent that works as the login user, or as the user of `privilege`: started by the first who asks, shared by all.
    ///
    /// # Errors
    /// It cannot be started, or the user cannot be become. The next who asks tries again.
    pub async fn agent(&self, privilege: Option<&Privilege>) -> Result<Arc<Link>, ConnectError> {
        let identity = privilege.map(|wanted| (wanted.method, wanted.user.clone(), wanted.flags.clone(), wanted.exe.clone()));
        let cell = Arc::clone(self.links.lock().await.entry(identity).or_default());
        let open = || async { Link::open(Arc::clone(&self.route), privilege.cloned()).await.map(Arc::new) };
        cell.get_or_try_init(open).await.cloned()
    }

    /// Ends the agents that work as `user`, who is about to be removed: nobody is who has programs running.
    pub async fn dismiss(&self, user: &str) {
        let mut links = self.links.lock().await;
        let theirs = |identity: &&Option<Identity>| identity.as_ref().is_some_and(|(_, name, ..)| name == user);
        let identities: Vec<_> = links.keys().filter(theirs).cloned().collect();
        let cells: Vec<_> = identities.iter().filter_map(|identity| links.remove(identity)).collect();
        drop(links);
        for link in cells.iter().filter_map(|cell| cell.get()) {
            link.close().await;
        }
    }

    /// Runs `command` in the login shell without an agent, as the login user or as the user of `privilege`.
    ///
    /// # Errors
    /// It could not be started, or the connection was lost while it ran. An exit status is not an error.
    pub async fn exec(&self, command: &str, stdin: &[u8], privilege: Option<&Privilege>) -> Result<Completed, ConnectError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let command = match privilege {
            None => command.to_owned(),
            Some(privilege) => privilege::command(privilege, command, &token),
        };
        let _watch = self.route.watch("raw");
        let program = self.route.run(&command, privilege.is_some_and(privilege::needs_terminal)).await?;
        let mut dialogue = Dialogue::new(program);
        if let Some(privilege) = privilege {
            let elevated = dialogue.elevate(privilege, &token).await;
            elevated.map_err(|error| Failed::Privilege(error).explain(self.route.name(), Some(privilege)))?;
        }
        let (program, stdout, stderr) = dialogue.into_parts();
        let lost = || self.route.lost("a raw command", "the connection ended");
        finish(program, stdin.to_vec(), Completed { status: 0, stdout, stderr }).await.ok_or_else(lost)
    }

    /// Ends all agents and the connection. What still runs is told to stop.
    pub async fn close(&self) {
        let cells: Vec<_> = self.links.lock().await.drain().map(|(_, cell)| cell).collect();
        for link in cells.iter().filter_map(|cell| cell.get()) {
            link.close().await;
        }
        let first = self.route.connection.lock().await.take();
        let others = std::mem::take(&mut *self.route.others.lock().await);
        for connection in first.into_iter().chain(others) {
            connection.close().await;
        }
    }

    /// The endpoint that was asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.route.endpoint
    }
}

/// Feeds `stdin` to `program` and gathers what it says; `None` when the connection was lost before its end.
async fn finish(program: Program, stdin: Vec<u8>, mut completed: Completed) -> Option<Completed> {
    let Program { mut reader, mut writer } = program;
    let feed = tokio::spawn(async move {
        // A program that does not read its input is no failure.
        let _ = writer.write(stdin).await;
        writer.end().await;
        writer
    });
    let mut ending: Option<Ending> = None;
    loop {
        let said = match ending {
            None => reader.next().await,
            // A daemon it left behind may hold its output open for ever.
            Some(_) => tokio::time::timeout(LINGER, reader.next()).await.unwrap_or(None),
        };
        match said {
            Some(Said::Out(bytes)) => completed.stdout.extend_from_slice(&bytes),
            Some(Said::Err(bytes)) => completed.stderr.extend_from_slice(&bytes),
            Some(Said::Ended(how)) => ending = Some(how),
            None => break,
        }
    }
    feed.abort();
    completed.status = ending?.code();
    Some(completed)
}

/// How a host is reached, and the connection to it while there is one.
#[derive(Debug)]
pub(super) struct Route {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Further connections, to servers that run one program on each.
    others: Mutex<Vec<Arc<Connection>>>,
}

impl Route {
    /// The inventory name.
    pub(super) fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// The connection, made again if the last one broke.
    async fn connection(&self) -> Result<Arc<Connection>, ConnectError> {
        let mut connection = self.connection.lock().await;
        if let Some(alive) = connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Arc::clone(alive));
        }
        let _watch = self.watch("connect");
        let dialed = Arc::new(self.shared.dial(&self.endpoint).await?);
        *connection = Some(Arc::clone(&dialed));
        Ok(dialed)
    }

    /// Starts `command` in a shell.
    async fn run(&self, command: &str, terminal: bool) -> Result<Program, ConnectError> {
        if self.endpoint.transport == Transport::Ssh {
            return self.run_remote(command, terminal).await;
        }
        if terminal {
            let reason = PrivilegeError::Other("a password for `doas` needs a terminal, which a local connection has not".to_owned());
            return Err(ConnectError::Bootstrap { host: self.name().to_owned(), reason: reason.to_string() });
        }
        self.spawn(&["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()])
    }

    /// On the connection, or on one of its own when the server wants no second program on it (`MaxSessions 1`).
    async fn run_remote(&self, command: &str, terminal: bool) -> Result<Program, ConnectError> {
        let refused = match self.connection().await?.exec(command, terminal).await {
            Err(ConnectError::Channel { .. }) => true,
            other => return other,
        };
        tracing::debug!(host = self.name(), refused, "another connection for another program");
        let another = Arc::new(self.shared.dial(&self.endpoint).await?);
        let program = another.exec(command, terminal).await?;
        let mut others = self.others.lock().await;
        others.retain(|connection| !connection.is_closed());
        others.push(another);
        Ok(program)
    }

    fn spawn(&self, argv: &[String]) -> Result<Program, ConnectError> {
        Program::spawn(argv).map_err(|error| ConnectError::Bootstrap {
            host: self.name().to_owned(),
            reason: format!("cannot run `{}`: {error}", argv.first().map_or("", String::as_str)),
        })
    }

    /// The program for TLS that an agent on `arch` may ask for; the controller's own agent has TLS itself.
    pub(super) fn tls(&self, arch: &str) -> Option<(Digest, Source)> {
        (self.endpoint.transport == Transport::Ssh).then(|| self.shared.tls.offer(arch)).flatten()
    }

    /// Starts the agent.
    pub(super) async fn boot(&self, privilege: Option<&Privilege>, token: &str) -> Result<(Conduit, Hello, bool), ConnectError> {
        let _watch = self.watch("start the agent");
        let booted = match self.try_boot(privilege, token, Place::Home).await? {
            Err(Failed::NoRoom(_)) => self.try_boot(privilege, token, Place::Memory).await?,
            other => other,
        };
        let Booted { program, leftover, hello, cold } = booted.map_err(|failed| failed.explain(self.name(), privilege))?;
        tracing::debug!(host = self.name(), cold, uid = hello.uid, "agent is up");
        Ok((Conduit::new(self.name(), &hello, program, leftover), hello, cold))
    }

    async fn try_boot(&self, privilege: Option<&Privilege>, token: &str, place: Place) -> Result<Result<Booted, Failed>, ConnectError> {
        let agents = &self.shared.agents;
        let local = self.endpoint.transport == Transport::Local;
        let program = match privilege {
            None if local => self.spawn(&self.shared.local_agent(token))?,
            None => self.run(&format!("sh -c {}", privilege::quote(&agents.script(token, place))), false).await?,
            Some(privilege) => {
                let mut script = agents.script(token, place);
                if local {
                    script = format!("{}; {script}", self.shared.local_script(token));
                }
                self.run(&privilege::command(privilege, &script, token), privilege::needs_terminal(privilege)).await?
            }
        };
        Ok(bootstrap::boot(program, agents, privilege.map(|privilege| (privilege, token))).await)
    }

    fn lost(&self, doing: &str, reason: &str) -> ConnectError {
        ConnectError::Lost { host: self.name().to_owned(), doing: doing.to_owned(), reason: reason.to_owned() }
    }

    /// Tells the connector's listener when `doing` takes long, until the answer is dropped.
    pub(super) fn watch(&self, doing: &str) -> Watch {
        let Some((after, tell)) = self.shared.waiting() else { return Watch(None) };
        let (host, doing, started) = (self.name().to_owned(), doing.to_owned(), Instant::now());
        Watch(Some(tokio::spawn(async move {
            loop {
                tokio::time::sleep(after).await;
                tell(&host, &doing, started.elapsed());
            }
        })))
    }
}

/// See [`Route::watch`].
pub(super) struct Watch(Option<JoinHandle<()>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
