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
mod keys;
mod language;
mod live;
mod migrate;
mod modules;
mod output;
mod packaging;
mod pipeline;
mod protocol;
mod reference;
mod regex;
mod report;
mod secrets;
mod semantics;
mod services;
mod shell;
mod ssh;
mod structure;
mod support;
mod synchronize;
mod templating;
mod tidy;
mod vault;
mod walk;

mod deploy;
