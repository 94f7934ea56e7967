//! What failures lead to: rescue, roll-back, stop; through the front door, on local hosts.

mod fleet;
mod rows;

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const HOSTS: &str = "[live]\nh1\nh2\nh3\nh4\n[live:vars]\nansible_connection=local\n
[gone]\ndead ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-F none -o ConnectTimeout=2'
[withdead]\nh1\nh2\ndead\n[all:vars]\nroot='{{ playbook_dir }}'\n";

struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    /// `ok failed rescued` of a host.
    fn recap(&self, host: &str) -> String {
        let line = self.stdout.lines().find(|line| line.starts_with(&format!("{host} ")) && line.contains("ok=")).unwrap_or_default();
        let value = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap_or("?").to_owned();
        format!("{} {} {}", value("ok="), value("failed="), value("rescued="))
    }

    fn has(&self, text: &str) -> bool {
        self.stdout.contains(text)
    }
}

/// Runs `playbook` by the program under the name `name`.
fn run_as(name: &str, playbook: &str, options: &[&str]) -> Run {
    run_in(&TempDir::new().unwrap(), name, playbook, options)
}

/// The same in a folder that can be looked at afterwards.
fn run_in(folder: &TempDir, name: &str, playbook: &str, options: &[&str]) -> Run {
    fs::write(folder.path().join("hosts"), HOSTS).unwrap();
    fs::write(folder.path().join("play.yml"), playbook).unwrap();
    let program = folder.path().join(name);
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &program); // there from the run before
    let mut command = Command::new(&program);
    if name == "rappel" {
        command.arg("play");
    }
    let done = command
        .args(["-i", "hosts", "play.yml"])
        .args(options)
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("RAPPEL_STATE_DIR", state(folder.path()))
        .output()
        .unwrap();
    Run {
        code: done.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

fn state(folder: &Path) -> std::path::PathBuf {
    folder.join("state")
}

fn run(playbook: &str) -> Run {
    run_as("rappel", playbook, &[])
}

const FATAL: &str = "
- hosts: live
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - block:
        - fail: {msg: boom}
          when: inventory_hostname == 'h1'
        - debug: {msg: NEVER}
      rescue:
        - debug: {msg: \"rollback on {{ inventory_hostname }}, {{ ansible_failed_task.name }} on {{ rappel_failed_host }}\"}
      always:
        - debug: {msg: in any case}
    - debug: {msg: after}
- hosts: live
  gather_facts: false
  tasks:
    - debug: {msg: second play}
";

#[test]
fn a_fatal_failure_rolls_all_hosts_back_and_stops() {
    let run = run(FATAL);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    for host in ["h1", "h2", "h3", "h4"] {
        assert!(run.has(&format!("rollback on {host}, fail on h1")), "{}", run.stdout);
    }
    assert!(run.has("in any case"));
    assert!(!run.has("NEVER") && !run.has("after") && !run.has("second play"), "{}", run.stdout);
    assert_eq!([run.recap("h1"), run.recap("h2")], ["2 0 1", "2 0 0"]);
}

#[test]
fn a_fatal_failure_goes_on_as_ansible_playbook() {
    let run = run_as("ansible-playbook", FATAL, &[]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.has("rollback on h4") && run.has("after") && run.has("second play"), "{}", run.stdout);
}

#[test]
fn without_any_errors_fatal_only_the_failed_host_rescues() {
    let run = run(&FATAL.replace("any_errors_fatal: true", "any_errors_fatal: false"));
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.has("rollback on h1") && !run.has("rollback on h2") && run.has("NEVER") && run.has("second play"));
}

#[test]
fn a_rescue_that_fails_is_told_apart() {
    let run = run(&FATAL.replace(
        "        - debug: {msg: \"rollback",
        "        - fail: {msg: no way back}\n          when: inventory_hostname == 'h2'\n        - debug: {msg: \"rollback",
    ));
    assert_eq!(run.code, 6, "{}{}", run.stdout, run.stderr);
    assert!(run.has("rollback on h3") && !run.has("rollback on h2"), "{}", run.stdout);
}

#[test]
fn the_failure_limit_holds_with_always() {
    let run = run("
- hosts: live
  gather_facts: false
  max_fail_percentage: 0
  tasks:
    - block:
        - fail: {msg: boom}
          when: inventory_hostname == 'h1'
        - debug: {msg: goes on}
      always:
        - debug: {msg: in any case}
    - debug: {msg: after}
");
    assert_eq!(run.code, 2, "{}", run.stdout);
    assert!(run.has("in any case") && !run.has("goes on") && !run.has("after"), "{}", run.stdout);
}

#[test]
fn a_failure_of_run_once_is_everybodys() {
    let run = run("
- hosts: live
  gather_facts: false
  tasks:
    - block:
        - fail: {msg: boom}
          run_once: true
      rescue:
        - debug: {msg: \"rollback on {{ inventory_hostname }}\"}
");
    assert_eq!(run.code, 0, "{}", run.stdout);
    for host in ["h1", "h2", "h3", "h4"] {
        assert!(run.has(&format!("rollback on {host}")), "{}", run.stdout);
    }
}

#[test]
fn handlers_of_a_rescued_host_still_run() {
    let run = run("
- hosts: live
  gather_facts: false
  tasks:
    - block:
        - command: /bin/true
          notify: restart
        - fail: {msg: boom}
          when: inventory_hostname == 'h1'
      rescue:
        - debug: {msg: rescued}
  handlers:
    - name: restart
      debug: {msg: \"restarted on {{ inventory_hostname }}\"}
");
    assert_eq!(run.code, 0, "{}", run.stdout);
    assert!(run.has("restarted on h1") && run.has("restarted on h4"), "{}", run.stdout);
}

#[test]
fn an_undefined_variable_is_a_failure_that_a_rescue_catches() {
    let run = run("
- hosts: live
  gather_facts: false
  tasks:
    - block:
        - debug: {msg: \"{{ nope.x }}\"}
      rescue:
        - debug: {msg: rescued}
");
    assert_eq!((run.code, run.recap("h1").as_str()), (0, "1 0 1"), "{}", run.stdout);
}

#[test]
fn free_and_atomic_exclude_each_other() {
    let run = run_as("rappel", "- hosts: live\n  strategy: free\n  tasks: []\n", &["--atomic"]);
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("hosts that go back together go in step"), "{}", run.stderr);
}

#[test]
fn results_come_in_the_order_of_hosts() {
    let run = run("
- hosts: live
  gather_facts: false
  tasks:
    - shell: \"sleep 0.{{ 4 - groups.live.index(inventory_hostname) }}\"
      changed_when: false
");
    let order: Vec<&str> =
        run.stdout.lines().filter_map(|line| line.strip_prefix("ok: [")).filter_map(|rest| rest.split(']').next()).collect();
    assert_eq!(order, ["h1", "h2", "h3", "h4"], "{}", run.stdout);
}

#[test]
fn an_atomic_play_undoes_what_was_done_on_every_host() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    for host in ["h1", "h2", "h3", "h4"] {
        fs::write(folder.path().join(host), "old\n").unwrap();
    }
    let playbook = format!(
        "
- hosts: h1
  gather_facts: false
  tasks:
    - copy: {{content: \"new\\n\", dest: \"{path}/{{{{ inventory_hostname }}}}\"}}
    - file: {{path: \"{path}/made\", state: directory}}
    - fail: {{msg: boom}}
"
    );
    let run = run_as("rappel", &playbook, &["--atomic"]);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert_eq!(fs::read_to_string(folder.path().join("h1")).unwrap(), "old\n");
    assert!(!folder.path().join("made").exists());
    let good = run_as("rappel", &playbook.replace("    - fail: {msg: boom}\n", ""), &["--atomic"]);
    assert_eq!(good.code, 0, "{}{}", good.stdout, good.stderr);
    assert_eq!(fs::read_to_string(folder.path().join("h1")).unwrap(), "new\n");
}

const MISTAKES: &str = "
- hosts: h1
  gather_facts: false
  tasks:
    - file: {path: /nonexistent, colour: red}
      register: wrong
      ignore_errors: true
      when: never | default(true)
    - assert:
        that:
          - wrong is failed
          - \"wrong.msg is match('Unsupported parameters for .file. module: colour. Supported parameters include: ')\"
    - file: {state: touch, mode: '0644'}
      when: false
    - action: \"{{ what }} msg='by a name that a template gives'\"
      vars: {what: debug}
";

#[test]
fn a_tasks_own_mistakes_fail_it_as_ansible_playbook() {
    let run = run_as("ansible-playbook", MISTAKES, &[]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.has("by a name that a template gives"), "{}", run.stdout);
}

#[test]
fn a_tasks_own_mistakes_stop_rappel_before_any_host() {
    let run = run(MISTAKES);
    assert_eq!(run.code, 4, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("unknown parameter `colour` for module `file`"), "{}", run.stderr);
    assert!(run.stderr.contains("module `file` needs the parameter `path`"), "{}", run.stderr);
    assert!(!run.has("TASK"), "{}", run.stdout);
}

#[test]
fn a_condition_of_any_value_holds_as_ansible_playbook() {
    let playbook = "
- hosts: h1
  gather_facts: false
  tasks:
    - debug: {msg: taken}
      when: \"'text'\"
";
    assert!(run_as("ansible-playbook", playbook, &[]).has("taken"));
    assert!(!run(playbook).has("\"taken\""));
}

const ONCE_AND_LATE: &str = "
- hosts: live
  gather_facts: false
  tasks:
    - debug: {msg: left out}
    - name: begin here
      set_fact: {shared: 1}
      run_once: true
    - debug: {msg: \"{{ inventory_hostname }} has {{ shared }}\"}
      changed_when: inventory_hostname == 'h2'
      notify: tell
    - fail: {msg: boom}
      when: inventory_hostname == 'h2'
  handlers:
    - name: tell
      debug: {msg: told by force}
";

#[test]
fn a_run_starts_at_a_task_and_forces_handlers() {
    let run = run_as("ansible-playbook", ONCE_AND_LATE, &["--start-at-task", "begin *", "--force-handlers"]);
    assert!(!run.has("left out") && run.has("h3 has 1") && run.has("told by force"), "{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, 2, "{}", run.stdout);
}

#[test]
fn a_failure_points_at_its_task() {
    let playbook = "- hosts: live\n  gather_facts: false\n  tasks:\n    - command: test {{ inventory_hostname }} = {{ item }}\n      \
                    loop: [h1, h1]\n      when: inventory_hostname in ['h1', 'h2', 'h3']\n    - command: cat /none/PASSWORD\n      no_log: true\n";
    let done = run(playbook);
    assert_eq!(done.code, 2, "{}", done.stdout);
    let expected = "\
error[task-failed]: non-zero return code
 --> play.yml:4:7
  |
4 |     - command: test {{ inventory_hostname }} = {{ item }}
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = on h2, h3
";
    assert_eq!(done.stderr.trim(), expected.trim(), "a task with `no_log` is not shown");
    assert!(done.has("censored"), "{}", done.stdout);
    assert_eq!(run_as("ansible-playbook", playbook, &[]).stderr, "");
}
