//! TLS by a second program, `rappel-tls`, which is asked for when it is first needed: the worker itself has none.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::sockopt::{Timeout, socket_timeout};

use crate::tls::Terms;

/// Finds the program, or has it sent.
pub type Find = Arc<dyn Fn() -> Result<PathBuf, String> + Send + Sync>;

static FIND: Mutex<Option<Find>> = Mutex::new(None);

/// From now on `find` says where the program is.
pub fn find_tls_by(find: Find) {
    *FIND.lock().unwrap_or_else(PoisonError::into_inner) = Some(find);
}

/// The program's path.
///
/// # Errors
/// Nobody has it.
pub fn find_tls() -> Result<PathBuf, String> {
    let find = FIND.lock().unwrap_or_else(PoisonError::into_inner).clone();
    find.ok_or("there is no program for TLS")?()
}

/// The plain side of a connection that a program keeps safe.
#[derive(Debug)]
pub struct Tunnel {
    plain: UnixStream,
    program: Child,
}

impl Tunnel {
    /// A safe connection over `socket`, by `program`.
    ///
    /// # Errors
    /// The program cannot be started, nothing can be trusted, or the server should not be.
    pub fn open(program: &Path, socket: OwnedFd, terms: &Terms) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot connect to {} safely: {}: {error}", terms.host, program.display());
        let waits = socket_timeout(&socket, Timeout::Recv).map_err(|error| failed(error.into()))?;
        let (plain, theirs) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(terms.to_words()).stdin(socket).stdout(OwnedFd::from(theirs)).stderr(Stdio::piped());
        let mut program = command.spawn().map_err(failed)?;
        drop(command); // and with it our copy of the other end
        let mut safe = [0];
        if matches!((&plain).read(&mut safe), Ok(1)) {
            plain.set_read_timeout(waits).and_then(|()| plain.set_write_timeout(waits)).map_err(failed)?;
            return Ok(Self { plain, program });
        }
        let mut reason = String::new();
        if let Some(mut said) = program.stderr.take() {
            said.read_to_string(&mut reason).map_err(failed)?;
        }
        let status = program.wait().map_err(failed)?;
        Err(if reason.is_empty() { failed(io::Error::other(status.to_string())) } else { reason })
    }
}

impl Read for Tunnel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.plain.read(buffer)
    }
}

impl Write for Tunnel {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.plain.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.program.kill(); // the exchange is over, whatever it still waits for
        let _ = self.program.wait();
    }
}
