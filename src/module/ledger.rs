//! The audit trail: a file on the coordinator host that is only ever appended to. Internal: `rappel deploy` calls it, playbooks need not.
//!
//! Each line is a JSON object that holds the SHA-256 of the line before it, so that a line which was changed or taken out shows.
//! Old lines go by retention alone, from the start; the first line that is kept still names its lost predecessor.
//!
//! ```yaml
//! - ledger: {path: /var/lib/rappel/deploy/history.jsonl, entry: {who: alice, what: deploy}}
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::wire::Digest;

params! {
    /// The audit trail.
    pub struct Ledger {
        /// The file.
        path: PathText,
        /// What to append; nothing to read only.
        entry: Option<Map>,
        /// Days that entries are kept; 0 for ever.
        keep_days: i64 = 0,
        /// How many of the newest entries to return.
        last: i64 = 20,
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// Seconds since the epoch, by this host's clock.
    at: i64,
    /// The SHA-256 of the line before; empty for the first ever.
    before: String,
    entry: Map,
}

impl Module for Ledger {
    // What was done stays on record, also when it is undone.
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.path.0);
        let wrong = |error: io::Error| Failure::new(format!("cannot keep the history in {}: {error}", path.display()));
        if self.entry.is_none() && !path.exists() {
            return Ok(Outcome::default().with("entries", Value::List(Vec::new())).with("broken", Value::Null));
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(wrong)?;
        }
        let guard = File::create(path.with_extension("guard")).map_err(wrong)?;
        guard.lock().map_err(wrong)?;
        let mut text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(wrong)?,
        };
        if let Some(entry) = self.entry {
            // A line that a crash cut short must not swallow the next one.
            let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let line = Line { at: now(), before: text.lines().next_back().map(digest).unwrap_or_default(), entry };
            let line = format!("{start}{}\n", serde_json::to_string(&line).map_err(|error| wrong(error.into()))?);
            append(&path, &line).map_err(wrong)?;
            text.push_str(&line);
            if self.keep_days > 0 {
                text = prune(&path, &text, now() - self.keep_days * 86_400).map_err(wrong)?;
            }
        }
        Ok(read(&text, self.last))
    }
}

fn digest(line: &str) -> String {
    Digest::of(line.as_bytes()).to_string()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Drops lines from the start that are older than `limit`.
fn prune(path: &Path, text: &str, limit: i64) -> io::Result<String> {
    let old = |line: &str| serde_json::from_str::<Line>(line).is_ok_and(|line| line.at < limit);
    let kept: String = text.split_inclusive('\n').skip_while(|line| old(line)).collect();
    if kept.len() != text.len() {
        let fresh = path.with_extension("new");
        fs::write(&fresh, &kept)?;
        File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, path)?;
    }
    Ok(kept)
}

fn read(text: &str, last: i64) -> Outcome {
    let mut entries = Vec::new();
    let mut broken = Value::Null;
    let mut before: Option<String> = None;
    for (index, text) in text.lines().enumerate() {
        let line = serde_json::from_str::<Line>(text);
        let intact = line.as_ref().is_ok_and(|line| before.as_ref().is_none_or(|before| *before == line.before));
        if !intact && broken.is_null() {
            broken = Value::Int(i64::try_from(index + 1).unwrap_or(i64::MAX));
        }
        if let Ok(line) = line {
            entries.push(Value::Map(Map::from_iter([("at".to_owned(), Value::Int(line.at)), ("entry".to_owned(), Value::Map(line.entry))])));
        }
        before = Some(digest(text));
    }
    let skip = entries.len().saturating_sub(usize::try_from(last).unwrap_or(0));
    Outcome::default().with("entries", Value::List(entries.split_off(skip))).with("broken", broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &Path, entry: Option<&str>) -> Outcome {
        let ledger = Ledger {
            path: PathText(path.to_str().unwrap().into()),
            entry: entry.map(|what| Map::from_iter([("what".to_owned(), Value::from(what))])),
            keep_days: 90,
            last: 2,
        };
        ledger.run(&mut Machine::default()).unwrap()
    }

    #[test]
    fn entries_are_kept_in_order_and_a_changed_line_shows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/history.jsonl");
        assert_eq!(call(&path, None).data.get("entries"), Some(&Value::List(vec![])));
        for what in ["first", "second", "third"] {
            assert_eq!(call(&path, Some(what)).data.get("broken"), Some(&Value::Null));
        }
        let outcome = call(&path, None);
        let Some(Value::List(entries)) = outcome.data.get("entries") else { panic!("expected entries") };
        assert_eq!(entries.len(), 2, "only the newest were asked for");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("first", "forged")).unwrap();
        assert_eq!(call(&path, None).data.get("broken"), Some(&Value::Int(2)), "the second line names another first");
    }

    #[test]
    fn a_line_that_was_cut_short_does_not_swallow_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        call(&path, Some("first"));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"at\": 1, \"bef").unwrap();
        let outcome = call(&path, Some("third"));
        assert_eq!(outcome.data.get("broken"), Some(&Value::Int(2)));
        let Some(Value::List(entries)) = outcome.data.get("entries") else { panic!("expected entries") };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn retention_takes_the_oldest_and_leaves_the_chain_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let old = serde_json::to_string(&Line { at: 5, before: String::new(), entry: Map::new() }).unwrap();
        fs::write(&path, format!("{old}\n")).unwrap();
        let outcome = call(&path, Some("new"));
        assert_eq!(outcome.data.get("broken"), Some(&Value::Null));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}
