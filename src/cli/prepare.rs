//! From options, `ansible.cfg` and the environment to what a run works with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::inventory::constructed::Constructed;
use super::options::{ConnectionOptions, HostOptions, PrivilegeOptions, VariableOptions};
use super::settings::{Mismatch, Process, Settings};
use super::{Stopped, caused, scripts, vault};
use crate::bridge::{Library, Places};
use crate::event::Finding;
use crate::model::inventory::{self, Reading};
use crate::model::{DuplicateKeys, Inventory, Loader, Pattern};
use crate::plan::{Compiler, Mistakes, Selection, Vars};
use crate::run::{self, Gathering, Inputs, Prompter, WorldLookups};
use crate::ssh::{Connector, ConnectorOptions, Secret};
use crate::template::{Manner, Templar, from_wire};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Sources, Span, Spanned, Vault, yaml};

/// Everything that is read before a run, whatever runs.
pub(super) struct Prepared {
    pub(super) config: Settings,
    pub(super) sources: Sources,
    pub(super) vault: Arc<Vault>,
    pub(super) loader: Arc<Loader>,
    pub(super) templar: Templar,
    pub(super) folder: PathBuf,
    pub(super) diags: Diagnostics,
    /// `-e` as given, for inventories that use it.
    given: Vec<String>,
}

impl Prepared {
    /// Reads the configuration and opens vault passwords.
    pub(super) fn new(variables: &VariableOptions) -> Result<Self, Stopped> {
        let folder = std::env::current_dir().map_err(|error| Stopped::error(format!("there is no working directory: {error}")))?;
        let sources = Sources::default();
        let mut diags = Diagnostics::default();
        let config = Settings::load(&sources, &Process, &folder, &mut diags);
        let vault = vault::collect(&variables.vault, &config, &vault::Terminal, vault::Purpose::Open);
        let vault = Arc::new(vault.map_err(|error| Stopped::error(caused(&error)))?);
        let loader = Arc::new(Loader::new(sources.clone(), vault.clone()).with_duplicate_keys(match config.duplicate_dict_key {
            Mismatch::Warning => DuplicateKeys::Warned,
            Mismatch::Error => DuplicateKeys::Refused,
            Mismatch::Ignore => DuplicateKeys::Ignored,
        }));
        let lookups = Arc::new(WorldLookups::new(sources.clone(), vault.clone(), config.named()));
        let manner = Manner { truthy_conditions: config.allow_broken_conditionals, ..Manner::default() };
        let templar = Templar::new(sources.clone(), vault.clone(), lookups).with_manner(manner);
        Ok(Self { config, sources, vault, loader, templar, folder, diags, given: variables.extra_vars.clone() })
    }

    /// The same for another run, without asking for passwords again.
    pub(super) fn again(&self) -> Self {
        let Self { config, sources, vault, loader, templar, folder, given, .. } = self;
        Self {
            config: config.clone(),
            sources: sources.clone(),
            vault: vault.clone(),
            loader: loader.clone(),
            templar: templar.clone(),
            folder: folder.clone(),
            diags: Diagnostics::default(),
            given: given.clone(),
        }
    }

    /// The sources of hosts: those named, or those of the configuration.
    pub(super) fn inventory_sources(&self, hosts: &HostOptions) -> Vec<String> {
        if hosts.inventory.is_empty() { self.config.inventory.0.clone() } else { hosts.inventory.clone() }
    }

    /// Reads the hosts.
    pub(super) fn inventory(&mut self, hosts: &HostOptions) -> Inventory {
        let wanted = self.inventory_sources(hosts);
        let options = super::inventory::reading_options(&self.config);
        let extra = self.extra_of_inventory();
        load_inventory(&self.loader, &self.folder, &options, &wanted, (&self.templar, &extra), &mut self.diags)
    }

    /// `-e`, for inventories that use it; what is wrong with it is told elsewhere.
    fn extra_of_inventory(&self) -> Vars {
        let given = self.given.clone();
        self.again().extra(&given)
    }

    /// `-e`.
    pub(super) fn extra(&mut self, given: &[String]) -> Vars {
        let mut vars = Vars::new();
        for text in given {
            let (text, name) = match text.strip_prefix('@') {
                Some(file) => (None, file.to_owned()),
                None => (Some(text.clone()), "-e".to_owned()),
            };
            match text {
                None => {
                    let entries = self.loader.vars_file(&self.folder.join(&name), None, &mut self.diags);
                    vars.extend(compile(&self.templar, &entries, &mut self.diags));
                }
                Some(text) if text.trim_start().starts_with(['{', '[']) => {
                    let id = self.sources.add(name, text);
                    let node = yaml::parse_one(&self.sources, id, &mut self.diags);
                    match node.map(|node| node.kind) {
                        Some(NodeKind::Map(entries)) => {
                            let entries: Vec<_> = entries
                                .into_iter()
                                .filter_map(|(key, value)| Some((Spanned::new(key.as_str()?.to_owned(), key.span), value)))
                                .collect();
                            vars.extend(compile(&self.templar, &entries, &mut self.diags));
                        }
                        _ => {
                            self.diags.push(Diagnostic::error("extra-vars", "expected a mapping of variables").at(Span::new(id, 0, 0), ""));
                        }
                    }
                }
                Some(text) => {
                    let id = self.sources.add(name, text.clone());
                    match crate::model::pairs(&text, id, self.templar.manner().late) {
                        Ok(pairs) => vars.extend(compile(&self.templar, &pairs, &mut self.diags)),
                        Err(diagnostic) => self.diags.push(diagnostic),
                    }
                }
            }
        }
        vars
    }

    /// A file's name as paths in a repository are written: from the working directory.
    pub(super) fn named_from_here(&self, name: &str) -> String {
        Path::new(name).strip_prefix(&self.folder).ok().and_then(Path::to_str).unwrap_or(name).to_owned()
    }

    /// A finding whose files are named from the working directory: code scanning and people look for them from there.
    pub(super) fn seen_from_here(&self, mut finding: Finding) -> Finding {
        for excerpt in &mut finding.excerpts {
            excerpt.position.name = self.named_from_here(&excerpt.position.name);
        }
        finding
    }

    /// What stands at `span`, as it is written.
    pub(super) fn text(&self, span: Span) -> String {
        let source = self.sources.get(span.source);
        source.text.get(span.start as usize..span.end as usize).unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    }

    /// The compiler of playbooks.
    pub(super) fn compiler(&mut self, selection: Arc<Selection>, extra: Arc<Vars>, mistakes: Mistakes) -> Compiler {
        let places = self.places();
        if let Some((file, _)) = places.rejected.as_ref().filter(|(_, names)| names.iter().any(|name| name == "stat")) {
            // Ansible's words, which people look for.
            let message = format!(
                "The stat module was specified in the module reject list file, {}, but Ansible will not function without the stat module.  \
                 Please remove stat from the reject list.",
                file.display()
            );
            self.diags.push(Diagnostic::error("rejected-stat", message));
        }
        let mut collection_paths = self.config.collections_path.clone();
        collection_paths.insert(0, self.folder.clone());
        Compiler {
            templar: self.templar.clone().with_manner(Manner { check_names: mistakes == Mistakes::BeforeRun, ..self.templar.manner() }),
            loader: self.loader.clone(),
            actions: run::action::ACTIONS,
            selection,
            extra,
            roles_path: Arc::new(self.config.roles_path.clone()),
            collection_paths: Arc::new(collection_paths),
            mistakes,
            library: Arc::new(Library::new(places)),
            private_roles: self.config.private_role_vars,
        }
    }

    /// Where modules may be that are not rappel's own.
    fn places(&self) -> Places {
        let paths = |variable: &str| std::env::var_os(variable).iter().flat_map(std::env::split_paths).collect();
        Places {
            modules: self.config.library.clone(),
            module_utils: self.config.module_utils.clone(),
            collections: self.config.collections_path.clone(),
            python: paths("PYTHONPATH"),
            programs: paths("PATH"),
            home: std::env::home_dir(),
            rejected: self.rejected(),
        }
    }

    /// The modules that `plugin_filters_cfg` forbids.
    fn rejected(&self) -> Option<(PathBuf, Vec<String>)> {
        let file = self.config.plugin_filters.clone().unwrap_or_else(|| PathBuf::from("/etc/ansible/plugin_filters.yml"));
        let id = self.sources.read(&file).ok()?;
        let node = yaml::parse_one(&self.sources, id, &mut Diagnostics::default())?;
        let list = node.get("module_rejectlist").or_else(|| node.get("module_blacklist"))?;
        let NodeKind::Seq(items) = &list.kind else { return None };
        Some((file, items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()))
    }

    /// Settings of a run.
    pub(super) fn settings(&self, connection: &ConnectionOptions, privilege: &PrivilegeOptions) -> Result<run::Settings, Stopped> {
        let config = &self.config;
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let default = run::Settings::default();
        let named_forks = std::env::var_os("ANSIBLE_FORKS").is_some() || config.forks != 5;
        let forks = connection.forks.or(named_forks.then_some(config.forks as usize)).unwrap_or(default.forks);
        Ok(run::Settings {
            forks,
            diff: config.diff_always,
            force_handlers: config.force_handlers,
            no_log: config.no_log,
            error_on_missing_handler: config.error_on_missing_handler,
            strategy: config.strategy.clone(),
            any_errors_fatal: config.any_errors_fatal,
            merge_hashes: config.hash_behaviour == "merge",
            gathering: match config.gathering.as_str() {
                "explicit" => Gathering::Explicit,
                "smart" => Gathering::Smart,
                _ => Gathering::Implicit,
            },
            unmatched: match config.host_pattern_mismatch {
                Mismatch::Warning => run::Unmatched::Warned,
                Mismatch::Error => run::Unmatched::Fatal,
                Mismatch::Ignore => run::Unmatched::Ignored,
            },
            inject_facts: config.inject_facts_as_vars,
            fact_cache: config.fact_cache().map_err(Stopped::error)?,
            roles_path: config.roles_path.clone(),
            config_file: config.file.clone(),
            task_timeout: config.task_timeout,
            python_open_files: config.python_open_files,
            python_interpreter: set(&config.python_interpreter),
            connection: run::ConnectionDefaults {
                connection: connection.connection.clone().or_else(|| set(&config.transport)),
                user: connection.user.clone().or_else(|| config.remote_user.clone()),
                private_key: connection.private_key.clone().or_else(|| config.private_key_file.clone()),
                password: super::passwords::login(connection, config)?.map(Secret::new),
                timeout: Some(Duration::from_secs(connection.timeout.unwrap_or(config.timeout.into()))),
                common_args: connection.ssh_common_args.clone().or_else(|| set(&config.ssh_common_args)),
                extra_args: connection.ssh_extra_args.clone().or_else(|| set(&config.ssh_extra_args)),
                ssh_args: set(&config.ssh_args),
                host_key_checking: connection.host_key_checking.or(Some(config.host_key_checking)),
                privileged: privilege.r#become || config.privilege,
                become_user: privilege.become_user.clone().or_else(|| set(&config.privilege_user)),
                become_method: privilege.become_method.clone().or_else(|| set(&config.privilege_method)),
                become_flags: set(&config.privilege_flags),
                become_exe: config.privilege_exe.clone(),
                become_password: super::passwords::privilege(privilege, config)?.map(Secret::new),
                port: config.remote_port,
            },
            ..default
        })
    }

    /// What the run works with.
    pub(super) fn inputs(
        self,
        inventory: Inventory,
        compiler: Compiler,
        hosts: &HostOptions,
        cancel: CancellationToken,
        stop: CancellationToken,
    ) -> Inputs {
        let wanted = self.inventory_sources(hosts);
        let (loader, folder, templar, extra) = (self.loader.clone(), self.folder.clone(), self.templar.clone(), self.extra_of_inventory());
        let options = super::inventory::reading_options(&self.config);
        let reload = move || {
            let mut diags = Diagnostics::default();
            let inventory = load_inventory(&loader, &folder, &options, &wanted, (&templar, &extra), &mut diags);
            (!diags.has_errors()).then_some(inventory)
        };
        Inputs {
            sources: self.sources,
            vault: self.vault,
            loader: self.loader,
            templar: self.templar,
            compiler,
            inventory,
            reload: Arc::new(reload),
            fleet: Arc::new(run::Fleet::new(connector())),
            prompter: super::passwords::terminal().map(|terminal| Arc::new(terminal) as Arc<dyn Prompter>),
            cancel,
            stop,
        }
    }
}

/// Makes connections as the environment says.
pub(super) fn connector() -> Connector {
    Connector::new(ConnectorOptions { agent: std::env::var_os("RAPPEL_AGENT").map(PathBuf::from), ..ConnectorOptions::default() })
}

fn load_inventory(
    loader: &Loader,
    folder: &Path,
    options: &inventory::Options,
    wanted: &[String],
    (templar, extra): (&Templar, &Vars),
    diags: &mut Diagnostics,
) -> Inventory {
    let plugins = Constructed { templar, extra };
    let reading = Reading { loader, scripts: &scripts::Programs, plugins: &plugins, folder, options, renamed: std::cell::Cell::default() };
    Inventory::load(&reading, wanted, diags)
}

/// `--limit` must leave at least one of the hosts there are.
///
/// # Errors
/// It does not, or it cannot be read.
pub(super) fn check_limit(limit: &str, inventory: &Inventory, sources: &Sources) -> Result<(), Stopped> {
    let limit = Pattern::limit(sources, limit).map_err(|found| Stopped::error(found.message))?;
    let all = Pattern::parse(&[Spanned::new("all".to_owned(), Span::default())]);
    let all_and_local = [all, Pattern::parse(&[Spanned::new("localhost".to_owned(), Span::default())])];
    let mut hosts = all_and_local.iter().flat_map(|pattern| inventory.select(pattern, Some(&limit), &mut Diagnostics::default()));
    match hosts.next() {
        Some(_) => Ok(()),
        None if inventory.hosts().next().is_none() => Ok(()),
        None => Err(Stopped::error("Specified inventory, host pattern and/or --limit leaves us with no hosts to target.")),
    }
}

fn compile(templar: &Templar, entries: &[(Spanned<String>, Node)], diags: &mut Diagnostics) -> Vars {
    entries.iter().map(|(name, node)| (name.value.clone(), Arc::new(templar.compile(node, diags)))).collect()
}

/// A variable with a value that is there already.
pub(super) fn literal(name: &str, value: &crate::wire::Value) -> (String, Arc<crate::template::Expr>) {
    (name.to_owned(), Arc::new(crate::template::Expr::Literal(from_wire(value), Span::default())))
}
