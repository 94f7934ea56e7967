//! SMTP: one message handed to a mail server.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use super::http::{Stream, dial, secured};
use super::words::base64;
use crate::tls::Terms;

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// From its first byte.
    Always,
    /// Never.
    Never,
    /// After a word with the server, which must know that.
    StartTls,
    /// After a word with the server, if it knows that.
    Try,
}

/// A mail server and how to talk to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub security: Security,
    /// User and password, where it wants them.
    pub login: Option<(String, String)>,
    /// How this host names itself.
    pub own_name: String,
    /// For connecting, and for every wait.
    pub timeout: Duration,
}

/// The longest answer of a server, in bytes.
const LARGEST: usize = 64 << 10;

enum Line {
    Plain(TcpStream),
    Safe(Box<dyn Stream>),
}

impl Line {
    fn stream(&mut self) -> &mut dyn Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Safe(stream) => stream.as_mut(),
        }
    }

    /// Says a line, if there is one, and hears the answer: its code and text.
    fn say(&mut self, text: &str) -> Result<(u16, String), String> {
        let lost = |error: io::Error| format!("the mail server does not answer: {error}");
        let stream = self.stream();
        if !text.is_empty() {
            stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(b"\r\n")).and_then(|()| stream.flush()).map_err(lost)?;
        }
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            if stream.read(&mut byte).map_err(lost)? == 0 || bytes.len() > LARGEST {
                return Err("the mail server hung up".to_owned());
            }
            bytes.extend(byte);
            // `250-` goes on, `250 ` is the last line.
            let line = bytes.strip_suffix(b"\n").and_then(|all| all.rsplit(|byte| *byte == b'\n').next());
            if line.is_some_and(|line| line.get(3) != Some(&b'-')) {
                break;
            }
        }
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let code = text.lines().last().and_then(|line| line.get(..3)).and_then(|code| code.parse().ok());
        code.map(|code| (code, text.clone())).ok_or_else(|| format!("this is no mail server: it says `{text}`"))
    }

    /// The same, where only an answer of this hundred will do.
    fn insist(&mut self, text: &str, hundred: u16, what: &str) -> Result<String, String> {
        match self.say(text)? {
            (code, answer) if code / 100 == hundred => Ok(answer),
            (_, answer) => Err(format!("{what}: {answer}")),
        }
    }
}

impl Server {
    /// Hands a message over; gives whom the server refused, with its words.
    ///
    /// # Errors
    /// In the server's words, when it takes the message for nobody.
    pub fn send(&self, from: &str, to: &[String], message: &str) -> Result<Vec<(String, String)>, String> {
        let mut line = self.connect()?;
        line.insist(&format!("MAIL FROM:<{from}>"), 2, &format!("the mail server refuses the sender {from}"))?;
        let mut refused = Vec::new();
        for address in to {
            let (code, answer) = line.say(&format!("RCPT TO:<{address}>"))?;
            if code / 100 != 2 {
                refused.push((address.clone(), answer));
            }
        }
        if refused.len() == to.len() {
            let words: Vec<String> = refused.into_iter().map(|(address, answer)| format!("{address}: {answer}")).collect();
            return Err(format!("the mail server refuses all recipients: {}", words.join("; ")));
        }
        line.insist("DATA", 3, "the mail server refuses the message")?;
        line.insist(&dotted(message), 2, "the mail server refuses the message")?;
        let _ = line.say("QUIT"); // the message is over there already
        Ok(refused)
    }

    fn secured(&self, stream: TcpStream, validate: bool) -> Result<Box<dyn Stream>, String> {
        secured(stream, &Terms { host: self.host.clone(), validate, authorities: None, client: None })
    }

    fn connect(&self) -> Result<Line, String> {
        let failed = |error: io::Error| format!("cannot connect to the mail server {}:{}: {error}", self.host, self.port);
        let stream = dial(&self.host, self.port, self.timeout).map_err(failed)?;
        let mut line = match self.security {
            Security::Always => Line::Safe(self.secured(stream, true)?),
            _ => Line::Plain(stream),
        };
        line.insist("", 2, "the mail server turns us away")?;
        let mut offers = self.hello(&mut line)?;
        let offered = offers.lines().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")));
        let wanted = self.security == Security::StartTls || self.security == Security::Try && offered;
        if wanted {
            if !offered {
                return Err(format!("the mail server {} does not know STARTTLS", self.host));
            }
            line.insist("STARTTLS", 2, "the mail server does not begin to encrypt")?;
            line = match line {
                Line::Plain(stream) => Line::Safe(self.secured(stream, self.security == Security::StartTls)?),
                safe @ Line::Safe(_) => safe,
            };
            offers = self.hello(&mut line)?;
        }
        if let Some((user, password)) = &self.login {
            self.log_in(&mut line, &offers, user, password)?;
        }
        Ok(line)
    }

    fn hello(&self, line: &mut Line) -> Result<String, String> {
        match line.say(&format!("EHLO {}", self.own_name))? {
            (code, answer) if code / 100 == 2 => Ok(answer),
            _ => line.insist(&format!("HELO {}", self.own_name), 2, "the mail server turns us away"),
        }
    }

    fn log_in(&self, line: &mut Line, offers: &str, user: &str, password: &str) -> Result<(), String> {
        let ways = offers.lines().find_map(|line| line.get(4..)?.strip_prefix("AUTH")).unwrap_or_default();
        let refused = format!("the mail server does not let {user} in");
        if ways.split_whitespace().any(|way| way == "PLAIN") {
            let secret = base64(format!("\0{user}\0{password}").as_bytes());
            return line.insist(&format!("AUTH PLAIN {secret}"), 2, &refused).map(drop);
        }
        if ways.split_whitespace().any(|way| way == "LOGIN") {
            line.insist("AUTH LOGIN", 3, &refused)?;
            line.insist(&base64(user.as_bytes()), 3, &refused)?;
            return line.insist(&base64(password.as_bytes()), 2, &refused).map(drop);
        }
        Err(format!("the mail server {} takes no password: it offers no AUTH PLAIN and no AUTH LOGIN", self.host))
    }
}

/// The message as it goes over the line: a dot ends it, so lines that begin with one get another.
fn dotted(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for line in message.lines() {
        if line.starts_with('.') {
            text.push('.');
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_message_ends_it() {
        assert_eq!(dotted("a\n.\nb"), "a\r\n..\r\nb\r\n.");
    }
}
