//! Grants and revokes privileges in a PostgreSQL database.
//!
//! ```yaml
//! - postgresql_privs: {login_db: shop, roles: reader, objs: ALL_IN_SCHEMA, privs: SELECT, type: table}
//!   become_user: postgres
//! ```
//!
//! What a grant would change is tried in a transaction that is rolled back; only grants that change something are made, and
//! only those are undone.

use super::postgres::{Access, Login, literal, name};
use super::prelude::*;

choice! {
    /// Whether the privileges shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// What kind of object they are on.
    pub enum Kind {
        Table = "table", Sequence = "sequence", Function = "function", Procedure = "procedure", Database = "database", Schema = "schema",
        Language = "language", Tablespace = "tablespace", Group = "group", DefaultPrivs = "default_privs",
        ForeignDataWrapper = "foreign_data_wrapper", ForeignServer = "foreign_server", Type = "type",
    }
}

params! {
    pub struct PostgresqlPrivs {
        /// The database.
        login_db | db | database: String,
        /// Who gets them; `PUBLIC` is everybody.
        roles | role: String,
        /// What they are: `SELECT,INSERT`, `ALL`.
        privs | priv: Option<String>,
        /// The objects; `ALL_IN_SCHEMA` for all of a schema; groups; of default privileges `TABLES`, `SEQUENCES`, …
        objs | obj: Option<String>,
        /// What kind of object they are on.
        r#type: Kind = Kind::Table,
        /// The schema of the objects, `public` when not given; for default privileges of all schemas, `not-specified`.
        schema: Option<String>,
        /// Whether they shall be there.
        state: State = State::Present,
        /// Whether the roles may grant them too.
        grant_option | admin_option: Option<bool>,
        /// Whose new objects default privileges are about.
        target_roles: Option<String>,
        /// Fail when a role does not exist.
        fail_on_role: bool = true,
        /// The role to take on.
        session_role: Option<String>,
        /// Refuse dangerous input; names are always quoted here.
        trust_input: bool = true,
    }
    group = access: Access;
}

/// Begins each list of privileges: `psql` does not tell answers apart. No name has it.
const LIST: char = '\u{1d}';

/// One grant, as small as it can be made.
struct Grant {
    role: String,
    /// `SELECT ON TABLE x`, or of a group its name.
    what: String,
    /// What stands before it, of default privileges.
    before: String,
}

impl Module for PostgresqlPrivs {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = Login { access: &self.access, role: self.session_role.as_deref() };
        let roles = self.roles(&login, machine)?;
        let grants = self.grants(&roles)?;
        let acl = self.acl();
        let mut script = format!("BEGIN;\n{acl}\n");
        for grant in &grants {
            script.push_str(&format!("{};\n{acl}\n", self.statement(grant, self.state)));
        }
        script.push_str("ROLLBACK;");
        let answer = login.ask(&self.login_db, &script, machine)?.concat().concat();
        let seen: Vec<&str> = answer.split(LIST).skip(1).map(str::trim_end).collect();
        let mut queries = Vec::new();
        for (at, grant) in grants.iter().enumerate() {
            let (Some(before), Some(after)) = (seen.get(at), seen.get(at + 1)) else {
                return Err(Failure::new("the server did not answer for every privilege"));
            };
            if before == after {
                continue;
            }
            let statement = self.statement(grant, self.state);
            login.act(&self.login_db, &format!("{statement};"), self.inverse(grant, &statement, before), machine)?;
            queries.push(format!("{statement};"));
        }
        Ok(machine.outcome().with("queries", queries))
    }
}

/// Names that stand for somebody, and are no role's.
const EVERYBODY: [&str; 4] = ["PUBLIC", "CURRENT_ROLE", "CURRENT_USER", "SESSION_USER"];

fn role(text: &str) -> String {
    if EVERYBODY.contains(&text.to_ascii_uppercase().as_str()) { text.to_ascii_uppercase() } else { name(text) }
}

fn listed(text: Option<&String>) -> Vec<String> {
    text.map(|text| text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()).unwrap_or_default()
}

impl PostgresqlPrivs {
    fn roles(&self, login: &Login<'_>, machine: &mut Machine) -> Result<Vec<String>, Failure> {
        let mut roles = listed(Some(&self.roles));
        let known = login.ask(&self.login_db, "SELECT rolname FROM pg_roles;", machine)?;
        for missing in roles.extract_if(.., |role| !EVERYBODY.contains(&role.to_ascii_uppercase().as_str()) && !known.iter().any(|row| row.first() == Some(role))) {
            if self.fail_on_role {
                return Err(Failure::new(format!("Role '{missing}' does not exist")));
            }
            machine.warn(format!("Role {missing} does not exist, pass it"));
        }
        Ok(roles)
    }

    /// Privileges, checked: they are words of SQL, not names.
    fn privileges(&self) -> Result<Vec<String>, Failure> {
        let given = self.privs.as_deref().unwrap_or(if self.r#type == Kind::DefaultPrivs { "ALL" } else { "" });
        // Columns of a privilege have commas of their own.
        let mut privileges: Vec<String> = Vec::new();
        for part in given.split(',') {
            match privileges.last_mut().filter(|last| last.contains('(') && !last.contains(')')) {
                Some(last) => *last = format!("{last},{part}"),
                None => privileges.push(part.trim().to_owned()),
            }
        }
        privileges.retain(|privilege| !privilege.is_empty());
        let odd = |privilege: &&String| !privilege.chars().all(|letter| letter.is_alphanumeric() || "_ (),\"".contains(letter));
        match privileges.iter().find(odd) {
            Some(odd) => Err(Failure::new(format!("Invalid privs specified: `{odd}`"))),
            None if privileges.is_empty() => Err(Failure::new(format!("the type `{}` needs `privs`", self.r#type.word()))),
            None => Ok(privileges.into_iter().map(|privilege| if privilege.contains('(') { privilege } else { privilege.to_ascii_uppercase() }).collect()),
        }
    }

    fn schema(&self) -> &str {
        self.schema.as_deref().unwrap_or("public")
    }

    fn grants(&self, roles: &[String]) -> Result<Vec<Grant>, Failure> {
        let mut grants = Vec::new();
        if self.r#type == Kind::Group {
            let groups = listed(self.objs.as_ref());
            if groups.is_empty() {
                return Err(Failure::new("Argument \"objs\" is required for type \"group\"."));
            }
            for (to, group) in roles.iter().flat_map(|to| groups.iter().map(move |group| (to, group))) {
                grants.push(Grant { role: role(to), what: name(group), before: String::new() });
            }
            return Ok(grants);
        }
        let privileges = self.privileges()?;
        let mut objects = listed(self.objs.as_ref());
        if self.r#type == Kind::Database && objects.is_empty() {
            objects.push(self.login_db.clone());
        }
        if objects.is_empty() {
            return Err(Failure::new(format!("the type `{}` needs `objs`", self.r#type.word())));
        }
        if objects == ["ALL_DEFAULT"] {
            objects = ["TABLES", "SEQUENCES", "TYPES"].map(str::to_owned).to_vec();
        }
        let targets = listed(self.target_roles.as_ref());
        let makers = if targets.is_empty() { vec![String::new()] } else { targets.iter().map(|maker| format!(" FOR ROLE {}", name(maker))).collect() };
        for object in &objects {
            for privilege in &privileges {
                for to in roles {
                    let what = format!("{privilege} ON {}", self.object(object)?);
                    if self.r#type != Kind::DefaultPrivs {
                        grants.push(Grant { role: role(to), what, before: String::new() });
                        continue;
                    }
                    for maker in &makers {
                        let everywhere = object == "SCHEMAS" || self.schema.as_deref() == Some("not-specified");
                        let place = if everywhere { String::new() } else { format!(" IN SCHEMA {}", name(self.schema())) };
                        grants.push(Grant { role: role(to), what: what.clone(), before: format!("ALTER DEFAULT PRIVILEGES{maker}{place} ") });
                    }
                }
            }
        }
        Ok(grants)
    }

    /// An object as a grant names it.
    fn object(&self, object: &str) -> Result<String, Failure> {
        let inside = |word: &str, all: &str| {
            if object == "ALL_IN_SCHEMA" { format!("ALL {all} IN SCHEMA {}", name(self.schema())) } else { format!("{word} {}.{}", name(self.schema()), name(object)) }
        };
        Ok(match self.r#type {
            Kind::Table => inside("TABLE", "TABLES"),
            Kind::Sequence => inside("SEQUENCE", "SEQUENCES"),
            Kind::Type => inside("TYPE", "TYPES"),
            Kind::Function | Kind::Procedure if object == "ALL_IN_SCHEMA" => inside("", if self.r#type == Kind::Function { "FUNCTIONS" } else { "PROCEDURES" }),
            Kind::Function | Kind::Procedure => {
                let word = if self.r#type == Kind::Function { "FUNCTION" } else { "PROCEDURE" };
                let parts = object.split_once('(').and_then(|(function, arguments)| Some((function, arguments.strip_suffix(')')?)));
                let (function, arguments) = parts.ok_or_else(|| Failure::new(format!("Illegal function / procedure signature: \"{object}\".")))?;
                let types = arguments.replace(':', ", ");
                if !types.chars().all(|letter| letter.is_alphanumeric() || "_ ,.[]\"".contains(letter)) {
                    return Err(Failure::new(format!("Illegal function / procedure signature: \"{object}\".")));
                }
                format!("{word} {}.{}({types})", name(self.schema()), name(function))
            }
            Kind::Database => format!("DATABASE {}", name(object)),
            Kind::Schema => format!("SCHEMA {}", name(object)),
            Kind::Language => format!("LANGUAGE {}", name(object)),
            Kind::Tablespace => format!("TABLESPACE {}", name(object)),
            Kind::ForeignDataWrapper => format!("FOREIGN DATA WRAPPER {}", name(object)),
            Kind::ForeignServer => format!("FOREIGN SERVER {}", name(object)),
            Kind::DefaultPrivs if ["TABLES", "SEQUENCES", "FUNCTIONS", "TYPES", "SCHEMAS"].contains(&object) => object.to_owned(),
            Kind::DefaultPrivs => return Err(Failure::new(format!("expected one of `TABLES`, `SEQUENCES`, `FUNCTIONS`, `TYPES`, `SCHEMAS`, `ALL_DEFAULT`, found `{object}`"))),
            Kind::Group => object.to_owned(),
        })
    }

    fn statement(&self, grant: &Grant, state: State) -> String {
        let Grant { role, what, before } = grant;
        let word = if self.r#type == Kind::Group { "ADMIN" } else { "GRANT" };
        match (state, self.grant_option) {
            (State::Present, Some(true)) => format!("{before}GRANT {what} TO {role} WITH {word} OPTION"),
            (State::Present, Some(false)) => format!("{before}GRANT {what} TO {role}; {before}REVOKE {word} OPTION FOR {what} FROM {role}"),
            (State::Present, None) => format!("{before}GRANT {what} TO {role}"),
            (State::Absent, _) => format!("{before}REVOKE {what} FROM {role}"),
        }
    }

    /// The way back: exact where the grant is one privilege on one object that the role had nothing of.
    fn inverse(&self, grant: &Grant, statement: &str, before: &str) -> Result<String, String> {
        let many = grant.what.starts_with("ALL ") || grant.what.contains(" ON ALL ");
        let plain = grant.role.trim_matches('"');
        let had = before.contains(&format!("{plain}=")) || grant.role == "PUBLIC";
        let vague = had && (many || self.grant_option.is_some());
        if vague || self.state == State::Absent && many {
            return Err(format!("{statement}: which of these privileges there were before is not known"));
        }
        let back = if self.state == State::Present { State::Absent } else { State::Present };
        Ok(self.statement(grant, back))
    }

    /// The privileges that there are, as one text.
    fn acl(&self) -> String {
        let (table, column, of_schema) = match self.r#type {
            Kind::Table | Kind::Sequence => ("pg_class", "relacl", "relnamespace"),
            Kind::Function | Kind::Procedure => ("pg_proc", "proacl", "pronamespace"),
            Kind::Type => ("pg_type", "typacl", "typnamespace"),
            Kind::Database => ("pg_database", "datacl", ""),
            Kind::Schema => ("pg_namespace", "nspacl", ""),
            Kind::Language => ("pg_language", "lanacl", ""),
            Kind::Tablespace => ("pg_tablespace", "spcacl", ""),
            Kind::ForeignDataWrapper => ("pg_foreign_data_wrapper", "fdwacl", ""),
            Kind::ForeignServer => ("pg_foreign_server", "srvacl", ""),
            Kind::DefaultPrivs => ("pg_default_acl", "defaclacl", ""),
            Kind::Group => {
                return "SELECT chr(29) || coalesce(string_agg(concat_ws(' ', roleid::regrole, member::regrole, admin_option), ';' ORDER BY roleid, member), '') FROM pg_auth_members;".to_owned();
            }
        };
        let place = if of_schema.is_empty() { String::new() } else { format!(" WHERE {of_schema} = (SELECT oid FROM pg_namespace WHERE nspname = {})", literal(self.schema())) };
        // Columns of a table have lists of their own.
        let columns = if self.r#type == Kind::Table { " || coalesce((SELECT string_agg(attrelid || attname || attacl::text, ';' ORDER BY attrelid, attnum) FROM pg_attribute WHERE attacl IS NOT NULL), '')" } else { "" };
        format!("SELECT chr(29) || coalesce(string_agg(t.oid || coalesce(t.{column}::text, ''), ';' ORDER BY t.oid), ''){columns} FROM {table} t{place};")
    }
}
