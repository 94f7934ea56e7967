//! Modules that are not rappel's own, through the front door, on local hosts: every style of the module protocol.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const WORDS: &str = "#!/bin/sh\nname=World\n. \"$1\"\nprintf '{\"msg\": \"words %s\", \"changed\": true}' \"$name\"\n";
const JSON: &str = "#!/bin/sh\n# WANT_JSON\necho noise\ngrep -o '\"name\":\"[^\"]*\"' \"$1\" | sed 's/.*:/{\"got\": /; s/$/}/'\n";
const EMBEDDED: &str = "#!/bin/sh\nargs='<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>'\necho \"{\\\"got\\\": $args}\"\n";
const FAILS: &str = "#!/bin/sh\necho '{\"failed\": true, \"msg\": \"as it must\"}'\n";
/// As little of an ansible-core as a module needs, in our own words.
const BASIC: &str = "import json\nfrom ansible.module_utils.own.text import greet\n_ANSIBLE_ARGS = None\n\
    def params():\n    return json.loads(_ANSIBLE_ARGS.decode())['ANSIBLE_MODULE_ARGS']\n";
const PYTHON: &str = "#!/usr/bin/python\nfrom ansible.module_utils import basic\nimport json\n\
    p = basic.params()\nprint(json.dumps({'msg': basic.greet(p['name']), 'check': p['_ansible_check_mode']}))\n";
const PLAY: &str = "- hosts: all
  gather_facts: false
  tasks:
    - greet_words: {name: Ansible}
      register: words
    - greet_json: name=Json
      register: json
    - greet_embedded: {name: Embedded}
      register: embedded
    - greet_fails:
      register: fails
      ignore_errors: true
    - assert:
        that:
          - words.msg == 'words Ansible' and words is changed
          - json.got == 'Json' and json is not changed
          - embedded.got.name == 'Embedded'
          - fails is failed and fails.msg == 'as it must'
";

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn rappel(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rappel"))
        .arg("play")
        .args(["-i", "h1,", "-c", "local", "play.yml"])
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("TMPDIR", folder.join("tmp"))
        .env("PYTHONPATH", folder.join("py"))
        .output()
        .unwrap()
}

fn project() -> TempDir {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    for (name, text) in [("words.sh", WORDS), ("json", JSON), ("embedded.sh", EMBEDDED), ("fails.sh", FAILS)] {
        write(root, &format!("library/greet_{name}"), text);
    }
    fs::create_dir(root.join("tmp")).unwrap();
    write(root, "play.yml", PLAY);
    folder
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn scripts_of_every_style_run_and_leave_nothing() {
    let folder = project();
    let done = rappel(folder.path(), &[]);
    assert!(done.status.success(), "{}", shown(&done));
    assert!(shown(&done).contains("4 tasks ran over the bridge: greet_words, greet_json, greet_embedded, greet_fails"), "{}", shown(&done));
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_dry_run_leaves_scripts_alone() {
    let folder = project();
    write(folder.path(), "play.yml", "- hosts: all\n  gather_facts: false\n  tasks:\n    - greet_words:\n");
    let done = rappel(folder.path(), &["--check"]);
    assert!(shown(&done).contains("skipping: [h1]"), "{}", shown(&done));
}

#[test]
fn a_module_of_python_is_packed_with_its_imports() {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .find(|path| fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o111 != 0));
    let Some(python) = python else {
        println!("skipped: python3 is not installed");
        return;
    };
    let folder = project();
    let root = folder.path();
    write(root, "py/ansible/release.py", "__version__ = '1.0'\n");
    write(root, "py/ansible/module_utils/__init__.py", "");
    write(root, "py/ansible/module_utils/basic.py", BASIC);
    write(root, "module_utils/own/__init__.py", "");
    write(root, "module_utils/own/text.py", "def greet(name):\n    return 'python ' + name\n");
    write(root, "library/greet.py", PYTHON);
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n    - greet: {name: Ansible}\n      register: greeted\n    - debug: {var: greeted}\n";
    write(root, "play.yml", play);
    for (option, check) in [("--diff", "false"), ("--check", "true")] {
        let done = rappel(root, &[option, "-e", &format!("ansible_python_interpreter={python}")]);
        assert!(shown(&done).contains("\"msg\": \"python Ansible\""), "{}", shown(&done));
        assert!(shown(&done).contains(&format!("\"check\": {check}")), "{}", shown(&done));
    }
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    let done = rappel(root, &["-e", "ansible_python_interpreter=/no/such/python"]);
    assert!(shown(&done).contains("The module interpreter '/no/such/python' was not found."), "{}", shown(&done));
}

#[test]
fn a_parameter_that_only_the_installed_module_knows_goes_over_the_bridge() {
    let folder = project();
    let module = "collections/ansible_collections/community/general/plugins/modules/ini_file";
    // It knows `allow`, and `keep` as a word for `state`.
    write(folder.path(), module, "#!/bin/sh\n: allow keep\necho '{\"msg\": \"the other one\"}'\n");
    let ini = |more: &str| format!("    - community.general.ini_file: {{path: a.ini, section: s, option: o, value: v, {more}}}\n");
    let play = |tasks: &str| write(folder.path(), "play.yml", &format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"));
    play(&format!("{}{}{}", ini("mode: '0600'"), ini("allow: true"), ini("state: keep")));
    let done = rappel(folder.path(), &[]);
    assert!(done.status.success(), "{}", shown(&done));
    assert!(shown(&done).contains("2 tasks ran over the bridge"), "{}", shown(&done));
    for (wrong, message) in
        [("alow: true", "unknown parameter `alow`"), ("state: kept", "expected one of"), ("allow: true, wrong: 1", "`wrong`")]
    {
        play(&ini(wrong));
        let done = rappel(folder.path(), &[]);
        assert_eq!(done.status.code(), Some(4), "{}", shown(&done));
        assert!(shown(&done).contains(message), "{}", shown(&done));
    }
}

#[test]
fn what_cannot_run_is_refused_before_any_host() {
    let folder = project();
    write(folder.path(), "library/lost.py", "#!/usr/bin/python\nfrom ansible.module_utils.nowhere import x\n");
    write(folder.path(), "py/ansible/module_utils/basic.py", "");
    write(folder.path(), "action_plugins/acting.py", "");
    write(folder.path(), "play.yml", "- hosts: all\n  tasks:\n    - lost:\n    - acting:\n");
    let done = rappel(folder.path(), &[]);
    assert_eq!(done.status.code(), Some(4));
    for text in
        ["the module imports `ansible.module_utils.nowhere`", "library/lost.py:2:1", "play.yml:3:7", "it is an action plugin of Python"]
    {
        assert!(shown(&done).contains(text), "{text}: {}", shown(&done));
    }
}
