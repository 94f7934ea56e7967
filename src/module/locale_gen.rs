//! Makes locales known to the host.
//!
//! ```yaml
//! - locale_gen: {name: [de_DE.UTF-8, en_US.UTF-8]}
//! ```

use std::path::Path;

use super::edit::{self, bare};
use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether they are wanted.
    pub enum State { Absent = "absent", Present = "present" }
}

params! {
    pub struct LocaleGen {
        /// The locales, with their encoding.
        name: Vec<String>,
        /// Whether they are wanted.
        state: State = State::Present,
    }
}

/// Debian's list: what has a mark before it is not made.
const LIST: &str = "/etc/locale.gen";
const SUPPORTED: &str = "/usr/share/i18n/SUPPORTED";
/// Ubuntu's `locale-gen` takes names.
const UBUNTU: &str = "/var/lib/locales/supported.d";

impl Module for LocaleGen {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let ubuntu = machine.is_dir(Path::new(UBUNTU));
        let list = Path::new(LIST);
        let Some(text) = machine.read_text(list)?.or(ubuntu.then(String::new)) else {
            return Err(Failure::new(format!("{LIST} and {UBUNTU} are missing. Is the package \"locales\" installed?")));
        };
        let supported = machine.read_text(Path::new(SUPPORTED))?.unwrap_or_default();
        let known = |name: &&String| [text.as_str(), &supported].iter().any(|list| list.lines().any(|line| named(line).is_some_and(|(_, locale)| same(locale, name))));
        let unknown: Vec<&str> = self.name.iter().filter(|name| !known(name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(Failure::new(format!("The following locales you have entered are not available on your system: {}", unknown.join(", "))));
        }
        let made = machine.query(&Command::new("locale").arg("-a").plain())?.stdout_text();
        let is_made = |name: &String| made.lines().any(|there| fixed(there) == fixed(name));
        let wanted = self.state == State::Present;
        if self.name.iter().any(|name| is_made(name) != wanted) {
            let program = machine.program("locale-gen")?;
            if ubuntu {
                self.by_name(machine, &program)?;
            } else {
                // Undone in this order too: the list comes back, then the locales follow it.
                let back = Undo::Afterwards("make the locales of before".to_owned(), vec![program.clone()]);
                machine.write(list, &edited(&text, &supported, &self.name, wanted).into(), &Attributes::default())?;
                machine.act(&Command::new(&program).plain(), back)?;
            }
        }
        Ok(machine.outcome().with("name", self.name).with("mechanism", if ubuntu { "ubuntu_legacy" } else { "glibc" }))
    }
}

impl LocaleGen {
    fn by_name(&self, machine: &mut Machine, program: &str) -> Result<(), Failure> {
        if self.state == State::Present {
            let command = Command::new(program).args(&self.name).plain();
            return machine.act(&command, Undo::Impossible(format!("locales {}", self.name.join(", ")))).map(drop);
        }
        Err(Failure::new(format!("`{program}` of this host cannot remove locales")))
    }
}

/// Whether a line of the list is without mark, and the locale that it names.
fn named(line: &str) -> Option<(bool, &str)> {
    let line = bare(line).trim();
    let (on, rest) = line.strip_prefix('#').map_or((true, line), |rest| (false, rest.trim_start()));
    let mut words = rest.split_whitespace();
    let (locale, _) = (words.next()?, words.next()?);
    // `de_DE.UTF-8 UTF-8`: two words; anything longer is text.
    words.next().is_none().then_some((on, locale))
}

fn same(listed: &str, name: &str) -> bool {
    fixed(listed) == fixed(name)
}

/// `UTF-8` and `utf8` are one.
fn fixed(name: &str) -> String {
    match name.split_once('.') {
        Some((locale, encoding)) => {
            let (encoding, rest) = encoding.split_once('@').map_or((encoding, ""), |(encoding, rest)| (encoding, rest));
            format!("{locale}.{}@{rest}", encoding.replace('-', "").to_ascii_lowercase())
        }
        None => name.to_owned(),
    }
}

fn edited(text: &str, supported: &str, names: &[String], wanted: bool) -> String {
    let mut lines = edit::lines(text);
    for name in names {
        let mut found = false;
        for line in &mut lines {
            let Some((on, _)) = named(line).filter(|(_, locale)| same(locale, name)) else { continue };
            found = true;
            if on != wanted {
                let rest = line.trim_start().trim_start_matches('#').trim_start();
                *line = if wanted { rest.to_owned() } else { format!("# {rest}") };
            }
        }
        let line = supported.lines().find(|line| named(line).is_some_and(|(_, locale)| same(locale, name)));
        if let Some(line) = line.filter(|_| wanted && !found) {
            lines.push(format!("{line}\n"));
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_marked() {
        let text = "# This file lists locales that you wish to have built.\n# de_DE.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n";
        let names = ["de_DE.utf8".to_owned()];
        let on = edited(text, "", &names, true);
        assert_eq!(on, "# This file lists locales that you wish to have built.\nde_DE.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n");
        assert_eq!(edited(&on, "", &names, false), text);
        assert_eq!(edited("", "fr_FR.UTF-8 UTF-8\n", &["fr_FR.UTF-8".to_owned()], true), "fr_FR.UTF-8 UTF-8\n");
    }
}
