//! Runs inventory scripts.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::model::inventory::Scripts;

/// Runs them as programs of the controller.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Programs;

impl Scripts for Programs {
    fn run(&self, script: &Path, arguments: &[&str]) -> Result<String, String> {
        let script = std::path::absolute(script).map_err(|error| error.to_string())?;
        let done = Command::new(&script).args(arguments).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        if !done.status.success() {
            return Err(format!("{}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim()));
        }
        String::from_utf8(done.stdout).map_err(|_| "it printed something that is not UTF-8".to_owned())
    }
}
