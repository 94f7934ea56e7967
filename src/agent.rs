//! The second program: frames in, modules run, frames out.

use std::process::ExitCode;

/// Runs the agent until its input ends.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
