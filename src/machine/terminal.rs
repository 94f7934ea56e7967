//! Running a program on a terminal of its own, for those that only talk to people.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use super::command::{Command, RunError};
use super::{MAX_OUTPUT, Machine, Settings, find_program};
use crate::wire::Failure;

/// A program that runs on a terminal.
#[derive(Debug)]
pub struct Dialogue {
    child: Child,
    terminal: File,
    program: String,
}

/// What became of waiting for output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something was printed.
    Something,
    /// Nothing, for as long as was waited.
    Silence,
    /// The program has closed the terminal.
    End,
}

impl Machine {
    /// Starts a program on a terminal; what is typed comes back as output if `echo`. A program that is not waited for with
    /// [`Dialogue::close`] is killed.
    ///
    /// # Errors
    /// See [`RunError`]; and a host without the program `setsid`, which gives it the terminal.
    pub fn converse(&self, command: &Command, echo: bool) -> Result<Dialogue, Failure> {
        let setsid =
            find_program("setsid").ok_or_else(|| Failure::new("this host has no `setsid` (util-linux), which a terminal needs"))?;
        let program = command.program();
        let lost = |error: rustix::io::Errno| Failure::from(RunError::Lost { program: program.clone(), source: error.into() });
        let (terminal, other) = open(echo).map_err(lost)?;
        // A session's first terminal becomes its own; opening it is what the shell is for.
        let mut words: Vec<OsString> = ["sh", "-c", "exec \"$@\" <\"$0\" >\"$0\" 2>&1"].map(OsString::from).into();
        words.push(other);
        words.extend(command.argv.iter().cloned());
        let mut process = std::process::Command::new(setsid);
        process.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Settings { environment, .. } = &self.settings;
        process.envs(environment.iter().map(|(name, value)| (name, value)));
        process.envs(command.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &command.chdir {
            process.current_dir(directory);
        }
        let child = process.spawn().map_err(|source| RunError::Start { program: program.clone(), source })?;
        Ok(Dialogue { child, terminal: terminal.into(), program })
    }
}

/// Both ends of a terminal: ours, and the name of the program's.
fn open(echo: bool) -> rustix::io::Result<(OwnedFd, OsString)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })?;
    let mut modes = tcgetattr(&ours)?;
    modes.local_modes.set(LocalModes::ECHO, echo);
    tcsetattr(&ours, OptionalActions::Now, &modes)?;
    Ok((ours, OsString::from(name.to_string_lossy().into_owned())))
}

impl Dialogue {
    /// Waits for output, until `deadline` if there is one, and appends it to `heard`.
    ///
    /// # Errors
    /// The call was asked to stop, the program prints without end, or the system's.
    pub fn listen(&mut self, machine: &Machine, deadline: Option<Instant>, heard: &mut Vec<u8>) -> Result<Heard, Failure> {
        const LOOK: Duration = Duration::from_millis(200);
        loop {
            machine.go_on()?;
            let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(Instant::now()).min(LOOK));
            let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
            let ready = match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => false,
                Err(error) => return Err(RunError::Lost { program: self.program.clone(), source: error.into() }.into()),
            };
            if !ready {
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    return Ok(Heard::Silence);
                }
                continue;
            }
            let mut buffer = [0; 4096];
            // The other end's closing is an error of its own here.
            let count = self.terminal.read(&mut buffer).unwrap_or(0);
            heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if heard.len() > MAX_OUTPUT {
                return Err(RunError::TooMuch { program: self.program.clone() }.into());
            }
            return Ok(if count == 0 { Heard::End } else { Heard::Something });
        }
    }

    /// Types `text`.
    ///
    /// # Errors
    /// The program has gone.
    pub fn say(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.terminal.write_all(text).map_err(|source| RunError::Lost { program: self.program.clone(), source }.into())
    }

    /// Waits for the end; its exit status, or the negative number of a signal.
    ///
    /// # Errors
    /// The system's.
    pub fn close(mut self) -> Result<i32, Failure> {
        let status = self.child.wait().map_err(|source| RunError::Lost { program: self.program.clone(), source })?;
        Ok(super::process::status_of(status))
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It leads its own session, so this is everything it started.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Where `name` is as a program: a path, or found in `PATH`.
pub fn locate(name: &str) -> bool {
    if name.contains('/') { Path::new(name).is_file() } else { find_program(name).is_some() }
}
