//! What becomes of the tasks of a repository that ran under Ansible: for `rappel migrate`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Subject, plugins, survey};
use crate::plan::{Plan, Play, PlayScope, RoleRequest, Step, Work};
use crate::text::{Diagnostic, Diagnostics, Span};

/// How a task will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By rappel's own module or action.
    Own,
    /// Over the bridge: the module is this file.
    Bridge(PathBuf),
    /// The module's name is a template: the run will tell.
    Late,
}

/// A task, where its module is written, and how it will run.
#[derive(Clone, Debug)]
pub struct Fate {
    /// The module's name as written.
    pub module: String,
    /// Where.
    pub span: Span,
    /// How.
    pub way: Way,
}

/// What becomes of all tasks that `plan` may run, includes followed.
pub fn of_plan(plan: &Plan, subject: &Subject<'_>, diags: &mut Diagnostics) -> Vec<Fate> {
    let surveys: Vec<_> = plan.plays.iter().map(|play| survey::of(play, subject, diags)).collect();
    plugins::check(&surveys, subject, diags);
    let written = surveys.iter().flat_map(|survey| survey.all().filter(|seen| seen.step.span != survey.play.span));
    written.map(|seen| fate(&seen.step)).collect()
}

/// The same for the role in `folder`, which no playbook has used.
pub fn of_role(folder: &Path, subject: &Subject<'_>, diags: &mut Diagnostics) -> Vec<Fate> {
    let name = folder.display().to_string();
    let request = RoleRequest { name, ..RoleRequest::default() };
    let piece = subject.compiler.include_role(request, &Arc::default(), &Arc::default(), diags);
    let play = Play { roles: piece.role.into_iter().collect(), handlers: piece.handlers, ..Play::of(folder.to_owned(), piece.block) };
    of_plan(&Plan { plays: vec![Arc::new(play)] }, subject, diags)
}

/// The same for a file of tasks that is included by a name which only the run knows.
pub fn of_tasks(file: &Path, handlers: bool, subject: &Subject<'_>, diags: &mut Diagnostics) -> Vec<Fate> {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let scope = Arc::new(PlayScope { dir: folder.clone(), ..PlayScope::default() });
    let piece = subject.compiler.include(file, &Arc::default(), &scope, handlers, diags);
    let play = Play::of(folder, piece.block);
    of_plan(&Plan { plays: vec![Arc::new(play)] }, subject, diags)
}

fn fate(step: &Step) -> Fate {
    let way = match &step.work {
        Work::Module(_) | Work::Action(_) => Way::Own,
        Work::Foreign(foreign) => Way::Bridge(foreign.path.clone()),
        Work::Named => Way::Late,
    };
    Fate { module: step.module.value.clone(), span: step.module.span, way }
}

/// Whether a finding is about what rappel cannot do, or is not right at all; other warnings say how a playbook could be better.
pub fn stands_in_the_way(finding: &Diagnostic) -> bool {
    let lacking = ["unknown-module", "unknown-filter", "unknown-test", "unknown-lookup", "module-unusable"];
    finding.severity == crate::text::Severity::Error || lacking.contains(&finding.code.as_str())
}
