//! What an expression would ask for if it were evaluated: variables, filters, tests and lookups, each with its place.

use std::collections::HashSet;
use std::sync::Arc;

use super::source::{Body, Template};
use super::syntax::{Arguments, Block, Expression, Kind, Macro, Range, Statement, Target};
use super::{Expr, Value, filter, global, test};
use crate::text::{Diagnostic, Span, did_you_mean};

/// One thing that an expression asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// What it is.
    pub kind: UseKind,
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub span: Span,
    /// It may be missing: `x | default(1)`, `x is defined and …`.
    pub guarded: bool,
    /// It is evaluated, and has to be there, whenever the template is: not in a branch, a loop or a macro, which may not run.
    pub certain: bool,
}

/// What is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseKind {
    /// A variable, or a name that every template knows.
    Variable,
    /// An attribute: `hostvars.web1.port` names `web1` and `port`.
    Attribute,
    /// Text in an expression, which may name a variable: `lookup('vars', 'port')`.
    Text,
    /// A filter.
    Filter,
    /// A test.
    Test,
    /// A lookup.
    Lookup,
}

impl Expr {
    /// Everything that it would ask for.
    pub fn uses(&self) -> Vec<Use> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    /// What is wrong with the first template in it that cannot be read.
    pub fn mistake(&self) -> Option<&Diagnostic> {
        match self {
            Self::Broken(diagnostic) => Some(diagnostic),
            Self::List(items, _) | Self::All(items, _) => items.iter().find_map(Self::mistake),
            Self::Map(entries, _) => entries.iter().find_map(|(_, entry)| entry.mistake()),
            Self::Literal(..) | Self::Sealed(_) | Self::Template(_) => None,
        }
    }

    fn collect(&self, found: &mut Vec<Use>) {
        match self {
            Self::Template(template) => template_uses(template, found),
            Self::List(items, _) => items.iter().for_each(|item| item.collect(found)),
            // Conditions stand together: what one asks for, the next may take for granted.
            Self::All(items, _) => {
                let start = found.len();
                items.iter().for_each(|item| item.collect(found));
                guard(found, start);
            }
            Self::Map(entries, _) => entries.iter().for_each(|(_, entry)| entry.collect(found)),
            Self::Literal(..) | Self::Sealed(_) | Self::Broken(_) => {}
        }
    }
}

/// Whether every template knows `name`, without a variable.
pub fn is_global(name: &str) -> bool {
    matches!(name, "self" | "caller" | "loop" | "super" | "true" | "false" | "none" | "True" | "False" | "None" | "q")
        || global::get(name).is_some()
}

/// Whether there is a filter or test of this name; if not, the one that was probably meant.
pub fn knows(kind: UseKind, name: &str) -> Result<(), Option<&'static str>> {
    let (known, names): (bool, Vec<&'static str>) = match kind {
        UseKind::Filter => (filter::find(name).is_some(), filter::names().collect()),
        UseKind::Test => (test::find(name).is_some(), test::names().collect()),
        _ => return Ok(()),
    };
    if known { Ok(()) } else { Err(did_you_mean(name, names)) }
}

fn template_uses(template: &Template, found: &mut Vec<Use>) {
    let mut walk = Walk { template, found, own: HashSet::new(), tested: HashSet::new(), certain: true };
    let start = walk.found.len();
    match &template.body {
        Body::Statements(block) => walk.block(block),
        Body::Expression(expression) => walk.expression(expression, false),
    }
    let (own, tested) = (walk.own, walk.tested);
    let mut index = 0;
    found.retain_mut(|used| {
        index += 1;
        if index <= start || used.kind != UseKind::Variable {
            return true;
        }
        used.guarded |= tested.contains(&used.name);
        !own.contains(&used.name)
    });
    guard(found, start);
}

/// A name that is somewhere tested for being there may be missing everywhere: who wrote that knows.
fn guard(found: &mut [Use], start: usize) {
    let asks_for_names = found.iter().skip(start).any(|used| used.kind == UseKind::Variable && used.name == "vars");
    let texts: HashSet<String> = if asks_for_names {
        found.iter().skip(start).filter(|used| used.kind == UseKind::Text).map(|used| used.name.clone()).collect()
    } else {
        HashSet::new()
    };
    let guarded: HashSet<String> = found.iter().skip(start).filter(|used| used.guarded).map(|used| used.name.clone()).collect();
    for used in found.iter_mut().skip(start).filter(|used| used.kind == UseKind::Variable) {
        used.guarded |= texts.contains(&used.name) || guarded.contains(&used.name);
    }
}

struct Walk<'a> {
    template: &'a Template,
    found: &'a mut Vec<Use>,
    /// Names that the template itself sets.
    own: HashSet<String>,
    /// Names that it asks about: `x is defined`.
    tested: HashSet<String>,
    /// What is walked is evaluated whenever the template is.
    certain: bool,
}

impl Walk<'_> {
    /// Walks what may not be evaluated.
    fn perhaps(&mut self, walk: impl FnOnce(&mut Self)) {
        let certain = std::mem::replace(&mut self.certain, false);
        walk(self);
        self.certain = certain;
    }

    fn push(&mut self, kind: UseKind, name: &str, at: Range, guarded: bool) {
        let span = self.template.place.span(at);
        self.found.push(Use { kind, name: name.to_owned(), span, guarded, certain: self.certain });
    }

    fn block(&mut self, block: &Block) {
        block.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Text(_) | Statement::Break | Statement::Continue => {}
            Statement::Print(expression) | Statement::Do(expression) | Statement::Extends(expression) => self.expression(expression, false),
            Statement::Include { names, .. } => self.expression(names, false),
            Statement::Import { from, name } => {
                self.expression(from, false);
                self.own.insert(name.to_string());
            }
            Statement::FromImport { from, names } => {
                self.expression(from, false);
                self.own.extend(names.iter().map(|(_, name)| name.to_string()));
            }
            Statement::If(branches, otherwise) => {
                let mut rest = branches.iter();
                let first = rest.next();
                first.iter().for_each(|(condition, _)| self.expression(condition, false));
                self.perhaps(|walk| {
                    first.iter().for_each(|(_, body)| walk.block(body));
                    for (condition, body) in rest {
                        walk.expression(condition, false);
                        walk.block(body);
                    }
                    walk.block(otherwise);
                });
            }
            Statement::For(looped) => {
                self.target(&looped.target);
                self.expression(&looped.iterable, false);
                self.perhaps(|walk| {
                    looped.condition.iter().for_each(|condition| walk.expression(condition, false));
                    walk.block(&looped.body);
                    walk.block(&looped.otherwise);
                });
            }
            Statement::Set(target, value) => {
                self.target(target);
                self.perhaps(|walk| walk.expression(value, false));
            }
            Statement::SetBlock(target, filter, body) => {
                self.target(target);
                filter.iter().for_each(|filter| self.expression(filter, false));
                self.block(body);
            }
            Statement::With(targets, body) => {
                for (target, value) in targets {
                    self.target(target);
                    self.perhaps(|walk| walk.expression(value, false));
                }
                self.block(body);
            }
            Statement::Macro(called) => self.called(called),
            Statement::CallBlock(call, called) => {
                self.expression(call, false);
                self.called(called);
            }
            Statement::Filter(filter, body) => {
                self.expression(filter, false);
                self.block(body);
            }
            Statement::Block(named) => self.block(&named.body),
        }
    }

    fn called(&mut self, called: &Macro) {
        self.own.extend([called.name.to_string(), "varargs".to_owned(), "kwargs".to_owned()]);
        for (name, default) in &called.parameters {
            self.own.insert(name.to_string());
            default.iter().for_each(|default| self.perhaps(|walk| walk.expression(default, false)));
        }
        self.perhaps(|walk| walk.block(&called.body));
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => drop(self.own.insert(name.to_string())),
            Target::Tuple(targets, _) => targets.iter().for_each(|target| self.target(target)),
            Target::Attribute(name, _, _) => drop(self.own.insert(name.to_string())),
        }
    }

    fn arguments(&mut self, arguments: &Arguments) {
        let positional = arguments.positional.iter().chain(arguments.named.iter().map(|(_, value)| value));
        let unpacked = arguments.unpacked.iter().chain(&arguments.unpacked_named).map(|value| &**value);
        positional.chain(unpacked).for_each(|value| self.expression(value, false));
    }

    fn expression(&mut self, expression: &Expression, guarded: bool) {
        let mut inner = |part: &Expression| self.expression(part, guarded);
        match &expression.kind {
            Kind::Literal(value) => {
                if let Some(text) = value.as_str() {
                    self.push(UseKind::Text, text, expression.at, false);
                }
            }
            Kind::Embedded(block) => self.block(block),
            Kind::Name(name) => self.push(UseKind::Variable, name, expression.at, guarded),
            Kind::Attribute(subject, name) => {
                self.expression(subject, guarded);
                self.push(UseKind::Attribute, name, expression.at, false);
            }
            Kind::Item(subject, key) => {
                self.subject(subject, guarded);
                self.expression(key, guarded);
            }
            Kind::Slice(subject, bounds) => {
                self.expression(subject, guarded);
                bounds.iter().flatten().for_each(|bound| self.expression(bound, guarded));
            }
            Kind::Call(callee, arguments) => self.call(callee, arguments, guarded),
            Kind::Filter(subject, name, arguments) => {
                let short = filter::short(name);
                let lenient = guarded || matches!(short, "default" | "d");
                subject.iter().for_each(|subject| self.subject(subject, lenient));
                self.push(UseKind::Filter, name, expression.at, guarded);
                if let (true, Some(Kind::Literal(value))) =
                    (matches!(short, "map" | "select" | "reject" | "selectattr" | "rejectattr"), first(arguments))
                {
                    self.named_by_text(short, value, arguments, expression.at);
                }
                if matches!(short, "default" | "d" | "ternary") {
                    self.perhaps(|walk| walk.arguments(arguments));
                } else {
                    self.arguments(arguments);
                }
            }
            Kind::Test(subject, name, arguments) => {
                let asks = matches!(filter::short(name), "defined" | "undefined");
                if asks {
                    self.tested.extend(root(subject).map(str::to_owned));
                }
                self.expression(subject, guarded || asks);
                self.push(UseKind::Test, name, expression.at, guarded);
                self.arguments(arguments);
            }
            Kind::Not(part) | Kind::Negative(part) => inner(part),
            Kind::Binary(_, left, right) => {
                inner(left);
                inner(right);
            }
            Kind::And(left, right) | Kind::Or(left, right) => {
                inner(left);
                self.perhaps(|walk| walk.expression(right, guarded));
            }
            Kind::Concat(parts) | Kind::List(parts) | Kind::Tuple(parts) => parts.iter().for_each(inner),
            Kind::Compare(left, rest) => {
                inner(left);
                rest.iter().for_each(|(_, right)| inner(right));
            }
            Kind::If(condition, value, otherwise) => {
                inner(condition);
                self.perhaps(|walk| {
                    walk.expression(value, guarded);
                    otherwise.iter().for_each(|otherwise| walk.expression(otherwise, guarded));
                });
            }
            Kind::Dict(entries) => entries.iter().for_each(|(key, value)| {
                inner(key);
                inner(value);
            }),
        }
    }

    /// `map('upper')` names a filter, `select('match', …)` a test.
    fn named_by_text(&mut self, filter: &str, value: &Value, arguments: &Arguments, at: Range) {
        let Some(text) = value.as_str() else { return };
        match filter {
            "map" => self.push(UseKind::Filter, text, at, false),
            "select" | "reject" => self.push(UseKind::Test, text, at, false),
            _ => {
                if let Some(Kind::Literal(value)) = arguments.positional.get(1).map(|argument| &argument.kind)
                    && let Some(text) = value.as_str()
                {
                    self.push(UseKind::Test, text, at, false);
                }
            }
        }
    }

    fn call(&mut self, callee: &Expression, arguments: &Arguments, guarded: bool) {
        if let (Kind::Name(name), Some(Kind::Literal(value))) = (&callee.kind, first(arguments))
            && matches!(&**name, "lookup" | "query" | "q")
            && let Some(text) = value.as_str()
        {
            let at = arguments.positional.first().map_or(callee.at, |argument| argument.at);
            self.push(UseKind::Lookup, text, at, guarded);
        }
        self.expression(callee, guarded);
        // A macro may leave its arguments alone.
        if matches!(&callee.kind, Kind::Name(name) if global::get(name).is_some()) {
            self.arguments(arguments);
        } else {
            self.perhaps(|walk| walk.arguments(arguments));
        }
    }

    /// What an item or a filter is taken of: it may want only a part of a list or a mapping that is written out.
    fn subject(&mut self, subject: &Expression, guarded: bool) {
        if matches!(subject.kind, Kind::List(_) | Kind::Tuple(_) | Kind::Dict(_)) {
            self.perhaps(|walk| walk.expression(subject, guarded));
        } else {
            self.expression(subject, guarded);
        }
    }
}

fn first(arguments: &Arguments) -> Option<&Kind> {
    arguments.positional.first().map(|argument| &argument.kind)
}

/// The variable that a path of attributes starts from.
fn root(expression: &Expression) -> Option<&str> {
    match &expression.kind {
        Kind::Name(name) => Some(name),
        Kind::Attribute(subject, _) | Kind::Item(subject, _) => root(subject),
        _ => None,
    }
}

impl super::Templar {
    /// The names of all lookups.
    pub fn lookup_names(&self) -> Vec<&str> {
        self.lookups.names().iter().copied().chain(super::lookup::NAMES.iter().copied()).collect()
    }

    /// The template in the file at `path`, for a look at it.
    ///
    /// # Errors
    /// It cannot be read, or is no template.
    pub fn look_at(&self, path: &std::path::Path, diagnostics: &mut crate::text::Diagnostics) -> Option<Arc<Expr>> {
        let source = self.sources.read(path).ok()?;
        self.file(source, &super::FileOptions::default(), diagnostics).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::templar;
    use super::*;
    use crate::text::{Diagnostics, Node, NodeKind};

    fn shown(text: &str, kind: UseKind) -> String {
        let node = Node::new(NodeKind::Str(text.to_owned()), Span::default());
        let expr = templar().compile(&node, &mut Diagnostics::default());
        let uses = expr.uses().into_iter().filter(|used| used.kind == kind);
        uses.map(|used| format!("{}{}", used.name, if used.guarded { "?" } else { "" })).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn variables_are_told_from_what_a_template_sets_itself() {
        for (text, variables) in [
            ("{{ a.b[c] + d(e, f=g) }}", "a c d e g"),
            ("{{ a | default(b) }} {{ a }}", "a? b a?"),
            ("{{ a.b.c is defined and a.b.c > 1 }}", "a? a?"),
            ("{% for x in xs if x %}{{ x }}{{ loop.index }}{% endfor %}{% set y = 1 %}{{ y }}", "xs loop"),
            ("{% macro m(p, q=r) %}{{ p }}{% endmacro %}{{ m(1) }}", "r"),
            ("{{ x if 'x' in vars else 1 }}", "vars x?"),
        ] {
            assert_eq!(shown(text, UseKind::Variable), variables, "{text}");
        }
    }

    #[test]
    fn plugins_are_found_also_where_only_text_names_them() {
        let text = "{{ a | map('upper') | select('match', 'x') | selectattr('b', 'eq', 1) | list }}{{ lookup('file', 'x') }}";
        assert_eq!(shown(text, UseKind::Filter), "map upper select selectattr list");
        assert_eq!(shown(text, UseKind::Test), "match eq");
        assert_eq!(shown(text, UseKind::Lookup), "file");
        assert_eq!(knows(UseKind::Filter, "uper"), Err(Some("upper")));
        assert_eq!((knows(UseKind::Test, "match"), is_global("lookup"), is_global("port")), (Ok(()), true, false));
    }
}
