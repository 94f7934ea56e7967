//! Servers that are not OpenSSH's: Dropbear and `AsyncSSH`, where they are installed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rappel::ssh::{Blobs, Connector, Endpoint, Secret};

use super::{call, options};
use crate::support::sshd::{keygen, public, text};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn keys(folder: &Path) {
    keygen(&["-t", "ed25519", "-f", text(&folder.join("host_key"))]);
    keygen(&["-t", "ed25519", "-f", text(&folder.join("login"))]);
}

fn endpoint(folder: &Path, port: u16, known: &str) -> Endpoint {
    std::fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{port} {known}")).unwrap();
    Endpoint {
        host: "127.0.0.1".into(),
        port: Some(port),
        user: Some(std::env::var("USER").unwrap_or_else(|_| "root".into())),
        identity_files: vec![folder.join("login")],
        ssh_args: format!("-F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none", folder.join("known_hosts").display()),
        ..Endpoint::ssh("other")
    }
}

/// Everything that a run asks of a server: the agent comes up, works, and takes files larger than any window.
async fn serves(folder: &Path, endpoint: &Endpoint) {
    let session = Connector::new(options(folder)).connect(endpoint).await.unwrap();
    let link = session.agent(None).await.unwrap();
    link.ping().await.unwrap();
    let (source, target) = (folder.join("source"), folder.join("target"));
    std::fs::write(&source, (0..=250).cycle().take(5 << 20).collect::<Vec<u8>>()).unwrap();
    let mut blobs = Blobs::default();
    let blob = blobs.add_file(&source).unwrap();
    let mut copy = call("copy", &[("src", text(&source)), ("dest", text(&target))]);
    copy.blobs = vec![("src".to_owned(), blob)];
    assert!(link.call(copy, &blobs, None).await.unwrap().unwrap().changed);
    assert!(std::fs::read(&source).unwrap() == std::fs::read(&target).unwrap());
    std::fs::remove_file(&target).unwrap(); // whoever logs in another way copies it too
    let raw = session.exec("cat; echo err >&2; exit 3", b"in", None).await.unwrap();
    assert_eq!((raw.status, raw.stdout.as_slice(), raw.stderr.as_slice()), (3, &b"in"[..], &b"err\n"[..]));
    session.close().await;
}

#[tokio::test]
async fn dropbear_serves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let here = |program: &str| ["/usr/sbin", "/usr/bin"].map(|place| Path::new(place).join(program)).into_iter().find(|path| path.exists());
    let (Some(dropbear), Some(dropbearkey)) = (here("dropbear"), here("dropbearkey")) else {
        println!("skipped: no Dropbear is installed");
        return;
    };
    keys(folder);
    let host_key = folder.join("dropbear_key");
    let made = Command::new(dropbearkey).args(["-t", "ed25519", "-f", text(&host_key)]).output().unwrap();
    let known = String::from_utf8(made.stdout).unwrap().lines().find(|line| line.starts_with("ssh-")).unwrap().to_owned();
    let port = crate::support::port::free_port();
    // It reads the keys of the account's own home: a folder of ours lies over that, and nobody else sees it.
    let script = "mount --bind \"$0\" \"$1\" && exec \"$2\" -F -E -p \"127.0.0.1:$3\" -r \"$4\" -P \"$5\"";
    let home = std::env::home_dir().unwrap().join(".ssh");
    let over = folder.join("dot-ssh");
    std::fs::create_dir(&over).unwrap();
    std::fs::set_permissions(&over, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(over.join("authorized_keys"), public(&folder.join("login"))).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, text(&over), text(&home), text(&dropbear), &port.to_string(), text(&host_key)]);
    let log = std::fs::File::create(folder.join("log")).unwrap();
    command.arg(folder.join("pid")).env("XDG_CACHE_HOME", folder.join("cache")).stdin(Stdio::null()).stderr(log);
    let mut running = Running(command.spawn().unwrap());
    let mut listening = false;
    for _ in 0..200 {
        listening = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        if listening || running.0.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    if !listening {
        println!("skipped: Dropbear does not start with keys of ours: {}", std::fs::read_to_string(folder.join("log")).unwrap());
        return;
    }
    serves(folder, &endpoint(folder, port, &known)).await;
}

#[tokio::test]
async fn asyncssh_serves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let has = |python: &&str| Command::new(python).args(["-c", "import asyncssh"]).output().is_ok_and(|done| done.status.success());
    let Some(python) = ["target/tools/bin/python3", "python3"].into_iter().find(has) else {
        println!("skipped: no Python has asyncssh");
        return;
    };
    keys(folder);
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ssh/asyncssh_server.py");
    let mut running = Running(Command::new(python).arg(server).arg(folder).stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let known = public(&folder.join("host_key"));
    let by_key = endpoint(folder, port.trim().parse().unwrap(), &known);
    serves(folder, &by_key).await;
    let by_password = Endpoint { identity_files: Vec::new(), password: Some(Secret::new("open sesame")), ..by_key };
    serves(folder, &by_password).await;
}
