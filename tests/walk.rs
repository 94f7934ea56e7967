//! The newcomer's walk: every command of `docs/getting-started.md`, as written, in an empty folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The shell blocks of `page` with the exit status each says it ends with.
fn blocks(page: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```sh") else { continue };
        let status = info.trim().strip_prefix("exit=").map_or(0, |status| status.parse().unwrap());
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push((status, block.join("\n")));
    }
    found
}

#[test]
fn every_command_of_the_first_steps_works() {
    let folder = TempDir::new().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_rappel"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/getting-started.md")).unwrap();
    let blocks = blocks(&page);
    assert_eq!(blocks.len(), 7, "the page has changed: look whether its blocks are still found");
    for (status, block) in blocks {
        let mut shell = Command::new("bash");
        shell.args(["-e", "-c", &block]).current_dir(folder.path()).env("PATH", &path).env("HOME", folder.path());
        let done = shell.env("RAPPEL_STATE_DIR", folder.path().join("state")).output().unwrap();
        let shown = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(status), "{block}\n{shown}");
    }
    for page in ["run.html", "junit.xml"] {
        assert!(folder.path().join(page).metadata().unwrap().len() > 1000, "{page}");
    }
}
