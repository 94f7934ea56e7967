//! What servers and hosts make a condition: algorithms, addresses, certificates, new keys on the way, disks that take no program.

use std::path::Path;

use rappel::ssh::{Blobs, Connector, Endpoint};
use rappel::wire::Digest;

use super::real::target;
use super::{call, options};
use crate::support::agent_script;
use crate::support::sshd::{Sshd, keygen, text};

fn with(sshd: &Sshd, folder: &Path, arguments: &str) -> Endpoint {
    let base = target(sshd, folder);
    Endpoint { ssh_args: format!("{} {arguments}", base.ssh_args), ..base }
}

#[tokio::test]
async fn algorithms_are_those_that_both_sides_allow() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let terms = "Ciphers aes256-ctr\nMACs hmac-sha2-512-etm@openssh.com\nKexAlgorithms ecdh-sha2-nistp256";
    let Some(sshd) = Sshd::start(&folder.join("sshd"), terms).await else { return };
    let connector = Connector::new(options(folder));
    connector.connect(&with(&sshd, folder, "-o Compression=yes")).await.unwrap().agent(None).await.unwrap().ping().await.unwrap();
    let same =
        "-o Ciphers=aes256-ctr -o MACs=hmac-sha2-512-etm@openssh.com -o KexAlgorithms=ecdh-sha2-nistp256 -o HostKeyAlgorithms=ssh-ed25519";
    connector.connect(&with(&sshd, folder, same)).await.unwrap();
    for (argument, what) in [
        ("-o Ciphers=aes128-gcm@openssh.com", "cipher"),
        ("-o KexAlgorithms=curve25519-sha256", "key exchange"),
        ("-o HostKeyAlgorithms=rsa-sha2-512", "host key"),
    ] {
        let error = connector.connect(&with(&sshd, folder, argument)).await.unwrap_err().to_string();
        assert!(error.to_lowercase().contains(what), "{argument}: {error}");
    }
}

#[tokio::test]
async fn keys_are_made_anew_while_data_flows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "RekeyLimit 256K").await else { return };
    let session = Connector::new(options(folder)).connect(&target(&sshd, folder)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let (source, there) = (folder.join("source"), folder.join("there"));
    std::fs::write(&source, (0..=250).cycle().take(8 << 20).collect::<Vec<u8>>()).unwrap();
    let mut blobs = Blobs::default();
    let blob = blobs.add_file(&source).unwrap();
    let mut copy = call("copy", &[("src", text(&source)), ("dest", text(&there))]);
    copy.blobs = vec![("src".to_owned(), blob)];
    assert!(link.call(copy, &blobs, None).await.unwrap().unwrap().changed);
    assert!(std::fs::read(&source).unwrap() == std::fs::read(&there).unwrap());
    let back = session.exec(&format!("cat {}", there.display()), b"", None).await.unwrap();
    assert!(back.stdout == std::fs::read(&source).unwrap());
}

#[tokio::test]
async fn the_own_address_and_the_certificate_are_those_that_were_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = folder.join("authority");
    keygen(&["-t", "ed25519", "-f", text(&authority)]);
    let trusted = format!("TrustedUserCAKeys {}.pub", authority.display());
    let Some(sshd) = Sshd::start(&folder.join("sshd"), &trusted).await else { return };
    let connector = Connector::new(options(folder));
    let session = connector.connect(&with(&sshd, folder, "-o BindAddress=127.0.0.9")).await.unwrap();
    let seen = session.exec("echo $SSH_CONNECTION", b"", None).await.unwrap().stdout;
    assert!(String::from_utf8(seen).unwrap().starts_with("127.0.0.9 "));

    let key = folder.join("key");
    keygen(&["-t", "ed25519", "-f", text(&key)]);
    keygen(&["-s", text(&authority), "-I", "tester", "-n", &sshd.user, &format!("{}.pub", text(&key))]);
    let elsewhere = folder.join("elsewhere.pub");
    std::fs::rename(folder.join("key-cert.pub"), &elsewhere).unwrap();
    let plain = Endpoint { identity_files: vec![key], ..target(&sshd, folder) };
    let error = connector.connect(&plain).await.unwrap_err().to_string();
    assert!(error.contains("permission denied"), "{error}");
    let certified = Endpoint { ssh_args: format!("{} -o CertificateFile={}", plain.ssh_args, elsewhere.display()), ..plain };
    connector.connect(&certified).await.unwrap();
}

/// A login whose cache is a small disk of its own, mounted with `options` and filled by `fill`.
fn disk(options: &str, fill: &str) -> String {
    format!(
        "ForceCommand unshare -m sh -c 'mkdir -p \"$XDG_CACHE_HOME\" && mount -t tmpfs -o {options} tmpfs \"$XDG_CACHE_HOME\" && {fill} && exec sh -c \"$SSH_ORIGINAL_COMMAND\"'"
    )
}

#[tokio::test]
async fn a_disk_that_runs_nothing_or_has_no_room_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, options_, fill) in
        [("noexec", "noexec", "true"), ("full", "size=4k", "mkdir $XDG_CACHE_HOME/rappel && head -c 4096 /dev/zero >$XDG_CACHE_HOME/full")]
    {
        let Some(sshd) = Sshd::start(&folder.join(name), &disk(options_, fill)).await else { return };
        let session = Connector::new(options(folder)).connect(&target(&sshd, folder)).await.unwrap();
        let mounted = session.exec("echo mounted", b"", None).await.unwrap();
        if mounted.stdout != b"mounted\n" {
            println!("skipped: cannot mount: {}", String::from_utf8_lossy(&mounted.stderr));
            return;
        }
        let link = session.agent(None).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        link.ping().await.unwrap();
        let digest = Digest::of(&std::fs::read(agent_script(folder)).unwrap()).to_string();
        let places = ["/var/tmp", "/dev/shm"].map(|place| format!("{place}/rappel-{}/agent-{}", link.hello().uid, &digest[..32]));
        assert!(places.iter().any(|place| std::fs::remove_file(place).is_ok()), "{name}: it is elsewhere");
        session.close().await;
    }
}
