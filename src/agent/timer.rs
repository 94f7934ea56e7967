//! The dead-man's timer: undoes an open transaction when the controller is silent for too long.
//!
//! It is a process of its own, so that it outlives the agent and the connection. A machine that goes down takes it along;
//! the next agent that looks at the journal then undoes what expired.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::machine::{Cause, State, Transaction};
use crate::wire::Failure;

const TICK: Duration = Duration::from_millis(250);
/// How long a timer may take to start, on the slowest of hosts.
const START: Duration = Duration::from_secs(10);

/// Starts the timer of the transaction in `folder`: as a process when this program knows how to start itself, else as a thread.
///
/// # Errors
/// The system's.
pub(super) fn arm(folder: &Path, program: Option<&[OsString]>) -> io::Result<()> {
    let Some((program, arguments)) = program.and_then(<[_]>::split_first) else {
        let folder = folder.to_owned();
        thread::spawn(move || watch(&folder));
        return Ok(());
    };
    let mut command = Command::new(program);
    command.args(arguments).arg("--timer").arg(folder).current_dir("/");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // A transaction without its timer would stay open for ever, so it only begins when the timer watches.
    let started = Instant::now();
    while !watched(folder)? {
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("it ended at once: {status}")));
        }
        if started.elapsed() > START {
            return Err(io::Error::other(format!("it did not start within {} s", START.as_secs())));
        }
        thread::sleep(Duration::from_millis(1));
    }
    // Waited for, so that it does not stay a zombie when it ends before the agent.
    thread::spawn(move || child.wait());
    Ok(())
}

/// Whether somebody holds the lock of the timer.
fn watched(folder: &Path) -> io::Result<bool> {
    match File::open(folder.join("timer")) {
        Ok(lock) => Ok(lock.try_lock().is_err()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Watches the transaction in `folder` until it is no longer open, and undoes it when the controller falls silent.
///
/// # Errors
/// When the journal cannot be read or written.
pub(super) fn watch(folder: &Path) -> Result<(), Failure> {
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("timer"));
    let lock = lock.map_err(|error| Failure::new(format!("cannot start the timer in {}: {error}", folder.display())))?;
    // Whoever only looks whether there is a timer holds the lock for a moment.
    let free = (0..50).any(|_| {
        lock.try_lock().is_ok() || {
            thread::sleep(Duration::from_millis(2));
            false
        }
    });
    if !free {
        return Ok(()); // there is one already
    }
    let limit = {
        let transaction = Transaction::locked(folder)?;
        Duration::from_secs(transaction.begin()?.0.confirm_within.into())
    };
    // Silence is measured by a clock that nobody sets.
    let (mut heard, mut seen) = (Instant::now(), changed(folder, "heartbeat"));
    let mut log = None;
    loop {
        let beat = changed(folder, "heartbeat");
        if beat != seen {
            (heard, seen) = (Instant::now(), beat);
        }
        let written = changed(folder, "log");
        let expired = heard.elapsed() > limit;
        if written != log || expired {
            if written.is_none() {
                return Ok(()); // forgotten
            }
            log = written;
            let mut transaction = if expired { Transaction::claimed(folder)? } else { Transaction::locked(folder)? };
            if transaction.state() != State::Open {
                return Ok(());
            }
            // A long call holds the lock; the controller may have been heard meanwhile.
            if expired && changed(folder, "heartbeat") == seen {
                return transaction.undo(Cause::Healed).map(drop);
            }
        }
        thread::sleep(TICK.min(limit));
    }
}

fn changed(folder: &Path, name: &str) -> Option<SystemTime> {
    fs::metadata(folder.join(name)).and_then(|meta| meta.modified()).ok()
}
