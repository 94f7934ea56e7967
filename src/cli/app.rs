//! `rappel __app`: the application that `rappel demo` and the tests deploy. One thread for each request, nothing but std.
//!
//! A backend answers `/actuator/health`, `/actuator/health/db` and `/version`; a frontend `/`, `/api/health` (by asking its backend)
//! and `/version`. While the faults file names a version, the application is DOWN when it is that version.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

/// How long either side of a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Plays an application.
#[derive(Clone, Debug, Args)]
pub struct App {
    /// Which tier to play
    #[arg(long)]
    role: Role,
    /// Where to listen
    #[arg(long)]
    port: u16,
    /// On which address; in a container it is all of them
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// The version to report
    #[arg(long)]
    version: String,
    /// A file that lists the versions which are not well on this host
    #[arg(long)]
    faults: Option<PathBuf>,
    /// Where the frontend asks for health
    #[arg(long, env = "APP_BACKEND")]
    backend: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Backend,
    Frontend,
}

impl App {
    /// Serves until the process is ended.
    ///
    /// # Errors
    /// The port cannot be had.
    pub fn serve(self) -> io::Result<()> {
        let listener = TcpListener::bind((self.address, self.port))?;
        self.serve_on(&listener);
        Ok(())
    }

    fn serve_on(self, listener: &TcpListener) {
        let app = Arc::new(self);
        for stream in listener.incoming() {
            let app = Arc::clone(&app);
            // A client that goes away in the middle is nothing to speak of.
            std::thread::spawn(move || stream.and_then(|stream| app.answer(stream)));
        }
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?.take(64 << 10));
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        // The head is read to its end, or closing would reset the connection.
        while reader.read_line(&mut line)? > 0 && !line.ends_with("\r\n\r\n") && !line.ends_with("\n\n") {}
        let (status, body) = self.respond(&path);
        let body = body.to_string();
        let reason = if status == 200 { "OK" } else { "Error" };
        let mut head = String::new();
        let _ = write!(
            head,
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())
    }

    fn respond(&self, path: &str) -> (u16, Json) {
        let up = |up: bool| if up { (200, json!({"status": "UP"})) } else { (503, json!({"status": "DOWN"})) };
        match (self.role, path.split('?').next().unwrap_or_default()) {
            (_, "/version") => (200, json!({"version": self.version})),
            (Role::Backend, "/actuator/health" | "/actuator/health/db") => up(self.is_well()),
            (Role::Frontend, "/") => (200, json!({"name": "frontend", "version": self.version})),
            (Role::Frontend, "/api/health") => up(self.is_well() && self.backend.as_deref().is_none_or(backend_is_up)),
            _ => (404, json!({"error": "not found"})),
        }
    }

    fn is_well(&self) -> bool {
        let faults = self.faults.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        !faults.split_whitespace().any(|version| version == self.version)
    }
}

fn backend_is_up(address: &str) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /actuator/health HTTP/1.1\r\nHost: backend\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(64 << 10).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(role: Role, version: &str, faults: Option<PathBuf>, backend: Option<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = App { role, port: 0, address: IpAddr::from([127, 0, 0, 1]), version: version.into(), faults, backend };
        std::thread::spawn(move || app.serve_on(&listener));
        address
    }

    fn get(address: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nUser-Agent: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, answer.rsplit("\r\n").next().unwrap().to_owned())
    }

    #[test]
    fn both_tiers_answer_and_a_fault_is_of_one_version() {
        let directory = tempfile::tempdir().unwrap();
        let faults = directory.path().join("faults");
        let old = start(Role::Backend, "1.0", Some(faults.clone()), None);
        let new = start(Role::Backend, "2.0", Some(faults.clone()), None);
        let front = start(Role::Frontend, "2.0", None, Some(new.clone()));
        assert_eq!(get(&new, "/version"), (200, "{\"version\":\"2.0\"}".into()));
        assert_eq!((get(&front, "/").0, get(&front, "/api/health").0, get(&front, "/nothing").0), (200, 200, 404));
        fs::write(&faults, "2.0\n").unwrap();
        assert_eq!(get(&old, "/actuator/health"), (200, "{\"status\":\"UP\"}".into()));
        assert_eq!(get(&new, "/actuator/health"), (503, "{\"status\":\"DOWN\"}".into()));
        assert_eq!((get(&new, "/actuator/health/db").0, get(&front, "/api/health").0), (503, 503));
    }
}
