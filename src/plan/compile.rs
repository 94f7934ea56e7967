//! [`Compiler`]: lists of tasks as written become blocks of steps. Imports are unrolled here; includes wait for the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::{Condition, OWN};
use super::scope::StaticScope;
use super::{ActionSpec, Block, Context, Handler, Item, Mistakes, Role, Selection, Step, Vars, Work, reserved};
use crate::bridge::Library;
use crate::model::{self, Keyword, Keywords, Level, Loader, Shape};
use crate::module;
use crate::template::{Expr, Manner, Scope, Templar};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Span, Spanned};
use crate::wire::{Map, Value};

/// Turns what the user wrote into steps.
#[derive(Clone)]
pub struct Compiler {
    /// Compiles expressions.
    pub templar: Templar,
    /// Reads files.
    pub loader: Arc<Loader>,
    /// The controller-side actions there are.
    pub actions: &'static [ActionSpec],
    /// `--tags`, `--skip-tags`.
    pub selection: Arc<Selection>,
    /// Extra variables, for the names of imported files.
    pub extra: Arc<Vars>,
    /// Where roles are looked for, beside the usual places.
    pub roles_path: Arc<Vec<PathBuf>>,
    /// Directories that hold `ansible_collections/`.
    pub collection_paths: Arc<Vec<PathBuf>>,
    /// When a task's own mistakes are told.
    pub mistakes: Mistakes,
    /// Where modules are looked for that are not rappel's own.
    pub library: Arc<Library>,
    /// Whether variables of roles hold inside them only; where nothing is said, those of included roles do.
    pub private_roles: Option<bool>,
}

/// What surrounds a list of tasks.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) context: Arc<Context>,
    /// The play's directory and variables, for names of imported files.
    pub(super) play: Arc<PlayScope>,
    pub(super) handler: bool,
    pub(super) section: Option<&'static str>,
}

/// What a play knows before it has hosts.
#[derive(Clone, Debug, Default)]
pub struct PlayScope {
    /// `playbook_dir`.
    pub dir: PathBuf,
    /// Its `vars:`.
    pub vars: Arc<Vars>,
}

/// Blocks and handlers that a role or file brought.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// Its tasks.
    pub block: Arc<Block>,
    /// Its handlers.
    pub handlers: Vec<Arc<Handler>>,
    /// The role, if it is one.
    pub role: Option<Arc<Role>>,
}

/// What is compiled while handlers are collected.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) handlers: Vec<Arc<Handler>>,
    pub(super) roles: Vec<Arc<Role>>,
    /// Files and roles that are open, to find cycles.
    pub(super) open: Vec<PathBuf>,
}

impl Compiler {
    /// Compiles a file of tasks that a dynamic include named.
    pub fn include(&self, path: &Path, context: &Arc<Context>, play: &Arc<PlayScope>, handler: bool, diags: &mut Diagnostics) -> Piece {
        let mut collected = Collected::default();
        let place = Place { context: context.clone(), play: play.clone(), handler, section: None };
        let block = self.file(path, &place, &mut collected, diags);
        Piece { block: Arc::new(block), handlers: collected.handlers, role: None }
    }

    pub(super) fn file(&self, path: &Path, place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Block {
        let level = if place.handler { Level::Handler } else { Level::Task };
        let items = self.reading(diags, |diags| self.loader.tasks(path, level, None, diags));
        let mut place = place.clone();
        let mut context = (*place.context).clone();
        context.dir = path.parent().map(Path::to_owned).unwrap_or_default();
        place.context = Arc::new(context);
        collected.open.push(path.to_owned());
        let tasks = self.items(&items, &place, collected, diags);
        collected.open.pop();
        Block { tasks, ..Block::default() }
    }

    /// Reads, leaving to the tasks what they tell themselves when they run.
    pub(super) fn reading<T>(&self, diags: &mut Diagnostics, read: impl FnOnce(&mut Diagnostics) -> T) -> T {
        if self.mistakes == Mistakes::BeforeRun {
            return read(diags);
        }
        let mut found = Diagnostics::default();
        let result = read(&mut found);
        diags.extend(found.into_vec().into_iter().filter(|diagnostic| diagnostic.code != model::KEYWORD_TYPE));
        result
    }

    pub(super) fn items(&self, items: &[model::Item], place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Vec<Item> {
        let mut steps = Vec::with_capacity(items.len());
        for item in items {
            match item {
                model::Item::Block(block) => steps.push(Item::Block(Arc::new(self.block(block, place, collected, diags)))),
                model::Item::Task(task) => steps.extend(self.task(task, place, collected, diags)),
            }
        }
        steps
    }

    fn block(&self, block: &model::Block, place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Block {
        let inner = Place { context: Arc::new(self.descend(&place.context, &block.keywords, diags)), ..place.clone() };
        let rescue = Place { section: Some("rescue"), ..inner.clone() };
        let always = Place { section: Some("always"), ..inner.clone() };
        Block {
            span: Some(block.span),
            name: block.keywords.get(Keyword::Name).map(|name| self.templar.compile(name, diags)),
            transaction: block
                .keywords
                .get(Keyword::Vars)
                .and_then(|vars| vars.get("rappel_transaction"))
                .map(|wanted| Arc::new(self.templar.compile(wanted, diags))),
            tasks: self.transaction_tasks(block, &inner, collected, diags),
            rescue: block.has_rescue.then(|| self.items(&block.rescue, &rescue, collected, diags)),
            always: self.items(&block.always, &always, collected, diags),
            role: None,
        }
    }

    /// The tasks of a block. Handlers belong to the transaction that their changes were made in, so they run before it ends.
    fn transaction_tasks(&self, block: &model::Block, place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Vec<Item> {
        let mut tasks = self.items(&block.block, place, collected, diags);
        if block.keywords.get(Keyword::Vars).is_some_and(|vars| vars.get("rappel_transaction").is_some()) {
            tasks.extend(self.flush(block.span, place, diags));
        }
        tasks
    }

    fn task(&self, task: &model::Task, place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Vec<Item> {
        if let Some(misuse) = super::misuse::found(task, place) {
            diags.push(misuse);
            return Vec::new();
        }
        let name = task.action.module.value.as_str();
        match short_name(name) {
            "import_tasks" => self.import_tasks(task, place, collected, diags),
            "import_role" => self.import_role(task, place, collected, diags),
            _ => self.step(task, place, diags).map(|step| Item::Step(Arc::new(step))).into_iter().collect(),
        }
    }

    fn import_tasks(&self, task: &model::Task, place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Vec<Item> {
        if let Some(span) = Self::loop_span(task) {
            diags.push(
                Diagnostic::error("import-loop", "`import_tasks` cannot be looped: it is unrolled before there are hosts")
                    .at(span, "this loop")
                    .help("use `include_tasks`"),
            );
            return Vec::new();
        }
        let Some(wanted) = import_name(task, "file") else {
            diags.push(Diagnostic::error("missing-parameter", "`import_tasks` needs a file").at(task.span, "in this task"));
            return Vec::new();
        };
        let inner = self.imported(task, place, diags);
        let Some(name) = self.static_text(wanted, &inner, diags) else { return Vec::new() };
        let Some(path) = find_tasks(&name, place) else {
            diags.push(
                Diagnostic::error("file-not-found", format!("cannot find the task file `{name}`"))
                    .at(wanted.span, "imported here")
                    .help(format!("it was looked for beside the importing file and in `{}`", place.play.dir.display())),
            );
            return Vec::new();
        };
        if collected.open.contains(&path) {
            diags.push(
                Diagnostic::error("import-cycle", format!("`{}` imports itself", path.display()))
                    .at(wanted.span, "imported again here")
                    .help("use `include_tasks` with a condition that ends"),
            );
            return Vec::new();
        }
        vec![Item::Block(Arc::new(self.file(&path, &inner, collected, diags)))]
    }

    /// The place for what a static import brings: the import's own keywords are inherited.
    pub(super) fn imported(&self, task: &model::Task, place: &Place, diags: &mut Diagnostics) -> Place {
        // An import is a block of what it imports.
        Place { context: Arc::new(self.descend(&place.context, &task.keywords, diags)), ..place.clone() }
    }

    pub(super) fn loop_span(task: &model::Task) -> Option<Span> {
        let with = task.with.as_ref().map(|(kind, _)| kind.span);
        with.or_else(|| task.keywords.get(Keyword::Loop).map(|node| node.span))
    }

    /// Text that must be known before there are hosts.
    pub(super) fn static_text(&self, node: &Node, place: &Place, diags: &mut Diagnostics) -> Option<String> {
        let expr = self.templar.compile(node, diags);
        let scope: Arc<dyn Scope> =
            Arc::new(StaticScope { extra: self.extra.clone(), play: place.play.clone(), context: place.context.clone() });
        match self.templar.render(&expr, &scope) {
            Ok(text) => Some(text),
            Err(diagnostic) => {
                diags.push(
                    diagnostic.help("an import is resolved before there are hosts: use variables of the play or `-e`, or an include"),
                );
                None
            }
        }
    }

    /// Compiles one task that is not an import; `None` when the selection leaves it out or it is wrong.
    pub(super) fn step(&self, task: &model::Task, place: &Place, diags: &mut Diagnostics) -> Option<Step> {
        let context = Arc::new(self.descend(&place.context, &task.keywords, diags));
        let work = self.work(&task.action.module, &context, &place.play.dir, diags)?;
        let work = self.able(work, &task.action, &context, &place.play.dir);
        let (params, whole) = self.params(task, &work, diags);
        let looped = self.looped(task, diags);
        // A handler runs because it was notified, whatever tags are asked for.
        if !place.handler && !self.selection.takes(&context.tags) {
            return None;
        }
        let register = task.keywords.get(Keyword::Register).and_then(|node| Some(Spanned::new(node.as_str()?.to_owned(), node.span)));
        reserved::warn_of_task(&work, &params, register.as_ref(), diags);
        Some(Step {
            span: task.span,
            name: task.keywords.get(Keyword::Name).map(|name| self.templar.compile(name, diags)),
            module: task.action.module.clone(),
            work,
            params,
            whole,
            mistake: if self.mistakes == Mistakes::AtTask { mistyped(&context) } else { None },
            looped,
            register,
            context,
            outer: place.context.clone(),
            handler: place.handler,
            section: place.section,
            undo: self.undo(task, place, diags),
        })
    }

    /// `rappel_undo` of a task: a task of its own, without files that would have to go along.
    fn undo(&self, task: &model::Task, place: &Place, diags: &mut Diagnostics) -> Option<Arc<Step>> {
        let node = task.keywords.get(Keyword::Vars)?.get("rappel_undo")?;
        let list = Node::new(NodeKind::Seq(vec![node.clone()]), node.span);
        let items = self.loader.tasks_of(&list, Level::Task, diags);
        let Some(model::Item::Task(inverse)) = items.first() else {
            if !diags.has_errors() {
                diags.push(
                    Diagnostic::error("undo", "`rappel_undo`: expected a task")
                        .at(node.span, "")
                        .help("a module with its parameters, as in `rappel_undo: {command: /usr/bin/undo}`"),
                );
            }
            return None;
        };
        let step = self.step(inverse, place, diags)?;
        let files = |param: &module::Param| matches!(param.kind, module::Kind::LocalFile | module::Kind::LocalTemplate);
        let alone = match &step.work {
            Work::Module(entry) => !entry.spec.params.iter().any(|param| files(param) && step.param(param.name).is_some()),
            _ => false,
        };
        if !alone || step.looped.is_some() || step.register.is_some() {
            let message =
                format!("`{}` cannot be a `rappel_undo`: the host runs it by itself, when the controller may be gone", step.module.value);
            diags.push(
                Diagnostic::error("undo", message)
                    .at(node.span, "")
                    .help("take a module of the host, without a loop and without files of the controller"),
            );
        }
        Some(Arc::new(step))
    }

    fn params(&self, task: &model::Task, work: &Work, diags: &mut Diagnostics) -> (Vec<(Spanned<String>, Expr)>, Option<Expr>) {
        let args = &task.action.args;
        let written = super::check::params(&task.action, work, self.mistakes, diags);
        let params = written.into_iter().map(|(name, node)| (name, self.templar.compile(node, diags))).collect();
        (params, args.whole.as_ref().map(|whole| self.templar.compile(whole, diags)))
    }

    fn looped(&self, task: &model::Task, diags: &mut Diagnostics) -> Option<super::Loop> {
        if let Some((kind, items)) = &task.with {
            self.templar.check_loop(kind, diags);
            return Some(super::Loop { kind: kind.clone(), items: self.templar.compile(items, diags) });
        }
        let items = task.keywords.get(Keyword::Loop)?;
        Some(super::Loop { kind: Spanned::new("loop".to_owned(), items.span), items: self.templar.compile(items, diags) })
    }

    /// What is inherited below something that carries `keywords`.
    pub(super) fn descend(&self, outer: &Context, keywords: &Keywords, diags: &mut Diagnostics) -> Context {
        let mut context = self.descend_without_vars(outer, keywords, diags);
        if let Some(vars) = keywords.get(Keyword::Vars) {
            context.vars.push(Arc::new(self.vars(vars, diags)));
        }
        context
    }

    pub(super) fn descend_without_vars(&self, outer: &Context, keywords: &Keywords, diags: &mut Diagnostics) -> Context {
        let mut context = outer.clone();
        for own in OWN {
            context.unset(*own);
        }
        for (keyword, node) in &keywords.0 {
            match keyword.value {
                Keyword::When => context.when.extend(self.conditions(node, diags)),
                Keyword::Tags => context.tags.extend(self.tags(node, outer, keywords, diags)),
                Keyword::Vars | Keyword::Name => {}
                // What a play is made of, not what its tasks inherit.
                Keyword::Hosts
                | Keyword::VarsFiles
                | Keyword::VarsPrompt
                | Keyword::Roles
                | Keyword::PreTasks
                | Keyword::Tasks
                | Keyword::PostTasks
                | Keyword::Handlers => {}
                Keyword::Environment => context.environment.push(Arc::new(self.templar.compile(node, diags))),
                Keyword::ModuleDefaults => context.module_defaults.push(Arc::new(self.templar.compile(node, diags))),
                Keyword::Notify => context.notify.push(Arc::new(self.templar.compile(node, diags))),
                Keyword::Collections => context.collections = strings(node),
                Keyword::Until | Keyword::ChangedWhen | Keyword::FailedWhen => {
                    context.set(keyword.value, self.templar.condition(node, diags));
                }
                other => context.set(other, self.templar.compile(node, diags)),
            }
        }
        context
    }

    /// `apply`: keywords of an include for the tasks it brings. They were values of a parameter until now.
    pub fn apply(&self, outer: &Context, apply: &Map, span: Span, diags: &mut Diagnostics) -> Context {
        let known = |name: &str| Keyword::TABLE.iter().find(|row| row.name == name).map(|row| row.keyword);
        let written = |value: &Value| trusted(crate::template::value_node(value, span));
        let keywords = apply.iter().filter_map(|(name, value)| Some((Spanned::new(known(name)?, span), written(value))));
        self.descend(outer, &Keywords(keywords.collect()), diags)
    }

    pub(super) fn conditions(&self, node: &Node, diags: &mut Diagnostics) -> Vec<Arc<Condition>> {
        match &node.kind {
            NodeKind::Seq(items) => items.iter().flat_map(|item| self.conditions(item, diags)).collect(),
            _ => vec![Arc::new(Condition { expr: self.templar.condition(node, diags), text: node.clone() })],
        }
    }

    /// Tags: a list, or text split at commas.
    fn tags(&self, node: &Node, outer: &Context, keywords: &Keywords, diags: &mut Diagnostics) -> Vec<String> {
        let mut tags = Vec::new();
        for text in strings(node) {
            if text.contains("{{") {
                let expr = self.templar.compile(&Node::new(NodeKind::Str(text.clone()), node.span), diags);
                tags.extend(self.templated_tags(&expr, outer, keywords, diags).unwrap_or_else(|| vec![text]));
            } else {
                tags.extend(split_tags(&text));
            }
        }
        tags
    }

    /// Tags that a template gives, if variables that are known before there are hosts tell them.
    fn templated_tags(&self, tags: &Expr, outer: &Context, keywords: &Keywords, diags: &mut Diagnostics) -> Option<Vec<String>> {
        let mut context = outer.clone();
        context.vars.extend(keywords.get(Keyword::Vars).map(|vars| Arc::new(self.vars(vars, diags))));
        let play = Arc::new(PlayScope { vars: outer.play_vars.clone(), dir: outer.dir.clone() });
        let scope: Arc<dyn Scope> = Arc::new(StaticScope { extra: self.extra.clone(), play, context: Arc::new(context) });
        Some(match crate::template::to_wire(&self.templar.evaluate(tags, &scope).ok()?) {
            Value::List(items) => items.iter().map(Value::to_text).flat_map(|text| split_tags(&text)).collect(),
            other => split_tags(&other.to_text()),
        })
    }

    /// `vars:`: a mapping, or a list of mappings.
    pub(super) fn vars(&self, node: &Node, diags: &mut Diagnostics) -> Vars {
        let templar = self.templar_of_vars();
        match &node.kind {
            NodeKind::Map(entries) => {
                let named = entries.iter().filter_map(|(name, value)| Some((name.as_str()?, name.span, value)));
                let compiled = named.map(|(name, span, value)| {
                    reserved::warn(name, span, diags);
                    (name.to_owned(), Arc::new(templar.compile(value, diags)))
                });
                compiled.collect()
            }
            NodeKind::Seq(items) => items.iter().flat_map(|item| self.vars(item, diags)).collect(),
            _ => Vars::new(),
        }
    }

    /// A variable that nobody uses may use filters that nobody has.
    fn templar_of_vars(&self) -> Templar {
        self.templar.clone().with_manner(Manner { check_names: false, spare: true, ..self.templar.manner() })
    }

    /// Named values as variables.
    pub fn named(&self, entries: &[(Spanned<String>, Node)], diags: &mut Diagnostics) -> Vars {
        let templar = self.templar_of_vars();
        let compiled = entries.iter().map(|(name, value)| {
            reserved::warn(&name.value, name.span, diags);
            (name.value.clone(), Arc::new(templar.compile(value, diags)))
        });
        compiled.collect()
    }
}

/// A module's name without `ansible.builtin.` or `ansible.legacy.`.
pub(super) fn short_name(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name)
}

/// The file or role that an import names, free-form or by parameter.
pub(super) fn import_name<'a>(task: &'a model::Task, parameter: &str) -> Option<&'a Node> {
    let args = &task.action.args;
    let named = args.params.iter().find(|(name, _)| name.value == parameter || name.value == "_raw_params").map(|(_, node)| node);
    named.or(args.free.as_ref())
}

/// A task file: beside the importing file, in the role's tasks, or beside the playbook.
fn find_tasks(name: &str, place: &Place) -> Option<PathBuf> {
    let context = &place.context;
    let mut folders = vec![context.dir.clone()];
    if let Some(role) = &context.role {
        folders.push(role.path.join(if place.handler { "handlers" } else { "tasks" }));
        folders.push(role.path.clone());
    }
    folders.push(place.play.dir.join("tasks"));
    folders.push(place.play.dir.clone());
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A keyword whose value is not of its type, in Ansible's words.
fn mistyped(context: &Context) -> Option<String> {
    context.keywords.iter().find_map(|(keyword, expr)| {
        let row = Keyword::TABLE.iter().find(|row| row.keyword == *keyword)?;
        let value = crate::template::to_wire(expr.literal()?);
        let text = value.to_text();
        let number = || text.trim().trim_end_matches('%').parse::<f64>();
        let (wanted, why) = match row.shape {
            Shape::Bool if value.to_bool().is_none() => ("bool", super::conform::not_boolean(&text)),
            Shape::Int if value.to_bool().is_none() && number().is_err() => {
                ("int", format!("invalid literal for int() with base 10: '{text}'"))
            }
            Shape::Float if value.to_bool().is_none() && number().is_err() => {
                ("float", format!("could not convert string to float: '{text}'"))
            }
            _ => return None,
        };
        (!value.is_null()).then(|| {
            let name = keyword.name();
            format!("the field '{name}' has an invalid value ({text}), and could not be converted to {wanted}. The error was: {why}")
        })
    })
}

fn split_tags(text: &str) -> Vec<String> {
    text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect()
}

fn strings(node: &Node) -> Vec<String> {
    match &node.kind {
        NodeKind::Seq(items) => items.iter().flat_map(strings).collect(),
        NodeKind::Str(text) => vec![text.clone()],
        NodeKind::Int(number) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

/// What comes from a parameter, as if it stood where keywords stand.
fn trusted(node: Node) -> Node {
    let kind = match node.kind {
        NodeKind::Unsafe(inner) => return trusted(*inner),
        NodeKind::Seq(items) => NodeKind::Seq(items.into_iter().map(trusted).collect()),
        NodeKind::Map(entries) => NodeKind::Map(entries.into_iter().map(|(key, value)| (trusted(key), trusted(value))).collect()),
        other => other,
    };
    Node { kind, ..node }
}
