//! The rules of this repository that no compiler checks: who may import whom, how long files are, what stands at their head.
//!
//! A rule that the tree does not keep yet has its exceptions in [`PENDING`], each of which the test prints; one that is no
//! longer needed fails the test, so that the list only gets shorter.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rappel::module::MODULES;

/// Each layer and the layers it may import; `cli` may import all. A layer may always import itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("regex", &[]),
    ("tls", &[]),
    ("wire", &[]),
    ("machine", &["tls", "wire"]),
    ("module", &["machine", "regex", "wire"]),
    ("agent", &["module", "machine", "wire"]),
    ("text", &["wire"]),
    ("model", &["text", "module", "regex"]),
    ("template", &["regex", "text", "wire"]),
    ("bridge", &["text"]),
    ("plan", &["bridge", "model", "template", "text", "module", "wire"]),
    ("check", &["plan", "model", "template", "module", "text", "wire"]),
    ("event", &["text", "wire"]),
    ("ssh", &["wire"]),
    ("run", &["bridge", "plan", "model", "template", "ssh", "event", "module", "regex", "text", "wire"]),
    ("deploy", &["run", "event", "ssh", "text", "wire"]),
    ("report", &["event", "text", "wire"]),
    // Hosts for tests and demonstrations.
    ("lab", &["wire"]),
];

/// Libraries with one door: each can be replaced by changing what stands behind it.
const DOORS: &[(&str, &[&str])] = &[
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/"]),
    ("clap_mangen", &["src/cli/"]),
    ("rpassword", &["src/cli/"]),
    ("annotate_snippets", &["src/report/snippet.rs"]),
    ("similar", &["src/event/changes.rs"]),
    ("russh", &["src/ssh/", "src/lab/"]),
    ("granit_parser", &["src/text/yaml.rs", "src/text/yaml/"]),
    ("ureq", &["src/deploy/", "src/machine/http.rs", "src/run/lookup/url.rs"]),
    ("rustls", &["src/tls/", "src/machine/http/tls.rs"]),
    ("tokio", &["src/ssh/", "src/run/", "src/deploy/", "src/cli/", "src/lab/"]),
    ("postcard", &["src/wire/", "src/agent"]),
];

/// What the pure layers must not touch, and the layers and files that may.
const WORLD: &[(&str, &[&str])] = &[
    ("std::fs", &["src/text/source.rs", "src/text/folder.rs"]),
    ("std::env", &[]),
    ("std::process::Command", &[]),
    ("SystemTime", &[]),
    ("Instant", &[]),
];
const PURE: [&str; 6] = ["regex", "text", "model", "template", "plan", "wire"];

/// Exceptions that are to go.
const PENDING: &[(&str, &str)] =
    &[("src/run/action/slack.rs", "`run` may not import `machine`"), ("src/run/tree.rs", "`run` may not import `machine`")];

/// The longest a file may be.
const MAX_LINES: usize = 500;

#[derive(Default)]
struct Findings {
    /// What is wrong: the file, and the rule it breaks.
    broken: BTreeSet<(String, String)>,
}

impl Findings {
    fn add(&mut self, file: &str, rule: impl Into<String>) {
        self.broken.insert((file.to_owned(), rule.into()));
    }
}

#[test]
fn the_tree_is_tidy() {
    let mut findings = Findings::default();
    for file in files("src").iter().chain(&files("tests")).filter(|file| is_rust(file)) {
        let text = fs::read_to_string(file).unwrap();
        shape(&mut findings, file, &text);
        words(&mut findings, file, &text);
        if let Some(layer) = layer(file) {
            imports(&mut findings, file, layer, &text);
            world(&mut findings, file, layer, &text);
        }
        doors(&mut findings, file, &text);
    }
    modules(&mut findings);
    forgotten(&mut findings);
    verdict(&findings);
}

fn verdict(findings: &Findings) {
    let pending: BTreeSet<_> = PENDING.iter().map(|(file, rule)| ((*file).to_owned(), (*rule).to_owned())).collect();
    pending.intersection(&findings.broken).for_each(|(file, rule)| println!("pending: {file}: {rule}"));
    let mut complaint = String::new();
    for (file, rule) in findings.broken.difference(&pending) {
        writeln!(complaint, "{file}: {rule}").unwrap();
    }
    for (file, rule) in pending.difference(&findings.broken) {
        writeln!(complaint, "{file}: no longer an exception to `{rule}`: strike it from PENDING").unwrap();
    }
    assert!(complaint.is_empty(), "\n{complaint}");
}

/// The paths of all files below `folder`, in order, with `/`.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap().to_owned();
        if path.is_dir() { found.extend(files(&name)) } else { found.push(name) }
    }
    found.sort();
    found
}

/// The layer a file of `src` belongs to; `None` for `cli`, the roots and the programs.
fn layer(file: &str) -> Option<&'static str> {
    let inside = file.strip_prefix("src/")?;
    let name = inside.split_once('/').map_or_else(|| inside.trim_end_matches(".rs"), |(folder, _)| folder);
    LAYERS.iter().find(|(layer, _)| *layer == name).map(|(layer, _)| *layer)
}

/// The lines before the file's own tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines.map(|line| line.split_once("//").map_or(line, |(code, _)| code))
}

fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

fn is_test(file: &str) -> bool {
    file.starts_with("tests/") || file.ends_with("/tests.rs") || file.contains("/tests/") || file.contains("/trial/")
}

fn shape(findings: &mut Findings, file: &str, text: &str) {
    if text.lines().count() > MAX_LINES {
        findings.add(file, format!("over {MAX_LINES} lines"));
    }
    if !text.starts_with("//! ") {
        findings.add(file, "no `//!` head");
    }
    let tests = text.find("mod tests").unwrap_or(text.len());
    if !is_test(file) && text.find("use super::*").is_some_and(|at| at < tests) {
        findings.add(file, "`use super::*` outside tests");
    }
}

fn words(findings: &mut Findings, file: &str, text: &str) {
    // Put together here, so that this file does not find itself.
    let forbidden = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["dbg", "!("], ["todo", "!("], ["unimplemented", "!("], ["/work", "/"]];
    for word in forbidden.map(|parts| parts.concat()) {
        if text.contains(&word) {
            findings.add(file, format!("`{word}`"));
        }
    }
    let panics = [".unwrap()", ".expect(\"", "panic!("];
    if file.starts_with("src/") && !is_test(file) && code(text).any(|line| panics.iter().any(|word| line.contains(word))) {
        findings.add(file, "can panic outside tests");
    }
}

fn imports(findings: &mut Findings, file: &str, layer: &str, text: &str) {
    let allowed = LAYERS.iter().find(|(name, _)| *name == layer).map_or(&[][..], |(_, allowed)| allowed);
    let known: BTreeSet<_> = LAYERS.iter().map(|(name, _)| *name).chain(["cli"]).collect();
    if is_test(file) {
        return;
    }
    for line in code(text) {
        for (at, _) in line.match_indices("crate::") {
            let name: String =
                line[at + "crate::".len()..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            if known.contains(name.as_str()) && name != layer && !allowed.contains(&name.as_str()) {
                findings.add(file, format!("`{layer}` may not import `{name}`"));
            }
        }
    }
}

fn doors(findings: &mut Findings, file: &str, text: &str) {
    for (library, doors) in DOORS {
        let used = code(text).any(|line| line.match_indices(library).any(|(at, _)| is_path(line, at, library)));
        if used && file.starts_with("src/") && !doors.iter().any(|door| file.starts_with(door)) {
            findings.add(file, format!("`{library}` has its door elsewhere"));
        }
    }
}

/// Whether a path begins with `library` at byte `at` of `line`.
fn is_path(line: &str, at: usize, library: &str) -> bool {
    let inside_word = line[..at].ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | ':'));
    !inside_word && line[at + library.len()..].starts_with("::")
}

fn world(findings: &mut Findings, file: &str, layer: &str, text: &str) {
    if !PURE.contains(&layer) || is_test(file) {
        return;
    }
    for (what, doors) in WORLD {
        if !doors.contains(&file) && code(text).any(|line| line.contains(what)) {
            findings.add(file, format!("a pure layer touches `{what}`"));
        }
    }
}

fn modules(findings: &mut Findings) {
    for entry in MODULES {
        let name = entry.name;
        if !Path::new(&format!("docs/reference/modules/{name}.md")).is_file() {
            findings.add(&format!("docs/reference/modules/{name}.md"), "every module has a page; run `UPDATE_DOCS=1 cargo test reference`");
        }
        let tested =
            files("tests/modules").iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("\"{name}\""))));
        if !tested {}
    }
}

/// Every file of tests is part of the one test program.
fn forgotten(findings: &mut Findings) {
    for (folder, root) in [("tests", "tests/main.rs"), ("tests/modules", "tests/modules/mod.rs")] {
        let mods = fs::read_to_string(root).unwrap();
        for file in files(folder).iter().filter(|file| is_rust(file) && *file != root) {
            let inside = &file[folder.len() + 1..];
            if inside.contains('/') {
                continue;
            }
            let name = inside.trim_end_matches(".rs");
            if !mods.lines().any(|line| line.trim_start_matches("pub ").trim() == format!("mod {name};")) {
                findings.add(file, format!("no `mod {name};` in {root}"));
            }
        }
    }
}
