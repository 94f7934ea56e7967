//! `rappel inventory`: shows hosts, groups and variables as `ansible-inventory` does.

pub(super) mod constructed;
mod view;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::options::{HostOptions, VariableOptions};
use super::prepare::Prepared;
use super::settings::{Mismatch, Settings};
use super::{Outcome, Stopped};
use crate::event::{Exit, Finding};
use crate::model::Pattern;
use crate::model::inventory::{ALL, InvalidGroupChars, Inventory, Options, VarsDir};
use crate::report::snippet;
use crate::template::to_wire;
use crate::text::{Diagnostics, Severity, Sources, Span, Spanned};
pub use view::View;

/// Shows hosts, groups and variables
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel inventory -i hosts --graph
  rappel inventory -i hosts --host web1
  rappel inventory -i hosts --list --export --output hosts.json")]
pub(super) struct InventoryOptions {
    /// The group to start the tree at
    group: Option<String>,
    /// Everything, as JSON that can be an inventory script's output
    #[arg(long)]
    list: bool,
    /// The variables of one host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Groups and hosts as a tree
    #[arg(long)]
    graph: bool,
    /// YAML, not JSON
    #[arg(short, long)]
    yaml: bool,
    /// Variables in the tree
    #[arg(long)]
    vars: bool,
    /// Variables with the group they were written for, not with every host
    #[arg(long)]
    export: bool,
    /// Write there, not to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where `group_vars` and `host_vars` of a playbook are; the working directory when not given
    #[arg(long, value_name = "FOLDER")]
    playbook_dir: Option<PathBuf>,
    /// Show more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    variables: VariableOptions,
}

/// Shows it.
pub(super) fn run(options: &InventoryOptions) -> Outcome {
    match [options.list, options.graph, options.host.is_some()].into_iter().filter(|chosen| *chosen).count() {
        1 => {}
        0 => return Err(Stopped::usage("No action selected, at least one of --host, --graph or --list needs to be specified.")),
        _ => return Err(Stopped::usage("Conflicting options used, only one of --host, --graph or --list can be used at the same time.")),
    }
    let mut prepared = Prepared::new(&options.variables)?;
    let inventory = prepared.inventory(&options.hosts);
    let folder = options.playbook_dir.clone().or_else(|| prepared.config.playbook_dir.clone());
    let playbook = VarsDir::open(&prepared.loader, &folder.unwrap_or_else(|| prepared.folder.clone()));
    let extra = prepared.extra(&options.variables.extra_vars);
    let extra = extra.iter().filter_map(|(name, expr)| Some((name.clone(), to_wire(expr.literal()?)))).collect();
    let view = View {
        hosts: limited(options, &inventory, &mut prepared)?,
        inventory: &inventory,
        playbook: Some(&playbook),
        vault: &prepared.vault,
        extra,
        export: options.export || prepared.config.inventory_export,
        diags: RefCell::default(),
    };
    let text = text(options, &view, prepared.config.host_pattern_mismatch, &mut prepared.diags);
    prepared.diags.append(view.diags.into_inner());
    let broken = prepared.diags.has_errors();
    tell(prepared.diags, &prepared.sources);
    if broken {
        return Ok(Exit::Error);
    }
    show(options, &text?)?;
    Ok(Exit::Success)
}

fn limited(
    options: &InventoryOptions,
    inventory: &Inventory,
    prepared: &mut Prepared,
) -> Result<Option<std::collections::HashSet<String>>, Stopped> {
    let Some(limit) = options.hosts.limit() else { return Ok(None) };
    let limit = Pattern::limit(&prepared.sources, &limit).map_err(|found| Stopped::error(found.message))?;
    let hosts = inventory.select(&limit, None, &mut prepared.diags);
    Ok(Some(hosts.into_iter().map(|host| host.name.clone()).collect()))
}

fn text(options: &InventoryOptions, view: &View<'_>, mismatch: Mismatch, diags: &mut Diagnostics) -> Result<String, Stopped> {
    if let Some(name) = &options.host {
        let pattern = Pattern::parse(&[Spanned::new(name.clone(), Span::default())]);
        let mut unmatched = Diagnostics::default();
        let hosts = view.inventory.select(&pattern, None, &mut unmatched);
        if let (Mismatch::Error, Some(found)) = (mismatch, unmatched.iter().next()) {
            return Err(Stopped::usage(found.message.clone()));
        }
        diags.append(unmatched);
        return match hosts.as_slice() {
            [host] => Ok(view.host(host, options.yaml)),
            _ => Err(Stopped::usage("You must pass a single valid host to --host parameter")),
        };
    }
    if options.graph {
        let group = view.inventory.group(options.group.as_deref().unwrap_or(ALL));
        let group = group.ok_or_else(|| Stopped::usage("Pattern must be valid group name when using --graph"))?;
        return Ok(view.graph(group, options.vars));
    }
    Ok(if options.yaml { view.yaml() } else { view.json() })
}

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
fn show(options: &InventoryOptions, text: &str) -> Result<(), Stopped> {
    let Some(file) = &options.output else {
        println!("{}", text.strip_suffix('\n').unwrap_or(text));
        return Ok(());
    };
    std::fs::write(file, text).map_err(|error| Stopped::error(format!("cannot write `{}`: {error}", file.display())))
}

#[expect(clippy::print_stderr, reason = "findings go beside what was asked for")]
fn tell(diags: Diagnostics, sources: &Sources) {
    let mut diags = diags.into_vec();
    diags.sort_by_key(|diagnostic| diagnostic.severity == Severity::Error);
    for diagnostic in diags {
        eprintln!("{}", snippet::draw(&Finding::new(diagnostic, sources), std::io::stderr().is_terminal()));
    }
}

/// How the configuration wants inventories read.
pub(super) fn reading_options(config: &Settings) -> Options {
    Options {
        ignore_extensions: config.inventory_ignore_extensions.clone(),
        ignore_patterns: config.inventory_ignore_patterns.clone(),
        invalid_group_chars: match config.invalid_group_chars.as_str() {
            "always" => InvalidGroupChars::Always,
            "silently" => InvalidGroupChars::Silently,
            "ignore" => InvalidGroupChars::Ignore,
            _ => InvalidGroupChars::Never,
        },
        merging: config.hash_behaviour == "merge",
        ranges_in_lists: config.inventory_plugins.iter().any(|plugin| plugin.ends_with("advanced_host_list")),
        lenient: !(config.inventory_unparsed_is_failed || config.inventory_any_unparsed_is_failed),
    }
}
