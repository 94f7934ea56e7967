//! YAML events become [`Node`]s, with PyYAML's meaning: see `scalar` for plain scalars and `compose` for tags and mappings.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle};

use super::{Diagnostic, Diagnostics, Node, NodeKind, SourceId, Sources, Span, compose, mistake};

/// What aliases may copy, in nodes: far beyond honest use, far below what hurts ("billion laughs").
const ALIAS_LIMIT: usize = 1_000_000;
/// How deep values may be nested; Python gives up a little earlier.
const DEPTH_LIMIT: usize = 250;

/// Reads all documents of a source, one node each. Mistakes go to `diags`; what was read up to a syntax error is returned.
pub fn parse(sources: &Sources, id: SourceId, diags: &mut Diagnostics) -> Vec<Node> {
    let source = sources.get(id);
    if source.secret {
        let mut found = Diagnostics::default();
        let documents = read(&source.text, id, &mut found);
        diags.extend(found.into_vec().into_iter().map(|diagnostic| concealed(&diagnostic)));
        return documents;
    }
    read(&source.text, id, diags)
}

/// The finding without a word of what was encrypted.
fn concealed(diagnostic: &Diagnostic) -> Diagnostic {
    let message = format!("a mistake in the YAML of an encrypted file: {}", diagnostic.code.replace('-', " "));
    let labels = diagnostic.labels.iter().map(|(span, _)| (*span, String::new())).collect();
    let help = Some("look at the file with `rappel vault view`".to_owned());
    Diagnostic { message, labels, help, ..diagnostic.clone() }
}

fn read(text: &str, id: SourceId, diags: &mut Diagnostics) -> Vec<Node> {
    if let Some(diagnostic) = mistake::forbidden_character(text, id) {
        diags.push(diagnostic);
        return Vec::new();
    }
    let options = granit_parser::options! {
        block_scalar_eof_without_line_feed: true,
        bom_inside_document_as_content: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    let mut builder =
        Builder { source: id, text, open: Vec::new(), anchors: HashMap::new(), copied: 0, exhausted: false, documents: Vec::new(), diags };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let diagnostic = syntax_error(&error, text, id);
                // A template without quotes may already have been found as a strange mapping.
                if !builder.diags.iter().any(|known| known.code == diagnostic.code && known.labels == diagnostic.labels) {
                    builder.diags.push(diagnostic);
                }
                break;
            }
        }
    }
    builder.documents
}

/// Reads a source that must hold one document, as everything but `k8s` manifests and the like must. `None` when it is empty or broken.
pub fn parse_one(sources: &Sources, id: SourceId, diags: &mut Diagnostics) -> Option<Node> {
    let mut documents = parse(sources, id, diags).into_iter();
    let first = documents.next();
    if let Some(second) = documents.next() {
        diags.push(
            Diagnostic::error("multiple-documents", "expected one YAML document, found another")
                .at(second.span, "the second document starts here")
                .help("remove the `---` between them, or make two files"),
        );
    }
    first
}

fn syntax_error(error: &ScanError, text: &str, source: SourceId) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    mistake::explain(&error.info(), text, offset, source)
}

/// A collection whose end has not come yet.
struct Open {
    start: usize,
    /// Where its last part ends so far.
    end: usize,
    tag: Option<Tagged>,
    anchor: usize,
    flow: bool,
    parts: Parts,
}

enum Parts {
    Seq(Vec<Node>),
    Map { entries: Vec<(Node, Node)>, key: Option<Node> },
}

/// A tag: `!vault`, or `!!int` for those of YAML itself.
struct Tagged {
    name: String,
    span: Span,
}

/// An anchored node: `None` while it is still being read.
struct Anchored {
    node: Option<Node>,
    size: usize,
    depth: usize,
}

struct Builder<'a> {
    source: SourceId,
    text: &'a str,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    copied: usize,
    /// An alias was refused: the copies of copies that follow would all be refused too.
    exhausted: bool,
    documents: Vec<Node>,
    diags: &'a mut Diagnostics,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: granit_parser::Span) {
        let span = self.span(&at);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.and_then(|tag| self.tag(&tag, &at));
                // As a key, `=` and `<<` are not what they are as values.
                let is_key = matches!(self.open.last(), Some(Open { parts: Parts::Map { key: None, .. }, .. }));
                let plain = style == ScalarStyle::Plain && !(is_key && text == "=");
                let span = if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) { self.trimmed(span) } else { span };
                // A node that is not there comes as `~` that covers nothing.
                let text = if plain && span.start == span.end { "" } else { text.as_ref() };
                if is_key
                    && text.is_empty()
                    && plain
                    && tag.is_none()
                    && anchor == 0
                    && !self.text.get(..span.start as usize).unwrap_or_default().trim_end().ends_with('?')
                {
                    self.diags.push(Diagnostic::error("missing-key", "expected a key before `:`").at(span, ""));
                }
                let kind = compose::scalar(text, plain, tag.as_ref().map(|tag| (tag.name.as_str(), tag.span)), span, self.diags);
                self.finish(Node::new(kind, span), anchor);
            }
            Event::SequenceStart(style, anchor, tag) => self.begin(Parts::Seq(Vec::new()), style, anchor, tag.as_deref(), &at),
            Event::MappingStart(style, anchor, tag) => {
                self.begin(Parts::Map { entries: Vec::new(), key: None }, style, anchor, tag.as_deref(), &at);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                let known = format!("`&{name}` is not defined above");
                let help = "an anchor must stand before its alias, in the same document; text that starts with `*` needs quotes";
                self.diags.push(Diagnostic::error("unknown-anchor", format!("unknown anchor `{name}`")).at(span, known).help(help));
                self.place(Node::new(NodeKind::Null, span), span.end as usize);
            }
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.copied = 0;
                self.exhausted = false;
            }
            _ => {}
        }
    }

    fn span(&self, at: &granit_parser::Span) -> Span {
        let range = at.byte_range().unwrap_or(0..0);
        Span::new(self.source, range.start, range.end)
    }

    /// Without the blank end that a block scalar's span has.
    fn trimmed(&self, span: Span) -> Span {
        let written = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        Span::new(self.source, span.start as usize, span.start as usize + written.trim_end().len())
    }

    fn tag(&self, tag: &granit_parser::Tag, at: &granit_parser::Span) -> Option<Tagged> {
        let name = match tag.suffix_in_namespace("tag:yaml.org,2002:") {
            Some(name) => format!("!!{name}"),
            None => tag.to_string(),
        };
        let span = at.tag_span().map_or_else(|| self.span(at), |span| self.span(&span));
        // `! text` has the type that `text` has.
        (name != "!").then_some(Tagged { name, span })
    }

    fn begin(&mut self, parts: Parts, style: StructureStyle, anchor: usize, tag: Option<&granit_parser::Tag>, at: &granit_parser::Span) {
        let tag = tag.and_then(|tag| self.tag(tag, at));
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: None, size: 0, depth: 0 });
        }
        let start = self.span(at).start as usize;
        self.open.push(Open { start, end: start, tag, anchor, flow: style == StructureStyle::Flow, parts });
    }

    fn end(&mut self, at: Span) {
        let Some(open) = self.open.pop() else { return };
        // A block collection ends where its last part does, not where the next line happens to begin.
        let end = if open.flow { at.end as usize } else { open.end };
        let span = Span::new(self.source, open.start, end);
        let tag = open.tag.as_ref().map(|tag| (tag.name.as_str(), tag.span));
        let kind = match open.parts {
            Parts::Seq(items) => compose::sequence(items, tag, span, self.diags),
            Parts::Map { entries, .. } => compose::mapping(entries, tag, span, self.text, self.diags),
        };
        self.finish(Node::new(kind, span), open.anchor);
    }

    fn finish(&mut self, node: Node, anchor: usize) {
        let end = node.span.end as usize;
        if anchor != 0 {
            let (size, depth) = compose::measure(&node);
            self.anchors.insert(anchor, Anchored { node: Some(node.clone()), size, depth });
        }
        self.place(node, end);
    }

    /// Puts a copy where the alias stands; the copy keeps the places of the original, which is where its text was written.
    fn alias(&mut self, anchor: usize, span: Span) {
        let copy = match self.anchors.get(&anchor) {
            Some(Anchored { node: Some(node), size, depth }) => {
                self.copied = self.copied.saturating_add(*size);
                if self.copied <= ALIAS_LIMIT && self.open.len() + depth <= DEPTH_LIMIT {
                    Ok(node.clone())
                } else {
                    Err(Diagnostic::error("alias-too-large", "aliases of aliases make this document too large").at(span, "expanded here"))
                }
            }
            _ => {
                Err(Diagnostic::error("recursive-alias", "a value cannot contain itself")
                    .at(span, "this alias stands inside what it names"))
            }
        };
        let node = copy.unwrap_or_else(|problem| {
            if !std::mem::replace(&mut self.exhausted, problem.code == "alias-too-large") {
                self.diags.push(problem);
            }
            Node::new(NodeKind::Null, span)
        });
        self.place(node, span.end as usize);
    }

    fn place(&mut self, node: Node, end: usize) {
        let Some(open) = self.open.last_mut() else { return self.documents.push(node) };
        open.end = open.end.max(end);
        match &mut open.parts {
            Parts::Seq(items) => items.push(node),
            Parts::Map { entries, key } => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }
}

#[cfg(test)]
mod tests;
