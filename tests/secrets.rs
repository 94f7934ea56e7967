//! Secrets placed wherever people put them, then searched for in every byte that the program wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const INLINE: &str = "s3ntinel-inline-4711";
const FILE: &str = "s3ntinel-file-4712";
const NESTED: &str = "s3ntinel-nested-4713";
const HIDDEN: &str = "s3ntinel-nolog-4714";
const SUDO: &str = "s3ntinel-sudo-4715";
const VAULT: &str = "s3ntinel-vault-password-4716";
const ALL: [&str; 6] = [INLINE, FILE, NESTED, HIDDEN, SUDO, VAULT];

const PLAY: &str = r#"
- hosts: all
  gather_facts: false
  vars_files: [sealed.yml]
  vars:
    inline: !vault |
      INLINE
  tasks:
    - name: "a name with {{ inline }}"
      debug: {msg: "message {{ inline }} {{ from_file }} {{ inline | b64encode }}"}
    - debug: {var: nested}
    - debug: {var: ansible_become_password}
    - copy: {content: "key={{ from_file }}\n", dest: "{{ folder }}/out", mode: "0600"}
    - template: {src: t.j2, dest: "{{ folder }}/out2", mode: "0600"}
    - lineinfile: {path: "{{ folder }}/out", line: "other={{ nested.list[0] }}"}
    - command: "echo argument {{ inline }}"
    - shell: "echo error {{ from_file }} >&2; exit 1"
      ignore_errors: true
    - command: env
      environment: {TOKEN: "{{ nested.list[0] }}"}
    - uri: {url: "http://user:{{ inline }}@127.0.0.1:1/{{ from_file }}"}
      ignore_errors: true
    - debug: {msg: "item {{ item }}"}
      loop: ["{{ inline }}", "{{ from_file }}"]
    - command: "echo HIDDEN"
      no_log: true
    - command: "echo {{ item }} ; false"
      loop: [HIDDEN]
      no_log: true
      ignore_errors: true
    - copy: {content: HIDDEN, dest: "{{ folder }}/out3", mode: "0600"}
      no_log: true
    - fail: {msg: "failed on {{ inline }}"}
      ignore_errors: true
    - assert: {that: inline == 'x', fail_msg: "not {{ from_file }}"}
      ignore_errors: true
    - debug: {msg: "{{ (inline ~ from_file) | int(base='x') }} {{ nested.list[0].no_such_attribute }}"}
      ignore_errors: true
    - debug: {msg: "{{ nested | dict2items | map(attribute='nope') | list }}"}
      ignore_errors: true
    - set_stats: {data: {shown: "{{ inline }}"}}
    - file: {path: "{{ folder }}/nowhere/{{ inline }}", state: file}
      ignore_errors: true
    - stat: {path: "/{{ inline }}", get_checksum: "{{ from_file }}"}
"#;

fn rappel(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("RAPPEL_STATE_DIR", folder.join("state"))
        .env("ANSIBLE_VAULT_PASSWORD_FILE", "pass");
    command
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn sealed(folder: &Path, text: &str) -> String {
    write(folder, "plain", text);
    let done = rappel(folder).args(["vault", "encrypt", "--output", "-", "plain"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    fs::remove_file(folder.join("plain")).unwrap();
    String::from_utf8(done.stdout).unwrap()
}

fn project() -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    write(path, "pass", VAULT);
    let inline = sealed(path, INLINE).lines().map(|line| format!("      {line}\n")).collect::<String>();
    write(path, "sealed.yml", &sealed(path, &format!("from_file: {FILE}\nnested: {{list: ['{NESTED}']}}\n")));
    write(path, "t.j2", "secret {{ inline }}\n");
    write(path, "hosts", &format!("here ansible_connection=local ansible_become_password={SUDO}\n"));
    let play = PLAY.replace("      INLINE\n", &inline).replace("HIDDEN", HIDDEN);
    write(path, "play.yml", &play);
    folder
}

/// Every file below `folder` that is not input, where others could read it or the program keeps its records.
fn written(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            written(&path, found);
        } else if kind.is_file() {
            let private = kind.permissions().mode().trailing_zeros() >= 6;
            let record = path.components().any(|part| part.as_os_str() == "records");
            let input = ["pass", "hosts", "play.yml", "out", "out2", "out3"].iter().any(|name| path.ends_with(name));
            if !input && (!private || record) {
                found.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
}

fn search(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in ALL {
        if let Some(place) = text.find(secret) {
            let start = text[..place].rfind('\n').map_or(0, |at| at + 1);
            let line = text[start..].lines().next().unwrap_or_default();
            panic!("`{secret}` is in {what}: {line}");
        }
    }
}

fn play(folder: &Path, options: &[&str]) -> Output {
    let done =
        rappel(folder).args(["play", "-i", "hosts", "play.yml", "-e", "folder=."]).args(options).stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    // The run went to its last task: the secrets were where they could have been shown.
    assert!(shown.contains("stat") || options.contains(&"quiet"), "{shown}{}", String::from_utf8_lossy(&done.stderr));
    done
}

#[test]
fn no_secret_is_in_anything_that_is_written() {
    for output in ["human", "json", "jsonl", "junit", "github", "quiet"] {
        let folder = project();
        write(folder.path(), "ansible.cfg", "[defaults]\nlog_path = run.log\n");
        let done = play(folder.path(), &["--diff", "-vvvv", "--output", output, "--record", "run.jsonl"]);
        search("the log", &fs::read(folder.path().join("run.log")).unwrap());
        let record = folder.path().join("run.jsonl");
        assert_eq!(fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o600);
        search("the record", &fs::read(record).unwrap());
        search(&format!("the output `{output}`"), &done.stdout);
        search(&format!("standard error of `{output}`"), &done.stderr);
        let mut files = Vec::new();
        written(folder.path(), &mut files);
        for (name, bytes) in files {
            search(&name, &bytes);
        }
        for (name, content) in [("out", FILE), ("out2", INLINE), ("out3", HIDDEN)] {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(text.contains(content), "the task did not do its work: {text}");
        }
    }
}

#[test]
fn no_secret_is_in_a_transaction_that_is_undone() {
    let folder = project();
    let done = play(folder.path(), &["--diff", "-v", "--atomic", "--output", "human"]);
    search("the output", &done.stdout);
    search("standard error", &done.stderr);
    let mut files = Vec::new();
    written(folder.path(), &mut files);
    for (name, bytes) in files {
        search(&name, &bytes);
    }
}

/// What was typed at a private prompt is a secret; the prompt's default stands in the playbook and is none.
#[test]
fn answers_to_private_prompts_are_hidden() {
    let folder = TempDir::new().unwrap();
    let play = "
- hosts: localhost
  gather_facts: false
  vars_prompt:
    - {name: typed}
    - {name: taken, default: ordinary}
    - {name: open, private: false}
  tasks:
    - debug: {msg: '{{ typed }} {{ taken }} {{ open }}'}
";
    fs::write(folder.path().join("site.yml"), play).unwrap();
    fs::write(folder.path().join("answers"), "s3ntinel-typed-4717\n\nshown-to-all\n").unwrap();
    // A terminal, which `script` gives.
    let shown = Command::new("script")
        .args(["-qec", concat!(env!("CARGO_BIN_EXE_rappel"), " play -i localhost, -c local site.yml"), "/dev/null"])
        .stdin(fs::File::open(folder.path().join("answers")).unwrap())
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("\"msg\": \"******** ordinary shown-to-all\""), "{shown}");
}
