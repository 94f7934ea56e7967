//! What playbooks are made of, where the answer is an exit status or a message: includes, imports, roles, delegation, the terminal.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use crate::support::ansible_playbook as run_in;

/// Runs `playbook` beside `files` under the name of `ansible-playbook`: the exit status, and what was printed.
fn run(playbook: &str, files: &[(&str, &str)], arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    run_in(folder.path(), playbook, arguments, variables)
}

fn play(tasks: &str) -> String {
    format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")
}

#[test]
fn files_that_cannot_be_read_end_the_run() {
    let rescued = |include: &str| play(&format!("    - block:\n        - {include}\n      rescue:\n        - debug: {{msg: rescued}}\n"));
    let files = [
        ("broken.yml", "- debug: msg=[\n  x: : y\n"),
        ("unknown.yml", "- no.such.module:\n"),
        ("mapping.yml", "a: b\n"),
        ("roles/r/tasks/main.yml", "- no.such.module:\n"),
        ("broken.json", "{\"a\": b c}}"),
    ];
    for (include, code) in [
        ("include_tasks: broken.yml", 4),
        ("include_tasks: unknown.yml", 4),
        ("include_role: {name: r}", 4),
        ("include_tasks: mapping.yml", 0),
        ("include_tasks: nowhere.yml", 0),
        ("include_role: {name: nobody}", 0),
    ] {
        let (found, text) = run(&rescued(include), &files, &[], &[]);
        assert!(found == code && text.contains("rescued\"") == (code == 0), "{include}: {found} {text}");
    }
    let (code, text) = run("- hosts: all\n  gather_facts: false\n  vars_files: [broken.json]\n  tasks: []\n", &files, &[], &[]);
    assert!(code == 4 && text.contains("JSON: "), "{code} {text}");
}

#[test]
fn what_may_not_be_asked_for_is_told_in_ansibles_words() {
    let files = [("roles/r/tasks/main.yml", "- debug: {msg: r}\n"), ("roles/o/tasks/main.yml", "- debug: {msg: o}\n"), ("t.yml", "[]\n")];
    for (task, says) in [
        ("meta: end_role", "ERROR! Cannot execute 'end_role' from outside of a role"),
        ("import_tasks: {file: t.yml, apply: {tags: x}}", "ERROR! Invalid options for import_tasks: apply"),
        ("import_role: {name: r, apply: {tags: x}}", "ERROR! Invalid options for import_role: apply"),
        ("include_role: {name: r, vars_from: [a]}", "ERROR! Expected a string for vars_from but got a list"),
        ("import_role: {name: r, tasks_from: nope}", "ERROR! Could not find specified file in role: tasks/nope"),
        ("import_role: {name: r, tasks_from: ../../o/tasks/main.yml}", "as it is not inside the expected role path"),
    ] {
        let (code, text) = run(&play(&format!("    - {task}\n")), &files, &[], &[]);
        assert!(code == 4 && text.contains(says), "{task}: {code} {text}");
    }
}

#[test]
fn whom_a_task_is_delegated_to_is_known_before_its_condition() {
    let tasks = "    - debug: {msg: x}\n      delegate_to: \"{{ nobody }}\"\n      vars: {nobody: ''}\n      when: false\n";
    let (code, text) = run(&play(tasks), &[], &[], &[]);
    assert!(code == 2 && text.contains("Empty hostname produced from delegate_to: \\\"{{ nobody }}\\\""), "{code} {text}");
}

#[test]
fn a_fresh_inventory_keeps_what_tasks_added() {
    let tasks = "    - add_host: {name: more, groups: mine}\n    - group_by: {key: grouped}\n    - meta: refresh_inventory\n    - debug: {msg: \"{{ groups.mine }} {{ groups.grouped }}\"}\n";
    let (_, text) = run(&play(tasks), &[], &[], &[]);
    assert!(text.contains("['more'] ['localhost']"), "{text}");
}

#[test]
fn keys_given_twice_are_what_the_configuration_says() {
    let playbook = "- hosts: all\n  gather_facts: false\n  vars: {a: 1, a: 2}\n  tasks: []\n";
    let says = "found a duplicate dict key (a)";
    for (wish, code, told) in [("warn", 0, true), ("error", 4, true), ("ignore", 0, false)] {
        let (found, text) = run(playbook, &[], &[], &[("ANSIBLE_DUPLICATE_YAML_DICT_KEY", wish)]);
        assert!(found == code && text.contains(says) == told, "{wish}: {found} {text}");
    }
}

#[test]
fn words_without_a_value_are_no_mistake_of_extra_variables() {
    let (code, text) = run(&play("    - debug: {msg: \"{{ a }} {{ _raw_params }}\"}\n"), &[], &["-e", "a=1 b: c"], &[]);
    assert!(code == 0 && text.contains("1 b: c"), "{code} {text}");
}

#[test]
fn with_much_verbosity_results_tell_what_was_asked_for() {
    let tasks = "    - ping: {data: told}\n      register: r\n    - debug: {msg: \"{{ r.invocation is defined }}\"}\n    - user: {name: root, password: '$6$x'}\n      check_mode: true\n    - copy: {content: s3ntinel, dest: /nowhere}\n      check_mode: true\n      ignore_errors: true\n";
    let (_, text) = run(&play(tasks), &[], &["-vvv"], &[]);
    assert!(text.contains("\"module_args\": {\n            \"data\": \"told\"\n        }") && text.contains("\"msg\": false"), "{text}");
    for name in ["password", "content"] {
        assert!(text.contains(&format!("\"{name}\": \"VALUE_SPECIFIED_IN_NO_LOG_PARAMETER\"")), "{name}: {text}");
    }
    assert!(!text.contains("s3ntinel"), "{text}");
    let (_, text) = run(&play(tasks), &[], &["-vv"], &[]);
    assert!(!text.contains("module_args"), "{text}");
}

#[test]
fn options_of_the_connection_can_be_looked_up() {
    let tasks = "    - debug: {msg: \"{{ q('config', 'remote_user', 'port', plugin_type='connection', plugin_name='ssh') }} {{ lookup('config', 'ssh_common_args', plugin_type='connection', plugin_name='ssh', show_origin=true) }}\"}\n      vars: {ansible_ssh_user: lola, ansible_port: 2022}\n";
    let (_, text) = run(&play(tasks), &[], &[], &[("ANSIBLE_SSH_COMMON_ARGS", "-v")]);
    assert!(text.contains("['lola', 2022] ['-v', 'default']"), "{text}");
}

#[test]
fn a_template_ends_with_as_many_line_ends_as_its_file() {
    let files = [("t.j2", "{% for x in [1] %}\n    {% if x %}\na\n    {% endif %}\n{% endfor %}\n")];
    let tasks = "    - debug: {msg: \"{{ lookup('template', 't.j2') | to_json }}\"}\n";
    let (_, text) = run(&play(tasks), &files, &[], &[]);
    assert!(text.contains(r#""\"    a\\n    \\n\"""#), "{text}");
}

#[test]
fn inventories_that_are_not_there_are_told_in_ansibles_words() {
    let list = [("ANSIBLE_INVENTORY_ENABLED", "advanced_host_list")];
    let (_, text) = run("- hosts: all\n  gather_facts: false\n  tasks: []\n", &[], &["-i", "h[1:5]", "-i", "h[1:],"], &list);
    assert!(text.contains("as an inventory source") && text.contains("No inventory was parsed"), "{text}");
    assert!(text.contains("Unable to parse address from hostname, leaving unchanged: host range must specify end value"), "{text}");
}

#[test]
fn a_pause_at_the_terminal_sees_every_key() {
    let inner = play("    - pause:\n      register: r\n    - debug: {msg: \"went on with <{{ r.user_input }}>\"}\n");
    for (keys, says, code) in
        [("typed", "went on with <typed>", 0), ("\\u0003c", "went on with <>", 0), ("\\u0003a", "user requested abort!", 2)]
    {
        let command = "./ansible-playbook -i localhost, -c local inner.yml";
        let tasks = format!(
            "    - expect:\n        command: {command}\n        timeout: 20\n        responses: {{'Press enter to continue': \"{keys}\"}}\n      register: r\n      failed_when: false\n    - debug: {{msg: \"rc {{{{ r.rc }}}} {{{{ r.stdout }}}}\"}}\n"
        );
        let (_, text) = run(&play(&tasks), &[("inner.yml", &inner)], &[], &[]);
        assert!(text.contains(says) && text.contains(&format!("rc {code}")), "{keys}: {text}");
    }
}

#[test]
fn mappings_of_several_inventories_merge_where_the_configuration_says_so() {
    let files =
        [("one.yml", "all: {hosts: {h: {box: {a: 1, deep: {x: 1}}}}}\n"), ("two.yml", "all: {hosts: {h: {box: {a: 2, deep: {y: 2}}}}}\n")];
    let playbook = "- hosts: h\n  gather_facts: false\n  tasks:\n    - debug: {msg: \"{{ box | to_json }}\"}\n";
    let inventories = ["-i", "one.yml", "-i", "two.yml"];
    let (_, text) = run(playbook, &files, &inventories, &[("ANSIBLE_HASH_BEHAVIOUR", "merge")]);
    assert!(text.contains(r#"{\"a\": 2, \"deep\": {\"x\": 1, \"y\": 2}}"#), "{text}");
    let (_, text) = run(playbook, &files, &inventories, &[]);
    assert!(text.contains(r#"{\"a\": 2, \"deep\": {\"y\": 2}}"#), "{text}");
}

#[test]
fn templates_come_in_the_encoding_and_with_the_mode_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("t.j2"), "{{ 'é€' }}").unwrap();
    let tasks = "    - template: {src: t.j2, dest: ./out, output_encoding: windows-1252, mode: preserve}\n    - template: {src: t.j2, dest: ./no, output_encoding: latin-1}\n";
    let (code, text) = run_in(folder.path(), &play(tasks), &[], &[]);
    assert!(code == 2 && text.contains("can't encode"), "{code} {text}");
    assert_eq!(fs::read(folder.path().join("out")).unwrap(), [0xe9, 0x80]);
}

#[test]
fn two_passwords_of_one_id_are_a_choice() {
    let folder = TempDir::new().unwrap();
    for name in ["one", "two", "plain"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let vault = folder.path().join("ansible-vault");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &vault).unwrap();
    let done = Command::new(vault)
        .args(["encrypt", "--vault-id", "one", "--vault-id", "two", "plain"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(5), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(fs::read(folder.path().join("plain")).unwrap(), b"plain");
}

#[test]
fn a_broken_failure_limit_is_told_once() {
    let tasks = "    - fail: {msg: no}\n    - debug: {msg: never}\n";
    let (code, text) = run(&play(tasks).replace("  tasks:", "  max_fail_percentage: 0\n  tasks:"), &[], &[], &[]);
    assert!(code == 2 && text.matches("NO MORE HOSTS LEFT").count() == 1, "{code} {text}");
    let (code, text) = run(&play(tasks), &[], &[], &[]);
    assert!(code == 2 && !text.contains("NO MORE HOSTS LEFT"), "{code} {text}");
}

#[test]
fn a_range_is_a_list() {
    let (code, text) = run(&play("    - debug: {msg: \"is {{ item }}\"}\n      loop: \"{{ range(2) }}\"\n"), &[], &[], &[]);
    assert!(code == 0 && text.contains("is 0") && text.contains("is 1"), "{code} {text}");
}

#[test]
fn a_log_is_kept_where_the_configuration_names_one() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("ansible.cfg"), "[defaults]\nlog_path = logs/run.log\n").unwrap();
    let tasks = play("    - command: echo hidden\n      no_log: true\n    - fail: {msg: \"two\\nlines\"}\n");
    let (code, text) = run_in(folder.path(), &tasks, &[], &[]);
    assert!(code == 2 && text.contains("cannot write the log `") && text.contains("logs/run.log`"), "{code} {text}");
    fs::create_dir(folder.path().join("logs")).unwrap();
    for runs in 1..=2 {
        run_in(folder.path(), &tasks, &["-v"], &[("USER", "lola"), ("LOGNAME", "lola"), ("ANSIBLE_FORCE_COLOR", "1")]);
        let path = folder.path().join("logs/run.log");
        let log = fs::read_to_string(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(log.matches(" n=ansible INFO| TASK [fail] ***").count(), runs, "{log}");
        assert!(log.lines().all(|line| line.contains(" u=lola n=ansible ") && !line.contains('\x1b')), "{log}");
        assert!(log.contains("| PLAY RECAP ***") && log.contains("'no_log: true'") && !log.contains("hidden\""), "{log}");
    }
}

#[test]
fn a_setting_of_a_wrong_type_says_which_and_where_from() {
    let playbook = play("    - ping:\n");
    for (variables, files, says) in [
        (vec![("ANSIBLE_TIMEOUT", "lola")], vec![], "expected a whole number for `ANSIBLE_TIMEOUT` in the environment, found `lola`"),
        (vec![], vec![("ansible.cfg", "[defaults]\ntimeout = lola\n")], "expected a whole number for `timeout`, found `lola`"),
    ] {
        let (code, text) = run(&playbook, &files, &[], &variables);
        assert!(code == 4 && text.contains(says) && text.contains("seconds that connecting may take"), "{code} {text}");
        assert!(files.iter().all(|(name, _)| text.contains("line 2, column 11") && text.contains(name)), "{text}");
    }
}

#[test]
fn variables_with_the_names_of_keywords_are_told() {
    let tasks = "    - set_fact: {when: 1, vars: 2, fine: 3}\n    - ping:\n      register: loop_control\n      vars: {retries: 1}\n    - include_vars: more.yml\n";
    let head = "- hosts: all\n  gather_facts: false\n  vars: {port: 80, lookup: x}\n  tasks:\n";
    let files = [("more.yml", "poll: 1\n"), ("group_vars/all.yml", "become: 1\n")];
    let (code, text) = run(&format!("{head}{tasks}"), &files, &[], &[]);
    let mut told: Vec<_> = text.lines().filter_map(|line| line.split("reserved name: ").nth(1)).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!((code, told), (0, vec!["become", "lookup", "loop_control", "poll", "port", "retries", "when"]), "{text}");
}
