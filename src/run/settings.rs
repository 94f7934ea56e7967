//! [`Settings`]: what a run is asked for, as plain values. The command line and the pipeline make it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::FactCache;
use crate::plan::{Selection, Vars};
use crate::ssh::Secret;

/// What becomes of the play after a rescue that `any_errors_fatal` set off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFatalRescue {
    /// The play stops: the fleet is back where it was. What `rappel play` and `rappel deploy` do.
    #[default]
    Stop,
    /// The play goes on, as Ansible does. What a call as `ansible-playbook` does.
    GoOn,
}

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The playbooks.
    pub playbooks: Vec<PathBuf>,
    /// `--limit`.
    pub limit: Option<String>,
    /// `-e`, in the order given, compiled.
    pub extra: Arc<Vars>,
    /// `--tags`, `--skip-tags`.
    pub selection: Arc<Selection>,
    /// `--check`.
    pub check: bool,
    /// `--diff`.
    pub diff: bool,
    /// `--forks`: how many hosts work at once.
    pub forks: usize,
    /// `-v`, counted.
    pub verbosity: u8,
    /// `--force-handlers`.
    pub force_handlers: bool,
    /// `no_log` where no task says otherwise.
    pub no_log: bool,
    /// `error_on_missing_handler`: notifying a handler that is not there ends the run.
    pub error_on_missing_handler: bool,
    /// The strategy of plays that name none.
    pub strategy: String,
    /// `--atomic`: every play is one transaction.
    pub atomic: bool,
    /// What becomes of the play after a rescue that `any_errors_fatal` set off.
    pub after_fatal_rescue: AfterFatalRescue,
    /// Stream what programs print.
    pub stream: bool,
    /// Leave the connections open at the end, for the run that comes next.
    pub keep_connections: bool,
    /// How hosts are reached and as whom tasks run, where neither inventory nor playbook says.
    pub connection: ConnectionDefaults,
    /// `gathering`: `implicit`, `explicit` or `smart`.
    pub gathering: Gathering,
    /// `hash_behaviour = merge`.
    pub merge_hashes: bool,
    /// `error_on_undefined_vars` and its like need no switch: undefined is always an error.
    pub any_errors_fatal: bool,
    /// `interpreter_python`: the Python on hosts for modules over the bridge, where no variable says it.
    pub python_interpreter: Option<String>,
    /// How many files such a module of Python may have open; 0 leaves that alone.
    pub python_open_files: u32,
    /// `roles_path`.
    pub roles_path: Vec<PathBuf>,
    /// `host_pattern_mismatch`.
    pub unmatched: Unmatched,
    /// The configuration file in force, for `ansible_config_file`.
    pub config_file: Option<PathBuf>,
    /// Inventory sources as named, for `ansible_inventory_sources`.
    pub inventory_sources: Vec<String>,
    /// Where facts are cached between runs.
    pub fact_cache: Option<FactCache>,
    /// `--flush-cache`: what was kept of the inventory's hosts is forgotten first.
    pub flush_cache: bool,
    /// `inject_facts_as_vars`: facts are variables of their own too.
    pub inject_facts: bool,
    /// Seconds after which a task fails, where it does not say; 0 for never.
    pub task_timeout: u32,
    /// The host of this run, for the audit trail and locks.
    pub purpose: String,
}

/// What a host pattern that matches nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// Worth a warning.
    #[default]
    Warned,
    /// The end of the run.
    Fatal,
    /// Nobody's business.
    Ignored,
}

/// When facts are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gathering {
    /// Unless the play says no.
    #[default]
    Implicit,
    /// Only when the play says yes.
    Explicit,
    /// Once per host.
    Smart,
}

/// How hosts are reached, where neither inventory nor playbook says.
#[derive(Clone, Debug, Default)]
pub struct ConnectionDefaults {
    /// `-c`.
    pub connection: Option<String>,
    /// `-u`.
    pub user: Option<String>,
    /// `--private-key`.
    pub private_key: Option<PathBuf>,
    /// `-k`.
    pub password: Option<Secret>,
    /// `-T`.
    pub timeout: Option<Duration>,
    /// `--ssh-common-args`.
    pub common_args: Option<String>,
    /// `--ssh-extra-args`.
    pub extra_args: Option<String>,
    /// `ssh_args` of the configuration.
    pub ssh_args: Option<String>,
    /// `host_key_checking`.
    pub host_key_checking: Option<bool>,
    /// `-b`.
    pub privileged: bool,
    /// `--become-user`.
    pub become_user: Option<String>,
    /// `--become-method`.
    pub become_method: Option<String>,
    /// `become_flags` of the configuration.
    pub become_flags: Option<String>,
    /// `become_exe` of the configuration.
    pub become_exe: Option<String>,
    /// `-K`.
    pub become_password: Option<Secret>,
    /// `remote_port` of the configuration.
    pub port: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            playbooks: Vec::new(),
            limit: None,
            extra: Arc::default(),
            selection: Arc::default(),
            check: false,
            diff: false,
            // One connection is one task of an event loop, not a process: there is no reason to be stingy.
            forks: 500,
            verbosity: 0,
            force_handlers: false,
            strategy: "linear".to_owned(),
            atomic: false,
            after_fatal_rescue: AfterFatalRescue::default(),
            stream: false,
            keep_connections: false,
            connection: ConnectionDefaults::default(),
            gathering: Gathering::default(),
            merge_hashes: false,
            any_errors_fatal: false,
            python_interpreter: None,
            python_open_files: 0,
            roles_path: Vec::new(),
            config_file: None,
            inventory_sources: Vec::new(),
            no_log: false,
            error_on_missing_handler: true,
            fact_cache: None,
            unmatched: Unmatched::default(),
            flush_cache: false,
            inject_facts: true,
            task_timeout: 0,
            purpose: String::new(),
        }
    }
}
