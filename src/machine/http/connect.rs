//! Reaching a server: its addresses, proxies, TLS.

use std::env;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::message::{basic, line};
use super::url::Url;
use super::{Exchange, describe, tls};
use crate::machine::address;
use crate::tls::Terms;

/// A connection of whatever kind.
pub(in crate::machine) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Exchange {
    /// A connection to the server of `url`, and whether a proxy must be told the whole URL.
    pub(super) fn connect(&self, url: &Url) -> Result<(Box<dyn Stream>, bool), String> {
        let secure = url.scheme == "https";
        if let Some(socket) = &self.socket {
            return self.connect_socket(url, socket).map(|stream| (stream, false));
        }
        let failed = |error: io::Error| describe(&error);
        let proxy = if self.proxy { proxy_for(url, |name| self.variable(name))? } else { None };
        let next = proxy.as_ref().unwrap_or(url);
        let stream = dial(&next.host, next.port, self.timeout).map_err(failed)?;
        match proxy {
            Some(_) if !secure => return Ok((Box::new(stream), true)),
            Some(proxy) => tunnel(&stream, &proxy, url)?,
            None if !secure => return Ok((Box::new(stream), false)),
            None => {}
        }
        Ok((self.secured(stream, url)?, false))
    }

    fn variable(&self, name: &str) -> Option<String> {
        let own = self.variables.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        own.or_else(|| env::var(name).ok())
    }

    fn connect_socket(&self, url: &Url, socket: &Path) -> Result<Box<dyn Stream>, String> {
        let failed = |error: io::Error| format!("cannot connect to the socket {}: {}", socket.display(), describe(&error));
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(self.timeout)).map_err(failed)?;
        stream.set_write_timeout(Some(self.timeout)).map_err(failed)?;
        if url.scheme == "https" { self.secured(stream, url) } else { Ok(Box::new(stream)) }
    }

    fn secured(&self, socket: impl Stream + Into<OwnedFd> + 'static, url: &Url) -> Result<Box<dyn Stream>, String> {
        let (host, authorities, client) = (url.host.clone(), self.ca_path.clone(), self.client.clone());
        tls::secured(socket, &Terms { host, validate: self.validate, authorities, client })
    }
}

pub(in crate::machine) fn dial(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in address::resolve(host, port)? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The proxy that the environment wants for `url`.
fn proxy_for(url: &Url, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Url>, String> {
    let either =
        |name: &str| [name.to_owned(), name.to_ascii_uppercase()].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let named = either(&format!("{}_proxy", url.scheme)).or_else(|| either("all_proxy"));
    let Some(proxy) = named.filter(|_| !exempted(&url.host, &either("no_proxy").unwrap_or_default())) else { return Ok(None) };
    let text = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    Url::parse(&text).map(Some).map_err(|error| format!("cannot use the proxy of the environment: {error}"))
}

fn exempted(host: &str, list: &str) -> bool {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let suffix = entry.trim_start_matches('.').split(':').next().unwrap_or_default();
        entry == "*" || host == suffix || host.ends_with(&format!(".{suffix}"))
    })
}

/// Asks the proxy for a way through.
fn tunnel(mut stream: &TcpStream, proxy: &Url, url: &Url) -> Result<(), String> {
    let place = format!("{}:{}", url.host, url.port);
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some((user, password)) = &proxy.credentials {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", basic(user, password)));
    }
    request.push_str("\r\n");
    let mut answered = || {
        stream.write_all(request.as_bytes())?;
        // Byte by byte: what follows the answer is the server's.
        let mut reader = BufReader::with_capacity(1, stream);
        let status = line(&mut reader)?;
        while !line(&mut reader)?.is_empty() {}
        Ok(status)
    };
    let status: String = answered().map_err(|error: io::Error| describe(&error))?;
    if status.split_whitespace().nth(1) != Some("200") {
        return Err(format!("the proxy {proxy} does not let us through to {place}: {status}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_proxy_and_its_exceptions() {
        for (url, variables, expected) in [
            ("http://a.lan/", &[("http_proxy", "p:3128")][..], Some("http://p:3128/")),
            ("https://a.lan/", &[("http_proxy", "p:3128")], None),
            ("https://a.lan/", &[("HTTPS_PROXY", "http://p")], Some("http://p/")),
            ("http://a.lan/", &[("http_proxy", "p"), ("no_proxy", "x, .lan")], None),
            ("http://alan/", &[("http_proxy", "p"), ("NO_PROXY", "lan")], Some("http://p/")),
            ("http://a/", &[("all_proxy", "p"), ("no_proxy", "*")], None),
            ("http://a/", &[("http_proxy", "")], None),
        ] {
            let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let proxy = proxy_for(&Url::parse(url).unwrap(), value).unwrap();
            assert_eq!(proxy.map(|proxy| proxy.to_string()).as_deref(), expected, "{url} {variables:?}");
        }
    }
}
