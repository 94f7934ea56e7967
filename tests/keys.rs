//! Keys, certificates and passwords, through the front door, judged by the programs that use them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::ansible_playbook;

fn has_openssl() -> bool {
    let there =
        Command::new("openssl").arg("version").output().is_ok_and(|done| String::from_utf8_lossy(&done.stdout).starts_with("OpenSSL 3"));
    if !there {
        println!("skipped: openssl 3 is not installed");
    }
    there
}

/// Runs one task: whether it changed something, and what was printed. A dry run before it predicts that, and touches nothing.
fn task(folder: &Path, task: &str) -> (bool, String) {
    let playbook =
        format!("- hosts: localhost\n  gather_facts: false\n  tasks:\n    - {}\n", task.replace("ROOT", &folder.display().to_string()));
    let files = || {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && !path.ends_with("play.yml") && !path.is_symlink())
            .collect();
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = files();
    let (_, predicted) = ansible_playbook(folder, &playbook, &["--check"], &[]);
    assert!(files() == before, "{task}: a dry run touches nothing");
    let (status, told) = ansible_playbook(folder, &playbook, &["-v"], &[]);
    assert_eq!(status, 0, "{task}: {told}");
    let changed = told.contains("changed=1 ");
    assert_eq!(predicted.contains("changed=1 "), changed, "{task}: {predicted}\n{told}");
    (changed, told)
}

fn openssl(folder: &Path, words: &str) -> String {
    let done = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
}

#[test]
fn keys_and_certificates_are_made_once() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("other"), "no key").unwrap();
    for (text, changed) in [
        ("openssl_privatekey: {path: ROOT/ca.key, type: ECC, curve: secp256r1}", true),
        ("community.crypto.openssl_privatekey: {path: ROOT/ca.key, type: ECC, curve: secp256r1}", false),
        ("openssl_privatekey: {path: ROOT/key, size: 2048}", true),
        ("openssl_privatekey: {path: ROOT/key, size: 2048}", false),
        ("openssl_privatekey: {path: ROOT/key, size: 3072, regenerate: never, mode: '0640'}", true),
        ("openssl_privatekey: {path: ROOT/other, type: Ed25519}", true),
        (
            "openssl_csr: {path: ROOT/ca.csr, privatekey_path: ROOT/ca.key, CN: our authority, basicConstraints: ['CA:TRUE'], keyUsage: [keyCertSign], key_usage_critical: true}",
            true,
        ),
        (
            "x509_certificate: {path: ROOT/ca, csr_path: ROOT/ca.csr, privatekey_path: ROOT/ca.key, provider: selfsigned, selfsigned_not_after: +52w}",
            true,
        ),
        (
            "x509_certificate: {path: ROOT/ca, csr_path: ROOT/ca.csr, privatekey_path: ROOT/ca.key, provider: selfsigned, selfsigned_not_after: +53w}",
            false,
        ),
        (
            "openssl_csr: {path: ROOT/csr, privatekey_path: ROOT/key, common_name: \"shop, of $us\", O: '#1', subject: {OU: [a, b]}, subject_alt_name: ['DNS:localhost', 'IP:127.0.0.1']}",
            true,
        ),
        (
            "openssl_csr: {path: ROOT/csr, privatekey_path: ROOT/key, common_name: \"shop, of $us\", O: '#1', subject: {OU: [a, b]}, subject_alt_name: ['DNS:localhost', 'IP:127.0.0.1']}",
            false,
        ),
        (
            "x509_certificate: {path: ROOT/pem, csr_path: ROOT/csr, provider: ownca, ownca_path: ROOT/ca, ownca_privatekey_path: ROOT/ca.key}",
            true,
        ),
        (
            "x509_certificate: {path: ROOT/pem, csr_path: ROOT/csr, provider: ownca, ownca_path: ROOT/ca, ownca_privatekey_path: ROOT/ca.key}",
            false,
        ),
    ] {
        let (did, told) = task(root, text);
        assert_eq!(did, changed, "{text}: {told}");
        assert!(!told.contains("PRIVATE KEY"), "{told}");
    }
    assert_eq!(openssl(root, "verify -CAfile ca -verify_hostname localhost pem"), "pem: OK\n");
    assert_eq!(openssl(root, "req -in csr -noout -subject -nameopt multiline").matches("organizationalUnitName").count(), 2);
    assert!(openssl(root, "x509 -in pem -noout -subject").contains("shop, of $us"));
    assert!(fs::read_to_string(root.join("key")).unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca.key"), mode("key")), (0o600, 0o640));
    let (again, told) = task(root, "openssl_privatekey: {path: ROOT/key, size: 3072, backup: true, return_content: true}");
    assert!(again && told.contains("backup_file") && !told.contains("BEGIN"), "{told}");
    assert!(task(root, "openssl_csr: {path: ROOT/csr, privatekey_path: ROOT/key, common_name: x}").0);
    assert!(task(root, "x509_certificate: {path: ROOT/pem, state: absent}").0 && !root.join("pem").exists());
    let (status, told) = ansible_playbook(
        root,
        &format!(
            "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - openssl_privatekey: {{path: {}/other, size: 2048, regenerate: fail}}\n",
            root.display()
        ),
        &[],
        &[],
    );
    assert!(status == 2 && told.contains("Key has wrong type and/or size"), "{told}");
}

#[test]
fn passwords_for_web_servers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (text, changed, msg) in [
        ("community.general.htpasswd: {path: ROOT/sub/users, name: me, password: the-password, mode: '0640'}", true, "Created"),
        ("htpasswd: {path: ROOT/sub/users, name: me, password: the-password}", false, "me already present"),
        ("htpasswd: {path: ROOT/sub/users, name: me, password: the-password, mode: '0600'}", true, "me already present"),
        ("htpasswd: {path: ROOT/sub/users, name: you, password: other-password, crypt_scheme: ldap_sha1}", true, "Add/update you"),
        ("htpasswd: {path: ROOT/sub/users, name: you, password: other-password}", false, "you already present"),
        ("htpasswd: {path: ROOT/sub/users, name: they, password: the-password, crypt_scheme: md5_crypt}", true, "Add/update they"),
        ("htpasswd: {path: ROOT/sub/users, name: they, password: the-password}", false, "they already present"),
        ("htpasswd: {path: ROOT/sub/users, name: me, state: absent}", true, "Remove me"),
        ("htpasswd: {path: ROOT/sub/users, name: me, state: absent}", false, "me not present"),
    ] {
        let (did, told) = task(root, text);
        assert!(did == changed && told.contains(msg), "{text}: {told}");
        assert!(!told.contains("-password"), "{told}");
    }
    let users = fs::read_to_string(root.join("sub/users")).unwrap();
    assert!(users.starts_with("you:{SHA}") && users.lines().count() == 2 && users.contains("\nthey:$1$"), "{users}");
}
