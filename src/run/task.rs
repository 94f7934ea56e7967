//! One task on one host: its loop, and what its items add up to.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use tokio::sync::oneshot;

use super::item::{Item, ItemOutcome, Queued};
use super::{Effect, PlayState, Shared};
use crate::event::{EventKind, Shown, Status, TaskResult};
use crate::model::Keyword;
use crate::plan::scope::{Layered, Locals};
use crate::plan::{Step, Work};
use crate::template::{Binding, Expr, Scope, Value, from_wire, to_wire};
use crate::text::Diagnostic;
use crate::wire::{self, Map};

/// How many items of a loop are under way to one host at a time: enough to hide the network, few enough to stop soon.
const WINDOW: usize = 16;

/// How long a task may take before somebody is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// One task on one host.
pub(super) struct TaskRun {
    pub(super) shared: Arc<Shared>,
    pub(super) play: Arc<PlayState>,
    pub(super) step: Arc<Step>,
    pub(super) host: String,
    /// [`crate::event::TaskInfo::id`].
    pub(super) id: u64,
    pub(super) layers: Layered,
}

/// What a task came to on a host, for the play to act on.
pub(super) struct HostOutcome {
    /// What the world sees.
    pub(super) result: TaskResult,
    /// The whole result, for `register` and `ansible_failed_result`.
    pub(super) raw: Map,
    /// Handlers to run.
    pub(super) notify: Vec<String>,
    /// What it does to the run itself.
    pub(super) effects: Vec<Effect>,
}

/// `loop_control`, evaluated.
struct Control {
    var: String,
    index: Option<String>,
    label: Option<Expr>,
    pause: Duration,
    extended: bool,
    extended_allitems: bool,
}

impl TaskRun {
    /// Runs it.
    pub(super) async fn run(self) -> HostOutcome {
        let begun = Instant::now();
        self.shared.events.emit(EventKind::HostStarted { task: self.id, host: self.host.clone() }).await;
        let work = async {
            match self.looped() {
                Ok(None) => self.single().await,
                Ok(Some(items)) => self.items(items).await,
                Err(diagnostic) => self.without_items(diagnostic).await,
            }
        };
        let mut outcome = tokio::select! {
            outcome = work => outcome,
            never = self.tell_that_it_takes_long(begun) => match never {},
        };
        outcome.result.took = begun.elapsed();
        self.shared.events.emit(EventKind::HostEnded { task: self.id, host: self.host.clone() }).await;
        if let Some(name) = &self.step.register {
            self.shared.memory.host(&self.host).register(&name.value, &outcome.raw);
        }
        outcome
    }

    /// Names the task and the host, ever less often.
    async fn tell_that_it_takes_long(&self, begun: Instant) -> Infallible {
        let mut wait = PATIENCE;
        loop {
            tokio::time::sleep(wait).await;
            wait = begun.elapsed();
            let name = self.step.name.as_ref().and_then(|name| self.shared.templar.render(name, &self.base_scope()).ok());
            let task = name.unwrap_or_else(|| self.step.module.value.clone());
            self.shared.events.emit(EventKind::Waiting { host: self.host.clone(), task, since: begun.elapsed() }).await;
        }
    }

    fn base_scope(&self) -> Arc<dyn Scope> {
        Arc::new(self.layers.clone())
    }

    /// The items of the loop, if there is one.
    fn looped(&self) -> Result<Option<Vec<Value>>, Diagnostic> {
        let Some(looped) = &self.step.looped else { return Ok(None) };
        super::looping::items(&self.shared, looped, &self.base_scope()).map(Some)
    }

    /// The loop's items are an error; but a condition that does not hold anyway comes first.
    async fn without_items(&self, diagnostic: Diagnostic) -> HostOutcome {
        let item = self.item(&self.layers, None);
        let outcome = match item.condition() {
            Ok(Some(skipped)) => skipped,
            _ => item.failed(diagnostic),
        };
        self.finish(outcome, false).await
    }

    async fn single(&self) -> HostOutcome {
        let outcome = self.item(&self.layers, None).run().await;
        self.finish(outcome, false).await
    }

    fn item<'a>(&'a self, layers: &Layered, label: Option<String>) -> Item<'a> {
        Item {
            task: self,
            layers: layers.clone(),
            scope: Arc::new(layers.clone()),
            label,
            locals: Locals::default(),
            delegate: None,
            queued: Queued::default(),
        }
    }

    async fn items(&self, items: Vec<Value>) -> HostOutcome {
        let control = match self.control() {
            Ok(control) => control,
            Err(diagnostic) => return self.finish(self.item(&self.layers, None).failed(diagnostic), false).await,
        };
        let mut sum = Sum::default();
        let window = if self.independent() { WINDOW } else { 1 };
        let mut under_way = FuturesOrdered::new();
        let mut waiting = items.iter().enumerate();
        'items: loop {
            while under_way.len() < window
                && let Some((index, value)) = waiting.next()
            {
                if index > 0 && !control.pause.is_zero() {
                    tokio::time::sleep(control.pause).await;
                }
                let (queued, mut on_its_way) = oneshot::channel();
                under_way.push_back(self.one_of(&items, (index, value), &control, queued));
                loop {
                    tokio::select! {
                        biased;
                        Some(done) = under_way.next() => if self.add_item(done, &mut sum).await { break 'items },
                        _ = &mut on_its_way => break, // also when it needed no call
                    }
                }
            }
            let Some(done) = under_way.next().await else { break };
            if self.add_item(done, &mut sum).await {
                break;
            }
        }
        drop(under_way);
        let outcome = sum.total(self);
        self.finish(outcome, true).await
    }

    /// Whether the next item may be sent to the host before the answer to the last one is there. The agent works in order, so
    /// all that matters is that nothing evaluated here could depend on that answer, and that there is one agent.
    fn independent(&self) -> bool {
        const ABSENT: [Keyword; 5] = [Keyword::Until, Keyword::Retries, Keyword::DelegateTo, Keyword::Timeout, Keyword::Async];
        const THE_SAME: [Keyword; 5] =
            [Keyword::Become, Keyword::BecomeUser, Keyword::BecomeMethod, Keyword::Connection, Keyword::RemoteUser];
        let Work::Module(_) = self.step.work else { return false };
        // What these find is seen by the next item.
        let finds_facts = self.step.work.name().ends_with("facts") || matches!(self.step.work.name(), "setup" | "getent");
        let controlled = self
            .step
            .keyword(Keyword::LoopControl)
            .is_some_and(|control| ["break_when", "pause"].iter().any(|name| control.entry(name).is_some()));
        let rewired = self.step.context.vars.iter().any(|vars| vars.keys().any(|name| name.starts_with("ansible_")));
        let one_agent = THE_SAME.into_iter().all(|keyword| self.step.keyword(keyword).is_none_or(|expr| expr.literal().is_some()));
        let absent = ABSENT.into_iter().all(|keyword| self.step.keyword(keyword).is_none());
        absent && one_agent && !finds_facts && !controlled && !rewired && self.shared.settings.task_timeout == 0
    }

    /// Runs one item; its outcome knows which it was.
    async fn one_of(
        &self,
        items: &[Value],
        (index, value): (usize, &Value),
        control: &Control,
        queued: oneshot::Sender<()>,
    ) -> (Option<String>, ItemOutcome, bool) {
        let locals = control.locals(index, items.len(), value, items);
        let layers = self.layers.with(locals.clone());
        let label = Some(self.label(control, &layers, value));
        let item = Item { locals, queued: Queued::to(queued), ..self.item(&layers, label) };
        let mut outcome = item.run().await;
        outcome.raw.insert(control.var.clone(), to_wire(value));
        outcome.raw.insert("ansible_loop_var".to_owned(), control.var.as_str().into());
        if let Some(name) = &control.index {
            outcome.raw.insert(name.clone(), index.into());
            outcome.raw.insert("ansible_index_var".to_owned(), name.as_str().into());
        }
        if control.extended {
            outcome.raw.insert("ansible_loop".to_owned(), to_wire(&control.extended_info(index, items.len(), items)));
        }
        let stop = self.breaks(&layers, &outcome);
        (item.label, outcome, stop)
    }

    /// Tells of an item and adds it up; whether it was the last.
    async fn add_item(&self, (label, outcome, stop): (Option<String>, ItemOutcome, bool), sum: &mut Sum) -> bool {
        let result = self.shown(&outcome, label, true);
        self.shared.events.emit(EventKind::ItemFinished(result)).await;
        sum.add(outcome, self);
        stop
    }

    fn breaks(&self, layers: &Layered, outcome: &ItemOutcome) -> bool {
        let Some(control) = self.step.keyword(Keyword::LoopControl) else { return false };
        let Some(condition) = control.entry("break_when") else { return false };
        let mut locals = Locals::default();
        if let Some(name) = &self.step.register {
            locals.0.push((name.value.clone(), from_wire(&wire::Value::Map(outcome.raw.clone()))));
        }
        let scope: Arc<dyn Scope> = Arc::new(layers.with(locals));
        let holds =
            |text: &str| self.shared.templar.holds(&self.shared.templar.expression(text, condition.span()), &scope).unwrap_or(false);
        match condition.literal().map(to_wire) {
            Some(wire::Value::List(conditions)) => conditions.iter().any(|text| holds(&text.to_text())),
            Some(value) => holds(&value.to_text()),
            None => false,
        }
    }

    fn control(&self) -> Result<Control, Diagnostic> {
        let mut control =
            Control { var: "item".to_owned(), index: None, label: None, pause: Duration::ZERO, extended: false, extended_allitems: true };
        let Some(written) = self.step.keyword(Keyword::LoopControl) else { return Ok(control) };
        let scope = self.base_scope();
        let value = |name: &str| -> Result<Option<wire::Value>, Diagnostic> {
            match written.entry(name) {
                Some(expr) => Ok(Some(to_wire(&self.shared.templar.evaluate(&expr, &scope)?))),
                None => Ok(None),
            }
        };
        if let Some(name) = value("loop_var")? {
            control.var = name.to_text();
        }
        control.index = value("index_var")?.map(|name| name.to_text());
        control.label = written.entry("label");
        if let Some(wire::Value::Int(seconds)) = value("pause")? {
            control.pause = Duration::from_secs(seconds.unsigned_abs());
        } else if let Some(wire::Value::Float(seconds)) = value("pause")? {
            control.pause = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        }
        control.extended = value("extended")?.and_then(|flag| flag.to_bool()).unwrap_or(false);
        control.extended_allitems = value("extended_allitems")?.and_then(|flag| flag.to_bool()).unwrap_or(true);
        Ok(control)
    }

    fn label(&self, control: &Control, layers: &Layered, value: &Value) -> String {
        let Some(label) = &control.label else { return to_wire(value).to_text() };
        let scope: Arc<dyn Scope> = Arc::new(layers.clone());
        match self.shared.templar.evaluate(label, &scope) {
            Ok(label) => to_wire(&label).to_text(),
            Err(_) => to_wire(value).to_text(),
        }
    }

    /// Turns the sum into what the play acts on.
    async fn finish(&self, outcome: ItemOutcome, looped: bool) -> HostOutcome {
        let scope = self.base_scope();
        let mut result = self.shown(&outcome, None, looped);
        let mut notify = Vec::new();
        if outcome.status == Status::Changed {
            for expr in &self.step.context.notify {
                match self.shared.templar.evaluate(expr, &scope) {
                    Ok(names) => notify.extend(names_in(&names)),
                    Err(diagnostic) => {
                        result.status = Status::Failed;
                        result.finding = Some(self.shared.events.finding(diagnostic));
                    }
                }
            }
        }
        if let Some(own) = outcome.notify {
            notify.extend(own);
        }
        HostOutcome { result, raw: outcome.raw, notify, effects: outcome.effects }
    }

    /// A host that is delegated to, with its address if that is another than its name.
    fn place_of(&self, name: &str) -> String {
        let known = self.shared.inventory().host(name).is_some_and(|host| !host.implicit);
        let scope: Arc<dyn Scope> = Arc::new(self.shared.view(&self.play, name, &self.step.context, super::magic::View::HostVars));
        let address = match scope.get("ansible_host").filter(|_| known) {
            Some(Binding::Value(value)) => value.to_text(),
            Some(Binding::Expr(expr)) => self.shared.templar.render(&expr, &scope).unwrap_or_default(),
            None => return name.to_owned(),
        };
        if address == name { address } else { format!("{name}({address})") }
    }

    /// Where the expression stands that failed; of any other failure, where the task does.
    fn finding(&self, outcome: &ItemOutcome) -> Option<Diagnostic> {
        let failed = outcome.status == Status::Failed && !outcome.ignored;
        outcome.finding.clone().or_else(|| failed.then(|| failure(&self.step, &outcome.raw)))
    }

    /// What the world may see of an outcome.
    fn shown(&self, outcome: &ItemOutcome, label: Option<String>, looped: bool) -> TaskResult {
        let censored = outcome.no_log;
        let result = if censored { censor(&outcome.raw) } else { outcome.raw.clone() };
        TaskResult {
            task: self.id,
            host: self.host.clone(),
            delegate: outcome.delegate.as_deref().map(|name| self.place_of(name)),
            status: outcome.status,
            ignored: outcome.ignored,
            rescued: false,
            item: label.map(|label| if censored { "(censored due to no_log)".to_owned() } else { label }),
            result,
            diff: if censored { Vec::new() } else { outcome.diff.clone() },
            warnings: if censored { Vec::new() } else { outcome.warnings.clone() },
            finding: if censored { None } else { self.finding(outcome).map(|diagnostic| self.shared.events.finding(diagnostic)) },
            took: outcome.took,
            shown: if outcome.verbose_always { Shown::Always } else { Shown::Verbose },
            looped,
        }
    }
}

fn names_in(value: &Value) -> Vec<String> {
    match to_wire(value) {
        wire::Value::List(items) => items.iter().flat_map(|item| names_in(&from_wire(item))).collect(),
        wire::Value::Null => Vec::new(),
        other => vec![other.to_text()],
    }
}

/// What a module said when it failed, at the task that called it.
fn failure(step: &Step, raw: &Map) -> Diagnostic {
    let said = raw.get("msg").map(wire::Value::to_text).unwrap_or_default();
    let first = said.lines().next().filter(|line| !line.is_empty()).unwrap_or("the task failed");
    Diagnostic::error("task-failed", first).at(step.span, "")
}

/// A result of which nobody may see anything but that it was.
fn censor(raw: &Map) -> Map {
    let mut shown = Map::new();
    let text = "the output has been hidden due to the fact that 'no_log: true' was specified for this result";
    shown.insert("censored".to_owned(), text.into());
    for key in ["changed", "failed", "skipped", "unreachable", "attempts", "retries"] {
        if let Some(value) = raw.get(key) {
            shown.insert(key.to_owned(), value.clone());
        }
    }
    shown
}

impl Control {
    fn locals(&self, index: usize, count: usize, value: &Value, items: &[Value]) -> Locals {
        let mut locals = Locals(vec![(self.var.clone(), value.clone()), ("ansible_loop_var".to_owned(), self.var.as_str().into())]);
        if let Some(name) = &self.index {
            locals.0.push((name.clone(), index.into()));
            locals.0.push(("ansible_index_var".to_owned(), name.as_str().into()));
        }
        if self.extended {
            locals.0.push(("ansible_loop".to_owned(), self.extended_info(index, count, items)));
        }
        locals
    }

    fn extended_info(&self, index: usize, count: usize, items: &[Value]) -> Value {
        let mut info = vec![
            ("index", Value::from(index + 1)),
            ("index0", index.into()),
            ("first", (index == 0).into()),
            ("last", (index + 1 == count).into()),
            ("length", count.into()),
            ("revindex", (count - index).into()),
            ("revindex0", (count - index - 1).into()),
        ];
        if self.extended_allitems {
            info.push(("allitems", Value::list(items.iter().cloned())));
        }
        if let Some(next) = items.get(index + 1) {
            info.push(("nextitem", next.clone()));
        }
        if let Some(previous) = index.checked_sub(1).and_then(|index| items.get(index)) {
            info.push(("previtem", previous.clone()));
        }
        Value::map(info)
    }
}

/// Items adding up.
#[derive(Default)]
struct Sum {
    results: Vec<wire::Value>,
    statuses: Vec<(Status, bool)>,
    changed: bool,
    no_log: bool,
    warnings: Vec<String>,
    effects: Vec<Effect>,
    notify: Vec<String>,
    finding: Option<Diagnostic>,
    unreachable: Option<String>,
    delegate: Option<String>,
    verbose_always: bool,
}

impl Sum {
    fn add(&mut self, outcome: ItemOutcome, task: &TaskRun) {
        if outcome.status == Status::Failed {
            self.finding = task.finding(&outcome);
        }
        self.statuses.push((outcome.status, outcome.ignored));
        self.changed |= outcome.raw.get("changed").and_then(wire::Value::to_bool).unwrap_or(false);
        self.no_log |= outcome.no_log;
        self.warnings.extend(outcome.warnings);
        self.effects.extend(outcome.effects);
        self.notify.extend(outcome.notify.into_iter().flatten());
        self.delegate = outcome.delegate;
        self.verbose_always |= outcome.verbose_always;
        if outcome.status == Status::Unreachable {
            self.unreachable = outcome.raw.get("msg").map(wire::Value::to_text);
        }
        self.results.push(wire::Value::Map(outcome.raw));
    }

    fn total(self, task: &TaskRun) -> ItemOutcome {
        let all_skipped = !self.statuses.is_empty() && self.statuses.iter().all(|(status, _)| *status == Status::Skipped);
        let failed = self.statuses.iter().any(|(status, _)| *status == Status::Failed);
        let ignored = self.statuses.iter().filter(|(status, _)| *status == Status::Failed).all(|(_, ignored)| *ignored);
        let unreachable = self.unreachable.is_some();
        let empty = self.results.is_empty();
        let mut raw = Map::new();
        let (status, msg) = if unreachable {
            (Status::Unreachable, self.unreachable.clone().unwrap_or_default())
        } else if failed {
            (Status::Failed, "One or more items failed".to_owned())
        } else if empty {
            (Status::Skipped, String::new())
        } else if all_skipped {
            (Status::Skipped, "All items skipped".to_owned())
        } else if self.changed {
            (Status::Changed, "All items completed".to_owned())
        } else {
            (Status::Ok, "All items completed".to_owned())
        };
        raw.insert("changed".to_owned(), self.changed.into());
        if empty {
            raw.insert("results".to_owned(), wire::Value::List(Vec::new()));
            raw.insert("skipped".to_owned(), true.into());
            raw.insert("skipped_reason".to_owned(), "No items in the list".into());
        } else {
            if failed {
                raw.insert("failed".to_owned(), true.into());
            }
            raw.insert("msg".to_owned(), msg.into());
            raw.insert("results".to_owned(), wire::Value::List(self.results));
            if all_skipped {
                raw.insert("skipped".to_owned(), true.into());
            }
        }
        if unreachable {
            raw.insert("unreachable".to_owned(), true.into());
        }
        ItemOutcome {
            status,
            raw,
            ignored: (failed || unreachable) && ignored && (failed || task.flag(Keyword::IgnoreUnreachable)),
            no_log: self.no_log,
            warnings: self.warnings,
            effects: self.effects,
            notify: Some(self.notify),
            finding: self.finding,
            delegate: self.delegate,
            verbose_always: self.verbose_always,
            ..ItemOutcome::default()
        }
    }
}
