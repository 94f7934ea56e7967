//! `rappel migrate`, through the front door.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn migrate(folder: &Path, options: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
    command.arg("migrate").arg(folder).args(options).env("HOME", folder).env_remove("ANSIBLE_CONFIG");
    let out = command.output().unwrap();
    (out.status.code(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

/// A repository with a playbook that can run, one that cannot, a role that both use and one that nobody does.
fn repository() -> TempDir {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    write(root, "ansible.cfg", "[defaults]\ninventory = hosts\nroles_path = roles\n");
    write(root, "hosts", "[web]\nweb1\nweb2\n");
    write(root, "site.yml", "- hosts: web\n  roles: [base]\n  tasks:\n    - greet: name=you\n    - debug: msg=hello\n");
    write(root, "library/greet", "#!/bin/sh\n. \"$1\"\necho \"{\\\"greeting\\\": \\\"hello $name\\\"}\"\n");
    write(
        root,
        "playbooks/old.yml",
        "- hosts: web\n  roles: [base]\n  tasks:\n    - acme.cloud.balancer: {name: x}\n    - debug: msg=\"{{ 'x' | shout }}\"\n      when: never | default(false)\n",
    );
    write(root, "filter_plugins/shout.py", "class FilterModule:\n    def filters(self):\n        return {'shout': str.upper}\n");
    write(root, "callback_plugins/chat.py", "# tells the chat\n");
    write(root, "roles/base/tasks/main.yml", "- include_tasks: \"{{ ansible_os_family }}.yml\"\n- copy: {content: x, dest: /tmp/x}\n");
    write(root, "roles/base/tasks/Debian.yml", "- apt: name=curl\n- acme.cloud.agent: {}\n");
    write(root, "roles/base/handlers/main.yml", "- name: again\n  service: name=x state=restarted\n");
    write(root, "roles/unused/tasks/main.yml", "- command: 'true'\n");
    write(root, "roles/base/templates/values.yml", "{{ this is no YAML\n");
    write(root, "group_vars/all.yml", "- hosts: nobody\n");
    folder
}

#[test]
fn a_repository_is_told_what_runs_what_goes_over_the_bridge_and_what_must_change() {
    let folder = repository();
    let (exit, text) = migrate(folder.path(), &[]);
    assert_eq!(exit, Some(1), "{text}");
    for part in [
        "error[unknown-module]: module `acme.cloud.balancer` is not supported",
        "playbooks/old.yml:4",
        "error[unknown-filter]: no filter named `shout`",
        "filter_plugins/shout.py",
        "roles/base/tasks/Debian.yml:2",
        "  greet  (library/greet)\n      site.yml:4",
        "note: callback_plugins/chat.py: callback plugins are written in Python, and not run",
        "1 of 2 playbooks can run as they are, some tasks over the bridge; 3 places must change",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let (exit, json) = migrate(folder.path(), &["--output", "json"]);
    let json: Json = serde_json::from_str(&json).unwrap();
    let parts: Vec<_> = json["parts"].as_array().unwrap().iter().collect();
    let part = |name: &str| parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("{name} is missing in {json:#}"));
    assert_eq!(exit, Some(1));
    let site = part("site.yml");
    assert_eq!((&site["kind"], &site["rappel"], &site["bridge"], &site["wrong"]), (&"playbook".into(), &4.into(), &1.into(), &0.into()));
    assert_eq!(part("playbooks/old.yml")["wrong"], 2);
    assert_eq!((part("roles/unused")["kind"].as_str(), part("roles/unused")["rappel"].as_i64()), (Some("role"), Some(1)));
    assert_eq!(part("roles/base/tasks/Debian.yml")["wrong"], 1, "what is included by a template is read too");
    assert_eq!(parts.len(), 4, "{json:#}");
}

#[test]
fn what_is_in_no_need_of_change_ends_with_success_and_what_is_no_repository_is_refused() {
    let folder = TempDir::new().unwrap();
    let (exit, text) = migrate(folder.path(), &[]);
    assert!(exit != Some(0) && text.contains("has neither playbooks nor roles"), "{text}");
    write(folder.path(), "site.yml", "- hosts: localhost\n  tasks:\n    - debug: msg=hello\n    - systemd: name=ssh\n");
    let (exit, text) = migrate(folder.path(), &[]);
    assert!(exit == Some(0) && text.contains("everything can run as it is; next: `rappel play --check --diff`"), "{text}");
    let (exit, text) = migrate(&folder.path().join("nowhere"), &[]);
    assert!(exit != Some(0) && text.contains("cannot read"), "{text}");
}

/// The playbooks that are shipped with it, of which everything is known to run.
#[test]
fn the_shipped_playbooks_need_no_change() {
    let (exit, text) = migrate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"), &[]);
    assert_eq!(exit, Some(0), "{text}");
}
