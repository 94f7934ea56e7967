//! Sees to it that a block of lines between two markers is in a file, or is not.
//!
//! ```yaml
//! - blockinfile:
//!     path: /etc/hosts
//!     marker: "# {mark} shop"
//!     block: |
//!       10.0.0.5 db
//! ```

use super::edit::{self, Edit, bare, found};
use super::prelude::*;

choice! {
    /// Whether the block is wanted.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct BlockInFile {
        /// The file.
        path | dest | destfile | name: PathText,
        /// Whether the block is wanted.
        state: State = State::Present,
        /// The markers; `{mark}` becomes `marker_begin` and `marker_end`.
        marker: String = "# {mark} ANSIBLE MANAGED BLOCK",
        /// The word in the first marker.
        marker_begin: String = "BEGIN",
        /// The word in the last marker.
        marker_end: String = "END",
        /// The lines; none removes the block.
        block | content: String = "",
        /// Insert after the last line that matches this, or at `EOF`.
        insertafter: Option<String>,
        /// Insert before the last line that matches this, or at `BOF`.
        insertbefore: Option<String>,
        /// Make the file if it is not there.
        create: bool = false,
        /// Keep what was there as `path.PID.date~`.
        backup: bool = false,
        /// Have an empty line after the block.
        append_newline: bool = false,
        /// Have an empty line before the block.
        prepend_newline: bool = false,
        /// A command that must accept the file `%s` before it is put in place.
        validate: Option<String>,
        /// How the file is encoded; bytes that are not so are left as they are.
        encoding: String = "utf-8",
    }
    group = file: FileAttributes;
    rules = [Rule::Exclusive(&["insertbefore", "insertafter"])];
}

impl Module for BlockInFile {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let edit = Edit { options: self.file.options(self.backup, self.validate.as_deref()), create: self.create };
        let text = edit.open(machine, &path)?;
        let old = text.as_ref().map(|text| text.text.as_str()).unwrap_or_default();
        let (new, msg) = self.edited(old)?;
        if text.is_some() && new == old || text.is_none() && new.is_empty() {
            let msg = edit.dress(machine, &path, "")?;
            return Ok(machine.outcome().with("msg", msg));
        }
        let bytes = text.as_ref().map_or_else(|| new.clone().into_bytes(), |text| text.bytes_of(&new));
        let written = edit.save(machine, &path, bytes)?;
        machine.label_diff(" (content)");
        let outcome = Edit::outcome(machine, &path).with("msg", if text.is_none() { "File created" } else { msg });
        Ok(match written.backup {
            Some(backup) => outcome.with("backup_file", backup.display().to_string()),
            None => outcome,
        })
    }
}

impl BlockInFile {
    fn markers(&self) -> (String, String) {
        (self.marker.replace("{mark}", &self.marker_begin), self.marker.replace("{mark}", &self.marker_end))
    }

    /// The text as it should be, and what was done to it.
    fn edited(&self, old: &str) -> Result<(String, &'static str), Failure> {
        let mut lines = edit::lines(old);
        let (begin, end) = self.markers();
        let line_at = |marker: &str| lines.iter().rposition(|line| bare(line) == marker);
        let there = match (line_at(&begin), line_at(&end)) {
            (Some(first), Some(last)) if first < last => Some((first, last)),
            // The last marker of an older block stands before the first one of another: all between goes.
            (Some(first), Some(last)) => Some((last, first)),
            _ => None,
        };
        let wanted = self.state == State::Present && !self.block.is_empty();
        let place = match there {
            Some((first, last)) => {
                lines.drain(first..=last);
                Some(first)
            }
            None => None,
        };
        if !wanted {
            return Ok((lines.concat(), "Block removed"));
        }
        let place = match place {
            Some(place) => place,
            None => self.place(&lines)?,
        };
        if let Some(before) = place.checked_sub(1).and_then(|before| lines.get_mut(before)).filter(|before| !before.ends_with('\n')) {
            before.push('\n');
        }
        let block = self.block.strip_suffix('\n').unwrap_or(&self.block);
        let mut new: Vec<String> = vec![format!("{begin}\n")];
        new.extend(block.split('\n').map(|line| format!("{line}\n")));
        new.push(format!("{end}\n"));
        if self.prepend_newline && place > 0 && lines.get(place - 1).is_some_and(|line| !bare(line).is_empty()) {
            new.insert(0, "\n".to_owned());
        }
        if self.append_newline && lines.get(place).is_some_and(|line| !bare(line).is_empty()) {
            new.push("\n".to_owned());
        }
        lines.splice(place..place, new);
        Ok((lines.concat(), "Block inserted"))
    }

    fn place(&self, lines: &[String]) -> Result<usize, Failure> {
        let (name, pattern, after) = match (self.insertafter.as_deref(), self.insertbefore.as_deref()) {
            (_, Some("BOF")) | (Some("BOF"), _) => return Ok(0),
            (None | Some("EOF"), None) => return Ok(lines.len()),
            (Some(after), _) => ("insertafter", after, 1),
            (None, Some(before)) => ("insertbefore", before, 0),
        };
        let regex = edit::pattern(name, pattern)?;
        if edit::spans_lines(pattern) {
            let text = lines.concat();
            let place = regex.find(&text).map_err(|error| edit::too_hard(&error))?.map(|found| if after == 1 { found.end() } else { found.start() });
            let above = |place: usize| text.bytes().take(place).filter(|byte| *byte == b'\n').count();
            return Ok(place.map_or(lines.len(), |place| above(place) + after));
        }
        for (number, line) in lines.iter().enumerate().rev() {
            if found(&regex, line)? {
                return Ok(number + after);
            }
        }
        Ok(lines.len())
    }
}
