//! Makes a temporary file or directory that nobody else has.
//!
//! ```yaml
//! - tempfile: {state: directory, suffix: build}
//!   register: build
//! ```

use super::prelude::*;

choice! {
    /// What to make.
    pub enum State { File = "file", Directory = "directory" }
}

params! {
    pub struct TempFile {
        /// What to make.
        state: State = State::File,
        /// In this directory; otherwise in `$TMPDIR` or `/tmp`.
        path: Option<PathText>,
        /// How the name starts.
        prefix: String = "ansible.",
        /// How the name ends.
        suffix: String = "",
    }
}

impl Module for TempFile {
    const REVERSIBLE: Reversible = Reversible::Exact;
    const CHECK_MODE: bool = false;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let folder = match &self.path {
            Some(path) => machine.path(&path.0),
            None => std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()).map_or_else(|| "/tmp".into(), Into::into),
        };
        if !machine.is_dir(&folder) {
            return Err(Failure::new(format!("there is no directory {}", folder.display())));
        }
        let path = loop {
            let path = folder.join(format!("{}{}{}", self.prefix, random_letters(machine)?, self.suffix));
            if !machine.exists(&path) {
                break path;
            }
        };
        let mode = |mode: &str| Attributes { mode: Some(mode.to_owned()), ..Attributes::default() };
        match self.state {
            State::File => machine.write(&path, &"".into(), &mode("0600"))?,
            State::Directory => machine.make_dir(&path, &mode("0700"))?,
        };
        let facts = machine.describe(&path);
        Ok(machine.outcome().with("path", path.display().to_string()).with_all(facts))
    }
}

/// Eight letters that nobody can guess.
fn random_letters(machine: &Machine) -> Result<String, Failure> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
    let bytes = machine.random::<8>()?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS.get(usize::from(*byte) % LETTERS.len()).copied().unwrap_or(b'a'))).collect())
}
