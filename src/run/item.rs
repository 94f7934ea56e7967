//! One item of one task on one host: condition, parameters, the call, its repetitions, and whether it changed or failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Effect;
use super::action::{self, ActionCall, Answer};
use super::invocation;
use super::judge::Answered;
use super::settings::AfterFatalRescue;
use super::task::TaskRun;
use crate::event::{EventKind, Shown, Status, TaskResult};
use crate::model::Keyword;
use crate::module;
use crate::plan::scope::{Layered, Locals};
use crate::plan::{self, Work};
use crate::template::{Scope, Value, is_omit, to_wire};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Spanned};
use crate::wire::{self, Diff, Failure, Map, Outcome};

/// One item of one task on one host.
pub(super) struct Item<'a> {
    pub(super) task: &'a TaskRun,
    pub(super) layers: Layered,
    pub(super) scope: Arc<dyn Scope>,
    pub(super) label: Option<String>,
    /// Loop variables.
    pub(super) locals: Locals,
    /// The host that it is delegated to. Asked once: the name may be drawn by lot.
    pub(super) delegate: Option<String>,
    /// Told when its call is on its way, and dropped when there is none.
    pub(super) queued: Queued,
}

/// Whom an item tells that the next one may follow.
#[derive(Default)]
pub(super) struct Queued(Mutex<Option<oneshot::Sender<()>>>);

impl Queued {
    /// Tells `sender`.
    pub(super) fn to(sender: oneshot::Sender<()>) -> Self {
        Self(Mutex::new(Some(sender)))
    }

    /// The first attempt tells it; a repetition has nobody to tell.
    pub(super) fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What an item came to.
pub(super) struct ItemOutcome {
    pub(super) status: Status,
    pub(super) raw: Map,
    pub(super) ignored: bool,
    pub(super) no_log: bool,
    pub(super) diff: Vec<Diff>,
    pub(super) warnings: Vec<String>,
    pub(super) effects: Vec<Effect>,
    pub(super) notify: Option<Vec<String>>,
    pub(super) finding: Option<Diagnostic>,
    pub(super) delegate: Option<String>,
    pub(super) verbose_always: bool,
    pub(super) took: Duration,
}

impl Default for ItemOutcome {
    fn default() -> Self {
        Self {
            status: Status::Ok,
            raw: Map::new(),
            ignored: false,
            no_log: false,
            diff: Vec::new(),
            warnings: Vec::new(),
            effects: Vec::new(),
            notify: None,
            finding: None,
            delegate: None,
            verbose_always: false,
            took: Duration::ZERO,
        }
    }
}

/// Why an attempt gave no outcome.
pub(super) enum Trouble {
    /// The task failed.
    Failed(Box<Failure>, Option<Box<Diagnostic>>),
    /// The host cannot be reached.
    Unreachable(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure), None)
    }
}

impl From<Diagnostic> for Trouble {
    fn from(diagnostic: Diagnostic) -> Self {
        let failure = Failure::new(diagnostic.message.clone());
        Self::Failed(Box::new(failure), Some(Box::new(diagnostic)))
    }
}

impl Item<'_> {
    /// Runs it, repeating as `until` asks.
    pub(super) async fn run(&self) -> ItemOutcome {
        let begun = Instant::now();
        // As in Ansible: to whom it is delegated is known before its condition.
        let eager = self.task.shared.settings.after_fatal_rescue == AfterFatalRescue::GoOn;
        let mut outcome = match self.begun(eager).await {
            Ok(outcome) => outcome,
            Err(diagnostic) => self.failed(diagnostic),
        };
        outcome.took = begun.elapsed();
        outcome
    }

    async fn begun(&self, eager: bool) -> Result<ItemOutcome, Diagnostic> {
        if !eager && let Some(skipped) = self.condition()? {
            return Ok(skipped);
        }
        let delegated = self.delegate()?.map(|host| self.delegated(host));
        let item = delegated.as_ref().unwrap_or(self);
        match if eager { item.condition()? } else { None } {
            Some(skipped) => Ok(skipped),
            None => Ok(item.repeated().await),
        }
    }

    /// The same, knowing the variables of the host that it is delegated to.
    fn delegated(&self, host: String) -> Self {
        let task = self.task;
        let mut locals = task.connection_of(&host, &self.layers);
        locals.push(("ansible_delegated_vars".to_owned(), Value::map([(host.as_str(), task.vars_of_delegate(&host))])));
        let layers = self.layers.with(Locals(locals));
        let queued = self.queued.take().map(Queued::to).unwrap_or_default();
        let (label, locals) = (self.label.clone(), self.locals.clone());
        Self { task, scope: Arc::new(layers.clone()), layers, label, locals, delegate: Some(host), queued }
    }

    /// `Some` when a condition does not hold.
    pub(super) fn condition(&self) -> Result<Option<ItemOutcome>, Diagnostic> {
        for condition in &self.task.step.context.when {
            if !self.task.shared.templar.holds(&condition.expr, &self.scope)? {
                let mut raw = Map::new();
                raw.insert("changed".to_owned(), false.into());
                raw.insert("false_condition".to_owned(), crate::template::node_value(&condition.text));
                raw.insert("skip_reason".to_owned(), "Conditional result was False".into());
                raw.insert("skipped".to_owned(), true.into());
                return Ok(Some(ItemOutcome { status: Status::Skipped, raw, no_log: self.no_log(), ..ItemOutcome::default() }));
            }
        }
        Ok(None)
    }

    /// The outcome of an expression that cannot be evaluated.
    pub(super) fn failed(&self, diagnostic: Diagnostic) -> ItemOutcome {
        self.conclude_attempt(Err(Trouble::from(diagnostic)), Answered::default(), None)
    }

    /// The loop's variables, for what is included.
    pub(super) fn locals(&self) -> Vec<(String, wire::Value)> {
        self.locals.0.iter().map(|(name, value)| (name.clone(), to_wire(value))).collect()
    }

    pub(super) fn no_log(&self) -> bool {
        // A condition that cannot be evaluated hides: better too little shown than a secret.
        let keyword = self.task.step.keyword(Keyword::NoLog);
        keyword.map_or(self.task.shared.settings.no_log, |expr| self.truth(expr).unwrap_or(true))
    }

    fn truth(&self, expr: &crate::template::Expr) -> Result<bool, Diagnostic> {
        let value = self.task.shared.templar.evaluate(expr, &self.scope)?;
        Ok(!is_omit(&value) && to_wire(&value).to_bool().unwrap_or_else(|| value.is_true()))
    }

    async fn repeated(&self) -> ItemOutcome {
        let step = &self.task.step;
        let until = step.keyword(Keyword::Until);
        let number = |keyword: Keyword| -> Result<Option<f64>, Diagnostic> {
            let Some(expr) = step.keyword(keyword) else { return Ok(None) };
            let value = to_wire(&self.task.shared.templar.evaluate(expr, &self.scope)?);
            let text = value.to_text();
            text.trim().parse().map(Some).map_err(|_| {
                let name = keyword.name();
                Diagnostic::error("keyword-type", format!("`{name}`: expected a number, found `{text}`")).at(expr.span(), "")
            })
        };
        let (retries, delay) = match (number(Keyword::Retries), number(Keyword::Delay)) {
            (Ok(retries), Ok(delay)) => (retries, delay.unwrap_or(5.0).max(0.0)),
            (Err(diagnostic), _) | (_, Err(diagnostic)) => return self.failed(diagnostic),
        };
        if until.is_none() && retries.is_none() {
            return self.once(None).await;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of attempts, clamped")]
        let retries = retries.unwrap_or(3.0).clamp(0.0, 1e9) as u32;
        let mut attempt = 1;
        loop {
            let mut outcome = self.once(Some(attempt)).await;
            if outcome.status == Status::Unreachable {
                return outcome;
            }
            let done = match until {
                None => outcome.status != Status::Failed,
                Some(until) => {
                    let scope = self.with_result(&outcome.raw);
                    match self.task.shared.templar.holds(until, &scope) {
                        Ok(holds) => holds,
                        Err(diagnostic) => return self.failed(diagnostic),
                    }
                }
            };
            if done {
                return outcome;
            }
            if attempt > retries {
                outcome.raw.insert("attempts".to_owned(), retries.into());
                outcome.raw.insert("failed".to_owned(), true.into());
                // As in Ansible: what `failed_when` said of the last attempt counts.
                if outcome.raw.get("failed_when_result").and_then(wire::Value::to_bool) == Some(false) {
                    return outcome;
                }
                outcome.status = Status::Failed;
                outcome.ignored = self.task.flag_in(Keyword::IgnoreErrors, &self.scope);
                return outcome;
            }
            self.retrying(&outcome, attempt, retries).await;
            tokio::time::sleep(Duration::try_from_secs_f64(delay).unwrap_or_default()).await;
            attempt += 1;
        }
    }

    async fn retrying(&self, outcome: &ItemOutcome, attempt: u32, retries: u32) {
        let mut result = outcome.raw.clone();
        result.insert("retries".to_owned(), (retries + 1).into());
        let result = TaskResult {
            task: self.task.id,
            host: self.task.host.clone(),
            delegate: outcome.delegate.clone(),
            status: outcome.status,
            ignored: false,
            rescued: false,
            item: self.label.clone().filter(|_| !outcome.no_log),
            result: if outcome.no_log { Map::new() } else { result },
            diff: Vec::new(),
            warnings: Vec::new(),
            finding: None,
            took: Duration::ZERO,
            shown: Shown::Verbose,
            looped: self.label.is_some(),
        };
        self.task.shared.events.emit(EventKind::Retrying { result, left: retries + 1 - attempt }).await;
    }

    /// One attempt, judged.
    async fn once(&self, attempt: Option<u32>) -> ItemOutcome {
        let mut answered = Answered::default();
        let answer = self.attempt(&mut answered).await;
        self.conclude_attempt(answer, answered, attempt)
    }

    async fn attempt(&self, answered: &mut Answered) -> Result<Outcome, Trouble> {
        let delegate = self.delegate.clone();
        answered.delegate.clone_from(&delegate);
        if let Some(mistake) = &self.task.step.mistake {
            return Err(Failure::new(mistake.clone()).into());
        }
        let (name, work) = self.work()?;
        let params = self.params(&name, &work).map_err(|diagnostic| self.in_options(diagnostic))?;
        plan::conform(&name, &work.spec(), work.is_open(), &params).map_err(|msg| {
            // The one mistake that has a status of its own.
            let status = (msg == "no command given" || msg.starts_with("only command or argv")).then_some(256);
            status.into_iter().fold(Failure::new(msg), |failure, status| failure.with("rc", status))
        })?;
        match &work {
            Work::Module(_) | Work::Named => {
                let wanted = self.task.shared.settings.verbosity >= invocation::EVERYTHING && name != "setup";
                let given = wanted.then(|| params.clone());
                let call = super::call::ModuleCall { item: self, params, delegate };
                let answer = call.run(work.name()).await;
                match given {
                    Some(given) => invocation::told(answer, &work.spec(), &given),
                    None => answer,
                }
            }
            Work::Foreign(foreign) => {
                let call = super::call::ModuleCall { item: self, params, delegate };
                call.bridged(foreign).await
            }
            Work::Action(spec) => {
                if self.background()? {
                    return Err(Failure::new(format!("This action ({}) does not support async.", spec.name)).into());
                }
                let call = ActionCall { item: self, params, delegate };
                let Answer { outcome, effects, notify, verbose_always } = action::run(spec, call).await?;
                answered.effects = effects;
                answered.notify = notify;
                answered.verbose_always = verbose_always;
                Ok(outcome)
            }
        }
    }

    /// A parameter that cannot be evaluated, in words that playbooks look for in `result.msg`.
    pub(super) fn in_options(&self, diagnostic: Diagnostic) -> Trouble {
        if diagnostic.code != "undefined-variable" || !self.task.shared.templar.manner().truthy_conditions {
            return diagnostic.into();
        }
        let message = format!("The task includes an option with an undefined variable. The error was: {}", diagnostic.message);
        Trouble::Failed(Box::new(Failure::new(message)), Some(Box::new(diagnostic)))
    }

    /// Whether `async` asks for more than nothing.
    fn background(&self) -> Result<bool, Diagnostic> {
        let Some(expr) = self.task.step.keyword(Keyword::Async) else { return Ok(false) };
        let value = to_wire(&self.task.shared.templar.evaluate(expr, &self.scope)?);
        Ok(value.to_text().trim().parse::<f64>().is_ok_and(|seconds| seconds > 0.0))
    }

    fn delegate(&self) -> Result<Option<String>, Diagnostic> {
        let Some(expr) = self.task.step.keyword(Keyword::DelegateTo) else { return Ok(None) };
        let value = self.task.shared.templar.evaluate(expr, &self.scope)?;
        if is_omit(&value) || value.is_none() {
            return Ok(None);
        }
        let name = to_wire(&value).to_text();
        if name.is_empty() {
            let written = self.task.shared.source_text(expr.span());
            return Err(Diagnostic::error("empty-delegate", format!("Empty hostname produced from delegate_to: \"{written}\""))
                .at(expr.span(), "")
                .help("give it the name of a host"));
        }
        Ok(Some(name))
    }

    /// The module's name as written or templated, and what it does.
    fn work(&self) -> Result<(String, Work), Trouble> {
        let step = &self.task.step;
        let Work::Named = step.work else { return Ok((step.module.value.clone(), step.work.clone())) };
        let shared = &self.task.shared;
        let text = Node::new(NodeKind::Str(step.module.value.clone()), step.module.span);
        let name = shared.templar.render(&shared.templar.compile(&text, &mut Diagnostics::default()), &self.scope)?;
        let wanted = Spanned::new(name.trim().to_owned(), step.module.span);
        let mut diags = Diagnostics::default();
        let work = shared.compiler.work_named(&wanted, &step.context, &self.task.play.scope.dir, &mut diags).ok_or_else(|| {
            let refused = diags.into_vec().into_iter().find(|diagnostic| diagnostic.code != "unknown-module");
            refused.unwrap_or_else(|| {
                Diagnostic::error("unknown-module", format!("couldn't resolve module/action '{name}'"))
                    .at(step.module.span, "came out of this")
            })
        })?;
        Ok((name, work))
    }

    /// The task's parameters, templated, under their canonical names, with `module_defaults` under them.
    fn params(&self, module: &str, work: &Work) -> Result<Map, Diagnostic> {
        let step = &self.task.step;
        let templar = &self.task.shared.templar;
        let spec = work.spec();
        let canonical = |name: &str| match (spec.find(name), spec.free_form) {
            (Some(param), _) => param.name.to_owned(),
            (None, Some(free)) if name == "_raw_params" => free.to_owned(),
            (None, _) => name.to_owned(),
        };
        let mut params = self.defaults(module, work)?;
        if let Some(whole) = &step.whole {
            match to_wire(&templar.evaluate(whole, &self.scope)?) {
                wire::Value::Map(map) => params.extend(map.into_iter().map(|(name, value)| (canonical(&name), value))),
                wire::Value::Null => {}
                other => {
                    let message = match &other {
                        wire::Value::Str(text) => format!("invalid or malformed argument: '{text}'"),
                        other => format!("expected a mapping of parameters, found {}", other.kind()),
                    };
                    return Err(Diagnostic::error("parameter-type", message).at(whole.span(), ""));
                }
            }
        }
        for (name, expr) in &step.params {
            let value = templar.evaluate(expr, &self.scope)?;
            if is_omit(&value) {
                params.shift_remove(&canonical(&name.value));
            } else {
                params.insert(canonical(&name.value), to_wire(&value));
            }
        }
        Ok(params)
    }

    fn defaults(&self, name: &str, work: &Work) -> Result<Map, Diagnostic> {
        self.defaults_where(work.spec(), |module| module == name || means(module, work.name()))
    }

    /// What `module_defaults` say of a module that does the work of the task's own.
    pub(super) fn defaults_of(&self, name: &str) -> Result<Map, Diagnostic> {
        self.defaults_where(module::find(name).map_or(module::Spec::OPEN, |entry| entry.spec), |module| means(module, name))
    }

    fn defaults_where(&self, spec: module::Spec, meant: impl Fn(&str) -> bool) -> Result<Map, Diagnostic> {
        let step = &self.task.step;
        let mut params = Map::new();
        for defaults in &step.context.module_defaults {
            let wire::Value::Map(defaults) = to_wire(&self.task.shared.templar.evaluate(defaults, &self.scope)?) else { continue };
            for (module, values) in defaults {
                if let (true, wire::Value::Map(values)) = (meant(&module), values) {
                    params.extend(
                        values.into_iter().map(|(name, value)| (spec.find(&name).map_or(name, |param| param.name.to_owned()), value)),
                    );
                }
            }
        }
        Ok(params)
    }
}

/// Whether a module that is called `module` is the one with the canonical name `name`.
fn means(module: &str, name: &str) -> bool {
    module::short_name(module) == name || module::find(module).is_some_and(|entry| entry.name == name)
}

impl TaskRun {
    /// Whether the keyword `keyword` holds, evaluated without the loop's variables.
    pub(super) fn flag(&self, keyword: Keyword) -> bool {
        let scope: Arc<dyn Scope> = Arc::new(self.layers.clone());
        self.flag_in(keyword, &scope)
    }

    pub(super) fn flag_in(&self, keyword: Keyword, scope: &Arc<dyn Scope>) -> bool {
        self.asked(keyword, scope).unwrap_or(false)
    }

    /// The same; `None` where nobody says, or the value is `omit`.
    pub(super) fn asked(&self, keyword: Keyword, scope: &Arc<dyn Scope>) -> Option<bool> {
        let value = match self.shared.templar.evaluate(self.step.keyword(keyword)?, scope) {
            Ok(value) if is_omit(&value) => return None,
            value => value,
        };
        Some(value.is_ok_and(|value| to_wire(&value).to_bool().unwrap_or_else(|| value.is_true())))
    }
}
