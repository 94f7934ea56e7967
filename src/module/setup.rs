//! Gathers facts: what a host is.
//!
//! ```yaml
//! - setup:
//!     gather_subset: [network]
//!     filter: [ansible_default_ipv4]
//! ```

use std::time::Duration;

use super::prelude::*;
use super::{facts, glob};

params! {
    pub struct Setup {
        /// Which facts: `all`, `min`, `network`, `hardware`, `virtual` …; with `!` which not.
        gather_subset: Vec<String> = vec!["all".to_owned()],
        /// Only facts whose name matches one of these patterns; may be without `ansible_`.
        filter: Vec<String> = Vec::new(),
        /// Seconds that a program may take that is asked for facts.
        gather_timeout: i64 = 10,
        /// The directory with the administrator's own facts.
        fact_path: PathText = PathText("/etc/ansible/facts.d".to_owned()),
        /// The Python whose facts are given: `ansible_python_interpreter`, for rappel's own use.
        _python: Option<PathText>,
    }
}

impl Module for Setup {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let limit = Duration::from_secs(u64::try_from(self.gather_timeout).unwrap_or(10));
        let source = facts::Source::host(machine.environment(), machine.path(&self.fact_path.0), limit, self._python.map(|path| machine.path(&path.0)));
        let mut found = facts::collect(&self.gather_subset, &source).map_err(Failure::new)?;
        let patterns: Vec<&str> = self.filter.iter().map(String::as_str).filter(|pattern| !matches!(*pattern, "" | "*")).collect();
        if patterns.is_empty() {
            found.insert("gather_subset".to_owned(), self.gather_subset.clone().into());
            found.insert("module_setup".to_owned(), true.into());
        } else {
            found.retain(|name, _| patterns.iter().any(|pattern| glob::matches(pattern, name) || glob::matches(pattern, &prefixed(name))));
        }
        let named: Map = found.into_iter().map(|(name, value)| (prefixed(&name), value)).collect();
        Ok(machine.outcome().with("ansible_facts", named))
    }
}

fn prefixed(name: &str) -> String {
    match name {
        "gather_subset" | "module_setup" | "discovered_interpreter_python" => name.to_owned(),
        _ => format!("ansible_{name}"),
    }
}
