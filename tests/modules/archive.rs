//! `archive`, and `tree`, the host's part of `synchronize`.

use std::process::Command;

use serde_json::json;

use super::agent::{Agent, call, params};
use super::{Case, Tree, prove};

fn source() -> Tree {
    Tree::new().dir("src").file("src/a", "a").dir("src/sub").file_mode("src/sub/run", "#!/bin/sh\n", 0o755).link("src/l", "a")
}

#[test]
fn archives_hold_what_they_should_and_are_made_once() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    source().build(root.path());
    let at = |name: &str| root.path().join(name).display().to_string();
    let mut agent = Agent::start(journal.path());
    let mut pack = |format: &str, check: bool| {
        let given = json!({"path": at("src"), "dest": at(&format!("a.{format}")), "format": format, "exclusion_patterns": ["src/sub*"]});
        agent.run(rappel::wire::Call { check, ..call("archive", params(given)) }).unwrap()
    };
    for format in ["tar", "gz", "bz2", "xz", "zip"] {
        assert!(pack(format, true).changed, "{format} is predicted");
        assert!(!root.path().join(format!("a.{format}")).exists());
        let made = pack(format, false);
        assert!(made.changed);
        assert_eq!(made.data["dest_state"], "archive".into());
        assert_eq!(made.data["arcroot"], format!("{}/", root.path().display()).into());
        assert!(!pack(format, false).changed, "{format} is the same when the files are");
        let list = if format == "zip" { ["unzip", "-Z1"] } else { ["tar", "-tf"] };
        let listed = Command::new(list[0]).args([list[1], &at(&format!("a.{format}"))]).output().unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), "src/a\nsrc/l\n", "{format}");
    }
}

#[test]
fn archives_come_and_go() {
    prove(&[
        Case {
            name: "nothing to pack",
            module: "archive",
            params: json!({"path": ["ROOT/none*"], "dest": "ROOT/a.tgz"}),
            before: source(),
            result: json!({"dest_state": "absent", "missing": ["ROOT/none*"], "archived": []}),
            ..Case::default()
        },
        Case {
            name: "several need a name",
            module: "archive",
            params: json!({"path": ["ROOT/src/a", "ROOT/src/sub"]}),
            before: source(),
            fails: Some("Error, must specify \"dest\" when archiving multiple files or trees"),
            ..Case::default()
        },
    ]);
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    source().build(root.path());
    let at = |name: &str| root.path().join(name).display().to_string();
    let before = super::tree::snapshot(root.path());
    let mut agent = Agent::start(journal.path());
    agent.begin("t1");
    let mut pack = call("archive", params(json!({"path": at("src"), "dest": at("src.tar.gz"), "remove": true})));
    pack.transaction = Some(rappel::wire::Recording { id: "t1".into(), step: 1, undo: None });
    agent.run(pack).unwrap();
    assert!(root.path().join("src.tar.gz").exists() && !root.path().join("src").exists());
    agent.abort("t1");
    assert_eq!(super::tree::snapshot(root.path()), before, "what was packed and removed is back, the archive is gone");
}

#[test]
fn trees_become_what_others_are() {
    let base = json!({"src": "ROOT/src/", "dest": "ROOT/to", "remote_src": true, "times": false});
    let with = |more: serde_json::Value| {
        let mut all = base.clone();
        more.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
        all
    };
    let case = |name, params, before: Tree, after: Option<Tree>| Case { name, module: "tree", params, before, after, ..Case::default() };
    let same = || source().dir("to").file("to/a", "a").dir("to/sub").file_mode("to/sub/run", "#!/bin/sh\n", 0o755).link("to/l", "a");
    prove(&[
        case("makes it", base.clone(), source(), Some(same())),
        case("is so already", base.clone(), same(), None),
        case(
            "removes what is not in it, but for what is left out",
            with(json!({"delete": true, "filter": ["- keep", "- sub"]})),
            same().file("to/old", "x").file("to/keep", "y"),
            Some(same().file("to/keep", "y")),
        ),
        case("leaves out", with(json!({"filter": ["- /sub", "- l"]})), source(), Some(source().dir("to").file("to/a", "a"))),
        case("a file gives way to a directory", with(json!({})), source().dir("to").file("to/sub", "x"), Some(same())),
        case(
            "modes of its own",
            with(json!({"chmod": ["D700", "F600"], "filter": ["- l", "- sub"]})),
            source(),
            Some(source().dir("to").file_mode("to/a", "a", 0o600)),
        ),
        case(
            "the directory itself goes in",
            with(json!({"src": "ROOT/src", "filter": ["- /src/sub", "- l"]})),
            source().dir("to"),
            Some(source().dir("to").dir("to/src").file("to/src/a", "a")),
        ),
        case(
            "only what is there",
            with(json!({"existing_only": true})),
            source().dir("to").file("to/a", "b"),
            Some(source().dir("to").file("to/a", "a")),
        ),
    ]);
}

#[test]
fn times_go_along() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    source().build(root.path());
    let mut agent = Agent::start(journal.path());
    let given =
        json!({"src": format!("{}/src/", root.path().display()), "dest": format!("{}/to", root.path().display()), "remote_src": true});
    assert!(agent.run(call("tree", params(given.clone()))).unwrap().changed);
    let modified = |name: &str| root.path().join(name).metadata().unwrap().modified().unwrap();
    assert_eq!(modified("src/sub/run"), modified("to/sub/run"));
    assert_eq!(modified("src/sub"), modified("to/sub"));
    assert!(!agent.run(call("tree", params(given))).unwrap().changed);
}
