//! Templates: Jinja as Ansible 2.19 speaks it. [`Templar`] compiles once, before the run, and evaluates per host.
//!
//! A string with `{{`, `{%` or `{#` in it is a template; everything else is a literal. A template that is one expression
//! keeps the type of its value. Variables are evaluated lazily in the scope that asks for them, and values that come from
//! hosts are never templates.
//!
//! minijinja parses, we evaluate. Its values and its virtual machine cannot be bent to what playbooks see through Jinja, which
//! is Python: lists that change (`list.append`), `dict.items()` before a key named `items`, `'%s' % x`, errors for comparing
//! text with numbers, and undefined values that survive `a.b.c | default(1)` but nothing else. So `syntax` turns its tree into
//! ours, and the rest of this layer walks that one.

mod arguments;
mod call;
mod compile;
mod entry;
mod error;
mod eval;
mod filter;
mod format;
mod global;
pub mod guide;
mod lazy;
mod lookup;
mod method;
mod object;
mod password;
mod python;
mod random;
mod render;
mod repeat;
mod sequence;
mod session;
mod source;
mod syntax;
mod test;
#[cfg(test)]
mod tests;
mod text;
mod uses;
mod value;
mod version;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::text::vault::Vault;
use crate::text::{Diagnostic, Diagnostics, Node, SourceId, Sources, Span, Spanned, did_you_mean};
use session::Session;
use source::Template;

pub use compile::Sealed;
pub use entry::{node_value, value_node};
pub use global::short as short_lookup;
pub use lazy::Lazy;
pub use object::Object;
pub use uses::{Use, UseKind, is_global, knows};
pub use value::{Entries, Key, List, Map, Missing, Shared, Value, from_wire, is_omit, omit, to_wire};

/// Compiles and evaluates templates. A cheap handle that threads share.
#[derive(Clone)]
pub struct Templar {
    sources: Sources,
    vault: Arc<Vault>,
    lookups: Arc<dyn Lookups>,
    /// Templates in files that others include, by path and by the rules of who includes them.
    files: Arc<Mutex<HashMap<(PathBuf, syntax::Delimiters), Arc<Template>>>>,
    manner: Manner,
}

/// How much is taken as old playbooks write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// A template that cannot be read is an error where it is used, and not where it is compiled.
    pub late: bool,
    /// What is compiled may never be used, as variables may: a template that cannot be read is a warning there.
    pub spare: bool,
    /// Conditions may be other values than booleans, as before Ansible 2.19: `when: result.stdout`.
    pub truthy_conditions: bool,
    /// Filters, tests and lookups that do not exist are found where a template is compiled, and not only where it is used.
    pub check_names: bool,
}

/// A value of YAML, compiled: a literal, a template, or a container of these.
#[derive(Clone, Debug)]
pub enum Expr {
    /// No template is anywhere in it.
    Literal(Value, Span),
    /// Text with a template in it, a bare expression, or a file.
    Template(Arc<Template>),
    /// A list with a template in it.
    List(Arc<[Expr]>, Span),
    /// A mapping with a template in it.
    Map(Arc<[(Expr, Expr)]>, Span),
    /// Conditions that must all hold.
    All(Arc<[Expr]>, Span),
    /// Text that a vault holds.
    Sealed(Arc<Sealed>),
    /// What could not be compiled; evaluating it gives this finding.
    Broken(Arc<Diagnostic>),
}

impl Expr {
    /// Where it was written.
    pub fn span(&self) -> Span {
        match self {
            Self::Literal(_, span) | Self::List(_, span) | Self::Map(_, span) | Self::All(_, span) => *span,
            Self::Template(template) => template.place.span,
            Self::Sealed(sealed) => sealed.span,
            Self::Broken(diagnostic) => diagnostic.labels.first().map(|(span, _)| *span).unwrap_or_default(),
        }
    }

    /// Whether it is a template, and no bare expression.
    fn is_wrapped(&self) -> bool {
        matches!(self, Self::Template(template) if matches!(template.body, source::Body::Statements(_)))
    }

    /// The value, if no template is in it.
    pub fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value, _) => Some(value),
            _ => None,
        }
    }
}

/// Where variables come from. Evaluation asks for one name at a time.
pub trait Scope: Send + Sync + Debug {
    /// The variable `name`.
    fn get(&self, name: &str) -> Option<Binding>;
    /// All names: for `vars`, `varnames`, and to suggest the right one.
    fn names(&self) -> Vec<String>;
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Binding {
    /// A value. Its text is not a template.
    Value(Value),
    /// What was written in a playbook or an inventory: evaluated in the scope that asks.
    Expr(Arc<Expr>),
}

/// Lookups that need the world: files, the environment, programs.
pub trait Lookups: Send + Sync {
    /// Runs one lookup. The result is a list, as Ansible's lookup plugins give.
    ///
    /// # Errors
    /// What went wrong, without the values of variables. An unknown name is an error too.
    fn lookup(&self, call: LookupCall<'_>) -> Result<Vec<Value>, LookupError>;
    /// The names it knows.
    fn names(&self) -> &[&str];
}

/// Why a lookup failed.
#[derive(Clone, Debug)]
pub struct LookupError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where, if that is in a file that the lookup read.
    pub labels: Vec<(Span, String)>,
}

impl From<String> for LookupError {
    fn from(message: String) -> Self {
        Self { message, help: None, labels: Vec::new() }
    }
}

impl From<Diagnostic> for LookupError {
    fn from(found: Diagnostic) -> Self {
        Self { message: found.message, help: found.help, labels: found.labels }
    }
}

/// One call of a lookup.
#[derive(Clone, Copy)]
pub struct LookupCall<'a> {
    /// Its name, without the collection it is from if that is Ansible's own.
    pub name: &'a str,
    /// What is looked up.
    pub terms: &'a [Value],
    /// Options by name; `wantlist` and `errors` are already dealt with.
    pub options: &'a [(Arc<str>, Value)],
    /// The variables of the template that asks.
    pub scope: &'a Arc<dyn Scope>,
    /// For lookups that render templates.
    pub templar: &'a Templar,
}

/// How a template in a file is read.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Where templates that it includes are looked for, after its own folder.
    pub search: Vec<PathBuf>,
    /// Drop the line feed after a statement.
    pub trim_blocks: bool,
    /// Drop blanks before a statement at the start of a line.
    pub lstrip_blocks: bool,
    /// What stands for a line feed in the result.
    pub newline_sequence: String,
    /// `{%` and `%}`.
    pub block: Option<(String, String)>,
    /// `{{` and `}}`.
    pub variable: Option<(String, String)>,
    /// `{#` and `#}`.
    pub comment: Option<(String, String)>,
    /// A template that is one expression keeps the type of its value, as the lookup `template` does.
    pub native: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            search: Vec::new(),
            trim_blocks: true,
            lstrip_blocks: false,
            newline_sequence: "\n".to_owned(),
            block: None,
            variable: None,
            comment: None,
            native: false,
        }
    }
}

impl Templar {
    /// Compiles texts of `sources`, opens what is sealed with `vault`, and asks `lookups` for what is outside.
    pub fn new(sources: Sources, vault: Arc<Vault>, lookups: Arc<dyn Lookups>) -> Self {
        Self { sources, vault, lookups, files: Arc::default(), manner: Manner::default() }
    }

    /// How much it takes.
    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// The same with other manners.
    #[must_use]
    pub fn with_manner(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }

    /// Compiles any YAML value. What is wrong is pushed, and found again by evaluating the result.
    pub fn compile(&self, node: &Node, diagnostics: &mut Diagnostics) -> Expr {
        compile::value(self, node, diagnostics)
    }

    /// Compiles a condition: a bare expression, a boolean, or a list of these that must all hold.
    pub fn condition(&self, node: &Node, diagnostics: &mut Diagnostics) -> Expr {
        compile::condition(self, node, diagnostics)
    }

    /// Compiles the template in the file `source`; a `#jinja2:` line at its start goes before `options`.
    pub fn file(&self, source: SourceId, options: &FileOptions, diagnostics: &mut Diagnostics) -> Option<Expr> {
        match compile::file(self, source, options) {
            Ok(template) => Some(Expr::Template(Arc::new(template))),
            Err(error) => {
                diagnostics.push(error.diagnostic(Some(Span::new(source, 0, 0))));
                None
            }
        }
    }

    /// What `expr` is in `scope`: complete, and unchangeable. It may be [`omit`].
    ///
    /// # Errors
    /// What is undefined or went wrong, where that was written, and how it was reached.
    pub fn evaluate(&self, expr: &Expr, scope: &Arc<dyn Scope>) -> Result<Value, Diagnostic> {
        if let Expr::Literal(value, _) = expr {
            return Ok(value.clone());
        }
        let session = Session::new(self);
        let value = session.resolve(expr, scope).and_then(|value| session.finish(value));
        value.map_err(|error| explained(error, expr, scope))
    }

    /// Whether the condition `expr` holds in `scope`.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate), and where the result is not a boolean.
    pub fn holds(&self, expr: &Expr, scope: &Arc<dyn Scope>) -> Result<bool, Diagnostic> {
        Session::new(self).holds(expr, scope).map_err(|error| explained(error, expr, scope))
    }

    /// What `expr` is in `scope`, as text.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn render(&self, expr: &Expr, scope: &Arc<dyn Scope>) -> Result<String, Diagnostic> {
        self.evaluate(expr, scope).map(|value| if value.is_none() { String::new() } else { value.to_text() })
    }

    /// Whether the file `path` holds what a vault sealed.
    fn is_sealed_file(&self, path: &Path) -> bool {
        self.sources.starts_with(path, &[b"$ANSIBLE_VAULT;"])
    }

    /// That a `with_NAME` loop has its lookup, where this templar checks names.
    pub fn check_loop(&self, name: &Spanned<String>, diagnostics: &mut Diagnostics) {
        if self.manner.check_names
            && let Err(error) = global::check_lookup(self, &name.value)
        {
            diagnostics.push(error.at(name.span).diagnostic(None));
        }
    }

    /// The lookup `name` with `terms`, as a `with_NAME` loop runs it.
    ///
    /// # Errors
    /// What the lookup says.
    pub fn lookup(&self, name: &str, terms: &Value, scope: &Arc<dyn Scope>) -> Result<Vec<Value>, Diagnostic> {
        global::lookup_for_loop(self, name, terms, scope).map_err(|error| error.diagnostic(None))
    }
}

/// The finding that `error` is, with the name that was probably meant.
fn explained(mut error: error::Error, expr: &Expr, scope: &Arc<dyn Scope>) -> Diagnostic {
    if error.help.is_none() && error.code == "undefined-variable" {
        let unknown = error.message.strip_prefix('\'').and_then(|rest| rest.strip_suffix("' is undefined"));
        if let Some(unknown) = unknown {
            let names = scope.names();
            error.help = did_you_mean(unknown, names.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`?"));
        }
    }
    error.diagnostic(Some(expr.span()))
}

/// `length` letters of `alphabet` by chance; with a seed those that Ansible draws with it.
pub fn random_text(alphabet: &str, length: usize, seed: Option<&Value>) -> String {
    let mut random = seed.map_or_else(random::Random::system, random::Random::seeded);
    let letters: Vec<char> = alphabet.chars().collect();
    (0..length.min(1 << 20)).filter_map(|_| letters.get(random.position(letters.len().max(1)))).collect()
}

/// The hash of `secret` in a form of crypt(3), with the rounds that Ansible takes.
///
/// # Errors
/// A kind that is not known, a salt that does not fit.
pub fn crypt(secret: &str, kind: &str, salt: Option<&str>, ident: Option<&str>) -> Result<String, String> {
    password::hash(secret, kind, salt, None, ident).map_err(|error| error.message)
}

/// Whether `known` is a hash of `secret` in a form of crypt(3).
pub fn crypt_fits(secret: &str, known: &str) -> bool {
    password::fits(secret, known)
}

/// All variables of `scope` as a mapping: what `hostvars['web1']` is.
pub fn scope_value(scope: Arc<dyn Scope>) -> Value {
    Lazy::scope(scope)
}
