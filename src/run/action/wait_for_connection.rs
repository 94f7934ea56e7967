//! Waits until the host can be reached and its agent answers.
//!
//! ```yaml
//! - wait_for_connection: {timeout: 300}
//! ```

use std::time::{Duration, Instant};

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct WaitForConnection {
        /// Seconds for one attempt to connect.
        connect_timeout: i64 = 5,
        /// Seconds to wait before the first attempt.
        delay: i64 = 0,
        /// Seconds between attempts.
        sleep: i64 = 1,
        /// Seconds after which to give up.
        timeout: i64 = 600,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: WaitForConnection = call.decode()?;
    let seconds = |number: i64| Duration::from_secs(number.max(0).unsigned_abs());
    let begun = Instant::now();
    tokio::time::sleep(seconds(params.delay)).await;
    loop {
        let last = match call.module("ping", Map::new()).await {
            Ok(_) => return Ok(Outcome::default().with("elapsed", begun.elapsed().as_secs()).into()),
            Err(Trouble::Unreachable(message)) => message,
            Err(Trouble::Failed(failure, _)) => failure.msg,
        };
        if begun.elapsed() + seconds(params.sleep) > seconds(params.timeout) {
            let failure =
                Failure::new(format!("timed out waiting for ping module test: {last}")).with("elapsed", begun.elapsed().as_secs());
            return Err(failure.into());
        }
        tokio::time::sleep(seconds(params.sleep)).await;
    }
}
