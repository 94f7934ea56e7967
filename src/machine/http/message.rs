//! Requests as bytes, bytes as answers (RFC 9112).

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::read::MultiGzDecoder;

use super::Answer;
use super::connect::Stream;
use super::url::Url;
use crate::machine::words::{base64, unbase64};

/// The longest line of a head; more is a mistake or an attack.
const MAX_LINE: u64 = 64 << 10;
const MAX_HEADERS: usize = 256;

/// What is asked.
#[derive(Clone)]
pub(super) struct Outgoing<'a> {
    pub(super) method: String,
    /// Over what is sent by itself.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: &'a [u8],
    /// Whether what comes packed is unpacked.
    pub(super) unpack: bool,
}

impl Outgoing<'_> {
    /// Asks for `url` and reads the answer, at most `largest` bytes of it. A proxy is told the `whole_url`.
    pub(super) fn exchange(&self, mut stream: Box<dyn Stream>, url: &Url, whole_url: bool, largest: u64) -> io::Result<Answer> {
        stream.write_all(self.head(url, whole_url).as_bytes())?;
        stream.write_all(self.body)?;
        stream.flush()?;
        let mut reader = BufReader::new(stream);
        loop {
            let (status, reason) = status_line(&mut reader)?;
            let headers = headers(&mut reader)?;
            if (100..200).contains(&status) {
                continue;
            }
            let mut answer = Answer { status, reason, headers, ..Answer::default() };
            if self.method != "HEAD" && !matches!(status, 204 | 304) {
                content(reader, &answer, self.unpack).take(largest + 1).read_to_end(&mut answer.body)?;
            }
            if answer.body.len() as u64 > largest {
                return Err(io::Error::other(format!("the answer is longer than {} MiB", largest >> 20)));
            }
            return Ok(answer);
        }
    }

    /// The name and password that go along, if they do.
    pub(super) fn login(&self, url: &Url) -> Option<(String, String)> {
        let header = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let Some((_, value)) = header else { return url.credentials.clone() };
        let pair = String::from_utf8(unbase64(value.strip_prefix("Basic ")?)).ok()?;
        pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    fn head(&self, url: &Url, whole_url: bool) -> String {
        let target = if whole_url { url.to_string() } else { url.path.clone() };
        let mut head = format!("{} {target} HTTP/1.1\r\n", self.method);
        let mut add = |name: &str, value: &str| {
            if !self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        };
        add("Host", &url.authority());
        if self.unpack {
            add("Accept-Encoding", "gzip");
        }
        add("Connection", "close");
        if !self.body.is_empty() {
            add("Content-Length", &self.body.len().to_string());
            add("Content-Type", "application/x-www-form-urlencoded");
        } else if matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") {
            add("Content-Length", "0");
        }
        if let Some((user, password)) = &url.credentials {
            add("Authorization", &basic(user, password));
        }
        for (name, value) in &self.headers {
            // A line end in a value would begin a header of its own.
            head.push_str(&format!("{name}: {}\r\n", value.replace(['\r', '\n'], " ")));
        }
        head.push_str("\r\n");
        head
    }
}

/// `user:password` as an `Authorization` header.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// A line of a head, without its end.
pub(super) fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::other("Remote end closed connection without response"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn status_line(reader: &mut impl BufRead) -> io::Result<(u16, String)> {
    let text = line(reader)?;
    let mut words = text.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse().ok());
    match status {
        Some(status) if version.starts_with("HTTP/1.") => Ok((status, words.next().unwrap_or_default().to_owned())),
        _ => Err(io::Error::other(format!("expected an HTTP answer, found `{}`", text.chars().take(60).collect::<String>()))),
    }
}

fn headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let text = line(reader)?;
        if text.is_empty() {
            return Ok(headers);
        }
        if headers.len() == MAX_HEADERS {
            return Err(io::Error::other(format!("the answer has more than {MAX_HEADERS} headers")));
        }
        if let Some((name, value)) = text.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

/// What follows the head of `answer`, unpacked.
fn content(reader: BufReader<Box<dyn Stream>>, answer: &Answer, unpack: bool) -> Box<dyn Read> {
    let chunked = answer.header("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    let plain: Box<dyn Read> = match (chunked, length) {
        (true, _) => Box::new(Chunks { reader, left: 0, begun: false, over: false }),
        (false, Some(length)) => Box::new(Exactly { reader, left: length }),
        (false, None) => Box::new(UntilClose(reader)),
    };
    match answer.header("content-encoding") {
        Some("gzip" | "x-gzip") if unpack => Box::new(MultiGzDecoder::new(plain)),
        _ => plain,
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the content did")
}

/// Content of a length that was announced; one that ends early is an error.
struct Exactly<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let count = (&mut self.reader).take(self.left).read(buffer)?;
        if count == 0 {
            return Err(cut_off());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Content that ends when the server hangs up, politely in TLS or not.
struct UntilClose<R>(R);

impl<R: Read> Read for UntilClose<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

/// Content in pieces that announce their lengths.
struct Chunks<R> {
    reader: R,
    left: u64,
    begun: bool,
    over: bool,
}

impl<R: BufRead> Chunks<R> {
    fn next_length(&mut self) -> io::Result<u64> {
        if self.begun {
            line(&mut self.reader)?; // the end of the chunk before
        }
        self.begun = true;
        let text = line(&mut self.reader)?;
        let length = text.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(length, 16).map_err(|_| io::Error::other(format!("expected the length of a chunk, found `{text}`")))
    }
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.over || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.left = self.next_length()?;
            if self.left == 0 {
                self.over = true;
                while !line(&mut self.reader)?.is_empty() {}
                return Ok(0);
            }
        }
        let count = (&mut self.reader).take(self.left).read(buffer)?;
        if count == 0 {
            return Err(cut_off());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Canned(io::Cursor<Vec<u8>>);

    impl Read for Canned {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Canned {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn get() -> Outgoing<'static> {
        Outgoing { method: "GET".into(), headers: Vec::new(), body: &[], unpack: true }
    }

    fn answer(text: &str) -> Result<(u16, String), String> {
        let stream = Canned(io::Cursor::new(text.as_bytes().to_vec()));
        let url = Url::parse("http://h:81/p?q").unwrap();
        let answer = get().exchange(Box::new(stream), &url, false, 1 << 10).map_err(|error| error.to_string())?;
        Ok((answer.status, String::from_utf8(answer.body).unwrap()))
    }

    #[test]
    fn content_ends_where_it_ends() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay", (200, "ok")),
            ("HTTP/1.0 200 OK\n\nuntil the end", (200, "until the end")),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n3\r\nay!\r\n0\r\nT: x\r\n\r\n",
                (201, "okay!"),
            ),
            ("HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", (204, "")),
        ] {
            assert_eq!(answer(text).unwrap(), (expected.0, expected.1.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (text, expected) in [
            ("", "Remote end closed connection without response"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "expected an HTTP answer, found `SSH-2.0-OpenSSH_9.2`"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "the connection ended before the content did"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "expected the length of a chunk, found `zz`"),
        ] {
            assert_eq!(answer(text).unwrap_err(), expected);
        }
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1025));
        assert_eq!(answer(&long).unwrap_err(), "the answer is longer than 0 MiB");
    }

    #[test]
    fn the_head_has_what_servers_need() {
        let headers = vec![("content-type".to_owned(), "text/x\r\nEvil: 1".to_owned())];
        let post = Outgoing { method: "POST".into(), headers, body: b"a=1", unpack: true };
        let url = Url::parse("http://u:pw@h:81/p?q").unwrap();
        assert_eq!(
            post.head(&url, false),
            "POST /p?q HTTP/1.1\r\nHost: h:81\r\nAccept-Encoding: gzip\r\nConnection: close\r\nContent-Length: 3\r\n\
             Authorization: Basic dTpwdw==\r\ncontent-type: text/x  Evil: 1\r\n\r\n"
        );
        assert!(post.head(&url, true).starts_with("POST http://h:81/p?q HTTP/1.1\r\n"));
    }
}
