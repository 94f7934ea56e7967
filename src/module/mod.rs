//! Modules: what a task does on a host. One file each; `modules!` lists them.
//!
//! A module decides what should be different and asks [`Machine`], the only door to effects, to make it so. Check mode,
//! diff, `changed` and undo happen behind that door, so no module has code for them.

mod attributes;
mod docker;
mod dpkg;
mod edit;
mod facts;
pub(crate) mod filter;
mod foreign_result;
mod form;
pub(crate) mod glob;
mod invocation;
mod mysql;
mod openpgp;
mod params;
mod postgres;
mod scram;
mod web;

use crate::machine::Machine;
use crate::wire::{Failure, Map, Outcome, Value};

#[cfg(feature = "controller")]
pub(crate) use attributes::FileAttributes;
pub use params::{Field, Kind, LocalFile, LocalTemplate, ModeText, Param, PathText, Rule, Spec, choose, count, fill, joined, plain_name};

/// Parameters declared by [`params!`](crate::params).
pub trait Declared: Sized {
    /// The declaration, for the controller.
    const SPEC: Spec;
    /// What stands there before parameters are read.
    fn blank() -> Self;
    /// Reads the parameters of a call; `problem` is the first thing that is wrong with them.
    fn fill(&mut self, params: &Map, problem: &mut Option<String>);
    /// The parameters of a call.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    fn decode(params: &Map) -> Result<Self, String> {
        let (mut read, mut problem) = (Self::blank(), None);
        read.fill(params, &mut problem);
        problem.map_or(Ok(read), Err)
    }
}

/// How well a module's work can be undone inside a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversible {
    /// It changes nothing.
    ReadOnly,
    /// Byte for byte, from the journal.
    Exact,
    /// As well as it can be: packages, services.
    BestEffort,
    /// Not at all: `command`, `shell`. A rescue task must do it.
    Impossible,
}

/// A module: its parameters and what it does with them.
pub trait Module: Declared {
    /// How well its work can be undone.
    const REVERSIBLE: Reversible;
    /// Whether it can predict; one that cannot is skipped in check mode.
    const CHECK_MODE: bool = true;
    /// Does it.
    ///
    /// # Errors
    /// A failed task: with the system's own error, the path or command, and what was left done.
    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure>;
}

/// A module as the registry knows it.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its short name.
    pub name: &'static str,
    /// Other names that mean the same module.
    pub aliases: &'static [&'static str],
    /// Its parameters. The worker takes what the controller has checked: the text would be a tenth of it.
    #[cfg(feature = "controller")]
    pub spec: Spec,
    /// How well its work can be undone.
    pub reversible: Reversible,
    /// Whether it can predict.
    pub check_mode: bool,
    work: fn(&Map, &mut Machine) -> Result<Outcome, Failure>,
    /// Its source file, whose `//!` head is the documentation.
    #[cfg(feature = "controller")]
    pub source: &'static str,
}

impl Entry {
    /// Does what a call with these parameters asks for.
    ///
    /// # Errors
    /// A failed task.
    pub fn run(&self, params: &Map, machine: &mut Machine) -> Result<Outcome, Failure> {
        if machine.checking() && !self.check_mode {
            return Ok(Outcome { skipped: Some("this module has no check mode".to_owned()), ..Outcome::default() });
        }
        let mut result = (self.work)(params, machine);
        add_lines(match &mut result {
            Ok(outcome) => &mut outcome.data,
            Err(failure) => &mut failure.data,
        });
        result
    }
}

/// Reads the parameters of a module, and runs it.
fn work<M: Module>(params: &Map, machine: &mut Machine) -> Result<Outcome, Failure> {
    // In place: what is moved on its way here would be so once for each module.
    let (mut module, mut problem) = (M::blank(), None);
    module.fill(params, &mut problem);
    match problem {
        None => module.run(machine),
        Some(problem) => Err(Failure::new(problem)),
    }
}

/// Playbooks read `stdout_lines` and `stderr_lines` of every result that has the text.
fn add_lines(data: &mut Map) {
    for (name, lines) in [("stdout", "stdout_lines"), ("stderr", "stderr_lines")] {
        if let Some(text) = data.get(name).and_then(Value::as_str)
            && !data.contains_key(lines)
        {
            let split = split_lines(text);
            data.insert(lines.to_owned(), split.into());
        }
    }
}

/// The lines of a text, by everything that Python takes for the end of a line.
fn split_lines(text: &str) -> Vec<&str> {
    let ends = ['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((at, end)) = rest.char_indices().find(|(_, character)| ends.contains(character)) {
        let (line, tail) = rest.split_at(at);
        lines.push(line);
        let length = if tail.starts_with("\r\n") { 2 } else { end.len_utf8() };
        rest = tail.get(length..).unwrap_or_default();
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Lists the modules: `file::Type as name | alias`.
macro_rules! modules {
    ($($file:ident :: $ty:ident as $name:literal $(| $alias:literal)*),* $(,)?) => {
        $(mod $file;)*

        /// All modules, in alphabetical order.
        pub static MODULES: &[Entry] = &[$(Entry {
            name: $name,
            aliases: &[$($alias),*],
            #[cfg(feature = "controller")]
            spec: <$file::$ty as Declared>::SPEC,
            reversible: <$file::$ty as Module>::REVERSIBLE,
            check_mode: <$file::$ty as Module>::CHECK_MODE,
            work: work::<$file::$ty>,
            #[cfg(feature = "controller")]
            source: include_str!(concat!(stringify!($file), ".rs")),
        }),*];
    };
}

// One line each: two people adding modules then do not collide.
modules! {
    acl::Acl as "acl",
    alternatives::Alternatives as "alternatives",
    apache2_module::Apache2Module as "apache2_module",
    apk::Apk as "apk",
    archive::Archive as "archive",
    assemble::Assemble as "assemble",
    async_status::AsyncStatus as "async_status",
    authorized_key::AuthorizedKey as "authorized_key",
    blockinfile::BlockInFile as "blockinfile",
    apt::Apt as "apt",
    apt_key::AptKey as "apt_key",
    apt_repository::AptRepository as "apt_repository",
    deb822_repository::Deb822Repository as "deb822_repository",
    debconf::Debconf as "debconf",
    django_manage::DjangoManage as "django_manage",
    dnf::Dnf as "dnf" | "yum" | "dnf5",
    docker_compose_v2::DockerComposeV2 as "docker_compose_v2",
    docker_container::DockerContainer as "docker_container",
    docker_container_info::DockerContainerInfo as "docker_container_info",
    docker_image::DockerImage as "docker_image",
    docker_image_pull::DockerImagePull as "docker_image_pull",
    docker_login::DockerLogin as "docker_login",
    docker_network::DockerNetwork as "docker_network",
    docker_volume::DockerVolume as "docker_volume",
    dpkg_selections::DpkgSelections as "dpkg_selections",
    expect::Expect as "expect",
    package_facts::PackageFacts as "package_facts",
    command::CommandModule as "command",
    capabilities::Capabilities as "capabilities",
    composer::Composer as "composer",
    copy::Copy as "copy",
    cron::Cron as "cron",
    file::File as "file",
    filesystem::Filesystem as "filesystem",
    find::Find as "find",
    firewalld::Firewalld as "firewalld",
    foreign::Foreign as "foreign",
    get_url::GetUrl as "get_url",
    ini_file::IniFile as "ini_file",
    iptables::Iptables as "iptables",
    known_hosts::KnownHosts as "known_hosts",
    getent::Getent as "getent",
    git::Git as "git",
    git_config::GitConfig as "git_config",
    group::Group as "group",
    hostname::Hostname as "hostname",
    ledger::Ledger as "ledger",
    lineinfile::LineInFile as "lineinfile",
    lock::Lock as "lock",
    mail::Mail as "mail",
    make::Make as "make",
    locale_gen::LocaleGen as "locale_gen",
    mysql_db::MysqlDb as "mysql_db",
    mysql_user::MysqlUser as "mysql_user",
    modprobe::Modprobe as "modprobe",
    mount::Mount as "mount",
    npm::Npm as "npm",
    pacman::Pacman as "pacman",
    pam_limits::PamLimits as "pam_limits",
    ping::Ping as "ping",
    postgresql_db::PostgresqlDb as "postgresql_db",
    postgresql_ext::PostgresqlExt as "postgresql_ext",
    postgresql_ping::PostgresqlPing as "postgresql_ping",
    postgresql_privs::PostgresqlPrivs as "postgresql_privs",
    postgresql_query::PostgresqlQuery as "postgresql_query",
    postgresql_user::PostgresqlUser as "postgresql_user",
    read::Read as "read",
    redis::Redis as "redis",
    redis_info::RedisInfo as "redis_info",
    pip::Pip as "pip",
    replace::Replace as "replace",
    rpm_key::RpmKey as "rpm_key",
    seboolean::Seboolean as "seboolean",
    sefcontext::Sefcontext as "sefcontext",
    selinux::Selinux as "selinux",
    seport::Seport as "seport",
    service::Service as "service",
    service_facts::ServiceFacts as "service_facts",
    setup::Setup as "setup",
    shell::Shell as "shell",
    slurp::Slurp as "slurp",
    stat::StatModule as "stat",
    supervisorctl::Supervisorctl as "supervisorctl",
    sysctl::Sysctl as "sysctl",
    systemd::Systemd as "systemd_service" | "systemd",
    tempfile::TempFile as "tempfile",
    template::Template as "template",
    timezone::Timezone as "timezone",
    ufw::Ufw as "ufw",
    tree::TreeModule as "tree",
    user::User as "user",
    unarchive::Unarchive as "unarchive",
    uri::Uri as "uri",
    wait_for::WaitFor as "wait_for",
    yum_repository::YumRepository as "yum_repository",
    zypper::Zypper as "zypper",
}

/// A name without the collection that ships it: `copy` of `ansible.builtin.copy`, `ufw` of `community.general.ufw`.
pub fn short_name(name: &str) -> &str {
    const COLLECTIONS: [&str; 9] = [
        "ansible.builtin.",
        "ansible.legacy.",
        "ansible.mysql.",
        "ansible.posix.",
        "community.general.",
        "community.docker.",
        "community.postgresql.",
        "community.mysql.",
        "community.crypto.",
    ];
    COLLECTIONS.iter().find_map(|collection| name.strip_prefix(collection)).unwrap_or(name)
}

/// The module called `name`, by its short name or with its collection.
pub fn find(name: &str) -> Option<&'static Entry> {
    let short = short_name(name);
    MODULES.iter().find(|entry| entry.name == short || entry.aliases.contains(&short))
}

/// What every module file starts from.
pub mod prelude {
    pub(super) use super::attributes::FileAttributes;
    pub use super::{LocalFile, LocalTemplate, ModeText, Module, PathText, Reversible, Rule};
    pub use crate::machine::{Attributes, Command, Completed, FileKind, Machine, Stat};
    pub use crate::wire::{Failure, Map, Outcome, Value};
    pub use crate::{choice, params};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_in_python() {
        for (text, lines) in [("", vec![]), ("a\n", vec!["a"]), ("a\r\n\nb\x0bc", vec!["a", "", "b", "c"]), ("\n", vec![""])] {
            assert_eq!(split_lines(text), lines, "{text:?}");
        }
    }
}
