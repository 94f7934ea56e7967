//! Asks the host's databases of users, groups, services and hosts, and keeps the answer as a fact.
//!
//! ```yaml
//! - getent: {database: passwd, key: web}
//! - debug: {msg: "{{ ansible_facts.getent_passwd.web[4] }}"}
//! ```

use super::prelude::*;

params! {
    pub struct Getent {
        /// `passwd`, `group`, `services`, `hosts` …
        database: String,
        /// The entry; all when not given.
        key: Option<String>,
        /// Another service than the host's `nsswitch.conf` says.
        service: Option<String>,
        /// What separates values; a colon or white space, after the database.
        split: Option<String>,
        /// Fail when there is no such entry.
        fail_key: bool = true,
    }
}

impl Module for Getent {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let mut command = Command::new("getent").plain();
        if let Some(service) = &self.service {
            command = command.args(["-s", service.as_str()]);
        }
        command = command.arg(&self.database).args(self.key.as_deref());
        let ran = machine.query(&command)?;
        let fact = format!("getent_{}", self.database);
        let answer = |entries: Map| Map::from_iter([(fact.clone(), entries.into())]);
        let missing = "One or more supplied key could not be found in the database.";
        match (ran.status, &self.key) {
            (0, _) => {
                let entries = read(&ran.stdout_text(), &self.database, self.split.as_deref());
                Ok(machine.outcome().with("ansible_facts", answer(entries)))
            }
            (2, Some(key)) if !self.fail_key => {
                let entries = Map::from_iter([(key.clone(), Value::Null)]);
                Ok(machine.outcome().with("ansible_facts", answer(entries)).with("msg", missing))
            }
            (1, _) => Err(Failure::new("Missing arguments, or database unknown.")),
            (2, _) => Err(Failure::new(missing)),
            (3, _) => Err(Failure::new("Enumeration not supported on this database.")),
            (status, _) => Err(Failure::new(format!("Unexpected failure! getent exited with {status}: {}", ran.stderr_text().trim()))),
        }
    }
}

/// Lines as lists; a key with several lines is a list of lists.
fn read(text: &str, database: &str, split: Option<&str>) -> Map {
    let colons = matches!(database, "passwd" | "shadow" | "group" | "gshadow");
    let mut entries = Map::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = match (split, colons) {
            (Some(separator), _) if !separator.is_empty() => line.split(separator).collect(),
            (_, true) => line.split(':').collect(),
            _ => line.split_whitespace().collect(),
        };
        let Some((key, rest)) = fields.split_first() else { continue };
        let rest = Value::from(rest.to_vec());
        match entries.get_mut(*key) {
            None => drop(entries.insert((*key).to_owned(), rest)),
            Some(Value::List(lines)) if lines.first().is_some_and(|first| first.as_list().is_some()) => lines.push(rest),
            Some(first) => *first = Value::List(vec![first.clone(), rest]),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_lists() {
        let json = |map: &Map| serde_json::to_string(map).unwrap();
        assert_eq!(json(&read("root:x:0:0:root:/root:/bin/sh\n", "passwd", None)), r#"{"root":["x","0","0","root","/root","/bin/sh"]}"#);
        assert_eq!(json(&read("http  80/tcp www\n", "services", None)), r#"{"http":["80/tcp","www"]}"#);
        assert_eq!(json(&read("::1 a\n::1 b c\n::1 d\n", "hosts", None)), r#"{"::1":[["a"],["b","c"],["d"]]}"#);
    }
}
