//! [`Role`]: a directory of tasks, handlers, variables and files.

use std::path::{Path, PathBuf};

use super::loader::{Loader, Variables, cleaned, find_file};
use super::reader::{self, is_template, wrong_type};
use super::{Item, Keywords, Level};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Span, Spanned, did_you_mean, files_below};

/// A mention of a role: an entry of `roles:` or of a role's dependencies.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleRef {
    /// The whole entry.
    pub span: Span,
    /// The role's name; may be a template.
    pub name: Spanned<String>,
    /// Keywords of the entry.
    pub keywords: Keywords,
    /// Everything else in the entry: variables for the role.
    pub params: Vec<(Spanned<String>, Node)>,
}

/// A role, loaded with one choice of `tasks_from` and its like.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// Its name as shown in the output: the name it was asked for by.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// The collection it belongs to: `namespace.name`.
    pub collection: Option<String>,
    /// `defaults/main.yml`: variables of the lowest precedence.
    pub defaults: Variables,
    /// `vars/main.yml`.
    pub vars: Variables,
    /// `tasks/main.yml`.
    pub tasks: Vec<Item>,
    /// `handlers/main.yml`.
    pub handlers: Vec<Item>,
    /// `meta/main.yml`, `dependencies:`.
    pub dependencies: Vec<RoleRef>,
    /// `meta/main.yml`, `collections:`.
    pub collections: Vec<String>,
    /// `meta/main.yml`, `allow_duplicates:`.
    pub allow_duplicates: bool,
    /// The argument specification of the chosen entry point, from `meta/argument_specs.yml` or `meta/main.yml`.
    pub argument_spec: Option<Node>,
}

/// A role that is wanted, and which of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSource {
    /// Its name: `nginx`, `namespace.collection.nginx`, or a path.
    pub name: String,
    /// Where it is named.
    pub span: Span,
    /// The file in `tasks/`; `main` when not given.
    pub tasks_from: Option<String>,
    /// The file in `vars/`.
    pub vars_from: Option<String>,
    /// The file in `defaults/`.
    pub defaults_from: Option<String>,
    /// The file in `handlers/`.
    pub handlers_from: Option<String>,
    /// Directories of roles, in order: `roles/` beside the playbook, `roles_path`, beside the role that asks, the playbook's own.
    pub search: Vec<PathBuf>,
    /// Directories that hold `ansible_collections/`.
    pub collection_paths: Vec<PathBuf>,
    /// Collections in which a short name is looked up first: `collections:` of the play or role.
    pub collections: Vec<String>,
}

impl Loader {
    /// Finds a role and reads what was asked of it. Mistakes inside its files go to `diags`.
    ///
    /// # Errors
    /// There is no such role.
    pub fn role(&self, wanted: &RoleSource, diags: &mut Diagnostics) -> Result<Role, Diagnostic> {
        let (path, collection) = find_role(wanted)?;
        let mut role = Role {
            name: wanted.name.clone(),
            collection,
            defaults: self.role_vars(&path, "defaults", wanted.defaults_from.as_deref(), wanted, diags),
            vars: self.role_vars(&path, "vars", wanted.vars_from.as_deref(), wanted, diags),
            tasks: self.role_tasks(&path, "tasks", wanted.tasks_from.as_deref(), Level::Task, wanted, diags),
            handlers: self.role_tasks(&path, "handlers", wanted.handlers_from.as_deref(), Level::Handler, wanted, diags),
            dependencies: Vec::new(),
            collections: Vec::new(),
            allow_duplicates: false,
            argument_spec: None,
            path,
        };
        self.meta(&mut role, wanted.tasks_from.as_deref(), diags);
        Ok(role)
    }

    fn role_tasks(
        &self,
        role: &Path,
        part: &str,
        from: Option<&str>,
        level: Level,
        wanted: &RoleSource,
        diags: &mut Diagnostics,
    ) -> Vec<Item> {
        match role_file(role, part, from, wanted, diags) {
            Some(file) => self.tasks(&file, level, Some(wanted.span), diags),
            None => Vec::new(),
        }
    }

    /// `vars/main.yml`, or all files below a directory `vars/main/`.
    fn role_vars(&self, role: &Path, part: &str, from: Option<&str>, wanted: &RoleSource, diags: &mut Diagnostics) -> Variables {
        let directory = role.join(part).join(from.unwrap_or("main"));
        if directory.is_dir() {
            let files = files_below(&directory);
            return files.iter().flat_map(|file| self.vars_file(file, Some(wanted.span), diags)).collect();
        }
        match role_file(role, part, from, wanted, diags) {
            Some(file) => self.vars_file(&file, Some(wanted.span), diags),
            None => Vec::new(),
        }
    }

    fn meta(&self, role: &mut Role, tasks_from: Option<&str>, diags: &mut Diagnostics) {
        let directory = role.path.join("meta");
        let meta = find_file(&directory, "main").and_then(|file| self.value(&file, diags)).filter(|node| node.kind != NodeKind::Null);
        if let Some(meta) = &meta {
            if !matches!(meta.kind, NodeKind::Map(_)) {
                diags.push(wrong_type(meta, "`meta/main.yml`", "a mapping"));
            }
            if let Some(list) = meta.get("dependencies") {
                role.dependencies = refs(list, diags);
            }
            if let Some(flag) = meta.get("allow_duplicates") {
                match reader::boolean(flag) {
                    Some(value) => role.allow_duplicates = value,
                    None => diags.push(wrong_type(flag, "`allow_duplicates`", "a boolean")),
                }
            }
            if let Some(list) = meta.get("collections") {
                role.collections = reader::items(list, "a list for `collections`", diags).iter().filter_map(reader::scalar_text).collect();
            }
        }
        let own_file = find_file(&directory, "argument_specs").and_then(|file| self.value(&file, diags));
        let specs = own_file.as_ref().or(meta.as_ref()).and_then(|node| node.get("argument_specs"));
        let entry_point = tasks_from.unwrap_or("main");
        let entry_point = [".yml", ".yaml", ".json"].iter().find_map(|end| entry_point.strip_suffix(end)).unwrap_or(entry_point);
        role.argument_spec = specs.and_then(|specs| specs.get(entry_point)).cloned();
    }
}

/// One of the role's files. That `main` is missing is no mistake; that a file asked for by name is, is.
fn role_file(role: &Path, part: &str, from: Option<&str>, wanted: &RoleSource, diags: &mut Diagnostics) -> Option<PathBuf> {
    let directory = role.join(part);
    let name = from.unwrap_or("main");
    let exact = Path::new(name).extension().map(|_| directory.join(name)).filter(|file| file.is_file());
    let found = exact.or_else(|| find_file(&directory, name));
    // As in Ansible: what a folder that is not there should have is not missed.
    if found.is_none() && from.is_some() && directory.is_dir() {
        let message = format!("role `{}` has no file `{part}/{name}`", wanted.name);
        let help = format!("looked for `{name}`, `{name}.yml`, `{name}.yaml` and `{name}.json` in `{}`", directory.display());
        let classic = format!("Could not find specified file in role: {part}/{name}");
        diags.push(Diagnostic::error("unknown-file", message).at(wanted.span, "").help(help).ansible(classic));
    }
    let file = found?;
    if is_inside(&file, &directory) {
        return Some(file);
    }
    let message = format!(
        "Failed loading '{}' for role ({}) as it is not inside the expected role path: '{}'",
        file.display(),
        wanted.name,
        directory.display()
    );
    diags.push(Diagnostic::error("outside-role", message).at(wanted.span, "").help("a role's files are in the role's own folders"));
    None
}

/// Whether `file` is below `directory`, wherever links lead.
fn is_inside(file: &Path, directory: &Path) -> bool {
    match (file.parent().map(Path::canonicalize), directory.canonicalize()) {
        (Some(Ok(folder)), Ok(directory)) => folder.starts_with(directory),
        _ => true,
    }
}

/// The role's directory, and the collection it is in.
fn find_role(wanted: &RoleSource) -> Result<(PathBuf, Option<String>), Diagnostic> {
    let name = wanted.name.as_str();
    let parts: Vec<_> = name.split('.').collect();
    let qualified = match parts.as_slice() {
        [namespace, collection, role @ ..] if !role.is_empty() && !name.contains('/') => {
            Some((format!("{namespace}.{collection}"), role.join("/")))
        }
        _ => None,
    };
    let in_collections = wanted.collections.iter().map(|collection| (collection.clone(), name.to_owned()));
    for (collection, role) in qualified.into_iter().chain(in_collections) {
        for path in &wanted.collection_paths {
            let directory = path.join("ansible_collections").join(collection.replace('.', "/")).join("roles").join(&role);
            if directory.is_dir() {
                return Ok((directory, Some(collection)));
            }
        }
    }
    wanted
        .search
        .iter()
        .map(|directory| cleaned(&directory.join(name)))
        .find(|path| path.is_dir())
        .map(|path| (path, None))
        .ok_or_else(|| not_found(wanted))
}

fn not_found(wanted: &RoleSource) -> Diagnostic {
    let name = &wanted.name;
    let mut places: Vec<String> = wanted.search.iter().map(|directory| directory.display().to_string()).collect();
    places.dedup();
    let places = places.join(":");
    let words = format!("the role '{name}' was not found in {places}");
    let diagnostic = Diagnostic::error("unknown-role", format!("role `{name}` was not found")).ansible(words).at(wanted.span, "");
    let known: Vec<String> = wanted.search.iter().flat_map(|directory| names_in(directory)).collect();
    if let Some(meant) = did_you_mean(name, known.iter().map(String::as_str)) {
        return diagnostic.help(format!("did you mean `{meant}`?"));
    }
    let places: Vec<_> = wanted.search.iter().map(|directory| format!("`{}`", directory.display())).collect();
    diagnostic.help(format!("looked in {}", places.join(", ")))
}

/// The directories in `directory`, for a suggestion.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Reads `roles:` of a play, or `dependencies:` of a role.
pub(super) fn refs(node: &Node, diags: &mut Diagnostics) -> Vec<RoleRef> {
    if !matches!(node.kind, NodeKind::Seq(_) | NodeKind::Null) {
        let words = "A malformed role declaration was encountered.";
        diags.push(wrong_type(node, "`roles`", "a list of roles").ansible(words));
        return Vec::new();
    }
    reader::items(node, "a list of roles", diags).iter().filter_map(|node| role_ref(node, diags)).collect()
}

fn role_ref(node: &Node, diags: &mut Diagnostics) -> Option<RoleRef> {
    let plain =
        |name: String, span| RoleRef { span: node.span, name: Spanned::new(name, span), keywords: Keywords::default(), params: Vec::new() };
    if let NodeKind::Map(_) = &node.kind {
    } else {
        let name = reader::text(node, "a role", diags)?;
        check_name(&name, diags);
        return Some(plain(name.value, node.span));
    }
    let Some(name) = node.get("role").or_else(|| node.get("name")) else {
        diags.push(Diagnostic::error("no-name", "this entry does not name a role").at(node.span, "no `role` here").help("add `role: …`"));
        return None;
    };
    let name = reader::text(name, "the name of a role", diags)?;
    check_name(&name, diags);
    let mut result = plain(name.value, name.span);
    for (key, value) in reader::entries(node, "an entry of `roles`", diags)? {
        let is_name = matches!(key.value, "role" | "name");
        if !is_name && reader::keyword(&key, value, Level::Role, &mut result.keywords, diags).is_none() {
            result.params.push((key.map(str::to_owned), value.clone()));
        }
    }
    Some(result)
}

/// `name, version` was a way to name roles for `ansible-galaxy`, and `name key=value` one to give variables.
fn check_name(name: &Spanned<String>, diags: &mut Diagnostics) {
    let text = name.value.trim();
    if text.is_empty() || (text.contains([',', '=']) && !is_template(text)) {
        let help = "write `- role: name` and the variables of the role as keys beside it";
        let words = format!("Invalid old style role requirement: {text}");
        diags.push(Diagnostic::error("role-name", format!("`{text}` is no name of a role")).ansible(words).at(name.span, "").help(help));
    }
}
