//! What the Docker modules share: the Engine behind its socket, images and their registries.
//!
//! The Engine API is spoken directly, so a host needs neither Docker's Python library nor its command line. Undo speaks it too,
//! through `curl`, since it may run when no agent does; a host without `curl` cannot undo.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::prelude::*;
use super::slurp::base64;
use crate::machine::socket::{Message, Socket};
use crate::machine::words::unbase64;
use crate::machine::{Undo, find_program, own_home, words};

/// The Docker Engine of the host.
pub(super) struct Engine {
    socket: Socket,
    patience: Duration,
}

/// A request that undoes another.
pub(super) struct Back(pub(super) &'static str, pub(super) String, pub(super) Option<Value>);

/// A mapping out of its entries.
pub(super) fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The entry at `path`, null where there is none.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    const NOTHING: &Value = &Value::Null;
    path.iter().try_fold(value, |value, key| value.get(key)).unwrap_or(NOTHING)
}

/// Text for a query.
pub(super) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/:".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Engine {
    /// The engine at `host`: `unix:///var/run/docker.sock`. The environment's `DOCKER_HOST` when it is not given.
    pub(super) fn new(host: Option<&str>, timeout: i64, machine: &Machine) -> Result<Self, Failure> {
        let environment = machine.environment();
        let host = host
            .map(str::to_owned)
            .or_else(|| environment.get("DOCKER_HOST").cloned())
            .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
        let Some(path) = host.strip_prefix("unix://").or_else(|| host.strip_prefix("http+unix://")) else {
            return Err(Failure::new(format!(
                "`docker_host` is `{host}`: only an engine on the host itself can be used, by its socket `unix://…`"
            )));
        };
        let patience = Duration::from_secs(timeout.max(1).unsigned_abs());
        Ok(Self { socket: Socket { path: PathBuf::from(path) }, patience })
    }

    /// With this much patience instead.
    pub(super) fn patient(&self, patience: Duration) -> Self {
        Self { socket: self.socket.clone(), patience }
    }

    /// Asks; an answer that says no is an answer.
    pub(super) fn ask(&self, method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
        let message = Message { method, path, headers, body, patience: self.patience };
        let answer = self
            .socket
            .ask(&message)
            .map_err(|error| Failure::new(format!("Error connecting: Error while fetching server API version: {error}")))?;
        Ok((answer.status, answer.body))
    }

    /// What is at `path`; nothing if the engine does not know it.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.ask("GET", path, &[], &[])? {
            (404, _) => Ok(None),
            (200, body) => {
                serde_json::from_slice(&body).map(Some).map_err(|error| Failure::new(format!("cannot read the engine's answer: {error}")))
            }
            (status, body) => Err(refused("GET", path, status, &body)),
        }
    }

    /// Sends something that changes; 304 says that it is so already.
    pub(super) fn send(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let bytes = body.map(|body| serde_json::to_vec(body).unwrap_or_default()).unwrap_or_default();
        let (status, answer) = self.ask(method, path, &[], &bytes)?;
        if status >= 400 {
            return Err(refused(method, path, status, &answer));
        }
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Sends something that changes, after its undo is in the journal; in check mode it only marks.
    pub(super) fn act(
        &self,
        machine: &mut Machine,
        what: (&'static str, &str, Option<&Value>),
        undo: (&str, &[Back]),
    ) -> Result<Value, Failure> {
        if !machine.checking() {
            machine.announce(self.undo(undo.0, undo.1))?;
        }
        machine.mark_changed();
        if machine.checking() { Ok(Value::Null) } else { self.send(what.0, what.1, what.2) }
    }

    /// Where it listens, as its command line says it.
    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.socket.path.display())
    }

    /// Sends an image to its registry.
    pub(super) fn push(&self, name: &Name, machine: &Machine) -> Result<(), Failure> {
        let mut headers = credentials(&name.repository, machine)?;
        if headers.is_empty() {
            headers.push(("X-Registry-Auth".to_owned(), base64(b"{}")));
        }
        let path = format!("/images/{}/push?tag={}", encode(&name.repository), encode(&name.tag));
        let refused = |why: &str| Failure::new(format!("Error pushing image {name} - {why}"));
        let (status, body) = self.patient(Duration::from_secs(3600)).ask("POST", &path, &headers, &[])?;
        if status >= 400 {
            return Err(refused(&message(&body)));
        }
        stream_error(&body).map_or(Ok(()), |error| Err(refused(&error)))
    }

    /// The undo that sends `requests`.
    pub(super) fn undo(&self, what: &str, requests: &[Back]) -> Undo {
        if requests.is_empty() || find_program("curl").is_none() {
            return Undo::Impossible(what.to_owned());
        }
        let socket = self.socket.path.display().to_string();
        let mut script = String::from("set -e\n");
        for Back(method, path, body) in requests {
            let mut argv = vec!["curl", "-sSf", "-o", "/dev/null", "--unix-socket", &socket, "-X", method];
            let url = format!("http://localhost{path}");
            let text = body.as_ref().and_then(|body| serde_json::to_string(body).ok());
            if let Some(text) = &text {
                argv.extend(["-H", "Content-Type: application/json", "-d", text]);
            }
            argv.push(&url);
            script.push_str(&words::join(&argv));
            script.push('\n');
        }
        Undo::Command(format!("undo: {what}"), vec!["sh".to_owned(), "-c".to_owned(), script])
    }

    /// The image called `name`.
    pub(super) fn image(&self, name: &str) -> Result<Option<Value>, Failure> {
        self.get(&format!("/images/{}/json", encode(name)))
    }

    /// Fetches an image from its registry.
    pub(super) fn pull(&self, name: &Name, platform: Option<&str>, machine: &Machine) -> Result<(), Failure> {
        let mut path = format!("/images/create?fromImage={}&tag={}", encode(&name.repository), encode(&name.tag));
        if let Some(platform) = platform {
            path.push_str(&format!("&platform={}", encode(platform)));
        }
        let refused = |why: &str| Failure::new(format!("Error pulling image {name} - {why}"));
        let patient = self.patient(Duration::from_secs(3600).max(self.patience));
        let (status, body) = patient.ask("POST", &path, &credentials(&name.repository, machine)?, &[])?;
        if status >= 400 {
            return Err(refused(&message(&body)));
        }
        stream_error(&body).map_or(Ok(()), |error| Err(refused(&error)))
    }
}

/// The error in an answer that is a line of JSON for each step.
fn stream_error(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find_map(|line| line.get("error").map(Value::to_text))
}

/// What the engine complains.
pub(super) fn message(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    json.as_ref().and_then(|json| json.get("message")).map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), Value::to_text)
}

fn refused(method: &str, path: &str, status: u16, body: &[u8]) -> Failure {
    let path = path.split('?').next().unwrap_or(path);
    Failure::new(format!("the Docker Engine refused `{method} {path}` with {status}: {}", message(body)))
}

/// An image's name in its two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) repository: String,
    /// A tag, or a digest `sha256:…`.
    pub(super) tag: String,
}

impl Name {
    pub(super) fn parse(text: &str, tag: &str) -> Self {
        if let Some((repository, digest)) = text.split_once('@') {
            return Self { repository: repository.to_owned(), tag: digest.to_owned() };
        }
        match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Self { repository: repository.to_owned(), tag: tag.to_owned() },
            _ => Self { repository: text.to_owned(), tag: tag.to_owned() },
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let sign = if self.tag.starts_with("sha256:") { '@' } else { ':' };
        write!(formatter, "{}{sign}{}", self.repository, self.tag)
    }
}

/// The name under which a registry is kept in the configuration.
pub(super) const HUB: &str = "https://index.docker.io/v1/";

/// The registry that has an image: the first part of its name, if that looks like a host.
fn registry(repository: &str) -> &str {
    match repository.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => HUB,
    }
}

/// Where credentials are kept.
pub(super) fn config_path(given: Option<&str>, machine: &Machine) -> PathBuf {
    let folder = machine.environment().get("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| own_home().unwrap_or_else(|| PathBuf::from("/root")).join(".docker"));
    given.map_or_else(|| folder.join("config.json"), |given| machine.path(given))
}

/// The configuration of Docker's command line, where credentials are; empty when there is none.
pub(super) fn config(path: &Path, machine: &Machine) -> Result<Value, Failure> {
    let text = machine.read_text(path)?.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(object([]));
    }
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("{} is not JSON: {error}", path.display())))
}

/// The header that shows the registry who is asking.
fn credentials(repository: &str, machine: &Machine) -> Result<Vec<(String, String)>, Failure> {
    let config = config(&config_path(None, machine), machine)?;
    let registry = registry(repository);
    let Some(auth) = at(&config, &["auths", registry, "auth"]).as_str() else { return Ok(Vec::new()) };
    let pair = String::from_utf8_lossy(&unbase64(auth)).into_owned();
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    let json = object([("username", user.into()), ("password", password.into()), ("serveraddress", registry.into())]);
    let text = base64(&serde_json::to_vec(&json).unwrap_or_default()).replace('+', "-").replace('/', "_");
    Ok(vec![("X-Registry-Auth".to_owned(), text)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_registries_and_tags() {
        for (text, shown, host) in [
            ("nginx", "nginx:latest", HUB),
            ("reg.example.com:5000/shop/web:7", "reg.example.com:5000/shop/web:7", "reg.example.com:5000"),
            ("reg.example.com:5000/shop", "reg.example.com:5000/shop:latest", "reg.example.com:5000"),
            ("shop/web@sha256:abc", "shop/web@sha256:abc", HUB),
        ] {
            let name = Name::parse(text, "latest");
            assert_eq!((name.to_string().as_str(), registry(&name.repository)), (shown, host));
        }
    }
}
