//! The Docker modules against an engine that is a few lines long: it keeps volumes, and answers as the real one does.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use serde_json::{Value as Json, json};

use super::agent::{Agent, call, params};

/// Serves until the test ends.
fn serve(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let mut volumes: BTreeMap<String, Json> = BTreeMap::new();
        for stream in listener.incoming() {
            answer(stream.unwrap(), &mut volumes);
        }
    });
}

fn answer(mut stream: UnixStream, volumes: &mut BTreeMap<String, Json>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    let (head, body) = loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let name = path.trim_start_matches("/volumes/");
    let missing = || (404, json!({"message": format!("get {name}: no such volume")}));
    let (status, json) = match method {
        "GET" => volumes.get(name).map_or_else(missing, |volume| (200, volume.clone())),
        "DELETE" => volumes.remove(name).map_or_else(missing, |_| (204, Json::Null)),
        _ => {
            let wanted: Json = serde_json::from_str(&body).unwrap();
            volumes.insert(wanted["Name"].as_str().unwrap().to_owned(), wanted.clone());
            (201, wanted)
        }
    };
    let text = if json.is_null() { String::new() } else { json.to_string() };
    write!(stream, "HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n{text}").unwrap();
}

#[test]
fn volumes() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let socket = root.path().join("engine.sock");
    serve(&socket);
    let mut agent = Agent::start(journal.path());
    let mut run = |check: bool, state: &str| {
        let given =
            json!({"volume_name": "data", "labels": {"keep": true}, "state": state, "docker_host": format!("unix://{}", socket.display())});
        let mut given = call("docker_volume", params(given));
        given.check = check;
        agent.run(given).unwrap()
    };
    assert!(run(true, "present").changed, "predicted");
    let made = run(false, "present");
    assert!(made.changed, "check mode made nothing");
    assert_eq!(serde_json::to_value(made.data["volume"].get("Labels")).unwrap(), json!({"keep": "true"}));
    assert!(!run(false, "present").changed);
    assert!(run(true, "absent").changed && run(false, "absent").changed);
    assert!(!run(false, "absent").changed);
}

#[test]
fn no_engine() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(journal.path());
    for (host, expected) in [
        (format!("unix://{}/none", root.path().display()), "cannot connect to"),
        ("tcp://10.0.0.1:2375".to_owned(), "only an engine on the host itself can be used"),
    ] {
        let failure = agent.run(call("docker_container_info", params(json!({"name": "web", "docker_host": host})))).unwrap_err();
        assert!(failure.msg.contains(expected), "{}", failure.msg);
        let pull = json!({"name": "shop", "pull": "not_present", "docker_host": host});
        assert_eq!(agent.run(call("docker_image_pull", params(pull))).unwrap_err().msg, failure.msg);
    }
}
