//! Dialing: a stream to a host, straight, through jump hosts or a `ProxyCommand`, and a [`Connection`] over it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use super::client::{Connection, Introduction, Stream};
use super::connector::Shared;
use super::settings::{Jump, Settings};
use super::{ConnectError, Endpoint};

/// How often to try again when a server closes the connection before the handshake.
const TRIES: u32 = 6;

/// The wait before the second try; it doubles each time.
const PAUSE: Duration = Duration::from_millis(150);

/// How many jump hosts may lead to one another.
const HOPS: usize = 8;

/// The connections to jump hosts, by the way that leads there: each is made once and shared.
#[derive(Debug, Default)]
pub(super) struct JumpHosts(std::sync::Mutex<HashMap<Vec<Jump>, Arc<Mutex<Option<Arc<Connection>>>>>>);

impl Shared {
    /// Dials `endpoint` and logs in.
    ///
    /// # Errors
    /// It cannot be reached, is not who it should be, or does not let us in.
    pub(super) async fn dial(self: &Arc<Self>, endpoint: &Endpoint) -> Result<Connection, ConnectError> {
        let (settings, config) = self.settings(endpoint.clone()).await?;
        self.connect(endpoint, &settings, config.as_ref(), 0).await
    }

    /// Reads the configuration, which may run commands (`Match exec`).
    async fn settings(self: &Arc<Self>, endpoint: Endpoint) -> Result<(Settings, Option<PathBuf>), ConnectError> {
        let shared = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || Settings::find(&endpoint, &shared.files, &shared.world)).await;
        found.unwrap_or_else(|error| Err(ConnectError::Config(format!("reading the SSH configuration failed: {error}"))))
    }

    async fn connect(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        settings: &Settings,
        config: Option<&PathBuf>,
        hops: usize,
    ) -> Result<Connection, ConnectError> {
        let limit = settings.connect_timeout.unwrap_or(self.options.connect_timeout);
        let mut pause = PAUSE;
        for attempt in 1.. {
            let through = self.last_jump(settings, config, hops).await?;
            let connected = self.attempt(endpoint, settings, through, limit).await;
            match connected {
                Err(ConnectError::Refused { .. }) if attempt < TRIES => {
                    // Many connections that were refused together must not come back together.
                    let spread = rand::random_range(0.5..1.5);
                    tokio::time::sleep(pause.mul_f64(spread)).await;
                    pause *= 2;
                }
                other => return other,
            }
        }
        Err(ConnectError::Refused { address: format!("{}:{}", settings.host, settings.port) })
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        settings: &Settings,
        through: Option<Arc<Connection>>,
        limit: Duration,
    ) -> Result<Connection, ConnectError> {
        let place = format!("{}:{}", settings.host, settings.port);
        let addresses = if through.is_none() && settings.proxy_command.is_none() { resolve(settings).await? } else { Vec::new() };
        // Names that lead to one server share its limit.
        let limited = addresses.first().map_or_else(|| place.clone(), ToString::to_string);
        let _permit = self.limits.enter(&limited).await;
        let stream = match (&through, &settings.proxy_command) {
            (Some(jump), _) => jump.forward(&settings.host, settings.port).await?,
            (None, Some(command)) => ProxyCommand::spawn(command)?,
            (None, None) => dial_any(&addresses, settings, &place, limit).await?,
        };
        let with = Introduction {
            settings,
            known_hosts: &self.known_hosts,
            keys: &self.keys,
            password: endpoint.password.as_ref(),
            limit,
            keepalive: self.options.keepalive,
        };
        Connection::open(stream, through, with).await
    }

    /// The connection to the last of the jump hosts that `settings` name.
    async fn last_jump(
        self: &Arc<Self>,
        settings: &Settings,
        config: Option<&PathBuf>,
        hops: usize,
    ) -> Result<Option<Arc<Connection>>, ConnectError> {
        let Some(last) = settings.jumps.last() else { return Ok(None) };
        if hops >= HOPS {
            return Err(ConnectError::Config(format!("more than {HOPS} jump hosts lead to one another, `{}` the last", last.host)));
        }
        let slot = {
            let mut known = self.jump_hosts.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(settings.jumps.clone()).or_default())
        };
        // Whoever comes while the jump host is being dialed waits for that.
        let mut slot = slot.lock().await;
        if let Some(alive) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Some(Arc::clone(alive)));
        }
        let opened = Box::pin(self.open_jump(settings, last, config, hops)).await;
        let connection = Arc::new(opened.map_err(|error| ConnectError::Jump { jump: last.host.clone(), source: Box::new(error) })?);
        *slot = Some(Arc::clone(&connection));
        Ok(Some(connection))
    }

    /// As OpenSSH does, a jump host is reached by its own configuration: none of the target's options hold for it.
    async fn open_jump(
        self: &Arc<Self>,
        settings: &Settings,
        last: &Jump,
        config: Option<&PathBuf>,
        hops: usize,
    ) -> Result<Connection, ConnectError> {
        let mut endpoint = Endpoint { user: last.user.clone(), port: last.port, ..Endpoint::ssh(&last.host) };
        if let Some(path) = config {
            endpoint.ssh_args = format!("-F {}", super::privilege::quote(&path.display().to_string()));
        }
        let (mut own, _) = self.settings(endpoint.clone()).await?;
        let before = settings.jumps.split_last().map(|(_, before)| before.to_vec()).unwrap_or_default();
        if !before.is_empty() {
            own.jumps = before;
            own.proxy_command = None;
        }
        self.connect(&endpoint, &own, config, hops + 1).await
    }
}

async fn resolve(settings: &Settings) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |source| ConnectError::Resolve { host: settings.host.clone(), source };
    let found = tokio::net::lookup_host((settings.host.as_str(), settings.port)).await.map_err(failed)?;
    let addresses: Vec<SocketAddr> = found
        .filter(|address| match settings.family.as_str() {
            "inet" => address.is_ipv4(),
            "inet6" => address.is_ipv6(),
            _ => true,
        })
        .collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::other("no address of the wanted family")));
    }
    Ok(addresses)
}

/// The first address that answers; the last one's error when none does.
async fn dial_any(addresses: &[SocketAddr], settings: &Settings, place: &str, limit: Duration) -> Result<Stream, ConnectError> {
    let mut last = ConnectError::Dial { address: place.to_owned(), source: io::Error::other("it has no address") };
    for address in addresses {
        match tokio::time::timeout(limit, dial_one(*address, settings)).await {
            Ok(Ok(stream)) => return Ok(Box::new(stream)),
            Ok(Err(source)) => last = ConnectError::Dial { address: place.to_owned(), source },
            Err(_) => last = ConnectError::Timeout { address: place.to_owned(), doing: "connecting", after: limit },
        }
    }
    Err(last)
}

async fn dial_one(address: SocketAddr, settings: &Settings) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(bind) = &settings.bind_address {
        socket.bind(SocketAddr::new(bind.parse().map_err(io::Error::other)?, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The input and output of a `ProxyCommand`, as one stream. The command ends with it.
struct ProxyCommand {
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl ProxyCommand {
    fn spawn(command: &str) -> Result<Stream, ConnectError> {
        let failed = |source| ConnectError::ProxyCommand { command: command.to_owned(), source };
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("exec {command}")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        shell.kill_on_drop(true).process_group(0);
        let mut child = shell.spawn().map_err(failed)?;
        let missing = || failed(io::Error::other("no pipe"));
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        Ok(Box::new(Self { _child: child, input, output }))
    }
}

impl AsyncRead for ProxyCommand {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, buffer)
    }
}

impl AsyncWrite for ProxyCommand {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
