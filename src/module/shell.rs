//! Runs text in a shell.
//!
//! ```yaml
//! - shell: pg_dump shop | gzip > /backup/shop.gz
//!   args:
//!     creates: /backup/shop.gz
//!     executable: /bin/bash
//! ```

use super::invocation::{Invocation, directory, input};
use super::prelude::*;

params! {
    pub struct Shell {
        /// The text.
        cmd: String,
        /// Run it in this directory.
        chdir: Option<PathText>,
        /// Do not run it when this exists; may be a pattern.
        creates: Option<PathText>,
        /// Only run it when this exists; may be a pattern.
        removes: Option<PathText>,
        /// The shell, by its absolute path; `/bin/sh` when not given.
        executable: Option<PathText>,
        /// What it reads from its standard input.
        stdin: Option<String>,
        /// End `stdin` with a line end.
        stdin_add_newline: bool = true,
        /// Cut line ends off the end of the output.
        strip_empty_ends: bool = true,
    }
    free_form = cmd;
}

impl Module for Shell {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if self.cmd.trim().is_empty() {
            return Err(Failure::new("no command given").with("rc", 256));
        }
        let shell = self.executable.as_ref().map_or_else(|| "/bin/sh".into(), |path| machine.path(&path.0));
        let command = Command {
            argv: vec![shell.into(), "-c".into(), self.cmd.clone().into()],
            chdir: directory(self.chdir.as_ref(), machine),
            stdin: input(self.stdin.as_deref(), self.stdin_add_newline),
            ..Command::default()
        };
        let shown = Value::from(self.cmd);
        Invocation { shown, command, creates: self.creates, removes: self.removes, strip: self.strip_empty_ends }.run(machine)
    }
}
