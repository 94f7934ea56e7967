//! Settings, data and replication of a Redis server.
//!
//! ```yaml
//! - redis: {command: config, name: maxmemory, value: 256MB}
//! ```
//!
//! The server's own `redis-cli` is used, which knows TLS and every way to log in; the password goes to it by its environment.

use super::prelude::*;
use crate::machine::Undo;

params! {
    pub struct Access {
        /// The server.
        login_host: String = "localhost",
        /// Its port.
        login_port: i64 = 6379,
        /// The user to log in as.
        login_user: Option<String>,
        /// The password.
        login_password: Option<String>,
        /// Encrypt the connection.
        tls: bool = false,
        /// Check the certificate.
        validate_certs: bool = true,
        /// The authorities that it may come from.
        ca_certs: Option<PathText>,
        /// The certificate to show.
        client_cert_file: Option<PathText>,
        /// Its key.
        client_key_file: Option<PathText>,
    }
}

choice! {
    /// What is wanted.
    pub enum Verb { Config = "config", Flush = "flush", Replica = "replica", Slave = "slave" }
}
choice! {
    /// What the server is to be.
    pub enum Role { Master = "master", Replica = "replica", Slave = "slave" }
}
choice! {
    /// What is emptied.
    pub enum Flush { All = "all", Db = "db" }
}

params! {
    pub struct Redis {
        /// What is wanted: a setting, no data, a role in replication.
        command: Option<Verb>,
        /// The setting.
        name: Option<String>,
        /// Its value.
        value: Option<String>,
        /// What is emptied.
        flush_mode: Flush = Flush::All,
        /// The number of the database that is emptied.
        db: Option<i64>,
        /// What the server is to be.
        replica_mode | slave_mode: Role = Role::Replica,
        /// The server that it follows.
        master_host: Option<String>,
        /// The port of that one.
        master_port: Option<i64>,
    }
    group = access: Access;
    rules = [
        Rule::When("command", "config", &["name", "value"]),
        Rule::When("command", "slave", &["master_host", "master_port"]),
    ];
}

impl Access {
    pub(super) fn command(&self, machine: &Machine, words: &[&str]) -> Result<Command, Failure> {
        let mut command = Command::new(machine.program("redis-cli")?).plain();
        command = command.args(["-h", &self.login_host, "-p", &self.login_port.to_string(), "--no-auth-warning"]);
        if let Some(user) = &self.login_user {
            command = command.args(["--user", user]);
        }
        if let Some(password) = &self.login_password {
            command = command.env("REDISCLI_AUTH", password);
        }
        if self.tls {
            command = command.arg("--tls");
            if !self.validate_certs {
                command = command.arg("--insecure");
            }
            let files = [("--cacert", &self.ca_certs), ("--cert", &self.client_cert_file), ("--key", &self.client_key_file)];
            for (option, file) in files {
                if let Some(file) = file {
                    command = command.arg(option).arg(machine.path(&file.0));
                }
            }
        }
        Ok(command.args(words))
    }

    /// What the server answers. `redis-cli` exits with 0 also when the server refuses.
    pub(super) fn ask(&self, machine: &Machine, words: &[&str]) -> Result<String, Failure> {
        let command = self.command(machine, words)?;
        let ran = machine.query(&command)?;
        let text = ran.stdout_text().replace("\r\n", "\n");
        let refused = ["ERR ", "NOAUTH ", "WRONGPASS ", "NOPERM ", "READONLY ", "MISCONF ", "AUTH failed"].iter().any(|word| text.starts_with(word));
        if !ran.succeeded() {
            return Err(Failure::new(format!("unable to connect to database: {}", (ran.stderr_text() + &text).trim())));
        }
        if refused || ran.stderr_text().contains("AUTH failed") {
            return Err(Failure::new(format!("{}: {}", words.first().unwrap_or(&""), (text + &ran.stderr_text()).trim())));
        }
        Ok(text)
    }

    /// Asks for a change; in check mode it only marks.
    fn act(&self, machine: &mut Machine, words: &[&str], back: Result<Vec<String>, String>) -> Result<(), Failure> {
        machine.mark_changed();
        if machine.checking() {
            return Ok(());
        }
        let undo = match back {
            Ok(_) if self.login_password.is_some() => Undo::Impossible(format!("redis {} would need the password", words.join(" "))),
            Ok(back) => {
                let back: Vec<&str> = back.iter().map(String::as_str).collect();
                Undo::by(format!("redis {}", back.join(" ")), &self.command(machine, &back)?)
            }
            Err(words) => Undo::Impossible(words),
        };
        machine.announce(undo)?;
        self.ask(machine, words).map(drop)
    }
}

/// `name:value` of every line, as the server's `INFO` has them.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.trim().split_once(':'))
}

impl Module for Redis {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        match self.command {
            Some(Verb::Config) => self.config(machine),
            Some(Verb::Flush) => self.flush(machine),
            Some(Verb::Replica | Verb::Slave) => self.replicate(machine),
            None => Err(Failure::new("A valid command must be provided")),
        }
    }
}

impl Redis {
    fn config(&self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let (name, value) = (self.name.as_deref().unwrap_or_default(), self.value.as_deref().unwrap_or_default());
        let answer = self.access.ask(machine, &["CONFIG", "GET", name])?;
        let Some(now) = answer.split('\n').nth(1).filter(|_| !answer.trim().is_empty()) else {
            return Err(Failure::new(format!("unable to read config: the server has no setting `{name}`")));
        };
        if now != value && size(value).is_none_or(|wanted| now.parse() != Ok(wanted)) {
            let back = ["CONFIG", "SET", name, now].map(str::to_owned).to_vec();
            self.access.act(machine, &["CONFIG", "SET", name, value], Ok(back))?;
        }
        Ok(machine.outcome().with("name", name).with("value", size(value).map_or_else(|| value.to_owned(), |size| size.to_string())))
    }

    fn flush(&self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let db = self.db.unwrap_or_default().to_string();
        if self.flush_mode == Flush::All {
            self.access.act(machine, &["FLUSHALL"], Err("all data of the Redis server".to_owned()))?;
            return Ok(machine.outcome().with("flushed", true));
        }
        let Some(_) = self.db else { return Err(Failure::new("In db mode the db number must be provided")) };
        self.access.act(machine, &["-n", &db, "FLUSHDB"], Err(format!("all data of Redis database {db}")))?;
        Ok(machine.outcome().with("flushed", true).with("db", self.db.unwrap_or_default()))
    }

    fn replicate(&self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let info = self.access.ask(machine, &["INFO", "replication"])?;
        let field = |name: &str| pairs(&info).find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
        let (role, host, port) = (field("role"), field("master_host"), field("master_port"));
        let back = match (&host, &port) {
            (Some(host), Some(port)) => vec!["REPLICAOF".to_owned(), host.clone(), port.clone()],
            _ => ["REPLICAOF", "NO", "ONE"].map(str::to_owned).to_vec(),
        };
        if self.replica_mode == Role::Master {
            if role.as_deref() != Some("master") {
                self.access.act(machine, &["REPLICAOF", "NO", "ONE"], Ok(back))?;
            }
            return Ok(machine.outcome().with("mode", "master"));
        }
        let (Some(wanted), Some(at)) = (&self.master_host, self.master_port) else {
            return Err(Failure::new("In replica mode master host and master port must be provided"));
        };
        if host.as_ref() != Some(wanted) || port != Some(at.to_string()) {
            self.access.act(machine, &["REPLICAOF", wanted, &at.to_string()], Ok(back))?;
        }
        let mode = [("status", self.replica_mode.word().into()), ("master_host", wanted.as_str().into()), ("master_port", at.into())];
        let mode: Map = mode.map(|(name, value): (&str, Value)| (name.to_owned(), value)).into();
        Ok(machine.outcome().with("mode", mode))
    }
}

/// A size as Redis reads it: `1k` is 1000, `1kb` is 1024.
fn size(text: &str) -> Option<i64> {
    let text = text.to_ascii_lowercase();
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let factor = match text.get(end..)? {
        "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    text.get(..end)?.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_redis() {
        assert_eq!((size("256MB"), size("1k"), size("7"), size("x")), (Some(256 << 20), Some(1000), None, None));
    }
}
