//! Adds and removes rules of the kernel's packet filter, now; `iptables-save` or a package keeps them for the next boot.
//!
//! ```yaml
//! - iptables: {chain: INPUT, protocol: tcp, destination_port: "443", ctstate: [NEW], jump: ACCEPT, comment: shop}
//! ```

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether the rule is wanted.
    pub enum State { Absent = "absent", Present = "present" }
}
choice! {
    /// Where a new rule goes.
    pub enum Action { Append = "append", Insert = "insert" }
}
choice! {
    /// Which addresses it is about.
    pub enum Version { Ipv4 = "ipv4", Ipv6 = "ipv6", Both = "both" }
}
choice! {
    /// A table of the kernel's.
    pub enum Table { Filter = "filter", Nat = "nat", Mangle = "mangle", Raw = "raw", Security = "security" }
}
choice! {
    /// What becomes of packets that no rule is about.
    pub enum Policy { Accept = "ACCEPT", Drop = "DROP", Queue = "QUEUE", Return = "RETURN" }
}
choice! {
    /// Whether the SYN bit counts.
    pub enum Syn { Ignore = "ignore", Match = "match", Negate = "negate" }
}

params! {
    pub struct Iptables {
        /// The table.
        table: Table = Table::Filter,
        /// Whether the rule is wanted.
        state: State = State::Present,
        /// Where a new rule goes: to the end, or to the beginning.
        action: Action = Action::Append,
        /// The number that a rule is inserted as.
        rule_num: Option<String>,
        /// Which addresses it is about.
        ip_version: Version = Version::Ipv4,
        /// The chain.
        chain: Option<String>,
        /// The protocol.
        protocol: Option<String>,
        /// Where packets come from.
        source: Option<String>,
        /// Where packets go to.
        destination: Option<String>,
        /// TCP flags: `flags` to look at, `flags_set` of these.
        tcp_flags: Option<Map>,
        /// Extensions to load.
        r#match: Vec<String> = Vec::<String>::new(),
        /// What becomes of a packet.
        jump: Option<String>,
        /// The gateway of `TEE`.
        gateway: Option<String>,
        /// What is written before a packet's line in the log.
        log_prefix: Option<String>,
        /// The level of that line.
        log_level: Option<String>,
        /// The chain to go on in.
        goto: Option<String>,
        /// The interface that packets come in by.
        in_interface: Option<String>,
        /// The interface that packets leave by.
        out_interface: Option<String>,
        /// Second and further fragments.
        fragment: Option<String>,
        /// The counters that a rule begins with.
        set_counters: Option<String>,
        /// The port that packets come from.
        source_port: Option<String>,
        /// The port that packets go to.
        destination_port: Option<String>,
        /// Several ports that packets go to.
        destination_ports: Vec<String> = Vec::<String>::new(),
        /// The port of `REDIRECT`.
        to_ports: Option<String>,
        /// The address of `DNAT`.
        to_destination: Option<String>,
        /// The address of `SNAT`.
        to_source: Option<String>,
        /// Whether the SYN bit counts.
        syn: Syn = Syn::Ignore,
        /// A mark for differentiated services.
        set_dscp_mark: Option<String>,
        /// A class of differentiated services.
        set_dscp_mark_class: Option<String>,
        /// What the rule is for.
        comment: Option<String>,
        /// States of the connection: `NEW`, `ESTABLISHED`.
        ctstate: Vec<String> = Vec::<String>::new(),
        /// A range of addresses that packets come from.
        src_range: Option<String>,
        /// A range of addresses that packets go to.
        dst_range: Option<String>,
        /// A set of `ipset`.
        match_set: Option<String>,
        /// Which addresses are looked up in it.
        match_set_flags: Option<String>,
        /// How often.
        limit: Option<String>,
        /// How often before the limit counts.
        limit_burst: Option<String>,
        /// Whose packets.
        uid_owner: Option<String>,
        /// Whose packets, by group.
        gid_owner: Option<String>,
        /// How packets are rejected.
        reject_with: Option<String>,
        /// The kind of ICMP message.
        icmp_type: Option<String>,
        /// Remove all rules of the chain, or of the table.
        flush: bool = false,
        /// What becomes of packets that no rule of the chain is about.
        policy: Option<Policy>,
        /// How long to wait for others who change rules, in seconds.
        wait: Option<String>,
        /// Make the chain, or remove it.
        chain_management: bool = false,
        /// Look nothing up when rules are listed.
        numeric: bool = false,
    }
    rules = [
        Rule::Exclusive(&["set_dscp_mark", "set_dscp_mark_class"]),
        Rule::Exclusive(&["flush", "policy"]),
        Rule::Together(&["match_set", "match_set_flags"]),
    ];
}

impl Module for Iptables {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if !self.flush && self.chain.is_none() {
            return Err(Failure::new("Either chain or flush parameter must be specified."));
        }
        let programs: &[&str] = match self.ip_version {
            Version::Ipv4 => &["iptables"],
            Version::Ipv6 => &["ip6tables"],
            Version::Both => &["iptables", "ip6tables"],
        };
        let rule = self.rule();
        for name in programs {
            let program = machine.program(name)?;
            let chain = self.chain.as_deref().unwrap_or_default();
            if self.flush {
                self.flush(machine, &program)?;
            } else if let Some(policy) = self.policy {
                self.set_policy(machine, &program, chain, policy)?;
            } else if self.chain_management && rule.is_empty() {
                self.manage_chain(machine, &program, chain)?;
            } else {
                self.apply(machine, &program, chain, &rule)?;
            }
        }
        let outcome = machine.outcome().with("ip_version", self.ip_version.word()).with("table", self.table.word()).with("chain", self.chain.clone());
        let outcome = outcome.with("flush", self.flush).with("rule", rule.join(" ")).with("state", self.state.word());
        Ok(outcome.with("chain_management", self.chain_management).with("wait", self.wait))
    }
}

impl Iptables {
    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        if let Some(wait) = &self.wait {
            command = command.args(["-w", wait]);
        }
        command.args(["-t", self.table.word()]).args(words).plain()
    }

    /// The lines of `-S` that are about a chain, or about all chains; `None` for one that is not there. The whole table is
    /// listed, because of a chain that is not there each version complains in other words.
    fn listed(&self, machine: &Machine, program: &str, chain: &str) -> Result<Option<Vec<String>>, Failure> {
        let command = self.command(program, &["-S"]);
        let ran = machine.query(&command)?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        let text = ran.stdout_text();
        let about = |line: &&str| chain.is_empty() || line.split(' ').nth(1) == Some(chain);
        let lines: Vec<String> = text.lines().filter(about).map(str::to_owned).collect();
        Ok((chain.is_empty() || !lines.is_empty()).then_some(lines))
    }

    /// Puts a chain back as it is now, in one step.
    fn restore(&self, program: &str, chain: &str, lines: &[String]) -> Undo {
        let mut text = format!("*{}\n", self.table.word());
        let heads = lines.iter().filter(|line| line.starts_with("-P ") || line.starts_with("-N "));
        for chain in heads.filter_map(|line| line.split(' ').nth(1)) {
            text.push_str(&format!("-F {chain}\n"));
        }
        for line in lines.iter().filter(|line| line.starts_with("-A ")) {
            text.push_str(&format!("{line}\n"));
        }
        text.push_str("COMMIT\n");
        let what = if chain.is_empty() { format!("rules of the table {}", self.table.word()) } else { format!("rules of the chain {chain}") };
        let script = "printf '%s' \"$1\" | \"$0\"-restore --noflush";
        Undo::Command(what, ["sh", "-c", script, program, &text].map(str::to_owned).to_vec())
    }

    fn flush(&self, machine: &mut Machine, program: &str) -> Result<(), Failure> {
        let chain = self.chain.as_deref().unwrap_or_default();
        let lines = self.listed(machine, program, chain)?.unwrap_or_default();
        let mut command = self.command(program, &["-F"]);
        if !chain.is_empty() {
            command = command.arg(chain);
        }
        // As in Ansible, whether there were any rules is not asked.
        machine.act(&command, self.restore(program, chain, &lines)).map(drop)
    }

    fn set_policy(&self, machine: &mut Machine, program: &str, chain: &str, policy: Policy) -> Result<(), Failure> {
        let lines = self.listed(machine, program, chain)?.unwrap_or_default();
        let Some(now) = lines.iter().find_map(|line| line.strip_prefix("-P ")?.strip_prefix(chain)?.trim().split(' ').next()) else {
            return Err(Failure::new(format!("Can't detect current policy of the chain `{chain}`: only built-in chains have one")));
        };
        if now == policy.word() {
            return Ok(());
        }
        let undo = Undo::by(format!("policy {now} of {chain}"), &self.command(program, &["-P", chain, now]));
        machine.act(&self.command(program, &["-P", chain, policy.word()]), undo).map(drop)
    }

    fn manage_chain(&self, machine: &mut Machine, program: &str, chain: &str) -> Result<(), Failure> {
        let there = self.listed(machine, program, chain)?.is_some();
        let (verb, back, wanted) = match self.state {
            State::Present => ("-N", "-X", true),
            State::Absent => ("-X", "-N", false),
        };
        if there == wanted {
            return Ok(());
        }
        let undo = Undo::by(format!("{back} {chain}"), &self.command(program, &[back, chain]));
        machine.act(&self.command(program, &[verb, chain]), undo).map(drop)
    }

    fn apply(&self, machine: &mut Machine, program: &str, chain: &str, rule: &[String]) -> Result<(), Failure> {
        let words: Vec<&str> = rule.iter().map(String::as_str).collect();
        let with = |verb: &[&str]| self.command(program, &[verb, words.as_slice()].concat());
        let lines = self.listed(machine, program, chain)?;
        let present = match &lines {
            Some(_) => present(machine, &with(&["-C", chain]))?,
            None => false,
        };
        match (self.state, present) {
            (State::Present, true) | (State::Absent, false) => Ok(()),
            (State::Absent, true) => {
                let undo = self.restore(program, chain, &lines.unwrap_or_default());
                machine.act(&with(&["-D", chain]), undo).map(drop)
            }
            (State::Present, false) => {
                if lines.is_none() && self.chain_management {
                    self.manage_chain(machine, program, chain)?;
                }
                let undo = Undo::by(format!("a rule of {chain}"), &with(&["-D", chain]));
                let added = match (self.action, &self.rule_num) {
                    (Action::Append, _) => with(&["-A", chain]),
                    (Action::Insert, None) => with(&["-I", chain]),
                    (Action::Insert, Some(number)) => with(&["-I", chain, number]),
                };
                machine.act(&added, undo).map(drop)
            }
        }
    }

    /// The rule as `iptables` takes it.
    fn rule(&self) -> Vec<String> {
        let mut rule = Words(Vec::new());
        let jump = match (&self.jump, &self.log_prefix, &self.log_level, &self.reject_with, self.dscp()) {
            (Some(jump), ..) => Some(jump.clone()),
            (None, Some(_), ..) | (None, _, Some(_), ..) => Some("LOG".to_owned()),
            (None, _, _, Some(_), _) => Some("REJECT".to_owned()),
            (.., true) => Some("DSCP".to_owned()),
            _ => None,
        };
        rule.option("-p", self.protocol.as_ref());
        rule.option("-s", self.source.as_ref());
        rule.option("-d", self.destination.as_ref());
        self.r#match.iter().for_each(|name| rule.push(&["-m", name]));
        self.tcp(&mut rule);
        rule.option("-j", jump.as_ref());
        rule.option("--gateway", self.gateway.as_ref().filter(|_| jump.as_deref().is_some_and(|jump| jump.eq_ignore_ascii_case("tee"))));
        rule.option("--log-prefix", self.log_prefix.as_ref());
        rule.option("--log-level", self.log_level.as_ref());
        rule.option("--to-destination", self.to_destination.as_ref());
        rule.list("--dports", &self.destination_ports, "multiport", &self.r#match);
        rule.option("--to-source", self.to_source.as_ref());
        rule.option("-g", self.goto.as_ref());
        rule.option("-i", self.in_interface.as_ref());
        rule.option("-o", self.out_interface.as_ref());
        rule.option("-f", self.fragment.as_ref());
        rule.option("-c", self.set_counters.as_ref());
        rule.option("--source-port", self.source_port.as_ref());
        rule.option("--destination-port", self.destination_port.as_ref());
        rule.option("--to-ports", self.to_ports.as_ref());
        rule.option("--set-dscp", self.set_dscp_mark.as_ref());
        rule.option("--set-dscp-class", self.set_dscp_mark_class.as_ref());
        match self.syn {
            Syn::Ignore => {}
            Syn::Match => rule.push(&["--syn"]),
            Syn::Negate => rule.push(&["!", "--syn"]),
        }
        self.extensions(&mut rule);
        rule.option("--reject-with", self.reject_with.as_ref());
        let icmp = if self.ip_version == Version::Ipv6 { "--icmpv6-type" } else { "--icmp-type" };
        rule.option(icmp, self.icmp_type.as_ref());
        if let Some(comment) = &self.comment {
            rule.load("comment", &self.r#match);
            rule.push(&["--comment", comment]);
        }
        rule.0
    }

    fn dscp(&self) -> bool {
        self.set_dscp_mark.is_some() || self.set_dscp_mark_class.is_some()
    }

    fn tcp(&self, rule: &mut Words) {
        let list = |key: &str| self.tcp_flags.as_ref().and_then(|flags| flags.get(key)).map(|flags| match flags.as_list() {
            Some(flags) => flags.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
            None => flags.to_text(),
        });
        if let (Some(flags), Some(set)) = (list("flags"), list("flags_set")) {
            rule.push(&["--tcp-flags", &flags, &set]);
        }
    }

    fn extensions(&self, rule: &mut Words) {
        let own = |module: &str| self.r#match.iter().any(|name| name == module);
        if own("state") {
            if !self.ctstate.is_empty() {
                rule.push(&["--state", &self.ctstate.join(",")]);
            }
        } else {
            rule.list("--ctstate", &self.ctstate, "conntrack", &self.r#match);
        }
        for (option, value) in [("--src-range", &self.src_range), ("--dst-range", &self.dst_range)] {
            if value.is_some() {
                if !rule.0.iter().any(|word| word == "iprange") {
                    rule.load("iprange", &self.r#match);
                }
                rule.option(option, value.as_ref());
            }
        }
        if let (Some(set), Some(flags)) = (&self.match_set, &self.match_set_flags) {
            rule.load("set", &self.r#match);
            match set.strip_prefix('!') {
                Some(set) => rule.push(&["!", "--match-set", set.trim(), flags]),
                None => rule.push(&["--match-set", set, flags]),
            }
        }
        if self.limit.is_some() || self.limit_burst.is_some() {
            rule.load("limit", &self.r#match);
            rule.option("--limit", self.limit.as_ref());
            rule.option("--limit-burst", self.limit_burst.as_ref());
        }
        if self.uid_owner.is_some() || self.gid_owner.is_some() {
            rule.load("owner", &self.r#match);
            rule.option("--uid-owner", self.uid_owner.as_ref());
            rule.option("--gid-owner", self.gid_owner.as_ref());
        }
    }
}

/// 1 says that there is no such rule; 2 is a complaint about the rule itself.
fn present(machine: &Machine, command: &Command) -> Result<bool, Failure> {
    let ran = machine.query(command)?;
    match ran.status {
        0 => Ok(true),
        1 => Ok(false),
        _ => Err(ran.failure(command)),
    }
}

/// The words of a rule.
struct Words(Vec<String>);

impl Words {
    fn push(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// An option; `!` before its value turns it round.
    fn option(&mut self, option: &str, value: Option<&String>) {
        match value.map(|value| (value, value.strip_prefix('!'))) {
            Some((_, Some(rest))) => self.push(&["!", option, rest.trim()]),
            Some((value, None)) => self.push(&[option, value]),
            None => {}
        }
    }

    /// Loads an extension, unless the playbook did.
    fn load(&mut self, module: &str, given: &[String]) {
        if !given.iter().any(|name| name == module) {
            self.push(&["-m", module]);
        }
    }

    fn list(&mut self, option: &str, values: &[String], module: &str, given: &[String]) {
        if !values.is_empty() {
            self.load(module, given);
            self.push(&[option, &values.join(",")]);
        }
    }
}
