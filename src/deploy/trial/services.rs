//! What services hear of deployments, and say to them: GitHub, Slack, the CI job, Prometheus.

use super::*;

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

/// A Prometheus that has these samples, and no others.
fn prometheus(samples: &'static [(&'static str, &'static str)]) -> String {
    let answer = move |request: &Got| {
        let query = request.path.split_once("/api/v1/query?query=").map(|(_, query)| query.to_owned());
        let Some(query) = query else { return (404, String::new()) };
        let found = samples.iter().find(|(name, _)| query == crate::deploy::http::encode(name));
        let result = found.map(|(_, value)| json!([{"metric": {}, "value": [1, value]}])).unwrap_or(json!([]));
        (200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
    };
    serve(answer).0
}

const FIT: &[(&str, &str)] = &[
    ("s{r=\"runner-2\"}", "1"),
    ("c{r=\"runner-2\"}", "12.5"),
    ("m{r=\"runner-2\"}", "89.9"),
    ("s{r=\"runner-1\"}", "1"),
    ("c{r=\"runner-1\"}", "90"),
    ("m{r=\"runner-1\"}", "10"),
    ("s{r=\"blind\"}", "1"),
    ("c{r=\"blind\"}", "NaN"),
    ("m{r=\"blind\"}", "10"),
    ("s{r=\"down\"}", "0"),
    ("c{r=\"down\"}", "1"),
];

fn gate(url: &str) -> String {
    let query = |name: &str| format!("'{name}{{r=\"{{runner}}\"}}'");
    format!("    prometheus: {{url: \"{url}\", timeout: 2, status: {}, cpu: {}, memory: {}}}\n", query("s"), query("c"), query("m"))
}

#[tokio::test]
async fn a_runner_is_fit_unfit_or_unknown_and_unknown_is_not_fit() {
    let story = Story::new(&gate(&prometheus(FIT)), vec![], &[]);
    let settings = story.pipeline.environment.prometheus.as_ref().unwrap();
    for (runner, word) in [
        ("runner-2", "Healthy"),
        ("runner-1", "Unhealthy(\"its processor load is 90, expected below 90"),
        ("down", "Unhealthy(\"its status is 0"),
        ("blind", ""),
        ("nobody", "NoData(\"status: no data"),
    ] {
        let fitness = format!("{:?}", crate::deploy::runner::gate(settings, "production", runner).await);
        assert!(fitness.starts_with(word) && (runner == "runner-2" || fitness != "Healthy"), "{runner}: {fitness}");
    }
    let gone = Story::new(&gate("http://127.0.0.1:1"), vec![], &[]);
    let fitness = crate::deploy::runner::gate(gone.pipeline.environment.prometheus.as_ref().unwrap(), "production", "runner-2").await;
    assert!(matches!(&fitness, crate::deploy::runner::Fitness::NoData(why) if why.contains("Prometheus")), "{fitness:?}");
}

#[tokio::test]
async fn an_unfit_runner_hands_over_to_the_next_through_which_there_is_a_way() {
    let url = prometheus(FIT);
    let runners = |jump: &str| format!("{}    runners: [{{name: runner-1, role: primary}}, {{name: runner-2{jump}}}]\n", gate(&url));
    let story = Story::new(&runners(", jump: ci@runner-2"), vec![], &[]);
    let report = story.deploy("1").await;
    assert_eq!((report.exit, report.origin.runner.as_str(), report.origin.role.as_str()), (Exit::Success, "runner-2", "secondary"));
    assert!(report.failover.unwrap() < Duration::from_secs(30));
    let stuck = Story::new(&runners(""), vec![], &[]);
    let report = stuck.deploy("1").await;
    assert_eq!((report.exit, stuck.played().len()), (Exit::Error, 0));
    assert!(report.stages.iter().any(|row| row.detail.contains("no runner is fit: runner-1 is unhealthy")), "{:?}", report.stages);
    let report = stuck.pipeline.preflight(&wanted("1")).await;
    assert_eq!((report.exit, report.origin.runner.as_str()), (Exit::Success, "runner-2"), "a preflight chooses for the job that follows");
}
