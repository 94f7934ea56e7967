//! What several tests need: hosts, and ways to break the connection to them.

pub mod fault;
pub mod sshd;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A program to send as the agent: the test build of `rappel`, by way of a script, so that no nested build is needed.
pub fn agent_script(folder: &Path) -> PathBuf {
    let path = folder.join("agent-script");
    let text = format!("#!/bin/sh\nexec {} {} \"$@\"\n", env!("CARGO_BIN_EXE_rappel"), rappel::ssh::AGENT_ARGUMENT);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
