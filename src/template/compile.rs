//! YAML to [`Expr`], and files to templates.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError};

use super::error::{Error, Result};
use super::source::{Body, Place, Template, is_template};
use super::syntax::{self, Delimiters, What};
use super::value::{Entries, Key, List, Map, Value};
use super::{Expr, FileOptions, Templar};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Severity, SourceId, Span};

/// Text that a vault holds, opened when it is first asked for.
pub struct Sealed {
    envelope: String,
    pub(super) span: Span,
    opened: OnceLock<Result<Expr, String>>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("<sealed>")
    }
}

impl Sealed {
    /// What is inside.
    pub(super) fn open(&self, templar: &Templar) -> Result<&Expr> {
        let opened = self.opened.get_or_init(|| {
            let plain = templar.vault.open_hidden(&self.envelope).map_err(|error| error.to_string())?;
            let text = String::from_utf8(plain).map_err(|_| "the sealed value is not text".to_owned())?;
            Ok(Expr::Literal(Value::from(text), self.span))
        });
        opened.as_ref().map_err(|message| Error::new("vault", message.clone()).at(self.span))
    }
}

/// Compiles any value.
pub(super) fn value(templar: &Templar, node: &Node, diagnostics: &mut Diagnostics) -> Expr {
    let literal = |value| Expr::Literal(value, node.span);
    match &node.kind {
        NodeKind::Null => literal(Value::None),
        NodeKind::Bool(flag) => literal(Value::Bool(*flag)),
        NodeKind::Int(number) => literal(Value::from(*number)),
        NodeKind::Float(number) => literal(Value::Float(*number)),
        NodeKind::Str(text) if is_template(text) => {
            let place = Place::of(text, node.span, &templar.sources);
            compiled(templar, Template::inline(text, place.clone()), &place, diagnostics)
        }
        NodeKind::Str(text) => literal(Value::from(text.as_str())),
        NodeKind::Vault(envelope) => {
            Expr::Sealed(Arc::new(Sealed { envelope: envelope.clone(), span: node.span, opened: OnceLock::new() }))
        }
        NodeKind::Unsafe(inner) => literal(plain(inner)),
        NodeKind::Seq(items) => {
            let items: Vec<Expr> = items.iter().map(|item| value(templar, item, diagnostics)).collect();
            match items.iter().map(|item| item.literal().cloned()).collect::<Option<Vec<_>>>() {
                Some(values) => literal(Value::List(List::fixed(values))),
                None => Expr::List(items.into(), node.span),
            }
        }
        NodeKind::Map(entries) => {
            let entries: Vec<(Expr, Expr)> = entries.iter().map(|(key, entry)| (key_of(key), value(templar, entry, diagnostics))).collect();
            let values = entries.iter().map(|(key, entry)| Some((Key(key.literal()?.clone()), entry.literal()?.clone())));
            match values.collect::<Option<Entries>>() {
                Some(values) => literal(Value::Map(Map::fixed(values))),
                None => Expr::Map(entries.into(), node.span),
            }
        }
    }
}

/// Keys are never templates.
fn key_of(node: &Node) -> Expr {
    Expr::Literal(plain(node), node.span)
}

/// A value in which nothing is a template.
fn plain(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null | NodeKind::Vault(_) => Value::None,
        NodeKind::Bool(flag) => Value::Bool(*flag),
        NodeKind::Int(number) => Value::from(*number),
        NodeKind::Float(number) => Value::Float(*number),
        NodeKind::Str(text) => Value::from(text.as_str()),
        NodeKind::Unsafe(inner) => plain(inner),
        NodeKind::Seq(items) => Value::List(List::fixed(items.iter().map(plain).collect())),
        NodeKind::Map(entries) => Value::Map(Map::fixed(entries.iter().map(|(key, entry)| (Key(plain(key)), plain(entry))).collect())),
    }
}

/// The template, or the finding that it is none.
fn compiled(templar: &Templar, template: Result<Template>, place: &Place, diagnostics: &mut Diagnostics) -> Expr {
    match template {
        Ok(template) => {
            if templar.manner.check_names {
                check_names(templar, &template, diagnostics);
            }
            Expr::Template(Arc::new(template))
        }
        Err(mut error) => {
            if let Some(range) = error.range.take() {
                error.trail.push((place.span(range), String::new()));
            }
            error.message = format!("syntax error in template: {}", error.message);
            broken(templar, error.diagnostic(Some(place.span)), diagnostics)
        }
    }
}

/// Finds filters, tests and lookups that do not exist, as evaluating would.
fn check_names(templar: &Templar, template: &Template, diagnostics: &mut Diagnostics) {
    for named in &template.names {
        let unknown = match named.what {
            What::Filter => super::call::check_filter(&named.name).err(),
            What::Test => super::call::check_test(&named.name).err(),
            What::Lookup => super::global::check_lookup(templar, &named.name).err(),
        };
        if let Some(mut error) = unknown {
            error.trail.push((template.place.span(named.at), String::new()));
            diagnostics.push(error.diagnostic(None));
        }
    }
}

fn broken(templar: &Templar, diagnostic: Diagnostic, diagnostics: &mut Diagnostics) -> Expr {
    if !templar.manner.late {
        let severity = if templar.manner.spare { Severity::Warning } else { diagnostic.severity };
        diagnostics.push(Diagnostic { severity, ..diagnostic.clone() });
    }
    Expr::Broken(Arc::new(diagnostic))
}

/// Compiles a condition.
pub(super) fn condition(templar: &Templar, node: &Node, diagnostics: &mut Diagnostics) -> Expr {
    match &node.kind {
        NodeKind::Seq(items) => Expr::All(items.iter().map(|item| condition(templar, item, diagnostics)).collect(), node.span),
        NodeKind::Str(text) if text.trim().is_empty() => {
            let empty = Diagnostic::error("condition-type", "empty conditional expressions are not allowed");
            broken(templar, empty.at(node.span, ""), diagnostics)
        }
        NodeKind::Str(text) if is_template(text) => {
            let place = Place::of(text, node.span, &templar.sources);
            let bare = without_delimiters(text);
            if is_wrapped(text) || bare != *text {
                let message = "conditional statements should not include jinja2 templating delimiters such as {{ }} or {% %}";
                let warning = Diagnostic::warning("condition-template", message).at(node.span, "");
                diagnostics.push(warning.help("write the expression without `{{ }}`"));
            }
            let read = if is_whole(text) { Template::inline(text, place.clone()) } else { Template::bare(&bare, place.clone()) };
            compiled(templar, read, &place, diagnostics)
        }
        NodeKind::Str(text) => {
            let place = Place::of(text, node.span, &templar.sources);
            compiled(templar, Template::bare(text, place.clone()), &place, diagnostics)
        }
        _ => value(templar, node, diagnostics),
    }
}

/// Whether a condition is a template as a whole, and does not only have one inside a string.
fn is_wrapped(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") || text.starts_with("{%") || text.starts_with("{#")
}

/// Whether a condition is one `{{ }}` and nothing else, or has statements.
fn is_whole(text: &str) -> bool {
    let text = text.trim();
    text.contains("{%")
        || text.starts_with("{#")
        || text.strip_prefix("{{").is_some_and(|rest| rest.find("}}").is_some_and(|end| end + 2 == rest.len()))
}

/// `{{ port }} == 80` as `( port ) == 80`, with every byte at its place. What stands in quotes stays as it is.
///
/// Ansible evaluates the text that the template gives, which 2.19 refuses and which takes a value for a name.
fn without_delimiters(text: &str) -> String {
    let (mut out, mut rest, mut quote) = (String::with_capacity(text.len()), text, None);
    while let Some(next) = rest.chars().next() {
        let pair = ["{{", "}}"].into_iter().find(|pair| quote.is_none() && rest.starts_with(pair));
        match (pair, quote) {
            (Some(pair), _) => out.push_str(if pair == "{{" { " (" } else { ") " }),
            (None, Some(open)) if open == next => {
                quote = None;
                out.push(next);
            }
            (None, _) => {
                quote = quote.or(Some(next).filter(|next| matches!(next, '\'' | '"')));
                out.push(next);
            }
        }
        rest = rest.get(pair.map_or(next.len_utf8(), str::len)..).unwrap_or_default();
    }
    out
}

/// Reads the template in a file.
pub(super) fn file(templar: &Templar, id: SourceId, options: &FileOptions) -> Result<Template> {
    let source = templar.sources.get(id);
    let text = source.text.as_str();
    // As in Ansible: one line end at the end is not part of the template, and the result gets no fewer than the file has.
    let keeps = options.newline_sequence == FileOptions::default().newline_sequence;
    let mut delimiters = Delimiters {
        trim_blocks: options.trim_blocks,
        lstrip_blocks: options.lstrip_blocks,
        literal_backslashes: false,
        keep_trailing_newline: !keeps,
        newline: line_end(&options.newline_sequence),
        ..Delimiters::default()
    };
    for (slot, given) in [
        (&mut delimiters.block, &options.block),
        (&mut delimiters.variable, &options.variable),
        (&mut delimiters.comment, &options.comment),
    ] {
        slot.clone_from(given.as_ref().unwrap_or(&slot.clone()));
    }
    let start = header(text, &mut delimiters).map_err(|error| located(error, id, text))?;
    let mut template = read(templar, id, start, delimiters, options.search.clone())?;
    template.native = options.native;
    template.trailing = if keeps { text.len() - text.trim_end_matches('\n').len() } else { 0 };
    Ok(template)
}

/// Reads the file from the byte `start` on.
fn read(templar: &Templar, id: SourceId, start: usize, delimiters: Delimiters, search: Vec<PathBuf>) -> Result<Template> {
    let source = templar.sources.get(id);
    let text: Arc<str> = source.text.as_str().into();
    let parsed = syntax::parse(&text, start, &delimiters).map_err(|error| located(error, id, &text))?;
    let own = source.path.as_deref().and_then(Path::parent).map(Path::to_owned);
    let search = own.into_iter().chain(search).collect();
    let (place, body, names) = (Place::at(Span::new(id, 0, text.len()), Some(0)), Body::Statements(parsed.tree), parsed.names);
    Ok(Template { body, text, place, native: false, trailing: 0, search, names, delimiters: Arc::new(delimiters) })
}

fn located(mut error: Error, id: SourceId, text: &str) -> Error {
    if let Some(range) = error.range.take() {
        error.trail.push((Place::at(Span::new(id, 0, text.len()), Some(0)).span(range), String::new()));
    }
    error
}

/// The template `name` that `by` includes, from the first of its folders that has it.
///
/// It is read by the rules of `by`, and has no line of its own for them: learned by running ansible-core 2.19.
pub(super) fn included(templar: &Templar, name: &str, by: &Template) -> Result<Option<Arc<Template>>> {
    let delimiters = Delimiters { literal_backslashes: false, keep_trailing_newline: false, ..(*by.delimiters).clone() };
    let candidates: Vec<PathBuf> =
        if Path::new(name).is_absolute() { vec![PathBuf::from(name)] } else { by.search.iter().map(|folder| folder.join(name)).collect() };
    for path in candidates {
        let key = (path, delimiters.clone());
        if let Some(known) = templar.files.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Some(Arc::clone(known)));
        }
        let Ok(source) = templar.sources.read(&key.0) else { continue };
        let template = Arc::new(read(templar, source, 0, delimiters, by.search.to_vec())?);
        templar.files.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&template));
        return Ok(Some(template));
    }
    Ok(None)
}

/// One of the three ends that a line can have.
fn line_end(written: &str) -> &'static str {
    match written {
        "\r\n" | "\\r\\n" => "\r\n",
        "\r" | "\\r" => "\r",
        _ => "\n",
    }
}

/// Reads a first line like `#jinja2: trim_blocks: False, lstrip_blocks: True`; tells where the template starts.
fn header(text: &str, delimiters: &mut Delimiters) -> Result<usize> {
    let Some(rest) = text.strip_prefix("#jinja2:") else { return Ok(0) };
    let line = rest.split_inclusive('\n').next().unwrap_or_default();
    for pair in line.split(',').filter(|pair| !pair.trim().is_empty()) {
        let at = (0, u32::try_from("#jinja2:".len() + line.trim_end().len()).unwrap_or(u32::MAX));
        let Some((name, value)) = pair.split_once(':') else {
            return Err(Error::syntax(format!("expected `name: value` in the `#jinja2:` line, found `{}`", pair.trim())).within(at));
        };
        let value = value.trim().trim_matches(['"', '\'']);
        let flag = matches!(value, "True" | "true" | "yes" | "1");
        match name.trim() {
            "trim_blocks" => delimiters.trim_blocks = flag,
            "lstrip_blocks" => delimiters.lstrip_blocks = flag,
            "keep_trailing_newline" => delimiters.keep_trailing_newline = flag,
            "variable_start_string" => value.clone_into(&mut delimiters.variable.0),
            "variable_end_string" => value.clone_into(&mut delimiters.variable.1),
            "block_start_string" => value.clone_into(&mut delimiters.block.0),
            "block_end_string" => value.clone_into(&mut delimiters.block.1),
            "comment_start_string" => value.clone_into(&mut delimiters.comment.0),
            "comment_end_string" => value.clone_into(&mut delimiters.comment.1),
            "newline_sequence" => delimiters.newline = line_end(value),
            other => return Err(Error::syntax(format!("unknown option `{other}` in the `#jinja2:` line")).within(at)),
        }
    }
    Ok("#jinja2:".len() + line.len())
}
