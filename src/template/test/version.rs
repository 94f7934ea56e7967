//! `version`: comparing versions as Python's `LooseVersion` and `StrictVersion`, semantic versioning, or PEP 440 do.

use std::cmp::Ordering;

use super::{Test, test};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::filter::regex::compiled;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const TESTS: &[Test] = &[test("version", version), test("version_compare", version)];

fn version(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    let ours = text_of(&value)?;
    let theirs = args.required_text("version")?;
    let operator = args.required_or("operator", "eq")?;
    let strict = args.next("strict").filter(|strict| !strict.is_none()).map(|strict| strict.is_true());
    let kind = args.text("version_type")?;
    args.end()?;
    if ours.is_empty() {
        return Err(Error::failed("Input version value cannot be empty"));
    }
    if theirs.is_empty() {
        return Err(Error::failed("Version parameter to compare against cannot be empty"));
    }
    let kind = match (strict, kind) {
        (Some(_), Some(_)) => return Err(Error::failed("Cannot specify both 'strict' and 'version_type'")),
        (Some(true), None) => "strict".to_owned(),
        (_, kind) => kind.unwrap_or_else(|| "loose".to_owned()),
    };
    let wanted = wanted(&operator)?;
    let order = match kind.as_str() {
        "loose" => loose(&ours, &theirs),
        "strict" => Ok(strict_parts(&ours)?.cmp(&strict_parts(&theirs)?)),
        "semver" | "semantic" => Ok(semantic_parts(&ours)?.cmp(&semantic_parts(&theirs)?)),
        "pep440" => Ok(pep440_parts(&ours)?.cmp(&pep440_parts(&theirs)?)),
        other => {
            let message = format!("Invalid version type ({other}). Must be one of loose, strict, semver, semantic, pep440");
            return Err(Error::failed(message));
        }
    };
    Ok(wanted(order?))
}

/// What `operator` says of an order.
fn wanted(operator: &str) -> Result<fn(Ordering) -> bool> {
    Ok(match operator {
        "==" | "=" | "eq" => Ordering::is_eq,
        "<" | "lt" => Ordering::is_lt,
        "<=" | "le" => Ordering::is_le,
        ">" | "gt" => Ordering::is_gt,
        ">=" | "ge" => Ordering::is_ge,
        "!=" | "<>" | "ne" => Ordering::is_ne,
        other => {
            let message = format!("Invalid operator type ({other}). Must be one of ==, =, eq, <, lt, <=, le, >, gt, >=, ge, !=, <>, ne");
            return Err(Error::failed(message));
        }
    })
}

/// A part of a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u128),
    Word(String),
}

impl Part {
    fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Word(text.to_owned()), Self::Number)
    }
}

/// Compares numbers with numbers and words with words; the two cannot be compared with each other.
fn loose(ours: &str, theirs: &str) -> Result<Ordering> {
    let (ours, theirs) = (loose_parts(ours), loose_parts(theirs));
    for (first, second) in ours.iter().zip(&theirs) {
        let kinds = match (first, second) {
            (Part::Number(_), Part::Word(_)) => Some(("int", "str")),
            (Part::Word(_), Part::Number(_)) => Some(("str", "int")),
            _ => None,
        };
        if let Some((first, second)) = kinds {
            let message = format!("Version comparison failed: '<' not supported between instances of '{first}' and '{second}'");
            return Err(Error::failed(message));
        }
        if first != second {
            return Ok(first.cmp(second));
        }
    }
    Ok(ours.len().cmp(&theirs.len()))
}

/// Runs of digits, runs of small letters, and what is between them; full stops only separate.
fn loose_parts(text: &str) -> Vec<Part> {
    let kind = |c: char| match c {
        '.' => 0,
        _ if c.is_numeric() => 1,
        'a'..='z' => 2,
        _ => 3,
    };
    let mut parts: Vec<String> = Vec::new();
    let mut last = 0;
    for character in text.trim().chars() {
        match (kind(character), parts.last_mut()) {
            (0, _) => last = 0,
            (now, Some(part)) if now == last => part.push(character),
            (now, _) => {
                parts.push(character.to_string());
                last = now;
            }
        }
    }
    parts.iter().map(|part| Part::of(part)).collect()
}

/// The groups of `pattern` in `text`, which it must match.
fn groups(pattern: &str, text: &str, invalid: &str) -> Result<Vec<Option<String>>> {
    let found = compiled(pattern, true, false)?.captures(text).ok().flatten();
    let Some(found) = found else { return Err(Error::failed(format!("Version comparison failed: {invalid} '{text}'"))) };
    Ok((1..found.len()).map(|number| found.get(number).map(|group| group.as_str().to_owned())).collect())
}

fn number(group: Option<&Option<String>>) -> u128 {
    group.and_then(Option::as_ref).and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

fn text(group: Option<&Option<String>>) -> Option<String> {
    group.and_then(Clone::clone)
}

/// The numbers, then whether it is final, then the letter and number of a version before that.
fn strict_parts(version: &str) -> Result<([u128; 3], bool, String, u128)> {
    let found = groups(r"^(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?\Z", version, "invalid version number")?;
    let letter = text(found.get(3));
    let numbers = [number(found.first()), number(found.get(1)), number(found.get(2))];
    Ok((numbers, letter.is_none(), letter.unwrap_or_default(), number(found.get(4))))
}

const SEMANTIC: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-z-][0-9a-z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-z-][0-9a-z-]*))*))?(?:\+[0-9a-z-]+(?:\.[0-9a-z-]+)*)?\Z";

/// The numbers, then whether it is a release, then the parts of what comes before one.
fn semantic_parts(version: &str) -> Result<([u128; 3], bool, Vec<Part>)> {
    let found = groups(SEMANTIC, version, "invalid semantic version")?;
    let before = text(found.get(3));
    let parts = before.iter().flat_map(|text| text.split('.')).map(Part::of).collect();
    Ok(([number(found.first()), number(found.get(1)), number(found.get(2))], before.is_none(), parts))
}

const PEP440: &str = r"^\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?((?:-(\d+))|(?:[-_.]?(?:post|rev|r)[-_.]?(\d*)))?([-_.]?dev[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*\Z";

/// Epoch, release, phase (`dev` alone, `a`, `b`, `rc`, final), its number, post, dev, local; each in an order that compares.
type Pep440 = (u128, Vec<u128>, u8, u128, Option<u128>, (bool, u128), Vec<(bool, Part)>);

fn pep440_parts(version: &str) -> Result<Pep440> {
    let found = groups(PEP440, version, "Invalid version:")?;
    let mut release: Vec<u128> = text(found.get(1)).unwrap_or_default().split('.').map(|part| part.parse().unwrap_or_default()).collect();
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let post = text(found.get(4)).map(|_| number(found.get(5)).max(number(found.get(6))));
    let dev = text(found.get(7)).map(|_| number(found.get(8)));
    let phase = match text(found.get(2)).map(|phase| phase.to_ascii_lowercase()).as_deref() {
        Some("a" | "alpha") => 1,
        Some("b" | "beta") => 2,
        Some(_) => 3,
        None if post.is_none() && dev.is_some() => 0,
        None => 4,
    };
    let local = text(found.get(9)).unwrap_or_default().to_ascii_lowercase();
    let local = local.split(['-', '_', '.']).filter(|part| !part.is_empty()).map(Part::of);
    let local = local.map(|part| (matches!(part, Part::Number(_)), part)).collect();
    Ok((number(found.first()), release, phase, number(found.get(3)), post, (dev.is_none(), dev.unwrap_or_default()), local))
}
