//! One host of a lab: an SSH server whose commands run as child processes.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey, run_stream};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Error, MethodKind, MethodSet, compression};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::{JoinHandle, JoinSet};

/// Who may log in.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) key: PublicKey,
    pub(super) password: String,
}

/// A host that listens.
#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    access: Arc<Access>,
    name: String,
    home: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refusing: bool,
    connections: JoinSet<()>,
    /// Programs outlive their connection, as they do with sshd: they notice that their input has ended.
    programs: JoinSet<()>,
    /// Process groups that run.
    groups: Vec<rustix::process::Pid>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    pub(super) async fn start(key: PrivateKey, access: Arc<Access>, name: String, home: PathBuf) -> io::Result<Self> {
        let mut config = Config {
            methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive][..]),
            auth_rejection_time: Duration::from_millis(1),
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys: vec![key],
            nodelay: true,
            inactivity_timeout: None,
            ..Config::default()
        };
        config.preferred.compression = (&[compression::NONE][..]).into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { config: Arc::new(config), access, name, home, state: Mutex::default() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, listening })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections and refuses further ones, or stops refusing.
    pub(super) fn refuse(&self, refusing: bool) {
        let mut state = self.shared.state();
        state.refusing = refusing;
        if refusing {
            state.connections.abort_all();
        }
    }

    /// Ends everything.
    pub(super) async fn stop(mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
        let (mut connections, mut programs) = {
            let mut state = self.shared.state();
            (std::mem::take(&mut state.connections), std::mem::take(&mut state.programs))
        };
        connections.shutdown().await;
        programs.shutdown().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
        let mut state = self.shared.state();
        state.connections.abort_all();
        state.programs.abort_all();
        for group in state.groups.drain(..) {
            // A group that has ended by itself is no longer in the list.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // An error here is of one connection (it ended at once), or of too many open files, which passes.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let mut state = shared.state();
        if !state.refusing {
            while state.connections.try_join_next().is_some() {}
            state.connections.spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let config = Arc::clone(&shared.config);
    let guest = Guest { shared, channels: HashMap::new() };
    if let Ok(session) = run_stream(config, stream, guest).await {
        let handle = session.handle();
        // When this task is aborted, the session task notices that its programs are gone and that nobody holds its handle.
        let _cut = Cut(handle);
        let _ = session.await;
    }
}

/// Ends the session when the task that watches it is aborted.
struct Cut(russh::server::Handle);

impl Drop for Cut {
    fn drop(&mut self) {
        let handle = self.0.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = handle.disconnect(russh::Disconnect::ByApplication, String::new(), String::new()).await;
            });
        }
    }
}

/// One connection.
struct Guest {
    shared: Arc<Shared>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Guest {
    type Error = Error;

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, Error> {
        Ok(verdict(password == self.shared.access.password))
    }

    async fn auth_keyboard_interactive<'a>(&'a mut self, _: &str, _: &str, response: Option<Response<'a>>) -> Result<Auth, Error> {
        let Some(response) = response else {
            let prompts = vec![("Password: ".into(), false)].into();
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts });
        };
        let answer = { response }.next();
        Ok(verdict(answer.is_some_and(|answer| answer == self.shared.access.password.as_bytes())))
    }

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        Ok(verdict(offer.public_key.key_data() == self.shared.access.key.key_data()))
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        Ok(verdict(key.public_key.key_data() == self.shared.access.key.key_data()))
    }

    async fn channel_open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Error> {
        let started = self.channels.remove(&id).and_then(|channel| Some((channel, self.spawn(command).ok()?)));
        let Some((channel, child)) = started else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let attended = attend(child, channel, Arc::clone(&self.shared));
        let mut state = self.shared.state();
        while state.programs.try_join_next().is_some() {}
        state.programs.spawn(attended);
        Ok(())
    }
}

fn verdict(accepted: bool) -> Auth {
    if accepted { Auth::Accept } else { Auth::reject() }
}

impl Guest {
    fn spawn(&self, command: &[u8]) -> io::Result<Child> {
        use std::os::unix::ffi::OsStrExt as _;
        let home = &self.shared.home;
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(std::ffi::OsStr::from_bytes(command));
        shell
            .env_clear()
            .env("HOME", home)
            .env("RAPPEL_STATE_DIR", home.join(".local/state/rappel"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        shell.env("USER", "lab").env("LOGNAME", "lab").env("SHELL", "/bin/sh").env("LAB_HOST", &self.shared.name);
        // Hosts of a lab share one machine, but not their journals.
        shell.current_dir(home).process_group(0).kill_on_drop(true);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = shell.spawn()?;
        let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        self.shared.state().groups.extend(group);
        Ok(child)
    }
}

/// Carries bytes between a program and its channel until the program ends.
async fn attend(mut child: Child, channel: Channel<Msg>, shared: Arc<Shared>) {
    let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    let (reader, writer) = channel.split();
    let writer = Arc::new(writer);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feeding = tokio::spawn(feed(reader, stdin));
    let told = tokio::spawn({
        let writer = Arc::clone(&writer);
        async move { tokio::join!(tell(stdout, &writer, None), tell(stderr, &writer, Some(1))) }
    });
    let ended = child.wait().await;
    // As sshd does, the end waits for the output, which a child left behind may hold open; not for long here.
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
    feeding.abort();
    shared.state().groups.retain(|known| Some(*known) != group);
    let status = ended.ok().map_or(255, |status| {
        use std::os::unix::process::ExitStatusExt as _;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    });
    let _ = writer.exit_status(status.cast_unsigned()).await;
    let _ = writer.eof().await;
    let _ = writer.close().await;
}

async fn feed(mut reader: ChannelReadHalf, mut stdin: Option<ChildStdin>) {
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                let Some(pipe) = &mut stdin else { continue };
                if pipe.write_all(&data).await.is_err() {
                    stdin = None;
                }
            }
            ChannelMsg::Eof | ChannelMsg::Close => stdin = None,
            _ => {}
        }
    }
}

async fn tell(pipe: Option<impl AsyncRead + Unpin>, writer: &ChannelWriteHalf<Msg>, extended: Option<u32>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 32 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        let sent = match extended {
            None => writer.data_bytes(bytes).await,
            Some(kind) => writer.extended_data_bytes(kind, bytes).await,
        };
        if sent.is_err() {
            return;
        }
    }
}
