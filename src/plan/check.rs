//! Parameters against their module's declaration, before any host is touched.

use super::{Mistakes, Work};
use crate::model::Action;
use crate::module::{Field, Kind, ModeText, Param, Rule, Spec};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Spanned, did_you_mean};
use crate::wire::{Map, Value};

/// The parameters of `action` under their canonical names; what is wrong with them goes to `diags`, or waits for the task.
pub(super) fn params<'a>(action: &'a Action, work: &Work, mistakes: Mistakes, diags: &mut Diagnostics) -> Vec<(Spanned<String>, &'a Node)> {
    let later = mistakes == Mistakes::AtTask || matches!(work, Work::Named);
    let checker = Checker { action, spec: work.spec(), open: work.is_open(), later };
    let found = checker.named(diags);
    if action.args.whole.is_none() && !later {
        checker.required(&found, diags);
        checker.rules(&found, diags);
    }
    found
}

struct Checker<'a> {
    action: &'a Action,
    spec: Spec,
    open: bool,
    /// [`super::conform()`] checks when the task runs.
    later: bool,
}

type Found<'a> = Vec<(Spanned<String>, &'a Node)>;

impl<'a> Checker<'a> {
    fn named(&self, diags: &mut Diagnostics) -> Found<'a> {
        let mut found: Found<'a> = Vec::new();
        let args = &self.action.args;
        if let Some(free) = &args.free {
            match self.spec.free_form {
                Some(name) => found.push((Spanned::new(name.to_owned(), free.span), free)),
                None if empty(free) => {}
                None if self.later || self.action.module.value.contains("{{") => {
                    found.push((Spanned::new("_raw_params".to_owned(), free.span), free));
                }
                None => diags.push(
                    Diagnostic::error("free-form", format!("module `{}` takes its parameters by name", self.module()))
                        .at(free.span, "expected `name: value` or `name=value`")
                        .at(self.action.module.span, "in this task"),
                ),
            }
        }
        for (name, node) in &args.params {
            let canonical = match self.spec.find(&name.value) {
                Some(param) => {
                    if !self.later {
                        self.value(param, node, diags);
                    }
                    param.name
                }
                None if self.open || (name.value == "_raw_params" && self.spec.free_form.is_some()) => {
                    if name.value == "_raw_params" {
                        self.spec.free_form.unwrap_or_default()
                    } else {
                        self.ignored(name, diags);
                        &name.value
                    }
                }
                None if self.later => &name.value,
                None => {
                    self.unknown(name, diags);
                    continue;
                }
            };
            // `args:` come last and only fill gaps.
            if !found.iter().any(|(known, _)| known.value == canonical) {
                found.push((Spanned::new(canonical.to_owned(), name.span), node));
            }
        }
        found
    }

    /// `raw` takes parameters of `command` without a word, and does nothing about them.
    fn ignored(&self, name: &Spanned<String>, diags: &mut Diagnostics) {
        if super::compile::short_name(self.module()) == "raw" {
            let message = format!("`raw` ignores the parameter `{}`", name.value);
            diags.push(Diagnostic::warning("unknown-parameter", message).at(name.span, "").help("`command` and `shell` know it"));
        }
    }

    fn unknown(&self, name: &Spanned<String>, diags: &mut Diagnostics) {
        let module = self.module();
        let names = self.spec.params.iter().flat_map(|param| std::iter::once(param.name).chain(param.aliases.iter().copied()));
        let diagnostic = Diagnostic::error("unknown-parameter", format!("unknown parameter `{}` for module `{module}`", name.value))
            .at(name.span, format!("not a parameter of `{module}`"))
            .at(self.action.module.span, "in this task");
        diags.push(match did_you_mean(&name.value, names) {
            Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
            None => diagnostic.help(format!("`{module}` takes {}", list(self.spec.params.iter().map(|param| param.name)))),
        });
    }

    fn value(&self, param: &Param, node: &Node, diags: &mut Diagnostics) {
        let Some(value) = literal(node) else { return };
        if value.is_null() {
            return;
        }
        if let Err(message) = fits(&param.kind, &value) {
            diags.push(
                Diagnostic::error("parameter-type", format!("parameter `{}` of `{}`: {message}", param.name, self.module()))
                    .at(node.span, "")
                    .at(self.action.module.span, "in this task"),
            );
        }
    }

    fn required(&self, found: &Found<'a>, diags: &mut Diagnostics) {
        let missing: Vec<_> =
            self.spec.params.iter().filter(|param| param.required && !has(found, param.name)).map(|param| param.name).collect();
        if !missing.is_empty() {
            let word = if missing.len() == 1 { "parameter" } else { "parameters" };
            diags.push(
                Diagnostic::error(
                    "missing-parameter",
                    format!("module `{}` needs the {word} {}", self.module(), list(missing.into_iter())),
                )
                .at(self.action.module.span, "in this task"),
            );
        }
    }

    fn rules(&self, found: &Found<'a>, diags: &mut Diagnostics) {
        for rule in self.spec.rules {
            if let Some(message) = self.broken(rule, found) {
                diags.push(
                    Diagnostic::error("parameter-rule", format!("module `{}`: {message}", self.module()))
                        .at(self.action.module.span, "in this task"),
                );
            }
        }
    }

    fn broken(&self, rule: &Rule, found: &Found<'a>) -> Option<String> {
        let given = |names: &[&'static str]| names.iter().copied().filter(|name| has(found, name)).collect::<Vec<_>>();
        let sure = |names: &[&'static str]| names.iter().copied().filter(|name| sure(found, name)).collect::<Vec<_>>();
        match rule {
            Rule::Exclusive(names) => {
                let given = sure(names);
                (given.len() > 1).then(|| format!("parameters {} exclude each other", list(given.into_iter())))
            }
            Rule::OneOf(names) => given(names).is_empty().then(|| format!("one of {} is needed", list(names.iter().copied()))),
            Rule::Together(names) => {
                let some = !sure(names).is_empty();
                (some && given(names).len() < names.len()).then(|| format!("parameters {} go together", list(names.iter().copied())))
            }
            Rule::Needs(name, others) => (!sure(&[*name]).is_empty() && given(others).len() < others.len())
                .then(|| format!("parameter `{name}` needs {}", list(others.iter().copied()))),
            Rule::When(name, word, others) => {
                let node = found.iter().find(|(known, _)| known.value == *name).map(|(_, node)| *node);
                let is = match node {
                    Some(node) => literal(node).is_some_and(|value| value.to_text() == *word),
                    None => self.spec.find(name).is_some_and(|param| param.default.ends_with(word) && !param.default.is_empty()),
                };
                (is && given(others).len() < others.len()).then(|| format!("`{name}: {word}` needs {}", list(others.iter().copied())))
            }
        }
    }

    fn module(&self) -> &str {
        &self.action.module.value
    }
}

fn has(found: &Found<'_>, name: &str) -> bool {
    found.iter().any(|(known, _)| known.value == name)
}

/// Whether a parameter will have a value: what is a template as a whole may turn out to be `omit` or nothing.
fn sure(found: &Found<'_>, name: &str) -> bool {
    let may_vanish = |text: &str| text.contains("{%") || text.trim_start().starts_with("{{") && text.trim_end().ends_with("}}");
    let value = found.iter().find(|(known, _)| known.value == name).map(|(_, node)| &node.kind);
    value.is_some_and(|value| match value {
        NodeKind::Null => false,
        NodeKind::Str(text) => !may_vanish(text),
        _ => true,
    })
}

fn empty(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Null) || node.as_str().is_some_and(|text| text.trim().is_empty())
}

fn list<'s>(names: impl Iterator<Item = &'s str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The value, where it holds no template.
fn literal(node: &Node) -> Option<Value> {
    Some(match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(flag) => (*flag).into(),
        NodeKind::Int(number) => (*number).into(),
        NodeKind::Float(number) => (*number).into(),
        NodeKind::Str(text) if text.contains("{{") || text.contains("{%") => return None,
        NodeKind::Str(text) => text.as_str().into(),
        NodeKind::Vault(_) => return None,
        NodeKind::Unsafe(inner) => return literal(inner),
        NodeKind::Seq(items) => Value::List(items.iter().map(literal).collect::<Option<_>>()?),
        NodeKind::Map(entries) => {
            Value::Map(entries.iter().map(|(name, value)| Some((name.as_str()?.to_owned(), literal(value)?))).collect::<Option<_>>()?)
        }
    })
}

fn fits(kind: &Kind, value: &Value) -> Result<(), String> {
    match kind {
        Kind::Str | Kind::Path | Kind::LocalFile | Kind::LocalTemplate => String::decode(value).map(drop),
        Kind::Int => i64::decode(value).map(drop),
        Kind::Float => f64::decode(value).map(drop),
        Kind::Bool => bool::decode(value).map(drop),
        Kind::Mode => ModeText::decode(value).map(drop),
        Kind::Map => Map::decode(value).map(drop),
        Kind::Any => Ok(()),
        Kind::List(inner) => Vec::<Value>::decode(value)?.iter().try_for_each(|item| fits(inner, item)),
        Kind::Choice(words) => {
            let text = value.to_text();
            let same_flag = |word: &&str| value.to_bool().is_some() && Value::from(*word).to_bool() == value.to_bool();
            if words.contains(&text.as_str()) || words.iter().any(same_flag) {
                return Ok(());
            }
            let close = did_you_mean(&text, words.iter().copied()).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
            Err(format!("expected one of {}, found `{text}`{close}", list(words.iter().copied())))
        }
    }
}
