//! [`Settings`]: `ansible.cfg` and `ANSIBLE_*` variables, from one table. An option that is not in it changes nothing here.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::run::FactCache;
use crate::text::{Diagnostic, Diagnostics, Sources, Span, config};
use crate::wire;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The field of [`Settings`].
    pub name: &'static str,
    /// `section/key` in `ansible.cfg`; the first that is set counts.
    pub keys: &'static [&'static str],
    /// Environment variables, which override the file.
    pub variables: &'static [&'static str],
    /// What is taken where nothing is set, as it would be written.
    pub default: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
}

macro_rules! settings {
    ($($name:ident: $type:ty, [$($key:literal)*], [$($variable:literal)*], $default:expr, $doc:literal;)*) => {
        /// What `ansible.cfg` and the environment say, for the rest of the program.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct Settings {
            /// The file that was read.
            pub file: Option<PathBuf>,
            $(#[doc = $doc] pub $name: $type,)*
        }

        impl Settings {
            /// All options that change what this program does.
            pub const TABLE: &[Setting] = &[$(Setting {
                name: stringify!($name), keys: &[$($key),*], variables: &[$($variable),*], default: $default, doc: $doc,
            }),*];

            fn read(origin: &Origins<'_>, file: Option<PathBuf>, diags: &mut Diagnostics) -> Self {
                let mut rows = Self::TABLE.iter();
                Self { file, $($name: origin.field(rows.next(), diags)),* }
            }
        }
    };
}

settings! {
    inventory: Inventories, ["defaults/inventory"], ["ANSIBLE_INVENTORY"], Some("/etc/ansible/hosts"), "inventory sources, between commas";
    inventory_ignore_extensions: Vec<String>, ["defaults/inventory_ignore_extensions" "inventory/ignore_extensions"], ["ANSIBLE_INVENTORY_IGNORE"], Some(".pyc,.pyo,.swp,.bak,~,.rpm,.md,.txt,.rst,.orig,.cfg,.retry"), "endings of files in an inventory folder that are no sources";
    inventory_ignore_patterns: Vec<String>, ["defaults/inventory_ignore_patterns" "inventory/ignore_patterns"], ["ANSIBLE_INVENTORY_IGNORE_REGEX"], Some(""), "regular expressions for names in an inventory folder that are no sources";
    inventory_plugins: Vec<String>, ["inventory/enable_plugins"], ["ANSIBLE_INVENTORY_ENABLED"], Some("host_list,script,auto,yaml,ini,toml"), "`advanced_host_list` in it expands ranges in lists of hosts";
    inventory_unparsed_is_failed: bool, ["inventory/unparsed_is_failed"], ["ANSIBLE_INVENTORY_UNPARSED_FAILED"], Some("false"), "an inventory source that cannot be read is an error, not a warning";
    inventory_any_unparsed_is_failed: bool, ["inventory/any_unparsed_is_failed"], ["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"], Some("false"), "an inventory source that cannot be read is an error, not a warning";
    inventory_export: bool, ["inventory/export"], ["ANSIBLE_INVENTORY_EXPORT"], Some("false"), "`rappel inventory --list` writes what `--export` does";
    host_pattern_mismatch: Mismatch, ["inventory/host_pattern_mismatch"], ["ANSIBLE_HOST_PATTERN_MISMATCH"], Some("warning"), "what to do when a host pattern matches nothing: `warning`, `error` or `ignore`";
    invalid_group_chars: String, ["defaults/force_valid_group_names"], ["ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS"], Some("never"), "whether odd characters in group names become `_`: `always`, `never`, `ignore` or `silently`";
    roles_path: Vec<PathBuf>, ["defaults/roles_path"], ["ANSIBLE_ROLES_PATH"], Some("~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles"), "folders of roles, between colons";
    collections_path: Vec<PathBuf>, ["defaults/collections_path" "defaults/collections_paths"], ["ANSIBLE_COLLECTIONS_PATH" "ANSIBLE_COLLECTIONS_PATHS"], Some("~/.ansible/collections:/usr/share/ansible/collections"), "folders of collections, between colons";
    playbook_dir: Option<PathBuf>, ["defaults/playbook_dir"], ["ANSIBLE_PLAYBOOK_DIR"], None, "the folder that stands for the playbook's where there is no playbook";
    library: Vec<PathBuf>, ["defaults/library"], ["ANSIBLE_LIBRARY"], Some("~/.ansible/plugins/modules:/usr/share/ansible/plugins/modules"), "folders of modules that are not rappel's own, between colons";
    module_utils: Vec<PathBuf>, ["defaults/module_utils"], ["ANSIBLE_MODULE_UTILS"], Some("~/.ansible/plugins/module_utils:/usr/share/ansible/plugins/module_utils"), "folders of what such modules import, between colons";
    python_interpreter: String, ["defaults/interpreter_python"], ["ANSIBLE_PYTHON_INTERPRETER"], Some("auto"), "the Python on hosts for such modules; `auto` looks for it";
    python_open_files: u32, ["defaults/python_module_rlimit_nofile"], ["ANSIBLE_PYTHON_MODULE_RLIMIT_NOFILE"], Some("0"), "how many files such modules may have open; 0 leaves that alone";
    plugin_filters: Option<PathBuf>, ["defaults/plugin_filters_cfg"], [], None, "a file with `module_rejectlist`: modules that may not be used";
    forks: u32, ["defaults/forks"], ["ANSIBLE_FORKS"], Some("5"), "how many hosts are worked on at once";
    strategy: String, ["defaults/strategy"], ["ANSIBLE_STRATEGY"], Some("linear"), "the strategy of plays that name none";
    gathering: String, ["defaults/gathering"], ["ANSIBLE_GATHERING"], Some("implicit"), "whether plays gather facts: `implicit`, `explicit` or `smart`";
    inject_facts_as_vars: bool, ["defaults/inject_facts_as_vars"], ["ANSIBLE_INJECT_FACT_VARS"], Some("true"), "facts are also variables `ansible_*`";
    hash_behaviour: String, ["defaults/hash_behaviour"], ["ANSIBLE_HASH_BEHAVIOUR"], Some("replace"), "whether mappings of the same name are merged: `replace` or `merge`";
    allow_broken_conditionals: bool, ["defaults/allow_broken_conditionals"], ["ANSIBLE_ALLOW_BROKEN_CONDITIONALS"], Some("false"), "conditions may be other values than booleans, as before Ansible 2.19";
    any_errors_fatal: bool, ["defaults/any_errors_fatal"], ["ANSIBLE_ANY_ERRORS_FATAL"], Some("false"), "a failure on one host stops all";
    force_handlers: bool, ["defaults/force_handlers"], ["ANSIBLE_FORCE_HANDLERS"], Some("false"), "run notified handlers also on hosts that failed";
    error_on_missing_handler: bool, ["defaults/error_on_missing_handler"], ["ANSIBLE_ERROR_ON_MISSING_HANDLER"], Some("true"), "notifying an unknown handler is an error";
    error_on_undefined_vars: bool, ["defaults/error_on_undefined_vars"], ["ANSIBLE_ERROR_ON_UNDEFINED_VARS"], Some("true"), "an undefined variable is an error";
    private_role_vars: Option<bool>, ["defaults/private_role_vars"], ["ANSIBLE_PRIVATE_ROLE_VARS"], None, "variables of a role are not visible outside it; `false` shows those of `include_role` too";
    task_timeout: u32, ["defaults/task_timeout"], ["ANSIBLE_TASK_TIMEOUT"], Some("0"), "seconds after which a task fails; 0 for never";
    poll_interval: u32, ["defaults/poll_interval"], ["ANSIBLE_POLL_INTERVAL"], Some("15"), "seconds between looks at a background task";
    run_tags: Vec<String>, ["tags/run"], ["ANSIBLE_RUN_TAGS"], Some(""), "tags to run";
    skip_tags: Vec<String>, ["tags/skip"], ["ANSIBLE_SKIP_TAGS"], Some(""), "tags to skip";
    no_log: bool, ["defaults/no_log"], ["ANSIBLE_NO_LOG"], Some("false"), "keep all results and parameters out of every output";
    ansible_managed: String, ["defaults/ansible_managed"], [], Some("Ansible managed"), "the value of `ansible_managed` in templates";
    duplicate_dict_key: Mismatch, ["defaults/duplicate_dict_key"], ["ANSIBLE_DUPLICATE_YAML_DICT_KEY"], Some("warn"), "what to do about a key twice in a mapping: `warn`, `error` or `ignore`";
    jinja2_extensions: Vec<String>, ["defaults/jinja2_extensions"], ["ANSIBLE_JINJA2_EXTENSIONS"], Some(""), "extensions of the template language";
    executable: String, ["defaults/executable"], ["ANSIBLE_EXECUTABLE"], Some("/bin/sh"), "the shell that `shell` uses";
    transport: String, ["defaults/transport"], ["ANSIBLE_TRANSPORT"], Some("ssh"), "the connection of hosts that name none";
    remote_user: Option<String>, ["defaults/remote_user"], ["ANSIBLE_REMOTE_USER"], None, "who to log in as";
    remote_port: Option<u16>, ["defaults/remote_port"], ["ANSIBLE_REMOTE_PORT"], None, "the port to connect to";
    private_key_file: Option<PathBuf>, ["defaults/private_key_file"], ["ANSIBLE_PRIVATE_KEY_FILE"], None, "the key to log in with";
    timeout: u32, ["ssh_connection/timeout" "defaults/timeout"], ["ANSIBLE_SSH_TIMEOUT" "ANSIBLE_TIMEOUT"], Some("10"), "seconds that connecting may take";
    host_key_checking: bool, ["ssh_connection/host_key_checking" "defaults/host_key_checking"], ["ANSIBLE_SSH_HOST_KEY_CHECKING" "ANSIBLE_HOST_KEY_CHECKING"], Some("true"), "refuse hosts whose key is unknown or has changed";
    ssh_args: String, ["ssh_connection/ssh_args"], ["ANSIBLE_SSH_ARGS"], Some(""), "options for ssh";
    ssh_common_args: String, ["ssh_connection/ssh_common_args"], ["ANSIBLE_SSH_COMMON_ARGS"], Some(""), "more options for ssh";
    ssh_extra_args: String, ["ssh_connection/ssh_extra_args"], ["ANSIBLE_SSH_EXTRA_ARGS"], Some(""), "even more options for ssh";
    scp_extra_args: String, ["ssh_connection/scp_extra_args"], ["ANSIBLE_SCP_EXTRA_ARGS"], Some(""), "read for playbooks that ask for it: files need no scp here";
    sftp_extra_args: String, ["ssh_connection/sftp_extra_args"], ["ANSIBLE_SFTP_EXTRA_ARGS"], Some(""), "read for playbooks that ask for it: files need no sftp here";
    ssh_retries: u32, ["ssh_connection/retries"], ["ANSIBLE_SSH_RETRIES"], Some("0"), "how often to try again to connect";
    ask_pass: bool, ["defaults/ask_pass"], ["ANSIBLE_ASK_PASS"], Some("false"), "ask for the password to log in with";
    connection_password_file: Option<PathBuf>, ["defaults/connection_password_file"], ["ANSIBLE_CONNECTION_PASSWORD_FILE"], None, "file with the password to log in with";
    privilege: bool, ["privilege_escalation/become" "defaults/become"], ["ANSIBLE_BECOME"], Some("false"), "act as another user";
    privilege_user: String, ["privilege_escalation/become_user" "defaults/become_user"], ["ANSIBLE_BECOME_USER"], Some("root"), "the user to act as";
    privilege_method: String, ["privilege_escalation/become_method" "defaults/become_method"], ["ANSIBLE_BECOME_METHOD"], Some("sudo"), "how to become another user: `sudo`, `su` or `doas`";
    privilege_exe: Option<String>, ["privilege_escalation/become_exe"], ["ANSIBLE_BECOME_EXE"], None, "path of the become program";
    privilege_flags: String, ["privilege_escalation/become_flags"], ["ANSIBLE_BECOME_FLAGS"], Some(""), "flags for the become program";
    privilege_ask_pass: bool, ["privilege_escalation/become_ask_pass"], ["ANSIBLE_BECOME_ASK_PASS"], Some("false"), "ask for the become password";
    privilege_password_file: Option<PathBuf>, ["defaults/become_password_file"], ["ANSIBLE_BECOME_PASSWORD_FILE"], None, "file with the become password";
    ask_vault_pass: bool, ["defaults/ask_vault_pass"], ["ANSIBLE_ASK_VAULT_PASS"], Some("false"), "ask for the vault password";
    vault_password_file: Option<PathBuf>, ["defaults/vault_password_file"], ["ANSIBLE_VAULT_PASSWORD_FILE"], None, "file with the vault password, or a program that prints it";
    vault_identity: String, ["defaults/vault_identity"], ["ANSIBLE_VAULT_IDENTITY"], Some("default"), "the id of a vault password that is given without one";
    vault_identity_list: Vec<String>, ["defaults/vault_identity_list"], ["ANSIBLE_VAULT_IDENTITY_LIST"], Some(""), "vault ids, as `--vault-id` takes them";
    vault_encrypt_identity: Option<String>, ["defaults/vault_encrypt_identity"], ["ANSIBLE_VAULT_ENCRYPT_IDENTITY"], None, "the vault id to encrypt with";
    vault_id_match: bool, ["defaults/vault_id_match"], ["ANSIBLE_VAULT_ID_MATCH"], Some("false"), "try only the password of the id that is written in the file";
    editor: String, ["defaults/editor"], ["ANSIBLE_EDITOR" "EDITOR"], Some("vi"), "the program that `rappel vault edit` starts";
    stdout_callback: String, ["defaults/stdout_callback"], ["ANSIBLE_STDOUT_CALLBACK"], Some("default"), "the form of the output";
    result_format: String, ["defaults/callback_result_format" "defaults/result_format"], ["ANSIBLE_CALLBACK_RESULT_FORMAT"], Some("json"), "the form of results in the output: `json` or `yaml`";
    callback_format_pretty: Option<bool>, ["defaults/callback_format_pretty" "defaults/pretty_results"], ["ANSIBLE_CALLBACK_FORMAT_PRETTY"], None, "results are laid out for reading, whatever that means for their form";
    show_task_path_on_failure: bool, ["defaults/show_task_path_on_failure"], ["ANSIBLE_SHOW_TASK_PATH_ON_FAILURE"], Some("false"), "say which file a failed task stands in";
    callbacks_enabled: Vec<String>, ["defaults/callbacks_enabled" "defaults/callback_whitelist"], ["ANSIBLE_CALLBACKS_ENABLED" "ANSIBLE_CALLBACK_WHITELIST"], Some(""), "more outputs: `profile_tasks`, `timer`, `junit`";
    display_skipped_hosts: bool, ["defaults/display_skipped_hosts"], ["ANSIBLE_DISPLAY_SKIPPED_HOSTS"], Some("true"), "show skipped tasks";
    display_ok_hosts: bool, ["defaults/display_ok_hosts"], ["ANSIBLE_DISPLAY_OK_HOSTS"], Some("true"), "show tasks that changed nothing";
    display_failed_stderr: bool, ["defaults/display_failed_stderr"], ["ANSIBLE_DISPLAY_FAILED_STDERR"], Some("false"), "failures go to standard error";
    display_args_to_stdout: bool, ["defaults/display_args_to_stdout"], ["ANSIBLE_DISPLAY_ARGS_TO_STDOUT"], Some("false"), "show the parameters of tasks";
    show_per_host_start: bool, ["defaults/show_per_host_start"], ["ANSIBLE_SHOW_PER_HOST_START"], Some("false"), "show when a task starts on a host";
    show_custom_stats: bool, ["defaults/show_custom_stats"], ["ANSIBLE_SHOW_CUSTOM_STATS"], Some("false"), "show what `set_stats` collected";
    check_mode_markers: bool, ["defaults/check_mode_markers"], ["ANSIBLE_CHECK_MODE_MARKERS"], Some("false"), "mark output of check mode";
    force_color: bool, ["defaults/force_color"], ["ANSIBLE_FORCE_COLOR"], Some("false"), "colours even if the output is no terminal";
    no_color: bool, ["defaults/nocolor"], ["ANSIBLE_NOCOLOR" "NO_COLOR"], Some("false"), "no colours";
    diff_always: bool, ["diff/always" "defaults/diff_always"], ["ANSIBLE_DIFF_ALWAYS"], Some("false"), "always show what changes";
    diff_context: u32, ["diff/context"], ["ANSIBLE_DIFF_CONTEXT"], Some("3"), "lines round a change";
    max_diff_size: u32, ["defaults/max_diff_size"], ["ANSIBLE_MAX_DIFF_SIZE"], Some("104448"), "larger files are not compared, in bytes";
    log_path: Option<PathBuf>, ["defaults/log_path"], ["ANSIBLE_LOG_PATH"], None, "file that takes a copy of the output";
    verbosity: u32, ["defaults/verbosity"], ["ANSIBLE_VERBOSITY"], Some("0"), "how much to say, as `-v` does";
    fact_caching: String, ["defaults/fact_caching"], ["ANSIBLE_CACHE_PLUGIN"], Some("memory"), "where facts are kept between runs: `memory` or `jsonfile`";
    fact_caching_connection: Option<PathBuf>, ["defaults/fact_caching_connection"], ["ANSIBLE_CACHE_PLUGIN_CONNECTION"], None, "folder of cached facts";
    fact_caching_prefix: String, ["defaults/fact_caching_prefix"], ["ANSIBLE_CACHE_PLUGIN_PREFIX"], Some(""), "what the names of files of cached facts begin with";
    fact_caching_timeout: u32, ["defaults/fact_caching_timeout"], ["ANSIBLE_CACHE_PLUGIN_TIMEOUT"], Some("86400"), "seconds after which cached facts are stale; 0 for never";
    localhost_warning: bool, ["defaults/localhost_warning"], ["ANSIBLE_LOCALHOST_WARNING"], Some("true"), "warn when there is no host but the implicit localhost";
    deprecation_warnings: bool, ["defaults/deprecation_warnings"], ["ANSIBLE_DEPRECATION_WARNINGS"], Some("true"), "warn about what will go away";
}

/// Inventory sources: paths, or lists of hosts such as `web1,web2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inventories(pub Vec<String>);

/// What to do about what is probably a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mismatch {
    /// Say so.
    Warning,
    /// Stop.
    Error,
    /// Nothing.
    Ignore,
}

/// The environment, as far as settings ask it.
pub trait Environment {
    /// The variable `name`.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Environment for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Settings {
    /// The settings of this place, for commands that do not live by them: mistakes in the file are not told.
    pub fn here() -> Self {
        Self::load(&Sources::default(), &Process, &std::env::current_dir().unwrap_or_default(), &mut Diagnostics::default())
    }

    /// Finds and reads `ansible.cfg`, and lets the environment override it. `folder` is the working directory.
    ///
    /// Looked for in `ANSIBLE_CONFIG`, the working directory (unless anyone may write there), the home directory, `/etc/ansible`.
    pub fn load(sources: &Sources, environment: &dyn Environment, folder: &Path, diags: &mut Diagnostics) -> Self {
        let file = find(environment, folder, diags);
        let entries = match file.as_ref().map(|file| (file, sources.read(file))) {
            Some((_, Ok(id))) => config::parse(sources, id, diags),
            Some((file, Err(error))) => {
                diags.push(Diagnostic::error("unreadable", format!("cannot read `{}`: {error}", file.display())));
                Vec::new()
            }
            None => Vec::new(),
        };
        let home = environment.variable("HOME").unwrap_or_default();
        let base = file.as_ref().and_then(|file| file.parent()).unwrap_or(folder).to_owned();
        Self::read(&Origins { environment, entries: &entries, home: &home, base: &base, folder }, file, diags)
    }
}

impl Settings {
    /// Every setting by the names that the lookup `config` knows it by: `DEFAULT_FORKS` is `ANSIBLE_FORKS` and `forks` there.
    pub fn named(&self) -> HashMap<String, wire::Value> {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) else { return HashMap::new() };
        let mut named = HashMap::new();
        for row in Self::TABLE {
            let Some(value) = fields.get(row.name).and_then(|value| serde_json::from_value::<wire::Value>(value.clone()).ok()) else {
                continue;
            };
            let keys = row.keys.iter().filter_map(|key| key.split_once('/')).map(|(_, key)| key.to_uppercase());
            let variables = row.variables.iter().map(|name| name.strip_prefix("ANSIBLE_").unwrap_or(name).to_owned());
            for name in keys.chain(variables) {
                named.entry(format!("DEFAULT_{name}")).or_insert_with(|| value.clone());
                named.entry(name).or_insert_with(|| value.clone());
            }
        }
        named
    }

    /// Where facts are kept between runs, if they are.
    ///
    /// # Errors
    /// They are to be kept in another form than files of JSON, or nobody says where.
    pub fn fact_cache(&self) -> Result<Option<FactCache>, String> {
        match self.fact_caching.rsplit('.').next().unwrap_or_default() {
            "memory" => return Ok(None),
            "jsonfile" => {}
            other => return Err(format!("`fact_caching`: expected `memory` or `jsonfile`, found `{other}`")),
        }
        let Some(folder) = self.fact_caching_connection.clone() else {
            return Err("`fact_caching = jsonfile` needs a folder in `fact_caching_connection`".to_owned());
        };
        let timeout = (self.fact_caching_timeout > 0).then(|| Duration::from_secs(self.fact_caching_timeout.into()));
        Ok(Some(FactCache { folder, prefix: self.fact_caching_prefix.clone(), timeout }))
    }
}

fn find(environment: &dyn Environment, folder: &Path, diags: &mut Diagnostics) -> Option<PathBuf> {
    let home = environment.variable("HOME").map(PathBuf::from);
    if let Some(named) = environment.variable("ANSIBLE_CONFIG").filter(|named| !named.is_empty()) {
        let path = folder.join(expanded(&named, environment, &home.clone().unwrap_or_default().to_string_lossy()));
        let path = if path.is_dir() { path.join("ansible.cfg") } else { path };
        if path.is_file() {
            return Some(path);
        }
    }
    let here = folder.join("ansible.cfg");
    if here.is_file() {
        if std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 == 0) {
            return Some(here);
        }
        let message = format!("`{}` is not read: anyone may write to its folder", here.display());
        let help = "take the right to write away with `chmod o-w`, or name the file in `ANSIBLE_CONFIG`";
        diags.push(Diagnostic::warning("world-writable", message).help(help));
    }
    let elsewhere = [home.map(|home| home.join(".ansible.cfg")), Some(PathBuf::from("/etc/ansible/ansible.cfg"))];
    elsewhere.into_iter().flatten().find(|path| path.is_file())
}

/// Where values come from.
struct Origins<'a> {
    environment: &'a dyn Environment,
    entries: &'a [config::Entry],
    home: &'a str,
    /// Relative paths in the file start where the file is.
    base: &'a Path,
    /// Relative paths in the environment start in the working directory.
    folder: &'a Path,
}

/// A value as written, and what is needed to understand and to blame it.
struct Written<'a> {
    text: String,
    origins: &'a Origins<'a>,
    base: &'a Path,
    span: Option<Span>,
    name: String,
}

impl Origins<'_> {
    fn field<T: Field>(&self, setting: Option<&Setting>, diags: &mut Diagnostics) -> T {
        let written = setting.and_then(|setting| self.written(setting));
        let default = setting.and_then(|setting| setting.default).map(|text| self.default(text));
        for written in written.into_iter().chain(default) {
            match T::read(&written) {
                Ok(value) => return value,
                // Nothing is as good as not set.
                Err(_) if written.text.trim().is_empty() => {}
                Err(expected) => {
                    let place = if written.span.is_some() { "" } else { " in the environment" };
                    let message = format!("expected {expected} for `{}`{place}, found `{}`", written.name, written.text);
                    let meant = setting.map(|setting| format!("`{}` is: {}", setting.name, setting.doc));
                    let error = Diagnostic::error("setting", message).help(meant.unwrap_or_default());
                    diags.push(match written.span {
                        Some(span) => error.at(span, ""),
                        None => error,
                    });
                }
            }
        }
        T::none()
    }

    fn written(&self, setting: &Setting) -> Option<Written<'_>> {
        let variable = |name: &&str| {
            let text = self.environment.variable(name)?;
            Some(Written { text, origins: self, base: self.folder, span: None, name: (*name).to_owned() })
        };
        let key = |path: &&str| {
            let (section, key) = path.split_once('/')?;
            let entry = self.entries.iter().rev().find(|entry| entry.section == section && entry.key == key)?;
            let value = &entry.value;
            Some(Written { text: value.value.clone(), origins: self, base: self.base, span: Some(value.span), name: key.to_owned() })
        };
        setting.variables.iter().find_map(variable).or_else(|| setting.keys.iter().find_map(key))
    }

    fn default(&self, text: &str) -> Written<'_> {
        Written { text: text.to_owned(), origins: self, base: self.folder, span: None, name: "default".to_owned() }
    }
}

/// A type that a setting can have.
trait Field: Sized {
    /// Understands what was written, or says what was expected.
    fn read(written: &Written<'_>) -> Result<Self, &'static str>;
    /// What is taken where nothing else can be.
    fn none() -> Self;
}

impl Field for bool {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        // `NO_COLOR` counts with any value.
        if written.name == "NO_COLOR" {
            return Ok(!written.text.is_empty());
        }
        match written.text.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Ok(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" | "" => Ok(false),
            _ => Err("a boolean"),
        }
    }

    fn none() -> Self {
        false
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read(written: &Written<'_>) -> Result<Self, &'static str> {
                written.text.trim().parse().map_err(|_| "a whole number")
            }
            fn none() -> Self {
                0
            }
        }
    )*};
}
number!(u16, u32);

impl Field for String {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        Ok(unquoted(&written.text).to_owned())
    }

    fn none() -> Self {
        Self::new()
    }
}

impl Field for PathBuf {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        Ok(written.path(&written.text))
    }

    fn none() -> Self {
        Self::new()
    }
}

impl Field for Mismatch {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        match written.text.trim() {
            "warning" | "warn" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            "ignore" => Ok(Self::Ignore),
            _ => Err("`warning`, `error` or `ignore`"),
        }
    }

    fn none() -> Self {
        Self::Warning
    }
}

impl<T: Field> Field for Option<T> {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        if written.text.trim().is_empty() { Ok(None) } else { T::read(written).map(Some) }
    }

    fn none() -> Self {
        None
    }
}

impl Field for Vec<String> {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        let parts = written.text.split([',', '\n']).map(|part| unquoted(part).to_owned());
        Ok(parts.filter(|part| !part.is_empty()).collect())
    }

    fn none() -> Self {
        Self::new()
    }
}

impl Field for Inventories {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        let paths: Vec<_> = Vec::<String>::read(written)?.iter().map(|part| written.path(part)).collect();
        // With commas and nothing that exists, it is a list of hosts.
        if written.text.contains(',') && !paths.iter().any(|path| path.exists()) {
            return Ok(Self(vec![format!("{},", written.text.trim().trim_end_matches(','))]));
        }
        Ok(Self(paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()))
    }

    fn none() -> Self {
        Self::default()
    }
}

impl Field for Vec<PathBuf> {
    fn read(written: &Written<'_>) -> Result<Self, &'static str> {
        Ok(written.text.split(':').map(str::trim).filter(|part| !part.is_empty()).map(|part| written.path(part)).collect())
    }

    fn none() -> Self {
        Self::new()
    }
}

impl Written<'_> {
    fn path(&self, text: &str) -> PathBuf {
        let text = expanded(unquoted(text), self.origins.environment, self.origins.home);
        self.base.join(text.replace("{{CWD}}", &self.origins.folder.to_string_lossy()))
    }
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// `~`, `$NAME` and `${NAME}` replaced; an unknown variable stays as it is.
fn expanded(text: &str, environment: &dyn Environment, home: &str) -> String {
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => text.to_owned(),
    };
    let mut parts = text.split('$');
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let end = part.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(part.len());
        let (name, rest) = braced.unwrap_or_else(|| part.split_at(end));
        match environment.variable(name) {
            Some(value) => result.extend([value.as_str(), rest]),
            None => result.extend(["$", part]),
        }
    }
    result
}

#[cfg(test)]
mod tests;
