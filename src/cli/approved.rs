//! `rappel play --plan FILE`: only what somebody has seen and approved is run.
//!
//! The plan is predicted again, in the same way, and compared with the one in the file. Where they differ, hosts or playbooks
//! have changed since, and nothing is run.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Stopped;
use super::play::{PlayOptions, drive};
use super::prepare::Prepared;
use crate::event::{Changes, Event, EventKind, Exit};
use crate::model::Inventory;
use crate::plan::{Mistakes, Plan};
use crate::report::{Look, Outputs, Quiet, Reporter, Streams, jsonl};
use crate::run;

/// Refuses unless a dry run says what the plan in `file` says.
pub(super) fn hold(
    file: &Path,
    mut prepared: Prepared,
    (plan, settings, inventory): (&Plan, &run::Settings, &Inventory),
    options: &PlayOptions,
    look: &Look,
) -> Result<(), Stopped> {
    let then = read(file)?;
    let compiler = prepared.compiler(settings.selection.clone(), settings.extra.clone(), Mistakes::BeforeRun);
    let (cancel, stop) = (CancellationToken::new(), CancellationToken::new());
    let inputs = prepared.inputs(inventory.clone(), compiler, &options.hosts, cancel.clone(), stop.clone());
    let settings = run::Settings { check: true, diff: true, ..settings.clone() };
    let now = Arc::new(Mutex::new(Changes::default()));
    let mut outputs = Outputs::default();
    outputs.add(Box::new(Predicting { changes: Arc::clone(&now), quiet: Quiet::new(look) }));
    let plan = plan.clone();
    let exit = drive(outputs, cancel, stop, |events| run::run(plan, settings, inputs, events))?;
    if exit != Exit::Success {
        return Err(Stopped { exit, message: "the plan cannot be predicted again; nothing was changed".to_owned() });
    }
    let now = now.lock().unwrap_or_else(PoisonError::into_inner);
    let moved = then.moved(&now);
    if moved.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = moved.iter().map(|line| format!("  {line}")).collect();
    Err(Stopped::error(format!(
        "`{}` no longer holds; nothing was changed\n{}\nhelp: look at a new plan: `rappel plan … --record {}`",
        file.display(),
        lines.join("\n"),
        file.display()
    )))
}

/// The plan of a recording.
fn read(file: &Path) -> Result<Changes, Stopped> {
    let wrong = |why: String| Stopped::usage(format!("`{}` is no plan: {why}", file.display()));
    let recording = File::open(file).map_err(|error| wrong(error.to_string()))?;
    let (mut changes, mut dry, mut ended) = (Changes::default(), false, None);
    for event in jsonl::read(BufReader::new(recording)) {
        let event = event.map_err(|error| wrong(error.to_string()))?;
        changes.apply(&event);
        match event.kind {
            EventKind::RunStarted { check, .. } => dry = check,
            EventKind::RunFinished { exit } => ended = Some(exit),
            _ => {}
        }
    }
    match ended {
        _ if !dry => Err(wrong("it is the recording of a run that was no dry run".to_owned())),
        Some(Exit::Success) => Ok(changes),
        Some(_) => Err(wrong("its dry run failed".to_owned())),
        None => Err(wrong("its dry run did not come to an end".to_owned())),
    }
}

/// Adds up what would change, and shows only what is wrong.
struct Predicting {
    changes: Arc<Mutex<Changes>>,
    quiet: Quiet,
}

impl Reporter for Predicting {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).apply(event);
        if matches!(event.kind, EventKind::RunFinished { .. }) { Ok(()) } else { self.quiet.on(event, to) }
    }
}
