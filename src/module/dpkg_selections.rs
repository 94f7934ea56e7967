//! Sets what dpkg shall do with a package: `hold` keeps it as it is.
//!
//! ```yaml
//! - dpkg_selections: {name: linux-image-amd64, selection: hold}
//! ```

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// What shall be done with it.
    pub enum Selection { Install = "install", Hold = "hold", Deinstall = "deinstall", Purge = "purge" }
}

params! {
    pub struct DpkgSelections {
        /// The package.
        name: String,
        /// What shall be done with it.
        selection: Selection,
    }
}

impl Module for DpkgSelections {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let asked = machine.query(&Command::new("dpkg").args(["--get-selections", self.name.as_str()]).plain())?;
        let wanted = self.selection.word();
        let text = asked.stdout_text();
        let Some(before) = text.lines().next().and_then(|line| line.split_whitespace().nth(1)) else {
            return Err(Failure::new(format!("Failed to find package '{}' to perform selection '{wanted}'.", self.name)));
        };
        if before != wanted {
            let command = Command::new("dpkg").arg("--set-selections").stdin(format!("{} {wanted}\n", self.name)).plain();
            let script = "printf '%s %s\\n' \"$0\" \"$1\" | dpkg --set-selections";
            let back = ["sh", "-c", script, self.name.as_str(), before].map(str::to_owned).to_vec();
            machine.act(&command, Undo::Command(format!("select {before} for {} again", self.name), back))?;
        }
        Ok(machine.outcome().with("before", before).with("after", wanted))
    }
}
