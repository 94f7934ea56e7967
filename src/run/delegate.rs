//! The connection of the host that a task is delegated to, as the task's own expressions see it.

use std::sync::Arc;

use super::magic::View;
use super::task::TaskRun;
use crate::plan::scope::{Layer, Layered, Locals};
use crate::template::{Binding, Scope, Value, scope_value};

/// Names of the same thing; the first that the delegate has counts.
const CONNECTION: [&[&str]; 7] = [
    &["ansible_ssh_host", "ansible_host"],
    &["ansible_ssh_port", "ansible_port"],
    &["ansible_ssh_user", "ansible_user"],
    &["ansible_ssh_pass", "ansible_password"],
    &["ansible_ssh_private_key_file", "ansible_private_key_file"],
    &["ansible_ssh_common_args"],
    &["ansible_ssh_extra_args"],
];

impl TaskRun {
    /// Its entry in `ansible_delegated_vars`: its variables, and an address in any case.
    pub(super) fn vars_of_delegate(&self, delegate: &str) -> Value {
        let mut known = self.shared.view(&self.play, delegate, &Arc::default(), View::HostVars);
        known.push(Layer::CommandLine, Arc::new(Locals(vec![("ansible_host".to_owned(), delegate.into())])));
        scope_value(Arc::new(known))
    }

    /// The delegate's address, port, user and so on, under the names that the task's own host says nothing about: as in Ansible,
    /// `{{ ansible_host }}` is then the delegate's.
    pub(super) fn connection_of(&self, delegate: &str, own: &Layered) -> Vec<(String, Value)> {
        let (shared, context) = (&self.shared, &self.step.context);
        // Of its own host a task knows `ansible_host` in any case.
        let host = shared.view(&self.play, &self.host, context, View::HostVars);
        let unsaid = |name: &str| if name == "ansible_host" { host.get(name).is_none() } else { own.get(name).is_none() };
        let scope: Arc<dyn Scope> = Arc::new(shared.view(&self.play, delegate, context, View::HostVars));
        let value = |name: &&str| match scope.get(name)? {
            Binding::Value(value) => Some(value),
            Binding::Expr(expr) => shared.templar.evaluate(&expr, &scope).ok(),
        };
        let mut found = Vec::new();
        for (index, names) in CONNECTION.iter().enumerate() {
            let name_of_host = || (index == 0).then(|| Value::from(delegate));
            let Some(said) = names.iter().find_map(value).or_else(name_of_host) else { continue };
            found.extend(names.iter().filter(|name| unsaid(name)).map(|name| ((*name).to_owned(), said.clone())));
        }
        found
    }
}
