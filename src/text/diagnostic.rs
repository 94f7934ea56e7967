//! [`Diagnostic`]: what is wrong, where, and what to do about it, as plain data. `report/snippet.rs` draws it.

use serde::{Deserialize, Serialize};

use super::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The run cannot start, or the task cannot run.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// One finding.
///
/// Words: a lowercase fragment without a full stop, backticks round what the user wrote, "expected X, found Y".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name for the kind of finding: `unknown-parameter`. `rappel explain CODE` tells more.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Where: the first is the place itself, others explain it.
    pub labels: Vec<(Span, String)>,
    /// What the user can do.
    pub help: Option<String>,
    /// What Ansible says of the same: scripts look for it in what `ansible-playbook` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ansible: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code: code.to_owned(), message: message.into(), labels: Vec::new(), help: None, ansible: None }
    }

    /// A warning.
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Points at `span` and says `text` there (may be empty).
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    /// Says it in Ansible's words too.
    #[must_use]
    pub fn ansible(mut self, text: impl Into<String>) -> Self {
        self.ansible = Some(text.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

/// Findings collected while reading goes on, so that one run shows all mistakes of a file.
#[derive(Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The findings so far, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// The findings, for the taking.
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.0
    }

    /// Takes over the findings of `other`.
    pub fn append(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, findings: I) {
        self.0.extend(findings);
    }
}

/// The candidate that `found` was most probably meant to be.
pub fn did_you_mean<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = found.chars().count().div_ceil(3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(found, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
