//! Runs a program, without a shell.
//!
//! ```yaml
//! - command: systemctl is-active nginx
//!   changed_when: false
//! ```

use super::prelude::*;

params! {
    pub struct Command {
        /// The program and its arguments.
        cmd: Option<String>,
        /// The same, already split.
        argv: Option<Vec<String>>,
        /// Run it in this directory.
        chdir: Option<PathText>,
    }
    free_form = cmd;
    rules = [Rule::Exclusive(&["cmd", "argv"])];
}

impl Module for Command {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, _machine: &mut Machine) -> Result<Outcome, Failure> {
        Err(Failure::new("`command` is not there yet"))
    }
}
