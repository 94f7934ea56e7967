//! Against a real sshd: what only OpenSSH's own server can show.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rappel::ssh::{Connector, ConnectorOptions, Endpoint, Method, Privilege, Secret};

use super::options;
use crate::support::fault::Proxy;
use crate::support::sshd::{Sshd, keygen, public, text};

/// How to reach `sshd`, whose files are in `folder`; it is made known there.
#[expect(clippy::unwrap_used, reason = "only tests call this")]
pub(super) fn target(sshd: &Sshd, folder: &Path) -> Endpoint {
    let known = folder.join("known_hosts");
    std::fs::write(&known, sshd.known()).unwrap();
    Endpoint {
        host: "127.0.0.1".into(),
        port: Some(sshd.port),
        user: Some(sshd.user.clone()),
        identity_files: vec![sshd.login.clone()],
        ssh_args: format!("-F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none", known.display()),
        ..Endpoint::ssh("real")
    }
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = folder.join("authority");
    keygen(&["-t", "ed25519", "-f", text(&authority)]);
    let trusted = format!("TrustedUserCAKeys {}.pub", authority.display());
    let Some(sshd) = Sshd::start(&folder.join("sshd"), &trusted).await else { return };
    let asked = Arc::new(AtomicUsize::new(0));
    let ask = {
        let asked = Arc::clone(&asked);
        move |_: &Path| {
            asked.fetch_add(1, Ordering::SeqCst);
            Some(Secret::new("open sesame"))
        }
    };
    let connector = Connector::new(ConnectorOptions { ask_passphrase: Some(Arc::new(ask)), ..options(folder) });
    for (name, arguments) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("ecdsa", &["-t", "ecdsa", "-b", "384"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("encrypted", &["-t", "ed25519", "-N", "open sesame"]),
        ("certified", &["-t", "ed25519"]),
    ] {
        let path = folder.join(name);
        keygen(&[arguments, &["-f", text(&path)]].concat());
        if name == "certified" {
            keygen(&["-s", text(&authority), "-I", "tester", "-n", &sshd.user, &format!("{}.pub", text(&path))]);
        } else {
            std::fs::write(&sshd.authorized, public(&path)).unwrap();
        }
        for _ in 0..2 {
            let endpoint = Endpoint { identity_files: vec![path.clone()], ..target(&sshd, folder) };
            let session = connector.connect(&endpoint).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            session.close().await;
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a passphrase is asked for once");
}

#[tokio::test]
async fn a_failed_login_says_what_was_tried_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "MaxAuthTries 3\nPasswordAuthentication yes").await else { return };
    let connector = Connector::new(options(folder));
    let mut paths = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        let path = folder.join(name);
        keygen(&["-t", "ed25519", "-f", text(&path)]);
        paths.push(path);
    }
    std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(&paths[1]).unwrap().permissions(), 0o644);
    std::fs::set_permissions(&paths[1], std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let given = vec![paths[0].clone(), paths[1].clone(), folder.join("missing")];
    let endpoint = Endpoint { identity_files: given, password: Some(Secret::new("not the password")), ..target(&sshd, folder) };
    let text = connector.connect(&endpoint).await.unwrap_err().to_string();
    for part in [
        &format!("{}@127.0.0.1:{}: permission denied (publickey,password)", sshd.user, sshd.port),
        &format!("tried key {}, ", paths[0].display()),
        "two (its permissions 0644 are too open: `chmod 600",
        "missing (no such file), password",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("not the password"), "{text}");
    std::fs::set_permissions(&paths[1], std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let endpoint = Endpoint { identity_files: paths, ..target(&sshd, folder) };
    let text = Connector::new(options(folder)).connect(&endpoint).await.unwrap_err().to_string();
    assert!(text.contains("too many authentication failures") && text.contains("MaxAuthTries"), "{text}");
}

#[tokio::test]
async fn the_ssh_agent_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "").await else { return };
    let socket = folder.join("agent.sock");
    let mut agent =
        std::process::Command::new("ssh-agent").args(["-D", "-a", text(&socket)]).stdout(std::process::Stdio::null()).spawn().unwrap();
    for _ in 0..100 {
        if socket.exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let rsa = folder.join("rsa");
    keygen(&["-t", "rsa", "-b", "2048", "-f", text(&rsa)]);
    let add = |key: &Path| std::process::Command::new("ssh-add").env("SSH_AUTH_SOCK", &socket).args(["-q", text(key)]).status().unwrap();
    assert!(add(&rsa).success());
    std::fs::write(&sshd.authorized, public(&rsa)).unwrap();
    std::fs::rename(&rsa, folder.join("away")).unwrap();
    let with_agent = |only: &str| {
        let base = target(&sshd, folder);
        Endpoint {
            identity_files: Vec::new(),
            ssh_args: format!("{} -o IdentityAgent={} -o IdentitiesOnly={only}", base.ssh_args, socket.display()),
            ..base
        }
    };
    let connector = Connector::new(options(folder));
    connector.connect(&with_agent("no")).await.unwrap();
    let denied = connector.connect(&with_agent("yes")).await.unwrap_err();
    assert!(denied.to_string().contains("tried nothing"), "{denied}");
    // A public key names the agent's private one.
    let named = Endpoint { identity_files: vec![rsa], ..with_agent("yes") };
    connector.connect(&named).await.unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    let gone = Connector::new(options(folder)).connect(&with_agent("no")).await.unwrap_err();
    assert!(gone.to_string().contains("cannot reach the ssh-agent"), "{gone}");
}

#[tokio::test]
async fn noise_before_the_agent_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let noise = "ForceCommand echo welcome; echo warning >&2; printf 'no newline '; exec sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let Some(sshd) = Sshd::start(&folder.path().join("sshd"), noise).await else { return };
    let connector = Connector::new(options(folder.path()));
    for cold in [true, false] {
        let link = connector.connect(&target(&sshd, folder.path())).await.unwrap().agent(None).await.unwrap();
        link.ping().await.unwrap();
        assert_eq!(link.was_cold(), cold);
    }
}

#[tokio::test]
async fn a_login_that_cannot_run_programs_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (forced, wanted) in [
        ("ForceCommand echo This account is currently not available.; exit 1", "This account is currently not available."),
        ("ForceCommand yes", "the login printed more than 64 KiB"),
        ("ForceCommand exit 0", "exit status 0"),
    ] {
        let Some(sshd) = Sshd::start(&folder.path().join(wanted.replace(' ', "-").replace('.', "")), forced).await else { return };
        let session = Connector::new(options(folder.path())).connect(&target(&sshd, folder.path())).await.unwrap();
        let error = session.agent(None).await.unwrap_err().to_string();
        assert!(error.contains("cannot start the agent on `real`") && error.contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn a_server_with_one_program_a_connection_gets_more_connections() {
    let folder = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(&folder.path().join("sshd"), "MaxSessions 1").await else { return };
    let session = Connector::new(options(folder.path())).connect(&target(&sshd, folder.path())).await.unwrap();
    let sudo = folder.path().join("sudo");
    std::fs::write(&sudo, "#!/bin/sh\nwhile [ \"$1\" != sh ]; do shift; done\nexec \"$@\"\n").unwrap();
    std::fs::set_permissions(&sudo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let privilege = Privilege { exe: Some(sudo.display().to_string()), ..Privilege::new(Method::Sudo, "root") };
    let own = session.agent(None).await.unwrap();
    let other = session.agent(Some(&privilege)).await.unwrap();
    own.ping().await.unwrap();
    other.ping().await.unwrap();
    assert_ne!(own.hello().pid, other.hello().pid);
}

#[tokio::test]
async fn a_server_that_drops_connections_gets_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(&folder.path().join("sshd"), "MaxStartups 3:100:3").await else { return };
    let proxy = Proxy::start(sshd.port).await;
    let connector = Connector::new(options(folder.path()));
    let base = target(&sshd, folder.path());
    let endpoint =
        Endpoint { port: Some(proxy.port), ssh_args: format!("{} -o HostKeyAlias=[127.0.0.1]:{}", base.ssh_args, sshd.port), ..base };
    let connecting = (0..12).map(|_| connector.connect(&endpoint));
    for connected in futures::future::join_all(connecting).await {
        connected.unwrap();
    }
    assert!(proxy.connections() >= 12);
}

#[tokio::test]
async fn jump_hosts_are_shared_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(outer) = Sshd::start(&folder.join("outer"), "").await else { return };
    let Some(inner) = Sshd::start(&folder.join("inner"), "").await else { return };
    let Some(closed) = Sshd::start(&folder.join("closed"), "AllowTcpForwarding no").await else { return };
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "").await else { return };
    let proxy = Proxy::start(outer.port).await;
    let known = folder.join("known");
    let lines = [outer.known(), inner.known(), closed.known(), sshd.known()].join("\n");
    std::fs::write(&known, lines).unwrap();
    let config = folder.join("config");
    let alias = |name: &str, sshd: &Sshd, port: u16| {
        format!(
            "Host {name}\nHostName 127.0.0.1\nPort {port}\nHostKeyAlias [127.0.0.1]:{}\nIdentityFile {}\n",
            sshd.port,
            text(&sshd.login)
        )
    };
    let everywhere = format!("Host *\nUser {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n", outer.user, text(&known));
    let lines = [alias("outer", &outer, proxy.port), alias("inner", &inner, inner.port), alias("closed", &closed, closed.port), everywhere];
    std::fs::write(&config, lines.concat()).unwrap();
    let by = |jumps: &str| Endpoint {
        ssh_args: format!("-F {}", text(&config)),
        extra_args: vec![format!("-J {jumps}")],
        ..target(&sshd, folder)
    };
    let connector = Connector::new(options(folder));
    let sessions = futures::future::join_all((0..4).map(|_| async { connector.connect(&by("outer")).await })).await;
    for session in &sessions {
        session.as_ref().unwrap().agent(None).await.unwrap().ping().await.unwrap();
    }
    assert_eq!(proxy.connections(), 1, "a jump host is dialed once");
    connector.connect(&by("outer,inner")).await.unwrap().agent(None).await.unwrap().ping().await.unwrap();
    assert_eq!(proxy.connections(), 1, "and shared by longer ways");
    let error = connector.connect(&by("closed")).await.unwrap_err().to_string();
    assert!(error.contains("the jump host cannot connect to 127.0.0.1") && error.contains("AllowTcpForwarding"), "{error}");
    let stranger = Endpoint { ssh_args: "-F none".into(), ..by(&format!("127.0.0.1:{}", outer.port)) };
    let error = connector.connect(&stranger).await.unwrap_err().to_string();
    assert!(error.starts_with("jump host `127.0.0.1`: the host key of [127.0.0.1]"), "{error}");
    // A jump host that went away is dialed again.
    proxy.cut();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    connector.connect(&by("outer")).await.unwrap();
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_proxy_command_carries_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(outer) = Sshd::start(&folder.join("outer"), "").await else { return };
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "").await else { return };
    let by = |command: &str| {
        let base = target(&sshd, folder);
        Endpoint { ssh_args: format!("{} -o 'ProxyCommand={command}'", base.ssh_args), ..base }
    };
    let ssh = format!(
        "ssh -F none -W %h:%p -p {} -l {} -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null 127.0.0.1",
        outer.port,
        outer.user,
        text(&outer.login)
    );
    let connector = Connector::new(options(folder));
    connector.connect(&by(&ssh)).await.unwrap().agent(None).await.unwrap().ping().await.unwrap();
    let error = connector.connect(&by("/nonexistent/program")).await.unwrap_err().to_string();
    assert!(error.contains("ProxyCommand /nonexistent/program") && error.contains("exit status 127"), "{error}");
}
