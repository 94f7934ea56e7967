//! Asks whether a PostgreSQL server answers.
//!
//! ```yaml
//! - postgresql_ping: {login_host: db1}
//!   register: db
//!   until: db.is_available
//! ```

use super::postgres::{Access, Login};
use super::prelude::*;

params! {
    pub struct PostgresqlPing {
        /// The database to connect to.
        login_db | db: String = "postgres",
    }
    group = access: Access;
}

impl Module for PostgresqlPing {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = Login { access: &self.access, role: None };
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
