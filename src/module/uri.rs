//! Asks a web service.
//!
//! ```yaml
//! - uri: {url: "http://localhost:8080/actuator/health", return_content: true, status_code: [200]}
//!   register: health
//!   until: health.json.status == "UP"
//! ```

use std::time::Instant;

use super::prelude::*;
use crate::choice;
use super::form;
use super::get_url::{http_date, name_of};
use super::web::{Access, without};
use crate::machine::Stat;
use crate::machine::http::{Answer, Exchange};

choice! {
    pub enum BodyFormat {
        Raw = "raw",
        Json = "json",
        Form = "form-urlencoded",
        Multipart = "form-multipart",
    }
}

choice! {
    pub enum Follow {
        All = "all",
        Safe = "safe",
        Urllib2 = "urllib2",
        None = "none",
        Yes = "yes",
        No = "no",
    }
}

params! {
    pub struct Uri {
        /// Where to.
        url: String,
        /// The method.
        method: String = "GET",
        /// What is sent.
        body: Option<Value>,
        /// How a body that is no text is written.
        body_format: BodyFormat = BodyFormat::Raw,
        /// A file to send.
        src: Option<LocalFile>,
        /// `src`, and the files of a form, are on the host.
        remote_src: bool = false,
        /// Answers that count as success.
        status_code: Vec<i64> = [200],
        /// Put the answer's text into the result.
        return_content: bool = false,
        /// Write the answer to this file or directory.
        dest: Option<PathText>,
        /// Do nothing when this file exists.
        creates: Option<PathText>,
        /// Do nothing when this file does not exist.
        removes: Option<PathText>,
        /// Which redirects are followed.
        follow_redirects: Follow = Follow::Safe,
        /// Seconds for everything together.
        timeout: i64 = 30,
        /// User for basic authentication.
        url_username | user: Option<String>,
        /// Password for basic authentication.
        url_password | password: Option<String>,
        /// The socket to talk to instead of the URL's host.
        unix_socket: Option<PathText>,
        /// Ask caches for a fresh answer.
        force: bool = false,
    }
    group = access: Access;
    group = file: FileAttributes;
}

impl Module for Uri {
    const REVERSIBLE: Reversible = Reversible::BestEffort;
    const CHECK_MODE: bool = false;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if let Some(reason) = self.skipped(machine) {
            return Ok(machine.outcome().with("stdout", reason.as_str()).with("msg", reason));
        }
        let begun = Instant::now();
        let exchange = self.exchange(machine)?;
        let answer = exchange.send();
        let elapsed = begun.elapsed().as_secs();
        let answer = answer.map_err(|error| {
            let msg = format!("Status code was -1 and not {}: Request failed: {error}", Value::from(self.status_code.clone()).repr());
            Failure::new(msg).with("status", -1).with("url", self.url.as_str()).with("redirected", false).with("elapsed", elapsed)
        })?;
        self.report(machine, &answer, elapsed)
    }
}

impl Uri {
    fn skipped(&self, machine: &Machine) -> Option<String> {
        if let Some(creates) = self.creates.as_ref().filter(|path| machine.exists(&machine.path(&path.0))) {
            return Some(format!("skipped, since '{}' exists", creates.0));
        }
        let removes = self.removes.as_ref().filter(|path| !machine.exists(&machine.path(&path.0)))?;
        Some(format!("skipped, since '{}' does not exist", removes.0))
    }

    fn exchange(&self, machine: &Machine) -> Result<Exchange, Failure> {
        let (body, kind) = self.body(machine)?;
        let mut own: Vec<(String, String)> = kind.map(|kind| ("Content-Type".to_owned(), kind)).into_iter().collect();
        if self.force {
            own.push(("Cache-Control".to_owned(), "no-cache".to_owned()));
        }
        if let (Some(dest), false) = (&self.dest, self.force)
            && let Some(there) = machine.stat(&machine.path(&dest.0), true)?.filter(Stat::is_file)
            && let Ok(modified) = there.meta.modified()
        {
            own.push(("If-Modified-Since".to_owned(), http_date(modified)));
        }
        let method = self.method.to_ascii_uppercase();
        let redirects = match self.follow_redirects {
            Follow::All | Follow::Yes | Follow::Urllib2 => 10,
            Follow::Safe if method == "GET" || method == "HEAD" => 10,
            Follow::Safe | Follow::None | Follow::No => 0,
        };
        Ok(Exchange {
            method,
            body,
            redirects,
            plain_redirects: self.follow_redirects == Follow::Urllib2,
            socket: self.unix_socket.as_ref().map(|path| machine.path(&path.0)),
            ..self.access.exchange(machine, &self.url, (self.url_username.as_ref(), self.url_password.as_ref()), own, self.timeout)
        })
    }

    /// What is sent, and of which type it is.
    fn body(&self, machine: &Machine) -> Result<(Vec<u8>, Option<String>), Failure> {
        let kind = match self.body_format {
            BodyFormat::Json => Some("application/json".to_owned()),
            BodyFormat::Form => Some("application/x-www-form-urlencoded".to_owned()),
            BodyFormat::Raw | BodyFormat::Multipart => None,
        };
        if let Some(src) = &self.src {
            let content = machine.content("src").map(|content| content.to_vec().map_err(|error| Failure::new(error.to_string())));
            return Ok((content.unwrap_or_else(|| machine.read(&machine.path(&src.0)))?, kind));
        }
        let Some(body) = &self.body else { return Ok((Vec::new(), None)) };
        let text = match (self.body_format, body) {
            (BodyFormat::Form, body) => form::urlencoded(body)?.into_bytes(),
            (BodyFormat::Multipart, body) => {
                let boundary = format!("=={}==", crate::machine::words::base64(&machine.random::<15>()?));
                return Ok((form::multipart(machine, body, &boundary)?, Some(format!("multipart/form-data; boundary=\"{boundary}\""))));
            }
            (BodyFormat::Json, Value::Str(text)) => text.clone().into_bytes(),
            (BodyFormat::Raw, other) if !matches!(other, Value::Map(_) | Value::List(_)) => other.to_text().into_bytes(),
            (BodyFormat::Json | BodyFormat::Raw, other) => {
                serde_json::to_vec(other).map_err(|error| Failure::new(format!("`body` cannot be written as JSON: {error}")))?
            }
        };
        Ok((text, kind))
    }

    fn report(&self, machine: &mut Machine, answer: &Answer, elapsed: u64) -> Result<Outcome, Failure> {
        let mut data = Map::new();
        for (name, value) in &answer.headers {
            let value = if name == "location" { answer.whole(value) } else { value.clone() };
            let name = name.replace('-', "_");
            let value = data.get(&name).map_or_else(|| value.clone(), |first| format!("{}, {value}", first.to_text()));
            data.insert(name, value.into());
        }
        data.insert("status".to_owned(), i64::from(answer.status).into());
        data.insert("url".to_owned(), answer.url.as_str().into());
        data.insert("redirected".to_owned(), (answer.url.trim_end_matches('/') != self.url.trim_end_matches('/')).into());
        data.insert("elapsed".to_owned(), elapsed.into());
        let cookies = cookies(answer);
        data.insert("cookies_string".to_owned(), cookies.iter().map(|(name, value)| format!("{name}={}", value.to_text())).collect::<Vec<_>>().join("; ").into());
        data.insert("cookies".to_owned(), cookies.into());
        let length = answer.body.len();
        data.insert("msg".to_owned(), format!("{} ({length} bytes)", if answer.reason.is_empty() { "Unknown" } else { &answer.reason }).into());
        let content = String::from_utf8_lossy(&answer.body).into_owned();
        let json = answer.header("content-type").is_some_and(|kind| kind.contains("json"));
        if let (true, Ok(value)) = (json, serde_json::from_str::<Value>(&content)) {
            data.insert("json".to_owned(), value);
        }
        let good = self.status_code.contains(&i64::from(answer.status));
        if self.return_content || !good {
            data.insert("content".to_owned(), content.into());
        }
        if let Some(secret) = self.url_password.as_deref().filter(|password| !password.is_empty()) {
            data = data.into_iter().map(|(name, value)| (name, without(secret, value))).collect();
        }
        if !good {
            let wanted = Value::from(self.status_code.clone()).repr();
            let msg = format!("Status code was {} and not {wanted}: HTTP Error {}: {}", answer.status, answer.status, answer.reason);
            return Err(Failure { msg, data, ..Failure::default() });
        }
        if let Some(dest) = self.dest.as_ref().filter(|_| answer.status != 304) {
            let path = self.write(machine, &dest.0, answer)?;
            data.insert("path".to_owned(), path.into());
        }
        let mut outcome = machine.outcome();
        outcome.data = data;
        Ok(outcome)
    }

    fn write(&self, machine: &mut Machine, dest: &str, answer: &Answer) -> Result<String, Failure> {
        let mut path = machine.path(dest);
        if machine.is_dir(&path) {
            path = path.join(name_of(answer));
        }
        machine.write_with(&path, &answer.body.clone().into(), &self.file.options(false, None))?;
        Ok(path.display().to_string())
    }
}

/// What the answer wants to be remembered.
fn cookies(answer: &Answer) -> Map {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let pair = |(_, text): &(String, String)| text.split(';').next()?.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().into()));
    set.filter_map(pair).collect()
}
