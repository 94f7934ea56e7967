//! Adds the keys that sign packages to the database of rpm, or takes them away.
//!
//! ```yaml
//! - rpm_key: {key: "https://download.docker.com/linux/rhel/gpg"}
//! ```

use super::openpgp::{self, Key};
use super::prelude::*;
use crate::machine::http::Exchange;
use crate::machine::{Content, Undo, find_program};

choice! {
    /// Whether the key shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct RpmKey {
        /// Where the key is: an address or a file on the host; or its number, to remove it.
        key: String,
        /// Whether it shall be there.
        state: State = State::Present,
        /// Check the certificate of the address.
        validate_certs: bool = true,
        /// Accept the key only with one of these fingerprints.
        fingerprint: Vec<String> = Vec::<String>::new(),
    }
}

impl Module for RpmKey {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if find_program("rpm").is_none() {
            return Err(Failure::new("Failed to find required executable \"rpm\": this host keeps its packages otherwise"));
        }
        let (bytes, ids) = self.wanted(machine)?;
        let known = known(machine)?;
        let is_there = |id: &String| known.iter().any(|(version, _)| id.to_ascii_lowercase().ends_with(version) || version.ends_with(&id.to_ascii_lowercase()));
        match (self.state, bytes) {
            (State::Present, _) if ids.iter().all(is_there) => {}
            (State::Present, None) => return Err(Failure::new(format!("{} is the number of a key, not where it is", self.key))),
            (State::Present, Some(bytes)) => {
                let file = machine.spooled(&Content::from(bytes))?;
                let new: Vec<String> = ids.iter().filter(|id| !is_there(id)).map(|id| format!("gpg-pubkey-{}", short(id))).collect();
                let back = ["rpm", "--erase", "--allmatches"].into_iter().map(str::to_owned).chain(new.iter().cloned()).collect();
                machine.act(&Command::new("rpm").arg("--import").arg(file).plain(), Undo::Command(format!("erase {}", new.join(" ")), back))?;
            }
            (State::Absent, _) => {
                for (version, release) in known.iter().filter(|(version, _)| ids.iter().any(|id| id.to_ascii_lowercase().ends_with(version.as_str()))) {
                    let package = format!("gpg-pubkey-{version}-{release}");
                    let text = machine.query(&Command::new("rpm").args(["-q", "--qf", "%{DESCRIPTION}", &package]).plain())?.stdout_text();
                    let script = "file=$(mktemp) && printf '%s\\n' \"$0\" >\"$file\" && rpm --import \"$file\"; status=$?; rm -f \"$file\"; exit $status";
                    let back = ["sh", "-c", script, &text].map(str::to_owned).to_vec();
                    machine.act(&Command::new("rpm").args(["--erase", "--allmatches", &package]).plain(), Undo::Command(format!("import {package} again"), back))?;
                }
            }
        }
        Ok(machine.outcome())
    }
}

/// The last eight digits, in the lower case that rpm has.
fn short(id: &str) -> String {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id).to_ascii_lowercase()
}

/// Version (the number) and release (the date) of every key in the database.
fn known(machine: &Machine) -> Result<Vec<(String, String)>, Failure> {
    let ran = machine.query(&Command::new("rpm").args(["-q", "gpg-pubkey", "--qf", "%{VERSION} %{RELEASE}\\n"]).plain())?;
    // Without any key, rpm says that the package is not installed, and fails.
    let text = if ran.succeeded() { ran.stdout_text() } else { String::new() };
    Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(version, release)| (version.to_ascii_lowercase(), release.to_owned())).collect())
}

impl RpmKey {
    /// The key, unless only its number was given, and the numbers of all keys in it.
    fn wanted(&self, machine: &Machine) -> Result<(Option<Vec<u8>>, Vec<String>), Failure> {
        let digits = self.key.trim().trim_start_matches("0x").trim_start_matches("0X").replace(' ', "");
        let path = machine.path(&self.key);
        let bytes = if self.key.contains("://") {
            self.download(machine)?
        } else if digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok((None, vec![digits]));
        } else if machine.exists(&path) {
            machine.read(&path)?
        } else {
            return Err(Failure::new(format!("Not a valid key {}", self.key)));
        };
        let keys = openpgp::keys(&bytes);
        if keys.is_empty() {
            return Err(Failure::new(format!("Not a public key: {}", self.key)));
        }
        let given: Vec<String> = self.fingerprint.iter().map(|print| print.replace(' ', "").to_ascii_uppercase()).collect();
        let expected = |key: &Key| given.iter().any(|print| key.has(print));
        if !given.is_empty() && !keys.iter().all(expected) {
            let found: Vec<&str> = keys.iter().map(|key| key.fingerprint.as_str()).collect();
            let msg = format!("The specified fingerprint, '{}', does not match any key fingerprints in '[{}]'", given.join(", "), found.join(", "));
            return Err(Failure::new(msg));
        }
        Ok((Some(bytes), keys.iter().map(|key| key.id().to_owned()).collect()))
    }

    fn download(&self, machine: &Machine) -> Result<Vec<u8>, Failure> {
        let exchange = Exchange { validate: self.validate_certs, ..machine.asking(&self.key) };
        exchange.content().map_err(|why| Failure::new(format!("failed to fetch key at {} , error was: {why}", self.key)))
    }
}
