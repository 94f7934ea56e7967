//! [`Report`]: everything a finished deployment has to say, for summaries, issues, messages, metrics and the audit trail.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observer::{CheckRow, Incident};
use crate::event::{Changes, CheckStatus, Exit, StageStatus, Verdict, difference};

/// Bytes of a summary after which the plan is cut.
const PLAN_SIZE: usize = 400_000;

/// Who deploys, from where, by what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The person, or the CI's actor.
    pub user: String,
    /// The machine, or the CI's runner.
    pub runner: String,
    /// `primary`, `secondary`: that runner's, once one was chosen.
    pub role: String,
    /// The CI job's address.
    pub run_url: String,
    /// The commit.
    pub commit: String,
}

impl Origin {
    /// Reads GitHub Actions' variables, or the user's.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let run_url = match (get("GITHUB_SERVER_URL"), get("GITHUB_REPOSITORY"), get("GITHUB_RUN_ID")) {
            (Some(server), Some(repository), Some(run)) => format!("{server}/{repository}/actions/runs/{run}"),
            _ => String::new(),
        };
        Self {
            user: get("GITHUB_ACTOR").or_else(|| get("SUDO_USER")).or_else(|| get("USER")).unwrap_or_else(|| "unknown".to_owned()),
            runner: get("RUNNER_NAME").or_else(|| get("HOSTNAME")).unwrap_or_else(|| "manual".to_owned()),
            role: String::new(),
            run_url,
            commit: get("GITHUB_SHA").unwrap_or_default(),
        }
    }

    /// The origin's entries, for the lock and the journals.
    pub fn entries(&self) -> [(&'static str, &str); 4] {
        [("user", &self.user), ("runner", &self.runner), ("run", &self.run_url), ("commit", &self.commit)]
    }
}

/// One stage that ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRow {
    /// Its name.
    pub stage: String,
    /// How it went.
    pub status: StageStatus,
    /// What it said.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

/// A finished deployment, rollback or check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The environment's name.
    pub environment: String,
    /// `deploy`, `rollback`, `health`, `preflight`.
    pub action: String,
    /// What it went to.
    pub target: String,
    /// What the fleet was on.
    pub from: String,
    /// Who and from where.
    pub origin: Origin,
    /// How often it was tried.
    pub attempts: u64,
    /// The stages, in order.
    pub stages: Vec<StageRow>,
    /// The health checks of the last attempt.
    pub checks: Vec<CheckRow>,
    /// How the transaction ended on each host.
    pub verdicts: Vec<(String, Verdict)>,
    /// What the dry run predicted.
    #[serde(skip)]
    pub changes: Changes,
    /// The first thing that went wrong.
    pub incident: Option<Incident>,
    /// The last transaction.
    pub transaction: Option<String>,
    /// The fleet was put back, by the transaction or by the rollback playbook.
    pub rolled_back: bool,
    /// Nothing was to be done.
    pub skipped: bool,
    /// How the process ends.
    pub exit: Exit,
    /// How long it all took.
    pub took: Duration,
    /// How long it took to come to another runner, if it had to.
    pub failover: Option<Duration>,
}

impl Report {
    /// The outcome in a word or two: `success`, `rolled back` …
    pub fn outcome(&self) -> &'static str {
        match self.exit {
            Exit::Success if self.skipped => "nothing to do",
            Exit::Success => "success",
            Exit::RollbackFailed | Exit::Unreachable if self.is_only_unknown() => "hosts unknown",
            Exit::RollbackFailed => "MIXED FLEET",
            _ if self.rolled_back => "rolled back",
            Exit::Interrupted => "cancelled",
            _ => "failed",
        }
    }

    /// Whether hosts could not be asked, but none is known to be broken.
    fn is_only_unknown(&self) -> bool {
        let any = |wanted| self.verdicts.iter().any(|(_, verdict)| *verdict == wanted);
        any(Verdict::Unknown) && !any(Verdict::RollbackFailed)
    }

    /// Whether somebody must hear of it.
    pub fn is_incident(&self) -> bool {
        self.exit != Exit::Success && self.attempts > 0
    }

    /// One line for people.
    pub fn headline(&self) -> String {
        let Self { environment, action, target, .. } = self;
        let to = if target.is_empty() { String::new() } else { format!(" to {target}") };
        format!("{action} of {environment}{to}: {}", self.outcome())
    }

    /// The Markdown of a step summary.
    pub fn markdown(&self) -> String {
        let mark = if self.exit == Exit::Success { "✅" } else { "❌" };
        let mut text = format!("## {mark} {}\n\n", self.headline());
        let rows = [
            ("From", self.from.as_str()),
            ("User", &self.origin.user),
            ("Runner", &self.origin.runner),
            ("Run", &self.origin.run_url),
            ("Commit", &self.origin.commit),
            ("Transaction", self.transaction.as_deref().unwrap_or_default()),
        ];
        text.push_str("| | |\n|---|---|\n");
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(text, "| {name} | {} |", cell(value));
        }
        let _ = writeln!(text, "| Attempts | {} |\n| Took | {} |", self.attempts, seconds(self.took));
        if let Some(failover) = self.failover {
            let _ = writeln!(text, "| Failover | {} |", seconds(failover));
        }
        text.push_str("\n| Stage | | Took | |\n|---|---|---|---|\n");
        for row in &self.stages {
            let mark = match row.status {
                StageStatus::Passed => "✅",
                StageStatus::Skipped => "⏭️",
                StageStatus::Failed => "❌",
            };
            let _ = writeln!(text, "| {} | {mark} | {} | {} |", row.stage, seconds(row.took), cell(&row.detail));
        }
        self.incident_markdown(&mut text);
        self.verdicts_markdown(&mut text);
        self.checks_markdown(&mut text);
        self.plan_markdown(&mut text);
        text
    }

    /// What went wrong, for a summary or an issue.
    pub fn incident_markdown(&self, text: &mut String) {
        let Some(incident) = &self.incident else { return };
        let _ = write!(text, "\n### What went wrong\n\n{}", cell(&incident.message));
        for (name, value) in [("host", &incident.host), ("task", &incident.task), ("place", &incident.place)] {
            if let Some(value) = value {
                let _ = write!(text, "\n- {name}: `{}`", value.replace('`', "'"));
            }
        }
        let _ = writeln!(text, "\n- reason: {}", incident.reason.word());
        if !incident.output.is_empty() {
            let fence = fence(&incident.output);
            let _ = writeln!(text, "\n{fence}\n{}\n{fence}", incident.output.join("\n"));
        }
    }

    /// Where the transaction left each host.
    pub fn verdicts_markdown(&self, text: &mut String) {
        if self.verdicts.is_empty() {
            return;
        }
        text.push_str("\n### Hosts\n\n| Host | |\n|---|---|\n");
        for (host, verdict) in &self.verdicts {
            let words = match verdict {
                Verdict::Untouched => "untouched",
                Verdict::Committed => "✅ on the new release",
                Verdict::RolledBack => "↩️ back on the old release",
                Verdict::Unknown => "⚠️ unknown: run `rappel recover`",
                Verdict::RollbackFailed => "❌ neither new nor old",
            };
            let _ = writeln!(text, "| {host} | {words} |");
        }
    }

    /// The plan, unfolded by a click, because it may be long.
    fn plan_markdown(&self, text: &mut String) {
        if self.changes.steps().len() == 0 {
            return;
        }
        let _ = write!(text, "\n### Plan\n\n{}\n", self.changes.summary());
        for step in self.changes.steps() {
            let mut part = format!("\n<details><summary>{}</summary>\n", cell(&step.task.name));
            for group in &step.groups {
                let _ = writeln!(part, "\n{}", cell(&self.changes.headline(group)));
                let lines = difference(&group.diff);
                if !lines.is_empty() {
                    let fence = fence(&lines);
                    let _ = writeln!(part, "\n{fence}diff\n{}\n{fence}", lines.join("\n"));
                }
            }
            // GitHub takes a megabyte for all steps of a job.
            if text.len() + part.len() > PLAN_SIZE {
                text.push_str("\n… and more: the plan is too long for this page\n");
                return;
            }
            let _ = writeln!(text, "{part}\n</details>");
        }
    }

    fn checks_markdown(&self, text: &mut String) {
        if self.checks.is_empty() {
            return;
        }
        text.push_str("\n### Health checks\n\n| Check | Host | | Took | |\n|---|---|---|---|---|\n");
        for row in &self.checks {
            let mark = mark(row.status);
            let _ = writeln!(text, "| {} | {} | {mark} | {} | {} |", cell(&row.check), row.host, seconds(row.took), cell(&row.detail));
        }
    }
}

/// A fence longer than any in the lines, so that they cannot close it.
fn fence(lines: &[String]) -> String {
    let runs = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len);
    "`".repeat(runs.max().unwrap_or(0).max(2) + 1)
}

/// The sign of a check's answer.
pub fn mark(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Passed => "✅",
        CheckStatus::Warned => "⚠️",
        CheckStatus::Failed => "❌",
        CheckStatus::Skipped => "⏭️",
    }
}

/// A text that stays in its table cell, and that is no HTML and mentions nobody.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('<', "&lt;").replace('\n', " ").replace('@', "@\u{200b}")
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
