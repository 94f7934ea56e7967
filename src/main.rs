//! The program `rappel`: everything is in [`rappel::cli`].

fn main() -> std::process::ExitCode {
    rappel::cli::main()
}
