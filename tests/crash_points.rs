//! Crash points: the program is killed at each of them, on each side, and a recovery leaves the fleet old or new, byte for byte.
//!
//! On a host, every line of the journal, every effect of an undo, every request that is taken up and every answer that was given
//! is a point, counted over all agents that run there; on the controller, every request that goes out and every answer that comes
//! in. Usually one point in five is tried; the ignored tests try all. [`real`] takes a sample on OpenSSH servers.

mod real;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rappel::lab::Fleet;
use tempfile::TempDir;

const HOSTS: usize = 3;
/// More points than there are: the walk has to find its end before.
const MOST: u32 = 200;

const PLAYBOOK: &str = r#"
- hosts: lab
  gather_facts: false
  tasks:
    - vars: {rappel_transaction: {confirm_within: 0}}
      block:
        - copy: {content: "new\n", dest: "{{ lookup('env', 'TREES') }}/{{ inventory_hostname }}/app/conf", mode: "0600"}
        - file: {path: "{{ lookup('env', 'TREES') }}/{{ inventory_hostname }}/app/two", state: directory, mode: "0755"}
        - file: {path: "{{ lookup('env', 'TREES') }}/{{ inventory_hostname }}/app/one", state: absent}
        - file: {src: two, dest: "{{ lookup('env', 'TREES') }}/{{ inventory_hostname }}/app/current", state: link, force: true}
        - copy: {src: large, dest: "{{ lookup('env', 'TREES') }}/{{ inventory_hostname }}/app/two/large", mode: "0644"}
"#;
/// Too large to come along with its call.
const LARGE: usize = 100_000;

struct World {
    folder: TempDir,
    homes: Vec<PathBuf>,
    /// The hosts, when they are in this process.
    _fleet: Option<Fleet>,
}

type Tree = BTreeMap<String, String>;

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::start(HOSTS, &folder.path().join("fleet")).await.unwrap();
        let homes = fleet.hosts().iter().map(|host| host.home.clone()).collect();
        let inventory = fleet.inventory();
        Self::over(folder, homes, &inventory, Some(fleet))
    }

    fn over(folder: TempDir, homes: Vec<PathBuf>, inventory: &str, fleet: Option<Fleet>) -> Self {
        let root = folder.path();
        fs::write(root.join("hosts"), inventory).unwrap();
        fs::write(root.join("site.yml"), PLAYBOOK).unwrap();
        fs::write(root.join("large"), vec![b'x'; LARGE]).unwrap();
        let environment = "environments:\n  test:\n    inventory: hosts\n    hosts: lab\n    become_root: false\n    \
             playbooks: {deploy: site.yml, rollback: site.yml}\n    state_file: /nonexistent/{host}\n    \
             coordinator_directory: COORDINATOR\n";
        fs::write(root.join("rappel.yml"), environment.replace("COORDINATOR", &root.join("coordinator").display().to_string())).unwrap();
        let agent = root.join("agent");
        let script = format!(
            "#!/bin/sh\n# {}\nRAPPEL_CRASH_FILE=${{RAPPEL_TEST_HOST:-$HOME}}/crash exec {} __agent \"$@\"\n",
            root.display(),
            env!("CARGO_BIN_EXE_rappel")
        );
        fs::write(&agent, script).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, homes, _fleet: fleet }
    }

    fn home(&self, host: usize) -> &Path {
        &self.homes[host]
    }

    /// Every host as it was before.
    fn reset(&self) {
        for host in 0..HOSTS {
            let home = self.home(host);
            for gone in ["app", ".local", "crash"] {
                let _ = fs::remove_dir_all(home.join(gone));
                let _ = fs::remove_file(home.join(gone));
            }
            fs::create_dir_all(home.join("app/one")).unwrap();
            fs::write(home.join("app/conf"), "old\n").unwrap();
            fs::write(home.join("app/one/data"), "precious\n").unwrap();
            symlink("one", home.join("app/current")).unwrap();
        }
    }

    async fn rappel(&self, arguments: &[&str], frame: Option<u32>) -> (Option<i32>, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rappel"));
        command.args(arguments).current_dir(self.folder.path()).env("RAPPEL_AGENT", self.folder.path().join("agent"));
        command.env("HOME", self.folder.path()).env("TREES", self.folder.path().join("fleet")).kill_on_drop(true);
        if let Some(frame) = frame {
            command.env("RAPPEL_CRASH_FRAME", frame.to_string());
        }
        let done = tokio::time::timeout(Duration::from_secs(120), command.output()).await.unwrap().unwrap();
        (done.status.code(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
    }

    /// Deploys and dies where it is told to, recovers, and looks.
    async fn one(&self, what: &str, frame: Option<u32>) -> Option<i32> {
        let (code, said) = self.rappel(&["play", "-i", "hosts", "site.yml"], frame).await;
        let mut recovered = (None, String::new());
        for _ in 0..3 {
            recovered = self.rappel(&["recover", "test"], None).await;
            if recovered.0 == Some(0) {
                break;
            }
        }
        let trees: Vec<Tree> = (0..HOSTS).map(|host| tree(&self.home(host).join("app"))).collect();
        let whole = [old(), new()].iter().any(|wanted| trees.iter().all(|tree| tree == wanted));
        assert!(whole && recovered.0 == Some(0), "{what}: {trees:#?}\n{said}\n{}", recovered.1);
        let expected = if code == Some(0) { new() } else { trees[0].clone() };
        assert_eq!(trees[0], expected, "{what}: it said that all went well\n{said}");
        for host in 0..HOSTS {
            assert_eq!(leftovers(&self.home(host).join(".local/state/rappel")), Vec::<String>::new(), "{what}\n{said}\n{}", recovered.1);
        }
        code
    }
}

/// What a journal holds beside the records of transactions that are over, and what is needed to roll the last one back.
fn leftovers(journal: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in tree_paths(journal) {
        let inside = path.strip_prefix(journal).unwrap();
        let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
        let kept = match parts.as_slice() {
            ["transactions"] | ["transactions", _] | ["transactions", _, "log" | "lock" | "length" | "heartbeat" | "timer"] => true,
            ["transactions", id, "images", ..] => {
                let log = fs::read_to_string(journal.join("transactions").join(id).join("log")).unwrap();
                // One that died before its first line is there in name only.
                log.is_empty() || log.contains("\"committed\"")
            }
            _ => false,
        };
        if !kept {
            found.push(inside.display().to_string());
        }
    }
    found
}

fn tree_paths(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            found.extend(tree_paths(&path));
        }
        found.push(path);
    }
    found
}

fn entries(list: &[(&str, &str)]) -> Tree {
    list.iter().map(|(path, what)| ((*path).to_owned(), (*what).to_owned())).collect()
}

fn old() -> Tree {
    entries(&[("conf", "644 old\n"), ("current", "-> one"), ("one", "dir"), ("one/data", "644 precious\n")])
}

fn new() -> Tree {
    let large = format!("644 {}", "x".repeat(LARGE));
    entries(&[("conf", "600 new\n"), ("current", "-> two"), ("two", "dir"), ("two/large", &large)])
}

fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_dir() {
                folders.push(path.clone());
                "dir".to_owned()
            } else {
                format!("{:o} {}", meta.permissions().mode() & 0o777, fs::read_to_string(&path).unwrap())
            };
            found.insert(path.strip_prefix(root).unwrap().display().to_string(), what);
        }
    }
    found
}

async fn walk_host(host: usize, step: usize) {
    let world = World::new().await;
    for point in (1..MOST).step_by(step) {
        world.reset();
        let crash = world.home(host).join("crash");
        fs::write(&crash, point.to_string()).unwrap();
        world.one(&format!("host {host} died at point {point}"), None).await;
        if crash.exists() {
            println!("host {host}: {point} points or fewer");
            assert!(point > 10, "the points are not compiled in");
            return;
        }
    }
    panic!("the walk has no end");
}

async fn walk_controller(step: usize) {
    let world = World::new().await;
    for frame in (1..MOST).step_by(step) {
        world.reset();
        let code = world.one(&format!("the controller died at frame {frame}"), Some(frame)).await;
        if code.is_some() {
            println!("controller: {frame} points or fewer");
            assert!(frame > 10, "the points are not compiled in");
            return;
        }
    }
    panic!("the walk has no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_gone_for_good_is_given_up_when_somebody_says_so() {
    let world = World::new().await;
    let hosts = fs::read_to_string(world.folder.path().join("hosts")).unwrap();
    // The keeper of the decision is the first host; nothing listens where it was.
    let without = hosts.replacen("ansible_port=", "ansible_port=1 was_port=", 1);
    let advice = "with `--coordinator-lost` if it never will";
    let trees = || (1..HOSTS).map(|host| tree(&world.home(host).join("app"))).collect::<Vec<_>>();
    let mut saved = 0;
    for frame in (5..MOST).step_by(4) {
        world.reset();
        if world.rappel(&["play", "-i", "hosts", "site.yml"], Some(frame)).await.0.is_some() {
            break;
        }
        fs::write(world.folder.path().join("hosts"), &without).unwrap();
        let (code, said) = world.rappel(&["recover", "test"], None).await;
        assert!(code == Some(4) && said.contains(advice), "frame {frame}: {said}");
        // Agents end what was on its way to them when the controller died.
        let mut before = trees();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            match trees() {
                same if same == before => break,
                changed => before = changed,
            }
        }
        let (code, said) = world.rappel(&["recover", "test", "--coordinator-lost"], None).await;
        assert!(code == Some(1) && said.contains("there is nobody to ask: give `--yes`"), "frame {frame}: {code:?} {said}");
        assert!(before == trees(), "frame {frame}: something was touched without a yes");
        let (_, said) = world.rappel(&["recover", "test", "--coordinator-lost", "--yes"], None).await;
        assert!(!said.contains(advice), "frame {frame}: {said}");
        assert!([old(), new()].iter().any(|wanted| trees().iter().all(|tree| tree == wanted)), "frame {frame}: {:#?}\n{said}", trees());
        saved += usize::from(before != trees());
        fs::write(world.folder.path().join("hosts"), &hosts).unwrap();
    }
    assert!(saved > 0, "no host was ever waiting for a decision");
}

macro_rules! walks {
    ($($name:ident $all:ident $walk:ident($($host:literal)?);)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            $walk($($host,)? 5).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "takes minutes"]
        async fn $all() {
            $walk($($host,)? 1).await;
        }
    )*};
}

walks! {
    the_coordinator_host_may_die the_coordinator_host_may_die_anywhere walk_host(0);
    another_host_may_die another_host_may_die_anywhere walk_host(1);
    the_controller_may_die the_controller_may_die_anywhere walk_controller();
}
