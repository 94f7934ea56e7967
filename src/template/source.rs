//! [`Template`]: text that was read as a template, and how its bytes lie in the file it came from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::{Error, Result};
use super::syntax::{self, Block, Delimiters, Expression, Named, Range};
use crate::text::{Sources, Span};

/// A compiled template.
pub struct Template {
    /// What it does.
    pub(super) body: Body,
    /// How it was written, for messages: never a value.
    pub(super) text: Arc<str>,
    pub(super) place: Place,
    /// Whether the result keeps its type where it is one expression; templates in files always give text.
    pub(super) native: bool,
    /// Line feeds at the end, which a text result gets back.
    pub(super) trailing: usize,
    /// Where templates that it includes are looked for.
    pub(super) search: Arc<[PathBuf]>,
    /// Names of filters, tests and lookups in it.
    pub(super) names: Vec<Named>,
    /// By what rules it was read, which those that it includes are read by too.
    pub(super) delimiters: Arc<Delimiters>,
}

/// What a template is.
pub(super) enum Body {
    Statements(Block),
    Expression(Expression),
}

/// Where a template was written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// All of it.
    pub(super) span: Span,
    /// The byte of the file at which its text starts, if it stands there letter by letter.
    pub(super) start: Option<u32>,
    /// Where each byte of its text stands in the file, if only line ends and indents differ: a block or a folded line.
    pub(super) bytes: Option<Arc<[u32]>>,
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_tuple("Template").field(&self.text).finish()
    }
}

impl Place {
    /// Where `text`, the value of the scalar at `span`, stands in its file.
    pub(super) fn of(text: &str, span: Span, sources: &Sources) -> Self {
        let source = sources.get(span.source);
        let raw = source.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let start = raw.find(text).filter(|_| !text.is_empty()).and_then(|offset| u32::try_from(offset).ok());
        let bytes = if start.is_none() { aligned(text, raw, span.start) } else { None };
        Self { span, start: start.map(|offset| span.start + offset), bytes }
    }

    /// Nowhere in particular in `span`, or at `start`.
    pub(super) fn at(span: Span, start: Option<u32>) -> Self {
        Self { span, start, bytes: None }
    }

    /// The bytes `range` of the template, in its file.
    pub(super) fn span(&self, range: Range) -> Span {
        let source = self.span.source;
        if let Some(start) = self.start {
            return Span { source, start: start.saturating_add(range.0), end: start.saturating_add(range.1) };
        }
        let byte = |at: u32| self.bytes.as_ref().and_then(|bytes| bytes.get(at as usize).or(bytes.last()).copied());
        match (byte(range.0), byte(range.1.saturating_sub(1))) {
            (Some(start), Some(last)) => Span { source, start, end: last.max(start) + 1 },
            _ => self.span,
        }
    }
}

/// Where each byte of `text` stands, `raw` being how it was written; `None` where more differs than white space.
fn aligned(text: &str, raw: &str, start: u32) -> Option<Arc<[u32]>> {
    // The first line of a block scalar is its header, `>-`.
    let begin = if raw.starts_with(['|', '>']) { raw.find('\n')? } else { 0 };
    let mut written = raw.bytes().enumerate().skip(begin).filter(|(_, byte)| !byte.is_ascii_whitespace()).peekable();
    if raw.starts_with(['"', '\'']) {
        written.next();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut last = begin;
    for byte in text.bytes() {
        if !byte.is_ascii_whitespace() {
            let (at, same) = written.next()?;
            if same != byte {
                return None;
            }
            last = at;
        }
        bytes.push(start + u32::try_from(last).ok()?);
    }
    Some(bytes.into())
}

impl Template {
    /// Puts the place of `error` in terms of the file, if it happened in this template.
    pub(super) fn locate(&self, mut error: Error) -> Error {
        if let Some(range) = error.range.take()
            && error.trail.is_empty()
        {
            error.trail.push((self.place.span(range), String::new()));
        }
        error
    }

    /// A string of a playbook that has `{{`, `{%` or `{#`.
    pub(super) fn inline(text: &str, place: Place) -> Result<Self> {
        let parsed = syntax::parse(text, 0, &Delimiters::default())?;
        let trailing = text.len() - text.trim_end_matches('\n').len();
        let (body, names) = (Body::Statements(parsed.tree), parsed.names);
        Ok(Self { body, text: text.into(), place, native: true, trailing, search: Arc::new([]), names, delimiters: Arc::default() })
    }

    /// The template of what is not in a template.
    pub(super) fn nothing() -> Self {
        let place = Place::at(Span::default(), None);
        let (body, names) = (Body::Statements(Vec::new()), Vec::new());
        Self { body, text: "".into(), place, native: true, trailing: 0, search: Arc::new([]), names, delimiters: Arc::default() }
    }

    /// A bare expression, as in `when`.
    pub(super) fn bare(text: &str, place: Place) -> Result<Self> {
        let parsed = syntax::parse_expression(text)?;
        let (body, names) = (Body::Expression(parsed.tree), parsed.names);
        Ok(Self { body, text: text.into(), place, native: true, trailing: 0, search: Arc::new([]), names, delimiters: Arc::default() })
    }
}

/// Whether `text` has anything of a template in it.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}
