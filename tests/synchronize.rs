//! `synchronize` through the front door, beside what rsync makes of the same directories.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Makes `from`, which is sent, and in each of `to` what is there before.
const SCENE: &str = "mkdir -p from/sub/deep from/.git from/empty && echo a > from/a && echo b > from/sub/b && chmod 750 from/sub && chmod 600 from/sub/b
    echo g > from/.git/config && ln -s a from/link && echo l > from/sub/x.log 
    for to in ours theirs; do mkdir -p $to/old $to/sub && echo old > $to/old/x && echo keep > $to/sub/keep.log && echo other > $to/a && ln -s nowhere $to/sub/b; done
    find ours theirs -exec touch -h -d '2021-01-02 03:04:05' {} + ; find from -exec touch -h -d '2020-01-02 03:04:05.678901234' {} +";

fn shell(folder: &Path, line: &str) -> String {
    let done = Command::new("bash").args(["-e", "-c", line]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn tree(folder: &Path, name: &str) -> String {
    shell(
        folder,
        &format!("cd {name} && find . -mindepth 1 \\( -type l -printf '%P %y %l %u\\n' -o -printf '%P %y %m %T@ %u %g\\n' \\) | sort"),
    )
}

fn play(folder: &Path, task: &str, options: &[&str]) -> String {
    fs::write(folder.join("hosts"), "h1 ansible_connection=local\n").unwrap();
    fs::write(folder.join("play.yml"), format!("- hosts: h1\n  gather_facts: false\n  tasks:\n    - {task}\n")).unwrap();
    let program = folder.join("ansible-playbook");
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &program); // there since the play before
    let mut command = Command::new(program);
    let done = command.args(["-i", "hosts", "play.yml"]).args(options).current_dir(folder).env("HOME", folder).output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
}

#[test]
fn trees_are_those_of_rsync() {
    if Command::new("rsync").arg("--version").output().is_err() {
        println!("skipped: rsync is not installed");
        return;
    }
    for (rsync, task) in [
        ("-a from/ theirs", "{src: from/, dest: 'ROOT/ours'}"),
        (
            "-a --delete --exclude=.git --exclude=*.log from/ theirs",
            "{src: from/, dest: 'ROOT/ours', delete: true, rsync_opts: ['--exclude=.git', '--exclude=*.log']}",
        ),
        ("-a from theirs/", "{src: from, dest: 'ROOT/ours/'}"),
        ("-a --existing from/ theirs", "{src: from/, dest: 'ROOT/ours', existing_only: true}"),
        (
            "-a -L --delete --chmod=D755,F644 from/ theirs",
            "{src: from/, dest: 'ROOT/ours', copy_links: true, delete: true, rsync_opts: ['--chmod=D755,F644']}",
        ),
        ("-a from/a theirs/named", "{src: from/a, dest: 'ROOT/ours/named'}"),
        ("-a --delete from/ theirs", "{src: 'ROOT/from/', dest: 'ROOT/ours', delete: true}\n      delegate_to: h1"),
        ("-a from/ theirs", "{src: 'ROOT/from/', dest: ours, mode: pull}"),
        (
            "-a --delete --exclude=.git --exclude=*.log from/ theirs",
            "{src: 'ROOT/from/', dest: ours/, mode: pull, delete: true, rsync_opts: ['--exclude=.git', '--exclude=*.log']}",
        ),
        ("-a -L from theirs/", "{src: 'ROOT/from', dest: 'ROOT/ours/', mode: pull, copy_links: true}"),
        ("-a from/a theirs/named", "{src: 'ROOT/from/a', dest: ours/named, mode: pull}"),
    ] {
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        shell(root, SCENE);
        let task = format!("synchronize: {}", task.replace("ROOT", &root.display().to_string()));
        shell(root, &format!("rsync {rsync}"));
        let before = tree(root, "ours");
        let predicted = play(root, &task, &["--check"]);
        assert!(predicted.contains("changed=1 "), "{task}\n{predicted}");
        assert_eq!(tree(root, "ours"), before, "{task}: a dry run touches nothing");
        let told = play(root, &task, &[]);
        assert!(told.contains("changed=1 "), "{task}\n{told}");
        assert_eq!(tree(root, "ours"), tree(root, "theirs"), "{task}\n{told}");
        let told = play(root, &task, &[]);
        assert!(told.contains("ok=1 ") && told.contains("changed=0 "), "{task}: again\n{told}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    shell(folder.path(), SCENE);
    for (task, expected) in [
        ("{src: /a/, dest: /b, mode: other}", "value of mode must be one of: push, pull, got: other"),
        ("{src: from/, dest: /b, rsync_opts: ['--bwlimit=10']}", "`--bwlimit=10` is not supported"),
        ("{src: from/, dest: /b, link_dest: [/c]}", "`link_dest` of synchronize is not supported"),
        ("{src: from/, dest: /b}\n      delegate_to: other", "synchronize between `other` and `h1` is not supported"),
    ] {
        let told = play(folder.path(), &format!("ansible.posix.synchronize: {task}"), &[]);
        assert!(told.contains(expected), "{task}\n{told}");
    }
}
