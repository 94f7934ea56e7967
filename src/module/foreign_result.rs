//! What a module of Ansible's protocol printed, as an outcome.

use crate::machine::{Completed, Machine};
use crate::wire::{Diff, Failure, Map, Outcome, Value};

/// The outcome of a module that exited so.
///
/// # Errors
/// It says that it failed, or did not print a result.
pub(super) fn judge(name: &str, completed: &Completed, machine: &mut Machine) -> Result<Outcome, Failure> {
    let Some((mut data, junk)) = result_in(&completed.stdout_text()) else { return Err(no_result(name, completed)) };
    let mut warnings = strings(data.get("warnings"));
    if let Some(junk) = junk {
        warnings.push(format!("Module invocation had junk after the JSON data: {junk}"));
    }
    data.retain(|key, _| !key.starts_with("_ansible_"));
    let flag = |data: &Map, key: &str| data.get(key).and_then(Value::to_bool);
    let changed = flag(&data, "changed").unwrap_or(false);
    let bad_status = data.get("rc").is_some_and(|rc| !matches!(rc, Value::Null | Value::Int(0)) && rc.to_text() != "0");
    if flag(&data, "failed").unwrap_or(bad_status) {
        let msg = match data.shift_remove("msg") {
            Some(msg) => msg.to_text(),
            None if bad_status => "non-zero return code".to_owned(),
            None => String::new(),
        };
        return Err(Failure { msg, data, changed, warnings });
    }
    let skipped = flag(&data, "skipped").unwrap_or(false);
    let skipped = skipped.then(|| data.get("msg").map(Value::to_text).unwrap_or_default());
    if changed {
        machine.mark_changed();
    }
    let diff = diffs(data.get("diff"));
    let shown = machine.outcome();
    Ok(Outcome { changed, skipped, data, diff: if machine.diffing() { diff } else { shown.diff }, warnings })
}

fn no_result(name: &str, completed: &Completed) -> Failure {
    let (stdout, stderr) = (completed.stdout_text(), completed.stderr_text());
    let mut data = Map::new();
    data.insert("module_stdout".to_owned(), stdout.as_str().into());
    data.insert("module_stderr".to_owned(), stderr.as_str().into());
    data.insert("rc".to_owned(), completed.status.into());
    let raised = stderr.contains("Traceback (most recent call last)");
    let said = stderr.trim_end().rsplit('\n').next().filter(|line| raised && !line.is_empty()).map(|line| format!(": {line}"));
    if raised {
        data.insert("exception".to_owned(), stderr.as_str().into());
    }
    let msg = format!("MODULE FAILURE{}\nSee stdout/stderr of `{name}` for the exact error", said.unwrap_or_default());
    Failure { msg, data, changed: false, warnings: Vec::new() }
}

/// The first line that starts a JSON object is where the result begins: other programs may have printed before and after it.
fn result_in(text: &str) -> Option<(Map, Option<String>)> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('{') {
            let rest = text.get(start..).unwrap_or_default();
            let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            if let Some(Ok(Value::Map(map))) = stream.next() {
                let junk = rest.get(stream.byte_offset()..).unwrap_or_default().trim();
                return Some((map, (!junk.is_empty()).then(|| junk.to_owned())));
            }
        }
        start += line.len();
    }
    None
}

fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items.iter().map(Value::to_text).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(other) => vec![other.to_text()],
    }
}

fn diffs(value: Option<&Value>) -> Vec<Diff> {
    match value {
        Some(Value::List(items)) => items.iter().flat_map(|item| diffs(Some(item))).collect(),
        Some(Value::Map(map)) if map.contains_key("before") || map.contains_key("after") => {
            let header = |key: &str| map.get(key).map(Value::to_text).unwrap_or_default();
            let side = |key: &str| match map.get(key) {
                None | Some(Value::Null) => String::new(),
                Some(data @ (Value::Map(_) | Value::List(_))) => serde_json::to_string_pretty(data).unwrap_or_default() + "\n",
                Some(text) => text.to_text(),
            };
            vec![Diff {
                before_header: header("before_header"),
                after_header: header("after_header"),
                before: side("before"),
                after: side("after"),
            }]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(stdout: &str, stderr: &str) -> Result<Outcome, Failure> {
        let completed = Completed { status: 1, stdout: stdout.into(), stderr: stderr.into() };
        judge("m", &completed, &mut Machine::default())
    }

    #[test]
    fn results_are_read_among_other_output() {
        let done = judged("noise\n[ a list]\n {\"changed\": true, \"_ansible_x\": 1,\n \"a\": [1]}\nmore\n", "").unwrap();
        assert!(done.changed);
        assert_eq!(done.data.keys().collect::<Vec<_>>(), ["changed", "a"]);
        assert_eq!(done.warnings, ["Module invocation had junk after the JSON data: more"]);
    }

    #[test]
    fn failures_are_told_from_results() {
        for (stdout, msg) in [
            (r#"{"failed": true, "msg": "no"}"#, "no"),
            (r#"{"rc": 3}"#, "non-zero return code"),
            ("nothing", "MODULE FAILURE\nSee stdout/stderr of `m` for the exact error"),
        ] {
            assert_eq!(judged(stdout, "").unwrap_err().msg, msg, "{stdout}");
        }
        let raised = judged("", "Traceback (most recent call last):\n  File\nValueError: boom\n").unwrap_err();
        assert_eq!(raised.msg.lines().next(), Some("MODULE FAILURE: ValueError: boom"));
        assert!(raised.data.contains_key("exception"));
        let skipped = judged(r#"{"skipped": true, "msg": "no check mode"}"#, "").unwrap();
        assert_eq!(skipped.skipped.as_deref(), Some("no check mode"));
    }
}
