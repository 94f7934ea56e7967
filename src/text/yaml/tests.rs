//! Tables: what PyYAML makes of a text, and what each classic mistake is called.

use std::fmt::Write as _;

use super::*;

fn read(text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let sources = Sources::default();
    let id = sources.add("test.yml", text);
    let mut diags = Diagnostics::default();
    (parse(&sources, id, &mut diags), diags.into_vec())
}

/// A node as Python's `repr` shows it.
fn repr(node: &Node) -> String {
    match &node.kind {
        NodeKind::Null => "None".into(),
        NodeKind::Bool(true) => "True".into(),
        NodeKind::Bool(false) => "False".into(),
        NodeKind::Int(value) => value.to_string(),
        NodeKind::Float(value) => format!("{value:?}"),
        NodeKind::Str(text) => format!("{text:?}"),
        NodeKind::Vault(text) => format!("vault({text:?})"),
        NodeKind::Unsafe(inner) => format!("unsafe({})", repr(inner)),
        NodeKind::Seq(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        NodeKind::Map(entries) => {
            format!("{{{}}}", entries.iter().map(|(key, value)| format!("{}: {}", repr(key), repr(value))).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn values() {
    for (text, expected) in [
        ("a: 1\nb: [x, yes]\n", r#"{"a": 1, "b": ["x", True]}"#),
        ("a:\nb: ''\nc: ~\n", r#"{"a": None, "b": "", "c": None}"#),
        ("- &x {k: 1, z: 3}\n- {k: 2, <<: *x}\n", r#"[{"k": 1, "z": 3}, {"k": 2, "z": 3}]"#),
        ("{<<: [{a: 1}, {a: 2, b: 3}]}", r#"{"a": 1, "b": 3}"#),
        ("{<<: {a: 1}, <<: {a: 2}}", r#"{"a": 2}"#),
        ("'<<': 1", r#"{"<<": 1}"#),
        ("{1: a, true: b, 1.0: c}", r#"{1.0: "c"}"#),
        ("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  31\n", r#"{"a": vault("$ANSIBLE_VAULT;1.1;AES256\n31\n")}"#),
        ("a: !unsafe '{{ x }}'", r#"{"a": unsafe("{{ x }}")}"#),
        ("a: !!str 012\nb: !!int '07'\nc: !!float 1e3\nd: !!bool yes\ne: !!str\nf: ! 12", {
            r#"{"a": "012", "b": 7, "c": 1000.0, "d": True, "e": "", "f": 12}"#
        }),
        ("!!set {a, b}", r#"["a", "b"]"#),
        ("!!omap [a: 1, b: 2]", r#"[["a", 1], ["b", 2]]"#),
        ("!!binary aGVsbG8=", r#""hello""#),
        ("\u{feff}a: 1\r\nb: |\r\n  x\r\n  y\r\n", r#"{"a": 1, "b": "x\ny\n"}"#),
        ("a: |\n  text", r#"{"a": "text"}"#),
        ("a: >-\n  one\n  two\n\n  three\n", r#"{"a": "one two\nthree"}"#),
        ("a: \"\\x41\\n\\\n  b\"", r#"{"a": "A\nb"}"#),
        ("a: 2001-12-14 21:59:43.10 -5", r#"{"a": "2001-12-14 21:59:43.100000-05:00"}"#),
        ("a: 123456789012345678901234567890", r#"{"a": "123456789012345678901234567890"}"#),
        ("---\na: 1\n---\n...\n---\nb\n", r#"{"a": 1} None "b""#),
        ("", ""),
        ("# only a comment\n", ""),
    ] {
        let (nodes, diags) = read(text);
        assert_eq!(nodes.iter().map(repr).collect::<Vec<_>>().join(" "), expected, "{text:?}: {diags:?}");
        assert!(diags.iter().all(|diag| diag.code == "duplicate-key"), "{text:?}: {diags:?}");
    }
}

#[test]
fn spans_cover_what_was_written() {
    let text = "- key: \"é v\"  # note\n  list:\n    - {a: b}\n    - |\n      x\n  empty:\n- last\n";
    let (nodes, _) = read(text);
    let mut found = String::new();
    let mut queue = nodes;
    while let Some(node) = queue.pop() {
        writeln!(found, "{:?}", &text[node.span.start as usize..node.span.end as usize]).unwrap();
        match node.kind {
            NodeKind::Seq(items) => queue.extend(items.into_iter().rev()),
            NodeKind::Map(entries) => queue.extend(entries.into_iter().rev().flat_map(|(key, value)| [value, key])),
            _ => {}
        }
    }
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            r#""- key: \"é v\"  # note\n  list:\n    - {a: b}\n    - |\n      x\n  empty:\n- last""#,
            r#""key: \"é v\"  # note\n  list:\n    - {a: b}\n    - |\n      x\n  empty""#,
            r#""key""#,
            r#""\"é v\"""#,
            r#""list""#,
            r#""- {a: b}\n    - |\n      x""#,
            r#""{a: b}""#,
            r#""a""#,
            r#""b""#,
            r#""x""#,
            r#""empty""#,
            r#""""#,
            r#""last""#,
        ]
    );
}

#[test]
fn mistakes_have_names() {
    let mut wrong = String::new();
    for (text, code, at) in [
        ("a: {{ x }}\n", "unquoted-template", "{{ x }}"),
        ("a: {{ x }}/y\n", "unquoted-template", "{{ x }}/y"),
        ("- {{ x }}\n", "unquoted-template", "{{ x }}"),
        ("a:\n\tb: 1\n", "tab-indent", "\t"),
        ("a: 1\nb:2\nc: 3\n", "missing-space", "b:2"),
        ("a: x: y\n", "colon-in-value", ":"),
        ("a: \"x\n", "unclosed-quote", "\""),
        ("a: \"x\" in y\n", "text-after-quote", "i"),
        ("a: \"C:\\Windows\"\n", "unknown-escape", "\\W"),
        ("a: @x\n", "yaml-syntax", "@"),
        ("a:\n  - b\n c: 1\n", "yaml-syntax", "c:"),
        ("a: *nope\n", "unknown-anchor", "*nope"),
        ("a: &x [*x]\n", "recursive-alias", "*x"),
        ("a: !valut x\n", "yaml-tag", "!valut"),
        ("a: !!int x\n", "yaml-tag", "x"),
        ("a: =\n", "yaml-tag", "="),
        ("<<: 1\n", "merge-key", "1"),
        ("? [a]\n: b\n", "collection-as-key", "[a]"),
        ("a: 1\nb: 2\na: 3\n", "duplicate-key", "a"),
        ("a: 2001-13-45\n", "impossible-date", "2001-13-45"),
        ("a: \u{7}\n", "control-character", "\u{7}"),
    ] {
        let (_, diags) = read(text);
        let found: Vec<_> =
            diags.iter().map(|diag| (diag.code.as_str(), &text[diag.labels[0].0.start as usize..diag.labels[0].0.end as usize])).collect();
        if found != [(code, at)] {
            writeln!(wrong, "{text:?}: expected {:?}, found {found:?}", [(code, at)]).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn hostile_documents_end_in_an_error() {
    let laughs = (1..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |mut text, n| {
        writeln!(text, "a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 9].join(", ")).unwrap();
        text
    });
    let tower = (1..2000).fold("- &a0 x\n".to_owned(), |mut text, n| {
        writeln!(text, "- &a{n} [*a{}]", n - 1).unwrap();
        text
    });
    for text in [laughs, tower, "[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(10_000)] {
        let (_, diags) = read(&text);
        assert!((1..3).contains(&diags.len()), "{:?}", diags.iter().take(5).collect::<Vec<_>>());
    }
}

/// `scalars.jsonl` holds plain scalars and what PyYAML 6 makes of them; floats are marked, for JSON knows no infinity.
#[test]
fn plain_scalars_mean_what_they_mean_to_pyyaml() {
    let mut wrong = String::new();
    for line in include_str!("scalars.jsonl").lines() {
        let (text, expected): (String, serde_json::Value) = serde_json::from_str(line).unwrap();
        let (nodes, diags) = read(&format!("a: {text}"));
        let float = |name: &str| name.parse::<f64>().unwrap();
        let fits = match (&nodes[0].get("a").unwrap().kind, &expected) {
            (NodeKind::Null, serde_json::Value::Null) => true,
            (NodeKind::Bool(found), serde_json::Value::Bool(value)) => found == value,
            (NodeKind::Int(found), serde_json::Value::Number(value)) => Some(*found) == value.as_i64(),
            (NodeKind::Str(found), serde_json::Value::String(value)) => found == value,
            (NodeKind::Float(found), value) => value["$f"].as_str().is_some_and(|value| found.to_string() == float(value).to_string()),
            _ => false,
        };
        if !fits || !diags.is_empty() {
            writeln!(wrong, "{text:?}: expected {expected}, found {nodes:?} {diags:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
