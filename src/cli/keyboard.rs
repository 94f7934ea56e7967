//! A pause at the terminal: every key is seen as it is pressed, also Ctrl+C.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::run::{Paused, Pausing};

const INTERRUPT: u8 = 3;

/// The terminal without lines, echo and signals, until this is dropped.
struct Keys {
    before: Termios,
    erase: u8,
}

impl Keys {
    fn take() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        modes.input_modes.remove(InputModes::ICRNL);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        Ok(Self { erase: before.special_codes[SpecialCodeIndex::VERASE], before })
    }

    /// The next key; `None` when the time is over.
    fn next(&self, until: Option<Instant>) -> io::Result<Option<u8>> {
        let stdin = io::stdin();
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut fds, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut key = [0];
            return match rustix::io::read(&stdin, &mut key)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(Some(key[0])),
            };
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Waits for the time or the return key.
pub(super) fn pause(pausing: &Pausing) -> io::Result<Paused> {
    let mut shown = io::stderr().lock();
    let keys = Keys::take()?;
    shown.write_all(invitation(pausing).as_bytes())?;
    let until = pausing.time.map(|time| Instant::now() + time);
    let mut typed: Vec<u8> = Vec::new();
    while let Some(key) = keys.next(until)? {
        match key {
            INTERRUPT => {
                shown.write_all(b"\r\x1b[KPress 'C' to continue the play or 'A' to abort\n")?;
                match keys.next(None)? {
                    Some(b'a' | b'A') => return Ok(Paused::Aborted),
                    Some(b'c' | b'C') => break,
                    _ => {}
                }
            }
            // With a time, nothing that is typed counts.
            _ if until.is_some() => {}
            b'\r' | b'\n' => {
                shown.write_all(b"\n")?;
                return Ok(Paused::Answered(String::from_utf8_lossy(&typed).into_owned()));
            }
            key if key == keys.erase || key == 0x7f => {
                let removed = typed.pop();
                if removed.is_some() && !pausing.private {
                    shown.write_all(b"\x08 \x08")?;
                }
            }
            key => {
                typed.push(key);
                if !pausing.private {
                    shown.write_all(&[key])?;
                }
            }
        }
        shown.flush()?;
    }
    Ok(Paused::Answered(String::new()))
}

fn invitation(pausing: &Pausing) -> String {
    let hidden = if pausing.private { " (output is hidden)" } else { "" };
    let seconds = |time: Duration| {
        format!("Pausing for {} seconds{hidden}\n(ctrl+C then 'C' = continue early, ctrl+C then 'A' = abort)\n", time.as_secs())
    };
    let time = pausing.time.map(seconds).unwrap_or_default();
    let prompt = match (&pausing.prompt, pausing.time) {
        (Some(prompt), _) => format!("[pause]\n{prompt}{hidden}:\n"),
        (None, None) => format!("[pause]\nPress enter to continue, Ctrl+C to interrupt{hidden}:\n"),
        (None, Some(_)) => String::new(),
    };
    time + &prompt
}
