//! TLS for agents, which have none: see `rappel::tls`.

fn main() -> std::process::ExitCode {
    rappel::tls::main()
}
