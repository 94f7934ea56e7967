//! Keys for SSH, made by ssh-keygen as the user's own.

use std::path::{Path, PathBuf};

use super::User;
use crate::machine::owner::User as Entry;
use crate::machine::{Attributes, Command, Machine, Undo};
use crate::wire::{Failure, Map};

/// Makes the key unless there is one, and says what it is.
pub(super) fn generate(module: &User, entry: &Entry, machine: &mut Machine) -> Result<Map, Failure> {
    let default = format!(".ssh/id_{}", module.ssh_key_type);
    let path = entry.home.join(machine.path(module.ssh_key_file.as_ref().map_or(default.as_str(), |path| &path.0)));
    if !machine.exists(&path) {
        if machine.checking() {
            machine.mark_changed();
            return Ok(Map::new());
        }
        if !machine.is_dir(&entry.home) {
            return Err(Failure::new(format!("the home directory {} of {} does not exist, so it cannot hold a key", entry.home.display(), entry.name)));
        }
        let public = public_of(&path);
        if machine.exists(&public) {
            let shown = public.display();
            if !module.force {
                machine.warn(format!("Found existing ssh key public file \"{shown}\", no force, so skipping ssh-keygen generation"));
                return Ok(Map::new());
            }
            machine.warn(format!("Overwriting existing ssh key public file \"{shown}\""));
            machine.remove(&public)?;
        }
        make(module, entry, &path, machine)?;
    }
    let public = public_of(&path);
    let fingerprint = machine.query(&Command::new("ssh-keygen").args(["-l", "-f"]).arg(&path).plain())?;
    let text = machine.read_text(&public)?.unwrap_or_default();
    Ok(Map::from_iter([
        ("ssh_key_file".to_owned(), path.to_string_lossy().into_owned().into()),
        ("ssh_fingerprint".to_owned(), fingerprint.stdout_text().trim().into()),
        ("ssh_public_key".to_owned(), text.trim().into()),
    ]))
}

/// ssh-keygen puts an ending on whatever the name is.
fn public_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Lets ssh-keygen ask a program for the passphrase: everybody can read its arguments.
fn asking(command: Command, passphrase: &str, machine: &mut Machine) -> Result<Command, Failure> {
    const ANSWER: &str = "#!/bin/sh\nprintf '%s\\n' \"$RAPPEL_PASSPHRASE\"\n";
    let program = match machine.scratch().map(|folder| folder.join("askpass")) {
        Ok(path) if machine.exists(&path) => path,
        _ => machine.scratch_file("askpass", ANSWER.into(), true)?,
    };
    let mut command = command.stdin("");
    for (name, value) in [("SSH_ASKPASS", program.as_os_str()), ("RAPPEL_PASSPHRASE", passphrase.as_ref())] {
        command.environment.push((name.into(), value.to_owned()));
    }
    // Older ones ask a program only where they find a display.
    command.environment.extend([("SSH_ASKPASS_REQUIRE", "force"), ("DISPLAY", "none")].map(|(name, value)| (name.into(), value.into())));
    Ok(command)
}

fn make(module: &User, entry: &Entry, path: &Path, machine: &mut Machine) -> Result<(), Failure> {
    let own = |mode: &str| Attributes {
        mode: Some(mode.to_owned()),
        owner: Some(entry.uid.to_string()),
        group: Some(entry.gid.to_string()),
        ..Attributes::default()
    };
    if let Some(directory) = path.parent().filter(|directory| !machine.is_dir(directory)) {
        machine.make_dir(directory, &own("0700"))?;
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let comment = module.ssh_key_comment.clone().unwrap_or_else(|| format!("ansible-generated on {host}"));
    let mut command = Command::new("ssh-keygen").args(["-q", "-t", module.ssh_key_type.as_str()]).arg("-C").arg(comment).arg("-f").arg(path);
    if let Some(bits) = module.ssh_key_bits.filter(|bits| *bits > 0) {
        command = command.args(["-b".to_owned(), bits.to_string()]);
    }
    command = match &module.ssh_key_passphrase {
        None => command.args(["-N", ""]),
        Some(passphrase) => asking(command, passphrase, machine)?,
    };
    let public = public_of(path);
    let words = ["rm", "-f", &path.to_string_lossy(), &public.to_string_lossy()].map(str::to_owned).to_vec();
    machine.act(&command.plain(), Undo::Command(format!("remove the key {}", path.display()), words))?;
    machine.attributes(path, &own("0600"))?;
    machine.attributes(&public, &own("0644"))?;
    Ok(())
}
