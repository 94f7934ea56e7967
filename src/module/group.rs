//! Makes, changes and removes groups.
//!
//! ```yaml
//! - group: {name: web, gid: 2000}
//! ```

use super::prelude::*;
use crate::machine::Undo;
use crate::machine::owner::Group as Entry;

choice! {
    /// Whether something shall be there.
    pub enum Presence { Present = "present", Absent = "absent" }
}

params! {
    pub struct Group {
        /// Its name.
        name: String,
        /// Its number.
        gid: Option<i64>,
        /// Whether it shall be there.
        state: Presence = Presence::Present,
        /// Take a number from those of the system, when it is made.
        system: bool = false,
        /// Remove it even when it is somebody's primary group.
        force: bool = false,
        /// Look in `/etc/group` only, not in directories.
        local: bool = false,
        /// Allow a number that another group has.
        non_unique: bool = false,
        /// The smallest number to take.
        gid_min: Option<i64>,
        /// The largest number to take.
        gid_max: Option<i64>,
    }
    rules = [Rule::Needs("non_unique", &["gid"])];
}

impl Module for Group {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let found = Entry::named(&self.name);
        let id = found.as_ref().map(|group| i64::from(group.gid));
        match (self.state, id) {
            (Presence::Absent, None) => {}
            (Presence::Absent, Some(gid)) => self.remove(gid, machine)?,
            (Presence::Present, None) => self.add(machine)?,
            (Presence::Present, Some(gid)) => self.change(gid, machine)?,
        }
        let outcome = machine.outcome().with("name", self.name.as_str()).with("state", self.state.word());
        if self.state == Presence::Absent {
            return Ok(outcome);
        }
        let gid = Entry::named(&self.name).map(|group| i64::from(group.gid)).or(self.gid);
        let outcome = outcome.with("system", self.system);
        Ok(match gid {
            Some(gid) => outcome.with("gid", gid),
            None => outcome,
        })
    }
}

impl Group {
    fn command(&self, program: &str) -> Command {
        // The tools for local files alone come with libuser.
        Command::new(if self.local { format!("l{program}") } else { program.to_owned() }).plain()
    }

    fn add(&self, machine: &mut Machine) -> Result<(), Failure> {
        let mut command = self.command("groupadd");
        if let Some(gid) = self.gid {
            command = command.args(["-g".to_owned(), gid.to_string()]);
            if self.non_unique {
                command = command.arg("-o");
            }
        }
        if self.system {
            command = command.arg("-r");
        }
        for (name, value) in [("GID_MIN", self.gid_min), ("GID_MAX", self.gid_max)] {
            if let Some(value) = value {
                command = command.arg("-K").arg(format!("{name}={value}"));
            }
        }
        let undo = Undo::Command(format!("remove the group {}", self.name), vec!["groupdel".into(), self.name.clone()]);
        machine.act(&command.arg(&self.name), undo).map(drop)
    }

    fn change(&self, gid: i64, machine: &mut Machine) -> Result<(), Failure> {
        let Some(wanted) = self.gid.filter(|wanted| *wanted != gid) else { return Ok(()) };
        let mut command = self.command("groupmod").args(["-g".to_owned(), wanted.to_string()]);
        if self.non_unique {
            command = command.arg("-o");
        }
        let back = ["groupmod", "-o", "-g", &gid.to_string(), &self.name].map(str::to_owned).to_vec();
        machine.act(&command.arg(&self.name), Undo::Command(format!("give the group {} its number {gid} again", self.name), back)).map(drop)
    }

    fn remove(&self, gid: i64, machine: &mut Machine) -> Result<(), Failure> {
        let mut command = self.command("groupdel");
        if self.force {
            command = command.arg("-f");
        }
        let members = Entry::named(&self.name).map(|group| group.members.join(",")).unwrap_or_default();
        let back = format!("groupadd -g {gid} \"$1\" && gpasswd -M '{members}' \"$1\"");
        let back = vec!["sh".into(), "-c".into(), back, "sh".into(), self.name.clone()];
        machine.act(&command.arg(&self.name), Undo::Command(format!("make the group {} again", self.name), back)).map(drop)
    }
}
