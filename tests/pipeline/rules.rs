//! The shipped alert rules, by Prometheus' own checker.

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
