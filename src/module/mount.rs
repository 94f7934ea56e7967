//! Mounts file systems, now and at every boot.
//!
//! ```yaml
//! - mount: {path: /srv/data, src: UUID=0d2c…, fstype: ext4, opts: noatime, state: mounted}
//! ```

use std::path::{Path, PathBuf};

use super::edit::{self, Edit, bare};
use super::prelude::*;
use crate::machine::{Undo, WriteOptions};

choice! {
    /// What is wanted.
    pub enum State {
        Absent = "absent", AbsentFromFstab = "absent_from_fstab", Mounted = "mounted", Present = "present",
        Unmounted = "unmounted", Remounted = "remounted", Ephemeral = "ephemeral",
    }
}

params! {
    pub struct Mount {
        /// Where it is mounted.
        path | name: PathText,
        /// `mounted`: in the table and now; `present`: only in the table; `ephemeral`: only now; `absent`: neither.
        state: State,
        /// What is mounted: a device, a directory, a server's.
        src: Option<String>,
        /// The type of the file system.
        fstype: Option<String>,
        /// Options, as in `fstab(5)`.
        opts: Option<String>,
        /// Hide the options.
        opts_no_log: bool = false,
        /// Whether `dump(8)` saves it.
        dump: Option<String>,
        /// When `fsck(8)` looks at it.
        passno: Option<String>,
        /// The table, if not `/etc/fstab`.
        fstab: Option<PathText>,
        /// Whether it is mounted at boot.
        boot: bool = true,
        /// Keep what the table was.
        backup: bool = false,
    }
    rules = [
        Rule::When("state", "mounted", &["src", "fstype"]),
        Rule::When("state", "present", &["src", "fstype"]),
        Rule::When("state", "ephemeral", &["src", "fstype"]),
    ];
}

/// What is mounted now: a line of `proc_pid_mountinfo(5)`.
struct Mounted {
    options: String,
    fstype: String,
    source: String,
    /// Which directory of the file system; not `/` for one that is bound to a second place.
    root: String,
}

impl Module for Mount {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = self.place(machine)?;
        let table = machine.path(self.fstab.as_ref().map_or("/etc/fstab", |fstab| fstab.0.as_str()));
        let fields = self.fields(&path);
        let now = mounted(machine, &path)?;
        let mut backup = None;
        match self.state {
            State::Present => backup = self.edit(machine, &table, &path, Some(&fields))?,
            State::AbsentFromFstab => backup = self.edit(machine, &table, &path, None)?,
            State::Unmounted => {
                if let Some(now) = now {
                    unmount(machine, &path, &now, &table)?;
                }
            }
            State::Absent => {
                backup = self.edit(machine, &table, &path, None)?;
                if let Some(now) = now {
                    unmount(machine, &path, &now, &table)?;
                } else if !machine.checking() && machine.is_dir(&path) && !machine.list(&path)?.is_empty() {
                    return Err(Failure::new(format!("Error rmdir {}: the directory is not empty", path.display())));
                }
                if machine.checking() || !machine.is_dir(&path) || machine.list(&path)?.is_empty() {
                    machine.remove(&path)?;
                }
            }
            State::Mounted => {
                // Mounted first: what cannot be mounted has no place in the table.
                if now.is_none() {
                    self.mount(machine, &path)?;
                }
                let before = machine.changed();
                backup = self.edit(machine, &table, &path, Some(&fields))?;
                if let Some(now) = now.filter(|_| machine.changed() != before) {
                    remount(machine, &path, &now, self.opts.as_deref())?;
                }
            }
            State::Remounted => match now {
                Some(now) => remount(machine, &path, &now, self.opts.as_deref())?,
                None => return Err(Failure::new(format!("Error remounting {}: nothing is mounted there", path.display()))),
            },
            State::Ephemeral => self.ephemeral(machine, &path, now)?,
        }
        let outcome = machine.outcome().with("name", path.display().to_string()).with("fstab", table.display().to_string());
        let [_, _, _, opts, dump, passno] = fields;
        let opts = if self.opts_no_log { "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER".to_owned() } else { opts };
        let outcome = outcome.with("opts", opts).with("dump", dump).with("passno", passno).with("boot", if self.boot { "yes" } else { "no" });
        let given = [("src", self.src), ("fstype", self.fstype)].into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        Ok(outcome.with_all(given.collect()).with("backup_file", backup.map_or_else(String::new, |path| path.display().to_string())))
    }
}

/// What is mounted at `path`; of several, the uppermost.
fn mounted(machine: &Machine, path: &Path) -> Result<Option<Mounted>, Failure> {
    let text = machine.read_text(Path::new("/proc/self/mountinfo"))?.unwrap_or_default();
    let here = machine.resolve(path);
    let parsed = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let front: Vec<&str> = front.split(' ').collect();
        let mut back = back.split(' ');
        let (root, place, options) = (front.get(3)?, front.get(4)?, front.get(5)?);
        let mounted = Mounted { options: (*options).to_owned(), fstype: back.next()?.to_owned(), source: unescape(back.next()?), root: unescape(root) };
        (Path::new(&unescape(place)) == here).then_some(mounted)
    };
    Ok(text.lines().rev().find_map(parsed))
}

/// Takes a mount away. Its undo comes last: the table must be back before.
fn unmount(machine: &mut Machine, path: &Path, now: &Mounted, table: &Path) -> Result<(), Failure> {
    let place = path.display().to_string();
    let listed = machine.read_text(table)?.unwrap_or_default().lines().any(|line| entry(line).is_some_and(|fields| unescape(fields[1]) == place));
    let mut back = Command::new(machine.program("mount")?);
    back = if listed {
        // The table is back when this is run.
        let own = (table != Path::new("/etc/fstab")).then(|| ["-T".into(), table.as_os_str().to_owned()]);
        back.args(own.into_iter().flatten()).arg(path)
    } else if now.root == "/" {
        back.args(["-t", now.fstype.as_str(), "-o", now.options.as_str(), now.source.as_str()]).arg(path)
    } else {
        back.arg("--bind").arg(&now.root).arg(path)
    };
    let command = Command::new(machine.program("umount")?).arg(path).plain();
    let undo = Undo::Afterwards(format!("mount {place} again"), back.words());
    machine.act(&command, undo).map(drop).map_err(|failure| Failure { msg: format!("Error unmounting {place}: {}", failure.msg), ..failure })
}

/// Mounts anew, with other options.
fn remount(machine: &mut Machine, path: &Path, now: &Mounted, options: Option<&str>) -> Result<(), Failure> {
    let program = machine.program("mount")?;
    let command = |options: &str| Command::new(&program).args(["-o", options]).arg(path).plain();
    let options = options.map_or_else(|| "remount".to_owned(), |options| format!("remount,{options}"));
    let undo = Undo::by(format!("the options of {}", path.display()), &command(&format!("remount,{}", now.options)));
    let ran = machine.act(&command(&options), undo);
    ran.map(drop).map_err(|failure| Failure { msg: format!("Error remounting {}: {}", path.display(), failure.msg), ..failure })
}

/// The six fields of an entry; comments have none. The last two may be left out.
fn entry(line: &str) -> Option<[&str; 6]> {
    let line = bare(line).trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let fields = [words.next()?, words.next()?, words.next()?, words.next()?, words.next().unwrap_or("0"), words.next().unwrap_or("0")];
    Some(fields)
}

/// White space as `fstab(5)` writes it.
fn escape(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011")
}

fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

impl Mount {
    /// Where, as the kernel has it: whole, without a slash at its end. Swap space has no place.
    fn place(&self, machine: &Machine) -> Result<PathBuf, Failure> {
        let path = machine.path(&self.path.0);
        if path.is_absolute() {
            return Ok(path.components().collect());
        }
        if self.fstype.as_deref() == Some("swap") || self.path.0 == "none" {
            return Ok(path);
        }
        Err(Failure::new(format!("expected an absolute path, found `{}`", self.path.0)))
    }

    /// The entry that is wanted.
    fn fields(&self, path: &Path) -> [String; 6] {
        let own = |text: &Option<String>, default: &str| text.clone().unwrap_or_else(|| default.to_owned());
        let mut opts = own(&self.opts, "defaults");
        if !self.boot && !opts.split(',').any(|word| word == "noauto") {
            opts.push_str(",noauto");
        }
        let src = own(&self.src, "");
        [src, path.display().to_string(), own(&self.fstype, ""), opts, own(&self.dump, "0"), own(&self.passno, "0")]
    }

    /// Changes the table; swap has no place, so its source tells entries apart.
    fn edit(&self, machine: &mut Machine, table: &Path, path: &Path, wanted: Option<&[String; 6]>) -> Result<Option<PathBuf>, Failure> {
        let edit = Edit { options: WriteOptions { backup: self.backup, ..WriteOptions::default() }, create: true };
        let text = edit.open(machine, table)?;
        let old = text.as_ref().map(|text| text.text.as_str()).unwrap_or_default();
        let place = path.display().to_string();
        let line = wanted.map(|fields| fields.each_ref().map(|field| escape(field)).join(" ") + "\n");
        let (mut lines, mut placed) = (Vec::new(), false);
        for there in edit::lines(old) {
            let about = entry(&there).is_some_and(|fields| {
                let swap = fields[2] == "swap";
                unescape(fields[1]) == place && (!swap || self.src.as_deref().is_some_and(|src| unescape(fields[0]) == src))
            });
            match &line {
                _ if !about => lines.push(there),
                Some(line) if !placed => {
                    placed = true;
                    let same = entry(&there) == entry(line);
                    lines.push(if same { there } else { line.clone() });
                }
                // A second entry for the same place, or one that is not wanted.
                _ => {}
            }
        }
        if let Some(line) = line.filter(|_| !placed) {
            if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
                last.push('\n');
            }
            lines.push(line);
        }
        let new = lines.concat();
        if new == old {
            return Ok(None);
        }
        let bytes = text.as_ref().map_or_else(|| new.clone().into_bytes(), |text| text.bytes_of(&new));
        Ok(edit.save(machine, table, bytes)?.backup)
    }

    fn mount(&self, machine: &mut Machine, path: &Path) -> Result<(), Failure> {
        let made = !machine.exists(path) && machine.make_dir(path, &Attributes::default())?;
        let [src, _, fstype, opts, ..] = self.fields(path);
        let command = Command::new(machine.program("mount")?).plain().args(["-t", &fstype, "-o", &opts, &src]).arg(path);
        let undo = Undo::by(format!("unmount {}", path.display()), &Command::new(machine.program("umount")?).arg(path));
        let Err(failure) = machine.act(&command, undo) else { return Ok(()) };
        if made {
            machine.remove(path)?;
        }
        Err(Failure { msg: format!("Error mounting {}: {}", path.display(), failure.msg), ..failure })
    }

    fn ephemeral(&self, machine: &mut Machine, path: &Path, now: Option<Mounted>) -> Result<(), Failure> {
        let [src, _, _, opts, ..] = self.fields(path);
        match now {
            Some(now) if now.source == src => remount(machine, path, &now, Some(&opts)),
            Some(now) => {
                let msg = "Ephemeral mount point is already mounted with a different source than the specified one. Failing in order to prevent an unwanted unmount or override operation.";
                Err(Failure::new(format!("{msg} It is {}", now.source)))
            }
            None => self.mount(machine, path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_the_system_reads_them() {
        assert_eq!(entry("/dev/sda1 /a\\040b ext4 ro 0\n"), Some(["/dev/sda1", "/a\\040b", "ext4", "ro", "0", "0"]));
        assert_eq!((entry("# /dev/sda1 / ext4 ro"), entry("\n")), (None, None));
        assert_eq!(unescape(&escape("/a b\\c")), "/a b\\c");
    }
}
