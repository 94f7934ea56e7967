//! Only what needs somebody's attention, and one line at the end.

use std::io;

use super::human::{Human, Look};
use super::{Reporter, Streams};
use crate::event::{CheckStatus, Event, EventKind, Exit, Recap, StageStatus, Status};
use crate::text::Severity;

/// Shows failures and the outcome.
pub struct Quiet {
    human: Human,
    recap: Recap,
}

impl Quiet {
    /// A reporter with the colours of `look`.
    pub fn new(look: &Look) -> Self {
        let quiet = Look { verbosity: 0, display_ok_hosts: false, display_skipped_hosts: false, ..look.clone() };
        Self { human: Human::new(quiet), recap: Recap::default() }
    }
}

impl Reporter for Quiet {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        self.recap.apply(event);
        match &event.kind {
            EventKind::RunFinished { exit } => {
                self.human.on(event, to)?;
                let hosts = self.recap.hosts();
                let bad = hosts.iter().filter(|(_, host)| host.failed + host.unreachable > 0).count();
                let changed = hosts.iter().filter(|(_, host)| host.changed > 0).count();
                let verdict = if *exit == Exit::Success { "ok" } else { "failed" };
                let (count, took) = (hosts.len(), event.elapsed.as_secs_f64());
                writeln!(to.out, "{verdict}: {count} hosts, {changed} changed, {bad} failed ({took:.1}s)")
            }
            kind if wanted(kind) => self.human.on(event, to),
            _ => Ok(()),
        }
    }
}

/// Whether somebody has to know, or the human reporter in order to show what somebody has to know.
fn wanted(kind: &EventKind) -> bool {
    match kind {
        EventKind::TaskStarted(_) | EventKind::HostVerdict { .. } | EventKind::TransactionFinished { .. } => true,
        EventKind::TaskFinished(result) => {
            matches!(result.status, Status::Failed | Status::Unreachable) && !result.ignored && !result.rescued
        }
        EventKind::Checked { status, .. } => *status == CheckStatus::Failed,
        EventKind::StageFinished { status, .. } => *status == StageStatus::Failed,
        EventKind::Warned(finding) => finding.diagnostic.severity == Severity::Error,
        _ => false,
    }
}
