//! Host keys: which are accepted, which refused, and in what words.

use rappel::ssh::{Connector, Endpoint};

use super::options;
use super::real::target;
use crate::support::sshd::{Sshd, keygen, public, text};

#[tokio::test]
async fn host_keys_are_checked_as_openssh_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (rsa, other, authority) = (folder.join("rsa"), folder.join("other"), folder.join("authority"));
    keygen(&["-t", "rsa", "-b", "2048", "-f", text(&rsa)]);
    keygen(&["-t", "ed25519", "-f", text(&other)]);
    keygen(&["-t", "ed25519", "-f", text(&authority)]);
    let Some(sshd) = Sshd::start(&folder.join("sshd"), &format!("HostKey {}", text(&rsa))).await else { return };
    let name = format!("[127.0.0.1]:{}", sshd.port);
    let (own, rsa, other) = (public(&sshd.host_key), public(&rsa), public(&other));
    let hashed = folder.join("hashed");
    std::fs::write(&hashed, format!("{name} {own}\n")).unwrap();
    keygen(&["-H", "-f", text(&hashed)]);
    let hashed = std::fs::read_to_string(hashed).unwrap();
    assert!(hashed.starts_with("|1|"));
    let changed = "HOST IDENTIFICATION HAS CHANGED";
    for (what, lines, options_, wanted) in [
        ("its key", format!("{name} {own}"), "", ""),
        ("its other key: the algorithm is chosen by what is known", format!("{name} {rsa}"), "", ""),
        ("hashed", hashed, "", ""),
        ("a wildcard", format!("other,[127.*]:* {own}"), "", ""),
        ("tabs and comments", format!("# {name}\n\n{name}\t{own}\tcomment"), "", ""),
        ("without the port", format!("127.0.0.1 {own}"), "", ""),
        ("an alias", format!("alias {own}"), "-o HostKeyAlias=alias", ""),
        ("nothing", String::new(), "", "is not known (ssh-ed25519 SHA256:"),
        ("a negated pattern", format!("!{name},[127.*]:* {own}"), "", "is not known"),
        ("another host's key", format!("[127.0.0.2]:{} {own}", sshd.port), "", "is not known"),
        ("another key", format!("# comment\n{name} {other}"), "", changed),
        ("another key, accepting new ones", format!("{name} {other}"), "-o StrictHostKeyChecking=accept-new", changed),
        ("another key, accepting all", format!("{name} {other}"), "-o StrictHostKeyChecking=no", ""),
        ("revoked", format!("{name} {own}\n@revoked * {own}"), "", "is revoked in"),
        ("revoked, accepting all", format!("@revoked * {own}"), "-o StrictHostKeyChecking=no", "is revoked in"),
    ] {
        let base = target(&sshd, folder);
        let known = folder.join("known_hosts");
        std::fs::write(&known, lines).unwrap();
        let endpoint = Endpoint { ssh_args: format!("{} {options_}", base.ssh_args), ..base };
        match Connector::new(options(folder)).connect(&endpoint).await {
            Ok(_) => assert_eq!(wanted, "", "{what}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!wanted.is_empty() && text.contains(wanted), "{what}: {text}");
                match wanted {
                    "is not known" => assert!(error.help().unwrap().contains(&format!("ssh-keyscan -p {} 127.0.0.1 >>", sshd.port))),
                    _ if text.contains("CHANGED") => {
                        assert!(text.contains("known_hosts:") && error.help().unwrap().contains("ssh-keygen -R"));
                    }
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn new_host_keys_are_written_down_when_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "").await else { return };
    let base = target(&sshd, folder);
    let known = folder.join("known_hosts");
    for hash in ["no", "yes"] {
        std::fs::write(&known, "# no end of line").unwrap();
        let accepting = format!("{} -o StrictHostKeyChecking=accept-new -o HashKnownHosts={hash}", base.ssh_args);
        let connector = Connector::new(options(folder));
        for _ in 0..2 {
            connector.connect(&Endpoint { ssh_args: accepting.clone(), ..base.clone() }).await.unwrap();
        }
        let written = std::fs::read_to_string(&known).unwrap();
        assert_eq!(written.lines().count(), 2, "{written}");
        assert_eq!(written.lines().nth(1).unwrap().starts_with("|1|"), hash == "yes", "{written}");
        assert!(written.contains(&public(&sshd.host_key)));
        Connector::new(options(folder)).connect(&base).await.unwrap();
    }
    std::fs::write(&known, "").unwrap();
    Connector::new(options(folder)).connect(&Endpoint { host_key_checking: Some(false), ..base.clone() }).await.unwrap();
}

#[tokio::test]
async fn host_certificates_are_trusted_by_their_authority() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (authority, other) = (folder.join("authority"), folder.join("other"));
    keygen(&["-t", "ed25519", "-f", text(&authority)]);
    keygen(&["-t", "ed25519", "-f", text(&other)]);
    for (what, principal, validity, authority_line, wanted) in [
        ("good", "127.0.0.1", "+1h", &authority, ""),
        ("another host's", "web2", "+1h", &authority, "it is for web2"),
        ("expired", "127.0.0.1", "20200101:20200102", &authority, "it has expired"),
        ("another authority's", "127.0.0.1", "+1h", &other, "is not known"),
    ] {
        let place = folder.join(what.replace([' ', '\''], "-"));
        let certificate = place.join("host_key-cert.pub");
        let Some(first) = Sshd::start(&place, "").await else { return };
        keygen(&["-s", text(&authority), "-I", "host", "-h", "-n", principal, "-V", validity, &format!("{}.pub", text(&first.host_key))]);
        let key = folder.join(format!("{}-key", what.replace([' ', '\''], "-")));
        std::fs::copy(&first.host_key, &key).unwrap();
        std::fs::copy(&certificate, format!("{}-cert.pub", text(&key))).unwrap();
        drop(first);
        let lines = format!("HostKey {}\nHostCertificate {}-cert.pub", text(&key), text(&key));
        let Some(sshd) = Sshd::start(&place.join("again"), &lines).await else { return };
        let base = target(&sshd, folder);
        std::fs::write(folder.join("known_hosts"), format!("@cert-authority *,[*]:* {}\n", public(authority_line))).unwrap();
        match Connector::new(options(folder)).connect(&base).await {
            Ok(_) => assert_eq!(wanted, "", "{what}"),
            Err(error) => assert!(!wanted.is_empty() && error.to_string().contains(wanted), "{what}: {error}"),
        }
    }
}
