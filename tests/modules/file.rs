//! `file`.

use serde_json::json;

use super::{Case, Tree, prove};

#[test]
fn directories() {
    prove(&[
        Case {
            name: "a second name in a directory",
            module: "file",
            params: json!({"path": "ROOT/d", "src": "ROOT/f", "state": "hard"}),
            before: Tree::new().dir("d").file("f", "x"),
            after: Some(Tree::new().dir("d").file("f", "x").hard("d/f", "f")),
            result: json!({"dest": "ROOT/d/f", "state": "hard"}),
            ..Case::default()
        },
        Case {
            name: "writes special bits before all others",
            module: "file",
            params: json!({"path": "ROOT/d", "mode": "+t"}),
            before: Tree::new().dir("d"),
            after: Some(Tree::new().dir_mode("d", 0o1755)),
            result: json!({"mode": "01755"}),
            ..Case::default()
        },
        Case {
            name: "makes all parents with the mode",
            module: "file",
            params: json!({"path": "ROOT/a/b", "state": "directory", "mode": "0750"}),
            after: Some(Tree::new().dir_mode("a", 0o750).dir_mode("a/b", 0o750)),
            result: json!({"path": "ROOT/a/b", "state": "directory", "mode": "0750"}),
            ..Case::default()
        },
        Case {
            name: "changes the mode of one that is there",
            module: "file",
            params: json!({"path": "ROOT/a", "state": "directory", "mode": "u=rwx,go="}),
            before: Tree::new().dir("a").file("a/f", "x"),
            after: Some(Tree::new().dir_mode("a", 0o700).file_mode("a/f", "x", 0o644)),
            ..Case::default()
        },
        Case {
            name: "recurses, with X for directories only",
            module: "file",
            params: json!({"path": "ROOT/a", "state": "directory", "mode": "u=rwX,g=rX,o=", "recurse": true}),
            before: Tree::new().dir("a").dir("a/b").file("a/b/f", "x").file_mode("a/x", "x", 0o755).link("a/l", "b/f"),
            after: Some(
                Tree::new()
                    .dir_mode("a", 0o750)
                    .dir_mode("a/b", 0o750)
                    .file_mode("a/b/f", "x", 0o640)
                    .file_mode("a/x", "x", 0o750)
                    .link("a/l", "b/f"),
            ),
            ..Case::default()
        },
        Case {
            name: "a link to a directory is a directory",
            module: "file",
            params: json!({"path": "ROOT/l", "state": "directory"}),
            before: Tree::new().dir("a").link("l", "a"),
            ..Case::default()
        },
        Case {
            name: "a file in the way",
            module: "file",
            params: json!({"path": "ROOT/f", "state": "directory"}),
            before: Tree::new().file("f", "x"),
            fails: Some("ROOT/f already exists as a file"),
            ..Case::default()
        },
    ]);
}

#[test]
fn removal() {
    prove(&[
        Case {
            name: "a whole tree",
            module: "file",
            params: json!({"path": "ROOT/a", "state": "absent"}),
            before: Tree::new().dir("a").dir_mode("a/b", 0o700).file_mode("a/b/f", "x", 0o600).link("a/l", "nowhere").file("keep", "k"),
            after: Some(Tree::new().file("keep", "k")),
            result: json!({"path": "ROOT/a", "state": "absent"}),
            ..Case::default()
        },
        Case {
            name: "one name of a file that has two",
            module: "file",
            params: json!({"path": "ROOT/h", "state": "absent"}),
            before: Tree::new().file("f", "x").hard("h", "f"),
            after: Some(Tree::new().file("f", "x")),
            ..Case::default()
        },
        Case {
            name: "a link, not what it points to",
            module: "file",
            params: json!({"path": "ROOT/l", "state": "absent"}),
            before: Tree::new().dir("a").link("l", "a"),
            after: Some(Tree::new().dir("a")),
            ..Case::default()
        },
        Case { name: "nothing", module: "file", params: json!({"path": "ROOT/x", "state": "absent"}), ..Case::default() },
    ]);
}

#[test]
fn links() {
    prove(&[
        Case {
            name: "a new link",
            module: "file",
            params: json!({"path": "ROOT/l", "src": "ROOT/f", "state": "link"}),
            before: Tree::new().file("f", "x"),
            after: Some(Tree::new().file("f", "x").link("l", "ROOT/f")),
            result: json!({"dest": "ROOT/l", "src": "ROOT/f", "state": "link"}),
            ..Case::default()
        },
        Case {
            name: "a link that points elsewhere",
            module: "file",
            params: json!({"path": "ROOT/l", "src": "b", "state": "link"}),
            before: Tree::new().dir("a").dir("b").link("l", "a"),
            after: Some(Tree::new().dir("a").dir("b").link("l", "b")),
            ..Case::default()
        },
        Case {
            name: "to nothing, without force",
            module: "file",
            params: json!({"path": "ROOT/l", "src": "nope", "state": "link"}),
            fails: Some("src file does not exist, use 'force=yes' if you really want to create the link: ROOT/nope"),
            ..Case::default()
        },
        Case {
            name: "to nothing, with force",
            module: "file",
            params: json!({"path": "ROOT/l", "src": "nope", "state": "link", "force": true}),
            after: Some(Tree::new().link("l", "nope")),
            ..Case::default()
        },
        Case {
            name: "in place of a file, with force",
            module: "file",
            params: json!({"path": "ROOT/l", "src": "ROOT/f", "state": "link", "force": true}),
            before: Tree::new().file("f", "x").file_mode("l", "old", 0o600),
            after: Some(Tree::new().file("f", "x").link("l", "ROOT/f")),
            ..Case::default()
        },
        Case {
            name: "in place of an empty directory, with force",
            module: "file",
            params: json!({"path": "ROOT/l", "src": "ROOT/f", "state": "link", "force": true}),
            before: Tree::new().file("f", "x").dir("l"),
            after: Some(Tree::new().file("f", "x").link("l", "ROOT/f")),
            ..Case::default()
        },
        Case {
            name: "a directory is not converted",
            module: "file",
            params: json!({"path": "ROOT/d", "src": "ROOT/f", "state": "link"}),
            before: Tree::new().file("f", "x").dir("d"),
            fails: Some("refusing to convert from directory to symlink for ROOT/d"),
            ..Case::default()
        },
        Case {
            name: "a hard link",
            module: "file",
            params: json!({"path": "ROOT/h", "src": "ROOT/f", "state": "hard"}),
            before: Tree::new().file("f", "x"),
            after: Some(Tree::new().file("f", "x").hard("h", "f")),
            result: json!({"dest": "ROOT/h", "src": "ROOT/f", "state": "hard"}),
            ..Case::default()
        },
    ]);
}

#[test]
fn files() {
    prove(&[
        Case {
            name: "touches what is not there",
            module: "file",
            params: json!({"path": "ROOT/f", "state": "touch", "mode": "0600"}),
            after: Some(Tree::new().file_mode("f", "", 0o600)),
            result: json!({"dest": "ROOT/f", "state": "file", "mode": "0600", "size": 0}),
            idempotent: false,
            ..Case::default()
        },
        Case {
            name: "touches what is there",
            module: "file",
            params: json!({"path": "ROOT/f", "state": "touch"}),
            before: Tree::new().file("f", "x"),
            after: Some(Tree::new().file("f", "x")),
            idempotent: false,
            ..Case::default()
        },
        Case {
            name: "touches nothing when times are preserved",
            module: "file",
            params: json!({"path": "ROOT/f", "state": "touch", "modification_time": "preserve", "access_time": "preserve"}),
            before: Tree::new().file("f", "x"),
            ..Case::default()
        },
        Case {
            name: "a time that is given",
            module: "file",
            params: json!({"path": "ROOT/f", "modification_time": "202601020304.05"}),
            before: Tree::new().file("f", "x"),
            after: Some(Tree::new().file("f", "x")),
            ..Case::default()
        },
        Case {
            name: "no state: what is there is dressed",
            module: "file",
            params: json!({"path": "ROOT/f", "mode": "a+x"}),
            before: Tree::new().file("f", "x"),
            after: Some(Tree::new().file_mode("f", "x", 0o755)),
            result: json!({"path": "ROOT/f", "state": "file", "mode": "0755"}),
            ..Case::default()
        },
        Case {
            name: "no state: nothing is there",
            module: "file",
            params: json!({"path": "ROOT/nope"}),
            fails: Some("file (ROOT/nope) is absent, cannot continue"),
            ..Case::default()
        },
        Case {
            name: "an unknown user",
            module: "file",
            params: json!({"path": "ROOT/f", "owner": "nobody-of-that-name"}),
            before: Tree::new().file("f", "x"),
            fails: Some("chown failed: failed to look up user nobody-of-that-name"),
            ..Case::default()
        },
    ]);
}
