//! Chooses which program a generic name stands for.
//!
//! ```yaml
//! - alternatives: {name: java, path: /usr/lib/jvm/java-17-openjdk-amd64/bin/java}
//! ```
//!
//! `update-alternatives` does the work; Debian's and Red Hat's are understood.

use std::path::Path;

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// What is wanted of the alternative.
    pub enum State { Present = "present", Selected = "selected", Auto = "auto", Absent = "absent" }
}

params! {
    pub struct Alternatives {
        /// The generic name.
        name: String,
        /// The program that it is to stand for.
        path: Option<PathText>,
        /// The link that has the generic name; needed for a name that is new.
        link: Option<PathText>,
        /// How much it is preferred.
        priority: Option<i64>,
        /// `present`: it is known; `selected`: it is known and chosen; `auto`: the system chooses.
        state: State = State::Selected,
        /// The family of the alternative. Red Hat only.
        family: Option<String>,
        /// Names that follow this one: each with `name`, `link` and `path`.
        subcommands | slaves: Option<Vec<Map>>,
    }
}

/// What the host has for a name.
#[derive(Debug, Default, PartialEq)]
struct Known {
    exists: bool,
    manual: bool,
    current: Option<String>,
    link: Option<String>,
    choices: Vec<Choice>,
    /// Links of the names that follow.
    links: Vec<(String, String)>,
}

#[derive(Debug, Default, PartialEq)]
struct Choice {
    path: String,
    priority: i64,
    family: Option<String>,
    /// Name and path of those that follow.
    followers: Vec<(String, String)>,
}

impl Module for Alternatives {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let program = machine.program("update-alternatives").or_else(|failure| machine.program("alternatives").map_err(|_| failure))?;
        let known = known(&machine.query(&Command::new(&program).args(["--display", &self.name]).plain())?);
        let path = self.path.as_ref().map(|path| machine.path(&path.0).display().to_string());
        let choice = known.choices.iter().find(|choice| Some(&choice.path) == path.as_ref());
        let wanted = match (&path, &self.family) {
            (Some(path), _) => path.clone(),
            (None, Some(family)) => family.clone(),
            (None, None) if self.state == State::Auto => String::new(),
            (None, None) => return Err(Failure::new("one of the following is required: path, family")),
        };
        let back = self.chosen(&program, &known);
        let mut said = Vec::new();
        if self.state == State::Absent {
            if let Some(choice) = choice {
                let undo = Undo::by(format!("install {} for {} again", choice.path, self.name), &self.install(&program, &known, choice)?);
                // Of the chosen one, the choice is undone after it is known again.
                if known.current.as_ref() == Some(&choice.path) {
                    machine.announce(self.chosen(&program, &known))?;
                }
                machine.act(&command(&program, &["--remove", &self.name, &choice.path]), undo)?;
                said.push(format!("Remove alternative '{}' from '{}'.", choice.path, self.name));
            }
        } else if let Some(path) = path
            && let Some(new) = self.wanted(path, choice, &known, machine)?
        {
            let undo = match choice {
                Some(choice) => Undo::by(format!("what {} was for {}", choice.path, self.name), &self.install(&program, &known, choice)?),
                None => Undo::by(format!("remove {} from {}", new.path, self.name), &command(&program, &["--remove", &self.name, &new.path])),
            };
            machine.act(&self.install(&program, &known, &new)?, undo)?;
            said.push(format!("Install alternative '{}' for '{}'.", new.path, self.name));
        }
        match self.state {
            State::Selected if known.current.as_ref() != Some(&wanted) => {
                machine.act(&command(&program, &["--set", &self.name, &wanted]), back)?;
                said.push(format!("Set alternative '{wanted}' for '{}'.", self.name));
            }
            State::Auto if known.manual => {
                machine.act(&command(&program, &["--auto", &self.name]), back)?;
                said.push(format!("Set alternative to auto for '{}'.", self.name));
            }
            _ => {}
        }
        Ok(machine.outcome().with("msg", said.join(" ")))
    }
}

fn command(program: &str, words: &[&str]) -> Command {
    Command::new(program).args(words).plain()
}

impl Alternatives {
    /// Chooses again what is chosen now.
    fn chosen(&self, program: &str, known: &Known) -> Undo {
        let words = format!("what {} stands for", self.name);
        match &known.current {
            Some(current) if known.manual => Undo::by(words, &command(program, &["--set", &self.name, current])),
            Some(_) => Undo::by(words, &command(program, &["--auto", &self.name])),
            None => Undo::Nothing,
        }
    }

    /// The entry that has to be installed, unless it is there as it should be.
    fn wanted(&self, path: String, there: Option<&Choice>, known: &Known, machine: &Machine) -> Result<Option<Choice>, Failure> {
        let followers = match &self.subcommands {
            None => there.map(|there| there.followers.clone()).unwrap_or_default(),
            Some(given) => given.iter().map(|map| Ok((text(map, "name")?, text(map, "path")?))).collect::<Result<_, Failure>>()?,
        };
        let priority = self.priority.or_else(|| there.map(|there| there.priority)).unwrap_or(50);
        let family = self.family.clone().or_else(|| there.and_then(|there| there.family.clone()));
        let link = self.link.as_ref().map(|link| machine.path(&link.0).display().to_string());
        let new = Choice { path, priority, family, followers };
        let mut followers = new.followers.clone();
        followers.sort();
        let same = there.is_some_and(|there| {
            let mut old = there.followers.clone();
            old.sort();
            old == followers && there.priority == new.priority && there.family == new.family
        });
        if same && link.is_none_or(|link| known.link.as_ref().is_none_or(|there| *there == link)) {
            return Ok(None);
        }
        if machine.stat(Path::new(&new.path), true)?.is_none() && !machine.checking() {
            return Err(Failure::new(format!("Specified path {} does not exist", new.path)));
        }
        Ok(Some(new))
    }

    fn install(&self, program: &str, known: &Known, choice: &Choice) -> Result<Command, Failure> {
        let given = self.link.as_ref().map(|link| link.0.clone()).or_else(|| known.link.clone());
        let link = given.ok_or_else(|| Failure::new("Needed to install the alternative, but unable to do so as we are missing the link"))?;
        let mut command = command(program, &["--install", &link, &self.name, &choice.path, &choice.priority.to_string()]);
        if let Some(family) = &choice.family {
            command = command.args(["--family", family]);
        }
        for (name, path) in &choice.followers {
            let given = self.subcommands.iter().flatten().find(|map| map.get("name").map(Value::to_text).as_ref() == Some(name));
            let known = known.links.iter().find(|(known, _)| known == name).map(|(_, link)| link.clone());
            let link = given.map_or_else(|| known.ok_or_else(|| Failure::new(format!("the link of {name} is not known"))), |map| text(map, "link"))?;
            command = command.args(["--slave", &link, name, path]);
        }
        Ok(command)
    }
}

fn text(map: &Map, key: &str) -> Result<String, Failure> {
    map.get(key).map(Value::to_text).ok_or_else(|| Failure::new(format!("missing required arguments: {key} found in subcommands")))
}

/// Reads what `--display` prints; a name that is not there fails.
fn known(ran: &Completed) -> Known {
    let mut known = Known { exists: ran.succeeded(), ..Known::default() };
    if !known.exists {
        return known;
    }
    let text = ran.stdout_text();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.ends_with("manual mode") || trimmed.ends_with("status is manual.") {
            known.manual = true;
        } else if let Some(path) = trimmed.strip_prefix("link currently points to ") {
            known.current = Some(path.to_owned());
        } else if let Some(rest) = trimmed.strip_prefix("slave ").or_else(|| trimmed.strip_prefix("follower ")) {
            match (rest.split_once(" is "), rest.split_once(": "), known.choices.last_mut()) {
                (_, Some((name, path)), Some(choice)) if path != "(null)" => choice.followers.push((name.to_owned(), path.to_owned())),
                (Some((name, link)), ..) => known.links.push((name.to_owned(), link.to_owned())),
                _ => {}
            }
        } else if let Some((_, path)) = trimmed.strip_prefix("link ").and_then(|rest| rest.split_once(" is ")).filter(|(word, _)| !word.contains(' ')) {
            known.link = Some(path.to_owned());
        } else if let Some((path, rest)) = line.split_once(" - ").filter(|(path, _)| path.starts_with('/')) {
            let word = |name: &str| rest.split_whitespace().skip_while(move |word| *word != name).nth(1).map(str::to_owned);
            let priority = word("priority").and_then(|number| number.parse().ok()).unwrap_or_default();
            known.choices.push(Choice { path: path.to_owned(), priority, family: word("family"), followers: Vec::new() });
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Known {
        known(&Completed { stdout: text.into(), ..Completed::default() })
    }

    #[test]
    fn both_kinds_of_display_are_understood() {
        let debian = "awk - manual mode\n  link best version is /usr/bin/gawk\n  link currently points to /usr/bin/mawk\n  link awk is /usr/bin/awk\n  \
                      slave nawk is /usr/bin/nawk\n/usr/bin/mawk - priority 5\n  slave nawk: /usr/bin/mawk\n/usr/bin/gawk - priority 10\n";
        let found = read(debian);
        assert!(found.manual);
        assert_eq!((found.current.as_deref(), found.link.as_deref()), (Some("/usr/bin/mawk"), Some("/usr/bin/awk")));
        assert_eq!(found.links, [("nawk".to_owned(), "/usr/bin/nawk".to_owned())]);
        assert_eq!(found.choices[0].followers, [("nawk".to_owned(), "/usr/bin/mawk".to_owned())]);
        assert_eq!((found.choices[1].path.as_str(), found.choices[1].priority), ("/usr/bin/gawk", 10));
        let red_hat = "java - status is auto.\n link currently points to /jvm/17/java\n/jvm/17/java - family java-17.x86_64 priority 1700\n \
                       slave jjs: /jvm/17/jjs\nCurrent `best' version is /jvm/17/java.\n";
        let found = read(red_hat);
        assert!(!found.manual);
        assert_eq!((found.choices[0].family.as_deref(), found.choices[0].priority), (Some("java-17.x86_64"), 1700));
    }
}
