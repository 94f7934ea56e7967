//! Preflight: named checks before anything is touched. All of them run, all are shown; none is tried twice.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;

use super::config::Environment;
use super::fleet::{CallError, Fleet};
use super::registry::{self, Found, Logins};
use crate::event::CheckStatus;
use crate::wire::{Map, Value};

/// One check and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The host it looked at, if at one.
    pub host: Option<String>,
    /// Its answer.
    pub status: CheckStatus,
    /// What there is to say.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

/// Where variables of the process come from; tests bring their own.
pub type Variables<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Runs all checks.
pub async fn run(
    fleet: &Arc<dyn Fleet>,
    environment: &Environment,
    hosts: &[String],
    images: &[String],
    variables: Variables<'_>,
) -> Vec<Check> {
    let mut checks = vec![secrets(environment, variables), branch(environment, variables), disk(environment), key(environment)];
    checks.push(inventory(environment, hosts));
    let (found, reached, clocks) =
        tokio::join!(look_for_images(environment, images, variables), reach(fleet, hosts), clocks(fleet, environment, hosts));
    checks.extend(found);
    checks.extend(reached);
    checks.push(clocks);
    checks
}

/// Whether the deployment may go on.
pub fn passed(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.status != CheckStatus::Failed)
}

fn check(name: &str, started: Instant, (status, detail): (CheckStatus, String)) -> Check {
    Check { name: name.to_owned(), host: None, status, detail, took: started.elapsed() }
}

fn secrets(environment: &Environment, variables: Variables<'_>) -> Check {
    let wanted = &environment.preflight.secrets;
    let missing: Vec<_> = wanted.iter().filter(|name| variables(name).is_none_or(|value| value.trim().is_empty())).collect();
    let answer = match (wanted.len(), missing.as_slice()) {
        (0, _) => (CheckStatus::Skipped, "none are configured".to_owned()),
        (count, []) => (CheckStatus::Passed, format!("{count} set")),
        (_, missing) => {
            let names: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
            (CheckStatus::Failed, format!("not set: {}", names.join(", ")))
        }
    };
    check("secrets", Instant::now(), answer)
}

fn branch(environment: &Environment, variables: Variables<'_>) -> Check {
    let allowed = &environment.branches;
    let answer = match variables("GITHUB_REF_NAME") {
        _ if allowed.is_empty() => (CheckStatus::Skipped, "any may be deployed".to_owned()),
        None => (CheckStatus::Skipped, "not a CI job: `GITHUB_REF_NAME` is not set".to_owned()),
        Some(branch) if allowed.contains(&branch) => (CheckStatus::Passed, branch),
        Some(branch) => (CheckStatus::Failed, format!("`{branch}` may not be deployed, only {}", allowed.join(", "))),
    };
    check("branch", Instant::now(), answer)
}

fn disk(environment: &Environment) -> Check {
    let wanted = environment.preflight.free_mb;
    let answer = match rustix::fs::statvfs(".") {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
            let status = if free < wanted { CheckStatus::Failed } else { CheckStatus::Passed };
            (status, format!("{free} MB free, {wanted} MB wanted"))
        }
        Err(error) => (CheckStatus::Warned, format!("cannot look: {error}")),
    };
    check("runner disk", Instant::now(), answer)
}

fn key(environment: &Environment) -> Check {
    let answer = match &environment.preflight.key_file {
        None => (CheckStatus::Skipped, "no `key_file` is configured".to_owned()),
        Some(file) => key_age(file, environment.preflight.key_days),
    };
    check("SSH key age", Instant::now(), answer)
}

fn key_age(file: &Path, days: u64) -> (CheckStatus, String) {
    let age = std::fs::metadata(file).and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    match age.map(|age| age.as_secs() / 86_400) {
        Ok(age) if age > days => {
            (CheckStatus::Warned, format!("{age} days old, to be rotated after {days}: see docs/runbooks/production-secret-rotation.md"))
        }
        Ok(age) => (CheckStatus::Passed, format!("{age} days old")),
        Err(error) => (CheckStatus::Failed, format!("cannot look at `{}`: {error}", file.display())),
    }
}

fn inventory(environment: &Environment, hosts: &[String]) -> Check {
    let answer = if hosts.is_empty() {
        (CheckStatus::Failed, format!("`{}` selects no host", environment.hosts))
    } else {
        (CheckStatus::Passed, format!("{} hosts", hosts.len()))
    };
    check("inventory", Instant::now(), answer)
}

async fn look_for_images(environment: &Environment, images: &[String], variables: Variables<'_>) -> Vec<Check> {
    let settings = &environment.preflight;
    let logins = &Logins::read(variables);
    let limit = Duration::from_secs(settings.timeout);
    let looked = images.iter().map(|image| async move {
        let started = Instant::now();
        let answer = if settings.images {
            match registry::look(image, &settings.insecure_registries, logins, limit).await {
                Found::Yes(digest) => (CheckStatus::Passed, digest),
                Found::No => (CheckStatus::Failed, "the registry has no such image".to_owned()),
                Found::Unknown(why) => (CheckStatus::Warned, format!("cannot ask the registry: {why}")),
            }
        } else {
            (CheckStatus::Skipped, "`preflight.images` is off".to_owned())
        };
        check(&format!("image {image}"), started, answer)
    });
    join_all(looked).await
}

async fn reach(fleet: &Arc<dyn Fleet>, hosts: &[String]) -> Vec<Check> {
    let reached = hosts.iter().map(|host| async move {
        let started = Instant::now();
        let answer = match fleet.call(host, "ping", Map::new()).await {
            Ok(_) => (CheckStatus::Passed, String::new()),
            Err(CallError::Unreachable(why)) => (CheckStatus::Failed, why),
            Err(CallError::Failed(failure)) => (CheckStatus::Failed, failure.msg),
        };
        Check { host: Some(host.clone()), ..check("host answers", started, answer) }
    });
    join_all(reached).await
}

/// Whether the hosts' clocks say what this machine's does: certificates, tokens and the health checks go by it.
async fn clocks(fleet: &Arc<dyn Fleet>, environment: &Environment, hosts: &[String]) -> Check {
    let (started, limit) = (Instant::now(), environment.preflight.clock_seconds);
    if limit == 0 {
        return check("clocks", started, (CheckStatus::Skipped, "`preflight.clock_seconds` is 0".to_owned()));
    }
    let asked = hosts.iter().map(|host| async move { Some((host, ahead(fleet, host).await?)) });
    // A host that does not answer is the matter of another check.
    let known: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    let off: Vec<_> =
        known.iter().filter(|(_, ahead)| ahead.unsigned_abs() > limit).map(|(host, ahead)| describe_clock(host, *ahead)).collect();
    let answer = match off.as_slice() {
        [] => (CheckStatus::Passed, format!("{} within {limit} s of this machine's", known.len())),
        off => (CheckStatus::Failed, format!("{}; set the clock that is wrong, or raise `preflight.clock_seconds`", off.join(", "))),
    };
    check("clocks", started, answer)
}

fn describe_clock(host: &str, ahead: i64) -> String {
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    format!("`{host}` is {} s {word} this machine", ahead.unsigned_abs())
}

/// Whole seconds that a host's clock is ahead, however long the answer was under way; `None` when it does not say.
async fn ahead(fleet: &Arc<dyn Fleet>, host: &str) -> Option<i64> {
    let now = || jiff::Timestamp::now().as_second();
    let words = ["date", "+%s"].map(Value::from).to_vec();
    let before = now();
    let outcome = fleet.call(host, "command", Map::from_iter([("argv".to_owned(), Value::List(words))])).await.ok()?;
    let there: i64 = outcome.data.get("stdout")?.to_text().trim().parse().ok()?;
    Some(if there < before { there - before } else { (there - now()).max(0) })
}
