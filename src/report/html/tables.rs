//! The page's tables: what was slow, the checks, the hosts.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::page::{end, table};
use super::{Run, escape, seconds};
use crate::event::CheckStatus;

/// Rows of the tables of what was slow.
const SLOWEST: usize = 10;

/// The slowest tasks, and beside them the slowest hosts.
pub(super) fn slow(run: &Run, page: &mut String) {
    if run.bars.is_empty() {
        return;
    }
    page.push_str("<div class=\"pair\"><section>\n");
    tasks(run, page);
    page.push_str("</section><section>\n");
    hosts(run, page);
    page.push_str("</section></div>\n");
}

fn tasks(run: &Run, page: &mut String) {
    // A task is over when its slowest host is; the others waited for that one.
    let mut rows: Vec<(f64, f64, usize, usize)> = (0..run.tasks.len())
        .filter_map(|task| {
            let bars: Vec<_> = run.bars.iter().filter(|bar| bar.task == task).collect();
            let slowest = bars.iter().max_by(|a, b| (a.end - a.start).total_cmp(&(b.end - b.start)))?;
            let longest = slowest.end - slowest.start;
            let waited: f64 = bars.iter().map(|bar| (slowest.end - bar.end).max(0.0)).sum();
            Some((longest, waited, task, slowest.host))
        })
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let most = rows.first().map_or(0.0, |row| row.0);
    table(page, "Slowest tasks", "", &["task", "where", "slowest host", "time", "others waited"]);
    for (longest, waited, task, host) in rows.into_iter().take(SLOWEST) {
        let (Some(task), Some(host)) = (run.tasks.get(task), run.hosts.get_index(host)) else { continue };
        let _ = writeln!(
            page,
            "<tr><td>{} <span class=\"dim\">{}</span></td><td class=\"dim\">{}</td><td class=\"name\">{}</td>{}<td class=\"n\">{}</td></tr>",
            escape(&task.name),
            escape(&task.module),
            escape(&task.place),
            escape(host),
            bar(longest, most),
            seconds(waited)
        );
    }
    end(page);
}

fn hosts(run: &Run, page: &mut String) {
    let mut busy: Vec<(f64, usize)> = (0..run.hosts.len())
        .map(|host| (run.bars.iter().filter(|bar| bar.host == host).map(|bar| bar.end - bar.start).sum(), host))
        .collect();
    busy.sort_by(|a, b| b.0.total_cmp(&a.0));
    let most = busy.first().map_or(0.0, |row| row.0);
    table(page, "Slowest hosts", "", &["host", "time"]);
    for (time, host) in busy.into_iter().take(SLOWEST) {
        let name = run.hosts.get_index(host).map_or("", String::as_str);
        let _ = writeln!(page, "<tr><td class=\"name\">{}</td>{}</tr>", escape(name), bar(time, most));
    }
    end(page);
}

/// A cell with a time, and a line as long as the time is of the longest.
fn bar(time: f64, most: f64) -> String {
    let part = if most > 0.0 { time / most * 100.0 } else { 0.0 };
    format!("<td class=\"n bar\" style=\"--part: {part:.0}%\">{}</td>", seconds(time))
}

/// The checks: one row for all hosts that gave the same answer, bad ones first.
pub(super) fn checks(run: &Run, page: &mut String) {
    if run.checks.is_empty() {
        return;
    }
    let mut groups: IndexMap<(&str, CheckStatus, &str), (Vec<&str>, f64)> = IndexMap::new();
    for check in &run.checks {
        let (hosts, longest) = groups.entry((&check.name, check.status, &check.detail)).or_default();
        hosts.push(&check.host);
        *longest = check.took.max(*longest);
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    let order = |status| match status {
        CheckStatus::Failed => 0,
        CheckStatus::Warned => 1,
        CheckStatus::Passed => 2,
        CheckStatus::Skipped => 3,
    };
    rows.sort_by_key(|((_, status, _), _)| order(*status));
    let failed = run.checks.iter().filter(|check| check.status == CheckStatus::Failed).count();
    let about = format!("{} answers, {failed} failed", run.checks.len());
    table(page, "Checks", &about, &["", "check", "hosts", "time", "answer"]);
    for ((name, status, detail), (hosts, longest)) in rows {
        let word = match status {
            CheckStatus::Passed => "passed",
            CheckStatus::Warned => "warned",
            CheckStatus::Failed => "failed",
            CheckStatus::Skipped => "skipped",
        };
        let _ = writeln!(
            page,
            "<tr><td class=\"mark {word}\">{word}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(name),
            named(&hosts),
            seconds(longest),
            escape(detail)
        );
    }
    end(page);
}

/// A few hosts by their names, many by their number, with the names to unfold.
pub(super) fn named(hosts: &[&str]) -> String {
    let names = escape(&hosts.join(", "));
    if hosts.len() <= 3 {
        names
    } else {
        format!("<details><summary>{} hosts</summary><p class=\"hosts\">{names}</p></details>", hosts.len())
    }
}

/// What the tasks came to on every host.
pub(super) fn recap(run: &Run, page: &mut String) {
    table(page, "Hosts", "", &["host", "n:ok", "n:changed", "n:unreachable", "n:failed", "n:skipped", "n:rescued", "n:ignored"]);
    for (host, counts) in run.recap.hosts() {
        let _ = write!(page, "<tr><td class=\"name\">{}</td>", escape(host));
        let counts = [
            ("ok", counts.ok),
            ("changed", counts.changed),
            ("unreachable", counts.unreachable),
            ("failed", counts.failed),
            ("skipped", counts.skipped),
            ("changed", counts.rescued),
            ("skipped", counts.ignored),
        ];
        for (class, count) in counts {
            let class = if count == 0 { "zero" } else { class };
            let _ = write!(page, "<td class=\"n {class}\">{count}</td>");
        }
        page.push_str("</tr>\n");
    }
    end(page);
}
