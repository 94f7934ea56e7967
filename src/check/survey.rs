//! [`Survey`]: every task that a play may run, includes followed as far as their names are written out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Subject;
use crate::model::Keyword;
use crate::plan::{Block, Item, Play, PlayScope, Role, RoleFiles, RoleRequest, Step, Vars};
use crate::template::{Expr, to_wire};
use crate::text::{Diagnostic, Diagnostics};
use crate::wire::Value;

/// How deep includes are followed.
const DEEPEST: usize = 40;

/// Everything in a play.
pub(super) struct Survey {
    pub(super) play: Arc<Play>,
    pub(super) steps: Vec<Seen>,
    /// Handlers, also those of included roles.
    pub(super) handlers: Vec<Seen>,
    /// Roles, also included ones.
    pub(super) roles: Vec<Arc<Role>>,
    /// `vars_files:` and `include_vars:` whose names are written out.
    pub(super) files: Vec<Arc<Vars>>,
    /// Something is included whose name only the run knows.
    pub(super) open: bool,
    /// Variables may come from where nobody can look before the run.
    pub(super) open_vars: bool,
    met: HashSet<String>,
}

/// A task, and what is certain about it.
pub(super) struct Seen {
    pub(super) step: Arc<Step>,
    /// It runs if its play gets there, and its failure counts.
    pub(super) certain: bool,
    /// It is part of a fleet transaction.
    pub(super) transaction: bool,
    /// It is a way out: a `rescue` or `always` section.
    pub(super) rescue: bool,
}

#[derive(Clone, Copy)]
struct Place {
    certain: bool,
    transaction: bool,
    depth: usize,
}

/// Surveys `play`.
pub(super) fn of(play: &Arc<Play>, subject: &Subject<'_>, diags: &mut Diagnostics) -> Survey {
    let mut survey = Survey {
        play: play.clone(),
        steps: Vec::new(),
        handlers: Vec::new(),
        roles: play.roles.clone(),
        files: Vec::new(),
        open: false,
        open_vars: false,
        met: HashSet::new(),
    };
    for name in &play.vars_files {
        survey.vars_file(name, subject, diags);
    }
    let wanted = play.vars.get("rappel_transaction").and_then(|expr| to_wire(expr.literal()?).to_bool());
    let place = Place { certain: true, transaction: subject.atomic || wanted == Some(true), depth: 0 };
    survey.block(&play.body, place, subject, diags);
    for handler in &play.handlers {
        survey.step(&handler.step, Place { certain: false, ..place }, subject, diags);
    }
    survey
}

impl Survey {
    /// All tasks, handlers too.
    pub(super) fn all(&self) -> impl Iterator<Item = &Seen> {
        self.steps.iter().chain(&self.handlers)
    }

    fn block(&mut self, block: &Block, place: Place, subject: &Subject<'_>, diags: &mut Diagnostics) {
        let transaction = block.transaction.as_ref().and_then(|wanted| to_wire(wanted.literal()?).to_bool());
        let place = Place { transaction: transaction.unwrap_or(place.transaction), ..place };
        self.roles.extend(block.role.clone());
        let caught = block.rescue.as_ref().is_some_and(|rescue| !rescue.is_empty());
        self.items(&block.tasks, Place { certain: place.certain && !caught, ..place }, subject, diags);
        self.items(block.rescue.as_deref().unwrap_or_default(), Place { certain: false, ..place }, subject, diags);
        self.items(&block.always, place, subject, diags);
    }

    fn items(&mut self, items: &[Item], place: Place, subject: &Subject<'_>, diags: &mut Diagnostics) {
        for item in items {
            match item {
                Item::Block(block) => self.block(block, place, subject, diags),
                Item::Step(step) => self.step(step, place, subject, diags),
            }
        }
    }

    fn step(&mut self, step: &Arc<Step>, place: Place, subject: &Subject<'_>, diags: &mut Diagnostics) {
        let forgiven = [Keyword::IgnoreErrors, Keyword::FailedWhen].iter().any(|keyword| step.keyword(*keyword).is_some());
        // A loop may have no items, a condition may not hold.
        let certain = place.certain && !forgiven && step.looped.is_none() && step.context.when.is_empty();
        let rescue = step.section.is_some();
        let seen = Seen { step: step.clone(), certain, transaction: place.transaction, rescue };
        let place = Place { certain, depth: place.depth + 1, ..place };
        if step.handler {
            self.handlers.push(seen);
        } else {
            self.steps.push(seen);
        }
        match step.work.name() {
            "include_tasks" => self.include_tasks(step, place, subject, diags),
            "include_role" => self.include_role(step, place, subject, diags),
            "include_vars" => match step.param("file") {
                Some(file) if step.param("dir").is_none() => self.vars_file(&file.clone(), subject, diags),
                _ => self.open_vars = true,
            },
            _ if matches!(step.work, crate::plan::Work::Foreign(_) | crate::plan::Work::Named) => self.open_vars = true,
            _ => {}
        }
    }

    fn include_tasks(&mut self, step: &Arc<Step>, place: Place, subject: &Subject<'_>, diags: &mut Diagnostics) {
        let Some(name) = step.param("file").and_then(text) else { return self.unknown() };
        let folders = folders(step, &self.play);
        let Some(path) = folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file()) else {
            let span = step.param("file").map_or(step.span, Expr::span);
            let message = format!("cannot find the task file `{name}`");
            diags.push(super::judged(place.certain, "file-not-found", message).at(span, "included here"));
            return;
        };
        let role = step.context.role.as_ref().map(|role| role.identity.as_str()).unwrap_or_default();
        if place.depth > DEEPEST || !self.met.insert(format!("{} {role}", path.display())) {
            return;
        }
        let context = self.inside(step);
        let piece = subject.compiler.include(&path, &context, &self.scope(), step.handler, diags);
        self.block(&piece.block, place, subject, diags);
    }

    fn include_role(&mut self, step: &Arc<Step>, place: Place, subject: &Subject<'_>, diags: &mut Diagnostics) {
        let part = |name: &str| step.param(name).map(text);
        let Some(name) = part("name").flatten() else { return self.unknown() };
        let mut files = RoleFiles::default();
        for (slot, name) in [
            (&mut files.tasks, "tasks_from"),
            (&mut files.vars, "vars_from"),
            (&mut files.defaults, "defaults_from"),
            (&mut files.handlers, "handlers_from"),
        ] {
            match part(name) {
                Some(None) => return self.unknown(),
                given => *slot = given.flatten(),
            }
        }
        if place.depth > DEEPEST || !self.met.insert(format!("role {name} {files:?}")) {
            return;
        }
        let span = step.param("name").map_or(step.span, Expr::span);
        let request = RoleRequest { name, span, files, allow_duplicates: Some(true), validate: false, ..RoleRequest::default() };
        let mut found = Diagnostics::default();
        let piece = subject.compiler.include_role(request, &self.inside(step), &self.scope(), &mut found);
        // A role that is only included under a condition may be missing.
        diags.extend(found.into_vec().into_iter().map(|finding| {
            let uncertain = !place.certain && finding.code == "unknown-role";
            if uncertain { Diagnostic { severity: crate::text::Severity::Warning, ..finding } } else { finding }
        }));
        self.roles.extend(piece.role);
        self.block(&piece.block, place, subject, diags);
        for handler in &piece.handlers {
            self.step(&handler.step, Place { certain: false, ..place }, subject, diags);
        }
    }

    fn unknown(&mut self) {
        self.open = true;
        self.open_vars = true;
    }

    fn scope(&self) -> Arc<PlayScope> {
        Arc::new(PlayScope { dir: self.play.dir.clone(), vars: self.play.vars.clone() })
    }

    /// What included tasks inherit: what surrounds the include, its own `vars`, its loop's variables.
    #[expect(clippy::unused_self, reason = "reads better beside its callers")]
    fn inside(&self, step: &Step) -> Arc<crate::plan::Context> {
        let mut context = (*step.outer).clone();
        context.include_vars.clone_from(&step.context.include_vars);
        let own = step.context.vars.get(step.outer.vars.len()..).unwrap_or_default();
        context.include_vars.extend(own.iter().cloned());
        let looped: Vars = loop_names(step).into_iter().map(|name| (name, Arc::new(Expr::value(&Value::Null, step.span)))).collect();
        if !looped.is_empty() {
            context.include_vars.push(Arc::new(looped));
        }
        Arc::new(context)
    }

    fn vars_file(&mut self, name: &Expr, subject: &Subject<'_>, diags: &mut Diagnostics) {
        let names = match name.literal().map(to_wire) {
            Some(Value::Str(name)) => vec![name],
            Some(Value::List(names)) => names.iter().map(Value::to_text).collect(),
            _ => return self.open_vars = true,
        };
        let dir = &self.play.dir;
        let places = |name: &String| [dir.join(name), dir.join("vars").join(name)];
        let roles = self.roles.iter().map(|role| role.path.join("vars")).collect::<Vec<_>>();
        let in_roles = names.iter().flat_map(|name| roles.iter().map(move |folder| folder.join(name)));
        let Some(path) = names.iter().flat_map(places).chain(in_roles).find(|path| path.is_file()) else {
            return self.open_vars = true;
        };
        let entries = subject.compiler.loader.vars_file(&path, Some(name.span()), diags);
        self.files.push(Arc::new(subject.compiler.named(&entries, diags)));
    }
}

/// Whether a role is used as a whole, not only a file of it.
pub(super) fn whole(role: &Role) -> bool {
    role.identity.starts_with(&format!("{} main ", role.path.display()))
}

/// Text that is written out.
pub(super) fn text(expr: &Expr) -> Option<String> {
    match to_wire(expr.literal()?) {
        Value::Str(text) => Some(text),
        _ => None,
    }
}

/// The names that a task's loop sets.
pub(super) fn loop_names(step: &Step) -> Vec<String> {
    if step.looped.is_none() {
        return Vec::new();
    }
    let control = step.keyword(Keyword::LoopControl);
    let named = |key: &str| control.and_then(|control| text(&control.entry(key)?));
    let mut names = vec![named("loop_var").unwrap_or_else(|| "item".to_owned()), "ansible_loop".to_owned(), "ansible_loop_var".to_owned()];
    names.extend(named("index_var"));
    names
}

/// Where a task's files are looked for.
pub(super) fn folders(step: &Step, play: &Play) -> Vec<PathBuf> {
    let mut folders = vec![step.context.dir.clone()];
    if let Some(role) = &step.context.role {
        for role in std::iter::once(role).chain(&role.parents) {
            folders.push(role.path.join(if step.handler { "handlers" } else { "tasks" }));
            folders.push(role.path.clone());
        }
    }
    let above = |folder: &Path| folder.parent().map(Path::to_owned);
    folders.extend(Some(step.context.dir.as_path()).filter(|dir| dir.ends_with("tasks") || dir.ends_with("handlers")).and_then(above));
    folders.extend([play.dir.join("tasks"), play.dir.clone()]);
    folders
}
