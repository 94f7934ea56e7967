//! What every module that makes files takes: mode, owner, group, flags, SELinux context.

use super::params::ModeText;
use crate::machine::{Attributes, WriteOptions};
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
        /// Write in place where the file cannot be replaced.
        unsafe_writes: bool = false,
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

    /// How to write a file that is to have them.
    pub(super) fn options(&self, backup: bool, validate: Option<&str>) -> WriteOptions {
        WriteOptions { attributes: self.wanted(), backup, validate: validate.map(str::to_owned), unsafe_writes: self.unsafe_writes }
    }
}
