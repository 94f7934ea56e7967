//! Unpacks an archive of the controller, or of the host itself.
//!
//! ```yaml
//! - unarchive: {src: shop-7.tar.gz, dest: /srv/shop/releases/7, owner: shop, extra_opts: [--strip-components=1]}
//! ```
//!
//! The host's own `tar` and `unzip` do the work.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use super::prelude::*;
use crate::machine::http::Exchange;
use crate::machine::{Content, Received, Undo, find_program};

params! {
    pub struct Unarchive {
        /// The archive.
        src: LocalFile,
        /// The directory to unpack into; it must be there.
        dest: PathText,
        /// `src` is on the host.
        remote_src: bool = false,
        /// The older way to say the opposite of `remote_src`.
        copy: bool = true,
        /// Do nothing when this path exists.
        creates: Option<PathText>,
        /// Put the names of what is in the archive into the result.
        list_files: bool = false,
        /// Leave these out.
        exclude: Vec<String> = Vec::<String>::new(),
        /// Only these.
        include: Vec<String> = Vec::<String>::new(),
        /// Do not replace what is newer than the archive's.
        keep_newer: bool = false,
        /// More options for `tar` or `unzip`.
        extra_opts: Vec<String> = Vec::<String>::new(),
        /// Size of the buffer of real Ansible; not needed here.
        io_buffer_size: i64 = 65_536,
        /// Open vault files on the controller.
        decrypt: bool = true,
        /// Check the certificate of an address.
        validate_certs: bool = true,
    }
    group = file: FileAttributes;
    rules = [Rule::Exclusive(&["include", "exclude"])];
}

/// An archive on the host.
struct Archive {
    path: PathBuf,
    zip: bool,
    handler: &'static str,
}

impl Module for Unarchive {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if let Some(creates) = &self.creates
            && machine.exists(&machine.path(&creates.0))
        {
            let msg = format!("skipped, since {} exists", creates.0);
            return Ok(Outcome { skipped: Some(msg.clone()), ..machine.outcome() }.with("msg", msg));
        }
        let dest = machine.path(&self.dest.0);
        if !self.dest.0.starts_with(['/', '~', '$']) {
            machine.warn(format!("Relative destination path '{}' was resolved to absolute path '{}'.", self.dest.0, dest.display()));
        }
        let archive = self.archive(machine)?;
        if !machine.is_dir(&dest) {
            return Err(Failure::new(format!("dest '{}' must be an existing dir", self.dest.0)));
        }
        self.equipped(&archive)?;
        let names = self.names(machine, &archive, &dest)?;
        let different = if archive.zip { zip_differs(machine, &archive, &dest, &names)? } else { self.tar_differs(machine, &archive, &dest)? };
        let mut results = Map::new();
        if different {
            let (files, folders) = places(&dest, &names);
            machine.protect(&files, &folders)?;
            let command = self.extraction(&archive, &dest);
            // The paths are in the journal already, so the program itself has nothing to undo.
            let ran = machine.act(&command, Undo::Nothing).map_err(|failure| {
                let msg = format!("failed to unpack {} to {}: {}", self.src.0, dest.display(), failure.msg);
                Failure { msg, ..failure }
            })?;
            results.insert("rc".into(), ran.status.into());
            results.insert("out".into(), ran.stdout_text().into());
            results.insert("err".into(), ran.stderr_text().into());
        }
        self.dress(machine, &dest, &names)?;
        let facts = machine.describe(&dest);
        let outcome = machine.outcome().with("dest", self.dest.0.as_str()).with("src", archive.path.display().to_string());
        let outcome = outcome.with("handler", archive.handler).with("extract_results", results).with_all(facts);
        Ok(if self.list_files { outcome.with("files", names) } else { outcome })
    }
}

impl Unarchive {
    fn archive(&self, machine: &mut Machine) -> Result<Archive, Failure> {
        let path = match machine.received("src").cloned() {
            Some(Received::File(content)) => machine.spooled(&content)?,
            Some(Received::Tree(_)) => return Err(Failure::new(format!("`{}` is a directory, not an archive", self.src.0))),
            None if self.src.0.contains("://") => machine.spooled(&self.fetched(machine)?)?,
            None => machine.path(&self.src.0),
        };
        let mut head = [0; 262];
        let read = machine.stat(&path, true)?.ok_or_else(|| Failure::new(format!("Source '{}' does not exist", self.src.0)))?;
        if !read.is_file() {
            return Err(Failure::new(format!("Source '{}' is not a file", self.src.0)));
        }
        let content = machine.content_of(&path)?.head(head.len()).map_err(|error| Failure::new(format!("Source '{}' not readable: {error}", self.src.0)))?;
        let _ = content.as_slice().read(&mut head); // from memory: it cannot fail
        let (zip, handler) = match head {
            [b'P', b'K', ..] => (true, "ZipArchive"),
            [0x1f, 0x8b, ..] => (false, "TgzArchive"),
            [b'B', b'Z', b'h', ..] => (false, "TarBzipArchive"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => (false, "TarXzArchive"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => (false, "TarZstdArchive"),
            _ => (false, "TarArchive"),
        };
        Ok(Archive { path, zip, handler })
    }

    /// An archive from an address.
    fn fetched(&self, machine: &Machine) -> Result<Content, Failure> {
        let exchange = Exchange { validate: self.validate_certs, unpack: false, ..machine.asking(self.src.0.as_str()) };
        exchange.content().map(Content::from).map_err(|why| Failure::new(format!("Failure downloading {}, {why}", self.src.0)))
    }

    /// That the host has the program which knows the archive.
    fn equipped(&self, archive: &Archive) -> Result<(), Failure> {
        let program = if archive.zip { "unzip" } else { "tar" };
        if find_program(program).is_some() {
            return Ok(());
        }
        let help = "Make sure the required command to extract the file is installed.";
        let missing = if archive.zip { "'unzip' or 'zipinfo'" } else { "'gtar' or 'tar'" };
        Err(Failure::new(format!("Failed to find handler for \"{}\". {help}\nUnable to find required {missing} binary in the path.", self.src.0)))
    }

    /// Options that say which part of the archive is meant.
    fn selection(&self) -> Vec<OsString> {
        self.exclude.iter().map(|name| format!("--exclude={name}").into()).collect()
    }

    fn tar(&self, mode: &str, archive: &Archive, dest: &Path) -> Command {
        let command = Command::new("tar").plain().arg(mode).arg("-C").arg(dest).args(self.extra_opts.iter()).args(self.selection());
        command.arg("-f").arg(&archive.path).args(self.include.iter())
    }

    fn extraction(&self, archive: &Archive, dest: &Path) -> Command {
        if archive.zip {
            let command = Command::new("unzip").plain().arg(if self.keep_newer { "-uo" } else { "-o" }).args(self.extra_opts.iter());
            let command = command.arg(&archive.path).args(self.include.iter());
            let command = if self.exclude.is_empty() { command } else { command.arg("-x").args(self.exclude.iter()) };
            return command.arg("-d").arg(dest);
        }
        let command = self.tar("--extract", archive, dest);
        if self.keep_newer { command.arg("--keep-newer-files") } else { command }
    }

    /// The names of what will be unpacked, relative to `dest`.
    fn names(&self, machine: &Machine, archive: &Archive, dest: &Path) -> Result<Vec<String>, Failure> {
        let mut command = if archive.zip {
            let command = Command::new("unzip").plain().arg("-Z1").arg(&archive.path).args(self.include.iter());
            if self.exclude.is_empty() { command } else { command.arg("-x").args(self.exclude.iter()) }
        } else {
            // The names after `--strip-components` and `--transform`, which is where things will be.
            self.tar("--list", archive, dest).args(["--quoting-style=literal", "--show-transformed-names"])
        };
        // By its whole name, which it says when it complains.
        let program = machine.program(if archive.zip { "unzip" } else { "tar" })?;
        if let Some(first) = command.argv.first_mut() {
            *first = program.as_str().into();
        }
        let done = machine.query(&command)?;
        if !done.succeeded() {
            let (src, said) = (&self.src.0, done.stderr_text());
            let help = "Make sure the required command to extract the file is installed.";
            let what = if archive.zip { "" } else { "Unable to list files in the archive: " };
            let msg = format!("Failed to find handler for \"{src}\". {help}\nCommand \"{program}\" could not handle archive: {what}{}", said.trim());
            return Err(Failure::new(msg)
                .with("rc", done.status)
                .with("stderr", done.stderr_text()));
        }
        let names: Vec<String> = done.stdout_text().lines().map(str::to_owned).filter(|name| !name.is_empty()).collect();
        let leads_out = |name: &String| Path::new(name).components().any(|part| matches!(part, Component::ParentDir));
        if let Some(name) = names.iter().find(|name| leads_out(name)) {
            return Err(Failure::new(format!("`{name}` in the archive {} leads out of {}", self.src.0, dest.display())));
        }
        Ok(names)
    }

    fn tar_differs(&self, machine: &Machine, archive: &Archive, dest: &Path) -> Result<bool, Failure> {
        let done = machine.query(&self.tar("--diff", archive, dest))?;
        if done.succeeded() {
            return Ok(false);
        }
        let owned = self.file.owner.is_some() || !rustix::process::geteuid().is_root();
        let grouped = self.file.group.is_some() || !rustix::process::geteuid().is_root();
        let expected = |line: &str| {
            line.ends_with(": Uid differs") && owned || line.ends_with(": Gid differs") && grouped || line.ends_with(": Mode differs") && self.file.mode.is_some()
        };
        let (stdout, stderr) = (done.stdout_text(), done.stderr_text());
        // What is missing is said on the other stream; a name that `--strip-components` made empty is no file.
        let missing = |line: &str| line.starts_with("tar:") && !line.starts_with("tar: : ") && !line.contains("Removing leading");
        Ok(stdout.lines().any(|line| !expected(line)) || stderr.lines().any(missing))
    }

    fn dress(&self, machine: &mut Machine, dest: &Path, names: &[String]) -> Result<(), Failure> {
        let attributes = self.file.wanted();
        if attributes.is_empty() {
            return Ok(());
        }
        let (files, folders) = places(dest, names);
        for path in files.iter().chain(&folders) {
            machine.go_on()?;
            if machine.exists(path) {
                machine.attributes(path, &attributes)?;
            }
        }
        Ok(())
    }
}

/// Where the names of an archive go: files, and directories with those that are not named but made on the way.
fn places(dest: &Path, names: &[String]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for name in names {
        let relative: PathBuf = Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let mut parents = relative.ancestors().skip(1).filter(|parent| *parent != Path::new(""));
        folders.extend(parents.by_ref().map(Path::to_owned));
        if relative == Path::new("") {
            continue;
        }
        if name.ends_with('/') { folders.insert(relative) } else { files.insert(relative) };
    }
    (files.into_iter().map(|path| dest.join(path)).collect(), folders.into_iter().map(|path| dest.join(path)).collect())
}

/// Whether a file of the archive is missing or has another size or checksum.
fn zip_differs(machine: &Machine, archive: &Archive, dest: &Path, names: &[String]) -> Result<bool, Failure> {
    let done = machine.query(&Command::new("unzip").plain().arg("-v").arg(&archive.path))?;
    let listing = done.stdout_text();
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [length, _method, _size, _saved, _date, _time, crc, ..] = words.as_slice() else { continue };
        let (Ok(length), Ok(crc)) = (length.parse::<u64>(), u32::from_str_radix(crc, 16)) else { continue };
        let Some(name) = names.iter().find(|name| line.ends_with(&format!("  {name}"))) else { continue };
        let path = dest.join(name);
        let Some(stat) = machine.stat(&path, true)? else { return Ok(true) };
        if name.ends_with('/') {
            continue;
        }
        if stat.meta.len() != length || checksum(machine, &path)? != crc {
            return Ok(true);
        }
    }
    Ok(false)
}

fn checksum(machine: &Machine, path: &Path) -> Result<u32, Failure> {
    let mut crc = flate2::Crc::new();
    crc.update(&machine.read(path)?);
    Ok(crc.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_on_the_way_count() {
        let names = ["./", "./a/b/f", "c/"].map(str::to_owned);
        let (files, folders) = places(Path::new("/d"), &names);
        assert_eq!(files, [PathBuf::from("/d/a/b/f")]);
        assert_eq!(folders, ["/d/a", "/d/a/b", "/d/c"].map(PathBuf::from));
    }
}
