//! The SSH layer: against the lab's hosts, and against a real sshd where there is one.

mod faults;
mod keys;
mod others;
mod real;
mod shipped;
mod terms;

use std::path::Path;
use std::time::Duration;

use rappel::lab::{Fleet, Host};
use rappel::ssh::{Blobs, Connector, ConnectorOptions, Endpoint, Method, Privilege, Secret};
use rappel::wire::{Call, Digest, Value};

use crate::support::agent_script;

/// A connector that depends on nothing outside `folder`.
pub(crate) fn options(folder: &Path) -> ConnectorOptions {
    ConnectorOptions {
        agent: Some(agent_script(folder)),
        local_agent: Some(env!("CARGO_BIN_EXE_rappel").into()),
        home: Some(folder.to_owned()),
        ssh_config: Some("none".into()),
        ssh_agent: Some("none".into()),
        ..ConnectorOptions::default()
    }
}

/// How to reach `host` of `fleet`, by way of `port`.
pub(crate) fn endpoint(fleet: &Fleet, host: &Host, port: u16) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".into(),
        port: Some(port),
        user: Some("lab".into()),
        identity_files: vec![fleet.key()],
        ssh_args: format!("{} -o HostKeyAlias=[127.0.0.1]:{}", fleet.ssh_args(), host.port),
        ..Endpoint::ssh(&host.name)
    }
}

/// A call of a module whose parameters are text.
pub(crate) fn call(module: &str, params: &[(&str, &str)]) -> Call {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    Call { module: module.into(), params, ..Call::default() }
}

#[tokio::test]
async fn one_connection_and_one_agent_serve_many_calls() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let connector = Connector::new(options(folder.path()));
    let session = connector.connect(&endpoint(&fleet, host, host.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    assert!(link.was_cold());
    for text in ["a", "b"] {
        let outcome = link.call(call("ping", &[("data", text)]), &Blobs::default(), None).await.unwrap().unwrap();
        assert_eq!(outcome.data["ping"], text.into());
    }
    assert!(std::sync::Arc::ptr_eq(&link, &session.agent(None).await.unwrap()));
    session.close().await;

    let again = connector.connect(&endpoint(&fleet, host, host.port)).await.unwrap();
    assert!(!again.agent(None).await.unwrap().was_cold(), "the agent is kept on the host");
    let files: Vec<_> = std::fs::read_dir(host.home.join(".cache/rappel")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    again.close().await;
    fleet.stop().await;
}

#[tokio::test]
async fn the_local_host_needs_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let connector = Connector::new(options(folder.path()));
    let session = connector.connect(&Endpoint::local("localhost")).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let outcome = link.call(call("ping", &[]), &Blobs::default(), None).await.unwrap().unwrap();
    assert_eq!(outcome.data["ping"], "pong".into());
    let done = session.exec("cat; echo err >&2; exit 3", b"in", None).await.unwrap();
    assert_eq!((done.status, done.stdout.as_slice(), done.stderr.as_slice()), (3, &b"in"[..], &b"err\n"[..]));
}

#[tokio::test]
async fn raw_commands_need_no_agent() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, host.port)).await.unwrap();
    let done = session.exec("echo $LAB_HOST; cat; echo err >&2; exit 3", b"in", None).await.unwrap();
    assert_eq!((done.status, done.stdout.as_slice(), done.stderr.as_slice()), (3, &b"lab1\nin"[..], &b"err\n"[..]));
    let started = std::time::Instant::now();
    let daemon = session.exec("sleep 20 & echo up", b"", None).await.unwrap();
    assert_eq!((daemon.status, daemon.stdout.as_slice()), (0, &b"up\n"[..]));
    assert!(started.elapsed() < Duration::from_secs(10), "a daemon that holds the output open must not hold us up");
    let killed = session.exec("kill -9 $$", b"", None).await.unwrap();
    assert!(killed.status != 0);
}

#[tokio::test]
async fn passwords_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let connector = Connector::new(options(folder.path()));
    for method in ["password", "keyboard-interactive"] {
        for (password, good) in [(fleet.password(), true), ("wrong", false)] {
            let base = endpoint(&fleet, host, host.port);
            let endpoint = Endpoint {
                identity_files: Vec::new(),
                password: Some(Secret::new(password)),
                ssh_args: format!("{} -o PreferredAuthentications={method}", base.ssh_args),
                ..base
            };
            match connector.connect(&endpoint).await {
                Ok(_) => assert!(good),
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        !good && text.contains("permission denied (publickey,") && text.ends_with(&format!("tried {method}")),
                        "{text}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn the_agent_finds_a_place_and_old_modes_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let connector = Connector::new(options(folder.path()));
    // Eight controllers at once, on a host that has never seen the agent.
    let cold = (0..8).map(|_| async {
        let session = connector.connect(&endpoint(&fleet, host, host.port)).await.unwrap();
        session.agent(None).await.unwrap().ping().await.unwrap();
    });
    futures::future::join_all(cold).await;
    let cache = host.home.join(".cache/rappel");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1, "nothing but the agent is left");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&cache).unwrap().permissions()) & 0o777, 0o700);
    // The folder's privacy is not handed on to what tasks create.
    for _cold in [true, false] {
        let session = connector.connect(&endpoint(&fleet, host, host.port)).await.unwrap();
        let link = session.agent(None).await.unwrap();
        let outcome = link.call(call("command", &[("cmd", "sh -c umask")]), &Blobs::default(), None).await.unwrap().unwrap();
        assert_eq!(outcome.data["stdout"], "0022".into());
        std::fs::remove_dir_all(&cache).unwrap();
    }
    // A home that cannot be written to.
    std::fs::remove_dir_all(host.home.join(".cache")).unwrap();
    std::fs::write(host.home.join(".cache"), "").unwrap();
    let session = connector.connect(&endpoint(&fleet, host, host.port)).await.unwrap();
    session.agent(None).await.unwrap().ping().await.unwrap();
    assert_eq!(std::fs::metadata(host.home.join(".cache")).unwrap().len(), 0);
    let digest = Digest::of(&std::fs::read(agent_script(folder.path())).unwrap()).to_string();
    let kept = format!("/var/tmp/rappel-{}/agent-{}", session.agent(None).await.unwrap().hello().uid, &digest[..32]);
    std::fs::remove_file(kept).unwrap();
}

#[tokio::test]
async fn a_fleet_answers_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(50, &folder.path().join("fleet")).await.unwrap();
    let connector = Connector::new(options(folder.path()));
    let hosts = fleet.hosts().iter().map(|host| async {
        let session = connector.connect(&endpoint(&fleet, host, host.port)).await.unwrap();
        let link = session.agent(None).await.unwrap();
        for _ in 0..20 {
            link.call(call("ping", &[]), &Blobs::default(), None).await.unwrap().unwrap();
        }
        session.close().await;
    });
    futures::future::join_all(hosts).await;
    assert_eq!(fleet.inventory().matches("ansible_port=").count(), 50);
    fleet.hosts()[0].stop_answering();
    let error = connector.connect(&endpoint(&fleet, &fleet.hosts()[0], fleet.hosts()[0].port)).await.unwrap_err();
    assert!(error.to_string().contains("closed the connection"), "{error}");
    fleet.hosts()[0].start_answering();
    connector.connect(&endpoint(&fleet, &fleet.hosts()[0], fleet.hosts()[0].port)).await.unwrap();
    fleet.stop().await;
}

/// Stands in for sudo: asks as sudo does, on standard error, and reads the password byte by byte as sudo does.
const SUDO: &str = r#"#!/bin/sh
prompt= user= stdin= quiet=
while [ $# -gt 0 ]; do
  case $1 in -p) prompt=$2; shift 2;; -u) user=$2; shift 2;; -S) stdin=1; shift;; -n) quiet=1; shift;; -*) shift;; *) break;; esac
done
case $user in
  free) exec "$@";;
  nobody-there) echo "sudo: unknown user $user" >&2; exit 1;;
  never) echo "lab is not in the sudoers file." >&2; exit 1;;
esac
[ "$quiet" ] && { echo "sudo: a password is required" >&2; exit 1; }
for try in 1 2 3; do
  printf %s "$prompt" >&2
  read -r password || exit 1
  [ "$password" = "s3cr et'" ] && exec "$@"
  echo "Sorry, try again." >&2
done
echo "sudo: 3 incorrect password attempts" >&2; exit 1
"#;

#[tokio::test]
async fn become_asks_for_the_password_and_explains_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let sudo = folder.path().join("sudo");
    std::fs::write(&sudo, SUDO).unwrap();
    std::fs::set_permissions(&sudo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let become_user = |user: &str, password: Option<&str>| Privilege {
        exe: Some(sudo.display().to_string()),
        password: password.map(Secret::new),
        ..Privilege::new(Method::Sudo, user)
    };
    let connector = Connector::new(options(folder.path()));
    for target in [endpoint(&fleet, host, host.port), Endpoint::local("localhost")] {
        let session = connector.connect(&target).await.unwrap();
        for (user, password, wanted) in [
            ("free", None, ""),
            ("root", Some("s3cr et'"), ""),
            ("other", None, "Missing sudo password"),
            ("third", Some("wrong"), "Incorrect sudo password"),
            ("never", Some("x"), "not allowed: lab is not in the sudoers file."),
            ("nobody-there", Some("x"), "no such user"),
        ] {
            let privilege = become_user(user, password);
            match session.agent(Some(&privilege)).await {
                Ok(link) => {
                    assert_eq!(wanted, "", "{user}");
                    link.ping().await.unwrap();
                    let done = session.exec("cat; pwd >/dev/null", b"for the command", Some(&privilege)).await.unwrap();
                    assert_eq!((done.status, done.stdout.as_slice(), done.stderr.as_slice()), (0, &b"for the command"[..], &b""[..]));
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(!wanted.is_empty() && text.contains(wanted), "{user}: {text}");
                    assert!(!text.contains("s3cr") && !text.contains("wrong"), "{text}");
                }
            }
        }
    }
}
