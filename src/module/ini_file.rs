//! Sees to it that an option is in a section of an INI file, or is not.
//!
//! ```yaml
//! - ini_file: {path: /etc/php/8.2/fpm/php.ini, section: PHP, option: memory_limit, value: 512M}
//! ```

use super::edit::{self, Edit, bare};
use super::prelude::*;

choice! {
    /// Whether it is wanted.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct IniFile {
        /// The file; it is made if it is not there.
        path | dest: PathText,
        /// The section; without one, the part before the first section.
        section: Option<String>,
        /// The option; without one, the whole section is meant.
        option: Option<String>,
        /// Its value.
        value: Option<String>,
        /// Several values, each on a line of its own.
        values: Option<Vec<String>>,
        /// Whether it is wanted.
        state: State = State::Present,
        /// The option has just these values; otherwise they are added or removed.
        exclusive: bool = true,
        /// Write `a=b` rather than `a = b`.
        no_extra_spaces: bool = false,
        /// Leave spaces round `=` as they are in a line that is changed.
        ignore_spaces: bool = false,
        /// An option may stand without a value.
        allow_no_value: bool = false,
        /// Put an option that is commented out in the place of that line.
        modify_inactive_option: bool = true,
        /// Make the file if it is not there.
        create: bool = true,
        /// Keep what was there as `path.PID.date~`.
        backup: bool = false,
        /// Write through a link.
        follow: bool = false,
    }
    group = file: FileAttributes;
    rules = [Rule::Exclusive(&["value", "values"])];
}

impl Module for IniFile {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let edit = Edit { options: self.file.options(self.backup, None), create: self.create || self.state == State::Absent };
        if self.state == State::Present && self.option.is_some() && self.wanted().is_empty() && !self.allow_no_value {
            return Err(Failure::new("Parameter 'value(s)' must be defined if state=present and allow_no_value=False."));
        }
        let missing = |failure: Failure| Failure { msg: failure.msg.replacen("Path ", "Destination ", 1), ..failure };
        let text = edit.open(machine, &path).map_err(missing)?;
        if text.is_none() && self.state == State::Absent {
            let outcome = machine.outcome().with("msg", "OK");
            return Ok(outcome.with("path", path.display().to_string()));
        }
        let old = text.as_ref().map(|text| text.text.as_str()).unwrap_or_default();
        let (new, msg) = self.edited(old);
        let shown = path.display().to_string();
        if new == old {
            edit.dress(machine, &path, "")?;
            let facts = machine.describe(&path);
            return Ok(machine.outcome().with("msg", "OK").with("path", shown).with_all(facts));
        }
        let bytes = text.as_ref().map_or_else(|| new.clone().into_bytes(), |text| text.bytes_of(&new));
        let written = edit.save(machine, &path, bytes)?;
        let facts = machine.describe(&path);
        let outcome = machine.outcome().with("msg", msg).with("path", shown).with_all(facts);
        Ok(match written.backup {
            Some(backup) => outcome.with("backup_file", backup.display().to_string()),
            None => outcome,
        })
    }
}

impl IniFile {
    fn wanted(&self) -> Vec<&str> {
        match (&self.value, &self.values) {
            (Some(value), _) => vec![value.as_str()],
            (None, Some(values)) => values.iter().map(String::as_str).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// The text as it should be, and what was done to it.
    fn edited(&self, old: &str) -> (String, &'static str) {
        let mut lines = edit::lines(old);
        let section = self.range(&lines);
        match (&self.option, self.state, section) {
            (None, State::Absent, Some((start, end))) => {
                lines.drain(start..end);
                (lines.concat(), "section removed")
            }
            (_, State::Absent, None) | (None, State::Present, Some(_)) => (old.to_owned(), "OK"),
            (Some(option), State::Absent, Some((start, end))) => {
                let doomed = |line: &str| {
                    let value = value_of(line, option);
                    value.is_some_and(|value| self.exclusive || self.wanted().contains(&value))
                };
                let mut number = 0;
                lines.retain(|line| {
                    number += 1;
                    !((start..end).contains(&(number - 1)) && doomed(line))
                });
                (lines.concat(), "option changed")
            }
            (option, State::Present, None) => {
                end_last_line(&mut lines);
                if let Some(name) = self.section.as_deref().filter(|name| !name.is_empty()) {
                    if lines.is_empty() {
                        // As in Ansible, byte for byte.
                        lines.push("\n".to_owned());
                    }
                    lines.push(format!("[{name}]\n"));
                }
                if let Some(option) = option {
                    lines.extend(self.fresh(option, &[]));
                }
                (lines.concat(), "section and option added")
            }
            (Some(option), State::Present, Some((start, end))) => self.set(lines, option, start, end),
        }
    }

    fn set(&self, mut lines: Vec<String>, option: &str, start: usize, end: usize) -> (String, &'static str) {
        let wanted = self.wanted();
        let active: Vec<usize> = (start..end).filter(|at| lines.get(*at).is_some_and(|line| value_of(line, option).is_some())).collect();
        let values = |lines: &[String]| -> Vec<String> {
            active.iter().filter_map(|at| lines.get(*at).and_then(|line| value_of(line, option)).map(str::to_owned)).collect()
        };
        let there = values(&lines);
        if !self.exclusive {
            let missing = self.fresh(option, &there);
            if missing.is_empty() {
                return (lines.concat(), "OK");
            }
            let at = active.last().map_or_else(|| insertion(&lines, start, end), |last| last + 1);
            lines.splice(at..at, missing);
            return (lines.concat(), "option added");
        }
        let same = if wanted.is_empty() { there == [""] } else { there == wanted };
        if same && (self.ignore_spaces || !wanted.is_empty() && active.iter().zip(&wanted).all(|(at, value)| lines.get(*at).is_some_and(|line| bare(line) == self.line(option, value)))) || same && wanted.is_empty() {
            return (lines.concat(), "OK");
        }
        let fresh = self.fresh(option, &[]);
        let Some(first) = active.first().copied() else {
            let commented = (start..end).find(|at| self.modify_inactive_option && lines.get(*at).is_some_and(|line| commented(line, option)));
            if let Some(at) = commented {
                lines.splice(at..=at, fresh);
                return (lines.concat(), "option changed");
            }
            let at = insertion(&lines, start, end);
            lines.splice(at..at, fresh);
            return (lines.concat(), "option added");
        };
        for at in active.iter().rev() {
            lines.remove(*at);
        }
        lines.splice(first..first, fresh);
        (lines.concat(), "option changed")
    }

    /// Lines for the wanted values that are not there.
    fn fresh(&self, option: &str, there: &[String]) -> Vec<String> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return if there.is_empty() { vec![format!("{option}\n")] } else { Vec::new() };
        }
        let missing = wanted.into_iter().filter(|value| !there.iter().any(|found| found == value));
        missing.map(|value| self.line(option, value) + "\n").collect()
    }

    fn line(&self, option: &str, value: &str) -> String {
        let equals = if self.no_extra_spaces { "=" } else { " = " };
        format!("{option}{equals}{value}").trim_end().to_owned()
    }

    /// The lines of the section, its heading included.
    fn range(&self, lines: &[String]) -> Option<(usize, usize)> {
        let is_heading = |line: &String| bare(line).trim_start().starts_with('[');
        let end_of = |start: usize| lines.iter().enumerate().skip(start).find(|(_, line)| is_heading(line)).map_or(lines.len(), |(at, _)| at);
        match self.section.as_deref().filter(|name| !name.is_empty()) {
            None => Some((0, end_of(0))),
            Some(name) => {
                let start = lines.iter().position(|line| bare(line).trim() == format!("[{name}]"))?;
                Some((start, end_of(start + 1)))
            }
        }
    }
}

/// Behind the last line of a section that is not empty.
fn insertion(lines: &[String], start: usize, end: usize) -> usize {
    let filled = (start..end).rev().find(|at| lines.get(*at).is_some_and(|line| !bare(line).trim().is_empty()));
    filled.map_or(start, |at| at + 1)
}

fn end_last_line(lines: &mut [String]) {
    if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
        last.push('\n');
    }
}

/// The value of `option`, when the line sets it: empty for an option without value.
fn value_of<'l>(line: &'l str, option: &str) -> Option<&'l str> {
    let rest = bare(line).trim_start().strip_prefix(option)?.trim_start();
    match rest.strip_prefix('=') {
        Some(value) => Some(value.trim()),
        None => rest.is_empty().then_some(""),
    }
}

/// Whether the line is `option`, commented out.
fn commented(line: &str, option: &str) -> bool {
    let line = bare(line).trim_start();
    line.strip_prefix(['#', ';']).is_some_and(|rest| value_of(rest, option).is_some())
}
