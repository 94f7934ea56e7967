//! `rappel deploy` and its sisters through the front door: hosts are folders of this machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// An environment of three hosts, whose playbooks keep a version in a file and a state file beside it.
struct Fleet(TempDir);

impl Fleet {
    fn new(more: &str) -> Self {
        let fleet = Self(tempfile::tempdir().unwrap());
        let root = fleet.0.path().display().to_string();
        fleet.write(
            "rappel.yml",
            &format!(
                "environments:\n  test:\n    inventory: hosts\n    hosts: web\n    become_root: false\n    \
                 playbooks: {{deploy: site.yml, rollback: back.yml, health: health.yml}}\n    \
                 coordinator_directory: {root}/coordinator\n    state_file: {root}/{{host}}/state.json\n    \
                 attempts: {{max: 2, wait: 0, timeout: 20}}\n    lock: {{lease: 20, heartbeat: 1}}\n    \
                 preflight: {{images: false, free_mb: 0}}\n    metrics: {{file: {root}/rappel.prom}}\n{more}"
            ),
        );
        fleet.write("hosts", "[web]\nweb1\nweb2\nweb3\n[web:vars]\nansible_connection=local\n");
        fleet.write("site.yml", &SITE.replace("ROOT", &root));
        fleet.write("back.yml", &BACK.replace("ROOT", &root));
        fleet.write("health.yml", &HEALTH.replace("ROOT", &root));
        for host in ["web1", "web2", "web3"] {
            fs::create_dir(fleet.0.path().join(host)).unwrap();
        }
        fleet
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }

    fn versions(&self) -> [String; 3] {
        ["web1", "web2", "web3"].map(|host| self.read(&format!("{host}/version")))
    }

    fn rappel(&self, arguments: &[&str]) -> (i32, String) {
        let out = command(self.0.path(), arguments).output().unwrap();
        (out.status.code().unwrap_or(-1), text(&out))
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
    command.args(arguments).current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("USER", "alice").env("RAPPEL_STATE_DIR", folder.join("state"));
    command
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

const SITE: &str = r#"
- name: Deploy
  hosts: web
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - block:
        - name: Release
          copy: {content: "{{ backend_image }}", dest: "ROOT/{{ inventory_hostname }}/version"}
        - name: "Check: the version is well"
          command: test ! -e "ROOT/{{ inventory_hostname }}/sick"
          changed_when: false
        - name: Record
          copy:
            content: '{"current_version": "{{ backend_image }}", "backend_image": "{{ backend_image }}", "frontend_image": "{{ frontend_image }}", "release": "{{ backend_image }}"}'
            dest: "ROOT/{{ inventory_hostname }}/state.json"
      rescue:
        - name: Take the old one back
          copy: {content: "r/b:1", dest: "ROOT/{{ inventory_hostname }}/version"}
"#;

const BACK: &str = r#"
- name: Go back
  hosts: web
  gather_facts: false
  tasks:
    - copy: {content: "{{ target_version }}", dest: "ROOT/{{ inventory_hostname }}/version"}
"#;

const HEALTH: &str = r#"
- name: Health
  hosts: web
  gather_facts: false
  tasks:
    - name: "Check: the version is there"
      command: test -e "ROOT/{{ inventory_hostname }}/version"
"#;

const ONE: [&str; 4] = ["deploy", "test", "backend_image=r/b:1", "frontend_image=r/f:1"];
const TWO: [&str; 3] = ["deploy", "test", "backend_image=r/b:2 frontend_image=r/f:2"];

#[test]
fn a_release_is_deployed_skipped_the_second_time_and_shown() {
    let fleet = Fleet::new("");
    let (exit, out) = fleet.rappel(&ONE);
    assert_eq!((exit, fleet.versions()), (0, ["r/b:1", "r/b:1", "r/b:1"].map(str::to_owned)), "{out}");
    let (exit, out) = fleet.rappel(&ONE);
    assert_eq!(exit, 0, "{out}");
    assert!(out.contains("every host is on this release, and healthy"), "{out}");
    let (exit, out) = fleet.rappel(&TWO);
    assert_eq!((exit, fleet.versions()[2].as_str()), (0, "r/b:2"), "{out}");
    let (exit, out) = fleet.rappel(&["status", "test"]);
    assert!(exit == 0 && out.matches("r/b:2").count() >= 3, "{out}");
    let (exit, out) = fleet.rappel(&["history", "test"]);
    assert!(exit == 0 && out.contains("by alice") && out.contains("nothing to do") && out.lines().count() == 3, "{out}");
    let (exit, out) = fleet.rappel(&["metrics", "test"]);
    assert!(exit == 0 && out.contains("deployment_success_total{environment=\"test\"} 2"), "{out}");
    let (exit, out) = fleet.rappel(&["rollback", "test", "--to", "r/b:1"]);
    assert_eq!((exit, fleet.versions()[0].as_str()), (0, "r/b:1"), "{out}");
}

#[test]
fn a_host_that_is_not_well_takes_the_whole_fleet_back() {
    let fleet = Fleet::new("");
    fleet.rappel(&ONE);
    fleet.write("web2/sick", "");
    let (exit, out) = fleet.rappel(&TWO);
    assert_eq!(exit, 3, "{out}");
    assert_eq!(fleet.versions(), ["r/b:1", "r/b:1", "r/b:1"].map(str::to_owned), "{out}");
    assert!(out.contains("the version is well"), "{out}");
}

#[test]
fn a_plan_and_a_preflight_change_nothing() {
    let fleet = Fleet::new("");
    let (exit, out) = fleet.rappel(&[&TWO[..], &["--plan-only"]].concat());
    assert_eq!((exit, fleet.versions()[0].as_str()), (0, ""), "{out}");
    let (exit, out) = fleet.rappel(&["preflight", "test"]);
    assert!(exit == 0 && out.contains("6 passed, 0 failed"), "{out}");
}

#[test]
fn a_first_deployment_of_units_can_be_planned() {
    let fleet = Fleet::new("");
    let (root, site) = (fleet.0.path().display(), concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/site.yml"));
    fleet.write(
        "vars.yml",
        &format!(
            "backend_image: shop:1\nfrontend_image: web:1\nbackend_port: 1\nfrontend_port: 2\ndeployment_become: false\n\
             deployment_runtime: process\ndeployment_service_manager: systemd\ndeployment_application: {}\n\
             deployment_minimum_free_mb: 0\ndeployment_disk_limit: 100\ndeployment_root: {root}/opt\n\
             deployment_state_file: {root}/state.json\ndeployment_marks_directory: {root}/marks\n",
            // No unit of this machine has this name.
            format_args!("rappel-test-{}", std::process::id()),
        ),
    );
    fleet.write("units", "[databases]\n[redis]\n[webservers]\nweb1 ansible_connection=local\n");
    let (code, said) = fleet.rappel(&["play", "--check", "-i", "units", "-e", "@vars.yml", site]);
    assert!(code == 0 && said.contains("Write the units"), "{said}");
    assert!(!fleet.0.path().join("opt").exists());
}

#[test]
fn a_lock_that_is_held_by_hand_keeps_deployments_waiting() {
    let fleet = Fleet::new("");
    let (exit, out) = fleet.rappel(&["lock", "test", "acquire", "--reason", "incident 42"]);
    assert!(exit == 0 && out.contains("ticket 1: held"), "{out}");
    let (exit, out) = fleet.rappel(&[&ONE[..], &["--lock-timeout", "1"]].concat());
    assert!(exit == 1 && out.contains("incident 42") && fleet.versions()[0].is_empty(), "{out}");
    let (_, out) = fleet.rappel(&["lock", "test"]);
    assert!(out.contains("held by ticket 1 (user alice") && out.lines().count() == 1, "who gave up is not in the queue: {out}");
    fleet.rappel(&["lock", "test", "release"]);
    let (exit, out) = fleet.rappel(&ONE);
    assert_eq!(exit, 0, "{out}");
}

#[test]
fn what_another_tool_left_is_named_and_nothing_is_lost() {
    for (content, why) in [("{ not json", "is not JSON"), ("{\"version\": 3}", "is JSON, but has no `current_version`")] {
        let fleet = Fleet::new("");
        fleet.rappel(&ONE);
        fleet.write("web2/state.json", content);
        let (exit, out) = fleet.rappel(&TWO);
        assert!(exit == 1 && out.contains(&format!("web2: {}/web2/state.json {why}", fleet.0.path().display())), "{exit} {out}");
        assert!(out.contains("nothing was changed: repair it, or move it away"), "{out}");
        assert_eq!((fleet.read("web2/state.json").as_str(), fleet.versions()[0].as_str()), (content, "r/b:1"));
        let (_, status) = fleet.rappel(&["status", "test"]);
        assert!(status.contains(why), "{status}");
    }
    let fleet = Fleet::new("");
    fs::create_dir(fleet.0.path().join("coordinator")).unwrap();
    fleet.write("coordinator/queue.json", "another tool's");
    let (exit, out) = fleet.rappel(&ONE);
    assert!(exit == 1 && out.contains("queue.json is not a lock queue") && out.contains("nothing was changed"), "{exit} {out}");
    assert_eq!(fleet.read("coordinator/queue.json"), "another tool's");
}

#[test]
fn a_prometheus_that_is_away_or_knows_nothing_stops_a_deployment_before_it_begins() {
    let gone = "    runners: [{name: r1}]\n    prometheus: {url: \"http://127.0.0.1:1\", timeout: 1}\n";
    let fleet = Fleet::new(gone);
    let (exit, out) = fleet.rappel(&ONE);
    assert!(
        exit == 1 && out.contains("no runner is fit: r1 is unknown: status: Prometheus: ") && out.contains("nothing was changed"),
        "{exit} {out}"
    );
    assert_eq!(fleet.versions()[0], "");
}

#[test]
fn environments_that_share_hosts_must_share_the_lock() {
    let fleet = Fleet::new("");
    let own = fleet.read("rappel.yml");
    let second = |place: &str| {
        let playbooks = "inventory: hosts\n    hosts: web\n    playbooks: {deploy: site.yml}";
        format!("{own}  other:\n    {playbooks}\n    coordinator_directory: {place}\n")
    };
    fleet.write("rappel.yml", &second("/var/lib/elsewhere"));
    for arguments in [vec!["config", "check"], ONE.to_vec()] {
        let (exit, out) = fleet.rappel(&arguments);
        assert!(exit == 1 && out.contains("`test` and `other` share the host `web1`, but not the lock"), "{exit} {out}");
    }
    assert_eq!(fleet.versions()[0], "");
    fleet.write("rappel.yml", &second(&fleet.0.path().join("coordinator").display().to_string()));
    let (exit, out) = fleet.rappel(&["config", "check"]);
    assert_eq!(exit, 0, "{out}");
}

#[test]
fn health_checks_that_take_too_long_roll_back() {
    let fleet = Fleet::new("    health: {deadline: 1}\n");
    fleet.rappel(&ONE);
    fleet.write("site.yml", &fleet.read("site.yml").replace("command: test !", "shell: sleep 20; test !"));
    let began = std::time::Instant::now();
    let (exit, out) = fleet.rappel(&TWO);
    assert!(exit == 3 && out.contains("the health checks took longer than 1 s (`health.deadline`)"), "{exit} {out}");
    assert_eq!(fleet.versions()[1], "r/b:1");
    assert!(began.elapsed() < std::time::Duration::from_secs(19), "{:?}", began.elapsed());
}

#[test]
fn mistakes_of_the_command_line_and_the_file_are_named() {
    let fleet = Fleet::new("    attemps: {max: 1}\n");
    for (arguments, code, part) in [
        (vec!["config", "check"], 1, "did you mean `attempts`?"),
        (vec!["deploy", "test", "nonsense"], 5, "expected NAME=VALUE, found `nonsense`"),
        (vec!["status", "test"], 1, "unknown key `attemps`"),
    ] {
        let (exit, out) = fleet.rappel(&arguments);
        assert!(exit == code && out.contains(part), "{arguments:?}: {exit} {out}");
    }
    let fleet = Fleet::new("");
    let (exit, out) = fleet.rappel(&["status", "tests"]);
    assert!(exit == 5 && out.contains("did you mean `test`?"), "{exit} {out}");
}
