//! The command line: what can be asked for, the environment, and who does it.
//!
//! One file per command. Called as `ansible-playbook`, the program takes that command's options and behaves as it does.

mod adhoc;
mod approved;
mod bench;
mod check;
mod complete;
mod config;
mod demo;
mod deploy;
mod doc;
mod environments;
mod fleet;
pub mod inventory;
mod keyboard;
mod limits;
mod listing;
mod migrate;
mod options;
mod output;
mod passwords;
mod plan;
mod play;
mod prepare;
mod reference;
mod replay;
mod report;
mod scripts;
mod traces;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::event::Exit;

pub use reference::reference;

/// Deploys Ansible playbooks to whole fleets over native SSH, or puts every host back
#[derive(Parser, Debug)]
#[command(name = "rappel", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Runs playbooks, taking the options of `ansible-playbook`
#[derive(Parser, Debug)]
#[command(name = "ansible-playbook", version)]
struct AnsiblePlaybook {
    #[command(flatten)]
    options: play::PlayOptions,
}

/// Runs one module on some hosts, taking the options of `ansible`
#[derive(Parser, Debug)]
#[command(name = "ansible", version)]
struct Ansible {
    #[command(flatten)]
    options: adhoc::RunOptions,
}

/// Shows hosts, groups and variables, taking the options of `ansible-inventory`
#[derive(Parser, Debug)]
#[command(name = "ansible-inventory", version)]
struct AnsibleInventory {
    #[command(flatten)]
    options: inventory::InventoryOptions,
}

/// Encrypts and decrypts files, taking the options of `ansible-vault`
#[derive(Parser, Debug)]
#[command(name = "ansible-vault", version)]
struct AnsibleVault {
    #[command(flatten)]
    options: vault::VaultCommand,
}

const EXAMPLES: &str = "Examples:
  rappel plan -i hosts site.yml                  what a playbook would change
  rappel check -i hosts site.yml                 mistakes, without touching a host
  rappel migrate .                               what a repository of Ansible's needs, to run under rappel
  rappel play -i hosts site.yml --atomic         all hosts, or none
  rappel run web -i hosts -a uptime              one command on many hosts
  rappel replay run.jsonl --output junit         a recorded run as JUnit XML
  rappel report run.jsonl                        a recorded run as a page of HTML
  rappel doc copy                                what the module `copy` takes
  rappel completions bash                        completions that know hosts, tags and environments";

#[derive(Subcommand, Debug)]
enum Command {
    Play(Box<play::PlayOptions>),
    Plan(Box<plan::PlanOptions>),
    Run(Box<adhoc::RunOptions>),
    Check(Box<check::CheckOptions>),
    Explain(check::ExplainOptions),
    Migrate(Box<migrate::MigrateOptions>),
    Deploy(Box<deploy::DeployOptions>),
    Rollback(Box<deploy::RollbackOptions>),
    Preflight(Box<deploy::PreflightOptions>),
    Health(Box<deploy::HealthOptions>),
    Status(Box<deploy::StatusOptions>),
    History(Box<deploy::HistoryOptions>),
    Recover(Box<deploy::RecoverOptions>),
    Bench(Box<bench::BenchOptions>),
    Demo(demo::DemoOptions),
    /// Plays the hosts that `bench --simulated` measures
    #[command(name = "__simulate", hide = true)]
    Simulate(bench::SimulateOptions),
    Lock(Box<deploy::LockOptions>),
    Metrics(Box<deploy::MetricsOptions>),
    Config(config::ConfigOptions),
    /// Plays the application that the demo deploys
    #[command(name = "__app", hide = true)]
    App(app::App),
    Replay(replay::ReplayOptions),
    Report(report::ReportOptions),
    Doc(doc::DocOptions),
    /// Encrypts, decrypts, shows and edits files as ansible-vault does
    Vault(vault::VaultCommand),
    Inventory(Box<inventory::InventoryOptions>),
    Completions(complete::CompletionOptions),
    Man(complete::ManOptions),
}

/// How a command ends.
pub(super) type Outcome = Result<Exit, Stopped>;

/// Why a command could not do its work.
#[derive(Debug)]
pub(super) struct Stopped {
    exit: Exit,
    message: String,
}

impl Stopped {
    /// Something is wrong with what was asked for.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// Something is wrong with the world.
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, message: message.into() }
    }
}

pub mod app;
pub mod settings;
pub mod vault;

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The agent of local connections is this program itself; it must not pay for anything else.
    if arguments.get(1).is_some_and(|argument| argument == crate::ssh::AGENT_ARGUMENT) {
        return crate::agent::main();
    }
    if complete::answer() {
        return ExitCode::SUCCESS;
    }
    limits::raise();
    let called = arguments.first().and_then(|name| Path::new(name).file_name()).and_then(OsStr::to_str);
    match called {
        Some("ansible-playbook") => as_ansible(arguments, |called: AnsiblePlaybook| play::run(&called.options, true)),
        Some("ansible") => as_ansible(arguments, |called: Ansible| adhoc::run(&called.options, true)),
        Some("ansible-inventory") => as_ansible(arguments, |called: AnsibleInventory| inventory::run(&called.options)),
        Some("ansible-vault") => as_ansible(arguments, |called: AnsibleVault| vault(&called.options)),
        _ => as_rappel(arguments),
    }
}

/// The program under the name of one of Ansible's: its options, and its exit status for a wrong one.
fn as_ansible<P: Parser>(arguments: Vec<OsString>, run: impl FnOnce(P) -> Outcome) -> ExitCode {
    match P::try_parse_from(arguments) {
        // In Ansible's words, which scripts look for.
        Ok(called) => finish(run(called), "ERROR! "),
        Err(error) => refuse(&error, Exit::Failed),
    }
}

fn as_rappel(arguments: Vec<OsString>) -> ExitCode {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => finish(dispatch(cli.command), "error: "),
        Err(error) => refuse(&error, Exit::Usage),
    }
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Play(options) => play::run(&options, false),
        Command::Plan(options) => plan::run(*options),
        Command::Run(options) => adhoc::run(&options, false),
        Command::Check(options) => check::run(&options),
        Command::Explain(options) => check::explain(&options),
        Command::Migrate(options) => migrate::run(&options),
        Command::Vault(command) => vault(&command),
        Command::Inventory(options) => inventory::run(&options),
        Command::Deploy(options) => deploy::deploy(&options),
        Command::Rollback(options) => deploy::rollback(&options),
        Command::Preflight(options) => deploy::preflight(&options),
        Command::Health(options) => deploy::health(&options),
        Command::Status(options) => deploy::status(&options),
        Command::History(options) => deploy::history(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Simulate(options) => bench::simulate(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Recover(options) => deploy::recover(&options),
        Command::Lock(options) => deploy::lock(&options),
        Command::Metrics(options) => deploy::metrics(&options),
        Command::Config(options) => config::run(&options),
        Command::App(app) => match app.serve() {
            Ok(()) => Ok(Exit::Success),
            Err(error) => Err(Stopped::error(format!("cannot listen: {error}"))),
        },
        Command::Replay(options) => replay::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Doc(options) => doc::run(&options),
        Command::Completions(options) => complete::run(&options),
        Command::Man(options) => complete::man(&options),
    }
}

fn vault(command: &vault::VaultCommand) -> Outcome {
    let settings = settings::Settings::here();
    let mut console = vault::Console { input: &mut io::stdin(), output: &mut io::stdout(), ask: &vault::Terminal };
    command.run(&settings, &mut console).map_err(|error| match &error {
        vault::VaultCommandError::Ambiguous(_) => Stopped::usage(caused(&error)),
        _ => Stopped::error(caused(&error)),
    })?;
    Ok(Exit::Success)
}

/// An error with what caused it, in one line.
fn caused(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let found_text = found.to_string();
        // Some errors show their cause in their own words already.
        if !text.contains(&found_text) {
            text = format!("{text}: {found_text}");
        }
        cause = found.source();
    }
    text
}

/// Shows what clap has to say: help is no failure.
fn refuse(error: &clap::Error, usage: Exit) -> ExitCode {
    // Nobody is left to tell where this cannot be printed.
    let _ = error.print();
    if error.use_stderr() { usage.into() } else { ExitCode::SUCCESS }
}

#[expect(clippy::print_stderr, reason = "the command line's own last word")]
fn finish(outcome: Outcome, mark: &str) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(stopped) => {
            eprintln!("{mark}{}", stopped.message);
            stopped.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
