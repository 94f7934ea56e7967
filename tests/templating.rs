//! Variables, lookups and templates as a playbook sees them, through the front door. Each playbook proves itself with `assert`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const HOSTS: &str = "[web]\nh1 colour=red\nh2 colour=blue\n[db]\nh2\nh3\n[all:vars]\nansible_connection=local\n";

/// Files that stand beside every playbook.
const FILES: &[(&str, &str)] = &[
    ("vars/red.yml", "shade: dark\n"),
    ("vars/other.yml", "shade: light\n"),
    ("templates/outer.j2", "a {% include 'inner.j2' %}!\n"),
    ("templates/inner.j2", "b\n"),
    ("templates/data.j2", "{{ {'one': 1} }}"),
    ("templates/odd.j2", "<< inventory_hostname >>"),
    ("files/my.ini", "[main]\nuser = me\n[other]\nuser = %(login)s\nlogin = you\n"),
    ("files/table.csv", "k,v\nfoo,\"b, c\"\n"),
];

fn run_as(name: &str, playbook: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(&folder.path().join("hosts"), HOSTS);
    write(&folder.path().join("play.yml"), playbook);
    FILES.iter().for_each(|(path, text)| write(&folder.path().join(path), text));
    let program = folder.path().join(name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &program).unwrap();
    let mut command = Command::new(&program);
    if name == "rappel" {
        command.arg("play");
    }
    command.args(["-i", "hosts", "play.yml"]).current_dir(folder.path()).env("HOME", folder.path()).output().unwrap()
}

fn works_as(name: &str, tasks: &str) {
    let playbook = format!("- hosts: all\n  gather_facts: false\n  vars: {{secret_of_play: 1}}\n  tasks:\n{tasks}");
    let done = run_as(name, &playbook);
    let shown = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{playbook}\n{shown}");
}

/// Recorded from ansible-core 2.19: what each of these asserts holds there too.
#[test]
fn variables_are_what_ansible_makes_of_them() {
    let conditions = [
        "hostvars.keys() | list == ['h1', 'h2', 'h3']",
        "hostvars.h2.colour == 'blue' and hostvars.h2.inventory_hostname == 'h2'",
        "hostvars.h2.secret_of_play is undefined and hostvars.h2.hostvars is undefined and hostvars.h2.vars is undefined",
        "hostvars.h2.ansible_play_hosts is undefined and hostvars.h2.group_names == ['db', 'web']",
        "hostvars.h2 | length > 5 and hostvars | to_json | length > 100",
        "vars.secret_of_play == 1 and vars.vars is undefined and vars | to_json | length > 100",
        "ansible_host == inventory_hostname",
        "lookup('varnames', '^secret_.+') == 'secret_of_play'",
        "q('inventory_hostnames', 'web:!db') == ['h1'] and q('inventory_hostnames', 'web:&db') == ['h2']",
        "lookup('ini', 'user', section='main', file='my.ini') == 'me'",
        "lookup('ini', 'user section=other file=my.ini') == 'you'",
        "lookup('csvfile', 'foo', file='table.csv', delimiter=',') == 'b, c'",
        "lookup('first_found', ['vars/nope.yml', 'vars/red.yml']) is search('vars/red.yml')",
        "lookup('template', 'outer.j2') == 'a b!\\n'",
        "lookup('template', 'data.j2') == {'one': 1}",
        "lookup('template', 'odd.j2', variable_start_string='<<', variable_end_string='>>') == inventory_hostname",
        "'//a' | normpath == '//a' and '//a/../..' | normpath == '//' and '///a' | normpath == '/a'",
        "'~root' | expanduser == '/root' and '~nosuch/x' | expanduser == '~nosuch/x'",
        "'//srv/share/x' | win_splitdrive | list == ['//srv/share', '/x']",
        "'a?>>~~' | b64encode(urlsafe=true) == 'YT8-Pn5-' and 'YT8-Pn5-' | b64decode(urlsafe=true) == 'a?>>~~'",
        "none | combine == {} and [{'a': 1}, {'b': 2}] | combine == {'a': 1, 'b': 2}",
        "['a', 'A'] | unique == ['a'] and [{'x': 1}, {'x': 1}] | unique == [{'x': 1}]",
    ];
    let list: String = conditions.iter().map(|condition| format!("          - {}\n", serde_json::to_string(condition).unwrap())).collect();
    works_as("rappel", &format!("    - assert:\n        that:\n{list}"));
}

#[test]
fn names_of_set_fact_may_be_templates() {
    works_as(
        "rappel",
        "    - set_fact: {\"{{ item }}_path\": \"/srv/{{ item }}\"}
      loop: [a, b]
    - assert: {that: [a_path == '/srv/a', b_path == '/srv/b']}
",
    );
}

#[test]
fn files_of_variables_may_be_chosen_per_host() {
    let playbook = "- hosts: web
  gather_facts: false
  serial: \"{{ nobody_sets_this | default(omit) }}\"
  vars: {names: ['vars/{{ colour }}.yml', 'vars/other.yml']}
  vars_files: [\"{{ lookup('first_found', names) }}\"]
  tasks:
    - assert:
        that:
          - \"shade == {'h1': 'dark', 'h2': 'light'}[inventory_hostname]\"
          - ansible_play_batch | length == 2
";
    let done = run_as("rappel", playbook);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
}

/// Playbooks from before 2.19 have such conditions, and tests that expect a template's mistake to fail its task.
#[test]
fn old_conditions_hold_as_ansible_playbook() {
    let tasks = "    - set_fact: {seen: yes}
      when: colour | default('none')
    - assert: {that: [seen, \"not ''\"]}
    - debug: {msg: \"{{ lookup('env', 'A' default='x') }}\"}
      ignore_errors: true
      register: broken
    - debug: {msg: \"{{ 1 | no_such_filter }}\"}
      ignore_errors: true
      register: unknown
    - assert: {that: [broken is failed, unknown is failed]}
    - assert: {that: [not (broken.colour is false), not (broken.colour is true)]}
";
    works_as("ansible-playbook", tasks);
    let done = run_as("rappel", &format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"));
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(4), "{errors}");
    assert!(errors.contains("syntax error in template") && errors.contains("no filter named `no_such_filter`"), "{errors}");
    let condition = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: x}\n      when: \"'text'\"\n";
    assert_eq!(run_as("rappel", condition).status.code(), Some(2));
}

#[test]
fn conditions_with_templates_in_them_mean_what_they_say() {
    let vars = "{name: web, one: 1, never: false, word: 'false', truth: 'True', text: 1 == 1}";
    let mut tasks = String::new();
    for (index, (condition, _)) in CONDITIONS.iter().enumerate() {
        tasks += &format!("    - debug: {{msg: 'ran {index}.'}}\n      when: \"{condition}\"\n      ignore_errors: true\n");
    }
    let playbook = format!("- hosts: all\n  gather_facts: false\n  vars: {vars}\n  tasks:\n{tasks}");
    let folder = tempfile::tempdir().unwrap();
    let (_, text) = crate::support::ansible_playbook(folder.path(), &playbook, &[], &[]);
    for (index, (condition, runs)) in CONDITIONS.iter().enumerate() {
        assert_eq!(text.contains(&format!("ran {index}.\"")), *runs, "{condition}: {text}");
    }
    assert!(text.contains("the condition's template gives the text `1 == 1`, and no boolean"), "{text}");
}

/// Conditions, and whether they hold.
const CONDITIONS: [(&str, bool); 14] = [
    ("{{", false),
    ("{{ one", false),
    ("{{ one }} == 1", true),
    ("{{ one }} == 2", false),
    ("{{ name }} == 'web'", true),
    ("not {{ never }}", true),
    ("{{ never }} or {{ never }}", false),
    ("one == {{ one }} and name == '{{ name }}'", true),
    ("name == '{{ one }}'", false),
    ("{{ never }}", false),
    ("{{ word }}", false),
    ("{{ truth }}", true),
    ("{{ text }}", false),
    ("{% if one == 2 %}True{% else %}False{% endif %}", false),
];

#[test]
fn lookups_that_moved_to_a_collection_are_known_there() {
    let playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: \"{{ q('community.general.flattened', [1, [2, 3]]) }} {{ item }}\"}\n      with_community.general.flattened: [[a]]\n";
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = crate::support::ansible_playbook(folder.path(), playbook, &[], &[]);
    assert!(code == 0 && text.contains("[1, 2, 3] a"), "{code} {text}");
}
