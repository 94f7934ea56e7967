//! Slack: one message for each deployment, by an incoming webhook. Its address is a secret.

use std::time::Duration;

use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::config::SlackSettings;
use super::http::Ask;
use super::report::Report;
use crate::event::Exit;

/// Sends the report; does nothing when the webhook's variable is not set.
///
/// # Errors
/// What went wrong, without the address.
pub async fn send(settings: &SlackSettings, report: &Report, variable: impl Fn(&str) -> Option<String>) -> Result<bool, String> {
    let Some(url) = variable(&settings.webhook).filter(|url| !url.is_empty()) else { return Ok(false) };
    let ask = Ask::new(Method::POST, url, Duration::from_secs(settings.timeout)).body("application/json", message(report).to_string());
    let answer = ask.send().await.map_err(|error| format!("Slack: {error}"))?;
    if answer.succeeded() { Ok(true) } else { Err(format!("Slack: {}", answer.describe())) }
}

fn message(report: &Report) -> Json {
    let sign = match report.exit {
        Exit::Success => ":white_check_mark:",
        Exit::RollbackFailed => ":rotating_light:",
        _ => ":x:",
    };
    let headline = format!("{sign} {}", escape(&report.headline()));
    let mut lines =
        vec![format!("by {} on {} in {:.0} s", escape(&report.origin.user), escape(&report.origin.runner), report.took.as_secs_f64())];
    if let Some(incident) = &report.incident {
        let place = [&incident.host, &incident.task].into_iter().flatten().map(|text| escape(text)).collect::<Vec<_>>().join(": ");
        lines.push(format!("{place} {}", escape(&incident.message)));
    }
    if !report.origin.run_url.is_empty() {
        lines.push(format!("<{}|run>", report.origin.run_url));
    }
    json!({
        "text": headline,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": clip(&headline)}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": clip(&lines.join("\n"))}]},
        ],
    })
}

/// Slack's three control characters.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text object holds at most 3000 characters.
fn clip(text: &str) -> String {
    text.chars().take(2900).collect()
}
