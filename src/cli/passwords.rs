//! Passwords: asked for on the terminal, or read from files.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use super::Stopped;
use super::options::{ConnectionOptions, PrivilegeOptions};
use super::settings::Settings;
use crate::run::{Paused, Pausing, Prompter};

/// The password to log in with.
pub(super) fn login(options: &ConnectionOptions, config: &Settings) -> Result<Option<String>, Stopped> {
    if options.ask_pass || config.ask_pass {
        return ask("SSH password: ").map(Some);
    }
    options.connection_password_file.as_ref().or(config.connection_password_file.as_ref()).map(|path| file(path)).transpose()
}

/// The password of the become program.
pub(super) fn privilege(options: &PrivilegeOptions, config: &Settings) -> Result<Option<String>, Stopped> {
    if options.ask_become_pass || config.privilege_ask_pass {
        return ask("BECOME password: ").map(Some);
    }
    options.become_password_file.as_ref().or(config.privilege_password_file.as_ref()).map(|path| file(path)).transpose()
}

/// Asks on the terminal; where there is none, a line of standard input is the answer, as in Ansible.
pub(super) fn hidden(question: &str) -> io::Result<String> {
    match rpassword::prompt_password(question) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            let mut line = String::new();
            io::stdin().read_line(&mut line)?;
            Ok(line.trim_end_matches(['\n', '\r']).to_owned())
        }
        answer => answer,
    }
}

fn ask(question: &str) -> Result<String, Stopped> {
    hidden(question).map_err(|error| Stopped::error(format!("cannot ask for a password: {error}")))
}

/// The first line of a file, or what a program prints.
fn file(path: &Path) -> Result<String, Stopped> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|error| Stopped::error(format!("cannot read the password file `{shown}`: {error}")))?;
    let text = if meta.permissions().mode() & 0o111 != 0 {
        let program = std::path::absolute(path).map_err(|error| Stopped::error(error.to_string()))?;
        let done =
            std::process::Command::new(program).output().map_err(|error| Stopped::error(format!("cannot run `{shown}`: {error}")))?;
        if !done.status.success() {
            return Err(Stopped::error(format!("the password program `{shown}` failed: {}", done.status)));
        }
        String::from_utf8_lossy(&done.stdout).into_owned()
    } else {
        fs::read_to_string(path).map_err(|error| Stopped::error(format!("cannot read the password file `{shown}`: {error}")))?
    };
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks on the terminal.
pub(super) struct Terminal;

/// The terminal, if somebody sits at it.
pub(super) fn terminal() -> Option<Terminal> {
    io::stdin().is_terminal().then_some(Terminal)
}

impl Prompter for Terminal {
    fn ask(&self, text: &str, private: bool) -> io::Result<String> {
        if private {
            return hidden(text);
        }
        let mut error = io::stderr().lock();
        io::Write::write_all(&mut error, text.as_bytes())?;
        io::Write::flush(&mut error)?;
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches('\n').to_owned())
    }

    fn pause(&self, pausing: &Pausing) -> io::Result<Paused> {
        super::keyboard::pause(pausing)
    }
}
