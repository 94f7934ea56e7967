//! [`Connector`]: what all connections of a run share: keys, known hosts, configuration, limits.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::bootstrap::Agents;
use super::config::Files;
use super::dial::JumpHosts;
use super::keys::Keys;
use super::known_hosts::KnownHosts;
use super::limits::Limits;
use super::session::AGENT_ARGUMENT;
use super::settings::World;
use super::tls::TlsPrograms;
use super::{ConnectError, Endpoint, Secret, Session, privilege};

/// Asks for the passphrase of a key file; `None` when there is nobody to ask.
pub type AskPassphrase = Arc<dyn Fn(&Path) -> Option<Secret> + Send + Sync>;

/// Told again and again while a host keeps us waiting: its name, with what, for how long.
pub type TellWaiting = Arc<dyn Fn(&str, &str, Duration) + Send + Sync>;

/// Settings of a [`Connector`].
#[derive(Clone)]
pub struct ConnectorOptions {
    /// A program to send as the agent in place of the embedded one.
    pub agent: Option<PathBuf>,
    /// A folder of agents for other architectures, and of their programs for TLS: `agent-aarch64`, `tls-aarch64`.
    pub agents: Option<PathBuf>,
    /// The program that is the agent of local connections when its first argument is [`AGENT_ARGUMENT`]; `None` for this one.
    pub local_agent: Option<PathBuf>,
    /// `ssh_config(5)` in place of the user's and the system's; `/dev/null` for none.
    pub ssh_config: Option<PathBuf>,
    /// In place of the user's home directory, for `~/.ssh` and everything in it.
    pub home: Option<PathBuf>,
    /// The ssh-agent's socket in place of `SSH_AUTH_SOCK`; `none` for no ssh-agent.
    pub ssh_agent: Option<PathBuf>,
    /// How long connecting and logging in may take when neither endpoint nor configuration say.
    pub connect_timeout: Duration,
    /// Connections that may be set up at once, everywhere.
    pub setups: usize,
    /// Handshakes that may be under way at once with one address: servers drop more than about ten (`MaxStartups`).
    pub handshakes: usize,
    /// An idle connection is probed this often; after four probes without an answer it is lost.
    pub keepalive: Duration,
    /// Asks for the passphrases of encrypted keys, once per key.
    pub ask_passphrase: Option<AskPassphrase>,
    /// How long a host may keep us waiting before somebody is told, and who.
    pub waiting: Option<(Duration, TellWaiting)>,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self {
            agent: None,
            agents: None,
            local_agent: None,
            ssh_config: None,
            home: None,
            ssh_agent: None,
            connect_timeout: Duration::from_secs(10),
            setups: 64,
            handshakes: 8,
            keepalive: Duration::from_secs(15),
            ask_passphrase: None,
            waiting: None,
        }
    }
}

impl fmt::Debug for ConnectorOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_struct("ConnectorOptions").field("agent", &self.agent).field("setups", &self.setups).finish_non_exhaustive()
    }
}

/// Makes connections. Cloning is cheap; the clones share keys, known hosts and limits.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Shared>);

impl Connector {
    /// A connector; nothing is read or asked yet.
    pub fn new(options: ConnectorOptions) -> Self {
        Self(Arc::new(Shared::new(options)))
    }

    /// Reaches `endpoint`: dials and logs in. Its agent is not started yet.
    ///
    /// # Errors
    /// It cannot be reached, is not who it should be, or does not let us in.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Arc<Session>, ConnectError> {
        Session::open(Arc::clone(&self.0), endpoint.clone()).await.map(Arc::new)
    }
}

/// See [`Connector`].
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: ConnectorOptions,
    pub(super) agents: Arc<Agents>,
    pub(super) tls: TlsPrograms,
    pub(super) limits: Limits,
    pub(super) files: Files,
    pub(super) world: World,
    pub(super) keys: Keys,
    pub(super) known_hosts: Arc<KnownHosts>,
    pub(super) jump_hosts: JumpHosts,
}

impl Shared {
    fn new(options: ConnectorOptions) -> Self {
        let agents = Arc::new(Agents::new(options.agent.as_deref(), options.agents.clone()));
        let tls = TlsPrograms::new(options.agents.clone());
        let limits = Limits::new(options.setups, options.handshakes);
        let world = World::new(&options);
        let keys = Keys::new(options.ask_passphrase.clone());
        Self {
            options,
            agents,
            tls,
            limits,
            files: Files::default(),
            world,
            keys,
            known_hosts: Arc::default(),
            jump_hosts: JumpHosts::default(),
        }
    }

    pub(super) fn waiting(&self) -> Option<(Duration, TellWaiting)> {
        self.options.waiting.clone()
    }

    /// The command of the local agent.
    pub(super) fn local_agent(&self, token: &str) -> Vec<String> {
        vec![self.local_program(), AGENT_ARGUMENT.to_owned(), token.to_owned()]
    }

    /// Starts the local agent, for users that can reach the program.
    pub(super) fn local_script(&self, token: &str) -> String {
        let program = privilege::quote(&self.local_program());
        format!("[ -x {program} ] && exec {program} {AGENT_ARGUMENT} {token}")
    }

    fn local_program(&self) -> String {
        let own = || std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        self.options.local_agent.clone().unwrap_or_else(own).display().to_string()
    }
}
