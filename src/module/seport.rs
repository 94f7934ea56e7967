//! Gives ports a type in SELinux's policy, with `semanage`.
//!
//! ```yaml
//! - seport: {ports: 8888, proto: tcp, setype: http_port_t, state: present}
//! ```

use super::prelude::*;
use super::selinux;
use crate::machine::Undo;

choice! {
    /// Whether the ports have the type.
    pub enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// The protocol.
    pub enum Proto { Tcp = "tcp", Udp = "udp" }
}

params! {
    pub struct Seport {
        /// Ports and ranges of ports.
        ports: Vec<String>,
        /// The protocol.
        proto: Proto,
        /// The type.
        setype: String,
        /// Whether the ports have it.
        state: State = State::Present,
        /// Load the policy anew.
        reload: bool = true,
        /// Look at what was changed on this host only.
        local: bool = false,
        /// Go on where SELinux is off.
        ignore_selinux_state: bool = false,
    }
}

impl Module for Seport {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        selinux::required(machine, self.ignore_selinux_state)?;
        let program = machine.program("semanage")?;
        let list = Command::new(&program).args(["port", "--list", "--noheading"]).args(self.local.then_some("--locallist")).plain();
        let ran = machine.query(&list)?;
        if !ran.succeeded() {
            return Err(ran.failure(&list));
        }
        let text = ran.stdout_text();
        for port in &self.ports {
            let types = types(&text, self.proto.word(), port);
            let there = types.contains(&self.setype.as_str());
            let command = |verb: &str, setype: &str| {
                let command = Command::new(&program).args(["port", verb, "--type", setype, "--proto", self.proto.word()]).plain();
                let command = if self.reload { command } else { command.arg("--noreload") };
                command.arg(port)
            };
            let (verb, undo) = match (self.state, there, types.first()) {
                (State::Present, true, _) | (State::Absent, false, _) => continue,
                (State::Absent, true, _) => ("--delete", command("--add", &self.setype)),
                (State::Present, false, None) => ("--add", command("--delete", &self.setype)),
                (State::Present, false, Some(old)) => ("--modify", command("--modify", old)),
            };
            machine.act(&command(verb, &self.setype), Undo::by(format!("SELinux type of port {port}"), &undo))?;
        }
        let outcome = machine.outcome().with("ports", self.ports).with("proto", self.proto.word()).with("setype", self.setype);
        Ok(outcome.with("state", self.state.word()))
    }
}

/// The types that exactly this port or range has.
fn types<'a>(text: &'a str, proto: &str, port: &str) -> Vec<&'a str> {
    let mut types = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(setype), Some(of)) = (words.next(), words.next()) else { continue };
        if of == proto && words.any(|word| word.trim_end_matches(',') == port) {
            types.push(setype);
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let text = "http_port_t                    tcp      80, 81, 443, 8008-8010\nhttp_port_t  udp  80\nssh_port_t                     tcp      22\n";
        assert_eq!(types(text, "tcp", "443"), ["http_port_t"]);
        assert_eq!(types(text, "tcp", "8008-8010"), ["http_port_t"]);
        assert!(types(text, "udp", "443").is_empty());
    }
}
