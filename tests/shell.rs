//! Completions in real shells, manual pages, `rappel doc`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A project, and `rappel` on the PATH.
fn project() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("hosts", "[webservers]\nweb1\nweb2\n[databases]\ndb1\n");
    write("site.yml", "- hosts: all\n  tasks:\n    - name: Install it\n      debug: msg=x\n      tags: [install, packages]\n");
    write(
        "rappel.yml",
        "environments:\n  production: {inventory: hosts, playbooks: {deploy: site.yml}}\n  staging: {inventory: hosts, playbooks: {deploy: site.yml}}\n",
    );
    fs::create_dir(folder.path().join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_rappel"), folder.path().join("bin/rappel")).unwrap();
    folder
}

fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    command.current_dir(folder).env("PATH", path).env("HOME", folder).env_remove("ANSIBLE_CONFIG");
    command
}

/// What bash offers for a line whose last word is not finished, as its own completion does: by the function that was registered.
fn offered(folder: &Path, line: &[&str]) -> Vec<String> {
    let script = "source <(rappel completions bash); COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9\n\
                  _clap_complete_rappel rappel \"${COMP_WORDS[$COMP_CWORD]}\" \"${COMP_WORDS[$COMP_CWORD - 1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let out = command(folder, "bash").args(["-c", script, "bash"]).args(line).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_shell_knows_hosts_groups_tags_tasks_and_environments() {
    let folder = project();
    let offered = |line: &[&str]| offered(folder.path(), line);
    assert_eq!(offered(&["rappel", "play", "-i", "hosts", "-l", "web"]), ["web1", "web2", "webservers"]);
    assert_eq!(offered(&["rappel", "play", "-i", "hosts", "-l", "db1,web"]), ["db1,web1", "db1,web2", "db1,webservers"]);
    assert_eq!(offered(&["rappel", "run", "-i", "hosts", "da"]), ["databases"]);
    assert_eq!(offered(&["rappel", "play", "site.yml", "--tags", "i"]), ["install"]);
    assert_eq!(offered(&["rappel", "play", "site.yml", "--start-at-task", "In"]), ["Install it"]);
    assert_eq!(
        offered(&["rappel", "deploy", ""]).iter().filter(|word| !word.starts_with('-')).collect::<Vec<_>>(),
        ["production", "staging"]
    );
    assert_eq!(offered(&["rappel", "doc", "dict2"]), ["dict2items"]);
    assert_eq!(offered(&["rappel", "explain", "undefined-v"]), ["undefined-variable"]);
    assert!(offered(&["rappel", "re"]).contains(&"recover".to_owned()));
}

#[test]
fn an_inventory_that_is_a_program_is_not_run_for_a_completion() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = project();
    let program = folder.path().join("cloud");
    fs::write(&program, "#!/bin/sh\ntouch ran\necho '{}'\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(offered(folder.path(), &["rappel", "play", "-i", "cloud", "-l", "web"]), Vec::<String>::new());
    assert!(!folder.path().join("ran").exists());
}

#[test]
fn scripts_for_the_other_shells_can_be_read_by_them() {
    let folder = project();
    for (shell, check) in [("zsh", "zsh"), ("fish", "fish"), ("bash", "bash")] {
        let out = command(folder.path(), "rappel").args(["completions", shell]).output().unwrap();
        let script = folder.path().join(format!("script.{shell}"));
        assert!(out.status.success() && out.stdout.len() > 50, "{shell}");
        fs::write(&script, out.stdout).unwrap();
        match Command::new(check).arg("-n").arg(&script).output() {
            Ok(read) => assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr)),
            Err(_) => println!("skipped: `{check}` is not installed"),
        }
    }
}

#[test]
fn every_command_has_a_manual_page_that_man_can_read() {
    let folder = project();
    let out = command(folder.path(), "rappel").args(["man", "man1"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for name in ["rappel", "rappel-play", "rappel-deploy", "rappel-migrate", "rappel-lock-acquire"] {
        assert!(folder.path().join(format!("man1/{name}.1")).is_file(), "{name}");
    }
    assert!(!folder.path().join("man1/rappel-__app.1").exists(), "what is hidden has no page");
    let page = folder.path().join("man1/rappel-play.1");
    match Command::new("man").arg("--warnings").arg(&page).env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").output() {
        Ok(read) => {
            let text = String::from_utf8_lossy(&read.stdout).into_owned();
            assert!(read.status.success() && text.contains("--atomic") && text.contains("Examples:"), "{text}");
        }
        Err(_) => println!("skipped: `man` is not installed"),
    }
}
