//! `ansible.cfg`: sections of `key = value`, in the dialect of Python's `configparser`.

use super::{Diagnostic, Diagnostics, SourceId, Sources, Span, Spanned};

/// One `key = value`. Sections and keys are in lower case, as the reader compares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value; continuation lines are joined by line feeds.
    pub value: Spanned<String>,
}

/// Reads the configuration `source`. A later entry of the same section and key overrides an earlier one.
pub fn parse(sources: &Sources, source: SourceId, diags: &mut Diagnostics) -> Vec<Entry> {
    let text = &sources.get(source).text;
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = None;
    let mut continues = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let at = start + line.len() - line.trim_start().len();
        start += line.len();
        let content = uncommented(line).trim();
        let span = Span::new(source, at, at + content.len());
        if content.is_empty() {
            // A comment may stand between the lines of one value; an empty line ends it.
            continues &= line.trim_start().starts_with(['#', ';']);
        } else if continues && line.starts_with([' ', '\t']) {
            if let Some(last) = entries.last_mut() {
                last.value.value.push('\n');
                last.value.value.push_str(content);
                last.value.span.end = span.end;
            }
        } else if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = Some(name.0.to_lowercase());
            continues = false;
        } else {
            match (&section, content.split_once(['=', ':'])) {
                (Some(section), Some((key, value))) => {
                    let span = Span::new(source, at + content.len() - value.trim_start().len(), at + content.len());
                    let value = Spanned::new(value.trim().to_owned(), span);
                    entries.push(Entry { section: section.clone(), key: key.trim().to_lowercase(), value });
                    continues = true;
                }
                (None, _) => diags.push(problem(span, "a line before the first section", "put `[defaults]` above it")),
                (_, None) => diags.push(problem(span, "expected `key = value`", "give it a value, or make it a comment with `#`")),
            }
        }
    }
    entries
}

fn problem(span: Span, message: &str, help: &str) -> Diagnostic {
    Diagnostic::error("config-syntax", message).at(span, "").help(help)
}

/// A line without its comment: `#` and `;` at its start, `;` also behind white space.
fn uncommented(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let comment = line.match_indices(';').find(|(at, _)| line.get(..*at).is_some_and(|before| before.ends_with(char::is_whitespace)));
    comment.map_or(line, |(at, _)| line.get(..at).unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, String, String)>, Vec<String>) {
        let (sources, mut diags) = (Sources::default(), Diagnostics::default());
        let id = sources.add("ansible.cfg", text);
        let entries = parse(&sources, id, &mut diags).into_iter().map(|entry| (entry.section, entry.key, entry.value.value)).collect();
        (entries, diags.iter().map(|found| found.message.clone()).collect())
    }

    #[test]
    fn reads_as_configparser_does() {
        let text = "# c\n[defaults]\nforks = 10 ; many\nInventory: hosts#1\nempty =\nssh_args = -o A=b\n  -o C\n  # c\n\n\n[SSH_Connection]\nx=1;y\n";
        let expected = [
            ("defaults", "forks", "10"),
            ("defaults", "inventory", "hosts#1"),
            ("defaults", "empty", ""),
            ("defaults", "ssh_args", "-o A=b\n-o C"),
            ("ssh_connection", "x", "1;y"),
        ];
        let (entries, problems) = read(text);
        assert_eq!(entries.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect::<Vec<_>>(), expected);
        assert!(problems.is_empty());
    }

    #[test]
    fn reports_what_it_cannot_read() {
        assert_eq!(read("forks = 1\n[defaults]\nforks\n").1, ["a line before the first section", "expected `key = value`"]);
    }
}
