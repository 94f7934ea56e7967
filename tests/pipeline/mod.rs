//! The whole pipeline, end to end, with real parts: sshd, Nginx, Redis, Prometheus and a Pushgateway from Debian's packages, the
//! shipped playbooks, an application, and stand-ins for GitHub and Slack that check each request.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "only tests call this, and a skipped one says so")]

mod api;
mod clock;
mod command;
mod cost;
mod death;
mod engine;
mod failure;
mod parts;
mod registry;
mod release;
mod rules;
mod turns;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::agent_script;
use crate::support::port::free_port;
use crate::support::sshd::{Sshd, text};
use api::Api;
use parts::{Monitoring, Server, get};

/// What must never be seen: the values of everything that is secret here.
const SENTINEL: &str = "S3NT1NEL";
const REPOSITORY: &str = "acme/shop";

/// A fleet with everything around it, and the machine that deployments run from.
pub(crate) struct World {
    root: TempDir,
    pub(crate) hosts: Vec<Host>,
    pub(crate) monitoring: Monitoring,
    pub(crate) github: Api,
    pub(crate) slack: Api,
    /// Nginx and Redis.
    servers: [Server; 2],
}

/// One host: an sshd of its own, and a folder that stands for its disk.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) disk: PathBuf,
    pub(crate) sshd: Sshd,
    backend: u16,
    frontend: u16,
    nginx: u16,
}

/// What a command came to.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl World {
    /// `None`, and the reasons, where a part is not installed.
    pub(crate) async fn new() -> Option<Self> {
        Self::with("").await
    }

    /// `more` are lines of the environment in `rappel.yml`.
    pub(crate) async fn with(more: &str) -> Option<Self> {
        let [nginx, redis, prometheus, gateway] = parts::installed()?;
        let root = tempfile::Builder::new().prefix("rappel-world-").tempdir().unwrap();
        let mut hosts: Vec<Host> = Vec::new();
        for name in ["web1", "web2", "web3", "data1"] {
            hosts.push(Host::start(name, root.path()).await?);
        }
        // One key logs in everywhere.
        for host in hosts.iter().skip(1) {
            fs::copy(hosts[0].sshd.login.with_extension("pub"), &host.sshd.authorized).unwrap();
        }
        let sites: Vec<_> = hosts.iter().map(|host| (host.nginx, host.backend, host.frontend)).collect();
        let (nginx, nginx_config) = parts::nginx(&nginx, root.path(), &sites);
        let redis = parts::redis(&redis, root.path());
        let monitoring = Monitoring::start(&prometheus, &gateway, root.path());
        let github = Api::github(REPOSITORY, &format!("{SENTINEL}-token"));
        let slack = Api::slack(&format!("/services/{SENTINEL}-hook"));
        let world = Self { root, hosts, monitoring, github, slack, servers: [nginx, redis] };
        world.write_files(&nginx_config, more);
        world.monitoring.runner("production-runner-01", 1, 10);
        world.monitoring.runner("production-runner-02", 1, 10);
        Some(world)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write_files(&self, nginx_config: &Path, more: &str) {
        let root = self.root.path().display();
        let runner = self.path("runner");
        copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks")), &runner.join("playbooks"));
        let (prometheus, gateway, github) = (self.monitoring.prometheus(), self.monitoring.gateway(), &self.github.url);
        let config = format!(
            "environments:\n  production:\n    inventory: inventories/production/hosts\n    hosts: webservers\n    coordinator: data1\n    become_root: false\n    \
             playbooks:\n      deploy: playbooks/site.yml\n      rollback: playbooks/rollback-production.yml\n      \
             safe_rollback: playbooks/rollback-production-safe.yml\n      validate: playbooks/validate-production-deploy.yml\n      \
             health: playbooks/check-health.yml\n    coordinator_directory: {root}/disks/data1/coordinator\n    \
             state_file: {root}/disks/{{host}}/state.json\n    marks_directory: {root}/disks/{{host}}/bad\n    branches: [master]\n    \
             enabled_by: AUTO_DEPLOY_TO_PRODUCTION\n    preflight: {{secrets: [PRODUCTION_SSH_PRIVATE_KEY, PRODUCTION_SSH_USER], images: false, free_mb: 1}}\n    \
             runners:\n      - {{name: production-runner-01, role: primary}}\n      - {{name: production-runner-02, role: secondary}}\n    \
             prometheus: {{url: \"{prometheus}\", timeout: 5}}\n    metrics: {{pushgateway: \"{gateway}\"}}\n    \
             github: {{api: \"{github}\", assignees: [oncall-sre], timeout: 5}}\n    slack: {{timeout: 5}}\n{more}",
        );
        let mut config = config;
        for (key, given) in [("attempts", "{max: 2, wait: 0, timeout: 120}"), ("lock", "{lease: 4, heartbeat: 1}")] {
            if !more.contains(&format!("    {key}:")) {
                config.push_str(&format!("    {key}: {given}\n"));
            }
        }
        fs::write(runner.join("rappel.yml"), config).unwrap();
        let redis = self.servers[1].port;
        let mut inventory = "[webservers]\n".to_owned();
        for host in &self.hosts {
            if host.name == "data1" {
                inventory.push_str("\n[databases]\n\n[redis]\n");
            }
            inventory.push_str(&host.line());
        }
        let inventories = runner.join("inventories/production");
        fs::create_dir_all(inventories.join("group_vars")).unwrap();
        fs::write(inventories.join("hosts"), inventory).unwrap();
        let variables = format!(
            "ansible_host: 127.0.0.1\ndisk: {root}/disks/{{{{ inventory_hostname }}}}\ndeployment_environment: production\n\
             deployment_become: false\ndeployment_runtime: process\ndeployment_service_manager: pidfile\n\
             deployment_root: '{{{{ disk }}}}/opt'\ndeployment_state_file: '{{{{ disk }}}}/state.json'\n\
             deployment_marks_directory: '{{{{ disk }}}}/bad'\nbackend_image: ''\nfrontend_image: ''\nredis_port: {redis}\n\
             deployment_service_port: {redis}\ndeployment_redis_host: 127.0.0.1\ndeployment_nginx_url: 'http://127.0.0.1:{{{{ nginx_port }}}}'\n\
             deployment_nginx_test: [nginx, -t, -q, -p, {root}/nginx, -c, {nginx}]\n\
             deployment_backend_command: '{program} __app --role backend --port {{{{ backend_port }}}} --version {{{{ deployment_backend_version }}}} --faults {{{{ disk }}}}/faults'\n\
             deployment_frontend_command: '{program} __app --role frontend --port {{{{ frontend_port }}}} --version {{{{ deployment_frontend_version }}}} --backend 127.0.0.1:{{{{ backend_port }}}}'\n\
             deployment_service_environment: {{DATABASE_PASSWORD: {SENTINEL}-database}}\n\
             deployment_start_timeout: 20\ndeployment_health_retries: 8\ndeployment_health_delay: 0.25\ndeployment_minimum_free_mb: 1\n\
             deployment_disk_limit: 100\ndeployment_inode_limit: 100\ndeployment_memory_limit: 100\ndeployment_load_limit: 1000\n",
            nginx = nginx_config.display(),
            program = env!("CARGO_BIN_EXE_rappel"),
        );
        fs::write(inventories.join("group_vars/all.yml"), variables).unwrap();
    }

    /// Gives the hosts of a group other variables.
    pub(crate) fn vary(&self, group: &str, variables: &str) {
        fs::write(self.path(&format!("runner/inventories/production/group_vars/{group}.yml")), variables).unwrap();
    }

    /// A command on the primary runner, in a job of GitHub's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
        command.args(arguments).current_dir(self.path("runner")).env_clear().stdin(Stdio::null());
        for (name, value) in [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", text(&self.path("runner")).to_owned()),
            ("USER", "ci".to_owned()),
            ("RAPPEL_AGENT", text(&agent_script(self.root.path())).to_owned()),
            ("ANSIBLE_CONFIG", "/dev/null".to_owned()),
            ("ANSIBLE_PRIVATE_KEY_FILE", text(&self.hosts[0].sshd.login).to_owned()),
            ("RUNNER_NAME", "production-runner-01".to_owned()),
            ("AUTO_DEPLOY_TO_PRODUCTION", "true".to_owned()),
            ("PRODUCTION_SSH_PRIVATE_KEY", format!("{SENTINEL}-key")),
            ("PRODUCTION_SSH_USER", "ci".to_owned()),
            ("SLACK_WEBHOOK", format!("{}/services/{SENTINEL}-hook", self.slack.url)),
            ("GITHUB_TOKEN", format!("{SENTINEL}-token")),
            ("GITHUB_ACTOR", "alice".to_owned()),
            ("GITHUB_SHA", "0123abcd".to_owned()),
            ("GITHUB_REPOSITORY", REPOSITORY.to_owned()),
            ("GITHUB_SERVER_URL", "https://github.example".to_owned()),
            ("GITHUB_RUN_ID", "77".to_owned()),
            ("GITHUB_REF_NAME", "master".to_owned()),
            ("GITHUB_STEP_SUMMARY", text(&self.path("runner/summary.md")).to_owned()),
            ("GITHUB_OUTPUT", text(&self.path("runner/output")).to_owned()),
        ] {
            command.env(name, value);
        }
        command
    }

    pub(crate) fn rappel(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments))
    }

    /// Deploys `version` and keeps the event log.
    pub(crate) fn deploy(&self, version: &str, more: &[&str]) -> Done {
        self.rappel(&[&arguments(version).each_ref().map(String::as_str)[..], more].concat())
    }

    /// Begins to deploy `version`, and waits until its output, which is in the file, has `mark`.
    pub(crate) fn begin(&self, version: &str, more: &[&str], mark: &str) -> (Child, PathBuf) {
        let log = self.path(&format!("runner/log-{version}"));
        let mut command = self.command(&[&arguments(version).each_ref().map(String::as_str)[..], more].concat());
        let file = fs::File::create(&log).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let began = Instant::now();
        while !fs::read_to_string(&log).unwrap().contains(mark) {
            assert!(began.elapsed() < Duration::from_mins(1), "`{mark}` did not come: {}", fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        (child, log)
    }

    /// A file of the runner.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("runner").join(name)).unwrap_or_default()
    }

    /// What the web servers answer as their versions, through Nginx's backend and by the state file. They must be the same.
    pub(crate) fn versions(&self) -> [String; 3] {
        [0, 1, 2].map(|index| {
            let host = &self.hosts[index];
            let running = get(&format!("http://127.0.0.1:{}/version", host.backend))["version"].as_str().unwrap_or("nothing").to_owned();
            let state = host.state();
            let recorded = state["current_version"].as_str().map_or("nothing", |image| image.rsplit(':').next().unwrap_or(image));
            assert_eq!(running, recorded, "{} runs something else than it says", host.name);
            running
        })
    }

    /// Makes `version` unwell on `host`.
    pub(crate) fn sicken(&self, host: &str, version: &str) {
        fs::write(self.path("disks").join(host).join("faults"), format!("{version}\n")).unwrap();
    }

    /// That no secret is in anything that was written or sent, but for the files that are there to hold it, and that all requests
    /// were good.
    pub(crate) fn is_clean(&self, done: &[&Done]) {
        for done in done {
            assert!(!done.text.contains(SENTINEL), "a secret is in the output: {}", around(&done.text));
        }
        for message in self.github.issues().iter().chain(&self.slack.messages()) {
            assert!(!message.to_string().contains(SENTINEL), "a secret was sent: {message}");
        }
        let metrics = ureq::get(&format!("{}/metrics", self.monitoring.gateway())).call().unwrap().body_mut().read_to_string().unwrap();
        assert!(!metrics.contains(SENTINEL), "a secret is in the metrics");
        let mut files = Vec::new();
        walk(self.root.path(), &mut files);
        for file in files {
            let holds = fs::read(&file).unwrap_or_default().windows(SENTINEL.len()).any(|bytes| bytes == SENTINEL.as_bytes());
            let meant = file.ends_with("group_vars/all.yml") || is_private(&file);
            assert!(!holds || meant, "a secret is in {}", file.display());
        }
        assert_eq!(self.github.refused(), Vec::<String>::new());
        assert_eq!(self.slack.refused(), Vec::<String>::new());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The applications were left behind by their sessions; each is known by its own number.
        for host in &self.hosts {
            host.kill_programs();
        }
    }
}

impl Host {
    async fn start(name: &str, root: &Path) -> Option<Self> {
        let disk = root.join("disks").join(name);
        fs::create_dir_all(&disk).unwrap();
        let (folder, place) = (root.join("sshd").join(name), disk.display());
        let extra = format!("SetEnv XDG_CACHE_HOME={place}/cache RAPPEL_STATE_DIR={place}/journal RAPPEL_TEST_HOST={place}");
        let sshd = Sshd::start(&folder, &extra).await?;
        let [backend, frontend, nginx] = [free_port(), free_port(), free_port()];
        Some(Self { name: name.to_owned(), disk, sshd, backend, frontend, nginx })
    }

    /// The host's line of the inventory.
    fn line(&self) -> String {
        let sshd = &self.sshd;
        fs::write(sshd.login.with_file_name("known_hosts"), sshd.known()).unwrap();
        format!(
            "{} ansible_port={} ansible_user={} backend_port={} frontend_port={} nginx_port={} \
             deployment_authorized_keys={} ansible_ssh_args='-F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none -o IdentityAgent=none'\n",
            self.name,
            sshd.port,
            sshd.user,
            self.backend,
            self.frontend,
            self.nginx,
            sshd.authorized.display(),
            sshd.login.with_file_name("known_hosts").display()
        )
    }

    /// The state file.
    pub(crate) fn state(&self) -> Json {
        serde_json::from_str(&fs::read_to_string(self.disk.join("state.json")).unwrap_or_default()).unwrap_or_default()
    }

    /// Cuts the power: sshd and its sessions, the agent, all programs.
    pub(crate) fn die(&mut self) {
        self.sshd.die();
        self.kill_programs();
    }

    /// Ends what was started on the host, also what its session has left behind.
    fn kill_programs(&self) {
        let mark = format!("RAPPEL_TEST_HOST={}\0", self.disk.display());
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.windows(mark.len()).any(|bytes| bytes == mark.as_bytes())
                && let Some(id) = rustix::process::Pid::from_raw(id)
            {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
    }
}

fn arguments(version: &str) -> [String; 6] {
    ["deploy", "production", &format!("backend_image=shop:{version}"), &format!("frontend_image=web:{version}"), "--record", "events.jsonl"]
        .map(str::to_owned)
}

pub(crate) fn finish(mut command: Command) -> Done {
    let out = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    Done { code: out.status.code().unwrap_or(-1), text }
}

/// Waits for a child, but not for ever.
pub(crate) fn wait(child: &mut Child, log: &Path) -> Done {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Done { code: status.code().unwrap_or(-1), text: fs::read_to_string(log).unwrap() };
        }
        if began.elapsed() > Duration::from_secs(90) {
            let _ = child.kill();
            panic!("it does not end: {}", fs::read_to_string(log).unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn around(text: &str) -> String {
    text.lines().filter(|line| line.contains(SENTINEL)).collect::<Vec<_>>().join("\n")
}

/// Whether nobody but the owner can read the file, by its mode or that of a folder above it.
fn is_private(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let closed = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode().trailing_zeros() >= 6);
    let journal = file.ancestors().find(|folder| folder.ends_with("journal"));
    file.extension().is_some_and(|kind| kind == "env") && closed(file) || journal.is_some_and(closed)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, files),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => {}
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
