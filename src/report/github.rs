//! GitHub Actions: tasks fold into groups, failures become annotations, the job gets a summary and outputs.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use super::human::{Human, Look};
use super::{Reporter, Streams};
use crate::event::{Event, EventKind, Exit, HostRecap, Recap, Status, TaskInfo, TaskResult, Verdict};
use crate::wire::Value;

/// Shows a run in a GitHub job.
pub struct Github {
    human: Human,
    recap: Recap,
    tasks: HashMap<u64, TaskInfo>,
    playbooks: Vec<String>,
    failures: Vec<String>,
    grouped: bool,
    /// `$GITHUB_STEP_SUMMARY`.
    summary: Option<PathBuf>,
    /// `$GITHUB_OUTPUT`.
    outputs: Option<PathBuf>,
}

impl Github {
    /// A reporter that appends to the files GitHub names in `$GITHUB_STEP_SUMMARY` and `$GITHUB_OUTPUT`.
    pub fn new(look: Look, summary: Option<PathBuf>, outputs: Option<PathBuf>) -> Self {
        Self {
            human: Human::new(look),
            recap: Recap::default(),
            tasks: HashMap::new(),
            playbooks: Vec::new(),
            failures: Vec::new(),
            grouped: false,
            summary,
            outputs,
        }
    }
}

impl Reporter for Github {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        self.recap.apply(event);
        match &event.kind {
            EventKind::RunStarted { playbooks, .. } => self.playbooks.clone_from(playbooks),
            EventKind::PlayStarted { .. } | EventKind::RunFinished { .. } => self.group(None, to.out)?,
            EventKind::TaskStarted(task) => {
                self.group(Some(&task.name), to.out)?;
                self.tasks.insert(task.id, task.clone());
            }
            _ => {}
        }
        let mut shown = Vec::new();
        self.human.on(event, &mut Streams { out: &mut shown, err: to.err })?;
        to.out.write_all(&disarmed(&shown))?;
        match &event.kind {
            EventKind::TaskFinished(result) if failed_for_good(result) => self.annotate(result, to.out),
            EventKind::RunFinished { exit } => self.finish(*exit, event.elapsed.as_secs_f64()),
            _ => Ok(()),
        }
    }
}

impl Github {
    fn group(&mut self, title: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::replace(&mut self.grouped, title.is_some()) {
            writeln!(out, "::endgroup::")?;
        }
        title.map_or(Ok(()), |title| writeln!(out, "::group::{}", data(title)))
    }

    fn annotate(&mut self, result: &TaskResult, out: &mut dyn Write) -> io::Result<()> {
        let message = result.result.get("msg").or_else(|| result.result.get("censored")).map(Value::to_text).unwrap_or_default();
        let (name, place) = match self.tasks.get(&result.task) {
            Some(task) => (
                task.name.as_str(),
                format!("file={},line={},col={},", property(&task.position.name), task.position.line, task.position.column),
            ),
            None => ("", String::new()),
        };
        let host = &result.host;
        writeln!(out, "::error {place}title={}::{}", property(&format!("{name} on {host}")), data(&message))?;
        self.failures.push(format!("`{host}`: **{}**: {}", cell(name), cell(&message)));
        Ok(())
    }

    fn finish(&self, exit: Exit, seconds: f64) -> io::Result<()> {
        if let Some(path) = &self.summary {
            append(path, &self.markdown(exit, seconds))?;
        }
        if let Some(path) = &self.outputs {
            let count = |any: fn(&HostRecap) -> bool| self.recap.hosts().iter().filter(|(_, host)| any(host)).count();
            let changed = count(|host| host.changed > 0);
            let failed = count(|host| host.failed + host.unreachable > 0);
            append(path, &format!("exit={}\nchanged-hosts={changed}\nfailed-hosts={failed}\n", exit.code()))?;
        }
        Ok(())
    }

    fn markdown(&self, exit: Exit, seconds: f64) -> String {
        let outcome = match exit {
            Exit::Success => "succeeded",
            Exit::RolledBack => "failed and was rolled back",
            Exit::RollbackFailed => "failed, and could not be rolled back everywhere",
            Exit::Interrupted => "was interrupted",
            _ => "failed",
        };
        let mut text = format!("### {} {outcome} in {seconds:.1}s\n\n", cell(&self.playbooks.join(", ")));
        text.push_str("| host | ok | changed | unreachable | failed | skipped | rescued | ignored |\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
        for (name, host) in self.recap.hosts() {
            let HostRecap { ok, changed, unreachable, failed, skipped, rescued, ignored } = host;
            text.push_str(&format!(
                "| {} | {ok} | {changed} | {unreachable} | {failed} | {skipped} | {rescued} | {ignored} |\n",
                cell(name)
            ));
        }
        let verdicts = self.recap.verdicts();
        if !verdicts.is_empty() {
            text.push_str("\n| host | transaction |\n|---|---|\n");
            for (host, verdict) in verdicts {
                text.push_str(&format!("| {} | {} |\n", cell(host), word(verdict)));
            }
        }
        for failure in &self.failures {
            text.push_str(&format!("\n- {failure}"));
        }
        text + "\n"
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Untouched => "untouched",
        Verdict::Committed => "committed",
        Verdict::RolledBack => "rolled back",
        Verdict::Unknown => "unknown",
        Verdict::RollbackFailed => "rollback failed",
    }
}

fn failed_for_good(result: &TaskResult) -> bool {
    matches!(result.status, Status::Failed | Status::Unreachable) && !result.ignored && !result.rescued
}

fn append(path: &PathBuf, text: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// What hosts print must not become a command of the job: lines that look like one are pushed aside.
fn disarmed(shown: &[u8]) -> Vec<u8> {
    let mut safe = Vec::with_capacity(shown.len());
    for line in shown.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_start();
        if text.starts_with(b"::") || text.starts_with(b"##[") {
            safe.extend_from_slice(b"| ");
        }
        safe.extend_from_slice(line);
    }
    safe
}

/// Text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text in a table of the summary.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_print_is_no_command() {
        let shown = b"ok: [h]\n  ::set-env name=PATH::/tmp\n##[add-mask]x\n";
        assert_eq!(disarmed(shown), b"ok: [h]\n|   ::set-env name=PATH::/tmp\n| ##[add-mask]x\n");
    }

    #[test]
    fn commands_escape_what_would_end_them() {
        assert_eq!(data("50%\na:b"), "50%25%0Aa:b");
        assert_eq!(property("50%\na:b,c"), "50%25%0Aa%3Ab%2Cc");
    }
}
