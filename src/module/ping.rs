//! Tells whether the agent on the host answers.
//!
//! ```yaml
//! - ping:
//! ```

use super::prelude::*;

params! {
    pub struct Ping {
        /// What to answer; `crash` makes the task fail.
        data: String = "pong",
    }
}

impl Module for Ping {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if self.data == "crash" {
            // As the Python module ends, whose exception playbooks look for.
            return Err(Failure::new("boom").with("module_stdout", "").with("module_stderr", "Exception: boom\n").with("rc", 1));
        }
        Ok(machine.outcome().with("ping", self.data))
    }
}
