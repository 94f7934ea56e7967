//! File name patterns: `*`, `?`, `[a-z]`, `[!a]`, as Python's `fnmatch` and `glob` read them.

use std::path::{Path, PathBuf};

/// Whether `text` as a whole matches `pattern`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches_from(&pattern, &text)
}

/// Whether `text` is a pattern at all.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Goes back to the last star only, so the work stays below pattern times text.
fn matches_from(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = text.get(seen) {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => match class(pattern.get(at + 1..).unwrap_or_default(), *character) {
                Some((true, length)) => Some(length + 1),
                Some((false, _)) => None,
                None => (*character == '[').then_some(1),
            },
            Some(literal) => (literal == character).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                at += length;
                seen += 1;
            }
            (None, Some((position, from))) => {
                star = Some((position, from + 1));
                at = position + 1;
                seen = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

/// Whether a bracket class holds `character`, and its length with the closing bracket; `None` when it is not closed.
fn class(pattern: &[char], character: char) -> Option<(bool, usize)> {
    let negated = pattern.first() == Some(&'!');
    let start = usize::from(negated);
    // A bracket in first place is a member.
    let end = (start + 1..pattern.len()).find(|at| pattern.get(*at) == Some(&']'))?;
    let members = pattern.get(start..end)?;
    let mut inside = false;
    let mut at = 0;
    while let Some(first) = members.get(at) {
        if let (Some('-'), Some(last)) = (members.get(at + 1), members.get(at + 2)) {
            inside |= (*first..=*last).contains(&character);
            at += 3;
        } else {
            inside |= *first == character;
            at += 1;
        }
    }
    Some((inside != negated, end + 1))
}

/// The paths that match a pattern, sorted. A hidden name is matched only by a pattern that begins with a dot.
pub(crate) fn paths(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern {
        let name = component.to_string_lossy();
        if !is_pattern(&name) {
            for path in &mut found {
                path.push(component);
            }
            continue;
        }
        found = found.iter().flat_map(|directory| within(directory, &name)).collect();
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found.sort();
    found
}

fn within(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let place = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = place.read_dir() else { return Vec::new() };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            (!name.starts_with('.') || pattern.starts_with('.')) && matches(pattern, &name)
        })
        .map(|name| directory.join(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_python() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*.t?t", "x.txt", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]a]", "]", true),
            ("[", "[", true),
            ("a[b", "a[b", true),
            ("1.2*", "1.20-3", true),
            ("a*b*c", "aXbXbc", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn finds_paths() {
        assert_eq!(paths(Path::new("/et[c]/pass?d")), [PathBuf::from("/etc/passwd")]);
        assert_eq!(paths(Path::new("/etc/no-such-*")), Vec::<PathBuf>::new());
        assert_eq!(paths(Path::new("src/modul*/mod.rs")), [PathBuf::from("src/module/mod.rs")]);
    }
}
