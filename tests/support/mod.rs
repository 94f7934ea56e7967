//! What several tests need: hosts, and ways to break the connection to them.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "only tests call this, and a skipped one says so")]

pub mod fault;
pub mod port;
pub mod sshd;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that is the agent on hosts: the test build of `rappel`, or the worker as it ships, where `RAPPEL_TEST_WORKER` names it.
pub fn worker() -> PathBuf {
    std::env::var_os("RAPPEL_TEST_WORKER").map_or_else(|| env!("CARGO_BIN_EXE_rappel").into(), PathBuf::from)
}

/// A program to send as the agent, by way of a script, so that no nested build is needed. Its
/// digest is another for each `folder`, so that no test finds the agent of another.
pub fn agent_script(folder: &Path) -> PathBuf {
    let path = folder.join("agent-script");
    let text = format!("#!/bin/sh\n# {}\nexec {} {} \"$@\"\n", folder.display(), worker().display(), rappel::ssh::AGENT_ARGUMENT);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs `playbook` in `folder` under the name of `ansible-playbook`: the exit status, and what was printed.
pub fn ansible_playbook(folder: &Path, playbook: &str, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let program = folder.join("ansible-playbook");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &program).unwrap();
    }
    std::fs::write(folder.join("play.yml"), playbook).unwrap();
    let done = Command::new(program)
        .args(["-i", "localhost,", "-c", "local", "play.yml"])
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("ANSIBLE_NOCOLOR", "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.code().unwrap_or(-1), text.into_owned())
}
