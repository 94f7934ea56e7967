//! The whole run as one JSON document, in the shape of Ansible's `json` callback: `plays`, `stats`, `custom_stats`.

use std::io;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;

use super::{Reporter, Streams};
use crate::event::{Event, EventKind, HostRecap, Recap, TaskInfo, TaskResult};
use crate::wire::Map;

/// Collects a run and writes it at its end.
#[derive(Debug, Default)]
pub struct Json {
    recap: Recap,
    document: Document,
}

#[derive(Debug, Default, Serialize)]
struct Document {
    custom_stats: Map,
    global_custom_stats: Map,
    plays: Vec<Play>,
    stats: IndexMap<String, Counts>,
}

#[derive(Debug, Serialize)]
struct Play {
    play: Named,
    tasks: Vec<Task>,
}

#[derive(Debug, Serialize)]
struct Task {
    #[serde(skip)]
    id: u64,
    #[serde(rename = "task")]
    named: Named,
    hosts: IndexMap<String, Map>,
}

#[derive(Debug, Serialize)]
struct Named {
    duration: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

#[derive(Debug, Serialize)]
struct Duration {
    start: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Timestamp>,
}

/// A host's counts under the callback's names.
#[derive(Debug, Serialize)]
struct Counts {
    changed: u32,
    failures: u32,
    ignored: u32,
    ok: u32,
    rescued: u32,
    skipped: u32,
    unreachable: u32,
}

impl Reporter for Json {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        self.recap.apply(event);
        match &event.kind {
            EventKind::PlayStarted { name, .. } => {
                let play = Named { duration: Duration { start: event.at, end: None }, id: None, name: name.clone(), path: None };
                self.document.plays.push(Play { play, tasks: Vec::new() });
            }
            EventKind::TaskStarted(task) => self.start(task, event.at),
            EventKind::TaskFinished(result) => self.finish(result, event.at),
            EventKind::Stats { host: Some(host), data } => {
                self.document.custom_stats.insert(host.clone(), data.clone().into());
            }
            EventKind::Stats { host: None, data } => self.document.global_custom_stats.extend(data.clone()),
            EventKind::RunFinished { .. } => {
                self.document.stats = self.recap.hosts().into_iter().map(|(name, host)| (name.to_owned(), counts(host))).collect();
                serde_json::to_writer_pretty(&mut *to.out, &self.document)?;
                writeln!(to.out)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Json {
    fn start(&mut self, task: &TaskInfo, at: Timestamp) {
        let Some(play) = self.document.plays.last_mut() else { return };
        let path = format!("{}:{}", task.path, task.position.line);
        let named =
            Named { duration: Duration { start: at, end: None }, id: Some(task.id.to_string()), name: task.name.clone(), path: Some(path) };
        play.tasks.push(Task { id: task.id, named, hosts: IndexMap::new() });
    }

    fn finish(&mut self, result: &TaskResult, at: Timestamp) {
        let Some(play) = self.document.plays.last_mut() else { return };
        play.play.duration.end = Some(at);
        let Some(task) = play.tasks.iter_mut().rev().find(|task| task.id == result.task) else { return };
        task.named.duration.end = Some(at);
        task.hosts.insert(result.host.clone(), result.result.clone());
    }
}

fn counts(host: HostRecap) -> Counts {
    let HostRecap { ok, changed, unreachable, failed, skipped, rescued, ignored } = host;
    Counts { changed, failures: failed, ignored, ok, rescued, skipped, unreachable }
}
