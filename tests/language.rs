//! Playbooks of our own against what ansible-core printed for them: every `tests/conformance/language/CASE.yml` with its `CASE.out`.
//!
//! `tests/conformance/README.md` tells how the recordings are made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

/// Cases where rappel prints something else; each is work to be done, or a row of COMPATIBILITY.md.
const DIFFERS: &str = include_str!("conformance/differs.txt");

/// The output without what is as long as the terminal is wide, and without blank lines.
fn essence(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim_end_matches('*').trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn replay(program: &Path, playbook: &Path, home: &Path) -> Vec<String> {
    let done = Command::new(program)
        .args(["-i", "localhost,", "-c", "local"])
        .arg(playbook.file_name().unwrap())
        .current_dir(playbook.parent().unwrap())
        .env("HOME", home)
        .env("ANSIBLE_CONFIG", "ansible.cfg")
        .env("ANSIBLE_NOCOLOR", "1")
        .output()
        .unwrap();
    let code = done.status.code().unwrap_or(-1);
    essence(&format!("{}\nexit {code}\n", String::from_utf8_lossy(&done.stdout)))
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
    assert!(playbooks.len() >= 95, "only {} cases", playbooks.len());
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
