//! The page's sections.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::{Run, escape, seconds, timeline, word};
use crate::event::{CheckStatus, Exit, StageStatus, Verdict, difference};
use crate::report::snippet;

/// Rows of the tables of what was slow.
const SLOWEST: usize = 10;
/// Bytes of differences on the page.
const DIFFERENCES: usize = 1 << 20;
/// Characters of one message.
const MESSAGE: usize = 4000;

/// Renders the page.
pub(super) fn render(run: &Run) -> String {
    let title = if run.title.is_empty() { "a run" } else { &run.title };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        escape(title),
        include_str!("style.css")
    );
    head(run, title, &mut page);
    for section in [stages, transactions, failures, line, slow_tasks, slow_hosts, checks, changes, recap] {
        section(run, &mut page);
    }
    let _ = write!(page, "</main>\n<script>\n{}</script>\n</body>\n</html>\n", include_str!("script.js"));
    page
}

fn head(run: &Run, title: &str, page: &mut String) {
    let (class, words) = match run.exit {
        Some(Exit::Success) => ("passed", "succeeded".to_owned()),
        Some(Exit::RolledBack) => ("rolled-back", "rolled back: every host is as it was".to_owned()),
        Some(Exit::RollbackFailed) => ("mixed", "failed, and hosts are neither new nor old".to_owned()),
        Some(exit) => ("failed", format!("ended with exit status {}", exit.code())),
        None => ("failed", "did not end: the recording stops in the middle".to_owned()),
    };
    let check = if run.check && run.stages.is_empty() { " (a dry run)" } else { "" };
    let began = run.began.map(|began| began.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    let _ = write!(
        page,
        "<h1>{}{check}</h1>\n<p><span class=\"mark {class}\">{}</span> · {began} · {} · {} hosts · {} tasks</p>\n\
         <input id=\"search\" type=\"search\" placeholder=\"Search hosts, tasks, messages\" aria-label=\"Search\">\n",
        escape(title),
        escape(&words),
        seconds(run.took),
        run.hosts.len(),
        run.tasks.len()
    );
}

/// Opens a section with a table.
fn table(page: &mut String, title: &str, heads: &[&str]) {
    let _ = write!(page, "<h2>{title}</h2>\n<div class=\"scroll\"><table><thead><tr>");
    for head in heads {
        let class = if *head == "time" { " class=\"n\"" } else { "" };
        let _ = write!(page, "<th{class}>{head}</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
}

fn end(page: &mut String) {
    page.push_str("</tbody></table></div>\n");
}

fn stages(run: &Run, page: &mut String) {
    if run.stages.is_empty() {
        return;
    }
    table(page, "Stages", &["stage", "", "time", ""]);
    for stage in &run.stages {
        let status = match stage.status {
            StageStatus::Passed => "passed",
            StageStatus::Skipped => "skipped",
            StageStatus::Failed => "failed",
        };
        let (name, detail) = (escape(&stage.name), escape(&stage.detail));
        let took = seconds(stage.took);
        let _ =
            writeln!(page, "<tr><td>{name}</td><td class=\"mark {status}\">{status}</td><td class=\"n\">{took}</td><td>{detail}</td></tr>");
    }
    end(page);
}

fn transactions(run: &Run, page: &mut String) {
    if run.verdicts.is_empty() {
        return;
    }
    table(page, "Transactions", &["transaction", "", "hosts"]);
    let mut groups: IndexMap<(&str, Verdict), Vec<&str>> = IndexMap::new();
    for ((id, host), verdict) in &run.verdicts {
        groups.entry((id, *verdict)).or_default().push(host);
    }
    for ((id, verdict), hosts) in &groups {
        let (class, words) = match verdict {
            Verdict::Untouched => ("untouched", "untouched"),
            Verdict::Committed => ("committed", "committed"),
            Verdict::RolledBack => ("rolled-back", "rolled back"),
            Verdict::Unknown => ("unknown", "unknown: `rappel recover` finishes it"),
            Verdict::RollbackFailed => ("mixed", "neither new nor old"),
        };
        let hosts = escape(&hosts.join(", "));
        let _ = writeln!(page, "<tr><td>{}</td><td class=\"mark {class}\">{words}</td><td>{hosts}</td></tr>", escape(id));
    }
    end(page);
    for (id, cause) in &run.causes {
        let _ = writeln!(page, "<p>{} was undone: {}</p>", escape(id), escape(cause));
    }
}

fn failures(run: &Run, page: &mut String) {
    if run.failures.is_empty() {
        return;
    }
    page.push_str("<h2>Failures</h2>\n");
    for (index, failure) in run.failures.iter().enumerate() {
        let Some(task) = run.tasks.get(failure.task) else { continue };
        let open = if index == 0 { " open" } else { "" };
        let kept = if failure.kept.is_empty() { String::new() } else { format!(" ({})", failure.kept) };
        let _ = write!(
            page,
            "<details{open}><summary><span class=\"mark {0}\">{0}</span>{kept} <b>{1}</b>: {2} <span class=\"dim\">{3}</span></summary>\n<pre>{4}</pre>\n",
            word(failure.status),
            escape(&failure.host),
            escape(&task.name),
            escape(&task.place),
            escape(&failure.message.chars().take(MESSAGE).collect::<String>())
        );
        if let Some(finding) = &failure.finding {
            let _ = writeln!(page, "<pre>{}</pre>", escape(&snippet::draw(finding, false)));
        }
        page.push_str("</details>\n");
    }
}

fn line(run: &Run, page: &mut String) {
    let drawn = timeline::draw(run);
    if !drawn.is_empty() {
        let _ = write!(
            page,
            "<h2>Timeline</h2>\n<p class=\"dim\">A bar is a task on a host, a gap is time that it waited for others. \
             <span class=\"ok\">■ ok</span> <span class=\"changed\">■ changed</span> <span class=\"failed\">■ failed</span> \
             <span class=\"skipped\">■ skipped</span> <span class=\"unreachable\">■ unreachable</span></p>\n<div class=\"scroll\">{drawn}</div>\n"
        );
    }
}

fn slow_tasks(run: &Run, page: &mut String) {
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
    table(page, "Slowest tasks", &["task", "module", "where", "slowest host", "time", "others waited"]);
    for (longest, waited, task, host) in rows.into_iter().take(SLOWEST) {
        let (Some(task), Some(host)) = (run.tasks.get(task), run.hosts.get_index(host)) else { continue };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"dim\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&task.name),
            escape(&task.module),
            escape(&task.place),
            escape(host),
            seconds(longest),
            seconds(waited)
        );
    }
    end(page);
}

fn slow_hosts(run: &Run, page: &mut String) {
    let mut busy: Vec<(f64, usize)> = (0..run.hosts.len())
        .map(|host| (run.bars.iter().filter(|bar| bar.host == host).map(|bar| bar.end - bar.start).sum(), host))
        .collect();
    busy.sort_by(|a, b| b.0.total_cmp(&a.0));
    table(page, "Slowest hosts", &["host", "time"]);
    for (time, host) in busy.into_iter().take(SLOWEST) {
        let name = run.hosts.get_index(host).map_or("", String::as_str);
        let _ = writeln!(page, "<tr><td>{}</td><td class=\"n\">{}</td></tr>", escape(name), seconds(time));
    }
    end(page);
}

fn checks(run: &Run, page: &mut String) {
    if run.checks.is_empty() {
        return;
    }
    table(page, "Checks", &["check", "host", "", "time", ""]);
    for check in &run.checks {
        let status = match check.status {
            CheckStatus::Passed => "passed",
            CheckStatus::Warned => "warned",
            CheckStatus::Failed => "failed",
            CheckStatus::Skipped => "skipped",
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"mark {status}\">{status}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(&check.name),
            escape(&check.host),
            seconds(check.took),
            escape(&check.detail)
        );
    }
    end(page);
}

fn changes(run: &Run, page: &mut String) {
    if run.changes.steps().len() == 0 {
        return;
    }
    let _ = write!(page, "<h2>Changes</h2>\n<p>{}</p>\n", escape(&run.changes.summary()));
    let begin = page.len();
    for step in run.changes.steps() {
        let place = format!("{}:{}", step.task.position.name, step.task.position.line);
        let _ = writeln!(page, "<details><summary>{} <span class=\"dim\">{}</span></summary>", escape(&step.task.name), escape(&place));
        for group in &step.groups {
            let _ = writeln!(page, "<p>{}</p>", escape(&run.changes.headline(group)));
            let lines = difference(&group.diff);
            if page.len() - begin > DIFFERENCES && !lines.is_empty() {
                page.push_str("<p class=\"dim\">the difference is left out: the page would be too large</p>\n");
            } else if !lines.is_empty() {
                let colored = |line: &String| {
                    let class = match line.as_bytes().first() {
                        Some(b'+') => "add",
                        Some(b'-') => "del",
                        Some(b'@') => "at",
                        _ => return escape(line),
                    };
                    format!("<span class=\"{class}\">{}</span>", escape(line))
                };
                let _ = writeln!(page, "<pre>{}</pre>", lines.iter().map(colored).collect::<Vec<_>>().join("\n"));
            }
        }
        page.push_str("</details>\n");
    }
}

fn recap(run: &Run, page: &mut String) {
    table(page, "Hosts", &["host", "ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored"]);
    for (host, counts) in run.recap.hosts() {
        let _ = write!(page, "<tr><td>{}</td>", escape(host));
        for count in [counts.ok, counts.changed, counts.unreachable, counts.failed, counts.skipped, counts.rescued, counts.ignored] {
            let _ = write!(page, "<td>{count}</td>");
        }
        page.push_str("</tr>\n");
    }
    end(page);
}
