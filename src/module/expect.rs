//! Runs a program on a terminal and answers its questions.
//!
//! ```yaml
//! - expect:
//!     command: passwd deploy
//!     responses: {"(?i)password": "{{ secret }}"}
//!   no_log: true
//! ```
//!
//! There is no shell: `|`, `>` and `*` have no meaning. A list of responses is used up one by one.

use std::path::Path;
use std::time::{Duration, Instant};


use super::invocation::{self, Ran};
use super::prelude::*;
use super::{edit, glob};
use crate::regex::Regex;
use crate::machine::terminal::{Dialogue, Heard, locate};
use crate::machine::words;

params! {
    pub struct Expect {
        /// The program with its arguments.
        command: String,
        /// What to answer, by what is asked: regular expressions of Python.
        responses: Map,
        /// Not when this exists.
        creates: Option<PathText>,
        /// Only when this exists.
        removes: Option<PathText>,
        /// The directory to run in.
        chdir: Option<PathText>,
        /// How long to wait for a question, in seconds; null for ever.
        timeout: Value = Value::Int(30),
        /// Whether answers are part of the output.
        echo: bool = false,
    }
}

/// One question.
struct Question {
    text: String,
    regex: Regex,
    answers: Answers,
}

enum Answers {
    Always(String),
    Each(std::vec::IntoIter<String>),
}

impl Module for Expect {
    const REVERSIBLE: Reversible = Reversible::Impossible;
    const CHECK_MODE: bool = false;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let command_line = self.command.trim();
        if command_line.is_empty() {
            return Err(Failure::new("no command given").with("rc", 256));
        }
        let mut questions = self.questions()?;
        let directory = invocation::directory(self.chdir.as_ref(), machine);
        if let Some(directory) = directory.as_deref().filter(|directory| !directory.is_dir()) {
            return Err(Failure::new(format!("[Errno 2] No such file or directory: '{}'", directory.display())));
        }
        if let Some(idle) = self.settled(machine, directory.as_deref()) {
            return Ok(idle.with("cmd", self.command.as_str()).with("rc", 0));
        }
        let argv = words::split(command_line).map_err(|error| Failure::new(format!("cannot read the command `{command_line}`: {error}")))?;
        let program = argv.first().cloned().unwrap_or_default();
        if !locate(&program) {
            return Err(Failure::new(format!("The command was not found or was not executable: {program}.")));
        }
        let command = Command { argv: argv.into_iter().map(Into::into).collect(), chdir: directory, ..Command::default() };
        machine.cannot_undo(format!("`{program}`"))?;
        let (ran, times) = Ran::time(|| self.talk(&command, &mut questions, machine));
        let (status, output) = ran?;
        let data = times.map().into_iter().chain([
            ("cmd".to_owned(), self.command.as_str().into()),
            ("rc".to_owned(), status.into()),
            ("stdout".to_owned(), String::from_utf8_lossy(&output).trim_end_matches(['\r', '\n']).into()),
        ]);
        machine.mark_changed();
        let failed = |msg: &str, data: Map| Failure { changed: true, data, ..Failure::new(msg) };
        match status {
            Some(0) => Ok(machine.outcome().with_all(data.collect())),
            Some(_) => Err(failed("non-zero return code", data.collect())),
            None => Err(failed("command exceeded timeout", data.collect())),
        }
    }
}

impl Expect {
    fn questions(&self) -> Result<Vec<Question>, Failure> {
        let question = |(text, answer): (&String, &Value)| {
            let line = |value: &Value| format!("{}\n", value.to_text().trim_end_matches('\n'));
            let answers = match answer {
                Value::List(list) => Answers::Each(list.iter().map(line).collect::<Vec<_>>().into_iter()),
                other => Answers::Always(line(other)),
            };
            Ok(Question { text: text.clone(), regex: edit::pattern("responses", text)?, answers })
        };
        self.responses.iter().map(question).collect()
    }

    fn settled(&self, machine: &mut Machine, directory: Option<&Path>) -> Option<Outcome> {
        let there = |pattern: &PathText| {
            let path = machine.path(&pattern.0);
            let path = directory.map_or_else(|| path.clone(), |directory| directory.join(&path));
            !glob::paths(&path).is_empty() || machine.exists(&path)
        };
        let skipped = match (&self.creates, &self.removes) {
            (Some(creates), _) if there(creates) => format!("skipped, since {} exists", creates.0),
            (_, Some(removes)) if !there(removes) => format!("skipped, since {} does not exist", removes.0),
            _ => return None,
        };
        Some(machine.outcome().with("stdout", skipped))
    }

    /// The exit status, if the program came to its end in time, and all that was printed.
    fn talk(&self, command: &Command, questions: &mut [Question], machine: &Machine) -> Result<(Option<i32>, Vec<u8>), Failure> {
        let patience = match &self.timeout {
            Value::Null => None,
            other => <f64 as super::Field>::decode(other)
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .map(Some)
                .ok_or_else(|| Failure::new(format!("parameter `timeout`: expected seconds, found `{}`", other.to_text())))?,
        };
        let mut dialogue = machine.converse(command, self.echo)?;
        let (mut output, mut answered) = (Vec::new(), 0);
        loop {
            let deadline = patience.map(|patience| Instant::now() + patience);
            while !answer(questions, &mut dialogue, &output, &mut answered)? {
                match dialogue.listen(machine, deadline, &mut output)? {
                    Heard::Something => {}
                    Heard::Silence => return Ok((None, output)),
                    Heard::End => return Ok((Some(dialogue.close()?), output)),
                }
            }
        }
    }
}

/// Answers the first question since `answered`; whether there was one.
fn answer(questions: &mut [Question], dialogue: &mut Dialogue, output: &[u8], answered: &mut usize) -> Result<bool, Failure> {
    let new = output.get(*answered..).unwrap_or_default();
    // One character a byte, so that places in the text are places in the output.
    let text: String = new.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let mut first: Option<(usize, usize, &mut Question)> = None;
    for question in questions {
        let found = question.regex.find(&text).map_err(|error| edit::too_hard(&error))?;
        if let Some(found) = found
            && first.as_ref().is_none_or(|(start, ..)| found.start() < *start)
        {
            first = Some((found.start(), found.end(), question));
        }
    }
    let Some((_, end, question)) = first else { return Ok(false) };
    let line = match &mut question.answers {
        Answers::Always(line) => line.clone(),
        Answers::Each(lines) => lines.next().ok_or_else(|| {
            let shown = crate::wire::repr_str(&String::from_utf8_lossy(new.get(..end).unwrap_or_default()));
            Failure::new(format!("No remaining responses for '{}', output was 'b{shown}'", question.text))
        })?,
    };
    *answered += end;
    dialogue.say(line.as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::Declared as _;
    use super::*;

    fn run(params: &str) -> Result<Outcome, Failure> {
        Expect::decode(&serde_json::from_str(params).unwrap()).unwrap().run(&mut Machine::default())
    }

    fn entry(data: &Map, key: &str) -> String {
        data.get(key).map(Value::to_text).unwrap_or_default()
    }

    const ASK: &str = "sh -c 'printf name:; read a; printf again:; read b; echo got $a $b'";

    #[test]
    fn questions_are_answered() {
        for (responses, echo, stdout) in [
            (r#"{"name:": "x", "again": "y"}"#, false, "name:again:got x y"),
            (r#"{"(?i)NAME|again": ["x", 2]}"#, true, "name:x\r\nagain:2\r\ngot x 2"),
        ] {
            let done = run(&format!(r#"{{"command": "{ASK}", "responses": {responses}, "echo": {echo}}}"#)).unwrap();
            assert_eq!((entry(&done.data, "stdout").as_str(), entry(&done.data, "rc").as_str(), done.changed), (stdout, "0", true));
        }
    }

    #[test]
    fn failures_say_why() {
        for (command, more, msg) in [
            (ASK, r#""responses": {"name|again": ["x"]}"#, "No remaining responses for 'name|again', output was 'b':again''"),
            ("sleep 5", r#""responses": {}, "timeout": 0.2"#, "command exceeded timeout"),
            ("sh -c 'exit 3'", r#""responses": {}"#, "non-zero return code"),
            ("no-such-program", r#""responses": {}"#, "The command was not found or was not executable: no-such-program."),
            ("", r#""responses": {}"#, "no command given"),
            ("ls", r#""responses": {}, "chdir": "/no/such""#, "[Errno 2] No such file or directory: '/no/such'"),
        ] {
            assert_eq!(run(&format!(r#"{{"command": "{command}", {more}}}"#)).unwrap_err().msg, msg);
        }
        let idle = run(r#"{"command": "ls", "responses": {}, "creates": "/etc"}"#).unwrap();
        assert_eq!((entry(&idle.data, "stdout").as_str(), idle.changed), ("skipped, since /etc exists", false));
    }
}
