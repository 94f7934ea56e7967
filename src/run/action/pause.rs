//! Waits, for a time or for the user.
//!
//! ```yaml
//! - pause: {seconds: 10}
//! - pause: {prompt: "Is the load balancer drained?"}
//! ```

use std::time::{Duration, Instant};

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct Pause {
        /// Minutes to wait.
        minutes: Option<f64>,
        /// Seconds to wait.
        seconds: Option<f64>,
        /// What to ask.
        prompt: Option<String>,
        /// Show what is typed.
        echo: bool = true,
    }
    rules = [Rule::Exclusive(&["minutes", "seconds"])];
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Pause = call.decode()?;
    let seconds = params.seconds.or(params.minutes.map(|minutes| minutes * 60.0));
    let start = jiff::Zoned::now();
    let begun = Instant::now();
    let mut input = String::new();
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()).await,
        None => input = ask(&call, &params).await?,
    }
    let stamp = |time: &jiff::Zoned| time.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
    let waited = begun.elapsed();
    let shown = match params.minutes {
        Some(_) => format!("Paused for {} minutes", crate::wire::repr_float((waited.as_secs_f64() / 60.0 * 100.0).round() / 100.0)),
        None => format!("Paused for {} seconds", crate::wire::repr_float((waited.as_secs_f64() * 100.0).round() / 100.0)),
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

async fn ask(call: &ActionCall<'_>, params: &Pause) -> Result<String, Trouble> {
    let task = call.item.task;
    let Some(prompter) = task.shared.prompter.clone() else {
        task.shared
            .events
            .warn(crate::text::Diagnostic::warning("no-terminal", "Not waiting for response to prompt as stdin is not interactive"))
            .await;
        return Ok(String::new());
    };
    let text = params.prompt.clone().unwrap_or_else(|| "Press enter to continue, Ctrl+C to interrupt".to_owned());
    let private = !params.echo;
    let asked = tokio::task::spawn_blocking(move || prompter.ask(&format!("{text}:"), private)).await;
    match asked {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::new(format!("cannot read an answer: {error}")).into()),
        Err(error) => Err(Failure::new(format!("cannot read an answer: {error}")).into()),
    }
}
