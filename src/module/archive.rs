//! Packs files and directories of the host into an archive.
//!
//! ```yaml
//! - archive: {path: /srv/shop/current, dest: /var/backups/shop.tgz, exclude_path: [/srv/shop/current/var]}
//! ```
//!
//! The host's own `tar`, `zip` and compressors do the work. Archives are made so that the same files give the same bytes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::glob;
use super::prelude::*;
use crate::machine::Content;

choice! {
    /// How it is packed.
    pub enum Format { Bz2 = "bz2", Gz = "gz", Tar = "tar", Xz = "xz", Zip = "zip" }
}

params! {
    pub struct Archive {
        /// Files, directories and patterns.
        path: Vec<PathText>,
        /// How it is packed.
        format: Format = Format::Gz,
        /// The archive. Without it, the only file with the ending of its format.
        dest: Option<PathText>,
        /// Files, directories and patterns to leave out of `path`; what is in its directories is for `exclusion_patterns`.
        exclude_path: Vec<PathText> = Vec::<PathText>::new(),
        /// Patterns of names in the archive that are left out.
        exclusion_patterns: Vec<String> = Vec::<String>::new(),
        /// Make an archive of a single file too, rather than only compress it.
        force_archive: bool = false,
        /// Remove what was packed.
        remove: bool = false,
    }
    group = file: FileAttributes;
}

/// What is to be packed.
struct Contents {
    /// The directory that names in the archive begin below; with a slash at its end.
    root: String,
    /// Everything inside, by its path; directories too.
    entries: BTreeMap<PathBuf, bool>,
    missing: Vec<String>,
}

impl Module for Archive {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let (paths, mut missing) = expand(machine, &self.path);
        let (excluded, _) = expand(machine, &self.exclude_path);
        let sources: Vec<PathBuf> = paths.iter().filter(|path| !excluded.contains(path)).cloned().collect();
        missing.extend(sources.iter().filter(|path| !machine.exists(path)).map(|path| path.display().to_string()));
        let dest = self.dest(machine, &sources)?;
        let contents = self.contents(machine, &sources, &dest, missing)?;
        let several = self.path.len() > 1 || glob::is_pattern(&self.path.first().map(|path| path.0.clone()).unwrap_or_default());
        let single = !several && !self.force_archive && self.format != Format::Tar && sources.first().is_some_and(|path| !machine.is_dir(path));
        let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let archived: Vec<PathBuf> = contents.entries.keys().cloned().collect();
        let state = if archived.is_empty() {
            if machine.exists(&dest) { "archive" } else { "absent" }
        } else {
            let packed = if single { self.compressed(machine, &sources)? } else { self.packed(machine, &contents)? };
            machine.write_with(&dest, &packed, &self.file.options(false, None))?;
            match (single, contents.missing.is_empty()) {
                (true, _) => "compress",
                (false, true) => "archive",
                (false, false) => "incomplete",
            }
        };
        if self.remove && !archived.is_empty() {
            for path in sources.iter().filter(|path| **path != dest) {
                machine.remove(path)?;
            }
        }
        let facts = machine.describe(&dest);
        let outcome = machine.outcome().with("archived", shown(&archived)).with("arcroot", contents.root.as_str()).with("dest", dest.display().to_string());
        let outcome = outcome.with("dest_state", state).with("missing", contents.missing).with("expanded_paths", shown(&paths));
        Ok(outcome.with("expanded_exclude_paths", shown(&excluded)).with("state", "absent").with_all(facts))
    }
}

/// Paths with patterns filled in; and what is nowhere.
fn expand(machine: &Machine, given: &[PathText]) -> (Vec<PathBuf>, Vec<String>) {
    let (mut paths, mut missing) = (Vec::new(), Vec::new());
    for text in given {
        let path = machine.path(&text.0);
        if !glob::is_pattern(&text.0) {
            // A slash at the end is kept: it says where names begin.
            let slash = text.0.ends_with('/') && text.0.len() > 1 && !path.as_os_str().as_bytes().ends_with(b"/");
            paths.push(if slash { path.join("") } else { path });
            continue;
        }
        match glob::paths(&path) {
            found if found.is_empty() => missing.push(text.0.clone()),
            found => paths.extend(found),
        }
    }
    (paths, missing)
}

impl Archive {
    fn dest(&self, machine: &Machine, sources: &[PathBuf]) -> Result<PathBuf, Failure> {
        if let Some(dest) = &self.dest {
            let dest = machine.path(&dest.0);
            return if machine.is_dir(&dest) { Err(Failure::new(format!("dest {} is a directory", dest.display()))) } else { Ok(dest) };
        }
        let [source] = sources else { return Err(Failure::new("Error, must specify \"dest\" when archiving multiple files or trees")) };
        if machine.is_dir(source) {
            return Err(Failure::new("Error, must specify \"dest\" when archiving multiple files or trees"));
        }
        Ok(PathBuf::from(format!("{}.{}", source.display(), self.format.word())))
    }

    fn contents(&self, machine: &Machine, sources: &[PathBuf], dest: &Path, missing: Vec<String>) -> Result<Contents, Failure> {
        let root = root(sources);
        let mut entries = BTreeMap::new();
        let mut waiting: Vec<PathBuf> = sources.iter().filter(|path| machine.exists(path)).cloned().collect();
        let tops = waiting.clone();
        while let Some(path) = waiting.pop() {
            machine.go_on()?;
            let Some(stat) = machine.stat(&path, false)?.filter(|_| path != dest) else { continue };
            if stat.is_dir() {
                waiting.extend(machine.list(&path)?);
            }
            // What was asked for is the way to what is in it.
            let way = stat.is_dir() && tops.contains(&path);
            if !way && !self.left_out(&path, &root) {
                entries.insert(path, stat.is_dir());
            }
        }
        Ok(Contents { root, entries, missing })
    }

    /// Patterns are about names as they are in the archive, where a star matches slashes too.
    fn left_out(&self, path: &Path, root: &str) -> bool {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
        self.exclusion_patterns.iter().any(|pattern| glob::matches(pattern, &name))
    }

    /// The program that compresses what it reads.
    fn compressor(&self) -> Option<[&'static str; 2]> {
        match self.format {
            Format::Gz => Some(["gzip", "-n"]),
            Format::Bz2 => Some(["bzip2", "-9"]),
            Format::Xz => Some(["xz", "-6"]),
            Format::Tar | Format::Zip => None,
        }
    }

    /// A single file, only compressed.
    fn compressed(&self, machine: &mut Machine, sources: &[PathBuf]) -> Result<Content, Failure> {
        let Some(source) = sources.first() else { return Err(Failure::new("there is nothing to compress")) };
        let Some([program, option]) = self.compressor() else {
            let contents = Contents { root: root(sources), entries: BTreeMap::from([(source.clone(), false)]), missing: Vec::new() };
            return self.packed(machine, &contents);
        };
        made(machine, "f", &[program, option, "-c", "--", &source.display().to_string()], Path::new("/"), &[])
    }

    fn packed(&self, machine: &mut Machine, contents: &Contents) -> Result<Content, Failure> {
        let root = Path::new(&contents.root);
        let names: Vec<&Path> = contents.entries.keys().filter_map(|path| path.strip_prefix(root).ok()).filter(|name| !name.as_os_str().is_empty()).collect();
        let list = |end: u8| names.iter().flat_map(|name| name.as_os_str().as_bytes().iter().copied().chain([end])).collect::<Vec<u8>>();
        if self.format == Format::Zip {
            // `zip` reads names line by line, and directories only by name.
            return made(machine, "a.zip", &["zip", "-q", "-X", "-y", "-D", "-", "-@"], root, &list(b'\n'));
        }
        let mut words = vec!["tar", "--create", "--no-recursion", "--null", "--files-from=-", "--format=gnu", "--file=-"];
        if let Some([program, _]) = self.compressor() {
            words.push(match program {
                "gzip" => "--use-compress-program=gzip -n",
                "bzip2" => "--bzip2",
                _ => "--xz",
            });
        }
        made(machine, "a.tar", &words, root, &list(0))
    }
}

/// What a program writes, in a file of this call.
fn made(machine: &mut Machine, name: &str, words: &[&str], folder: &Path, input: &[u8]) -> Result<Content, Failure> {
    let (program, arguments) = words.split_first().ok_or_else(|| Failure::new("there is no program to run"))?;
    let program = machine.program(program)?;
    let file = machine.scratch()?.join(name);
    let mut argv: Vec<OsString> = ["sh", "-c", "out=$1; shift; exec \"$@\" >\"$out\"", "sh"].map(OsString::from).to_vec();
    argv.extend([file.clone().into_os_string(), program.into()]);
    argv.extend(arguments.iter().map(OsString::from));
    let command = Command { argv, ..Command::default() }.chdir(folder).stdin(input).plain();
    let ran = machine.query(&command)?;
    if !ran.succeeded() {
        return Err(Failure { msg: format!("`{}` failed: {}", words.first().unwrap_or(&""), ran.stderr_text().trim()), ..ran.failure(&command) });
    }
    machine.content_of(&file)
}

/// What all paths have in common, up to its last slash.
fn root(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let first = texts.first().map(String::as_str).unwrap_or_default();
    let common = texts.iter().fold(first.len(), |length, text| first.bytes().zip(text.bytes()).take(length).take_while(|(one, other)| one == other).count());
    let common = first.get(..common).unwrap_or_default();
    common.rfind('/').and_then(|at| common.get(..=at)).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_below_what_paths_have_in_common() {
        for (paths, expected) in [(&["/a/b"][..], "/a/"), (&["/a/b/"], "/a/b/"), (&["/a/b/x", "/a/bc"], "/a/"), (&["/x", "/y"], "/")] {
            assert_eq!(root(&paths.iter().map(PathBuf::from).collect::<Vec<_>>()), expected, "{paths:?}");
        }
    }
}
