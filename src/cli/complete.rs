//! Completions that know the hosts, groups, tags, tasks and environments of the place where they are asked for.
//!
//! The shell calls the program itself; what stands on the command line already says where to look. Nothing is run for it: an
//! inventory that is a program is left alone.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, CommandFactory as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::options::{HostOptions, VariableOptions};
use super::prepare::Prepared;
use super::{Cli, Outcome, Stopped, doc, listing};
use crate::deploy::config::{Config, FILE};
use crate::event::Exit;
use crate::plan::{Mistakes, Plan, Selection};
use crate::text::{Diagnostics, Sources};

/// Set by the shell's part when it asks.
const VARIABLE: &str = "RAPPEL_COMPLETE";

/// Prints completions for a shell: they know hosts, groups, tags, tasks and environments
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  source <(rappel completions bash)                          for this shell
  rappel completions bash > /etc/bash_completion.d/rappel    for everybody
  rappel completions zsh > ~/.zfunc/_rappel
  rappel completions fish > ~/.config/fish/completions/rappel.fish")]
pub(super) struct CompletionOptions {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Writes the manual pages, one for each command
#[derive(Args, Debug)]
#[command(after_help = "Example:
  rappel man /usr/local/share/man/man1")]
pub(super) struct ManOptions {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Answers the shell, if it is the shell that asks.
pub(super) fn answer() -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let folder = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(Cli::command).var(VARIABLE).try_complete(std::env::args_os(), folder.as_deref());
    // What cannot be completed is not completed: a message would stand in the middle of somebody's line.
    answered.unwrap_or(true)
}

/// `rappel completions`.
pub(super) fn run(options: &CompletionOptions) -> Outcome {
    let name = options.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| Stopped::usage(format!("there are no completions for `{name}`")))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "rappel", "rappel", "rappel", &mut script).map_err(|error| Stopped::error(error.to_string()))?;
    // `rappel completions bash | head` is no failure.
    let _ = io::stdout().write_all(&script);
    Ok(Exit::Success)
}

/// `rappel man`.
pub(super) fn man(options: &ManOptions) -> Outcome {
    let folder = &options.folder;
    let failed = |error: io::Error| Stopped::error(format!("cannot write `{}`: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    Ok(Exit::Success)
}

/// Names of hosts and groups, also as the last part of a pattern.
pub(super) fn hosts() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| last_part(current, &[',', ':', '!', '&'], host_names))
}

/// Tags, also as the last of several.
pub(super) fn tags() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| last_part(current, &[','], || steps(|step| step.tags.iter().cloned().collect())))
}

/// Names of tasks.
pub(super) fn tasks() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| fitting(current, steps(|step| step.name.iter().cloned().collect())))
}

/// Environments of `rappel.yml`.
pub(super) fn environments() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let file = given(&["--config"]).pop().or_else(|| std::env::var("RAPPEL_CONFIG").ok()).unwrap_or_else(|| FILE.to_owned());
        let config = Config::load(&Sources::default(), Path::new(&file), &mut Diagnostics::default());
        fitting(current, config.into_iter().flat_map(|config| config.environments.into_keys()).collect())
    })
}

/// What `rappel doc` explains.
pub(super) fn documented() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| fitting(current, doc::names().map(str::to_owned).collect()))
}

/// What `rappel explain` explains.
pub(super) fn codes() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| fitting(current, crate::check::CODES.iter().map(|code| code.code.to_owned()).collect()))
}

/// Names of modules.
pub(super) fn modules() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| fitting(current, crate::module::MODULES.iter().map(|entry| entry.name.to_owned()).collect()))
}

/// Ways to show a run.
pub(super) fn formats() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| fitting(current, super::output::Format::names().map(str::to_owned).collect()))
}

fn fitting(current: &OsStr, names: BTreeSet<String>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    names.into_iter().filter(|name| name.starts_with(current.as_ref())).map(CompletionCandidate::new).collect()
}

/// Completes what stands behind the last of `separators`.
fn last_part(current: &OsStr, separators: &[char], names: impl Fn() -> BTreeSet<String>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let start = current.rfind(separators).map_or(0, |at| at + 1);
    let (before, part) = current.split_at(start);
    fitting(OsStr::new(part), names()).into_iter().map(|candidate| candidate.add_prefix(before)).collect()
}

/// The command line as far as it is written.
fn words() -> Vec<String> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    words.map(|word: OsString| word.to_string_lossy().into_owned()).collect()
}

/// The values of an option: `-i X`, `-iX`, `--inventory X`, `--inventory=X`.
fn given(names: &[&str]) -> Vec<String> {
    let words = words();
    let value = |(index, word): (usize, &String)| {
        names.iter().find_map(|name| match word.strip_prefix(name)? {
            "" => words.get(index + 1).cloned(),
            rest if name.starts_with("--") => rest.strip_prefix('=').map(str::to_owned),
            rest => Some(rest.to_owned()),
        })
    };
    words.iter().enumerate().filter_map(value).collect()
}

fn host_names() -> BTreeSet<String> {
    let Ok(mut prepared) = Prepared::new(&VariableOptions::default()) else { return BTreeSet::new() };
    let options = HostOptions { inventory: given(&["-i", "--inventory", "--inventory-file"]), ..HostOptions::default() };
    let inventory: Vec<_> = prepared.inventory_sources(&options).into_iter().filter(|source| !is_program(Path::new(source))).collect();
    if inventory.is_empty() {
        return BTreeSet::new();
    }
    let inventory = prepared.inventory(&HostOptions { inventory, ..options });
    let hosts = inventory.hosts().filter(|host| !host.implicit).map(|host| host.name.clone());
    hosts.chain(inventory.groups().map(|group| group.name.clone())).collect()
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What is asked of a task.
struct Known {
    name: Option<String>,
    tags: BTreeSet<String>,
}

/// What the tasks of the playbooks on the command line have.
fn steps(wanted: impl Fn(&Known) -> Vec<String>) -> BTreeSet<String> {
    let Ok(mut prepared) = Prepared::new(&VariableOptions::default()) else { return BTreeSet::new() };
    let is_playbook = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") && path.is_file();
    let playbooks: Vec<_> = words().into_iter().map(PathBuf::from).filter(is_playbook).collect();
    let selection = Selection { only: vec!["all".to_owned(), "never".to_owned()], skip: Vec::new() };
    let compiler = prepared.compiler(Arc::new(selection), Arc::default(), Mistakes::AtTask);
    let Plan { plays } = compiler.playbooks(&playbooks, &mut Diagnostics::default());
    let mut found = BTreeSet::new();
    for play in &plays {
        for step in listing::steps(play) {
            let name = step.name.as_ref().and_then(|name| name.literal()).map(crate::template::Value::to_text);
            found.extend(wanted(&Known { name, tags: step.context.tags.iter().cloned().collect() }));
        }
    }
    found
}
