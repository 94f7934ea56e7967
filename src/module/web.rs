//! What the modules that talk HTTP share: who we are to a server.

use std::path::PathBuf;

use super::params::PathText;
use crate::machine::Machine;
use crate::machine::http::basic;
use crate::wire::{Map, Value};

/// The header that says who we are: by the host's own `~/.netrc` if that knows the server, else as the task says.
pub(super) fn authorization(machine: &Machine, url: &str, given: Option<(&str, &str)>, netrc: bool) -> Option<(String, String)> {
    let kept = || if netrc { known(machine, host(url)) } else { None };
    let given = given.map(|(user, password)| (user.to_owned(), password.to_owned()));
    given.or_else(kept).map(|(user, password)| ("Authorization".to_owned(), basic(&user, &password)))
}

/// Puts `header` in the place of another of its name.
pub(super) fn replace(headers: &mut Vec<(String, String)>, header: Option<(String, String)>) {
    if let Some((name, value)) = header {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        headers.push((name, value));
    }
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

/// The certificate to show, and the file of its key.
pub(super) fn identity(machine: &Machine, certificate: Option<&PathText>, key: Option<&PathText>) -> Option<(PathBuf, PathBuf)> {
    let certificate = machine.path(&certificate?.0);
    let key = key.map_or_else(|| certificate.clone(), |key| machine.path(&key.0));
    Some((certificate, key))
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
