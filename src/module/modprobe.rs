//! Loads and unloads modules of the kernel.
//!
//! ```yaml
//! - modprobe: {name: br_netfilter, state: present, persistent: present}
//! ```

use std::path::PathBuf;

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether it is wanted.
    pub enum State { Present = "present", Absent = "absent" }
}

choice! {
    /// Whether it is to be loaded at every start, too.
    pub enum Persistent { Disabled = "disabled", Present = "present", Absent = "absent" }
}

params! {
    pub struct Modprobe {
        /// The module.
        name: String,
        /// Whether it is loaded.
        state: State = State::Present,
        /// Its parameters.
        params: String = "",
        /// Whether it is loaded at every start; `disabled` leaves that alone.
        persistent: Persistent = Persistent::Disabled,
    }
}

impl Module for Modprobe {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let loaded = self.loaded(machine)?;
        let load = vec!["modprobe".to_owned(), self.name.clone()];
        let unload = vec!["modprobe".to_owned(), "-r".to_owned(), self.name.clone()];
        if self.state == State::Present && !loaded {
            let command = Command::new("modprobe").arg(&self.name).args(self.params.split_whitespace()).plain();
            machine.act(&command, Undo::Command(format!("unload the kernel's module {}", self.name), unload))?;
        } else if self.state == State::Absent && loaded {
            let command = Command::new("modprobe").arg("-r").arg(&self.name).plain();
            machine.act(&command, Undo::Command(format!("load the kernel's module {} again", self.name), load))?;
        }
        self.persist(machine)?;
        Ok(machine.outcome().with("name", self.name.as_str()).with("params", self.params.as_str()).with("state", self.state.word()))
    }
}

impl Modprobe {
    fn loaded(&self, machine: &Machine) -> Result<bool, Failure> {
        let name = self.name.replace('-', "_");
        let modules = machine.read_text(&PathBuf::from("/proc/modules"))?.unwrap_or_default();
        if modules.lines().any(|line| line.split(' ').next() == Some(name.as_str())) {
            return Ok(true);
        }
        // One that is built into the kernel cannot be loaded, and need not be.
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let built_in = machine.read_text(&PathBuf::from(format!("/lib/modules/{release}/modules.builtin")))?.unwrap_or_default();
        Ok(built_in.lines().any(|line| line.rsplit('/').next().and_then(|file| file.strip_suffix(".ko")).is_some_and(|file| file.replace('-', "_") == name)))
    }

    fn persist(&self, machine: &mut Machine) -> Result<(), Failure> {
        let load = PathBuf::from(format!("/etc/modules-load.d/{}.conf", self.name));
        let options = PathBuf::from(format!("/etc/modprobe.d/{}.conf", self.name));
        match self.persistent {
            Persistent::Disabled => {}
            Persistent::Present => {
                machine.write(&load, &format!("{}\n", self.name).into(), &Attributes::default())?;
                if !self.params.is_empty() {
                    let lines: String = self.params.split_whitespace().map(|param| format!("options {} {param}\n", self.name)).collect();
                    machine.write(&options, &lines.into(), &Attributes::default())?;
                }
            }
            Persistent::Absent => {
                machine.remove(&load)?;
                machine.remove(&options)?;
            }
        }
        Ok(())
    }
}
