//! What can go wrong on the way to a host, in words that help.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why a host could not be reached, or its agent not started. [`help`](Self::help) says what to do.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// `ssh_config(5)` or an SSH argument is wrong.
    #[error("{0}")]
    Config(String),
    /// The name has no address.
    #[error("cannot resolve `{host}`: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The system's word.
        source: io::Error,
    },
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}")]
    Dial {
        /// `host:port`
        address: String,
        /// The system's word.
        source: io::Error,
    },
    /// A step took too long.
    #[error("{address} did not answer within {} s while {doing}", .after.as_secs_f32())]
    Timeout {
        /// `host:port`
        address: String,
        /// `connecting`, `logging in` …
        doing: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The way through a jump host failed.
    #[error("jump host `{jump}`: {source}")]
    Jump {
        /// The jump host as written.
        jump: String,
        /// What failed there.
        source: Box<ConnectError>,
    },
    /// The jump host would not connect us onward.
    #[error("the jump host cannot connect to {address}: {reason}")]
    Forward {
        /// `host:port`
        address: String,
        /// Its word.
        reason: String,
    },
    /// `ProxyCommand` could not be run.
    #[error("cannot run `ProxyCommand {command}`: {source}")]
    ProxyCommand {
        /// The command, expanded.
        command: String,
        /// The system's word.
        source: io::Error,
    },
    /// `ProxyCommand` ended before the server was reached.
    #[error("`ProxyCommand {command}` ended before the handshake: {how}{}{words}", if .words.is_empty() { "" } else { ": " })]
    ProxyEnded {
        /// The command, expanded.
        command: String,
        /// Its exit status.
        how: String,
        /// What it complained.
        words: String,
    },
    /// The server and we do not understand each other.
    #[error("SSH handshake with {address} failed: {reason}")]
    Handshake {
        /// `host:port`
        address: String,
        /// Why.
        reason: String,
    },
    /// The server closed the connection before it said who it is.
    #[error("{address} closed the connection before the handshake")]
    Refused {
        /// `host:port`
        address: String,
    },
    /// The host key is not in any known-hosts file.
    #[error("the host key of {host} is not known ({algorithm} {fingerprint})")]
    HostKeyUnknown {
        /// As looked up: `web1` or `[web1]:2222`.
        host: String,
        /// `ssh-ed25519`
        algorithm: String,
        /// `SHA256:…`
        fingerprint: String,
        /// How to add it.
        scan: String,
    },
    /// The host key is not the one that is known.
    #[error(
        "@@@ REMOTE HOST IDENTIFICATION HAS CHANGED @@@ the host key of {host} is not the one in {place}; \
         somebody may be listening in, or the host was installed anew ({algorithm} {fingerprint})"
    )]
    HostKeyChanged {
        /// As looked up.
        host: String,
        /// `ssh-ed25519`
        algorithm: String,
        /// `SHA256:…`
        fingerprint: String,
        /// `file:line` of the known key.
        place: String,
    },
    /// The host key is marked `@revoked`.
    #[error("the host key of {host} is revoked in {place} ({fingerprint})")]
    HostKeyRevoked {
        /// As looked up.
        host: String,
        /// `SHA256:…`
        fingerprint: String,
        /// `file:line` of the mark.
        place: String,
    },
    /// The host's certificate is not good for it.
    #[error("the host certificate of {host} is not valid: {reason}")]
    HostCertificate {
        /// As looked up.
        host: String,
        /// Why.
        reason: String,
    },
    /// The server refused everything we offered.
    #[error("{user}@{address}: permission denied ({allowed}); tried {tried}")]
    Auth {
        /// Who.
        user: String,
        /// `host:port`
        address: String,
        /// Methods the server allows.
        allowed: String,
        /// What was offered.
        tried: String,
    },
    /// The server runs no further program on this connection.
    #[error("{address} did not open a channel: {reason}")]
    Channel {
        /// `host:port`
        address: String,
        /// Why.
        reason: String,
    },
    /// The agent did not start.
    #[error("cannot start the agent on `{host}`: {reason}")]
    Bootstrap {
        /// Inventory name.
        host: String,
        /// Why, with what the host printed.
        reason: String,
    },
    /// `become` failed.
    #[error("cannot become `{user}` on `{host}` by {method}: {reason}")]
    Privilege {
        /// Inventory name.
        host: String,
        /// Whom.
        user: String,
        /// `sudo`, `su`, `doas`
        method: &'static str,
        /// Why.
        reason: PrivilegeError,
    },
    /// The connection ended.
    #[error("the connection to `{host}` was lost while {doing}: {reason}")]
    Lost {
        /// Inventory name.
        host: String,
        /// What we were at.
        doing: String,
        /// Why.
        reason: String,
    },
}

/// Why another user could not be become.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrivilegeError {
    /// A password is needed and none was given. Ansible's words.
    #[error("Missing {0} password")]
    PasswordRequired(&'static str),
    /// The password is wrong. Ansible's words.
    #[error("Incorrect {0} password")]
    WrongPassword(&'static str),
    /// The user may not.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// There is no such user.
    #[error("no such user")]
    NoSuchUser,
    /// The program is not installed.
    #[error("`{0}` is not installed there")]
    NotInstalled(String),
    /// It insists on a terminal.
    #[error("it insists on a terminal (`requiretty`)")]
    NeedsTerminal,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl ConnectError {
    /// Whether the host was reached but would not let us become the user.
    pub fn is_privilege(&self) -> bool {
        matches!(self, Self::Privilege { .. })
    }

    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::HostKeyUnknown { scan, .. } => {
                format!("check the fingerprint, then add the key: `{scan}`; or set `host_key_checking = False` to accept any key")
            }
            Self::HostKeyChanged { host, .. } => {
                format!("if the host was installed anew, remove the old key: `ssh-keygen -R '{host}'`")
            }
            Self::Jump { source, .. } => return source.help(),
            Self::Refused { .. } => "the server may be at its `MaxStartups` limit, or refuses this address".to_owned(),
            Self::Privilege { reason: PrivilegeError::PasswordRequired(_), .. } => {
                "give it with `--ask-become-pass`, `--become-password-file` or `ansible_become_password`".to_owned()
            }
            Self::Privilege { reason: PrivilegeError::NotAllowed(_), user, .. } => {
                format!("allow it in the host's sudoers, for example `deploy ALL=({user}) ALL`")
            }
            Self::Privilege { reason: PrivilegeError::NeedsTerminal, .. } => {
                "remove `Defaults requiretty` from the host's sudoers".to_owned()
            }
            _ => return None,
        })
    }
}

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The connection could not be had again.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection or the agent ended while the call ran: whether it was done is not known.
    #[error("the connection to `{host}` was lost during `{doing}`: {reason}; whether it was done is not known")]
    Lost {
        /// Inventory name.
        host: String,
        /// The module, or the step of the transaction.
        doing: String,
        /// Why.
        reason: String,
    },
    /// The agent did not answer in time.
    #[error("`{host}` did not answer `{doing}` within {} s", .after.as_secs())]
    Timeout {
        /// Inventory name.
        host: String,
        /// The module, or the step of the transaction.
        doing: String,
        /// The limit.
        after: Duration,
    },
    /// Content that the agent asked for cannot be sent.
    #[error("cannot send {what} to `{host}`: {reason}")]
    Blob {
        /// Inventory name.
        host: String,
        /// The file, or the digest.
        what: String,
        /// Why.
        reason: String,
    },
    /// The agent said something that makes no sense.
    #[error("the agent on `{host}` broke the protocol: {reason}")]
    Protocol {
        /// Inventory name.
        host: String,
        /// How.
        reason: String,
    },
}

impl LinkError {
    /// Whether the connection is of no use any more.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Lost { .. } | Self::Timeout { .. })
    }
}
