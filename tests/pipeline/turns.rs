//! One deployment at a time: first come, first served, and nobody is lost.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_waits_for_a_lock_that_is_held_and_then_goes_on() {
    let Some(world) = World::new().await else { return };
    let held = world.rappel(&["lock", "production", "acquire", "--reason", "incident 42"]);
    assert!(held.code == 0 && held.text.contains("ticket 1: held"), "{}", held.text);
    let impatient = world.deploy("1.0.0", &["--lock-timeout", "1"]);
    assert!(impatient.code == 1 && impatient.text.contains("`incident 42`"), "{} {}", impatient.code, impatient.text);
    let (mut child, log) = world.begin("1.0.0", &[], "waiting for the lock, 1 ahead; held by ticket 1 (user alice");
    assert_eq!(world.versions()[0], "nothing");
    let shown = world.rappel(&["lock", "production"]);
    assert!(shown.text.contains("held by ticket 1") && shown.text.contains("waiting: ticket 3"), "{}", shown.text);
    let released = world.rappel(&["lock", "production", "release"]);
    assert_eq!(released.code, 0, "{}", released.text);
    let done = super::wait(&mut child, &log);
    assert_eq!((done.code, world.versions()[0].as_str()), (0, "1.0.0"), "{}", done.text);
    world.is_clean(&[&held, &impatient, &shown, &released, &done]);
}

/// Two hosts that are folders of this machine, and a playbook that notes who deploys.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let small = Self(tempfile::tempdir().unwrap());
        let root = small.0.path().display();
        for (name, text) in [
            ("hosts", "[web]\nweb1\nweb2\n[web:vars]\nansible_connection=local\n".to_owned()),
            (
                "site.yml",
                format!(
                    "- hosts: web\n  gather_facts: false\n  tasks:\n    - shell: echo begin {{{{ backend_image }}}} >>{root}/log; sleep 0.1; \
                     echo end {{{{ backend_image }}}} >>{root}/log\n      run_once: true\n"
                ),
            ),
            (
                "rappel.yml",
                format!(
                    "environments:\n  test:\n    inventory: hosts\n    hosts: web\n    become_root: false\n    playbooks: {{deploy: site.yml}}\n    \
                     coordinator_directory: {root}/coordinator\n    state_file: {root}/{{host}}.json\n    attempts: {{max: 1}}\n    \
                     lock: {{lease: 30, heartbeat: 1}}\n    preflight: {{images: false, free_mb: 0}}\n"
                ),
            ),
        ] {
            fs::write(small.0.path().join(name), text).unwrap();
        }
        small
    }

    fn start(&self, version: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
        let log = fs::File::create(self.0.path().join(format!("out-{version}"))).unwrap();
        command.args(["deploy", "test", &format!("backend_image=b:{version}"), &format!("frontend_image=f:{version}")]);
        command.current_dir(self.0.path()).env("RAPPEL_STATE_DIR", self.0.path().join("state")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }
}

#[test]
fn two_that_start_at_once_run_one_after_the_other_in_the_order_of_their_tickets_ten_times_of_ten() {
    let small = Small::new();
    let mut children = Vec::new();
    for round in 0..10 {
        let pair = [small.start(&format!("{round}a")), small.start(&format!("{round}b"))];
        children.extend(pair);
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
    }
    let log = fs::read_to_string(small.0.path().join("log")).unwrap();
    let lines: Vec<_> = log.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(lines.len(), 40, "{log}");
    let mut order = Vec::new();
    for pair in lines.chunks(2) {
        assert_eq!((pair[0].0, pair[1].0, pair[0].1), ("begin", "end", pair[1].1), "{log}");
        order.push(pair[0].1.trim_start_matches("b:"));
    }
    let ticket = |version: &&str| {
        let out = fs::read_to_string(small.0.path().join(format!("out-{version}"))).unwrap();
        let (_, rest) = out.split_once("passed: [lock]").unwrap();
        rest.split_once("ticket ").unwrap().1.split_whitespace().next().unwrap().parse::<u32>().unwrap()
    };
    let tickets: Vec<_> = order.iter().map(ticket).collect();
    assert_eq!(tickets, (1..=20).collect::<Vec<_>>(), "first come, first served");
}

#[test]
fn several_that_wait_are_served_in_the_order_in_which_they_came() {
    let small = Small::new();
    let mut children = Vec::new();
    for number in 0..5 {
        children.push(small.start(&number.to_string()));
        let began = Instant::now();
        // The next comes once this one has its ticket.
        let queue = small.0.path().join("coordinator/queue.json");
        let next = || serde_json::from_slice::<serde_json::Value>(&fs::read(&queue).unwrap_or_default()).ok()?["next"].as_i64();
        while next().unwrap_or(0) <= number {
            assert!(began.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let log = fs::read_to_string(small.0.path().join("log")).unwrap();
    let begun: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("begin b:")).collect();
    assert_eq!(begun, ["0", "1", "2", "3", "4"], "{log}");
}
