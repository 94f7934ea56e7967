//! A start of the host in the middle of a transaction: what undoes it then, and how the host is told to run that.
//!
//! The timer dies with the machine. Root's journal therefore has itself looked at by the next start, by a unit of systemd's or a
//! line of cron's, that is there as long as a transaction is open. Journals of other users wait for the next agent.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::machine::Journal;
use crate::wire::Failure;

const UNIT: &str = "/etc/systemd/system/rappel-undo.service";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/rappel-undo.service";
const CRON: &str = "/etc/cron.d/rappel-undo";
const AGENT: &str = "/var/lib/rappel/agent";

/// Undoes all that was open when the host went down.
///
/// # Errors
/// When a journal cannot be read or written; the others were seen to all the same.
pub(super) fn undo(journal: &Journal) -> Result<(), Failure> {
    let healed = journal.heal_all();
    disarm(journal);
    healed
}

/// Has the host run this program when it starts again. `program` is how it was started.
///
/// # Errors
/// The system's.
pub(super) fn arm(journal: &Journal, program: Option<&[OsString]>) -> io::Result<()> {
    let Some(arguments) = program.and_then(|program| program.get(1..)) else { return Ok(()) };
    if !journal.is_the_systems() || watched() {
        return Ok(());
    }
    keep_program()?;
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let command = [AGENT].into_iter().chain(arguments.iter().map(AsRef::as_ref)).chain(["--boot"]).collect::<Vec<_>>().join(" ");
    if Path::new("/run/systemd/system").is_dir() {
        let unit = format!(
            "[Unit]\nDescription=Undo the deployment that was open when this host went down\n\n\
             [Service]\nType=oneshot\nExecStart={command}\n"
        );
        write(UNIT, &unit)?;
        fs::create_dir_all(Path::new(WANTED).parent().unwrap_or(Path::new("/")))?;
        match symlink(UNIT, WANTED) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_parent(WANTED),
        }
    } else if Path::new(CRON).parent().is_some_and(Path::is_dir) {
        write(CRON, &format!("@reboot root {command}\n"))
    } else {
        Ok(())
    }
}

/// Takes that back once nothing is open any more.
pub(super) fn disarm(journal: &Journal) {
    if journal.is_the_systems() && watched() && !journal.has_open() {
        for path in [WANTED, UNIT, CRON, AGENT] {
            let _ = fs::remove_file(path); // left behind, it finds nothing to do
        }
    }
}

fn watched() -> bool {
    Path::new(WANTED).exists() || Path::new(CRON).exists()
}

/// Keeps this program where it will be after a start of the host.
fn keep_program() -> io::Result<()> {
    let temporary = PathBuf::from(format!("{AGENT}.{}", std::process::id()));
    let kept = place_program(&temporary).and_then(|()| fs::rename(&temporary, AGENT));
    // Two names of one file are left as one; a copy that did not fit is of no use.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => kept.and(Err(error)),
        _ => kept.and_then(|()| sync_parent(AGENT)),
    }
}

fn place_program(path: &Path) -> io::Result<()> {
    if fs::hard_link(std::env::current_exe()?, path).is_ok() {
        return Ok(());
    }
    fs::copy("/proc/self/exe", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    File::open(path)?.sync_all()
}

fn write(path: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_parent(path)
}

fn sync_parent(path: &str) -> io::Result<()> {
    Path::new(path).parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
