//! [`Loader`]: files become playbooks, tasks, variables and roles.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Item, Level, Playbook, playbook, reader, task};
use crate::text::vault::{self, Vault};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Severity, SourceId, Sources, Span, Spanned, yaml};

/// Reads files of a playbook. A cheap handle.
#[derive(Clone, Debug)]
pub struct Loader {
    sources: Sources,
    vault: Arc<Vault>,
    duplicate_keys: DuplicateKeys,
}

/// What becomes of a key that a mapping has twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// A warning.
    #[default]
    Warned,
    /// An error.
    Refused,
    /// Nothing.
    Ignored,
}

/// Variables in the order written.
pub type Variables = Vec<(Spanned<String>, Node)>;

impl Loader {
    /// Keeps what it reads in `sources`; opens encrypted files with `vault`.
    pub fn new(sources: Sources, vault: Arc<Vault>) -> Self {
        Self { sources, vault, duplicate_keys: DuplicateKeys::default() }
    }

    /// The same with another opinion of duplicate keys.
    #[must_use]
    pub fn with_duplicate_keys(self, duplicate_keys: DuplicateKeys) -> Self {
        Self { duplicate_keys, ..self }
    }

    /// Every text read so far.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Reads a playbook: all of it that can be used, with every mistake in `diags`. `None` when the file cannot be read at all.
    pub fn playbook(&self, path: &Path, diags: &mut Diagnostics) -> Option<Playbook> {
        let id = self.read(path, "the playbook", None, diags)?;
        let Some(node) = self.parse(id, diags) else {
            if !diags.has_errors() {
                let message = format!("the playbook `{}` is empty", path.display());
                diags.push(Diagnostic::error("empty-playbook", message).at(Span::new(id, 0, 0), ""));
            }
            return None;
        };
        Some(Playbook { path: path.to_owned(), entries: playbook::entries(&node, &self.sources, diags) })
    }

    /// Reads a playbook that is there as `text`, and is shown as `name`.
    pub fn playbook_text(&self, name: &str, text: &str, diags: &mut Diagnostics) -> Option<Playbook> {
        let id = self.sources.add(name, text);
        let node = self.parse(id, diags)?;
        Some(Playbook { path: PathBuf::from(name), entries: playbook::entries(&node, &self.sources, diags) })
    }

    /// Reads a file of tasks (`Level::Task`) or handlers (`Level::Handler`). `wanted_at` is where the file is named, if it is named anywhere.
    pub fn tasks(&self, path: &Path, level: Level, wanted_at: Option<Span>, diags: &mut Diagnostics) -> Vec<Item> {
        let Some(id) = self.read(path, "the file of tasks", wanted_at, diags) else { return Vec::new() };
        let Some(node) = self.parse(id, diags) else { return Vec::new() };
        if !matches!(node.kind, NodeKind::Seq(_) | NodeKind::Null) {
            let message = format!("expected a list of tasks, found {}", node.describe());
            let words = "included task files must contain a list of tasks";
            diags.push(Diagnostic::error("no-tasks", message).at(node.span, "expected a list").ansible(words));
            return Vec::new();
        }
        task::items(&node, level, &self.sources, diags)
    }

    /// Reads tasks out of a value that is already there.
    pub fn tasks_of(&self, node: &Node, level: Level, diags: &mut Diagnostics) -> Vec<Item> {
        task::items(node, level, &self.sources, diags)
    }

    /// Reads a file of variables, YAML or JSON, encrypted or not.
    pub fn vars_file(&self, path: &Path, wanted_at: Option<Span>, diags: &mut Diagnostics) -> Variables {
        let Some(id) = self.read(path, "the file of variables", wanted_at, diags) else { return Vec::new() };
        let mut found = Diagnostics::default();
        let node = self.parse(id, &mut found);
        let json = path.extension().is_some_and(|ending| ending == "json");
        let broken = serde_json::from_str::<serde::de::IgnoredAny>(&self.sources.get(id).text).err().filter(|_| json);
        diags.extend(found.into_vec().into_iter().map(|diagnostic| match &broken {
            // A file is read as JSON first, and the complaint about that tells more.
            Some(error) => {
                let yaml = diagnostic.message.clone();
                diagnostic.ansible(format!(
                    "We were unable to read either as JSON nor YAML, these are the errors we got from each:\nJSON: {error}\n\n{yaml}"
                ))
            }
            None => diagnostic,
        }));
        let Some(node) = node else { return Vec::new() };
        if self.sources.get(id).secret {
            self.vault.secrets().hide_all(&node);
        }
        variables(&node, diags)
    }

    /// Reads any YAML file as one value.
    pub(super) fn value(&self, path: &Path, diags: &mut Diagnostics) -> Option<Node> {
        self.read(path, "the file", None, diags).and_then(|id| self.parse(id, diags))
    }

    /// The file as text, opened if it is encrypted.
    pub fn text(&self, path: &Path, what: &str, diags: &mut Diagnostics) -> Option<SourceId> {
        self.read(path, what, None, diags)
    }

    fn parse(&self, id: SourceId, diags: &mut Diagnostics) -> Option<Node> {
        let mut found = Diagnostics::default();
        let node = yaml::parse_one(&self.sources, id, &mut found);
        diags.extend(found.into_vec().into_iter().filter_map(|finding| match self.duplicate_keys {
            DuplicateKeys::Refused if finding.code == "duplicate-key" => Some(Diagnostic { severity: Severity::Error, ..finding }),
            DuplicateKeys::Ignored if finding.code == "duplicate-key" => None,
            _ => Some(finding),
        }));
        node
    }

    /// The file as text, opened if it is an envelope.
    fn read(&self, path: &Path, what: &str, wanted_at: Option<Span>, diags: &mut Diagnostics) -> Option<SourceId> {
        let fail = |code: &str, message: String| {
            let diagnostic = Diagnostic::error(code, message);
            match wanted_at {
                Some(span) => diagnostic.at(span, "wanted here"),
                None => diagnostic,
            }
        };
        let id = match self.sources.read(path) {
            Ok(id) => id,
            Err(error) => {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                    std::io::ErrorKind::InvalidData => format!("it is no UTF-8 text: {error}"),
                    _ => error.to_string(),
                };
                diags.push(fail("unreadable", format!("cannot read {what} `{}`: {reason}", path.display())));
                return None;
            }
        };
        let source = self.sources.get(id);
        if !vault::is_sealed(&source.text) {
            return Some(id);
        }
        let opened = self.vault.open(&source.text).map_err(|error| error.to_string());
        match opened.and_then(|plain| String::from_utf8(plain).map_err(|_| "what it holds is no UTF-8 text".to_owned())) {
            Ok(plain) => Some(self.sources.add_secret(path, plain)),
            Err(reason) => {
                diags.push(fail("vault", format!("cannot open the encrypted file `{}`: {reason}", path.display())));
                None
            }
        }
    }
}

/// What a file of variables holds. Names are not checked: Ansible reads any, though expressions can only name some.
fn variables(node: &Node, diags: &mut Diagnostics) -> Variables {
    match &node.kind {
        NodeKind::Null => Vec::new(),
        NodeKind::Map(entries) => {
            let named = |(key, value): &(Node, Node)| Some((Spanned::new(reader::scalar_text(key)?, key.span), value.clone()));
            entries.iter().filter_map(named).collect()
        }
        // Ansible takes a list of mappings in `vars_files`.
        NodeKind::Seq(items) if items.iter().all(|item| matches!(item.kind, NodeKind::Map(_))) => {
            items.iter().flat_map(|item| variables(item, diags)).collect()
        }
        _ => {
            diags.push(reader::wrong_type(node, "a file of variables", "a mapping"));
            Vec::new()
        }
    }
}

/// The first of `stem.yml`, `stem.yaml`, `stem.json` and `stem` in `directory` that is a file.
pub(super) fn find_file(directory: &Path, stem: &str) -> Option<PathBuf> {
    ["yml", "yaml", "json", ""].iter().find_map(|extension| {
        let name = if extension.is_empty() { stem.to_owned() } else { format!("{stem}.{extension}") };
        Some(directory.join(name)).filter(|path| path.is_file())
    })
}

/// `path` without `.` and `..`, as Ansible reads it: the folders that are left again need not be there.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}
