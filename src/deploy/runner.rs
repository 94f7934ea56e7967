//! The runner gate: which of the configured machines is fit to deploy from, as Prometheus sees it.

use std::time::Duration;

use serde_json::Value as Json;
use ureq::http::Method;

use super::config::{PrometheusSettings, RunnerSettings};
use super::http::{Ask, encode};

/// What Prometheus says of a runner. No data is not health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Online, with room for a deployment.
    Healthy,
    /// Not, and why.
    Unhealthy(String),
    /// Nobody knows, and why.
    NoData(String),
}

/// The choice among runners.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Where it stands in the configuration; `None` when none is fit.
    pub chosen: Option<usize>,
    /// What each that was asked said, in order.
    pub answers: Vec<(String, Fitness)>,
}

impl Choice {
    /// What was asked and answered, in one line.
    pub fn describe(&self) -> String {
        let answer = |(name, fitness): &(String, Fitness)| match fitness {
            Fitness::Healthy => format!("{name} is healthy"),
            Fitness::Unhealthy(why) => format!("{name} is unhealthy: {why}"),
            Fitness::NoData(why) => format!("{name} is unknown: {why}"),
        };
        self.answers.iter().map(answer).collect::<Vec<_>>().join("; ")
    }
}

/// Asks for the runners at `order`, until one is fit.
pub async fn choose(runners: &[RunnerSettings], order: &[usize], prometheus: &PrometheusSettings, environment: &str) -> Choice {
    let mut answers = Vec::new();
    for index in order {
        let Some(runner) = runners.get(*index) else { continue };
        let fitness = gate(prometheus, environment, runner.label.as_deref().unwrap_or(&runner.name)).await;
        let healthy = fitness == Fitness::Healthy;
        answers.push((runner.name.clone(), fitness));
        if healthy {
            return Choice { chosen: Some(*index), answers };
        }
    }
    Choice { chosen: None, answers }
}

/// The order in which runners are asked. A job that runs on one of them stays there if it can, and can go on through those
/// that are jump hosts; anywhere else, the order is the configuration's.
pub fn order(runners: &[RunnerSettings], here: Option<&str>) -> Vec<usize> {
    let own = runners.iter().position(|runner| Some(runner.name.as_str()) == here);
    match own {
        None => (0..runners.len()).collect(),
        Some(own) => {
            let through = runners.iter().enumerate().filter(|(index, runner)| *index != own && runner.jump.is_some());
            std::iter::once(own).chain(through.map(|(index, _)| index)).collect()
        }
    }
}

/// Asks for one runner: its status must be 1, its load and its memory below the limits.
pub async fn gate(prometheus: &PrometheusSettings, environment: &str, runner: &str) -> Fitness {
    let fill = |query: &str| query.replace("{environment}", environment).replace("{runner}", runner);
    let (status, cpu, memory) = tokio::join!(
        instant(prometheus, fill(&prometheus.status)),
        instant(prometheus, fill(&prometheus.cpu)),
        instant(prometheus, fill(&prometheus.memory)),
    );
    let limit = |limit: u64| u32::try_from(limit).map_or(f64::INFINITY, f64::from);
    let fit = |what: &str, value: f64| match what {
        "status" => (value - 1.0).abs() < f64::EPSILON,
        "processor load" => value < limit(prometheus.cpu_limit),
        _ => value < limit(prometheus.memory_limit),
    };
    let rule = |what: &str| match what {
        "status" => "expected 1".to_owned(),
        "processor load" => format!("expected below {}", prometheus.cpu_limit),
        _ => format!("expected below {}", prometheus.memory_limit),
    };
    let mut unknown = None;
    for (what, value) in [("status", status), ("processor load", cpu), ("memory", memory)] {
        match value {
            Err(why) => unknown = unknown.or_else(|| Some(format!("{what}: {why}"))),
            Ok(value) if value.is_nan() => unknown = unknown.or_else(|| Some(format!("its {what} is not a number"))),
            Ok(value) if fit(what, value) => {}
            Ok(value) => return Fitness::Unhealthy(format!("its {what} is {value}, {}", rule(what))),
        }
    }
    unknown.map_or(Fitness::Healthy, Fitness::NoData)
}

/// The one value of an instant query.
async fn instant(prometheus: &PrometheusSettings, query: String) -> Result<f64, String> {
    let url = format!("{}/api/v1/query?query={}", prometheus.url.trim_end_matches('/'), encode(&query));
    let ask = Ask::new(Method::GET, url, Duration::from_secs(prometheus.timeout)).header("Accept", "application/json");
    let answer = ask.send().await.map_err(|error| format!("Prometheus: {error}"))?;
    let body: Json = serde_json::from_str(&answer.body).map_err(|_| format!("Prometheus: {}", answer.describe()))?;
    if body.get("status").and_then(Json::as_str) != Some("success") {
        let error = body.get("error").and_then(Json::as_str).map_or_else(|| answer.describe(), str::to_owned);
        return Err(format!("Prometheus refuses `{query}`: {error}"));
    }
    let values: Vec<f64> = body
        .pointer("/data/result")
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter_map(|series| series.pointer("/value/1").and_then(Json::as_str)?.parse().ok())
        .collect();
    match values.as_slice() {
        [value] => Ok(*value),
        [] => Err(format!("no data for `{query}`")),
        _ => Err(format!("`{query}` gives {} series, expected one", values.len())),
    }
}
