//! The image check of preflight against a registry that answers: Docker's own, from Debian's package.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use base64::Engine as _;
use tempfile::TempDir;

use super::parts::{Server, find, start};
use super::{Done, SENTINEL, finish};
use crate::support::port::free_port;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A registry with one image, `shop:1.0`, and a deployment that asks it.
struct Shop {
    folder: TempDir,
    port: u16,
    registry: Option<Server>,
}

impl Shop {
    /// `auth` is how the registry wants a login; `None` where there is no registry.
    fn open(auth: &str) -> Option<Self> {
        let program = find("docker-registry", "docker-registry")?;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let serve = |auth: &str| {
            let port = free_port();
            let storage = format!("storage: {{filesystem: {{rootdirectory: {}/data}}}}", root.display());
            let config = format!("version: 0.1\n{storage}\nhttp: {{addr: '127.0.0.1:{port}'}}\n{auth}");
            fs::write(root.join("config.yml"), config).unwrap();
            start(&program, &["serve".to_owned(), format!("{}/config.yml", root.display())], root, port)
        };
        // Before it asks for a login.
        let address = serve("");
        push(&format!("http://127.0.0.1:{}/v2/shop", address.port));
        drop(address);
        let registry = serve(auth);
        let config = format!(
            "environments:\n  test:\n    inventory: hosts\n    hosts: web\n    become_root: false\n    playbooks: {{deploy: site.yml}}\n    \
             coordinator_directory: {0}/coordinator\n    state_file: {0}/{{host}}.json\n    attempts: {{max: 1}}\n    \
             preflight: {{free_mb: 0, timeout: 5, insecure_registries: ['127.0.0.1:{1}']}}\n",
            root.display(),
            registry.port
        );
        for (name, text) in [
            ("rappel.yml", config.as_str()),
            ("hosts", "[web]\nweb1 ansible_connection=local\n"),
            (
                "site.yml",
                "- hosts: web\n  gather_facts: false\n  tasks:\n    - copy: {content: '{{ backend_image }}', dest: '{{ playbook_dir }}/deployed'}\n",
            ),
        ] {
            fs::write(root.join(name), text).unwrap();
        }
        Some(Self { folder, port: registry.port, registry: Some(registry) })
    }

    fn deploy(&self, tag: &str) -> Done {
        let (root, port) = (self.folder.path(), self.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
        command.args(["deploy", "test", &format!("backend_image=127.0.0.1:{port}/shop:{tag}")]).current_dir(root).stdin(Stdio::null());
        command
            .env("HOME", root)
            .env("RAPPEL_STATE_DIR", root.join("state"))
            .env("ANSIBLE_CONFIG", "/dev/null")
            .env_remove("DOCKER_CONFIG");
        finish(command)
    }

    /// What `docker login` leaves.
    fn log_in(&self, password: &str) {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("ci:{password}"));
        fs::create_dir_all(self.folder.path().join(".docker")).unwrap();
        let config = format!(r#"{{"auths": {{"127.0.0.1:{}": {{"auth": "{login}"}}}}}}"#, self.port);
        fs::write(self.folder.path().join(".docker/config.json"), config).unwrap();
    }

    fn deployed(&self) -> bool {
        self.folder.path().join("deployed").exists()
    }
}

/// Pushes an image without layers, as `docker push` does.
fn push(repository: &str) {
    let digest = |bytes: &str| format!("sha256:{}", rappel::wire::Digest::of(bytes.as_bytes()));
    let image = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let answer = ureq::post(&format!("{repository}/blobs/uploads/")).send_empty().unwrap();
    let place = answer.headers()["location"].to_str().unwrap().to_owned();
    ureq::put(&format!("{place}&digest={}", digest(image))).content_type("application/octet-stream").send(image).unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[]}}"#,
        image.len(),
        digest(image)
    );
    ureq::put(&format!("{repository}/manifests/1.0")).content_type(MANIFEST).send(manifest).unwrap();
}

#[test]
fn an_image_that_the_registry_has_is_deployed_and_one_that_it_has_not_stops_before_anything_is_touched() {
    let Some(shop) = Shop::open("") else { return };
    let missing = shop.deploy("2.0");
    assert_eq!(missing.code, 1, "{}", missing.text);
    assert!(missing.text.contains("shop:2.0") && missing.text.contains("the registry has no such image"), "{}", missing.text);
    assert!(!shop.deployed());
    let there = shop.deploy("1.0");
    assert!(there.code == 0 && there.text.contains("sha256:") && shop.deployed(), "{}", there.text);
}

#[test]
fn a_registry_that_wants_a_login_gets_what_docker_login_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("htpasswd");
    // bcrypt of the password below.
    fs::write(&users, "ci:$2b$05$i3pFNXAe5p/Kb7JAVNBviO0FVj3ZJLljRt2f.4F20XaURdp/QZCfu\n").unwrap();
    let Some(shop) = Shop::open(&format!("auth: {{htpasswd: {{realm: shop, path: {}}}}}\n", users.display())) else { return };
    let stranger = shop.deploy("1.0");
    assert!(stranger.code == 0 && stranger.text.contains("it wants a login"), "nobody can say, so it goes on: {}", stranger.text);
    shop.log_in(&format!("{SENTINEL}-wrong"));
    let wrong = shop.deploy("1.0");
    assert!(wrong.text.contains("it wants a login"), "{}", wrong.text);
    shop.log_in(&format!("{SENTINEL}-registry"));
    let known = shop.deploy("1.0");
    assert!(known.code == 0 && known.text.contains("sha256:") && !known.text.contains("it wants a login"), "{}", known.text);
    let missing = shop.deploy("2.0");
    assert!(missing.code == 1 && missing.text.contains("the registry has no such image"), "{}", missing.text);
    let login = base64::engine::general_purpose::STANDARD.encode(format!("ci:{SENTINEL}-registry"));
    for done in [stranger, wrong, known, missing] {
        assert!(!done.text.contains(SENTINEL) && !done.text.contains(&login), "{}", done.text);
    }
}

#[test]
fn a_registry_that_wants_a_token_gets_one_from_where_it_says() {
    let realm = TcpListener::bind("127.0.0.1:0").unwrap();
    let auth = format!("auth: {{silly: {{realm: 'http://{}/token', service: shop}}}}\n", realm.local_addr().unwrap());
    let Some(shop) = Shop::open(&auth) else { return };
    let asked = std::thread::spawn(move || {
        let (mut client, _) = realm.accept().unwrap();
        let mut request = [0; 4096];
        let length = client.read(&mut request).unwrap();
        let body = r#"{"token": "T0KEN"}"#;
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let done = shop.deploy("1.0");
    assert!(done.code == 0 && done.text.contains("sha256:") && !done.text.contains("T0KEN"), "{}", done.text);
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("GET /token?service=shop&scope=repository%3Ashop%3Apull HTTP/1.1"), "{asked}");
}

#[test]
fn a_registry_that_is_away_is_a_warning() {
    let Some(mut shop) = Shop::open("") else { return };
    drop(shop.registry.take());
    let done = shop.deploy("1.0");
    assert!(done.code == 0 && done.text.contains("cannot ask the registry") && shop.deployed(), "{}", done.text);
}
