//! HTTP, for the modules that fetch and ask: one request, its redirects, one answer.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Request, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, ResponseExt};

use super::address;

/// Where distributions keep the certificates they trust.
const BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

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
    /// For everything together.
    pub timeout: Duration,
    /// Redirects that are followed; 0 to take the redirect itself as the answer.
    pub redirects: u32,
    /// Whether certificates are checked.
    pub validate: bool,
    /// Certificates to trust instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// Whether `http_proxy` and its like count.
    pub proxy: bool,
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

impl Answer {
    /// The header `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
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
            validate: true,
            ca_path: None,
            proxy: true,
        }
    }

    /// Sends it.
    ///
    /// # Errors
    /// Why there is no answer. An answer that says no is an answer.
    pub fn send(&self) -> Result<Answer, String> {
        let agent = self.agent()?;
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let wrong = |error: ureq::http::Error| format!("cannot ask {}: {error}", self.url);
        let answered = if self.body.is_empty() {
            agent.run(request.body(()).map_err(wrong)?)
        } else {
            agent.run(request.body(self.body.as_slice()).map_err(wrong)?)
        };
        let mut response = answered.map_err(|error| error.to_string())?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let headers = headers.collect();
        let status = response.status();
        let url = response.get_uri().to_string();
        let body = response.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(|error| error.to_string())?;
        Ok(Answer { status: status.as_u16(), reason: status.canonical_reason().unwrap_or_default().to_owned(), url, headers, body })
    }

    fn agent(&self) -> Result<Agent, String> {
        let mut tls = TlsConfig::builder().disable_verification(!self.validate);
        if self.validate && self.url.starts_with("https:") {
            tls = tls.root_certs(self.roots()?);
        }
        let mut config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(self.timeout))
            .http_status_as_error(false)
            .max_redirects(self.redirects)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true);
        if !self.proxy {
            config = config.proxy(None);
        }
        Ok(Agent::with_parts(config.build(), DefaultConnector::new(), HostResolver))
    }

    fn roots(&self) -> Result<RootCerts, String> {
        let named = self.ca_path.iter().cloned();
        let path = named.chain(BUNDLES.iter().map(PathBuf::from)).find(|path| path.is_file());
        let path = path.ok_or_else(|| {
            format!("the host has no certificates to trust (looked for {}): install `ca-certificates`", BUNDLES.join(", "))
        })?;
        let pem = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let certificates = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        Ok(RootCerts::Specific(Arc::new(certificates.collect())))
    }
}

/// Asks [`address`].
#[derive(Debug)]
struct HostResolver;

impl Resolver for HostResolver {
    fn resolve(&self, uri: &Uri, _config: &ureq::config::Config, _timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let mut found = self.empty();
        for address in address::resolve(host, uri.port_u16().unwrap_or(default))?.into_iter().take(16) {
            found.push(address);
        }
        Ok(found)
    }
}
