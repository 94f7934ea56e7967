//! Inventory sources: which reader a file needs, what of a folder counts.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::group_vars::VarsDir;
use super::{ALL, Inventory, Scripts, Variables, ini, range, script, yaml};
use crate::model::Loader;
use crate::model::loader::cleaned;
use crate::regex::Regex;
use crate::text::folder::{self, Kind};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Severity, SourceId, Span, Spanned, yaml as yaml_text};

/// What to do about group names with characters that a variable's name may not have: `TRANSFORM_INVALID_GROUP_CHARS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidGroupChars {
    /// Keep them and warn.
    #[default]
    Never,
    /// Keep them.
    Ignore,
    /// Replace them by `_` and warn.
    Always,
    /// Replace them by `_`.
    Silently,
}

/// How sources are read: what `ansible.cfg` can change about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Endings of the files in a folder that are no sources.
    pub ignore_extensions: Vec<String>,
    /// Regular expressions for the names in a folder that are no sources.
    pub ignore_patterns: Vec<String>,
    /// What to do about odd group names.
    pub invalid_group_chars: InvalidGroupChars,
    /// Whether ranges in a list like `web[1:3],` are expanded (plugin `advanced_host_list`).
    pub ranges_in_lists: bool,
    /// Whether mappings of the same name go into each other.
    pub merging: bool,
    /// A source that cannot be read is left out with a warning, as Ansible does by default, instead of failing.
    pub lenient: bool,
}

/// What editors, package managers and people leave in a folder beside its sources: Ansible's default list.
pub const IGNORE_EXTENSIONS: [&str; 12] = [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];

impl Default for Options {
    fn default() -> Self {
        Self {
            merging: false,
            ignore_extensions: IGNORE_EXTENSIONS.map(str::to_owned).to_vec(),
            ignore_patterns: Vec::new(),
            invalid_group_chars: InvalidGroupChars::default(),
            ranges_in_lists: false,
            lenient: false,
        }
    }
}

/// What reading an inventory needs.
pub struct Reading<'a> {
    /// Reads files, encrypted or not, and keeps their texts.
    pub loader: &'a Loader,
    /// Runs scripts.
    pub scripts: &'a dyn Scripts,
    /// Reads configurations of plugins such as `constructed`.
    pub plugins: &'a dyn Plugins,
    /// The folder that relative paths start from; absolute.
    pub folder: &'a Path,
    /// How.
    pub options: &'a Options,
    /// Whether a group's name had to be changed.
    pub renamed: Cell<bool>,
}

/// Inventory plugins that need more than this layer has, such as templates.
pub trait Plugins {
    /// Changes `inventory` as the configuration `root` (with `plugin: NAME`) says; `None` if there is no such plugin.
    fn apply(&self, name: &str, root: &Node, inventory: &mut Inventory, diags: &mut Diagnostics) -> Option<()>;
}

/// Knows no plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlugins;

impl Plugins for NoPlugins {
    fn apply(&self, _name: &str, _root: &Node, _inventory: &mut Inventory, _diags: &mut Diagnostics) -> Option<()> {
        None
    }
}

/// The source that hosts come from.
pub(super) struct Brought {
    /// Its absolute path, if it is a file.
    pub file: Option<PathBuf>,
}

impl Reading<'_> {
    /// The name that a group gets.
    pub(super) fn group_name(&self, name: &Spanned<String>) -> Spanned<String> {
        match self.options.invalid_group_chars {
            InvalidGroupChars::Never | InvalidGroupChars::Ignore => name.clone(),
            InvalidGroupChars::Always | InvalidGroupChars::Silently => {
                let safe = sanitized(&name.value);
                self.renamed.set(self.renamed.get() || safe != name.value);
                Spanned::new(safe, name.span)
            }
        }
    }
}

/// A group name with `_` in the place of each character that a variable's name may not have.
pub fn sanitized(name: &str) -> String {
    let fits = |(index, letter): (usize, char)| letter == '_' || letter.is_alphanumeric() && !(index == 0 && letter.is_numeric());
    name.chars().enumerate().map(|(index, letter)| if fits((index, letter)) { letter } else { '_' }).collect()
}

impl Inventory {
    /// Reads the sources `wanted`, in order: files, folders, programs, and lists such as `web1,web2,`.
    ///
    /// All mistakes go to `diags`; what could be read is returned.
    pub fn load(reading: &Reading<'_>, wanted: &[String], diags: &mut Diagnostics) -> Self {
        let mut inventory = Self { merging: reading.options.merging, loading: true, ..Self::default() };
        for source in wanted {
            inventory.read_source(reading, source, diags);
        }
        inventory.settle();
        inventory.warn(reading, diags);
        inventory
    }

    fn read_source(&mut self, reading: &Reading<'_>, wanted: &str, diags: &mut Diagnostics) {
        let path = Path::new(wanted);
        match folder::kind(path) {
            None if wanted.contains(',') => self.read_list(reading, wanted, diags),
            None => {
                let classic = format!(
                    "Unable to parse {} as an inventory source\n[WARNING]: No inventory was parsed, only implicit localhost is available",
                    reading.folder.join(path).display()
                );
                let error = Diagnostic::error("no-inventory", format!("there is no inventory `{wanted}`")).ansible(classic);
                let help = "give a file, a folder, or a list of hosts with a comma: `web1,web2,`";
                finding(reading, error.help(help), diags);
            }
            Some(kind) => {
                let absolute = cleaned(&reading.folder.join(path));
                let beside = if kind == Kind::Folder { Some(path) } else { path.parent() };
                self.beside(reading, beside.unwrap_or(Path::new("")));
                self.read_path(reading, path, kind, &absolute, diags);
            }
        }
    }

    /// Remembers the `group_vars` and `host_vars` in `folder`.
    fn beside(&mut self, reading: &Reading<'_>, folder: &Path) {
        self.beside.push(Arc::new(VarsDir::open(reading.loader, folder)));
    }

    fn read_list(&mut self, reading: &Reading<'_>, list: &str, diags: &mut Diagnostics) {
        let source = reading.loader.sources().add("-i", list);
        let mut start = 0;
        for part in list.split_inclusive(',') {
            let text = part.trim_end_matches(',').trim();
            let span = Span::new(source, start, start + part.len());
            start += part.len();
            if text.is_empty() {
                continue;
            }
            let (name, port) = range::address(text);
            let single = range::Expanded { names: vec![name.to_owned()], port };
            let expanded =
                if reading.options.ranges_in_lists { range::expand(&Spanned::new(text.to_owned(), span)) } else { Ok(single.clone()) };
            if let Err(found) = &expanded {
                let message = format!("Failed to parse {list} with advanced_host_list plugin: {}", found.message);
                let open = text.contains(":]");
                let classic = "Unable to parse address from hostname, leaving unchanged: host range must specify end value";
                let warning = Diagnostic::warning("host-range", message).at(span, "");
                diags.push(if open { warning.ansible(classic) } else { warning });
            }
            let hosts = expanded.unwrap_or(single);
            ini::add_hosts(self, &hosts, super::UNGROUPED, &Variables::new(), &Spanned::new(&Brought { file: None }, span));
        }
    }

    fn read_path(&mut self, reading: &Reading<'_>, path: &Path, kind: Kind, absolute: &Path, diags: &mut Diagnostics) {
        match kind {
            Kind::Folder => self.read_folder(reading, path, absolute, diags),
            Kind::File { executable } => {
                let before = reading.options.lenient.then(|| self.clone());
                let mut found = Diagnostics::default();
                self.read_file(reading, path, executable, &Brought { file: Some(absolute.to_owned()) }, &mut found);
                // Half a source is worse than none: where mistakes do not stop the run, nothing of it counts.
                if let Some(before) = before.filter(|_| found.has_errors()) {
                    *self = before;
                }
                for diagnostic in found.into_vec() {
                    finding(reading, diagnostic, diags);
                }
            }
        }
    }

    fn read_folder(&mut self, reading: &Reading<'_>, folder: &Path, absolute: &Path, diags: &mut Diagnostics) {
        let names = match folder::list(folder) {
            Ok(names) => names,
            Err(error) => {
                finding(reading, Diagnostic::error("unreadable", format!("cannot read `{}`: {error}", folder.display())), diags);
                return;
            }
        };
        let ignored = ignored(reading.options, diags);
        let names: Vec<_> = names.iter().filter(|name| !ignored(name)).collect();
        if names.is_empty() && !reading.options.lenient {
            diags.push(Diagnostic::error("inventory-empty", format!("there is no inventory in the folder `{}`", folder.display())));
        }
        for name in names {
            let path = folder.join(name);
            if let Some(kind) = folder::kind(&path) {
                self.read_path(reading, &path, kind, &absolute.join(name), diags);
            }
        }
    }

    fn read_file(&mut self, reading: &Reading<'_>, path: &Path, executable: bool, brought: &Brought, diags: &mut Diagnostics) {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if executable && reading.loader.sources().starts_with(path, &[b"#!", b"\x7fELF"]) {
            script::read(self, reading, path, brought, diags);
            return;
        }
        let Some(source) = reading.loader.text(path, "the inventory", diags) else { return };
        match extension {
            Some("toml") => {
                let error =
                    Diagnostic::error("inventory-format", format!("cannot read `{}`: TOML inventories are not supported", path.display()));
                diags.push(error.help("write it as YAML: `ansible-inventory --list --export --yaml` converts it"));
            }
            Some("yml" | "yaml" | "json" | "config") => self.read_yaml(reading, path, source, brought, diags),
            None if looks_like_yaml(&reading.loader.sources().get(source).text) => self.read_yaml(reading, path, source, brought, diags),
            _ => ini::read(self, reading, source, brought, diags),
        }
    }

    fn read_yaml(&mut self, reading: &Reading<'_>, path: &Path, source: SourceId, brought: &Brought, diags: &mut Diagnostics) {
        let known = diags.iter().count();
        let Some(root) = yaml_text::parse_one(reading.loader.sources(), source, diags).filter(|root| root.kind != NodeKind::Null) else {
            if diags.iter().count() == known {
                diags.push(Diagnostic::error("inventory-empty", format!("inventory `{}` is empty", path.display())));
            }
            return;
        };
        match root.get("plugin") {
            None => yaml::read(self, reading, &root, brought, diags),
            Some(plugin) => {
                let name = plugin.as_str().unwrap_or_default();
                if reading.plugins.apply(name, &root, self, diags).is_none() {
                    let error = Diagnostic::error("inventory-plugin", format!("unknown inventory plugin `{name}`")).at(plugin.span, "");
                    diags.push(error.help(
                        "plugins are not run: name a script that prints JSON, or keep what `ansible-inventory --list --export --yaml` says in a file",
                    ));
                }
            }
        }
    }

    /// Adds a host, or variables to one that is known.
    pub(super) fn bring(&mut self, name: &Spanned<String>, brought: &Brought, vars: Variables) {
        let merging = self.merging;
        let host = self.host_entry(name);
        if host.source.is_none() {
            host.source.clone_from(&brought.file);
        }
        super::set_vars(&mut host.vars, vars, merging);
    }

    fn warn(&self, reading: &Reading<'_>, diags: &mut Diagnostics) {
        for group in self.groups.values().filter(|group| self.hosts.contains_key(&group.name)) {
            let warning = Diagnostic::warning("same-name", format!("found both group and host with same name: {}", group.name));
            diags.push(warning.at(group.span, "the group"));
        }
        let odd = |name: &&str| ![ALL].contains(name) && sanitized(name) != **name;
        let odd: Vec<_> = self.groups.keys().map(String::as_str).filter(odd).collect();
        if let (InvalidGroupChars::Never, Some(first)) = (reading.options.invalid_group_chars, odd.first()) {
            let message = "Invalid characters were found in group names but not replaced";
            let warning = Diagnostic::warning("group-name", message).help("group names may have letters, digits and `_`, as variables do");
            let span = self.group(first).map(|group| group.span).unwrap_or_default();
            diags.push(warning.at(span, format!("{} of {} groups", odd.len(), self.groups.len())));
        }
        if reading.renamed.get() && reading.options.invalid_group_chars == InvalidGroupChars::Always {
            diags.push(Diagnostic::warning("group-name", "Invalid characters were found in group names and automatically replaced"));
        }
    }
}

/// A mistake in a source, as grave as the options say.
fn finding(reading: &Reading<'_>, mut diagnostic: Diagnostic, diags: &mut Diagnostics) {
    if reading.options.lenient {
        diagnostic.severity = Severity::Warning;
    }
    diags.push(diagnostic);
}

/// Which names in a folder are no sources.
fn ignored(options: &Options, diags: &mut Diagnostics) -> impl Fn(&str) -> bool + use<> {
    const NEVER: [&str; 3] = ["group_vars", "host_vars", "vars_plugins"];
    let extensions = options.ignore_extensions.clone();
    let compile = |pattern: &String| Regex::new(pattern).map_err(|error| (pattern.clone(), error));
    let (patterns, broken): (Vec<_>, Vec<_>) = options.ignore_patterns.iter().map(compile).partition(Result::is_ok);
    for (pattern, error) in broken.into_iter().filter_map(Result::err) {
        diags.push(Diagnostic::error("setting", format!("`{pattern}` in `inventory_ignore_patterns` is no regular expression: {error}")));
    }
    let patterns: Vec<_> = patterns.into_iter().filter_map(Result::ok).collect();
    move |name| {
        name.starts_with('.')
            || NEVER.contains(&name)
            || extensions.iter().any(|extension| name.ends_with(extension.as_str()))
            || patterns.iter().any(|pattern| pattern.is_match(name).unwrap_or(false))
    }
}

/// Whether a text without a telling extension is YAML rather than INI: judged by its first line that says anything.
fn looks_like_yaml(text: &str) -> bool {
    let said = text.lines().map(str::trim_end).find(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', ';']));
    let Some(line) = said else { return false };
    let key = line.split_once(':').is_some_and(|(key, rest)| (rest.is_empty() || rest.starts_with(' ')) && !key.contains([' ', '=', '[']));
    line == "---" || line.starts_with(['{', '%']) || key
}
