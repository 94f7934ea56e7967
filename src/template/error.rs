//! [`Error`]: what goes wrong inside a template, before it is known where in the playbook that is.

use std::sync::Arc;

use super::syntax::Range;
use super::value::Missing;
use crate::text::{Diagnostic, Span};

/// A failed evaluation, or a template that cannot be read.
#[derive(Clone, Debug)]
pub struct Error {
    /// The code of the diagnostic.
    pub code: &'static str,
    /// What is wrong. Never the value of a variable.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where in the template.
    pub(super) range: Option<Range>,
    /// Where in a file, and the templates through which it was reached, innermost first.
    pub trail: Vec<(Span, String)>,
}

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, range: None, trail: Vec::new() }
    }

    /// The template cannot be read.
    pub(super) fn syntax(message: impl Into<String>) -> Self {
        Self::new("template-syntax", message)
    }

    /// An operation that its operands do not allow.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new("template-failed", message)
    }

    /// A use of what is undefined.
    pub(super) fn undefined(missing: &Arc<Missing>) -> Self {
        let trail = missing.place.iter().map(|place| (*place, String::new())).collect();
        Self { help: missing.help.clone(), trail, ..Self::new("undefined-variable", missing.message.clone()) }
    }

    /// It happened at `span`.
    pub(super) fn at(mut self, span: Span) -> Self {
        self.trail.push((span, String::new()));
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// It happened here, unless it is already known where.
    pub(super) fn within(mut self, at: Range) -> Self {
        if self.range.is_none() && self.trail.is_empty() {
            self.range = Some(at);
        }
        self
    }

    /// The same as something to show.
    pub(super) fn diagnostic(self, fallback: Option<Span>) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.code, self.message);
        diagnostic.help = self.help;
        diagnostic.labels = self.trail;
        if let (true, Some(span)) = (diagnostic.labels.is_empty(), fallback) {
            diagnostic.labels.push((span, String::new()));
        }
        diagnostic
    }
}
