//! A proxy on the way to a host: counts round trips and bytes, and breaks the connection where a test wants it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A proxy that listens.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Connections to close before a byte is passed on.
    refuse: AtomicU64,
    /// Connections that came.
    connections: AtomicU64,
    /// Bytes from the client still to pass on before the connection is cut.
    fuse: AtomicU64,
    armed: AtomicBool,
    /// Nothing is passed on, but nothing is closed either.
    stalled: AtomicBool,
    up: AtomicU64,
    /// Times that the client spoke after the server had.
    turns: AtomicU64,
    server_spoke: AtomicBool,
}

impl Proxy {
    /// A proxy to `port` of 127.0.0.1.
    pub async fn start(port: u16) -> Self {
        Self::listening(TcpSocket::new_v4().unwrap(), port)
    }

    /// One that takes little in advance, so that a client that goes on sending while it stalls cannot get rid of its bytes.
    pub async fn narrow(port: u16) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        // The packets of the loopback device are so large that the sender would make room for megabytes.
        socket2::SockRef::from(&socket).set_tcp_mss(1_000).unwrap();
        Self::listening(socket, port)
    }

    fn listening(socket: TcpSocket, port: u16) -> Self {
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(128).unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let (cut, watch) = watch::channel(0);
        let task = tokio::spawn(listen(listener, port, Arc::clone(&shared), watch));
        Self { port: own, shared, cut, task }
    }

    /// Closes the next `count` connections before a byte.
    pub fn refuse(&self, count: u64) {
        self.shared.refuse.store(count, Ordering::SeqCst);
    }

    /// Cuts all connections now.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Cuts the connection once the client has sent `bytes` more.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.fuse.store(bytes, Ordering::SeqCst);
        self.shared.armed.store(true, Ordering::SeqCst);
    }

    /// Passes nothing on any more, or goes on.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::SeqCst);
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Times so far that the client spoke after the server had: round trips.
    pub fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::SeqCst)
    }

    /// Bytes that the client has sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.up.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, port: u16, shared: Arc<Shared>, watch: watch::Receiver<u64>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let refused = shared.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refused.is_ok() {
            continue;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { continue };
        tokio::spawn(carry(client, server, Arc::clone(&shared), watch.clone()));
    }
}

async fn carry(client: TcpStream, server: TcpStream, shared: Arc<Shared>, mut watch: watch::Receiver<u64>) {
    watch.mark_unchanged();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, &shared, true) => {}
        () = pass(from_server, to_client, &shared, false) => {}
        _ = watch.changed() => {}
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, shared: &Shared, up: bool) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        while shared.stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut bytes = &buffer[..count];
        if up {
            if shared.server_spoke.swap(false, Ordering::SeqCst) {
                shared.turns.fetch_add(1, Ordering::SeqCst);
            }
            shared.up.fetch_add(count as u64, Ordering::SeqCst);
            if shared.armed.load(Ordering::SeqCst) {
                let left = usize::try_from(shared.fuse.load(Ordering::SeqCst)).unwrap();
                if count >= left {
                    shared.armed.store(false, Ordering::SeqCst);
                    bytes = &bytes[..left];
                    let _ = to.write_all(bytes).await;
                    return;
                }
                shared.fuse.store((left - count) as u64, Ordering::SeqCst);
            }
        } else {
            shared.server_spoke.store(true, Ordering::SeqCst);
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
