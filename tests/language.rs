//! Playbooks of our own against what ansible-core printed for them: every `tests/conformance/language/CASE.yml` with its `CASE.out`.
//!
//! `tests/conformance/README.md` tells how the recordings are made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use crate::support::ansible_playbook as run_in;

/// Cases where rappel prints something else; each is work to be done, or a row of COMPATIBILITY.md.
const DIFFERS: &str = include_str!("conformance/differs.txt");

/// The output without what is as long as the terminal is wide, and without blank lines.
fn essence(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim_end_matches('*').trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn replay(program: &Path, playbook: &Path, home: &Path) -> Vec<String> {
    let own = playbook.with_extension("cfg");
    let folder = playbook.parent().unwrap();
    let done = Command::new(program)
        .args(["-i", "localhost,", "-c", "local"])
        .arg(playbook.file_name().unwrap())
        .current_dir(folder)
        .env("HOME", home)
        .env("ANSIBLE_CONFIG", if own.is_file() { own.as_path() } else { Path::new("ansible.cfg") })
        .env("ANSIBLE_NOCOLOR", "1")
        .output()
        .unwrap();
    let code = done.status.code().unwrap_or(-1);
    let said = String::from_utf8_lossy(&done.stdout).replace(folder.to_str().unwrap(), "FOLDER");
    essence(&format!("{said}\nexit {code}\n"))
}

#[test]
fn playbooks_print_what_ansible_prints() {
    let home = TempDir::new().unwrap();
    let program = home.path().join("ansible-playbook");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &program).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/language");
    let mut playbooks: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    playbooks.retain(|path| path.extension().is_some_and(|end| end == "yml"));
    playbooks.sort();
    assert!(playbooks.len() >= 300, "only {} cases", playbooks.len());
    let mut wrong = Vec::new();
    for playbook in playbooks {
        let name = playbook.file_stem().unwrap().to_string_lossy().into_owned();
        let expected = essence(&fs::read_to_string(playbook.with_extension("out")).unwrap());
        let found = replay(&program, &playbook, home.path());
        let differs = DIFFERS.lines().any(|line| line.split_whitespace().next() == Some(name.as_str()));
        match (found == expected, differs) {
            (true, false) | (false, true) => {}
            (true, true) => wrong.push(format!("{name} is as Ansible: take it out of differs.txt")),
            (false, false) => wrong.push(format!("{name}:\n  expected {expected:#?}\n  found {found:#?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn facts_outlive_a_run() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("facts").display().to_string();
    let variables =
        [("ANSIBLE_CACHE_PLUGIN", "jsonfile"), ("ANSIBLE_CACHE_PLUGIN_CONNECTION", cache.as_str()), ("ANSIBLE_GATHERING", "smart")];
    let set = "- hosts: all\n  gather_facts: false\n  tasks:\n    - set_fact: {kept: 1, cacheable: true}\n    - set_fact: {lost: 1}\n";
    assert_eq!(run_in(folder.path(), set, &[], &variables).0, 0);
    let ask = "- hosts: all\n  tasks:\n    - debug: {msg: \"kept {{ kept | default('no') }} lost {{ lost | default('no') }}\"}\n";
    let (_, text) = run_in(folder.path(), ask, &[], &variables);
    assert!(text.contains("kept 1 lost no"), "{text}");
    // There are facts, so that `smart` gathers none.
    assert!(!text.contains("Gathering Facts"), "{text}");
    let (_, text) = run_in(folder.path(), ask, &["--flush-cache"], &variables);
    assert!(text.contains("kept no") && text.contains("Gathering Facts"), "{text}");
    let (code, text) = run_in(folder.path(), ask, &[], &[("ANSIBLE_CACHE_PLUGIN", "redis")]);
    assert!(code != 0 && text.contains("expected `memory` or `jsonfile`, found `redis`"), "{text}");
}

#[test]
fn mappings_merge_where_the_configuration_says_so() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("group_vars")).unwrap();
    fs::write(folder.path().join("group_vars/all.yml"), "cfg: {a: 1, deep: {x: \"{{ one }}\", l: [1]}}\none: 1\n").unwrap();
    let playbook = "- hosts: all\n  gather_facts: false\n  vars: {cfg: {b: 2, deep: {y: 2, l: [2]}}}\n  tasks:\n    - debug: {msg: \"{{ cfg | to_json }}\"}\n";
    let (_, text) = run_in(folder.path(), playbook, &[], &[("ANSIBLE_HASH_BEHAVIOUR", "merge")]);
    assert!(text.contains(r#"{\"a\": 1, \"deep\": {\"x\": 1, \"l\": [2], \"y\": 2}, \"b\": 2}"#), "{text}");
    let (_, text) = run_in(folder.path(), playbook, &[], &[]);
    assert!(text.contains(r#"{\"b\": 2, \"deep\": {\"y\": 2, \"l\": [2]}}"#), "{text}");
}

#[test]
fn a_pattern_without_hosts_is_what_the_configuration_says() {
    let folder = TempDir::new().unwrap();
    let playbook = "- hosts: nobody\n  tasks: []\n";
    let says = "Could not match supplied host pattern, ignoring: nobody";
    let (code, text) = run_in(folder.path(), playbook, &[], &[]);
    assert!(code == 0 && text.contains(says), "{code} {text}");
    let (code, text) = run_in(folder.path(), playbook, &[], &[("ANSIBLE_HOST_PATTERN_MISMATCH", "error")]);
    assert!(code == 1 && text.contains(&format!("ERROR! {says}")) && !text.contains("PLAY RECAP"), "{code} {text}");
    let (code, text) = run_in(folder.path(), playbook, &[], &[("ANSIBLE_HOST_PATTERN_MISMATCH", "ignore")]);
    assert!(code == 0 && !text.contains(says), "{code} {text}");
}

#[test]
fn an_unknown_handler_ends_the_run() {
    let folder = TempDir::new().unwrap();
    let playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - {command: 'true', notify: nobody}\n    - debug: {msg: after}\n";
    let says = "The requested handler 'nobody' was not found";
    let (code, text) = run_in(folder.path(), playbook, &[], &[]);
    assert!(
        code == 1 && text.contains(&format!("ERROR! {says}")) && !text.contains("after") && !text.contains("PLAY RECAP"),
        "{code} {text}"
    );
    let (code, text) = run_in(folder.path(), playbook, &[], &[("ANSIBLE_ERROR_ON_MISSING_HANDLER", "false")]);
    assert!(code == 0 && text.contains(&format!("[WARNING]: {says}")) && text.contains("after"), "{code} {text}");
}

#[test]
fn what_is_made_up_for_does_not_count_for_the_exit_status() {
    let folder = TempDir::new().unwrap();
    let playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - block:\n        - fail:\n      always:\n        - meta: clear_host_errors\n    - debug: {msg: after}\n";
    let (code, text) = run_in(folder.path(), playbook, &[], &[]);
    assert!(code == 0 && text.contains("failed=1") && text.contains("after"), "{code} {text}");
}

#[test]
fn configuration_is_looked_up_and_no_log_is_everywhere() {
    let folder = TempDir::new().unwrap();
    let playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: \"{{ lookup('config', 'DEFAULT_FORKS') }} {{ q('config', 'NOPE', on_missing='skip') }}\"}\n    - debug: {msg: \"{{ lookup('config', 'NOPE') }}\"}\n      ignore_errors: true\n";
    let (_, text) = run_in(folder.path(), playbook, &[], &[("ANSIBLE_FORKS", "7")]);
    assert!(text.contains("\"7 []\"") && text.contains("Unable to find setting NOPE"), "{text}");
    let (_, text) = run_in(folder.path(), playbook, &[], &[("ANSIBLE_FORKS", "7"), ("ANSIBLE_NO_LOG", "1")]);
    assert!(!text.contains("7 []") && text.contains("the output has been hidden"), "{text}");
}

#[test]
fn handlers_stand_in_blocks_but_not_in_blocks_of_blocks() {
    let folder = TempDir::new().unwrap();
    let head = "- hosts: all\n  gather_facts: false\n  tasks:\n    - {command: 'true', notify: h}\n  handlers:\n";
    let (code, text) = run_in(folder.path(), &format!("{head}    - block:\n        - {{name: h, debug: {{msg: handled}}}}\n"), &[], &[]);
    assert!(code == 0 && text.contains("handled"), "{code} {text}");
    let nested = format!("{head}    - block:\n        - block:\n            - {{name: h, debug: {{msg: handled}}}}\n");
    let (code, text) = run_in(folder.path(), &nested, &[], &[]);
    assert!(code == 4 && text.contains("ERROR! Using a block as a handler is not supported."), "{code} {text}");
}
