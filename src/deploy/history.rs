//! What runs on the hosts, by their state files, and what was done to them, by the audit trail.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::config::Environment;
use super::fleet::{CallError, Fleet};
use crate::wire::{Map, Value};

/// One release, as the state file names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The tag and a hash of both images.
    pub release: String,
    /// The backend's image.
    pub backend_image: String,
    /// The frontend's image.
    pub frontend_image: String,
}

/// The state file of one host. Fields that an older tool did not write are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The backend's image.
    pub current_version: String,
    /// The backend's image before.
    pub previous_version: String,
    /// When the deployment ended.
    pub last_deploy_timestamp: String,
    /// When it began.
    pub deploy_start: String,
    /// Where it ran.
    pub deploy_runner: String,
    /// Who asked for it.
    pub deployed_by: String,
    /// The release's name.
    pub release: String,
    /// The backend's image.
    pub backend_image: String,
    /// The frontend's image.
    pub frontend_image: String,
    /// The releases that are on the host, the newest first.
    pub releases: Vec<Release>,
}

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostState {
    /// Its state file.
    Known(Box<State>),
    /// It has none: nothing was deployed.
    Nothing,
    /// There is a file, but it is not one of ours, or cannot be read; why.
    Unreadable(String),
    /// The host could not be reached; why.
    Unreachable(String),
}

/// All hosts' states.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// By host, in the inventory's order.
    pub hosts: Vec<(String, HostState)>,
}

impl Survey {
    /// Asks all hosts at once.
    pub async fn take(fleet: &Arc<dyn Fleet>, environment: &Environment, hosts: &[String]) -> Self {
        let asked = hosts.iter().map(|host| async move {
            let path = environment.state_file.to_string_lossy().replace("{host}", host);
            (host.clone(), read_state(fleet.as_ref(), host, &path).await)
        });
        Self { hosts: join_all(asked).await }
    }

    /// The release that all hosts are on; `None` when they differ, or one has nothing, or cannot say.
    pub fn agreed(&self) -> Option<&State> {
        let mut states = self.hosts.iter().map(|(_, state)| match state {
            HostState::Known(state) => Some(state.as_ref()),
            _ => None,
        });
        let first = states.next()??;
        states.all(|state| state.is_some_and(|state| same(state, first))).then_some(first)
    }

    /// Whether every host is on these images.
    pub fn is_on(&self, backend: &str, frontend: &str) -> bool {
        self.agreed().is_some_and(|state| state.backend_image == backend && state.frontend_image == frontend)
    }

    /// The hosts grouped by what they are on, for people: `1.2-ab (web1, web2); nothing (web3)`.
    pub fn describe(&self) -> String {
        let mut groups: indexmap::IndexMap<String, Vec<&str>> = indexmap::IndexMap::new();
        for (host, state) in &self.hosts {
            let what = match state {
                HostState::Known(state) if state.release.is_empty() => state.current_version.clone(),
                HostState::Known(state) => state.release.clone(),
                HostState::Nothing => "nothing".to_owned(),
                HostState::Unreadable(why) => format!("unreadable: {why}"),
                HostState::Unreachable(why) => format!("unreachable: {why}"),
            };
            groups.entry(what).or_default().push(host);
        }
        groups.iter().map(|(what, hosts)| format!("{what} ({})", hosts.join(", "))).collect::<Vec<_>>().join("; ")
    }

    /// State files that nobody can make sense of. To deploy over them would lose what they mean.
    pub fn unreadable(&self) -> Option<String> {
        let lines: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|(host, state)| match state {
                HostState::Unreadable(why) => Some(format!("{host}: {why}")),
                _ => None,
            })
            .collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// Whether hosts that could be asked are on different releases.
    pub fn is_mixed(&self) -> bool {
        let mut known = self.hosts.iter().filter_map(|(_, state)| match state {
            HostState::Known(state) => Some(Some(state.as_ref())),
            HostState::Nothing => Some(None),
            _ => None,
        });
        let Some(first) = known.next() else { return false };
        known.any(|other| match (first, other) {
            (Some(a), Some(b)) => !same(a, b),
            (a, b) => a.is_some() != b.is_some(),
        })
    }
}

fn same(a: &State, b: &State) -> bool {
    (&a.current_version, &a.backend_image, &a.frontend_image) == (&b.current_version, &b.backend_image, &b.frontend_image)
}

async fn read_state(fleet: &dyn Fleet, host: &str, path: &str) -> HostState {
    let params = Map::from_iter([("path".to_owned(), Value::from(path))]);
    match fleet.call(host, "stat", params).await {
        Err(CallError::Unreachable(why)) => return HostState::Unreachable(why),
        Err(CallError::Failed(failure)) => return HostState::Unreadable(failure.msg),
        Ok(outcome) => {
            let exists = matches!(outcome.data.get("stat"), Some(Value::Map(stat)) if stat.get("exists") == Some(&Value::Bool(true)));
            if !exists {
                return HostState::Nothing;
            }
        }
    }
    let params = Map::from_iter([("src".to_owned(), Value::from(path))]);
    let content = match fleet.call(host, "slurp", params).await {
        Err(CallError::Unreachable(why)) => return HostState::Unreachable(why),
        Err(CallError::Failed(failure)) => return HostState::Unreadable(failure.msg),
        Ok(outcome) => outcome.data.get("content").map(Value::to_text).unwrap_or_default(),
    };
    let parsed = STANDARD.decode(content.trim()).map_err(|error| error.to_string()).and_then(|bytes| parse_state(&bytes));
    match parsed {
        Ok(state) => HostState::Known(Box::new(state)),
        Err(why) => HostState::Unreadable(format!("{path} {why}")),
    }
}

/// Reads a state file's content; the error goes on after the file's name.
fn parse_state(bytes: &[u8]) -> Result<State, String> {
    let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| format!("is not JSON: {error}"))?;
    if !json.get("current_version").is_some_and(serde_json::Value::is_string) {
        return Err("is JSON, but has no `current_version`: another tool's?".to_owned());
    }
    serde_json::from_value(json).map_err(|error| format!("is not a state file: {error}"))
}

/// One line of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// `deploy`, `rollback`, `lock acquire` …
    pub action: String,
    /// Who.
    pub user: String,
    /// The commit.
    pub commit: String,
    /// The run's address.
    pub run_url: String,
    /// Where it ran.
    pub runner: String,
    /// What to.
    pub target: String,
    /// What from.
    pub from: String,
    /// `success`, `rolled back` …
    pub outcome: String,
    /// What went wrong.
    pub failure: String,
    /// The transaction.
    pub transaction: String,
    /// Seconds.
    pub took: f64,
}

/// What the audit trail holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trail {
    /// The newest entries, the oldest of them first, with the time in seconds since the epoch.
    pub entries: Vec<(i64, Entry)>,
    /// The first line that does not follow from the one before it: somebody changed the file.
    pub broken: Option<i64>,
}

/// Appends to the audit trail when there is an entry; gives back its `last` newest entries.
///
/// # Errors
/// The coordinator host cannot be asked, or cannot write.
pub async fn trail(fleet: &dyn Fleet, host: &str, environment: &Environment, entry: Option<&Entry>, last: i64) -> Result<Trail, String> {
    let path = environment.coordinator_directory.join("history.jsonl");
    let days = i64::try_from(environment.history.days).unwrap_or(0);
    let mut params = Map::from_iter([
        ("path".to_owned(), Value::from(path.to_string_lossy().as_ref())),
        ("keep_days".to_owned(), Value::Int(days)),
        ("last".to_owned(), Value::Int(last)),
    ]);
    if let Some(entry) = entry {
        let json = serde_json::to_value(entry).and_then(serde_json::from_value::<Value>).map_err(|error| error.to_string())?;
        params.insert("entry".to_owned(), json);
    }
    let outcome = fleet.call(host, "ledger", params).await.map_err(|error| error.to_string())?;
    let mut trail = Trail { broken: None, entries: Vec::new() };
    if let Some(Value::Int(line)) = outcome.data.get("broken") {
        trail.broken = Some(*line);
    }
    if let Some(Value::List(entries)) = outcome.data.get("entries") {
        for entry in entries {
            let Value::Map(entry) = entry else { continue };
            let at = match entry.get("at") {
                Some(Value::Int(at)) => *at,
                _ => 0,
            };
            let entry = entry.get("entry").and_then(|entry| serde_json::to_value(entry).ok());
            trail.entries.push((at, entry.and_then(|entry| serde_json::from_value(entry).ok()).unwrap_or_default()));
        }
    }
    Ok(trail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_files_of_this_tool_and_of_its_forerunner_are_read_and_others_refused() {
        let ours =
            br#"{"current_version": "r/b:2", "release": "2-ab", "backend_image": "r/b:2", "frontend_image": "r/f:2", "releases": []}"#;
        assert_eq!(parse_state(ours).unwrap().release, "2-ab");
        let older = br#"{"current_version": "r/b:1", "previous_version": "0", "deployed_by": "github-actions"}"#;
        assert_eq!(parse_state(older).unwrap().release, "");
        for (content, why) in
            [("", "is not JSON"), ("{", "is not JSON"), ("[]", "no `current_version`"), ("{\"version\": 1}", "no `current_version`")]
        {
            let error = parse_state(content.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{content}: {error}");
        }
    }

    #[test]
    fn a_fleet_agrees_only_when_every_host_says_the_same() {
        let on = |image: &str| {
            HostState::Known(Box::new(State { current_version: image.into(), backend_image: image.into(), ..State::default() }))
        };
        let survey =
            |states: Vec<HostState>| Survey { hosts: states.into_iter().enumerate().map(|(i, state)| (format!("h{i}"), state)).collect() };
        let table = [
            (vec![on("1"), on("1")], true, false),
            (vec![on("1"), on("2")], false, true),
            (vec![on("1"), HostState::Nothing], false, true),
            (vec![on("1"), HostState::Unreachable("cut".into())], false, false),
            (vec![HostState::Nothing, HostState::Nothing], false, false),
            (vec![], false, false),
        ];
        for (states, agreed, mixed) in table {
            let survey = survey(states);
            assert_eq!((survey.is_on("1", ""), survey.is_mixed()), (agreed, mixed), "{}", survey.describe());
        }
    }
}
