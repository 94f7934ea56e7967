//! Switches a module of Apache on or off, as Debian does it.
//!
//! ```yaml
//! - apache2_module: {name: rewrite, state: present}
//!   notify: restart apache
//! ```

use std::path::Path;

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether it is on.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct Apache2Module {
        /// The module, as `a2enmod` is told it.
        name: String,
        /// Whether it is on.
        state: State = State::Present,
        /// The name that Apache itself has for it: not needed.
        identifier: Option<String>,
        /// Switch off also what Debian thinks is needed.
        force: bool = false,
        /// Ignore what Apache says of its configuration: it is not asked.
        ignore_configcheck: bool = false,
        /// Warn of missing MPM modules: Apache is not asked.
        warn_mpm_absent: bool = true,
    }
}

impl Module for Apache2Module {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let (program, back) = match self.state {
            State::Present => ("a2enmod", "a2dismod"),
            State::Absent => ("a2dismod", "a2enmod"),
        };
        let program = machine.program(program).map_err(|failure| Failure { msg: format!("{}. Perhaps this host's Apache has no {program}, and its modules are in its configuration", failure.msg), ..failure })?;
        // What a2enmod does is a link; Apache itself may be stopped, or broken.
        let link = format!("/etc/apache2/mods-enabled/{}.load", self.name);
        let on = machine.exists(Path::new(&link));
        let wanted = self.state == State::Present;
        let (is, was) = if wanted { ("enabled", "disabled") } else { ("disabled", "enabled") };
        if on == wanted {
            return Ok(machine.outcome().with("result", format!("Module {} {is}", self.name)));
        }
        let mut command = Command::new(&program).plain();
        if self.force {
            command = command.arg("-f");
        }
        let undo = Undo::by(format!("module {} of Apache {was} again", self.name), &Command::new(machine.program(back)?).args(["-f", &self.name]));
        machine.act(&command.arg(&self.name), undo).map_err(|failure| Failure {
            msg: format!("Failed to set module {} to {is}: {}", self.name, failure.msg),
            ..failure
        })?;
        Ok(machine.outcome().with("result", format!("Module {} {is}", self.name)))
    }
}
