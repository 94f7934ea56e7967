//! Sets the mode and the policy of SELinux.
//!
//! ```yaml
//! - selinux: {policy: targeted, state: enforcing}
//! ```

use std::path::Path;

use super::edit::{self, Edit, bare};
use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// The mode.
    pub enum Mode { Disabled = "disabled", Enforcing = "enforcing", Permissive = "permissive" }
}

params! {
    pub struct Selinux {
        /// The policy: `targeted`; not needed to switch it off.
        policy: Option<String>,
        /// The mode.
        state: Mode,
        /// Its configuration.
        configfile | conf | file: PathText = PathText("/etc/selinux/config".to_owned()),
        /// Change the parameters of the kernel too, with `grubby`.
        update_kernel_param: bool = false,
    }
    rules = [Rule::When("state", "enforcing", &["policy"]), Rule::When("state", "permissive", &["policy"])];
}

/// Where the kernel tells and takes the mode; there is none where SELinux is off.
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// The mode that the kernel is in.
pub(super) fn running(machine: &Machine) -> Result<Mode, Failure> {
    Ok(match machine.read_text(Path::new(ENFORCE))?.as_deref().map(str::trim) {
        Some("1") => Mode::Enforcing,
        Some(_) => Mode::Permissive,
        None => Mode::Disabled,
    })
}

/// Fails where SELinux is off, unless that does not matter.
pub(super) fn required(machine: &Machine, ignore: bool) -> Result<(), Failure> {
    if ignore || running(machine)? != Mode::Disabled {
        return Ok(());
    }
    Err(Failure::new("SELinux is disabled on this host."))
}

impl Module for Selinux {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.configfile.0);
        let text = Edit::default().open(machine, &path).map_err(|_| {
            Failure::new(format!("Unable to find file {}: this host has no SELinux, or the package that brings it is missing", path.display()))
        })?;
        let old = text.as_ref().map(|text| text.text.as_str()).unwrap_or_default();
        let setting = |name: &str| edit::lines(old).iter().rev().find_map(|line| bare(line).trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
        let (was_mode, was_policy) = (setting("SELINUX").unwrap_or_default(), setting("SELINUXTYPE").unwrap_or_default());
        let policy = self.policy.clone().unwrap_or_else(|| was_policy.clone());
        let running = running(machine)?;
        let mut said = Vec::new();
        if policy != was_policy {
            if let Some(folder) = path.parent().filter(|folder| !machine.is_dir(&folder.join(&policy))) {
                return Err(Failure::new(format!("Policy {policy} does not exist in {}/", folder.display())));
            }
            said.push(format!("SELinux policy configuration in '{}' changed from '{was_policy}' to '{policy}'", path.display()));
        }
        // The kernel goes between enforcing and permissive at once; on and off take a boot.
        let boot = (running == Mode::Disabled) != (self.state == Mode::Disabled);
        if running != self.state && !boot {
            let set = |mode: Mode| Command::new("setenforce").arg(if mode == Mode::Enforcing { "1" } else { "0" }).plain();
            machine.act(&set(self.state), Undo::by(format!("SELinux {}", running.word()), &set(running)))?;
            said.push(format!("SELinux state changed from '{}' to '{}'", running.word(), self.state.word()));
        }
        if was_mode != self.state.word() {
            said.push(format!("Config SELinux state changed from '{was_mode}' to '{}'", self.state.word()));
        }
        let new = edited(old, self.state.word(), &policy);
        if new != old {
            let bytes = text.as_ref().map_or_else(|| new.clone().into_bytes(), |text| text.bytes_of(&new));
            Edit::default().save(machine, &path, bytes)?;
        }
        if self.update_kernel_param {
            self.kernel(machine)?;
        }
        if boot && self.state == Mode::Disabled && running != Mode::Disabled {
            machine.warn(format!("SELinux state temporarily changed from '{}' to 'permissive'. State change will take effect next reboot.", running.word()));
        }
        let outcome = machine.outcome().with("configfile", path.display().to_string()).with("policy", policy);
        Ok(outcome.with("state", self.state.word()).with("msg", said.join(", ")).with("reboot_required", boot))
    }
}

fn edited(old: &str, mode: &str, policy: &str) -> String {
    let mut lines = edit::lines(old);
    for (name, value) in [("SELINUX=", mode), ("SELINUXTYPE=", policy)] {
        let wanted = format!("{name}{value}\n");
        match lines.iter_mut().rev().find(|line| line.trim_start().starts_with(name)) {
            Some(line) => *line = wanted,
            None if !value.is_empty() => lines.push(wanted),
            None => {}
        }
    }
    lines.concat()
}

impl Selinux {
    fn kernel(&self, machine: &mut Machine) -> Result<(), Failure> {
        let program = machine.program("grubby")?;
        let asked = machine.query(&Command::new(&program).args(["--info=ALL"]).plain())?;
        let off = asked.stdout_text().lines().filter(|line| line.starts_with("args=")).any(|line| line.contains("selinux=0"));
        let wanted = self.state == Mode::Disabled;
        if off == wanted {
            return Ok(());
        }
        let command = |off: bool| Command::new(&program).args(["--update-kernel=ALL", if off { "--args=selinux=0" } else { "--remove-args=selinux=0" }]).plain();
        machine.act(&command(wanted), Undo::by("the kernel's parameter selinux", &command(off))).map(drop)
    }
}
