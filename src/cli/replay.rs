//! `rappel replay`: a recorded run, shown again.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use clap::Args;

use super::output::{self, Wanted};
use super::{Outcome, Stopped};
use crate::event::{EventKind, Exit};
use crate::report::jsonl;

/// Shows a recorded run again
///
/// A run is recorded by `rappel play --record FILE`. Replaying touches no host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel replay run.jsonl                      the run as it was shown
  rappel replay run.jsonl --output junit       as JUnit XML
  rappel replay run.jsonl -v | less -R         with all results")]
pub(super) struct ReplayOptions {
    /// The recording; `-` for standard input
    pub(super) file: PathBuf,
    /// Show more; `-vv`, `-vvv` … show more still
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// How to show the run: FORMAT, or FORMAT=FILE (may be repeated)
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub(super) output: Vec<Wanted>,
}

/// Replays the recording and ends as the run did.
pub(super) fn run(options: &ReplayOptions) -> Outcome {
    let look = output::look(options.verbose);
    let mut outputs = output::outputs(&options.output, None, &look).map_err(Stopped::usage)?;
    let named = |error: io::Error| Stopped::error(format!("cannot replay `{}`: {error}", options.file.display()));
    let input: Box<dyn io::Read> =
        if options.file.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(&options.file).map_err(named)?) };
    let mut ended = None;
    for event in jsonl::read(BufReader::new(input)) {
        let event = event.map_err(named)?;
        outputs.on(&event);
        if let EventKind::RunFinished { exit } = event.kind {
            ended = Some(exit);
        }
    }
    // A recording without an end is that of a run that was killed.
    Ok(ended.unwrap_or(Exit::Unknown))
}
