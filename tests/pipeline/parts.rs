//! Servers from Debian's packages, each with a configuration, a folder and a port of its own, ended by their own process ids.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::support::port::free_port;

/// A program that ends with the test.
pub struct Server {
    pub port: u16,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a program is; `None`, and a word about it, where it is not installed.
pub fn find(program: &str, package: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    if found.is_none() {
        println!("skipped: `{program}` is not installed (Debian's package {package})");
    }
    found
}

/// Every program that the stories need, or `None` and the names of those that are missing.
pub fn installed() -> Option<[PathBuf; 4]> {
    let wanted = [
        ("nginx", "nginx-light"),
        ("redis-server", "redis-server"),
        ("prometheus", "prometheus"),
        ("prometheus-pushgateway", "prometheus-pushgateway"),
    ];
    let found = wanted.map(|(program, package)| find(program, package));
    match found {
        [Some(nginx), Some(redis), Some(prometheus), Some(gateway)] => Some([nginx, redis, prometheus, gateway]),
        _ => None,
    }
}

/// Starts a server, and waits until it listens on its port.
pub fn start(program: &Path, arguments: &[String], folder: &Path, port: u16) -> Server {
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut server = Server { port, child: command.spawn().unwrap() };
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = server.child.try_wait().unwrap();
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(ended.is_none() && began.elapsed() < Duration::from_secs(30), "{} does not start: {}", program.display(), log());
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn folder(root: &Path, name: &str) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Redis, without persistence.
pub fn redis(program: &Path, root: &Path) -> Server {
    let (folder, port) = (folder(root, "redis"), free_port());
    let arguments = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned);
    start(program, &arguments, &folder, port)
}

/// Nginx: one port for each `(port, backend, frontend)`. Gives back its configuration file too.
pub fn nginx(program: &Path, root: &Path, sites: &[(u16, u16, u16)]) -> (Server, PathBuf) {
    let folder = folder(root, "nginx");
    let place = folder.display();
    let mut servers = String::new();
    for (port, backend, frontend) in sites {
        let _ = writeln!(
            servers,
            "  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{frontend}; }} \
             location /actuator/ {{ proxy_pass http://127.0.0.1:{backend}; }} }}"
        );
    }
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|kind| format!("  {kind}_temp_path {place}/{kind};\n")).collect();
    let file = folder.join("nginx.conf");
    let text = format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\nhttp {{\n  access_log off;\n{temporary}{servers}}}\n"
    );
    fs::write(&file, text).unwrap();
    let arguments = ["-p", &folder.display().to_string(), "-c", &file.display().to_string()].map(str::to_owned);
    (start(program, &arguments, &folder, sites[0].0), file)
}

/// A Pushgateway and the Prometheus that scrapes it.
pub struct Monitoring {
    gateway: Server,
    prometheus: Server,
}

impl Monitoring {
    /// Starts both, with the shipped rules.
    pub fn start(prometheus: &Path, gateway: &Path, root: &Path) -> Self {
        let push = free_port();
        let kept = folder(root, "pushgateway");
        // Debian's keeps what it has under /var/lib, for the next one to read.
        let options = [format!("--web.listen-address=127.0.0.1:{push}"), format!("--persistence.file={}", kept.join("pushed").display())];
        let gateway = start(gateway, &options, &kept, push);
        let (folder, port) = (folder(root, "prometheus"), free_port());
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/monitoring/prometheus/rules/deployment.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules}]\nscrape_configs:\n  \
             - {{job_name: push, honor_labels: true, static_configs: [{{targets: ['127.0.0.1:{push}']}}]}}\n"
        );
        fs::write(folder.join("prometheus.yml"), text).unwrap();
        let arguments = [
            format!("--config.file={}", folder.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Self { gateway, prometheus: start(prometheus, &arguments, &folder, port) }
    }

    pub fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway.port)
    }

    pub fn prometheus(&self) -> String {
        format!("http://127.0.0.1:{}", self.prometheus.port)
    }

    /// What a runner's exporter would say, by way of the Pushgateway; waits until Prometheus knows it.
    pub fn runner(&self, name: &str, status: u8, cpu: u8) {
        let labels = format!("{{environment=\"production\",runner=\"{name}\"}}");
        let text = format!("runner_status{labels} {status}\nrunner_cpu{labels} {cpu}\nrunner_memory{labels} 20\n");
        let url = format!("{}/metrics/job/runners/instance/{name}", self.gateway());
        ureq::put(&url).send(text).unwrap();
        self.shows(&format!("runner_status{labels}"), f64::from(status));
        self.shows(&format!("runner_cpu{labels}"), f64::from(cpu));
    }

    /// Waits until Prometheus gives `value` for `query`.
    pub fn shows(&self, query: &str, value: f64) {
        let began = Instant::now();
        let mut last = None;
        while began.elapsed() < Duration::from_secs(30) {
            last = self.query(query);
            if last == Some(value) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("Prometheus gives {last:?} for `{query}`, expected {value}");
    }

    /// Waits until every query of the shipped dashboard gives a number.
    pub fn fills_the_dashboard(&self) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/monitoring/grafana/dashboards/deployment-pipeline.json");
        let dashboard: Json = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap().replace("$environment", "production")).collect();
        assert!(queries.len() >= 10 && queries.iter().all(|query| !query.contains('$')), "{queries:?}");
        let began = Instant::now();
        while let Some(empty) = queries.iter().find(|query| self.query(query).is_none_or(f64::is_nan)) {
            assert!(began.elapsed() < Duration::from_secs(30), "nothing comes of `{empty}`");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The value of an instant query.
    pub fn query(&self, query: &str) -> Option<f64> {
        let url = format!("{}/api/v1/query", self.prometheus());
        let mut answer = ureq::get(&url).query("query", query).call().ok()?;
        let body: Json = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
        body.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
    }
}

/// The JSON that an address gives; null when it gives none.
pub fn get(url: &str) -> Json {
    let answer = ureq::get(url).config().timeout_global(Some(Duration::from_secs(3))).http_status_as_error(false).build().call();
    let text = answer.ok().and_then(|mut answer| answer.body_mut().read_to_string().ok()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(json!(null))
}
