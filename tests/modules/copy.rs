//! `copy` and `template`.

use serde_json::json;

use super::{Case, Tree, prove};

#[test]
fn files() {
    prove(&[
        Case {
            name: "content to a new file",
            module: "copy",
            params: json!({"content": "a b", "dest": "ROOT/f", "mode": "0600"}),
            after: Some(Tree::new().file_mode("f", "a b", 0o600)),
            result: json!({"dest": "ROOT/f", "checksum": "7dbde93504122a707f849f2c12bdd9de71b41929", "size": 3, "mode": "0600", "state": "file"}),
            ..Case::default()
        },
        Case {
            name: "content with the mode of the file that Ansible makes of it",
            module: "copy",
            params: json!({"content": "a", "dest": "ROOT/f", "mode": "preserve"}),
            after: Some(Tree::new().file_mode("f", "a", 0o600)),
            ..Case::default()
        },
        Case {
            name: "a mapping as content",
            module: "copy",
            params: json!({"content": {"a": [1, null]}, "dest": "ROOT/f"}),
            after: Some(Tree::new().file("f", r#"{"a": [1, null]}"#)),
            ..Case::default()
        },
        Case {
            name: "keeps the mode of what it replaces",
            module: "copy",
            params: json!({"content": "new", "dest": "ROOT/f"}),
            before: Tree::new().file_mode("f", "old", 0o4750),
            after: Some(Tree::new().file_mode("f", "new", 0o4750)),
            ..Case::default()
        },
        Case {
            name: "the same content, another mode",
            module: "copy",
            params: json!({"content": "same", "dest": "ROOT/f", "mode": "g+w"}),
            before: Tree::new().file("f", "same"),
            after: Some(Tree::new().file_mode("f", "same", 0o664)),
            ..Case::default()
        },
        Case {
            name: "into a directory",
            module: "copy",
            params: json!({"src": "files/nginx.conf", "dest": "ROOT/d"}),
            blobs: vec![("src", "conf")],
            before: Tree::new().dir("d"),
            after: Some(Tree::new().dir("d").file("d/nginx.conf", "conf")),
            result: json!({"dest": "ROOT/d/nginx.conf"}),
            ..Case::default()
        },
        Case {
            name: "takes a file of the host into a directory that is to be made",
            module: "copy",
            params: json!({"src": "ROOT/f", "dest": "ROOT/d/e/", "remote_src": true}),
            before: Tree::new().file("f", "x"),
            after: Some(Tree::new().file("f", "x").dir("d").dir("d/e").file("d/e/f", "x")),
            ..Case::default()
        },
        Case {
            name: "a device is no file",
            module: "copy",
            params: json!({"src": "/dev/null", "dest": "ROOT/f", "remote_src": true}),
            fails: Some("Cannot copy invalid source '/dev/null': not a file"),
            ..Case::default()
        },
        Case {
            name: "takes links that lead nowhere as links",
            module: "copy",
            params: json!({"src": "ROOT/a/", "dest": "ROOT/b", "remote_src": true}),
            before: Tree::new().dir("a").link("a/self", "self").link("a/none", "../none"),
            after: Some(
                Tree::new()
                    .dir("a")
                    .link("a/self", "self")
                    .link("a/none", "../none")
                    .dir("b")
                    .link("b/self", "self")
                    .link("b/none", "../none"),
            ),
            ..Case::default()
        },
        Case {
            name: "makes a directory whose name ends in a slash",
            module: "copy",
            params: json!({"src": "files/nginx.conf", "dest": "ROOT/d/e/"}),
            blobs: vec![("src", "conf")],
            after: Some(Tree::new().dir("d").dir("d/e").file("d/e/nginx.conf", "conf")),
            ..Case::default()
        },
        Case {
            name: "no directory",
            module: "copy",
            params: json!({"src": "f", "dest": "ROOT/nodir/x"}),
            blobs: vec![("src", "conf")],
            fails: Some("Destination directory ROOT/nodir does not exist"),
            ..Case::default()
        },
        Case {
            name: "content into a directory",
            module: "copy",
            params: json!({"content": "x", "dest": "ROOT/d"}),
            before: Tree::new().dir("d"),
            fails: Some("can not use content with a dir as dest"),
            ..Case::default()
        },
        Case {
            name: "without force what is there stays",
            module: "copy",
            params: json!({"content": "new", "dest": "ROOT/f", "force": false}),
            before: Tree::new().file("f", "old"),
            result: json!({"dest": "ROOT/f"}),
            ..Case::default()
        },
        Case {
            name: "replaces a link",
            module: "copy",
            params: json!({"content": "new", "dest": "ROOT/l"}),
            before: Tree::new().file("f", "old").link("l", "f"),
            after: Some(Tree::new().file("f", "old").file("l", "new")),
            ..Case::default()
        },
        Case {
            name: "follows a link",
            module: "copy",
            params: json!({"content": "new", "dest": "ROOT/l", "follow": true}),
            before: Tree::new().file("f", "old").link("l", "f"),
            after: Some(Tree::new().file("f", "new").link("l", "f")),
            ..Case::default()
        },
        Case {
            name: "replaces one name of a file that has two",
            module: "copy",
            params: json!({"content": "new", "dest": "ROOT/f"}),
            before: Tree::new().file("f", "old").hard("h", "f"),
            after: Some(Tree::new().file("f", "new").file("h", "old")),
            ..Case::default()
        },
        Case {
            name: "refused by validate",
            module: "copy",
            params: json!({"content": "new", "dest": "ROOT/f", "validate": "grep -q old %s"}),
            before: Tree::new().file("f", "old"),
            fails: Some("failed to validate"),
            ..Case::default()
        },
        Case {
            name: "accepted by validate",
            module: "copy",
            params: json!({"content": "new", "dest": "ROOT/f", "validate": "grep -q 'new' %s"}),
            before: Tree::new().file("f", "old"),
            after: Some(Tree::new().file("f", "new")),
            ..Case::default()
        },
        Case {
            name: "template: a rendered file",
            module: "template",
            params: json!({"src": "templates/x.j2", "dest": "ROOT/x", "mode": "0640"}),
            blobs: vec![("src", "rendered\n")],
            after: Some(Tree::new().file_mode("x", "rendered\n", 0o640)),
            ..Case::default()
        },
    ]);
}

#[test]
fn from_the_host_itself() {
    prove(&[
        Case {
            name: "a file",
            module: "copy",
            params: json!({"src": "ROOT/f", "dest": "ROOT/g", "remote_src": true}),
            before: Tree::new().file_mode("f", "x", 0o744),
            after: Some(Tree::new().file_mode("f", "x", 0o744).file_mode("g", "x", 0o644)),
            result: json!({"dest": "ROOT/g", "src": "ROOT/f"}),
            ..Case::default()
        },
        Case {
            name: "a file with its mode",
            module: "copy",
            params: json!({"src": "ROOT/f", "dest": "ROOT/g", "remote_src": true, "mode": "preserve"}),
            before: Tree::new().file_mode("f", "x", 0o744),
            after: Some(Tree::new().file_mode("f", "x", 0o744).file_mode("g", "x", 0o744)),
            ..Case::default()
        },
        Case {
            name: "what is in a directory",
            module: "copy",
            params: json!({"src": "ROOT/a/", "dest": "ROOT/b", "remote_src": true}),
            before: Tree::new().dir("a").dir("a/c").file("a/c/f", "x"),
            after: Some(Tree::new().dir("a").dir("a/c").file("a/c/f", "x").dir("b").dir("b/c").file("b/c/f", "x")),
            ..Case::default()
        },
        Case {
            name: "a directory",
            module: "copy",
            params: json!({"src": "ROOT/a", "dest": "ROOT/b", "remote_src": true}),
            before: Tree::new().dir("a").file("a/f", "x").dir("b"),
            after: Some(Tree::new().dir("a").file("a/f", "x").dir("b").dir("b/a").file("b/a/f", "x")),
            ..Case::default()
        },
        Case {
            name: "nothing",
            module: "copy",
            params: json!({"src": "ROOT/nofile", "dest": "ROOT/v", "remote_src": true}),
            fails: Some("Source ROOT/nofile not found"),
            ..Case::default()
        },
    ]);
}
