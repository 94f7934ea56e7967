//! Sets the time zone of the host, and what its hardware clock shows.
//!
//! ```yaml
//! - timezone: {name: Europe/Berlin}
//! ```
//!
//! The zone is a link, `/etc/localtime`, with or without systemd; `/etc/timezone` follows where there is one.

use std::path::{Path, PathBuf};

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// What the hardware clock shows.
    pub enum Clock { Local = "local", Utc = "UTC" }
}

params! {
    pub struct Timezone {
        /// The zone.
        name: Option<String>,
        /// What the hardware clock shows.
        hwclock | rtc: Option<Clock>,
    }
    rules = [Rule::OneOf(&["name", "hwclock"])];
}

impl Module for Timezone {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if let Some(name) = &self.name {
            set(machine, name)?;
        }
        if let Some(wanted) = self.hwclock {
            let lines = machine.read_text(Path::new("/etc/adjtime"))?.unwrap_or_default();
            let now = if lines.lines().nth(2) == Some("LOCAL") { Clock::Local } else { Clock::Utc };
            if now != wanted {
                let program = machine.program("hwclock")?;
                let command = |clock: Clock| Command::new(&program).args(["--systohc", if clock == Clock::Local { "--localtime" } else { "--utc" }]).plain();
                machine.act(&command(wanted), Undo::by("what the hardware clock shows", &command(now)))?;
            }
        }
        Ok(machine.outcome())
    }
}

fn set(machine: &mut Machine, name: &str) -> Result<(), Failure> {
    let zones = Path::new("/usr/share/zoneinfo");
    let zone: PathBuf = zones.join(name);
    let odd = name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..");
    if odd || !machine.stat(&zone, true)?.is_some_and(|stat| stat.is_file()) {
        return Err(Failure::new(format!("given timezone \"{name}\" is not available")));
    }
    let link = Path::new("/etc/localtime");
    // Links are written in more than one way: what counts is where they lead, by name, since some zones are the same file.
    let there = machine.read_link(link).ok().map(|target| Path::new("/etc").join(target));
    let same = there.is_some_and(|target| target.to_string_lossy().rsplit_once("zoneinfo/").is_some_and(|(_, there)| there == name));
    if !same {
        machine.symlink(&zone, link)?;
    }
    let file = Path::new("/etc/timezone");
    if machine.exists(file) {
        machine.write(file, &format!("{name}\n").into(), &Attributes::default())?;
    }
    Ok(())
}
