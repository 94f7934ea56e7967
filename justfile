# Recipes for everyday work. `just` lists them.

export RAPPEL_AGENT_BIN := env("RAPPEL_AGENT_BIN", "")

[private]
default:
    @just --list

# Build the program with the static agent inside
[group('dev')]
build:
    cargo build --release

# Deploy, fail and roll back on a fleet inside the program
[group('dev')]
demo *args:
    cargo run --release -- demo {{ args }}

# Pass the tests
[group('test')]
test *args:
    ./test {{ args }}

# Benchmarks of parsing, templates, planning and the wire
[group('test')]
bench *args:
    cargo bench {{ args }}

# Fuzz one of yaml, ini, pattern, template, vault, pairs for some seconds; needs `cargo install cargo-fuzz`
[group('test')]
fuzz target seconds='600':
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none {{ target }} -- -max_total_time={{ seconds }} -timeout=10 -max_len=4096

# Format, lints, docs: what CI checks besides tests
[group('check')]
check:
    cargo fmt --check
    RAPPEL_AGENT_BIN=/dev/null cargo clippy --all-targets -- -D warnings
    RAPPEL_AGENT_BIN=/dev/null RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
    cargo deny check bans licenses sources

# Rewrite docs/reference from the declarations in the code
[group('doc')]
docs:
    UPDATE_DOCS=1 cargo test --test integration reference

# Record tests/output anew; needs the ansible-core that COMPATIBILITY.md names
[group('doc')]
record ansible='ansible-playbook':
    cargo build
    tests/output/record.py "$(command -v {{ ansible }})" target/debug/rappel

# A static tarball and a .deb in dist/
[group('release')]
dist *args:
    packaging/dist {{ args }}

# The size of the static agent
[group('release')]
agent-size:
    cargo build --release
    find target/release/build -name agent.bin -exec ls -l {} +
