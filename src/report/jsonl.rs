//! One JSON object a line: every event as it is. This is also the recording that `rappel replay` reads.

use std::io::{self, BufRead};

use super::{Reporter, Streams};
use crate::event::Event;

/// Writes events as JSON lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jsonl;

impl Reporter for Jsonl {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut *to.out, event)?;
        writeln!(to.out)
    }
}

/// Reads a recording, event by event.
///
/// # Errors
/// What reading said, or the number of the line that is no event.
pub fn read(recording: impl BufRead) -> impl Iterator<Item = io::Result<Event>> {
    let lines = recording.lines().enumerate().filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    lines.map(|(index, line)| {
        serde_json::from_str(&line?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: expected an event, found {error}", index + 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        let line = r#"{"at":"2026-11-23T09:00:00Z","elapsed":0.5,"event":"no_hosts_matched"}"#;
        let text = format!("{line}\n\n{line}\n");
        let mut out = Vec::new();
        for event in read(text.as_bytes()) {
            Jsonl.on(&event.unwrap(), &mut Streams { out: &mut out, err: &mut io::sink() }).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n{line}\n"));
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let error = read("\nhello\n".as_bytes()).next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("line 2: expected an event, found "), "{error}");
    }
}
