//! Builds the static programs for hosts that the controller carries inside itself: the worker `rappel-agent`, and `rappel-tls`.
//!
//! The same package is built once more for each by a nested cargo with other features. It has its own target folder, because a nested
//! cargo that shares one with the outer waits for itself (cargo#8938), and nothing of the outer build's environment, because
//! flags such as `target-cpu=native` would crash the worker on older hosts.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CONTROLLER").is_none() {
        return ExitCode::SUCCESS; // this is the nested build
    }
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), String> {
    for path in [
        "src/regex",
        "src/tls",
        "src/wire",
        "src/machine",
        "src/module",
        "src/agent",
        "src/agent.rs",
        "src/lib.rs",
        "src/bin",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    for (name, variable) in [("agent", "RAPPEL_AGENT_BIN"), ("tls", "RAPPEL_TLS_BIN")] {
        println!("cargo::rerun-if-env-changed={variable}");
        embed_one(name, variable)?;
    }
    Ok(())
}

/// The program `rappel-NAME`, or what `given` names in its place: for packagers, and for quick checks with /dev/null.
fn embed_one(name: &str, given: &str) -> Result<(), String> {
    let folder = PathBuf::from(variable("OUT_DIR")?);
    // Who gives only a worker gives no TLS with it.
    let value = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let given = value(given).or_else(|| value("RAPPEL_AGENT_BIN").map(|_| "/dev/null".into()));
    let built = match given {
        Some(given) => PathBuf::from(given),
        None => build(name, &folder.join("agent-target"))?,
    };
    fs::read(&built) // not fs::copy, which refuses /dev/null
        .and_then(|program| fs::write(folder.join(format!("{name}.bin")), program))
        .map_err(|error| format!("cannot embed {}: {error}", built.display()))
}

fn build(name: &str, target_dir: &Path) -> Result<PathBuf, String> {
    let manifest_dir = variable("CARGO_MANIFEST_DIR")?;
    let target = static_target(&variable("TARGET")?)?;
    // A developer's build wants its worker in seconds; what ships wants it small.
    let (profile, folder) = if variable("PROFILE")? == "release" { ("agent", "agent") } else { ("dev", "debug") };
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args([
            "build",
            "--bin",
            &format!("rappel-{name}"),
            "--no-default-features",
            "--features",
            &format!("{name}-bin"),
            "--profile",
            profile,
            "--target",
            &target,
        ])
        .arg("--manifest-path")
        .arg(Path::new(&manifest_dir).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(&manifest_dir);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(belongs_to_the_outer_build) {
            cargo.env_remove(name);
        }
    }
    let shape = if profile == "agent" { small(target_dir)? + &nowhere(&manifest_dir) } else { String::new() };
    cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("-Ctarget-feature=+crt-static{shape}"));
    if target.ends_with("-musl") {
        // The C in it needs no C library, so the host's own compiler will do.
        let name = target.replace('-', "_");
        cargo.env(format!("CC_{name}"), env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
        cargo.env(format!("CFLAGS_{name}"), "-U_FORTIFY_SOURCE");
    }
    cargo.env("CARGO_BUILD_BUILD_DIR", target_dir); // a configured build.build-dir would deadlock (cargo#17053)
    let status = cargo.status().map_err(|error| format!("cannot run cargo for `rappel-{name}`: {error}"))?;
    if !status.success() {
        return Err(format!("building the static `rappel-{name}` failed: {status}"));
    }
    Ok(target_dir.join(target).join(folder).join(format!("rappel-{name}")))
}

/// Fixed addresses and no tables for unwinding: a fifth of the size. The worker reads what its controller sends, and panics abort.
/// Instructions that occur again and again become calls: another twenty-fifth; hashing and inflating hardly have any. SHA-2 without
/// the processor's help, which few hosts lack, is not unrolled.
///
/// The standard library comes with those tables, and with what finds a panic's source lines in debug information that the worker
/// does not have. [`rappel::agent::main`] never asks for either, but only the linker can leave them out: the tables by dropping them
/// (those of the C library's start files end the list that these files register, and stay), the code by giving it addresses without
/// contents. That is done to large functions alone, which no other code can share.
fn small(target_dir: &Path) -> Result<String, String> {
    const NEVER_RUN: [&str; 43] = [
        "_ZN9libunwind*",
        "_Unwind_*",
        "unwind_phase2*",
        "unw_*",
        "__unw_*",
        "*backtrace_rs9symbolize5gimli*11with_global*",
        "*backtrace_rs9symbolize5gimli*7Context3new*",
        "*backtrace_rs9symbolize5gimli3elf*9new_debug*",
        "*backtrace_rs9symbolize5gimli3elf*6Object5parse*",
        "*9addr2line*8try_init*",
        "*9addr2line8function*14parse_children*",
        "*9addr2line4line11render_file*",
        "*9addr2line4unit*25find_function_or_location*",
        "*9addr2line6lookup*",
        "*5gimli4read5dwarf*4Unit*3new*",
        "*5gimli4read8rnglists*11RngListIter*4next*",
        "*5gimli4read4unit15parse_attribute*",
        "*5gimli4read4unit15skip_attributes*",
        "*5gimli4read4unit*24DebugInfoUnitHeadersIter*4next*",
        "*5gimli4read4unit*9Attribute*5value*",
        "*5gimli4read4line15parse_attribute*",
        "*5gimli4read6abbrev*13Abbreviations6insert*",
        "*14rustc_demangle12try_demangle*",
        "*14rustc_demangle2v0*7Printer*print_*",
        "*4core5slice4sort*9addr2line*",
        "*4core5slice4sort*5gimli*",
        "*5gimli3elf*9ParsedSym*",
        "*9addr2line8function10name_entry*",
        "*9addr2line8function9name_attr*",
        "*5gimli4read4line*9FileEntry*5parse*",
        "*5gimli4read4line*15FileEntryFormat5parse*",
        "*5gimli4read4line13parse_file_v5*",
        "*5gimli4read4unit*13EntriesCursor*10next_entry*",
        "*5gimli4read5index*9UnitIndex*5parse*",
        "*5gimli4read7aranges*12ArangeHeader*5parse*",
        "*backtrace_rs9symbolize5gimli3elf*6Object7section",
        "*backtrace_rs9symbolize5gimli3elf*18load_dwarf_package",
        "*backtrace_rs9symbolize5gimli3elf15locate_build_id",
        "*backtrace_rs9symbolize5gimli20libs_dl_iterate_phdr8callback",
        "*backtrace_rs5print*21print_raw_with_column",
        "*14rustc_demangle13DemangleStyle*7Display3fmt*",
        "*14rustc_demangle2v0*5Ident*7Display3fmt",
        // The standard library's own copy, which reads compressed debug information.
        "_RNv*11miniz_oxide7inflate4core*",
    ];
    let functions = NEVER_RUN.map(|name| format!(".text.{name}")).join(" ");
    let script = target_dir.join("small.ld");
    let text = format!(
        "SECTIONS {{ .never_run (NOLOAD) : {{ *({functions}) }} }} INSERT AFTER .fini;\n\
         SECTIONS {{ /DISCARD/ : {{ *(EXCLUDE_FILE(*crt*.o) .eh_frame) *(.gcc_except_table .gcc_except_table.*) }} }} INSERT AFTER .text;\n"
    );
    fs::create_dir_all(target_dir)
        .and_then(|()| fs::write(&script, text))
        .map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    let linker = format!("-Clink-args=-Wl,--no-eh-frame-hdr -Wl,-T,{}", script.display());
    let flags = [
        "-Crelocation-model=static",
        "-Cforce-unwind-tables=no",
        "-Cllvm-args=-enable-machine-outliner=always -inline-threshold=0",
        "--cfg=sha2_backend_soft=\"compact\"",
        &linker,
    ];
    Ok(flags.map(|flag| format!("\x1f{flag}")).concat())
}

/// Where sources and libraries lie is left out of what ships, so that the same commit gives the same bytes anywhere.
fn nowhere(manifest_dir: &str) -> String {
    let home = env::var("CARGO_HOME").or_else(|_| env::var("HOME").map(|home| format!("{home}/.cargo"))).unwrap_or_default();
    let folders = [(manifest_dir, "/rappel"), (home.as_str(), "/cargo")];
    folders
        .into_iter()
        .filter(|(folder, _)| !folder.is_empty())
        .map(|(folder, name)| format!("\x1f--remap-path-prefix={folder}={name}"))
        .collect()
}

/// The same machine with musl, where Rust can build for it: glibc is a third of the worker when it is linked into it.
fn static_target(target: &str) -> Result<String, String> {
    let Some(musl) = target.strip_suffix("-gnu").map(|start| format!("{start}-musl")) else { return Ok(target.to_owned()) };
    let asked = Command::new(variable("RUSTC")?).args(["--print", "target-libdir", "--target", &musl]).output();
    let folder = asked.map_err(|error| format!("cannot run rustc: {error}"))?.stdout;
    let installed = Path::new(String::from_utf8_lossy(&folder).trim()).is_dir();
    Ok(if installed { musl } else { target.to_owned() })
}

fn belongs_to_the_outer_build(name: &str) -> bool {
    const KEPT: [&str; 3] = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_OFFLINE"];
    const KEPT_PREFIXES: [&str; 3] = ["CARGO_REGISTRIES_", "CARGO_SOURCE_", "CARGO_HTTP_"];
    const DROPPED: [&str; 9] =
        ["RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_LINKER", "TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG", "OUT_DIR"];
    let kept = KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    !kept && (name.starts_with("CARGO") || DROPPED.contains(&name))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
