//! Restarts a host, and waits until it is back.
//!
//! ```yaml
//! - reboot: {reboot_timeout: 900}
//! ```
//!
//! A host is back when it answers, its boot id is another, and `test_command` succeeds.

use std::time::{Duration, Instant};

use super::prelude::*;
use super::raw::quote;
use crate::run::call::ModuleCall;
use crate::ssh::{Completed, Endpoint, Privilege, Transport};

pub(super) const REVERSIBLE: Reversible = Reversible::Impossible;

params! {
    pub struct Reboot {
        /// Seconds to wait before the restart; hosts count in minutes, so less than 60 is none.
        pre_reboot_delay | pre_reboot_delay_sec: i64 = 0,
        /// Seconds to wait after it.
        post_reboot_delay | post_reboot_delay_sec: i64 = 0,
        /// Seconds to wait for the host.
        reboot_timeout | reboot_timeout_sec: i64 = 600,
        /// Seconds for one attempt to connect.
        connect_timeout | connect_timeout_sec: i64 = 10,
        /// What must succeed afterwards.
        test_command: String = "whoami",
        /// What logged-in users are told.
        msg: String = "Reboot initiated by Ansible",
        /// Where `shutdown` is looked for.
        search_paths: Vec<String> = ["/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(str::to_owned).to_vec(),
        /// What says which boot this is.
        boot_time_command: String = "cat /proc/sys/kernel/random/boot_id",
        /// What restarts the host instead of `shutdown`.
        reboot_command: Option<String>,
    }
}

/// The way to the host.
struct Way<'a> {
    wired: ModuleCall<'a>,
    endpoint: Endpoint,
    privilege: Option<Privilege>,
    patience: Duration,
}

impl Way<'_> {
    /// Runs `command`, over a new connection if the last one was lost.
    async fn run(&self, command: &str) -> Result<Completed, String> {
        let work = async {
            let session = self.wired.session(&self.endpoint).await.map_err(|trouble| match trouble {
                Trouble::Unreachable(why) => why,
                Trouble::Failed(failure, _) => failure.msg,
            })?;
            session.exec(command, &[], self.privilege.as_ref()).await.map_err(|error| error.to_string())
        };
        let done = tokio::time::timeout(self.patience, work).await.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
        if done.is_err() {
            self.wired.item.task.shared.fleet.forget(&self.endpoint).await;
        }
        done
    }

    /// What `command` prints, if it succeeds.
    async fn ask(&self, command: &str) -> Result<String, String> {
        let done = self.run(command).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status == 0 {
            Ok(text(&done.stdout))
        } else {
            Err(format!("`{command}` exited with {}: {}", done.status, text(&done.stderr)))
        }
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Reboot = call.decode()?;
    let wired = ModuleCall { item: call.item, params: Map::new(), delegate: call.delegate.clone() };
    let (endpoint, privilege) = wired.wiring()?;
    if endpoint.transport == Transport::Local {
        let failure = Failure::new("Running reboot with local connection would reboot the control node.");
        return Err(failure.with("rebooted", false).with("elapsed", 0).into());
    }
    if wired.checking() {
        return Ok(Outcome { changed: true, ..Outcome::default() }.with("elapsed", 0).with("rebooted", true).into());
    }
    let seconds = |number: i64| Duration::from_secs(number.max(0).unsigned_abs());
    let way = Way { wired, endpoint, privilege, patience: seconds(params.connect_timeout.max(5)) };
    let begun = Instant::now();
    let failed = |msg: String| Failure::new(msg).with("rebooted", false).with("elapsed", begun.elapsed().as_secs());
    let before = way.ask(&params.boot_time_command).await.map_err(Trouble::Unreachable)?;
    let command = params.reboot_command.clone().unwrap_or_else(|| {
        let path = params.search_paths.join(":");
        format!("PATH={}:$PATH shutdown -r {} {}", quote(&path), params.pre_reboot_delay / 60, quote(&params.msg))
    });
    // The host may be gone before it can answer.
    if let Ok(done) = way.run(&command).await
        && done.status > 0
        && done.status != 255
    {
        let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        return Err(failed(format!("Reboot command failed. Error was: '{}, {}'", stdout.trim(), stderr.trim()))
            .with("rc", done.status)
            .into());
    }
    let deadline = begun + seconds(params.reboot_timeout) + seconds(params.pre_reboot_delay);
    let mut pause = Duration::from_millis(500);
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_secs(5));
        let last = match way.ask(&params.boot_time_command).await {
            Ok(now) if now != before => match way.ask(&params.test_command).await {
                Ok(_) => break,
                Err(why) => why,
            },
            Ok(_) => {
                // A connection that still answers belongs to the old boot.
                way.wired.item.task.shared.fleet.forget(&way.endpoint).await;
                "the host has not restarted yet".to_owned()
            }
            Err(why) => why,
        };
        if Instant::now() > deadline {
            return Err(failed(format!("Timed out waiting for last boot time check (timeout={}): {last}", params.reboot_timeout)).into());
        }
    }
    tokio::time::sleep(seconds(params.post_reboot_delay)).await;
    let outcome = Outcome { changed: true, ..Outcome::default() };
    Ok(outcome.with("elapsed", begun.elapsed().as_secs()).with("rebooted", true).into())
}
