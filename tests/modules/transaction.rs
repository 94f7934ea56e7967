//! The journal as a participant: every step may be repeated, and what somebody else did is never overwritten.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rappel::wire::{Recording, TransactionReply, TransactionStep};
use serde_json::json;

use super::agent::{Agent, call, params};

fn write(agent: &mut Agent, path: &Path, content: &str) {
    let mut call = call("copy", params(json!({"content": content, "dest": path})));
    call.transaction = Some(record(1));
    agent.run(call).unwrap();
}

fn record(step: u32) -> Recording {
    Recording { id: id(), step, undo: None }
}

fn id() -> String {
    "t".to_owned()
}

#[test]
fn what_somebody_else_changed_is_left_and_ours_is_kept_beside() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mine, theirs, gone) = (root.path().join("mine"), root.path().join("theirs"), root.path().join("gone"));
    for path in [&mine, &theirs, &gone] {
        fs::write(path, "old").unwrap();
    }
    let mut agent = Agent::start(journal.path());
    agent.begin("t");
    for path in [&mine, &theirs, &gone] {
        write(&mut agent, path, "new");
    }
    fs::write(&theirs, "an operator was here").unwrap();
    fs::remove_file(&gone).unwrap();
    let report = agent.abort("t");
    assert_eq!(fs::read_to_string(&mine).unwrap(), "old");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "an operator was here");
    assert_eq!(fs::read_to_string(root.path().join("theirs.rappel-conflict")).unwrap(), "old");
    assert!(!gone.exists());
    assert_eq!(report.undone, 1);
    let beside =
        format!("{}: somebody changed it since, so it was left alone; what was there before is in {0}.rappel-conflict", theirs.display());
    assert_eq!(report.conflicts.len(), 2, "{report:?}");
    assert!(report.conflicts.contains(&beside), "{report:?}");
}

#[test]
fn what_cannot_be_undone_is_named() {
    let journal = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(journal.path());
    agent.begin("t");
    let mut run = call("command", params(json!({"argv": ["true", "--password=secret"]})));
    run.transaction = Some(record(1));
    agent.run(run).unwrap();
    let report = agent.abort("t");
    assert_eq!((report.undone, report.impossible), (0, vec!["`true`".to_owned()]));
}

#[test]
fn steps_may_be_repeated_and_have_an_order() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = root.path().join("f");
    let mut agent = Agent::start(journal.path());
    assert!(matches!(agent.step(TransactionStep::Abort { id: id(), unvoted: false }), Ok(TransactionReply::Undone(_))), "presumed abort");
    assert!(agent.step(TransactionStep::Prepare { id: id(), voters: vec![] }).is_err());
    agent.begin("t");
    agent.begin("t");
    write(&mut agent, &path, "new");
    let refused = agent.step(TransactionStep::Commit { id: id() }).unwrap_err();
    assert_eq!(refused.msg, "transaction `t` is open on this host, so it cannot be committed");
    for _ in 0..2 {
        assert!(matches!(agent.step(TransactionStep::Prepare { id: id(), voters: vec![] }), Ok(TransactionReply::Done)));
    }
    let mut late = call("copy", params(json!({"content": "late", "dest": path})));
    late.transaction = Some(record(2));
    let late = agent.run(late).unwrap_err();
    assert_eq!(late.msg, "transaction `t` is prepared on this host: nothing more can be done in it");
    for _ in 0..2 {
        assert!(matches!(agent.step(TransactionStep::Decide { id: id(), voters: vec![] }), Ok(TransactionReply::Done)));
    }
    assert!(agent.step(TransactionStep::Abort { id: id(), unvoted: false }).is_err(), "a decision is final");
    for _ in 0..2 {
        assert!(matches!(agent.step(TransactionStep::Commit { id: id() }), Ok(TransactionReply::Done)));
    }
    assert_eq!(agent.list()[0].state, "committed");
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    let Ok(TransactionReply::Undone(report)) = agent.step(TransactionStep::Rollback { id: id() }) else { panic!("expected an undo") };
    assert_eq!(report.undone, 1);
    assert!(!path.exists());
    assert_eq!(agent.list()[0].state, "rolled back");
}

#[test]
fn the_last_known_good_lasts_until_the_next_begin() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(journal.path());
    agent.begin("t");
    write(&mut agent, &root.path().join("f"), "new");
    let other = agent.step(TransactionStep::Begin(rappel::wire::Begin {
        id: "u".into(),
        participants: vec![],
        coordinator: String::new(),
        host: String::new(),
        confirm_within: 0,
        purpose: String::new(),
        keeps_decision: false,
    }));
    assert_eq!(other.unwrap_err().msg, "transaction `t` (a test) is still open on this host: `rappel recover` ends it");
    agent.step(TransactionStep::Prepare { id: id(), voters: vec![] }).unwrap();
    agent.step(TransactionStep::Commit { id: id() }).unwrap();
    agent.begin("u");
    let refused = agent.step(TransactionStep::Rollback { id: id() }).unwrap_err();
    assert_eq!(refused.msg, "transaction `t` can no longer be rolled back: a later one took its place");
}

#[test]
fn a_silent_controller_makes_the_host_undo_by_itself() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = root.path().join("f");
    let mut agent = Agent::start(journal.path());
    agent.begin_within("t", 1);
    write(&mut agent, &path, "new");
    drop(agent);
    let started = Instant::now();
    while path.exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "the timer did not undo");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut agent = Agent::start(journal.path());
    let record = agent.list().remove(0);
    assert_eq!(record.state, "healed");
    assert_eq!(record.undo.unwrap().undone, 1);
    assert!(agent.step(TransactionStep::Prepare { id: id(), voters: vec![] }).is_err());
}

#[test]
fn a_journal_that_cannot_be_trusted_is_not_acted_on() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = root.path().join("f");
    let mut agent = Agent::start(journal.path());
    agent.begin("t");
    write(&mut agent, &path, "new");
    let folder = journal.path().join("transactions/t");
    let log = fs::read(folder.join("log")).unwrap();
    fs::write(folder.join("log"), &log[..log.len() - 20]).unwrap();
    let abort = || TransactionStep::Abort { id: id(), unvoted: false };
    let cut = agent.step(abort()).unwrap_err().msg;
    assert!(cut.contains("cannot be used: it was cut: ") && cut.contains("once the host is in order by hand, remove it"), "{cut}");
    let damaged = String::from_utf8(log.clone()).unwrap().replacen("web1", "web2", 1);
    fs::write(folder.join("log"), damaged).unwrap();
    let damaged = agent.step(abort()).unwrap_err().msg;
    assert!(damaged.contains("cannot be used: line 1: its checksum does not fit"), "{damaged}");
    fs::write(folder.join("log"), &log).unwrap();
    if std::os::unix::fs::chown(&folder, Some(1), None).is_ok() {
        let theirs = agent.step(abort()).unwrap_err().msg;
        assert!(theirs.contains("belongs to user 1, so it is not acted on"), "{theirs}");
        std::os::unix::fs::chown(&folder, Some(0), None).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "new", "nothing was undone from what cannot be trusted");
    assert_eq!(agent.abort("t").undone, 1);
    assert!(!path.exists());
}

#[test]
fn whoever_asks_for_a_list_need_not_wait_for_a_task() {
    let journal = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(journal.path());
    agent.begin("t");
    let lock = fs::File::open(journal.path().join("transactions/t/lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(agent.list()[0].state, "open");
}
