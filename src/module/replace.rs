//! Replaces every match of a pattern in a file.
//!
//! ```yaml
//! - replace: {path: /etc/hosts, regexp: '(\s+)old\.example\.com(\s+.*)?$', replace: '\1new.example.com\2'}
//! ```

use super::edit::{self, Edit};
use super::prelude::*;
use crate::regex::{Flags, Template};

params! {
    pub struct Replace {
        /// The file.
        path | dest | destfile | name: PathText,
        /// What to replace; `^` and `$` stand at every line.
        regexp: String,
        /// With what; `\1` and `\g<name>` are the groups of `regexp`.
        replace: String = "",
        /// Replace only after the first match of this.
        after: Option<String>,
        /// Replace only before the first match of this.
        before: Option<String>,
        /// Keep what was there as `path.PID.date~`.
        backup: bool = false,
        /// How the file is encoded; bytes that are not so are left as they are.
        encoding: String = "utf-8",
        /// A command that must accept the file `%s` before it is put in place.
        validate: Option<String>,
    }
    group = file: FileAttributes;
}

impl Module for Replace {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let edit = Edit { options: self.file.options(self.backup, self.validate.as_deref()), create: false };
        if !matches!(self.encoding.to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "ascii" | "us-ascii") {
            return Err(Failure::new(format!("expected the encoding `utf-8`, found `{}`", self.encoding)));
        }
        let Some(text) = edit.open(machine, &path)? else { return Err(Failure::new("there is no file")) };
        let Some((start, end)) = self.section(&text.text)? else {
            let msg = format!("Pattern for before/after params did not match the given file: {}", self.section_pattern());
            return Ok(machine.outcome().with("msg", msg).with("rc", 0));
        };
        let part = text.text.get(start..end).unwrap_or_default();
        let (replaced, count) = self.replaced(part)?;
        if count == 0 || replaced == part {
            let msg = edit.dress(machine, &path, "")?;
            return Ok(machine.outcome().with("msg", msg).with("rc", 0));
        }
        let (head, tail) = (text.text.get(..start).unwrap_or_default(), text.text.get(end..).unwrap_or_default());
        let written = edit.save(machine, &path, text.bytes_of(&format!("{head}{replaced}{tail}")))?;
        let outcome = machine.outcome().with("msg", format!("{count} replacements made")).with("rc", 0);
        Ok(match written.backup {
            Some(backup) => outcome.with("backup_file", backup.display().to_string()),
            None => outcome,
        })
    }
}

impl Replace {
    fn section_pattern(&self) -> String {
        match (self.after.as_deref(), self.before.as_deref()) {
            (Some(after), Some(before)) => format!("{after}(?P<subsection>.*?){before}"),
            (Some(after), None) => format!("{after}(?P<subsection>.*)"),
            (None, Some(before)) => format!("(?P<subsection>.*){before}"),
            (None, None) => String::new(),
        }
    }

    /// Where to replace; `None` when `after` or `before` is not in the text.
    fn section(&self, text: &str) -> Result<Option<(usize, usize)>, Failure> {
        if self.after.is_none() && self.before.is_none() {
            return Ok(Some((0, text.len())));
        }
        let regex = edit::pattern_with("after` or `before", &self.section_pattern(), Flags { dot_all: true, ..Flags::default() })?;
        let captures = regex.captures(text).map_err(|error| edit::too_hard(&error))?;
        Ok(captures.and_then(|captures| captures.name("subsection").map(|part| (part.start(), part.end()))))
    }

    fn replaced(&self, text: &str) -> Result<(String, usize), Failure> {
        let regex = edit::pattern_with("regexp", &self.regexp, Flags { multi_line: true, ..Flags::default() })?;
        let template = Template::new(&self.replace, &regex)
            .map_err(|error| Failure::new(format!("Unable to process replace due to error: {error} of `{}`", self.replace)))?;
        let (mut out, mut last, mut count) = (String::with_capacity(text.len()), 0, 0);
        for captures in regex.captures_iter(text) {
            let captures = captures.map_err(|error| edit::too_hard(&error))?;
            let Some(whole) = captures.get(0) else { continue };
            out.push_str(text.get(last..whole.start()).unwrap_or_default());
            out.push_str(&template.fill(&captures));
            last = whole.end();
            count += 1;
        }
        out.push_str(text.get(last..).unwrap_or_default());
        Ok((out, count))
    }
}
