//! Modules that ask or change the host itself: what can be proved of them anywhere, without touching it.
//!
//! Programs that would change it are stood in for by scripts in `bin`, first in the call's `PATH`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value as Json, json};

use super::agent::{Agent, call, params};
use super::{Case, Tree, prove};

fn unchanged(name: &'static str, module: &'static str, params: Json, result: Json) -> Case {
    Case { name, module, params, result, ..Case::default() }
}

#[test]
fn what_only_looks_changes_nothing() {
    prove(&[
        unchanged("answers", "ping", json!({}), json!({"ping": "pong"})),
        Case { fails: Some("boom"), ..unchanged("crashes when told to", "ping", json!({"data": "crash"}), json!({})) },
        unchanged(
            "reads a piece",
            "read",
            json!({"src": "/proc/self/comm", "offset": 1_000_000}),
            json!({"kind": "file", "length": 0, "content": ""}),
        ),
        unchanged("says that nothing is there", "read", json!({"src": "ROOT/none"}), json!({"kind": "absent"})),
        Case {
            before: Tree::new().file("f", "port 8080\n"),
            ..unchanged(
                "finds a text",
                "wait_for",
                json!({"path": "ROOT/f", "search_regex": "port (?P<number>\\d+)"}),
                // Left alone in check mode, so these are of the run.
                json!({"match_groups": ["8080"], "match_groupdict": {"number": "8080"}, "state": "file"}),
            )
        },
        unchanged("looks up a user", "getent", json!({"database": "passwd", "key": "root"}), json!({})),
        unchanged("knows a group that is there", "group", json!({"name": "root", "gid": 0}), json!({"state": "present", "gid": 0})),
        unchanged("knows a group that is not", "group", json!({"name": "rappel-none", "state": "absent"}), json!({"state": "absent"})),
        unchanged("knows a user that is not", "user", json!({"name": "rappel-none", "state": "absent"}), json!({"state": "absent"})),
        unchanged("gathers little", "setup", json!({"gather_subset": ["!all", "!min", "pkg_mgr"]}), json!({})),
    ]);
}

#[test]
fn services_that_are_right_are_left_alone() {
    let systemctl = "#!/bin/sh\ncase \"$*\" in\n*show*) printf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\n';;\n*is-enabled*) echo enabled;;\n*) exit 1;;\nesac\n";
    let host = || Tree::new().dir("bin").file_mode("bin/systemctl", systemctl, 0o755);
    prove(&[Case {
        before: host(),
        path: Some("ROOT/bin"),
        ..unchanged(
            "runs and starts at boot",
            "systemd_service",
            json!({"name": "shop", "state": "started", "enabled": true}),
            json!({"name": "shop", "state": "started", "enabled": true}),
        )
    }]);
}

#[test]
fn firewalls_that_are_right_are_left_alone() {
    let ufw = "#!/bin/sh\ncase \"$*\" in\nstatus*) printf 'Status: active\\nLogging: on (low)\\nDefault: deny (incoming), allow (outgoing), disabled (routed)\\n';;\n*--dry-run*) echo 'Skipping adding existing rule';;\n*) exit 1;;\nesac\n";
    let firewalld = "#!/bin/sh\ncase \"$*\" in\n--state | *--query-service=https) ;;\n*) exit 1;;\nesac\n";
    let host = || Tree::new().dir("bin").file_mode("bin/ufw", ufw, 0o755).file_mode("bin/firewall-cmd", firewalld, 0o755);
    let case = |name, module, params| Case { before: host(), path: Some("ROOT/bin"), ..unchanged(name, module, params, json!({})) };
    prove(&[
        case("is on, with its policy", "ufw", json!({"state": "enabled", "policy": "deny", "direction": "incoming"})),
        case("has the rule", "ufw", json!({"rule": "allow", "port": "443", "proto": "tcp"})),
        case("logs", "ufw", json!({"logging": "low"})),
        case(
            "lets the service in",
            "firewalld",
            json!({"service": "https", "zone": "public", "permanent": true, "immediate": true, "state": "enabled"}),
        ),
        case("keeps the service out", "firewalld", json!({"service": "telnet", "state": "disabled"})),
        case("has no such module", "modprobe", json!({"name": "rappel-none", "state": "absent"})),
    ]);
}

#[test]
fn crontab_files_are_files() {
    let job = json!({"name": "backup", "minute": "5", "job": "/opt/backup", "user": "root", "cron_file": "ROOT/shop"});
    let text = "#Ansible: backup\n5 * * * * root /opt/backup\n";
    prove(&[
        Case {
            name: "adds a job",
            module: "cron",
            params: job.clone(),
            before: Tree::new().file("shop", "# ours\n"),
            after: Some(Tree::new().file("shop", &format!("# ours\n{text}"))),
            ..Case::default()
        },
        Case { before: Tree::new().file("shop", text), ..unchanged("has the job", "cron", job, json!({})) },
        Case {
            name: "removes a job",
            module: "cron",
            params: json!({"name": "backup", "state": "absent", "cron_file": "ROOT/shop"}),
            before: Tree::new().file("shop", &format!("# ours\n{text}")),
            after: Some(Tree::new().file("shop", "# ours\n")),
            ..Case::default()
        },
    ]);
}

#[test]
fn shells_run_once_and_cannot_be_undone() {
    prove(&[
        Case {
            before: Tree::new().file("f", ""),
            ..unchanged(
                "is not run when that is there",
                "shell",
                json!({"cmd": "rm ROOT/f", "creates": "ROOT/f"}),
                json!({"rc": 0, "stdout": "skipped, since ROOT/f exists"}),
            )
        },
        Case { fails: Some("no command given"), ..unchanged("needs a command", "shell", json!({"cmd": " "}), json!({})) },
    ]);
    let journal = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(journal.path());
    agent.begin("t1");
    let mut run = call("shell", params(json!({"cmd": "echo secret | tr a-z A-Z"})));
    run.transaction = Some(rappel::wire::Recording { id: "t1".into(), step: 1, undo: None });
    let outcome = agent.run(run).unwrap();
    assert!(outcome.changed);
    assert_eq!(outcome.data["stdout"], "SECRET".into());
    assert_eq!(agent.abort("t1").impossible, ["`/bin/sh`"], "the report says what stays, without its arguments");
}

/// A server that answers every request with `body`; gives its address.
fn server(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).unwrap();
        }
    });
    format!("http://{address}/shop.txt")
}

#[test]
fn what_is_fetched_is_a_file() {
    let url = server("hello\n");
    let sum = "sha1:f572d396fae9206628714fb2ce00f72e94f2258f";
    prove(&[
        Case {
            name: "fetches",
            module: "get_url",
            params: json!({"url": url, "dest": "ROOT/f", "checksum": sum, "mode": "0600"}),
            before: Tree::new().file("f", "old\n"),
            after: Some(Tree::new().file_mode("f", "hello\n", 0o600)),
            ..Case::default()
        },
        Case {
            before: Tree::new().file("f", "hello\n"),
            ..unchanged("has it already", "get_url", json!({"url": url, "dest": "ROOT/f", "checksum": sum}), json!({"dest": "ROOT/f"}))
        },
        unchanged(
            "shows no password that comes back",
            "uri",
            json!({"url": url, "return_content": true, "url_username": "a", "url_password": "ell"}),
            json!({"content": "h********o\n"}),
        ),
        unchanged("asks", "uri", json!({"url": url, "return_content": true}), json!({"status": 200, "content": "hello\n"})),
    ]);
}

#[test]
fn what_is_there_is_fetched_again_only_when_it_is_newer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/shop.txt", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let asked = String::from_utf8_lossy(&request[..length]).into_owned();
            let answer = if asked.contains("If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT\r\n") {
                "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Disposition: inline; filename=\"named\"\r\nSet-Cookie: a=b; Path=/\r\nX-Two: 1\r\nX-Two: 2\r\nLocation: other?x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnew\n"
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let location = url.replace("shop.txt", "other?x");
    prove(&[
        Case {
            before: Tree::new().file("f", "old\n"),
            ..unchanged("is not newer", "get_url", json!({"url": url, "dest": "ROOT/f"}), json!({"status_code": 304}))
        },
        Case {
            before: Tree::new().file("f", "old\n"),
            ..unchanged("is not newer for uri", "uri", json!({"url": url, "dest": "ROOT/f", "status_code": 304}), json!({"status": 304}))
        },
        Case {
            name: "is fetched all the same",
            module: "get_url",
            params: json!({"url": url, "dest": "ROOT/f", "force": true}),
            before: Tree::new().file("f", "old\n"),
            after: Some(Tree::new().file("f", "new\n")),
            ..Case::default()
        },
        Case {
            name: "is called as the server says",
            module: "get_url",
            params: json!({"url": url, "dest": "ROOT/d"}),
            before: Tree::new().dir("d"),
            after: Some(Tree::new().dir("d").file("d/named", "new\n")),
            result: json!({"dest": "ROOT/d/named", "status_code": 200}),
            ..Case::default()
        },
        unchanged(
            "gives a cookie",
            "uri",
            json!({"url": url}),
            json!({"cookies": {"a": "b"}, "cookies_string": "a=b", "x_two": "1, 2", "location": location}),
        ),
    ]);
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kept = Agent::start(journal.path()).run(call("uri", params(json!({"url": url, "dest": root.path()})))).unwrap();
    assert_eq!(kept.data["path"], root.path().join("named").to_str().unwrap().into());
}

#[test]
fn the_task_names_the_proxy() {
    let journal = tempfile::tempdir().unwrap();
    let proxy = server("by the proxy");
    let mut ask = call("uri", params(json!({"url": "http://shop.invalid/", "return_content": true})));
    ask.environment = vec![("http_proxy".into(), proxy.trim_end_matches("/shop.txt").into())];
    assert_eq!(Agent::start(journal.path()).run(ask).unwrap().data["content"], "by the proxy".into());
}

/// A server of one request, and what it hears until `end`.
fn listener(end: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).unwrap();
            text.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        text
    });
    (url, heard)
}

#[test]
fn what_is_sent_is_a_file_of_the_controller() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f.txt"), "in a file").unwrap();
    for (given, end, sent) in [
        ("src: f.txt", "in a file", "\r\n\r\nin a file"),
        ("src: f.txt, body_format: json", "in a file", "\r\nContent-Type: application/json\r\n"),
        (
            "body_format: form-multipart, body: {a: {filename: f.txt}}",
            "==--\r\n",
            "filename=\"f.txt\"\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\naW4gYSBmaWxl\r\n",
        ),
    ] {
        let (url, heard) = listener(end);
        let play = format!("- hosts: localhost\n  gather_facts: false\n  tasks: [{{uri: {{url: '{url}', method: POST, {given}}}}}]\n");
        std::fs::write(folder.path().join("play.yml"), play).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rappel"));
        let ran = command
            .args(["play", "-i", "localhost,", "-c", "local", "play.yml"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .output();
        assert!(ran.unwrap().status.success(), "{given}");
        let heard = heard.join().unwrap();
        assert!(heard.contains(sent), "{sent} in {heard}");
    }
}

#[test]
fn forms_have_fields_and_files() {
    let (url, heard) = listener("==--\r\n");
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(root.path().join("f.txt"), "in a file").unwrap();
    let body = json!({"a": "b", "file": {"filename": root.path().join("f.txt")}, "text": {"content": "c", "filename": "x/t.txt", "mime_type": "text/plain"}});
    let ask = call("uri", params(json!({"url": url, "method": "POST", "body_format": "form-multipart", "body": body, "remote_src": true})));
    Agent::start(journal.path()).run(ask).unwrap();
    let heard = heard.join().unwrap();
    for part in [
        "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n",
        "name=\"file\"; filename=\"f.txt\"\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\naW4gYSBmaWxl\r\n",
        "name=\"text\"; filename=\"t.txt\"\r\nContent-Type: text/plain\r\n\r\nc\r\n",
    ] {
        assert!(heard.contains(part), "{part} in {heard}");
    }
}
