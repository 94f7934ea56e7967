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
    pub fn new(look: Look) -> Self {
        let quiet = Look { verbosity: 0, display_ok_hosts: false, display_skipped_hosts: false, ..look };
        Self { human: Human::new(quiet), recap: Recap::default() }
    }
}

impl Reporter for Quiet {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        self.recap.apply(event);
        match &event.kind {
            // The human reporter has to know the task; with everything hidden it shows the banner with the first failure.
            EventKind::TaskStarted(_) => self.human.on(event, to),
            EventKind::TaskFinished(result) if is_failure(result.status) && !result.ignored && !result.rescued => self.human.on(event, to),
            EventKind::Checked { status: CheckStatus::Failed, .. } | EventKind::StageFinished { status: StageStatus::Failed, .. } => {
                self.human.on(event, to)
            }
            EventKind::HostVerdict { .. } | EventKind::TransactionFinished { .. } => self.human.on(event, to),
            EventKind::Warned(finding) if finding.diagnostic.severity == Severity::Error => self.human.on(event, to),
            EventKind::RunFinished { exit } => {
                self.human.on(event, to)?;
                let hosts = self.recap.hosts();
                let bad = hosts.iter().filter(|(_, host)| host.failed + host.unreachable > 0).count();
                let changed = hosts.iter().filter(|(_, host)| host.changed > 0).count();
                let verdict = if *exit == Exit::Success { "ok" } else { "failed" };
                let (count, took) = (hosts.len(), event.elapsed.as_secs_f64());
                writeln!(to.out, "{verdict}: {count} hosts, {changed} changed, {bad} failed ({took:.1}s)")
            }
            _ => Ok(()),
        }
    }
}

fn is_failure(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Unreachable)
}
