//! [`Library`]: where modules that are not rappel's own are looked for.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::pack::{self, Roots};
use super::routing::{self, Routes};
use super::{Foreign, Style, Unusable, shebang};

/// What the environment and the configuration say about places.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Folders of modules: `ANSIBLE_LIBRARY`, `library` of `ansible.cfg`, `--module-path`.
    pub modules: Vec<PathBuf>,
    /// Folders of `module_utils`: `ANSIBLE_MODULE_UTILS`, `module_utils` of `ansible.cfg`.
    pub module_utils: Vec<PathBuf>,
    /// Folders that hold `ansible_collections`.
    pub collections: Vec<PathBuf>,
    /// Folders that Python would import from: `PYTHONPATH`.
    pub python: Vec<PathBuf>,
    /// Folders of programs, `PATH`: an `ansible` there has its library near.
    pub programs: Vec<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Modules that may not be used, and the file that says so (`plugin_filters_cfg`).
    pub rejected: Option<(PathBuf, Vec<String>)>,
}

/// Who looks for a module: what stands before the common places.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Directories that may have `library/`, `module_utils/` and `action_plugins/`: the playbook's, then those of the roles so far.
    pub folders: Vec<PathBuf>,
    /// Collections in which a short name is looked up: `collections:`.
    pub collections: Vec<String>,
}

/// Finds modules, and remembers what it found.
#[derive(Debug, Default)]
pub struct Library {
    places: Places,
    /// What a folder has, by the names without their endings.
    folders: Mutex<HashMap<PathBuf, Arc<HashMap<String, PathBuf>>>>,
    loaded: Mutex<HashMap<PathBuf, Result<Arc<Foreign>, Unusable>>>,
    /// What a `runtime.yml` says.
    routes: Mutex<HashMap<PathBuf, Arc<Routes>>>,
    /// Roles that have modules or parts of them, in the order they were met: from then on they are everybody's, as in Ansible.
    roles: Mutex<Vec<PathBuf>>,
    pub(super) core: OnceLock<Option<Core>>,
}

/// An ansible-core on the controller.
#[derive(Clone, Debug)]
pub(super) struct Core {
    /// Its package.
    path: PathBuf,
    version: String,
}

/// Collections whose modules are also ansible-core's own.
const BUILTIN: [&str; 2] = ["ansible.builtin.", "ansible.legacy."];

/// Modules of ansible-core that also do their work when they are called without their action plugin.
const WORKS_ALONE: [&str; 5] = ["dnf", "package", "service", "uri", "gather_facts"];

impl Library {
    /// Looks in `places`.
    pub fn new(places: Places) -> Self {
        Self { places, ..Self::default() }
    }

    /// A role was met: what it brings can be used from now on.
    pub fn met(&self, role: &Path) {
        let brings = ["library", "module_utils", "action_plugins"].iter().any(|folder| role.join(folder).is_dir());
        let mut roles = lock(&self.roles);
        if brings && !roles.iter().any(|known| known == role) {
            roles.push(role.to_owned());
        }
    }

    /// Who looks, from a play of the directory `dir`.
    pub fn origin(&self, dir: &Path, collections: &[String]) -> Origin {
        let folders = std::iter::once(dir.to_owned()).chain(lock(&self.roles).iter().cloned()).collect();
        Origin { folders, collections: collections.to_vec() }
    }

    /// Refuses modules that the configuration forbids.
    ///
    /// # Errors
    /// `name` is one of them.
    pub fn permit(&self, name: &str) -> Result<(), Unusable> {
        let short = BUILTIN.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        let Some((file, names)) = &self.places.rejected else { return Ok(()) };
        if names.iter().any(|rejected| rejected == short) {
            let message = format!("module `{short}` may not be used here: it is in the reject list `{}`", file.display());
            return Err(Unusable::new(message, "use another module, or take it off `module_rejectlist`"));
        }
        Ok(())
    }

    /// The module `name` of the project itself: in `library/` beside the playbook or in a role, or where `ANSIBLE_LIBRARY` says. It
    /// goes before one of the same name that comes with rappel.
    ///
    /// # Errors
    /// It is there and cannot be used.
    pub fn project(&self, name: &str, origin: &Origin) -> Result<Option<Arc<Foreign>>, Unusable> {
        let short = name.strip_prefix("ansible.legacy.").unwrap_or(name);
        if short.contains('.') {
            return Ok(None);
        }
        let own = origin.folders.iter().map(|folder| folder.join("library"));
        let found = own.chain(self.places.modules.iter().cloned()).find_map(|folder| self.listed(&folder).get(short).cloned());
        found.map(|path| self.load(&path, short, &format!("ansible.modules.{short}"), origin)).transpose()
    }

    /// The module `name` of a collection or of the installed ansible-core.
    ///
    /// # Errors
    /// It is there and cannot be used.
    pub fn installed(&self, name: &str, origin: &Origin) -> Result<Option<Arc<Foreign>>, Unusable> {
        if let Some(short) = BUILTIN.iter().find_map(|prefix| name.strip_prefix(prefix)).or((!name.contains('.')).then_some(name)) {
            let own = name == short;
            let in_collection =
                || origin.collections.iter().find_map(|collection| self.in_collection(&format!("{collection}.{short}"), origin));
            if let Some(found) = own.then(in_collection).flatten() {
                return found.map(Some);
            }
            if let Some(found) = self.in_core(short, origin)? {
                return Ok(Some(found));
            }
            let moved = self.core().and_then(|core| self.routes(&core.path.join("config/ansible_builtin_runtime.yml")).get(short).cloned());
            return moved.and_then(|name| self.in_collection(&name, origin)).transpose();
        }
        self.in_collection(name, origin).transpose()
    }

    /// Where a plugin of Python stands that `name` would need: rappel cannot run it.
    pub fn plugin(&self, kind: &str, name: &str, origin: &Origin) -> Option<PathBuf> {
        origin.folders.iter().find_map(|folder| self.listed(&folder.join(kind)).get(name).cloned())
    }

    /// Whether there is an ansible-core on the controller.
    pub fn has_core(&self) -> bool {
        self.core().is_some()
    }

    fn in_core(&self, short: &str, origin: &Origin) -> Result<Option<Arc<Foreign>>, Unusable> {
        let Some(core) = self.core() else { return Ok(None) };
        let Some(path) = self.listed(&core.path.join("modules")).get(short).cloned() else { return Ok(None) };
        let action = core.path.join("plugins/action").join(format!("{short}.py"));
        if action.is_file() && !WORKS_ALONE.contains(&short) {
            return Err(needs_action(short, &action));
        }
        self.load(&path, short, &format!("ansible.modules.{short}"), origin).map(Some)
    }

    fn routes(&self, file: &Path) -> Arc<Routes> {
        if let Some(known) = lock(&self.routes).get(file) {
            return known.clone();
        }
        let routes = Arc::new(routing::read(file));
        lock(&self.routes).insert(file.to_owned(), routes.clone());
        routes
    }

    /// The module `name` of a collection, or the one that it has become.
    fn in_collection(&self, name: &str, origin: &Origin) -> Option<Result<Arc<Foreign>, Unusable>> {
        let mut name = name.to_owned();
        for _ in 0..routing::LONGEST {
            match self.moved(&name, origin) {
                Some(new) => name = new,
                None => return self.of_collection(&name, origin),
            }
        }
        None
    }

    /// What the collection of the module `name` calls it now, if that is another name.
    fn moved(&self, name: &str, origin: &Origin) -> Option<String> {
        let mut parts = name.splitn(3, '.');
        let (namespace, collection, short) = (parts.next()?, parts.next()?, parts.next()?);
        let file = |root: &PathBuf| root.join("ansible_collections").join(namespace).join(collection).join("meta/runtime.yml");
        let file = self.collection_roots(origin).iter().map(file).find(|file| file.is_file())?;
        self.routes(&file).get(short).cloned()
    }

    /// `namespace.collection.module`, or a module in a folder of it.
    fn of_collection(&self, name: &str, origin: &Origin) -> Option<Result<Arc<Foreign>, Unusable>> {
        let mut parts = name.split('.');
        let (namespace, collection) = (parts.next()?, parts.next()?);
        let rest: Vec<&str> = parts.collect();
        let (short, folders) = rest.split_last()?;
        for root in self.collection_roots(origin) {
            let plugins = root.join("ansible_collections").join(namespace).join(collection).join("plugins");
            let folder = folders.iter().fold(plugins.join("modules"), |folder, name| folder.join(name));
            let Some(path) = self.listed(&folder).get(*short).cloned() else { continue };
            let action = plugins.join("action").join(format!("{short}.py"));
            if action.is_file() {
                return Some(Err(needs_action(name, &action)));
            }
            let dotted = format!("ansible_collections.{namespace}.{collection}.plugins.modules.{}", rest.join("."));
            return Some(self.load(&path, name, &dotted, origin));
        }
        None
    }

    fn load(&self, path: &Path, name: &str, dotted: &str, origin: &Origin) -> Result<Arc<Foreign>, Unusable> {
        if let Some(known) = lock(&self.loaded).get(path) {
            return known.clone();
        }
        let loaded = self.read(path, name, dotted, origin).map(Arc::new);
        lock(&self.loaded).insert(path.to_owned(), loaded.clone());
        loaded
    }

    fn read(&self, path: &Path, name: &str, dotted: &str, origin: &Origin) -> Result<Foreign, Unusable> {
        let content = fs::read(path).map_err(|error| {
            Unusable::new(format!("the module `{name}` cannot be read: {error}"), "see to it that rappel may read the file").at(path, 1)
        })?;
        let style = Style::of(&content);
        let shebang = shebang(&content);
        if path.extension().is_some_and(|extension| extension == "ps1") {
            let message = format!("the module `{name}` is PowerShell, for Windows hosts");
            return Err(Unusable::new(message, "rappel manages hosts with Linux").at(path, 1));
        }
        if shebang.is_none() && !matches!(style, Style::Binary | Style::Python) {
            let message = format!("the module `{name}` does not say which program runs it");
            return Err(Unusable::new(message, "start it with a line like `#!/usr/bin/python`").at(path, 1));
        }
        let version = self.core().map(|core| core.version.clone()).unwrap_or_default();
        let mut parts = pack::Parts::default();
        if style == Style::Python {
            let Some(core) = self.core() else {
                let message = format!("the module `{name}` imports `ansible.module_utils`, and there is no ansible-core on the controller");
                return Err(Unusable::new(message, "`pip install ansible-core`, or set PYTHONPATH to where it is").at(path, 1));
            };
            let own = origin.folders.iter().map(|folder| folder.join("module_utils"));
            let module_utils = own.chain(self.places.module_utils.iter().cloned()).chain([core.path.join("module_utils")]).collect();
            let roots = Roots { module_utils, collections: self.collection_roots(origin), version: core.version.clone() };
            parts = pack::collect(path, dotted, &content, &roots)?;
        }
        let dotted = dotted.to_owned();
        Ok(Foreign {
            name: name.to_owned(),
            dotted,
            path: path.to_owned(),
            style,
            shebang,
            version,
            payload: OnceLock::new(),
            content,
            parts,
        })
    }

    fn collection_roots(&self, origin: &Origin) -> Vec<PathBuf> {
        let beside = origin.folders.iter().map(|folder| folder.join("collections"));
        let with_core = self.core().and_then(|core| core.path.parent().map(Path::to_owned));
        beside.chain(self.places.collections.iter().cloned()).chain(with_core).collect()
    }

    fn listed(&self, folder: &Path) -> Arc<HashMap<String, PathBuf>> {
        if let Some(known) = lock(&self.folders).get(folder) {
            return known.clone();
        }
        let listed = Arc::new(list(folder));
        lock(&self.folders).insert(folder.to_owned(), listed.clone());
        listed
    }

    fn core(&self) -> Option<&Core> {
        self.core.get_or_init(|| self.places.packages().into_iter().find_map(|folder| core_in(&folder))).as_ref()
    }
}

fn needs_action(name: &str, action: &Path) -> Unusable {
    let message = format!("module `{name}` does its work in an action plugin of Python on the controller, which rappel cannot run");
    Unusable::new(message, "use a module that rappel has: `rappel doc` lists them").at(action, 1)
}

fn core_in(folder: &Path) -> Option<Core> {
    let path = folder.join("ansible");
    if !path.join("module_utils/basic.py").is_file() {
        return None;
    }
    let release = fs::read_to_string(path.join("release.py")).unwrap_or_default();
    let version = release.lines().find_map(|line| line.strip_prefix("__version__")?.trim_start().strip_prefix('='));
    let version = version.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned();
    Some(Core { path, version })
}

/// The modules in a folder and, as in Ansible, in the folders below it.
fn list(folder: &Path) -> HashMap<String, PathBuf> {
    const NO_MODULES: [&str; 13] = ["pyc", "pyo", "swp", "bak", "rpm", "md", "txt", "rst", "yaml", "yml", "ini", "toml", "orig"];
    let mut found = HashMap::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) || name.ends_with('~') || NO_MODULES.contains(&ending.as_str()) {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let python = ending == "py";
        let known = found.entry(stem).or_insert_with(|| path.clone());
        if python {
            *known = path;
        }
    }
    for path in folders.iter().filter(|path| path.file_name().is_some_and(|name| name != "__pycache__")) {
        for (name, path) in list(path) {
            found.entry(name).or_insert(path);
        }
    }
    found
}

impl Places {
    /// Folders of Python packages that may have ansible-core, the likeliest first.
    fn packages(&self) -> Vec<PathBuf> {
        let mut folders = self.python.clone();
        for program in ["ansible-config", "ansible", "ansible-playbook", "python3"] {
            for path in self.programs.iter().map(|folder| folder.join(program)) {
                // Both where the link is and where it leads: of a virtual environment and of pipx.
                let places = [Some(path.clone()).filter(|path| path.exists()), fs::canonicalize(&path).ok()];
                let prefixes = places.into_iter().flatten().filter_map(|path| Some(path.parent()?.parent()?.to_owned()));
                folders.extend(prefixes.flat_map(|prefix| versions(&prefix.join("lib"))));
            }
        }
        for prefix in ["/usr/local", "/usr"] {
            folders.extend(versions(&Path::new(prefix).join("lib")));
        }
        folders.push(PathBuf::from("/usr/lib/python3/dist-packages"));
        if let Some(home) = &self.home {
            folders.extend(versions(&home.join(".local/lib")));
            for name in ["ansible-core", "ansible"] {
                folders.extend(versions(&home.join(".local/share/pipx/venvs").join(name).join("lib")));
            }
        }
        folders
    }
}

/// `python3.*/site-packages` and its like below `lib`.
fn versions(lib: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(lib).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut pythons: Vec<PathBuf> =
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3"))).collect();
    pythons.sort();
    pythons.iter().rev().flat_map(|python| [python.join("site-packages"), python.join("dist-packages")]).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
