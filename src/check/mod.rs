//! Static analysis: everything about playbooks that can be known without a host. One file per analysis; each adds findings.
//!
//! An error is what will fail on every run that gets there. What fails only under a condition, or what a file that is named at
//! run time could still bring, is a warning: a playbook that works has no errors.

mod codes;
pub mod fate;
mod files;
mod handlers;
mod plugins;
mod survey;
mod undo;
mod variables;

use std::path::PathBuf;

use crate::model::Inventory;
use crate::plan::{Compiler, Plan, Vars};
use crate::text::{Diagnostic, Diagnostics, Severity};

pub use codes::{CODES, Code, explain};

/// What is looked at beside the plan.
pub struct Subject<'a> {
    /// Compiled the plan; follows includes.
    pub compiler: &'a Compiler,
    /// The hosts.
    pub inventory: &'a Inventory,
    /// `-e`.
    pub extra: &'a Vars,
    /// Every play is a transaction.
    pub atomic: bool,
    /// Names that every task knows: `inventory_hostname`, `groups` …
    pub magic: &'static [&'static str],
    /// The playbooks' directories.
    pub folders: Vec<PathBuf>,
}

/// Adds everything that is found about `plan` to `diags`, each thing once.
pub fn check(plan: &Plan, subject: &Subject<'_>, diags: Diagnostics) -> Vec<Diagnostic> {
    let mut diags = diags;
    let surveys: Vec<_> = plan.plays.iter().map(|play| survey::of(play, subject, &mut diags)).collect();
    for survey in &surveys {
        handlers::check(survey, &mut diags);
        files::check(survey, subject, &mut diags);
        undo::check(survey, subject, &mut diags);
    }
    plugins::check(&surveys, subject, &mut diags);
    variables::undefined(&surveys, subject, &mut diags);
    variables::unused(&surveys, subject, &mut diags);
    once(diags)
}

/// Without repetitions: a file that is included twice is wrong once. Errors come first, then the order of the sources.
fn once(diags: Diagnostics) -> Vec<Diagnostic> {
    let mut seen = std::collections::HashSet::new();
    let mut findings = diags.into_vec();
    // Of two that say the same, the one that also helps is kept, and of those the later one, which knows more.
    findings.reverse();
    findings.sort_by_key(|finding| finding.help.is_none());
    findings.retain(|finding| {
        let place = finding.labels.first().map(|(span, _)| (span.source, span.start, span.end));
        seen.insert((finding.code.clone(), finding.message.clone(), place))
    });
    findings.sort_by_key(|finding| {
        let place = finding.labels.first().map(|(span, _)| (span.source, span.start));
        (finding.severity == Severity::Warning, place)
    });
    findings
}

/// A finding that is an error where the task surely runs, and a warning where it may not.
fn judged(certain: bool, code: &str, message: String) -> Diagnostic {
    if certain { Diagnostic::error(code, message) } else { Diagnostic::warning(code, message) }
}
