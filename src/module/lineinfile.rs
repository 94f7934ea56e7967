//! Sees to it that a line is in a file, or is not.
//!
//! ```yaml
//! - lineinfile: {path: /etc/ssh/sshd_config, regexp: "^#?PermitRootLogin", line: PermitRootLogin no}
//! ```

use std::path::Path;


use super::edit::{self, Edit, bare, found};
use super::prelude::*;
use crate::regex::{Regex, Template};

choice! {
    /// Whether the line is wanted.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct LineInFile {
        /// The file.
        path | dest | destfile | name: PathText,
        /// Which line to replace (the last that matches) or to remove (all that match).
        regexp | regex: Option<String>,
        /// Like `regexp`, but plain text inside the line.
        search_string: Option<String>,
        /// Whether the line is wanted.
        state: State = State::Present,
        /// The line.
        line | value: Option<String>,
        /// Fill `\1` and so on in `line` with the groups of `regexp`; without a match nothing is done.
        backrefs: bool = false,
        /// Insert after the last line that matches this, or at `EOF`.
        insertafter: Option<String>,
        /// Insert before the last line that matches this, or at `BOF`.
        insertbefore: Option<String>,
        /// Make the file if it is not there.
        create: bool = false,
        /// Keep what was there as `path.PID.date~`.
        backup: bool = false,
        /// Insert at the first line that matches rather than the last.
        firstmatch: bool = false,
        /// A command that must accept the file `%s` before it is put in place.
        validate: Option<String>,
    }
    group = file: FileAttributes;
    rules = [
        Rule::Exclusive(&["insertbefore", "insertafter"]),
        Rule::Exclusive(&["regexp", "search_string"]),
        Rule::Exclusive(&["backrefs", "search_string"]),
        Rule::When("state", "present", &["line"]),
    ];
}

/// How a line is recognised.
enum Wanted {
    Pattern(Regex),
    Part(String),
    Whole(String),
}

impl Wanted {
    fn is(&self, line: &str) -> Result<bool, Failure> {
        match self {
            Self::Pattern(regex) => found(regex, line),
            Self::Part(part) => Ok(line.contains(part.as_str())),
            Self::Whole(whole) => Ok(bare(line) == whole),
        }
    }
}

impl Module for LineInFile {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let edit = Edit { options: self.file.options(self.backup, self.validate.as_deref()), create: self.create || self.state == State::Absent };
        for (name, text) in [("regular expression", &self.regexp), ("search string", &self.search_string)] {
            if text.as_deref() == Some("") {
                let instead = if name == "regular expression" { " If this is desired, use '^' to match every line in the file and avoid this warning." } else { "" };
                machine.warn(format!("The {name} is an empty string, which will match every line in the file. This may have unintended consequences, such as replacing the last line in the file rather than appending.{instead}"));
            }
        }
        let missing = |failure: Failure| Failure { msg: failure.msg.replacen("Path ", if failure.msg.ends_with("directory !") { "Path " } else { "Destination " }, 1), ..failure };
        let Some(text) = edit.open(machine, &path).map_err(missing)? else {
            if self.state == State::Absent {
                return Ok(machine.outcome().with("msg", "file not present"));
            }
            return save(machine, &edit, &path, (vec![self.terminated("")?], "line added"), |text| text.as_bytes().to_vec());
        };
        let lines = edit::lines(&text.text);
        if self.state == State::Absent {
            return self.absent(machine, &edit, &path, &lines, |joined| text.bytes_of(joined));
        }
        if let Some(changed) = self.present(&lines)? {
            return save(machine, &edit, &path, changed, |joined| text.bytes_of(joined));
        }
        let msg = edit.dress(machine, &path, "")?;
        Ok(machine.outcome().with("msg", msg).with("backup", ""))
    }
}

impl LineInFile {
    fn wanted(&self) -> Result<Wanted, Failure> {
        Ok(match (&self.regexp, &self.search_string) {
            (Some(regexp), _) => Wanted::Pattern(edit::pattern("regexp", regexp)?),
            (None, Some(part)) => Wanted::Part(part.clone()),
            (None, None) => Wanted::Whole(self.line()?.trim_end_matches(['\r', '\n']).to_owned()),
        })
    }

    fn line(&self) -> Result<&str, Failure> {
        self.line.as_deref().ok_or_else(|| Failure::new("line is required with state=present"))
    }

    /// The line with an end like the file's.
    fn terminated(&self, filled: &str) -> Result<String, Failure> {
        let line = if filled.is_empty() { self.line()? } else { filled };
        Ok(format!("{}\n", line.strip_suffix('\n').unwrap_or(line)))
    }

    /// The lines as they should be, and what was done; `None` when they are so already.
    fn present(&self, lines: &[String]) -> Result<Option<(Vec<String>, &'static str)>, Failure> {
        if self.backrefs && self.regexp.is_none() {
            return Err(Failure::new("regexp is required with backrefs=true"));
        }
        let wanted = self.wanted()?;
        let mut at = None;
        for (number, line) in lines.iter().enumerate() {
            if wanted.is(line)? {
                at = Some(number);
                if self.firstmatch {
                    break;
                }
            }
        }
        let Some(at) = at else {
            let whole = Wanted::Whole(bare(self.line()?).to_owned());
            // Somewhere is good enough, whatever `insertafter` says.
            if self.backrefs || lines.iter().any(|line| whole.is(line).unwrap_or(false)) {
                return Ok(None);
            }
            return Ok(Some((self.inserted(lines)?, "line added")));
        };
        let old = lines.get(at).map(String::as_str).unwrap_or_default();
        let new = match &wanted {
            Wanted::Whole(_) => return Ok(None),
            Wanted::Pattern(regex) if self.backrefs => match regex.captures(old).map_err(|error| edit::too_hard(&error))? {
                Some(captures) => {
                    let line = self.line()?;
                    let template = Template::new(line, regex).map_err(|error| Failure::new(format!("{error} of `{line}`")))?;
                    template.fill(&captures)
                }
                None => return Ok(None),
            },
            _ => self.line()?.to_owned(),
        };
        let new = if new.is_empty() { "\n".to_owned() } else { self.terminated(&new)? };
        if old == new {
            return Ok(None);
        }
        let mut lines = lines.to_vec();
        if let Some(line) = lines.get_mut(at) {
            *line = new;
        }
        Ok(Some((lines, "line replaced")))
    }

    /// The lines with the new one where it belongs.
    fn inserted(&self, lines: &[String]) -> Result<Vec<String>, Failure> {
        let new = self.terminated("")?;
        let mut lines = lines.to_vec();
        let place = match (self.insertafter.as_deref(), self.insertbefore.as_deref()) {
            (Some("BOF"), _) | (_, Some("BOF")) => Some(0),
            (None | Some("EOF"), None) => None,
            (Some(after), _) => self.place(&lines, "insertafter", after)?.map(|number| number + 1),
            (None, Some(before)) => self.place(&lines, "insertbefore", before)?,
        };
        let place = place.unwrap_or(lines.len());
        if place == lines.len()
            && let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n'))
        {
            last.push('\n');
        }
        lines.insert(place, new);
        Ok(lines)
    }

    fn place(&self, lines: &[String], name: &str, pattern: &str) -> Result<Option<usize>, Failure> {
        let regex = edit::pattern(name, pattern)?;
        let mut place = None;
        for (number, line) in lines.iter().enumerate() {
            if found(&regex, line)? {
                place = Some(number);
                if self.firstmatch {
                    break;
                }
            }
        }
        Ok(place)
    }

    fn absent(
        &self,
        machine: &mut Machine,
        edit: &Edit,
        path: &Path,
        lines: &[String],
        bytes: impl Fn(&str) -> Vec<u8>,
    ) -> Result<Outcome, Failure> {
        if self.regexp.is_none() && self.search_string.is_none() && self.line.is_none() {
            return Err(Failure::new("one of line, search_string, or regexp is required with state=absent"));
        }
        let wanted = self.wanted()?;
        let mut kept = Vec::new();
        for line in lines {
            if !wanted.is(line)? {
                kept.push(line.clone());
            }
        }
        let removed = lines.len() - kept.len();
        let outcome = if removed == 0 {
            let msg = edit.dress(machine, path, "")?;
            machine.outcome().with("msg", msg).with("backup", "")
        } else {
            save(machine, edit, path, (kept, &format!("{removed} line(s) removed")), bytes)?
        };
        Ok(outcome.with("found", removed))
    }
}

/// Writes the lines and says what was done.
fn save(
    machine: &mut Machine,
    edit: &Edit,
    path: &Path,
    (lines, msg): (Vec<String>, &str),
    bytes: impl Fn(&str) -> Vec<u8>,
) -> Result<Outcome, Failure> {
    let written = edit.save(machine, path, bytes(&lines.concat()))?;
    let backup = written.backup.map(|backup| backup.display().to_string()).unwrap_or_default();
    machine.label_diff(" (content)");
    Ok(Edit::outcome(machine, path).with("msg", msg).with("backup", backup))
}

