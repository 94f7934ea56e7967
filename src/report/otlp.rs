//! OpenTelemetry traces of a run, as OTLP/JSON: the run, its stages, plays, tasks, and each task on each host.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::event::{Event, EventKind, Exit, StageStatus, Status, TaskResult};
use crate::wire::Value;

/// Collects a run's spans.
#[derive(Debug)]
pub struct Otlp {
    trace: String,
    root: Span,
    stage: Option<Span>,
    play: Option<Span>,
    task: Option<(u64, Span)>,
    names: HashMap<u64, (String, String)>,
    /// When a task began on a host: results are told together, when the last of them is there.
    begun: HashMap<(u64, String), Timestamp>,
    done: Vec<Json>,
    /// How many spans there are: their identifiers count on from the root's.
    made: u64,
}

#[derive(Clone, Debug)]
struct Span {
    id: String,
    parent: String,
    name: String,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    attributes: Vec<Json>,
    error: Option<String>,
}

impl Otlp {
    /// `parent` is a W3C `traceparent` that the run belongs to (a CI job's); `id` makes identifiers of eight random bytes, in hexadecimal.
    pub fn new(parent: Option<&str>, id: impl Fn() -> String) -> Self {
        let mut fields = parent.unwrap_or_default().split('-').skip(1);
        let hexadecimal = |text: &&str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let trace = fields.next().filter(|text| hexadecimal(text, 32)).map(str::to_owned);
        let above = fields.next().filter(|text| trace.is_some() && hexadecimal(text, 16)).unwrap_or_default().to_owned();
        let trace = trace.unwrap_or_else(|| format!("{}{}", id(), id()));
        let root = Span { id: id(), parent: above, ..Span::new("rappel", None, "") };
        Self { trace, root, stage: None, play: None, task: None, names: HashMap::new(), begun: HashMap::new(), done: Vec::new(), made: 0 }
    }

    /// Takes one more event into account.
    pub fn add(&mut self, event: &Event) {
        let at = event.at;
        self.root.start.get_or_insert(at);
        self.root.end = Some(at);
        match &event.kind {
            EventKind::RunStarted { playbooks, .. } => {
                self.close_task(at);
                self.close_play(at);
                self.root.attributes.push(attribute("rappel.playbooks", &playbooks.join(" ")));
            }
            EventKind::StageStarted { stage } => {
                let above = self.root.id.clone();
                self.stage = Some(self.child(above, &format!("stage {stage}"), at));
            }
            EventKind::StageFinished { status, detail, .. } => {
                self.close_task(at);
                self.close_play(at);
                if let Some(mut stage) = self.stage.take() {
                    stage.attributes.push(attribute("rappel.detail", detail));
                    stage.error = (*status == StageStatus::Failed).then(|| detail.clone());
                    self.finish(stage, at);
                }
            }
            EventKind::PlayStarted { name, hosts, .. } => {
                self.close_task(at);
                self.close_play(at);
                let above = self.stage.as_ref().map_or(&self.root.id, |stage| &stage.id).clone();
                let mut play = self.child(above, &format!("play {name}"), at);
                play.attributes.push(json!({"key": "rappel.hosts", "value": {"intValue": hosts.len().to_string()}}));
                self.play = Some(play);
            }
            EventKind::TaskStarted(info) => {
                self.close_task(at);
                let above = self.play.as_ref().map_or(&self.root.id, |play| &play.id).clone();
                let mut task = self.child(above, &info.name, at);
                let place = format!("{}:{}", info.position.name, info.position.line);
                task.attributes = vec![attribute("rappel.module", &info.module), attribute("code.filepath", &place)];
                self.names.insert(info.id, (info.name.clone(), task.id.clone()));
                self.task = Some((info.id, task));
            }
            EventKind::HostStarted { task, host } => {
                self.begun.insert((*task, host.clone()), at);
            }
            EventKind::TaskFinished(result) => self.host(result, at),
            EventKind::TransactionFinished { cause: Some(cause), .. } => self.root.error = Some(cause.clone()),
            EventKind::RunFinished { exit } => {
                self.close_task(at);
                self.close_play(at);
                self.root.attributes.push(json!({"key": "process.exit.code", "value": {"intValue": exit.code().to_string()}}));
                if *exit != Exit::Success {
                    self.root.error.get_or_insert_with(|| format!("exit status {}", exit.code()));
                }
            }
            _ => {}
        }
    }

    /// The request's body: all spans so far.
    pub fn body(&self) -> Json {
        let mut spans = self.done.clone();
        spans.push(self.root.json(&self.trace));
        json!({"resourceSpans": [{
            "resource": {"attributes": [attribute("service.name", "rappel"), attribute("service.version", env!("CARGO_PKG_VERSION"))]},
            "scopeSpans": [{"scope": {"name": "rappel", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
        }]})
    }

    /// Whether anything happened.
    pub fn is_empty(&self) -> bool {
        self.root.start.is_none()
    }

    fn host(&mut self, result: &TaskResult, at: Timestamp) {
        let Some((name, above)) = self.names.get(&result.task).cloned() else { return };
        let took = jiff::SignedDuration::try_from(result.took).unwrap_or_default();
        let start = self.begun.remove(&(result.task, result.host.clone())).or_else(|| at.checked_sub(took).ok()).unwrap_or(at);
        let end = start.checked_add(took).map_or(at, |end| end.min(at));
        let mut span = self.child(above, &format!("{name} [{}]", result.host), start);
        span.attributes = vec![attribute("host.name", &result.host), attribute("rappel.status", status(result.status))];
        if matches!(result.status, Status::Failed | Status::Unreachable) && !result.ignored {
            span.error = Some(result.result.get("msg").map(Value::to_text).unwrap_or_default());
        }
        self.finish(span, end);
    }

    /// A span below `above`.
    fn child(&mut self, above: String, name: &str, start: Timestamp) -> Span {
        self.made += 1;
        let root = u64::from_str_radix(&self.root.id, 16).unwrap_or(1);
        let id = format!("{:016x}", root.wrapping_add(self.made));
        Span { id, parent: above, ..Span::new(name, Some(start), "") }
    }

    fn close_task(&mut self, at: Timestamp) {
        if let Some((_, task)) = self.task.take() {
            self.finish(task, at);
        }
    }

    fn close_play(&mut self, at: Timestamp) {
        if let Some(play) = self.play.take() {
            self.finish(play, at);
        }
    }

    fn finish(&mut self, mut span: Span, at: Timestamp) {
        span.end = Some(at);
        self.done.push(span.json(&self.trace));
    }
}

impl Span {
    fn new(name: &str, start: Option<Timestamp>, parent: &str) -> Self {
        let (id, parent, name) = (String::new(), parent.to_owned(), name.to_owned());
        Self { id, parent, name, start, end: None, attributes: Vec::new(), error: None }
    }

    fn json(&self, trace: &str) -> Json {
        let nanoseconds = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_nanosecond).to_string();
        let mut span = json!({
            "traceId": trace,
            "spanId": self.id,
            "name": self.name,
            "kind": 1,
            "startTimeUnixNano": nanoseconds(self.start),
            "endTimeUnixNano": nanoseconds(self.end.or(self.start)),
            "attributes": self.attributes,
            "status": match &self.error {
                None => json!({"code": 1}),
                Some(message) => json!({"code": 2, "message": message}),
            },
        });
        if let (Some(object), false) = (span.as_object_mut(), self.parent.is_empty()) {
            object.insert("parentSpanId".to_owned(), json!(self.parent));
        }
        span
    }
}

fn attribute(key: &str, value: &str) -> Json {
    json!({"key": key, "value": {"stringValue": value}})
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Changed => "changed",
        Status::Skipped => "skipped",
        Status::Failed => "failed",
        Status::Unreachable => "unreachable",
    }
}
