//! Waits, for a time or for the user.
//!
//! ```yaml
//! - pause: {seconds: 10}
//! - pause: {prompt: "Is the load balancer drained?"}
//! ```

use std::time::{Duration, Instant};

use super::prelude::*;
use crate::module::Field as _;
use crate::run::{Paused, Pausing};

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct Pause {
        /// Minutes to wait.
        minutes: Option<Value>,
        /// Seconds to wait, at least one.
        seconds: Option<Value>,
        /// What to ask.
        prompt: Option<String>,
        /// Show what is typed.
        echo: bool = true,
    }
    rules = [Rule::Exclusive(&["minutes", "seconds"])];
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Pause = call.decode()?;
    let minutes = params.minutes.as_ref().map(|minutes| number("minutes", minutes)).transpose()?;
    let seconds = params.seconds.as_ref().map(|seconds| number("seconds", seconds)).transpose()?;
    let seconds = seconds.or(minutes.map(|minutes| minutes * 60.0));
    let start = jiff::Zoned::now();
    let begun = Instant::now();
    let time = seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(1.0)).unwrap_or_default());
    let input = wait(&call, Pausing { prompt: params.prompt, time, private: !params.echo }).await?;
    let stamp = |time: &jiff::Zoned| time.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
    let waited = begun.elapsed();
    let shown = match params.seconds {
        None => format!("Paused for {} minutes", crate::wire::repr_float((waited.as_secs_f64() / 60.0 * 100.0).round() / 100.0)),
        Some(_) => format!("Paused for {} seconds", crate::wire::repr_float((waited.as_secs_f64() * 100.0).round() / 100.0)),
    };
    let outcome = Outcome::default()
        .with("changed", false)
        .with("delta", waited.as_secs())
        .with("echo", params.echo)
        .with("rc", 0)
        .with("start", stamp(&start))
        .with("stop", stamp(&jiff::Zoned::now()))
        .with("stderr", "")
        .with("stdout", shown)
        .with("user_input", input);
    Ok(outcome.into())
}

/// A number of units of time; the complaint is Ansible's.
fn number(name: &str, value: &Value) -> Result<f64, Failure> {
    f64::decode(value).map_err(|_| {
        let class = if value.as_str().is_some() { "str" } else { "list" };
        let reason = format!("invalid literal for int() with base 10: {}", value.repr());
        Failure::new(format!("argument '{name}' is of type {class} and we were unable to convert to int: {reason}"))
    })
}

async fn wait(call: &ActionCall<'_>, pausing: Pausing) -> Result<String, Trouble> {
    let task = call.item.task;
    let Some(prompter) = task.shared.prompter.clone() else {
        let Some(time) = pausing.time else {
            let message = "Not waiting for response to prompt as stdin is not interactive";
            task.shared.events.warn(crate::text::Diagnostic::warning("no-terminal", message)).await;
            return Ok(String::new());
        };
        tokio::time::sleep(time).await;
        return Ok(String::new());
    };
    match tokio::task::spawn_blocking(move || prompter.pause(&pausing)).await {
        Ok(Ok(Paused::Answered(answer))) => Ok(answer),
        Ok(Ok(Paused::Aborted)) => Err(Failure::new("user requested abort!").into()),
        Ok(Err(error)) => Err(Failure::new(format!("cannot read an answer: {error}")).into()),
        Err(error) => Err(Failure::new(format!("cannot read an answer: {error}")).into()),
    }
}
