//! The modules that talk to servers, each against a real one that the test starts: PostgreSQL, MariaDB, a Docker engine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::agent::{Agent, call, params};
use super::hull::prove;

/// A server that is stopped when the test ends.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    socket: PathBuf,
}

impl Server {
    /// Starts a program and waits for its socket; `None` if that does not come, which is said.
    fn start(what: &str, command: &mut Command, folder: tempfile::TempDir, socket: &str) -> Option<Self> {
        let socket = folder.path().join(socket);
        let log = folder.path().join("log");
        let output = std::fs::File::create(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn();
        let Ok(child) = child else {
            println!("skipped: {what}: it is not installed");
            return None;
        };
        let mut server = Self { child, folder, socket };
        let begun = Instant::now();
        while UnixStream::connect(&server.socket).is_err() {
            if begun.elapsed() > Duration::from_secs(40) || server.child.try_wait().unwrap().is_some() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                println!("skipped: {what}: it does not start here: {}", said.lines().last().unwrap_or_default());
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where programs of Debian's PostgreSQL are.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|folder| folder.join("postgres").is_file()).max()
}

fn postgres() -> Option<Server> {
    let Some(programs) = postgres_programs() else {
        println!("skipped: postgresql_db, postgresql_user, postgresql_query, postgresql_ping: PostgreSQL is not installed");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap().to_owned();
    let owned = Command::new("chown").args(["postgres", &place]).status().is_ok_and(|status| status.success());
    let initdb = programs.join("initdb");
    let mut made = Command::new("runuser");
    made.args(["-u", "postgres", "--", initdb.to_str().unwrap(), "-A", "trust", "-D", &format!("{place}/data")]);
    if !(owned && ran(&mut made)) {
        println!("skipped: postgresql_*: no cluster can be made here");
        return None;
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--", programs.join("postgres").to_str().unwrap(), "-D", &format!("{place}/data")]);
    command.args(["-k", &place, "-c", "listen_addresses="]);
    Server::start("postgresql_*", &mut command, folder, ".s.PGSQL.5432")
}

fn ran(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn said(command: &mut Command) -> String {
    String::from_utf8_lossy(&command.stdin(Stdio::null()).output().unwrap().stdout).into_owned()
}

#[test]
fn postgresql() {
    let Some(server) = postgres() else { return };
    let socket = server.folder.path().to_str().unwrap().to_owned();
    let journal = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(journal.path());
    let with = |mut given: Json| {
        given["login_unix_socket"] = socket.as_str().into();
        given
    };
    let begun = Instant::now();
    while !ran(Command::new("psql").args(["-U", "postgres", "-h", &socket, "-c", "select 1"])) && begun.elapsed() < Duration::from_secs(20)
    {
        std::thread::sleep(Duration::from_millis(100));
    }
    let sql = |text: &str| said(Command::new("psql").args(["-U", "postgres", "-h", &socket, "-AtXc", text]));
    let databases = || sql("select datname, encoding from pg_database order by 1");
    let roles = || sql("select rolname, rolcreatedb, rolvaliduntil from pg_roles order by 1");
    let alive = agent.run(call("postgresql_ping", params(with(json!({}))))).unwrap();
    assert!(!alive.changed && alive.data["is_available"] == true.into());
    prove(&mut agent, "postgresql_db", &with(json!({"name": "shop", "encoding": "UTF8", "template": "template0"})), &databases);
    prove(&mut agent, "postgresql_user", &with(json!({"name": "web", "role_attr_flags": "CREATEDB"})), &roles);
    assert!(agent.run(call("postgresql_user", params(with(json!({"name": "web"}))))).unwrap().changed);
    let rights = || sql("select coalesce(datacl, acldefault('d', datdba)) from pg_database where datname = 'postgres'");
    prove(
        &mut agent,
        "postgresql_privs",
        &with(json!({"login_db": "postgres", "roles": "web", "type": "database", "privs": "CREATE"})),
        &rights,
    );
    let extensions = || sql("select extname from pg_extension order by 1");
    if sql("select count(*) from pg_available_extensions where name = 'pgcrypto'").trim() == "1" {
        prove(&mut agent, "postgresql_ext", &with(json!({"name": "pgcrypto", "login_db": "postgres"})), &extensions);
    } else {
        println!("skipped: postgresql_ext: there is no extension to be had");
    }
    let mut query = |text: &str, check: bool| {
        let mut asked = call("postgresql_query", params(with(json!({"query": text}))));
        asked.check = check;
        agent.run(asked).unwrap()
    };
    assert!(!query("select 1 as one", false).changed);
    query("create table goods (id int)", true);
    assert_eq!(sql("select count(*) from pg_tables where tablename = 'goods'").trim(), "0", "check mode made a table");
    assert!(query("create table goods (id int)", false).changed);
    let rows = serde_json::to_value(query("select 1 as one", false).data).unwrap();
    assert_eq!((rows["rowcount"].as_i64(), rows["query_result"][0]["one"].to_string().trim_matches('"')), (Some(1), "1"));
}

#[test]
fn mariadb() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--datadir={}", folder.path().join("data").display());
    let made = ["mariadb-install-db", "mysql_install_db"].into_iter().any(|program| {
        ran(Command::new(program).args([
            "--no-defaults",
            "--user=root",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            &data,
        ]))
    });
    if !made {
        return println!("skipped: mysql_db, mysql_user: MariaDB is not installed");
    }
    let socket = folder.path().join("socket");
    let mut command = Command::new("mariadbd");
    command.args(["--no-defaults", "--user=root", "--skip-networking", &data, &format!("--socket={}", socket.display())]);
    command.arg(format!("--pid-file={}", folder.path().join("pid").display()));
    let Some(server) = Server::start("mysql_db, mysql_user", &mut command, folder, "socket") else { return };
    let journal = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(journal.path());
    let with = |mut given: Json| {
        given["login_unix_socket"] = server.socket.to_str().unwrap().into();
        given["login_user"] = "root".into();
        given
    };
    let sql = |text: &str| {
        said(Command::new("mariadb").args(["--no-defaults", "-uroot", "-BN", "-S", server.socket.to_str().unwrap(), "-e", text]))
    };
    let databases = || sql("show databases");
    prove(&mut agent, "mysql_db", &with(json!({"name": "shop", "encoding": "utf8mb4"})), &databases);
    assert!(agent.run(call("mysql_db", params(with(json!({"name": "shop"}))))).unwrap().changed);
    let users = || sql("select user, host from mysql.user order by 1, 2") + &sql("show grants for web@localhost");
    prove(&mut agent, "mysql_user", &with(json!({"name": "web", "priv": "shop.*:SELECT,INSERT", "check_implicit_admin": true})), &users);
}

fn engine() -> Option<Server> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut command = Command::new("dockerd");
    command.args(["-H", &format!("unix://{}", at("socket")), "--data-root", &at("data"), "--exec-root", &at("exec"), "-p", &at("pid")]);
    command.args(["--bip", "10.231.77.1/24", "--ip-forward=false", "--ip-masq=false", "--iptables=false", "--storage-driver=vfs"]);
    let server =
        Server::start("docker_image, docker_network, docker_container, docker_login, docker_compose_v2", &mut command, folder, "socket")?;
    // An image of nothing.
    let import = "d=$(mktemp -d); tar -c -C \"$d\" . | docker -H unix://\"$0\" import - rappel-tiny:1; rmdir \"$d\"";
    if !ran(Command::new("sh").args(["-c", import, server.socket.to_str().unwrap()])) {
        println!("skipped: docker_*: the engine imports no image");
        return None;
    }
    Some(server)
}

/// A registry that lets everybody in; gives its address.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            let answer =
                "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            let _ = stream.write_all(answer.as_bytes()); // whoever tries TLS first has gone
        }
    });
    address
}

#[test]
fn docker() {
    let Some(server) = engine() else { return };
    let host = format!("unix://{}", server.socket.display());
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(journal.path());
    let with = |mut given: Json| {
        given["docker_host"] = host.as_str().into();
        given
    };
    let docker = |words: &[&str]| said(Command::new("docker").args(["-H", &host]).args(words));
    let networks = || docker(&["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Internal}}"]);
    prove(
        &mut agent,
        "docker_network",
        &with(json!({"name": "shop", "internal": true, "ipam_config": [{"subnet": "10.231.78.0/24"}]})),
        &networks,
    );
    let images = || docker(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    prove(&mut agent, "docker_image", &with(json!({"name": "rappel-tiny:1", "repository": "rappel-other:2", "source": "local"})), &images);
    let containers = || docker(&["ps", "-a", "--format", "{{.Names}} {{.Image}} {{.State}} {{.Command}}"]);
    let made = json!({"name": "web", "image": "rappel-tiny:1", "command": ["/run"], "state": "present", "env": {"A": "1"}, "pull": false, "network_mode": "none"});
    prove(&mut agent, "docker_container", &with(made), &containers);
    let config = root.path().join("docker/config.json");
    let given = json!({"registry_url": registry(), "username": "ci", "password": "secret", "config_path": config});
    prove(&mut agent, "docker_login", &with(given), &|| std::fs::read_to_string(&config).unwrap_or_default());
    compose(&mut agent, with(json!({"project_src": root.path(), "state": "present"})), root.path());
}

fn compose(agent: &mut Agent, given: Json, root: &Path) {
    std::fs::write(root.join("compose.yml"), "services: {web: {image: 'rappel-tiny:1', command: [/run], network_mode: none}}\n").unwrap();
    if !ran(Command::new("docker").args(["compose", "version"])) {
        println!("skipped: docker_compose_v2: docker has no `compose` here");
        let failure = agent.run(call("docker_compose_v2", params(given))).unwrap_err();
        assert!(failure.msg.contains("compose"), "{}", failure.msg);
        return;
    }
    let mut predicted = call("docker_compose_v2", params(given));
    predicted.check = true;
    assert!(agent.run(predicted).unwrap().changed, "check mode predicts");
}
