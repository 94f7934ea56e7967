//! Opens and closes firewalld's zones, through `firewall-cmd`.
//!
//! ```yaml
//! - firewalld: {service: https, zone: public, permanent: true, immediate: true, state: enabled}
//! ```

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether it is wanted.
    pub enum State { Enabled = "enabled", Disabled = "disabled", Present = "present", Absent = "absent" }
}

params! {
    pub struct Firewalld {
        /// A service that firewalld knows.
        service: Option<String>,
        /// A port and its protocol: `8080/tcp`, `161-162/udp`.
        port: Option<String>,
        /// A protocol.
        protocol: Option<String>,
        /// A rule in firewalld's language.
        rich_rule: Option<String>,
        /// Addresses that belong to the zone.
        source: Option<String>,
        /// An interface that belongs to the zone.
        interface: Option<String>,
        /// A kind of ICMP message to block.
        icmp_block: Option<String>,
        /// Hide the addresses behind the host.
        masquerade: Option<bool>,
        /// The zone; firewalld's default zone when not given.
        zone: Option<String>,
        /// Also after the next start of firewalld. Without a value: yes, unless `immediate` is given.
        permanent: Option<bool>,
        /// Now.
        immediate: bool = false,
        /// Whether it is wanted.
        state: State,
        /// For how many seconds; only now.
        timeout: i64 = 0,
        /// Change the permanent rules though firewalld does not run.
        offline: bool = false,
    }
    rules = [
        Rule::Exclusive(&["service", "port", "protocol", "rich_rule", "source", "interface", "icmp_block", "masquerade"]),
        Rule::OneOf(&["service", "port", "protocol", "rich_rule", "source", "interface", "icmp_block", "masquerade"]),
    ];
}

impl Module for Firewalld {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let wanted = matches!(self.state, State::Enabled | State::Present) && self.masquerade != Some(false);
        let permanent = self.permanent.unwrap_or(!self.immediate);
        if self.timeout > 0 && permanent {
            return Err(Failure::new("timeout: a rule that is permanent does not run out"));
        }
        let running = machine.query(&Command::new("firewall-cmd").arg("--state").plain())?.succeeded();
        let program = match (running, self.offline) {
            (true, _) => "firewall-cmd",
            (false, true) => "firewall-offline-cmd",
            (false, false) => return Err(Failure::new("firewall is not currently running, unable to perform immediate actions without a running firewall daemon")),
        };
        let immediate = running && (self.immediate || !permanent);
        for lasting in [true, false].into_iter().filter(|lasting| if *lasting { permanent } else { immediate }) {
            self.set(program, lasting && running, wanted, machine)?;
        }
        let word = if machine.changed() { "Changed" } else { "Unchanged" };
        Ok(machine.outcome().with("msg", format!("{word}: {} is {}", self.thing().0, self.state.word())))
    }
}

impl Firewalld {
    /// What `firewall-cmd` calls it, and its value.
    fn thing(&self) -> (&'static str, Option<&str>) {
        let named = [
            ("service", &self.service),
            ("port", &self.port),
            ("protocol", &self.protocol),
            ("rich-rule", &self.rich_rule),
            ("source", &self.source),
            ("interface", &self.interface),
            ("icmp-block", &self.icmp_block),
        ];
        let given = named.into_iter().find_map(|(name, value)| value.as_deref().map(|value| (name, Some(value))));
        given.unwrap_or(("masquerade", None))
    }

    fn words(&self, program: &str, lasting: bool, verb: &str) -> Vec<String> {
        let (name, value) = self.thing();
        let mut words = vec![program.to_owned()];
        words.extend(lasting.then(|| "--permanent".to_owned()));
        words.extend(self.zone.as_ref().map(|zone| format!("--zone={zone}")));
        words.push(match value {
            Some(value) => format!("--{verb}-{name}={value}"),
            None => format!("--{verb}-{name}"),
        });
        if self.timeout > 0 && verb == "add" {
            words.push(format!("--timeout={}", self.timeout));
        }
        words
    }

    fn set(&self, program: &str, lasting: bool, wanted: bool, machine: &mut Machine) -> Result<(), Failure> {
        let command = |words: Vec<String>| Command { argv: words.into_iter().map(Into::into).collect(), ..Command::default() }.plain();
        let asked = machine.query(&command(self.words(program, lasting, "query")))?;
        // 0 for yes and 1 for no; anything else is a complaint, of an unknown zone for one.
        if !matches!(asked.status, 0 | 1) {
            return Err(Failure::new(format!("firewalld does not understand this: {}", asked.stderr_text().trim())).with("rc", asked.status));
        }
        if asked.succeeded() == wanted {
            return Ok(());
        }
        let (verb, back) = if wanted { ("add", "remove") } else { ("remove", "add") };
        let undo = Undo::Command(format!("firewalld: {back} {} again", self.thing().0), self.words(program, lasting, back));
        machine.act(&command(self.words(program, lasting, verb)), undo).map(drop)
    }
}
