//! [`Template`]: text that was read as a template, and how its bytes lie in the file it came from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::{Error, Result};
use super::syntax::{self, Block, Delimiters, Expression, Range};
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
}

/// What a template is.
pub(super) enum Body {
    Statements(Block),
    Expression(Expression),
}

/// Where a template was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// All of it.
    pub(super) span: Span,
    /// The byte of the file at which its text starts, if it stands there letter by letter.
    pub(super) start: Option<u32>,
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
        Self { span, start: start.map(|offset| span.start + offset) }
    }

    /// The bytes `range` of the template, in its file.
    pub(super) fn span(&self, range: Range) -> Span {
        match self.start {
            Some(start) => Span { source: self.span.source, start: start.saturating_add(range.0), end: start.saturating_add(range.1) },
            None => self.span,
        }
    }
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
        let block = syntax::parse(text, 0, &Delimiters::default())?;
        let trailing = text.len() - text.trim_end_matches('\n').len();
        Ok(Self { body: Body::Statements(block), text: text.into(), place, native: true, trailing, search: Arc::new([]) })
    }

    /// The template of what is not in a template.
    pub(super) fn nothing() -> Self {
        let place = Place { span: Span::default(), start: None };
        Self { body: Body::Statements(Vec::new()), text: "".into(), place, native: true, trailing: 0, search: Arc::new([]) }
    }

    /// A bare expression, as in `when`.
    pub(super) fn bare(text: &str, place: Place) -> Result<Self> {
        let body = Body::Expression(syntax::parse_expression(text)?);
        Ok(Self { body, text: text.into(), place, native: true, trailing: 0, search: Arc::new([]) })
    }
}

/// Whether `text` has anything of a template in it.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}
