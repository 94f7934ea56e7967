//! `ini_file`, `authorized_key`, `assemble`, `known_hosts`, `unarchive`.

use std::process::Command;

use serde_json::json;

use super::agent::{Agent, call, params};
use super::{Case, Tree, prove};

fn file(content: &str) -> Tree {
    Tree::new().file("f", content)
}

#[test]
fn ini_files() {
    let case = |name, params, before, after: Option<&str>, msg: &str| Case {
        name,
        module: "ini_file",
        params,
        before: file(before),
        after: after.map(file),
        result: json!({"msg": msg, "path": "ROOT/f"}),
        ..Case::default()
    };
    let option = |value: &str| json!({"path": "ROOT/f", "section": "b", "option": "x", "value": value});
    prove(&[
        case(
            "changes an option of its section",
            option("2"),
            "x=0\n[a]\nx = 0\n[b]\nx = 1\n",
            Some("x=0\n[a]\nx = 0\n[b]\nx = 2\n"),
            "option changed",
        ),
        case("has it already", option("2"), "[b]\nx = 2\n", None, "OK"),
        case("adds an option", option("2"), "[b]\ny = 1\n\n[c]\n", Some("[b]\ny = 1\nx = 2\n\n[c]\n"), "option added"),
        case("brings a comment to life", option("2"), "[b]\n;x = 1\n", Some("[b]\nx = 2\n"), "option changed"),
        case("adds a section", option("2"), "[a]\ny=1", Some("[a]\ny=1\n[b]\nx = 2\n"), "section and option added"),
        case(
            "removes an option",
            json!({"path": "ROOT/f", "section": "b", "option": "x", "state": "absent"}),
            "[b]\nx=1\nxy=2\n",
            Some("[b]\nxy=2\n"),
            "option changed",
        ),
        case(
            "removes a section",
            json!({"path": "ROOT/f", "section": "b", "state": "absent"}),
            "[a]\n[b]\nx=1\n[c]\n",
            Some("[a]\n[c]\n"),
            "section removed",
        ),
        case(
            "without spaces",
            json!({"path": "ROOT/f", "section": "b", "option": "x", "value": "2", "no_extra_spaces": true}),
            "[b]\nx=1\n",
            Some("[b]\nx=2\n"),
            "option changed",
        ),
    ]);
}

#[test]
fn authorized_keys() {
    const OURS: &str = "ssh-ed25519 AAAAC3Nz ci@example.com";
    let case = |name, mut params: serde_json::Value, before: &str, after: Option<&str>| {
        params["user"] = "root".into();
        params["path"] = "ROOT/f".into();
        params["manage_dir"] = false.into();
        Case {
            name,
            module: "authorized_key",
            params,
            before: Tree::new().file_mode("f", before, 0o600),
            after: after.map(|after| Tree::new().file_mode("f", after, 0o600)),
            ..Case::default()
        }
    };
    prove(&[
        case(
            "adds",
            json!({"key": OURS}),
            "# mine\nssh-rsa AAAAB3 me",
            Some("# mine\nssh-rsa AAAAB3 me\nssh-ed25519 AAAAC3Nz ci@example.com\n"),
        ),
        case("is there already", json!({"key": OURS}), "ssh-ed25519 AAAAC3Nz ci@example.com\n", None),
        case(
            "alone",
            json!({"key": OURS, "exclusive": true}),
            "# mine\ncommand=\"a b\" ssh-rsa AAAAB3 me\n",
            Some("# mine\nssh-ed25519 AAAAC3Nz ci@example.com\n"),
        ),
        case(
            "with options",
            json!({"key": OURS, "key_options": "no-pty,from=\"10.0.0.1\""}),
            "ssh-ed25519 AAAAC3Nz old\n",
            Some("no-pty,from=\"10.0.0.1\" ssh-ed25519 AAAAC3Nz ci@example.com\n"),
        ),
        case(
            "removes",
            json!({"key": OURS, "state": "absent"}),
            "ssh-ed25519 AAAAC3Nz whatever\nssh-rsa AAAAB3 me\n",
            Some("ssh-rsa AAAAB3 me\n"),
        ),
    ]);
}

#[test]
fn pieces() {
    let pieces = || Tree::new().dir("d").file("d/1", "a").file("d/2.conf", "b\n").file("d/.h", "h\n");
    prove(&[Case {
        name: "assembles by name",
        module: "assemble",
        params: json!({"src": "ROOT/d", "dest": "ROOT/f", "delimiter": "# --", "ignore_hidden": true}),
        before: pieces(),
        after: Some(pieces().file("f", "a\n# --\nb\n")),
        result: json!({"msg": "OK", "dest": "ROOT/f"}),
        ..Case::default()
    }]);
}

#[test]
fn kernel_parameters() {
    let case = |name, params, before, after: Option<&str>| Case {
        name,
        module: "sysctl",
        params,
        before: file(before),
        after: after.map(file),
        ..Case::default()
    };
    prove(&[
        case(
            "writes the file",
            json!({"name": "vm.swappiness", "value": "10", "sysctl_file": "ROOT/f", "reload": false}),
            "# vm.swappiness = 1\n",
            Some("# vm.swappiness = 1\nvm.swappiness=10\n"),
        ),
        case("is there already", json!({"name": "a.b", "value": "1 2", "sysctl_file": "ROOT/f", "reload": false}), "a.b = 1\t2\n", None),
        case(
            "removes",
            json!({"name": "a.b", "state": "absent", "sysctl_file": "ROOT/f", "reload": false}),
            "a.b=1\nc.d=2\n",
            Some("c.d=2\n"),
        ),
    ]);
}

#[test]
fn host_keys() {
    const LINE: &str = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGF1ZGl0b3J5IGtleSBmb3IgdGVzdHMgb25seSEhIQ==";
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = root.path().join("known_hosts");
    let mut agent = Agent::start(journal.path());
    let mut run = |state: &str, hashed: bool| {
        let given = json!({"name": "git.example.com", "key": LINE, "path": path, "state": state, "hash_host": hashed});
        agent.run(call("known_hosts", params(given))).unwrap().changed
    };
    assert!(run("present", false));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{LINE}\n"));
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        return; // this machine cannot look names up
    }
    assert!(!run("present", false));
    assert!(run("present", true), "the name is hidden now");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("|1|"));
    assert!(!run("present", true), "ssh-keygen finds the hashed name");
    assert!(run("absent", true));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn archives() {
    let source = tempfile::tempdir().unwrap();
    Tree::new().dir("top").dir("top/bin").file_mode("top/bin/run", "#!/bin/sh\n", 0o755).file("top/readme", "new\n").build(source.path());
    let archive = source.path().join("shop.tar.gz");
    assert!(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(source.path()).arg("top").status().unwrap().success());
    let archive = archive.to_str().unwrap().to_owned();
    let unpacked = || Tree::new().dir("d").dir("d/bin").file_mode("d/bin/run", "#!/bin/sh\n", 0o755);
    prove(&[
        Case {
            name: "unpacks over what is there",
            module: "unarchive",
            params: json!({"src": archive, "dest": "ROOT/d", "remote_src": true, "extra_opts": ["--strip-components=1"]}),
            before: Tree::new().dir("d").file("d/readme", "old").file("d/mine", "kept"),
            after: Some(unpacked().file("d/readme", "new\n").file("d/mine", "kept")),
            result: json!({"dest": "ROOT/d", "handler": "TgzArchive", "state": "directory"}),
            ..Case::default()
        },
        Case {
            name: "leaves out what is excluded, and dresses the rest",
            module: "unarchive",
            params: json!({"src": archive, "dest": "ROOT/d", "remote_src": true, "extra_opts": "--strip-components=1", "exclude": "top/readme", "mode": "0700"}),
            before: Tree::new().dir("d"),
            after: Some(Tree::new().dir("d").dir_mode("d/bin", 0o700).file_mode("d/bin/run", "#!/bin/sh\n", 0o700)),
            ..Case::default()
        },
        Case {
            name: "no directory",
            module: "unarchive",
            params: json!({"src": archive, "dest": "ROOT/d", "remote_src": true}),
            fails: Some("dest 'ROOT/d' must be an existing dir"),
            ..Case::default()
        },
    ]);
    let (journal, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let given = params(json!({"src": archive, "dest": dest.path(), "remote_src": true, "extra_opts": "--nonsense"}));
    let failure = Agent::start(journal.path()).run(call("unarchive", given)).unwrap_err();
    assert!(
        failure.msg.contains("Unable to list files in the archive: /") && failure.msg.contains("/tar: unrecognized option '--nonsense'"),
        "{}",
        failure.msg
    );
}
