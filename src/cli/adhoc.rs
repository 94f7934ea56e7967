//! `rappel run`: one module on some hosts, without a playbook.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::options::{ConnectionOptions, HostOptions, OutputOptions, PrivilegeOptions, VariableOptions};
use super::play::{drive, tell};
use super::prepare::Prepared;
use super::{Outcome, Stopped, complete, output};
use crate::event::Exit;
use crate::model::{Inventory, Pattern};
use crate::plan::{Mistakes, Selection};
use crate::report::{Look, Minimal, Reporter};
use crate::run::{self, AfterFatalRescue};
use crate::text::{Diagnostics, Span, Spanned};

/// Runs one module on some hosts
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel run web -i hosts -a uptime
  rappel run 'web:!web3' -i hosts -b -m service -a 'name=nginx state=restarted'
  rappel run all -i hosts -m copy -a 'src=motd dest=/etc/motd' --check --diff")]
pub(super) struct RunOptions {
    /// Which hosts
    #[arg(add = complete::hosts())]
    pub(super) pattern: String,
    /// The module
    #[arg(short, long, value_name = "MODULE", default_value = "command", add = complete::modules())]
    pub(super) module_name: String,
    /// Its parameters: `key=value`, free text, or a JSON object
    #[arg(short = 'a', long, value_name = "ARGS", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(super) args: String,
    /// Predict what would change, and change nothing
    #[arg(short = 'C', long)]
    pub(super) check: bool,
    /// Show what changes in files
    #[arg(short = 'D', long)]
    pub(super) diff: bool,
    /// Let it run in the background for at most so many seconds
    #[arg(short = 'B', long, value_name = "SECONDS")]
    pub(super) background: Option<u32>,
    /// Seconds between looks at a background task; 0 to leave it
    #[arg(short = 'P', long, value_name = "SECONDS", default_value_t = 15)]
    pub(super) poll: u32,
    /// Every host on one line
    #[arg(short = 'o', long)]
    pub(super) one_line: bool,
    /// Seconds after which the task fails
    #[arg(long, value_name = "SECONDS")]
    pub(super) task_timeout: Option<u32>,
    /// Taken for the folder of a playbook
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub(super) playbook_dir: Option<std::path::PathBuf>,
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
}

impl RunOptions {
    /// The playbook that does the same.
    fn playbook(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let args = if self.args.trim_start().starts_with('{') { self.args.clone() } else { quoted(&self.args) };
        let background = self.background.map(|seconds| format!("\n    async: {seconds}\n    poll: {}", self.poll)).unwrap_or_default();
        let (pattern, module) = (quoted(&self.pattern), quoted(&self.module_name));
        format!("- hosts: {pattern}\n  gather_facts: false\n  tasks:\n  - {module}: {args}{background}\n")
    }
}

/// Runs the module.
pub(super) fn run(options: &RunOptions, ansible: bool) -> Outcome {
    let needs_args = matches!(options.module_name.rsplit('.').next(), Some("command" | "shell" | "raw" | "script"));
    if options.args.is_empty() && needs_args && !options.hosts.list_hosts {
        return Err(Stopped::usage(format!("`{}` needs a command: give it with `-a`", options.module_name)));
    }
    let mut prepared = Prepared::new(&options.variables)?;
    let look = Look { ansible, ..output::look_of(options.output.verbose, &prepared.config) };
    let one_line = options.one_line || prepared.config.stdout_callback.rsplit('.').next() == Some("oneline");
    let minimal = || -> Box<dyn Reporter + Send> { Box::new(Minimal::new(look.clone(), one_line)) };
    let mut outputs =
        output::outputs_or(minimal, &options.output.output, options.output.record.as_deref(), &look).map_err(Stopped::usage)?;
    output::add_log(&mut outputs, &prepared.config, &look, &mut prepared.diags);
    let inventory = prepared.inventory(&options.hosts);
    if options.hosts.list_hosts {
        tell(&mut outputs, std::mem::take(&mut prepared.diags), &prepared.sources);
        return list(options, &inventory, &prepared);
    }
    let extra = Arc::new(prepared.extra(&options.variables.extra_vars));
    let selection = Arc::new(Selection::default());
    let compiler = prepared.compiler(selection.clone(), extra.clone(), Mistakes::BeforeRun);
    let plan = compiler.text("-m", &options.playbook(), &mut prepared.diags);
    let failed = prepared.diags.has_errors();
    tell(&mut outputs, std::mem::take(&mut prepared.diags), &prepared.sources);
    if failed {
        return Ok(Exit::Failed);
    }
    let settings = run::Settings {
        limit: options.hosts.limit(),
        flush_cache: options.hosts.flush_cache,
        extra,
        selection,
        check: options.check,
        verbosity: look.verbosity,
        after_fatal_rescue: AfterFatalRescue::GoOn,
        stream: options.output.stream,
        inventory_sources: prepared.inventory_sources(&options.hosts),
        ..prepared.settings(&options.connection, &options.privilege)?
    };
    let settings = run::Settings {
        diff: settings.diff || options.diff,
        task_timeout: options.task_timeout.unwrap_or(settings.task_timeout),
        ..settings
    };
    let (cancel, stop) = (CancellationToken::new(), CancellationToken::new());
    let inputs = prepared.inputs(inventory, compiler, &options.hosts, cancel.clone(), stop.clone());
    drive(outputs, cancel, stop, |events| run::run(plan, settings, inputs, events))
}

#[expect(clippy::print_stdout, reason = "a listing is what the command line is asked for")]
fn list(options: &RunOptions, inventory: &Inventory, prepared: &Prepared) -> Outcome {
    let limit = options.hosts.limit();
    let limit = limit.map(|limit| Pattern::limit(&prepared.sources, &limit)).transpose();
    let limit = limit.map_err(|found| Stopped::error(found.message))?;
    let pattern = Pattern::parse(&[Spanned::new(options.pattern.clone(), Span::default())]);
    let hosts = inventory.select(&pattern, limit.as_ref(), &mut Diagnostics::default());
    println!("  hosts ({}):", hosts.len());
    for host in hosts {
        println!("    {}", host.name);
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        options: RunOptions,
    }

    #[test]
    fn is_a_playbook_of_one_task() {
        let table = [
            (&["web", "-a", "uptime -p"][..], "  - \"command\": \"uptime -p\"\n"),
            (&["web", "-m", "ping"], "  - \"ping\": \"\"\n"),
            (&["web", "-m", "debug", "-a", r#"{"msg": [1]}"#], "  - \"debug\": {\"msg\": [1]}\n"),
            (&["web", "-a", "make", "-B", "60", "-P", "0"], "  - \"command\": \"make\"\n    async: 60\n    poll: 0\n"),
        ];
        for (arguments, task) in table {
            let options = Wrapper::parse_from([&["run"], arguments].concat()).options;
            let expected = format!("- hosts: \"web\"\n  gather_facts: false\n  tasks:\n{task}");
            assert_eq!(options.playbook(), expected);
        }
    }
}
