//! Regular expressions against Python's own results, and against another engine.

use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use rappel::regex::{Captures, Error, Regex};
use serde_json::{Value, json};

/// The spans of every group of every match, as the recording has them.
fn found(regex: &Regex, text: &str) -> Result<Value, Error> {
    let spans = |captures: Captures<'_, '_>| -> Value {
        (0..captures.len()).map(|number| captures.get(number).map_or(Value::Null, |found| json!([found.start(), found.end()]))).collect()
    };
    regex.captures_iter(text).map(|captures| captures.map(spans)).collect::<Result<Vec<_>, _>>().map(Value::from)
}

/// `record.py` beside the recording made it.
#[test]
fn patterns_find_what_python_finds() {
    let recorded = fs::read_to_string("tests/fixtures/regex/python.jsonl").unwrap();
    let mut complaint = String::new();
    for line in recorded.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (pattern, text) = (case["pattern"].as_str().unwrap(), case["text"].as_str().unwrap());
        let ours = match Regex::new(pattern) {
            Ok(regex) => json!({ "found": found(&regex, text).unwrap() }),
            Err(Error::Syntax { reason, .. }) => json!({ "error": reason }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        for key in ["found", "error"] {
            if ours[key] != case[key] {
                writeln!(complaint, "{pattern:?} in {text:?}: expected {}, found {}", case[key], ours[key]).unwrap();
            }
        }
    }
    assert!(complaint.is_empty(), "\n{complaint}");
    assert!(recorded.lines().count() > 3000);
}

#[test]
fn text_that_would_take_forever_is_an_error_and_long_text_takes_no_stack() {
    let long = "a".repeat(1 << 20);
    let regex = Regex::new("(?:(a)|b)*$").unwrap();
    assert_eq!(regex.find(&long).unwrap().unwrap().end(), long.len());
    let endless = Regex::new("(a+)+b$").unwrap();
    assert_eq!(endless.find(&long[..40]).unwrap_err(), Error::TooHard);
    assert!(Regex::new(&"(".repeat(5000)).is_err());
}

/// Patterns that mean the same in both engines: what is repeated is never empty.
fn pattern() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec!["a", "b", "ä", ".", "[ab]", "[^a]", r"\w", r"\s", r"\S", "(?i:A)", r"[\d-]", "-"]);
    let quantifier = prop::sample::select(vec!["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{2,}?", "*+", "++"]);
    let piece = (atom, quantifier).prop_map(|(atom, quantifier)| format!("{atom}{quantifier}"));
    let text = prop::collection::vec(piece.clone(), 1..4).prop_map(|pieces| pieces.concat());
    text.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| parts.concat()),
            inner.clone().prop_map(|part| format!("(?:b{part})+?")),
            inner.clone().prop_map(|part| format!("(?:a{part})*")),
            inner.clone().prop_map(|part| format!("(?={part})")),
            inner.clone().prop_map(|part| format!("(?!{part})a")),
            inner.clone().prop_map(|part| format!("(?>{part})b?")),
            inner.prop_map(|part| format!("(a|b)\\b{part}")),
            Just(r"(?<=a\w)b|^a|b\z".replace(r"\z", "$")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn patterns_find_what_another_engine_finds(pattern in pattern(), text in "[abäAB 1-]{0,14}") {
        let other = fancy_regex::Regex::new(&pattern).unwrap();
        let Ok(expected) = other.find(&text) else { return Ok(()) }; // it has given up
        let found = Regex::new(&pattern).unwrap().find(&text).unwrap();
        let ours = found.map(|found| (found.start(), found.end()));
        prop_assert_eq!(ours, expected.map(|found| (found.start(), found.end())), "{} in {:?}", pattern, text);
    }
}
