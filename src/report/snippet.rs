//! A [`Finding`] as a picture in the manner of rustc: the message, the lines it is about with marks below them, and what to do.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::event::{Excerpt, Finding};
use crate::text::Severity;

/// How wide a picture may get before long lines are cut.
const WIDTH: usize = 140;
/// Excerpts of one file that are further apart than this are drawn apart.
const GAP: u32 = 2000;

/// Draws a finding, with escape sequences for colours if `colored`. No line feed at the end.
pub fn draw(finding: &Finding, colored: bool) -> String {
    let diagnostic = &finding.diagnostic;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let labels: Vec<&str> = diagnostic.labels.iter().map(|(_, label)| label.as_str()).collect();
    let pieces = pieces(&finding.excerpts);
    let elements: Vec<Element<'_>> = pieces.iter().map(|piece| piece.element(&labels)).collect();
    let message = printable(&diagnostic.message);
    let mut report = vec![level.primary_title(message).id(diagnostic.code.as_str()).elements(elements)];
    if let Some(help) = &diagnostic.help {
        report.push(Group::with_title(Level::HELP.secondary_title(printable(help))));
    }
    let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(WIDTH).render(&report)
}

/// Without control characters, which a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() && char != '\n' { '\u{fffd}' } else { char }).collect()
}

/// A stretch of one file with all marks on it.
struct Piece<'a> {
    name: &'a str,
    first_line: u32,
    text: String,
    /// Which label, and where in `text`.
    marks: Vec<(usize, std::ops::Range<usize>)>,
    /// For a file that may not be shown.
    position: (u32, u32),
}

impl Piece<'_> {
    fn element<'b>(&'b self, labels: &[&'b str]) -> Element<'b> {
        if self.text.is_empty() {
            let (line, column) = (self.position.0 as usize, self.position.1 as usize);
            return Origin::path(self.name).line(line).char_column(column).into();
        }
        let annotations = self.marks.iter().map(|(label, at)| {
            let kind = if *label == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(at.clone());
            match labels.get(*label) {
                Some(text) if !text.is_empty() => annotation.label(*text),
                _ => annotation,
            }
        });
        Snippet::source(self.text.as_str()).line_start(self.first_line as usize).path(self.name).annotations(annotations).into()
    }
}

/// Puts the excerpts of one file together: blank lines, which are folded away, stand for what is between them.
fn pieces(excerpts: &[Excerpt]) -> Vec<Piece<'_>> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut left: Vec<(usize, &Excerpt)> = excerpts.iter().enumerate().collect();
    while let Some((first, _)) = left.first().copied() {
        let leader = left.iter().find(|(index, _)| *index == first).map(|(_, excerpt)| *excerpt);
        let Some(leader) = leader else { break };
        let near =
            |excerpt: &Excerpt| excerpt.position.name == leader.position.name && excerpt.first_line.abs_diff(leader.first_line) < GAP;
        let (together, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, excerpt)| near(excerpt));
        pieces.push(piece(leader, &together));
        left = others;
    }
    pieces
}

fn piece<'a>(leader: &'a Excerpt, together: &[(usize, &Excerpt)]) -> Piece<'a> {
    let first_line = together.iter().map(|(_, excerpt)| excerpt.first_line).min().unwrap_or(1);
    let mut lines: Vec<&str> = Vec::new();
    for (_, excerpt) in together {
        let from = (excerpt.first_line - first_line) as usize;
        for (number, line) in excerpt.text.lines().enumerate() {
            if lines.len() <= from + number {
                lines.resize(from + number + 1, "");
            }
            if let Some(slot) = lines.get_mut(from + number) {
                *slot = line;
            }
        }
    }
    let mut starts = Vec::with_capacity(lines.len());
    let mut text = String::new();
    for line in &lines {
        starts.push(text.len());
        text.push_str(line);
        text.push('\n');
    }
    // By line and column: the excerpt's line ends may have been two bytes.
    let place = |excerpt: &Excerpt, offset: usize| {
        let before = excerpt.text.get(..offset)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = (excerpt.first_line - first_line) as usize + before.matches('\n').count();
        Some((starts.get(line)? + offset - line_start).min(text.len()))
    };
    let marks = together.iter().filter_map(|(index, excerpt)| {
        let start = place(excerpt, excerpt.start)?;
        Some((*index, start..place(excerpt, excerpt.end)?.max(start)))
    });
    let marks = marks.collect();
    Piece { name: &leader.position.name, first_line, text, marks, position: (leader.position.line, leader.position.column) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::text::{Diagnostic, Sources, Span};

    #[test]
    fn two_files_and_a_help() {
        let sources = Sources::default();
        let one = sources.add("site.yml", "a: 1\n\tb: 2\nc: 東京 x\n");
        let two = sources.add("other.yml", "x: y\n");
        let diagnostic = Diagnostic::warning("some-code", "something is odd")
            .at(Span::new(one, 14, 20), "here")
            .at(Span::new(two, 0, 1), "because of this")
            .at(Span::new(one, 0, 1), "and this")
            .help("do it otherwise");
        let finding = Finding::new(diagnostic, &sources);
        let expected = [
            "warning[some-code]: something is odd",
            " --> site.yml:3:4",
            "  |",
            "1 | a: 1",
            "  | - and this",
            "2 |     b: 2",
            "3 | c: 東京 x",
            "  |    ^^^^ here",
            "  |",
            " ::: other.yml:1:1",
            "  |",
            "1 | x: y",
            "  | - because of this",
            "  |",
            "help: do it otherwise",
        ];
        assert_eq!(draw(&finding, false).lines().collect::<Vec<_>>(), expected);
        let colored = draw(&finding, true);
        assert!(colored.contains("\u{1b}[") && anstream::adapter::strip_str(&colored).to_string() == draw(&finding, false));
    }

    #[test]
    fn what_was_encrypted_is_not_shown() {
        let sources = Sources::default();
        let id = sources.add_secret(Path::new("secrets.yml"), "password: hunter2\n");
        let picture = draw(&Finding::new(Diagnostic::error("code", "wrong").at(Span::new(id, 10, 17), ""), &sources), false);
        assert!(picture.contains("secrets.yml:1:11") && !picture.contains("hunter2"), "{picture}");
    }
}
