//! Deployments that go as they should: the first, the same again, the next, back, through the other runner, and none at all.

use std::time::Duration;

use super::{SENTINEL, World};

const PRODUCTION: &str = "{environment=\"production\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_deployed_skipped_the_second_time_and_followed_by_the_next() {
    let Some(world) = World::new().await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!((first.code, world.versions()), (0, ["1.0.0", "1.0.0", "1.0.0"].map(str::to_owned)), "{}", first.text);
    let state = world.hosts[1].state();
    for (field, wanted) in
        [("current_version", "shop:1.0.0"), ("previous_version", ""), ("deploy_runner", "production-runner-01"), ("deployed_by", "alice")]
    {
        assert_eq!(state[field], wanted, "{field} in {state}");
    }
    let at = |field: &str| state[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(at("deploy_start") <= at("last_deploy_timestamp"));
    let summary = world.read("summary.md");
    let stages = ["lock", "recover", "runner", "preflight", "plan", "deploy", "health", "notify", "metrics", "history", "unlock"];
    let places: Vec<_> = stages.iter().map(|stage| first.text.find(&format!("STAGE [{stage}]"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {}", first.text);
    for part in ["deploy of production to shop:1.0.0 web:1.0.0: success", "production-runner-01", "Redis answers PONG", "steps on 3 of "] {
        assert!(summary.contains(part), "{part} is missing in {summary}");
    }
    world.monitoring.shows(&format!("deployment_success_total{PRODUCTION}"), 1.0);
    assert!(world.monitoring.query(&format!("deployment_duration_seconds{PRODUCTION}")).unwrap() > 0.0);

    let again = world.deploy("1.0.0", &[]);
    assert_eq!((again.code, world.hosts[1].state()), (0, state), "{}", again.text);
    assert!(again.text.contains("every host is on this release, and healthy"), "{}", again.text);
    world.monitoring.shows(&format!("deployment_success_total{PRODUCTION}"), 1.0);

    let next = world.deploy("1.1.0", &[]);
    assert_eq!((next.code, world.versions()), (0, ["1.1.0", "1.1.0", "1.1.0"].map(str::to_owned)), "{}", next.text);
    assert_eq!(world.hosts[2].state()["previous_version"], "shop:1.0.0");
    world.monitoring.shows(&format!("deployment_success_total{PRODUCTION}"), 2.0);
    assert!(world.read("output").contains("\nsuccess\n"));
    let said: Vec<_> = world.slack.messages().iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said.len(), 2, "one for each deployment: {said:?}");
    assert!(world.github.issues().is_empty());
    let history = world.rappel(&["history", "production"]);
    assert!(history.text.lines().count() == 3 && history.text.contains("by alice"), "{}", history.text);
    world.is_clean(&[&first, &again, &next, &history]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_rollback_goes_to_the_release_before_and_marks_the_one_that_was_left() {
    let Some(world) = World::new().await else { return };
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let done = world.deploy(version, &[]);
        assert_eq!(done.code, 0, "{}", done.text);
    }
    let back = world.rappel(&["rollback", "production"]);
    assert_eq!((back.code, world.versions()), (0, ["1.1.0", "1.1.0", "1.1.0"].map(str::to_owned)), "{}", back.text);
    let further = world.rappel(&["rollback", "production"]);
    assert_eq!((further.code, world.versions()[0].as_str()), (0, "1.0.0"), "{}", further.text);
    // 1.1.0 and 1.2.0 are marked bad now: nothing is left to go back to by itself.
    let none = world.rappel(&["rollback", "production"]);
    assert!(none.code != 0 && none.text.contains("no release to go back to"), "{} {}", none.code, none.text);
    let bad = world.rappel(&["rollback", "production", "--to", "1.2.0"]);
    assert!(bad.code != 0 && bad.text.contains("is marked bad"), "{} {}", bad.code, bad.text);
    assert_eq!(world.versions(), ["1.0.0", "1.0.0", "1.0.0"].map(str::to_owned));
    let forced = world.rappel(&["rollback", "production", "--to", "1.2.0", "-e", "deployment_allow_bad=true"]);
    assert_eq!((forced.code, world.versions()[2].as_str()), (0, "1.2.0"), "{}", forced.text);
    let status = world.rappel(&["status", "production"]);
    assert!(status.code == 0 && status.text.matches("shop:1.2.0").count() == 3, "{}", status.text);
    world.is_clean(&[&back, &further, &none, &bad, &forced, &status]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_not_fit_hands_over_to_the_secondary_within_30_seconds() {
    let Some(world) = World::new().await else { return };
    world.monitoring.runner("production-runner-01", 1, 95);
    // The job on the primary ends at once, before anything is touched; the workflow gives it to the other.
    let refused = world.deploy("1.0.0", &[]);
    assert_eq!(refused.code, 1, "{}", refused.text);
    assert!(refused.text.contains("no runner is fit: production-runner-01 is unhealthy: its processor load is 95"), "{}", refused.text);
    assert_eq!(world.versions(), ["nothing", "nothing", "nothing"].map(str::to_owned));
    let began = std::time::Instant::now();
    let chosen = world.rappel(&["preflight", "production", "backend_image=shop:1.0.0", "frontend_image=web:1.0.0"]);
    assert!(chosen.code == 0 && world.read("output").contains("\nsecondary\n"), "{}", chosen.text);
    let mut command = world.command(&["deploy", "production", "backend_image=shop:1.0.0 frontend_image=web:1.0.0"]);
    let log = world.path("runner/log");
    let file = std::fs::File::create(&log).unwrap();
    let mut child = command.env("RUNNER_NAME", "production-runner-02").stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    while !std::fs::read_to_string(&log).unwrap().contains("passed: [runner]") {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", std::fs::read_to_string(&log).unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("the secondary runner took over after {:.1} s", began.elapsed().as_secs_f64());
    let done = super::wait(&mut child, &log);
    assert_eq!((done.code, world.versions()[0].as_str()), (0, "1.0.0"), "{}", done.text);
    assert_eq!(world.hosts[0].state()["deploy_runner"], "production-runner-02");
    assert!(world.read("summary.md").contains("production-runner-02 (secondary)"));
    world.monitoring.shows("deployment_runner_total{runner=\"production-runner-02\"}", 1.0);
    world.is_clean(&[&refused, &chosen, &done]);
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_deployments_stop_after_their_plan() {
    let Some(world) = World::new().await else { return };
    let done = world.deploy("1.0.0", &[]);
    assert_eq!(done.code, 0, "{}", done.text);
    let mut command = world.command(&["deploy", "production", "backend_image=shop:2.0.0", "frontend_image=web:2.0.0"]);
    command.env("AUTO_DEPLOY_TO_PRODUCTION", "false");
    let disabled = super::finish(command);
    assert_eq!((disabled.code, world.versions()[0].as_str()), (0, "1.0.0"), "{}", disabled.text);
    assert!(disabled.text.contains("deployments are disabled: `AUTO_DEPLOY_TO_PRODUCTION` is not `true`"), "{}", disabled.text);
    let mut command = world.command(&["deploy", "production", "backend_image=shop:2.0.0", "frontend_image=web:2.0.0"]);
    command.env("GITHUB_REF_NAME", "topic").env("PRODUCTION_SSH_USER", "");
    let refused = super::finish(command);
    assert_eq!((refused.code, world.versions()[0].as_str()), (1, "1.0.0"), "{}", refused.text);
    for part in ["not set: `PRODUCTION_SSH_USER`", "`topic` may not be deployed, only master"] {
        assert!(refused.text.contains(part) && world.read("summary.md").contains(part), "{part}: {}", refused.text);
    }
    world.monitoring.shows(&format!("deployment_success_total{PRODUCTION}"), 1.0);
    assert!(!done.text.contains(SENTINEL));
    world.is_clean(&[&disabled, &refused]);
}
