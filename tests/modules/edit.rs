//! `lineinfile`, `blockinfile` and `replace`.

use serde_json::json;

use super::agent::{Agent, call, params};
use super::{Case, Tree, prove};

fn file(content: &str) -> Tree {
    Tree::new().file("f", content)
}

#[test]
fn lines() {
    let case = |name, params, before, after: Option<&str>, result| Case {
        name,
        module: "lineinfile",
        params,
        before: file(before),
        after: after.map(file),
        result,
        ..Case::default()
    };
    prove(&[
        case(
            "replaces the last match",
            json!({"path": "ROOT/f", "regexp": "^a=", "line": "a=3"}),
            "a=1\na=2\nb=1\n",
            Some("a=1\na=3\nb=1\n"),
            json!({"msg": "line replaced", "backup": ""}),
        ),
        case("adds at the end", json!({"path": "ROOT/f", "line": "d=4"}), "a=1", Some("a=1\nd=4\n"), json!({"msg": "line added"})),
        case("is there already", json!({"path": "ROOT/f", "line": "a=1"}), "a=1\n", None, json!({"msg": "", "backup": ""})),
        case(
            "matches a line to its end",
            json!({"path": "ROOT/f", "regexp": "^Port 22$", "line": "Port 2222"}),
            "Port 220\nPort 22\n",
            Some("Port 220\nPort 2222\n"),
            json!({}),
        ),
        case(
            "inserts after the last match",
            json!({"path": "ROOT/f", "line": "x", "insertafter": "^a"}),
            "a1\na2\nb\n",
            Some("a1\na2\nx\nb\n"),
            json!({"msg": "line added"}),
        ),
        case(
            "inserts after the first match",
            json!({"path": "ROOT/f", "line": "x", "insertafter": "^a", "firstmatch": true}),
            "a1\na2\nb\n",
            Some("a1\nx\na2\nb\n"),
            json!({}),
        ),
        case("inserts before", json!({"path": "ROOT/f", "line": "x", "insertbefore": "^b"}), "a\nb\n", Some("a\nx\nb\n"), json!({})),
        case("inserts at the beginning", json!({"path": "ROOT/f", "line": "x", "insertbefore": "BOF"}), "a\n", Some("x\na\n"), json!({})),
        case(
            "fills back references",
            json!({"path": "ROOT/f", "regexp": "^(host=)(.*)$", "line": "\\1new-\\g<2>", "backrefs": true}),
            "x\nhost=old\n",
            Some("x\nhost=new-old\n"),
            json!({}),
        )
        .once(),
        case(
            "does nothing without a match to refer to",
            json!({"path": "ROOT/f", "regexp": "^(nope)", "line": "\\1", "backrefs": true}),
            "x\n",
            None,
            json!({"msg": ""}),
        ),
        case(
            "removes all matches",
            json!({"path": "ROOT/f", "regexp": "^a", "state": "absent"}),
            "a1\nb\na2\n",
            Some("b\n"),
            json!({"msg": "2 line(s) removed", "found": 2}),
        ),
        case(
            "finds plain text",
            json!({"path": "ROOT/f", "search_string": "a.b", "line": "new"}),
            "axb\na.b\n",
            Some("axb\nnew\n"),
            json!({}),
        ),
    ]);
}

#[test]
fn files_of_lines() {
    prove(&[
        Case {
            name: "makes the file and its folder",
            module: "lineinfile",
            params: json!({"path": "ROOT/d/f", "line": "x", "create": true, "mode": "0600"}),
            after: Some(Tree::new().dir("d").file_mode("d/f", "x\n", 0o600)),
            result: json!({"msg": "line added"}),
            ..Case::default()
        },
        Case {
            name: "nothing there",
            module: "lineinfile",
            params: json!({"path": "ROOT/f", "line": "x"}),
            fails: Some("Destination ROOT/f does not exist !"),
            ..Case::default()
        },
        Case {
            name: "nothing to remove from",
            module: "lineinfile",
            params: json!({"path": "ROOT/f", "line": "x", "state": "absent"}),
            result: json!({"msg": "file not present"}),
            ..Case::default()
        },
        Case {
            name: "writes through a link and keeps strange bytes",
            module: "lineinfile",
            params: json!({"path": "ROOT/l", "line": "x"}),
            before: Tree::new().bytes("f", b"caf\xe9\n").link("l", "f"),
            after: Some(Tree::new().bytes("f", b"caf\xe9\nx\n").link("l", "f")),
            ..Case::default()
        },
        Case {
            name: "dresses a file whose line is right",
            module: "lineinfile",
            params: json!({"path": "ROOT/f", "line": "x", "mode": "0600"}),
            before: file("x\n"),
            after: Some(Tree::new().file_mode("f", "x\n", 0o600)),
            result: json!({"msg": "ownership, perms or SE linux context changed"}),
            ..Case::default()
        },
    ]);
}

#[test]
fn blocks() {
    const BLOCK: &str = "# BEGIN ANSIBLE MANAGED BLOCK\nx\ny\n# END ANSIBLE MANAGED BLOCK\n";
    let case = |name, params, before: &str, after: Option<String>, msg: &str| Case {
        name,
        module: "blockinfile",
        params,
        before: file(before),
        after: after.map(|after| file(&after)),
        result: json!({"msg": msg}),
        ..Case::default()
    };
    prove(&[
        case("inserts", json!({"path": "ROOT/f", "block": "x\ny\n"}), "a", Some(format!("a\n{BLOCK}")), "Block inserted"),
        case("is there already", json!({"path": "ROOT/f", "block": "x\ny"}), &format!("a\n{BLOCK}b\n"), None, ""),
        case(
            "updates where it is",
            json!({"path": "ROOT/f", "block": "x\ny", "insertafter": "^b"}),
            &format!("a\n{}b\n", BLOCK.replace("x\n", "old\n")),
            Some(format!("a\n{BLOCK}b\n")),
            "Block inserted",
        ),
        case(
            "inserts after several lines",
            json!({"path": "ROOT/f", "block": "x\ny", "insertafter": "(?m)^a\nb$"}),
            "a\nb\nc\na\nb\n",
            Some(format!("a\nb\n{BLOCK}c\na\nb\n")),
            "Block inserted",
        ),
        case(
            "inserts before several lines",
            json!({"path": "ROOT/f", "block": "x\ny", "insertbefore": "(?m)b\nc"}),
            "a\nb\nc\n",
            Some(format!("a\n{BLOCK}b\nc\n")),
            "Block inserted",
        ),
        case("removes", json!({"path": "ROOT/f", "state": "absent"}), &format!("a\n{BLOCK}b\n"), Some("a\nb\n".into()), "Block removed"),
        case("removes when empty", json!({"path": "ROOT/f", "block": ""}), BLOCK, Some(String::new()), "Block removed"),
        case(
            "inserts before",
            json!({"path": "ROOT/f", "block": "x\ny", "insertbefore": "^b"}),
            "a\nb\n",
            Some(format!("a\n{BLOCK}b\n")),
            "Block inserted",
        ),
        case(
            "has markers of its own",
            json!({"path": "ROOT/f", "block": "x", "marker": "; {mark} shop", "marker_begin": "<", "marker_end": ">"}),
            "",
            Some("; < shop\nx\n; > shop\n".into()),
            "Block inserted",
        ),
    ]);
}

#[test]
fn replacements() {
    let case = |name, params, before: &str, after: Option<&str>, msg: &str| Case {
        name,
        module: "replace",
        params,
        before: file(before),
        after: after.map(file),
        result: json!({"msg": msg, "rc": 0}),
        ..Case::default()
    };
    prove(&[
        case(
            "all of them",
            json!({"path": "ROOT/f", "regexp": "^b$", "replace": "q"}),
            "b\nbb\nb\n",
            Some("q\nbb\nq\n"),
            "2 replacements made",
        ),
        case("none", json!({"path": "ROOT/f", "regexp": "zz", "replace": "q"}), "b\n", None, ""),
        case("to nothing", json!({"path": "ROOT/f", "regexp": "#.*\\n"}), "a\n# b\nc\n", Some("a\nc\n"), "1 replacements made"),
        case(
            "between after and before",
            json!({"path": "ROOT/f", "regexp": "x", "replace": "y", "after": "<a>", "before": "</a>"}),
            "x<a>x\nx</a>x",
            Some("x<a>y\ny</a>x"),
            "2 replacements made",
        ),
        case(
            "after what is not there",
            json!({"path": "ROOT/f", "regexp": "x", "replace": "y", "after": "<b>"}),
            "x",
            None,
            "Pattern for before/after params did not match the given file: <b>(?P<subsection>.*)",
        ),
    ]);
}

#[test]
fn no_backup_takes_the_place_of_another() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    file("0").build(root.path());
    let mut agent = Agent::start(journal.path());
    let mut texts: Vec<String> = (1..=3)
        .map(|number: u32| {
            let given = json!({"path": root.path().join("f"), "regexp": "[0-9]", "replace": number.to_string(), "backup": true});
            let kept = agent.run(call("replace", params(given))).unwrap().data["backup_file"].to_text();
            std::fs::read_to_string(kept).unwrap()
        })
        .collect();
    texts.extend(std::fs::read_dir(root.path()).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()));
    texts.sort();
    assert_eq!(texts, ["0", "0", "1", "1", "2", "2", "3"]);
}
