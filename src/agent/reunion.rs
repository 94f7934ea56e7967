//! Losing the connection, and getting it back: an agent outlives its connection for a while, and a process that is started
//! with its token passes on what it hears to it. So a call that runs when a connection breaks is asked for again, not run again.
//!
//! The two meet at an abstract socket, which leaves nothing on any disk. Each checks that the other runs as the same user.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

/// How long an agent waits for its controller to come back.
const GRACE: Duration = Duration::from_secs(30);
/// How often it looks meanwhile whether somebody else wants it gone.
const TICK: Duration = Duration::from_millis(100);

/// Whether `word` is a token as the controller makes them.
pub(super) fn is_token(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn address(token: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("rappel-{}-{token}", geteuid().as_raw()))
}

/// Whether the other end runs as our user: anybody may listen and connect there.
fn is_ours(stream: &UnixStream) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == geteuid())
}

/// Where the agent of `token` can be found; `None` when that cannot be had, and the agent then ends with its connection.
pub(super) fn listen(token: &str) -> Option<UnixListener> {
    UnixListener::bind_addr(&address(token).ok()?).ok()
}

/// The next process that brings the controller back.
pub(super) fn next(listener: &UnixListener) -> Option<UnixStream> {
    listener.incoming().find_map(|stream| stream.ok().filter(is_ours))
}

/// Passes everything on between this process and the agent that has `token`; `false` when there is none.
pub(super) fn rejoin(token: &str) -> bool {
    let Some(stream) = address(token).and_then(|address| UnixStream::connect_addr(&address)).ok().filter(is_ours) else { return false };
    let Ok(mut up) = stream.try_clone() else { return false };
    thread::spawn(move || {
        let _ = pass_on(&mut io::stdin(), &mut up); // its end is the agent's to notice
        let _ = up.shutdown(Shutdown::Write);
    });
    let mut down = stream;
    let _ = pass_on(&mut down, &mut io::stdout()); // either end is the end
    true
}

/// As it comes: a copy that waits for a full buffer would keep answers back.
fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        to.flush()?;
    }
}

/// Where an agent's words go, as connections come and go.
pub(super) struct Connection {
    /// `None` once nobody hears it.
    out: Mutex<Option<Box<dyn Write + Send>>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
struct State {
    /// Counts the connections that there were.
    number: u64,
    alive: bool,
}

impl Connection {
    /// The first connection is number 1.
    pub(super) fn new(output: impl Write + Send + 'static) -> Self {
        let state = Mutex::new(State { number: 1, alive: true });
        Self { out: Mutex::new(Some(Box::new(output))), state, changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether connection `number` is the present one.
    pub(super) fn is(&self, number: u64) -> bool {
        let state = self.state();
        state.alive && state.number == number
    }

    /// Says `bytes` to whoever listens. That nobody does is noticed by the end of the input.
    pub(super) fn say(&self, bytes: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.as_mut().is_some_and(|out| out.write_all(bytes).and_then(|()| out.flush()).is_err()) {
            *out = None;
        }
    }

    /// Another connection takes over; `greeting` is the first that it hears. Its number.
    pub(super) fn take_over(&self, mut output: impl Write + Send + 'static, greeting: &[u8]) -> u64 {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let greeted = output.write_all(greeting).and_then(|()| output.flush());
        *out = greeted.ok().map(|()| Box::new(output) as Box<dyn Write + Send>);
        let mut state = self.state();
        *state = State { number: state.number + 1, alive: true };
        self.changed.notify_all();
        state.number
    }

    /// Whatever is still asked is too late.
    pub(super) fn end(&self) {
        self.state().alive = false;
    }

    /// Connection `number` has ended. Waits for the next; `false` when there is none in time, or `unwanted` says that it is wanted
    /// no more.
    pub(super) fn outlive(&self, number: u64, unwanted: impl Fn() -> bool) -> bool {
        let mut state = self.state();
        if state.number != number {
            return true;
        }
        state.alive = false;
        let lost = Instant::now();
        while state.number == number {
            if lost.elapsed() > GRACE || unwanted() {
                return false;
            }
            state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
