//! Events become bytes: for people, and for machines. A reporter sees nothing but [`Event`]s.
//!
//! Several outputs can run at once; [`Outputs`] hands every event to each. Losing an output never stops a deployment: a report
//! that cannot be written any more is dropped with one line on standard error.

mod diff;
mod dump;
pub mod findings;
mod github;
mod html;
mod human;
mod json;
pub mod jsonl;
mod junit;
mod live;
mod log;
mod minimal;
mod otlp;
mod paint;
mod plan;
mod quiet;
pub mod snippet;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::event::Event;

pub use dump::json as python_json;
pub use github::Github;
pub use html::Html;
pub use human::{Human, Look, ResultFormat};
pub use json::Json;
pub use jsonl::Jsonl;
pub use junit::Junit;
pub use live::{Live, Terminal};
pub use log::Log;
pub use minimal::Minimal;
pub use otlp::Otlp;
pub use paint::{Color, Paint};
pub use plan::Plan;
pub use quiet::Quiet;

/// Where a reporter writes.
pub struct Streams<'a> {
    /// Standard output, or the file it was told to write.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

/// Shows a run in one way.
pub trait Reporter {
    /// Takes the next event. The streams are flushed afterwards.
    ///
    /// # Errors
    /// What the stream said.
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()>;

    /// Time has passed without an event.
    ///
    /// # Errors
    /// What the stream said.
    fn tick(&mut self, _: &mut Streams<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Whether it wants [`Reporter::tick`].
    fn ticks(&self) -> bool {
        false
    }

    /// No event comes any more.
    ///
    /// # Errors
    /// What the stream said.
    fn over(&mut self, _: &mut Streams<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// One reporter and where it writes.
struct Output {
    reporter: Box<dyn Reporter + Send>,
    /// The file, or standard output.
    file: Option<(String, BufWriter<File>)>,
}

/// All outputs of a run.
#[derive(Default)]
pub struct Outputs {
    outputs: Vec<Output>,
}

impl Outputs {
    /// Adds `reporter`, writing to standard output and standard error.
    pub fn add(&mut self, reporter: Box<dyn Reporter + Send>) {
        self.outputs.push(Output { reporter, file: None });
    }

    /// Adds `reporter`, writing to the file `path`.
    ///
    /// # Errors
    /// Where the file cannot be created.
    pub fn add_file(&mut self, reporter: Box<dyn Reporter + Send>, path: &Path) -> io::Result<()> {
        self.write_to(reporter, path, private().truncate(true).open(path)?);
        Ok(())
    }

    /// Adds `reporter`, writing behind what is in the file `path` already.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub fn append_to(&mut self, reporter: Box<dyn Reporter + Send>, path: &Path) -> io::Result<()> {
        self.write_to(reporter, path, private().append(true).open(path)?);
        Ok(())
    }

    fn write_to(&mut self, reporter: Box<dyn Reporter + Send>, path: &Path, file: File) {
        self.outputs.push(Output { reporter, file: Some((path.display().to_string(), BufWriter::new(file))) });
    }

    /// Hands `event` to every output, in the order they were added.
    pub fn on(&mut self, event: &Event) {
        self.write(event, &mut io::stdout().lock(), &mut io::stderr().lock());
    }

    /// Whether an output shows that time passes.
    pub fn ticks(&self) -> bool {
        self.outputs.iter().any(|output| output.reporter.ticks())
    }

    /// Time has passed without an event.
    pub fn tick(&mut self) {
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        for output in self.outputs.iter_mut().filter(|output| output.reporter.ticks()) {
            // The next event tells whether it can still be written to.
            let _ = output.reporter.tick(&mut Streams { out: &mut out, err: &mut err });
        }
    }

    /// Tells every output that the run is over.
    pub fn finish(&mut self) {
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        for output in &mut self.outputs {
            // Whoever could not be written to has said so before.
            let _ = output.reporter.over(&mut Streams { out: &mut out, err: &mut err });
        }
    }

    fn write(&mut self, event: &Event, out: &mut dyn Write, err: &mut dyn Write) {
        self.outputs.retain_mut(|output| match output.on(event, out, err) {
            Ok(()) => true,
            // `rappel play … | head` has seen enough; the deployment has not.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
            Err(error) => {
                let name = output.file.as_ref().map_or("standard output", |(name, _)| name);
                // Where not even this can be written, there is nobody left to tell.
                let _ = writeln!(err, "warning: cannot write `{name}` any more: {error}");
                false
            }
        });
    }
}

impl Output {
    fn on(&mut self, event: &Event, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        let out: &mut dyn Write = match &mut self.file {
            Some((_, file)) => file,
            None => out,
        };
        self.reporter.on(event, &mut Streams { out: &mut *out, err: &mut *err })?;
        out.flush()?;
        err.flush()
    }
}

/// What a run showed is for its owner: a new file is readable by nobody else.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    struct Counting(u32);

    impl Reporter for Counting {
        fn on(&mut self, _: &Event, to: &mut Streams<'_>) -> io::Result<()> {
            self.0 += 1;
            write!(to.out, "{} ", self.0)
        }
    }

    struct Full(io::ErrorKind);

    impl Reporter for Full {
        fn on(&mut self, _: &Event, _: &mut Streams<'_>) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_lost_output_is_told_once_and_does_not_disturb_the_others() {
        let mut outputs = Outputs::default();
        outputs.add(Box::new(Full(io::ErrorKind::StorageFull)));
        outputs.add(Box::new(Full(io::ErrorKind::BrokenPipe)));
        outputs.add(Box::new(Counting(0)));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let event = Event { at: jiff::Timestamp::UNIX_EPOCH, elapsed: std::time::Duration::ZERO, kind: EventKind::NoHostsMatched };
        outputs.write(&event, &mut out, &mut err);
        outputs.write(&event, &mut out, &mut err);
        assert_eq!(String::from_utf8(out).unwrap(), "1 2 ");
        assert_eq!(String::from_utf8(err).unwrap(), "warning: cannot write `standard output` any more: no storage space\n");
    }
}
