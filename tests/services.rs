//! Modules that talk to a web service, through the front door, against a service that answers as the real one does.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use crate::support::ansible_playbook;

/// What was asked: method, path, `X-Vault-Token`, body.
struct Asked {
    method: String,
    path: String,
    token: String,
    body: Json,
}

/// Serves until the test ends: its address, and every question as one line.
fn serve(mut answer: impl FnMut(&Asked) -> (u16, Json) + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let asked = read(&stream);
            log.lock().unwrap().push(format!("{} {} {}", asked.method, asked.path, asked.body));
            let (status, body) = answer(&asked);
            let body = if status == 204 { String::new() } else { body.to_string() };
            let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
        }
    });
    (url, seen)
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let found = lines.iter().filter_map(|line| line.split_once(": ")).find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let mut words = lines[0].split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    Asked { method, path, token: header("x-vault-token"), body: serde_json::from_slice(&body).unwrap_or_default() }
}

fn play(folder: &std::path::Path, tasks: &str, options: &[&str]) -> (i32, String) {
    let playbook = format!("- hosts: localhost\n  gather_facts: false\n  tasks:\n{tasks}");
    ansible_playbook(folder, &playbook, options, &[])
}

fn vault(asked: &Asked) -> (u16, Json) {
    let login = json!({"auth": {"client_token": "s.token-of-web", "policies": ["shop"]}, "data": null});
    match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/v1/auth/approle/login") if asked.body == json!({"role_id": "web", "secret_id": "role-secret"}) => (200, login),
        ("POST", "/v1/auth/team/login/me%20too") if asked.body == json!({"password": "user-secret"}) => (200, login),
        ("POST", _) => (400, json!({"errors": ["invalid role or secret ID"]})),
        ("GET", "/v1/auth/token/lookup-self") if asked.token == "s.given" => (200, json!({"data": {"id": "s.given", "ttl": 7}})),
        (_, _) if asked.token != "s.token-of-web" => (403, json!({"errors": ["permission denied"]})),
        ("GET", "/v1/kv/data/shop/db") => {
            (200, json!({"data": {"data": {"password": "from-the-vault"}, "metadata": {"version": 3}}, "lease_id": ""}))
        }
        ("GET", "/v1/kv/data/shop/db?version=1") => {
            (200, json!({"data": {"data": {"password": "from-before"}, "metadata": {"version": 1}}}))
        }
        _ => (404, json!({"errors": []})),
    }
}

#[test]
fn secrets_of_vault_are_read_and_never_shown() {
    let (url, seen) = serve(vault);
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let tasks = format!(
        "    - community.hashi_vault.vault_login: {{url: '{url}/', auth_method: approle, role_id: web, secret_id: role-secret}}
      check_mode: false
      register: login
    - community.hashi_vault.vault_kv2_get: {{url: '{url}', token: '{{{{ login.login.auth.client_token }}}}', engine_mount_point: kv, path: shop/db}}
      register: db
    - copy: {{content: '{{{{ db.secret.password }}}} {{{{ db.metadata.version }}}} {{{{ db.raw.data == db.data }}}}', dest: {at}/out, mode: '0600'}}
      check_mode: false
    - community.hashi_vault.vault_kv2_get: {{auth_method: userpass, mount_point: team, username: me too, password: user-secret, engine_mount_point: kv, path: shop/db, version: 1}}
      environment: {{VAULT_ADDR: '{url}'}}
      register: old
    - debug: {{var: old}}
    - community.hashi_vault.vault_login: {{url: '{url}', token: s.given}}
      register: given
    - assert: {{that: [old.secret.password == 'from-before', login.changed, not given.changed, given.login.data.ttl == 7]}}
"
    );
    for options in [&["-v"][..], &["-v", "--check"]] {
        let (status, told) = play(folder.path(), &tasks, options);
        assert_eq!(status, 0, "{told}");
        assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), "from-the-vault 3 True");
        for secret in ["from-the-vault", "from-before", "role-secret", "user-secret", "s.token-of-web"] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
    assert!(seen.lock().unwrap().contains(&"POST /v1/auth/team/login/me%20too {\"password\":\"user-secret\"}".to_owned()));
}

#[test]
fn vault_says_why_not() {
    let (url, _) = serve(vault);
    let folder = tempfile::tempdir().unwrap();
    for (task, expected) in [
        (
            "vault_login: {url: URL, auth_method: approle, role_id: web, secret_id: wrong}",
            "invalid role or secret ID, on post URL/v1/auth/approle/login",
        ),
        ("vault_login: {url: URL, auth_method: approle}", "requires options ['role_id'] to be set, but these are missing: ['role_id']"),
        ("vault_login: {url: URL, auth_method: none}", "The 'none' auth method is not valid for this module."),
        ("vault_login: {url: URL, token_path: /nowhere}", "No Vault Token specified or discovered."),
        ("vault_login: {auth_method: approle, role_id: web}", "Required option url was not set."),
        ("vault_kv2_get: {url: URL, token: no, path: x}", "Forbidden: Permission Denied to path ['x']."),
        ("vault_kv2_get: {url: URL, token: s.token-of-web, path: x}", "Invalid or missing path ['x'] with secret version 'latest'."),
        ("vault_kv2_get: {url: 'http://127.0.0.1:1', token: t, path: x}", "Connection refused"),
    ] {
        let task = format!("    - community.hashi_vault.{}\n", task.replace("URL", &url));
        let (status, told) = play(folder.path(), &task, &[]);
        assert!(status == 2 && told.contains(&expected.replace("URL", &url)), "{task}: {told}");
    }
}

/// As much of AWX as groups and hosts need.
#[derive(Default)]
struct Awx {
    objects: BTreeMap<u64, (String, Json)>,
    /// Number, relation, number.
    related: Vec<(u64, String, u64)>,
}

impl Awx {
    fn answer(&mut self, asked: &Asked) -> (u16, Json) {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let words: Vec<&str> = path.trim_matches('/').split('/').skip(2).collect();
        let list = |results: Vec<Json>| (200, json!({"count": results.len(), "next": null, "results": results}));
        match (asked.method.as_str(), words.as_slice()) {
            ("GET", ["inventories"]) if query == "name=Shop" => list(vec![json!({"id": 1, "name": "Shop"})]),
            ("GET", [kind]) => {
                let field = |name: &str| {
                    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).map(|(_, value)| value)
                };
                let fits = |object: &Json| {
                    field("name").is_none_or(|name| object["name"] == name.replace("%20", " "))
                        && field("id").is_none_or(|id| id.parse::<u64>().is_ok_and(|id| object["id"] == id))
                };
                list(self.objects.values().filter(|(of, object)| of == kind && fits(object)).map(|(_, object)| object.clone()).collect())
            }
            ("POST", [kind]) => {
                let number = 10 + self.objects.len() as u64;
                let mut object = json!({"description": "", "variables": "", "enabled": true});
                asked.body.as_object().unwrap().iter().for_each(|(name, value)| object[name] = value.clone());
                object["id"] = number.into();
                self.objects.insert(number, ((*kind).to_owned(), object.clone()));
                (201, object)
            }
            ("PATCH", [_, number]) => {
                let (_, object) = self.objects.get_mut(&number.parse().unwrap()).unwrap();
                asked.body.as_object().unwrap().iter().for_each(|(name, value)| object[name] = value.clone());
                (200, object.clone())
            }
            ("DELETE", [_, number]) => (if self.objects.remove(&number.parse().unwrap()).is_some() { 204 } else { 404 }, Json::Null),
            ("GET", [_, number, relation]) => {
                let inside = self.related.iter().filter(|(of, kind, _)| of.to_string() == *number && kind == relation);
                // A page each.
                let all: Vec<Json> = inside.map(|(_, _, other)| json!({"id": other})).collect();
                let page: usize = query.strip_prefix("page=").map_or(1, |page| page.parse().unwrap());
                let next = (page < all.len()).then(|| format!("/api/v2/groups/{number}/{relation}/?page={}", page + 1));
                (200, json!({"next": next, "results": all.get(page - 1..page).unwrap_or_default()}))
            }
            ("POST", [_, number, relation]) => {
                let one = (number.parse().unwrap(), (*relation).to_owned(), asked.body["id"].as_u64().unwrap());
                if asked.body["disassociate"] == true {
                    self.related.retain(|known| *known != one);
                } else {
                    self.related.push(one);
                }
                (204, Json::Null)
            }
            _ => (404, json!({"detail": "Not found."})),
        }
    }
}

#[test]
fn groups_and_hosts_of_awx_become_what_they_should_be() {
    let mut awx = Awx::default();
    let (url, seen) = serve(move |asked| awx.answer(asked));
    let folder = tempfile::tempdir().unwrap();
    let access = format!("controller_host: '{url}', controller_username: me, controller_password: awx-secret, inventory: Shop");
    let changes = |task: &str| -> (String, bool) {
        let task = format!("    - awx.awx.{}\n", task.replace("ACCESS", &access));
        let before = seen.lock().unwrap().len();
        let (_, predicted) = play(folder.path(), &task, &["--check"]);
        let asked = seen.lock().unwrap()[before..].join("\n");
        assert!(!asked.contains("POST") && !asked.contains("PATCH") && !asked.contains("DELETE"), "{task}: {asked}");
        let (_, told) = play(folder.path(), &task, &["-v"]);
        let (predicted, changed) = (predicted.contains("changed=1 "), told.contains("changed=1 "));
        assert!(predicted == changed && !told.contains("awx-secret"), "{task}: {told}");
        (told, changed)
    };
    for (task, changed) in [
        ("host: {name: web1, variables: {port: 1}, ACCESS}", true),
        ("host: {name: web1, variables: {port: 1}, ACCESS}", false),
        ("host: {name: web1, variables: {port: 2}, enabled: false, ACCESS}", true),
        ("host: {name: web1, state: exists, description: x, ACCESS}", false),
        ("host: {name: web2, ACCESS}", true),
        ("group: {name: all web, hosts: [web1, web2], description: the web, ACCESS}", true),
        ("group: {name: all web, hosts: [web2, web1], description: the web, ACCESS}", false),
        ("tower_group: {name: all web, hosts: [web2], preserve_existing_hosts: true, ACCESS}", false),
        ("group: {name: all web, hosts: [web2], ACCESS}", true),
        ("group: {name: all web, hosts: [web2], ACCESS}", false),
        ("group: {name: all web, new_name: web, ACCESS}", true),
        ("group: {name: web, state: absent, ACCESS}", true),
        ("group: {name: web, state: absent, ACCESS}", false),
    ] {
        let (told, did) = changes(task);
        assert!(told.contains("failed=0 ") && did == changed, "{task}: {told}");
    }
    let (told, _) = changes("group: {name: web, hosts: [none], ACCESS}");
    assert!(told.contains("Could not find hosts with name none"), "{told}");
}

#[test]
fn projects_of_compose_in_the_old_words() {
    let docker = "case \"$*\" in *' ps '*) echo '[{\"Service\": \"web\", \"Name\": \"shop-web-1\", \"State\": \"running\"}]';; *' images '*) echo '[]';; \
                  *up*|*restart*) echo ' Container shop-web-1  Started' >&2;; esac";
    let folder = recorder(&[("docker", docker)]);
    let tasks = format!(
        "    - docker_compose: {{project_src: {at}, pull: true, restarted: true, remove_orphans: true}}\n      register: shop\n      \
         environment: {{PATH: '{at}:{{{{ lookup(\"env\", \"PATH\") }}}}'}}\n    - assert:\n        that: shop.changed and shop.services.web['shop-web-1'].state.running\n",
        at = folder.path().display()
    );
    let (status, told) = play(folder.path(), &tasks, &[]);
    assert_eq!(status, 0, "{told}");
    let ran = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let steps: Vec<&str> = ran
        .lines()
        .filter(|line| line.contains(" up ") || line.contains(" restart "))
        .map(|line| line.rsplit_once(&*folder.path().display().to_string()).unwrap().1.trim())
        .collect();
    assert_eq!(steps, ["up --detach --pull always --remove-orphans --timeout 10", "restart --timeout 10"]);
}

/// A folder with programs of ours that write down how they are called.
fn recorder(programs: &[(&str, &str)]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    for (name, lines) in programs {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho {name} \"$@\" >> {}/log\n{lines}\n", folder.path().display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn defaults_of_the_module_that_does_the_work_hold() {
    let systemctl = "case \"$*\" in *show*) printf 'LoadState=loaded\\nActiveState=inactive\\n';; esac";
    let folder = recorder(&[("systemctl", systemctl), ("zypper", ""), ("rpm", "case \"$*\" in *--whatprovides*) exit 1;; esac")]);
    let tasks = format!(
        "    - module_defaults:\n        ansible.builtin.systemd: {{daemon_reload: true, no_block: true}}\n        zypper: {{disable_gpg_check: true, state: absent}}\n      \
         environment: {{PATH: '{at}:{{{{ lookup(\"env\", \"PATH\") }}}}'}}\n      block:\n        - service: {{name: shop, state: started, use: systemd}}\n        \
         - service: {{name: shop, state: started, use: systemd, daemon_reload: false}}\n        - package: {{name: nginx, state: present, use: zypper}}\n",
        at = folder.path().display()
    );
    let (status, told) = play(folder.path(), &tasks, &[]);
    assert_eq!(status, 0, "{told}");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log.matches("systemctl daemon-reload").count(), 1, "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("start") && line.contains("--no-block")).count(), 2, "{log}");
    assert!(log.contains("--no-gpg-checks install"), "{log}");
}
