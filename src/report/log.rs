//! The log file of `log_path`: what people see, with the time before every line.

use std::io::{self, Write};

use super::human::{Human, Look};
use super::{Paint, Reporter, Streams};
use crate::event::Event;

/// How Ansible writes the time.
const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// Writes a run as a log: `2026-05-01 12:00:00,123 p=PROCESS u=USER n=ansible INFO| LINE`.
///
/// Ansible puts that before what it shows at once, which can be many lines; here every line says when it was written.
pub struct Log {
    human: Human,
    /// Who runs it, and in which process.
    by: String,
}

impl Log {
    /// A log of what `look` shows, without colours; `user` runs it.
    pub fn new(look: &Look, user: &str) -> Self {
        let look = Look { paint: Paint(false), ..look.clone() };
        Self { human: Human::new(look), by: format!("p={} u={user} n=ansible", std::process::id()) }
    }

    fn lines(&self, event: &Event, level: &str, text: &[u8], to: &mut dyn Write) -> io::Result<()> {
        let at = event.at.to_zoned(jiff::tz::TimeZone::system());
        let (time, millis) = (at.strftime(TIME), event.at.subsec_millisecond());
        let text = String::from_utf8_lossy(text);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            writeln!(to, "{time},{millis:03} {} {level}| {line}", self.by)?;
        }
        Ok(())
    }
}

impl Reporter for Log {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        self.human.on(event, &mut Streams { out: &mut out, err: &mut err })?;
        self.lines(event, "WARNING", &err, to.out)?;
        self.lines(event, "INFO", &out, to.out)
    }
}
