//! Judges what an attempt came to: `changed_when`, `failed_when`, `ignore_errors`.

use std::sync::Arc;

use super::Effect;
use super::action;
use super::item::{Item, ItemOutcome, Trouble};
use crate::event::Status;
use crate::model::Keyword;
use crate::plan::scope::Locals;
use crate::template::{Scope, from_wire};
use crate::text::Diagnostic;
use crate::wire::{self, Diff, Map, Outcome};

/// What an action gives beside its outcome.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) effects: Vec<Effect>,
    pub(super) notify: Option<Vec<String>>,
    pub(super) delegate: Option<String>,
    pub(super) verbose_always: bool,
}

impl Item<'_> {
    /// The scope in which `until`, `changed_when` and `failed_when` see the result.
    pub(super) fn with_result(&self, raw: &Map) -> Arc<dyn Scope> {
        let mut locals = Locals::default();
        let value = from_wire(&wire::Value::Map(raw.clone()));
        if let Some(name) = &self.task.step.register {
            locals.0.push((name.value.clone(), value));
        }
        Arc::new(self.layers.with(locals))
    }

    /// Judges an answer: `changed_when`, `failed_when`, `ignore_errors`.
    pub(super) fn conclude_attempt(&self, answer: Result<Outcome, Trouble>, answered: Answered, attempt: Option<u32>) -> ItemOutcome {
        let mut out = ItemOutcome {
            no_log: self.no_log(),
            effects: answered.effects,
            notify: answered.notify,
            delegate: answered.delegate,
            verbose_always: answered.verbose_always,
            ..ItemOutcome::default()
        };
        match answer {
            Ok(outcome) => {
                out.raw = outcome.data;
                out.no_log |= out.raw.shift_remove(action::NO_LOG).is_some_and(|hidden| hidden == true.into());
                out.raw.entry("changed".to_owned()).or_insert(wire::Value::Bool(outcome.changed));
                out.raw.insert("failed".to_owned(), false.into());
                if let Some(reason) = outcome.skipped {
                    out.raw.insert("skipped".to_owned(), true.into());
                    if !reason.is_empty() {
                        out.raw.entry("msg".to_owned()).or_insert(reason.into());
                    }
                    out.status = Status::Skipped;
                }
                if !outcome.diff.is_empty() {
                    out.raw.entry("diff".to_owned()).or_insert_with(|| diff_value(&outcome.diff));
                }
                out.diff = outcome.diff;
                if !outcome.warnings.is_empty() {
                    out.raw.insert("warnings".to_owned(), outcome.warnings.clone().into());
                }
                out.warnings = outcome.warnings;
                out.warnings.extend(self.learn(&out.raw, out.delegate.as_deref()));
            }
            Err(Trouble::Failed(mut failure, diagnostic)) => {
                out.verbose_always = failure.data.shift_remove(action::VERBOSE_ALWAYS).is_some_and(|shown| shown == true.into());
                out.raw = failure.data;
                out.raw.insert("changed".to_owned(), failure.changed.into());
                out.raw.insert("failed".to_owned(), true.into());
                if !failure.msg.is_empty() {
                    out.raw.insert("msg".to_owned(), failure.msg.into());
                }
                out.warnings = failure.warnings;
                if diagnostic.is_some() {
                    // Playbooks ask whether there is one.
                    out.raw.entry("exception".to_owned()).or_insert_with(|| "(traceback unavailable)".into());
                }
                out.finding = diagnostic.map(|diagnostic| *diagnostic);
                out.status = Status::Failed;
            }
            Err(Trouble::Unreachable(message)) => {
                out.raw.insert("changed".to_owned(), false.into());
                out.raw.insert("msg".to_owned(), message.into());
                out.raw.insert("unreachable".to_owned(), true.into());
                out.status = Status::Unreachable;
                out.ignored = self.task.flag_in(Keyword::IgnoreUnreachable, &self.scope);
                return out;
            }
        }
        if let Some(attempt) = attempt {
            out.raw.insert("attempts".to_owned(), attempt.into());
        }
        self.judge(&mut out);
        out
    }

    /// Keeps the facts that a module found; `set_fact` and `include_vars` keep their own, and what `debug` shows are none.
    fn learn(&self, raw: &Map, delegate: Option<&str>) -> Option<String> {
        let own = matches!(self.task.step.work.name(), "set_fact" | "include_vars" | "debug");
        let (Some(wire::Value::Map(facts)), false) = (raw.get("ansible_facts"), own) else { return None };
        let delegated = delegate.filter(|_| self.task.flag_in(Keyword::DelegateFacts, &self.scope));
        let host = delegated.unwrap_or(&self.task.host);
        let memory = &self.task.shared.memory;
        memory.host(host).add_facts(facts);
        memory.keep(host).err().map(|error| format!("cannot keep the facts of `{host}`: {error}"))
    }

    fn judge(&self, out: &mut ItemOutcome) {
        let templar = &self.task.shared.templar;
        let evaluated_failure = out.finding.is_some();
        if out.status != Status::Skipped && !evaluated_failure {
            // `register` is seen by the conditions with its lines, as playbooks read them.
            let scope = self.with_result(&out.raw);
            if let Some(expr) = self.task.step.keyword(Keyword::ChangedWhen) {
                match templar.holds(expr, &scope) {
                    Ok(changed) => drop(out.raw.insert("changed".to_owned(), changed.into())),
                    Err(diagnostic) => judged_wrong(out, "changed_when_result", diagnostic),
                }
            }
            if let Some(expr) = self.task.step.keyword(Keyword::FailedWhen) {
                match templar.holds(expr, &scope) {
                    Ok(failed) => {
                        out.raw.insert("failed_when_result".to_owned(), failed.into());
                        out.raw.insert("failed".to_owned(), failed.into());
                        out.status = if failed { Status::Failed } else { Status::Ok };
                        out.finding = None;
                    }
                    Err(diagnostic) => judged_wrong(out, "failed_when_result", diagnostic),
                }
            }
        }
        let changed = out.raw.get("changed").and_then(wire::Value::to_bool).unwrap_or(false);
        out.status = match out.status {
            Status::Ok if out.raw.get("failed").and_then(wire::Value::to_bool) == Some(true) => Status::Failed,
            Status::Ok if changed => Status::Changed,
            other => other,
        };
        if out.status == Status::Failed {
            out.ignored = self.task.flag_in(Keyword::IgnoreErrors, &self.scope);
        }
    }
}

fn diff_value(diffs: &[Diff]) -> wire::Value {
    let one = |diff: &Diff| {
        let mut map = Map::new();
        map.insert("before".to_owned(), diff.before.as_str().into());
        map.insert("after".to_owned(), diff.after.as_str().into());
        map.insert("before_header".to_owned(), diff.before_header.as_str().into());
        map.insert("after_header".to_owned(), diff.after_header.as_str().into());
        wire::Value::Map(map)
    };
    match diffs {
        [diff] => one(diff),
        _ => wire::Value::List(diffs.iter().map(one).collect()),
    }
}

fn judged_wrong(out: &mut ItemOutcome, judgement: &str, diagnostic: Diagnostic) {
    out.raw.insert(judgement.to_owned(), diagnostic.message.clone().into());
    out.raw.insert("msg".to_owned(), diagnostic.message.clone().into());
    out.raw.insert("failed".to_owned(), true.into());
    out.status = Status::Failed;
    out.finding = Some(diagnostic);
}
