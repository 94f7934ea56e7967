//! The pipeline against a made-up fleet, and stand-ins for services, which refuse requests that the real ones would refuse.

mod metrics;
mod recover;
mod services;
mod stories;

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use futures::future::BoxFuture;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{self, Sender};
use tokio_util::sync::CancellationToken;

use crate::deploy::config::Config;
use crate::deploy::fleet::{CallError, Fleet, Order};
use crate::deploy::report::Origin;
use crate::deploy::{Pipeline, Report, Wanted};
use crate::event::{Event, EventKind, Exit, StageStatus, Status, TaskInfo, TaskResult, Verdict};
use crate::machine::{Machine, Settings};
use crate::text::{Diagnostics, Position, Sources};
use crate::wire::{Map, Outcome, TransactionReply, TransactionStep, Value};

/// What a made-up play does.
#[derive(Clone)]
pub(super) struct Act {
    exit: Exit,
    task: Option<(&'static str, &'static str, Status, &'static str)>,
    verdict: Option<Verdict>,
    takes: Duration,
}

impl Act {
    fn success() -> Self {
        Self { exit: Exit::Success, task: None, verdict: Some(Verdict::Committed), takes: Duration::ZERO }
    }

    fn fails(task: &'static str, module: &'static str, status: Status, message: &'static str) -> Self {
        Self { exit: Exit::RolledBack, task: Some((task, module, status, message)), verdict: Some(Verdict::RolledBack), ..Self::success() }
    }
}

/// Hosts with a real lock, a real audit trail and made-up plays.
struct MadeUp {
    states: Mutex<HashMap<String, String>>,
    acts: Mutex<VecDeque<Act>>,
    played: Mutex<Vec<String>>,
}

const HOSTS: [&str; 2] = ["web1", "web2"];

impl Fleet for MadeUp {
    fn hosts(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(HOSTS.map(str::to_owned).to_vec())
    }

    fn play<'a>(&'a self, order: &'a Order, events: &'a Sender<Event>, stop: &'a CancellationToken) -> BoxFuture<'a, Exit> {
        Box::pin(async move {
            let name = order.playbook.file_stem().unwrap().to_str().unwrap();
            self.played.lock().unwrap().push(format!("{name}{}", if order.check { " --check" } else { "" }));
            let act = if order.check || name == "health" {
                Act::success()
            } else {
                self.acts.lock().unwrap().pop_front().unwrap_or_else(Act::success)
            };
            let tell = |kind| events.send(Event { at: jiff::Timestamp::now(), elapsed: Duration::ZERO, kind });
            if !order.check && act.verdict.is_some() {
                let hosts = HOSTS.map(str::to_owned).to_vec();
                tell(EventKind::TransactionStarted { id: "t1".into(), hosts, coordinator: "web1".into() }).await.unwrap();
            }
            if let Some((task, module, status, message)) = act.task {
                tell(EventKind::TaskStarted(info(task, module))).await.unwrap();
                tell(EventKind::TaskFinished(result(status, message))).await.unwrap();
            }
            tokio::select! {
                () = stop.cancelled() => {
                    verdicts(events, Verdict::RolledBack).await;
                    return Exit::RolledBack;
                }
                () = tokio::time::sleep(act.takes) => {}
            }
            if let (Some(verdict), false) = (act.verdict, order.check) {
                verdicts(events, verdict).await;
            }
            if act.exit == Exit::Success && !order.check && name != "health" {
                let state = json!({"current_version": order.variables.get("backend_image"), "backend_image": order.variables.get("backend_image"),
                    "frontend_image": order.variables.get("frontend_image"), "release": "r"});
                for host in HOSTS {
                    self.states.lock().unwrap().insert(host.to_owned(), state.to_string());
                }
            }
            act.exit
        })
    }

    fn call<'a>(&'a self, host: &'a str, module: &'a str, params: Map) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let state = self.states.lock().unwrap().get(host).cloned();
            match module {
                "stat" => Ok(Outcome::default().with("stat", Map::from_iter([("exists".to_owned(), Value::Bool(state.is_some()))]))),
                "slurp" => Ok(Outcome::default().with("content", base64::engine::general_purpose::STANDARD.encode(state.unwrap()))),
                "ping" => Ok(Outcome::default()),
                _ => {
                    let entry = crate::module::find(module).unwrap();
                    entry.run(&params, &mut Machine::new(Settings::default())).map_err(CallError::Failed)
                }
            }
        })
    }

    fn transaction<'a>(&'a self, _: &'a str, _: &'a str, _: TransactionStep) -> BoxFuture<'a, Result<TransactionReply, CallError>> {
        Box::pin(async { Ok(TransactionReply::Listed(Vec::new())) })
    }
}

async fn verdicts(events: &Sender<Event>, verdict: Verdict) {
    for host in HOSTS {
        let kind = EventKind::HostVerdict { id: "t1".into(), host: host.into(), verdict, undo: None };
        events.send(Event { at: jiff::Timestamp::now(), elapsed: Duration::ZERO, kind }).await.unwrap();
    }
}

fn info(task: &str, module: &str) -> TaskInfo {
    serde_json::from_value(json!({"id": 1, "name": format!("deployment : {task}"), "module": module, "position": Position { name: "site.yml".into(), line: 7, column: 3 },
        "path": "site.yml", "handler": false, "check": false, "section": null, "no_log": false}))
    .unwrap()
}

fn result(status: Status, message: &str) -> TaskResult {
    serde_json::from_value(json!({"task": 1, "host": "web2", "delegate": null, "status": status, "ignored": false, "rescued": false, "item": null,
        "result": {"msg": message, "stdout": "line one\nline two"}, "diff": [], "warnings": [], "finding": null, "took": 0.5, "shown": "verbose", "looped": false}))
    .unwrap()
}

/// A request that a stand-in got.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

/// An HTTP server on a free port, which answers as `answer` says and keeps what it got.
pub(super) fn serve(answer: impl Fn(&Got) -> (u16, String) + Send + 'static) -> (String, Arc<Mutex<Vec<Got>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                continue;
            }
            let mut words = line.split_whitespace().map(str::to_owned);
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let mut headers = HashMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim().split_once(':') else { break };
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
            let mut body = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let request = Got { method, path, headers, body: String::from_utf8(body).unwrap() };
            let (status, text) = answer(&request);
            kept.lock().unwrap().push(request);
            let _ = write!(stream, "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        }
    });
    (url, got)
}

struct Story {
    pipeline: Pipeline,
    fleet: Arc<MadeUp>,
    events: mpsc::Receiver<Event>,
    directory: tempfile::TempDir,
}

impl Story {
    fn new(more: &str, acts: Vec<Act>, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "environments:\n  production:\n    inventory: hosts\n    playbooks: {{deploy: site.yml, rollback: rollback.yml, safe_rollback: safe.yml, health: health.yml}}\n    \
             coordinator_directory: {}\n    attempts: {{max: 3, wait: 0, timeout: 2}}\n    lock: {{lease: 5, heartbeat: 1}}\n    preflight: {{images: false, free_mb: 0}}\n{more}",
            directory.path().display()
        );
        let sources = Sources::default();
        let id = sources.add("rappel.yml", text);
        let mut diags = Diagnostics::default();
        let config = Config::parse(&sources, id, &mut diags);
        let environment = config.unwrap_or_else(|| panic!("{:?}", diags.into_vec())).environment("production").unwrap().clone();
        let fleet = Arc::new(MadeUp { states: Mutex::default(), acts: Mutex::new(acts.into()), played: Mutex::default() });
        let (sender, events) = mpsc::channel(10_000);
        let variables: HashMap<String, String> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let origin = Origin {
            user: "alice".into(),
            runner: "runner-1".into(),
            run_url: "https://ci/run/1".into(),
            commit: "abc".into(),
            ..Origin::default()
        };
        let pipeline = Pipeline {
            name: "production".into(),
            environment,
            fleet: Arc::<MadeUp>::clone(&fleet),
            origin,
            variables: Arc::new(move |name| variables.get(name).cloned()),
            events: sender,
            stop: CancellationToken::new(),
        };
        Self { pipeline, fleet, events, directory }
    }

    async fn deploy(&self, version: &str) -> Report {
        self.pipeline.deploy(&wanted(version)).await
    }

    fn played(&self) -> Vec<String> {
        std::mem::take(&mut self.fleet.played.lock().unwrap())
    }

    fn notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let EventKind::Note { text } = event.kind {
                notes.push(text);
            }
        }
        notes
    }
}

fn wanted(version: &str) -> Wanted {
    let variables = [("backend_image", format!("r/b:{version}")), ("frontend_image", format!("r/f:{version}"))];
    Wanted { variables: variables.into_iter().map(|(name, image)| (name.to_owned(), image)).collect(), ..Wanted::default() }
}

/// A health check that fails.
const HEALTH: (&str, &str, Status) = ("Check: the backend says that it is up", "uri", Status::Failed);
