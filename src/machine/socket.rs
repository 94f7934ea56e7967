//! HTTP over a socket of the host: how the Docker Engine is spoken to.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::http::Answer;

/// One request.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// The path with its query.
    pub path: &'a str,
    /// Headers beside the necessary ones.
    pub headers: &'a [(String, String)],
    /// What is sent; JSON when it is not empty.
    pub body: &'a [u8],
    /// How long the service may be silent.
    pub patience: Duration,
}

/// A service that listens on a socket of the host.
#[derive(Clone, Debug)]
pub struct Socket {
    /// The socket.
    pub path: PathBuf,
}

impl Socket {
    /// Sends a request, and reads the whole answer.
    ///
    /// # Errors
    /// Why there is no answer. An answer that says no is an answer.
    pub fn ask(&self, message: &Message<'_>) -> Result<Answer, String> {
        let failed = |what: &str, error: std::io::Error| format!("cannot {what} {}: {error}", self.path.display());
        let mut stream = UnixStream::connect(&self.path).map_err(|error| failed("connect to", error))?;
        stream.set_read_timeout(Some(message.patience)).map_err(|error| failed("set up", error))?;
        // Of version 1.0 the answer ends with the connection, and is never in chunks.
        let mut head = format!("{} {} HTTP/1.0\r\nHost: localhost\r\n", message.method, message.path);
        for (name, value) in message.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let json = message.headers.iter().all(|(name, _)| name != "Content-Type") && !message.body.is_empty();
        if json {
            head.push_str("Content-Type: application/json\r\n");
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", message.body.len()));
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(message.body)).map_err(|error| failed("write to", error))?;
        let mut bytes = Vec::new();
        stream.take(super::MAX_OUTPUT as u64).read_to_end(&mut bytes).map_err(|error| failed("read from", error))?;
        parse(&bytes).ok_or_else(|| format!("{} did not answer as HTTP", self.path.display()))
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let mut lines = head.split("\r\n");
    let mut status = lines.next()?.strip_prefix("HTTP/1.")?.splitn(3, ' ').skip(1);
    let number = status.next()?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Some(Answer {
        status: number,
        reason: status.next().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: bytes.get(end + 4..)?.to_vec(),
        ..Answer::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\nContent-Type: application/json\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.reason.as_str(), answer.body.as_slice()), (404, "Not Found", b"{}".as_slice()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(parse(b"SSH-2.0-x\r\n").is_none());
    }
}
