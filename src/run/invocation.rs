//! What a module was called with, for those who want to see everything (`-vvv`).

use super::item::Trouble;
use crate::module::{Param, Spec};
use crate::wire::{Map, Outcome, Value};

/// The verbosity from which on results tell it.
pub(super) const EVERYTHING: u8 = 3;

/// Adds to `answer` what `spec`'s module was called with.
pub(super) fn told(answer: Result<Outcome, Trouble>, spec: &Spec, params: &Map) -> Result<Outcome, Trouble> {
    let invocation: Map = [("module_args".to_owned(), Value::Map(arguments(spec, params)))].into_iter().collect();
    match answer {
        Ok(outcome) => Ok(outcome.with("invocation", invocation)),
        Err(Trouble::Failed(failure, finding)) => Err(Trouble::Failed(Box::new(failure.with("invocation", invocation)), finding)),
        Err(other) => Err(other),
    }
}

/// A result as a variable has it: without what only the output tells.
pub(super) fn without(result: &Map) -> Map {
    let bare = |value: &Value| match value {
        Value::Map(item) if item.contains_key("invocation") => Value::Map(without(item)),
        other => other.clone(),
    };
    let kept = result.iter().filter(|(key, _)| *key != "invocation").map(|(key, value)| match value {
        Value::List(items) if key == "results" => (key.clone(), Value::List(items.iter().map(bare).collect())),
        other => (key.clone(), other.clone()),
    });
    kept.collect()
}

fn arguments(spec: &Spec, params: &Map) -> Map {
    let named = |name: &str| if spec.free_form == Some(name) { "_raw_params".to_owned() } else { name.to_owned() };
    let mut all: Map = spec.params.iter().map(|param| (named(param.name), default(param))).collect();
    let shown = |name: &str, value: &Value| if is_secret(name) && !matches!(value, Value::Bool(_)) { hidden() } else { value.clone() };
    all.extend(params.iter().map(|(name, value)| (named(name), shown(name, value))));
    all.sort_keys();
    all
}

fn hidden() -> Value {
    "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER".into()
}

/// Whether a parameter is for nobody's eyes: passwords and keys by their names, and the content of a file, as in Ansible.
fn is_secret(name: &str) -> bool {
    const LAST: [&str; 10] = ["content", "jwt", "pass", "passphrase", "passwd", "password", "psk", "pw", "secret", "token"];
    const WHOLE: [&str; 4] = ["api_key", "auth_key", "secret_id", "secret_key"];
    let last = name.rsplit('_').next().unwrap_or(name);
    name != "update_password" && (LAST.contains(&last) || WHOLE.iter().any(|whole| name.ends_with(whole)))
}

/// What a parameter is when it is not given, as far as its declaration tells.
fn default(param: &Param) -> Value {
    let text = param.default.trim_end_matches(".to_owned()").trim_end_matches(".into()");
    match (text, text.parse::<i64>()) {
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        (_, Ok(number)) => number.into(),
        _ => text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map_or(Value::Null, Value::from),
    }
}
