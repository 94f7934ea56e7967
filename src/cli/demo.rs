//! `rappel demo`: a fleet of SSH hosts inside this program, a deployment, a deployment that fails on one host, and the proof
//! that the fleet is whole afterwards. Needs no root, no fleet and no other software.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;

use super::{Outcome, Stopped};
use crate::event::Exit;
use crate::lab::Fleet;
use crate::wire::Digest;

/// Shows a deployment and a rollback on a fleet of its own
#[derive(Args, Debug)]
#[command(after_help = "Example:
  rappel demo --hosts 5")]
pub(super) struct DemoOptions {
    /// How many hosts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=50))]
    hosts: u16,
    /// Keep the files of the hosts in this new directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

macro_rules! shipped {
    ($($path:literal)*) => {
        /// The product's own playbooks, so that an installed program can show them too.
        const SHIPPED: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../", $path)))),*];
    };
}

shipped! {
    "inventories/lab/group_vars/all.yml"
    "playbooks/check-health.yml"
    "playbooks/roles/deployment/defaults/main.yml"
    "playbooks/roles/deployment/handlers/main.yml"
    "playbooks/roles/deployment/meta/main.yml"
    "playbooks/roles/deployment/tasks/container.yml"
    "playbooks/roles/deployment/tasks/converge.yml"
    "playbooks/roles/deployment/tasks/main.yml"
    "playbooks/roles/deployment/tasks/post-deploy-health-checks.yml"
    "playbooks/roles/deployment/tasks/process.yml"
    "playbooks/roles/deployment/tasks/record.yml"
    "playbooks/roles/deployment/tasks/restore-container.yml"
    "playbooks/roles/deployment/tasks/restore-process.yml"
    "playbooks/roles/deployment/tasks/restore.yml"
    "playbooks/roles/deployment/tasks/rollback-target.yml"
    "playbooks/roles/deployment/tasks/rollback.yml"
    "playbooks/roles/deployment/tasks/running.yml"
    "playbooks/roles/deployment/tasks/state.yml"
    "playbooks/roles/deployment/tasks/validate.yml"
    "playbooks/roles/deployment/templates/release.env.j2"
    "playbooks/roles/deployment/templates/service.sh.j2"
    "playbooks/roles/deployment/templates/service.unit.j2"
    "playbooks/roles/deployment/templates/start.sh.j2"
    "playbooks/roles/deployment/templates/state.json.j2"
    "playbooks/roles/deployment/vars/main.yml"
    "playbooks/rollback-production-safe.yml"
    "playbooks/rollback-production.yml"
    "playbooks/site.yml"
    "playbooks/validate-production-deploy.yml"
    "rappel.yml"
}

/// Runs the demonstration.
pub(super) fn run(options: &DemoOptions) -> Outcome {
    let temporary;
    let root = if let Some(keep) = &options.keep {
        fs::create_dir(keep).map_err(|error| Stopped::error(format!("cannot make `{}`: {error}", keep.display())))?;
        keep.clone()
    } else {
        temporary = tempfile::Builder::new().prefix("rappel-demo-").tempdir().map_err(|error| failed("make a directory", &error))?;
        temporary.path().to_owned()
    };
    let root = root.canonicalize().map_err(|error| failed("find the directory", &error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(crate::run::STACK)
        .build()
        .map_err(|error| failed("start the runtime", &error))?;
    let fleet =
        runtime.block_on(Fleet::start(options.hosts.into(), &root.join("hosts"))).map_err(|error| failed("start the hosts", &error))?;
    let story = Story::new(&root, &fleet).map_err(|error| failed("write the playbooks", &error));
    let outcome = story.and_then(|story| story.tell());
    runtime.block_on(fleet.stop());
    outcome
}

fn failed(what: &str, error: &io::Error) -> Stopped {
    Stopped::error(format!("cannot {what}: {error}"))
}

struct Story {
    root: PathBuf,
    program: PathBuf,
    hosts: Vec<Host>,
    begun: Instant,
}

struct Host {
    name: String,
    directory: PathBuf,
    backend: u16,
}

impl Story {
    fn new(root: &Path, fleet: &Fleet) -> io::Result<Self> {
        for (path, text) in SHIPPED {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            fs::write(path, text.replace("/tmp/rappel-lab", &root.join("deployed").display().to_string()))?;
        }
        let program = std::env::current_exe()?;
        let mut inventory = "[webservers]\n".to_owned();
        let mut hosts = Vec::new();
        for (index, host) in fleet.hosts().iter().enumerate() {
            let [backend, frontend] = [free_port()?, free_port()?];
            // Beside the host, because variables of a group would lose against `group_vars/all`.
            let ports = format!("ansible_port={} backend_port={backend} frontend_port={frontend}", host.port);
            inventory += &format!(
                "{} {ports} lab_number={} lab_program={}
",
                host.name,
                index + 1,
                program.display()
            );
            hosts.push(Host { name: host.name.clone(), directory: root.join("deployed").join(&host.name), backend });
        }
        inventory += "\n[databases]\n\n[redis]\n\n[lab:children]\nwebservers\ndatabases\nredis\n\n[lab:vars]\nansible_host=127.0.0.1\nansible_user=lab\n";
        inventory += &format!("ansible_ssh_private_key_file={}\nansible_ssh_args={}\n", fleet.key().display(), fleet.ssh_args());
        fs::write(root.join("inventories/lab/hosts"), inventory)?;
        for host in &hosts {
            fs::create_dir_all(&host.directory)?;
        }
        Ok(Self { root: root.to_owned(), program, hosts, begun: Instant::now() })
    }

    fn tell(&self) -> Outcome {
        say(&format!("{} SSH hosts run inside this program; their files are below {}", self.hosts.len(), self.root.display()));
        say("Deploy version 1.0.0 to all hosts: `rappel deploy lab backend_image=shop:1.0.0 frontend_image=web:1.0.0`");
        let first = self.deploy("1.0.0")?;
        if first != Some(0) {
            return Err(Stopped::error(format!("the first deployment ended with {first:?} instead of 0")));
        }
        let before = self.states();
        self.show(&before);
        let sick = self.hosts.get(1).or(self.hosts.first()).ok_or_else(|| Stopped::error("there is no host"))?;
        fs::write(sick.directory.join("faults"), "2.0.0\n").map_err(|error| failed("break a host", &error))?;
        say(&format!("Deploy version 2.0.0, which is not well on {}: the fleet must go back", sick.name));
        let second = self.deploy("2.0.0")?;
        let after = self.states();
        self.show(&after);
        let whole = after.iter().all(|state| state.version.as_deref() == Some("1.0.0"));
        if second != Some(3) || !whole || before.iter().zip(&after).any(|(before, after)| before.release != after.release) {
            return Err(Stopped::error(format!("the fleet is not whole: the second deployment ended with {second:?}")));
        }
        say(&format!(
            "Exit status 3: rolled back. Every host answers as version 1.0.0, and its release is byte for byte what it was. {:.1} s in all.",
            self.begun.elapsed().as_secs_f64()
        ));
        Ok(Exit::Success)
    }

    fn deploy(&self, version: &str) -> Result<Option<i32>, Stopped> {
        let status = Command::new(&self.program)
            .args(["deploy", "lab"])
            .arg(format!("backend_image=shop:{version}"))
            .arg(format!("frontend_image=web:{version}"))
            .current_dir(&self.root)
            .env("ANSIBLE_CONFIG", "/dev/null")
            .status()
            .map_err(|error| failed("start a deployment", &error))?;
        Ok(status.code())
    }

    fn states(&self) -> Vec<State> {
        self.hosts.iter().map(|host| State { version: version(host.backend), release: release(&host.directory) }).collect()
    }

    fn show(&self, states: &[State]) {
        let mut text = format!("{:<8} {:<10} release on disk\n", "host", "answers");
        for (host, state) in self.hosts.iter().zip(states) {
            let digest: String = state.release.chars().take(12).collect();
            text += &format!("{:<8} {:<10} {digest}\n", host.name, state.version.as_deref().unwrap_or("nothing"));
        }
        say(text.trim_end());
    }
}

struct State {
    version: Option<String>,
    release: String,
}

/// What a backend says of itself.
fn version(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let body = answer.split("\r\n\r\n").nth(1)?;
    let json: serde_json::Value = serde_json::from_str(body.trim()).ok()?;
    json.get("version")?.as_str().map(str::to_owned)
}

/// The digest of what is deployed: the current release and everything in it.
fn release(directory: &Path) -> String {
    let mut listing = String::new();
    let current = directory.join("opt/paws360/current");
    let target = fs::read_link(&current).map(|target| target.display().to_string()).unwrap_or_default();
    listing.push_str(&target);
    describe(&current, &mut listing);
    Digest::of(listing.as_bytes()).to_string()
}

fn describe(path: &Path, listing: &mut String) {
    let Ok(entries) = fs::read_dir(path) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        // What runs writes its number and its log; they are no part of a release.
        if path.extension().is_some_and(|ending| ending == "pid" || ending == "log") {
            continue;
        }
        if path.is_dir() {
            describe(&path, listing);
        } else if let Ok(bytes) = fs::read(&path) {
            listing.push_str(&format!("{} {}\n", path.display(), Digest::of(&bytes)));
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[expect(clippy::print_stdout, reason = "the story is what the command is for")]
fn say(text: &str) {
    println!("\n== {}", text.replace('\n', "\n   "));
    // What the deployment prints comes from another process: the order must hold.
    let _ = io::stdout().flush();
}
