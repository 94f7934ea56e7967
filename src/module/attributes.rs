//! What every module that makes files takes: mode, owner, group, flags, SELinux context.

use super::params::ModeText;
use crate::machine::owner::{Group, User};
use crate::machine::{Attributes, Machine, WriteOptions};
use crate::params;

params! {
    pub struct FileAttributes {
        /// Permissions; where a file is copied, `preserve` for those of the original.
        mode: Option<ModeText>,
        /// User name or number.
        owner: Option<String>,
        /// Group name or number.
        group: Option<String>,
        /// Flags as `chattr` takes them.
        attributes | attr: Option<String>,
        /// Write in place where the file cannot be replaced; as `ANSIBLE_UNSAFE_WRITES` says in the task's environment.
        unsafe_writes: Option<bool>,
        /// User part of the SELinux context.
        seuser: Option<String>,
        /// Role part of the SELinux context.
        serole: Option<String>,
        /// Type part of the SELinux context.
        setype: Option<String>,
        /// Level part of the SELinux context.
        selevel: Option<String>,
    }
}

impl FileAttributes {
    /// As the machine wants them.
    pub(super) fn wanted(&self) -> Attributes {
        Attributes {
            mode: self.mode.as_ref().map(|mode| mode.0.clone()),
            owner: self.owner.clone(),
            group: self.group.clone(),
            flags: self.attributes.clone(),
            no_follow: false,
        }
    }

    /// Says in check mode which owners there are not: earlier tasks may be about to make them.
    pub(super) fn foresee(&self, machine: &mut Machine) {
        let known = |name: &str, named: bool, numbered: fn(u32) -> bool| named || name.parse().is_ok_and(numbered);
        let missing = |kind: &str, number: &str, name: &str| {
            let who = if name.parse::<u32>().is_ok() { format!("{kind} with {number} {name}") } else { format!("{kind} {name}") };
            format!("failed to look up {who}. Create {kind} up to this point in real play")
        };
        if !machine.checking() {
            return;
        }
        if let Some(name) =
            self.owner.as_deref().filter(|name| !known(name, User::named(name).is_some(), |uid| User::numbered(uid).is_some()))
        {
            machine.warn(missing("user", "uid", name));
        }
        if let Some(name) =
            self.group.as_deref().filter(|name| !known(name, Group::named(name).is_some(), |gid| Group::numbered(gid).is_some()))
        {
            machine.warn(missing("group", "gid", name));
        }
    }

    /// How to write a file that is to have them.
    pub(super) fn options(&self, backup: bool, validate: Option<&str>) -> WriteOptions {
        WriteOptions { attributes: self.wanted(), backup, validate: validate.map(str::to_owned), unsafe_writes: self.unsafe_writes }
    }
}
