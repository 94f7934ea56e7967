//! Gives a program capabilities of root, one by one.
//!
//! ```yaml
//! - capabilities: {path: /srv/shop/bin/web, capability: cap_net_bind_service+ep}
//! ```

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether it is wanted.
    pub enum State { Absent = "absent", Present = "present" }
}

params! {
    pub struct Capabilities {
        /// The program.
        path | key: PathText,
        /// The capability, with sign and flags: `cap_net_bind_service+ep`.
        capability | cap: String,
        /// Whether it is wanted.
        state: State = State::Present,
    }
}

/// A capability, its sign, its flags.
type Cap = (String, char, String);

impl Module for Capabilities {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let (get, set) = (machine.program("getcap")?, machine.program("setcap")?);
        let ask = Command::new(get).arg(&path).plain();
        let ran = machine.query(&ask)?;
        if !ran.succeeded() || !ran.stderr.is_empty() {
            return Err(Failure::new(format!("Unable to get capabilities of {}", path.display())).with("stdout", ran.stdout_text()).with("stderr", ran.stderr_text()));
        }
        let text = ran.stdout_text();
        let now = parsed(text.trim().strip_prefix(&*path.display().to_string()).unwrap_or_default());
        let mut wanted = now.clone();
        let cap = single(&self.capability.to_ascii_lowercase());
        let flags_sorted = |flags: &str| { let mut flags: Vec<char> = flags.chars().collect(); flags.sort_unstable(); flags };
        match (self.state, &cap) {
            (State::Present, None) => return Err(Failure::new(format!("Couldn't find operator (one of: =, -, +) in `{}`", self.capability))),
            (State::Present, Some((name, sign, flags))) => {
                let same = |known: &Cap| known.0 == *name && flags_sorted(&known.2) == flags_sorted(flags);
                if !now.iter().any(same) {
                    wanted.retain(|(known, ..)| known != name);
                    wanted.push((name.clone(), *sign, flags.clone()));
                }
            }
            (State::Absent, _) => {
                let name = cap.map_or_else(|| self.capability.to_ascii_lowercase(), |cap| cap.0);
                wanted.retain(|(known, ..)| *known != name);
            }
        }
        if wanted != now {
            let command = |caps: &[Cap]| {
                let command = Command::new(&set).plain();
                let text: Vec<String> = caps.iter().map(|(name, sign, flags)| format!("{name}{sign}{flags}")).collect();
                let command = if text.is_empty() { command.arg("-r") } else { command.arg(text.join(" ")) };
                command.arg(&path)
            };
            machine.act(&command(&wanted), Undo::by(format!("capabilities of {}", path.display()), &command(&now)))?;
        }
        let outcome = machine.outcome().with("state", self.state.word());
        Ok(if outcome.changed { outcome.with("msg", "capabilities changed") } else { outcome })
    }
}

fn single(word: &str) -> Option<Cap> {
    let at = word.find(['=', '+', '-'])?;
    let (name, rest) = word.split_at(at);
    let mut letters = rest.chars();
    letters.next().map(|sign| (name.to_owned(), sign, letters.as_str().to_owned()))
}

/// `cap_a,cap_b=ep cap_c+i`, after the path and, in older versions, ` =`.
fn parsed(text: &str) -> Vec<Cap> {
    let words = text.split_whitespace().filter(|word| *word != "=").filter_map(single);
    words.flat_map(|(names, sign, flags)| names.split(',').map(|name| (name.to_owned(), sign, flags.clone())).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_lists_are_read() {
        let cap = |name: &str, sign| (name.to_owned(), sign, "ep".to_owned());
        assert_eq!(parsed(" cap_net_raw,cap_chown=ep"), [cap("cap_net_raw", '='), cap("cap_chown", '=')]);
        assert_eq!(parsed(" = cap_net_raw+ep"), [cap("cap_net_raw", '+')]);
    }
}
