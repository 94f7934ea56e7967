//! `rappel deploy` and its sisters: the pipeline from the command line.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, Subcommand};
use indexmap::IndexMap;
use tokio_util::sync::CancellationToken;

use super::fleet::{Hosts, How};
use super::options::{ConnectionOptions, OutputOptions, PrivilegeOptions, VariableOptions};
use super::play::{drive, tell};
use super::settings::Settings;
use super::{Outcome, Stopped, complete, config, output};
use crate::deploy::config::{Config, FILE};
use crate::deploy::history::{self, HostState, Survey};
use crate::deploy::metrics;
use crate::deploy::recover::{self, Coordinator};
use crate::deploy::report::{Origin, Report};
use crate::deploy::{Pipeline, Wanted};
use crate::event::{Exit, Verdict};
use crate::report::Outputs;
use crate::text::{Diagnostics, Sources};
use crate::wire::{Map, Value};

/// Which environment, and how to get there.
#[derive(Args, Clone, Debug)]
pub(super) struct EnvironmentOptions {
    /// The environment, as `rappel.yml` names it
    #[arg(value_name = "ENV", add = complete::environments())]
    environment: String,
    /// The file that describes the environments
    #[arg(long, value_name = "FILE", default_value = FILE, env = "RAPPEL_CONFIG")]
    config: PathBuf,
    #[command(flatten)]
    variables: VariableOptions,
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(flatten)]
    privilege: PrivilegeOptions,
    #[command(flatten)]
    output: OutputOptions,
}

/// Deploys a release to all hosts of an environment, or to none
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel deploy production backend_image=registry/backend:1.2 frontend_image=registry/frontend:1.2
  rappel deploy production \"backend_image=registry/backend:1.2 frontend_image=registry/frontend:1.2\"
  rappel deploy production backend_image=… frontend_image=… --plan-only")]
pub(super) struct DeployOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
    /// What to deploy: NAME=VALUE, one by one or several in one argument
    #[arg(value_name = "NAME=VALUE", required = true)]
    what: Vec<String>,
    /// Stop after the plan
    #[arg(long)]
    plan_only: bool,
    /// Deploy although every host is on this release and healthy
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Wait at most so many seconds for the lock
    #[arg(long, value_name = "SECONDS")]
    lock_timeout: Option<u64>,
}

/// Goes back to the release before, or to another that is on the hosts
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  rappel rollback production --to 1.1")]
pub(super) struct RollbackOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
    /// The release, its backend image, or that image's tag
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Looks whether a deployment could begin
#[derive(Args, Clone, Debug)]
pub(super) struct PreflightOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
    /// What would be deployed: NAME=VALUE
    #[arg(value_name = "NAME=VALUE")]
    what: Vec<String>,
}

/// Runs the health checks for what is deployed
#[derive(Args, Clone, Debug)]
pub(super) struct HealthOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
}

/// Shows what every host is on, and who holds the lock
#[derive(Args, Clone, Debug)]
pub(super) struct StatusOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
}

/// Finishes what a dead controller left open
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel recover production
  rappel recover production --coordinator-lost    the host that keeps the decision will never come back")]
pub(super) struct RecoverOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
    /// Undo what no host is known to have committed, although the host that keeps the decision is gone for good
    #[arg(long)]
    coordinator_lost: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Shows the audit trail
#[derive(Args, Clone, Debug)]
pub(super) struct HistoryOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
    /// How many of the newest entries
    #[arg(short = 'n', long, default_value_t = 20)]
    last: u32,
}

/// Shows the metrics of deployments, as they were last written
#[derive(Args, Clone, Debug)]
pub(super) struct MetricsOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
}

/// Shows, takes or gives back the lock that lets one deployment at a time through
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel lock production                                   who holds it, who waits
  rappel lock production acquire --reason 'incident 42'    no deployment until it is released
  rappel lock production release --ticket 7")]
pub(super) struct LockOptions {
    #[command(flatten)]
    common: EnvironmentOptions,
    #[command(subcommand)]
    action: Option<LockAction>,
}

#[derive(Clone, Debug, Subcommand)]
enum LockAction {
    /// Shows the queue
    Show,
    /// Draws a ticket that holds until it is released: deployments wait behind it
    Acquire {
        /// Why: shown to those who wait
        #[arg(long)]
        reason: String,
    },
    /// Takes a ticket out of the queue
    Release {
        /// Which; the holder's when not given
        #[arg(long)]
        ticket: Option<i64>,
    },
}

/// `NAME=VALUE` pairs; several may be in one argument, as `deploy.sh` took them.
fn pairs(given: &[String]) -> Result<IndexMap<String, String>, Stopped> {
    let words = given.iter().flat_map(|text| text.split_whitespace());
    words
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Stopped::usage(format!("expected NAME=VALUE, found `{word}`"))),
        })
        .collect()
}

/// Everything that a command needs.
struct Ready {
    pipeline: Pipeline,
    outputs: Outputs,
    hosts: Arc<Hosts>,
    hard: CancellationToken,
    events: tokio::sync::mpsc::Receiver<crate::event::Event>,
}

impl Ready {
    fn new(options: &EnvironmentOptions) -> Result<Self, Stopped> {
        let sources = Sources::default();
        let mut diags = Diagnostics::default();
        let settings = Settings::here();
        let look = output::look_of(options.output.verbose, &settings);
        let mut outputs = output::of_run(&options.output, &look).map_err(Stopped::error)?;
        output::add_log(&mut outputs, &settings, &look, &mut diags);
        let config = Config::load(&sources, &options.config, &mut diags);
        tell(&mut outputs, diags, &sources);
        let config = config::usable(config, &options.config, &mut outputs, &sources)?;
        let environment = config.environment(&options.environment).cloned().map_err(|diagnostic| {
            let help = diagnostic.help.map(|help| format!("; {help}")).unwrap_or_default();
            Stopped::usage(format!("{}{help}", diagnostic.message))
        })?;
        let how = How {
            inventory: environment.inventory.clone(),
            playbook: environment.playbooks.deploy.clone(),
            privileged: environment.become_root,
            verbosity: look.verbosity,
        };
        let hard = CancellationToken::new();
        let (hosts, diags) = Hosts::new(&how, &options.variables, &options.connection, &options.privilege, hard.clone())?;
        let failed = diags.has_errors();
        tell(&mut outputs, diags, &sources);
        if failed {
            return Err(Stopped::error(format!("`{}` cannot be used", how.inventory.display())));
        }
        let hosts = Arc::new(hosts);
        let variable = |name: &str| std::env::var(name).ok();
        let (sender, events) = tokio::sync::mpsc::channel(1024);
        let pipeline = Pipeline {
            name: options.environment.clone(),
            environment,
            fleet: Arc::<Hosts>::clone(&hosts),
            origin: Origin::from_variables(variable),
            variables: Arc::new(variable),
            events: sender,
            stop: CancellationToken::new(),
        };
        Ok(Self { pipeline, outputs, hosts, hard, events })
    }

    /// Runs a command of the pipeline and shows it; ends with its exit status.
    fn go<F>(self, work: impl FnOnce(Arc<Pipeline>) -> F) -> Outcome
    where
        F: Future<Output = Report> + Send + 'static,
    {
        let Self { mut pipeline, outputs, hard, hosts, events } = self;
        drop(events);
        let kept = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&kept);
        let cancel = pipeline.stop.clone();
        let exit = drive(outputs, cancel, hard, move |sender| {
            pipeline.events = sender;
            let work = work(Arc::new(pipeline));
            async move {
                let report = work.await;
                hosts.close().await;
                let exit = report.exit;
                *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
                exit
            }
        })?;
        if let Some(report) = kept.lock().unwrap_or_else(PoisonError::into_inner).take() {
            last_word(&report);
        }
        Ok(exit)
    }

    /// Asks the hosts something, without events.
    fn ask<T, F>(self, work: impl FnOnce(Pipeline) -> F) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, String>>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_stack_size(crate::run::STACK)
            .build()
            .map_err(|error| Stopped::error(format!("cannot start the runtime: {error}")))?;
        let Self { pipeline, hosts, events, .. } = self;
        drop(events);
        runtime.block_on(async {
            let answer = work(pipeline).await;
            hosts.close().await;
            answer.map_err(Stopped::error)
        })
    }
}

#[expect(clippy::print_stdout, reason = "the answer to the command")]
fn say(text: &str) {
    println!("{text}");
}

fn last_word(report: &Report) {
    let detail = report.incident.as_ref().map(|incident| format!(" ({})", incident.message)).unwrap_or_default();
    say(&format!("{}{detail}", report.headline()));
}

/// Asks on a terminal; elsewhere (CI, a pipe) nobody is there to be asked.
fn confirm(question: &str, yes: bool) -> Result<(), Stopped> {
    if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    let ask = || -> io::Result<String> {
        write!(io::stderr(), "{question} [y/N] ")?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(line)
    };
    let line = ask().map_err(|error| Stopped::error(error.to_string()))?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Stopped::error("not confirmed; nothing was changed")),
    }
}

/// `rappel deploy`.
pub(super) fn deploy(options: &DeployOptions) -> Outcome {
    let variables = pairs(&options.what)?;
    let mut ready = Ready::new(&options.common)?;
    if let Some(seconds) = options.lock_timeout {
        ready.pipeline.environment.lock.timeout = seconds;
    }
    let wanted = Wanted { variables, plan_only: options.plan_only, force: options.force };
    if !wanted.plan_only {
        confirm(&format!("deploy {} to {}?", wanted.images().join(" and "), options.common.environment), options.yes)?;
    }
    ready.go(|pipeline| async move { pipeline.deploy(&wanted).await })
}

/// `rappel rollback`.
pub(super) fn rollback(options: &RollbackOptions) -> Outcome {
    let ready = Ready::new(&options.common)?;
    let target = options.to.clone();
    let to = target.as_deref().unwrap_or("the release before");
    confirm(&format!("roll {} back to {to}?", options.common.environment), options.yes)?;
    ready.go(|pipeline| async move { pipeline.rollback(target.as_deref()).await })
}

/// `rappel preflight`.
pub(super) fn preflight(options: &PreflightOptions) -> Outcome {
    let wanted = Wanted { variables: pairs(&options.what)?, ..Wanted::default() };
    Ready::new(&options.common)?.go(|pipeline| async move { pipeline.preflight(&wanted).await })
}

/// `rappel health`.
pub(super) fn health(options: &HealthOptions) -> Outcome {
    Ready::new(&options.common)?.go(|pipeline| async move { pipeline.health().await })
}

/// `rappel status`.
pub(super) fn status(options: &StatusOptions) -> Outcome {
    let (survey, verdicts, queue) = Ready::new(&options.common)?.ask(|pipeline| async move {
        let hosts = pipeline.fleet.hosts(&pipeline.environment.hosts)?;
        let survey = Survey::take(&pipeline.fleet, &pipeline.environment, &hosts).await;
        let queue = match pipeline.place()?.queue().await {
            Ok(queue) => queue.iter().map(|ticket| format!("lock: {}", ticket.describe())).collect(),
            Err(error) => vec![format!("lock: {error}")],
        };
        let verdicts = recover::verdicts(pipeline.fleet.as_ref(), &hosts).await;
        Ok((survey, verdicts, queue))
    })?;
    for (host, state) in &survey.hosts {
        say(&match state {
            HostState::Known(state) => format!(
                "{host}: {} {} (before: {}; by {} from {} at {})",
                state.release,
                state.current_version,
                if state.previous_version.is_empty() { "nothing" } else { &state.previous_version },
                state.deployed_by,
                state.deploy_runner,
                state.last_deploy_timestamp
            ),
            HostState::Nothing => format!("{host}: nothing is deployed"),
            HostState::Unreadable(why) => format!("{host}: {why}"),
            HostState::Unreachable(why) => format!("{host}: unreachable: {why}"),
        });
    }
    // A host that cannot be asked was named above.
    let ended: Vec<_> =
        verdicts.iter().filter_map(|(host, said)| said.as_ref().ok().map(|(verdict, what)| (host, *verdict, what))).collect();
    for (host, verdict, what) in ended.iter().filter(|(_, verdict, _)| *verdict != Verdict::Untouched) {
        let word = match verdict {
            Verdict::Untouched => "untouched by",
            Verdict::Committed => "committed",
            Verdict::RolledBack => "rolled back",
            Verdict::Unknown => "still open, so `rappel recover` is needed unless it is being deployed:",
            Verdict::RollbackFailed => "ROLLBACK FAILED, neither new nor old:",
        };
        say(&format!("{host}: {word} {what}"));
    }
    for line in &queue {
        say(line);
    }
    let unreachable = survey.hosts.iter().any(|(_, state)| matches!(state, HostState::Unreachable(_)));
    if survey.is_mixed() {
        say(&format!("MIXED FLEET: {}", survey.describe()));
    }
    let is = |wanted| ended.iter().any(|(_, verdict, _)| *verdict == wanted);
    Ok(match (unreachable || is(Verdict::Unknown), survey.is_mixed()) {
        _ if is(Verdict::RollbackFailed) => Exit::RollbackFailed,
        (true, _) => Exit::Unreachable,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Success,
    })
}

/// `rappel recover`.
pub(super) fn recover(options: &RecoverOptions) -> Outcome {
    let ready = Ready::new(&options.common)?;
    let coordinator = if options.coordinator_lost { Coordinator::Lost } else { Coordinator::Awaited };
    if coordinator == Coordinator::Lost {
        say("this assumes that the host which keeps the decision had not decided to commit, or that no host has heard of it:");
        say("transactions that no host is known to have committed are undone on all hosts that answer; if that host keeps the lock too,");
        say("nobody holds it");
        if !options.yes && !io::stdin().is_terminal() {
            return Err(Stopped::error("there is nobody to ask: give `--yes` if that host is gone for good; nothing was changed"));
        }
        confirm("assume that?", options.yes)?;
    }
    ready.go(|pipeline| async move { pipeline.recover(coordinator).await })
}

/// `rappel history`.
pub(super) fn history(options: &HistoryOptions) -> Outcome {
    let last = i64::from(options.last);
    let trail = Ready::new(&options.common)?.ask(|pipeline| async move {
        history::trail(pipeline.fleet.as_ref(), &pipeline.coordinator()?, &pipeline.environment, None, last).await
    })?;
    for (at, entry) in &trail.entries {
        let at = jiff::Timestamp::from_second(*at).map(|at| at.to_string()).unwrap_or_default();
        let failure = if entry.failure.is_empty() { String::new() } else { format!(": {}", entry.failure) };
        say(&format!(
            "{at} {} {} by {} on {}: {}{failure} ({:.1} s)",
            entry.action, entry.target, entry.user, entry.runner, entry.outcome, entry.took
        ));
    }
    match trail.broken {
        None => Ok(Exit::Success),
        Some(line) => Err(Stopped::error(format!("line {line} of the history does not follow from the one before: somebody changed it"))),
    }
}

/// `rappel metrics`.
pub(super) fn metrics(options: &MetricsOptions) -> Outcome {
    let text =
        Ready::new(&options.common)?.ask(|pipeline| async move { metrics::show(&pipeline.environment.metrics, &pipeline.name).await })?;
    say(text.trim_end());
    Ok(Exit::Success)
}

/// `rappel lock`.
pub(super) fn lock(options: &LockOptions) -> Outcome {
    let action = options.action.clone().unwrap_or(LockAction::Show);
    let lines = Ready::new(&options.common)?.ask(|pipeline| async move {
        let place = pipeline.place()?;
        let wrong = |error: crate::deploy::lock::LockError| error.to_string();
        Ok(match action {
            LockAction::Show => {
                let queue = place.queue().await.map_err(wrong)?;
                let mut lines: Vec<_> = queue
                    .iter()
                    .enumerate()
                    .map(|(place, ticket)| {
                        let role = if place == 0 { "held by" } else { "waiting:" };
                        format!("{role} {}", ticket.describe())
                    })
                    .collect();
                if lines.is_empty() {
                    lines.push("nobody holds it".to_owned());
                }
                lines
            }
            LockAction::Acquire { reason } => {
                let owner: Map = pipeline.origin.entries().map(|(name, value)| (name.to_owned(), Value::from(value))).into_iter().collect();
                let (number, queue) = place.hold(owner, &reason).await.map_err(wrong)?;
                let ahead = queue.iter().take_while(|ticket| ticket.number != number).count();
                let state = if ahead == 0 { "held".to_owned() } else { format!("{ahead} ahead; it is held when they are done") };
                vec![format!("ticket {number}: {state}; give it back with `rappel lock {} release --ticket {number}`", pipeline.name)]
            }
            LockAction::Release { ticket } => {
                let queue = place.queue().await.map_err(wrong)?;
                let number = ticket.or_else(|| queue.first().map(|holder| holder.number)).ok_or("nobody holds it")?;
                place.release(number).await.map_err(wrong)?;
                vec![format!("ticket {number} is out of the queue")]
            }
        })
    })?;
    for line in &lines {
        say(line);
    }
    Ok(Exit::Success)
}
