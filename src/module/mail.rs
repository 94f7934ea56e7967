//! Sends a mail from the host, through a mail server.
//!
//! ```yaml
//! - mail: {host: smtp.example.com, to: ops@example.com, from: "shop@example.com (Shop)", subject: "{{ release }} is out", body: "{{ notes }}"}
//! ```

use std::time::{Duration, SystemTime};

use super::prelude::*;
use crate::machine::clock::{Moment, Zone};
use crate::machine::smtp::{Security, Server};
use crate::machine::words::base64;

choice! {
    /// Whether the connection is encrypted.
    pub enum Secure { Always = "always", Never = "never", StartTls = "starttls", Try = "try" }
}
choice! {
    /// What the text is.
    pub enum Subtype { Html = "html", Plain = "plain" }
}

params! {
    pub struct Mail {
        /// What it is about.
        subject | msg: String,
        /// The text; the subject when not given.
        body: Option<String>,
        /// Who sends it.
        sender | from: String = "root",
        /// Who gets it.
        to | recipients: Vec<String> = vec!["root".to_owned()],
        /// Who gets a copy.
        cc: Vec<String> = Vec::<String>::new(),
        /// Who gets a copy that nobody sees.
        bcc: Vec<String> = Vec::<String>::new(),
        /// The mail server.
        host: String = "localhost",
        /// Its port.
        port: i64 = 25,
        /// The user to log in as.
        username: Option<String>,
        /// The password of that one.
        password: Option<String>,
        /// Files of the host that go along.
        attach: Vec<PathText> = Vec::<PathText>::new(),
        /// Further headers: `Name=value`.
        headers: Vec<String> = Vec::<String>::new(),
        /// The character set: `utf-8` is the only one.
        charset: String = "utf-8",
        /// What the text is.
        subtype: Subtype = Subtype::Plain,
        /// Whether the connection is encrypted; `try` where the server can.
        secure: Secure = Secure::Try,
        /// How long the server may be silent, in seconds.
        timeout: i64 = 20,
        /// How this host names itself.
        ehlohost: Option<String>,
        /// What the number of the message ends with.
        message_id_domain: String = "ansible",
    }
    rules = [Rule::Together(&["username", "password"])];
}

impl Module for Mail {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if !self.charset.eq_ignore_ascii_case("utf-8") && !self.charset.eq_ignore_ascii_case("utf8") {
            return Err(Failure::new(format!("the character set `{}` is not supported: mails are written in utf-8", self.charset)));
        }
        let port = u16::try_from(self.port).map_err(|_| Failure::new(format!("expected a port from 1 to 65535, found {}", self.port)))?;
        if machine.checking() {
            machine.mark_changed();
            return Ok(machine.outcome());
        }
        let message = self.message(machine)?;
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let server = Server {
            host: self.host.clone(),
            port,
            security: match self.secure {
                Secure::Always => Security::Always,
                Secure::Never => Security::Never,
                Secure::StartTls => Security::StartTls,
                Secure::Try => Security::Try,
            },
            login: self.username.clone().zip(self.password.clone()),
            own_name: self.ehlohost.clone().unwrap_or(name),
            timeout: Duration::from_secs(u64::try_from(self.timeout).unwrap_or(20).max(1)),
        };
        let to: Vec<String> = [&self.to, &self.cc, &self.bcc].into_iter().flatten().map(|entry| address(entry).to_owned()).collect();
        machine.cannot_undo(format!("a mail to {}", to.join(", ")))?;
        let refused = server.send(address(&self.sender), &to, &message).map_err(|why| Failure::new(format!("Failed to send mail: {why}")).with("rc", 1))?;
        machine.mark_changed();
        let words: Map = refused.iter().map(|(address, answer)| (address.clone(), answer.as_str().into())).collect();
        let msg = if words.is_empty() { "Mail sent successfully".to_owned() } else { format!("Failed to send mail to at least one recipient: {}", refused.iter().map(|(address, _)| address.as_str()).collect::<Vec<_>>().join(", ")) };
        Ok(machine.outcome().with("msg", msg).with("result", words))
    }
}

/// The bare address in `Shop <shop@example.com>` or `shop@example.com (Shop)`; nothing that could be a second command.
fn address(entry: &str) -> &str {
    let inner = entry.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(entry, |(inner, _)| inner);
    inner.split_once('(').map_or(inner, |(front, _)| front).trim().split(['\r', '\n', ' ']).next().unwrap_or_default()
}

/// A header's value: one line, in letters that every server takes.
fn header(text: &str) -> String {
    let line = text.replace(['\r', '\n'], " ");
    if line.is_ascii() {
        return line;
    }
    // Words of at most 45 bytes, so that each stays below the 75 letters that are allowed.
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in line.chars() {
        if word.len() + letter.len_utf8() > 45 {
            words.push(std::mem::take(&mut word));
        }
        word.push(letter);
    }
    words.push(word);
    words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes()))).collect::<Vec<_>>().join("\r\n ")
}

/// Base64 in lines.
fn wrapped(bytes: &[u8]) -> String {
    let text = base64(bytes);
    text.as_bytes().chunks(76).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect()
}

/// An entry with a name: the name is put in letters that every server takes, the address stays.
fn entry(text: &str) -> String {
    match text.split_once('<') {
        Some((name, rest)) if !text.is_ascii() => format!("{} <{}", header(name.trim()), rest.replace(['\r', '\n'], " ")),
        _ => header(text),
    }
}

impl Mail {
    fn message(&self, machine: &Machine) -> Result<String, Failure> {
        let number = machine.random::<16>()?;
        let number: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
        let all = |entries: &[String]| entries.iter().map(|text| entry(text)).collect::<Vec<_>>().join(", ");
        let mut head = vec![("Date", date()), ("From", entry(&self.sender)), ("To", all(&self.to))];
        if !self.cc.is_empty() {
            head.push(("Cc", all(&self.cc)));
        }
        head.extend([("Subject", header(&self.subject)), ("Message-ID", format!("<{number}@{}>", header(&self.message_id_domain)))]);
        head.extend([("MIME-Version", "1.0".to_owned()), ("X-Mailer", "rappel".to_owned())]);
        let mut text: String = head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        for given in &self.headers {
            let (name, value) = given.split_once('=').ok_or_else(|| Failure::new(format!("expected `Name=value` in `headers`, found `{given}`")))?;
            text.push_str(&format!("{}: {}\r\n", name.trim().replace([':', '\r', '\n'], ""), header(value.trim())));
        }
        let body = self.body.as_deref().unwrap_or(&self.subject);
        let part = format!("Content-Type: text/{}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}", self.subtype.word(), wrapped(body.as_bytes()));
        if self.attach.is_empty() {
            return Ok(text + &part);
        }
        text.push_str(&format!("Content-Type: multipart/mixed; boundary=\"{number}\"\r\n\r\n--{number}\r\n{part}"));
        for file in &self.attach {
            let path = machine.path(&file.0);
            let bytes = machine.read(&path).map_err(|failure| Failure::new(format!("Failed to send mail: can't attach file {}: {}", file.0, failure.msg)))?;
            let name = path.file_name().map(|name| name.to_string_lossy().replace(['"', '\r', '\n'], "")).unwrap_or_default();
            text.push_str(&format!(
                "--{number}\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{}",
                wrapped(&bytes)
            ));
        }
        Ok(text + &format!("--{number}--\r\n"))
    }
}

/// Now, as mails have it.
fn date() -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Moment { year, month, day, hour, minute, second, weekday, .. } = Moment::of(SystemTime::now(), &Zone::default());
    let name = |names: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default();
    let (weekday, month) = (name(&DAYS, weekday), name(&MONTHS, month - 1));
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_header_breaks_its_line() {
        assert_eq!(header("a\r\nBcc: x"), "a  Bcc: x");
        assert_eq!(header("Grüße"), "=?utf-8?B?R3LDvMOfZQ==?=");
        for text in ["Shop <shop@example.com>", "shop@example.com (Shop)", "shop@example.com\r\nDATA"] {
            assert_eq!(address(text), "shop@example.com");
        }
    }
}
