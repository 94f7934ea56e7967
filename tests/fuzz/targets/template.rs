//! Templates and conditions, compiled and evaluated.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rappel::template::{Binding, LookupCall, LookupError, Lookups, Scope, Templar, Value};
use rappel::text::{Diagnostics, Node, NodeKind, Sources, Span};

/// A few variables, and one lookup.
#[derive(Debug)]
struct Few;

impl Scope for Few {
    fn get(&self, name: &str) -> Option<Binding> {
        let value = match name {
            "a" => Value::from(7_i64),
            "b" => Value::from("text"),
            "c" => Value::list([Value::from(1_i64), Value::from("x")]),
            "d" => Value::map([("k", Value::from(2_i64))]),
            _ => return None,
        };
        Some(Binding::Value(value))
    }

    fn names(&self) -> Vec<String> {
        ["a", "b", "c", "d"].map(str::to_owned).to_vec()
    }
}

impl Lookups for Few {
    fn lookup(&self, call: LookupCall<'_>) -> Result<Vec<Value>, LookupError> {
        Ok(call.terms.to_vec())
    }

    fn names(&self) -> &[&str] {
        &["file"]
    }
}

fuzz_target!(|text: &str| {
    let templar = Templar::new(Sources::default(), Arc::default(), Arc::new(Few));
    let scope: Arc<dyn Scope> = Arc::new(Few);
    let node = |text: &str| Node::new(NodeKind::Str(text.to_owned()), Span::default());
    for expr in [
        templar.compile(&node(text), &mut Diagnostics::default()),
        templar.compile(&node(&format!("{{{{ {text} }}}}")), &mut Diagnostics::default()),
        templar.condition(&node(text), &mut Diagnostics::default()),
    ] {
        drop(templar.render(&expr, &scope));
        drop(templar.holds(&expr, &scope));
    }
});
