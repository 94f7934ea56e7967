//! Modules that work through a program of the host, with that program: its state is asked before and after, so that the laws
//! hold for what no tree of files shows.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::agent::{Agent, call, params};

/// A host's program, called by a name in a folder of its own that comes first in `PATH`.
struct Host {
    folder: TempDir,
    /// What runs for it.
    children: Vec<Child>,
}

impl Drop for Host {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill(); // ended by itself, perhaps
            let _ = child.wait();
        }
    }
}

impl Host {
    /// `None` when `program` is not installed, which is said.
    fn with(program: &str) -> Option<Self> {
        let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status().unwrap().success();
        if !there {
            println!("skipped: {program} is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        Some(Self { folder, children: Vec::new() })
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Makes a program that is a line for the shell.
    fn script(&self, name: &str, line: &str) {
        self.file(&format!("bin/{name}"), &format!("#!/bin/sh\n{}\n", line.replace("ROOT", &self.folder.path().display().to_string())));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.at(&format!("bin/{name}")), mode).unwrap();
    }

    fn file(&self, name: &str, content: &str) {
        std::fs::write(self.at(name), content).unwrap();
    }

    /// What a shell prints, with the programs of this host.
    fn ask(&self, line: &str) -> String {
        let output = Command::new("sh").args(["-c", line]).env("PATH", self.path()).current_dir(self.folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self) -> String {
        format!("{}:/usr/sbin:/sbin:{}", self.at("bin"), std::env::var("PATH").unwrap())
    }

    fn call(&self, module: &str, given: &Json) -> rappel::wire::Call {
        let text = given.to_string().replace("ROOT", &self.folder.path().display().to_string());
        let environment = vec![("PATH".to_owned(), self.path())];
        rappel::wire::Call { environment, ..call(module, params(serde_json::from_str(&text).unwrap())) }
    }

    /// Proves the laws for a call; `state` is a line for the shell that tells what is to change.
    fn prove(&self, module: &str, given: &Json, state: &str) {
        let journal = tempfile::tempdir().unwrap();
        let mut agent = Agent::start(journal.path());
        let before = self.ask(state);
        let predicted = agent.run(rappel::wire::Call { check: true, ..self.call(module, given) }).unwrap();
        assert!(predicted.changed, "{module} {given}: check mode predicts a change");
        assert_eq!(self.ask(state), before, "{module} {given}: check mode touches nothing");
        agent.begin("t1");
        let mut run = |step| {
            let transaction = Some(rappel::wire::Recording { id: "t1".into(), step, undo: None });
            agent
                .run(rappel::wire::Call { transaction, ..self.call(module, given) })
                .unwrap_or_else(|failure| panic!("{module} {given}: {failure:?}"))
        };
        assert!(run(1).changed, "{module} {given}: the first run changes");
        assert_ne!(self.ask(state), before, "{module} {given}: the first run does something");
        assert!(!run(2).changed, "{module} {given}: the second run changes nothing");
        let report = agent.abort("t1");
        assert_eq!((report.conflicts, report.failures, report.impossible), (vec![], vec![], vec![]), "{module} {given}");
        assert_eq!(self.ask(state), before, "{module} {given}: undone");
    }

    /// Runs it once, outside of any transaction.
    fn run(&self, module: &str, given: &Json) -> Result<rappel::wire::Outcome, rappel::wire::Failure> {
        let journal = tempfile::tempdir().unwrap();
        Agent::start(journal.path()).run(self.call(module, given))
    }

    fn wait_for(&self, line: &str) {
        let began = Instant::now();
        while self.ask(line).trim() != "yes" {
            assert!(began.elapsed() < Duration::from_secs(20), "`{line}` never said yes");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn access_lists() {
    let Some(host) = Host::with("setfacl") else { return };
    std::fs::create_dir_all(host.at("d/sub")).unwrap();
    host.file("d/f", "");
    let state = "getfacl -R d";
    if host.ask("setfacl -m u:daemon:r d && setfacl -x u:daemon d && setfacl -b d && echo yes") != "yes\n" {
        println!("skipped: the file system has no access lists");
        return;
    }
    host.prove("acl", &json!({"path": "ROOT/d/f", "entity": "daemon", "etype": "user", "permissions": "rw", "state": "present"}), state);
    host.prove("acl", &json!({"path": "ROOT/d", "entry": "default:user:daemon:rwX", "recursive": true, "state": "present"}), state);
    host.ask("setfacl -m u:daemon:r d/f");
    host.prove("acl", &json!({"path": "ROOT/d/f", "entity": "daemon", "etype": "user", "state": "absent"}), state);
    let read = host.run("acl", &json!({"path": "ROOT/d/f"})).unwrap();
    assert_eq!(read.data["acl"], vec!["user::rw-", "user:daemon:r--", "group::r--", "mask::r--", "other::r--"].into());
    assert_eq!(host.run("acl", &json!({"path": "ROOT/none"})).unwrap_err().msg, "Path not found or not accessible.");
}

#[test]
fn alternatives() {
    let Some(host) = Host::with("update-alternatives") else { return };
    ["alt", "admin"].iter().for_each(|name| std::fs::create_dir(host.at(name)).unwrap());
    ["one", "two"].iter().for_each(|name| host.script(name, "true"));
    host.script("update-alternatives", "exec /usr/bin/update-alternatives --altdir ROOT/alt --admindir ROOT/admin --log ROOT/log \"$@\"");
    let state = "update-alternatives --display tool 2>&1; readlink link";
    host.prove("alternatives", &json!({"name": "tool", "path": "ROOT/bin/one", "link": "ROOT/link"}), state);
    host.run("alternatives", &json!({"name": "tool", "path": "ROOT/bin/one", "link": "ROOT/link", "priority": 10})).unwrap();
    host.prove("alternatives", &json!({"name": "tool", "path": "ROOT/bin/two", "priority": 5}), state);
    host.prove("alternatives", &json!({"name": "tool", "path": "ROOT/bin/two", "state": "present"}), state);
    host.run("alternatives", &json!({"name": "tool", "path": "ROOT/bin/two", "priority": 5})).unwrap();
    host.prove("alternatives", &json!({"name": "tool", "state": "auto"}), state);
    host.prove("alternatives", &json!({"name": "tool", "path": "ROOT/bin/one", "state": "absent"}), state);
}

#[test]
fn packages_of_node() {
    let Some(host) = Host::with("npm") else { return };
    std::fs::create_dir_all(host.at("app/lib")).unwrap();
    host.file("app/lib/package.json", r#"{"name": "lib", "version": "1.2.3"}"#);
    host.file("app/package.json", r#"{"name": "app", "version": "1.0.0", "dependencies": {"lib": "file:./lib"}}"#);
    host.prove("npm", &json!({"path": "ROOT/app"}), "ls app app/node_modules 2>&1");
    host.run("npm", &json!({"path": "ROOT/app"})).unwrap();
    assert!(!host.run("npm", &json!({"path": "ROOT/app", "name": "other", "state": "absent"})).unwrap().changed);
    assert!(host.run("npm", &json!({"path": "ROOT/app", "name": "lib", "state": "absent"})).unwrap().changed);
    assert!(host.run("npm", &json!({"path": "ROOT/new"})).unwrap_err().msg.contains("package.json"));
}

#[test]
fn programs_that_supervisord_runs() {
    let Some(mut host) = Host::with("supervisord") else { return };
    let program = |name: &str| format!("[program:{name}]\ncommand=sleep 600\nautostart=false\nstartsecs=0\n");
    let head = "[unix_http_server]\nfile=ROOT/sock\n[supervisord]\nlogfile=ROOT/log\npidfile=ROOT/pid\nnodaemon=true\n\
                [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
                [supervisorctl]\nserverurl=unix://ROOT/sock\n";
    let head = head.replace("ROOT", &host.folder.path().display().to_string());
    host.file("conf", &(head.clone() + &program("shop")));
    let server = Command::new("supervisord").args(["-n", "-c", &host.at("conf")]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    host.children.push(server.unwrap());
    host.wait_for("supervisorctl -c conf pid >/dev/null 2>&1 && echo yes");
    let state = "supervisorctl -c conf status | awk '{print $1, $2 == \"RUNNING\"}'";
    let given = |name: &str, state: &str| json!({"name": name, "state": state, "config": "ROOT/conf"});
    host.prove("supervisorctl", &given("shop", "started"), state);
    host.run("supervisorctl", &given("shop", "started")).unwrap();
    host.prove("supervisorctl", &given("all", "stopped"), state);
    host.file("conf", &(head + &program("shop") + &program("other")));
    host.prove("supervisorctl", &given("other", "present"), state);
    assert!(host.run("supervisorctl", &given("shop", "restarted")).unwrap().changed);
    assert_eq!(host.run("supervisorctl", &given("none", "started")).unwrap_err().msg, "ERROR (no such process)");
}

#[test]
fn rules_of_the_packet_filter() {
    let Some(mut host) = Host::with("iptables") else { return };
    let network = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo ready; exec sleep 600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut network = network.unwrap();
    let (pid, mut ready) = (network.id(), String::new());
    std::io::BufRead::read_line(&mut std::io::BufReader::new(network.stdout.take().unwrap()), &mut ready).unwrap();
    host.children.push(network);
    for name in ["iptables", "iptables-restore"] {
        host.script(name, &format!("exec nsenter --net=/proc/{pid}/ns/net /usr/sbin/{name} \"$@\""));
    }
    if ready.is_empty() || host.ask("iptables -S >/dev/null 2>&1 && echo yes") != "yes\n" {
        println!("skipped: there is no right to make a network for the packet filter");
        return;
    }
    let state = "iptables -S; iptables -t nat -S";
    let web = json!({"chain": "INPUT", "protocol": "tcp", "destination_port": "443", "ctstate": ["NEW"], "jump": "ACCEPT", "comment": "our shop"});
    host.prove("iptables", &web, state);
    host.prove("iptables", &json!({"chain": "FORWARD", "policy": "DROP"}), state);
    host.prove("iptables", &json!({"chain": "SHOP", "chain_management": true}), state);
    host.run("iptables", &web).unwrap();
    host.run("iptables", &json!({"chain": "INPUT", "source": "192.0.2.1", "jump": "DROP"})).unwrap();
    host.prove("iptables", &json!({"chain": "INPUT", "source": "192.0.2.9", "jump": "DROP", "action": "insert", "rule_num": "2"}), state);
    let mut gone = web.clone();
    gone["state"] = "absent".into();
    host.prove("iptables", &gone, state);
    let rule = host.run("iptables", &web).unwrap();
    assert_eq!(
        rule.data["rule"],
        "-p tcp -j ACCEPT --destination-port 443 -m conntrack --ctstate NEW -m comment --comment our shop".into()
    );
}

#[test]
fn what_make_makes() {
    let Some(host) = Host::with("make") else { return };
    host.file("Makefile", "out: in\n\tcp in out\n");
    host.file("in", "x");
    let given = json!({"chdir": "ROOT", "target": "out"});
    assert!(host.run("make", &given).unwrap().changed);
    assert_eq!(std::fs::read_to_string(host.at("out")).unwrap(), "x");
    assert!(!host.run("make", &given).unwrap().changed);
    assert!(host.run("make", &json!({"chdir": "ROOT", "target": "none"})).unwrap_err().msg.contains("No rule to make target"));
}

#[test]
fn commands_of_django() {
    let Some(host) = Host::with("sh") else { return };
    host.script("../manage.py", "case \"$1\" in migrate) echo '  Applying shop.0001_initial... OK';; loaddata) echo 'Installed 0 object(s)';; check) echo fine;; *) echo why >&2; exit 1;; esac; echo \"$@\"");
    let run = |more: Json| {
        let mut given = json!({"project_path": "ROOT"});
        more.as_object().unwrap().iter().for_each(|(key, value)| given[key] = value.clone());
        host.run("django_manage", &given)
    };
    let migrated = run(json!({"command": "migrate", "settings": "shop.settings"})).unwrap();
    assert!(migrated.changed && migrated.data["out"].to_text().contains("migrate --noinput --settings=shop.settings"));
    assert!(!run(json!({"command": "loaddata", "fixtures": "a b"})).unwrap().changed);
    assert!(!run(json!({"command": "check"})).unwrap().changed);
    assert!(run(json!({"command": "broken"})).unwrap_err().msg.contains("why"));
}

#[test]
fn projects_of_composer() {
    let Some(host) = Host::with("composer") else { return };
    host.file("composer.json", r#"{"name": "shop/web", "require": {"shop/lib": "1.0.0"}, "repositories": [{"packagist.org": false}, {"type": "path", "url": "lib"}]}"#);
    std::fs::create_dir(host.at("lib")).unwrap();
    host.file("lib/composer.json", r#"{"name": "shop/lib", "version": "1.0.0"}"#);
    let given = json!({"working_dir": "ROOT"});
    let predicted = host.run("composer", &json!({"working_dir": "ROOT", "command": "none"})).unwrap_err();
    assert!(predicted.msg.contains("none"), "{}", predicted.msg);
    assert!(host.run("composer", &given).unwrap().changed);
    assert!(Path::new(&host.at("vendor/shop/lib/composer.json")).exists());
    assert!(!host.run("composer", &given).unwrap().changed);
}

#[test]
fn a_server_of_redis() {
    let Some(mut host) = Host::with("redis-server") else { return };
    let port = crate::support::port::free_port();
    let options = ["--port", &port.to_string(), "--save", "", "--dir", &host.at(""), "--requirepass", "secret"].map(str::to_owned);
    host.children.push(Command::new("redis-server").args(options).stdout(Stdio::null()).spawn().unwrap());
    let cli = format!("REDISCLI_AUTH=secret redis-cli -p {port} --no-auth-warning");
    host.wait_for(&format!("{cli} ping >/dev/null 2>&1 && echo yes"));
    let with = |more: Json| {
        let mut given = json!({"login_port": port, "login_password": "secret"});
        more.as_object().unwrap().iter().for_each(|(key, value)| given[key] = value.clone());
        given
    };
    let info = host.run("redis_info", &with(json!({}))).unwrap();
    assert_eq!(info.data["info"].get("tcp_port"), Some(&i64::from(port).into()));
    assert_eq!(info.data["info"].get("role"), Some(&"master".into()));
    let set = with(json!({"command": "config", "name": "maxmemory", "value": "64MB"}));
    assert!(host.run("redis", &set).unwrap().changed && !host.run("redis", &set).unwrap().changed);
    host.ask(&format!("{cli} set a 1"));
    assert!(host.run("redis", &with(json!({"command": "flush"}))).unwrap().changed);
    assert_eq!(host.ask(&format!("{cli} dbsize")), "0\n");
    let refused = host.run("redis_info", &json!({"login_port": port, "login_password": "wrong"})).unwrap_err();
    assert!(refused.msg.contains("WRONGPASS") || refused.msg.contains("NOAUTH"), "{}", refused.msg);
}

#[test]
fn file_systems() {
    let Some(host) = Host::with("mkfs.ext4") else { return };
    std::fs::File::create(host.at("disk")).unwrap().set_len(4 << 20).unwrap();
    let ext4 = json!({"dev": "ROOT/disk", "fstype": "ext4"});
    assert!(host.run("filesystem", &ext4).unwrap().changed && !host.run("filesystem", &ext4).unwrap().changed);
    let other = json!({"dev": "ROOT/disk", "fstype": "swap"});
    let refused = format!("'{}' is already used as ext4, use force=true to overwrite", host.at("disk"));
    assert_eq!(host.run("filesystem", &other).unwrap_err().msg, refused);
    std::fs::File::options().write(true).open(host.at("disk")).unwrap().set_len(8 << 20).unwrap();
    let grow = json!({"dev": "ROOT/disk", "fstype": "ext4", "resizefs": true});
    assert!(host.run("filesystem", &grow).unwrap().changed && !host.run("filesystem", &grow).unwrap().changed);
    let gone = json!({"dev": "ROOT/disk", "state": "absent"});
    assert!(host.run("filesystem", &gone).unwrap().changed && !host.run("filesystem", &gone).unwrap().changed);
}

#[test]
fn options_of_git() {
    let Some(host) = Host::with("git") else { return };
    host.file("conf", "[user]\n\tname = me\n");
    let given = |more: Json| {
        let mut given = json!({"scope": "file", "file": "ROOT/conf"});
        more.as_object().unwrap().iter().for_each(|(key, value)| given[key] = value.clone());
        given
    };
    host.prove("git_config", &given(json!({"name": "user.email", "value": "me@example.com"})), "cat conf");
    host.prove("git_config", &given(json!({"name": "user.name", "value": "you"})), "cat conf");
    host.prove("git_config", &given(json!({"name": "user.name", "value": "you", "add_mode": "add"})), "cat conf");
    host.prove("git_config", &given(json!({"name": "user.name", "state": "absent"})), "cat conf");
}

#[test]
fn capabilities_of_programs() {
    let Some(host) = Host::with("setcap") else { return };
    host.script("web", "true");
    if host.ask("setcap cap_chown+ep bin/web && setcap -r bin/web && echo yes") != "yes\n" {
        println!("skipped: there is no right to give capabilities");
        return;
    }
    let given = |capability: &str, state: &str| json!({"path": "ROOT/bin/web", "capability": capability, "state": state});
    host.prove("capabilities", &given("cap_net_bind_service+ep", "present"), "getcap bin/web");
    host.ask("setcap cap_chown+ep bin/web");
    host.prove("capabilities", &given("cap_net_raw+ep", "present"), "getcap bin/web");
    host.prove("capabilities", &given("cap_chown", "absent"), "getcap bin/web");
}

#[test]
fn modules_of_apache() {
    let Some(host) = Host::with("sh") else { return };
    host.script("a2dismod", "exit 1");
    let off = json!({"name": "rappel_none", "state": "absent"});
    assert_eq!(host.run("apache2_module", &off).unwrap().data["result"], "Module rappel_none disabled".into());
    host.script("a2enmod", "echo 'ERROR: Module rappel_none does not exist!' >&2; exit 1");
    let failure = host.run("apache2_module", &json!({"name": "rappel_none"})).unwrap_err();
    assert!(
        failure.msg.contains("Failed to set module rappel_none to enabled") && failure.msg.contains("does not exist!"),
        "{}",
        failure.msg
    );
}

/// Alpine's apk is in no Debian: this one prints what that one printed.
#[test]
fn packages_of_alpine() {
    let Some(host) = Host::with("sh") else { return };
    host.file("world", "busybox\n");
    let steps = "case \"$*\" in 'info --installed'*) test -e ROOT/there;; *--simulate) case $1 in add) w=Installing;; *) w=Purging;; esac; \
                 echo \"(1/1) $w nginx (1.24.0-r14)\"; echo 'OK: 12 MiB in 20 packages';; \
                 add*) touch ROOT/there; echo nginx >> ROOT/world;; del*) rm ROOT/there; sed -i /nginx/d ROOT/world;; *) exit 1;; esac";
    host.script("apk", steps);
    host.prove("apk", &json!({"name": "nginx", "world": "ROOT/world"}), "ls there; cat world");
    let done = host.run("apk", &json!({"name": "nginx", "world": "ROOT/world"})).unwrap();
    assert_eq!(done.data["packages"], vec!["nginx"].into());
    host.prove("apk", &json!({"name": "nginx", "state": "absent", "world": "ROOT/world"}), "ls there; cat world");
}

/// SUSE's zypper is in no Debian either: this one keeps its packages in a file.
#[test]
fn packages_of_suse() {
    let Some(host) = Host::with("sh") else { return };
    host.file("there", "busybox\t1.35-1\n");
    let rpm = "case \"$*\" in -qa*) cat ROOT/there;; *--whatprovides*) exit 1;; *) exit 2;; esac";
    host.script("rpm", rpm);
    let zypper = "echo \"$*\" >> ROOT/log; for name; do :; done; name=${name%%[<>=]*}
        case \"$*\" in *--dry-run*none) echo 'No provider of none found.' >&2; exit 104;; *--dry-run*) echo 1 new package;; *' refresh') ;;
        *' install '*) grep -q \"^$name\" ROOT/there || printf '%s\\t1.0-1\\n' $name >> ROOT/there;; *' remove '*) sed -i \"/^$name/d\" ROOT/there;; *) exit 1;; esac";
    host.script("zypper", zypper);
    host.prove("zypper", &json!({"name": "nginx", "update_cache": true}), "cat there");
    host.prove("zypper", &json!({"name": ["busybox"], "state": "absent"}), "cut -f1 there");
    host.prove("zypper", &json!({"name": ["-busybox", "nginx"]}), "cut -f1 there | sort");
    host.ask("rm log");
    host.run("zypper", &json!({"name": "nginx>=1", "disable_gpg_check": true, "extra_args": "--details", "type": "package"})).unwrap();
    let told =
        "--quiet --non-interactive --no-gpg-checks install --auto-agree-with-licenses --no-recommends --oldpackage --details -- nginx>=1\n";
    assert_eq!(host.ask("cat log"), told);
    assert!(!host.run("zypper", &json!({"name": ["nginx", "*"]})).unwrap().changed);
    let journal = tempfile::tempdir().unwrap();
    let check = rappel::wire::Call { check: true, ..host.call("zypper", &json!({"name": "none"})) };
    assert!(Agent::start(journal.path()).run(check).unwrap_err().msg.contains("return code 104"));
}

#[test]
fn packages_of_arch() {
    let (Some(host), Some(_)) = (Host::with("pacman"), Host::with("repo-add")) else { return };
    ["root", "db", "cache", "hooks", "gpg", "repo", "pkg"].iter().for_each(|name| std::fs::create_dir(host.at(name)).unwrap());
    let about = "pkgname = shop\npkgbase = shop\npkgver = 1.0-1\npkgdesc = a shop\nbuilddate = 1600000000\nsize = 3\narch = any\n";
    host.file("pkg/.PKGINFO", about);
    host.file("pkg/shop", "hi\n");
    let conf = "[options]\nArchitecture = auto\nSigLevel = Never\n[shops]\nServer = file://ROOT/repo\n";
    host.file("conf", &conf.replace("ROOT", &host.at("")));
    host.ask("tar -C pkg -czf repo/shop-1.0-1-any.pkg.tar.gz .PKGINFO shop; repo-add repo/shops.db.tar.gz repo/shop-1.0-1-any.pkg.tar.gz");
    let own = "--root ROOT/root --dbpath ROOT/db --config ROOT/conf --cachedir ROOT/cache --hookdir ROOT/hooks --gpgdir ROOT/gpg";
    host.script("pacman", &format!("exec /usr/bin/pacman {own} \"$@\""));
    assert!(host.run("pacman", &json!({"update_cache": true})).unwrap().changed);
    assert!(!host.run("pacman", &json!({"update_cache": true})).unwrap().changed);
    host.prove("pacman", &json!({"name": "shop"}), "pacman --query 2>/dev/null");
    assert_eq!(host.run("pacman", &json!({"name": "shop"})).unwrap().data["packages"], vec!["shop"].into());
    host.prove("pacman", &json!({"name": "shop", "state": "absent"}), "pacman --query 2>/dev/null");
    assert!(host.run("pacman", &json!({"name": "none"})).unwrap_err().msg.contains("target not found: none"));
}

/// A mail server for one mail: gives what it was told.
fn mail_server() -> (u16, std::thread::JoinHandle<String>) {
    use std::io::{BufRead, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
        stream.write_all(b"220 mx\r\n").unwrap();
        let (mut told, mut data) = (String::new(), false);
        while let Some(Ok(line)) = lines.next() {
            told.push_str(&format!("{line}\n"));
            let answer = match line.split([' ', ':']).next().unwrap_or_default() {
                _ if data && line != "." => continue,
                "EHLO" => "250-mx\r\n250 AUTH PLAIN",
                "RCPT" if line.contains("nobody") => "550 no such user",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            data = line == "DATA";
            stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
        }
        told
    });
    (port, told)
}

#[test]
fn mails() {
    let Some(host) = Host::with("sh") else { return };
    host.file("notes.txt", "all new\n");
    let (port, told) = mail_server();
    let given = json!({
        "host": "127.0.0.1", "port": port, "sender": "Shop <shop@example.com>", "to": ["ops@example.com", "nobody@example.com"], "bcc": "boss@example.com",
        "subject": "Größer\r\nBcc: evil@example.com", "body": ".hidden", "attach": "ROOT/notes.txt", "username": "shop", "password": "secret",
    });
    let sent = host.run("mail", &given).unwrap();
    assert!(sent.changed);
    assert_eq!(sent.data["msg"], "Failed to send mail to at least one recipient: nobody@example.com".into());
    let told = told.join().unwrap();
    for expected in [
        "AUTH PLAIN AHNob3AAc2VjcmV0\n",
        "MAIL FROM:<shop@example.com>\nRCPT TO:<ops@example.com>\nRCPT TO:<nobody@example.com>\nRCPT TO:<boss@example.com>\nDATA\n",
        "From: Shop <shop@example.com>\n",
        "filename=\"notes.txt\"\nContent-Transfer-Encoding: base64\n\nYWxsIG5ldwo=\n",
    ] {
        assert!(told.contains(expected), "{expected:?} in {told}");
    }
    assert!(!told.contains("\nBcc:"), "{told}");
    let closed = json!({"host": "127.0.0.1", "port": 1, "subject": "x"});
    assert!(host.run("mail", &closed).unwrap_err().msg.contains("cannot connect to the mail server 127.0.0.1:1"));
}
