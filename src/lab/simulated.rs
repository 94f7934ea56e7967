//! Hosts that are nothing but their SSH end: they shake hands, log in, greet as an agent would and answer every call with
//! `ok`. Ten thousand of them fit into one process, so that what a benchmark measures is the controller.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream};
use russh::{Channel, ChannelId, Error, MethodKind, MethodSet, compression};
use tokio::net::TcpListener;

use super::{new_key, write_private};
use crate::wire::{self, Hello, Outcome, Reply, Request, TransactionReply};

/// Listens on a free port of 127.0.0.1 for any number of hosts, and writes `key` and `known_hosts` to `folder` first.
/// Answers for ever, once `listening` was told the port.
///
/// # Errors
/// Files cannot be written, or there is no port.
pub async fn simulate(folder: &Path, listening: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let (login, host) = (new_key()?, new_key()?);
    write_private(&folder.join("key"), &login)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let public = PublicKey::new(host.public_key().key_data().clone(), "").to_openssh().map_err(io::Error::other)?;
    std::fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{port} {public}\n"))?;
    let config = Arc::new(config(host));
    listening(port)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await; // too many open files, which passes
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (config, guest) = (Arc::clone(&config), Guest { login: login.public_key().clone(), heard: HashMap::new() });
        tokio::spawn(async move {
            if let Ok(session) = run_stream(config, stream, guest).await {
                let _ = session.await;
            }
        });
    }
}

fn config(key: PrivateKey) -> Config {
    let mut config = Config {
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        keys: vec![key],
        nodelay: true,
        inactivity_timeout: None,
        ..Config::default()
    };
    config.preferred.compression = (&[compression::NONE][..]).into();
    config
}

/// One connection.
struct Guest {
    login: PublicKey,
    /// Bytes of frames that are not complete yet, by channel.
    heard: HashMap<ChannelId, Vec<u8>>,
}

impl Guest {
    fn verdict(&self, shown: &PublicKey) -> Auth {
        if shown.key_data() == self.login.key_data() { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Guest {
    type Error = Error;

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        Ok(self.verdict(offer.public_key))
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        Ok(self.verdict(key.public_key))
    }

    async fn channel_open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), Error> {
        self.heard.insert(channel.id(), Vec::new());
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, _command: &[u8], session: &mut Session) -> Result<(), Error> {
        session.channel_success(id)?;
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: 1,
            born: 0,
            uid: 1000,
            home: "/home/lab".to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            hostname: "simulated".to_owned(),
        };
        let mut greeting = format!("{}\n", wire::READY).into_bytes();
        greeting.extend(wire::encode(&Reply::Hello(hello))?);
        session.data(id, greeting)
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Error> {
        let Some(heard) = self.heard.get_mut(&id) else { return Ok(()) };
        heard.extend_from_slice(data);
        let mut answers = Vec::new();
        while let Some(request) = next(heard)? {
            if let Some(reply) = answer(request) {
                answers.extend(wire::encode(&reply)?);
            }
        }
        if answers.is_empty() { Ok(()) } else { session.data(id, answers) }
    }

    async fn channel_eof(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Error> {
        self.heard.remove(&id);
        session.exit_status_request(id, 0)?;
        session.close(id)
    }
}

/// Takes the next whole frame out of `heard`.
fn next(heard: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let Some((head, rest)) = heard.split_first_chunk::<4>() else { return Ok(None) };
    let length = wire::frame_length(*head)?;
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let request = wire::decode(body)?;
    heard.drain(..4 + length);
    Ok(Some(request))
}

fn answer(request: Request) -> Option<Reply> {
    match request {
        Request::Call(call) => Some(Reply::Done { id: call.id, result: Ok(Outcome::default()) }),
        Request::Transaction { id, .. } => Some(Reply::Transaction { id, result: Ok(TransactionReply::Done) }),
        Request::Ping { id } => Some(Reply::Pong { id }),
        Request::Upload { .. } | Request::Cancel { .. } | Request::Bye => None,
    }
}
