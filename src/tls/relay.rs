//! The program `rappel-tls`: a TLS connection over the socket that is its standard input, plain on the one that is its standard output.
//!
//! Its words are [`Terms`]. A byte on the plain side says that the connection is safe; when it
//! cannot be, the reason is on standard error.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustls::{ClientConnection, StreamOwned};

use super::Terms;

/// The most that is passed on at once.
const PIECE: usize = 16 << 10;

/// Runs the program.
pub fn main() -> ExitCode {
    // What finds a panic's source lines is not in the program as it ships.
    std::panic::set_hook(Box::new(|panic| {
        let _ = write!(io::stderr(), "{panic}"); // the last word, if anybody listens
    }));
    match connect(std::env::args_os().skip(1)).and_then(|(safe, plain)| relay(safe, &plain).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = write!(io::stderr(), "{reason}"); // the last word, if anybody listens
            ExitCode::FAILURE
        }
    }
}

type Safe = StreamOwned<ClientConnection, TcpStream>;

fn connect(words: impl Iterator<Item = OsString>) -> Result<(Safe, UnixStream), String> {
    let terms = Terms::from_words(words)?;
    let own = |descriptor: io::Result<OwnedFd>| descriptor.map_err(|error| error.to_string());
    // To TLS a socket is a socket: only its descriptor counts.
    let socket = TcpStream::from(own(io::stdin().as_fd().try_clone_to_owned())?);
    let plain = UnixStream::from(own(io::stdout().as_fd().try_clone_to_owned())?);
    let safe = super::secured(socket, &terms)?;
    (&plain).write_all(b"+").map_err(|error| error.to_string())?;
    Ok((safe, plain))
}

/// Passes on both ways until the server has said everything, or nobody listens any more.
fn relay(mut safe: Safe, mut plain: &UnixStream) -> io::Result<()> {
    let mut asking = true;
    let mut piece = vec![0; PIECE];
    loop {
        while safe.conn.wants_write() {
            safe.conn.write_tls(&mut safe.sock)?;
        }
        // What came along with the handshake is there already.
        if !answer(&mut safe, plain, &mut piece)? {
            return plain.shutdown(Shutdown::Write);
        }
        let (from_server, from_us) = readable(&safe.sock, plain, asking)?;
        if from_server {
            let count = safe.conn.read_tls(&mut safe.sock)?;
            safe.conn.process_new_packets().map_err(io::Error::other)?;
            if count == 0 {
                answer(&mut safe, plain, &mut piece)?;
                return plain.shutdown(Shutdown::Write);
            }
        }
        if from_us {
            let count = plain.read(&mut piece)?;
            safe.conn.writer().write_all(piece.get(..count).unwrap_or_default())?;
            if count == 0 {
                asking = false;
                safe.conn.send_close_notify();
            }
        }
    }
}

/// Passes on what the server said; whether it may say more.
fn answer(safe: &mut Safe, mut plain: &UnixStream, piece: &mut [u8]) -> io::Result<bool> {
    loop {
        match safe.conn.reader().read(piece) {
            Ok(0) => return Ok(false),
            Ok(count) => plain.write_all(piece.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false), // closed without a word, as many do
            Err(error) => return Err(error),
        }
    }
}

fn readable(server: &TcpStream, plain: &UnixStream, asking: bool) -> io::Result<(bool, bool)> {
    let wanted = PollFlags::IN;
    let mut ends = [PollFd::new(server, wanted), PollFd::new(plain, if asking { wanted } else { PollFlags::empty() })];
    while let Err(error) = poll(&mut ends, None) {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    let [server, plain] = ends.map(|end| !end.revents().is_empty());
    Ok((server, plain && asking))
}
