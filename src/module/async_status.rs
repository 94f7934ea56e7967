//! Asks how a task in the background is.
//!
//! ```yaml
//! - command: /srv/shop/migrate
//!   async: 600
//!   poll: 0
//!   register: migration
//! - async_status: {jid: "{{ migration.ansible_job_id }}"}
//!   register: job
//!   until: job.finished
//!   retries: 60
//! ```

use super::prelude::*;

choice! {
    /// What to do.
    pub enum Mode { Status = "status", Cleanup = "cleanup" }
}

params! {
    pub struct AsyncStatus {
        /// The job, as `ansible_job_id` of the task that started it.
        jid: String,
        /// Ask for the result, or forget it.
        mode: Mode = Mode::Status,
    }
}

impl Module for AsyncStatus {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if self.jid.contains('/') || self.jid.starts_with('.') {
            return Err(Failure::new(format!("`{}` cannot be a job", self.jid)));
        }
        let folder = machine.environment().get("ANSIBLE_ASYNC_DIR").cloned().unwrap_or_else(|| "~/.ansible_async".to_owned());
        let file = machine.path(&folder).join(&self.jid);
        let known = |started: bool, finished: bool| -> Map {
            let texts = ["stdout", "stderr"].map(|name| (name.to_owned(), Value::from("")));
            let facts = [
                ("ansible_job_id".to_owned(), self.jid.as_str().into()),
                ("results_file".to_owned(), file.display().to_string().into()),
                ("started".to_owned(), started.into()),
                ("finished".to_owned(), finished.into()),
            ];
            facts.into_iter().chain(texts).collect()
        };
        let Some(text) = machine.read_text(&file)? else {
            return Err(Failure { data: known(true, true), ..Failure::new("could not find job") });
        };
        if self.mode == Mode::Cleanup {
            let erased = file.display().to_string();
            machine.forget(&file)?;
            return Ok(machine.outcome().with_all(known(false, false)).with("erased", erased));
        }
        let job: Map = serde_json::from_str(&text).map_err(|error| Failure::new(format!("cannot read the result of the job {}: {error}", self.jid)))?;
        if job.get("started").is_some() {
            return Ok(machine.outcome().with_all(known(true, false)));
        }
        let mut data = known(true, true);
        let flag = |name: &str| job.get(name).and_then(Value::to_bool).unwrap_or(false);
        let (changed, failed, skipped) = (flag("changed"), flag("failed"), flag("skipped"));
        let msg = job.get("msg").map(Value::to_text).unwrap_or_default();
        data.extend(job.into_iter().filter(|(name, _)| !matches!(name.as_str(), "changed" | "failed" | "skipped" | "invocation")));
        if failed {
            data.shift_remove("msg");
            return Err(Failure { data, changed, ..Failure::new(msg) });
        }
        let outcome = Outcome { changed, skipped: skipped.then_some(msg), ..machine.outcome() };
        Ok(outcome.with_all(data))
    }
}
