//! `find`, `tempfile`, `slurp` and `stat`: modules that look.

use rappel::wire::Value;
use serde_json::json;

use super::agent::{Agent, call, params};
use super::{Case, Tree, prove};

fn tree() -> Tree {
    Tree::new()
        .dir("d")
        .file("d/a.log", "error here\n")
        .file("b.log", "fine\n")
        .file(".hidden.log", "x")
        .link("l.log", "b.log")
        .file("c.txt", "12345")
}

#[test]
fn finds() {
    let cases = [
        ("by pattern", json!({"patterns": "*.log"}), vec!["b.log"]),
        ("by several patterns", json!({"patterns": ["*.txt", "b*"]}), vec!["b.log", "c.txt"]),
        ("by expression", json!({"patterns": "^[bc]\\.", "use_regex": true}), vec!["b.log", "c.txt"]),
        ("in directories", json!({"patterns": "*.log", "recurse": true}), vec!["b.log", "d/a.log"]),
        ("not deeper", json!({"patterns": "*.log", "recurse": true, "depth": 1}), vec!["b.log"]),
        ("hidden", json!({"patterns": "*.log", "hidden": true}), vec![".hidden.log", "b.log"]),
        ("directories", json!({"file_type": "directory"}), vec!["d"]),
        ("links", json!({"file_type": "link"}), vec!["l.log"]),
        ("all", json!({"file_type": "any"}), vec!["b.log", "c.txt", "d", "l.log"]),
        ("without", json!({"file_type": "any", "excludes": ["*.log"]}), vec!["c.txt", "d"]),
        ("by content", json!({"contains": "error", "recurse": true}), vec!["d/a.log"]),
        ("by content, from the start of a line", json!({"contains": "here", "recurse": true}), vec![]),
        ("by size", json!({"size": "5b"}), vec!["b.log", "c.txt"]),
        ("by small size", json!({"size": "-4b"}), vec![]),
        ("old ones", json!({"age": "1w"}), vec!["b.log", "c.txt"]),
        ("new ones", json!({"age": "-1w"}), vec![]),
    ];
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree().build(root.path());
    let mut agent = Agent::start(journal.path());
    for (name, mut given, expected) in cases {
        given["paths"] = json!([root.path()]);
        let found = agent.run(call("find", params(given))).unwrap();
        let path = |file: &Value| file.get("path").and_then(Value::as_str).unwrap().to_owned();
        let mut paths: Vec<_> = found.data["files"].as_list().unwrap().iter().map(path).collect();
        paths.sort();
        let expected: Vec<_> = expected.iter().map(|name| root.path().join(name).to_str().unwrap().to_owned()).collect();
        assert_eq!(paths, expected, "{name}");
        assert_eq!(found.data["matched"], expected.len().into(), "{name}");
    }
}

#[test]
fn looks() {
    prove(&[
        Case {
            name: "slurp",
            module: "slurp",
            params: json!({"src": "ROOT/f"}),
            before: Tree::new().file("f", "a c"),
            result: json!({"content": "YSBj", "encoding": "base64", "source": "ROOT/f"}),
            ..Case::default()
        },
        Case {
            name: "slurp nothing",
            module: "slurp",
            params: json!({"src": "ROOT/f"}),
            fails: Some("file not found: ROOT/f"),
            ..Case::default()
        },
        Case {
            name: "stat nothing",
            module: "stat",
            params: json!({"path": "ROOT/f"}),
            result: json!({"stat": {"exists": false}}),
            ..Case::default()
        },
    ]);
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Tree::new().file_mode("f", "a c", 0o640).link("l", "f").build(root.path());
    let mut agent = Agent::start(journal.path());
    let mut stat = |path: &str| agent.run(call("stat", params(json!({"path": root.path().join(path)})))).unwrap().data["stat"].clone();
    let file = stat("f");
    for (key, value) in [
        ("mode", "0640".into()),
        ("isreg", true.into()),
        ("size", 3.into()),
        ("checksum", "755e23ba3dbb93068f15d07ac4c9f54dcc85340f".into()),
        ("rgrp", true.into()),
        ("wgrp", false.into()),
    ] {
        assert_eq!(file.get(key), Some(&value), "{key}");
    }
    let link = stat("l");
    assert_eq!(link.get("lnk_target"), Some(&"f".into()));
    assert_eq!(link.get("islnk"), Some(&true.into()));
}

#[test]
fn temporary_files_are_private_and_undone() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(journal.path());
    agent.begin("t");
    for (kind, mode) in [("file", "0600"), ("directory", "0700")] {
        let mut request = call("tempfile", params(json!({"state": kind, "path": root.path(), "suffix": "-x"})));
        request.transaction = Some(rappel::wire::Recording { id: "t".into(), step: 1, undo: None });
        let made = agent.run(request).unwrap();
        let path = made.data["path"].to_text();
        assert!(path.contains("/ansible.") && path.ends_with("-x"), "{path}");
        assert_eq!((&made.data["mode"], &made.data["state"]), (&mode.into(), &kind.into()));
    }
    assert_eq!(agent.abort("t").undone, 2);
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn files_are_read_as_they_are_encoded() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A word of GBK.
    Tree::new().bytes("f", &[0xc4, 0xe3, 0xba, 0xc3, b'\n']).build(root.path());
    let mut agent = Agent::start(journal.path());
    for (encoding, matched, reason) in [
        ("gbk", 1, None),
        ("utf-8", 0, Some("due to an encoding error. current encoding: utf-8")),
        ("none-such", 0, Some("unknown encoding: none-such")),
    ] {
        let found =
            agent.run(call("find", params(json!({"paths": root.path(), "contains": "\u{4f60}\u{597d}", "encoding": encoding})))).unwrap();
        let data = serde_json::to_value(&found.data).unwrap();
        let skipped = data["skipped_paths"][root.path().to_str().unwrap()].as_str();
        assert_eq!((data["matched"].as_i64(), skipped.is_some()), (Some(matched), reason.is_some()), "{encoding}: {data}");
        assert!(reason.is_none_or(|reason| skipped.unwrap().contains(reason)), "{encoding}: {data}");
    }
}
