//! Reads a file of the host into a result, as base64.
//!
//! ```yaml
//! - slurp: {src: /etc/machine-id}
//!   register: id
//! ```

use super::prelude::*;
pub(super) use crate::machine::words::base64;

/// A larger file does not belong in a variable.
const MAX: u64 = 32 << 20;

params! {
    pub struct Slurp {
        /// The file.
        src | path: PathText,
    }
}

impl Module for Slurp {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.src.0);
        let shown = path.display();
        let unreadable = |failure: Failure| Failure { msg: format!("file is not readable: {}", failure.msg), ..failure };
        match machine.stat(&path, true).map_err(unreadable)? {
            None if path.parent().is_some_and(|parent| machine.exists(parent) && !machine.is_dir(parent)) => {
                return Err(Failure::new(format!("unable to slurp file: {shown}: a part of the path is no directory")));
            }
            None => return Err(Failure::new(format!("file not found: {shown}"))),
            Some(stat) if stat.is_dir() && machine.list(&path).is_err() => return Err(Failure::new(format!("file is not readable: {shown}"))),
            Some(stat) if stat.is_dir() => return Err(Failure::new(format!("source is a directory and must be a file: {shown}"))),
            Some(stat) if stat.meta.len() > MAX => {
                return Err(Failure::new(format!("{shown} has {} bytes, over the limit of {MAX} of `slurp`: use `fetch`", stat.meta.len())));
            }
            Some(_) => {}
        }
        let bytes = machine.read(&path).map_err(unreadable)?;
        let content = base64(&bytes);
        Ok(machine.outcome().with("content", content).with("encoding", "base64").with("source", path.display().to_string()))
    }
}
