//! `url`: what a web server answers to the controller.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::inline::Options;
use crate::template::{LookupCall, Value};

const OPTIONS: &[&str] = &[
    "validate_certs",
    "use_proxy",
    "username",
    "password",
    "url_username",
    "url_password",
    "headers",
    "force",
    "timeout",
    "http_agent",
    "force_basic_auth",
    "follow_redirects",
    "ca_path",
    "split_lines",
    "unredirected_headers",
    "use_netrc",
];

/// Where distributions keep the certificates they trust.
const BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// Runs the lookup; `variable` gives variables like `ansible_lookup_url_timeout`.
pub(super) fn run(call: &LookupCall<'_>, variable: impl Fn(&str) -> Option<Value>) -> Result<Vec<Value>, String> {
    if let Some((name, _)) = call.options.iter().find(|(name, _)| !OPTIONS.contains(&&**name)) {
        return Err(format!("the option `{name}` is not supported"));
    }
    let mut options = Options::default();
    for name in ["timeout", "agent", "force_basic_auth", "follow_redirects", "validate_certs"] {
        let given = variable(&format!("ansible_lookup_url_{name}"));
        given.into_iter().for_each(|value| options.set(if name == "agent" { "http_agent".to_owned() } else { name.to_owned() }, value));
    }
    call.options.iter().for_each(|(name, value)| options.set(name.to_string(), value.clone()));
    let mut found = Vec::new();
    for term in call.terms {
        let body = ask(&term.to_text(), &options)?;
        if options.flag("split_lines", true) {
            found.extend(body.lines().map(Value::from));
        } else {
            found.push(Value::from(body));
        }
    }
    Ok(found)
}

fn ask(url: &str, options: &Options) -> Result<String, String> {
    let seconds = options.text("timeout").and_then(|text| text.parse().ok()).unwrap_or(10.0);
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(10));
    let validate = options.flag("validate_certs", true);
    let mut tls = TlsConfig::builder().disable_verification(!validate);
    if let (true, Some(roots)) = (validate && url.starts_with("https:"), roots(options)) {
        tls = tls.root_certs(roots);
    }
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .tls_config(tls.build())
        .max_redirects(if options.text("follow_redirects").is_some_and(|follow| matches!(follow.as_str(), "no" | "none" | "False")) {
            0
        } else {
            10
        })
        .user_agent(options.text("http_agent").unwrap_or_else(|| "ansible-httpget".to_owned()));
    if !options.flag("use_proxy", true) {
        config = config.proxy(None);
    }
    let mut request = config.build().new_agent().get(url);
    for (name, value) in options.get("headers").and_then(Value::as_entries).unwrap_or_default().iter() {
        request = request.header(name.0.to_text(), value.to_text());
    }
    if let Some(user) = options.text("username").or_else(|| options.text("url_username")) {
        let password = options.text("password").or_else(|| options.text("url_password")).unwrap_or_default();
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        request = request.header("Authorization", format!("Basic {both}"));
    }
    let mut answer = request.call().map_err(|error| format!("Failed lookup url for {url} : {error}"))?;
    if !answer.status().is_success() {
        return Err(format!("Received HTTP error for {url} : HTTP Error {}", answer.status()));
    }
    answer.body_mut().read_to_string().map_err(|error| format!("Failed lookup url for {url} : {error}"))
}

/// The certificates that this machine trusts; the built-in ones where it has none.
fn roots(options: &Options) -> Option<RootCerts> {
    let mut paths = options.text("ca_path").into_iter().chain(BUNDLES.map(str::to_owned));
    let pem = paths.find_map(|path| std::fs::read(path).ok())?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Some(RootCerts::Specific(Arc::new(certificates.collect())))
}
