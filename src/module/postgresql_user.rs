//! Makes, changes or removes roles of a PostgreSQL server.
//!
//! ```yaml
//! - postgresql_user: {name: shop, password: "{{ shop_password }}", role_attr_flags: "CREATEDB,NOSUPERUSER"}
//!   become_user: postgres
//! ```
//!
//! A password is compared with what the server keeps of it, so it is changed only when it is another.

use super::postgres::{Access, Login, literal, name};
use super::prelude::*;
use super::scram;

choice! {
    /// Whether the role shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct PostgresqlUser {
        /// The role.
        name | user: String,
        /// Its password, plain or as the server keeps it.
        password: Option<String>,
        /// Whether it shall be there.
        state: State = State::Present,
        /// What it may do: `CREATEDB,NOSUPERUSER,LOGIN`.
        role_attr_flags: Option<String>,
        /// Has no meaning: servers always encrypt.
        encrypted: bool = true,
        /// When its password expires: `Jan 31 2027`, `infinity`.
        expires: Option<String>,
        /// The most connections.
        conn_limit: Option<i64>,
        /// Leave the password as it is.
        no_password_changes: bool = false,
        /// What is said of it.
        comment: Option<String>,
        /// Fail when it cannot be removed.
        fail_on_user: bool = true,
        /// Settings of its sessions: `search_path`, `work_mem`.
        configuration: Option<Map>,
        /// The database to connect to.
        login_db | db: String = "postgres",
        /// The role to take on.
        session_role: Option<String>,
        /// Refuse dangerous input; names and values are always quoted here.
        trust_input: bool = true,
    }
    group = access: Access;
}

/// Flags with the column that has them.
const FLAGS: [(&str, &str); 7] = [
    ("SUPERUSER", "rolsuper"),
    ("CREATEROLE", "rolcreaterole"),
    ("CREATEDB", "rolcreatedb"),
    ("INHERIT", "rolinherit"),
    ("LOGIN", "rolcanlogin"),
    ("REPLICATION", "rolreplication"),
    ("BYPASSRLS", "rolbypassrls"),
];

impl Module for PostgresqlUser {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = Login { access: &self.access, role: self.session_role.as_deref() };
        let flags = self.flags()?;
        let columns = FLAGS.map(|(_, column)| column).join(", ");
        let sql = format!(
            "SELECT {columns}, rolconnlimit, coalesce(rolvaliduntil::text, ''), coalesce(shobj_description(oid, 'pg_authid'), ''), \
             coalesce(array_to_string(rolconfig, E'\\n'), '') FROM pg_roles WHERE rolname = {};",
            literal(&self.name)
        );
        let found = login.ask(&self.login_db, &sql, machine)?.into_iter().next();
        let mut queries: Vec<String> = Vec::new();
        let role = name(&self.name);
        let mut act = |shown: String, sql: String, undo: Result<String, String>, machine: &mut Machine| {
            queries.push(shown);
            login.act(&self.login_db, &sql, undo, machine)
        };
        match (self.state, found) {
            (State::Absent, None) => {}
            (State::Absent, Some(_)) => {
                let sql = format!("DROP USER {role}");
                let dropped = act(sql.clone(), format!("{sql};"), Err(format!("{sql}: its password and rights are gone")), machine);
                match dropped {
                    Err(_) if !self.fail_on_user => {}
                    other => other?,
                }
            }
            (State::Present, None) => {
                let mut options = String::new();
                for (flag, wanted) in &flags {
                    options.push_str(&format!(" {}{flag}", if *wanted { "" } else { "NO" }));
                }
                let tail = self.limits();
                let secret = self.password.as_ref().map_or_else(String::new, |password| format!(" ENCRYPTED PASSWORD {}", literal(password)));
                let shown = format!("CREATE USER {role}{options}{}{tail}", if secret.is_empty() { "" } else { " ENCRYPTED PASSWORD '********'" });
                act(shown, format!("CREATE USER {role}{options}{secret}{tail};"), Ok(format!("DROP USER {role}")), machine)?;
                if let Some(comment) = &self.comment {
                    let sql = format!("COMMENT ON ROLE {role} IS {}", literal(comment));
                    act(sql.clone(), format!("{sql};"), Ok("SELECT 1".to_owned()), machine)?;
                }
            }
            (State::Present, Some(row)) => {
                for (flag, wanted) in &flags {
                    let index = FLAGS.iter().position(|(known, _)| known == flag).unwrap_or_default();
                    let there = row.get(index).is_some_and(|value| value == "t");
                    if there != *wanted {
                        let set = |on: bool| format!("ALTER USER {role} {}{flag}", if on { "" } else { "NO" });
                        act(set(*wanted), format!("{};", set(*wanted)), Ok(set(there)), machine)?;
                    }
                }
                if let Some(limit) = self.conn_limit.filter(|limit| row.get(7).is_some_and(|there| *there != limit.to_string())) {
                    let set = |limit: &str| format!("ALTER USER {role} CONNECTION LIMIT {limit}");
                    act(set(&limit.to_string()), format!("{};", set(&limit.to_string())), Ok(set(row.get(7).map_or("-1", String::as_str))), machine)?;
                }
                if let Some(expires) = &self.expires {
                    let same = login.ask(&self.login_db, &format!("SELECT {}::timestamptz::text;", literal(expires)), machine)?;
                    let there = row.get(8).map_or("", String::as_str);
                    if same.first().and_then(|row| row.first()).map(String::as_str) != Some(there) {
                        let set = |until: &str| format!("ALTER USER {role} VALID UNTIL {}", literal(if until.is_empty() { "infinity" } else { until }));
                        act(set(expires), format!("{};", set(expires)), Ok(set(there)), machine)?;
                    }
                }
                if let Some(password) = self.password.as_ref().filter(|_| !self.no_password_changes) {
                    let kept = login.ask(&self.login_db, &format!("SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = {};", literal(&self.name)), machine)?;
                    let kept = kept.first().and_then(|row| row.first()).map_or("", String::as_str);
                    if !scram::is_kept_as(password, &self.name, kept) {
                        let shown = format!("ALTER USER {role} WITH ENCRYPTED PASSWORD '********'");
                        let sql = format!("ALTER USER {role} WITH ENCRYPTED PASSWORD {};", if password.is_empty() { "NULL".to_owned() } else { literal(password) });
                        let undo = if kept.is_empty() { Ok(format!("ALTER USER {role} PASSWORD NULL")) } else { Err(format!("the password of {} was changed; the old one is known to nobody here", self.name)) };
                        act(shown, sql, undo, machine)?;
                    }
                }
                if let Some(comment) = self.comment.as_ref().filter(|comment| row.get(9) != Some(comment)) {
                    let say = |text: &str| format!("COMMENT ON ROLE {role} IS {}", literal(text));
                    act(say(comment), format!("{};", say(comment)), Ok(say(row.get(9).map_or("", String::as_str))), machine)?;
                }
                let settings = row.get(10).map_or("", String::as_str);
                for (key, value) in self.configuration.iter().flatten() {
                    let there = settings.lines().find_map(|line| line.strip_prefix(key.as_str())?.strip_prefix('='));
                    if there != Some(value.to_text().as_str()) {
                        let set = |value: Option<&str>| match value {
                            Some(value) => format!("ALTER USER {role} SET {} TO {}", name(key), literal(value)),
                            None => format!("ALTER USER {role} RESET {}", name(key)),
                        };
                        act(set(Some(&value.to_text())), format!("{};", set(Some(&value.to_text()))), Ok(set(there)), machine)?;
                    }
                }
            }
        }
        let outcome = machine.outcome().with("user", self.name.as_str()).with("queries", queries);
        Ok(if self.state == State::Absent && outcome.changed { outcome.with("user_removed", true) } else { outcome })
    }
}

impl PostgresqlUser {
    fn flags(&self) -> Result<Vec<(String, bool)>, Failure> {
        let mut flags = Vec::new();
        for word in self.role_attr_flags.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let word = word.to_ascii_uppercase();
            let (flag, wanted) = word.strip_prefix("NO").map_or((word.as_str(), true), |flag| (flag, false));
            if !FLAGS.iter().any(|(known, _)| *known == flag) {
                let known: Vec<&str> = FLAGS.iter().map(|(flag, _)| *flag).collect();
                return Err(Failure::new(format!("Invalid role_attr_flags specified: `{word}`; there are {}, each also with NO before it", known.join(", "))));
            }
            flags.push((flag.to_owned(), wanted));
        }
        Ok(flags)
    }

    fn limits(&self) -> String {
        let expires = self.expires.as_ref().map_or_else(String::new, |until| format!(" VALID UNTIL {}", literal(until)));
        let limit = self.conn_limit.map_or_else(String::new, |limit| format!(" CONNECTION LIMIT {limit}"));
        expires + &limit
    }
}
