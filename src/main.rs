//! The program `rappel`: everything is in [`rappel::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // Hosts that are this machine itself need no other agent: see `ssh::Transport::Local`.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == rappel::ssh::AGENT_ARGUMENT) {
        return rappel::agent::main();
    }
    rappel::cli::main()
}
