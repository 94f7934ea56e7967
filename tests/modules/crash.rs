//! Every point at which a process can die: before and after each line of the journal, and inside each undo.
//!
//! The child is this test binary, told to run one test; it dies where `RAPPEL_CRASH_AT` says.

use std::path::Path;
use std::process::{Command, Stdio};

use rappel::wire::Recording;
use serde_json::json;

use super::agent::{Agent, call, params};
use super::{Tree, tree};

const CHILD: &str = "modules::crash::child";

fn before() -> Tree {
    Tree::new()
        .file_mode("conf", "old", 0o640)
        .file("twin", "both")
        .hard("twin2", "twin")
        .dir("app")
        .file("app/data", "precious")
        .link("current", "app")
}

/// Does a bit of everything in one transaction, and then undoes it.
#[test]
fn child() {
    let (Ok(root), Ok(journal)) = (std::env::var("RAPPEL_TEST_ROOT"), std::env::var("RAPPEL_TEST_JOURNAL")) else { return };
    let mut agent = Agent::start(Path::new(&journal));
    agent.begin("t");
    for (step, (module, given)) in [
        ("copy", json!({"content": "new", "dest": format!("{root}/conf"), "mode": "0600"})),
        ("copy", json!({"content": "one", "dest": format!("{root}/twin")})),
        ("file", json!({"path": format!("{root}/new/deep"), "state": "directory", "mode": "0700"})),
        ("copy", json!({"content": "x", "dest": format!("{root}/new/deep/f")})),
        ("file", json!({"path": format!("{root}/current"), "src": "new", "state": "link"})),
        ("file", json!({"path": format!("{root}/app"), "state": "absent"})),
        ("file", json!({"path": format!("{root}/conf"), "mode": "a+x"})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut call = call(module, params(given));
        call.transaction = Some(Recording { id: "t".into(), step: u32::try_from(step).unwrap(), undo: None });
        agent.run(call).unwrap();
    }
    agent.abort("t");
}

#[test]
fn whatever_the_moment_of_death_everything_comes_back() {
    let binary = std::env::current_exe().unwrap();
    for other_disk in [false, true] {
        let mut points = 0;
        loop {
            points += 1;
            let root = tempfile::tempdir().unwrap();
            let Ok(journal) = (if other_disk { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() }) else { return };
            before().build(root.path());
            let old = tree::snapshot(root.path());
            let mut child = Command::new(&binary);
            child.args(["--exact", CHILD, "--test-threads", "1"]).stdout(Stdio::null()).stderr(Stdio::null());
            child
                .env("RAPPEL_TEST_ROOT", root.path())
                .env("RAPPEL_TEST_JOURNAL", journal.path())
                .env("RAPPEL_CRASH_AT", points.to_string());
            let survived = child.status().unwrap().success();
            let mut agent = Agent::start(journal.path());
            let report = agent.abort("t");
            assert_eq!((&report.conflicts, &report.failures), (&vec![], &vec![]), "died at point {points}");
            assert_eq!(tree::snapshot(root.path()), old, "died at point {points}, journal on another disk: {other_disk}");
            if survived {
                break;
            }
        }
        assert!(points > 40, "only {points} points: they are not compiled in");
    }
}
