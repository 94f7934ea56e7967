//! Adds extensions to a PostgreSQL database, or removes them.
//!
//! ```yaml
//! - postgresql_ext: {name: pg_trgm, login_db: shop}
//!   become_user: postgres
//! ```

use super::postgres::{Access, Login, literal, name};
use super::prelude::*;

choice! {
    /// Whether the extension shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct PostgresqlExt {
        /// The extension.
        name | ext: String,
        /// The database.
        login_db | db: String,
        /// Whether it shall be there.
        state: State = State::Present,
        /// The schema of what it brings.
        schema: Option<String>,
        /// Its version; `latest` for the newest.
        version: Option<String>,
        /// With what it needs, or with what needs it.
        cascade: bool = false,
        /// What is said of it.
        comment: Option<String>,
        /// The role to take on.
        session_role: Option<String>,
        /// Refuse dangerous input; names and values are always quoted here.
        trust_input: bool = true,
    }
    group = access: Access;
}

impl Module for PostgresqlExt {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = Login { access: &self.access, role: self.session_role.as_deref() };
        let now = self.now(&login, machine)?;
        let (extension, cascade) = (name(&self.name), if self.cascade { " CASCADE" } else { "" });
        let version = self.version.as_deref().filter(|version| *version != "latest");
        let mut queries = Vec::new();
        let mut act = |sql: String, undo: Result<String, String>, machine: &mut Machine| {
            queries.push(sql.clone());
            login.act(&self.login_db, &format!("{sql};"), undo, machine)
        };
        match (self.state, &now) {
            (State::Absent, None) => {}
            (State::Absent, Some(_)) => {
                let sql = format!("DROP EXTENSION {extension}{cascade}");
                act(sql.clone(), Err(format!("{sql}: what was in it is gone")), machine)?;
            }
            (State::Present, None) => {
                if self.newest(&login, machine)?.is_none() {
                    return Err(Failure::new(format!("Extension {} is not available", self.name)));
                }
                let schema = self.schema.as_ref().map_or_else(String::new, |schema| format!(" WITH SCHEMA {}", name(schema)));
                let version = version.map_or_else(String::new, |version| format!(" VERSION {}", literal(version)));
                act(format!("CREATE EXTENSION {extension}{schema}{version}{cascade}"), Ok(format!("DROP EXTENSION {extension}")), machine)?;
            }
            (State::Present, Some(now)) => {
                let wanted = if self.version.as_deref() == Some("latest") { self.newest(&login, machine)? } else { version.map(str::to_owned) };
                if let Some(wanted) = wanted.filter(|wanted| *wanted != now.version) {
                    let undo = Ok(format!("ALTER EXTENSION {extension} UPDATE TO {}", literal(&now.version)));
                    act(format!("ALTER EXTENSION {extension} UPDATE TO {}", literal(&wanted)), undo, machine)?;
                }
                if let Some(schema) = self.schema.as_ref().filter(|schema| **schema != now.schema) {
                    let set = |schema: &str| format!("ALTER EXTENSION {extension} SET SCHEMA {}", name(schema));
                    act(set(schema), Ok(set(&now.schema)), machine)?;
                }
            }
        }
        let old = now.as_ref().map(|now| now.comment.as_str()).unwrap_or_default();
        if let Some(comment) = self.comment.as_ref().filter(|comment| self.state == State::Present && *comment != old) {
            let say = |text: &str| format!("COMMENT ON EXTENSION {extension} IS {}", if text.is_empty() { "NULL".to_owned() } else { literal(text) });
            // Of an extension that is new, the comment goes with it.
            let undo = if now.is_some() { say(old) } else { "SELECT 1".to_owned() };
            act(say(comment), Ok(undo), machine)?;
        }
        let after = if machine.checking() { None } else { self.now(&login, machine)? };
        let outcome = machine.outcome().with("db", self.login_db).with("ext", self.name).with("queries", queries);
        let outcome = outcome.with("prev_version", now.map_or_else(String::new, |now| now.version));
        Ok(outcome.with("version", after.map_or_else(String::new, |after| after.version)))
    }
}

/// An extension that is there.
struct Now {
    version: String,
    schema: String,
    comment: String,
}

impl PostgresqlExt {
    fn now(&self, login: &Login<'_>, machine: &Machine) -> Result<Option<Now>, Failure> {
        let sql = format!(
            "SELECT extversion, nspname, coalesce(obj_description(e.oid, 'pg_extension'), '') FROM pg_extension e \
             JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = {};",
            literal(&self.name)
        );
        let mut fields = login.ask(&self.login_db, &sql, machine)?.into_iter().next().unwrap_or_default().into_iter();
        Ok(match (fields.next(), fields.next(), fields.next()) {
            (Some(version), Some(schema), Some(comment)) => Some(Now { version, schema, comment }),
            _ => None,
        })
    }

    fn newest(&self, login: &Login<'_>, machine: &Machine) -> Result<Option<String>, Failure> {
        let sql = format!("SELECT default_version FROM pg_available_extensions WHERE name = {};", literal(&self.name));
        Ok(login.ask(&self.login_db, &sql, machine)?.into_iter().next().and_then(|row| row.into_iter().next()))
    }
}
