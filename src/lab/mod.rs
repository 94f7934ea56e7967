//! A lab: many SSH hosts in one process, on loopback, without root.
//!
//! Each host has its own port, host key and home directory; programs run as the user who started the lab. For the
//! demonstration, the benchmarks and the tests.

mod server;
mod simulated;

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};

use server::Server;
pub use simulated::simulate;

/// Hosts that run until they are stopped or dropped.
#[derive(Debug)]
pub struct Fleet {
    root: PathBuf,
    hosts: Vec<Host>,
    password: String,
}

/// One host of a fleet.
#[derive(Debug)]
pub struct Host {
    /// Its name in the inventory.
    pub name: String,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Its home directory, and the place for everything a playbook does there.
    pub home: PathBuf,
    server: Server,
}

impl Fleet {
    /// Starts `count` hosts named `lab1`, `lab2` … with their homes, a login key and a known-hosts file below `root`.
    ///
    /// # Errors
    /// Files cannot be written, or there is no port.
    pub async fn start(count: usize, root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let login = new_key()?;
        write_private(&root.join("key"), &login)?;
        let access = Arc::new(server::Access { key: login.public_key().clone(), password: uuid::Uuid::new_v4().simple().to_string() });
        let mut hosts = Vec::with_capacity(count);
        let mut known = String::new();
        for number in 1..=count {
            let name = format!("lab{number}");
            let home = root.join(&name);
            std::fs::create_dir_all(&home)?;
            let key = new_key()?;
            let public = PublicKey::new(key.public_key().key_data().clone(), "").to_openssh().map_err(io::Error::other)?;
            let server = Server::start(key, Arc::clone(&access), name.clone(), home.clone()).await?;
            let port = server.port();
            let _ = writeln!(known, "[127.0.0.1]:{port} {public}");
            hosts.push(Host { name, port, home, server });
        }
        std::fs::write(root.join("known_hosts"), known)?;
        Ok(Self { root, hosts, password: access.password.clone() })
    }

    /// The hosts, in order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The private key that logs in everywhere, as any user.
    pub fn key(&self) -> PathBuf {
        self.root.join("key")
    }

    /// The password that does too. It is made up anew for each fleet.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The file that makes all hosts known.
    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }

    /// SSH arguments that make a connection depend on nothing but the fleet's own files.
    pub fn ssh_args(&self) -> String {
        format!("-F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none -o IdentityAgent=none", self.known_hosts().display())
    }

    /// An inventory of all hosts, in the group `lab`.
    pub fn inventory(&self) -> String {
        let mut text = "[lab]\n".to_owned();
        for host in &self.hosts {
            let _ = writeln!(text, "{} ansible_port={}", host.name, host.port);
        }
        let _ = write!(
            text,
            "\n[lab:vars]\nansible_host=127.0.0.1\nansible_user=lab\nansible_ssh_private_key_file={}\nansible_ssh_args={}\n",
            self.key().display(),
            self.ssh_args()
        );
        text
    }

    /// Stops all hosts and ends the programs that run on them.
    pub async fn stop(self) {
        for host in self.hosts {
            host.server.stop().await;
        }
    }
}

impl Host {
    /// Breaks all connections to the host and refuses new ones until [`Host::start_answering`]: a crash, or a cut cable.
    pub fn stop_answering(&self) {
        self.server.refuse(true);
    }

    /// Accepts connections again.
    pub fn start_answering(&self) {
        self.server.refuse(false);
    }
}

fn new_key() -> io::Result<PrivateKey> {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).map_err(io::Error::other)
}

fn write_private(path: &Path, key: &PrivateKey) -> io::Result<()> {
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}
