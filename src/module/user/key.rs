//! Keys for SSH, made by ssh-keygen as the user's own.

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
        make(module, entry, &path, machine)?;
    }
    let public = path.with_extension("pub");
    let fingerprint = machine.query(&Command::new("ssh-keygen").args(["-l", "-f"]).arg(&path).plain())?;
    let text = machine.read_text(&public)?.unwrap_or_default();
    Ok(Map::from_iter([
        ("ssh_key_file".to_owned(), path.to_string_lossy().into_owned().into()),
        ("ssh_fingerprint".to_owned(), fingerprint.stdout_text().trim().into()),
        ("ssh_public_key".to_owned(), text.trim().into()),
    ]))
}

fn make(module: &User, entry: &Entry, path: &std::path::Path, machine: &mut Machine) -> Result<(), Failure> {
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
    // Twice, without a terminal: ssh-keygen reads a new passphrase from there or from its arguments, which everybody can read.
    command = match &module.ssh_key_passphrase {
        None => command.args(["-N", ""]),
        Some(_) => return Err(Failure::new("a passphrase cannot be given to ssh-keygen without showing it to everybody on the host; make the key elsewhere and `copy` it")),
    };
    let public = path.with_extension("pub");
    let words = ["rm", "-f", &path.to_string_lossy(), &public.to_string_lossy()].map(str::to_owned).to_vec();
    machine.act(&command.plain(), Undo::Command(format!("remove the key {}", path.display()), words))?;
    machine.attributes(path, &own("0600"))?;
    machine.attributes(&public, &own("0644"))?;
    Ok(())
}
