//! Installs or removes packages with whatever the host has for that.
//!
//! ```yaml
//! - package: {name: [git, curl], state: present}
//! ```

use std::path::PathBuf;
use std::time::Duration;

use super::facts::{self, Source};
use super::prelude::*;

params! {
    pub struct Package {
        /// The packages; their names differ between distributions.
        name: Vec<String>,
        /// `present`, `absent`, `latest`, or what else the package manager of the host knows.
        state: String,
        /// The package manager, when the host cannot be trusted to know.
        r#use: String = "auto",
    }
}

impl Module for Package {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let asked = self.r#use.rsplit('.').next().unwrap_or_default();
        let manager = if asked == "auto" {
            let source = Source::host(machine.environment(), PathBuf::new(), Duration::from_secs(10));
            let subsets = ["!all", "!min", "pkg_mgr"].map(str::to_owned);
            let found = facts::collect(&subsets, &source).map_err(Failure::new)?;
            found.get("pkg_mgr").map_or_else(String::new, Value::to_text)
        } else {
            asked.to_owned()
        };
        let Some(entry) = super::find(&manager).filter(|entry| entry.name != "package") else {
            return Err(Failure::new(match manager.as_str() {
                "unknown" => "this host has no package manager that is known here".to_owned(),
                other => format!("this host installs packages with `{other}`, and there is no module for that"),
            }));
        };
        let params = Map::from_iter([("name".to_owned(), self.name.into()), ("state".to_owned(), self.state.into())]);
        (entry.run)(&params, machine)
    }
}
