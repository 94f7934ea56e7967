//! Makes, changes, dumps, restores or removes databases of a PostgreSQL server.
//!
//! ```yaml
//! - postgresql_db: {name: shop, owner: shop, encoding: UTF-8}
//!   become_user: postgres
//! ```
//!
//! The server's own programs do the work. A database that was removed, and what a restore overwrote, do not come back: dump it
//! before.

use super::postgres::{Access, Login, literal, name};
use super::prelude::*;
use crate::machine::{Undo, words};

choice! {
    /// How the database shall be.
    pub enum State { Present = "present", Absent = "absent", Dump = "dump", Restore = "restore", Rename = "rename" }
}

params! {
    pub struct PostgresqlDb {
        /// The database.
        name | db: String,
        /// How it shall be.
        state: State = State::Present,
        /// Whose it is.
        owner: Option<String>,
        /// What it is a copy of.
        template: Option<String>,
        /// How it keeps text: `UTF-8`.
        encoding: Option<String>,
        /// How it sorts.
        lc_collate: Option<String>,
        /// What it takes for letters.
        lc_ctype: Option<String>,
        /// Where it is kept.
        tablespace: Option<String>,
        /// The most connections.
        conn_limit: Option<String>,
        /// What is said of it.
        comment: Option<String>,
        /// Close connections before it is removed.
        force: bool = false,
        /// The file of `dump` and `restore`, or the new name; `.gz`, `.bz2`, `.xz` are compressed, `.tar` and `.pgc` are not text.
        target: Option<String>,
        /// More options for the program that dumps or restores.
        target_opts: Option<String>,
        /// More options for the program that dumps.
        dump_extra_args: Option<String>,
        /// The database to connect to meanwhile.
        maintenance_db | login_db: String = "postgres",
        /// The role to take on.
        session_role: Option<String>,
        /// Refuse dangerous names; they are always quoted here.
        trust_input: bool = true,
    }
    group = access: Access;
    rules = [Rule::When("state", "rename", &["target"]), Rule::When("state", "dump", &["target"]), Rule::When("state", "restore", &["target"])];
}

/// A database as the server knows it.
struct Found {
    owner: String,
    encoding: String,
    collate: String,
    ctype: String,
    limit: String,
    comment: String,
}

impl Module for PostgresqlDb {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = Login { access: &self.access, role: self.session_role.as_deref() };
        let mut executed: Vec<String> = Vec::new();
        match self.state {
            State::Dump | State::Restore => return self.transfer(&login, machine),
            State::Present => match self.find(&login, &self.name, machine)? {
                None => {
                    let back = format!("DROP DATABASE {}", name(&self.name));
                    self.act(&login, self.creation(), Ok(back), &mut executed, machine)?;
                    if let Some(comment) = &self.comment {
                        let sql = format!("COMMENT ON DATABASE {} IS {}", name(&self.name), literal(comment));
                        self.act(&login, sql, Ok("SELECT 1".to_owned()), &mut executed, machine)?;
                    }
                }
                Some(found) => self.alter(&login, &found, &mut executed, machine)?,
            },
            State::Absent => {
                if self.find(&login, &self.name, machine)?.is_some() {
                    if self.force {
                        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}", literal(&self.name));
                        self.act(&login, sql, Ok("SELECT 1".to_owned()), &mut executed, machine)?;
                    }
                    let sql = format!("DROP DATABASE {}", name(&self.name));
                    self.act(&login, sql.clone(), Err(format!("{sql}: what was in it is gone")), &mut executed, machine)?;
                }
            }
            State::Rename => self.rename(&login, &mut executed, machine)?,
        }
        Ok(machine.outcome().with("db", self.name.as_str()).with("executed_commands", executed))
    }
}

impl PostgresqlDb {
    fn act(&self, login: &Login<'_>, sql: String, undo: Result<String, String>, executed: &mut Vec<String>, machine: &mut Machine) -> Result<(), Failure> {
        login.act(&self.maintenance_db, &format!("{sql};"), undo, machine)?;
        executed.push(sql);
        Ok(())
    }

    fn find(&self, login: &Login<'_>, wanted: &str, machine: &Machine) -> Result<Option<Found>, Failure> {
        let sql = format!(
            "SELECT r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datconnlimit, coalesce(shobj_description(d.oid, 'pg_database'), '') \
             FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = {};",
            literal(wanted)
        );
        let rows = login.ask(&self.maintenance_db, &sql, machine)?;
        Ok(rows.into_iter().next().and_then(|row| {
            let [owner, encoding, collate, ctype, limit, comment] = <[String; 6]>::try_from(row).ok()?;
            Some(Found { owner, encoding, collate, ctype, limit, comment })
        }))
    }

    fn creation(&self) -> String {
        let mut sql = format!("CREATE DATABASE {}", name(&self.name));
        for (word, value) in [("OWNER", &self.owner), ("TEMPLATE", &self.template), ("TABLESPACE", &self.tablespace)] {
            if let Some(value) = value {
                sql.push_str(&format!(" {word} {}", name(value)));
            }
        }
        for (word, value) in [("ENCODING", &self.encoding), ("LC_COLLATE", &self.lc_collate), ("LC_CTYPE", &self.lc_ctype)] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                sql.push_str(&format!(" {word} {}", literal(value)));
            }
        }
        if let Some(limit) = self.conn_limit.as_ref().filter(|limit| limit.parse::<i64>().is_ok()) {
            sql.push_str(&format!(" CONNECTION LIMIT {limit}"));
        }
        sql
    }

    fn alter(&self, login: &Login<'_>, found: &Found, executed: &mut Vec<String>, machine: &mut Machine) -> Result<(), Failure> {
        let plain = |encoding: &str| encoding.to_ascii_uppercase().replace(['-', '_'], "");
        let fixed = [
            ("encoding", &self.encoding, &found.encoding, true),
            ("LC_COLLATE", &self.lc_collate, &found.collate, false),
            ("LC_CTYPE", &self.lc_ctype, &found.ctype, false),
        ];
        for (what, wanted, there, encoding) in fixed {
            let Some(wanted) = wanted.as_ref().filter(|wanted| !wanted.is_empty()) else { continue };
            let same = if encoding { plain(wanted) == plain(there) } else { wanted == there };
            if !same {
                return Err(Failure::new(format!("Changing database {what} is not supported. Current {what}: {there}")));
            }
        }
        let alter = format!("ALTER DATABASE {}", name(&self.name));
        if let Some(owner) = self.owner.as_ref().filter(|owner| **owner != found.owner) {
            let back = format!("{alter} OWNER TO {}", name(&found.owner));
            self.act(login, format!("{alter} OWNER TO {}", name(owner)), Ok(back), executed, machine)?;
        }
        if let Some(limit) = self.conn_limit.as_ref().filter(|limit| **limit != found.limit && limit.parse::<i64>().is_ok()) {
            let back = format!("{alter} CONNECTION LIMIT {}", found.limit);
            self.act(login, format!("{alter} CONNECTION LIMIT {limit}"), Ok(back), executed, machine)?;
        }
        if let Some(comment) = self.comment.as_ref().filter(|comment| **comment != found.comment) {
            let say = |text: &str| format!("COMMENT ON DATABASE {} IS {}", name(&self.name), literal(text));
            self.act(login, say(comment), Ok(say(&found.comment)), executed, machine)?;
        }
        Ok(())
    }

    fn rename(&self, login: &Login<'_>, executed: &mut Vec<String>, machine: &mut Machine) -> Result<(), Failure> {
        let target = self.target.clone().unwrap_or_default();
        match (self.find(login, &self.name, machine)?, self.find(login, &target, machine)?) {
            (None, Some(_)) => Ok(()),
            (None, None) => Err(Failure::new("Source and target databases do not exist.")),
            (Some(_), Some(_)) => Err(Failure::new("Both the source and the target databases exist.")),
            (Some(_), None) => {
                let rename = |from: &str, to: &str| format!("ALTER DATABASE {} RENAME TO {}", name(from), name(to));
                self.act(login, rename(&self.name, &target), Ok(rename(&target, &self.name)), executed, machine)
            }
        }
    }

    fn transfer(&self, login: &Login<'_>, machine: &mut Machine) -> Result<Outcome, Failure> {
        let target = machine.path(self.target.as_deref().unwrap_or_default());
        let shown = target.display().to_string();
        let ends = |end: &str| shown.ends_with(end);
        let dumps = self.state == State::Dump;
        if self.find(login, &self.name, machine)?.is_none() {
            return Err(Failure::new(format!("database {} does not exist", self.name)));
        }
        if !dumps && !machine.exists(&target) {
            return Err(Failure::new(format!("target {shown} does not exist on the host")));
        }
        if machine.checking() {
            machine.mark_changed();
            return Ok(machine.outcome().with("db", self.name.as_str()));
        }
        let format = [(".tar", "t"), (".pgc", "c"), (".dir", "d")].into_iter().find(|(end, _)| ends(end)).map(|(_, letter)| letter);
        let packer = [(".gz", "gzip"), (".bz2", "bzip2"), (".xz", "xz")].into_iter().find(|(end, _)| ends(end)).map(|(_, program)| program);
        let program = if dumps { "pg_dump" } else if format.is_some() { "pg_restore" } else { "psql" };
        let mut command = login.program(program, &self.name);
        for extra in [self.target_opts.as_ref(), self.dump_extra_args.as_ref().filter(|_| dumps)].into_iter().flatten() {
            let extra = words::split(extra).map_err(|error| Failure::new(format!("cannot read the options `{extra}`: {error}")))?;
            command = command.args(extra);
        }
        command = match (format, dumps) {
            (Some(letter), true) => command.args(["--format", letter]),
            (Some(letter), false) => command.args(["--format", letter, shown.as_str()]),
            (None, false) => command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]),
            (None, true) => command,
        };
        // `pg_restore` takes the file as its last word.
        if packer.is_none() && (dumps || format.is_none()) {
            command = command.args(["-f", shown.as_str()]);
        }
        let undo = if dumps {
            machine.protect(std::slice::from_ref(&target), &[])?;
            Undo::Nothing
        } else {
            Undo::Impossible(format!("restore of the database {}: what was in it before is gone", self.name))
        };
        let shell: Vec<String> = command.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let command = match packer {
            None => command,
            Some(packer) => {
                let inner = words::join(&shell);
                // The status of the server's program counts, too.
                let script = if dumps {
                    format!("set -e; t=$(mktemp); trap 'rm -f \"$t\"' EXIT; {inner} >\"$t\"; {packer} -c <\"$t\" >{}", words::quote(&shown))
                } else {
                    format!("set -e; t=$(mktemp); trap 'rm -f \"$t\"' EXIT; {packer} -dc <{} >\"$t\"; {inner} -f \"$t\"", words::quote(&shown))
                };
                Command { environment: command.environment, ..Command::shell(script) }
            }
        };
        let ran = machine.attempt(&command, undo)?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        machine.mark_changed();
        let outcome = machine.outcome().with("db", self.name.as_str()).with("msg", ran.stdout_text()).with("stderr", ran.stderr_text());
        Ok(outcome.with("cmd", words::join(&shell)).with("rc", 0).with("executed_commands", vec![words::join(&shell)]))
    }
}
