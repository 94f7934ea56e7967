//! What the modules that talk HTTP share: how a server is talked to, and who we are to it.

use std::path::PathBuf;
use std::time::Duration;

use super::params::PathText;
use crate::machine::Machine;
use crate::machine::http::{Exchange, basic};
use crate::params;
use crate::wire::{Map, Value};

params! {
    pub struct Access {
        /// Headers.
        headers: Option<Map>,
        /// Check certificates.
        validate_certs: bool = true,
        /// Certificates to trust instead of the system's.
        ca_path: Option<PathText>,
        /// Send user and password at once instead of when asked.
        force_basic_auth: bool = false,
        /// What we call ourselves.
        http_agent: String = "ansible-httpget",
        /// Use the proxies of the environment.
        use_proxy: bool = true,
        /// A certificate to show, and its key unless that is in `client_key`.
        client_cert: Option<PathText>,
        /// The key of that certificate.
        client_key: Option<PathText>,
        /// Take user and password from `~/.netrc` of the host when none is given.
        use_netrc: bool = true,
        /// Headers that a redirect does not get.
        unredirected_headers: Vec<String> = Vec::<String>::new(),
        /// Unpack what comes packed by gzip.
        decompress: bool = true,
    }
}

impl Access {
    /// A `GET` of `url` that waits `timeout` seconds, by user and password if there are `given`. `own` headers yield to the task's.
    pub(super) fn exchange(
        &self,
        machine: &Machine,
        url: &str,
        given: (Option<&String>, Option<&String>),
        own: Vec<(String, String)>,
        timeout: i64,
    ) -> Exchange {
        let mut headers = vec![("User-Agent".to_owned(), self.http_agent.clone())];
        headers.extend(own);
        for (name, value) in self.headers.iter().flatten() {
            replace(&mut headers, (name.clone(), value.to_text()));
        }
        if let Some(header) = self.authorization(machine, url, given) {
            replace(&mut headers, header);
        }
        Exchange {
            headers,
            timeout: Duration::from_secs(timeout.max(1).unsigned_abs()),
            validate: self.validate_certs,
            ca_path: self.ca_path.as_ref().map(|path| machine.path(&path.0)),
            proxy: self.use_proxy,
            client: self.identity(machine),
            unpack: self.decompress,
            unredirected: self.unredirected_headers.clone(),
            ..machine.asking(url)
        }
    }

    /// The header that says who we are: as the task says, else by the host's own `~/.netrc` if that knows the server.
    fn authorization(&self, machine: &Machine, url: &str, given: (Option<&String>, Option<&String>)) -> Option<(String, String)> {
        let kept = || if self.use_netrc { known(machine, host(url)) } else { None };
        let given = given.0.map(|user| (user.clone(), given.1.cloned().unwrap_or_default()));
        given.or_else(kept).map(|(user, password)| ("Authorization".to_owned(), basic(&user, &password)))
    }

    /// The certificate to show, and the file of its key.
    fn identity(&self, machine: &Machine) -> Option<(PathBuf, PathBuf)> {
        let certificate = machine.path(&self.client_cert.as_ref()?.0);
        let key = self.client_key.as_ref().map_or_else(|| certificate.clone(), |key| machine.path(&key.0));
        Some((certificate, key))
    }
}

/// Puts `header` in the place of another of its name.
fn replace(headers: &mut Vec<(String, String)>, header: (String, String)) {
    headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&header.0));
    headers.push(header);
}

/// What a server sends back of a password is no answer: neither in a text nor in a key.
pub(super) fn without(secret: &str, value: Value) -> Value {
    let hidden = |text: String| if text.contains(secret) { text.replace(secret, "********") } else { text };
    match value {
        Value::Str(text) if text == secret => "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER".into(),
        Value::Str(text) => hidden(text).into(),
        Value::List(items) => items.into_iter().map(|item| without(secret, item)).collect::<Vec<_>>().into(),
        Value::Map(map) => map.into_iter().map(|(key, value)| (hidden(key), without(secret, value))).collect::<Map>().into(),
        other => other,
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    place.split(':').next().unwrap_or_default()
}

fn known(machine: &Machine, host: &str) -> Option<(String, String)> {
    let given = machine.environment().get("NETRC").filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = given.unwrap_or_else(|| machine.path("~/.netrc"));
    let text = machine.read_text(&path).ok()??;
    entry(&text, host)
}

/// Login and password of the entry of `host`, or else of `default`.
fn entry(text: &str, host: &str) -> Option<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let (mut meant, mut login, mut password) = (false, None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" if meant => break,
            "machine" => meant = words.next() == Some(host),
            "default" => meant = true,
            "login" => login = words.next().filter(|_| meant),
            "password" => password = words.next().filter(|_| meant),
            _ => {}
        }
    }
    Some((login?.to_owned(), password.unwrap_or_default().to_owned())).filter(|_| meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netrc_is_read_as_it_is_written() {
        let text = "# ours\nmachine a.lan login me password pw\nmachine b.lan\n  login you\n  password other\ndefault login x password y\n";
        for (host, expected) in [("a.lan", ("me", "pw")), ("b.lan", ("you", "other")), ("c.lan", ("x", "y"))] {
            assert_eq!(entry(text, host), Some((expected.0.to_owned(), expected.1.to_owned())), "{host}");
        }
        assert_eq!(entry("machine a.lan login me", "b.lan"), None);
        assert_eq!(host("https://u:p@a.lan:8443/x"), "a.lan");
    }
}
