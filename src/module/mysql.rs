//! What the MySQL and MariaDB modules share: the program `mysql`, and how text becomes SQL.
//!
//! The server's own program is used, not a client library: there is nothing to link into the agent, and as root on the server's
//! own host its socket needs no password.

use super::prelude::*;
use crate::machine::{Undo, find_program, own_home};

params! {
    pub struct Login {
        /// The user to log in as.
        login_user: Option<String>,
        /// The password of that one.
        login_password: Option<String>,
        /// The server.
        login_host: String = "localhost",
        /// Its port.
        login_port: i64 = 3306,
        /// Its socket.
        login_unix_socket: Option<String>,
        /// A file with user and password.
        config_file: Option<String>,
    }
}

impl Login {
    /// A program of the server (`mysql`, `mysqldump`), told how to reach it. MariaDB calls it otherwise.
    pub(super) fn program(&self, names: [&str; 2], machine: &Machine) -> Result<Command, Failure> {
        let missing = || Failure::new(format!("this host has no `{}`: install the client of MySQL or MariaDB", names[0]));
        let program = names.iter().find_map(|name| find_program(name)).ok_or_else(missing)?;
        let mut command = Command::new(program).plain();
        // This option must be the first.
        let config = self.config_file.as_ref().map(|file| machine.path(file)).or_else(|| own_home().map(|home| home.join(".my.cnf")));
        if let Some(file) = config.filter(|file| file.is_file()) {
            command = command.arg(format!("--defaults-extra-file={}", file.display()));
        }
        if let Some(user) = &self.login_user {
            command = command.arg(format!("--user={user}"));
        }
        command = match &self.login_unix_socket {
            Some(socket) => command.arg(format!("--socket={socket}")),
            None if self.login_host == "localhost" => command,
            None => command.arg(format!("--host={}", self.login_host)).arg(format!("--port={}", self.login_port)),
        };
        Ok(match &self.login_password {
            // Not as an option: everybody on the host would see it.
            Some(password) => command.env("MYSQL_PWD", password),
            None => command,
        })
    }

    fn client(&self, sql: &str, machine: &Machine) -> Result<Command, Failure> {
        let command =
            self.program(["mysql", "mariadb"], machine)?.args(["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        Ok(command.stdin(format!("{sql}\n")))
    }

    /// What a query gives.
    pub(super) fn ask(&self, sql: &str, machine: &Machine) -> Result<Vec<Vec<String>>, Failure> {
        let ran = machine.query(&self.client(sql, machine)?)?;
        if !ran.succeeded() {
            return Err(refused(&ran));
        }
        let plain = |field: &str| field.replace("\\t", "\t").replace("\\n", "\n").replace("\\\\", "\\");
        Ok(ran.stdout_text().lines().map(|line| line.split('\t').map(plain).collect()).collect())
    }

    /// Runs what changes something; in check mode it only marks. The undo is SQL, if there is any.
    pub(super) fn act(&self, sql: &str, undo: Result<String, String>, machine: &mut Machine) -> Result<(), Failure> {
        machine.mark_changed();
        if machine.checking() {
            return Ok(());
        }
        let undo = match undo {
            Err(words) => Undo::Impossible(words),
            // The journal keeps no passwords.
            Ok(sql) if self.login_password.is_some() => Undo::Impossible(format!("`{sql}` would need the password of the login")),
            Ok(sql) => {
                let command = self.client("", machine)?.args(["-e", sql.as_str()]);
                Undo::Command(sql, command.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect())
            }
        };
        machine.announce(undo)?;
        let ran = machine.run(&self.client(sql, machine)?)?;
        if ran.succeeded() { Ok(()) } else { Err(refused(&ran)) }
    }
}

fn refused(ran: &Completed) -> Failure {
    let stderr = ran.stderr_text();
    let text = stderr.trim();
    let connects = ["ERROR 1045", "ERROR 1698", "ERROR 2002", "ERROR 2003", "ERROR 2005"].iter().any(|code| text.contains(code));
    let help = "unable to connect to database, check login_user and login_password are correct or the config file has the credentials.";
    Failure::new(if connects { format!("{help} Exception message: {text}") } else { text.to_owned() })
}

/// A name as SQL quotes it.
pub(super) fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// A text as SQL quotes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
