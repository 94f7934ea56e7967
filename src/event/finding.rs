//! A [`Diagnostic`] gets the lines it points at, so that a report or a replay needs no files.

use super::{Excerpt, Finding};
use crate::text::{Diagnostic, Sources, Span};

impl Finding {
    /// Takes the lines that `diagnostic` points at out of `sources`. Texts that were encrypted are not shown.
    pub fn new(diagnostic: Diagnostic, sources: &Sources) -> Self {
        let excerpts = diagnostic.labels.iter().map(|(span, _)| excerpt(*span, sources)).collect();
        Self { diagnostic, excerpts }
    }
}

impl Finding {
    /// What Ansible said of the same before 2.19: scripts look for these words.
    pub fn classic(&self) -> String {
        let words = self.diagnostic.ansible.as_ref().unwrap_or(&self.diagnostic.message);
        let Some(excerpt) = self.excerpts.first().filter(|excerpt| !excerpt.text.is_empty()) else { return words.clone() };
        let file = std::path::absolute(&excerpt.position.name).unwrap_or_else(|_| excerpt.position.name.clone().into());
        let (line, column) = (excerpt.position.line, excerpt.position.column);
        let shown = (line.saturating_sub(excerpt.first_line) + 1) as usize;
        let lines: Vec<&str> = excerpt.text.lines().take(shown).collect();
        format!(
            "{words}\n\nThe error appears to be in '{}': line {line}, column {column}, but may\nbe elsewhere in the file depending on the exact \
             syntax problem.\n\nThe offending line appears to be:\n\n{}\n{}^ here\n",
            file.display(),
            lines.join("\n"),
            " ".repeat(column.saturating_sub(1) as usize),
        )
    }
}

fn excerpt(span: Span, sources: &Sources) -> Excerpt {
    let source = sources.get(span.source);
    let position = sources.position(span);
    if source.secret {
        return Excerpt { first_line: position.line, position, text: String::new(), start: 0, end: 0 };
    }
    let text = source.text.as_str();
    let start = floor(text, span.start as usize);
    let mut end = floor(text, (span.end as usize).max(start));
    let before = text.get(..start).unwrap_or_default();
    let first = before.rfind('\n').map_or(0, |newline| newline + 1);
    // Of a task or a play the first line says enough.
    if text.get(start..end).is_some_and(|marked| marked.contains('\n')) {
        end = line_end(text, start);
    }
    // A label at a line's end would otherwise point into the next line.
    let marked = text.get(start..end).unwrap_or_default();
    end = start + marked.trim_end_matches(['\n', '\r']).len();
    // One more line on either side: what stands between two labels can then be shown.
    let from = text.get(..first.saturating_sub(1)).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let first_line = if from < first { position.line - 1 } else { position.line };
    let here = line_end(text, end);
    let below = text.get(here..).and_then(|rest| rest.find('\n')).map_or(here, |newline| line_end(text, here + newline + 1));
    let lines = text.get(from..below).unwrap_or_default();
    Excerpt { first_line, position, text: lines.to_owned(), start: start - from, end: end - from }
}

fn line_end(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.find('\n').map_or(rest.len(), |newline| rest.get(..newline).unwrap_or(rest).trim_end_matches('\r').len())
}

/// The nearest character boundary at or before `offset`.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
