//! Switches a boolean of SELinux's policy.
//!
//! ```yaml
//! - seboolean: {name: httpd_can_network_connect, state: true, persistent: true}
//! ```

use super::prelude::*;
use super::selinux;
use crate::machine::Undo;

params! {
    pub struct Seboolean {
        /// The boolean.
        name: String,
        /// Whether it is on.
        state: bool,
        /// Also after the next boot.
        persistent: bool = false,
        /// Go on where SELinux is off.
        ignore_selinux_state: bool = false,
    }
}

impl Module for Seboolean {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        selinux::required(machine, self.ignore_selinux_state)?;
        let name = self.name.as_str();
        let now = on(machine, &Command::new(machine.program("getsebool")?).arg(name), name)?;
        let Some(now) = now else { return Err(Failure::new(format!("SELinux boolean {name} does not exist."))) };
        // The running policy and the one for the next boot can differ.
        let lasting = if self.persistent { on(machine, &Command::new(machine.program("semanage")?).args(["boolean", "--list"]), name)? } else { None };
        if now != self.state || lasting.is_some_and(|lasting| lasting != self.state) {
            let program = machine.program("setsebool")?;
            let command = |state: bool| {
                let command = Command::new(&program).plain();
                let command = if self.persistent { command.arg("-P") } else { command };
                command.args([name, if state { "on" } else { "off" }])
            };
            machine.act(&command(self.state), Undo::by(format!("SELinux boolean {name}"), &command(lasting.unwrap_or(now))))?;
        }
        Ok(machine.outcome().with("name", name).with("persistent", self.persistent).with("state", self.state))
    }
}

/// Whether `name` is on, by `name --> on` of getsebool or `name (on , on) …` of semanage, whose second is for the next boot.
fn on(machine: &Machine, command: &Command, name: &str) -> Result<Option<bool>, Failure> {
    let command = command.clone().plain();
    let ran = machine.query(&command)?;
    let text = ran.stdout_text();
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
    let Some(line) = line else { return if ran.succeeded() || ran.stderr_text().contains(name) { Ok(None) } else { Err(ran.failure(&command)) } };
    let state = match line.split_once('(') {
        Some((_, states)) => states.split_once(')').map_or(states, |(states, _)| states).rsplit(',').next().unwrap_or_default().trim(),
        None => line.rsplit(' ').next().unwrap_or_default(),
    };
    Ok(Some(state == "on"))
}
