//! `rappel play`: playbooks on hosts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::options::{ConnectionOptions, HostOptions, OutputOptions, PrivilegeOptions, VariableOptions};
use super::prepare::Prepared;
use super::{Outcome, Stopped, approved, complete, output};
use crate::event::{Event, EventKind, Exit, Finding};
use crate::model::{Inventory, Pattern};
use crate::plan::{Mistakes, Selection};
use crate::report::{Look, Outputs};
use crate::run::{self, AfterFatalRescue};
use crate::template::Manner;
use crate::text::{Diagnostic, Diagnostics, Severity, Sources};

/// How often an output that shows the time is drawn when nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// How many events may wait for slow reporters before the run waits too.
const BACKLOG: usize = 1024;

/// Runs playbooks
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel play -i inventories/production site.yml
  rappel play -i web1,web2, -l web1 site.yml --check --diff
  rappel play --atomic -i hosts site.yml -e version=1.4.2
  rappel plan -i hosts site.yml --record site.plan && rappel play -i hosts site.yml --plan site.plan")]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(super) struct PlayOptions {
    /// The playbooks
    #[arg(required = true, value_name = "PLAYBOOK", value_hint = ValueHint::FilePath)]
    pub(super) playbooks: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) hosts: HostOptions,
    #[command(flatten)]
    pub(super) variables: VariableOptions,
    #[command(flatten)]
    pub(super) connection: ConnectionOptions,
    #[command(flatten)]
    pub(super) privilege: PrivilegeOptions,
    #[command(flatten)]
    pub(super) output: OutputOptions,
    /// Predict what would change, and change nothing
    #[arg(short = 'C', long, conflicts_with = "syntax_check")]
    pub(super) check: bool,
    /// Show what changes in files
    #[arg(short = 'D', long)]
    pub(super) diff: bool,
    /// Only tasks with these tags (may be repeated, and separated by commas)
    #[arg(short, long, value_name = "TAGS", add = complete::tags())]
    pub(super) tags: Vec<String>,
    /// Without tasks with these tags (may be repeated, and separated by commas)
    #[arg(long, value_name = "TAGS", add = complete::tags())]
    pub(super) skip_tags: Vec<String>,
    /// Begin at the task of this name
    #[arg(long, value_name = "NAME", add = complete::tasks())]
    pub(super) start_at_task: Option<String>,
    /// Show the tasks and do nothing
    #[arg(long)]
    pub(super) list_tasks: bool,
    /// Show the tags and do nothing
    #[arg(long)]
    pub(super) list_tags: bool,
    /// Read everything and do nothing
    #[arg(long)]
    pub(super) syntax_check: bool,
    /// Run notified handlers also on hosts that failed
    #[arg(long)]
    pub(super) force_handlers: bool,
    /// All hosts or none: every play is one transaction
    #[arg(long)]
    pub(super) atomic: bool,
    /// Run what this plan says, a recording of `rappel plan`; refuse if hosts have changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "syntax_check"])]
    pub(super) plan: Option<PathBuf>,
    /// Not supported: there is no interactive stepping
    #[arg(long, hide = true)]
    pub(super) step: bool,
    /// Folders of modules that are not rappel's own, between colons
    #[arg(short = 'M', long, value_name = "FOLDERS")]
    pub(super) module_path: Option<String>,
}

fn tags(given: &[String], configured: &[String]) -> Vec<String> {
    let given = if given.is_empty() { configured } else { given };
    given.iter().flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect()
}

/// Runs playbooks; `ansible` where the program was called as `ansible-playbook`.
pub(super) fn run(options: &PlayOptions, ansible: bool) -> Outcome {
    if options.step {
        return Err(Stopped::usage("`--step` is not supported; use `--start-at-task` and `--limit`"));
    }
    let mut prepared = Prepared::new(&options.variables)?;
    if ansible {
        prepared.templar = prepared.templar.with_manner(Manner { late: true, truthy_conditions: true, ..Manner::default() });
    }
    let look = Look { ansible, tells_bridge: !ansible, ..output::look_of(options.output.verbose, &prepared.config) };
    let mut outputs = output::of_run(&options.output, &look).map_err(Stopped::error)?;
    output::add_log(&mut outputs, &prepared.config, &look, &mut prepared.diags);
    let inventory = prepared.inventory(&options.hosts);
    let extra = Arc::new(prepared.extra(&options.variables.extra_vars));
    let selection = Arc::new(if options.list_tags {
        // All tags that could be asked for, also those of tasks that run only when asked for.
        Selection { only: vec!["all".to_owned(), "never".to_owned()], skip: Vec::new() }
    } else {
        Selection { only: tags(&options.tags, &prepared.config.run_tags), skip: tags(&options.skip_tags, &prepared.config.skip_tags) }
    });
    if let Some(folders) = &options.module_path {
        prepared.config.library.splice(0..0, std::env::split_paths(folders));
    }
    let compiler = prepared.compiler(selection.clone(), extra.clone(), if ansible { Mistakes::AtTask } else { Mistakes::BeforeRun });
    for path in &options.playbooks {
        if !path.is_file() {
            return Err(Stopped::error(format!("the playbook: {} could not be found", path.display())));
        }
    }
    let mut plan = compiler.playbooks(&options.playbooks, &mut prepared.diags);
    if let Some(name) = &options.start_at_task
        && !plan.start_at(name)
    {
        let message = format!("No matching task \"{name}\" found. Note: --start-at-task can only follow static includes.");
        prepared.diags.push(Diagnostic::warning("no-such-task", message));
    }
    let wrong = prepared.diags.iter().find(|finding| finding.severity == Severity::Error);
    // As in Ansible, a password that does not fit is not a file that cannot be read.
    let broken = wrong.map(|finding| if finding.code == "vault" { Exit::Error } else { Exit::Unreachable });
    tell(&mut outputs, std::mem::take(&mut prepared.diags), &prepared.sources);
    if let Some(exit) = broken {
        return Ok(exit);
    }
    if let Some(limit) = options.hosts.limit() {
        super::prepare::check_limit(&limit, &inventory, &prepared.sources)?;
    }
    let settings = run::Settings {
        playbooks: options.playbooks.clone(),
        limit: options.hosts.limit(),
        flush_cache: options.hosts.flush_cache,
        extra,
        selection,
        check: options.check,
        verbosity: look.verbosity,
        atomic: options.atomic,
        after_fatal_rescue: if ansible { AfterFatalRescue::GoOn } else { AfterFatalRescue::Stop },
        stream: options.output.stream,
        inventory_sources: prepared.inventory_sources(&options.hosts),
        ..prepared.settings(&options.connection, &options.privilege)?
    };
    let settings = run::Settings { limit: limited(settings.limit.as_deref(), &inventory, &prepared.sources)?, ..settings };
    let settings = run::Settings {
        diff: settings.diff || options.diff,
        force_handlers: settings.force_handlers || options.force_handlers,
        ..settings
    };
    if options.list_tasks || options.list_tags || options.hosts.list_hosts || options.syntax_check {
        return super::listing::show(options, &plan, &inventory, &settings, &prepared);
    }
    if let Some(file) = &options.plan {
        let again = prepared.again();
        approved::hold(file, again, (&plan, &settings, &inventory), options, &look)?;
    }
    let (cancel, stop) = (CancellationToken::new(), CancellationToken::new());
    let inputs = prepared.inputs(inventory, compiler, &options.hosts, cancel.clone(), stop.clone());
    drive(outputs, cancel, stop, |events| run::run(plan, settings, inputs, events))
}

/// `--limit`, if it says anything: it must leave somebody.
fn limited(limit: Option<&str>, inventory: &Inventory, sources: &Sources) -> Result<Option<String>, Stopped> {
    let Some(text) = limit else { return Ok(None) };
    let pattern = Pattern::limit(sources, text).map_err(|found| Stopped::error(found.message))?;
    if pattern.is_empty() {
        return Ok(None);
    }
    inventory.check_limit(&pattern, &mut Diagnostics::default()).map_err(|found| Stopped::error(found.message))?;
    Ok(Some(text.to_owned()))
}

/// Tells every finding to every output.
pub(super) fn tell(outputs: &mut Outputs, diags: Diagnostics, sources: &Sources) {
    let mut diags = diags.into_vec();
    diags.sort_by_key(|diagnostic| diagnostic.severity == Severity::Error);
    for diagnostic in diags {
        let kind = EventKind::Warned(Finding::new(diagnostic, sources));
        outputs.on(&Event { at: jiff::Timestamp::now(), elapsed: Duration::ZERO, kind });
    }
}

/// Runs `work` on a runtime, hands its events to `outputs`, and turns signals into tokens: the first is orderly, the second is not.
pub(super) fn drive<F>(
    mut outputs: Outputs,
    cancel: CancellationToken,
    stop: CancellationToken,
    work: impl FnOnce(mpsc::Sender<Event>) -> F,
) -> Outcome
where
    F: Future<Output = Exit> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(run::STACK)
        .build()
        .map_err(|error| Stopped::error(format!("cannot start the runtime: {error}")))?;
    let (sender, mut receiver) = mpsc::channel(BACKLOG);
    let listener = sender.downgrade();
    let running = {
        let _guard = runtime.enter();
        runtime.spawn(work(sender))
    };
    runtime.spawn(signals(cancel, stop, listener));
    if outputs.ticks() {
        let next = async |receiver: &mut mpsc::Receiver<Event>| tokio::time::timeout(TICK, receiver.recv()).await;
        loop {
            match runtime.block_on(next(&mut receiver)) {
                Ok(Some(event)) => outputs.on(&event),
                Ok(None) => break,
                Err(_) => outputs.tick(),
            }
        }
    }
    while let Some(event) = receiver.blocking_recv() {
        outputs.on(&event);
    }
    outputs.finish();
    let exit = runtime.block_on(running).map_err(|error| Stopped { exit: Exit::Bug, message: format!("the run ended by itself: {error}") });
    runtime.shutdown_background();
    exit
}

async fn signals(cancel: CancellationToken, stop: CancellationToken, listener: mpsc::WeakSender<Event>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
    let began = std::time::Instant::now();
    let first = "interrupted: no new task begins, and open transactions are undone; a second signal stops at once, and leaves that to `rappel recover`";
    let second = "stopped: `rappel recover` undoes what is left open";
    for (token, text) in [(cancel, first), (stop, second)] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
        if let Some(listener) = listener.upgrade() {
            let kind = EventKind::Note { text: text.to_owned() };
            // Whoever is gone does not need to be told.
            let _ = listener.try_send(Event { at: jiff::Timestamp::now(), elapsed: began.elapsed(), kind });
        }
    }
}
