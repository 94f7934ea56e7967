//! A host for one test: this machine's files under a layer that is thrown away, with its own mounts and its own name, and an agent
//! inside. What a module does to `/etc` or to the packages is done there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rappel::wire::Recording;
use serde_json::Value as Json;

use super::agent::{Agent, call, params};
use super::tree;
use crate::support::worker;

const START: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/u /mnt/w /mnt/m
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m
mount --rbind /dev /mnt/m/dev
mount --rbind /proc /mnt/m/proc
mount -t tmpfs -o mode=1777 tmpfs /mnt/m/tmp
mount -t tmpfs tmpfs /mnt/m/run
touch /mnt/m/agent
mount --bind "$1" /mnt/m/agent
exec chroot /mnt/m /agent __agent
"#;

pub struct Hull {
    child: Child,
    agent: Option<Agent>,
    /// Where its files are, seen from here.
    pub root: PathBuf,
}

/// What a call must leave as it was, and bring back.
pub struct Law<'a> {
    pub module: &'a str,
    pub params: Json,
    /// Folders and files of which every byte counts.
    pub watch: &'a [&'a str],
    /// A command whose output counts.
    pub ask: &'a [&'a str],
}

impl Hull {
    /// `None` where such a host cannot be had, which is said; `what` is what is not tested then.
    pub fn start(what: &str) -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["-m", "-u", "sh", "-c", START, "sh"]).arg(worker());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = spawned else {
            println!("skipped: {what}: this machine has no `unshare`");
            return None;
        };
        let (requests, mut replies) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut first = [0];
        if std::io::Read::read_exact(&mut replies, &mut first).is_err() {
            println!("skipped: {what}: no overlay can be mounted here");
            child.wait().unwrap();
            return None;
        }
        let root = PathBuf::from(format!("/proc/{}/root", child.id()));
        let agent = Agent::on(Box::new(requests), Box::new(std::io::Read::chain(std::io::Cursor::new(first), replies)));
        Some(Self { child, agent: Some(agent), root })
    }

    pub fn agent(&mut self) -> &mut Agent {
        self.agent.as_mut().unwrap()
    }

    /// Runs a program inside; whether it succeeded, and all that it printed.
    pub fn run(&self, words: &[&str]) -> (bool, String) {
        let id = self.child.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &id, "--mount", "--uts", "--root", "--wd=/", "--"]).args(words).stdin(Stdio::null());
        let ran = command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive").output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    }

    pub fn call(&mut self, module: &str, given: Json) -> rappel::wire::Outcome {
        self.agent().run(call(module, params(given))).unwrap_or_else(|failure| panic!("{module}: {}", failure.msg))
    }

    fn state(&self, law: &Law<'_>) -> String {
        let mut state = if law.ask.is_empty() { String::new() } else { self.run(law.ask).1 };
        for place in law.watch {
            let path = self.root.join(place.trim_start_matches('/'));
            if path.exists() {
                state.push_str(&format!("\n{place}: {:#?}", tree::snapshot(&path)));
            }
        }
        state
    }

    /// Proves the law inside.
    pub fn prove(&mut self, law: &Law<'_>) {
        let mut agent = self.agent.take().unwrap();
        prove(&mut agent, law.module, &law.params, &|| self.state(law));
        self.agent = Some(agent);
    }

    /// Writes a file inside.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// Check mode predicts a change and touches nothing; the first run changes, the second does not; undo brings all back that
/// `state` tells of.
pub fn prove(agent: &mut Agent, name: &str, given: &Json, state: &dyn Fn() -> String) {
    let before = state();
    let mut predicted = call(name, params(given.clone()));
    predicted.check = true;
    let predicted = agent.run(predicted).unwrap_or_else(|failure| panic!("{name}: check mode failed: {}", failure.msg));
    assert!(predicted.changed, "{name}: check mode predicted no change");
    assert_eq!(state(), before, "{name}: check mode touched something");
    // A host knows a transaction by its name, and what is over does not begin again.
    let transaction = agent.unused(name);
    agent.begin(&transaction);
    let mut run = |step| {
        let mut again = call(name, params(given.clone()));
        again.transaction = Some(Recording { id: transaction.clone(), step, undo: None });
        agent.run(again).unwrap_or_else(|failure| panic!("{name}: run {step} failed: {} {:?}", failure.msg, failure.data))
    };
    assert!(run(1).changed, "{name}: the first run changed nothing");
    assert!(!run(2).changed, "{name}: the second run changed something");
    assert_ne!(state(), before, "{name}: nothing that the law watches is different");
    let report = agent.abort(&transaction);
    assert_eq!((report.conflicts, report.failures), (vec![], vec![]), "{name}: undo");
    assert_eq!(state(), before, "{name}: undo did not bring everything back");
}

impl Drop for Hull {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.agent.take());
        let _ = self.child.wait();
    }
}
