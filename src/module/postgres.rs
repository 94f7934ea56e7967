//! What the PostgreSQL modules share: the program `psql`, and how text becomes SQL.
//!
//! The server's own program is used, not a client library: there is nothing to link into the agent, and it knows every way to
//! authenticate that the server knows. As the user `postgres` on the server's own host none of them needs a password.

use super::prelude::*;
use crate::machine::Undo;

params! {
    pub struct Access {
        /// The user to log in as.
        login_user | login: String = "postgres",
        /// The password of that one.
        login_password: Option<String>,
        /// The server.
        login_host | host: Option<String>,
        /// The directory of its socket.
        login_unix_socket | unix_socket: Option<String>,
        /// Its port.
        login_port | port: i64 = 5432,
        /// Whether the connection is encrypted: `disable`, `require`, `verify-full` …
        ssl_mode: Option<String>,
        /// The authority that its certificate must come from.
        ca_cert | ssl_rootcert: Option<String>,
    }
}

/// How to reach a server, and the role to take on there.
pub(super) struct Login<'a> {
    pub(super) access: &'a Access,
    pub(super) role: Option<&'a str>,
}

/// Separates fields and records of what `psql` prints; no text has these.
const FIELD: char = '\u{1f}';
const RECORD: char = '\u{1e}';
/// Stands before and after the answer that counts.
const MARK: &str = "\u{1d}";

impl Login<'_> {
    /// A program of the server (`psql`, `pg_dump`), told how to reach it.
    pub(super) fn program(&self, name: &str, database: &str) -> Command {
        let access = self.access;
        let host = access.login_unix_socket.as_deref().or(access.login_host.as_deref()).filter(|host| !host.is_empty());
        let mut command =
            Command::new(name).plain().args(["-U", access.login_user.as_str(), "-p", access.login_port.to_string().as_str(), "-w"]);
        if let Some(host) = host {
            command = command.args(["-h", host]);
        }
        command = command.args(["-d", database]);
        if let Some(password) = &access.login_password {
            command = command.env("PGPASSWORD", password);
        }
        if let Some(mode) = &access.ssl_mode {
            command = command.env("PGSSLMODE", mode);
        }
        match &access.ca_cert {
            Some(path) => command.env("PGSSLROOTCERT", path),
            None => command,
        }
    }

    /// `psql` that runs what it reads.
    fn psql(&self, database: &str, sql: &str) -> Command {
        let (field, record) = (format!("--field-separator={FIELD}"), format!("--record-separator={RECORD}"));
        let options = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", field.as_str(), record.as_str()];
        let role = self.role.map_or_else(String::new, |role| format!("SET ROLE {};\n", name(role)));
        // On its input, so that no password is seen in the list of processes.
        self.program("psql", database).args(options).stdin(format!("{role}{sql}\n"))
    }

    /// What a query gives.
    pub(super) fn ask(&self, database: &str, sql: &str, machine: &Machine) -> Result<Vec<Vec<String>>, Failure> {
        let ran = machine.query(&self.psql(database, sql))?;
        if !ran.succeeded() {
            return Err(refused(&ran));
        }
        let text = ran.stdout_text();
        let text = text.trim_end_matches(['\n', RECORD]);
        let split = |record: &str| record.split(FIELD).map(str::to_owned).collect();
        Ok(if text.is_empty() { Vec::new() } else { text.split(RECORD).map(split).collect() })
    }

    /// Runs one statement between two others; its rows, values as text, and what the server says of it.
    pub(super) fn tagged(
        &self,
        database: &str,
        begin: &str,
        sql: &str,
        end: &str,
        machine: &mut Machine,
    ) -> Result<(Vec<Value>, String), Failure> {
        let mut command = self.psql(database, &format!("{begin}\\echo {MARK}\n{sql}\n;\\echo {MARK}\n{end}"));
        command.argv.retain(|word| word != "-t" && word != "-q");
        let ran = machine.run(&command.args(["-P", "footer=off"]))?;
        if !ran.succeeded() {
            return Err(refused(&ran));
        }
        let text = ran.stdout_text();
        let answer = text.split(MARK).nth(1).unwrap_or_default().trim_matches(['\n', RECORD]);
        let (table, tag) = answer.rsplit_once('\n').unwrap_or(("", answer));
        let is_tag = !tag.contains([FIELD, RECORD])
            && tag.split(' ').all(|word| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
        let (table, tag) =
            if is_tag { (table, tag.to_owned()) } else { (answer, sql.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()) };
        let mut records = table.trim_matches(['\n', RECORD]).split(RECORD).map(|record| record.split(FIELD).collect::<Vec<_>>());
        let names = records.next().unwrap_or_default();
        let row =
            |values: Vec<&str>| Value::Map(names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.into())).collect());
        Ok((records.map(row).collect(), tag))
    }

    /// Runs what changes something; in check mode it only marks. The undo is SQL, if there is any.
    pub(super) fn act(&self, database: &str, sql: &str, undo: Result<String, String>, machine: &mut Machine) -> Result<(), Failure> {
        machine.mark_changed();
        if machine.checking() {
            return Ok(());
        }
        machine.announce(self.undo(database, undo))?;
        let ran = machine.run(&self.psql(database, sql))?;
        if ran.succeeded() { Ok(()) } else { Err(refused(&ran)) }
    }

    fn undo(&self, database: &str, undo: Result<String, String>) -> Undo {
        match undo {
            Err(words) => Undo::Impossible(words),
            // The journal keeps no passwords.
            Ok(sql) if self.access.login_password.is_some() => {
                Undo::Impossible(format!("`{sql}` would need the password of {}", self.access.login_user))
            }
            Ok(sql) => {
                let command = self.program("psql", database).args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql.as_str()]);
                Undo::Command(sql, command.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect())
            }
        }
    }
}

fn refused(ran: &Completed) -> Failure {
    let stderr = ran.stderr_text();
    let text = stderr.trim().trim_start_matches("psql: ").trim_start_matches("error: ");
    let word = if ran.status == 2 { "unable to connect to database" } else { "Cannot execute SQL" };
    Failure::new(format!("{word}: {text}"))
}

/// A name as SQL quotes it.
pub(super) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A text as SQL quotes it.
pub(super) fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_quotes() {
        assert_eq!(name(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal(r"it's\n"), r"E'it''s\\n'");
    }
}
