//! What stands at the end of a run: the recap, custom statistics, transactions, health checks, and where failures come from.

use std::io;
use std::time::Duration;

use indexmap::IndexMap;

use super::Look;
use crate::event::{CheckStatus, Event, EventKind, Finding, HostRecap, Recap, StageStatus, Status, Verdict};
use crate::report::paint::{Color, Paint};
use crate::report::{Streams, dump, snippet};
use crate::wire::{Map, UndoReport};

/// Collected during the run, shown at its end.
#[derive(Debug, Default)]
pub(super) struct Finale {
    played: bool,
    check: bool,
    stats: Map,
    host_stats: IndexMap<String, Map>,
    transactions: IndexMap<String, Transaction>,
    checks: Vec<Check>,
    /// What failed for good, and the hosts it failed on.
    failures: Vec<(Finding, Vec<String>)>,
    /// Modules that ran over the bridge, with how many tasks they were.
    bridged: IndexMap<String, usize>,
}

#[derive(Debug, Default)]
struct Transaction {
    hosts: IndexMap<String, (Verdict, Option<UndoReport>)>,
    cause: Option<String>,
}

#[derive(Debug)]
struct Check {
    name: String,
    host: Option<String>,
    status: CheckStatus,
    detail: String,
    took: Duration,
}

impl Finale {
    pub(super) fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { check, .. } => self.check = *check,
            EventKind::PlayStarted { .. } => self.played = true,
            EventKind::TaskStarted(task) if task.bridge => *self.bridged.entry(task.module.clone()).or_default() += 1,
            EventKind::Stats { host: None, data } => self.stats.extend(data.clone()),
            EventKind::Stats { host: Some(host), data } => self.host_stats.entry(host.clone()).or_default().extend(data.clone()),
            EventKind::HostVerdict { id, host, verdict, undo } => {
                self.transactions.entry(id.clone()).or_default().hosts.insert(host.clone(), (*verdict, undo.clone()));
            }
            EventKind::TransactionFinished { id, cause } => self.transactions.entry(id.clone()).or_default().cause.clone_from(cause),
            EventKind::Checked { check, host, status, detail, took } => {
                let (name, host, detail) = (check.clone(), host.clone(), detail.clone());
                self.checks.push(Check { name, host, status: *status, detail, took: *took });
            }
            EventKind::TaskFinished(result) if result.status == Status::Failed && !result.ignored && !result.rescued => {
                if let Some(finding) = &result.finding {
                    match self.failures.iter_mut().find(|(known, _)| known == finding) {
                        Some((_, hosts)) => hosts.push(result.host.clone()),
                        None => self.failures.push((finding.clone(), vec![result.host.clone()])),
                    }
                }
            }
            _ => {}
        }
    }

    /// The run ended for a reason of its own: as in Ansible, there is no recap of it.
    pub(super) fn abandon(&mut self) {
        self.played = false;
    }

    pub(super) fn show(&self, recap: &Recap, look: &Look, to: &mut Streams<'_>) -> io::Result<()> {
        if self.played {
            look.banner("PLAY RECAP", to.out)?;
            for (name, host) in recap.hosts() {
                writeln!(to.out, "{}", recap_line(name, host, look.paint))?;
            }
            writeln!(to.out)?;
        }
        if look.show_custom_stats {
            self.custom_stats(look, to)?;
        }
        if self.check && look.check_mode_markers {
            look.banner("DRY RUN", to.out)?;
        }
        for (id, transaction) in &self.transactions {
            transaction.show(id, look, to)?;
        }
        self.bridge(look, to)?;
        self.health(look, to)?;
        self.failures.iter().try_for_each(|(finding, hosts)| {
            if look.ansible && finding.diagnostic.ansible.is_some() {
                return writeln!(to.err, "ERROR! {}", finding.classic().trim_end());
            }
            // Ansible has said all that it says of such a failure by now.
            if look.ansible && finding.diagnostic.code == "task-failed" {
                return Ok(());
            }
            let picture = snippet::draw(finding, look.paint.0);
            writeln!(to.err, "{picture}\n  = on {}\n", hosts.join(", "))
        })
    }

    fn custom_stats(&self, look: &Look, to: &mut Streams<'_>) -> io::Result<()> {
        if self.stats.is_empty() && self.host_stats.is_empty() {
            return Ok(());
        }
        look.banner("CUSTOM STATS:", to.out)?;
        let flat = |data: &Map| dump::json(data, Some(1)).replace('\n', "");
        for (host, data) in &self.host_stats {
            writeln!(to.out, "\t{host}: {}", flat(data))?;
        }
        if !self.stats.is_empty() {
            writeln!(to.out, "\n\tRUN: {}", flat(&self.stats))?;
        }
        writeln!(to.out)
    }

    /// Ansible's own output has no such line.
    fn bridge(&self, look: &Look, to: &mut Streams<'_>) -> io::Result<()> {
        let tasks: usize = self.bridged.values().sum();
        if tasks == 0 || !look.tells_bridge {
            return Ok(());
        }
        let names = self.bridged.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        writeln!(to.out, "{tasks} {} ran over the bridge: {names}", if tasks == 1 { "task" } else { "tasks" })
    }

    fn health(&self, look: &Look, to: &mut Streams<'_>) -> io::Result<()> {
        if self.checks.is_empty() {
            return Ok(());
        }
        look.banner("HEALTH", to.out)?;
        for check in &self.checks {
            let (color, word) = check_word(check.status);
            let place = check.host.as_deref().unwrap_or("controller");
            let line = format!("{place:<26} : {word:<8} {} ({:.1}s) {}", check.name, check.took.as_secs_f64(), check.detail);
            writeln!(to.out, "{}", look.paint.text(color, line.trim_end()))?;
        }
        Ok(())
    }
}

impl Transaction {
    fn show(&self, id: &str, look: &Look, to: &mut Streams<'_>) -> io::Result<()> {
        look.banner(&format!("TRANSACTION [{id}]"), to.out)?;
        for (host, (verdict, undo)) in &self.hosts {
            let (color, word) = match verdict {
                Verdict::Untouched => (Color::Skip, "untouched"),
                Verdict::Committed => (Color::Ok, "committed"),
                Verdict::RolledBack => (Color::Changed, "rolled back"),
                Verdict::Unknown => (Color::Unreachable, "unknown"),
                Verdict::RollbackFailed => (Color::Error, "rollback failed"),
            };
            let steps = undo.as_ref().map(|undo| format!(" undone={}", undo.undone)).unwrap_or_default();
            writeln!(to.out, "{}", look.paint.text(color, format!("{host:<26} : {word:<15}{steps}").trim_end()))?;
            undo.iter().flat_map(remarks).try_for_each(|remark| writeln!(to.out, "    {remark}"))?;
        }
        match &self.cause {
            Some(cause) => writeln!(to.out, "{}", look.paint.text(Color::Error, &format!("aborted: {cause}"))),
            None => Ok(()),
        }
    }
}

/// What an undo could not do as it should, in lines.
fn remarks(undo: &UndoReport) -> Vec<String> {
    let kinds = [
        ("restored as well as possible", &undo.best_effort),
        ("cannot be undone", &undo.impossible),
        ("left alone, somebody else changed it", &undo.conflicts),
        ("undo failed", &undo.failures),
    ];
    kinds.iter().flat_map(|(kind, what)| what.iter().map(move |what| format!("{kind}: {what}"))).collect()
}

/// The word for what a check says.
pub(super) fn check_word(status: CheckStatus) -> (Color, &'static str) {
    match status {
        CheckStatus::Passed => (Color::Ok, "passed"),
        CheckStatus::Warned => (Color::Changed, "warned"),
        CheckStatus::Failed => (Color::Error, "failed"),
        CheckStatus::Skipped => (Color::Skip, "skipped"),
    }
}

/// The word for how a stage went.
pub(super) fn stage_word(status: StageStatus) -> (Color, &'static str) {
    match status {
        StageStatus::Passed => (Color::Ok, "passed"),
        StageStatus::Skipped => (Color::Skip, "skipped"),
        StageStatus::Failed => (Color::Error, "failed"),
    }
}

fn recap_line(name: &str, host: HostRecap, paint: Paint) -> String {
    let color = match host {
        HostRecap { failed: 1.., .. } | HostRecap { unreachable: 1.., .. } => Color::Error,
        HostRecap { changed: 1.., .. } => Color::Changed,
        _ => Color::Ok,
    };
    let name = paint.text(color, name);
    // The escape sequences count as well, as in Ansible.
    let name = if paint.0 { format!("{name:<37}") } else { format!("{name:<26}") };
    let columns = [
        ("ok", host.ok, Color::Ok),
        ("changed", host.changed, Color::Changed),
        ("unreachable", host.unreachable, Color::Unreachable),
        ("failed", host.failed, Color::Error),
        ("skipped", host.skipped, Color::Skip),
        ("rescued", host.rescued, Color::Ok),
        ("ignored", host.ignored, Color::Warning),
    ];
    let columns = columns.map(|(word, count, color)| {
        let text = format!("{word}={count:<4}");
        if count == 0 { text } else { paint.text(color, &text).into_owned() }
    });
    format!("{name} : {}", columns.join(" "))
}
