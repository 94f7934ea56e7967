//! Releases that are not well: the whole fleet goes back, and everybody hears of it.

use super::{Host, World};

const PRODUCTION: &str = "{environment=\"production\"}";

fn all(version: &str) -> [String; 3] {
    [(); 3].map(|()| version.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_unwell_on_one_host_goes_back_on_all() {
    let Some(world) = World::new().await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!(first.code, 0, "{}", first.text);
    let before: Vec<_> = world.hosts.iter().map(Host::state).collect();
    world.sicken("web2", "2.0.0");
    let sick = world.deploy("2.0.0", &[]);
    assert_eq!((sick.code, world.versions()), (3, all("1.0.0")), "{}", sick.text);
    assert_eq!(world.hosts.iter().map(Host::state).collect::<Vec<_>>(), before, "the state files are as they were");
    let issues = world.github.issues();
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0]["labels"], serde_json::json!(["production-incident", "production-rollback"]));
    assert_eq!(issues[0]["assignees"], serde_json::json!(["oncall-sre"]));
    let body = issues[0]["body"].as_str().unwrap();
    for part in [
        "https://github.example/acme/shop/actions/runs/77",
        "0123abcd",
        "production-runner-01",
        "web2",
        "Check: the backend says that it is up",
        "503",
        "docs/runbooks/production-deployment-failures.md",
        "back on the old release",
    ] {
        assert!(body.contains(part), "{part} is missing in {body}");
    }
    for (name, value) in [("success", 1.0), ("failures", 1.0), ("rollback", 1.0)] {
        world.monitoring.shows(&format!("deployment_{name}_total{PRODUCTION}"), value);
    }
    world.monitoring.shows("deployment_rollback_reason_total{environment=\"production\",reason=\"health\"}", 1.0);
    world.monitoring.fills_the_dashboard();
    world.monitoring.shows("count(ALERTS{alertname=\"DeploymentRollbackTriggered\",alertstate=\"firing\"})", 1.0);
    let summary = world.read("summary.md");
    for part in
        ["deploy of production to shop:2.0.0 web:2.0.0: rolled back", "| web3 | ↩️ back on the old release |", "### What went wrong"]
    {
        assert!(summary.contains(part), "{part} is missing in {summary}");
    }
    let output = world.read("output");
    assert!(output.contains("\nrolled back\n") && output.contains("\n3\n"), "{output}");
    assert!(world.slack.messages()[1]["text"].as_str().unwrap().starts_with(":x:"));
    world.is_clean(&[&first, &sick]);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_behind_a_canary_all_go_back_when_a_later_one_is_unwell() {
    let Some(world) = World::new().await else { return };
    let canary = ["-e", "{\"deploy_serial\": [1, 1, 1]}"];
    let first = world.deploy("1.0.0", &canary);
    assert_eq!((first.code, world.versions()), (0, all("1.0.0")), "{}", first.text);
    world.sicken("web3", "2.0.0");
    let sick = world.deploy("2.0.0", &canary);
    assert_eq!((sick.code, world.versions()), (3, all("1.0.0")), "{}", sick.text);
    let canary_healthy = sick.text.find("ok: [web1]");
    assert!(canary_healthy.is_some() && sick.text.contains("failed: [web3]") | sick.text.contains("fatal: [web3]"), "{}", sick.text);
    world.is_clean(&[&first, &sick]);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_are_exhausted_leave_the_old_release_and_the_issue_waits_while_github_is_away() {
    let Some(world) = World::new().await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!(first.code, 0, "{}", first.text);
    // What takes too long may be faster a little later: worth another attempt, unlike a health check that has failed.
    let config = world.read("rappel.yml").replace("{max: 2, wait: 0, timeout: 120}", "{max: 3, wait: 1, timeout: 8}");
    std::fs::write(world.path("runner/rappel.yml"), config).unwrap();
    world.sicken("web1", "2.0.0");
    world.github.away(true);
    let failed = world.deploy("2.0.0", &["-e", "deployment_health_retries=1000", "-e", "deployment_health_delay=0.1"]);
    assert_eq!((failed.code, world.versions()), (3, all("1.0.0")), "{}", failed.text);
    let config = world.read("rappel.yml").replace("timeout: 8}", "timeout: 120}");
    std::fs::write(world.path("runner/rappel.yml"), config).unwrap();
    for part in ["attempt 1 of 3 failed: it took longer than 8 s", "attempt 2 of 3 failed", "3 attempts", "the issue waits in"] {
        assert!(failed.text.contains(part), "{part} is missing in {}", failed.text);
    }
    world.github.away(false);
    let next = world.deploy("2.1.0", &[]);
    assert_eq!((next.code, world.versions()), (0, all("2.1.0")), "{}", next.text);
    let issues = world.github.issues();
    assert!(issues.len() == 1 && issues[0]["body"].as_str().unwrap().contains("- Attempts: 3"), "{issues:?}");
    world.monitoring.shows(&format!("deployment_failures_total{PRODUCTION}"), 1.0);
    world.is_clean(&[&first, &failed, &next]);
}
