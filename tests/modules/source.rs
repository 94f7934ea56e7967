//! Where packages and programs come from: `apt_key`, `yum_repository`, `git`.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::agent::{Agent, call, params};
use super::{Case, Tree, prove};

#[test]
fn archives_of_rpms() {
    const OTHER: &str = "[other]\nbaseurl = https://other/\nname = other\n\n";
    const SHOP: &str = "[shop]\nbaseurl = https://a/$basearch/\n\thttps://b/\nenabled = 1\ngpgkey = https://a/key\nname = Shop\n\n";
    let case = |name, mut params: serde_json::Value, before: Option<&str>, after: Option<Tree>| {
        params["name"] = "shop".into();
        params["reposdir"] = "ROOT".into();
        let before = before.map_or_else(Tree::new, |text| Tree::new().file("shop.repo", text));
        Case { name, module: "yum_repository", params, before, after, result: json!({"repo": "shop"}), ..Case::default() }
    };
    let shop =
        || json!({"description": "Shop", "baseurl": ["https://a/$basearch/", "https://b/"], "enabled": true, "gpgkey": "https://a/key"});
    let file = |text: &str| Some(Tree::new().file("shop.repo", text));
    prove(&[
        case("adds a file", shop(), None, file(SHOP)),
        case("is there already", shop(), Some(SHOP), None),
        case("adds a section", shop(), Some(OTHER), file(&format!("{OTHER}{SHOP}"))),
        case(
            "replaces its section",
            shop(),
            Some("[shop]\nbaseurl = x\n\n[other]\nbaseurl = https://other/\nname = other\n\n"),
            file(&format!("{OTHER}{SHOP}")),
        ),
        case("removes its section", json!({"state": "absent"}), Some(&format!("{SHOP}{OTHER}")), file(OTHER)),
        case("removes the file with its last section", json!({"state": "absent"}), Some(SHOP), Some(Tree::new())),
    ]);
}

/// A key whose secret nobody has.
pub const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n\
    mDMEawQ2BRYJKwYBBAHaRw8BAQdAbrDeT1qaRlJcuWojjYwfmwDGCx8kg8z0FxzG\nYsqp6HW0InNob3AgYXJjaGl2ZSA8YXJjaGl2ZUBleGFtcGxlLmNvbT4=\n\
    -----END PGP PUBLIC KEY BLOCK-----\n";

#[test]
fn keys_of_archives() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ring = root.path().join("shop.gpg");
    let mut agent = Agent::start(journal.path());
    let mut run = |id: &str, state: &str, check: bool| {
        let mut given = call("apt_key", params(json!({"id": id, "data": KEY, "keyring": ring, "state": state})));
        given.check = check;
        agent.run(given)
    };
    let changed = |result: Result<rappel::wire::Outcome, rappel::wire::Failure>| result.unwrap().changed;
    assert!(changed(run("CE717A1F1E54FF9DB4101238FC5409DB676A9BE3", "present", true)));
    assert!(!ring.exists());
    assert!(changed(run("0xfc5409db676a9be3", "present", false)));
    assert_eq!(std::fs::read(&ring).unwrap().first(), Some(&0x98), "a keyring is not armoured");
    assert!(!changed(run("676A9BE3", "present", false)));
    assert!(changed(run("676A9BE3", "absent", false)));
    assert!(!ring.exists());
    let failure = run("DEADBEEF", "present", false).unwrap_err();
    assert!(failure.msg.contains("failed to add the key"), "{}", failure.msg);
}

/// A repository with two commits on `main`, the first called `v1`.
fn repository(path: &Path) {
    let script = "git init -q -b main . && git config user.email a@b.c && git config user.name n && echo 1 >a && git add . && git commit -qm one \
        && git tag v1 && echo 2 >a && git commit -qam two";
    std::fs::create_dir(path).unwrap();
    assert!(Command::new("sh").args(["-c", script]).current_dir(path).status().unwrap().success());
}

#[test]
fn working_copies() {
    if Command::new("git").arg("--version").output().is_err() {
        return; // this machine has no git
    }
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, dest) = (root.path().join("source"), root.path().join("copy"));
    repository(&source);
    let mut agent = Agent::start(journal.path());
    let git = |version: &str, check: bool| {
        let mut given = call("git", params(json!({"repo": source, "dest": dest, "version": version})));
        given.check = check;
        given
    };
    let content = || std::fs::read_to_string(dest.join("a")).unwrap_or_default();
    agent.begin("t0");
    assert!(agent.run(git("HEAD", true)).unwrap().changed && !dest.exists());
    let mut fresh = git("HEAD", false);
    fresh.transaction = Some(rappel::wire::Recording { id: "t0".into(), step: 1, undo: None });
    assert!(agent.run(fresh).unwrap().changed);
    assert_eq!(content(), "2\n");
    let report = agent.abort("t0");
    assert!(report.failures.is_empty() && !dest.exists(), "undo removes the clone: {report:?}");

    assert!(agent.run(git("main", false)).unwrap().changed);
    assert!(!agent.run(git("HEAD", false)).unwrap().changed);
    assert!(agent.run(git("v1", true)).unwrap().changed);
    assert_eq!(content(), "2\n");
    agent.begin("t1");
    let mut back = git("v1", false);
    back.transaction = Some(rappel::wire::Recording { id: "t1".into(), step: 1, undo: None });
    let outcome = agent.run(back).unwrap();
    assert!(outcome.changed && outcome.data.get("before") != outcome.data.get("after"));
    assert_eq!(content(), "1\n");
    assert!(agent.abort("t1").failures.is_empty());
    assert_eq!(content(), "2\n", "undo sets the copy back");
    assert!(!agent.run(git("main", false)).unwrap().changed, "to its branch, too");

    std::fs::write(dest.join("a"), "mine\n").unwrap();
    let failure = agent.run(git("v1", false)).unwrap_err();
    assert!(failure.msg.starts_with("Local modifications exist in the destination"), "{}", failure.msg);
    std::fs::write(dest.join("a"), "2\n").unwrap();
    let failure = agent.run(git("no-such-version", false)).unwrap_err();
    assert_eq!(failure.msg, "Failed to checkout no-such-version");
}
