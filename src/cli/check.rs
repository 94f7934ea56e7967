//! `rappel check`: everything that can be known about playbooks without touching a host. `rappel explain`: what a finding means.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum, ValueHint};

use super::options::{HostOptions, VariableOptions};
use super::prepare::Prepared;
use super::{Outcome, Stopped, complete, output};
use crate::check::{self, Subject};
use crate::event::{Exit, Finding};
use crate::plan::{Mistakes, Selection};
use crate::report::findings::{self, Form};
use crate::run::MAGIC_NAMES;
use crate::text::Severity;

/// Finds mistakes in playbooks, roles and inventories without touching a host
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel check -i inventories/production site.yml
  rappel check -i hosts site.yml --output sarif > findings.sarif
  rappel explain undefined-variable")]
pub(super) struct CheckOptions {
    /// The playbooks
    #[arg(required = true, value_name = "PLAYBOOK", value_hint = ValueHint::FilePath)]
    playbooks: Vec<PathBuf>,
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    variables: VariableOptions,
    /// Every play is meant as one transaction
    #[arg(long)]
    atomic: bool,
    /// How to write the findings
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Sarif,
    Github,
}

/// Tells what a finding's code means
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel explain                      all codes
  rappel explain undefined-variable   one of them")]
pub(super) struct ExplainOptions {
    /// The code in brackets after `error` or `warning`
    #[arg(add = complete::codes())]
    code: Option<String>,
}

/// Checks. Errors end with exit status 1.
pub(super) fn run(options: &CheckOptions) -> Outcome {
    let mut prepared = Prepared::new(&options.variables)?;
    let inventory = prepared.inventory(&options.hosts);
    let extra = Arc::new(prepared.extra(&options.variables.extra_vars));
    // All tasks, also those that run only when their tag is asked for.
    let selection = Selection { only: vec!["all".to_owned(), "never".to_owned()], skip: Vec::new() };
    let compiler = prepared.compiler(Arc::new(selection), extra.clone(), Mistakes::BeforeRun);
    let plan = compiler.playbooks(&options.playbooks, &mut prepared.diags);
    let folder = |path: &PathBuf| path.parent().map(|folder| prepared.folder.join(folder));
    let folders = options.playbooks.iter().filter_map(folder).collect();
    let subject =
        Subject { compiler: &compiler, inventory: &inventory, extra: &extra, atomic: options.atomic, magic: MAGIC_NAMES, folders };
    let found = check::check(&plan, &subject, std::mem::take(&mut prepared.diags));
    let bad = found.iter().any(|finding| finding.severity == Severity::Error || options.strict);
    let found = found.into_iter().map(|diagnostic| prepared.seen_from_here(Finding::new(diagnostic, &prepared.sources)));
    let found: Vec<Finding> = found.collect();
    let form = match options.output {
        Output::Text => Form::Text { colored: output::look_of(0, &prepared.config).paint.0 },
        Output::Json => Form::Json,
        Output::Sarif => Form::Sarif,
        Output::Github => Form::Github,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    // `rappel check | head` is no failure.
    let _ = findings::write(&found, form, &|code| check::explain(code).ok().map(|code| code.text), &mut out).and_then(|()| out.flush());
    Ok(if bad { Exit::Error } else { Exit::Success })
}

/// Explains one code, or lists all.
pub(super) fn explain(options: &ExplainOptions) -> Outcome {
    let text = match &options.code {
        None => check::CODES.iter().map(|code| format!("{}\n    {}\n", code.code, code.text)).collect::<Vec<_>>().join("\n"),
        Some(code) => match check::explain(code) {
            Ok(code) => format!("{}\n\n{}\n", code.code, code.text),
            Err(meant) => {
                let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
                return Err(Stopped::usage(format!("there is no finding with the code `{code}`{meant}")));
            }
        },
    };
    // `rappel explain | head` is no failure.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(Exit::Success)
}
