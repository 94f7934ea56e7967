//! A runner whose clock is off: Debian's `faketime` gives one to the controller alone, and the hosts keep the right one.

use std::process::Command;

use super::parts::find;
use super::{World, finish};

/// The same command, for a program that believes it is another time. Time goes by as ever.
fn shifted(command: &Command, shift: &str) -> Option<Command> {
    let faketime = find("faketime", "faketime")?;
    let mut other = Command::new(faketime);
    other.args(["-f", shift]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Some(other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_stops_a_deployment_before_anything_is_touched() {
    let Some(world) = World::new().await else { return };
    let deploy = |version: &str| {
        let images = [format!("backend_image=shop:{version}"), format!("frontend_image=web:{version}")];
        world.command(&["deploy", "production", &images[0], &images[1]])
    };
    let first = finish(deploy("1.0.0"));
    assert_eq!(first.code, 0, "{}", first.text);
    for (shift, wanted) in [("+1h", "behind this machine"), ("-1h", "ahead of this machine")] {
        let Some(command) = shifted(&deploy("1.1.0"), shift) else { return };
        let refused = finish(command);
        assert_eq!(refused.code, 1, "{}", refused.text);
        let line = refused.text.lines().find(|line| line.contains("clocks")).unwrap_or_default();
        assert!(line.contains("`web1` is 3") && line.contains(wanted), "{line} in {}", refused.text);
        assert_eq!(world.versions(), ["1.0.0", "1.0.0", "1.0.0"].map(str::to_owned));
    }
    // Nothing of the refused ones is left that would hold up the next, whose clock is right.
    let next = finish(deploy("1.1.0"));
    assert_eq!((next.code, world.versions()[2].as_str()), (0, "1.1.0"), "{}", next.text);
    world.is_clean(&[&first, &next]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_fails_the_health_check_for_it() {
    let Some(world) = World::new().await else { return };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!(first.code, 0, "{}", first.text);
    let Some(command) = shifted(&world.command(&["health", "production"]), "+1h") else { return };
    let unwell = finish(command);
    assert!(unwell.code != 0 && unwell.text.contains("the clock is right"), "{} {}", unwell.code, unwell.text);
    world.is_clean(&[&first, &unwell]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_whose_clock_is_a_day_ahead_takes_no_lock_from_one_that_holds_it() {
    let Some(world) = World::with("    lock: {lease: 2, heartbeat: 1}\n").await else { return };
    let (mut holder, log) = world.begin("1.0.0", &[], "STAGE [deploy]");
    let Some(command) = shifted(&world.command(&["deploy", "production", "backend_image=shop:2.0.0", "frontend_image=web:2.0.0"]), "+1d")
    else {
        return;
    };
    let ahead = finish(command);
    assert!(ahead.text.contains("waiting for the lock, 1 ahead") && !ahead.text.contains("taking over"), "{}", ahead.text);
    assert!(ahead.code == 1 && ahead.text.contains("behind this machine"), "{}", ahead.text);
    let held = super::wait(&mut holder, &log);
    assert_eq!((held.code, world.versions()[0].as_str()), (0, "1.0.0"), "{}", held.text);
    world.is_clean(&[&held, &ahead]);
}
