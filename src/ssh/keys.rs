//! [`Keys`]: private keys, certificates and the ssh-agent's identities, each read (and decrypted) once per run.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, Error, PrivateKey, PublicKey, load_openssh_certificate, load_public_key, load_secret_key};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use super::connector::AskPassphrase;

/// A private key, or why there is none.
pub(super) type Loaded = Result<Arc<PrivateKey>, String>;

/// What the ssh-agent holds, or why it cannot be asked.
pub(super) type Identities = Result<Arc<Vec<AgentIdentity>>, String>;

/// See the module.
pub(super) struct Keys {
    ask: Option<AskPassphrase>,
    files: Mutex<HashMap<PathBuf, Arc<OnceCell<Loaded>>>>,
    agents: Mutex<HashMap<PathBuf, Arc<OnceCell<Identities>>>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Keys")
    }
}

impl Keys {
    pub(super) fn new(ask: Option<AskPassphrase>) -> Self {
        Self { ask, files: Mutex::default(), agents: Mutex::default() }
    }

    /// The private key in the file `path`. All who ask at once wait for the same one reading.
    pub(super) async fn private(&self, path: &Path) -> Loaded {
        let cell = Arc::clone(self.files.lock().unwrap_or_else(PoisonError::into_inner).entry(path.to_owned()).or_default());
        let (ask, path) = (self.ask.clone(), path.to_owned());
        // The key derivation of an encrypted key takes a good part of a second.
        let load = || async {
            tokio::task::spawn_blocking(move || load(&path, ask.as_ref())).await.unwrap_or_else(|error| Err(error.to_string()))
        };
        cell.get_or_init(load).await.clone()
    }

    /// What the ssh-agent at `socket` holds.
    pub(super) async fn identities(&self, socket: &Path) -> Identities {
        let cell = Arc::clone(self.agents.lock().unwrap_or_else(PoisonError::into_inner).entry(socket.to_owned()).or_default());
        let ask = || async {
            let mut agent = connect_agent(socket).await?;
            agent.request_identities().await.map(Arc::new).map_err(|error| format!("the ssh-agent does not answer: {error}"))
        };
        cell.get_or_init(ask).await.clone()
    }
}

/// A new connection to the ssh-agent at `socket`.
pub(super) async fn connect_agent(socket: &Path) -> Result<AgentClient<UnixStream>, String> {
    let connected = AgentClient::connect_uds(socket).await;
    connected.map_err(|error| format!("cannot reach the ssh-agent at {}: {error}", socket.display()))
}

/// The public half of the key file `path`: from `path.pub`, or from `path` itself when that is what it holds.
pub(super) fn public(path: &Path) -> Option<PublicKey> {
    let beside = PathBuf::from(format!("{}.pub", path.display()));
    load_public_key(beside).or_else(|_| load_public_key(path)).ok()
}

/// The certificates that go with the key file `path`: `path-cert.pub`, and those of `named` that are for the same key.
pub(super) fn certificates(path: &Path, key: &PublicKey, named: &[PathBuf]) -> Vec<Certificate> {
    let beside = PathBuf::from(format!("{}-cert.pub", path.display()));
    let found = std::iter::once(&beside).chain(named).filter_map(|path| load_openssh_certificate(path).ok());
    let mut certificates: Vec<Certificate> = found.filter(|certificate| certificate.public_key() == key.key_data()).collect();
    certificates.dedup();
    certificates
}

fn load(path: &Path, ask: Option<&AskPassphrase>) -> Loaded {
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    })?;
    // OpenSSH refuses such a key too, so that one that worked here would fail there.
    if meta.uid() == rustix::process::getuid().as_raw() && meta.mode() & 0o077 != 0 {
        return Err(format!("its permissions {:04o} are too open: `chmod 600 {}`", meta.mode() & 0o7777, path.display()));
    }
    let loaded = match load_secret_key(path, None) {
        Err(Error::KeyIsEncrypted) => {
            let Some(passphrase) = ask.and_then(|ask| ask(path)) else {
                return Err("it is encrypted, and there is nobody to ask for its passphrase; add it to an ssh-agent".to_owned());
            };
            load_secret_key(path, Some(passphrase.expose())).map_err(|_| "wrong passphrase".to_owned())
        }
        other => other.map_err(|error| format!("not a private key: {error}")),
    };
    loaded.map(Arc::new)
}
