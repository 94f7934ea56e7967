//! A folder for one call: what a program must have as files is there while the call runs, and gone after it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use super::{Content, Machine, failed};
use crate::wire::Failure;

/// The folder; it goes with everything in it.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // nobody is left to tell
    }
}

impl Machine {
    /// The folder of this call, which only the agent's user may look into.
    ///
    /// # Errors
    /// The system's.
    pub fn scratch(&mut self) -> Result<PathBuf, Failure> {
        if let Some(Scratch(path)) = &self.scratch {
            return Ok(path.clone());
        }
        let path = std::env::temp_dir().join(format!("rappel-call-{}-{}", std::process::id(), super::look::hex(&self.random::<12>()?)));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| failed("create", &path, &error))?;
        self.scratch = Some(Scratch(path.clone()));
        Ok(path)
    }

    /// A file in that folder.
    ///
    /// # Errors
    /// The system's.
    pub fn scratch_file(&mut self, name: &str, content: Content, program: bool) -> Result<PathBuf, Failure> {
        let path = self.scratch()?.join(name);
        let mode = if program { 0o700 } else { 0o600 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        file.and_then(|mut file| content.write_to(&mut file)).map_err(|error| failed("write", &path, &error))?;
        Ok(path)
    }
}
