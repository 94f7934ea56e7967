//! What changes, as a unified diff.

use super::paint::{Color, Paint};
use crate::event::unified as one;
use crate::wire::Diff;

/// The differences of one task, one after the other; empty where nothing differs.
pub(super) fn unified(diffs: &[Diff], paint: Paint) -> String {
    let text: String = diffs.iter().map(one).collect();
    let mut lines: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match lines.last_mut() {
            // It belongs to the line before, and so does its colour.
            Some(last) if line.starts_with('\\') => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    lines.iter().map(|line| colored(line, paint)).collect()
}

fn colored(line: &str, paint: Paint) -> String {
    let color = match line.as_bytes().first() {
        Some(b'+') => Color::Added,
        Some(b'-') => Color::Removed,
        Some(b'@') => Color::Lines,
        _ => return line.to_owned(),
    };
    paint.text(color, line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_difflib() {
        let table = [
            (("", "", "a.conf", "a\nb\n"), "--- before\n+++ after: a.conf\n@@ -0,0 +1,2 @@\n+a\n+b\n"),
            (
                ("f", "foo", "f", "bar"),
                "--- before: f\n+++ after: f\n@@ -1 +1 @@\n-foo\n\\ No newline at end of file\n+bar\n\\ No newline at end of file\n",
            ),
            (("f", "1\n", "f", "2\n2\n"), "--- before: f\n+++ after: f\n@@ -1 +1,2 @@\n-1\n+2\n+2\n"),
            (("f", "same\n", "f", "same\n"), ""),
        ];
        for ((before_header, before, after_header, after), expected) in table {
            let [before_header, before, after_header, after] = [before_header, before, after_header, after].map(str::to_owned);
            let diff = Diff { before_header, after_header, before, after };
            assert_eq!(unified(&[diff], Paint(false)), expected);
        }
    }

    #[test]
    fn colours_end_with_each_line() {
        let diff = Diff { after: "a\n".into(), ..Diff::default() };
        let expected = "\x1b[0;31m--- before\x1b[0m\n\x1b[0;31m\x1b[0m\x1b[0;32m+++ after\x1b[0m\n\x1b[0;32m\x1b[0m\
                        \x1b[0;36m@@ -0,0 +1 @@\x1b[0m\n\x1b[0;36m\x1b[0m\x1b[0;32m+a\x1b[0m\n\x1b[0;32m\x1b[0m";
        assert_eq!(unified(&[diff], Paint(true)), expected);
    }
}
