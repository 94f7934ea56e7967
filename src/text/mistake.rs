//! Why a text is no YAML, in words that help: the classic mistakes are recognised by how their line looks.

use super::{Diagnostic, SourceId, Span, compose};

/// A line of the text, without its end.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

/// Explains the parser's `message` about `offset`.
pub(super) fn explain(message: &str, text: &str, offset: usize, source: SourceId) -> Diagnostic {
    let here = line_at(text, offset);
    // Some mistakes only show on the line after them.
    let before = previous_line(text, here.start);
    let suspects = [Some(here), before];
    // A tab is taken for the continuation of the line above, and refused there.
    if let Some(diagnostic) = next_line(text, here).and_then(|line| tab_indent(line, source)) {
        return diagnostic;
    }
    for line in suspects.into_iter().flatten() {
        if let Some(diagnostic) = tab_indent(line, source).or_else(|| unquoted_template(line, source)) {
            return diagnostic;
        }
    }
    let at = Span::new(source, offset, offset + text.get(offset..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8));
    if message.contains("unknown escape") {
        let help = "in double quotes write `\\\\` for a backslash, or use single quotes";
        let at = unknown_escape(text, offset).map_or(at, |escape| Span::new(source, escape, escape + 2));
        return Diagnostic::error("unknown-escape", "unknown escape in a double-quoted text").at(at, "").help(help);
    }
    if let Some(diagnostic) = quoting(message, here, offset, at) {
        return diagnostic;
    }
    if let Some(diagnostic) = flow(message, text, offset, at) {
        return diagnostic;
    }
    for line in suspects.into_iter().flatten() {
        if let Some(diagnostic) = missing_space(line, source) {
            return diagnostic;
        }
    }
    structure(message, here, before, at, source)
}

/// Tabs where only spaces may indent.
fn tab_indent(line: Line<'_>, source: SourceId) -> Option<Diagnostic> {
    let indent = line.text.len() - line.text.trim_start().len();
    let tab = line.text.get(..indent)?.find('\t')?;
    let at = Span::new(source, line.start + tab, line.start + tab + 1);
    Some(Diagnostic::error("tab-indent", "a tab cannot indent YAML").at(at, "this is a tab").help("indent with spaces"))
}

/// `key: {{ x }}/y` without quotes.
fn unquoted_template(line: Line<'_>, source: SourceId) -> Option<Diagnostic> {
    let start = value_start(line.text)?;
    let value = compose::value_with_template(line.text.get(start..)?);
    let span = Span::new(source, line.start + start, line.start + start + value.len());
    value.starts_with("{{").then(|| compose::unquoted_template(value, span))
}

/// Where the value of `- key: value` begins, or of `- value`.
fn value_start(line: &str) -> Option<usize> {
    let mut start = line.len() - line.trim_start().len();
    while let Some(rest) = line.get(start..)?.strip_prefix("- ") {
        start = line.len() - rest.trim_start().len();
    }
    let rest = line.get(start..)?;
    let value = match rest.find(": ") {
        Some(colon) if !rest.starts_with(['"', '\'', '{']) => rest.get(colon + 2..)?,
        _ => rest,
    };
    Some(line.len() - value.trim_start().len())
}

/// Mistakes with quotes, and text that needs them.
fn quoting(message: &str, line: Line<'_>, offset: usize, at: Span) -> Option<Diagnostic> {
    let column = offset.checked_sub(line.start)?;
    if message.contains("unclosed quote") || message.contains("document indicator") {
        let help = "close it, or double a quote that belongs to the text: `'it''s'`";
        return Some(Diagnostic::error("unclosed-quote", "a quoted text is never closed").at(at, "").help(help));
    }
    if message.contains("trailing content after") {
        let diagnostic = Diagnostic::error("text-after-quote", "text after the closing quote").at(at, "the value ended before this");
        let value = value_start(line.text).and_then(|start| line.text.get(start..)).unwrap_or_default().trim_end();
        // `"{{ base }}"/bin` wants its quote moved, `"web" in groups` wants quotes around.
        let is_tail = line.text.get(..column).is_some_and(|before| before.ends_with(['"', '\'']));
        let whole = if is_tail { quoted(&value.replace(['"', '\''], "")) } else { quoted(value) };
        return Some(diagnostic.help(format!("quote the whole value: `{whole}`")));
    }
    if message.contains("unexpected character") {
        let char = line.text.get(column..)?.chars().next()?;
        let name = if char == '`' { "a backtick".to_owned() } else { format!("`{char}`") };
        let diagnostic = Diagnostic::error("yaml-syntax", format!("no value can start with {name}")).at(at, "");
        return Some(diagnostic.help(format!("quote the value: {}", quoted(line.text.get(column..)?.trim_end()))));
    }
    if message.contains("mapping values are not allowed") {
        let start = value_start(line.text)?;
        let value = line.text.get(start..)?;
        if start <= column && !value.starts_with(['"', '\'']) && line.text.get(..start).is_some_and(|before| before.contains(": ")) {
            let help = format!("quote the value: `{}`", quoted(value.trim_end()));
            return Some(
                Diagnostic::error("colon-in-value", "a value with `: ` in it needs quotes").at(at, "read as the end of a key").help(help),
            );
        }
    }
    None
}

/// The first backslash of the double-quoted text at `start` that introduces nothing known.
fn unknown_escape(text: &str, start: usize) -> Option<usize> {
    let mut chars = text.get(start..)?.char_indices().skip(1);
    while let Some((offset, char)) = chars.next() {
        if char == '"' {
            return None;
        }
        if char == '\\' {
            let (_, escape) = chars.next()?;
            let known = escape.is_whitespace() || "0abtnvfre\"/\\N_LPxuU".contains(escape);
            if !known {
                return Some(start + offset);
            }
        }
    }
    None
}

fn quoted(value: &str) -> String {
    if value.contains('"') { format!("'{}'", value.replace('\'', "''")) } else { format!("\"{value}\"") }
}

/// Lists in `[…]` and mappings in `{…}`.
fn flow(message: &str, text: &str, offset: usize, at: Span) -> Option<Diagnostic> {
    if message.contains("misplaced bracket") {
        return Some(Diagnostic::error("yaml-syntax", "this closes a bracket that is not open").at(at, ""));
    }
    let signs = ["flow", "illegal placement of ':'", "bracket", "inside a block"];
    if !signs.iter().any(|sign| message.contains(sign)) {
        return None;
    }
    let (place, bracket) = open_bracket(text, offset)?;
    let open = Span::new(at.source, place, place + 1);
    if message.contains("unclosed bracket") || message.contains("EOF") {
        return Some(Diagnostic::error("unclosed-bracket", format!("`{bracket}` is never closed")).at(open, ""));
    }
    let close = if bracket == '[' { ']' } else { '}' };
    if message.contains("mismatched bracket") {
        let help = format!("close it with `{close}`");
        return Some(Diagnostic::error("yaml-syntax", format!("`{bracket}` is closed by the wrong bracket")).at(open, "").help(help));
    }
    let diagnostic = Diagnostic::error("yaml-syntax", format!("expected `,` or `{close}`")).at(at, "").at(open, "inside this");
    Some(diagnostic.help(format!("separate entries by commas, and close `{bracket}` with `{close}`")))
}

/// The innermost `[` or `{` that is open at `offset`, looked for in the lines just above.
fn open_bracket(text: &str, offset: usize) -> Option<(usize, char)> {
    let before = text.get(..=offset).or_else(|| text.get(..offset))?;
    let from = before.rmatch_indices('\n').nth(50).map_or(0, |(newline, _)| newline + 1);
    let mut open = Vec::new();
    let mut quote = None;
    let mut last = ' ';
    for (place, char) in before.get(from..)?.char_indices() {
        match (quote, char) {
            (Some(mark), _) if mark == char => quote = None,
            (Some(_), _) => {}
            // Inside a word a quote is a letter.
            (None, '"' | '\'') if !last.is_alphanumeric() => quote = Some(char),
            (None, '[' | '{') => open.push((from + place, char)),
            (None, ']' | '}') => drop(open.pop()),
            _ => {}
        }
        last = char;
    }
    open.pop()
}

/// `key:value`, which is one word.
fn missing_space(line: Line<'_>, source: SourceId) -> Option<Diagnostic> {
    let content = line.text.trim_start().trim_start_matches("- ");
    let indent = line.text.len() - content.len();
    let colon = content.find(':')?;
    let key = content.get(..colon)?;
    let next = content.get(colon + 1..)?.chars().next()?;
    let is_word = !key.is_empty() && key.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.'));
    if !is_word || next.is_whitespace() || matches!(next, '/' | ':') || content.contains(": ") || content.ends_with(':') {
        return None;
    }
    let at = Span::new(source, line.start + indent, line.start + indent + colon + 2);
    Some(Diagnostic::error("missing-space", "a space is missing after the colon").at(at, "").help(format!("write `{key}: …`")))
}

/// Everything else: what the parser says, in plainer words.
fn structure(message: &str, line: Line<'_>, before: Option<Line<'_>>, at: Span, source: SourceId) -> Diagnostic {
    let at = if line.text.is_empty() { at } else { at_word(line, at, source) };
    let plain = Diagnostic::error("yaml-syntax", "");
    let say = |message: &str| Diagnostic { message: message.to_owned(), ..plain.clone() };
    if message.contains("did not find expected key") || message.contains("'-' indicator") || message.contains("invalid indentation") {
        let mut diagnostic = say("this line does not fit the lines above it").at(at, "");
        if let Some(before) = before.filter(|before| indent_of(before.text) != indent_of(line.text)) {
            let indent = indent_of(before.text);
            let above = Span::new(source, before.start + indent, before.start + before.text.trim_end().len());
            diagnostic = diagnostic.at(above, format!("indented by {indent}; the line below by {}", indent_of(line.text)));
        }
        return diagnostic.help("entries of one list or mapping start in the same column");
    }
    if message.contains("mapping values are not allowed") {
        let deeper = before.filter(|before| indent_of(line.text) > indent_of(before.text) && !before.text.trim_end().ends_with(':'));
        if let Some(before) = deeper {
            let above = Span::new(source, before.start + indent_of(before.text), before.start + before.text.trim_end().len());
            return say("this line is indented below one that has a value already")
                .at(Span::new(source, line.start + indent_of(line.text), at.end as usize), "")
                .at(above, "this already has its value")
                .help("indent both alike, or give the line above no value");
        }
        return say("a mapping cannot start here").at(at, "").help("check the indentation, and that the line above ends as meant");
    }
    if message.contains("simple key") {
        return say("expected `:` after a key").at(at, "").help("a line of a mapping is `key: value`");
    }
    if message.contains("recursion limit") {
        return Diagnostic::error("too-deep", "lists and mappings are nested too deeply").at(at, "");
    }
    say(message.trim_start_matches("while parsing ").trim_start_matches("while scanning ")).at(at, "")
}

/// From the offset to the end of the word that stands there.
fn at_word(line: Line<'_>, at: Span, source: SourceId) -> Span {
    let rest = (at.start as usize).checked_sub(line.start).and_then(|column| line.text.get(column..)).unwrap_or_default();
    let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
    if word == 0 { at } else { Span::new(source, at.start as usize, at.start as usize + word) }
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn line_at(text: &str, offset: usize) -> Line<'_> {
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let rest = text.get(start..).unwrap_or_default();
    Line { start, text: rest.split('\n').next().unwrap_or_default().trim_end_matches('\r') }
}

fn next_line<'a>(text: &'a str, line: Line<'a>) -> Option<Line<'a>> {
    let newline = text.get(line.start..)?.find('\n')?;
    Some(line_at(text, line.start + newline + 1))
}

/// The last line above `start` that is neither blank nor a comment.
fn previous_line(text: &str, start: usize) -> Option<Line<'_>> {
    let mut end = start;
    while end > 0 {
        let line = line_at(text, end - 1);
        let content = line.text.trim_start();
        if !content.is_empty() && !content.starts_with('#') {
            return Some(line);
        }
        end = line.start;
    }
    None
}

/// Characters that YAML allows nowhere, not even in quotes.
pub(super) fn forbidden_character(text: &str, source: SourceId) -> Option<Diagnostic> {
    let forbidden = |char: char| matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    let (offset, char) = text.char_indices().find(|(_, char)| forbidden(*char))?;
    let at = Span::new(source, offset, offset + char.len_utf8());
    let message = format!("control character U+{:04X}", u32::from(char));
    Some(Diagnostic::error("control-character", message).at(at, "").help(format!("in double quotes, write `\\x{:02x}`", u32::from(char))))
}
