//! One task on many hosts, in the look of Ansible's ad-hoc command: the output of programs as it is, other results as JSON.

use std::io;

use super::human::{Human, Look};
use super::paint::Color;
use super::{Reporter, Streams, diff, dump};
use crate::event::{Event, EventKind, Status, TaskInfo, TaskResult};
use crate::wire::Value;

/// Shows the results of a single task.
pub struct Minimal {
    look: Look,
    /// Everything on the host's own line (`-o`).
    one_line: bool,
    module: String,
    /// Shows warnings.
    human: Human,
}

impl Minimal {
    /// A reporter with the colours of `look`; `one_line` puts each host on a line of its own.
    pub fn new(look: Look, one_line: bool) -> Self {
        Self { human: Human::new(look.clone()), look, one_line, module: String::new() }
    }
}

impl Reporter for Minimal {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        match &event.kind {
            EventKind::TaskStarted(TaskInfo { module, .. }) => {
                self.module.clone_from(module);
                Ok(())
            }
            EventKind::TaskFinished(result) => self.finished(result, to),
            EventKind::Warned(_) | EventKind::Note { .. } | EventKind::Output { .. } => self.human.on(event, to),
            _ => Ok(()),
        }
    }
}

impl Minimal {
    fn finished(&self, result: &TaskResult, to: &mut Streams<'_>) -> io::Result<()> {
        for warning in &result.warnings {
            writeln!(to.err, "{}", self.look.paint.text(Color::Warning, &format!("[WARNING]: {warning}")))?;
        }
        if result.status == Status::Changed {
            let text = diff::unified(&result.diff, self.look.paint);
            if !text.is_empty() {
                writeln!(to.out, "{text}")?;
            }
        }
        let (color, text) = self.text(result);
        writeln!(to.out, "{}", self.look.paint.text(color, &text))
    }

    fn text(&self, result: &TaskResult) -> (Color, String) {
        let host = &result.host;
        let (color, word) = match result.status {
            Status::Ok => (Color::Ok, "SUCCESS"),
            Status::Changed => (Color::Changed, "CHANGED"),
            Status::Failed => (Color::Error, "FAILED"),
            Status::Skipped => return (Color::Skip, format!("{host} | SKIPPED")),
            Status::Unreachable => return (Color::Unreachable, format!("{host} | UNREACHABLE! => {}", self.json(result))),
        };
        let text = match result.result.get("rc").map(Value::to_text) {
            Some(rc) if self.prints(result) => self.printed(host, word, &rc, result),
            _ => format!("{host} | {word}{} => {}", if result.status == Status::Failed { "!" } else { "" }, self.json(result)),
        };
        (color, text)
    }

    /// Whether what the module's program printed is the result that matters.
    fn prints(&self, result: &TaskResult) -> bool {
        let short = self.module.rsplit('.').next().unwrap_or_default();
        matches!(short, "command" | "shell" | "raw" | "script") && !result.result.contains_key("ansible_job_id")
    }

    fn printed(&self, host: &str, word: &str, rc: &str, result: &TaskResult) -> String {
        let part = |key: &str| result.result.get(key).map(Value::to_text).unwrap_or_default();
        let (stdout, stderr) = (part("stdout"), part("stderr"));
        if self.one_line {
            let flat = |text: &str| text.replace('\n', "\\n").replace('\r', "\\r");
            let stderr = if stderr.is_empty() { String::new() } else { format!(" (stderr) {}", flat(&stderr)) };
            return format!("{host} | {word} | rc={rc} | (stdout) {}{stderr}", flat(&stdout));
        }
        format!("{host} | {word} | rc={rc} >>\n{stdout}{stderr}{}", part("msg"))
    }

    fn json(&self, result: &TaskResult) -> String {
        let visible = dump::visible(result, &self.module, self.look.verbosity);
        if self.one_line { dump::json(&visible, Some(0)).replace('\n', "") } else { dump::json(&visible, Some(4)) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Shown;

    fn result(status: Status, json: &str) -> TaskResult {
        TaskResult {
            task: 1,
            host: "h1".into(),
            delegate: None,
            status,
            ignored: false,
            rescued: false,
            item: None,
            result: serde_json::from_str(json).unwrap(),
            diff: vec![],
            warnings: vec![],
            finding: None,
            took: Duration::ZERO,
            shown: Shown::Verbose,
            looped: false,
        }
    }

    #[test]
    fn looks_as_ansible_does() {
        let failed = r#"{"rc": 3, "stdout": "out", "stderr": "err", "msg": "non-zero return code", "changed": true}"#;
        let table = [
            ("command", false, Status::Changed, r#"{"rc": 0, "stdout": "hi", "stderr": "", "msg": ""}"#, "h1 | CHANGED | rc=0 >>\nhi"),
            ("shell", false, Status::Failed, failed, "h1 | FAILED | rc=3 >>\nouterrnon-zero return code"),
            ("shell", true, Status::Failed, failed, "h1 | FAILED | rc=3 | (stdout) out (stderr) err"),
            (
                "ping",
                false,
                Status::Ok,
                r#"{"changed": false, "ping": "pong"}"#,
                "h1 | SUCCESS => {\n    \"changed\": false,\n    \"ping\": \"pong\"\n}",
            ),
            ("ping", true, Status::Ok, r#"{"changed": false, "ping": "pong"}"#, r#"h1 | SUCCESS => {"changed": false,"ping": "pong"}"#),
            ("fail", true, Status::Failed, r#"{"msg": "no"}"#, r#"h1 | FAILED! => {"msg": "no"}"#),
            ("ping", true, Status::Unreachable, r#"{"msg": "no"}"#, r#"h1 | UNREACHABLE! => {"msg": "no"}"#),
            ("command", false, Status::Skipped, "{}", "h1 | SKIPPED"),
        ];
        for (module, one_line, status, json, expected) in table {
            let mut minimal = Minimal::new(Look::default(), one_line);
            minimal.module = module.to_owned();
            assert_eq!(minimal.text(&result(status, json)).1, expected);
        }
    }
}
