//! The shipped alert rules and the workflow, by the checkers made for them.

use std::path::Path;
use std::process::Command;

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let promtool = Path::new("/usr/bin/promtool");
    if !promtool.exists() {
        println!("skipped: `promtool` is not installed (Debian's package prometheus)");
        return;
    }
    for (what, file) in [("check", "rules/deployment.yml"), ("test", "tests/deployment.yml")] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring/prometheus").join(file);
        let done = Command::new(promtool).args([what, "rules"]).arg(file).output().unwrap();
        assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn actionlint_accepts_the_workflow() {
    let folder = env!("CARGO_MANIFEST_DIR");
    match Command::new("actionlint").args(["-no-color", ".github/workflows/ci.yml"]).current_dir(folder).output() {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout)),
        Err(_) => println!("skipped: `actionlint` is not installed"),
    }
}
