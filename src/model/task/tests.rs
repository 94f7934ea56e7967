//! Tables: every form in which a task can be written, and what is said of those that are none.

use super::*;
use crate::text::yaml;

fn read(text: &str) -> (Vec<Item>, Vec<Diagnostic>, String) {
    let sources = Sources::default();
    let id = sources.add("tasks.yml", text);
    let mut diags = Diagnostics::default();
    let node = yaml::parse_one(&sources, id, &mut diags).unwrap();
    (items(&node, Level::Task, &sources, &mut diags), diags.into_vec(), text.to_owned())
}

fn show(node: &Node) -> String {
    match &node.kind {
        NodeKind::Str(text) => text.clone(),
        NodeKind::Seq(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        NodeKind::Map(map) => {
            format!("{{{}}}", map.iter().map(|(key, value)| format!("{}: {}", show(key), show(value))).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// A task in one line: module, parameters, free text, whole template, loop, keywords.
fn line(task: &Task) -> String {
    let args = &task.action.args;
    let mut line = task.action.module.value.clone();
    line.extend(args.params.iter().map(|(name, value)| format!(" {}={}", name.value, show(value))));
    line.extend(args.free.iter().map(|free| format!(" free<{}>", show(free))));
    line.extend(args.whole.iter().map(|whole| format!(" whole<{}>", show(whole))));
    line.extend(task.with.iter().map(|(name, value)| format!(" with_{}:{}", name.value, show(value))));
    line.extend(task.keywords.0.iter().map(|(keyword, value)| format!(" {}:{}", keyword.value.name(), show(value))));
    line
}

#[test]
fn every_form_of_a_task() {
    for (text, expected) in [
        ("- debug: msg=hi", "debug msg=hi"),
        ("- debug: {msg: hi}", "debug msg=hi"),
        ("- debug:", "debug"),
        ("- debug: {msg: hi}\n  args: {msg: no, verbosity: 1}", "debug msg=hi verbosity=Int(1)"),
        ("- debug: '{{ d }}'", "debug whole<{{ d }}>"),
        ("- debug:\n  args: '{{ d }}'", "debug whole<{{ d }}>"),
        ("- debug: msg='{{ x }} y' verbosity=0", "debug msg={{ x }} y verbosity=0"),
        ("- command: '{{ cmd }}'", "command free<{{ cmd }}>"),
        ("- ansible.builtin.shell: echo a=b chdir=/tmp  creates='/a b'", "ansible.builtin.shell chdir=/tmp creates=/a b free<echo a=b>"),
        ("- shell: |\n    one  two\n    three | four\n", "shell free<one  two\nthree | four\n>"),
        ("- command: {cmd: ls, chdir: /}", "command cmd=ls chdir=/"),
        ("- command: {_raw_params: ls}", "command free<ls>"),
        ("- command: {argv: [ls, -l]}", "command argv=[ls, -l]"),
        ("- action: copy src=a dest=b", "copy src=a dest=b"),
        ("- action: copy\n  args: {src: a}", "copy src=a"),
        ("- action: {module: copy, src: a}", "copy src=a"),
        ("- action: {module: copy src=a, dest: b}", "copy src=a dest=b"),
        ("- action: '{{ pkg_mgr }} name=x'", "{{ pkg_mgr }} name=x"),
        ("- local_action: command ls -l", "command free<ls -l> delegate_to:localhost"),
        ("- local_action: {module: copy, src: a}\n  delegate_to: other", "copy src=a delegate_to:other"),
        ("- meta: flush_handlers", "meta free<flush_handlers>"),
        ("- set_fact: a=1 b='x y'", "set_fact a=1 b=x y"),
        ("- include_tasks: '{{ f }}.yml'", "include_tasks free<{{ f }}.yml>"),
        ("- include_tasks: {file: a.yml, apply: {tags: x}}", "include_tasks file=a.yml apply={tags: x}"),
        ("- import_role: name=web tasks_from=x", "import_role name=web tasks_from=x"),
        ("- gather_facts:", "gather_facts"),
        (
            "- apt: name={{ item }} state=present\n  with_items: [a, b]\n  when: x",
            "apt name={{ item }} state=present with_items:[a, b] when:x",
        ),
        ("- debug: {msg: hi}\n  with_community.general.flattened: x", "debug msg=hi with_community.general.flattened:x"),
        ("- name: n\n  become: 'yes'\n  ping:\n  loop:\n  tags: a,b\n  vars: {x: 1}", "ping name:n become:yes tags:a,b vars:{x: Int(1)}"),
        (
            "- ping:\n  retries: '3'\n  delay: 0.5\n  until: [a, b]\n  no_log: '{{ q }}'",
            "ping retries:3 delay:Float(0.5) until:[a, b] no_log:{{ q }}",
        ),
    ] {
        let (items, diags, _) = read(text);
        let lines: Vec<_> = items.iter().map(|item| if let Item::Task(task) = item { line(task) } else { "block".into() }).collect();
        assert_eq!((lines, diags), (vec![expected.to_owned()], vec![]), "{text}");
    }
}

#[test]
fn mistakes() {
    for (text, code, at) in [
        ("- name: nothing", "no-action", "name: nothing"),
        ("- ping:\n  command: ls", "conflicting-actions", "ping"),
        ("- ping:\n  wen: x", "unknown-keyword", "wen"),
        ("- frob: x\n  becom: yes", "unknown-keyword", "becom"),
        ("- a_thing: x\n  other_thing: y", "conflicting-actions", "a_thing"),
        ("- ping:\n  sudo: yes", "unknown-keyword", "sudo"),
        ("- ping:\n  listen: x", "unknown-keyword", "listen"),
        ("- include: x.yml", "removed-module", "include"),
        ("- ping: [a]", "wrong-type", "[a]"),
        ("- ping: 1", "wrong-type", "1"),
        ("- ping:\n  args: [a]", "wrong-type", "[a]"),
        ("- ping:\n  args: text", "wrong-type", "text"),
        ("- text", "wrong-type", "text"),
        ("- action: {src: a}", "no-action", "{src: a}"),
        ("- action:", "wrong-type", ""),
        ("- stat: path=a b", "free-form", "path=a b"),
        ("- stat: path=\"a", "unbalanced", "path=\"a"),
        ("- ping:\n  become: maybe", "keyword-type", "maybe"),
        ("- ping:\n  retries: many", "keyword-type", "many"),
        ("- ping:\n  vars: [a]", "wrong-type", "[a]"),
        ("- ping:\n  vars: {a-b: 1}", "variable-name", "a-b"),
        ("- ping:\n  register: a b", "variable-name", "a b"),
        ("- ping:\n  register: '{{ x }}'", "variable-name", "'{{ x }}'"),
        ("- ping:\n  when: {a: b}", "wrong-type", "{a: b}"),
        ("- ping:\n  tags: {a: b}", "wrong-type", "{a: b}"),
        ("- ping:\n  environment: text", "wrong-type", "text"),
        ("- ping:\n  name: [a]", "wrong-type", "[a]"),
        ("- ping:\n  1: a", "wrong-type", "1"),
        ("- ping:\n  with_items: a\n  with_dict: b", "two-loops", "with_dict"),
        ("- ping:\n  loop_control: {lop_var: x}", "unknown-keyword", "lop_var"),
        ("- ping:\n  loop_control: x", "wrong-type", "x"),
        ("- rescue: []", "no-block", "rescue"),
        ("- block: []\n  register: x", "unknown-keyword", "register"),
        ("- block: {ping: }", "wrong-type", "{ping: }"),
    ] {
        let (_, diags, text) = read(text);
        let found: Vec<_> =
            diags.iter().map(|diag| (diag.code.as_str(), &text[diag.labels[0].0.start as usize..diag.labels[0].0.end as usize])).collect();
        assert_eq!(found, [(code, at)], "{text:?}: {diags:?}");
    }
}

#[test]
fn all_mistakes_of_a_file_at_once() {
    let (items, diags, _) = read("- ping:\n  wen: x\n- name: nothing\n- ping:\n- block:\n  - ping:\n    sudo: yes\n");
    assert_eq!((items.len(), diags.len()), (2, 3), "{diags:?}");
}

#[test]
fn blocks() {
    let (items, diags, _) = read("- name: b\n  when: x\n  block:\n  - ping:\n  rescue:\n  always:\n  - ping:\n  - ping:\n");
    let [Item::Block(block)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!((block.block.len(), block.rescue.len(), block.has_rescue, block.always.len()), (1, 0, true, 2));
    assert_eq!((block.keywords.0.len(), diags), (2, vec![]));
}

#[test]
fn parameters_know_their_place() {
    let (items, _, text) = read("- copy: src=a  dest=\"b c\"\n- stat: 'path=x'\n");
    let mut places = Vec::new();
    for item in &items {
        let Item::Task(task) = item else { continue };
        places.extend(task.action.args.params.iter().map(|(name, _)| &text[name.span.start as usize..name.span.end as usize]));
    }
    assert_eq!(places, ["src=a", "dest=\"b c\"", "path=x"]);
}
