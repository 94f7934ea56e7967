//! Answers the questions that Debian packages ask, before they are installed.
//!
//! ```yaml
//! - debconf: {name: tzdata, question: tzdata/Areas, value: Etc, vtype: select}
//! ```
//!
//! The host's own `debconf-show` and `debconf-set-selections` do the work; passwords are compared when debconf's database of
//! passwords can be read.

use std::path::{Path, PathBuf};

use super::prelude::*;
use crate::machine::{Undo, find_program};
use crate::wire::Diff;

choice! {
    /// What kind of question it is.
    pub enum Kind {
        Boolean = "boolean", Error = "error", Multiselect = "multiselect", Note = "note", Password = "password", Seen = "seen",
        Select = "select", String = "string", Text = "text", Title = "title",
    }
}

params! {
    pub struct Debconf {
        /// The package.
        name | pkg: String,
        /// The question: `tzdata/Areas`.
        question | selection | setting: Option<String>,
        /// What kind of question it is.
        vtype: Option<Kind>,
        /// The answer.
        value | answer: Option<Value>,
        /// Do not count the question as asked.
        unseen: bool = false,
    }
    rules = [Rule::Together(&["question", "vtype", "value"])];
}

const DATABASE: &str = "/var/cache/debconf";

impl Module for Debconf {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if find_program("debconf-show").is_none() {
            return Err(Failure::new("this host has no debconf: it belongs to Debian and its derivatives"));
        }
        let old = self.answers(machine)?;
        let (Some(question), Some(kind), Some(value)) = (&self.question, self.vtype, &self.value) else {
            return Ok(machine.outcome().with("current", old).with("msg", ""));
        };
        let wanted = answer(kind, value)?;
        let found = old.get(question).map(Value::to_text);
        let same = match (kind, &found) {
            (_, None) => false,
            (Kind::Password, Some(_)) => password(machine, &self.name, question)?.is_some_and(|found| found == wanted),
            // The order of what is selected says nothing, as long as the playbook gives a list.
            (Kind::Multiselect, Some(found)) if value.as_list().is_some() => sorted(found) == wanted,
            (_, Some(found)) => *found == wanted,
        };
        if same {
            return Ok(machine.outcome().with("current", old).with("msg", ""));
        }
        let mut previous = old;
        match previous.get(question).cloned() {
            Some(value) => previous = Map::from_iter([(question.clone(), value)]),
            None => drop(previous.insert(question.clone(), "".into())),
        }
        let mut after = previous.clone();
        after.insert(question.clone(), if kind == Kind::Password { "(password omitted)".into() } else { wanted.as_str().into() });
        let shown = |map: &Map| serde_json::to_string_pretty(map).unwrap_or_default();
        machine.add_diff(Diff { before: shown(&previous), after: shown(&after), ..Diff::default() });
        self.set(machine, question, kind, &wanted)?;
        let current = Map::from_iter([(question.clone(), wanted.into())]);
        Ok(machine.outcome().with("current", current).with("previous", previous).with("msg", ""))
    }
}

impl Debconf {
    /// The answers that the package has.
    fn answers(&self, machine: &Machine) -> Result<Map, Failure> {
        let command = Command::new("debconf-show").arg(&self.name).plain();
        let ran = machine.query(&command)?;
        if !ran.succeeded() {
            return Err(ran.failure(&command));
        }
        let mut answers = Map::new();
        for line in ran.stdout_text().lines() {
            // `* tzdata/Areas: Etc`; the star says that it was asked.
            if let Some((question, value)) = line.trim_start_matches(['*', ' ']).split_once(':') {
                answers.insert(question.trim().to_owned(), value.trim().into());
            }
        }
        Ok(answers)
    }

    fn set(&self, machine: &mut Machine, question: &str, kind: Kind, value: &str) -> Result<(), Failure> {
        let mut command = Command::new("debconf-set-selections").plain();
        if self.unseen {
            command = command.arg("-u");
        }
        let files = ["config.dat", "config.dat-old", "passwords.dat", "passwords.dat-old", "templates.dat", "templates.dat-old"];
        let files: Vec<PathBuf> = files.iter().map(|name| Path::new(DATABASE).join(name)).collect();
        machine.protect(&files, &[])?;
        let line = format!("{} {question} {} {value}\n", self.name, kind.word());
        // The files are in the journal already, so the program itself has nothing to undo.
        machine.act(&command.stdin(line), Undo::Nothing).map(drop)
    }
}

/// The answer as debconf keeps it.
fn answer(kind: Kind, value: &Value) -> Result<String, Failure> {
    match (kind, value) {
        (Kind::Boolean, value) => Ok(match value {
            Value::Bool(flag) => flag.to_string(),
            other => match other.to_text() {
                text if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => text.to_ascii_lowercase(),
                text => text,
            },
        }),
        (Kind::Multiselect, Value::List(items)) => {
            let mut words = Vec::new();
            for item in items {
                let word = item.as_str().ok_or_else(|| {
                    Failure::new(format!("Invalid value provided for 'multiselect': expected a list of strings, found {}", item.kind()))
                })?;
                words.push(word);
            }
            words.sort_unstable();
            Ok(words.join(", "))
        }
        (_, value) => Ok(value.to_text()),
    }
}

fn sorted(answer: &str) -> String {
    let mut words: Vec<&str> = answer.split(',').map(str::trim).collect();
    words.sort_unstable();
    words.join(", ")
}

/// A password that was set, out of the one database that `debconf-show` does not show.
fn password(machine: &Machine, package: &str, question: &str) -> Result<Option<String>, Failure> {
    let text = machine.read_text(&Path::new(DATABASE).join("passwords.dat"))?.unwrap_or_default();
    Ok(text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let owned = field("Owners:").is_some_and(|owners| owners.split(',').any(|owner| owner.trim() == package));
        (field("Name:") == Some(question) && owned).then(|| field("Value:").unwrap_or_default().to_owned())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_debconf_keeps_them() {
        for (kind, value, expected) in [
            (Kind::Boolean, Value::Bool(true), "true"),
            (Kind::Boolean, "FALSE".into(), "false"),
            (Kind::Boolean, "yes".into(), "yes"),
            (Kind::Multiselect, vec!["shadow", "group"].into(), "group, shadow"),
            (Kind::Multiselect, "shadow, group".into(), "shadow, group"),
            (Kind::String, 5.into(), "5"),
        ] {
            assert_eq!(answer(kind, &value).unwrap(), expected);
        }
        let mixed = Value::List(vec!["a".into(), 1.into()]);
        assert!(answer(Kind::Multiselect, &mixed).unwrap_err().msg.starts_with("Invalid value provided for 'multiselect'"));
    }
}
