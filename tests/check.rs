//! `rappel check` and `rappel explain`, through the front door.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use tempfile::TempDir;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn check(folder: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
    command.args(["check", "-i", "hosts", "site.yml"]).args(options).current_dir(folder).env("HOME", folder);
    command.output().unwrap()
}

fn project(site: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "hosts", "[web]\nw1 port=80\nw2\n[db]\nd1 port=1\n");
    write(folder.path(), "site.yml", site);
    folder
}

/// `severity code line message` of each finding.
fn findings(folder: &Path, options: &[&str]) -> Vec<String> {
    let done = check(folder, &[options, &["--output", "json"]].concat());
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let shown = found["findings"].as_array().unwrap().iter().map(|finding| {
        let label = &finding["labels"][0];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let place = format!("{}:{}", text(&label["file"]), label["line"]);
        format!("{} {} {place} {}", text(&finding["severity"]), text(&finding["code"]), text(&finding["message"]))
    });
    shown.collect()
}

#[test]
fn variables_are_looked_for_by_host_and_by_the_way_to_them() {
    let folder = project(
        "- hosts: all
  gather_facts: false
  vars:
    used: '{{ deeper }}'
    never: 1
  tasks:
    - debug: msg='{{ used }} {{ maybe | default(1) }} {{ inventory_hostname }}'
    - debug: msg='{{ port }}'
    - debug: msg='{{ other }}'
      when: other is defined
    - command: 'true'
      register: done
    - debug: msg='{{ done.rc }} {{ dnoe }}'
    - debug: msg='{{ item }} {{ absent }}'
      loop: [1]
    - include_tasks: more.yml
",
    );
    write(folder.path(), "more.yml", "- debug: msg='{{ in_more }}'\n- set_fact: {later: 1}\n- debug: var=later\n");
    assert_eq!(
        findings(folder.path(), &[]),
        [
            "error undefined-variable site.yml:4 `deeper` is undefined",
            "error undefined-variable site.yml:8 `port` is undefined on w2",
            "error undefined-variable site.yml:13 `dnoe` is undefined",
            "error undefined-variable more.yml:1 `in_more` is undefined",
            "warning unused-variable site.yml:5 nothing uses the variable `never` of the play",
            "warning undefined-variable site.yml:14 `absent` is undefined",
        ]
    );
}

#[test]
fn handlers_files_plugins_and_names_are_looked_for() {
    let folder = project(
        "- hosts: all
  gather_facts: false
  tasks:
    - copy: {src: nothere, dest: /tmp/x}
    - template: {src: bad.j2, dest: /tmp/x}
      notify: [restart x, Known]
    - debug: msg=\"{{ 'x' | shiny }} {{ [1] | map('uper') | list }} {{ lookup('etcd3', 1) }}\"
    - include_tasks: gone.yml
    - copi: {}
    - file: {pth: x}
    - ping:
      becom: true
  handlers:
    - name: known
      debug: msg=x
    - name: second
      debug: msg=x
      listen: Known
",
    );
    write(folder.path(), "templates/bad.j2", "{% if x %}{{ y }");
    write(folder.path(), "filter_plugins/own.py", "class FilterModule:\n    def filters(self):\n        return {'shiny': 1}\n");
    let found = findings(folder.path(), &[]);
    for expected in [
        "error file-not-found site.yml:4 cannot find `nothere` on the controller",
        "error unknown-handler site.yml:6 no handler is called `restart x`, and none listens to it",
        "error unknown-filter site.yml:7 no filter named `shiny`",
        "error unknown-filter site.yml:7 no filter named `uper`",
        "error unknown-lookup site.yml:7 no lookup named `etcd3`",
        "error file-not-found site.yml:8 cannot find the task file `gone.yml`",
        "error unknown-module site.yml:9 module `copi` is not supported",
        "error unknown-parameter site.yml:10 unknown parameter `pth` for module `file`",
        "warning unreachable-handler site.yml:14 nothing notifies this handler",
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected}: {found:#?}");
    }
    for part in ["template-syntax templates/bad.j2", "unknown-keyword site.yml:12"] {
        assert!(found.iter().any(|line| line.contains(part.split(' ').next_back().unwrap())), "{part}: {found:#?}");
    }
    let text = String::from_utf8(check(folder.path(), &[]).stdout).unwrap();
    assert!(text.contains("it is written in Python, in `filter_plugins/own.py`") || text.contains("filter_plugins/own.py"), "{text}");
}

#[test]
fn what_cannot_be_undone_is_named_in_a_transaction_alone() {
    let site = "- hosts: all
  gather_facts: false
  tasks:
    - shell: rm -rf /srv/old
    - command: uptime
      changed_when: false
    - copy: {content: x, dest: /srv/x}
";
    let folder = project(site);
    assert_eq!(findings(folder.path(), &[]), [""; 0]);
    let found = findings(folder.path(), &["--atomic"]);
    assert_eq!(found, ["warning irreversible site.yml:4 what `shell` does cannot be undone, and this is a transaction"]);
    assert_eq!(check(folder.path(), &["--atomic"]).status.code(), Some(0));
    assert_eq!(check(folder.path(), &["--atomic", "--strict"]).status.code(), Some(1));
}

#[test]
fn codes_are_explained() {
    let explain = |code: &str| Command::new(env!("CARGO_BIN_EXE_rappel")).args(["explain", code]).output().unwrap();
    assert!(String::from_utf8(explain("undefined-variable").stdout).unwrap().contains("defined nowhere"));
    let unknown = explain("undefined-varable");
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("did you mean `undefined-variable`?"));
    assert_eq!(unknown.status.code(), Some(5));
}

/// Every code in the sources has its explanation.
#[test]
fn no_code_is_without_explanation() {
    let mut missing = Vec::new();
    let mut folders = vec![Path::new("src").to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for start in ["Diagnostic::error(", "Diagnostic::warning(", "Error::new("] {
                for rest in code.split(start).skip(1) {
                    let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
                    let name = rest.split('"').next().unwrap_or_default();
                    if rappel::check::explain(name).is_err() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-') {
                        missing.push(format!("{}: {name}", path.display()));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn ten_thousand_tasks_are_checked_soon() {
    let mut site = String::from("- hosts: all\n  gather_facts: false\n  vars: {greeting: hello}\n  tasks:\n");
    for number in 0..10_000 {
        writeln!(
            site,
            "    - name: task {number}\n      debug:\n        msg: \"{{{{ greeting }}}} {{{{ inventory_hostname | upper }}}} {number}\""
        )
        .unwrap();
    }
    let folder = project(&site);
    let begun = Instant::now();
    assert_eq!(findings(folder.path(), &[]), [""; 0]);
    // The promise is one second for an optimised build; this one is not.
    let limit = if cfg!(debug_assertions) { 30.0 } else { 1.0 };
    assert!(begun.elapsed().as_secs_f64() < limit, "{:?}", begun.elapsed());
}

#[test]
fn what_cannot_be_read_in_a_variable_that_nothing_surely_uses_is_a_warning() {
    let folder = project(
        "- hosts: all
  gather_facts: false
  vars_files: [vars.yml]
  tasks:
    - debug: msg='{{ used }}'
    - debug: msg='{{ perhaps }}'
      when: inventory_hostname == 'nobody'
",
    );
    write(folder.path(), "vars.yml", "used: '{{ a: b }}'\nperhaps: ['{{ c: d }}']\nspare: '{{ e: f }}'\n");
    let message = "syntax error in template: unexpected `:`, expected end of variable block";
    assert_eq!(
        findings(folder.path(), &[]),
        [
            format!("error template-syntax vars.yml:1 {message}"),
            format!("warning template-syntax vars.yml:2 {message}"),
            format!("warning template-syntax vars.yml:3 {message}"),
        ]
    );
}

#[test]
fn what_a_template_may_not_come_to_is_a_warning() {
    let folder = project(
        r#"- hosts: all
  gather_facts: false
  vars: {client: localhost, empty: [], way: "{{ far if client != 'localhost' else 1 }}"}
  tasks:
    - debug: msg="{{ 'root' if client == 'localhost' else user }} {{ way }}"
    - debug: msg="{% if empty %}{{ one | nofilter }}{% elif two is notest %}{% endif %}"
    - debug: msg="{% for item in empty if three %}{{ four }}{% endfor %}{{ client or five }}"
    - debug: msg="{{ client | default(six) }}{{ empty | ternary(1, seven) }}{{ [1, eight] | first }}"
    - debug: msg="{% macro m(a) %}{% endmacro %}{{ m(nine) }}{% set x = ten %}"
    - debug: msg="{% if eleven %}{% endif %}{{ twelve if 1 in thirteen }}{% for x in fourteen %}{% endfor %}"
"#,
    );
    let found = findings(folder.path(), &[]);
    let of = |severity: &str| -> Vec<String> {
        let of = found.iter().filter(|finding| finding.starts_with(severity));
        of.map(|finding| finding.split('`').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(of("error"), ["eleven", "thirteen", "fourteen"]);
    let maybe =
        ["far", "user", "one", "nofilter", "two", "notest", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"];
    assert_eq!(of("warning"), maybe);
}

#[test]
fn parameters_that_may_be_omitted_exclude_nothing() {
    let folder = project(
        "- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: /x, src: '{{ port | default(omit) }}', content: '{{ inventory_hostname }}'}
    - copy: {dest: /x, src: '{{ port | default(omit) }}', content: x}
    - copy: {dest: /x, src: '{% if port is defined %}a{% endif %}', content: ~}
    - copy: {dest: /x, src: 'x{{ port }}', content: x}
",
    );
    let found = findings(folder.path(), &[]);
    let rules: Vec<_> = found.iter().filter(|finding| finding.contains("parameter-rule")).collect();
    assert_eq!(rules, ["error parameter-rule site.yml:7 module `copy`: parameters `src`, `content` exclude each other"]);
}
