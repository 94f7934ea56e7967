//! [`Fleet`]: the connections of a run, opened when first needed, one for each way to reach a host.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};

use super::emit::Emitter;
use super::settings::ConnectionDefaults;
use crate::event::EventKind;
use crate::model::Keyword;
use crate::plan::Context;
use crate::ssh::{ConnectError, Connector, Endpoint, Method, Privilege, Secret, Session, Transport};
use crate::template::{Binding, Scope, Templar, Value};
use crate::text::Diagnostic;

/// Connections to hosts, for one run or for several after each other.
pub struct Fleet {
    connector: Connector,
    sessions: Mutex<HashMap<String, Arc<OnceCell<Arc<Session>>>>>,
}

impl Fleet {
    /// No connection yet.
    pub fn new(connector: Connector) -> Self {
        Self { connector, sessions: Mutex::default() }
    }

    /// The connection to `endpoint`, opened if there is none.
    ///
    /// # Errors
    /// The host cannot be reached. The next call tries again.
    pub(super) async fn session(&self, endpoint: &Endpoint, events: &Emitter) -> Result<Arc<Session>, ConnectError> {
        let cell = self.sessions.lock().await.entry(key(endpoint)).or_default().clone();
        let open = async || {
            let begun = std::time::Instant::now();
            let session = self.connector.connect(endpoint).await?;
            events.emit(EventKind::HostConnected { host: endpoint.name.clone(), took: begun.elapsed(), cold: false }).await;
            Ok(session)
        };
        cell.get_or_try_init(open).await.cloned()
    }

    /// Drops the connection to `endpoint` (`meta: reset_connection`, or after it broke).
    pub(super) async fn forget(&self, endpoint: &Endpoint) {
        let cell = self.sessions.lock().await.remove(&key(endpoint));
        if let Some(session) = cell.and_then(|cell| cell.get().cloned()) {
            session.close().await;
        }
    }

    /// Closes everything.
    pub async fn close(&self) {
        let cells: Vec<_> = self.sessions.lock().await.drain().map(|(_, cell)| cell).collect();
        let sessions: Vec<_> = cells.into_iter().filter_map(|cell| cell.get().cloned()).collect();
        futures::future::join_all(sessions.iter().map(|session| session.close())).await;
    }
}

/// Everything that makes a connection another connection.
fn key(endpoint: &Endpoint) -> String {
    format!(
        "{} {:?} {} {:?} {:?} {:?} {} {:?}",
        endpoint.name,
        endpoint.transport,
        endpoint.host,
        endpoint.port,
        endpoint.user,
        endpoint.identity_files,
        endpoint.ssh_args,
        endpoint.extra_args
    )
}

/// Reads connection variables and keywords for one task on one host.
pub(super) struct Wiring<'a> {
    pub(super) templar: &'a Templar,
    pub(super) scope: &'a Arc<dyn Scope>,
    pub(super) context: &'a Context,
    pub(super) defaults: &'a ConnectionDefaults,
}

impl Wiring<'_> {
    /// How to reach `host`.
    pub(super) fn endpoint(&self, host: &str) -> Result<Endpoint, Diagnostic> {
        let defaults = self.defaults;
        let text = |names: &[&str]| self.first(names);
        let connection = match text(&["ansible_connection"])? {
            Some(connection) => Some(connection),
            None => self.keyword(Keyword::Connection)?.or_else(|| defaults.connection.clone()),
        };
        let transport = match connection.as_deref().map(|name| name.strip_prefix("ansible.builtin.").unwrap_or(name)) {
            Some("local") => Transport::Local,
            None | Some("ssh" | "smart" | "paramiko" | "paramiko_ssh" | "ansible.netcommon.libssh") => Transport::Ssh,
            Some(other) => {
                return Err(Diagnostic::error("unknown-connection", format!("connection `{other}` is not supported (host `{host}`)"))
                    .help("expected `ssh` or `local`"));
            }
        };
        let port = match text(&["ansible_port", "ansible_ssh_port"])? {
            Some(text) => Some(text.parse().map_err(|_| {
                Diagnostic::error("bad-port", format!("`ansible_port` of `{host}`: expected a port number, found `{text}`"))
            })?),
            None => match self.keyword(Keyword::Port)? {
                Some(text) => text.parse().ok(),
                None => defaults.port,
            },
        };
        let seconds = text(&["ansible_ssh_timeout", "ansible_timeout"])?.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let flag = |value: Option<String>| value.and_then(|text| crate::wire::Value::from(text).to_bool());
        let key = text(&["ansible_ssh_private_key_file", "ansible_private_key_file"])?;
        Ok(Endpoint {
            name: host.to_owned(),
            transport,
            host: text(&["ansible_host", "ansible_ssh_host"])?.unwrap_or_else(|| host.to_owned()),
            port,
            user: match text(&["ansible_user", "ansible_ssh_user"])? {
                Some(user) => Some(user),
                None => self.keyword(Keyword::RemoteUser)?.or_else(|| defaults.user.clone()),
            },
            identity_files: key.map(Into::into).or_else(|| defaults.private_key.clone()).into_iter().collect(),
            password: text(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])?
                .map(Secret::new)
                .or_else(|| defaults.password.clone()),
            password_prompt: text(&["ansible_sshpass_prompt"])?.filter(|prompt| !prompt.is_empty()),
            ssh_args: text(&["ansible_ssh_args"])?.or_else(|| defaults.ssh_args.clone()).unwrap_or_default(),
            extra_args: [
                text(&["ansible_ssh_common_args"])?.or_else(|| defaults.common_args.clone()),
                text(&["ansible_ssh_extra_args"])?.or_else(|| defaults.extra_args.clone()),
            ]
            .into_iter()
            .flatten()
            .collect(),
            connect_timeout: seconds.or(defaults.timeout),
            host_key_checking: flag(text(&["ansible_ssh_host_key_checking", "ansible_host_key_checking"])?).or(defaults.host_key_checking),
        })
    }

    /// As whom the task runs, if not as the user who logged in.
    pub(super) fn privilege(&self) -> Result<Option<Privilege>, Diagnostic> {
        let defaults = self.defaults;
        let wanted = match self.first(&["ansible_become"])? {
            Some(text) => crate::wire::Value::from(text).to_bool().unwrap_or(false),
            None => match self.context.keyword(Keyword::Become) {
                Some(expr) => truth(&self.templar.evaluate(expr, self.scope)?),
                None => defaults.privileged,
            },
        };
        if !wanted {
            return Ok(None);
        }
        let pick = |names: &[&str], keyword: Keyword, default: &Option<String>| -> Result<Option<String>, Diagnostic> {
            match self.first(names)? {
                Some(text) => Ok(Some(text)),
                None => Ok(self.keyword(keyword)?.or_else(|| default.clone())),
            }
        };
        let method = pick(&["ansible_become_method"], Keyword::BecomeMethod, &defaults.become_method)?.unwrap_or_else(|| "sudo".to_owned());
        let method = Method::find(&method).ok_or_else(|| {
            Diagnostic::error("unknown-become", format!("become method `{method}` is not supported"))
                .help("expected `sudo`, `su` or `doas`")
        })?;
        let name = |suffix: &str| format!("ansible_{}_{suffix}", method.name());
        Ok(Some(Privilege {
            method,
            user: pick(&["ansible_become_user", &name("user")], Keyword::BecomeUser, &defaults.become_user)?
                .unwrap_or_else(|| "root".to_owned()),
            password: self
                .first(&["ansible_become_password", "ansible_become_pass", &name("pass"), &name("password")])?
                .map(Secret::new)
                .or_else(|| defaults.become_password.clone()),
            flags: pick(&["ansible_become_flags", &name("flags")], Keyword::BecomeFlags, &defaults.become_flags)?,
            exe: pick(&["ansible_become_exe", &name("exe")], Keyword::BecomeExe, &defaults.become_exe)?,
        }))
    }

    fn keyword(&self, keyword: Keyword) -> Result<Option<String>, Diagnostic> {
        let Some(expr) = self.context.keyword(keyword) else { return Ok(None) };
        Ok(plain(&self.templar.evaluate(expr, self.scope)?))
    }

    /// The first of these variables that is set.
    fn first(&self, names: &[&str]) -> Result<Option<String>, Diagnostic> {
        for name in names {
            let value = match self.scope.get(name) {
                None => continue,
                Some(Binding::Value(value)) => value,
                Some(Binding::Expr(expr)) => self.templar.evaluate(&expr, self.scope)?,
            };
            if let Some(text) = plain(&value) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

fn plain(value: &Value) -> Option<String> {
    if value.is_none() || value.is_undefined() || crate::template::is_omit(value) {
        return None;
    }
    Some(crate::template::to_wire(value).to_text())
}

fn truth(value: &Value) -> bool {
    crate::template::to_wire(value).to_bool().unwrap_or_else(|| value.is_true())
}
