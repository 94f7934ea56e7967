//! Facts through the front door: gathered for each host, with the defaults of the module that gathers them.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), place.0.path().join("ansible-playbook")).unwrap();
        fs::write(place.0.path().join("hosts"), "h1 ansible_connection=local\nh2 ansible_connection=local\n").unwrap();
        place
    }

    /// Whether a playbook ran to its end, and what it printed.
    fn run(&self, playbook: &str) -> (bool, String) {
        let folder = self.0.path();
        fs::write(folder.join("play.yml"), playbook).unwrap();
        let mut command = Command::new(folder.join("ansible-playbook"));
        command.args(["-i", "hosts", "play.yml"]).current_dir(folder).env("HOME", folder);
        let done = command.output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }
}

#[test]
fn facts_are_of_one_host_each() {
    const PLAY: &str = "- hosts: h1,h2\n  run_once: true\n  gather_subset: ['!all', '!min', 'date_time']\n  tasks:\n    - assert:\n        that:\n          \
         - hostvars.h1.ansible_facts.date_time is defined\n          - hostvars.h2.ansible_facts.date_time is defined\n";
    let place = Place::new();
    let (good, text) = place.run(PLAY);
    assert!(good && text.contains("ok: [h1]\nok: [h2]"), "{text}");
}

#[test]
fn gathering_takes_the_defaults_of_setup() {
    const PLAY: &str = "- hosts: h1\n  gather_facts: false\n  tasks:\n    - gather_facts:\n      module_defaults: {setup: {gather_subset: '!all'}}\n    \
        - assert: {that: \"ansible_facts.gather_subset == ['!all']\"}\n    - gather_facts: {gather_subset: min}\n      \
        module_defaults: {setup: {gather_subset: '!all'}}\n    - assert: {that: \"ansible_facts.gather_subset == ['min']\"}\n";
    let (good, text) = Place::new().run(PLAY);
    assert!(good, "{text}");
}

#[test]
fn other_modules_may_gather() {
    const PLAY: &str = "- hosts: h1\n  gather_facts: false\n  tasks:\n    - gather_facts: {gather_subset: '!all'}\n      vars: {ansible_facts_modules: [smart, ansible.builtin.service_facts]}\n    \
        - assert: {that: [ansible_facts.kernel is defined, ansible_facts.services is defined]}\n    - gather_facts:\n      \
        vars: {ansible_facts_modules: 'setup, getent'}\n      ignore_errors: true\n      register: broken\n    \
        - assert: {that: [\"broken.msg == 'The following modules failed to execute: getent.'\"]}\n";
    let (good, text) = Place::new().run(PLAY);
    assert!(good, "{text}");
}

#[test]
fn a_sealed_file_without_a_password_is_named() {
    const PLAY: &str = "- hosts: h1\n  gather_facts: false\n  tasks:\n    - copy: {src: sealed, dest: '{{ playbook_dir }}/out'}\n";
    let place = Place::new();
    fs::copy("tests/fixtures/vault/default.yml", place.0.path().join("sealed")).unwrap();
    let (good, text) = place.run(PLAY);
    let sealed = place.0.path().join("sealed").display().to_string();
    assert!(!good && text.contains(&format!("A vault password or secret must be specified to decrypt {sealed}")), "{text}");
}

#[test]
fn empty_conditions_hold_as_ansible_playbook() {
    const PLAY: &str = "- hosts: h1\n  gather_facts: false\n  tasks:\n    - assert: {that: [1 == 1, null, '']}\n";
    let (good, text) = Place::new().run(PLAY);
    assert!(good, "{text}");
}
