//! A real sshd on loopback with a configuration of its own, where one is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running sshd; it ends when dropped.
pub struct Sshd {
    pub port: u16,
    /// Its ed25519 host key; `.pub` beside it.
    pub host_key: PathBuf,
    /// The private key that logs in.
    pub login: PathBuf,
    /// The file of keys that may log in.
    pub authorized: PathBuf,
    /// Who logs in.
    pub user: String,
    program: &'static str,
    config: PathBuf,
    child: Child,
}

impl Sshd {
    /// Starts an sshd whose files are in `folder`, with `extra` lines first in its configuration. `None`, with the reason
    /// printed, where that is not possible.
    pub async fn start(folder: &Path, extra: &str) -> Option<Self> {
        let Some(program) = ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|path| Path::new(path).exists()) else {
            println!("skipped: no sshd is installed");
            return None;
        };
        std::fs::create_dir_all(folder).unwrap();
        // Root's sshd wants it; where it runs as a service, the service makes it.
        let _ = std::fs::create_dir("/run/sshd");
        let (host_key, login) = (folder.join("host_key"), folder.join("login"));
        keygen(&["-t", "ed25519", "-f", text(&host_key)]);
        keygen(&["-t", "ed25519", "-f", text(&login)]);
        let authorized = folder.join("authorized_keys");
        std::fs::copy(folder.join("login.pub"), &authorized).unwrap();
        let port = super::port::free_port();
        let config = folder.join("sshd_config");
        let lines = format!(
            "{extra}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv XDG_CACHE_HOME={}\n",
            host_key.display(),
            authorized.display(),
            folder.join("cache").display()
        );
        std::fs::write(&config, lines).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = launch(program, &config, log);
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| output(Command::new("id").arg("-un")));
        let mut sshd = Self { port, host_key, login, authorized, user, program, config, child };
        if sshd.listens().await {
            return Some(sshd);
        }
        println!("skipped: sshd does not start: {}", std::fs::read_to_string(folder.join("log")).unwrap());
        None
    }

    async fn listens(&mut self) -> bool {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        false
    }

    /// Ends it with all its sessions and what runs in them, at once, as a power cut does.
    pub fn die(&mut self) {
        let mut family = vec![self.child.id()];
        let mut known = 0;
        while known < family.len() {
            known = family.len();
            for (process, parent) in processes() {
                if family.contains(&parent) && !family.contains(&process) {
                    family.push(process);
                }
            }
        }
        for process in family {
            if let Some(process) = rustix::process::Pid::from_raw(process.cast_signed()) {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }

    /// Starts it again on its old port after [`Sshd::die`].
    pub async fn revive(&mut self) {
        let log = std::fs::File::options().append(true).open(self.config.with_file_name("log")).unwrap();
        self.child = launch(self.program, &self.config, log);
        assert!(self.listens().await, "sshd does not start again");
    }

    /// The host's line of a known-hosts file.
    pub fn known(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.port, public(&self.host_key))
    }
}

fn launch(program: &str, config: &Path, log: std::fs::File) -> Child {
    Command::new(program).args(["-D", "-e", "-f", text(config)]).stderr(log).stdin(Stdio::null()).spawn().unwrap()
}

/// All processes, each with its parent.
fn processes() -> Vec<(u32, u32)> {
    let parse = |entry: std::fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((process, parent))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(parse).collect()
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a key without a passphrase, unless `arguments` hold one.
pub fn keygen(arguments: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").args(arguments);
    if !arguments.contains(&"-N") && arguments.contains(&"-t") {
        command.args(["-N", ""]);
    }
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "ssh-keygen {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The public half of a key file.
pub fn public(path: &Path) -> String {
    let line = std::fs::read_to_string(format!("{}.pub", path.display())).unwrap();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn output(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
}
