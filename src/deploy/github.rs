//! GitHub: step summary, outputs and annotations of the job, and an issue for each incident.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::config::GithubSettings;
use super::http::Ask;
use super::report::Report;
use crate::event::Exit;
use crate::ssh::Secret;

/// The API's version, sent with each request.
const VERSION: &str = "2022-11-28";

/// GitHub's API for one repository.
pub struct Github<'a> {
    settings: &'a GithubSettings,
    repository: String,
    token: Secret,
}

/// What became of an incident's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filed {
    /// A new issue, and its address.
    New(String),
    /// There was one for this transaction already.
    Known(String),
    /// GitHub could not be reached: it waits in this file.
    Spooled(String),
}

impl<'a> Github<'a> {
    /// `None` when there is no token or no repository: then there is nobody to tell.
    pub fn new(settings: &'a GithubSettings, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let repository = settings.repository.clone().or_else(|| variable("GITHUB_REPOSITORY"))?;
        let token = variable(&settings.token).filter(|token| !token.is_empty())?;
        Some(Self { settings, repository, token: Secret::new(token) })
    }

    /// Opens an issue for the report, unless there is one for its transaction. What cannot be sent is kept for the next time.
    ///
    /// # Errors
    /// GitHub refuses it, or it can be neither sent nor kept.
    pub async fn file(&self, report: &Report) -> Result<Filed, String> {
        self.file_issue(&issue(self.settings, report), &marker(report)).await
    }

    async fn file_issue(&self, issue: &Json, marker: &str) -> Result<Filed, String> {
        match self.find(marker).await {
            Ok(Some(url)) => Ok(Filed::Known(url)),
            Ok(None) => match self.open(issue).await {
                Ok(url) => Ok(Filed::New(url)),
                Err(Refused::Later(why)) => self.spool(issue, marker, &why),
                Err(Refused::Never(why)) => Err(why),
            },
            Err(Refused::Later(why)) => self.spool(issue, marker, &why),
            Err(Refused::Never(why)) => Err(why),
        }
    }

    /// Sends what waited. Gives back how many went.
    pub async fn flush(&self) -> Result<usize, String> {
        let Ok(directory) = fs::read_dir(&self.settings.spool) else { return Ok(0) };
        let mut sent = 0;
        for file in directory.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "json")) {
            let Ok(content) = fs::read(&file) else { continue };
            let waiting: Json = serde_json::from_slice(&content).map_err(|error| format!("{}: {error}", file.display()))?;
            let (Some(issue), Some(marker)) = (waiting.get("issue"), waiting.get("marker").and_then(Json::as_str)) else { continue };
            let known = match self.find(marker).await {
                Ok(known) => known,
                Err(Refused::Later(_)) => return Ok(sent),
                Err(Refused::Never(why)) => return Err(why),
            };
            if known.is_none() {
                match self.open(issue).await {
                    Ok(_) => {}
                    Err(Refused::Later(_)) => return Ok(sent),
                    Err(Refused::Never(why)) => return Err(why),
                }
            }
            fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            sent += 1;
        }
        Ok(sent)
    }

    async fn find(&self, marker: &str) -> Result<Option<String>, Refused> {
        let label = self.settings.labels.first().map(|label| format!("&labels={}", super::http::encode(label))).unwrap_or_default();
        let path = format!("issues?state=all&sort=created&direction=desc&per_page=100{label}");
        let answer = self.send(Method::GET, &path, None).await?;
        let issues = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let body = |issue: &Json| issue.get("body").and_then(Json::as_str).unwrap_or_default().contains(marker);
        let found = issues.iter().find(|issue| body(issue));
        Ok(found.and_then(|issue| issue.get("html_url")).and_then(Json::as_str).map(str::to_owned))
    }

    async fn open(&self, issue: &Json) -> Result<String, Refused> {
        let answer = match self.send(Method::POST, "issues", Some(issue)).await {
            // An assignee or a label that GitHub does not take must not cost us the issue.
            Err(Refused::Never(why)) if why.contains("422") => {
                let mut plain = issue.clone();
                if let Json::Object(fields) = &mut plain {
                    fields.remove("assignees");
                }
                self.send(Method::POST, "issues", Some(&plain)).await?
            }
            other => other?,
        };
        Ok(answer.get("html_url").and_then(Json::as_str).unwrap_or_default().to_owned())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Refused> {
        let url = format!("{}/repos/{}/{path}", self.settings.api.trim_end_matches('/'), self.repository);
        let mut ask = Ask::new(method, url, Duration::from_secs(self.settings.timeout))
            .header("Accept", "application/vnd.github+json")
            .header("Authorization", format!("Bearer {}", self.token.expose()))
            .header("X-GitHub-Api-Version", VERSION);
        if let Some(body) = body {
            ask = ask.body("application/json", body.to_string());
        }
        let answer = ask.send().await.map_err(|error| Refused::Later(format!("GitHub: {error}")))?;
        match answer.status {
            200..=299 => serde_json::from_str(&answer.body).map_err(|error| Refused::Never(format!("GitHub's answer: {error}"))),
            403 | 429 | 500..=599 => Err(Refused::Later(format!("GitHub: {}", answer.describe()))),
            _ => Err(Refused::Never(format!("GitHub: {}", answer.describe()))),
        }
    }

    fn spool(&self, issue: &Json, marker: &str, why: &str) -> Result<Filed, String> {
        let name: String = marker.chars().filter(char::is_ascii_alphanumeric).collect();
        let file = self.settings.spool.join(format!("{name}.json"));
        let keep = || -> io::Result<()> {
            fs::create_dir_all(&self.settings.spool)?;
            let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file)?;
            out.write_all(json!({"marker": marker, "issue": issue}).to_string().as_bytes())
        };
        match keep() {
            Ok(()) => Ok(Filed::Spooled(file.display().to_string())),
            Err(error) => Err(format!("{why}; and it cannot be kept in {}: {error}", file.display())),
        }
    }
}

enum Refused {
    /// It may go later.
    Later(String),
    /// It will not.
    Never(String),
}

/// Names the incident inside the issue's body, unseen.
fn marker(report: &Report) -> String {
    let id = report.transaction.clone().unwrap_or_else(|| format!("{}-{}-{}", report.environment, report.origin.commit, report.target));
    format!("<!-- rappel-incident: {id} -->")
}

fn issue(settings: &GithubSettings, report: &Report) -> Json {
    let mut labels = settings.labels.clone();
    if report.rolled_back {
        labels.push(settings.rollback_label.clone());
    }
    let host = report.incident.as_ref().and_then(|incident| incident.host.as_deref()).map(|host| format!(" on {host}")).unwrap_or_default();
    let title = format!("{} of {} failed{host}: {}", report.action, report.environment, report.outcome());
    let mut body = format!("{}\n\n{}\n", marker(report), report.headline());
    for (name, value) in [
        ("Workflow run", &report.origin.run_url),
        ("Commit", &report.origin.commit),
        ("Runner", &report.origin.runner),
        ("User", &report.origin.user),
        ("From", &report.from),
    ] {
        if !value.is_empty() {
            let _ = write!(body, "\n- {name}: {value}");
        }
    }
    let _ = writeln!(body, "\n- Attempts: {}\n- Runbook: {}", report.attempts, settings.runbook);
    report.incident_markdown(&mut body);
    report.verdicts_markdown(&mut body);
    body.push_str("\nA post-mortem is required.\n");
    json!({"title": title, "body": body, "labels": labels, "assignees": settings.assignees})
}

/// Appends to the job's step summary, if there is a job.
pub fn summarize(markdown: &str, variable: impl Fn(&str) -> Option<String>) -> io::Result<()> {
    match variable("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        Some(path) => append(Path::new(&path), &format!("{markdown}\n")),
        None => Ok(()),
    }
}

/// Sets the step's outputs, if there is a job.
pub fn set_outputs(report: &Report, variable: impl Fn(&str) -> Option<String>) -> io::Result<()> {
    let Some(path) = variable("GITHUB_OUTPUT").filter(|path| !path.is_empty()) else { return Ok(()) };
    let outputs = [
        ("outcome", report.outcome().to_owned()),
        ("exit_code", report.exit.code().to_string()),
        ("target", report.target.clone()),
        ("previous", report.from.clone()),
        ("rolled_back", report.rolled_back.to_string()),
        ("skipped", report.skipped.to_string()),
        ("attempts", report.attempts.to_string()),
        ("runner", report.origin.runner.clone()),
        ("runner_role", report.origin.role.clone()),
        ("transaction", report.transaction.clone().unwrap_or_default()),
        ("duration_seconds", format!("{:.3}", report.took.as_secs_f64())),
    ];
    let mut text = String::new();
    for (name, value) in outputs {
        // The form with a delimiter, so that no value can set another output.
        let delimiter = format!("rappel-{}", uuid::Uuid::new_v4());
        let _ = write!(text, "{name}<<{delimiter}\n{value}\n{delimiter}\n");
    }
    append(Path::new(&path), &text)
}

/// The workflow command that annotates the run, to be printed when there is a job.
pub fn annotation(report: &Report) -> Option<String> {
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
    if report.exit == Exit::Success {
        return None;
    }
    let incident = report.incident.as_ref();
    let mut properties = format!("title={}", property(&report.headline()));
    if let Some((file, line)) = incident.and_then(|incident| incident.place.as_deref()).and_then(|place| place.rsplit_once(':')) {
        properties = format!("file={},line={line},{properties}", property(file));
    }
    let message = incident.map_or_else(|| report.outcome().to_owned(), |incident| incident.message.clone());
    Some(format!("::error {properties}::{}", escape(&message)))
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}
