//! `group_vars/` and `host_vars/`, and the order in which everything written for a host overrides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fmt, iter};

use super::{ALL, Group, Host, Inventory, Variables};
use crate::model::Loader;
use crate::text::Diagnostics;
use crate::text::folder::{self, Kind};

/// Where variables of a host were written, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// An inventory source, for a group.
    Group,
    /// `group_vars/all` beside the inventory.
    InventoryAll,
    /// `group_vars/all` beside the playbook.
    PlaybookAll,
    /// Another of the `group_vars` beside the inventory.
    InventoryGroup,
    /// Another of the `group_vars` beside the playbook.
    PlaybookGroup,
    /// An inventory source, for the host.
    Host,
    /// `host_vars` beside the inventory.
    InventoryHost,
    /// `host_vars` beside the playbook.
    PlaybookHost,
}

/// Variables of a host, and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct VarsFrom {
    /// Where they were written.
    pub origin: Origin,
    /// The group or host they were written for.
    pub owner: String,
    /// The variables, shared by all hosts that have them.
    pub vars: Arc<Variables>,
}

/// A folder with `group_vars` and `host_vars` in it. A file is read when somebody asks for its group or host, and once.
///
/// That is not only cheap: a run on staging needs no password for what is encrypted for production.
pub struct VarsDir {
    loader: Loader,
    groups: HashMap<String, Written>,
    hosts: HashMap<String, Written>,
}

impl fmt::Debug for VarsDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VarsDir").field("groups", &self.groups.keys()).field("hosts", &self.hosts.keys()).finish_non_exhaustive()
    }
}

/// The files of one group or host.
#[derive(Debug, Default)]
struct Written {
    files: Vec<PathBuf>,
    vars: OnceLock<Arc<Variables>>,
}

impl VarsDir {
    /// Looks which groups and hosts have files in `folder`; reads none of them.
    pub fn open(loader: &Loader, folder: &Path) -> Self {
        let written = |name| written(&folder.join(name));
        Self { loader: loader.clone(), groups: written("group_vars"), hosts: written("host_vars") }
    }

    /// What is written for a group.
    pub fn group(&self, name: &str, diags: &mut Diagnostics) -> Option<Arc<Variables>> {
        self.read(self.groups.get(name)?, diags)
    }

    /// What is written for a host.
    pub fn host(&self, name: &str, diags: &mut Diagnostics) -> Option<Arc<Variables>> {
        self.read(self.hosts.get(name)?, diags)
    }

    fn read(&self, written: &Written, diags: &mut Diagnostics) -> Option<Arc<Variables>> {
        let read = || {
            let mut vars = Arc::default();
            for file in &written.files {
                super::set_vars(&mut vars, self.loader.vars_file(file, None, diags), false);
            }
            vars
        };
        Some(Arc::clone(written.vars.get_or_init(read))).filter(|vars| !vars.is_empty())
    }
}

/// In the order in which Ansible looks: the first that exists hides the others.
const EXTENSIONS: [&str; 4] = ["", ".yml", ".yaml", ".json"];

fn written(folder: &Path) -> HashMap<String, Written> {
    let names = folder::list(folder).unwrap_or_default();
    let mut found: HashMap<String, Written> = HashMap::new();
    for extension in EXTENSIONS {
        for name in &names {
            let Some(owner) = name.strip_suffix(extension).filter(|owner| !owner.is_empty()) else { continue };
            let path = folder.join(name);
            let files = match folder::kind(&path) {
                Some(Kind::Folder) if extension.is_empty() => files_below(&path, 0),
                Some(Kind::File { .. }) => vec![path],
                _ => continue,
            };
            found.entry(owner.to_owned()).or_insert(Written { files, vars: OnceLock::new() });
        }
    }
    found
}

/// The files of a folder and its folders, in the order of their names, without hidden ones and what editors leave behind.
fn files_below(folder: &Path, depth: u32) -> Vec<PathBuf> {
    const DEEPEST: u32 = 32;
    let names = folder::list(folder).unwrap_or_default();
    let visible = names.into_iter().filter(|name| !name.starts_with('.') && !name.ends_with('~'));
    let files = visible.flat_map(|name| {
        let path = folder.join(&name);
        match folder::kind(&path) {
            Some(Kind::Folder) if depth < DEEPEST => files_below(&path, depth + 1),
            Some(Kind::File { .. }) if EXTENSIONS.contains(&extension(&name)) => vec![path],
            _ => Vec::new(),
        }
    });
    files.collect()
}

/// The extension of a file name, with its dot.
fn extension(name: &str) -> &str {
    name.rfind('.').filter(|dot| *dot > 0).and_then(|dot| name.get(dot..)).unwrap_or_default()
}

impl Inventory {
    /// Everything that inventory sources, `group_vars` and `host_vars` say about a host, from the weakest to the strongest.
    ///
    /// `playbook` is what lies beside the playbook. Files are read on demand: what is wrong with them goes to `diags`, once.
    pub fn vars(&self, host: &Host, playbook: Option<&VarsDir>, diags: &mut Diagnostics) -> Vec<VarsFrom> {
        let groups: Vec<_> = self.groups_of(host).into_iter().map(|group| group.name.as_str()).collect();
        let inner = || groups.iter().copied().filter(|group| *group != ALL);
        let mut layers = Layers(Vec::new());
        for group in groups.iter().filter_map(|name| self.group(name)) {
            layers.add(Origin::Group, &group.name, Some(Arc::clone(&group.vars)));
        }
        for (only_all, inventory, beside_playbook) in
            [(true, Origin::InventoryAll, Origin::PlaybookAll), (false, Origin::InventoryGroup, Origin::PlaybookGroup)]
        {
            let of_group = |name: &&str| (*name == ALL) == only_all;
            for (origin, dir) in self.dirs(inventory, beside_playbook, playbook) {
                for group in iter::once(ALL).chain(inner()).filter(of_group) {
                    layers.add(origin, group, dir.group(group, diags));
                }
            }
        }
        layers.add(Origin::Host, &host.name, Some(Arc::clone(&host.vars)));
        for (origin, dir) in self.dirs(Origin::InventoryHost, Origin::PlaybookHost, playbook) {
            layers.add(origin, &host.name, dir.host(&host.name, diags));
        }
        layers.0
    }

    /// What sources and `group_vars` say about a group itself, from the weakest to the strongest.
    pub fn group_vars(&self, group: &Group, playbook: Option<&VarsDir>, diags: &mut Diagnostics) -> Vec<VarsFrom> {
        let mut layers = Layers(Vec::new());
        layers.add(Origin::Group, &group.name, Some(Arc::clone(&group.vars)));
        for (origin, dir) in self.dirs(Origin::InventoryGroup, Origin::PlaybookGroup, playbook) {
            layers.add(origin, &group.name, dir.group(&group.name, diags));
        }
        layers.0
    }

    fn dirs<'a>(
        &'a self,
        inventory: Origin,
        beside_playbook: Origin,
        playbook: Option<&'a VarsDir>,
    ) -> impl Iterator<Item = (Origin, &'a VarsDir)> {
        let beside = self.beside.iter().map(move |dir| (inventory, dir.as_ref()));
        beside.chain(playbook.map(move |dir| (beside_playbook, dir)))
    }
}

struct Layers(Vec<VarsFrom>);

impl Layers {
    fn add(&mut self, origin: Origin, owner: &str, vars: Option<Arc<Variables>>) {
        if let Some(vars) = vars.filter(|vars| !vars.is_empty()) {
            self.0.push(VarsFrom { origin, owner: owner.to_owned(), vars });
        }
    }
}
