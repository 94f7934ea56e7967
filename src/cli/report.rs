//! `rappel report`: a recorded run as one page of HTML.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::PathBuf;

use clap::Args;

use super::{Outcome, Stopped};
use crate::event::Exit;
use crate::report::{Html, jsonl};

/// Makes a page of a recorded run: timeline, failures, changes, checks
///
/// A run is recorded by `--record FILE`. The page needs neither a network nor any other file.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  rappel play -i hosts site.yml --record run.jsonl; rappel report run.jsonl")]
pub(super) struct ReportOptions {
    /// The recording; `-` for standard input
    file: PathBuf,
    /// The page; the recording's name with the ending `.html` when not given
    #[arg(short = 'w', long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Writes the page.
#[expect(clippy::print_stdout, reason = "the answer to the command")]
pub(super) fn run(options: &ReportOptions) -> Outcome {
    let named = |error: io::Error| Stopped::error(format!("cannot read `{}`: {error}", options.file.display()));
    let standard = options.file.as_os_str() == "-";
    let input: Box<dyn io::Read> = if standard { Box::new(io::stdin()) } else { Box::new(File::open(&options.file).map_err(named)?) };
    let mut html = Html::default();
    for event in jsonl::read(BufReader::new(input)) {
        html.add(&event.map_err(named)?);
    }
    let target = match &options.write {
        Some(file) => file.clone(),
        None if standard => PathBuf::from("report.html"),
        None => options.file.with_extension("html"),
    };
    fs::write(&target, html.page()).map_err(|error| Stopped::error(format!("cannot write `{}`: {error}", target.display())))?;
    println!("{}", target.display());
    Ok(Exit::Success)
}
