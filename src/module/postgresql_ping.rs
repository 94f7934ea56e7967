//! Asks whether a PostgreSQL server answers.
//!
//! ```yaml
//! - postgresql_ping: {login_host: db1}
//!   register: db
//!   until: db.is_available
//! ```

use super::postgres::Login;
use super::prelude::*;

params! {
    pub struct PostgresqlPing {
        /// The database to connect to.
        login_db | db: String = "postgres",
        /// The user.
        login_user | login: String = "postgres",
        /// The password.
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

impl Module for PostgresqlPing {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = Login {
            user: self.login_user,
            password: self.login_password,
            host: self.login_host,
            socket: self.login_unix_socket,
            port: self.login_port,
            ssl_mode: self.ssl_mode,
            ca_cert: self.ca_cert,
            session_role: None,
        };
        let asked = login.ask(&self.login_db, "SELECT current_setting('server_version_num'), version()", machine);
        let (version, complaint) = match &asked {
            Ok(rows) => (rows.first().and_then(|row| Some((row.first()?.parse::<i64>().ok()?, row.get(1)?.clone()))), String::new()),
            Err(failure) => (None, failure.msg.clone()),
        };
        let outcome = machine.outcome().with("is_available", version.is_some()).with("conn_err_msg", complaint);
        Ok(match version {
            Some((number, raw)) => {
                let full = raw.split_whitespace().nth(1).unwrap_or_default().to_owned();
                let fields = [("major", Value::from(number / 10_000)), ("minor", (number % 10_000).into()), ("full", full.into()), ("raw", raw.into())];
                outcome.with("server_version", fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<Map>())
            }
            None => outcome.with("server_version", Map::new()),
        })
    }
}
