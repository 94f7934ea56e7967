//! Every command of the runbooks and of the README is run, as written and in the order of the page.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::{Done, World, finish};

/// The commands of a page: its `bash` blocks, and what stands in backticks and begins with `rappel `. What has a gap (`…`) is
/// only the form of a command.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (&mut block, line.trim()) {
            (None, "```bash" | "```sh") => block = Some(String::new()),
            (Some(_), "```") => found.extend(block.take()),
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, line) => {
                let inline = line.split('`').skip(1).step_by(2);
                found.extend(inline.filter(|text| text.starts_with("rappel ") && text.contains(" production")).map(str::to_owned));
            }
        }
    }
    found.retain(|command| !command.contains('…'));
    found
}

/// Runs a command of a page on the runner, by a shell.
fn shell(world: &World, script: &str) -> Done {
    let programs = world.path("bin");
    if !programs.exists() {
        fs::create_dir(&programs).unwrap();
        for name in ["rappel", "ansible-playbook"] {
            symlink(env!("CARGO_BIN_EXE_rappel"), programs.join(name)).unwrap();
        }
        // GitHub's own program, as far as the page uses it.
        let gh = "#!/bin/sh\ntest \"$*\" = 'secret set PRODUCTION_SSH_PRIVATE_KEY --env production' && exec cat >stored-secret\n";
        fs::write(programs.join("gh"), gh).unwrap();
        fs::set_permissions(programs.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let template = world.command(&[]);
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(world.path("runner")).env_clear();
    command.envs(template.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
    finish(command)
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_runbook_for_failures_works() {
    let Some(world) = World::new().await else { return };
    for version in ["1.0", "1.1", "1.2"] {
        let done = world.deploy(version, &[]);
        assert_eq!(done.code, 0, "{}", done.text);
    }
    let commands = commands(&page("docs/runbooks/production-deployment-failures.md"));
    assert!(commands.len() >= 10, "{commands:?}");
    for command in &commands {
        // Somebody must have forgotten a ticket before it can be released.
        let releases = command.starts_with("rappel lock production release");
        if releases && world.rappel(&["lock", "production"]).text.contains("nobody holds it") {
            world.rappel(&["lock", "production", "acquire", "--reason", "forgotten"]);
        }
        let done = shell(&world, command);
        assert_eq!(done.code, 0, "{command}\n{}", done.text);
        world.is_clean(&[&done]);
    }
    assert_eq!(world.versions(), ["1.0", "1.0", "1.0"].map(str::to_owned), "1.2 and 1.1 were left by rollbacks");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_runbook_for_rotation_works() {
    let Some(world) = World::new().await else { return };
    fs::copy(world.hosts[0].sshd.login.with_extension("pub"), world.path("runner/previous-deploy.pub")).unwrap();
    let commands = commands(&page("docs/runbooks/production-secret-rotation.md"));
    let (rotation, others): (Vec<_>, Vec<_>) = commands.iter().partition(|command| command.contains('\n'));
    assert!(rotation.len() == 5, "{rotation:?}");
    for command in others.into_iter().chain(rotation.iter().copied()) {
        let done = shell(&world, command);
        assert_eq!(done.code, 0, "{command}\n{}", done.text);
    }
    let stored = fs::read_to_string(world.path("runner/stored-secret")).unwrap();
    assert!(stored.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") && !world.path("runner/production-deploy").exists());
    for host in &world.hosts {
        let keys = fs::read_to_string(&host.sshd.authorized).unwrap();
        assert!(keys.lines().count() == 1 && keys.contains("production-deploy"), "{keys}");
    }
}

#[test]
fn the_commands_of_the_readme_are_those_that_are_run_elsewhere() {
    let readme = page("README.md");
    let blocks: Vec<_> = commands(&readme).into_iter().filter(|command| command.contains('\n')).collect();
    let lines = blocks.iter().flat_map(|block| block.lines()).map(|line| line.split(" #").next().unwrap().trim());
    for line in lines.filter(|line| !line.is_empty()) {
        // The demonstration is a test of its own, and `./test` is what runs this.
        assert!(["cargo run --release -- demo", "./test"].contains(&line), "`{line}` is run by no test");
    }
}
