//! Counters and times of deployments, for Prometheus. They survive because what is there is read first, and added to; the
//! deployment's lock is held meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use ureq::http::Method;

use super::config::MetricsSettings;
use super::http::{Ask, encode};

/// Upper bounds of the histogram, in seconds.
const BUCKETS: [u32; 9] = [5, 15, 30, 60, 120, 300, 600, 1200, 1800];

/// What one deployment adds.
#[derive(Clone, Debug, Default)]
pub struct Addition {
    /// It succeeded.
    pub success: bool,
    /// Why it was rolled back, if it was.
    pub rollback: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// The runner it went through.
    pub runner: String,
    /// Seconds since the epoch.
    pub at: i64,
    /// How long it took to come to the runner, when the first choice was not fit.
    pub failover: Option<Duration>,
}

/// Samples by name and labels (`{runner="a"}`, or nothing), without the labels of the group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(BTreeMap<(String, String), f64>);

/// The families, with their types and their help. Only these are ours.
const FAMILIES: [(&str, &str, &str); 9] = [
    ("deployment_duration_seconds", "gauge", "How long the last deployment took."),
    ("deployment_duration_histogram_seconds", "histogram", "How long deployments took."),
    ("deployment_success_total", "counter", "Deployments that succeeded."),
    ("deployment_failures_total", "counter", "Deployments that failed."),
    ("deployment_rollback_total", "counter", "Deployments that were rolled back by themselves."),
    ("deployment_rollback_reason_total", "counter", "Deployments that were rolled back, by reason."),
    ("deployment_runner_total", "counter", "Deployments by the runner they went through."),
    ("deployment_last_timestamp_seconds", "gauge", "When the last deployment ended."),
    ("deployment_failover_seconds", "gauge", "How long the last failover to another runner took."),
];

impl Samples {
    /// Reads Prometheus' text format: the samples of our families whose labels include all of `group`.
    pub fn parse(text: &str, group: &[(&str, &str)]) -> Self {
        let mut samples = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, labels, value)) = sample(line) else { continue };
            let ours = FAMILIES.iter().any(|(family, kind, _)| belongs(&name, family, kind));
            let in_group = group.iter().all(|(key, value)| labels.iter().any(|(k, v)| k == key && v == value));
            if ours && in_group {
                let own = labels.iter().filter(|(key, _)| !group.iter().any(|(known, _)| known == key) && key != "instance");
                samples.0.insert((name, render_labels(own.map(|(k, v)| (k.as_str(), v.as_str())))), value);
            }
        }
        samples
    }

    /// Adds one deployment.
    pub fn add(&mut self, addition: &Addition) {
        let seconds = addition.took.as_secs_f64();
        for name in ["deployment_success_total", "deployment_failures_total", "deployment_rollback_total"] {
            self.count(name, "", 0.0); // a counter that is first seen at 1 has no increase
        }
        self.count(if addition.success { "deployment_success_total" } else { "deployment_failures_total" }, "", 1.0);
        if let Some(reason) = &addition.rollback {
            self.count("deployment_rollback_total", "", 1.0);
            self.count("deployment_rollback_reason_total", &render_labels([("reason", reason.as_str())]), 1.0);
        }
        self.count("deployment_runner_total", &render_labels([("runner", addition.runner.as_str())]), 1.0);
        for bound in BUCKETS {
            let within = if seconds <= f64::from(bound) { 1.0 } else { 0.0 };
            self.count("deployment_duration_histogram_seconds_bucket", &render_labels([("le", bound.to_string().as_str())]), within);
        }
        self.count("deployment_duration_histogram_seconds_bucket", &render_labels([("le", "+Inf")]), 1.0);
        self.count("deployment_duration_histogram_seconds_sum", "", seconds);
        self.count("deployment_duration_histogram_seconds_count", "", 1.0);
        self.set("deployment_duration_seconds", seconds);
        #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^52")]
        self.set("deployment_last_timestamp_seconds", addition.at as f64);
        if let Some(failover) = addition.failover {
            self.set("deployment_failover_seconds", failover.as_secs_f64());
        }
    }

    /// The sample `name`.
    pub fn get(&self, name: &str, labels: &str) -> Option<f64> {
        self.0.get(&(name.to_owned(), labels.to_owned())).copied()
    }

    fn count(&mut self, name: &str, labels: &str, more: f64) {
        *self.0.entry((name.to_owned(), labels.to_owned())).or_default() += more;
    }

    fn set(&mut self, name: &str, value: f64) {
        self.0.insert((name.to_owned(), String::new()), value);
    }

    /// The text format; `group` is added to each sample's labels.
    pub fn render(&self, group: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for (family, kind, help) in FAMILIES {
            let mut members: Vec<_> = self.0.iter().filter(|((name, _), _)| belongs(name, family, kind)).collect();
            if members.is_empty() {
                continue;
            }
            members.sort_by(|((a, la), _), ((b, lb), _)| (a, bound(la)).partial_cmp(&(b, bound(lb))).unwrap_or(std::cmp::Ordering::Equal));
            let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} {kind}");
            for ((name, labels), value) in members {
                let common = render_labels(group.iter().copied());
                let labels = match (common.as_str(), labels.as_str()) {
                    ("", labels) | (labels, "") => labels.to_owned(),
                    (common, own) => format!("{},{}", common.trim_end_matches('}'), own.trim_start_matches('{')),
                };
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}

/// The histogram's bound, so that buckets are written in their order.
fn bound(labels: &str) -> f64 {
    let value = labels.strip_prefix("{le=\"").and_then(|rest| rest.strip_suffix("\"}"));
    value.map_or(0.0, |value| value.parse().unwrap_or(f64::INFINITY))
}

fn belongs(name: &str, family: &str, kind: &str) -> bool {
    match name.strip_prefix(family) {
        Some("") => kind != "histogram",
        Some("_bucket" | "_sum" | "_count") => kind == "histogram",
        _ => false,
    }
}

fn render_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let inner: Vec<_> = labels.into_iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
    if inner.is_empty() { String::new() } else { format!("{{{}}}", inner.join(",")) }
}

/// Names and values.
type Labels = Vec<(String, String)>;

/// One line of the text format.
fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, value) = rest.split_once("=\"")?;
            let mut text = String::new();
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => text.push(match chars.next()?.1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => text.push(other),
                }
            };
            labels.push((key.to_owned(), text));
            rest = value.get(end + 1..)?;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), labels, value))
}

/// Adds a deployment to the Pushgateway's group, and to the text file.
///
/// # Errors
/// What could not be done, in words; metrics never fail a deployment.
pub async fn publish(settings: &MetricsSettings, environment: &str, addition: &Addition) -> Result<(), String> {
    let mut known = None;
    if let Some(gateway) = &settings.pushgateway {
        let group = [("job", settings.job.as_str()), ("environment", environment)];
        let gateway = gateway.trim_end_matches('/');
        let limit = Duration::from_secs(settings.timeout);
        let wrong = |what: String| format!("Pushgateway: {what}");
        let there = Ask::new(Method::GET, format!("{gateway}/metrics"), limit).send().await.map_err(|error| wrong(error.to_string()))?;
        if !there.succeeded() {
            return Err(wrong(there.describe()));
        }
        let mut samples = Samples::parse(&there.body, &group);
        samples.add(addition);
        let url = format!("{gateway}/metrics/job/{}/environment/{}", encode(&settings.job), encode(environment));
        let put = Ask::new(Method::PUT, url, limit).body("text/plain; version=0.0.4", samples.render(&[]));
        let answer = put.send().await.map_err(|error| wrong(error.to_string()))?;
        if !answer.succeeded() {
            return Err(wrong(answer.describe()));
        }
        known = Some(samples);
    }
    match &settings.file {
        Some(file) => write_file(file, environment, addition, known).map_err(|error| format!("{}: {error}", file.display())),
        None => Ok(()),
    }
}

/// The metrics as they are, from the Pushgateway or else from the text file.
///
/// # Errors
/// Neither is configured, or it cannot be read.
pub async fn show(settings: &MetricsSettings, environment: &str) -> Result<String, String> {
    let group = [("environment", environment)];
    if let Some(gateway) = &settings.pushgateway {
        let url = format!("{}/metrics", gateway.trim_end_matches('/'));
        let ask = Ask::new(Method::GET, url, Duration::from_secs(settings.timeout));
        let answer = ask.send().await.map_err(|error| format!("Pushgateway: {error}"))?;
        if !answer.succeeded() {
            return Err(format!("Pushgateway: {}", answer.describe()));
        }
        let filter = [("job", settings.job.as_str()), ("environment", environment)];
        return Ok(Samples::parse(&answer.body, &filter).render(&group));
    }
    let Some(file) = &settings.file else {
        return Err("no `metrics.pushgateway` and no `metrics.file` is configured".to_owned());
    };
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Samples::parse(&text, &group).render(&group))
}

fn write_file(file: &Path, environment: &str, addition: &Addition, known: Option<Samples>) -> io::Result<()> {
    let group = [("environment", environment)];
    let samples = if let Some(samples) = known {
        samples
    } else {
        let mut samples = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Samples::default(),
            other => Samples::parse(&other?, &group),
        };
        samples.add(addition);
        samples
    };
    let fresh = file.with_extension("new"); // node_exporter reads *.prom only
    fs::write(&fresh, samples.render(&group))?;
    fs::rename(fresh, file)
}
