//! The home directory of a user that is there already: from a skeleton, as `useradd` makes it.

use std::path::Path;

use super::User;
use crate::machine::owner::User as Entry;
use crate::machine::{Attributes, FileKind, Machine};
use crate::wire::Failure;

/// Makes the home directory unless there is one.
pub(super) fn make(module: &User, entry: &Entry, machine: &mut Machine) -> Result<(), Failure> {
    let home = module.home.as_ref().map_or_else(|| entry.home.clone(), |home| machine.path(&home.0));
    if machine.exists(&home) {
        return Ok(());
    }
    let own = |mode: u32| Attributes {
        mode: Some(format!("{mode:o}")),
        owner: Some(entry.uid.to_string()),
        group: Some(entry.gid.to_string()),
        ..Attributes::default()
    };
    if let Some(parent) = home.parent().filter(|parent| !machine.is_dir(parent)) {
        machine.make_dir(parent, &Attributes::default())?;
    }
    machine.make_dir(&home, &own(mode(module, machine)?))?;
    let skeleton = Path::new(module.skeleton.as_deref().unwrap_or("/etc/skel"));
    if machine.is_dir(skeleton) && !machine.checking() { fill(machine, skeleton, &home, &own) } else { Ok(()) }
}

fn fill(machine: &mut Machine, from: &Path, to: &Path, own: &dyn Fn(u32) -> Attributes) -> Result<(), Failure> {
    for path in machine.list(from)? {
        let (Some(name), Some(stat)) = (path.file_name(), machine.stat(&path, false)?) else { continue };
        let target = to.join(name);
        match stat.kind {
            FileKind::Directory => {
                machine.make_dir(&target, &own(stat.mode()))?;
                fill(machine, &path, &target, own)?;
            }
            FileKind::File => drop(machine.write(&target, &machine.content_of(&path)?, &own(stat.mode()))?),
            FileKind::Link => {
                machine.symlink(&machine.read_link(&path)?, &target)?;
                machine.attributes(&target, &Attributes { mode: None, no_follow: true, ..own(0) })?;
            }
            FileKind::Special => {}
        }
    }
    Ok(())
}

/// Of a new home directory: by `umask`, else as the host's `login.defs` says.
fn mode(module: &User, machine: &Machine) -> Result<u32, Failure> {
    let octal = |text: &str| u32::from_str_radix(text.trim_start_matches("0o"), 8).ok();
    if let Some(umask) = &module.umask {
        let umask = octal(umask).ok_or_else(|| Failure::new(format!("`umask`: expected an octal number, found `{umask}`")))?;
        return Ok(0o777 & !umask);
    }
    let text = machine.read_text(Path::new("/etc/login.defs"))?.unwrap_or_default();
    let said = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next().and_then(octal));
    Ok(said("HOME_MODE ").or_else(|| said("HOME_MODE\t")).unwrap_or_else(|| 0o777 & !said("UMASK ").or_else(|| said("UMASK\t")).unwrap_or(0o022)))
}
