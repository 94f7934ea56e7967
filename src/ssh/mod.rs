//! SSH: one connection per host, one agent per user on it, many calls through each. Knows no playbook.
//!
//! [`Connector::connect`] gives a [`Session`], [`Session::agent`] a [`Link`], and [`Link::call`] does the work. A link outlives
//! the connection under it: when that breaks between two calls, the next call dials again.

mod arguments;
mod auth;
mod blobs;
mod bootstrap;
mod client;
mod conduit;
mod config;
mod connector;
mod contents;
mod dial;
mod error;
mod keys;
mod known_hosts;
mod limits;
mod link;
mod privilege;
mod program;
mod session;
mod settings;
mod tls;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

pub use blobs::Blobs;
pub use connector::{AskPassphrase, Connector, ConnectorOptions, TellWaiting};
pub use contents::Contents;
pub use error::{ConnectError, LinkError, PrivilegeError};
pub use link::{Heartbeat, Link, Output};
pub use session::{AGENT_ARGUMENT, Completed, Session};

/// A password. It is wiped when dropped, and neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// How a host is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Over the network.
    #[default]
    Ssh,
    /// It is the controller itself (`ansible_connection: local`).
    Local,
}

/// A host to connect to, in the words of the inventory; `ssh_config(5)` fills in what is `None`.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// The inventory name, for messages.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// `ansible_host`, or the inventory name: a name, an address, or an alias of `ssh_config(5)`.
    pub host: String,
    /// `ansible_port`.
    pub port: Option<u16>,
    /// `ansible_user`, `remote_user`.
    pub user: Option<String>,
    /// `ansible_ssh_private_key_file`.
    pub identity_files: Vec<PathBuf>,
    /// `ansible_password`.
    pub password: Option<Secret>,
    /// `ansible_sshpass_prompt`: the only question that the password answers.
    pub password_prompt: Option<String>,
    /// `ansible_ssh_args` as one string; its options win over the fields above, as they stand first on Ansible's command line.
    pub ssh_args: String,
    /// `ansible_ssh_common_args`, `ansible_ssh_extra_args` and their command-line equals; the fields above win over these.
    pub extra_args: Vec<String>,
    /// How long connecting and logging in may take; `None` for the connector's default.
    pub connect_timeout: Option<Duration>,
    /// `host_key_checking`: `Some(false)` accepts every key.
    pub host_key_checking: Option<bool>,
}

impl Endpoint {
    /// The host `name`, reached by SSH under that name.
    pub fn ssh(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { host: name.clone(), name, ..Self::default() }
    }

    /// The controller itself, called `name`.
    pub fn local(name: impl Into<String>) -> Self {
        Self { transport: Transport::Local, ..Self::ssh(name) }
    }
}

/// Which program makes us another user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// `sudo`
    #[default]
    Sudo,
    /// `su`
    Su,
    /// `doas`
    Doas,
}

impl Method {
    /// The method called `name` in `become_method`.
    pub fn find(name: &str) -> Option<Self> {
        let short = name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("community.general.")).unwrap_or(name);
        match short {
            "sudo" => Some(Self::Sudo),
            "su" => Some(Self::Su),
            "doas" => Some(Self::Doas),
            _ => None,
        }
    }

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sudo => "sudo",
            Self::Su => "su",
            Self::Doas => "doas",
        }
    }
}

/// `become`: work as another user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// By which program.
    pub method: Method,
    /// As whom.
    pub user: String,
    /// `ansible_become_password`.
    pub password: Option<Secret>,
    /// `ansible_become_flags`, in place of the method's own (`-H -S -n` for sudo).
    pub flags: Option<String>,
    /// `ansible_become_exe`.
    pub exe: Option<String>,
}

impl Privilege {
    /// `user` by `method`, without a password.
    pub fn new(method: Method, user: impl Into<String>) -> Self {
        Self { method, user: user.into(), password: None, flags: None, exe: None }
    }
}
