//! The rest of the table of failures: what Ansible does in a plain playbook, and where `rappel play` stops instead.

use super::{run, run_as};

fn play(hosts: &str, head: &str, tasks: &str) -> String {
    format!(
        "- hosts: {hosts}\n  gather_facts: false\n{head}  tasks:\n{tasks}- hosts: live\n  gather_facts: false\n  tasks:\n    - debug: {{msg: second play}}\n"
    )
}

const REACH: &str = "    - block:
        - ping:
        - debug: {msg: goes on}
      rescue:
        - debug: {msg: \"rollback on {{ inventory_hostname }}\"}
      always:
        - debug: {msg: \"always on {{ inventory_hostname }}\"}
    - debug: {msg: after}
";

const FAILS: &str = "    - block:
        - debug: {msg: \"deploy on {{ inventory_hostname }}\"}
        - fail: {msg: boom}
          when: inventory_hostname == 'WHO'
        - debug: {msg: \"goes on on {{ inventory_hostname }}\"}
      rescue:
        - debug: {msg: \"rollback on {{ inventory_hostname }}\"}
    - debug: {msg: \"after on {{ inventory_hostname }}\"}
";

#[test]
fn an_unreachable_host_drops_out_of_a_plain_block() {
    let run = run(&play("withdead", "", REACH));
    assert_eq!(run.code, 4, "{}{}", run.stdout, run.stderr);
    assert!(run.has("goes on") && run.has("after") && run.has("second play") && !run.has("rollback"), "{}", run.stdout);
    assert!(run.has("always on h2") && !run.has("always on dead"), "{}", run.stdout);
}

#[test]
fn an_unreachable_host_rolls_the_others_back_where_errors_are_fatal() {
    let run = run(&play("withdead", "  any_errors_fatal: true\n", REACH));
    assert_eq!(run.code, 4, "{}{}", run.stdout, run.stderr);
    assert!(run.has("rollback on h1") && run.has("rollback on h2") && run.has("always on h2"), "{}", run.stdout);
    assert!(!run.has("goes on") && !run.has("after") && !run.has("second play"), "{}", run.stdout);
    let verdict = |host: &str| run.stdout.lines().any(|line| line.starts_with(host) && line.contains("unknown"));
    assert!(verdict("dead ") && !verdict("h1 "), "{}", run.stdout);
}

#[test]
fn a_rescue_hides_the_failure_limit_but_not_in_a_transaction() {
    let playbook = play("live", "  max_fail_percentage: 0\n", &FAILS.replace("WHO", "h1"));
    let plain = run(&playbook);
    assert_eq!(plain.code, 0, "{}{}", plain.stdout, plain.stderr);
    assert!(plain.has("goes on on h2") && plain.has("after on h1") && plain.has("second play"), "{}", plain.stdout);
    let atomic = run_as("rappel", &playbook, &["--atomic"]);
    assert_eq!(atomic.code, 3, "{}{}", atomic.stdout, atomic.stderr);
    assert!(atomic.has("rollback on h4") && !atomic.has("goes on") && !atomic.has("after on"), "{}", atomic.stdout);
}

#[test]
fn a_failure_in_a_later_batch_takes_the_earlier_ones_back_in_a_transaction_only() {
    let playbook = play("live", "  serial: 2\n  any_errors_fatal: true\n", &FAILS.replace("WHO", "h3"));
    let plain = run(&playbook);
    assert_eq!(plain.code, 3, "{}{}", plain.stdout, plain.stderr);
    assert!(plain.has("rollback on h4") && !plain.has("rollback on h1") && plain.has("after on h1"), "{}", plain.stdout);
    let atomic = run_as("rappel", &playbook, &["--atomic"]);
    assert_eq!(atomic.code, 3, "{}{}", atomic.stdout, atomic.stderr);
    for host in ["h1", "h2", "h3", "h4"] {
        assert!(atomic.has(&format!("rollback on {host}")), "{host}: {}", atomic.stdout);
    }
    assert!(!atomic.has("second play"), "{}", atomic.stdout);
}

#[test]
fn an_unreachable_host_in_one_batch_keeps_the_next_from_starting() {
    let tasks = "    - block:\n        - ping:\n        - debug: {msg: \"deployed on {{ inventory_hostname }}\"}\n      rescue:\n        - debug: {msg: \"rollback on {{ inventory_hostname }}\"}\n";
    let run = run(&play("h1:dead:h2:h3", "  serial: 2\n  order: sorted\n  any_errors_fatal: true\n", tasks));
    assert_eq!(run.code, 4, "{}{}", run.stdout, run.stderr);
    assert!(run.has("rollback on h1") && !run.has("deployed on h2") && !run.has("second play"), "{}", run.stdout);
}

#[test]
fn a_plain_failure_in_one_batch_leaves_the_next_alone() {
    let tasks =
        "    - fail: {msg: boom}\n      when: inventory_hostname == 'h1'\n    - debug: {msg: \"deployed on {{ inventory_hostname }}\"}\n";
    let run = run(&play("live", "  serial: 2\n", tasks));
    assert_eq!(run.code, 2, "{}{}", run.stdout, run.stderr);
    for host in ["h2", "h3", "h4"] {
        assert!(run.has(&format!("deployed on {host}")), "{}", run.stdout);
    }
    assert!(!run.has("deployed on h1"), "{}", run.stdout);
}

#[test]
fn a_rescue_that_fails_loses_the_handlers_of_its_host() {
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
        - fail: {msg: rethrow}
    - debug: {msg: \"after on {{ inventory_hostname }}\"}
  handlers:
    - name: restart
      debug: {msg: \"restarted on {{ inventory_hostname }}\"}
");
    assert_eq!(run.code, 2, "{}", run.stdout);
    assert!(!run.has("restarted on h1") && run.has("restarted on h2") && !run.has("after on h1"), "{}", run.stdout);
}

#[test]
fn cleared_host_errors_are_no_success() {
    let unreachable = run(&play(
        "withdead",
        "",
        "    - ping:\n    - meta: clear_host_errors\n    - debug: {msg: \"after on {{ inventory_hostname }}\"}\n",
    ));
    assert!(unreachable.has("after on h1"), "{}", unreachable.stdout);
    let playbook = play("withdead", "", "    - ping:\n    - meta: clear_host_errors\n");
    let atomic = run_as("rappel", &playbook, &["--atomic"]);
    assert_eq!(atomic.code, 4, "nothing lowers a transaction's verdict: {}{}", atomic.stdout, atomic.stderr);
}

#[test]
fn clearing_host_errors_does_not_bring_a_failed_host_back() {
    let tasks = "    - fail:\n      when: inventory_hostname == 'h1'\n    - meta: clear_host_errors\n    - debug: {msg: \"after on {{ inventory_hostname }}\"}\n";
    let run = run(&play("live", "", tasks));
    assert_eq!(run.code, 2, "{}", run.stdout);
    assert!(!run.has("after on h1") && run.has("after on h2"), "{}", run.stdout);
}

#[test]
fn an_unreachable_host_fails_what_runs_once() {
    let tasks = "    - block:\n        - ping:\n          run_once: true\n      rescue:\n        - debug: {msg: rollback}\n    - debug: {msg: \"after on {{ inventory_hostname }}\"}\n";
    let run = run(&play("dead:h1:h2", "", tasks));
    assert_eq!(run.code, 4, "{}", run.stdout);
}

#[test]
fn hosts_that_go_on_by_themselves_cannot_go_back_together() {
    for head in ["  any_errors_fatal: true\n", "  vars: {rappel_transaction: {scope: fleet}}\n"] {
        let playbook = play("live", &format!("  strategy: free\n{head}"), "    - debug: {msg: ran}\n");
        let run = run(&playbook);
        assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains("strategy: free") && run.stderr.contains("play.yml:3"), "{}", run.stderr);
        assert!(!run.has("ran"), "{}", run.stdout);
    }
    let playbook = play("live", "  strategy: free\n  any_errors_fatal: true\n", "    - debug: {msg: ran}\n");
    assert_eq!(run_as("ansible-playbook", &playbook, &[]).code, 0);
}

#[test]
fn hosts_that_cannot_be_rescued_do_not_keep_the_others_from_it() {
    let tasks = "    - block:
        - block:
            - fail: {msg: boom}
              when: inventory_hostname == 'h1'
            - debug: {msg: \"goes on on {{ inventory_hostname }}\"}
      rescue:
        - debug: {msg: \"rollback on {{ inventory_hostname }}\"}
        - fail: {msg: rethrow}
          when: inventory_hostname == 'h1'
    - debug: {msg: after}
";
    let atomic = run_as("rappel", &play("live", "  max_fail_percentage: 0\n", tasks), &["--atomic"]);
    assert_eq!(atomic.code, 6, "{}{}", atomic.stdout, atomic.stderr);
    for host in ["h1", "h2", "h3", "h4"] {
        assert!(atomic.has(&format!("rollback on {host}")), "{host}: {}", atomic.stdout);
    }
    assert!(!atomic.has("goes on") && !atomic.has("after"), "{}", atomic.stdout);
}
