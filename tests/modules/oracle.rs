//! The calls of `tests/conformance/module/calls.yml`, run through the front door, against what ansible-core answered to them
//! and the files that it left. `tests/conformance/README.md` tells how the recordings are made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value as Json};

const PLAYBOOK: &str = include_str!("../conformance/module/calls.yml");
const RECORD: &str = include_str!("../conformance/module/calls.txt");
/// Calls and files that are meant to differ, each with the reason.
const DIFFERS: &str = include_str!("../conformance/module/differs.txt");

/// What a playbook does not read, or what is ours to word.
const OURS: [&str; 4] = ["msg", "src", "details", "skipped_paths"];

/// A status, and the result.
type Answer = (String, Map<String, Json>);

fn recorded() -> (Vec<Answer>, Vec<&'static str>) {
    let (calls, files) = RECORD.split_once("\n\n").unwrap();
    let answer = |line: &str| {
        let (status, result) = line.split_once(' ').unwrap();
        (status.to_owned(), serde_json::from_str(result).unwrap())
    };
    (calls.lines().map(answer).collect(), files.lines().collect())
}

/// The answers in the output of `ansible-playbook -v`.
fn answers(output: &str, folder: &str) -> Vec<Answer> {
    let tasks = output.split("\nPLAY RECAP").next().unwrap().split("\nTASK [").skip(1);
    let answer = |task: &str| {
        let line = task.lines().find(|line| ["ok: ", "changed: ", "skipping: ", "fatal: "].iter().any(|status| line.starts_with(status)));
        let line = line.unwrap_or_else(|| panic!("no result in {task}"));
        let status = line.split(':').next().unwrap().to_owned();
        let text = task.split_once(" => ").map_or("{}", |(_, rest)| rest).replace(folder, "DIR");
        let result = serde_json::Deserializer::from_str(&text).into_iter::<Map<String, Json>>().next();
        (status, result.and_then(Result::ok).unwrap_or_default())
    };
    tasks.map(answer).collect()
}

fn tree(root: &Path, folder: &Path, lines: &mut Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        let meta = fs::symlink_metadata(&path).unwrap();
        if path.starts_with(root.join("fetched/localhost")) && path != root.join("fetched/localhost") {
            continue; // this has the name of the folder in it
        }
        let (name, mode) = (path.strip_prefix(root).unwrap().display().to_string(), meta.permissions().mode() & 0o7777);
        if meta.is_symlink() {
            lines.push(format!("link {name} {}", fs::read_link(&path).unwrap().display()));
        } else if meta.is_dir() {
            lines.push(format!("directory {mode:04o} {name}"));
            tree(root, &path, lines);
        } else if !name.ends_with('~') && !name.ends_with("tree.tgz") {
            lines.push(format!("file {mode:04o} {name} {}", serde_json::to_string(&fs::read_to_string(&path).unwrap()).unwrap()));
        }
    }
}

/// What differs, by the call or the file.
fn compare(calls: &[&str], expected: &[Answer], found: &[Answer]) -> BTreeMap<String, String> {
    let mut differences = BTreeMap::new();
    for (call, (expected, found)) in calls.iter().zip(expected.iter().zip(found)) {
        let mut complaint = String::new();
        if expected.0 != found.0 {
            write!(complaint, "expected {}, found {}: {:?}", expected.0, found.0, found.1).unwrap();
        }
        for (key, value) in expected.1.iter().filter(|(key, _)| !OURS.contains(&key.as_str())) {
            let there = found.1.get(key);
            if !there.is_some_and(|there| same(value, there) || key == "files" && paths(value) == paths(there)) {
                write!(complaint, "\n    `{key}`: expected {value}, found {there:?}").unwrap();
            }
        }
        if !complaint.is_empty() {
            differences.insert((*call).to_owned(), complaint);
        }
    }
    differences
}

/// `ANY` stands for what differs from run to run, or from machine to machine.
fn same(expected: &Json, found: &Json) -> bool {
    match (expected, found) {
        (Json::String(text), _) if text == "ANY" => true,
        (Json::Object(expected), Json::Object(found)) => {
            let mut pairs = expected.iter().map(|(key, value)| (value, found.get(key)));
            expected.len() == found.len() && pairs.all(|(value, there)| there.is_some_and(|there| same(value, there)))
        }
        (Json::Array(expected), Json::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| same(expected, found))
        }
        _ => expected == found,
    }
}

/// Without their order, which is that of the directory.
fn paths(files: &Json) -> Vec<String> {
    let mut paths: Vec<_> = files.as_array().into_iter().flatten().map(|file| file["path"].to_string()).collect();
    paths.sort();
    paths
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn calls_answer_as_ansible_answers() {
    let root = tempfile::tempdir().unwrap();
    let (play, dir, program) = (root.path().join("play"), root.path().join("dir"), root.path().join("ansible-playbook"));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &program).unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/module"), &play);
    fs::create_dir(&dir).unwrap();
    let ran = Command::new("sh")
        .args(["-c", "umask 022; exec \"$@\"", "sh"])
        .arg(&program)
        .args(["-v", "-i", "localhost,", "-c", "local", "-e", &format!("dir={}", dir.display()), "calls.yml"])
        .current_dir(&play)
        .env("HOME", root.path())
        .env("ANSIBLE_NOCOLOR", "1")
        .output()
        .unwrap();
    let (expected, files) = recorded();
    let calls: Vec<_> = PLAYBOOK.lines().filter_map(|line| line.strip_prefix("    - ")).collect();
    let found = answers(&String::from_utf8_lossy(&ran.stdout), dir.to_str().unwrap());
    assert!(calls.len() >= 290, "only {} calls", calls.len());
    assert_eq!((expected.len(), found.len()), (calls.len(), calls.len()), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut differences = compare(&calls, &expected, &found);
    let mut there = Vec::new();
    tree(&dir, &dir, &mut there);
    let there: Vec<_> = there.iter().map(|line| line.replace(dir.to_str().unwrap(), "DIR")).collect();
    for line in files.iter().filter(|line| !there.iter().any(|there| there == *line)) {
        differences.insert(format!("tree: {line}"), "is not there".to_owned());
    }
    for line in there.iter().filter(|line| !files.contains(&line.as_str())) {
        differences.insert(format!("tree: {line}"), "is there".to_owned());
    }
    verdict(differences);
}

/// Holds what differs against what may.
fn verdict(mut differences: BTreeMap<String, String>) {
    let mut complaint = String::new();
    let entries = DIFFERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (call, _reason) in entries.map(|line| line.rsplit_once("  # ").expect("a reason after two blanks and a number sign")) {
        if differences.remove(call).is_none() {
            writeln!(complaint, "{call}: is as Ansible: take it out of differs.txt").unwrap();
        }
    }
    for (call, difference) in differences {
        writeln!(complaint, "{call}: {difference}").unwrap();
    }
    assert!(complaint.is_empty(), "\n{complaint}");
}
