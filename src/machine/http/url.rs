//! Addresses, as far as HTTP needs them (RFC 3986).

use std::fmt;

/// Where something is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// `http` or `https`.
    pub(super) scheme: String,
    /// Name or address, without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// Path and query, with the leading slash.
    pub(super) path: String,
    /// User and password, decoded.
    pub(super) credentials: Option<(String, String)>,
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Without the credentials.
impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| format!("expected a URL with `http://` or `https://`, found `{text}`"))?;
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            other => return Err(format!("expected `http` or `https`, found a URL with `{other}`")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((user, place)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((decode(name), decode(password))), place)
            }
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|bracketed| bracketed.split_once(']')) {
            Some((address, port)) => (address, port.strip_prefix(':')),
            None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = match port.filter(|port| !port.is_empty()) {
            Some(port) => port.parse().map_err(|_| format!("expected a port, found `{port}`"))?,
            None => default,
        };
        if host.is_empty() {
            return Err(format!("the URL has no host: {scheme}://{tail}"));
        }
        let tail = tail.split('#').next().unwrap_or_default();
        let path = if tail.starts_with('/') { encode_path(tail) } else { format!("/{}", encode_path(tail)) };
        Ok(Self { scheme, host: host.to_owned(), port, path, credentials })
    }

    /// `host`, with the port if it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Whether both are of one server.
    pub(super) fn same_host(&self, other: &Self) -> bool {
        (&self.scheme, &self.host, self.port) == (&other.scheme, &other.host, other.port)
    }

    /// What `reference` means on the page that this URL names.
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub(super) fn join(&self, reference: &str) -> Result<Self, String> {
        if reference.contains("://") {
            return Self::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme));
        }
        let path = match reference.chars().next() {
            Some('/') => reference.to_owned(),
            Some('?') => format!("{}{reference}", self.path.split('?').next().unwrap_or_default()),
            _ => {
                let directory = self.path.split('?').next().unwrap_or_default();
                let directory = directory.rsplit_once('/').map_or("", |(directory, _)| directory);
                format!("{directory}/{reference}")
            }
        };
        let path = path.split('#').next().unwrap_or_default();
        Ok(Self { path: encode_path(path), ..self.clone() })
    }
}

/// What must not be in a request line is encoded; what is encoded already stays.
fn encode_path(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (*first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            (byte, _) => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, shown, port) in [
            ("http://h", "http://h/", 80),
            ("https://u:p%40@h:8443/a b?q=%20#f", "https://h:8443/a%20b?q=%20", 8443),
            ("HTTP://[::1]:81?x", "http://[::1]:81/?x", 81),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.port), (shown, port));
        }
        assert_eq!(Url::parse("https://u:p%40@h/").unwrap().credentials, Some(("u".into(), "p@".into())));
        assert_eq!(Url::parse("/x").unwrap_err(), "expected a URL with `http://` or `https://`, found `/x`");
        assert_eq!(Url::parse("ftp://h/x").unwrap_err(), "expected `http` or `https`, found a URL with `ftp`");
    }

    #[test]
    fn references_are_relative_to_their_page() {
        let page = Url::parse("http://h/a/b?q").unwrap();
        for (reference, expected) in [
            ("/c", "http://h/c"),
            ("c", "http://h/a/c"),
            ("?x", "http://h/a/b?x"),
            ("//o/c", "http://o/c"),
            ("https://o:1/", "https://o:1/"),
        ] {
            assert_eq!(page.join(reference).unwrap().to_string(), expected);
        }
    }
}
