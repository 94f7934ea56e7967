//! The undo journal on disk: what is about to change is written here, synced, before it is changed.
//!
//! Every transaction has a directory with a `log` of JSON lines, each closed by a checksum, so that a line that a crash tore
//! is known and left out; `images/` with what files were before; `length`, by which a log that was cut is known; and
//! `heartbeat`, whose time says when the controller was heard last. All of it is readable by its owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::image::{Entry, Time, path_text};
use super::log::{parse, write_line};
use super::{Undo, failed, look};
use crate::wire::protocol::Phase;
use crate::wire::{Begin, Failure, TransactionRecord, UndoReport};

/// The file that says how long the log was when it was written to last.
const LENGTH: &str = "length";
/// The file by which somebody asks for a transaction that is in use.
const CLAIM: &str = "claim";
/// How much of another user's log is read, in bytes.
const PEEK: u64 = 64 << 20;

/// All transactions of one user on one host.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
}

/// One line of a log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first line.
    Begin {
        begin: Begin,
        begun: u64,
        /// Which start of the host that was in.
        #[serde(default)]
        boot: String,
    },
    /// A file is about to get a second name beside itself, since the journal is on another disk.
    Beside {
        #[serde(with = "path_text")]
        image: PathBuf,
        folder_time: Option<Time>,
    },
    /// An effect is about to change these.
    Before { step: u32, entries: Vec<Entry> },
    /// A program is about to be run.
    Program { step: u32, undo: Undo },
    /// The host has voted; it no longer undoes by itself. As earlier builds wrote it.
    Prepared,
    /// The same, with all who were asked to vote.
    Voted { voters: Vec<String> },
    /// The coordinator has decided to commit.
    Decided { voters: Vec<String> },
    /// Over, with success.
    Committed,
    /// An undo has started, and why.
    Undoing { cause: Cause },
    /// Entry `entry` of line `line` was dealt with.
    Undone { line: usize, entry: usize, result: Undone },
    /// Over, undone.
    Ended { cause: Cause },
}

/// Why a transaction is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The controller asked.
    Aborted,
    /// The controller was not heard of for too long.
    Healed,
    /// The host has started again meanwhile.
    Restarted,
    /// A committed transaction is taken back by the user.
    RolledBack,
}

/// What came of undoing one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Undone {
    Exact,
    BestEffort(String),
    Impossible(String),
    Conflict(String),
    Failed(String),
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Tasks run; the timer is armed.
    Open,
    /// Voted.
    Prepared,
    /// Voted, and this host keeps the decision.
    Decided,
    /// Over, with success; what is needed to undo it is still there.
    Committed,
    /// An undo has started and has not ended.
    Undoing(Cause),
    /// Over, undone.
    Ended(Cause),
}

impl State {
    /// Its name in [`TransactionRecord`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Prepared => "prepared",
            Self::Decided => "decided",
            Self::Committed => "committed",
            Self::Undoing(_) => "undoing",
            Self::Ended(Cause::Aborted) => "aborted",
            Self::Ended(Cause::Healed | Cause::Restarted) => "healed",
            Self::Ended(Cause::RolledBack) => "rolled back",
        }
    }
}

impl From<State> for Phase {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Prepared => Self::Prepared,
            State::Decided => Self::Decided,
            State::Committed => Self::Committed,
            State::Undoing(_) => Self::Undoing,
            State::Ended(_) => Self::Undone,
        }
    }
}

impl Journal {
    /// The journal of the user this process runs as: `$RAPPEL_STATE_DIR`, else `/var/lib/rappel` for root, else under the
    /// user's state directory.
    pub fn of_this_user() -> Self {
        let given = std::env::var_os("RAPPEL_STATE_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let folder = if let Some(given) = given {
            given
        } else if rustix::process::geteuid().is_root() {
            PathBuf::from("/var/lib/rappel")
        } else {
            let state = std::env::var_os("XDG_STATE_HOME").filter(|state| !state.is_empty()).map(PathBuf::from);
            let state = state.or_else(|| look::own_home().map(|home| home.join(".local/state")));
            state.unwrap_or_else(|| PathBuf::from("/var/tmp")).join("rappel")
        };
        Self { folder }
    }

    /// Whether this is root's, which stands for the whole host.
    pub fn is_the_systems(&self) -> bool {
        self.folder == Path::new("/var/lib/rappel") && rustix::process::geteuid().is_root()
    }

    /// The journal in a directory of one's own choice.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn transactions(&self) -> PathBuf {
        self.folder.join("transactions")
    }

    /// The directory of transaction `id`.
    ///
    /// # Errors
    /// An id that is no file name.
    pub fn folder_of(&self, id: &str) -> Result<PathBuf, Failure> {
        let plain = !id.is_empty() && !id.starts_with('.') && id.len() <= 128;
        if plain && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)) {
            return Ok(self.transactions().join(id));
        }
        Err(Failure::new(format!("`{id}` cannot name a transaction")))
    }

    /// The directories of all transactions, in the order of their names.
    pub(super) fn folders(&self) -> Result<Vec<PathBuf>, Failure> {
        let entries = match fs::read_dir(self.transactions()) {
            Ok(entries) => entries,
            Err(error) if look::absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &self.transactions(), &error)),
        };
        let mut folders: Vec<_> =
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.join("log").exists()).collect();
        folders.sort();
        Ok(folders)
    }

    /// Held while a transaction begins: two that begin at once, for the same transaction or for two, must see each other.
    pub(super) fn turn(&self) -> Result<File, Failure> {
        let folder = self.transactions();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let locked = made.and_then(|()| File::open(&folder)).and_then(|file| file.lock().map(|()| file));
        locked.map_err(|error| failed("make the journal", &folder, &error))
    }

    /// Creates the log of a new transaction.
    pub(super) fn create(&self, begin: &Begin) -> Result<Transaction, Failure> {
        let folder = self.folder_of(&begin.id)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder.join("images"));
        made.map_err(|error| failed("make the journal", &folder, &error))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut transaction = Transaction::locked(&folder)?;
        beat(&folder).map_err(|error| failed("write", &folder, &error))?;
        transaction.append(&Line::Begin { begin: begin.clone(), begun: now, boot: boot() })?;
        for directory in [folder.as_path(), &self.transactions(), &self.folder] {
            sync_folder(directory).map_err(|error| failed("sync", directory, &error))?;
        }
        Ok(transaction)
    }
}

/// Which start of the host this is; empty where nobody says.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Notes that the controller was heard.
///
/// # Errors
/// The system's.
pub fn beat(folder: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("heartbeat"))?;
    file.set_modified(SystemTime::now())
}

fn known_length(folder: &Path) -> Option<u64> {
    fs::read_to_string(folder.join(LENGTH)).ok()?.parse().ok()
}

/// Whether somebody waits for the transaction in `folder`, to undo it.
pub fn is_claimed(folder: &Path) -> bool {
    folder.join(CLAIM).exists()
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// One transaction, locked against everybody else as long as this lives.
#[derive(Debug)]
pub struct Transaction {
    pub(super) folder: PathBuf,
    log: File,
    /// How many bytes of whole lines the log has.
    length: u64,
    pub(super) lines: Vec<Line>,
    /// Released when it is closed.
    _lock: File,
}

impl Transaction {
    /// Opens the log in `folder`, waiting for whoever works with it.
    ///
    /// # Errors
    /// The system's, or a log that is damaged in the middle.
    pub fn locked(folder: &Path) -> Result<Self, Failure> {
        let open = |name: &str| OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join(name));
        let owner = fs::metadata(folder).map_err(|error| failed("look at the journal", folder, &error))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            let msg =
                format!("the journal {} belongs to user {owner}, so it is not acted on: remove it if it is not yours", folder.display());
            return Err(Failure::new(msg));
        }
        let lock = open("lock").and_then(|lock| lock.lock().map(|()| lock)).map_err(|error| failed("lock", folder, &error))?;
        let mut file = open("log").map_err(|error| failed("open the journal", folder, &error))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| failed("read the journal", folder, &error))?;
        let unusable = |reason: String| {
            let folder = folder.display();
            Failure::new(format!("the journal {folder} cannot be used: {reason}; once the host is in order by hand, remove it"))
        };
        let (lines, length) = parse(&text).map_err(unusable)?;
        let length = length as u64;
        if let Some(known) = known_length(folder).filter(|known| *known > length) {
            return Err(unusable(format!("it was cut: {length} of its {known} bytes are there")));
        }
        // What a crash tore must not stand in front of the next line.
        file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0))).map_err(|error| failed("repair the journal", folder, &error))?;
        Ok(Self { folder: folder.to_owned(), log: file, length, lines, _lock: lock })
    }

    /// As [`Transaction::locked`], to undo it: an agent that only waits for its controller to come back lets go of it.
    ///
    /// # Errors
    /// As [`Transaction::locked`].
    pub fn claimed(folder: &Path) -> Result<Self, Failure> {
        let claim = folder.join(CLAIM);
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&claim); // without it this takes longer
        let locked = Self::locked(folder);
        let _ = fs::remove_file(&claim);
        locked
    }

    /// Whether somebody works with it at the moment.
    pub(super) fn is_busy(folder: &Path) -> bool {
        File::open(folder.join("lock")).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// What the log in `folder` says, without touching anything.
    pub(super) fn peek(folder: &Path) -> Option<TransactionRecord> {
        let open = OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).open(folder.join("log"));
        let file = open.ok().filter(|file| file.metadata().is_ok_and(|meta| meta.is_file()))?;
        let mut text = Vec::new();
        file.take(PEEK).read_to_end(&mut text).ok()?;
        let (lines, _) = parse(&text).ok()?;
        let lock = File::open("/dev/null").ok()?;
        Self { folder: folder.to_owned(), log: lock.try_clone().ok()?, length: 0, lines, _lock: lock }.record().ok()
    }

    /// Writes a line, and returns when it is on disk.
    pub(super) fn append(&mut self, line: &Line) -> Result<(), Failure> {
        crash_point();
        let text = write_line(line).map_err(|error| failed("write the journal", &self.folder, &error))?;
        self.log
            .write_all(text.as_bytes())
            .and_then(|()| self.log.sync_data())
            .map_err(|error| failed("write the journal", &self.folder, &error))?;
        self.length += text.len() as u64;
        // Never synced, so never ahead of the log: it shows when somebody cuts that.
        let _ = fs::write(self.folder.join(LENGTH), self.length.to_string());
        self.lines.push(line.clone());
        crash_point();
        Ok(())
    }

    /// How it started.
    ///
    /// # Errors
    /// A log without a first line: the crash came before anything was changed.
    pub fn begin(&self) -> Result<(&Begin, u64), Failure> {
        match self.lines.first() {
            Some(Line::Begin { begin, begun, .. }) => Ok((begin, *begun)),
            _ => Err(Failure::new(format!("the journal {} never began", self.folder.display()))),
        }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.lines.iter().fold(State::Open, |state, line| match line {
            Line::Prepared | Line::Voted { .. } => State::Prepared,
            Line::Decided { .. } => State::Decided,
            Line::Committed => State::Committed,
            Line::Undoing { cause } => State::Undoing(*cause),
            Line::Ended { cause } => State::Ended(*cause),
            Line::Begin { .. } | Line::Beside { .. } | Line::Before { .. } | Line::Program { .. } | Line::Undone { .. } => state,
        })
    }

    /// Whether the host has started again since it began.
    pub(super) fn outlived_a_start(&self) -> bool {
        matches!(self.lines.first(), Some(Line::Begin { boot: begun_in, .. }) if !begun_in.is_empty() && *begun_in != boot())
    }

    /// What undoing has come to so far.
    pub fn report(&self) -> UndoReport {
        let mut report = UndoReport::default();
        for line in &self.lines {
            let Line::Undone { result, .. } = line else { continue };
            match result.clone() {
                Undone::Exact => report.undone += 1,
                Undone::BestEffort(words) if report.best_effort.contains(&words) => {}
                Undone::BestEffort(words) => report.best_effort.push(words),
                Undone::Impossible(words) => report.impossible.push(words),
                Undone::Conflict(words) => report.conflicts.push(words),
                Undone::Failed(words) => report.failures.push(words),
            }
        }
        report
    }

    /// What the controller is told of it.
    ///
    /// # Errors
    /// As [`Transaction::begin`].
    pub fn record(&self) -> Result<TransactionRecord, Failure> {
        let (begin, since) = self.begin()?;
        let state = self.state();
        Ok(TransactionRecord {
            id: begin.id.clone(),
            state: state.word().to_owned(),
            phase: state.into(),
            participants: begin.participants.clone(),
            coordinator: begin.coordinator.clone(),
            host: begin.host.clone(),
            purpose: begin.purpose.clone(),
            begun: since,
            undo: matches!(state, State::Undoing(_) | State::Ended(_)).then(|| self.report()),
            user: String::new(),
            keeps_decision: begin.keeps_decision,
            voters: self
                .lines
                .iter()
                .find_map(|line| if let Line::Voted { voters } | Line::Decided { voters } = line { Some(voters.clone()) } else { None })
                .unwrap_or_default(),
        })
    }
}

/// Tests end the process here: every write to the journal, every effect of an undo, every request that is taken up and every
/// answer that was given is one numbered point.
#[inline]
pub fn crash_point() {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicU32, Ordering};
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let at = std::env::var("RAPPEL_CRASH_AT").ok().and_then(|at| at.parse::<u32>().ok());
        if at.is_some_and(|at| PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at) {
            std::process::abort();
        }
        // Counted over all processes of a host: how many points are left stands in the file, which goes with the last.
        let Some(file) = std::env::var_os("RAPPEL_CRASH_FILE").map(PathBuf::from) else { return };
        let Some(left) = fs::read_to_string(&file).ok().and_then(|left| left.trim().parse::<u32>().ok()) else { return };
        if left <= 1 {
            let _ = fs::remove_file(&file);
            std::process::abort();
        }
        let _ = fs::write(&file, (left - 1).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_lead_out_of_the_journal() {
        let journal = Journal::at("/j");
        assert!(journal.folder_of("2026-11-23T09:15:00-a1b2").is_ok());
        for id in ["", "..", "a/b", ".hidden", "a b"] {
            assert!(journal.folder_of(id).is_err(), "{id}");
        }
    }
}
