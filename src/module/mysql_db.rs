//! Makes, dumps, imports or removes databases of a MySQL or MariaDB server.
//!
//! ```yaml
//! - mysql_db: {name: shop, encoding: utf8mb4, collation: utf8mb4_unicode_ci, login_unix_socket: /run/mysqld/mysqld.sock}
//! ```
//!
//! The server's own programs do the work. A database that was removed, and what an import overwrote, do not come back: dump it
//! before.

use super::mysql::{Login, literal, name};
use super::prelude::*;
use crate::machine::{Undo, words};

choice! {
    /// How the database shall be.
    pub enum State { Present = "present", Absent = "absent", Dump = "dump", Import = "import" }
}

params! {
    pub struct MysqlDb {
        /// The databases; `all` for every one, with `dump` and `import`.
        name | db: Vec<String>,
        /// How they shall be.
        state: State = State::Present,
        /// The set of characters of a new one.
        encoding: String = "",
        /// How a new one sorts.
        collation: String = "",
        /// The file of `dump` and `import`; `.gz`, `.bz2`, `.xz`, `.zst` are compressed.
        target: Option<PathText>,
        /// Dump in one transaction.
        single_transaction: bool = false,
        /// Dump row by row.
        quick: bool = true,
        /// Tables to leave out of a dump.
        ignore_tables: Vec<String> = Vec::<String>::new(),
        /// Write binary columns as digits.
        hex_blob: bool = false,
        /// Go on after errors.
        force: bool = false,
        /// More options for the program that dumps.
        dump_extra_args: Option<String>,
    }
    group = login: Login;
    rules = [Rule::When("state", "dump", &["target"]), Rule::When("state", "import", &["target"])];
}

impl Module for MysqlDb {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = &self.login;
        let mut executed = Vec::new();
        let all = self.name.iter().any(|name| name == "all");
        if all && matches!(self.state, State::Present | State::Absent) {
            return Err(Failure::new(format!("name=all can only be used with state `dump` or `import`, not with `{}`", self.state.word())));
        }
        let known: Vec<String> = login.ask("SHOW DATABASES;", machine)?.into_iter().filter_map(|row| row.into_iter().next()).collect();
        for database in &self.name {
            let there = known.contains(database);
            match self.state {
                State::Present if !there => {
                    let sql = self.creation(database);
                    login.act(&format!("{sql};"), Ok(format!("DROP DATABASE {}", name(database))), machine)?;
                    executed.push(sql);
                }
                State::Absent if there => {
                    let sql = format!("DROP DATABASE {}", name(database));
                    login.act(&format!("{sql};"), Err(format!("{sql}: what was in it is gone")), machine)?;
                    executed.push(sql);
                }
                State::Dump if !there && !all => return Err(Failure::new(format!("Cannot dump database(s) '{database}' - not found"))),
                _ => {}
            }
        }
        if matches!(self.state, State::Dump | State::Import) {
            executed.extend(self.transfer(login, all, &known, machine)?);
        }
        let names = self.name.join(" ");
        Ok(machine.outcome().with("db", names).with("db_list", self.name.clone()).with("executed_commands", executed))
    }
}

impl MysqlDb {
    fn creation(&self, database: &str) -> String {
        let mut sql = format!("CREATE DATABASE {}", name(database));
        if !self.encoding.is_empty() {
            sql.push_str(&format!(" CHARACTER SET {}", literal(&self.encoding)));
        }
        if !self.collation.is_empty() {
            sql.push_str(&format!(" COLLATE {}", literal(&self.collation)));
        }
        sql
    }

    fn transfer(&self, login: &Login, all: bool, known: &[String], machine: &mut Machine) -> Result<Vec<String>, Failure> {
        let target = machine.path(self.target.as_ref().map_or("", |path| path.0.as_str()));
        let shown = target.display().to_string();
        let dumps = self.state == State::Dump;
        if !dumps && !machine.exists(&target) {
            return Err(Failure::new(format!("target {shown} does not exist on the host")));
        }
        if machine.checking() {
            machine.mark_changed();
            return Ok(Vec::new());
        }
        if !dumps && let Some(missing) = self.name.iter().find(|database| !all && !known.contains(database)) {
            let sql = self.creation(missing);
            login.act(&format!("{sql};"), Ok(format!("DROP DATABASE {}", name(missing))), machine)?;
        }
        let names = if dumps { ["mysqldump", "mariadb-dump"] } else { ["mysql", "mariadb"] };
        let mut command = login.program(names, machine)?;
        let switches = [
            (self.force, "--force"),
            (dumps && self.single_transaction, "--single-transaction"),
            (dumps && self.quick, "--quick"),
            (dumps && self.hex_blob, "--hex-blob"),
        ];
        command = command.args(switches.into_iter().filter(|(wanted, _)| *wanted).map(|(_, switch)| switch));
        if dumps {
            command = command.args(self.ignore_tables.iter().map(|table| format!("--ignore-table={table}")));
            if let Some(extra) = &self.dump_extra_args {
                command =
                    command.args(words::split(extra).map_err(|error| Failure::new(format!("cannot read `dump_extra_args`: {error}")))?);
            }
            command = match (all, self.name.as_slice()) {
                (true, _) => command.arg("--all-databases"),
                (false, [one]) => command.arg(one),
                (false, several) => command.arg("--databases").args(several.iter().map(String::as_str)),
            };
        } else if let ([one], false) = (self.name.as_slice(), all) {
            command = command.args(["-D", one.as_str()]);
        }
        let inner = words::join(&command.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>());
        let packers = [(".gz", "gzip"), (".bz2", "bzip2"), (".xz", "xz"), (".zst", "zstd")];
        let packer = packers.into_iter().find(|(end, _)| shown.ends_with(end)).map(|(_, program)| program);
        let file = words::quote(&shown);
        let script = match (dumps, packer) {
            (true, None) => format!("{inner} >{file}"),
            (false, None) => format!("{inner} <{file}"),
            // The status of the server's program counts, too.
            (true, Some(packer)) => format!("set -e; t=$(mktemp); trap 'rm -f \"$t\"' EXIT; {inner} >\"$t\"; {packer} -c <\"$t\" >{file}"),
            (false, Some(packer)) => {
                format!("set -e; t=$(mktemp); trap 'rm -f \"$t\"' EXIT; {packer} -dc <{file} >\"$t\"; {inner} <\"$t\"")
            }
        };
        let undo = if dumps {
            machine.protect(std::slice::from_ref(&target), &[])?;
            Undo::Nothing
        } else {
            Undo::Impossible(format!("import into {}: what was there before is gone", self.name.join(", ")))
        };
        let command = Command { environment: command.environment, ..Command::shell(script) };
        let ran = machine.attempt(&command, undo)?;
        if !ran.succeeded() {
            return Err(Failure { msg: ran.stderr_text().trim().to_owned(), ..ran.failure(&command) });
        }
        machine.mark_changed();
        Ok(vec![inner])
    }
}
