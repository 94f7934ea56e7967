//! Manages the firewall of Ubuntu and Debian, through `ufw`.
//!
//! ```yaml
//! - ufw: {rule: allow, port: "443", proto: tcp}
//! - ufw: {state: enabled, policy: deny}
//! ```

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// The firewall as a whole.
    pub enum State { Enabled = "enabled", Disabled = "disabled", Reloaded = "reloaded", Reset = "reset" }
}

choice! {
    /// What happens to what nothing else matches.
    pub enum Policy { Allow = "allow", Deny = "deny", Reject = "reject" }
}

choice! {
    /// What a rule does.
    pub enum RuleKind { Allow = "allow", Deny = "deny", Limit = "limit", Reject = "reject" }
}

choice! {
    /// Which way.
    pub enum Direction { In = "in", Incoming = "incoming", Out = "out", Outgoing = "outgoing", Routed = "routed" }
}

params! {
    pub struct Ufw {
        /// The firewall as a whole.
        state: Option<State>,
        /// What happens to what nothing else matches.
        default | policy: Option<Policy>,
        /// Which way the rule or the policy goes.
        direction: Option<Direction>,
        /// `on`, `off`, `low`, `medium`, `high`, `full`.
        logging: Option<String>,
        /// What the rule does.
        rule: Option<RuleKind>,
        /// Remove the rule.
        delete: bool = false,
        /// Make it the rule with this number.
        insert: Option<i64>,
        /// For packets that pass through.
        route: bool = false,
        /// Log what matches.
        log: bool = false,
        /// From where.
        from_ip | from | src: String = "any",
        /// From which port.
        from_port: Option<String>,
        /// To where.
        to_ip | to | dest: String = "any",
        /// To which port.
        to_port | port: Option<String>,
        /// Which protocol: `tcp`, `udp`, `any` …
        proto | protocol: Option<String>,
        /// An application that ufw knows.
        name | app: Option<String>,
        /// On which interface.
        interface | r#if: Option<String>,
        /// On which interface packets come in.
        interface_in | if_in: Option<String>,
        /// On which interface packets go out.
        interface_out | if_out: Option<String>,
        /// Says what the rule is for.
        comment: Option<String>,
    }
    rules = [Rule::OneOf(&["state", "default", "rule", "logging"]), Rule::Exclusive(&["name", "proto", "logging"])];
}

impl Module for Ufw {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let asked = machine.query(&Command::new("ufw").args(["status", "verbose"]).plain())?;
        if !asked.succeeded() {
            return Err(Failure::new(format!("cannot ask ufw: {}", asked.stderr_text().trim())).with("rc", asked.status));
        }
        let status = asked.stdout_text();
        if let Some(logging) = &self.logging {
            self.log(logging, &status, machine)?;
        }
        if let Some(policy) = self.default {
            self.police(policy, &status, machine)?;
        }
        if let Some(rule) = self.rule {
            self.rule(rule, machine)?;
        }
        if let Some(state) = self.state {
            drive(state, &status, machine)?;
        }
        Ok(machine.outcome().with("msg", status.trim_end()))
    }
}

fn line<'s>(status: &'s str, name: &str) -> &'s str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

fn ufw(words: &[&str]) -> Vec<String> {
    std::iter::once("ufw").chain(words.iter().copied()).map(str::to_owned).collect()
}

fn act(machine: &mut Machine, words: Vec<String>, undo: Undo) -> Result<(), Failure> {
    let command = Command { argv: words.into_iter().map(Into::into).collect(), ..Command::default() };
    machine.act(&command.plain(), undo).map(drop)
}

/// Switches the firewall.
fn drive(state: State, status: &str, machine: &mut Machine) -> Result<(), Failure> {
    let active = line(status, "Status:") == "active";
    match state {
        State::Enabled if !active => {
            act(machine, ufw(&["--force", "enable"]), Undo::Command("ufw: disable it again".to_owned(), ufw(&["disable"])))
        }
        State::Disabled if active => {
            act(machine, ufw(&["disable"]), Undo::Command("ufw: enable it again".to_owned(), ufw(&["--force", "enable"])))
        }
        State::Enabled | State::Disabled => Ok(()),
        State::Reloaded => act(machine, ufw(&["reload"]), Undo::Nothing),
        State::Reset => act(machine, ufw(&["--force", "reset"]), Undo::Impossible("ufw: reset".to_owned())),
    }
}

impl Ufw {
    fn log(&self, logging: &str, status: &str, machine: &mut Machine) -> Result<(), Failure> {
        // `on (low)` or `off`
        let now = line(status, "Logging:");
        let level = now.split(['(', ')']).nth(1).unwrap_or(now);
        if level == logging || now.split(' ').next() == Some(logging) {
            return Ok(());
        }
        let undo = Undo::Command(format!("ufw: log {level} again"), ufw(&["logging", if level.is_empty() { "off" } else { level }]));
        act(machine, ufw(&["logging", logging]), undo)
    }

    fn police(&self, policy: Policy, status: &str, machine: &mut Machine) -> Result<(), Failure> {
        let direction = match self.direction {
            None | Some(Direction::In | Direction::Incoming) => "incoming",
            Some(Direction::Out | Direction::Outgoing) => "outgoing",
            Some(Direction::Routed) => "routed",
        };
        // `deny (incoming), allow (outgoing), disabled (routed)`; not shown while the firewall is off.
        let mark = format!("({direction})");
        let now = line(status, "Default:").split(", ").find_map(|part| part.strip_suffix(mark.as_str())).map(str::trim);
        if now == Some(policy.word()) {
            return Ok(());
        }
        let undo = match now {
            Some(now) => Undo::Command(format!("ufw: {now} what is {direction} again"), ufw(&["default", now, direction])),
            None => Undo::Impossible(format!("ufw: the policy for what is {direction}")),
        };
        act(machine, ufw(&["default", policy.word(), direction]), undo)
    }

    /// The words of the rule, without those that say where it goes.
    fn words(&self, rule: RuleKind, delete: bool) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.route.then(|| "route".to_owned()));
        words.extend(delete.then(|| "delete".to_owned()));
        if let Some(number) = self.insert.filter(|_| !delete) {
            words.extend(["insert".to_owned(), number.to_string()]);
        }
        words.push(rule.word().to_owned());
        let direction = match self.direction {
            Some(Direction::Out | Direction::Outgoing) => Some("out"),
            Some(Direction::In | Direction::Incoming) => Some("in"),
            _ => None,
        };
        words.extend(direction.map(str::to_owned));
        for (way, interface) in [(None, &self.interface), (Some("in"), &self.interface_in), (Some("out"), &self.interface_out)] {
            if let Some(interface) = interface {
                words.extend(way.map(str::to_owned));
                words.extend(["on".to_owned(), interface.clone()]);
            }
        }
        words.extend(self.log.then(|| "log".to_owned()));
        for (name, value) in [("from", Some(&self.from_ip)), ("port", self.from_port.as_ref()), ("to", Some(&self.to_ip)), ("port", self.to_port.as_ref())] {
            if let Some(value) = value {
                words.extend([name.to_owned(), value.clone()]);
            }
        }
        for (name, value) in [("proto", &self.proto), ("app", &self.name), ("comment", &self.comment)] {
            if let Some(value) = value {
                words.extend([name.to_owned(), value.clone()]);
            }
        }
        words
    }

    fn rule(&self, rule: RuleKind, machine: &mut Machine) -> Result<(), Failure> {
        let words = self.words(rule, self.delete);
        // ufw knows best which rules are the same: it says so when it only tries.
        let tried = machine.query(&Command::new("ufw").arg("--dry-run").args(&words).plain())?;
        if !tried.succeeded() {
            return Err(Failure::new(format!("ufw refuses the rule: {}", tried.stderr_text().trim())).with("rc", tried.status));
        }
        let said = tried.stdout_text() + &tried.stderr_text();
        if said.lines().any(|line| line.starts_with("Skipping") || line.starts_with("Could not delete non-existent rule")) {
            return Ok(());
        }
        let mut back = vec!["ufw".to_owned()];
        back.extend(self.words(rule, !self.delete));
        let again = if self.delete { "add" } else { "remove" };
        let mut command = vec!["ufw".to_owned()];
        command.extend(words);
        act(machine, command, Undo::Command(format!("ufw: {again} the rule"), back))
    }
}
