//! INI inventories, line by line: sections, host lines, group names, variables. What they mean is for `model::inventory`.
//!
//! Host lines are split as a shell would (`name="a b" # comment`); values in `[group:vars]` run to the end of their line.
//! A value of either kind that is a Python literal as a whole is that literal.

use super::{Diagnostic, Diagnostics, Node, NodeKind, SourceId, Sources, Span, Spanned, did_you_mean, literal};

/// What the lines of a section are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// `[group]`, and the lines before the first section.
    Hosts,
    /// `[group:children]`.
    Children,
    /// `[group:vars]`.
    Vars,
}

/// Variables, as they stand there.
type Vars = Vec<(Spanned<String>, Node)>;

/// A section and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The group; empty for the lines before the first section.
    pub group: Spanned<String>,
    /// What its lines are.
    pub kind: SectionKind,
    /// Lines of a `Hosts` section: a name (still with its ranges and port) and variables.
    pub hosts: Vec<(Spanned<String>, Vars)>,
    /// Lines of a `Children` section.
    pub children: Vec<Spanned<String>>,
    /// Lines of a `Vars` section.
    pub vars: Vars,
}

impl Section {
    fn new(group: Spanned<String>, kind: SectionKind) -> Self {
        Self { group, kind, hosts: Vec::new(), children: Vec::new(), vars: Vec::new() }
    }
}

const KINDS: [&str; 2] = ["children", "vars"];

/// Reads the inventory `source`. Lines that cannot be read are reported and left out.
pub fn parse(sources: &Sources, source: SourceId, diags: &mut Diagnostics) -> Vec<Section> {
    let text = &sources.get(source).text;
    let mut sections = vec![Section::new(Spanned::new(String::new(), Span::new(source, 0, 0)), SectionKind::Hosts)];
    // Lines below a header that cannot be read belong to nobody; one finding for the header is enough.
    let mut lost = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let line_start = start;
        start += line.len();
        let line = Line { source, start: line_start, text: line }.trimmed();
        if line.text.is_empty() || line.text.starts_with(['#', ';']) {
            continue;
        }
        match line.header() {
            Some(Ok(section)) => {
                sections.push(section);
                lost = false;
            }
            Some(Err(diagnostic)) => {
                diags.push(diagnostic);
                lost = true;
            }
            None if lost => {}
            None => {
                if let Some(section) = sections.last_mut()
                    && let Err(diagnostic) = line.read(section)
                {
                    diags.push(diagnostic);
                }
            }
        }
    }
    sections
}

/// A stretch of one line.
#[derive(Clone, Copy)]
struct Line<'a> {
    source: SourceId,
    start: usize,
    text: &'a str,
}

impl Line<'_> {
    fn trimmed(self) -> Self {
        let text = self.text.trim_start_matches('\u{feff}').trim_start();
        Self { start: self.start + self.text.len() - text.len(), text: text.trim_end(), ..self }
    }

    fn part(self, from: usize, to: usize) -> Self {
        Self { start: self.start + from, text: self.text.get(from..to).unwrap_or_default(), ..self }
    }

    fn span(self) -> Span {
        Span::new(self.source, self.start, self.start + self.text.len())
    }

    fn spanned(self) -> Spanned<String> {
        Spanned::new(self.text.to_owned(), self.span())
    }

    fn error(self, message: impl Into<String>, label: &str) -> Diagnostic {
        Diagnostic::error("inventory-syntax", message).at(self.span(), label)
    }

    /// Without a comment that starts at the end or behind white space.
    fn uncommented(self) -> Self {
        let comment =
            self.text.match_indices('#').find(|(at, _)| self.text.get(..*at).is_some_and(|before| before.ends_with(char::is_whitespace)));
        self.part(0, comment.map_or(self.text.len(), |(at, _)| at)).trimmed()
    }

    /// The section that this line opens, if it looks like a header. `[::1]:22` and `[a]b` do not: they are hosts.
    fn header(self) -> Option<Result<Section, Diagnostic>> {
        let line = self.uncommented();
        let inner = line.text.strip_prefix('[')?;
        let Some(close) = inner.find(']') else {
            // What has no variables is not a host line either.
            let help = "a section reads `[group]`, `[group:vars]` or `[group:children]`";
            return Some(Err(line.error("section header without `]`", "expected `]` at the end").help(help)));
        };
        if close + 2 < line.text.len() {
            return inner.get(close + 1..).is_some_and(|rest| rest.starts_with('#')).then(|| line.part(0, close + 2).section());
        }
        Some(line.section())
    }

    /// Reads `[group]` or `[group:kind]`.
    fn section(self) -> Result<Section, Diagnostic> {
        let inner = self.part(1, self.text.len() - 1);
        let (group, kind) = match inner.text.split_once(':') {
            None => (inner, None),
            Some((group, _)) => (inner.part(0, group.len()), Some(inner.part(group.len() + 1, inner.text.len()))),
        };
        if group.text.is_empty() || inner.text.contains(char::is_whitespace) {
            let problem = if group.text.is_empty() { "no group name" } else { "white space" };
            return Err(self
                .error(format!("section header `{}` has {problem}", self.text), "expected `[group]`")
                .help("write the group's name right between the brackets"));
        }
        let kind = match kind.map(|kind| (kind, kind.text)) {
            None => SectionKind::Hosts,
            Some((_, "children")) => SectionKind::Children,
            Some((_, "vars")) => SectionKind::Vars,
            Some((kind, word)) => {
                let error = kind.error(format!("unknown kind of section `{word}`"), "expected `vars` or `children`");
                return Err(match did_you_mean(word, KINDS) {
                    Some(meant) => error.help(format!("did you mean `[{}:{meant}]`?", group.text)),
                    None => error,
                });
            }
        };
        Ok(Section::new(group.spanned(), kind))
    }

    fn read(self, section: &mut Section) -> Result<(), Diagnostic> {
        match section.kind {
            SectionKind::Hosts => section.hosts.push(self.host()?),
            SectionKind::Children => section.children.push(self.child()?),
            SectionKind::Vars => section.vars.push(self.var()?),
        }
        Ok(())
    }

    fn child(self) -> Result<Spanned<String>, Diagnostic> {
        let name = self.uncommented();
        if name.text.contains(|letter: char| letter.is_whitespace() || matches!(letter, ':' | '[' | ']')) {
            return Err(name.error(format!("expected the name of a group, found `{}`", name.text), "one group a line"));
        }
        Ok(name.spanned())
    }

    fn var(self) -> Result<(Spanned<String>, Node), Diagnostic> {
        let Some((name, _)) = self.text.split_once('=') else {
            return Err(self.error(format!("expected `name=value`, found `{}`", self.text), "no `=` here"));
        };
        let value = self.part(name.len() + 1, self.text.len()).trimmed();
        Ok((self.part(0, name.len()).trimmed().spanned(), value_of(value.text, value.span())))
    }

    fn host(self) -> Result<(Spanned<String>, Vars), Diagnostic> {
        let mut words = self.words()?.into_iter();
        let Some(name) = words.next() else { return Err(self.error("expected a host", "")) };
        let mut vars = Vec::new();
        for word in words {
            let Some((name, value)) = word.value.split_once('=') else {
                let error = Diagnostic::error("inventory-syntax", format!("expected `name=value`, found `{}`", word.value));
                return Err(error
                    .at(word.span, "not an assignment")
                    .help("one host a line; no white space round `=`; values with white space in quotes"));
            };
            let written =
                Span { end: word.span.start.saturating_add(u32::try_from(name.len()).unwrap_or(u32::MAX)).min(word.span.end), ..word.span };
            vars.push((
                Spanned::new(name.to_owned(), written),
                value_of(value, Span { start: (written.end + 1).min(word.span.end), ..word.span }),
            ));
        }
        Ok((name, vars))
    }

    /// The words of a line as a POSIX shell sees them: quotes group, backslashes escape, `#` starts a comment anywhere.
    fn words(self) -> Result<Vec<Spanned<String>>, Diagnostic> {
        let mut words = Vec::new();
        let mut word: Option<(usize, String)> = None;
        let mut letters = self.text.char_indices();
        let mut end = self.text.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '#' => {
                    end = at;
                    break;
                }
                _ if letter.is_whitespace() => {
                    if let Some((start, value)) = word.take() {
                        words.push(Spanned::new(value, self.part(start, at).span()));
                    }
                }
                quote @ ('\'' | '"') => {
                    let (_, value) = word.get_or_insert((at, String::new()));
                    quoted(quote, &mut letters, value).ok_or_else(|| {
                        let open = self.part(at, self.text.len());
                        open.error("quotation mark without its partner", "opened here")
                            .help("close the quotation, or put the other kind of quotation mark round it")
                    })?;
                }
                '\\' => {
                    let (_, value) = word.get_or_insert((at, String::new()));
                    let Some((_, escaped)) = letters.next() else {
                        return Err(self.part(at, self.text.len()).error("backslash at the end of the line", "nothing to escape"));
                    };
                    value.push(escaped);
                }
                _ => word.get_or_insert((at, String::new())).1.push(letter),
            }
        }
        if let Some((start, value)) = word {
            words.push(Spanned::new(value, self.part(start, end).span()));
        }
        Ok(words)
    }
}

fn quoted(quote: char, letters: &mut std::str::CharIndices<'_>, value: &mut String) -> Option<()> {
    loop {
        match letters.next()?.1 {
            letter if letter == quote => return Some(()),
            '\\' if quote == '"' => match letters.next()?.1 {
                letter @ ('"' | '\\') => value.push(letter),
                letter => value.extend(['\\', letter]),
            },
            letter => value.push(letter),
        }
    }
}

fn value_of(text: &str, span: Span) -> Node {
    literal::parse(text, span).unwrap_or_else(|| Node::new(NodeKind::Str(text.to_owned()), span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Sources, Vec<Section>, Vec<String>) {
        let sources = Sources::default();
        let id = sources.add("hosts", text);
        let mut diags = Diagnostics::default();
        let sections = parse(&sources, id, &mut diags);
        let shown = |diagnostic: &Diagnostic| {
            let place = diagnostic.labels.first().map(|(span, _)| sources.position(*span)).unwrap();
            format!("{}:{}: {}", place.line, place.column, diagnostic.message)
        };
        let findings = diags.iter().map(shown).collect();
        (sources, sections, findings)
    }

    /// Each value as ansible-core 2.19 reads it.
    #[test]
    fn host_variables() {
        let cases = [
            ("x=1", NodeKind::Int(1)),
            ("x=\"a b\"", NodeKind::Str("a b".into())),
            ("x='q'", NodeKind::Str("q".into())),
            ("x=\"'q'\"", NodeKind::Str("q".into())),
            ("x=0644", NodeKind::Str("0644".into())),
            ("x=true", NodeKind::Str("true".into())),
            ("x=True", NodeKind::Bool(true)),
            ("x=a#b", NodeKind::Str("a".into())),
            ("x=", NodeKind::Str(String::new())),
            ("x=#", NodeKind::Str(String::new())),
            ("x=1;y", NodeKind::Str("1;y".into())),
            ("x=b=c # no", NodeKind::Str("b=c".into())),
            ("x=\"a\\nb\"", NodeKind::Str("a\\nb".into())),
            ("x=a\\ b", NodeKind::Str("a b".into())),
            ("x='a # b'", NodeKind::Str("a # b".into())),
            ("x={'a':1}", NodeKind::Str("{a:1}".into())),
            ("x={{y}}", NodeKind::Str("{{y}}".into())),
            ("x=None", NodeKind::Null),
            ("x=2001:db8::1", NodeKind::Str("2001:db8::1".into())),
        ];
        for (text, expected) in cases {
            let (_, sections, findings) = read(&format!("h {text}"));
            assert_eq!(findings, Vec::<String>::new());
            assert_eq!(sections[0].hosts[0].1[0].1.kind, expected, "{text}");
        }
    }

    #[test]
    fn sections_and_spans() {
        let text = "top\n[web] # w\n a:22 x=1\n[web:vars]\n; c\nk = v # kept\n[site:children]#c\nweb # c\n[::1]:22\n";
        let (sources, sections, findings) = read(text);
        assert_eq!(findings, ["9:1: expected the name of a group, found `[::1]:22`"]);
        let written = |span: Span| sources.get(span.source).text.get(span.start as usize..span.end as usize).unwrap().to_owned();
        assert_eq!(
            sections.iter().map(|s| (s.group.value.as_str(), s.kind)).collect::<Vec<_>>(),
            [("", SectionKind::Hosts), ("web", SectionKind::Hosts), ("web", SectionKind::Vars), ("site", SectionKind::Children)]
        );
        let (host, vars) = &sections[1].hosts[0];
        assert_eq!((host.value.as_str(), written(host.span).as_str()), ("a:22", "a:22"));
        assert_eq!((written(vars[0].0.span).as_str(), written(vars[0].1.span).as_str()), ("x", "1"));
        let (name, value) = &sections[2].vars[0];
        assert_eq!((written(name.span).as_str(), value.as_str()), ("k", Some("v # kept")));
        assert_eq!(sections[3].children[0].value, "web");
    }

    #[test]
    fn reports_every_line_it_cannot_read() {
        let text = "h x\nh1 h2\nh x='1\nh x=a\\\n[a:var]\nlost\n[a:vars]\nx\n[ g ]\n[]\n[web\n[a:children]\nb c\n";
        assert_eq!(
            read(text).2,
            [
                "1:3: expected `name=value`, found `x`",
                "2:4: expected `name=value`, found `h2`",
                "3:5: quotation mark without its partner",
                "4:6: backslash at the end of the line",
                "5:4: unknown kind of section `var`",
                "8:1: expected `name=value`, found `x`",
                "9:1: section header `[ g ]` has white space",
                "10:1: section header `[]` has no group name",
                "11:1: section header without `]`",
                "13:1: expected the name of a group, found `b c`",
            ]
        );
    }
}
