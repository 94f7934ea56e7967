//! Metrics: by themselves, and through the real Pushgateway and Prometheus where they are installed.

use std::process::{Child, Command, Stdio};

use crate::deploy::config::MetricsSettings;
use crate::deploy::metrics::{Addition, Samples, publish};

use super::*;

fn addition(success: bool, rollback: Option<&str>, seconds: u64) -> Addition {
    let (rollback, took) = (rollback.map(str::to_owned), Duration::from_secs(seconds));
    Addition { success, rollback, took, runner: "runner \"1\"\\".into(), at: 1_800_000_000, failover: None }
}

#[test]
fn counters_are_read_added_to_and_written_and_strangers_left_out() {
    let group = [("environment", "production")];
    let mut samples = Samples::default();
    samples.add(&addition(true, None, 42));
    let mut text = samples.render(&group);
    text.push_str("deployment_success_total{environment=\"staging\"} 9\nother_total{environment=\"production\"} 1\nnonsense\n");
    let mut again = Samples::parse(&text, &group);
    assert_eq!(again, samples);
    again.add(&addition(false, Some("health"), 700));
    for (name, labels, value) in [
        ("deployment_success_total", "", 1.0),
        ("deployment_failures_total", "", 1.0),
        ("deployment_rollback_total", "", 1.0),
        ("deployment_rollback_reason_total", "{reason=\"health\"}", 1.0),
        ("deployment_duration_seconds", "", 700.0),
        ("deployment_duration_histogram_seconds_bucket", "{le=\"60\"}", 1.0),
        ("deployment_duration_histogram_seconds_bucket", "{le=\"1200\"}", 2.0),
        ("deployment_duration_histogram_seconds_count", "", 2.0),
    ] {
        assert_eq!(again.get(name, labels), Some(value), "{name}{labels}");
    }
}

/// A program that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a Debian package's server; `None`, and a word about it, where it is not installed.
fn start(program: &str, arguments: &[String]) -> Option<Server> {
    match Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => Some(Server(child)),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{program}");
            None
        }
    }
}

async fn get(url: &str) -> Option<Json> {
    let ask = crate::deploy::http::Ask::new(ureq::http::Method::GET, url, Duration::from_secs(2));
    let answer = ask.send().await.ok().filter(crate::deploy::http::Answer::succeeded)?;
    serde_json::from_str(&answer.body).ok().or(Some(Json::Null))
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come about within 30 s")
}

#[tokio::test]
async fn counters_survive_in_a_real_pushgateway_and_prometheus_answers_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let (push, prom) = (free_port(), free_port());
    // Debian's keeps what it has under /var/lib, for the next one to read.
    let own =
        [format!("--web.listen-address=127.0.0.1:{push}"), format!("--persistence.file={}", directory.path().join("pushed").display())];
    let Some(_push) = start("prometheus-pushgateway", &own) else { return };
    let file = directory.path().join("prometheus.yml");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/monitoring/prometheus/rules/deployment.yml");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules}]\nscrape_configs:\n  - job_name: push\n    honor_labels: true\n    static_configs: [{{targets: ['127.0.0.1:{push}']}}]\n"
    );
    std::fs::write(&file, config).unwrap();
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", directory.path().join("data").display()),
        format!("--web.listen-address=127.0.0.1:{prom}"),
    ];
    let Some(_prom) = start("prometheus", &arguments) else { return };
    let gateway = format!("http://127.0.0.1:{push}");
    until("the Pushgateway", async || get(&format!("{gateway}/-/ready")).await).await;
    let settings = MetricsSettings {
        pushgateway: Some(gateway.clone()),
        file: Some(directory.path().join("rappel.prom")),
        ..MetricsSettings::none().unwrap()
    };
    for (success, rollback, seconds) in [(true, None, 40), (false, Some("health"), 700), (true, None, 50)] {
        publish(&settings, "production", &addition(success, rollback, seconds)).await.unwrap();
    }
    publish(&settings, "staging", &addition(true, None, 5)).await.unwrap();
    let query = async |query: &str| {
        let url = format!("http://127.0.0.1:{prom}/api/v1/query?query={}", crate::deploy::http::encode(query));
        get(&url).await?.pointer("/data/result/0/value/1").and_then(Json::as_str).map(str::to_owned)
    };
    let production = "{environment=\"production\"}";
    until("the samples in Prometheus", async || query(&format!("deployment_success_total{production}")).await).await;
    for (name, value) in [
        ("deployment_success_total", "2"),
        ("deployment_failures_total", "1"),
        ("deployment_rollback_total", "1"),
        ("deployment_duration_seconds", "50"),
        ("deployment_duration_histogram_seconds_count", "3"),
    ] {
        assert_eq!(query(&format!("{name}{production}")).await.as_deref(), Some(value), "{name}");
    }
    let alert = "ALERTS{alertname=\"DeploymentRollbackTriggered\",alertstate=\"firing\",environment=\"production\"}";
    until("the alert", async || query(alert).await).await;
    every_panel_has_data(&query).await;
    assert!(std::fs::read_to_string(directory.path().join("rappel.prom")).unwrap().contains("deployment_success_total"));
}

/// Every query of the shipped dashboard gives something for what was pushed.
async fn every_panel_has_data(query: &impl AsyncFn(&str) -> Option<String>) {
    let text = include_str!("../../../monitoring/grafana/dashboards/deployment-pipeline.json");
    let dashboard: Json = serde_json::from_str(text).unwrap();
    let mut count = 0;
    for target in dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let expression = target["expr"].as_str().unwrap().replace("$environment", "production");
        assert!(query(&expression).await.is_some(), "no data for `{expression}`");
        count += 1;
    }
    assert!(count >= 9, "{count} queries");
}

#[tokio::test]
async fn without_a_pushgateway_the_text_file_counts() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rappel.prom");
    let settings = MetricsSettings { file: Some(file.clone()), ..MetricsSettings::none().unwrap() };
    for _ in 0..2 {
        publish(&settings, "production", &addition(true, None, 1)).await.unwrap();
    }
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("deployment_success_total{environment=\"production\"} 2\n"), "{text}");
    let gone = MetricsSettings { pushgateway: Some("http://127.0.0.1:1".into()), ..MetricsSettings::none().unwrap() };
    let error = publish(&gone, "production", &addition(true, None, 1)).await.unwrap_err();
    assert!(error.starts_with("Pushgateway: "), "{error}");
}
