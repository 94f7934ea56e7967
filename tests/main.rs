//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking, and says why; all of it is one program"
)]

mod bad;
mod bridge;
mod check;
mod crash_points;
mod facts;
mod inventory;
mod language;
mod modules;
mod output;
mod pipeline;
mod protocol;
mod reference;
mod report;
mod secrets;
mod semantics;
mod ssh;
mod support;
mod synchronize;
mod templating;
mod tidy;
mod vault;
mod walk;

mod deploy;
