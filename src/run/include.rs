//! Dynamic includes: files and roles whose names are known only now, compiled once for all hosts that got the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Round};
use super::cursor::{Caught, Cause, Cursor, State};
use super::settings::AfterFatalRescue;
use crate::event::{EventKind, Shown, Status, TaskResult};
use crate::plan::{Context, Handler, Item, Piece, RoleFiles, RoleRequest, Vars};
use crate::template::Expr;
use crate::text::{Diagnostic, Diagnostics};
use crate::wire;

/// What an include task asked for, for one host and item.
#[derive(Clone, Debug)]
pub(super) struct Include {
    pub(super) what: What,
    /// Loop variables and their like, that what is included sees.
    pub(super) locals: Vec<(String, wire::Value)>,
    /// The item, as shown.
    pub(super) label: Option<String>,
    /// `apply`.
    pub(super) apply: Option<wire::Map>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Tasks(PathBuf),
    Role(Box<WantedRole>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct WantedRole {
    pub(super) name: String,
    pub(super) files: RoleFiles,
    pub(super) allow_duplicates: bool,
    pub(super) public: bool,
    pub(super) validate: bool,
}

/// Blocks inside each other: what is deeper is taken for files that include each other for ever.
const DEEPEST: usize = 1000;

fn endless(round: &Round) -> Diagnostic {
    Diagnostic::error("include-depth", "files include each other without end")
        .at(round.step.span, "included again here")
        .help("give the include a condition that ends it")
}

/// Whether what is wrong with an include is a failure of the hosts that wanted it. As in Ansible, a file that cannot be read as
/// tasks ends the run.
fn is_of_hosts(finding: &Diagnostic) -> bool {
    matches!(finding.code.as_str(), "unknown-role" | "include-depth" | "no-tasks")
}

impl Include {
    fn same(&self, other: &Include) -> bool {
        self.what == other.what && self.locals == other.locals
    }
}

impl Batch {
    /// Compiles each different include and lets the hosts that asked for it enter.
    pub(super) async fn include(&mut self, round: &Round, wanted: Vec<(String, Include)>) {
        if wanted.is_empty() {
            return;
        }
        let mut groups: Vec<(Include, Vec<String>)> = Vec::new();
        for (host, include) in wanted {
            // The same file for another item comes again, also for the same host.
            match groups.iter_mut().find(|(known, members)| known.same(&include) && !members.contains(&host)) {
                Some((_, members)) => members.push(host),
                None => groups.push((include, vec![host])),
            }
        }
        let mut blocks: Vec<(Arc<crate::plan::Block>, Vec<String>)> = Vec::new();
        // A host fails once, however many of its includes cannot be used; and gets none of the others.
        let mut failed: Vec<String> = Vec::new();
        for (include, hosts) in groups {
            let deepest = hosts.iter().filter_map(|host| self.cursors.get(host)).map(Cursor::depth).max();
            let compiled =
                if deepest.is_some_and(|depth| depth > DEEPEST) { Err(vec![endless(round)]) } else { self.compile(&include, round) };
            match compiled {
                Ok(piece) => {
                    self.announce_include(&include, &hosts).await;
                    self.play.add_handlers(self.fresh(piece.handlers));
                    if let (What::Role(wanted), Some(role)) = (&include.what, piece.role)
                        && wanted.public
                    {
                        self.play.export_role(role);
                    }
                    blocks.push((piece.block, hosts));
                }
                Err(findings) => {
                    let fresh: Vec<String> = hosts.into_iter().filter(|host| !failed.contains(host)).collect();
                    self.broken(&findings, &fresh, round).await;
                    failed.extend(fresh);
                }
            }
        }
        blocks.iter_mut().for_each(|(_, members)| members.retain(|host| !failed.contains(host)));
        self.enter(&blocks);
    }

    /// What was included cannot be used: a failure of each host that wanted it.
    async fn broken(&mut self, findings: &[Diagnostic], hosts: &[String], round: &Round) {
        let Some(first) = findings.first() else { return };
        if self.shared.settings.after_fatal_rescue == AfterFatalRescue::GoOn && !is_of_hosts(first) {
            self.shared.unreadable(first.clone()).await;
            return;
        }
        let finding = self.shared.events.finding(first.clone());
        let (name, why) = match self.shared.settings.after_fatal_rescue {
            AfterFatalRescue::Stop => ("msg", first.message.clone()),
            AfterFatalRescue::GoOn => ("reason", finding.classic()),
        };
        let fatal = self.any_errors_fatal(round);
        for host in hosts {
            let mut rescued = false;
            if let Some(cursor) = self.cursors.get_mut(host) {
                rescued = cursor.fail(Cause::Own) == Caught::Rescue;
                if cursor.state() == State::Failed {
                    self.play.lose(host);
                }
            }
            let result = [("changed", false.into()), (name, why.as_str().into()), ("failed", true.into())];
            let result = TaskResult {
                task: self.shared.events.next_task(),
                host: host.clone(),
                delegate: None,
                status: Status::Failed,
                ignored: false,
                rescued,
                item: None,
                result: result.into_iter().map(|(name, value): (_, wire::Value)| (name.to_owned(), value)).collect(),
                diff: Vec::new(),
                warnings: Vec::new(),
                finding: Some(finding.clone()),
                took: Duration::ZERO,
                shown: Shown::Verbose,
                looped: false,
            };
            self.shared.events.emit(EventKind::TaskFinished(result)).await;
        }
        if let (Some(host), true) = (hosts.first(), fatal) {
            let raw = [(name.to_owned(), why.as_str().into()), ("failed".to_owned(), true.into())].into_iter().collect();
            self.fail_all(round, host, &raw);
        }
        for finding in findings.iter().skip(1) {
            self.shared.events.warn(finding.clone()).await;
        }
    }

    /// Those of `handlers` that no include has brought before. With variables of their own they are others.
    fn fresh(&self, handlers: Vec<Arc<Handler>>) -> Vec<Arc<Handler>> {
        let plain = |handler: &Handler| handler.step.context.include_vars.is_empty();
        let place = |handler: &Handler| self.shared.sources.position(handler.step.span);
        let known: Vec<_> = self.play.handlers().iter().filter(|handler| plain(handler)).map(|handler| place(handler)).collect();
        handlers.into_iter().filter(|handler| !plain(handler) || !known.contains(&place(handler))).collect()
    }

    /// Every host enters all its blocks, in the order of the items.
    fn enter(&mut self, blocks: &[(Arc<crate::plan::Block>, Vec<String>)]) {
        let hosts: Vec<String> = self.cursors.keys().cloned().collect();
        // All hosts get a block of the same shape, so that their paths can be compared.
        for host in hosts {
            if !blocks.iter().any(|(_, members)| members.contains(&host)) {
                continue;
            }
            let empty = || Arc::new(crate::plan::Block::default());
            let mine = blocks.iter().map(|(block, members)| if members.contains(&host) { block.clone() } else { empty() });
            let outer = crate::plan::Block { tasks: mine.map(Item::Block).collect(), ..crate::plan::Block::default() };
            if let Some(cursor) = self.cursors.get_mut(&host)
                && cursor.state() == State::Active
            {
                cursor.enter(Arc::new(outer), 0);
            }
        }
    }

    async fn announce_include(&self, include: &Include, hosts: &[String]) {
        let path = match &include.what {
            What::Tasks(path) => path.display().to_string(),
            What::Role(role) => role.name.clone(),
        };
        self.shared.events.emit(EventKind::Included { path, hosts: hosts.to_vec(), item: include.label.clone() }).await;
    }

    fn compile(&self, include: &Include, round: &Round) -> Result<Piece, Vec<Diagnostic>> {
        let mut diags = Diagnostics::default();
        let compiler = &self.shared.compiler;
        let context = Arc::new(self.include_context(include, round, &mut diags));
        let scope = &self.play.scope;
        let piece = match &include.what {
            What::Tasks(path) => compiler.include(path, &context, scope, round.step.handler, &mut diags),
            What::Role(wanted) => {
                let request = RoleRequest {
                    name: wanted.name.clone(),
                    span: round.step.param("name").map_or(round.step.span, Expr::span),
                    files: wanted.files.clone(),
                    allow_duplicates: Some(wanted.allow_duplicates),
                    validate: wanted.validate,
                    nested: true,
                    ..RoleRequest::default()
                };
                compiler.include_role(request, &context, scope, &mut diags)
            }
        };
        if diags.has_errors() { Err(diags.into_vec()) } else { Ok(piece) }
    }

    /// What included tasks inherit: what surrounds the include, its `vars`, its loop variables, and `apply`.
    fn include_context(&self, include: &Include, round: &Round, diags: &mut Diagnostics) -> Context {
        let compiler = &self.shared.compiler;
        let outer = &round.step.outer;
        let mut context = match &include.apply {
            Some(apply) => compiler.apply(outer, apply, round.step.span, diags),
            None => (**outer).clone(),
        };
        context.include_vars.clone_from(&round.step.context.include_vars);
        let own = round.step.context.vars.get(outer.vars.len()..).unwrap_or_default();
        context.include_vars.extend(own.iter().cloned());
        let locals: Vars =
            include.locals.iter().map(|(name, value)| (name.clone(), Arc::new(Expr::value(value, round.step.span)))).collect();
        if !locals.is_empty() {
            context.include_vars.push(Arc::new(locals));
        }
        context
    }
}
