//! Sets the name of the host.
//!
//! ```yaml
//! - hostname: {name: web1.example.com}
//! ```

use std::path::Path;

use super::prelude::*;
use crate::machine::{Undo, find_program};

params! {
    pub struct Hostname {
        /// The name.
        name: String,
        /// How it is set, when the host cannot be trusted to know.
        r#use: Option<String>,
    }
}

impl Module for Hostname {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let current = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let file = Path::new("/etc/hostname");
        let permanent = machine.read_text(file)?.unwrap_or_default();
        let systemd = self.r#use.as_deref().map_or_else(|| Path::new("/run/systemd/system").exists(), |given| given == "systemd");
        if systemd && find_program("hostnamectl").is_some() {
            if permanent.trim() != self.name || current != self.name {
                let set = |name: &str| vec!["hostnamectl".to_owned(), "set-hostname".to_owned(), name.to_owned()];
                let command = Command { argv: set(&self.name).into_iter().map(Into::into).collect(), ..Command::default() };
                machine.act(&command.plain(), Undo::Command(format!("name the host {current} again"), set(&current)))?;
            }
        } else {
            machine.write(file, &format!("{}\n", self.name).into(), &Attributes::default())?;
            if current != self.name {
                let back = vec!["hostname".to_owned(), current.clone()];
                let command = Command::new("hostname").arg(&self.name).plain();
                machine.act(&command, Undo::Command(format!("name the host {current} again"), back))?;
            }
        }
        let short = self.name.split('.').next().unwrap_or_default();
        let domain = self.name.split_once('.').map_or("", |(_, domain)| domain);
        let facts = [("ansible_hostname", short), ("ansible_nodename", &self.name), ("ansible_fqdn", &self.name), ("ansible_domain", domain)];
        let facts: Map = facts.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Ok(machine.outcome().with("name", self.name.as_str()).with("ansible_facts", facts))
    }
}
