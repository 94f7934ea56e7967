//! Manages the entries of a user's crontab, or of a file in `/etc/cron.d`.
//!
//! ```yaml
//! - cron: {name: backup, minute: "0", hour: "2", job: /usr/local/bin/backup}
//! - cron: {name: PATH, env: true, job: /opt/bin, cron_file: shop, user: root}
//! ```

use std::path::PathBuf;

use super::group::Presence;
use super::prelude::*;
use crate::machine::{Undo, find_program};
use crate::wire::Diff;

choice! {
    /// A time with a name.
    pub enum SpecialTime {
        Annually = "annually", Daily = "daily", Hourly = "hourly", Monthly = "monthly",
        Reboot = "reboot", Weekly = "weekly", Yearly = "yearly",
    }
}

params! {
    pub struct Cron {
        /// Names the entry, in a comment above it; or the variable.
        name: String,
        /// The program to run; or the value of the variable.
        job | value: Option<String>,
        /// Whether it shall be there.
        state: Presence = Presence::Present,
        /// `0`-`59`, `*`, `*/5` …
        minute: String = "*",
        /// `0`-`23`
        hour: String = "*",
        /// The day of the month, `1`-`31`.
        day | dom: String = "*",
        /// `1`-`12`
        month: String = "*",
        /// The day of the week, `0`-`6`, Sunday is 0.
        weekday | dow: String = "*",
        /// A time with a name, instead of the five.
        special_time: Option<SpecialTime>,
        /// Keep the entry as a comment.
        disabled: bool = false,
        /// The entry is a variable.
        env: bool = false,
        /// Put a new variable after this one.
        insertafter: Option<String>,
        /// Put a new variable before this one.
        insertbefore: Option<String>,
        /// Whose crontab; in a file, who runs the job.
        user: Option<String>,
        /// A file in `/etc/cron.d`, or an absolute path; a crontab when not given.
        cron_file: Option<String>,
        /// Keep what was there.
        backup: bool = false,
    }
    rules = [Rule::Exclusive(&["insertafter", "insertbefore"])];
}

const MARK: &str = "#Ansible: ";

impl Module for Cron {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        self.check()?;
        let before = self.read(machine)?;
        let lines: Vec<String> = before.lines().map(str::to_owned).collect();
        let after = if self.env { self.edit_variable(lines)? } else { self.edit_job(lines) };
        let after = if after.is_empty() { String::new() } else { format!("{}\n", after.join("\n")) };
        let mut backup = None;
        if after != before {
            backup = self.write(&before, &after, machine)?;
        }
        let named = |keep: fn(&str) -> Option<String>| after.lines().filter_map(keep).collect::<Vec<_>>();
        let jobs = named(|line| line.strip_prefix(MARK).map(str::to_owned));
        let outcome = machine.outcome().with("jobs", jobs).with("envs", named(variable));
        Ok(match backup {
            Some(path) => outcome.with("backup_file", path.to_string_lossy().into_owned()),
            None => outcome,
        })
    }
}

/// The name that a line gives a value to.
fn variable(line: &str) -> Option<String> {
    let (name, _) = line.split_once('=')?;
    let name = name.trim();
    let fits = !name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    fits.then(|| name.to_owned())
}

impl Cron {
    fn check(&self) -> Result<(), Failure> {
        let times = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday];
        if self.special_time.is_some() && times.iter().any(|time| *time != "*") {
            return Err(Failure::new("You must specify time and date fields or special time."));
        }
        if self.cron_file.is_some() && self.user.is_none() && self.state == Presence::Present && !self.env {
            return Err(Failure::new("To use cron_file=... parameter you must specify user=... as well"));
        }
        if self.state == Presence::Present && self.job.is_none() {
            return Err(Failure::new("You must specify 'job' to install a new cron job or variable"));
        }
        if self.job.as_ref().is_some_and(|job| job.trim_end_matches(['\r', '\n']).contains(['\r', '\n'])) {
            return Err(Failure::new("the job has a line end in it, and an entry of a crontab is one line"));
        }
        Ok(())
    }

    fn file(&self) -> Option<PathBuf> {
        self.cron_file.as_ref().map(|file| PathBuf::from("/etc/cron.d").join(file))
    }

    fn crontab(&self) -> Command {
        let command = Command::new("crontab").plain();
        match &self.user {
            Some(user) => command.args(["-u", user]),
            None => command,
        }
    }

    fn read(&self, machine: &Machine) -> Result<String, Failure> {
        if let Some(file) = self.file() {
            return Ok(machine.read_text(&file)?.unwrap_or_default());
        }
        if find_program("crontab").is_none() {
            return Err(Failure::new("this host has no crontab; install `cron`, or give `cron_file`"));
        }
        let ran = machine.query(&self.crontab().arg("-l"))?;
        // 1 means that there is no crontab yet.
        if !ran.succeeded() && ran.status != 1 {
            return Err(Failure { msg: format!("Unable to read crontab: {}", ran.stderr_text().trim()), ..Failure::default() });
        }
        let text = ran.stdout_text();
        // Some crons print their own warning above the table, which must not become a part of it.
        let own = |line: &&str| !["# DO NOT EDIT THIS FILE", "# (/tmp/.*installed on", "# (Cron version"].iter().any(|head| line.starts_with(head));
        Ok(text.lines().enumerate().filter(|(index, line)| *index > 2 || own(line)).map(|(_, line)| format!("{line}\n")).collect())
    }

    fn write(&self, before: &str, after: &str, machine: &mut Machine) -> Result<Option<PathBuf>, Failure> {
        if let Some(file) = self.file() {
            let backup = if self.backup && machine.exists(&file) { Some(machine.backup(&file)?) } else { None };
            if after.is_empty() && self.state == Presence::Absent {
                machine.remove(&file)?;
            } else {
                let attributes = Attributes { mode: Some("0644".to_owned()), ..Attributes::default() };
                machine.write(&file, &after.into(), &attributes)?;
            }
            return Ok(backup);
        }
        let whose = self.user.as_deref().unwrap_or("crontab");
        let headers = (format!("crontab of {whose} (before)"), format!("crontab of {whose} (after)"));
        machine.add_diff(Diff { before_header: headers.0, after_header: headers.1, before: before.to_owned(), after: after.to_owned() });
        let mut back: Vec<String> = self.crontab().argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        if before.is_empty() {
            back.push("-r".to_owned());
        } else {
            let table = back.join(" ");
            back = ["sh", "-c", &format!("printf %s \"$1\" | {table} -"), "sh", before].map(str::to_owned).to_vec();
        }
        let undo = Undo::Command(format!("give {whose} the crontab back"), back);
        machine.act(&self.crontab().arg("-").stdin(after), undo)?;
        Ok(None)
    }

    fn entry(&self) -> String {
        let job = self.job.as_deref().unwrap_or_default().trim_end_matches(['\r', '\n']);
        let time = match self.special_time {
            Some(special) => format!("@{}", special.word()),
            None => [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].map(String::as_str).join(" "),
        };
        let mark = if self.disabled { "#" } else { "" };
        match self.user.as_ref().filter(|_| self.cron_file.is_some()) {
            Some(user) => format!("{mark}{time} {user} {job}"),
            None => format!("{mark}{time} {job}"),
        }
    }

    fn edit_job(&self, mut lines: Vec<String>) -> Vec<String> {
        let mark = format!("{MARK}{}", self.name);
        let found = lines.iter().position(|line| *line == mark);
        match (found, self.state) {
            (Some(at), Presence::Present) => {
                let end = (at + 2).min(lines.len());
                lines.splice(at..end, [mark, self.entry()]);
            }
            (None, Presence::Present) => lines.extend([mark, self.entry()]),
            (Some(at), Presence::Absent) => {
                let end = (at + 2).min(lines.len());
                lines.drain(at..end);
            }
            (None, Presence::Absent) => {}
        }
        lines
    }

    fn edit_variable(&self, mut lines: Vec<String>) -> Result<Vec<String>, Failure> {
        let at = |lines: &[String], name: &str| lines.iter().position(|line| variable(line).as_deref() == Some(name));
        let found = at(&lines, &self.name);
        let line = format!("{}=\"{}\"", self.name, self.job.as_deref().unwrap_or_default());
        match (found, self.state) {
            (Some(index), Presence::Present) => {
                lines.splice(index..=index, [line]);
            }
            (Some(index), Presence::Absent) => drop(lines.remove(index)),
            (None, Presence::Absent) => {}
            (None, Presence::Present) => {
                let neighbour = self.insertafter.as_ref().or(self.insertbefore.as_ref());
                let index = match neighbour {
                    None => 0,
                    Some(name) => {
                        let index = at(&lines, name).ok_or_else(|| Failure::new(format!("Variable named '{name}' not found.")))?;
                        index + usize::from(self.insertafter.is_some())
                    }
                };
                lines.insert(index, line);
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared;

    fn cron(json: &str) -> Cron {
        let Value::Map(map) = serde_json::from_str(json).unwrap() else { panic!("expected a mapping") };
        Cron::decode(&map).unwrap()
    }

    fn edited(json: &str, table: &str) -> String {
        let module = cron(json);
        let lines = table.lines().map(str::to_owned).collect();
        let lines = if module.env { module.edit_variable(lines).unwrap() } else { module.edit_job(lines) };
        lines.join("\n")
    }

    #[test]
    fn entries_are_found_by_their_comment() {
        let job = r#"{"name": "a", "minute": "5", "job": "x", "cron_file": "f", "user": "root"}"#;
        for (json, table, expected) in [
            (job, "MAILTO=x", "MAILTO=x\n#Ansible: a\n5 * * * * root x"),
            (job, "#Ansible: a\n1 * * * * root old\nb", "#Ansible: a\n5 * * * * root x\nb"),
            (r#"{"name": "a", "special_time": "reboot", "job": "x", "disabled": true}"#, "", "#Ansible: a\n#@reboot x"),
            (r#"{"name": "a", "state": "absent"}"#, "x\n#Ansible: a\n1 * * * * y\nz", "x\nz"),
            (r#"{"name": "a", "state": "absent"}"#, "#Ansible: ab\n1 * * * * y", "#Ansible: ab\n1 * * * * y"),
            (r#"{"name": "PATH", "env": true, "job": "/opt"}"#, "A=1\nj", "PATH=\"/opt\"\nA=1\nj"),
            (r#"{"name": "PATH", "env": true, "job": "/opt", "insertafter": "A"}"#, "A=1\nj", "A=1\nPATH=\"/opt\"\nj"),
            (r#"{"name": "A", "env": true, "state": "absent"}"#, "A=1\nj", "j"),
        ] {
            assert_eq!(edited(json, table), expected, "{json}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        for (json, expected) in [
            (r#"{"name": "a"}"#, "You must specify 'job' to install a new cron job or variable"),
            (r#"{"name": "a", "job": "x", "cron_file": "f"}"#, "To use cron_file=... parameter you must specify user=... as well"),
            (r#"{"name": "a", "job": "x", "special_time": "daily", "hour": "1"}"#, "You must specify time and date fields or special time."),
        ] {
            assert_eq!(cron(json).check().unwrap_err().msg, expected);
        }
    }
}
