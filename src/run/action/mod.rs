//! Actions: what a task does on the controller. One file each; `actions!` lists them.

pub(super) mod gather_facts;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::Effect;
use super::call::ModuleCall;
use super::item::{Item, Trouble};
use crate::module::Declared;
use crate::plan::ActionSpec;
use crate::template::{Scope, Templar};
use crate::wire::{Failure, Map, Outcome, Value};

/// One call of an action for one item.
pub(super) struct ActionCall<'a> {
    pub(super) item: &'a Item<'a>,
    pub(super) params: Map,
    pub(super) delegate: Option<String>,
}

/// In the data of a failure: show it at every verbosity. It never reaches the registered result.
pub(super) const VERBOSE_ALWAYS: &str = "_ansible_verbose_always";

/// In the data of an outcome: nobody may see the result. It never reaches the registered result.
pub(super) const NO_LOG: &str = "_ansible_no_log";

/// What an action gives.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) effects: Vec<Effect>,
    pub(super) notify: Option<Vec<String>>,
    /// Show the result at every verbosity.
    pub(super) verbose_always: bool,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, ..Self::default() }
    }
}

type Run = for<'a> fn(ActionCall<'a>) -> BoxFuture<'a, Result<Answer, Trouble>>;

impl<'a> ActionCall<'a> {
    fn templar(&self) -> &'a Templar {
        &self.item.task.shared.templar
    }

    fn scope(&self) -> &'a Arc<dyn Scope> {
        &self.item.scope
    }

    fn decode<T: Declared>(&self) -> Result<T, Trouble> {
        T::decode(&self.params).map_err(|message| Failure::new(message).into())
    }

    /// Where files of the controller are looked for.
    fn search_path(&self) -> Vec<PathBuf> {
        super::magic::search_path(&self.item.task.play, &self.item.task.step.context)
    }

    /// Calls a module of the agent as part of this action.
    async fn module(&self, name: &str, params: Map) -> Result<Outcome, Trouble> {
        self.wired(params).run(name).await
    }

    /// Calls a module that only asks, in check mode too.
    async fn query(&self, name: &str, params: Map) -> Result<Outcome, Trouble> {
        self.wired(params).query(name).await
    }

    /// The environment of processes on the host.
    async fn host_environment(&self) -> Result<Map, Trouble> {
        let subsets = Value::from(vec!["!all", "!min", "env"]);
        let facts = self.query("setup", Map::from_iter([("gather_subset".to_owned(), subsets)])).await?.data;
        let found = facts
            .get("ansible_facts")
            .and_then(|facts| facts.get("ansible_env").or_else(|| facts.get("env")))
            .and_then(Value::as_map)
            .cloned();
        Ok(found.unwrap_or_default())
    }

    /// Whether the task only predicts.
    fn checking(&self) -> bool {
        self.wired(Map::new()).checking()
    }

    fn wired(&self, params: Map) -> ModuleCall<'_> {
        ModuleCall { item: self.item, params, delegate: self.delegate.clone() }
    }
}

/// Lists the actions: `file::Type as name | alias, reversible`.
macro_rules! actions {
    ($($file:ident :: $ty:ident as $name:literal $(| $alias:literal)* $(, $open:ident)?;)*) => {
        /// All actions, for the plan.
        pub static ACTIONS: &[ActionSpec] = &[$(ActionSpec {
            name: $name,
            aliases: &[$($alias),*],
            spec: <$file::$ty as Declared>::SPEC,
            open: { #[allow(unused_mut, unused_assignments, clippy::allow_attributes, reason = "the mark is optional")] let mut open = false; $(open = stringify!($open).len() == 4;)? open },
            reversible: $file::REVERSIBLE,
            source: include_str!(concat!(stringify!($file), ".rs")),
        }),*];

        static RUNS: &[(&str, Run)] = &[$(($name, |call| Box::pin($file::run(call)))),*];
    };
}

mod add_host;
mod ask;
mod assert;
mod awx;
mod awx_group;
mod awx_host;
mod debug;
mod docker_compose;
mod fail;
mod fetch;
mod group_by;
mod htpasswd;
mod include_role;
mod include_tasks;
mod include_vars;
mod meta;
mod openssl;
mod openssl_csr;
mod openssl_privatekey;
mod package;
mod pause;
mod raw;
mod reboot;
mod script;
mod set_fact;
mod set_stats;
mod slack;
mod synchronize;
mod validate_argument_spec;
mod vault;
mod vault_kv2_get;
mod vault_login;
mod wait_for_connection;
mod x509_certificate;

actions! {
    add_host::AddHost as "add_host", open;
    assert::Assert as "assert";
    awx_group::AwxGroup as "awx_group" | "awx.awx.group" | "awx.awx.tower_group" | "tower_group";
    awx_host::AwxHost as "awx_host" | "awx.awx.host" | "awx.awx.tower_host" | "tower_host";
    debug::Debug as "debug";
    docker_compose::DockerCompose as "docker_compose" | "docker_service";
    fail::Fail as "fail";
    fetch::Fetch as "fetch";
    gather_facts::GatherFacts as "gather_facts", open;
    group_by::GroupBy as "group_by";
    htpasswd::Htpasswd as "htpasswd";
    include_role::IncludeRole as "include_role";
    include_tasks::IncludeTasks as "include_tasks";
    include_vars::IncludeVars as "include_vars";
    meta::Meta as "meta";
    openssl_csr::OpensslCsr as "openssl_csr";
    openssl_privatekey::OpensslPrivatekey as "openssl_privatekey";
    package::Package as "package", open;
    pause::Pause as "pause";
    raw::Raw as "raw", open;
    reboot::Reboot as "reboot";
    script::Script as "script";
    set_fact::SetFact as "set_fact", open;
    set_stats::SetStats as "set_stats";
    slack::Slack as "slack" | "community.general.slack";
    synchronize::Synchronize as "synchronize" | "ansible.posix.synchronize";
    validate_argument_spec::ValidateArgumentSpec as "validate_argument_spec";
    vault_kv2_get::VaultKv2Get as "vault_kv2_get" | "community.hashi_vault.vault_kv2_get";
    vault_login::VaultLogin as "vault_login" | "community.hashi_vault.vault_login";
    wait_for_connection::WaitForConnection as "wait_for_connection";
    x509_certificate::X509Certificate as "x509_certificate" | "openssl_certificate";
}

/// Runs the action `spec`.
pub(super) async fn run(spec: &ActionSpec, call: ActionCall<'_>) -> Result<Answer, Trouble> {
    match RUNS.iter().find(|(name, _)| *name == spec.name) {
        Some((_, run)) => run(call).await,
        None => Err(Failure::new(format!("action `{}` is not supported", spec.name)).into()),
    }
}

/// What every action file starts from.
pub(super) mod prelude {
    pub(in crate::run) use super::{ActionCall, Answer};
    pub(in crate::run) use crate::module::{PathText, Reversible, Rule};
    pub(in crate::run) use crate::params;
    pub(in crate::run) use crate::run::Effect;
    pub(in crate::run) use crate::run::item::Trouble;
    pub(in crate::run) use crate::template::{from_wire, to_wire};
    pub(in crate::run) use crate::wire::{Failure, Map, Outcome, Value};
}
