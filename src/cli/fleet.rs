//! The pipeline's fleet, for real: plays by [`run`], single calls by [`Reach`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::Stopped;
use super::options::{ConnectionOptions, HostOptions, PrivilegeOptions, VariableOptions};
use super::prepare::{Prepared, connector, literal};
use crate::deploy::fleet::{CallError, Fleet, Order};
use crate::event::{Event, EventKind, Exit, Finding};
use crate::plan::{Mistakes, Selection};
use crate::run::{self, Inputs, Reach};
use crate::text::Diagnostics;
use crate::wire::{Map, Outcome, TransactionReply, TransactionStep};

/// The hosts of one environment.
pub(super) struct Hosts {
    prepared: Prepared,
    inventory: HostOptions,
    extra: Vec<String>,
    settings: run::Settings,
    /// Connections of plays: the deployment uses those of the dry run.
    connections: Arc<run::Fleet>,
    /// Single calls have connections of their own: the lock must be renewed while a host's agent works on a long task.
    reach: Reach,
    /// The second signal.
    hard: CancellationToken,
}

/// What the command line says of an environment's hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct How {
    pub(super) inventory: PathBuf,
    pub(super) playbook: PathBuf,
    pub(super) privileged: bool,
    pub(super) verbosity: u8,
}

impl Hosts {
    /// Reads the inventory; passwords are asked for now, once.
    pub(super) fn new(
        how: &How,
        variables: &VariableOptions,
        connection: &ConnectionOptions,
        privilege: &PrivilegeOptions,
        hard: CancellationToken,
    ) -> Result<(Self, Diagnostics), Stopped> {
        let mut prepared = Prepared::new(variables)?;
        let inventory = HostOptions { inventory: vec![how.inventory.display().to_string()], ..HostOptions::default() };
        let hosts = prepared.inventory(&inventory);
        let extra = Arc::new(prepared.extra(&variables.extra_vars));
        let settings = run::Settings {
            verbosity: how.verbosity,
            extra: Arc::clone(&extra),
            inventory_sources: prepared.inventory_sources(&inventory),
            ..prepared.settings(connection, privilege)?
        };
        let diags = std::mem::take(&mut prepared.diags);
        let mut again = prepared.again();
        let compiler = again.compiler(Arc::default(), extra, Mistakes::BeforeRun);
        let connector = connector();
        let connections = Arc::new(run::Fleet::new(connector.clone()));
        let inputs = Inputs {
            fleet: Arc::new(run::Fleet::new(connector)),
            ..again.inputs(hosts, compiler, &inventory, CancellationToken::new(), hard.clone())
        };
        let folder = how.playbook.parent().unwrap_or(Path::new("")).to_owned();
        let reach = Reach::new(settings.clone(), inputs, folder, how.privileged);
        let extra = variables.extra_vars.clone();
        Ok((Self { prepared, inventory, extra, settings, connections, reach, hard }, diags))
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        tokio::join!(self.reach.close(), self.connections.close());
    }

    async fn run(&self, order: &Order, events: &Sender<Event>, stop: &CancellationToken) -> Exit {
        let mut prepared = self.prepared.again();
        let inventory = prepared.inventory(&self.inventory);
        let mut extra = prepared.extra(&self.extra);
        for (name, value) in &order.variables {
            match serde_json::from_value(value.clone()) {
                Ok(value) => extra.extend([literal(name, &value)]),
                Err(_) => return Exit::Bug, // JSON is what our values are made for
            }
        }
        let (extra, selection) = (Arc::new(extra), Arc::new(Selection::default()));
        let compiler = prepared.compiler(Arc::clone(&selection), Arc::clone(&extra), Mistakes::BeforeRun);
        let playbooks = vec![order.playbook.clone()];
        let plan = compiler.playbooks(&playbooks, &mut prepared.diags);
        let failed = prepared.diags.has_errors();
        for diagnostic in std::mem::take(&mut prepared.diags).into_vec() {
            let kind = EventKind::Warned(Finding::new(diagnostic, &prepared.sources));
            let _ = events.send(Event { at: jiff::Timestamp::now(), elapsed: std::time::Duration::ZERO, kind }).await;
        }
        if failed {
            return Exit::Unreachable; // the number that Ansible has for a playbook it cannot read
        }
        let mut settings = run::Settings {
            playbooks,
            extra,
            selection,
            check: order.check,
            atomic: order.atomic,
            purpose: order.purpose.clone(),
            keep_connections: true,
            ..self.settings.clone()
        };
        settings.diff |= order.check;
        if let Some(jump) = &order.jump {
            let others = settings.connection.common_args.take().unwrap_or_default();
            settings.connection.common_args = Some(format!("-o ProxyJump={jump} {others}").trim().to_owned());
        }
        let inputs = Inputs {
            fleet: Arc::clone(&self.connections),
            ..prepared.inputs(inventory, compiler, &self.inventory, stop.clone(), self.hard.clone())
        };
        run::run(plan, settings, inputs, events.clone()).await
    }
}

impl Fleet for Hosts {
    fn hosts(&self, pattern: &str) -> Result<Vec<String>, String> {
        self.reach.hosts(pattern)
    }

    fn play<'a>(&'a self, order: &'a Order, events: &'a Sender<Event>, stop: &'a CancellationToken) -> BoxFuture<'a, Exit> {
        Box::pin(self.run(order, events, stop))
    }

    fn call<'a>(&'a self, host: &'a str, module: &'a str, params: Map) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let answered = self.reach.call(host, module, params).await;
            answered.map_err(|error| CallError::Unreachable(error.to_string()))?.map_err(CallError::Failed)
        })
    }

    fn transaction<'a>(
        &'a self,
        host: &'a str,
        user: &'a str,
        step: TransactionStep,
    ) -> BoxFuture<'a, Result<TransactionReply, CallError>> {
        Box::pin(async move {
            let answered = self.reach.transaction(host, user, step).await;
            answered.map_err(|error| CallError::Unreachable(error.to_string()))?.map_err(CallError::Failed)
        })
    }
}
