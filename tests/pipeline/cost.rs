//! What the pipeline adds to the deployment itself.

use std::fs;
use std::process::Command;
use std::time::Instant;

use rappel::lab::Fleet;

use super::parts::{self, Monitoring};

/// The stages that are not the deployment: measured around one that does nothing on ten hosts.
#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_adds_little_to_a_deployment_of_ten_hosts_that_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let fleet = Fleet::start(10, &root.join("hosts")).await.unwrap();
    fs::write(root.join("inventory"), fleet.inventory()).unwrap();
    fs::write(root.join("site.yml"), "- hosts: lab\n  gather_facts: false\n  tasks:\n    - ping:\n").unwrap();
    // The gate of the runners and the metrics take part where they can be had.
    let monitoring = parts::installed().map(|[_, _, prometheus, gateway]| Monitoring::start(&prometheus, &gateway, root));
    let watched = monitoring.as_ref().map_or_else(String::new, |monitoring| {
        monitoring.runner("runner-01", 1, 10);
        format!(
            "    runners: [{{name: runner-01, role: primary}}]\n    prometheus: {{url: \"{}\"}}\n    metrics: {{pushgateway: \"{}\"}}\n",
            monitoring.prometheus(),
            monitoring.gateway()
        )
    });
    let config = format!(
        "environments:\n  production:\n    inventory: inventory\n    hosts: lab\n    become_root: false\n    playbooks: {{deploy: site.yml}}\n    \
         coordinator_directory: {0}/coordinator\n    state_file: {0}/{{host}}.json\n    preflight: {{images: false, free_mb: 0}}\n{watched}",
        root.display()
    );
    fs::write(root.join("rappel.yml"), config).unwrap();
    let agent = crate::support::agent_script(root);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
        command
            .args(arguments)
            .current_dir(root)
            .env("RAPPEL_AGENT", &agent)
            .env("ANSIBLE_CONFIG", "/dev/null")
            .env("RUNNER_NAME", "runner-01");
        let began = Instant::now();
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        began.elapsed().as_secs_f64()
    };
    let play = ["play", "-i", "inventory", "site.yml"];
    let deploy = ["deploy", "production", "backend_image=a:1", "frontend_image=b:1"];
    run(&play); // sends the agent to the hosts
    let fastest = |arguments: &[&str]| (0..3).map(|_| run(arguments)).fold(f64::INFINITY, f64::min);
    let (plain, whole) = (fastest(&play), fastest(&deploy));
    println!("playbook alone {plain:.2} s, pipeline {whole:.2} s: {:.2} s more", whole - plain);
    // A debug build on a busy machine is several times slower than what people run.
    let limit = if cfg!(debug_assertions) { 10.0 } else { 2.0 };
    assert!(whole - plain < limit, "{plain:.2} s became {whole:.2} s");
    fleet.stop().await;
}
