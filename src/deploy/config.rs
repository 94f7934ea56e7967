//! [`Config`]: `rappel.yml`, every key of it declared once. `docs/reference/config.md` and the JSON Schema are made from here.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::setting::{self, Kind, Setting};
use crate::section;
use crate::text::{Diagnostic, Diagnostics, SourceId, Sources, did_you_mean, yaml};

/// The file's name when none is given.
pub const FILE: &str = "rappel.yml";

section! {
    /// `rappel.yml`.
    pub struct Config {
        /// The fleets that can be deployed to, by name: `production` in `rappel deploy production`.
        environments: IndexMap<String, Environment>,
    }
}

section! {
    /// One fleet and how it is deployed to.
    pub struct Environment {
        /// The inventory, relative to this file.
        inventory: PathBuf,
        /// The playbooks of the stages.
        playbooks: Playbooks,
        /// The hosts that run the application: a host pattern.
        hosts: String = "webservers",
        /// The host that keeps the lock, the decisions and the history; the first of `hosts` when not given.
        coordinator: Option<String>,
        /// Where the coordinator host keeps them. One directory for each environment.
        coordinator_directory: PathBuf = "/var/lib/rappel/deploy",
        /// The state file on each host.
        state_file: PathBuf = "/var/lib/paws360-production-state.json",
        /// Where each host keeps the marks of bad releases.
        marks_directory: PathBuf = "/var/lib/paws360/bad-releases",
        /// Branches that may be deployed, by `GITHUB_REF_NAME`; empty for any.
        branches: Vec<String> = Vec::new(),
        /// The environment variable that must be `true`, or else the deployment stops after its plan.
        enabled_by: Option<String>,
        /// Read files as root on the hosts (sudo).
        become_root: bool = true,
        /// Extra variables for all playbooks.
        variables: IndexMap<String, Json> = IndexMap::new(),
        /// One deployment at a time.
        lock: LockSettings = LockSettings::none()?,
        /// How often a deployment is tried.
        attempts: Attempts = Attempts::none()?,
        /// How health is judged.
        health: HealthSettings = HealthSettings::none()?,
        /// What is looked at before anything is touched.
        preflight: PreflightSettings = PreflightSettings::none()?,
        /// The machines deployments run from, in order of preference.
        runners: Vec<RunnerSettings> = Vec::new(),
        /// Where the runners' health is asked for.
        prometheus: Option<PrometheusSettings>,
        /// Where the metrics go.
        metrics: MetricsSettings = MetricsSettings::none()?,
        /// Issues and summaries.
        github: Option<GithubSettings>,
        /// Messages.
        slack: Option<SlackSettings>,
        /// The audit trail.
        history: HistorySettings = HistorySettings::none()?,
    }
}

section! {
    /// The playbooks of an environment, relative to the file.
    pub struct Playbooks {
        /// Deploys a release.
        deploy: PathBuf,
        /// Puts the fleet on the release before, or on `target_version`.
        rollback: Option<PathBuf>,
        /// Puts the fleet on its last known-good release; run when all attempts have failed and the transaction could not do it.
        safe_rollback: Option<PathBuf>,
        /// Looks whether a release could be deployed.
        validate: Option<PathBuf>,
        /// The health checks alone, for `rappel health`.
        health: Option<PathBuf>,
    }
}

section! {
    /// The lock.
    pub struct LockSettings {
        /// Seconds without a heartbeat after which a holder counts as dead.
        lease: u64 = 60_u64,
        /// Seconds between heartbeats, and between looks of those who wait.
        heartbeat: u64 = 5_u64,
        /// Seconds to wait for one's turn; 0 for ever.
        timeout: u64 = 0_u64,
    }
}

section! {
    /// Attempts.
    pub struct Attempts {
        /// How many, the first included.
        max: u64 = 3_u64,
        /// Seconds between two.
        wait: u64 = 30_u64,
        /// Seconds that one may take; then it is rolled back.
        timeout: u64 = 600_u64,
    }
}

section! {
    /// Health.
    pub struct HealthSettings {
        /// Seconds that the new release must stay healthy before it counts: the playbooks' `deployment_min_healthy_seconds`.
        min_healthy_time: Option<u64>,
        /// Seconds that the health checks of one batch may take, `min_healthy_time` included; then all is rolled back. 0 for ever.
        deadline: u64 = 300_u64,
    }
}

section! {
    /// Preflight checks.
    pub struct PreflightSettings {
        /// Environment variables that must be set: looked at by name, never shown.
        secrets: Vec<String> = Vec::new(),
        /// An SSH key's public half or the file holding the private key, whose age is checked.
        key_file: Option<PathBuf>,
        /// Days after which that key should have been rotated.
        key_days: u64 = 90_u64,
        /// Ask the registries for the images by their HTTP API.
        images: bool = true,
        /// Registries that speak plain HTTP (a lab's).
        insecure_registries: Vec<String> = Vec::new(),
        /// Megabytes that must be free on the machine that runs rappel.
        free_mb: u64 = 1024_u64,
        /// Seconds that a host's clock may differ from this machine's. 0 when nobody looks.
        clock_seconds: u64 = 5_u64,
        /// Seconds that a single question may take.
        timeout: u64 = 10_u64,
    }
}

section! {
    /// A machine deployments run from.
    pub struct RunnerSettings {
        /// Its name, as in `RUNNER_NAME` and in Prometheus.
        name: String,
        /// `primary`, `secondary`: shown in the metrics and the summary.
        role: String = "secondary",
        /// The value of the `runner` label in Prometheus; its name when not given.
        label: Option<String>,
        /// `user@host:port` for `ProxyJump`, where connections go through it.
        jump: Option<String>,
    }
}

section! {
    /// Prometheus.
    pub struct PrometheusSettings {
        /// Its address.
        url: String,
        /// Seconds for an answer.
        timeout: u64 = 5_u64,
        /// The query that must give 1; `{environment}` and `{runner}` are replaced.
        status: String = "runner_status{environment=\"{environment}\",runner=\"{runner}\"}",
        /// The query for the load of the processors, in percent.
        cpu: String = "runner_cpu{environment=\"{environment}\",runner=\"{runner}\"}",
        /// The query for the memory in use, in percent.
        memory: String = "runner_memory{environment=\"{environment}\",runner=\"{runner}\"}",
        /// A healthy runner's `cpu` is below this.
        cpu_limit: u64 = 90_u64,
        /// A healthy runner's `memory` is below this.
        memory_limit: u64 = 90_u64,
    }
}

section! {
    /// Metrics.
    pub struct MetricsSettings {
        /// The Pushgateway's address.
        pushgateway: Option<String>,
        /// The group's `job`.
        job: String = "rappel",
        /// A text file for `node_exporter`'s collector.
        file: Option<PathBuf>,
        /// Seconds for an answer.
        timeout: u64 = 5_u64,
    }
}

section! {
    /// GitHub.
    pub struct GithubSettings {
        /// The API's address.
        api: String = "https://api.github.com",
        /// `owner/name`; `GITHUB_REPOSITORY` when not given.
        repository: Option<String>,
        /// The environment variable that holds the token.
        token: String = "GITHUB_TOKEN",
        /// Labels of an incident's issue.
        labels: Vec<String> = vec!["production-incident".to_owned()],
        /// The label that is added when there was a rollback.
        rollback_label: String = "production-rollback",
        /// Who is assigned.
        assignees: Vec<String> = Vec::new(),
        /// The runbook, linked from the issue.
        runbook: String = "docs/runbooks/production-deployment-failures.md",
        /// Where issues wait while GitHub cannot be reached.
        spool: PathBuf = ".rappel/spool",
        /// Seconds for an answer.
        timeout: u64 = 10_u64,
    }
}

section! {
    /// Slack.
    pub struct SlackSettings {
        /// The environment variable that holds the webhook's address: it is a secret.
        webhook: String = "SLACK_WEBHOOK",
        /// Seconds for an answer.
        timeout: u64 = 10_u64,
    }
}

section! {
    /// The audit trail.
    pub struct HistorySettings {
        /// Days that entries are kept.
        days: u64 = 90_u64,
    }
}

impl Config {
    /// Reads the file `path`; relative paths in it become relative to its directory.
    pub fn load(sources: &Sources, path: &Path, diags: &mut Diagnostics) -> Option<Self> {
        match sources.read(path) {
            Ok(id) => {
                let mut config = Self::parse(sources, id, diags)?;
                let directory = path.parent().unwrap_or(Path::new(""));
                config.environments.values_mut().for_each(|environment| environment.resolve(directory));
                Some(config)
            }
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", path.display());
                diags.push(Diagnostic::error("config-missing", message).help("`--config FILE` names another file"));
                None
            }
        }
    }

    /// Reads a source that was read already.
    pub fn parse(sources: &Sources, id: SourceId, diags: &mut Diagnostics) -> Option<Self> {
        let mut found = Diagnostics::default();
        let node = yaml::parse_one(sources, id, &mut found);
        let config = node.as_ref().and_then(|node| Self::read(node, &mut found));
        if node.is_none() && !found.has_errors() {
            let help = "`rappel config reference` lists the keys; `environments` is the first";
            found.push(Diagnostic::error("config-empty", "the file is empty").help(help));
        }
        // A section that lost a key to a mistake must not pass for one that was complete.
        let complete = !found.has_errors();
        diags.append(found);
        config.filter(|_| complete)
    }

    /// The environment `name`.
    ///
    /// # Errors
    /// That there is none, with the nearest that there is.
    pub fn environment(&self, name: &str) -> Result<&Environment, Diagnostic> {
        self.environments.get(name).ok_or_else(|| {
            let names = || self.environments.keys().map(String::as_str);
            let help = match did_you_mean(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known environments are {}", names().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ")),
            };
            Diagnostic::error("unknown-environment", format!("unknown environment `{name}`")).help(help)
        })
    }

    /// The JSON Schema for editors.
    pub fn schema() -> Json {
        let mut schema = setting::schema(&Self::KIND);
        if let Json::Object(object) = &mut schema {
            object.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
            object.insert("title".into(), json!(FILE));
        }
        schema
    }

    /// The reference page: every key, what it is when not given, what it means.
    pub fn reference() -> String {
        let mut lines = vec!["| key | when not given | meaning |".to_owned(), "|---|---|---|".to_owned()];
        setting::document(&Self::KIND, "", &mut lines);
        format!(
            "# `{FILE}`\n\nMade from `src/deploy/config.rs`. Paths are relative to the file; times are seconds.\n\n{}\n",
            lines.join("\n")
        )
    }
}

impl Environment {
    fn resolve(&mut self, directory: &Path) {
        let Playbooks { deploy, rollback, safe_rollback, validate, health } = &mut self.playbooks;
        let optional = [rollback, safe_rollback, validate, health].into_iter().flatten();
        for path in [&mut self.inventory, deploy].into_iter().chain(optional) {
            *path = directory.join(&*path);
        }
        if let Some(github) = &mut self.github {
            github.spool = directory.join(&github.spool);
        }
    }

    /// Every section kind below the file, for tests of the reference.
    pub fn kind() -> Kind {
        <Self as Setting>::KIND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<Config>, Vec<String>) {
        let sources = Sources::default();
        let id = sources.add(FILE, text);
        let mut diags = Diagnostics::default();
        let config = Config::parse(&sources, id, &mut diags);
        let told = diags.into_vec().into_iter().map(|found| {
            let place = found.labels.first().map_or(0, |(span, _)| sources.position(*span).line);
            format!("{place}: {}; {}", found.message, found.help.unwrap_or_default())
        });
        (config, told.collect())
    }

    #[test]
    fn the_shipped_file_is_read_and_has_the_values_that_are_promised() {
        let (config, told) = parse(include_str!("../../rappel.yml"));
        assert!(told.is_empty(), "{told:?}");
        let config = config.unwrap();
        let production = config.environment("production").unwrap();
        assert_eq!((production.attempts.max, production.attempts.wait, production.attempts.timeout), (3, 30, 600));
        assert_eq!(production.enabled_by.as_deref(), Some("AUTO_DEPLOY_TO_PRODUCTION"));
        assert_eq!(production.branches, ["master"]);
        assert_eq!(production.history.days, 90);
        assert_eq!(config.environment("prodution").unwrap_err().help.as_deref(), Some("did you mean `production`?"));
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_nothing_half_read_is_used() {
        let text = "environments:\n  a:\n    inventory: hosts\n    playbooks: {deploy: site.yml, rolback: r.yml}\n    attempts: {max: x}\n    \
                    lock: 7\n    runners: [{role: primary}]\n    prometheus: {url: u, timeout: -1}\n    nothing_like_it: 1\n";
        let (config, told) = parse(text);
        assert!(config.is_none());
        let wanted = [
            "9: unknown key `nothing_like_it`; known keys are `inventory`",
            "4: unknown key `rolback`; did you mean `rollback`?",
            "5: expected a whole number, found `x`",
            "6: expected a mapping, found an integer",
            "7: missing key `name`",
            "8: expected a number from 0, found an integer",
        ];
        assert_eq!(told.len(), wanted.len(), "{told:?}");
        for wanted in wanted {
            assert!(told.iter().any(|told| told.starts_with(wanted)), "{wanted} is missing in {told:?}");
        }
        assert_eq!(parse("").1, ["0: the file is empty; `rappel config reference` lists the keys; `environments` is the first"]);
    }

    #[test]
    fn the_schema_and_the_reference_know_every_key() {
        let schema = Config::schema();
        let environment = &schema["properties"]["environments"]["additionalProperties"];
        assert_eq!(environment["required"], json!(["inventory", "playbooks"]));
        assert_eq!(environment["properties"]["attempts"]["properties"]["max"]["type"], "integer");
        assert_eq!(environment["additionalProperties"], false);
        let reference = Config::reference();
        for line in [
            "| `environments.NAME.attempts.wait` | `30` |",
            "| `environments.NAME.runners[].name` | required |",
            "| `environments.NAME.slack.webhook` | `SLACK_WEBHOOK` |",
        ] {
            assert!(reference.contains(line), "{line} is missing in\n{reference}");
        }
    }
}
