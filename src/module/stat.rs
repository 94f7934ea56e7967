//! Reads a file's attributes.
//!
//! ```yaml
//! - stat: {path: /etc/hosts}
//!   register: hosts
//! ```

use super::prelude::*;

params! {
    pub struct StatModule {
        /// The file.
        path | dest | name: PathText,
        /// Look at what a link points to.
        follow: bool = false,
    }
}

impl Module for StatModule {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let mut stat = Map::new();
        stat.insert("exists".into(), machine.stat(&path, self.follow)?.is_some().into());
        Ok(machine.outcome().with("stat", stat))
    }
}
