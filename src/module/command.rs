//! Runs a program, without a shell.
//!
//! ```yaml
//! - command: systemctl is-active nginx
//!   changed_when: false
//! - command:
//!     argv: [/opt/shop/migrate, --all]
//!     creates: /opt/shop/.migrated
//! ```

use super::invocation::{Invocation, directory, input};
use super::prelude::*;
use crate::machine::words;

params! {
    pub struct CommandModule {
        /// The program and its arguments; quoting as in a shell, but nothing is a shell's.
        cmd: Option<String>,
        /// The same, already split.
        argv: Option<Vec<String>>,
        /// Run it in this directory.
        chdir: Option<PathText>,
        /// Do not run it when this exists; may be a pattern.
        creates: Option<PathText>,
        /// Only run it when this exists; may be a pattern.
        removes: Option<PathText>,
        /// What it reads from its standard input.
        stdin: Option<String>,
        /// End `stdin` with a line end.
        stdin_add_newline: bool = true,
        /// Cut line ends off the end of the output.
        strip_empty_ends: bool = true,
        /// Replace `$NAME` and `~` in arguments.
        expand_argument_vars: bool = true,
        /// Has no meaning here; use `shell` to choose a shell.
        executable: Option<PathText>,
    }
    free_form = cmd;
    rules = [Rule::Exclusive(&["cmd", "argv"]), Rule::OneOf(&["cmd", "argv"])];
}

impl Module for CommandModule {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if let Some(executable) = &self.executable {
            machine.warn(format!("the parameter `executable` is no longer supported by `command`: `{}` is not used; `shell` has one", executable.0));
        }
        let shown = match (&self.argv, &self.cmd) {
            (Some(argv), _) => argv.clone(),
            (None, Some(line)) => words::split(line).map_err(Failure::new)?,
            (None, None) => Vec::new(),
        };
        if shown.first().is_none_or(String::is_empty) {
            return Err(Failure::new("no command given").with("rc", 256));
        }
        let expand = |word: &String| if self.expand_argument_vars { machine.path(word).into_os_string() } else { word.into() };
        let command = Command {
            argv: shown.iter().map(expand).collect(),
            chdir: directory(self.chdir.as_ref(), machine),
            stdin: input(self.stdin.as_deref(), self.stdin_add_newline),
            ..Command::default()
        };
        let shown = Value::from(shown);
        Invocation { shown, command, creates: self.creates, removes: self.removes, strip: self.strip_empty_ends }.run(machine)
    }
}
