//! The pipeline against a made-up fleet and stand-ins for the services, which refuse requests that the real ones would refuse.

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

use super::fleet::{CallError, Fleet, Order};
use super::report::Origin;
use super::{Pipeline, Report, Wanted};
use crate::deploy::config::Config;
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
                HOSTS.iter().for_each(|host| drop(self.states.lock().unwrap().insert((*host).to_owned(), state.to_string())));
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
                    (entry.run)(&params, &mut Machine::new(Settings::default())).map_err(CallError::Failed)
                }
            }
        })
    }

    fn transaction<'a>(&'a self, _: &'a str, _: TransactionStep) -> BoxFuture<'a, Result<TransactionReply, CallError>> {
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
        let origin = Origin { user: "alice".into(), runner: "runner-1".into(), run_url: "https://ci/run/1".into(), commit: "abc".into() };
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

fn stages(report: &Report) -> Vec<(&str, StageStatus)> {
    report.stages.iter().map(|row| (row.stage.as_str(), row.status)).collect()
}

const HEALTH: (&str, &str, Status) = ("Check: the backend says that it is up", "uri", Status::Failed);

#[tokio::test]
async fn a_first_deployment_goes_through_the_stages_and_the_same_again_is_skipped() {
    use StageStatus::{Passed, Skipped};
    let story = Story::new("", vec![], &[]);
    let report = story.deploy("1").await;
    let wanted = [
        ("lock", Passed),
        ("recover", Passed),
        ("runner", Skipped),
        ("preflight", Passed),
        ("plan", Passed),
        ("deploy", Passed),
        ("health", Skipped),
        ("notify", Skipped),
        ("metrics", Skipped),
        ("history", Passed),
        ("unlock", Passed),
    ];
    assert_eq!(stages(&report), wanted);
    assert_eq!((report.exit, report.outcome()), (Exit::Success, "success"));
    assert_eq!(story.played(), ["site --check", "site"]);
    let again = story.deploy("1").await;
    assert_eq!((again.exit, again.outcome()), (Exit::Success, "nothing to do"));
    assert_eq!(story.played(), ["health"], "only the health was looked at");
    let upgrade = story.deploy("2").await;
    assert_eq!(upgrade.from, "r (web1, web2)");
    assert_eq!(story.played(), ["site --check", "site"]);
}

#[tokio::test]
async fn what_is_worth_it_is_tried_again_and_what_is_not_is_not() {
    let (task, module, status) = HEALTH;
    let table = [
        (Act::fails("Pull the image", "command", Status::Failed, "no network"), 3, "task"),
        (Act::fails("Pull the image", "command", Status::Unreachable, "cut"), 3, "unreachable"),
        (Act::fails(task, module, status, "503"), 1, "health"),
        (Act::fails("Refuse a deployment without images", "assert", Status::Failed, "no"), 1, "mistake"),
        (Act { takes: Duration::from_secs(60), ..Act::success() }, 3, "timeout"),
    ];
    for (act, attempts, reason) in table {
        let story = Story::new("", vec![act.clone(), act.clone(), act], &[]);
        let report = story.deploy("1").await;
        assert_eq!((report.attempts, report.incident.as_ref().unwrap().reason.word()), (attempts, reason));
        assert_eq!((report.exit, report.rolled_back, report.outcome()), (Exit::RolledBack, true, "rolled back"), "{reason}");
        assert!(report.stages.iter().any(|row| row.stage == "rollback" && row.status == StageStatus::Passed));
    }
}

#[tokio::test]
async fn a_second_attempt_that_works_is_a_success() {
    let story = Story::new("", vec![Act::fails("Pull", "command", Status::Unreachable, "cut"), Act::success()], &[]);
    let report = story.deploy("1").await;
    assert_eq!((report.exit, report.attempts, report.rolled_back), (Exit::Success, 2, false));
}

#[tokio::test]
async fn hosts_that_no_transaction_put_back_are_put_back_by_the_playbook() {
    let torn = Act { exit: Exit::Failed, verdict: None, ..Act::fails("Check: x", "uri", Status::Failed, "503") };
    let mut changed = torn.clone();
    changed.task = Some(("Check: x", "uri", Status::Failed, "503"));
    changed.verdict = Some(Verdict::RollbackFailed);
    changed.exit = Exit::RollbackFailed;
    let story = Story::new("", vec![changed.clone()], &[]);
    let report = story.deploy("1").await;
    assert_eq!(story.played(), ["site --check", "site", "safe"]);
    assert_eq!((report.exit, report.rolled_back), (Exit::RolledBack, true));
    let worse = Act { exit: Exit::Failed, ..Act::success() };
    let story = Story::new("", vec![changed, worse], &[]);
    let report = story.deploy("1").await;
    assert_eq!((report.exit, report.outcome()), (Exit::RollbackFailed, "MIXED FLEET"));
}

#[tokio::test]
async fn a_signal_rolls_back_and_is_not_tried_again() {
    let story = Story::new("", vec![Act { takes: Duration::from_secs(60), ..Act::success() }], &[]);
    let stop = story.pipeline.stop.clone();
    let (report, ()) = tokio::join!(story.deploy("1"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert_eq!((report.exit, report.attempts), (Exit::RolledBack, 1));
    assert_eq!(report.incident.unwrap().reason.word(), "cancelled");
}

#[tokio::test]
async fn a_disabled_deployment_stops_after_its_plan() {
    for value in ["", "false", "TRUE"] {
        let story = Story::new("    enabled_by: AUTO\n", vec![], &[("AUTO", value)]);
        let report = story.deploy("1").await;
        assert_eq!((report.exit, story.played()), (Exit::Success, vec!["site --check".to_owned()]));
        assert!(report.markdown().contains("`AUTO` is not `true`"), "{}", report.markdown());
    }
    let story = Story::new("    enabled_by: AUTO\n", vec![], &[("AUTO", "true")]);
    story.deploy("1").await;
    assert_eq!(story.played(), ["site --check", "site"]);
}

#[tokio::test]
async fn preflight_names_what_is_missing_and_never_shows_a_secret() {
    let more = "    branches: [master]\n".to_owned();
    let mut story = Story::new(&more, vec![], &[("GITHUB_REF_NAME", "topic"), ("KEY", "hunter2")]);
    story.pipeline.environment.preflight.secrets = vec!["KEY".into(), "USER_NAME".into()];
    let report = story.deploy("1").await;
    let text = report.markdown();
    assert_eq!((report.exit, story.played().len()), (Exit::Error, 0));
    assert!(text.contains("not set: `USER_NAME`") && text.contains("`topic` may not be deployed, only master"), "{text}");
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn two_deployments_take_turns_and_the_second_hears_of_the_first() {
    let mut story = Story::new("", vec![Act { takes: Duration::from_millis(900), ..Act::success() }], &[]);
    let (first, second) = tokio::join!(story.deploy("1"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        story.deploy("2").await
    });
    assert_eq!((first.exit, second.exit), (Exit::Success, Exit::Success));
    assert_eq!(story.played(), ["site --check", "site", "site --check", "site"]);
    let notes = story.notes();
    assert!(notes.iter().any(|note| note.contains("1 ahead; held by ticket 1 (user alice")), "{notes:?}");
    let history = std::fs::read_to_string(story.directory.path().join("history.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 2);
}

#[tokio::test]
async fn an_incident_becomes_one_issue_and_waits_when_github_is_away() {
    let issues = Arc::new(Mutex::new(Vec::<Json>::new()));
    let kept = Arc::clone(&issues);
    let (url, got) = serve(move |request| {
        let fine = request.headers.get("authorization").is_some_and(|value| value == "Bearer tok")
            && request.headers.get("accept").is_some_and(|value| value == "application/vnd.github+json")
            && request.headers.contains_key("user-agent");
        let mut kept = kept.lock().unwrap();
        match (fine, request.method.as_str(), request.path.split('?').next().unwrap()) {
            (true, "GET", "/repos/o/n/issues") => (200, Json::Array(kept.clone()).to_string()),
            (true, "POST", "/repos/o/n/issues") => {
                let mut issue: Json = serde_json::from_str(&request.body).unwrap();
                assert!(issue["title"].is_string() && issue["labels"].is_array() && issue["assignees"] == json!(["oncall-sre"]));
                issue["html_url"] = json!("https://github/1");
                kept.push(issue.clone());
                (201, issue.to_string())
            }
            _ => (400, json!({"message": "bad"}).to_string()),
        }
    });
    let (task, module, status) = HEALTH;
    let fails = || vec![Act::fails(task, module, status, "503 @everyone")];
    let directory = tempfile::tempdir().unwrap();
    let settings = |api: &str| {
        format!(
            "    github: {{api: \"{api}\", repository: o/n, assignees: [oncall-sre], spool: {}, timeout: 2}}\n",
            directory.path().display()
        )
    };
    let variables = [("GITHUB_TOKEN", "tok")];
    let away = Story::new(&settings("http://127.0.0.1:1"), fails(), &variables);
    let report = away.deploy("1").await;
    assert!(report.stages.iter().any(|row| row.stage == "notify" && row.detail.contains("the issue waits in")), "{:?}", report.stages);
    let back = Story::new(&settings(&url), vec![Act::success()], &variables);
    back.deploy("1").await;
    assert_eq!(issues.lock().unwrap().len(), 1, "what waited was sent");
    let again = Story::new(&settings(&url), fails(), &variables);
    let report = again.deploy("1").await;
    assert_eq!(issues.lock().unwrap().len(), 1, "the same transaction has its issue");
    assert!(report.stages.iter().any(|row| row.detail.contains("was there already")), "{:?}", report.stages);
    let issue = &issues.lock().unwrap()[0];
    let body = issue["body"].as_str().unwrap();
    for part in ["https://ci/run/1", "abc", "runner-1", "web2", task, "503", "line two", "docs/runbooks/production-deployment-failures.md"]
    {
        assert!(body.contains(part), "{part} is missing in {body}");
    }
    assert!(!body.contains(" @everyone"), "nobody is called by what a host printed");
    assert_eq!(issue["labels"], json!(["production-incident", "production-rollback"]));
    assert!(got.lock().unwrap().iter().all(|request| request.headers.contains_key("x-github-api-version")));
}

#[tokio::test]
async fn slack_hears_of_it_and_its_address_is_never_shown() {
    let (url, got) = serve(|request| if request.path == "/services/S3CRET" { (200, "ok".into()) } else { (404, "no_service".into()) });
    let hook = format!("{url}/services/S3CRET");
    let story = Story::new("    slack: {timeout: 2}\n", vec![], &[("SLACK_WEBHOOK", &hook)]);
    let report = story.deploy("1").await;
    let body: Json = serde_json::from_str(&got.lock().unwrap()[0].body).unwrap();
    assert!(body["text"].as_str().unwrap().contains("deploy of production to r/b:1 r/f:1: success"), "{body}");
    assert_eq!(body["blocks"][0]["text"]["type"], "mrkdwn");
    assert!(!report.markdown().contains("S3CRET"));
    let gone = Story::new("    slack: {timeout: 2}\n", vec![], &[("SLACK_WEBHOOK", "http://127.0.0.1:1/services/S3CRET")]);
    let report = gone.deploy("1").await;
    assert_eq!(report.exit, Exit::Success, "a message that is not sent fails no deployment");
    assert!(!format!("{report:?}").contains("S3CRET"), "{report:?}");
}

#[tokio::test]
async fn job_outputs_and_summary_are_appended() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (output, summary) = (path("output"), path("summary"));
    let story = Story::new("", vec![], &[("GITHUB_OUTPUT", &output), ("GITHUB_STEP_SUMMARY", &summary)]);
    story.deploy("1").await;
    let text = std::fs::read_to_string(Path::new(&output)).unwrap();
    assert!(text.contains("outcome<<rappel-") && text.contains("\nsuccess\n"), "{text}");
    assert!(std::fs::read_to_string(Path::new(&summary)).unwrap().contains("| deploy | ✅ |"));
}
