//! Sends a run's trace to an OpenTelemetry collector, where `OTEL_EXPORTER_OTLP_ENDPOINT` names one.

use std::io;
use std::time::Duration;

use crate::deploy::http::{Ask, Method};
use crate::event::Event;
use crate::report::{Otlp, Reporter, Streams};

/// How long a run waits for the collector at its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Collects spans and sends them when the run is over.
pub(super) struct Traces {
    otlp: Otlp,
    url: String,
    headers: Vec<(String, String)>,
}

impl Traces {
    /// As OpenTelemetry's environment variables say; `TRACEPARENT` names the span that the run belongs to.
    pub(super) fn from_environment() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let whole = variable("OTEL_EXPORTER_OTLP_ENDPOINT").map(|url| format!("{}/v1/traces", url.trim_end_matches('/')));
        let url = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or(whole)?;
        let given = variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| variable("OTEL_EXPORTER_OTLP_HEADERS")).unwrap_or_default();
        let pairs = given.split(',').filter_map(|pair| pair.split_once('='));
        let headers = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
        let id = || uuid::Uuid::new_v4().simple().to_string().chars().take(16).collect();
        Some(Self { otlp: Otlp::new(variable("TRACEPARENT").as_deref(), id), url, headers })
    }
}

impl Reporter for Traces {
    fn on(&mut self, event: &Event, _: &mut Streams<'_>) -> io::Result<()> {
        self.otlp.add(event);
        Ok(())
    }

    fn over(&mut self, to: &mut Streams<'_>) -> io::Result<()> {
        if self.otlp.is_empty() {
            return Ok(());
        }
        let ask = Ask::new(Method::POST, self.url.clone(), PATIENCE).body("application/json", self.otlp.body().to_string());
        let ask = self.headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
        let why = match ask.send_now() {
            Ok(answer) if answer.succeeded() => return Ok(()),
            Ok(answer) => answer.describe(),
            Err(error) => error.to_string(),
        };
        // The address and the headers may hold a secret.
        writeln!(to.err, "warning: the trace was not sent: {why}")
    }
}
