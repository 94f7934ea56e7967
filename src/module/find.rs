//! Finds files by name, age, size and content.
//!
//! ```yaml
//! - find: {paths: /srv/shop/releases, file_type: directory, age: 30d}
//!   register: old
//! ```

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};


use super::edit::{self, Text};
use super::glob;
use super::prelude::*;
use super::stat::numbers;
use crate::machine::Algorithm;
use crate::regex::Regex;

choice! {
    /// What kind of thing is looked for.
    pub enum FileType { File = "file", Directory = "directory", Link = "link", Any = "any" }
}

choice! {
    /// Which time is meant.
    pub enum Stamp { Accessed = "atime", Changed = "ctime", Modified = "mtime" }
}

params! {
    pub struct Find {
        /// Where to look.
        paths | path | name: Vec<String>,
        /// What the names must match: shell patterns, or with `use_regex` regular expressions.
        patterns | pattern: Vec<String> = Vec::<String>::new(),
        /// What the names must not match.
        excludes | exclude: Vec<String> = Vec::<String>::new(),
        /// A regular expression that a line must match (or the file, with `read_whole_file`).
        contains: Option<String>,
        /// Match `contains` against the whole file.
        read_whole_file: bool = false,
        /// At least so old, or with a minus at most: `2d`, `-1h`; units s, m, h, d, w.
        age: Option<String>,
        /// By which time.
        age_stamp: Stamp = Stamp::Modified,
        /// At least so large, or with a minus at most: `10m`; units b, k, m, g, t.
        size: Option<String>,
        /// What kind of thing.
        file_type: FileType = FileType::File,
        /// Look into directories.
        recurse: bool = false,
        /// How deep, with `recurse`.
        depth: Option<i64>,
        /// Names that start with a dot count too.
        hidden: bool = false,
        /// Follow links to directories.
        follow: bool = false,
        /// Patterns are regular expressions.
        use_regex: bool = false,
        /// Take the checksum of files.
        get_checksum: bool = false,
        /// By which algorithm.
        checksum_algorithm | checksum | checksum_algo: Algorithm = Algorithm::Sha1,
        /// Only files with this mode.
        mode: Option<ModeText>,
        /// The mode must be just that, rather than contain it.
        exact_mode: bool = true,
        /// How the files that `contains` looks into are encoded; what the host's `iconv` knows.
        encoding: Option<String>,
        /// Stop after so many.
        limit: Option<i64>,
    }
}

/// What the parameters come to.
struct Sieve {
    names: Vec<Name>,
    unwanted: Vec<Name>,
    contains: Option<Regex>,
    age: Option<i64>,
    size: Option<i64>,
    mode: Option<u32>,
    now: SystemTime,
}

/// How a name is recognised.
enum Name {
    Glob(String),
    Regex(Regex),
}

impl Name {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Glob(pattern) => glob::matches(pattern, name),
            Self::Regex(regex) => regex.begins(name).unwrap_or(false),
        }
    }
}

impl Module for Find {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let sieve = self.sieve()?;
        let (mut files, mut examined, mut skipped) = (Vec::new(), 0_usize, Map::new());
        'roots: for text in &self.paths {
            let root = machine.path(text);
            if !machine.is_dir(&root) {
                let reason = format!("'{}' is not a directory", root.display());
                machine.warn(format!("Skipped '{}' path due to this access issue: {reason}\n", root.display()));
                skipped.insert(text.clone(), reason.into());
                continue;
            }
            let mut waiting = vec![(root, 1)];
            while let Some((directory, depth)) = waiting.pop() {
                machine.go_on()?;
                let entries = match machine.list(&directory) {
                    Ok(entries) => entries,
                    Err(failure) => {
                        skipped.insert(directory.display().to_string(), failure.msg.into());
                        continue;
                    }
                };
                examined += entries.len();
                if self.depth.is_some_and(|limit| depth > limit) {
                    continue;
                }
                for path in entries {
                    let Some(stat) = machine.stat(&path, false)? else { continue };
                    if let Some(reason) = self.misread(machine, &sieve, &path, &stat)? {
                        machine.warn(format!("Skipped '{text}' path due to this access issue: {reason}\n"));
                        skipped.insert(text.clone(), reason.into());
                        continue 'roots;
                    }
                    if self.recurse && self.enters(machine, &path, &stat) {
                        waiting.push((path.clone(), depth + 1));
                    }
                    if self.limit.is_none_or(|limit| usize::try_from(limit).is_ok_and(|limit| files.len() < limit)) && self.takes(machine, &sieve, &path, &stat)? {
                        files.push(self.describe(machine, &path, &stat)?);
                    }
                }
            }
        }
        let matched = files.len();
        let msg = if skipped.is_empty() { "All paths examined" } else { "Not all paths examined, check warnings for details" };
        let outcome = machine.outcome().with("files", files).with("matched", matched).with("examined", examined);
        Ok(outcome.with("msg", msg).with("skipped_paths", skipped))
    }
}

impl Find {
    fn sieve(&self) -> Result<Sieve, Failure> {
        let compile = |name: &str, patterns: &[String]| -> Result<Vec<Name>, Failure> {
            let compiled = patterns.iter().map(|pattern| {
                if self.use_regex {
                    edit::pattern(name, pattern).map(Name::Regex)
                } else {
                    Ok(Name::Glob(pattern.clone()))
                }
            });
            compiled.collect()
        };
        let mode = match &self.mode {
            Some(mode) => Some(crate::machine::Mode::parse(&mode.0)?.apply(0, false, 0)),
            None => None,
        };
        Ok(Sieve {
            names: compile("patterns", &self.patterns)?,
            unwanted: compile("excludes", &self.excludes)?,
            contains: self.contains.as_ref().map(|contains| edit::pattern("contains", contains)).transpose()?,
            age: self.age.as_deref().map(|age| scaled("age", age, &[('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)])).transpose()?,
            size: self
                .size
                .as_deref()
                .map(|size| scaled("size", size, &[('b', 1), ('k', 1 << 10), ('m', 1 << 20), ('g', 1 << 30), ('t', 1 << 40)]))
                .transpose()?,
            mode,
            now: SystemTime::now(),
        })
    }

    /// Why the content of a file that is looked into cannot be what `encoding` says: that ends the search in its path.
    fn misread(&self, machine: &Machine, sieve: &Sieve, path: &Path, stat: &Stat) -> Result<Option<String>, Failure> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let looked_into = sieve.contains.is_some() && stat.is_file() && (sieve.names.is_empty() || sieve.names.iter().any(|pattern| pattern.fits(&name)));
        Ok(if self.encoding.is_some() && looked_into { self.text(machine, path)?.err() } else { None })
    }

    /// The text of a file, or why it is none by `encoding`. The host's `iconv` knows all but the usual one.
    fn text(&self, machine: &Machine, path: &Path) -> Result<Result<String, String>, Failure> {
        let Some(encoding) = self.encoding.as_deref() else { return Ok(Ok(Text::from_bytes(machine.read(path)?).text)) };
        let wrong = || format!("Failed to read the file {} due to an encoding error. current encoding: {encoding}", path.display());
        if matches!(encoding.to_ascii_lowercase().replace('_', "-").as_str(), "utf-8" | "utf8" | "ascii") {
            return Ok(String::from_utf8(machine.read(path)?).map_err(|_| wrong()));
        }
        let program = machine.program("iconv")?;
        let convert = |path: &Path| machine.query(&Command::new(&program).args(["-f", encoding, "-t", "UTF-8"]).arg(path).plain());
        let converted = convert(path)?;
        if converted.succeeded() {
            return Ok(Ok(converted.stdout_text()));
        }
        let known = convert(Path::new("/dev/null"))?.succeeded();
        Ok(Err(if known { wrong() } else { format!("unknown encoding: {encoding}") }))
    }

    fn enters(&self, machine: &Machine, path: &Path, stat: &Stat) -> bool {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        (self.hidden || !hidden) && (stat.is_dir() || self.follow && stat.is_link() && machine.is_dir(path))
    }

    fn takes(&self, machine: &Machine, sieve: &Sieve, path: &Path, stat: &Stat) -> Result<bool, Failure> {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return Ok(false) };
        if !self.hidden && name.starts_with('.') {
            return Ok(false);
        }
        let kind = match self.file_type {
            FileType::Any => true,
            FileType::File => stat.is_file(),
            FileType::Directory => stat.is_dir(),
            FileType::Link => stat.is_link(),
        };
        let any = |patterns: &[Name]| patterns.iter().any(|pattern| pattern.fits(&name));
        if !kind || !(sieve.names.is_empty() || any(&sieve.names)) || any(&sieve.unwanted) {
            return Ok(false);
        }
        if sieve.mode.is_some_and(|mode| if self.exact_mode { stat.mode() != mode } else { stat.mode() & mode != mode }) {
            return Ok(false);
        }
        if !self.old_enough(sieve, stat) || !large_enough(sieve, stat) {
            return Ok(false);
        }
        match &sieve.contains {
            Some(pattern) if stat.is_file() => {
                let Ok(text) = self.text(machine, path)? else { return Ok(false) };
                let matches = |text: &str| pattern.find(text).ok().flatten().is_some_and(|found| found.start() == 0);
                Ok(if self.read_whole_file { pattern.is_match(&text).unwrap_or(false) } else { edit::lines(&text).iter().any(|line| matches(line)) })
            }
            Some(_) if self.file_type == FileType::File => Ok(false),
            _ => Ok(true),
        }
    }

    fn old_enough(&self, sieve: &Sieve, stat: &Stat) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Some(age) = sieve.age else { return true };
        let stamp = match self.age_stamp {
            Stamp::Accessed => stat.meta.atime(),
            Stamp::Changed => stat.meta.ctime(),
            Stamp::Modified => stat.meta.mtime(),
        };
        let now = sieve.now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let old = now - stamp;
        if age >= 0 { old >= age } else { old <= -age }
    }

    fn describe(&self, machine: &Machine, path: &Path, stat: &Stat) -> Result<Map, Failure> {
        let mut facts: Map = [("path".to_owned(), path.display().to_string().into())].into_iter().collect();
        facts.extend(numbers(stat).into_iter().filter(|(name, _)| !matches!(name.as_str(), "block_size" | "blocks" | "device_type")));
        if self.get_checksum && stat.is_file() {
            facts.insert("checksum".into(), machine.checksum(path, self.checksum_algorithm)?.into());
        }
        Ok(facts)
    }
}

fn large_enough(sieve: &Sieve, stat: &Stat) -> bool {
    let size = i64::try_from(stat.meta.len()).unwrap_or(i64::MAX);
    sieve.size.is_none_or(|wanted| if wanted >= 0 { size >= wanted } else { size <= -wanted })
}

/// A number with a unit, as Ansible writes ages and sizes.
fn scaled(name: &str, text: &str, units: &[(char, i64)]) -> Result<i64, Failure> {
    let wrong = || Failure::new(format!("failed to process {name}: expected a number with one of {units:?}, found `{text}`"));
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    match text.get(digits.len()..).and_then(|unit| unit.chars().next()) {
        None => Ok(number),
        Some(unit) => units.iter().find(|(letter, _)| *letter == unit).map(|(_, factor)| number * factor).ok_or_else(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        let units = [('s', 1), ('m', 60), ('w', 604_800)];
        for (text, seconds) in [("5", 5), ("2m", 120), ("-1w", -604_800), ("3minutes", 180)] {
            assert_eq!(scaled("age", text, &units).unwrap(), seconds);
        }
        assert!(scaled("age", "x", &units).is_err());
    }
}
