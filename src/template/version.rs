//! Versions, compared as Ansible's `version` test can: loosely, strictly, semantically, or by PEP 440.

use std::cmp::Ordering;

use super::error::{Error, Result};

/// A part of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Number(u128),
    Word(String),
}

fn failed(message: impl std::fmt::Display) -> Error {
    Error::failed(format!("Version comparison failed: {message}"))
}

/// Runs of digits, runs of letters, and runs of anything else but dots.
fn parts(text: &str) -> Vec<Part> {
    let class = |c: char| match c {
        '0'..='9' => 0,
        'a'..='z' => 1,
        '.' => 2,
        _ => 3,
    };
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = class(first);
        let end = rest.find(|c| class(c) != kind).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        match kind {
            0 => out.push(Part::Number(piece.parse().unwrap_or(u128::MAX))),
            2 => {}
            _ => out.push(Part::Word(piece.to_owned())),
        }
    }
    out
}

/// Loose versions, for sorting: where Ansible refuses to compare, a number comes first.
pub(super) fn loose(left: &str, right: &str) -> Ordering {
    compare_parts(&parts(left), &parts(right)).unwrap_or(Ordering::Less)
}

fn compare_parts(left: &[Part], right: &[Part]) -> Result<Ordering> {
    for (left, right) in left.iter().zip(right) {
        let order = match (left, right) {
            (Part::Number(left), Part::Number(right)) => left.cmp(right),
            (Part::Word(left), Part::Word(right)) => left.cmp(right),
            (Part::Number(_), Part::Word(_)) => return Err(failed("'<' not supported between instances of 'int' and 'str'")),
            (Part::Word(_), Part::Number(_)) => return Err(failed("'<' not supported between instances of 'str' and 'int'")),
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(left.len().cmp(&right.len()))
}

/// `1.2`, `1.2.3`, `1.2a1`, `1.2.3b4`.
fn strict(text: &str) -> Result<(Vec<u128>, Option<(char, u128)>)> {
    let refused = || failed(format!("invalid version number '{text}'"));
    let (numbers, pre) = match text.find(['a', 'b']) {
        Some(at) => {
            let (numbers, pre) = text.split_at(at);
            let number = pre.get(1..).and_then(|number| number.parse().ok()).ok_or_else(refused)?;
            (numbers, Some((pre.chars().next().unwrap_or_default(), number)))
        }
        None => (text, None),
    };
    let mut numbers = numbers.split('.').map(|number| number.parse().map_err(|_| refused())).collect::<Result<Vec<u128>>>()?;
    if !(2..=3).contains(&numbers.len()) {
        return Err(refused());
    }
    numbers.resize(3, 0);
    Ok((numbers, pre))
}

fn compare_strict(left: &str, right: &str) -> Result<Ordering> {
    let ((left, left_pre), (right, right_pre)) = (strict(left)?, strict(right)?);
    Ok(left.cmp(&right).then_with(|| match (left_pre, right_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => left.cmp(&right),
    }))
}

fn semantic(text: &str) -> Result<(Vec<u128>, Option<Vec<String>>)> {
    let refused = || failed(format!("invalid semantic version '{text}'"));
    let core = text.split_once('+').map_or(text, |(core, _)| core);
    let (core, pre) = core.split_once('-').map_or((core, None), |(core, pre)| (core, Some(pre)));
    let numbers = core.split('.').map(|number| number.parse().map_err(|_| refused())).collect::<Result<Vec<u128>>>()?;
    let pre: Option<Vec<String>> = pre.map(|pre| pre.split('.').map(str::to_owned).collect());
    if numbers.len() != 3 || pre.iter().flatten().any(String::is_empty) {
        return Err(refused());
    }
    Ok((numbers, pre))
}

fn compare_semantic(left: &str, right: &str) -> Result<Ordering> {
    let ((left, left_pre), (right, right_pre)) = (semantic(left)?, semantic(right)?);
    let identifier = |left: &String, right: &String| match (left.parse::<u128>(), right.parse::<u128>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => left.cmp(right),
    };
    Ok(left.cmp(&right).then_with(|| match (left_pre, right_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => {
            let found = left.iter().zip(&right).map(|(left, right)| identifier(left, right)).find(|order| *order != Ordering::Equal);
            found.unwrap_or_else(|| left.len().cmp(&right.len()))
        }
    }))
}

/// What orders versions of PEP 440: the epoch, the release without trailing zeros, then the stage and its number, local parts last.
type Python = (u128, Vec<u128>, [(i8, u128); 3], Vec<(bool, u128, String)>);

fn python(text: &str) -> Result<Python> {
    let refused = || failed(format!("Invalid version: '{text}'"));
    let pattern = r"^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(?:post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$";
    let lowered = text.trim().to_lowercase();
    let regex = crate::regex::Regex::new(pattern).map_err(|_| refused())?;
    let captures = regex.captures(lowered.as_str()).ok().flatten().ok_or_else(refused)?;
    let group = |number| captures.get(number).map(|found| found.as_str().to_owned());
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut release: Vec<u128> = group(2).unwrap_or_default().split('.').map(|number| number.parse().unwrap_or(u128::MAX)).collect();
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let dev = group(7).is_some();
    let post = group(5).is_some() || captures.get(6).is_some();
    let stage = match group(3).as_deref() {
        Some("a" | "alpha") => (0, number(group(4))),
        Some("b" | "beta") => (1, number(group(4))),
        Some(_) => (2, number(group(4))),
        None if dev && !post => (-1, 0),
        None => (3, 0),
    };
    let post = if post { (1, number(group(5).or_else(|| group(6)))) } else { (0, 0) };
    let dev = if dev { (0, number(group(8))) } else { (1, 0) };
    let local = group(9).map(|local| {
        local
            .split(['-', '_', '.'])
            .map(|part| part.parse().map_or_else(|_| (false, 0, part.to_owned()), |number| (true, number, String::new())))
            .collect()
    });
    Ok((number(group(1)), release, [stage, post, dev], local.unwrap_or_default()))
}

/// How `left` compares to `right` as versions of this kind.
pub(super) fn compare(left: &str, right: &str, kind: &str) -> Result<Ordering> {
    match kind {
        "loose" => compare_parts(&parts(left), &parts(right)),
        "strict" => compare_strict(left, right),
        "semver" | "semantic" => compare_semantic(left, right),
        "pep440" => Ok(python(left)?.cmp(&python(right)?)),
        other => {
            Err(Error::failed(format!("Invalid version type ({other}). Must be one of 'loose', 'strict', 'semver', 'semantic', 'pep440'")))
        }
    }
}
