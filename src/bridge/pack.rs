//! What a Python module needs on a host: the sources that it imports, found on the controller, in one archive.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::imports::{self, Import};
use super::{Unusable, zip};

/// Gives the module its parameters and starts it.
const MAIN: &str = include_str!("main.py");

/// The files of an archive.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    files: BTreeMap<String, Vec<u8>>,
}

impl Parts {
    /// As one archive.
    pub(super) fn archive(&self) -> Vec<u8> {
        let files = self.files.iter().map(|(name, content)| (name.as_str(), content.as_slice()));
        zip::archive(files).unwrap_or_default()
    }

    /// The texts of those that are no part of ansible-core.
    pub(super) fn of_collections(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().filter(|(name, _)| name.starts_with("ansible_collections/")).map(|(_, content)| content.as_slice())
    }

    /// The names in it.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }
}

/// Where sources are found.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots {
    /// Folders that are `ansible.module_utils`, the first that has a name wins; ansible-core's own is the last.
    pub(super) module_utils: Vec<PathBuf>,
    /// Folders that hold `ansible_collections`.
    pub(super) collections: Vec<PathBuf>,
    /// The version of ansible-core.
    pub(super) version: String,
}

/// A source that was found.
struct Found {
    path: PathBuf,
    /// It is the `__init__.py` of a package.
    package: bool,
}

/// Collects what the module at `path`, called `dotted` in Python, needs.
///
/// # Errors
/// It imports something that is not there.
pub(super) fn collect(path: &Path, dotted: &str, content: &[u8], roots: &Roots) -> Result<Parts, Unusable> {
    let mut packer = Packer { roots, parts: Parts::default(), waiting: VecDeque::new() };
    packer.parts.files.insert("__main__.py".to_owned(), MAIN.as_bytes().to_vec());
    let release = format!("__version__ = {:?}\n__author__ = 'Ansible, Inc.'\n", roots.version);
    packer.parts.files.insert("ansible/__init__.py".to_owned(), release.into_bytes());
    packer.add(dotted, &Found { path: path.to_owned(), package: false }, content.to_vec());
    if !packer.take("ansible.module_utils.basic") {
        let message = "the Python module cannot be packed: there is no `ansible.module_utils.basic` on the controller";
        return Err(Unusable::new(message, "install ansible-core on the controller (`pip install ansible-core`)").at(path, 1));
    }
    // Since 2.19 the form of parameters and results is a part that is chosen by its name at run time: no import names it.
    for part in ["_module_legacy_c2m", "_module_legacy_m2c", "_fallback_to_str", "_tagless"] {
        packer.take(&format!("ansible.module_utils._internal._json._profiles.{part}"));
    }
    while let Some((dotted, found)) = packer.waiting.pop_front() {
        let key = packer.key(&dotted, found.package);
        let source = packer.parts.files.get(&key).map(|content| String::from_utf8_lossy(content).into_owned()).unwrap_or_default();
        for import in imports::scan(&source) {
            packer.import(&dotted, &found, &import)?;
        }
    }
    Ok(packer.parts)
}

struct Packer<'a> {
    roots: &'a Roots,
    parts: Parts,
    waiting: VecDeque<(String, Found)>,
}

impl Packer<'_> {
    #[expect(clippy::unused_self, reason = "reads better beside its callers")]
    fn key(&self, dotted: &str, package: bool) -> String {
        let base = dotted.replace('.', "/");
        if package { format!("{base}/__init__.py") } else { format!("{base}.py") }
    }

    fn import(&mut self, importer: &str, found: &Found, import: &Import) -> Result<(), Unusable> {
        let Some(base) = absolute(importer, found.package, import) else { return Ok(()) };
        let whole = base == "ansible" && import.names.iter().any(|name| name == "module_utils");
        if !is_ours(&base) && !whole {
            return Ok(());
        }
        let mut taken = false;
        for name in &import.names {
            taken |= self.take(&format!("{base}.{name}"));
        }
        taken |= self.take_longest(&base);
        if taken || import.guarded || !names_a_part(&base) {
            return Ok(());
        }
        let message = format!("the module imports `{base}`, which is not on the controller");
        let help = "put it into `module_utils/` beside the playbook, or install the collection or the ansible-core that has it";
        Err(Unusable { broken: true, ..Unusable::new(message, help).at(&found.path, import.line) })
    }

    /// Takes `dotted`, or as much of its head as there is: the rest is made by Python at run time (`six.moves`).
    fn take_longest(&mut self, dotted: &str) -> bool {
        let mut name = dotted;
        loop {
            if names_a_part(name) && self.take(name) {
                return true;
            }
            match name.rsplit_once('.') {
                Some((head, _)) if is_ours(head) => name = head,
                _ => return false,
            }
        }
    }

    /// Takes one module, and the packages it is in.
    fn take(&mut self, dotted: &str) -> bool {
        if self.parts.files.contains_key(&self.key(dotted, false)) || self.parts.files.contains_key(&self.key(dotted, true)) {
            return true;
        }
        let Some(found) = self.find(dotted) else { return false };
        let Ok(content) = fs::read(&found.path) else { return false };
        self.add(dotted, &found, content);
        true
    }

    fn add(&mut self, dotted: &str, found: &Found, content: Vec<u8>) {
        self.parts.files.insert(self.key(dotted, found.package), content);
        self.waiting.push_back((dotted.to_owned(), Found { path: found.path.clone(), package: found.package }));
        let mut package = dotted;
        while let Some((parent, _)) = package.rsplit_once('.') {
            package = parent;
            let key = self.key(parent, true);
            if self.parts.files.contains_key(&key) {
                continue;
            }
            match self.find(parent).filter(|found| found.package) {
                Some(found) => {
                    let content = fs::read(&found.path).unwrap_or_default();
                    self.parts.files.insert(key, content);
                    self.waiting.push_back((parent.to_owned(), found));
                }
                None => drop(self.parts.files.insert(key, Vec::new())),
            }
        }
    }

    fn find(&self, dotted: &str) -> Option<Found> {
        let (folders, rest) = match dotted.strip_prefix("ansible.module_utils.") {
            Some(rest) => (&self.roots.module_utils, rest.to_owned()),
            None if dotted.starts_with("ansible_collections.") => (&self.roots.collections, dotted.to_owned()),
            None => return None,
        };
        let relative = rest.replace('.', "/");
        folders.iter().find_map(|folder| {
            let package = folder.join(&relative).join("__init__.py");
            let module = folder.join(format!("{relative}.py"));
            if package.is_file() {
                return Some(Found { path: package, package: true });
            }
            module.is_file().then_some(Found { path: module, package: false })
        })
    }
}

/// Whether a name belongs to what a bridge takes along.
fn is_ours(dotted: &str) -> bool {
    dotted == "ansible.module_utils" || dotted.starts_with("ansible.module_utils.") || dotted.starts_with("ansible_collections.")
}

/// Whether it names a source rather than only a folder of sources.
fn names_a_part(dotted: &str) -> bool {
    dotted.starts_with("ansible.module_utils.")
        || dotted
            .strip_prefix("ansible_collections.")
            .is_some_and(|rest| rest.split('.').count() > 4 && rest.contains(".plugins.module_utils."))
}

/// The name that an import means, read inside the module `importer`.
fn absolute(importer: &str, package: bool, import: &Import) -> Option<String> {
    if import.level == 0 {
        return Some(import.module.clone());
    }
    let mut parts: Vec<&str> = importer.split('.').collect();
    let up = import.level - usize::from(package);
    parts.truncate(parts.len().checked_sub(up)?);
    if !import.module.is_empty() {
        parts.push(&import.module);
    }
    Some(parts.join("."))
}
