//! Options that several commands share, named as Ansible names them.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueHint};

use super::complete;

/// Which hosts.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Hosts")]
pub(super) struct HostOptions {
    /// Inventory: a file, a folder, a program, or a list such as `web1,web2,` (may be repeated)
    #[arg(short, long, value_name = "SOURCE", visible_alias = "inventory-file", value_hint = ValueHint::AnyPath)]
    pub(super) inventory: Vec<String>,
    /// Only these of the selected hosts: a pattern such as `web:!web3`, or `@FILE`
    #[arg(short, long, value_name = "PATTERN", allow_hyphen_values = true, add = complete::hosts())]
    pub(super) limit: Vec<String>,
    /// Show the hosts and do nothing
    #[arg(long)]
    pub(super) list_hosts: bool,
    /// Forget the facts that were cached
    #[arg(long)]
    pub(super) flush_cache: bool,
}

impl HostOptions {
    /// All `--limit` as one pattern.
    pub(super) fn limit(&self) -> Option<String> {
        (!self.limit.is_empty()).then(|| self.limit.join(","))
    }
}

/// Variables and secrets.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Variables and secrets")]
pub(super) struct VariableOptions {
    /// Variables that win over all others: `key=value`, YAML, JSON, or `@FILE` (may be repeated)
    #[arg(short, long, value_name = "VARS", allow_hyphen_values = true)]
    pub(super) extra_vars: Vec<String>,
    #[command(flatten)]
    pub(super) vault: super::vault::VaultArgs,
}

/// How hosts are reached.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionOptions {
    /// `ssh` or `local`
    #[arg(short, long, value_name = "TYPE")]
    pub(super) connection: Option<String>,
    /// Log in as this user
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Ask for the password to log in with
    #[arg(short = 'k', long, conflicts_with = "connection_password_file")]
    pub(super) ask_pass: bool,
    /// File that holds the password to log in with
    #[arg(long, value_name = "FILE", visible_alias = "conn-pass-file")]
    pub(super) connection_password_file: Option<PathBuf>,
    /// Log in with this key
    #[arg(long, value_name = "FILE", visible_alias = "key-file")]
    pub(super) private_key: Option<PathBuf>,
    /// Give up connecting after so many seconds
    #[arg(short = 'T', long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    /// Options of ssh(1) that are understood, such as `-o ProxyJump=bastion`
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub(super) ssh_common_args: Option<String>,
    /// More of them
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub(super) ssh_extra_args: Option<String>,
    /// Taken and ignored: files travel over the same connection
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, hide = true)]
    pub(super) sftp_extra_args: Option<String>,
    /// Taken and ignored: files travel over the same connection
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, hide = true)]
    pub(super) scp_extra_args: Option<String>,
    /// Whether unknown host keys are refused
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) host_key_checking: Option<bool>,
    /// How many hosts work at once
    #[arg(short, long, value_name = "N")]
    pub(super) forks: Option<usize>,
}

/// As whom tasks run.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Privileges")]
pub(super) struct PrivilegeOptions {
    /// Run tasks as another user
    #[arg(short, long)]
    pub(super) r#become: bool,
    /// That user; `root` when not given
    #[arg(long, value_name = "USER")]
    pub(super) become_user: Option<String>,
    /// `sudo`, `su` or `doas`
    #[arg(long, value_name = "METHOD")]
    pub(super) become_method: Option<String>,
    /// Ask for the password of the become program
    #[arg(short = 'K', long, conflicts_with = "become_password_file")]
    pub(super) ask_become_pass: bool,
    /// File that holds the password of the become program
    #[arg(long, value_name = "FILE", visible_alias = "become-pass-file")]
    pub(super) become_password_file: Option<PathBuf>,
}

/// What is shown.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputOptions {
    /// Show more; `-vv`, `-vvv` … show more still
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// How to show the run: FORMAT, or FORMAT=FILE (may be repeated)
    #[arg(long, value_name = "FORMAT[=FILE]", add = complete::formats())]
    pub(super) output: Vec<super::output::Wanted>,
    /// Keep the run in a file that `rappel replay` reads
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Show what programs print while they run
    #[arg(long)]
    pub(super) stream: bool,
    /// Do not show what runs now below the output, as is done on terminals
    #[arg(long)]
    pub(super) no_progress: bool,
}
