//! Sets what users may take of the host, in `limits.conf`.
//!
//! ```yaml
//! - pam_limits: {domain: shop, limit_type: "-", limit_item: nofile, value: 65536}
//! ```

use super::edit::{self, Edit, bare};
use super::prelude::*;
use crate::machine::WriteOptions;

choice! {
    /// Whether users can raise it themselves up to the hard one.
    pub enum Type { Hard = "hard", Soft = "soft", Both = "-" }
}
choice! {
    /// What is limited.
    pub enum Item {
        Core = "core", Data = "data", Fsize = "fsize", Memlock = "memlock", Nofile = "nofile", Rss = "rss", Stack = "stack", Cpu = "cpu",
        Nproc = "nproc", As = "as", Maxlogins = "maxlogins", Maxsyslogins = "maxsyslogins", Priority = "priority", Locks = "locks",
        Sigpending = "sigpending", Msgqueue = "msgqueue", Nice = "nice", Rtprio = "rtprio", Chroot = "chroot",
    }
}

params! {
    pub struct PamLimits {
        /// A user, `@group`, `*`, or a range of numbers.
        domain: String,
        /// The kind of limit.
        limit_type: Type,
        /// What is limited.
        limit_item: Item,
        /// The limit: a number, or `unlimited`.
        value: String,
        /// Keep what the file was.
        backup: bool = false,
        /// Leave a limit that is lower.
        use_min: bool = false,
        /// Leave a limit that is higher.
        use_max: bool = false,
        /// The file.
        dest: PathText = PathText("/etc/security/limits.conf".to_owned()),
        /// What stands behind the limit.
        comment: String = "",
    }
    rules = [Rule::Exclusive(&["use_min", "use_max"])];
}

impl Module for PamLimits {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if self.use_min && self.use_max {
            return Err(Failure::new("Cannot use use_min and use_max at the same time."));
        }
        let wanted = self.number(&self.value).ok_or_else(|| {
            let what = if self.limit_item == Item::Nice || self.limit_item == Item::Priority { "a number from -20 to 19" } else { "a number of 0 or more" };
            Failure::new(format!("Argument 'value' needs to be {what}, or 'unlimited', 'infinity' or '-1'; found `{}`", self.value))
        })?;
        let path = machine.path(&self.dest.0);
        let edit = Edit { options: WriteOptions { backup: self.backup, ..WriteOptions::default() }, create: true };
        let text = edit.open(machine, &path)?;
        let old = text.as_ref().map(|text| text.text.as_str()).unwrap_or_default();
        let (new, line) = self.edited(old, wanted);
        let mut backup = None;
        if new != old {
            let bytes = text.as_ref().map_or_else(|| new.clone().into_bytes(), |text| text.bytes_of(&new));
            backup = edit.save(machine, &path, bytes)?.backup;
        }
        let outcome = machine.outcome().with("msg", line);
        Ok(match backup {
            Some(path) => outcome.with("backup_file", path.display().to_string()),
            None => outcome,
        })
    }
}

impl PamLimits {
    /// The limit as a number; without a limit, a very large one.
    fn number(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        if matches!(self.limit_item, Item::Nice | Item::Priority) {
            return text.parse().ok().filter(|number| (-20..20).contains(number));
        }
        match text {
            "unlimited" | "infinity" | "-1" => Some(i64::MAX),
            text => text.parse().ok().filter(|number| *number >= 0),
        }
    }

    /// The new text, and the line of the limit in it.
    fn edited(&self, old: &str, wanted: i64) -> (String, String) {
        let (mut lines, mut found) = (edit::lines(old), None);
        let comment = if self.comment.is_empty() { String::new() } else { format!("\t#{}", self.comment) };
        let line = format!("{}\t{}\t{}\t{}{comment}\n", self.domain, self.limit_type.word(), self.limit_item.word(), self.value);
        for there in &mut lines {
            let (setting, remark) = bare(there).split_once('#').map_or((bare(there), ""), |(setting, remark)| (setting, remark));
            let words: Vec<&str> = setting.split_whitespace().collect();
            let [domain, kind, item, value] = words.as_slice() else { continue };
            if (*domain, *kind, *item) != (self.domain.as_str(), self.limit_type.word(), self.limit_item.word()) {
                continue;
            }
            found = Some(there.clone());
            let now = self.number(value);
            let kept = now.is_some_and(|now| now == wanted || self.use_max && now > wanted || self.use_min && now < wanted);
            if kept || *value == self.value {
                continue;
            }
            // A comment that was there stays when none is given.
            *there = if comment.is_empty() && !remark.is_empty() { format!("{}\t#{remark}\n", line.trim_end()) } else { line.clone() };
            found = Some(there.clone());
        }
        let placed = found.unwrap_or_else(|| {
            if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
                last.push('\n');
            }
            lines.push(line.clone());
            line
        });
        (lines.concat(), placed)
    }
}
