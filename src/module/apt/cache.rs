//! The lists of the archives: how old they are, and fetching them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Apt;
use crate::machine::{Command, Machine};
use crate::wire::Failure;

/// What became of the lists.
pub(super) struct Cache {
    /// Whether they were fetched now.
    pub(super) updated: bool,
    /// When they were fetched last, in seconds since the epoch.
    pub(super) time: i64,
}

/// Fetches the lists when that is asked for and they are too old.
pub(super) fn update(module: &Apt, machine: &mut Machine) -> Result<Cache, Failure> {
    let asked = module.update_cache.unwrap_or(module.cache_valid_time > 0);
    let time = last_update();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or_default());
    if !asked || time + module.cache_valid_time > now {
        return Ok(Cache { updated: false, time });
    }
    if machine.checking() {
        return Ok(Cache { updated: true, time });
    }
    let how = Fetch {
        lock_timeout: module.lock_timeout,
        retries: module.update_cache_retries,
        longest_pause: module.update_cache_retry_max_delay,
    };
    fetch(&how, machine)?;
    Ok(Cache { updated: true, time: last_update() })
}

fn last_update() -> i64 {
    let changed = |path: &str| Path::new(path).metadata().ok().map(|meta| meta.mtime());
    changed("/var/lib/apt/periodic/update-success-stamp").max(changed("/var/lib/apt/lists")).unwrap_or_default()
}

/// How patiently the lists are fetched.
pub(in crate::module) struct Fetch {
    /// How long to wait for somebody else's dpkg, in seconds.
    pub(in crate::module) lock_timeout: i64,
    /// How often to ask again when an archive does not answer.
    pub(in crate::module) retries: i64,
    /// The longest pause between two tries, in seconds.
    pub(in crate::module) longest_pause: i64,
}

/// Fetches the lists of all archives.
///
/// # Errors
/// When one of them does not answer, after all tries.
pub(in crate::module) fn fetch(how: &Fetch, machine: &mut Machine) -> Result<(), Failure> {
    let command = Command::new("apt-get").plain().env("DEBIAN_FRONTEND", "noninteractive");
    let command = command.args(["-q", "-o", "APT::Update::Error-Mode=any"]).arg("-o");
    let command = command.arg(format!("DPkg::Lock::Timeout={}", how.lock_timeout)).arg("update");
    let longest = u64::try_from(how.longest_pause).unwrap_or_default();
    let mut attempt = 0;
    loop {
        let ran = machine.run(&command)?;
        let complaints = ran.stderr_text();
        // Before 2.1 apt knows no error mode, and only warns of an archive that does not answer.
        let failed = !ran.succeeded() || complaints.lines().any(|line| line.starts_with("W: Failed to fetch") || line.starts_with("E: "));
        if !failed {
            machine.go_on()?;
            return Ok(());
        }
        attempt += 1;
        if attempt >= how.retries {
            let msg = format!("Failed to update apt cache after {attempt} retries: {}", complaints.trim());
            return Err(Failure { msg, ..ran.failure(&command) });
        }
        machine.go_on()?;
        sleep(Duration::from_secs((1 << attempt.min(6)).min(longest)));
    }
}
