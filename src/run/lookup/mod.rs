//! Lookups that read the controller: files, the environment, programs.

mod config;
mod csv;
mod ini;
mod inline;
mod password;
mod url;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::model::{Inventory, Loader, Pattern, Variables};
use crate::template::{Binding, FileOptions, LookupCall, LookupError, Lookups, Scope, Value, to_wire};
use crate::text::{Diagnostics, Sources, Span, Spanned, Vault};
use crate::wire;

/// Lookups of the real world.
pub struct WorldLookups {
    vault: Arc<Vault>,
    /// Reads templates, sealed ones too.
    loader: Loader,
    /// The configuration, by the names that the lookup `config` takes.
    settings: HashMap<String, wire::Value>,
}

const NAMES: &[&str] = &[
    "config",
    "csvfile",
    "env",
    "file",
    "fileglob",
    "first_found",
    "ini",
    "inventory_hostnames",
    "lines",
    "password",
    "pipe",
    "template",
    "unvault",
    "url",
];

impl WorldLookups {
    /// Reads vault files with `vault`; `settings` is what the lookup `config` knows.
    pub fn new(sources: Sources, vault: Arc<Vault>, settings: HashMap<String, wire::Value>) -> Self {
        let loader = Loader::new(sources, vault.clone());
        Self { vault, loader, settings }
    }
}

impl Lookups for WorldLookups {
    fn lookup(&self, call: LookupCall<'_>) -> Result<Vec<Value>, LookupError> {
        if call.name == "template" {
            return call.terms.iter().map(|term| self.template(&call, &term.to_text())).collect();
        }
        let found = match call.name {
            "file" => each(&call, |term| self.file(&call, term)),
            "unvault" => each(&call, |term| self.read(&call, term)),
            "env" => each(&call, |term| env(&call, term)),
            "pipe" => each(&call, pipe),
            "config" => self.config(&call),
            "lines" => lines(&call),
            "fileglob" => fileglob(&call),
            "first_found" => first_found(&call),
            "csvfile" => csv::run(&call, |name, encoding| self.decoded(&call, name, encoding)),
            "ini" => ini::run(&call, |name, encoding| self.decoded(&call, name, encoding)),
            "password" => password::run(&call, &base(&call)),
            "url" => url::run(&call, |name| variable(call.scope, name)),
            "inventory_hostnames" => inventory_hostnames(&call),
            other => Err(format!("lookup `{other}` is not supported")),
        };
        found.map_err(LookupError::from)
    }

    fn names(&self) -> &[&str] {
        NAMES
    }
}

fn each(call: &LookupCall<'_>, one: impl Fn(&str) -> Result<Value, String>) -> Result<Vec<Value>, String> {
    call.terms.iter().map(|term| one(&term.to_text())).collect()
}

fn option(call: &LookupCall<'_>, name: &str) -> Option<Value> {
    call.options.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
}

fn flag(call: &LookupCall<'_>, name: &str, default: bool) -> bool {
    option(call, name).and_then(|value| to_wire(&value).to_bool()).unwrap_or(default)
}

/// The value of a variable that rappel sets itself.
fn variable(scope: &Arc<dyn Scope>, name: &str) -> Option<Value> {
    match scope.get(name)? {
        Binding::Value(value) => Some(value),
        Binding::Expr(expr) => expr.literal().cloned(),
    }
}

fn search_path(call: &LookupCall<'_>) -> Vec<PathBuf> {
    let Some(value) = variable(call.scope, "ansible_search_path") else { return vec![PathBuf::from(".")] };
    value.as_items().map(|items| items.iter().map(|item| PathBuf::from(item.to_text())).collect()).unwrap_or_default()
}

fn find(call: &LookupCall<'_>, folder: &str, name: &str) -> Result<PathBuf, String> {
    crate::run::call::find_in(&search_path(call), folder, name).ok_or_else(|| format!("could not locate file in lookup: {name}"))
}

/// The folder of the playbook.
fn base(call: &LookupCall<'_>) -> PathBuf {
    variable(call.scope, "playbook_dir").map(|dir| PathBuf::from(dir.to_text())).unwrap_or_default()
}

/// Hosts by a pattern, over the groups that the play sees.
fn inventory_hostnames(call: &LookupCall<'_>) -> Result<Vec<Value>, String> {
    let groups = variable(call.scope, "groups").and_then(|groups| groups.as_entries()).unwrap_or_default();
    let mut inventory = Inventory::default();
    for (group, hosts) in groups.iter() {
        for host in hosts.as_items().unwrap_or_default().iter() {
            inventory.add_host(&host.to_text(), &[group.0.to_text()], Variables::default());
        }
    }
    let texts: Vec<Spanned<String>> = call.terms.iter().map(|term| Spanned::new(term.to_text(), Span::default())).collect();
    let chosen = inventory.select(&Pattern::parse(&texts), None, &mut Diagnostics::default());
    Ok(chosen.iter().filter(|host| !host.implicit).map(|host| Value::from(host.name.as_str())).collect())
}

impl WorldLookups {
    /// The text of a file, which may be sealed, in an encoding.
    fn decoded(&self, call: &LookupCall<'_>, name: &str, encoding: &str) -> Result<String, String> {
        let path = find(call, "files", name).map_err(|_| format!("No such file or directory: {name}"))?;
        let bytes = self.bytes(&path)?;
        match encoding.to_ascii_lowercase().replace('_', "-").as_str() {
            "iso-8859-1" | "latin-1" | "latin1" | "iso-8859-15" | "iso8859-1" => Ok(bytes.into_iter().map(char::from).collect()),
            "" | "utf-8" | "utf8" | "ascii" => {
                let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text; give `encoding`", path.display()))?;
                Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
            }
            _ => Err(format!("the encoding `{encoding}` is not supported: expected `utf-8` or `iso-8859-1`")),
        }
    }

    /// Settings of `ansible.cfg` and the environment, by the names of Ansible's constants.
    fn config(&self, call: &LookupCall<'_>) -> Result<Vec<Value>, String> {
        if let Some(kind) = option(call, "plugin_type") {
            return config::of_plugin(call, &kind.to_text(), &self.settings);
        }
        let missing = option(call, "on_missing").map_or_else(|| "error".to_owned(), |value| value.to_text());
        if !matches!(missing.as_str(), "error" | "warn" | "skip") {
            return Err(format!(
                "\"on_missing\" must be a string and one of \"error\", \"warn\" or \"skip\": valid values are these, not {missing}"
            ));
        }
        let mut found = Vec::new();
        for term in call.terms {
            let Some(name) = term.as_str() else {
                return Err(format!("Invalid setting identifier, \"{}\" is not a string, its a {}", term.to_text(), term.type_name()));
            };
            match self.settings.get(name) {
                Some(value) => found.push(crate::template::from_wire(value)),
                None if missing == "error" => {
                    return Err(format!("Unable to find setting {name}: Invalid setting, or one that changes nothing here"));
                }
                None => {}
            }
        }
        Ok(found)
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if !crate::text::vault::is_sealed(&bytes) {
            return Ok(bytes);
        }
        self.vault.open_hidden(&String::from_utf8_lossy(&bytes)).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn read(&self, call: &LookupCall<'_>, name: &str) -> Result<Value, String> {
        let path = find(call, "files", name)?;
        let opened = self.bytes(&path)?;
        String::from_utf8(opened).map(Value::from).map_err(|_| format!("{} is not UTF-8 text", path.display()))
    }

    fn file(&self, call: &LookupCall<'_>, name: &str) -> Result<Value, String> {
        let text = self.read(call, name)?.to_text();
        let text = if flag(call, "lstrip", false) { text.trim_start() } else { &text };
        let text = if flag(call, "rstrip", true) { text.trim_end() } else { text };
        Ok(text.into())
    }

    fn template(&self, call: &LookupCall<'_>, name: &str) -> Result<Value, LookupError> {
        let path = find(call, "templates", name)?;
        let mut diags = Diagnostics::default();
        let Some(source) = self.loader.text(&path, "the template", &mut diags) else {
            return Err(diags.into_vec().into_iter().next().map_or_else(|| String::new().into(), LookupError::from));
        };
        let pair = |name: &str| {
            let text = |end: &str| option(call, &format!("{name}_{end}_string")).map(|value| value.to_text());
            Some((text("start")?, text("end")?))
        };
        let options = FileOptions {
            search: search_path(call).iter().flat_map(|place| [place.join("templates"), place.clone()]).collect(),
            variable: pair("variable"),
            block: pair("block"),
            comment: pair("comment"),
            trim_blocks: flag(call, "trim_blocks", true),
            lstrip_blocks: flag(call, "lstrip_blocks", false),
            native: true,
            ..FileOptions::default()
        };
        let expr = call.templar.file(source, &options, &mut diags);
        let Some(expr) = expr.filter(|_| !diags.has_errors()) else {
            return Err(diags.into_vec().into_iter().next().map_or_else(|| String::new().into(), LookupError::from));
        };
        let vars = option(call, "template_vars").and_then(|vars| vars.as_entries());
        let mut locals = crate::run::tree::template_locals(&path, name, &wire::Map::new());
        for (key, value) in vars.iter().flat_map(|vars| vars.iter()) {
            locals.0.push((key.0.to_text(), value.clone()));
        }
        let scope: Arc<dyn Scope> = Arc::new(Over { locals, scope: call.scope.clone() });
        Ok(call.templar.evaluate(&expr, &scope)?)
    }
}

/// A few values over a scope.
#[derive(Debug)]
struct Over {
    locals: crate::plan::scope::Locals,
    scope: Arc<dyn Scope>,
}

impl Scope for Over {
    fn get(&self, name: &str) -> Option<Binding> {
        self.locals.get(name).or_else(|| self.scope.get(name))
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.locals.names();
        names.extend(self.scope.names());
        names
    }
}

fn env(call: &LookupCall<'_>, name: &str) -> Result<Value, String> {
    match std::env::var(name) {
        Ok(text) => Ok(text.into()),
        Err(_) => Ok(option(call, "default").unwrap_or_else(|| "".into())),
    }
}

fn shell(command: &str) -> Result<String, String> {
    let done = Command::new("/bin/sh").arg("-c").arg(command).output().map_err(|error| format!("cannot run `{command}`: {error}"))?;
    if !done.status.success() {
        return Err(format!("lookup_plugin.pipe({command}) returned {}", done.status.code().unwrap_or(-1)));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn pipe(command: &str) -> Result<Value, String> {
    shell(command).map(|text| text.trim_end().into())
}

fn lines(call: &LookupCall<'_>) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for term in call.terms {
        all.extend(shell(&term.to_text())?.lines().map(Value::from));
    }
    Ok(all)
}

fn fileglob(call: &LookupCall<'_>) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for term in call.terms {
        let pattern = term.to_text();
        let path = Path::new(&pattern);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let glob = globset::GlobBuilder::new(&name).literal_separator(true).build().map_err(|error| error.to_string())?.compile_matcher();
        let parent = path.parent().unwrap_or(Path::new(""));
        let folders: Vec<PathBuf> = if path.is_absolute() {
            vec![parent.to_owned()]
        } else {
            search_path(call).iter().flat_map(|place| [place.join("files").join(parent), place.join(parent)]).collect()
        };
        let matches = folders.iter().map(|folder| matching(folder, &glob)).find(|matches| !matches.is_empty());
        found.extend(matches.into_iter().flatten().map(|path| Value::from(path.display().to_string())));
    }
    Ok(found)
}

fn matching(folder: &Path, glob: &globset::GlobMatcher) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| glob.is_match(name)));
    paths.sort();
    paths
}

/// Terms are file names, or mappings with `files`, `paths` and `skip`.
fn first_found(call: &LookupCall<'_>) -> Result<Vec<Value>, String> {
    let mut skip = flag(call, "skip", false);
    let mut candidates: Vec<String> = Vec::new();
    let texts = |value: Option<Value>| -> Vec<String> {
        let split = |text: String| {
            text.split([',', ';', ':']).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect::<Vec<_>>()
        };
        match value {
            None => Vec::new(),
            Some(value) => match value.as_items() {
                Some(items) => items.iter().flat_map(|item| split(item.to_text())).collect(),
                None => split(value.to_text()),
            },
        }
    };
    let cross = |files: Vec<String>, paths: Vec<String>| -> Vec<String> {
        if paths.is_empty() {
            return files;
        }
        paths.iter().flat_map(|path| files.iter().map(move |file| format!("{}/{file}", path.trim_end_matches('/')))).collect()
    };
    candidates.extend(cross(texts(option(call, "files")), texts(option(call, "paths"))));
    // A list among the terms stands for its items.
    let flat = |term: &Value| term.as_items().map_or_else(|| vec![term.clone()], |items| items.to_vec());
    for term in call.terms.iter().flat_map(flat) {
        if let Some(entries) = term.as_entries() {
            let entry = |name: &str| entries.iter().find(|(key, _)| key.0.as_str() == Some(name)).map(|(_, value)| value.clone());
            skip |= entry("skip").and_then(|value| to_wire(&value).to_bool()).unwrap_or(false);
            candidates.extend(cross(texts(entry("files")), texts(entry("paths"))));
        } else {
            candidates.push(term.to_text());
        }
    }
    let places = search_path(call);
    // As Ansible looks, in `files` and beside; where that finds nothing, in what else a role has.
    for folder in ["files", "templates", "vars", "tasks"] {
        for name in &candidates {
            if let Some(path) = crate::run::call::find_in(&places, folder, name).filter(|path| path.is_file()) {
                return Ok(vec![crate::run::tree::tidy(&path).display().to_string().into()]);
            }
        }
    }
    if skip || call.options.iter().any(|(name, _)| &**name == "errors") {
        return Ok(Vec::new());
    }
    Err(format!("No file was found when using first_found. Looked for: {}", candidates.join(", ")))
}
