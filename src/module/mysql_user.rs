//! Makes, changes or removes users of a MySQL or MariaDB server.
//!
//! ```yaml
//! - mysql_user: {name: shop, host: "10.0.0.%", password: "{{ shop_password }}", priv: "shop.*:ALL", login_unix_socket: /run/mysqld/mysqld.sock}
//! ```
//!
//! A password is compared with what the server keeps of it where it keeps it as `mysql_native_password` does; other forms have a
//! salt, and are set whenever `update_password` is `always`.

mod grants;

use std::collections::BTreeSet;

use sha1::{Digest as _, Sha1};

use super::mysql::{Login, literal};
use super::prelude::*;
use grants::{Grants, clauses, read, wanted};

choice! {
    /// Whether the user shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// When a password is set.
    pub enum Update { Always = "always", OnCreate = "on_create", OnNewUsername = "on_new_username" }
}

params! {
    pub struct MysqlUser {
        /// The user.
        name | user: String,
        /// Where it connects from.
        host: String = "localhost",
        /// Every host that the user is known from, with `absent` and for passwords.
        host_all: bool = false,
        /// Its password.
        password: Option<String>,
        /// The password is a hash already.
        encrypted: bool = false,
        /// Its rights: `shop.*:SELECT,INSERT/logs.*:ALL`, or a mapping.
        r#priv: Option<Value>,
        /// Keep the rights that it has beside these.
        append_privs: bool = false,
        /// Take these rights away.
        subtract_privs: bool = false,
        /// Whether it shall be there.
        state: State = State::Present,
        /// When the password is set.
        update_password: Update = Update::Always,
        /// How it proves who it is: `unix_socket`, `auth_socket`.
        plugin: Option<String>,
        /// What that takes.
        plugin_auth_string: Option<String>,
        /// Try `root` without a password first: for a fresh server.
        check_implicit_admin: bool = false,
        /// Keep changes of users out of the server's log.
        sql_log_bin: bool = true,
        /// Read for compatibility: columns are compared as they are written.
        column_case_sensitive: Option<bool>,
    }
    group = login: Login;
    rules = [Rule::Exclusive(&["append_privs", "subtract_privs"])];
}

impl Module for MysqlUser {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = self.admin(machine);
        let hosts = self.hosts(&login, machine)?;
        let mut password_changed = false;
        let msg = match self.state {
            State::Absent if hosts.is_empty() => "User doesn't exist",
            State::Absent => {
                for host in &hosts {
                    let sql = self.logged(&format!("DROP USER {};", self.account(host)));
                    login.act(&sql, Err(format!("DROP USER {}: its password and rights are gone", self.account(host))), machine)?;
                }
                "User deleted"
            }
            State::Present if hosts.is_empty() => {
                let sql = format!("CREATE USER {}{};", self.account(&self.host), self.identified());
                login.act(&self.logged(&sql), Ok(format!("DROP USER {}", self.account(&self.host))), machine)?;
                password_changed = self.password.is_some();
                self.grant(&login, &self.host, &Grants::new(), machine)?;
                "User added"
            }
            State::Present => {
                for host in &hosts {
                    password_changed |= self.set_password(&login, host, machine)?;
                    let rows = login.ask(&format!("SHOW GRANTS FOR {};", self.account(host)), machine)?;
                    let lines: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next()).collect();
                    self.grant(&login, host, &read(&lines), machine)?;
                }
                match (password_changed, machine.changed()) {
                    (true, _) => "Password updated (new style)",
                    (false, true) => "Privileges updated",
                    (false, false) => "User unchanged",
                }
            }
        };
        Ok(machine.outcome().with("user", self.name.as_str()).with("msg", msg).with("password_changed", password_changed))
    }
}

impl MysqlUser {
    fn admin(&self, machine: &Machine) -> Login {
        let login = self.login.clone();
        let implicit = Login { login_user: Some("root".to_owned()), login_password: None, ..login.clone() };
        if self.check_implicit_admin && implicit.ask("SELECT 1;", machine).is_ok() { implicit } else { login }
    }

    fn account(&self, host: &str) -> String {
        format!("{}@{}", literal(&self.name), literal(host))
    }

    fn logged(&self, sql: &str) -> String {
        if self.sql_log_bin { sql.to_owned() } else { format!("SET SQL_LOG_BIN = 0;\n{sql}") }
    }

    /// The hosts that the user is known from, of those that are meant.
    fn hosts(&self, login: &Login, machine: &Machine) -> Result<Vec<String>, Failure> {
        let one = if self.host_all { String::new() } else { format!(" AND Host = {}", literal(&self.host)) };
        let rows = login.ask(&format!("SELECT Host FROM mysql.user WHERE User = {}{one};", literal(&self.name)), machine)?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    fn identified(&self) -> String {
        match (&self.plugin, &self.password) {
            (Some(plugin), _) => {
                let with = self.plugin_auth_string.as_ref().map_or_else(String::new, |text| format!(" AS {}", literal(text)));
                format!(" IDENTIFIED WITH {plugin}{with}")
            }
            (None, Some(hash)) if self.encrypted => format!(" IDENTIFIED BY PASSWORD {}", literal(hash)),
            (None, Some(password)) => format!(" IDENTIFIED BY {}", literal(password)),
            (None, None) => String::new(),
        }
    }

    fn set_password(&self, login: &Login, host: &str, machine: &mut Machine) -> Result<bool, Failure> {
        let Some(password) = self.password.as_ref().filter(|_| self.update_password == Update::Always && self.plugin.is_none()) else {
            return Ok(false);
        };
        let show = login.ask(&format!("SHOW CREATE USER {};", self.account(host)), machine)?;
        let text = show.first().and_then(|row| row.first()).cloned().unwrap_or_default();
        let wanted = if self.encrypted { password.clone() } else { native(password) };
        if text.to_ascii_uppercase().contains(&format!("'{}'", wanted.to_ascii_uppercase())) {
            return Ok(false);
        }
        let verb = format!("ALTER USER {}", self.account(host));
        let sql = self.logged(&format!("{verb}{};", self.identified()));
        login.act(&sql, Err(format!("{verb}: the old password is known to nobody here")), machine)?;
        Ok(true)
    }

    fn grant(&self, login: &Login, host: &str, there: &Grants, machine: &mut Machine) -> Result<(), Failure> {
        let Some(given) = &self.r#priv else { return Ok(()) };
        let wanted = wanted(given)?;
        let account = self.account(host);
        let none = BTreeSet::new();
        // What has all rights and shall have some loses all first, and gets those again.
        let only_all =
            |has: &BTreeSet<String>, rights: &BTreeSet<String>| has.contains("ALL") && !rights.contains("ALL") && !self.append_privs;
        let mut statements = Vec::new();
        for (object, has) in there.iter().filter(|_| !self.append_privs && !self.subtract_privs) {
            let rights = wanted.get(object).unwrap_or(&none);
            let extra = has.iter().filter(|right| *right != "USAGE" && !grants::covers(rights, right)).cloned().collect();
            statements.push((clauses(&extra, object, &account, false), clauses(&extra, object, &account, true)));
        }
        for (object, rights) in &wanted {
            let has = there.get(object).unwrap_or(&none);
            if self.subtract_privs {
                let gone = has.intersection(rights).cloned().collect();
                statements.push((clauses(&gone, object, &account, false), clauses(&gone, object, &account, true)));
                continue;
            }
            let left = if only_all(has, rights) { &none } else { has };
            let missing = rights.iter().filter(|right| !grants::covers(left, right)).cloned().collect();
            statements.push((clauses(&missing, object, &account, true), clauses(&missing, object, &account, false)));
        }
        for (sql, undo) in statements {
            if let (Some(sql), Some(undo)) = (sql, undo) {
                login.act(&self.logged(&format!("{sql};")), Ok(undo), machine)?;
            }
        }
        Ok(())
    }
}

/// A password as `mysql_native_password` keeps it.
fn native(password: &str) -> String {
    let digest = Sha1::digest(Sha1::digest(password));
    digest.iter().fold(String::from("*"), |text, byte| text + &format!("{byte:02X}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_as_the_server_keeps_them() {
        assert_eq!(native("secret"), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
    }
}
