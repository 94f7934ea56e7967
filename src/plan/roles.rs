//! Roles: found, loaded with their dependencies, and turned into blocks and handlers.

use std::path::PathBuf;
use std::sync::Arc;

use super::compile::{Collected, Place, import_name};
use super::{Block, Compiler, Context, Handler, Item, Piece, PlayScope, Role, RoleVars, Vars};
use crate::model::{self, RoleRef, RoleSource};
use crate::text::{Diagnostic, Diagnostics, Node, Span};
use crate::wire::Value;

/// Which role, and which of its files.
#[derive(Clone, Debug, Default)]
pub struct RoleRequest {
    /// Its name, templated already.
    pub name: String,
    /// Where it was asked for.
    pub span: Span,
    /// `tasks_from` and its like.
    pub files: RoleFiles,
    /// What is said about the mention, for telling two mentions apart.
    pub mention: String,
    /// May run again for the same host; `None` leaves it to the role's meta.
    pub allow_duplicates: Option<bool>,
    /// By an include or an import, not by `roles:` or as a dependency.
    pub nested: bool,
    /// Parameters of the mention.
    pub params: Vars,
    /// Whether its variables hold for all tasks that follow, if that was said.
    pub public: Option<bool>,
    /// Check the role's argument specification first.
    pub validate: bool,
}

/// Which of a role's files are meant; `main` where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleFiles {
    /// `tasks_from`.
    pub tasks: Option<String>,
    /// `vars_from`.
    pub vars: Option<String>,
    /// `defaults_from`.
    pub defaults: Option<String>,
    /// `handlers_from`.
    pub handlers: Option<String>,
}

impl Compiler {
    /// Compiles a role that a dynamic include named.
    pub fn include_role(&self, request: RoleRequest, context: &Arc<Context>, play: &Arc<PlayScope>, diags: &mut Diagnostics) -> Piece {
        let mut collected = Collected::default();
        let place = Place { context: context.clone(), play: play.clone(), handler: false, section: None };
        let (block, role) = self.role(request, &place, &mut collected, diags);
        Piece { block: Arc::new(block), handlers: collected.handlers, role }
    }

    /// An entry of `roles:` or of a role's dependencies.
    pub(super) fn role_ref(
        &self,
        mention: &RoleRef,
        place: &Place,
        collected: &mut Collected,
        diags: &mut Diagnostics,
    ) -> Option<(Item, Option<Arc<Role>>)> {
        let name = Node::new(crate::text::NodeKind::Str(mention.name.value.clone()), mention.name.span);
        let request = RoleRequest {
            name: self.static_text(&name, place, diags)?,
            span: mention.name.span,
            params: self.named(&mention.params, diags),
            validate: true,
            nested: false,
            mention: self.mention(mention),
            ..RoleRequest::default()
        };
        let context = self.descend(&place.context, &mention.keywords, diags);
        let inner = Place { context: Arc::new(context), ..place.clone() };
        let (block, role) = self.role(request, &inner, collected, diags);
        Some((Item::Block(Arc::new(block)), role))
    }

    pub(super) fn import_role(&self, task: &model::Task, place: &Place, collected: &mut Collected, diags: &mut Diagnostics) -> Vec<Item> {
        if let Some(span) = Self::loop_span(task) {
            diags.push(
                Diagnostic::error("import-loop", "`import_role` cannot be looped: it is unrolled before there are hosts")
                    .at(span, "this loop")
                    .help("use `include_role`"),
            );
            return Vec::new();
        }
        let inner = self.imported(task, place, diags);
        let text = |parameter: &str, diags: &mut Diagnostics| {
            let node = task.action.args.params.iter().find(|(name, _)| name.value == parameter).map(|(_, node)| node)?;
            self.static_text(node, &inner, diags)
        };
        let Some(name) = import_name(task, "name").or_else(|| import_name(task, "role")) else {
            diags.push(Diagnostic::error("missing-parameter", "`import_role` needs the `name` of a role").at(task.span, "in this task"));
            return Vec::new();
        };
        let Some(role_name) = self.static_text(name, &inner, diags) else { return Vec::new() };
        let request = RoleRequest {
            name: role_name,
            span: name.span,
            files: RoleFiles {
                tasks: text("tasks_from", diags),
                vars: text("vars_from", diags),
                defaults: text("defaults_from", diags),
                handlers: text("handlers_from", diags),
            },
            nested: true,
            public: text("public", diags).map(|flag| Value::from(flag).to_bool().unwrap_or(false)),
            allow_duplicates: Some(text("allow_duplicates", diags).is_none_or(|flag| flag.eq_ignore_ascii_case("true") || flag == "yes")),
            validate: text("rolespec_validate", diags).is_none_or(|flag| flag.eq_ignore_ascii_case("true") || flag == "yes"),
            ..RoleRequest::default()
        };
        let (block, _) = self.role(request, &inner, collected, diags);
        vec![Item::Block(Arc::new(block))]
    }

    pub(super) fn role(
        &self,
        request: RoleRequest,
        place: &Place,
        collected: &mut Collected,
        diags: &mut Diagnostics,
    ) -> (Block, Option<Arc<Role>>) {
        let source = RoleSource {
            name: request.name.clone(),
            span: request.span,
            tasks_from: request.files.tasks.clone(),
            vars_from: request.files.vars.clone(),
            defaults_from: request.files.defaults.clone(),
            handlers_from: request.files.handlers.clone(),
            search: self.search(place),
            collection_paths: std::iter::once(place.play.dir.join("collections")).chain(self.collection_paths.iter().cloned()).collect(),
            collections: place.context.collections.clone(),
        };
        let loaded = match self.reading(diags, |diags| self.loader.role(&source, diags)) {
            Ok(loaded) => loaded,
            Err(diagnostic) => {
                diags.push(diagnostic);
                return (Block::default(), None);
            }
        };
        let open = loaded.path.join(request.files.tasks.as_deref().unwrap_or("main"));
        if collected.open.contains(&open) {
            diags.push(
                Diagnostic::error("role-cycle", format!("role `{}` depends on itself", request.name))
                    .at(request.span, "mentioned again here")
                    .help("break the circle with `include_role` and a condition"),
            );
            return (Block::default(), None);
        }
        collected.open.push(open);
        let pair = self.loaded_role(request, loaded, place, collected, diags);
        collected.open.pop();
        pair
    }

    fn loaded_role(
        &self,
        request: RoleRequest,
        loaded: model::Role,
        place: &Place,
        collected: &mut Collected,
        diags: &mut Diagnostics,
    ) -> (Block, Option<Arc<Role>>) {
        self.library.met(&loaded.path);
        let vars = self.named(&loaded.vars, diags);
        let parents = place.context.role.iter().flat_map(|parent| parent.parents.iter().chain(std::iter::once(parent)).cloned()).collect();
        let from = request.files.tasks.as_deref().unwrap_or("main");
        let role = Arc::new(Role {
            identity: format!("{} {from} {}", loaded.path.display(), request.mention),
            name: loaded.name,
            path: loaded.path,
            collection: loaded.collection,
            defaults: self.named(&loaded.defaults, diags),
            vars,
            params: request.params,
            nested: request.nested,
            parents,
            allow_duplicates: request.allow_duplicates.unwrap_or(loaded.allow_duplicates),
            dependencies: std::sync::OnceLock::new(),
        });
        let inner = Self::inside(&role, place, "tasks");
        let mut tasks = Vec::new();
        let mut inherited = Vec::new();
        for dependency in &loaded.dependencies {
            let Some((item, dependency)) = self.role_ref(dependency, &inner, collected, diags) else { continue };
            tasks.push(item);
            if let Some(dependency) = dependency {
                inherited.extend(dependency.dependencies.get().into_iter().flatten().cloned());
                inherited.push(RoleVars { defaults: dependency.defaults.clone(), vars: dependency.vars.clone() });
            }
        }
        // Nobody else has set it: the role was made here.
        let _ = role.dependencies.set(inherited);
        if let (Some(spec), true) = (&loaded.argument_spec, request.validate) {
            tasks.extend(self.validation(spec, request.files.tasks.as_deref(), &inner, diags).map(|step| Item::Step(Arc::new(step))));
        }
        tasks.extend(self.items(&loaded.tasks, &inner, collected, diags));
        let handlers = Place { handler: true, ..Self::inside(&role, place, "handlers") };
        let items = self.items(&loaded.handlers, &handlers, collected, diags);
        collected.handlers.extend(self.handlers(items));
        if request.public.unwrap_or(self.private_roles != Some(true)) {
            collected.roles.push(role.clone());
        }
        (Block { tasks, role: Some(role.clone()), span: Some(request.span), ..Block::default() }, Some(role))
    }

    /// The entry as written, but for its name: entries that differ in it are different mentions.
    fn mention(&self, mention: &RoleRef) -> String {
        let source = self.loader.sources().get(mention.span.source);
        let written = |span: Span| source.text.get(span.start as usize..span.end as usize).unwrap_or_default().to_owned();
        let keywords = mention.keywords.0.iter().map(|(keyword, node)| format!("{}={}", keyword.value.name(), written(node.span)));
        let params = mention.params.iter().map(|(name, node)| format!("{}={}", name.value, written(node.span)));
        keywords.chain(params).collect::<Vec<_>>().join(" ")
    }

    fn inside(role: &Arc<Role>, place: &Place, folder: &str) -> Place {
        let mut context = (*place.context).clone();
        context.role = Some(role.clone());
        context.dir = role.path.join(folder);
        if let Some(collection) = &role.collection {
            context.collections.insert(0, collection.clone());
        }
        Place { context: Arc::new(context), ..place.clone() }
    }

    /// Handlers out of compiled items; blocks of handlers are flattened, as their keywords are inherited already.
    #[expect(clippy::self_only_used_in_recursion, reason = "a method reads better beside its callers")]
    pub(super) fn handlers(&self, items: Vec<Item>) -> Vec<Arc<Handler>> {
        let mut handlers = Vec::new();
        for item in items {
            match item {
                Item::Step(step) => {
                    handlers.push(Arc::new(Handler { step }));
                }
                Item::Block(block) => handlers.extend(self.handlers(block.tasks.clone())),
            }
        }
        handlers
    }

    /// Where roles are looked for, in order.
    fn search(&self, place: &Place) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let Some(role) = &place.context.role {
            folders.push(role.path.join("roles"));
            folders.extend(role.path.parent().map(PathBuf::from));
        }
        folders.push(place.play.dir.join("roles"));
        folders.extend(self.roles_path.iter().cloned());
        folders.push(place.context.dir.clone());
        folders.push(place.play.dir.clone());
        folders
    }
}
