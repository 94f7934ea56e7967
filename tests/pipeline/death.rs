//! Deaths in the middle: of a host, of the controller, and the orderly end that a cancelled job asks for.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{World, wait};

const CHECK: &str = "TASK [deployment : Check: the backend says that it is up]";
/// Health checks that last, so that there is a middle.
const SLOW: [&str; 4] = ["-e", "deployment_health_retries=400", "-e", "deployment_health_delay=0.1"];

fn all(version: &str) -> [String; 3] {
    [(); 3].map(|()| version.to_owned())
}

fn signal(child: &std::process::Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_rolls_back_within_its_grace_time() {
    let Some(world) = World::new().await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!(first.code, 0, "{}", first.text);
    world.sicken("web1", "2.0.0");
    let (mut child, log) = world.begin("2.0.0", &SLOW, CHECK);
    let began = Instant::now();
    signal(&child, Signal::TERM);
    let done = wait(&mut child, &log);
    println!("rolled back {:.1} s after SIGTERM", began.elapsed().as_secs_f64());
    assert_eq!((done.code, world.versions()), (3, all("1.0.0")), "{}", done.text);
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    assert!(done.text.contains("interrupted: no new task begins, and open transactions are undone"), "{}", done.text);
    let issues = world.github.issues();
    assert!(issues.len() == 1 && issues[0]["body"].as_str().unwrap().contains("reason: cancelled"), "{issues:?}");
    world.monitoring.shows("deployment_rollback_reason_total{environment=\"production\",reason=\"cancelled\"}", 1.0);
    let lock = world.rappel(&["lock", "production"]);
    assert!(lock.text.contains("nobody holds it"), "{}", lock.text);
    world.is_clean(&[&first, &done, &lock]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_controller_left_is_finished_by_the_second_runner() {
    let Some(world) = World::new().await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!(first.code, 0, "{}", first.text);
    world.sicken("web1", "2.0.0");
    let (mut child, log) = world.begin("2.0.0", &SLOW, CHECK);
    signal(&child, Signal::KILL);
    wait(&mut child, &log);
    let mut command = world.command(&["recover", "production"]);
    command.env("RUNNER_NAME", "production-runner-02");
    let recovered = super::finish(command);
    assert_eq!(recovered.code, 0, "{}", recovered.text);
    assert!(recovered.text.contains("rolled back on"), "{}", recovered.text);
    for host in &world.hosts[..3] {
        assert_eq!(host.state()["current_version"], "shop:1.0.0", "{}", recovered.text);
    }
    assert_eq!(world.versions(), all("1.0.0"), "{}", recovered.text);
    let health = world.rappel(&["health", "production"]);
    assert_eq!(health.code, 0, "{}", health.text);
    // The dead holder's ticket is no obstacle for the next deployment.
    let mut command = world.command(&["deploy", "production", "backend_image=shop:2.1.0 frontend_image=web:2.1.0"]);
    command.env("RUNNER_NAME", "production-runner-02");
    let next = super::finish(command);
    assert_eq!((next.code, world.versions()), (0, all("2.1.0")), "{}", next.text);
    world.is_clean(&[&recovered, &health, &next]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_deployment_takes_over_from_a_killed_one_and_recovers_it_first() {
    let Some(world) = World::new().await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!(first.code, 0, "{}", first.text);
    world.sicken("web1", "2.0.0");
    let (mut child, log) = world.begin("2.0.0", &SLOW, CHECK);
    signal(&child, Signal::KILL);
    wait(&mut child, &log);
    let next = world.deploy("2.1.0", &[]);
    assert_eq!((next.code, world.versions()), (0, all("2.1.0")), "{}", next.text);
    assert!(next.text.contains("the lock's holder is dead, taking over from ticket 2"), "{}", next.text);
    assert!(next.text.contains("rolled back on"), "{}", next.text);
    assert_eq!(world.hosts[0].state()["previous_version"], "shop:1.0.0", "2.0.0 never was");
    world.is_clean(&[&first, &next]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_in_the_middle_is_named_and_recovered_when_it_is_back() {
    let Some(mut world) = World::with("    attempts: {max: 1, wait: 0, timeout: 60}\n").await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!(first.code, 0, "{}", first.text);
    world.sicken("web1", "2.0.0");
    let (mut child, log) = world.begin("2.0.0", &SLOW, CHECK);
    // The power goes: its sshd with all sessions, its agent and its programs.
    world.hosts[2].die();
    let done = wait(&mut child, &log);
    assert_eq!(done.code, 4, "{}", done.text);
    assert!(done.text.contains("shop:2.0.0 web:2.0.0: hosts unknown"), "{}", done.text);
    for index in [0, 1] {
        assert_eq!(world.hosts[index].state()["current_version"], "shop:1.0.0", "{}", done.text);
    }
    let issue = world.github.issues()[0]["body"].as_str().unwrap().to_owned();
    assert!(issue.contains("| web3 | ⚠️ unknown: run `rappel recover`"), "{issue}");
    assert!(done.text.contains("web3 could not be asked; the lock stays until `rappel recover production`"), "{}", done.text);
    let early = world.rappel(&["recover", "production"]);
    assert!(early.code == 4 && early.text.contains("cannot ask web3"), "{} {}", early.code, early.text);
    world.hosts[2].sshd.revive().await;
    let recovered = world.rappel(&["recover", "production"]);
    assert_eq!((recovered.code, world.versions()), (0, all("1.0.0")), "{}", recovered.text);
    let next = world.deploy("2.1.0", &[]);
    assert_eq!((next.code, world.versions()), (0, all("2.1.0")), "{}", next.text);
    world.is_clean(&[&first, &done, &early, &recovered, &next]);
}
