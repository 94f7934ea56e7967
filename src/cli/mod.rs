//! The command line.

pub mod settings;
pub mod vault;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
