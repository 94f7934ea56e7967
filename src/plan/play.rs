//! Plays: playbook imports unrolled, sections put in order with the flushes between.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compile::{Collected, Place};
use super::{Block, Compiler, Context, Item, Plan, Play, PlayScope, Step, Work};
use crate::model::{self, Action, Args, Entry, Import, Keyword, Keywords};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Span, Spanned};

impl Compiler {
    /// Compiles whole playbooks.
    pub fn playbooks(&self, paths: &[PathBuf], diags: &mut Diagnostics) -> Plan {
        let mut plan = Plan::default();
        for path in paths {
            self.playbook(path, &Arc::new(Context::default()), &mut Vec::new(), &mut plan, diags);
        }
        plan
    }

    /// Compiles a playbook that is there as `text`, and is shown as `name`. It can import nothing.
    pub fn text(&self, name: &str, text: &str, diags: &mut Diagnostics) -> Plan {
        let entries = self.loader.playbook_text(name, text, diags).map(|playbook| playbook.entries);
        let plays = entries.iter().flatten().filter_map(|entry| match entry {
            Entry::Play(play) => Some(Arc::new(self.play(play, Path::new(""), &Arc::new(Context::default()), diags))),
            Entry::Import(_) => None,
        });
        Plan { plays: plays.collect() }
    }

    fn playbook(&self, path: &Path, outer: &Arc<Context>, open: &mut Vec<PathBuf>, plan: &mut Plan, diags: &mut Diagnostics) {
        let Some(playbook) = self.reading(diags, |diags| self.loader.playbook(path, diags)) else { return };
        open.push(path.to_owned());
        for entry in &playbook.entries {
            match entry {
                Entry::Play(play) => {
                    let play = self.play(play, path, outer, diags);
                    plan.plays.push(Arc::new(play));
                }
                Entry::Import(import) => self.import(import, path, outer, open, plan, diags),
            }
        }
        open.pop();
    }

    fn import(
        &self,
        import: &Import,
        from: &Path,
        outer: &Arc<Context>,
        open: &mut Vec<PathBuf>,
        plan: &mut Plan,
        diags: &mut Diagnostics,
    ) {
        let mut context = self.descend_without_vars(outer, &import.keywords, diags);
        if let Some(vars) = import.keywords.get(Keyword::Vars) {
            context.include_vars.push(Arc::new(self.vars(vars, diags)));
        }
        let place = Place {
            context: Arc::new(context),
            play: Arc::new(PlayScope { dir: folder(from), ..PlayScope::default() }),
            handler: false,
            section: None,
        };
        let file = Node::new(NodeKind::Str(import.file.value.clone()), import.file.span);
        let Some(name) = self.static_text(&file, &place, diags) else { return };
        let path = folder(from).join(&name);
        if open.contains(&path) {
            diags.push(
                Diagnostic::error("import-cycle", format!("playbook `{name}` imports itself")).at(import.file.span, "imported again here"),
            );
        } else if path.is_file() {
            self.playbook(&path, &place.context, open, plan, diags);
        } else {
            diags.push(
                Diagnostic::error("file-not-found", format!("cannot find the playbook `{name}`"))
                    .at(import.file.span, "imported here")
                    .help(format!("it was looked for at `{}`", path.display())),
            );
        }
    }

    fn play(&self, play: &model::Play, file: &Path, outer: &Arc<Context>, diags: &mut Diagnostics) -> Play {
        let dir = folder(file);
        let mut context = self.descend_without_vars(outer, &play.keywords, diags);
        context.dir.clone_from(&dir);
        let mut vars = play.keywords.get(Keyword::Vars).map(|vars| self.vars(vars, diags)).unwrap_or_default();
        // What an import says of variables it says of its plays; the outermost has the last word.
        for imported in std::mem::take(&mut context.include_vars).iter().rev() {
            vars.extend(imported.iter().map(|(name, expr)| (name.clone(), expr.clone())));
        }
        let vars = Arc::new(vars);
        context.play_vars = vars.clone();
        let context = Arc::new(context);
        let scope = Arc::new(PlayScope { dir: dir.clone(), vars: vars.clone() });
        let place = Place { context: context.clone(), play: scope, handler: false, section: None };
        let mut collected = Collected::default();
        let body = self.body(play, &place, &mut collected, diags);
        let handler_place = Place { handler: true, ..place.clone() };
        let own = self.items(&play.handlers, &handler_place, &mut collected, diags);
        let mut handlers = std::mem::take(&mut collected.handlers);
        handlers.extend(self.handlers(own));
        Play {
            span: play.span,
            file: file.to_owned(),
            dir,
            name: play.keywords.get(Keyword::Name).map(|name| self.templar.compile(name, diags)),
            hosts: self.templar.compile(&play.hosts, diags),
            body: Arc::new(Block { tasks: body, transaction: vars.get("rappel_transaction").cloned(), ..Block::default() }),
            handlers,
            vars,
            vars_files: play.vars_files.iter().map(|name| self.templar.compile(name, diags)).collect(),
            prompts: play.prompts.clone(),
            roles: collected.roles,
            collections: context.collections.clone(),
            context,
        }
    }

    fn body(&self, play: &model::Play, place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Vec<Item> {
        let mut body = Vec::new();
        let section = |tasks: Vec<Item>| Item::Block(Arc::new(Block { tasks, ..Block::default() }));
        body.extend(self.implied("gather_facts", None, "Gathering Facts", play.span, place, diags));
        body.push(section(self.items(&play.pre_tasks, place, collected, diags)));
        body.extend(self.flush(play.span, place, diags));
        let mut roles = Vec::new();
        for mention in &play.roles {
            roles.extend(self.role_ref(mention, place, collected, diags).map(|(item, _)| item));
        }
        body.push(section(roles));
        body.push(section(self.items(&play.tasks, place, collected, diags)));
        body.extend(self.flush(play.span, place, diags));
        body.push(section(self.items(&play.post_tasks, place, collected, diags)));
        body.extend(self.flush(play.span, place, diags));
        body
    }

    pub(super) fn flush(&self, span: Span, place: &Place, diags: &mut Diagnostics) -> Option<Item> {
        self.implied("meta", Some("flush_handlers"), "flush_handlers", span, place, diags)
    }

    /// A task nobody wrote. It runs whatever tags are selected.
    fn implied(&self, module: &str, free: Option<&str>, name: &str, span: Span, place: &Place, diags: &mut Diagnostics) -> Option<Item> {
        let text = |text: &str| Node::new(NodeKind::Str(text.to_owned()), span);
        let keyword = |keyword: Keyword, node: Node| (Spanned::new(keyword, span), node);
        let task = model::Task {
            span,
            keywords: Keywords(vec![keyword(Keyword::Name, text(name)), keyword(Keyword::Tags, text("always"))]),
            with: None,
            action: Action { module: Spanned::new(module.to_owned(), span), args: Args { free: free.map(text), ..Args::default() } },
        };
        self.step(&task, place, diags).map(|step| Item::Step(Arc::new(step)))
    }

    /// The task that checks a role's variables against its argument specification.
    pub(super) fn validation(&self, spec: &Node, entry: Option<&str>, place: &Place, diags: &mut Diagnostics) -> Option<Step> {
        let entry = entry.unwrap_or("main");
        let short = spec.get("short_description").and_then(Node::as_str).map(|text| format!(" - {text}")).unwrap_or_default();
        let options = spec.get("options").cloned().unwrap_or_else(|| Node::new(NodeKind::Map(Vec::new()), spec.span));
        let name = format!("Validating arguments against arg spec '{entry}'{short}");
        let text = |text: &str| Node::new(NodeKind::Str(text.to_owned()), spec.span);
        let named = |name: &str, node: Node| (Spanned::new(name.to_owned(), spec.span), node);
        let keyword = |keyword: Keyword, node: Node| (Spanned::new(keyword, spec.span), node);
        let task = model::Task {
            span: spec.span,
            keywords: Keywords(vec![keyword(Keyword::Name, text(&name)), keyword(Keyword::Tags, text("always"))]),
            with: None,
            action: Action {
                module: Spanned::new("validate_argument_spec".to_owned(), spec.span),
                args: Args {
                    params: vec![
                        named("argument_spec", Node::new(NodeKind::Unsafe(Box::new(options)), spec.span)),
                        named("validate_args_context", validated(entry, place, spec.span)),
                    ],
                    ..Args::default()
                },
            },
        };
        self.step(&task, place, diags)
    }
}

impl Step {
    /// Whether this is `meta: flush_handlers`, or whatever else `meta` is asked for.
    pub fn meta(&self) -> Option<&str> {
        match &self.work {
            Work::Action(action) if action.name == "meta" => self.param("action").and_then(|expr| expr.literal()?.as_str()),
            _ => None,
        }
    }

    /// Whether it is done once for all hosts, whatever `run_once` says.
    pub fn is_for_all(&self) -> bool {
        matches!(&self.work, Work::Action(action) if matches!(action.name, "add_host" | "pause"))
    }
}

/// What a role's arguments are checked for: which entry point of which role.
fn validated(entry: &str, place: &Place, span: Span) -> Node {
    let text = |text: &str| Node::new(NodeKind::Unsafe(Box::new(Node::new(NodeKind::Str(text.to_owned()), span))), span);
    let role = place.context.role.as_deref();
    let path = role.map(|role| role.path.display().to_string()).unwrap_or_default();
    let entries = [
        ("type", "role"),
        ("name", role.map(|role| role.name.rsplit('.').next().unwrap_or(&role.name)).unwrap_or_default()),
        ("argument_spec_name", entry),
        ("path", &path),
    ];
    Node::new(
        NodeKind::Map(entries.into_iter().map(|(name, value)| (Node::new(NodeKind::Str(name.to_owned()), span), text(value))).collect()),
        span,
    )
}

fn folder(file: &Path) -> PathBuf {
    let parent = file.parent().unwrap_or(Path::new(""));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned())
}
