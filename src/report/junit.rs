//! `JUnit` XML: one suite per host, one case per task.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use indexmap::IndexMap;

use super::{Reporter, Streams, dump};
use crate::event::{CheckStatus, Event, EventKind, Status, TaskInfo, TaskResult};

/// Collects a run and writes it at its end.
#[derive(Debug, Default)]
pub struct Junit {
    name: String,
    play: String,
    tasks: HashMap<u64, TaskInfo>,
    suites: IndexMap<String, Vec<Case>>,
}

#[derive(Debug)]
struct Case {
    class: String,
    name: String,
    place: String,
    took: Duration,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Passed,
    Skipped(String),
    Failed {
        message: String,
        detail: String,
    },
    /// The test could not be made, as `JUnit` puts it.
    Error {
        message: String,
        detail: String,
    },
}

impl Reporter for Junit {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted { playbooks, .. } => self.name = playbooks.join(" "),
            EventKind::PlayStarted { name, .. } => self.play.clone_from(name),
            EventKind::TaskStarted(task) => {
                self.tasks.insert(task.id, task.clone());
            }
            EventKind::TaskFinished(result) => self.add(result),
            EventKind::Checked { check, host, status, detail, took } => {
                let outcome = match status {
                    CheckStatus::Passed | CheckStatus::Warned => Outcome::Passed,
                    CheckStatus::Failed => Outcome::Failed { message: detail.clone(), detail: String::new() },
                    CheckStatus::Skipped => Outcome::Skipped(detail.clone()),
                };
                let case = Case { class: "health".into(), name: check.clone(), place: String::new(), took: *took, outcome };
                self.suites.entry(host.clone().unwrap_or_else(|| "controller".into())).or_default().push(case);
            }
            EventKind::RunFinished { .. } => self.write(event.elapsed, to.out)?,
            _ => {}
        }
        Ok(())
    }
}

impl Junit {
    fn add(&mut self, result: &TaskResult) {
        let task = self.tasks.get(&result.task);
        let module = task.map_or("", |task| task.module.as_str());
        let message = result.result.get("msg").or_else(|| result.result.get("censored")).map(crate::wire::Value::to_text);
        let message = message.unwrap_or_default();
        let detail = || dump::json(&dump::visible(result, module, 0), Some(4));
        let outcome = match result.status {
            Status::Failed | Status::Unreachable if result.ignored || result.rescued => Outcome::Passed,
            Status::Failed => Outcome::Failed { message, detail: detail() },
            Status::Unreachable => Outcome::Error { message, detail: detail() },
            Status::Skipped => Outcome::Skipped(message),
            Status::Ok | Status::Changed => Outcome::Passed,
        };
        let case = Case {
            class: self.play.clone(),
            name: task.map_or_else(|| format!("task {}", result.task), |task| task.name.clone()),
            place: task.map_or_else(String::new, |task| format!("{}:{}", task.position.name, task.position.line)),
            took: result.took,
            outcome,
        };
        self.suites.entry(result.host.clone()).or_default().push(case);
    }

    fn write(&self, elapsed: Duration, out: &mut dyn Write) -> io::Result<()> {
        let all = || self.suites.values().flatten();
        writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(out, r#"<testsuites name="{}" {} time="{:.3}">"#, escaped(&self.name), totals(all()), elapsed.as_secs_f64())?;
        for (host, cases) in &self.suites {
            let took: Duration = cases.iter().map(|case| case.took).sum();
            writeln!(out, r#"  <testsuite name="{}" {} time="{:.3}">"#, escaped(host), totals(cases.iter()), took.as_secs_f64())?;
            cases.iter().try_for_each(|case| case.write(out))?;
            writeln!(out, "  </testsuite>")?;
        }
        writeln!(out, "</testsuites>")
    }
}

impl Case {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (class, name, took) = (escaped(&self.class), escaped(&self.name), self.took.as_secs_f64());
        write!(out, r#"    <testcase classname="{class}" name="{name}" time="{took:.3}""#)?;
        if !self.place.is_empty() {
            write!(out, r#" file="{}""#, escaped(&self.place))?;
        }
        match &self.outcome {
            Outcome::Passed => writeln!(out, "/>"),
            Outcome::Skipped(why) => writeln!(out, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(why)),
            Outcome::Failed { message, detail } => fault(out, "failure", message, detail),
            Outcome::Error { message, detail } => fault(out, "error", message, detail),
        }
    }
}

fn fault(out: &mut dyn Write, kind: &str, message: &str, detail: &str) -> io::Result<()> {
    let (message, detail) = (escaped(message), escaped(detail).replace("&#10;", "\n"));
    writeln!(out, ">\n      <{kind} message=\"{message}\">{detail}</{kind}>\n    </testcase>")
}

fn totals<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for case in cases {
        tests += 1;
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Skipped(_) => skipped += 1,
            Outcome::Failed { .. } => failures += 1,
            Outcome::Error { .. } => errors += 1,
        }
    }
    format!(r#"tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}""#)
}

/// Text for XML: what XML 1.0 cannot hold at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn any_text_is_good_xml() {
        assert_eq!(escaped("a<b> & \"c\"\n\u{1b}[0m"), "a&lt;b&gt; &amp; &quot;c&quot;&#10;\u{fffd}[0m");
    }
}
