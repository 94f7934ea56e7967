//! Replays what ansible-core was recorded to make of many templates; see `tests/conformance/record_templates.py`.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::text::NodeKind;

/// Variables of a test, as a playbook has them.
#[derive(Debug)]
struct Vars(Vec<(String, Arc<Expr>)>);

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Binding> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, expr)| Binding::Expr(Arc::clone(expr)))
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// The lookups of a test: `env` and `fail`.
struct World;

impl Lookups for World {
    fn lookup(&self, call: LookupCall<'_>) -> Result<Vec<Value>, LookupError> {
        match call.name {
            "env" => Ok(call.terms.iter().map(|term| Value::from(if term.as_str() == Some("HOME") { "/root" } else { "" })).collect()),
            _ => Err("nothing is there".to_owned().into()),
        }
    }

    fn names(&self) -> &[&str] {
        &["env", "file"]
    }
}

pub(super) fn templar() -> Templar {
    Templar::new(Sources::default(), Arc::new(Vault::default()), Arc::new(World))
}

fn node(value: &serde_json::Value, span: Span) -> Node {
    let kind = match value {
        serde_json::Value::Null => NodeKind::Null,
        serde_json::Value::Bool(flag) => NodeKind::Bool(*flag),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => NodeKind::Int(number),
            None => NodeKind::Float(number.as_f64().unwrap()),
        },
        serde_json::Value::String(text) => NodeKind::Str(text.clone()),
        serde_json::Value::Array(items) => NodeKind::Seq(items.iter().map(|item| node(item, span)).collect()),
        serde_json::Value::Object(entries) => {
            NodeKind::Map(entries.iter().map(|(key, item)| (Node::new(NodeKind::Str(key.clone()), span), node(item, span))).collect())
        }
    };
    Node::new(kind, span)
}

fn scope(templar: &Templar, vars: &serde_json::Value) -> Arc<dyn Scope> {
    let compiled = vars.as_object().unwrap().iter().map(|(name, value)| {
        let expr = templar.compile(&node(value, Span::default()), &mut Diagnostics::default());
        (name.clone(), Arc::new(expr))
    });
    Arc::new(Vars(compiled.collect()))
}

/// What a case gives, in the form of the recording.
fn outcome(templar: &Templar, scope: &Arc<dyn Scope>, case: &str) -> String {
    let mut diagnostics = Diagnostics::default();
    let string = |text: &str| Node::new(NodeKind::Str(text.to_owned()), Span::default());
    let result = if let Some(condition) = case.strip_prefix('?') {
        let expr = templar.condition(&string(condition.trim()), &mut diagnostics);
        templar.holds(&expr, scope).map(Value::Bool)
    } else {
        let text = if case.starts_with('"') { serde_json::from_str(case).unwrap() } else { case.to_owned() };
        templar.evaluate(&templar.compile(&string(&text), &mut diagnostics), scope)
    };
    match result {
        Ok(value) => json(&to_wire(&value)),
        Err(diagnostic) => format!("! {}", diagnostic.message),
    }
}

/// JSON as Python writes it.
fn json(value: &crate::wire::Value) -> String {
    use crate::wire::Value as Wire;
    match value {
        Wire::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Wire::Map(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", serde_json::to_string(key).unwrap(), json(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Wire::Float(number) => crate::wire::repr_float(*number),
        other => serde_json::to_string(other).unwrap(),
    }
}

/// Whether our error says what Ansible's says: values match exactly, errors in the words people search for.
fn agrees(ours: &str, theirs: &str) -> bool {
    match (ours.strip_prefix("! "), theirs.strip_prefix("! ")) {
        (None, None) => ours == theirs,
        (Some(ours), Some(theirs)) => {
            let known = ["is undefined", "has no attribute", "Conditional result"];
            !known.iter().any(|words| theirs.contains(words)) || theirs.contains(ours) || known.iter().any(|words| ours.contains(words))
        }
        _ => false,
    }
}

#[test]
fn gives_what_ansible_gave() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/template");
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, cases) = text.split_once("\n---\n").unwrap();
        let templar = templar();
        let scope = scope(&templar, &serde_json::from_str(head).unwrap());
        for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (case, theirs) = line.rsplit_once(" => ").unwrap();
            let ours = outcome(&templar, &scope, case);
            count += 1;
            if !agrees(&ours, theirs) {
                wrong.push(format!("{}: {case}\n   ansible: {theirs}\n   rappel:  {ours}", path.file_stem().unwrap().to_string_lossy()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}
