//! The lookup `config` for options of plugins: those of Ansible's connection and shell that mean something here.

use std::collections::HashMap;

use super::{flag, option, variable};
use crate::template::{LookupCall, Value, from_wire};
use crate::wire;

/// An option: its name, and the variables that set it, the strongest first. Without them it is what the configuration says.
type Known = (&'static str, &'static [&'static str]);

const CONNECTION: &[Known] = &[
    ("host", &["inventory_hostname", "ansible_host", "ansible_ssh_host"]),
    ("pipelining", &["ansible_pipelining", "ansible_ssh_pipelining"]),
    ("port", &["ansible_port", "ansible_ssh_port"]),
    ("private_key_file", &["ansible_private_key_file", "ansible_ssh_private_key_file"]),
    ("remote_user", &["ansible_user", "ansible_ssh_user"]),
    ("scp_extra_args", &["ansible_scp_extra_args"]),
    ("sftp_extra_args", &["ansible_sftp_extra_args"]),
    ("ssh_args", &["ansible_ssh_args"]),
    ("ssh_common_args", &["ansible_ssh_common_args"]),
    ("ssh_extra_args", &["ansible_ssh_extra_args"]),
    ("ssh_transfer_method", &["ansible_ssh_transfer_method"]),
    ("timeout", &["ansible_ssh_timeout", "ansible_timeout"]),
];

const SHELL: &[Known] = &[("remote_tmp", &["ansible_remote_tmp"])];

/// Options of the plugins of `kind`.
pub(super) fn of_plugin(call: &LookupCall<'_>, kind: &str, settings: &HashMap<String, wire::Value>) -> Result<Vec<Value>, String> {
    let table = match kind {
        "connection" => CONNECTION,
        "shell" => SHELL,
        _ => return Err(format!("options of plugins are not known here: `plugin_type` is `{kind}`")),
    };
    if option(call, "plugin_name").is_none() {
        return Err("Both plugin_type and plugin_name must be supplied, cannot use one without the other".to_owned());
    }
    let origins = flag(call, "show_origin", false);
    call.terms
        .iter()
        .map(|term| {
            let name = term.to_text();
            let (_, variables) = table
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| format!("Unable to find setting {name}: this option of plugins is not known here"))?;
            let set = variables.iter().find_map(|variable_name| Some((variable(call.scope, variable_name)?, *variable_name)));
            let (value, origin) = match set {
                Some((value, from)) => (value, format!("var: {from}")),
                None => (settings.get(&name.to_uppercase()).map_or(Value::None, from_wire), "default".to_owned()),
            };
            Ok(if origins { Value::list([value, Value::from(origin)]) } else { value })
        })
        .collect()
}
