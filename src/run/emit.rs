//! [`Emitter`]: where events are made, and where secrets are taken out of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc::Sender;

use crate::event::{Event, EventKind, Exit, Finding, Recap, TaskResult};
use crate::text::{Diagnostic, Secrets, Sources};
use crate::wire::{Map, Value};

/// Sends events. Clones share everything.
#[derive(Clone, Debug)]
pub struct Emitter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    out: Sender<Event>,
    started: Instant,
    sources: Sources,
    next_task: AtomicU64,
    secrets: Secrets,
    recap: Mutex<Recap>,
}

impl Emitter {
    /// Sends to `out`, and shows nothing of `secrets`.
    pub fn new(out: Sender<Event>, sources: Sources, secrets: Secrets) -> Self {
        let inner = Inner { out, started: Instant::now(), sources, next_task: AtomicU64::new(1), secrets, recap: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// A number for the next task.
    pub fn next_task(&self) -> u64 {
        self.inner.next_task.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on `secret` shows as stars in every event.
    pub fn hide(&self, secret: &str) {
        self.inner.secrets.hide(secret);
    }

    /// Tells the world. Waits while the reporters are behind: a slow terminal slows the run instead of eating memory.
    pub async fn emit(&self, mut kind: EventKind) {
        self.redact(&mut kind);
        let event = Event { at: jiff::Timestamp::now(), elapsed: self.inner.started.elapsed(), kind };
        self.inner.recap.lock().unwrap_or_else(PoisonError::into_inner).apply(&event);
        // Nobody listens any more: the run goes on, as it does when a terminal is closed.
        let _ = self.inner.out.send(event).await;
    }

    /// How the run would end if it ended now.
    pub fn exit(&self) -> Exit {
        self.inner.recap.lock().unwrap_or_else(PoisonError::into_inner).exit()
    }

    /// A warning or error that belongs to no task.
    pub async fn warn(&self, diagnostic: Diagnostic) {
        let finding = self.finding(diagnostic);
        self.emit(EventKind::Warned(finding)).await;
    }

    /// `diagnostic` with the lines it points at.
    pub fn finding(&self, diagnostic: Diagnostic) -> Finding {
        Finding::new(diagnostic, &self.inner.sources)
    }

    /// `text` with known secrets starred.
    pub fn mask(&self, text: &str) -> String {
        self.inner.secrets.mask(text)
    }

    fn redact(&self, kind: &mut EventKind) {
        if self.inner.secrets.is_empty() {
            return;
        }
        match kind {
            EventKind::ItemFinished(result) | EventKind::TaskFinished(result) | EventKind::Retrying { result, .. } => {
                self.redact_result(result);
            }
            EventKind::Output { text, .. } | EventKind::Note { text } => *text = self.mask(text),
            EventKind::Warned(finding) => self.redact_finding(finding),
            EventKind::Stats { data, .. } => self.redact_map(data),
            EventKind::TaskStarted(info) => info.name = self.mask(&info.name),
            EventKind::Waiting { task, .. } => *task = self.mask(task),
            EventKind::Included { item: Some(item), .. } => *item = self.mask(item),
            EventKind::TransactionFinished { cause: Some(cause), .. } => *cause = self.mask(cause),
            EventKind::StageFinished { detail, .. } | EventKind::Checked { detail, .. } => *detail = self.mask(detail),
            _ => {}
        }
    }

    fn redact_result(&self, result: &mut TaskResult) {
        self.redact_map(&mut result.result);
        for diff in &mut result.diff {
            for text in [&mut diff.before, &mut diff.after, &mut diff.before_header, &mut diff.after_header] {
                *text = self.mask(text);
            }
        }
        for warning in &mut result.warnings {
            *warning = self.mask(warning);
        }
        if let Some(item) = &mut result.item {
            *item = self.mask(item);
        }
        if let Some(finding) = &mut result.finding {
            self.redact_finding(finding);
        }
    }

    fn redact_finding(&self, finding: &mut Finding) {
        finding.diagnostic.message = self.mask(&finding.diagnostic.message);
        for (_, text) in &mut finding.diagnostic.labels {
            *text = self.mask(text);
        }
        if let Some(note) = &mut finding.diagnostic.help {
            *note = self.mask(note);
        }
        for excerpt in &mut finding.excerpts {
            // Same length, so that the label still points at the right place.
            let masked = self.mask(&excerpt.text);
            if masked != excerpt.text {
                excerpt.text = masked;
                excerpt.start = excerpt.start.min(excerpt.text.len());
                excerpt.end = excerpt.end.min(excerpt.text.len());
            }
        }
    }

    fn redact_map(&self, map: &mut Map) {
        map.values_mut().for_each(|value| self.redact_value(value));
    }

    fn redact_value(&self, value: &mut Value) {
        match value {
            Value::Str(text) => *text = self.mask(text),
            Value::List(items) => items.iter_mut().for_each(|item| self.redact_value(item)),
            Value::Map(map) => self.redact_map(map),
            _ => {}
        }
    }
}
