//! Controls services, with whatever the host starts them: systemd, `OpenRC`, or scripts in `/etc/init.d`.
//!
//! ```yaml
//! - service: {name: nginx, state: started, enabled: true}
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::facts::Source;
use super::prelude::*;
use super::systemd::{ServiceState, Systemd};
use super::Declared as _;
use crate::machine::{Undo, find_program};

params! {
    pub struct Service {
        /// The service.
        name: String,
        /// `started` and `stopped` do nothing when it is so already; `reloaded` starts what does not run.
        state: Option<ServiceState>,
        /// Start it at boot.
        enabled: Option<bool>,
        /// Seconds between stop and start of a restart. Not for systemd.
        sleep: Option<i64>,
        /// A service whose script knows no `status` runs when this text is in the list of processes. Not for systemd.
        pattern: Option<String>,
        /// The runlevel to start it in. For `OpenRC` only.
        runlevel: String = "default",
        /// Arguments for the service's script. Not for systemd.
        arguments | args: String = "",
        /// Read all unit files again, before anything else. For systemd only.
        daemon_reload | "daemon-reload": bool = false,
        /// Start systemd itself again, before anything else. For systemd only.
        daemon_reexec | "daemon-reexec": bool = false,
        /// Make it impossible to start. For systemd only.
        masked: Option<bool>,
        /// Which kind of service manager this is, when the host cannot be trusted to know.
        r#use: String = "auto",
        /// What `module_defaults` say of `systemd`, for rappel's own use.
        _systemd: Map = Map::new(),
    }
    rules = [Rule::OneOf(&["state", "enabled", "masked", "daemon_reload", "daemon_reexec"])];
}

impl Module for Service {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let asked = self.r#use.trim_start_matches("ansible.builtin.");
        if asked == "systemd" || asked == "auto" && Source::plain(machine.environment()).service_manager() == "systemd" {
            let mut unit = self._systemd;
            unit.insert("name".to_owned(), self.name.into());
            unit.extend(self.state.map(|state| ("state".to_owned(), state.word().into())));
            let flags = [("enabled", self.enabled), ("masked", self.masked), ("daemon_reload", self.daemon_reload.then_some(true)), ("daemon_reexec", self.daemon_reexec.then_some(true))];
            unit.extend(flags.into_iter().filter_map(|(name, flag)| Some((name.to_owned(), flag?.into()))));
            let unit = Systemd::decode(&unit).map_err(Failure::new)?;
            return unit.run(machine);
        }
        for (given, name) in [(self.daemon_reload, "daemon_reload"), (self.daemon_reexec, "daemon_reexec"), (self.masked.is_some(), "masked")] {
            if given {
                return Err(Failure::new(format!("`{name}` means nothing without systemd, and this host has none")));
            }
        }
        let scripts = Scripts::find(&self.name)?;
        let mut data = Map::new();
        data.insert("name".to_owned(), self.name.as_str().into());
        if let Some(enabled) = self.enabled {
            scripts.enable(&self, enabled, machine)?;
            data.insert("enabled".to_owned(), enabled.into());
        }
        if let Some(state) = self.state {
            scripts.drive(&self, state, machine)?;
            let reached = if state == ServiceState::Stopped { "stopped" } else { "started" };
            data.insert("state".to_owned(), reached.into());
        }
        Ok(machine.outcome().with_all(data))
    }
}

/// A service without systemd.
struct Scripts {
    openrc: bool,
    script: PathBuf,
    service: Option<PathBuf>,
}

impl Scripts {
    fn find(name: &str) -> Result<Self, Failure> {
        let openrc = find_program("rc-service").is_some();
        let script = Path::new("/etc/init.d").join(name);
        let service = find_program("service");
        if script.exists() {
            return Ok(Self { openrc, script, service });
        }
        if !openrc && !Path::new("/etc/init.d").exists() {
            let first = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
            return Err(Failure::new(format!(
                "this host has no service manager: process 1 is `{}`, and there is neither systemd nor OpenRC nor /etc/init.d",
                first.trim()
            )));
        }
        Err(Failure::new(format!("Could not find the requested service {name}: host has no {}", script.display())))
    }

    fn command(&self, module: &Service, verb: &str) -> Command {
        let command = match (&self.service, self.openrc) {
            (_, true) => Command::new("rc-service").args([&module.name, verb]),
            (Some(service), false) => Command::new(service).args([&module.name, verb]),
            (None, false) => Command::new(&self.script).arg(verb),
        };
        command.plain().args(module.arguments.split_whitespace().filter(|_| verb != "status"))
    }

    fn runs(&self, module: &Service, machine: &Machine) -> Result<bool, Failure> {
        if let Some(pattern) = &module.pattern {
            let listed = machine.query(&Command::new("ps").args(["auxww"]).plain())?;
            return Ok(listed.stdout_text().lines().any(|line| line.contains(pattern.as_str())));
        }
        let ran = machine.query(&self.command(module, "status"))?;
        let said = ran.stdout_text().to_ascii_lowercase();
        // LSB: 3 is "not running"; scripts without that answer in words.
        Ok(match ran.status {
            0 => !["is stopped", "not running", "is dead", "inactive"].iter().any(|word| said.contains(word)),
            1..=4 => false,
            _ => said.contains("is running") || said.contains("start/running"),
        })
    }

    fn drive(&self, module: &Service, wanted: ServiceState, machine: &mut Machine) -> Result<(), Failure> {
        let runs = self.runs(module, machine)?;
        let name = &module.name;
        let mut act = |verb: &str, back: &str| {
            let words = format!("{back} the service {name}");
            let undo = self.command(module, back).argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            let undo = if back == "stop" { Undo::Command(words, undo) } else { Undo::Afterwards(words, undo) };
            let ran = machine.act(&self.command(module, verb), undo);
            ran.map(drop).map_err(|failure| Failure { msg: format!("Unable to {verb} service {name}: {}", failure.msg), ..failure })
        };
        match wanted {
            ServiceState::Started if runs => Ok(()),
            ServiceState::Stopped if !runs => Ok(()),
            ServiceState::Stopped => act("stop", "start"),
            ServiceState::Started | ServiceState::Reloaded if !runs => act("start", "stop"),
            ServiceState::Started => Ok(()),
            ServiceState::Reloaded => act("reload", "reload"),
            ServiceState::Restarted => match module.sleep.and_then(|seconds| u64::try_from(seconds).ok()) {
                Some(seconds) if runs => {
                    act("stop", "start")?;
                    if !machine.checking() {
                        std::thread::sleep(Duration::from_secs(seconds));
                    }
                    let undo = Undo::Nothing;
                    machine.act(&self.command(module, "start"), undo).map(drop)
                }
                _ => act("restart", if runs { "restart" } else { "stop" }),
            },
        }
    }

    fn enable(&self, module: &Service, wanted: bool, machine: &mut Machine) -> Result<(), Failure> {
        let name = &module.name;
        let (is, on, off) = if self.openrc {
            let listed = machine.query(&Command::new("rc-update").args(["show", &module.runlevel]).plain())?;
            let is = listed.stdout_text().lines().any(|line| line.split('|').next().is_some_and(|service| service.trim() == name));
            (is, vec!["rc-update", "add", name, &module.runlevel], vec!["rc-update", "del", name, &module.runlevel])
        } else if find_program("update-rc.d").is_some() {
            let linked = |level: char| {
                let links = machine.list(Path::new(&format!("/etc/rc{level}.d"))).unwrap_or_default();
                links.iter().filter_map(|link| link.file_name()).any(|link| {
                    let link = link.to_string_lossy();
                    link.starts_with('S') && link.get(3..) == Some(name.as_str())
                })
            };
            (['2', '3', '4', '5', 'S'].into_iter().any(linked), vec!["update-rc.d", name, "enable"], vec!["update-rc.d", name, "disable"])
        } else if find_program("chkconfig").is_some() {
            let listed = machine.query(&Command::new("chkconfig").args(["--list", name]).plain())?;
            let is = listed.succeeded() && listed.stdout_text().contains("3:on");
            (is, vec!["chkconfig", name, "on"], vec!["chkconfig", name, "off"])
        } else {
            return Err(Failure::new(format!("cannot enable `{name}`: this host has no update-rc.d, chkconfig or rc-update")));
        };
        if is == wanted {
            return Ok(());
        }
        let (argv, back) = if wanted { (on, off) } else { (off, on) };
        let words = format!("{} the service {name} at boot", if wanted { "disable" } else { "enable" });
        let undo = Undo::Command(words, back.into_iter().map(str::to_owned).collect());
        let command = Command { argv: argv.into_iter().map(Into::into).collect(), ..Command::default() }.plain();
        machine.act(&command, undo).map(drop)
    }
}
