//! The program `rappel-agent`, started on managed hosts: everything is in [`rappel::agent`].

fn main() -> std::process::ExitCode {
    rappel::agent::main()
}
