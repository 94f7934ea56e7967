//! Transactions from a playbook: what belongs to them, how far they go, and what undoing leaves.

use std::fs;

use tempfile::TempDir;

use super::{Run, run_in};

const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];

/// A play whose first task writes `new` to each host's file; `more` comes in the same transaction.
fn release(head: &str, terms: &str, more: &str, rest: &str) -> String {
    format!(
        "- hosts: live
  gather_facts: false
{head}  tasks:
    - block:
        - copy: {{content: \"new\\n\", dest: \"{{{{ root }}}}/{{{{ inventory_hostname }}}}\"}}
          notify: restart
{more}      vars: {{rappel_transaction: {terms}}}
{rest}"
    )
}

const FAIL: &str = "        - fail: {msg: boom}\n          when: inventory_hostname == 'h3'\n";
const HANDLER: &str = "  handlers:
    - name: restart
      shell: \"cat {{ root }}/{{ inventory_hostname }} >> {{ root }}/{{ inventory_hostname }}.log\"
";

fn old() -> TempDir {
    let folder = TempDir::new().unwrap();
    HOSTS.iter().for_each(|host| fs::write(folder.path().join(host), "old\n").unwrap());
    folder
}

fn content(folder: &TempDir, what: &str) -> Vec<String> {
    HOSTS.iter().map(|host| fs::read_to_string(folder.path().join(format!("{host}{what}"))).unwrap_or_default()).collect()
}

fn play(folder: &TempDir, playbook: &str) -> Run {
    run_in(folder, "rappel", playbook, &[])
}

#[test]
fn handlers_run_inside_and_before_what_follows() {
    let folder = old();
    let rest = format!("    - debug: {{msg: \"after: {{{{ lookup('file', root ~ '/h1.log') }}}}\"}}\n{HANDLER}");
    let run = play(&folder, &release("", "{scope: fleet}", "", &rest));
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.has("after: new"), "{}", run.stdout);
    assert_eq!(content(&folder, ".log"), ["new\n"; 4]);
}

#[test]
fn handlers_of_an_undone_change_are_forgotten_and_those_that_ran_run_again() {
    let folder = old();
    let run = play(&folder, &release("", "{}", FAIL, HANDLER));
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert_eq!(content(&folder, ""), ["old\n"; 4]);
    assert_eq!(content(&folder, ".log"), [""; 4], "a handler that has not run has nothing to make up for");
    let folder = old();
    let more = format!("        - meta: flush_handlers\n{FAIL}");
    let run = play(&folder, &release("", "{}", &more, HANDLER));
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert_eq!(content(&folder, ".log"), ["new\nold\n"; 4]);
}

#[test]
fn a_rescue_is_no_part_of_what_is_undone() {
    let folder = old();
    let rescue = "      rescue:
        - copy: {content: \"old\\n\", dest: \"{{ root }}/{{ inventory_hostname }}\"}
        - copy: {content: \"bad\\n\", dest: \"{{ root }}/{{ inventory_hostname }}.mark\"}
";
    let run = play(&folder, &release("", "{}", FAIL, &format!("{rescue}{HANDLER}")));
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert_eq!(content(&folder, ""), ["old\n"; 4]);
    assert_eq!(content(&folder, ".mark"), ["bad\n"; 4]);
    assert!(!run.has("left alone"), "{}", run.stdout);
}

#[test]
fn batches_before_go_back_too() {
    for (terms, wanted) in [("{scope: fleet}", ["old\n"; 4]), ("{scope: batch}", ["new\n", "new\n", "old\n", "old\n"])] {
        let folder = old();
        let run = play(&folder, &release("  serial: 2\n", terms, FAIL, HANDLER));
        assert_eq!(run.code, 3, "{terms}: {}{}", run.stdout, run.stderr);
        assert_eq!(content(&folder, ""), wanted, "{terms}: {}", run.stdout);
    }
    let folder = old();
    let run = play(&folder, &release("  serial: 2\n", "{scope: fleet}", "", HANDLER));
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(content(&folder, ""), ["new\n"; 4]);
    assert_eq!(run.stdout.matches("TRANSACTION [").count(), 1, "{}", run.stdout);
}

#[test]
fn a_transaction_may_be_each_hosts_own() {
    let folder = old();
    let rest = format!("    - debug: {{msg: \"after on {{{{ inventory_hostname }}}}\"}}\n{HANDLER}");
    // Each host has a journal of its own: on one machine the user is the same, so one host at a time. A batch that is lost ends
    // the play, so `h4` is not begun.
    let run = play(&folder, &release("  serial: 1\n", "{scope: host}", FAIL, &rest));
    assert_eq!(content(&folder, ""), ["new\n", "new\n", "old\n", "old\n"], "{}{}", run.stdout, run.stderr);
    assert!(run.has("after on h2") && !run.has("after on h3"), "{}", run.stdout);
}

#[test]
fn a_task_may_bring_its_own_undo() {
    let folder = old();
    let more = format!(
        "        - shell: \"echo more >> {{{{ root }}}}/{{{{ inventory_hostname }}}}.log\"
          vars: {{rappel_undo: {{file: {{path: \"{{{{ root }}}}/{{{{ inventory_hostname }}}}.log\", state: absent}}}}}}
{FAIL}"
    );
    let run = play(&folder, &release("", "{}", &more, HANDLER));
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert_eq!(content(&folder, ".log"), [""; 4]);
    assert!(run.has("`file` of `rappel_undo`") && !run.has("cannot be undone"), "{}", run.stdout);
    let folder = old();
    let wrong = more.replace("file: {path: \"{{ root }}/{{ inventory_hostname }}.log\", state: absent}", "copy: {src: x, dest: /x}");
    let run = play(&folder, &release("", "{}", &wrong, HANDLER));
    assert!(run.stderr.contains("`copy` cannot be a `rappel_undo`"), "{}", run.stderr);
    assert_eq!(content(&folder, ""), ["old\n"; 4], "found before the first change");
}

#[test]
fn terms_that_make_no_sense_change_nothing() {
    for (terms, said) in [
        ("{scope: galaxy}", "`scope`: expected `fleet`, `batch` or `host`, found `galaxy`"),
        ("{scoop: fleet}", "did you mean `scope`?"),
        ("{confirm_within: soon}", "`confirm_within`: expected a number of seconds, found `soon`"),
        ("fleet", "`rappel_transaction`: expected a mapping, found a string"),
    ] {
        let folder = old();
        let run = play(&folder, &release("", terms, "", HANDLER));
        assert_eq!(run.code, 1, "{terms}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(said), "{terms}: {}", run.stderr);
        assert_eq!(content(&folder, ""), ["old\n"; 4], "{terms}");
    }
}
