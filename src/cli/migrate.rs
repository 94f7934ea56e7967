//! `rappel migrate`: what a repository that runs under Ansible needs, to run under rappel.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::options::{HostOptions, VariableOptions};
use super::prepare::Prepared;
use super::{Outcome, Stopped, output};
use crate::check::Subject;
use crate::check::fate::{self, Fate, Way};
use crate::event::{Exit, Finding};
use crate::plan::{Mistakes, Selection};
use crate::report::{findings, snippet};
use crate::run::MAGIC_NAMES;
use crate::text::{Diagnostic, Diagnostics, NodeKind, Severity, Sources, Span, yaml};

/// Folders in which no playbook is.
const NO_PLAYBOOKS: [&str; 11] =
    ["tasks", "handlers", "vars", "defaults", "meta", "templates", "files", "group_vars", "host_vars", "node_modules", "collections"];

/// Folders of plugins that rappel does not run, beside those whose use is found where they are used.
const PLUGINS: [&str; 6] =
    ["action_plugins", "callback_plugins", "connection_plugins", "strategy_plugins", "vars_plugins", "inventory_plugins"];

/// Where the roles and collections are named that a repository does not have itself.
const REQUIREMENTS: [&str; 5] =
    ["requirements.yml", "requirements.yaml", "roles/requirements.yml", "galaxy.yml", "collections/requirements.yml"];

/// How many places of one module are shown.
const PLACES: usize = 3;

/// Tells what a repository that runs under Ansible needs, to run under rappel
///
/// Reads all its playbooks, roles and task files, and touches no host: which tasks are rappel's own, which go over the bridge
/// (Ansible's own modules, run by Python on the host), and what must change. Ends with 1 where something must.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel migrate .
  rappel migrate ~/src/infrastructure -i inventories/production
  rappel migrate . --output json")]
pub(super) struct MigrateOptions {
    /// The repository
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    variables: VariableOptions,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A playbook, a role or a task file, and what becomes of it.
struct Part {
    kind: &'static str,
    name: String,
    own: usize,
    bridge: usize,
    late: usize,
    wrong: usize,
}

/// Everything about a repository.
#[derive(Default)]
struct Report {
    parts: Vec<Part>,
    /// Where each foreign module is used, and its file.
    bridge: BTreeMap<String, (PathBuf, Vec<String>)>,
    late: Vec<String>,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

/// Reads and tells.
pub(super) fn run(options: &MigrateOptions) -> Outcome {
    // Its `ansible.cfg`, roles and collections count, as for whoever works there.
    std::env::set_current_dir(&options.directory)
        .map_err(|error| Stopped::usage(format!("cannot read `{}`: {error}", options.directory.display())))?;
    let mut prepared = Prepared::new(&options.variables)?;
    let files = Files::find();
    if files.playbooks.is_empty() && files.roles.is_empty() {
        return Err(Stopped::usage(format!("`{}` has neither playbooks nor roles", options.directory.display())));
    }
    let report = examine(&mut prepared, &options.hosts, &files);
    let text = match options.output {
        Output::Text => report.text(&prepared),
        Output::Json => report.json(),
    };
    // `rappel migrate . | head` is no failure.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if report.findings.is_empty() { Exit::Success } else { Exit::Error })
}

fn examine(prepared: &mut Prepared, hosts: &HostOptions, files: &Files) -> Report {
    let mut report = Report { notes: files.plugins.clone(), ..Report::default() };
    // Ansible's own default is hardly ever there.
    let known = prepared.inventory_sources(hosts).iter().any(|source| source.contains(',') || Path::new(source).exists());
    let inventory = if known { prepared.inventory(hosts) } else { crate::model::Inventory::default() };
    let about_hosts = std::mem::take(&mut prepared.diags);
    let selection = Selection { only: vec!["all".to_owned(), "never".to_owned()], skip: Vec::new() };
    let extra = Arc::default();
    let compiler = prepared.compiler(Arc::new(selection), Arc::clone(&extra), Mistakes::BeforeRun);
    let folders = vec![prepared.folder.clone()];
    let subject = Subject { compiler: &compiler, inventory: &inventory, extra: &extra, atomic: false, magic: MAGIC_NAMES, folders };
    report.found(prepared, about_hosts);
    for path in &files.playbooks {
        let mut diags = Diagnostics::default();
        let plan = compiler.playbooks(std::slice::from_ref(path), &mut diags);
        let fates = fate::of_plan(&plan, &subject, &mut diags);
        report.add(prepared, "playbook", path, &fates, diags);
    }
    let mut read = Read::default();
    for folder in &files.roles {
        let tasks = whole(&folder.join("tasks"));
        if read.now(prepared).any(|known| known.starts_with(&tasks)) {
            continue;
        }
        let mut diags = Diagnostics::default();
        let fates = fate::of_role(&prepared.folder.join(folder), &subject, &mut diags);
        report.add(prepared, "role", folder, &fates, diags);
    }
    // What is included by a name that is a template.
    for path in &files.tasks {
        let file = whole(path);
        if read.now(prepared).any(|known| *known == file) {
            continue;
        }
        let (mut diags, handlers) = (Diagnostics::default(), path.parent().is_some_and(|folder| folder.ends_with("handlers")));
        let fates = fate::of_tasks(&prepared.folder.join(path), handlers, &subject, &mut diags);
        report.add(prepared, "tasks", path, &fates, diags);
    }
    let roles_are_missing = report.findings.iter().any(|finding| finding.diagnostic.code == "unknown-role");
    if let Some(wanted) = REQUIREMENTS.iter().find(|name| roles_are_missing && Path::new(name).is_file()) {
        report.notes.push(format!("roles are missing: `ansible-galaxy install -r {wanted}` brings those that are only named here"));
    }
    report
}

/// What there is in a repository; paths from its root.
#[derive(Default)]
struct Files {
    playbooks: Vec<PathBuf>,
    roles: Vec<PathBuf>,
    /// Files of tasks and handlers in roles.
    tasks: Vec<PathBuf>,
    plugins: Vec<String>,
}

impl Files {
    fn find() -> Self {
        let mut files = Self::default();
        files.look(Path::new(""));
        files
    }

    fn look(&mut self, folder: &Path) {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut entries: Vec<_> =
            std::fs::read_dir(here).into_iter().flatten().flatten().map(|entry| folder.join(entry.file_name())).collect();
        entries.sort();
        let is_role = ["tasks", "handlers"].iter().any(|part| main_file(&folder.join(part)));
        if is_role {
            self.roles.push(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() });
        }
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() || name.starts_with('.') {
                continue;
            }
            let no_playbooks = NO_PLAYBOOKS.contains(&name.as_str());
            if path.is_dir() {
                if is_role && ["tasks", "handlers"].contains(&name.as_str()) {
                    self.tasks.extend(crate::text::files_below(&path));
                }
                if PLUGINS.contains(&name.as_str()) {
                    self.note_plugins(&path);
                }
                if !no_playbooks {
                    self.look(&path);
                }
            } else if path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") && is_playbook(&path) {
                self.playbooks.push(path);
            }
        }
    }

    fn note_plugins(&mut self, folder: &Path) {
        let python = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "py") && !path.ends_with("__init__.py");
        let mut found: Vec<_> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(python).collect();
        found.sort();
        let kind = folder.file_name().unwrap_or_default().to_string_lossy().replace("_plugins", "");
        self.plugins.extend(found.iter().map(|path| format!("{}: {kind} plugins are written in Python, and not run", path.display())));
    }
}

fn main_file(folder: &Path) -> bool {
    ["main.yml", "main.yaml", "main"].iter().any(|name| folder.join(name).is_file())
}

/// A list whose entries name hosts, or other playbooks.
fn is_playbook(path: &Path) -> bool {
    let sources = Sources::default();
    let Ok(id) = sources.read(path) else { return false };
    let Some(node) = yaml::parse_one(&sources, id, &mut Diagnostics::default()) else { return false };
    let NodeKind::Seq(items) = &node.kind else { return false };
    let play = |item: &crate::text::Node| {
        ["hosts", "import_playbook", "ansible.builtin.import_playbook"].iter().any(|key| item.get(key).is_some())
    };
    !items.is_empty() && items.iter().all(play)
}

/// The files that were read, by their names: each is looked at once, however often it is asked.
#[derive(Default)]
struct Read(HashMap<PathBuf, PathBuf>);

impl Read {
    fn now(&mut self, prepared: &Prepared) -> impl Iterator<Item = &PathBuf> {
        for path in prepared.sources.paths() {
            self.0.entry(path).or_insert_with_key(|path| whole(path));
        }
        self.0.values()
    }
}

/// The path without links, so that two ways to a file are one.
fn whole(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// `file:line`, as people and editors write it.
fn place(prepared: &Prepared, span: Span) -> String {
    let position = prepared.sources.position(span);
    format!("{}:{}", prepared.named_from_here(&position.name), position.line)
}

impl Report {
    fn found(&mut self, prepared: &Prepared, diags: Diagnostics) -> usize {
        let new = findings_of(prepared, diags);
        let count = new.len();
        for finding in new {
            let same = |known: &Finding| known.diagnostic.message == finding.diagnostic.message && known.excerpts == finding.excerpts;
            if !self.findings.iter().any(same) {
                self.findings.push(finding);
            }
        }
        count
    }

    fn add(&mut self, prepared: &Prepared, kind: &'static str, path: &Path, fates: &[Fate], diags: Diagnostics) {
        let mut part = Part { kind, name: path.display().to_string(), own: 0, bridge: 0, late: 0, wrong: self.found(prepared, diags) };
        for Fate { module, span, way } in fates {
            let place = place(prepared, *span);
            match way {
                Way::Own => part.own += 1,
                Way::Bridge(file) => {
                    part.bridge += 1;
                    let (_, places) = self.bridge.entry(module.clone()).or_insert_with(|| (file.clone(), Vec::new()));
                    if !places.contains(&place) {
                        places.push(place);
                    }
                }
                Way::Late => {
                    part.late += 1;
                    if !self.late.contains(&place) {
                        self.late.push(place);
                    }
                }
            }
        }
        if kind != "tasks" || part.own + part.bridge + part.late + part.wrong > 0 {
            self.parts.push(part);
        }
    }

    fn text(&self, prepared: &Prepared) -> String {
        let mut text = String::new();
        let colored = output::look_of(0, &prepared.config).paint.0;
        for finding in &self.findings {
            line(&mut text, format_args!("{}\n", snippet::draw(finding, colored)));
        }
        let width = self.parts.iter().map(|part| part.name.len()).max().unwrap_or(0).max(8);
        line(&mut text, format_args!("{:<9} {:<width$}  {:>6}  {:>6}  {:>6}", "", "", "rappel", "bridge", "wrong"));
        for part in &self.parts {
            let Part { kind, name, own, bridge, late, wrong } = part;
            let late = if *late > 0 { format!("  {late} known only in the run") } else { String::new() };
            line(&mut text, format_args!("{kind:<9} {name:<width$}  {own:>6}  {bridge:>6}  {wrong:>6}{late}"));
        }
        if !self.bridge.is_empty() {
            line(&mut text, format_args!("\nOver the bridge, which needs Python on the hosts:"));
        }
        for (module, (file, places)) in &self.bridge {
            let more = if places.len() > PLACES { format!(" and {} more", places.len() - PLACES) } else { String::new() };
            let shown: Vec<_> = places.iter().take(PLACES).map(String::as_str).collect();
            line(
                &mut text,
                format_args!("  {module}  ({})\n      {}{more}", prepared.named_from_here(&file.display().to_string()), shown.join(", ")),
            );
        }
        for place in &self.late {
            line(&mut text, format_args!("{place}: the module's name is a template; the run will tell"));
        }
        for note in &self.notes {
            line(&mut text, format_args!("note: {note}"));
        }
        line(&mut text, format_args!("\n{}", self.verdict()));
        text
    }

    fn verdict(&self) -> String {
        let playbooks: Vec<_> = self.parts.iter().filter(|part| part.kind == "playbook").collect();
        let ready = playbooks.iter().filter(|part| part.wrong == 0).count();
        let bridge = if self.bridge.is_empty() { "" } else { ", some tasks over the bridge" };
        match self.findings.len() {
            0 => format!("everything can run as it is{bridge}; next: `rappel play --check --diff`"),
            1 => format!("{ready} of {} playbooks can run as they are{bridge}; one place must change", playbooks.len()),
            count => format!("{ready} of {} playbooks can run as they are{bridge}; {count} places must change", playbooks.len()),
        }
    }

    fn json(&self) -> String {
        let parts = self.parts.iter().map(|part| {
            json!({"kind": part.kind, "name": part.name, "rappel": part.own, "bridge": part.bridge, "late": part.late, "wrong": part.wrong})
        });
        let parts: Vec<_> = parts.collect();
        let bridge: Vec<_> =
            self.bridge.iter().map(|(module, (file, places))| json!({"module": module, "file": file, "places": places})).collect();
        let findings: Vec<_> = self.findings.iter().map(findings::plain).collect();
        let whole = json!({
            "version": 1, "verdict": self.verdict(), "parts": parts, "bridge": bridge, "late": self.late, "findings": findings, "notes": self.notes,
        });
        format!("{whole:#}\n")
    }
}

/// What stands in the way, with its lines.
fn findings_of(prepared: &Prepared, diags: Diagnostics) -> Vec<Finding> {
    let standing = diags.into_vec().into_iter().filter(fate::stands_in_the_way);
    // Where rappel lacks something, it does not matter whether the task surely runs.
    let mut found: Vec<_> = standing.map(|finding| Diagnostic { severity: Severity::Error, ..finding }).collect();
    // Of two that say the same, the one that also helps is kept, and of those the later one, which knows more.
    found.reverse();
    found.sort_by_key(|finding| (finding.labels.first().map(|(span, _)| *span), finding.help.is_none()));
    found.dedup_by(|one, other| one.message == other.message && one.labels.first() == other.labels.first());
    found.into_iter().map(|diagnostic| prepared.seen_from_here(Finding::new(diagnostic, &prepared.sources))).collect()
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}
