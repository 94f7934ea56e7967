//! Lists the host's services as facts.
//!
//! ```yaml
//! - service_facts:
//! - debug: {msg: "{{ ansible_facts.services['ssh.service'].state }}"}
//! ```

use std::path::Path;

use super::prelude::*;

params! {
    pub struct ServiceFacts {}
}

impl Module for ServiceFacts {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let mut services = Map::new();
        if Path::new("/run/systemd/system").exists() {
            let list = |what: &str| {
                let command = Command::new("systemctl").args([what, "--no-pager", "--no-legend", "--plain", "--type=service", "--all"]).plain();
                machine.query(&command)
            };
            let units = list("list-units")?.stdout_text();
            let files = list("list-unit-files")?.stdout_text();
            merge(&units, &files, &mut services);
        }
        for script in machine.list(Path::new("/etc/init.d")).unwrap_or_default() {
            let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !services.contains_key(&name) && !services.contains_key(&format!("{name}.service")) && name != "README" {
                services.insert(name.clone(), service(&name, "unknown", "unknown", "sysv"));
            }
        }
        Ok(machine.outcome().with("ansible_facts", Map::from_iter([("services".to_owned(), services.into())])))
    }
}

fn service(name: &str, state: &str, status: &str, source: &str) -> Value {
    Value::Map(Map::from_iter([("name", name), ("state", state), ("status", status), ("source", source)].map(|(key, text)| (key.to_owned(), text.into()))))
}

/// Units that are loaded say whether they run, unit files say whether they are enabled.
fn merge(units: &str, files: &str, services: &mut Map) {
    let enabled = |name: &str| {
        let line = files.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        line.split_whitespace().nth(1)
    };
    for line in units.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, load, active, sub, ..] = words.as_slice() else { continue };
        let state = match (*load, *active, *sub) {
            (_, "failed", _) | (_, _, "failed") => "failed",
            (_, "active", "running") => "running",
            _ => "stopped",
        };
        let status = match *load {
            "not-found" | "masked" => load,
            _ => enabled(name).unwrap_or("unknown"),
        };
        services.insert((*name).to_owned(), service(name, state, status, "systemd"));
    }
    for line in files.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(status)) = (words.next(), words.next()) else { continue };
        if !services.contains_key(name) {
            // A template or something that was never loaded.
            let state = if status == "static" || name.contains('@') { "unknown" } else { "inactive" };
            services.insert(name.to_owned(), service(name, state, status, "systemd"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_files_become_services() {
        let units = "ssh.service loaded active running OpenBSD\nx.service loaded failed failed X\ny.service not-found inactive dead y\nz.service loaded active exited Z\n";
        let files = "ssh.service enabled enabled\nidle.service disabled enabled\ngetty@.service enabled enabled\n";
        let mut found = Map::new();
        merge(units, files, &mut found);
        let shown: Vec<String> = found.iter().map(|(name, service)| format!("{name} {} {}", service.get("state").unwrap().to_text(), service.get("status").unwrap().to_text())).collect();
        assert_eq!(
            shown,
            [
                "ssh.service running enabled",
                "x.service failed unknown",
                "y.service stopped not-found",
                "z.service stopped unknown",
                "idle.service inactive disabled",
                "getty@.service unknown enabled"
            ]
        );
    }
}
