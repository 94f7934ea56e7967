//! The same deployments on a real Docker Engine, with images that are built here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::World;
use super::parts::find;

/// A Docker Engine of the test's own.
struct Engine {
    folder: PathBuf,
    /// The client, with the address of this engine.
    docker: PathBuf,
    daemon: Child,
}

impl Engine {
    /// `None`, and the reason, where there is none, or it cannot run.
    fn start(folder: &Path) -> Option<Self> {
        let (client, daemon) = (find("docker", "docker.io")?, find("dockerd", "docker.io")?);
        if !rustix::process::geteuid().is_root() {
            println!("skipped: an engine of one's own needs root");
            return None;
        }
        fs::create_dir_all(folder).unwrap();
        let place = folder.display();
        let docker = folder.join("docker");
        fs::write(&docker, format!("#!/bin/sh\nexec {} -H unix://{place}/socket \"$@\"\n", client.display())).unwrap();
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(daemon);
        command.args(["-H", &format!("unix://{place}/socket"), "-p", &format!("{place}/pid")]);
        command.args(["--data-root", &format!("{place}/data"), "--exec-root", &format!("{place}/exec")]);
        // A subnet that nobody else is likely to have, and nothing of the machine's own network is changed.
        let subnet = format!("10.213.{}.1/24", std::process::id() % 250);
        command.args(["--bip", &subnet, "--ip-forward=false", "--ip-masq=false"]);
        let daemon = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut engine = Self { folder: folder.to_owned(), docker, daemon };
        let began = Instant::now();
        while !engine.client(&["version"]).status.success() {
            if engine.daemon.try_wait().unwrap().is_some() || began.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(folder.join("log")).unwrap();
                println!("skipped: no engine can be started here: {}", log.lines().last().unwrap_or_default());
                return None;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        engine.build_base();
        Some(engine)
    }

    fn client(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(&self.docker).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let out = self.client(arguments);
        assert!(out.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// An image of the application: this program, and the libraries that it needs.
    fn build_base(&self) {
        let tree = self.folder.join("tree");
        fs::create_dir_all(&tree).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_rappel"), tree.join("app")).unwrap();
        // What is only for debuggers makes the image many times as large; without `strip` it is just that.
        let _ = Command::new("strip").arg(tree.join("app")).status();
        let libraries = Command::new("ldd").arg(env!("CARGO_BIN_EXE_rappel")).output().unwrap();
        for path in String::from_utf8(libraries.stdout).unwrap().split_whitespace().filter(|word| word.starts_with('/')) {
            let target = tree.join(path.trim_start_matches('/'));
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(path, target).unwrap();
        }
        let mut tar = Command::new("tar").args(["-C", tree.to_str().unwrap(), "-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
        let import = Command::new(&self.docker).args(["import", "-", "base:1"]).stdin(tar.stdout.take().unwrap()).output().unwrap();
        assert!(tar.wait().unwrap().success() && import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    }

    /// The images of `version`, as the stories name them.
    fn build(&self, version: &str) {
        for (image, more) in [("shop", "\"backend\", \"--faults\", \"/disk/faults\""), ("web", "\"frontend\"")] {
            let folder = self.folder.join(format!("{image}-{version}"));
            fs::create_dir_all(&folder).unwrap();
            let entry = format!(
                "\"/app\", \"__app\", \"--port\", \"8080\", \"--address\", \"0.0.0.0\", \"--version\", \"{version}\", \"--role\", {more}"
            );
            fs::write(folder.join("Dockerfile"), format!("FROM base:1\nENTRYPOINT [{entry}]\n")).unwrap();
            self.done(&["build", "--quiet", "--tag", &format!("{image}:{version}"), folder.to_str().unwrap()]);
        }
    }

    /// What the inventory says, so that every "host" has containers of its own on this engine.
    fn variables(&self) -> String {
        format!(
            "deployment_runtime: docker\ndeployment_docker: {}\ndeployment_application: 'shop-{{{{ inventory_hostname }}}}'\n\
             deployment_backend_container_port: 8080\ndeployment_frontend_container_port: 8080\ndeployment_stop_seconds: 1\n\
             deployment_backend_docker_arguments: '--volume {{{{ disk }}}}:/disk:ro'\n\
             deployment_service_environment: {{APP_BACKEND: '10.213.{}.1:{{{{ backend_port }}}}'}}\n",
            self.docker.display(),
            std::process::id() % 250
        )
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let containers = String::from_utf8(self.client(&["ps", "--all", "--quiet"]).stdout).unwrap();
        let mut remove = vec!["rm", "--force"];
        remove.extend(containers.split_whitespace());
        self.client(&remove);
        if let Some(process) = rustix::process::Pid::from_raw(self.daemon.id().cast_signed()) {
            // Its own end takes the network and the mounts away.
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_deployed_upgraded_and_put_back_on_a_real_engine() {
    let folder = tempfile::tempdir().unwrap();
    let Some(engine) = Engine::start(&folder.path().join("engine")) else { return };
    let Some(world) = World::new().await else { return };
    world.vary("webservers", &engine.variables());
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        engine.build(version);
    }
    let all = |version: &str| [(); 3].map(|()| version.to_owned());
    let labels = |version: &str| {
        let shown = engine.done(&["ps", "--filter", &format!("ancestor=shop:{version}"), "--format", "{{.Names}}"]);
        shown.lines().count()
    };
    let first = world.deploy("1.0.0", &[]);
    assert_eq!((first.code, world.versions(), labels("1.0.0")), (0, all("1.0.0"), 3), "{}", first.text);
    let again = world.deploy("1.0.0", &[]);
    assert!(again.code == 0 && again.text.contains("every host is on this release, and healthy"), "{}", again.text);
    let upgrade = world.deploy("1.1.0", &[]);
    assert_eq!((upgrade.code, world.versions(), labels("1.1.0")), (0, all("1.1.0"), 3), "{}", upgrade.text);
    world.sicken("web2", "2.0.0");
    let sick = world.deploy("2.0.0", &[]);
    assert_eq!((sick.code, world.versions(), labels("2.0.0")), (3, all("1.1.0"), 0), "{}", sick.text);
    let back = world.rappel(&["rollback", "production"]);
    assert_eq!((back.code, world.versions(), labels("1.0.0")), (0, all("1.0.0"), 3), "{}", back.text);
    let missing = world.deploy("9.9.9", &[]);
    assert_ne!(missing.code, 0, "there is no such image: {}", missing.text);
    assert_eq!(world.versions(), all("1.0.0"), "{}", missing.text);
    world.is_clean(&[&first, &again, &upgrade, &sick, &back, &missing]);
}
