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

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, oneshot};

use super::client::{Connection, Introduction, Stream};
use super::connector::Shared;
use super::program::{Ending, ending_of};
use super::settings::{Jump, Settings};
use super::{ConnectError, Endpoint};

/// How often to try again when a server closes the connection before the handshake.
const TRIES: u32 = 6;

/// The wait before the second try; it doubles each time.
const PAUSE: Duration = Duration::from_millis(150);

/// How long a `ProxyCommand` may take to end once nobody listens.
const PARTING: Duration = Duration::from_millis(500);

/// How much of what a `ProxyCommand` complains is kept, in bytes.
const LAST_WORDS: u64 = 4 << 10;

/// How many jump hosts may lead to one another.
const HOPS: usize = 8;

/// The connections to jump hosts, by the way that leads there: each is made once and shared.
#[derive(Debug, Default)]
pub(super) struct JumpHosts(std::sync::Mutex<HashMap<Vec<Jump>, Slot>>);

/// The connection to one jump host while there is one; locked while it is being made.
type Slot = Arc<Mutex<Option<Arc<Connection>>>>;

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
        let mut proxy = None;
        let stream = match (&through, &settings.proxy_command) {
            (Some(jump), _) => jump.forward(&settings.host, settings.port).await?,
            (None, Some(command)) => {
                let failed = |source| ConnectError::ProxyCommand { command: command.clone(), source };
                let (stream, end) = ProxyCommand::spawn(command).map_err(failed)?;
                proxy = Some((command, end));
                stream
            }
            (None, None) => dial_any(&addresses, settings, &place, limit).await?,
        };
        let with = Introduction {
            settings,
            known_hosts: &self.known_hosts,
            keys: &self.keys,
            password: endpoint.password.as_ref(),
            prompt: endpoint.password_prompt.as_deref(),
            limit,
            keepalive: self.options.keepalive,
        };
        let opened = Connection::open(stream, through, with).await;
        match (opened, proxy) {
            (Err(ConnectError::Refused { .. }), Some((command, end))) => {
                let end = end.await.unwrap_or(ProxyEnd { status: Ending::NotStarted, words: String::new() });
                Err(ConnectError::ProxyEnded { command: command.clone(), how: end.status.describe(), words: end.words })
            }
            (opened, _) => opened,
        }
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

/// The input and output of a `ProxyCommand`, as one stream.
struct ProxyCommand {
    input: ChildStdin,
    output: ChildStdout,
    /// Its drop tells that nobody listens any more.
    _alive: oneshot::Sender<()>,
}

/// How a `ProxyCommand` ended.
struct ProxyEnd {
    status: Ending,
    words: String,
}

impl ProxyCommand {
    /// Starts `command`; its end is told by the receiver.
    fn spawn(command: &str) -> io::Result<(Stream, oneshot::Receiver<ProxyEnd>)> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("exec {command}")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.kill_on_drop(true).process_group(0);
        let mut child = shell.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::other("no pipe"))?;
        let (alive, gone) = oneshot::channel();
        let (told, end) = oneshot::channel();
        tokio::spawn(async move { told.send(see_out(child, gone).await) });
        Ok((Box::new(Self { input, output, _alive: alive }), end))
    }
}

/// Waits for the end of `child`, which comes at the latest shortly after its stream is `gone`.
async fn see_out(mut child: Child, gone: oneshot::Receiver<()>) -> ProxyEnd {
    let mut words = Vec::new();
    let mut complaints = child.stderr.take();
    let listening = async {
        if let Some(pipe) = &mut complaints {
            // More than this nobody reads; the rest must be taken from the pipe all the same.
            let _ = pipe.take(LAST_WORDS).read_to_end(&mut words).await;
            let _ = tokio::io::copy(pipe, &mut tokio::io::sink()).await;
        }
    };
    let limit = async {
        let _ = gone.await;
        tokio::time::sleep(PARTING).await;
    };
    let status = tokio::select! {
        (ended, ()) = async { tokio::join!(child.wait(), listening) } => ended.ok(),
        () = limit => None,
    };
    if status.is_none() {
        let _ = child.start_kill();
    }
    let words = String::from_utf8_lossy(&words).lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    ProxyEnd { status: status.map_or(Ending::Signal("KILL".to_owned()), ending_of), words }
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
