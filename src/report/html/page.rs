//! The page's sections, what matters most first.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::{Failure, Run, escape, seconds, tables, timeline, word};
use crate::event::{Exit, StageStatus, Status, Verdict, difference};
use crate::report::snippet;

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
    for section in [failures, stages, transactions, line, tables::slow, tables::checks, changes, tables::recap] {
        section(run, &mut page);
    }
    let _ = write!(page, "</main>\n<script>\n{}</script>\n</body>\n</html>\n", include_str!("script.js"));
    page
}

fn head(run: &Run, title: &str, page: &mut String) {
    let (class, words) = match run.exit {
        Some(Exit::Success) => ("passed", "✓ succeeded".to_owned()),
        Some(Exit::RolledBack) => ("rolled-back", "↩ rolled back: every host is as it was".to_owned()),
        Some(Exit::RollbackFailed) => ("mixed", "✗ failed, and hosts are neither new nor old".to_owned()),
        Some(exit) => ("failed", format!("✗ ended with exit status {}", exit.code())),
        None => ("failed", "✗ did not end: the recording stops in the middle".to_owned()),
    };
    let check = if run.check && run.stages.is_empty() { " (a dry run)" } else { "" };
    let began = run.began.map(|began| began.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    let count = |status| run.bars.iter().filter(|bar| bar.status == status).count().to_string();
    let failed = run.bars.iter().filter(|bar| matches!(bar.status, Status::Failed | Status::Unreachable)).count();
    let tiles = [
        ("duration", seconds(run.took)),
        ("hosts", run.hosts.len().to_string()),
        ("tasks", run.tasks.len().to_string()),
        ("changed", count(Status::Changed)),
        ("failed", failed.to_string()),
    ];
    let tiles: String = tiles.iter().map(|(name, value)| format!("<div><b>{value}</b><span>{name}</span></div>")).collect();
    let _ = write!(
        page,
        "<header class=\"{class}\"><h1>{}{check}</h1>\n<p class=\"verdict\">{}</p>\n<p class=\"dim\">{began}{}</p>\n<div class=\"tiles\">{tiles}</div></header>\n\
         <nav><input id=\"search\" type=\"search\" placeholder=\"Search hosts, tasks, messages  ( / )\" aria-label=\"Search\"></nav>\n",
        escape(title),
        escape(&words),
        if run.plays.is_empty() { String::new() } else { format!(" · {}", escape(&run.plays.join(", "))) },
    );
}

/// Opens a section with a table. A head that begins with `n:` is one of numbers.
pub(super) fn table(page: &mut String, title: &str, about: &str, heads: &[&str]) {
    let about = if about.is_empty() { String::new() } else { format!("<small>{about}</small>") };
    let _ = write!(page, "<h2>{title}{about}</h2>\n<div class=\"scroll\"><table><thead><tr>");
    for head in heads {
        let number = head.strip_prefix("n:");
        let class = if number.is_some() || ["time", "others waited"].contains(head) { " class=\"n\"" } else { "" };
        let _ = write!(page, "<th{class}>{}</th>", number.unwrap_or(head));
    }
    page.push_str("</tr></thead><tbody>\n");
}

pub(super) fn end(page: &mut String) {
    page.push_str("</tbody></table></div>\n");
}

fn stages(run: &Run, page: &mut String) {
    if run.stages.is_empty() {
        return;
    }
    page.push_str("<h2>Stages</h2>\n<ol class=\"stages\">\n");
    for stage in &run.stages {
        let (status, mark) = match stage.status {
            StageStatus::Passed => ("passed", "✓"),
            StageStatus::Skipped => ("skipped", "–"),
            StageStatus::Failed => ("failed", "✗"),
        };
        let (name, detail, took) = (escape(&stage.name), escape(&stage.detail), seconds(stage.took));
        let _ = writeln!(page, "<li class=\"{status}\"><b>{mark} {name}<span>{took}</span></b><p>{detail}</p></li>");
    }
    page.push_str("</ol>\n");
}

fn transactions(run: &Run, page: &mut String) {
    if run.verdicts.is_empty() {
        return;
    }
    table(page, "Transactions", "", &["", "hosts", "transaction"]);
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
        let cause = run.causes.iter().find(|(undone, _)| undone == id);
        let cause = cause.map(|(_, cause)| format!("<p>undone: {}</p>", escape(cause))).unwrap_or_default();
        let _ = writeln!(
            page,
            "<tr><td class=\"mark {class}\">{words}</td><td>{}</td><td><span class=\"dim\">{}</span>{cause}</td></tr>",
            tables::named(hosts),
            escape(id)
        );
    }
    end(page);
}

/// Hosts that failed at the same task with the same words are one failure.
fn failures(run: &Run, page: &mut String) {
    if run.failures.is_empty() {
        return;
    }
    let mut groups: IndexMap<(usize, Status, &str, &str), (Vec<&str>, &Failure)> = IndexMap::new();
    for failure in &run.failures {
        let key = (failure.task, failure.status, failure.kept, failure.message.as_str());
        groups.entry(key).or_insert_with(|| (Vec::new(), failure)).0.push(&failure.host);
    }
    // What a rescue or `ignore_errors` has dealt with is not what people look for.
    groups.sort_by(|(_, _, a, _), _, (_, _, b, _), _| a.is_empty().cmp(&b.is_empty()).reverse());
    page.push_str("<h2>Failures</h2>\n");
    for (index, ((task, status, kept, message), (hosts, failure))) in groups.iter().enumerate() {
        let Some(task) = run.tasks.get(*task) else { continue };
        let open = if index < 3 && kept.is_empty() || index == 0 { " open" } else { "" };
        let kept = if kept.is_empty() { String::new() } else { format!(" ({kept})") };
        let count = if let [host] = hosts.as_slice() { escape(host) } else { format!("{} hosts", hosts.len()) };
        let _ = writeln!(
            page,
            "<details class=\"failure\"{open}><summary><span class=\"mark {0}\">{0}</span>{kept} <b>{count}</b> · {1} <span class=\"dim\">{2}</span></summary>",
            word(*status),
            escape(&task.name),
            escape(&task.place),
        );
        if hosts.len() > 1 {
            let _ = writeln!(page, "<p class=\"hosts\">{}</p>", escape(&hosts.join(", ")));
        }
        let _ = writeln!(page, "<pre>{}</pre>", escape(&message.chars().take(MESSAGE).collect::<String>()));
        if let Some(finding) = &failure.finding {
            let _ = writeln!(page, "<pre>{}</pre>", escape(&snippet::draw(finding, false)));
        }
        page.push_str("</details>\n");
    }
}

fn line(run: &Run, page: &mut String) {
    let drawn = timeline::draw(run);
    if !drawn.is_empty() {
        let statuses = [Status::Ok, Status::Changed, Status::Failed, Status::Skipped, Status::Unreachable].map(word);
        let legend: String = statuses.iter().map(|status| format!("<span><i class=\"{status}\"></i>{status}</span>")).collect();
        let _ = write!(
            page,
            "<h2>Timeline<small>a bar is a task on a host, a gap is time that it waited for others</small></h2>\n<p class=\"legend dim\">{legend}</p>\n\
             <div class=\"scroll\">{drawn}</div>\n"
        );
    }
}

fn changes(run: &Run, page: &mut String) {
    if run.changes.steps().len() == 0 {
        return;
    }
    let _ = writeln!(page, "<h2>Changes<small>{}</small></h2>", escape(&run.changes.summary()));
    let begin = page.len();
    for step in run.changes.steps() {
        let place = format!("{}:{}", step.task.position.name, step.task.position.line);
        let _ = writeln!(page, "<details><summary>{} <span class=\"dim\">{}</span></summary>", escape(&step.task.name), escape(&place));
        for group in &step.groups {
            let _ = writeln!(page, "<p class=\"hosts\">{}</p>", escape(&run.changes.headline(group)));
            let lines = difference(&group.diff);
            if page.len() - begin > DIFFERENCES && !lines.is_empty() {
                page.push_str("<p class=\"dim\">the difference is left out: the page would be too large</p>\n");
            } else if !lines.is_empty() {
                let _ = writeln!(page, "<pre>{}</pre>", lines.iter().map(|line| colored(line)).collect::<Vec<_>>().join("\n"));
            }
        }
        page.push_str("</details>\n");
    }
}

fn colored(line: &str) -> String {
    let class = match line.as_bytes().first() {
        Some(b'+') => "add",
        Some(b'-') => "del",
        Some(b'@') => "at",
        _ => return escape(line),
    };
    format!("<span class=\"{class}\">{}</span>", escape(line))
}
