//! HTTP for the pipeline's own needs: Prometheus, Pushgateway, registries, GitHub, Slack. Blocking calls, off the async threads.

use std::time::Duration;

pub use ureq::http::Method;

/// One request.
#[derive(Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The address. It may be a secret (Slack's webhook), so it never gets into an error.
    pub url: String,
    /// Headers; they may hold secrets.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// For the whole exchange.
    pub limit: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body, as text.
    pub body: String,
}

/// No answer at all, in words that name no address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(String);

impl Ask {
    /// A request without body.
    pub fn new(method: Method, url: impl Into<String>, limit: Duration) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: None, limit }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a body.
    #[must_use]
    pub fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("Content-Type", kind)
    }

    /// Sends it and waits.
    pub async fn send(self) -> Result<Answer, NoAnswer> {
        match tokio::task::spawn_blocking(move || self.send_now()).await {
            Ok(answered) => answered,
            Err(error) => Err(NoAnswer(error.to_string())),
        }
    }

    /// The same, where no runtime is.
    ///
    /// # Errors
    /// There is no answer.
    pub fn send_now(self) -> Result<Answer, NoAnswer> {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(self.limit))
            .http_status_as_error(false)
            .max_redirects(5)
            .user_agent(concat!("rappel/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let mut request = ureq::http::Request::builder().method(self.method).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let wrong = |error: ureq::Error| NoAnswer(describe(&error, self.limit));
        let mut response = match self.body {
            Some(body) => agent.run(request.body(body).map_err(|error| NoAnswer(error.to_string()))?),
            None => agent.run(request.body(()).map_err(|error| NoAnswer(error.to_string()))?),
        }
        .map_err(wrong)?;
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
            body: response.body_mut().read_to_string().map_err(wrong)?,
        })
    }
}

fn describe(error: &ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", limit.as_secs_f32()),
        ureq::Error::HostNotFound => "the host's name is not known".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::BadUri(_) => "the address makes no sense".to_owned(),
        other => other.to_string(),
    }
}

impl Answer {
    /// Whether it says that all is well.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The header `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The status and the start of the body, for an error message.
    pub fn describe(&self) -> String {
        let line: String = self.body.lines().next().unwrap_or_default().chars().take(200).collect();
        if line.is_empty() { format!("status {}", self.status) } else { format!("status {}: {line}", self.status) }
    }
}

/// `text` for a query string.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
