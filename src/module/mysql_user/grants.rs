//! Rights of a user: as playbooks write them, as the server shows them, as SQL grants them.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{Failure, Value};

/// Rights by what they are for: `` `shop`.* ``.
pub(super) type Grants = BTreeMap<String, BTreeSet<String>>;

/// The rights in `priv`.
///
/// # Errors
/// When it is neither text nor a mapping, or a part of it has no object.
pub(super) fn wanted(given: &Value) -> Result<Grants, Failure> {
    let mut grants = Grants::new();
    let entries: Vec<(String, String)> = match given {
        Value::Map(map) => map.iter().map(|(object, rights)| (object.clone(), rights.to_text())).collect(),
        other => {
            let text = other.to_text();
            let part = |part: &str| {
                let wrong = || Failure::new(format!("invalid privileges string: expected `database.table:RIGHT,RIGHT`, found `{part}`"));
                part.trim().rsplit_once(':').map(|(object, rights)| (object.to_owned(), rights.to_owned())).ok_or_else(wrong)
            };
            text.split('/').filter(|part| !part.trim().is_empty()).map(part).collect::<Result<_, _>>()?
        }
    };
    for (object, rights) in entries {
        grants.entry(quoted(&object)).or_default().extend(split(&rights));
    }
    Ok(grants)
}

/// `shop.*` as the server writes it.
fn quoted(object: &str) -> String {
    let (kind, rest) = match object.trim().split_once(' ') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("function") || kind.eq_ignore_ascii_case("procedure") => {
            (format!("{} ", kind.to_ascii_uppercase()), rest)
        }
        _ => (String::new(), object.trim()),
    };
    let (database, table) = rest.split_once('.').unwrap_or((rest, "*"));
    let part = |part: &str| if part == "*" || part.starts_with('`') { part.to_owned() } else { format!("`{part}`") };
    format!("{kind}{}.{}", part(database), part(table))
}

/// Single rights; those for columns keep their brackets.
fn split(rights: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut depth, mut word) = (0, String::new());
    for character in rights.chars().chain([',']) {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                let right = plain(&word);
                if !right.is_empty() {
                    found.insert(right);
                }
                word.clear();
                continue;
            }
            _ => {}
        }
        word.push(character);
    }
    found
}

fn plain(right: &str) -> String {
    let (word, columns) = right.split_once('(').map_or((right, None), |(word, columns)| (word, Some(columns)));
    let word = word.trim().to_ascii_uppercase();
    let word = match word.as_str() {
        "ALL PRIVILEGES" => "ALL",
        "GRANT OPTION" | "WITH GRANT OPTION" => "GRANT",
        other => other,
    };
    match columns {
        Some(columns) => {
            let mut names: Vec<String> =
                columns.trim_end_matches(')').split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect();
            names.sort();
            format!("{word} ({})", names.join(", "))
        }
        None => word.to_owned(),
    }
}

/// The rights in what `SHOW GRANTS` says.
pub(super) fn read(lines: &[String]) -> Grants {
    let mut grants = Grants::new();
    for line in lines {
        let Some((rights, rest)) = line.strip_prefix("GRANT ").and_then(|line| line.split_once(" ON ")) else { continue };
        let Some((object, tail)) = rest.split_once(" TO ") else { continue };
        let entry = grants.entry(quoted(object)).or_default();
        entry.extend(split(rights));
        if tail.contains("WITH GRANT OPTION") {
            entry.insert("GRANT".to_owned());
        }
    }
    grants
}

/// Whether `rights` have `right`, if only because they are all.
pub(super) fn covers(rights: &BTreeSet<String>, right: &str) -> bool {
    rights.contains(right) || right == "USAGE" || rights.contains("ALL") && right != "GRANT"
}

/// The statement that grants or takes these rights; none if there are none.
pub(super) fn clauses(rights: &BTreeSet<String>, object: &str, account: &str, grant: bool) -> Option<String> {
    let named: Vec<&str> = rights.iter().map(String::as_str).filter(|right| *right != "GRANT").collect();
    let option = rights.contains("GRANT");
    if named.is_empty() && !option {
        return None;
    }
    Some(if grant {
        let named = if named.is_empty() { "USAGE".to_owned() } else { named.join(", ") };
        format!("GRANT {named} ON {object} TO {account}{}", if option { " WITH GRANT OPTION" } else { "" })
    } else {
        let mut words = named;
        if option {
            words.push("GRANT OPTION");
        }
        format!("REVOKE {} ON {object} FROM {account}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_the_same_however_they_are_written() {
        let shown = read(
            &[
                "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*x'",
                "GRANT SELECT, INSERT (`b`, `a`) ON `shop`.* TO `a`@`%` WITH GRANT OPTION",
            ]
            .map(str::to_owned),
        );
        let asked = wanted(&"*.*:USAGE/shop.*:insert (a, b),SELECT,GRANT".into()).unwrap();
        assert_eq!(shown, asked);
        assert!(wanted(&"shop".into()).is_err());
        let all = wanted(&"shop.*:ALL PRIVILEGES".into()).unwrap();
        assert!(covers(&all["`shop`.*"], "SELECT") && !covers(&all["`shop`.*"], "GRANT"));
        let sql = clauses(&asked["`shop`.*"], "`shop`.*", "'a'@'%'", true).unwrap();
        assert_eq!(sql, "GRANT INSERT (a, b), SELECT ON `shop`.* TO 'a'@'%' WITH GRANT OPTION");
    }
}
