//! HTTP, for the modules that fetch and ask: one request, its redirects, one answer.
//!
//! Only TLS is a library's, in a program of its own. A whole HTTP library would add a quarter of a megabyte to a worker that is sent
//! to every host, most of it for what one request over one connection never needs.

mod connect;
mod digest;
mod message;
mod tls;
mod tunnel;
mod url;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use connect::{Stream, dial};
use message::Outgoing;
pub use message::basic;
pub(super) use tls::secured;
pub use tunnel::{Find, Tunnel, find_tls, find_tls_by};
use url::Url;

use super::Machine;

/// A larger answer is refused instead of filling the memory, in bytes.
const LARGEST: u64 = 512 << 20;

/// One request.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// `GET`, or any other word.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Vec<u8>,
    /// For connecting, and for every wait on the server, as in Python.
    pub timeout: Duration,
    /// Redirects that are followed; 0 to take the redirect itself as the answer.
    pub redirects: u32,
    /// Follow redirects only as Python's own `urllib` does: those of `POST` that make it a `GET`, and those of `GET` and `HEAD`.
    pub plain_redirects: bool,
    /// Whether certificates are checked.
    pub validate: bool,
    /// Certificates to trust instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// Whether `http_proxy` and its like count.
    pub proxy: bool,
    /// A certificate to show, and its key; both may be in one file.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The socket to talk to instead of the URL's host.
    pub socket: Option<PathBuf>,
    /// Whether what comes packed is unpacked.
    pub unpack: bool,
    /// Names of headers that a redirect does not get.
    pub unredirected: Vec<String>,
    /// What stands over the environment of this process, which names the proxy.
    pub variables: Vec<(String, String)>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// `200`
    pub status: u16,
    /// `OK`
    pub reason: String,
    /// The address after all redirects.
    pub url: String,
    /// Headers, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What it carried.
    pub body: Vec<u8>,
}

impl Machine {
    /// A `GET` of `url` with Ansible's defaults, in the task's environment.
    pub fn asking(&self, url: impl Into<String>) -> Exchange {
        Exchange { variables: self.settings.environment.clone(), ..Exchange::get(url) }
    }
}

impl Answer {
    /// The header `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What `reference` means here, as a whole address.
    pub fn whole(&self, reference: &str) -> String {
        Url::parse(&self.url).and_then(|url| url.join(reference)).map_or_else(|_| reference.to_owned(), |url| url.to_string())
    }
}

impl Exchange {
    /// A `GET` of `url` with Ansible's defaults.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(30),
            redirects: 10,
            plain_redirects: false,
            validate: true,
            ca_path: None,
            proxy: true,
            client: None,
            socket: None,
            unpack: true,
            unredirected: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Sends it, for the body of an answer that says yes.
    ///
    /// # Errors
    /// Why there is none.
    pub fn content(&self) -> Result<Vec<u8>, String> {
        let answer = self.send()?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("HTTP Error {}: {}", answer.status, answer.reason)) }
    }

    /// Sends it.
    ///
    /// # Errors
    /// Why there is no answer. An answer that says no is an answer.
    pub fn send(&self) -> Result<Answer, String> {
        let first = Url::parse(&self.url)?;
        let mut url = first.clone();
        let mut asked = Outgoing { method: self.method.clone(), headers: self.headers.clone(), body: &self.body, unpack: self.unpack };
        for _ in 0..self.redirects {
            let answer = self.ask_known(&url, &asked)?;
            let safe = matches!(asked.method.as_str(), "GET" | "HEAD") || asked.method == "POST" && matches!(answer.status, 301..=303);
            let Some(location) = redirect(&answer).filter(|_| safe || !self.plain_redirects) else { return Ok(answer) };
            url = url.join(location)?;
            asked.headers.retain(|(name, _)| !self.unredirected.iter().any(|kept| kept.eq_ignore_ascii_case(name)));
            if answer.status == 303 && asked.method != "HEAD" || matches!(answer.status, 301 | 302) && asked.method == "POST" {
                "GET".clone_into(&mut asked.method);
                asked.body = &[];
                asked.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            }
            if !url.same_host(&first) {
                // What is meant for one server is not shown to another.
                asked.headers.retain(|(name, _)| !["authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str()));
            }
        }
        self.ask_known(&url, &asked)
    }

    /// Asks once more where the server wants to know who we are by a digest.
    fn ask_known(&self, url: &Url, asked: &Outgoing<'_>) -> Result<Answer, String> {
        let answer = self.ask(url, asked)?;
        let login = asked.login(url);
        let Some(header) = login.and_then(|(user, password)| digest::reply(&answer, (&user, &password), &asked.method, &url.path)) else {
            return Ok(answer);
        };
        let mut again = asked.clone();
        again.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        again.headers.push(("Authorization".to_owned(), header));
        self.ask(url, &again)
    }

    fn ask(&self, url: &Url, asked: &Outgoing<'_>) -> Result<Answer, String> {
        let (stream, through_proxy) = self.connect(url)?;
        let answer = asked.exchange(stream, url, through_proxy, LARGEST).map_err(|error| describe(&error))?;
        Ok(Answer { url: url.to_string(), ..answer })
    }
}

fn redirect(answer: &Answer) -> Option<&str> {
    answer.header("location").filter(|_| matches!(answer.status, 301 | 302 | 303 | 307 | 308))
}

/// A system error as playbooks know it from Python.
fn describe(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match (error.kind(), error.raw_os_error()) {
        (WouldBlock | TimedOut, _) => "timed out".to_owned(),
        (_, Some(number)) => {
            let text = error.to_string();
            format!("[Errno {number}] {}", text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text))
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Serves `answers`, one for each connection; the request lines that were asked.
    fn serve(answers: Vec<String>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let serve = |answer: &String| {
                let (mut stream, _) = listener.accept().unwrap();
                let head = BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
                let asked: Vec<String> = head.collect();
                stream.write_all(answer.as_bytes()).unwrap();
                let secret = asked.iter().any(|line| line.starts_with("Authorization"));
                format!("{}{}", asked[0], if secret { " with a secret" } else { "" })
            };
            answers.iter().map(serve).collect()
        });
        (port, thread)
    }

    #[test]
    fn redirects_are_followed_as_far_as_wanted_and_secrets_stay_where_they_belong() {
        let ok = || "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned();
        let (other, elsewhere) = serve(vec![ok()]);
        let moved = |to: String| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        let (port, here) = serve(vec![moved("/b".to_owned()), moved(format!("http://127.0.0.1:{other}/c"))]);
        let headers = vec![("Authorization".to_owned(), "x".to_owned())];
        let exchange = Exchange { method: "POST".to_owned(), headers, ..Exchange::get(format!("http://127.0.0.1:{port}/a")) };
        let answer = exchange.send().unwrap();
        assert_eq!((answer.status, answer.url), (200, format!("http://127.0.0.1:{other}/c")));
        assert_eq!(here.join().unwrap(), ["POST /a HTTP/1.1 with a secret", "GET /b HTTP/1.1 with a secret"]);
        assert_eq!(elsewhere.join().unwrap(), ["GET /c HTTP/1.1"]);
        let (port, here) = serve(vec![moved("/b".to_owned())]);
        let answer = Exchange { redirects: 0, ..Exchange::get(format!("http://127.0.0.1:{port}/a")) }.send().unwrap();
        assert_eq!((answer.status, answer.header("location")), (302, Some("/b")));
        here.join().unwrap();
    }

    #[test]
    fn urllib_follows_what_stays_or_becomes_a_plain_request() {
        let ok = || "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned();
        for (method, moved, asked) in [
            ("GET", 307, &["GET /a HTTP/1.1", "GET /b HTTP/1.1"][..]),
            ("POST", 302, &["POST /a HTTP/1.1", "GET /b HTTP/1.1"]),
            ("POST", 307, &["POST /a HTTP/1.1"]),
            ("PUT", 302, &["PUT /a HTTP/1.1"]),
        ] {
            let mut answers = vec![format!("HTTP/1.1 {moved} Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"), ok()];
            answers.truncate(asked.len());
            let (port, here) = serve(answers);
            let exchange =
                Exchange { method: method.to_owned(), plain_redirects: true, ..Exchange::get(format!("http://127.0.0.1:{port}/a")) };
            let answer = exchange.send().unwrap();
            assert_eq!(answer.status, if asked.len() == 2 { 200 } else { moved }, "{method} {moved}");
            assert_eq!(here.join().unwrap(), asked, "{method} {moved}");
        }
    }

    #[test]
    fn nobody_there_is_said_as_python_says_it() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(Exchange::get(format!("http://127.0.0.1:{port}/")).send().unwrap_err(), "[Errno 111] Connection refused");
    }
}
