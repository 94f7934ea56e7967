//! Controls units of systemd.
//!
//! ```yaml
//! - systemd:
//!     name: shop
//!     state: restarted
//!     enabled: true
//!     daemon_reload: true
//! ```

use super::facts::Source;
use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// What a service shall do.
    pub enum ServiceState { Started = "started", Stopped = "stopped", Restarted = "restarted", Reloaded = "reloaded" }
}
choice! {
    /// Whose systemd.
    pub enum Scope { System = "system", User = "user", Global = "global" }
}

params! {
    pub struct Systemd {
        /// The unit; `.service` when it has no extension.
        name | service | unit: Option<String>,
        /// `started` and `stopped` do nothing when it is so already; `reloaded` starts what does not run.
        state: Option<ServiceState>,
        /// Start it at boot.
        enabled: Option<bool>,
        /// Replace links that are in the way.
        force: bool = false,
        /// Make it impossible to start.
        masked: Option<bool>,
        /// Read all unit files again, before anything else.
        daemon_reload | "daemon-reload": bool = false,
        /// Start systemd itself again, before anything else.
        daemon_reexec | "daemon-reexec": bool = false,
        /// Whose systemd.
        scope: Scope = Scope::System,
        /// Do not wait until the unit has started or stopped.
        no_block: bool = false,
    }
    rules = [
        Rule::Needs("state", &["name"]),
        Rule::Needs("enabled", &["name"]),
        Rule::Needs("masked", &["name"]),
    ];
}

impl Module for Systemd {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let mut control = Control { wanted: &self, status: Map::new(), machine };
        for (asked, verb) in [(self.daemon_reload, "daemon-reload"), (self.daemon_reexec, "daemon-reexec")] {
            if asked {
                control.tell_manager(verb)?;
            }
        }
        let Some(name) = &self.name else {
            return Ok(machine.outcome().with("name", Value::Null).with("status", Map::new()));
        };
        if name.contains(['*', '?', '[']) {
            return Err(Failure::new(format!("expected the name of one unit, found the pattern `{name}`")));
        }
        control.status = control.show(name)?;
        if let Some(masked) = self.masked {
            control.mask(name, masked)?;
        }
        if let Some(enabled) = self.enabled {
            control.enable(name, enabled)?;
        }
        if let Some(state) = self.state {
            control.drive(name, state)?;
        }
        let status = std::mem::take(&mut control.status);
        let mut outcome = machine.outcome().with("name", name.as_str()).with("status", status);
        if let Some(enabled) = self.enabled {
            outcome = outcome.with("enabled", enabled);
        }
        if let Some(state) = self.state {
            let reached = if state == ServiceState::Stopped { "stopped" } else { "started" };
            outcome = outcome.with("state", reached);
        }
        Ok(outcome)
    }
}

struct Control<'a> {
    wanted: &'a Systemd,
    status: Map,
    machine: &'a mut Machine,
}

impl Control<'_> {
    fn command(&self) -> Command {
        let command = Command::new("systemctl").plain();
        match self.wanted.scope {
            Scope::System => command,
            Scope::Global => command.arg("--global"),
            Scope::User => {
                let command = command.arg("--user");
                // Not set in a session without a login; the user's systemd listens there all the same.
                if self.machine.environment().contains_key("XDG_RUNTIME_DIR") { command } else { command.env("XDG_RUNTIME_DIR", format!("/run/user/{}", rustix::process::geteuid().as_raw())) }
            }
        }
    }

    /// Never counts as a change: the unit files on disk have changed, and this follows them.
    fn tell_manager(&mut self, verb: &str) -> Result<(), Failure> {
        if self.machine.checking() {
            return Ok(());
        }
        let mut undo = vec!["systemctl".to_owned()];
        undo.extend((self.wanted.scope != Scope::System).then(|| format!("--{}", self.wanted.scope.word())));
        undo.push(verb.to_owned());
        let undo = Undo::Afterwards(format!("{verb} of systemd"), undo);
        let ran = self.machine.attempt(&self.command().arg(verb), undo)?;
        if ran.succeeded() {
            return Ok(());
        }
        let complaint = ran.stderr_text();
        Err(Failure::new(format!("failure {} during {verb}: {}", ran.status, explain(complaint.trim()))))
    }

    /// Without systemd there is nothing to know but what is on disk, and nothing can be driven.
    fn show(&self, name: &str) -> Result<Map, Failure> {
        let ran = self.machine.query(&self.command().args(["show", name]))?;
        let complaint = ran.stderr_text();
        if complaint.contains(ABSENT) || complaint.contains(CHROOT) {
            return if self.enablement(name)?.1.is_empty() { Err(missing(name)) } else { Ok(Map::new()) };
        }
        if !ran.succeeded() {
            return Err(Failure::new(format!("cannot ask systemd about `{name}`: {}", explain(complaint.trim()))).with("rc", ran.status));
        }
        Ok(properties(&ran.stdout_text()))
    }

    fn property(&self, key: &str) -> &str {
        self.status.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn found(&self, name: &str) -> Result<(), Failure> {
        if self.property("LoadState") == "not-found" { Err(missing(name)) } else { Ok(()) }
    }

    /// Whether something starts it at boot, and how in systemd's word, which is empty for a unit that it does not know.
    fn enablement(&self, name: &str) -> Result<(bool, String), Failure> {
        let ran = self.machine.query(&self.command().args(["is-enabled", name]))?;
        let word = ran.stdout_text().trim().to_owned();
        // These two succeed, but nothing starts the unit itself.
        Ok((ran.succeeded() && !matches!(word.as_str(), "indirect" | "alias"), word))
    }

    fn mask(&mut self, name: &str, wanted: bool) -> Result<(), Failure> {
        let is = if self.status.is_empty() { self.enablement(name)?.1 == "masked" } else { self.property("LoadState") == "masked" };
        if is == wanted {
            return Ok(());
        }
        let (verb, back) = if wanted { ("mask", "unmask") } else { ("unmask", "mask") };
        self.act(name, verb, back)?;
        if !self.machine.checking() {
            self.status = self.show(name)?;
        }
        Ok(())
    }

    fn enable(&mut self, name: &str, wanted: bool) -> Result<(), Failure> {
        self.found(name)?;
        if self.enablement(name)?.0 == wanted {
            return Ok(());
        }
        let (verb, back) = if wanted { ("enable", "disable") } else { ("disable", "enable") };
        self.act(name, verb, back)
    }

    fn drive(&mut self, name: &str, wanted: ServiceState) -> Result<(), Failure> {
        self.found(name)?;
        if self.status.is_empty() {
            return self.idle();
        }
        let active = self.property("ActiveState").to_owned();
        let runs = matches!(active.as_str(), "active" | "activating" | "reloading");
        let verb = match wanted {
            ServiceState::Started if runs => return Ok(()),
            ServiceState::Stopped if !runs && active != "deactivating" => return Ok(()),
            ServiceState::Started => "start",
            ServiceState::Stopped => "stop",
            ServiceState::Restarted => "restart",
            ServiceState::Reloaded if runs => "reload",
            ServiceState::Reloaded => "start",
        };
        let back = match (runs, verb) {
            (false, _) => "stop",
            (true, "stop") => "start",
            (true, verb) => verb,
        };
        self.act(name, verb, back)
    }

    /// Who prepares an image asks for services that are to run once it has started.
    fn idle(&mut self) -> Result<(), Failure> {
        if !Source::plain(self.machine.environment()).is_chroot() {
            return Err(Failure::new("Service is in unknown state").with("status", Map::new()));
        }
        self.machine.warn("this host's root is a chroot, where services neither start nor stop");
        Ok(())
    }

    fn act(&mut self, name: &str, verb: &str, back: &str) -> Result<(), Failure> {
        let mut command = self.command();
        if self.wanted.no_block && matches!(verb, "start" | "stop" | "restart" | "reload") {
            command = command.arg("--no-block");
        }
        if self.wanted.force && verb == "enable" {
            command = command.arg("--force");
        }
        let scope = if self.wanted.scope == Scope::System { "" } else { self.wanted.scope.word() };
        let mut undo = vec!["systemctl".to_owned()];
        if !scope.is_empty() {
            undo.push(format!("--{scope}"));
        }
        undo.extend([back.to_owned(), name.to_owned()]);
        let words = format!("{back} the unit {name}");
        // It is to run with what was there before.
        let undo = if matches!(back, "start" | "restart" | "reload") { Undo::Afterwards(words, undo) } else { Undo::Command(words, undo) };
        let ran = self.machine.act(&command.args([verb, name]), undo);
        ran.map(drop).map_err(|failure| {
            let complaint = failure.data.get("stderr").map_or_else(String::new, Value::to_text);
            let msg = format!("Unable to {verb} service {name}: {}", explain(complaint.trim()));
            Failure { msg, ..failure }.with("name", name).with("status", self.status.clone())
        })
    }
}

/// What `systemctl` says where systemd does not run.
const ABSENT: &str = "not been booted with systemd";
/// What it says in a chroot.
const CHROOT: &str = "Running in chroot";

fn missing(name: &str) -> Failure {
    Failure::new(format!("Could not find the requested service {name}: host"))
}

/// A sentence of systemd's that misleads on hosts without it, in plain words.
fn explain(complaint: &str) -> String {
    if complaint.contains(ABSENT) {
        return format!("systemd does not run on this host ({})", complaint.lines().next().unwrap_or_default());
    }
    complaint.to_owned()
}

/// What `systemctl show` prints; a value in braces may go on over lines.
fn properties(text: &str) -> Map {
    let mut found = Map::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some((key, mut value)) = open.take() {
            value.push('\n');
            value.push_str(line);
            if line.trim_end().ends_with('}') {
                found.insert(key, value.into());
            } else {
                open = Some((key, value));
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        if key.starts_with("Exec") && value.starts_with('{') && !value.trim_end().ends_with('}') {
            open = Some((key.to_owned(), value.to_owned()));
        } else {
            found.insert(key.to_owned(), value.trim().into());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_may_go_on_over_lines() {
        let text = "Id=x.service\nExecStart={ path=/bin/sh ; argv[]=/bin/sh -c a\nb ; status=0/0 }\nDescription=a=b\nEmpty=\n";
        let found = properties(text);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["Id", "ExecStart", "Description", "Empty"]);
        assert_eq!(found["ExecStart"].to_text(), "{ path=/bin/sh ; argv[]=/bin/sh -c a\nb ; status=0/0 }");
        assert_eq!(found["Description"].to_text(), "a=b");
    }
}
