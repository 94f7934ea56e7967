//! Background jobs and `async_status`.

use std::time::{Duration, Instant};

use rappel::wire::{Failure, Outcome};
use serde_json::json;

use super::agent::{Agent, call, params};

fn start(agent: &mut Agent, home: &str, argv: &[&str], limit: u32) -> Outcome {
    let mut call = call("command", params(json!({"argv": argv})));
    call.detach = Some(limit);
    call.environment.push(("ANSIBLE_ASYNC_DIR".into(), home.into()));
    agent.run(call).unwrap()
}

fn ask(agent: &mut Agent, home: &str, started: &Outcome, mode: &str) -> Result<Outcome, Failure> {
    let mut call = call("async_status", params(json!({"jid": started.data["ansible_job_id"].to_text(), "mode": mode})));
    call.environment.push(("ANSIBLE_ASYNC_DIR".into(), home.into()));
    agent.run(call)
}

fn wait(agent: &mut Agent, home: &str, started: &Outcome) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    loop {
        match ask(agent, home, started, "status") {
            Ok(outcome) if outcome.data["finished"] == false.into() => {}
            finished => return finished,
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the job did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_job_is_started_asked_for_and_forgotten() {
    let (journal, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = home.path().to_str().unwrap();
    let mut agent = Agent::start(journal.path());
    let started = start(&mut agent, home, &["echo", "hi"], 30);
    assert!(started.changed);
    assert_eq!((&started.data["started"], &started.data["finished"]), (&true.into(), &false.into()));
    let done = wait(&mut agent, home, &started).unwrap();
    assert_eq!((&done.data["stdout"], &done.data["rc"]), (&"hi".into(), &0.into()));
    assert_eq!((done.changed, &done.data["finished"]), (true, &true.into()));
    let gone = ask(&mut agent, home, &started, "cleanup").unwrap();
    assert_eq!(gone.data["erased"], started.data["results_file"]);
    let failure = ask(&mut agent, home, &started, "status").unwrap_err();
    assert_eq!((failure.msg.as_str(), &failure.data["finished"]), ("could not find job", &true.into()));
}

#[test]
fn a_job_that_fails_or_takes_too_long_says_so() {
    let (journal, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = home.path().to_str().unwrap();
    let mut agent = Agent::start(journal.path());
    let failing = start(&mut agent, home, &["false"], 30);
    let failure = wait(&mut agent, home, &failing).unwrap_err();
    assert_eq!((failure.msg.as_str(), &failure.data["rc"]), ("non-zero return code", &1.into()));
    let slow = start(&mut agent, home, &["sleep", "30"], 1);
    assert_eq!(wait(&mut agent, home, &slow).unwrap_err().msg, "Timeout exceeded");
}

#[test]
fn a_call_is_stopped_at_its_time_limit() {
    let journal = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(journal.path());
    let mut slow = call("command", params(json!({"argv": ["sleep", "30"]})));
    slow.timeout = Some(1);
    let failure = agent.run(slow).unwrap_err();
    assert_eq!(failure.msg, "the task took longer than its timeout of 1 s and was stopped");
}
