//! What becomes of deployments: first, again, failed, cancelled, disabled, two at once.

use super::*;

fn stages(report: &Report) -> Vec<(&str, StageStatus)> {
    report.stages.iter().map(|row| (row.stage.as_str(), row.status)).collect()
}

#[tokio::test]
async fn a_first_deployment_goes_through_the_stages_and_the_same_again_is_skipped() {
    use StageStatus::{Passed, Skipped};
    let story = Story::new("", vec![], &[]);
    let report = story.deploy("1").await;
    let wanted = [
        ("lock", Passed),
        ("recover", Passed),
        ("runner", Skipped),
        ("preflight", Passed),
        ("plan", Passed),
        ("deploy", Passed),
        ("health", Skipped),
        ("notify", Skipped),
        ("metrics", Skipped),
        ("history", Passed),
        ("unlock", Passed),
    ];
    assert_eq!(stages(&report), wanted);
    assert_eq!((report.exit, report.outcome()), (Exit::Success, "success"));
    assert_eq!(story.played(), ["site --check", "site"]);
    let again = story.deploy("1").await;
    assert_eq!((again.exit, again.outcome()), (Exit::Success, "nothing to do"));
    assert_eq!(story.played(), ["health"], "only the health was looked at");
    let upgrade = story.deploy("2").await;
    assert_eq!(upgrade.from, "r (web1, web2)");
    assert_eq!(story.played(), ["site --check", "site"]);
}

#[tokio::test]
async fn what_is_worth_it_is_tried_again_and_what_is_not_is_not() {
    let (task, module, status) = HEALTH;
    let table = [
        (Act::fails("Pull the image", "command", Status::Failed, "no network"), 3, "task"),
        (Act::fails("Pull the image", "command", Status::Unreachable, "cut"), 3, "unreachable"),
        (Act::fails(task, module, status, "503"), 1, "health"),
        (Act::fails("Refuse a deployment without images", "assert", Status::Failed, "no"), 1, "mistake"),
        (Act { takes: Duration::from_mins(1), ..Act::success() }, 3, "timeout"),
    ];
    for (act, attempts, reason) in table {
        let story = Story::new("", vec![act.clone(), act.clone(), act], &[]);
        let report = story.deploy("1").await;
        assert_eq!((report.attempts, report.incident.as_ref().unwrap().reason.word()), (attempts, reason));
        assert_eq!((report.exit, report.rolled_back, report.outcome()), (Exit::RolledBack, true, "rolled back"), "{reason}");
        assert!(report.stages.iter().any(|row| row.stage == "rollback" && row.status == StageStatus::Passed));
    }
}

#[tokio::test]
async fn a_second_attempt_that_works_is_a_success() {
    let story = Story::new("", vec![Act::fails("Pull", "command", Status::Unreachable, "cut"), Act::success()], &[]);
    let report = story.deploy("1").await;
    assert_eq!((report.exit, report.attempts, report.rolled_back), (Exit::Success, 2, false));
}

#[tokio::test]
async fn hosts_that_no_transaction_put_back_are_put_back_by_the_playbook() {
    let torn = Act { exit: Exit::Failed, verdict: None, ..Act::fails("Check: x", "uri", Status::Failed, "503") };
    let mut changed = torn.clone();
    changed.task = Some(("Check: x", "uri", Status::Failed, "503"));
    changed.verdict = Some(Verdict::RollbackFailed);
    changed.exit = Exit::RollbackFailed;
    let story = Story::new("", vec![changed.clone()], &[]);
    let report = story.deploy("1").await;
    assert_eq!(story.played(), ["site --check", "site", "safe"]);
    assert_eq!((report.exit, report.rolled_back), (Exit::RolledBack, true));
    let worse = Act { exit: Exit::Failed, ..Act::success() };
    let story = Story::new("", vec![changed, worse], &[]);
    let report = story.deploy("1").await;
    assert_eq!((report.exit, report.outcome()), (Exit::RollbackFailed, "MIXED FLEET"));
}

#[tokio::test]
async fn a_signal_rolls_back_and_is_not_tried_again() {
    let story = Story::new("", vec![Act { takes: Duration::from_mins(1), ..Act::success() }], &[]);
    let stop = story.pipeline.stop.clone();
    let (report, ()) = tokio::join!(story.deploy("1"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert_eq!((report.exit, report.attempts), (Exit::RolledBack, 1));
    assert_eq!(report.incident.unwrap().reason.word(), "cancelled");
}

#[tokio::test]
async fn a_disabled_deployment_stops_after_its_plan() {
    for value in ["", "false", "TRUE"] {
        let story = Story::new("    enabled_by: AUTO\n", vec![], &[("AUTO", value)]);
        let report = story.deploy("1").await;
        assert_eq!((report.exit, story.played()), (Exit::Success, vec!["site --check".to_owned()]));
        assert!(report.markdown().contains("`AUTO` is not `true`"), "{}", report.markdown());
    }
    let story = Story::new("    enabled_by: AUTO\n", vec![], &[("AUTO", "true")]);
    story.deploy("1").await;
    assert_eq!(story.played(), ["site --check", "site"]);
}

#[tokio::test]
async fn preflight_names_what_is_missing_and_never_shows_a_secret() {
    let more = "    branches: [master]\n".to_owned();
    let mut story = Story::new(&more, vec![], &[("GITHUB_REF_NAME", "topic"), ("KEY", "hunter2")]);
    story.pipeline.environment.preflight.secrets = vec!["KEY".into(), "USER_NAME".into()];
    let report = story.deploy("1").await;
    let text = report.markdown();
    assert_eq!((report.exit, story.played().len()), (Exit::Error, 0));
    assert!(text.contains("not set: `USER_NAME`") && text.contains("`topic` may not be deployed, only master"), "{text}");
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn two_deployments_take_turns_and_the_second_hears_of_the_first() {
    let mut story = Story::new("", vec![Act { takes: Duration::from_millis(900), ..Act::success() }], &[]);
    let (first, second) = tokio::join!(story.deploy("1"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        story.deploy("2").await
    });
    assert_eq!((first.exit, second.exit), (Exit::Success, Exit::Success));
    assert_eq!(story.played(), ["site --check", "site", "site --check", "site"]);
    let notes = story.notes();
    assert!(notes.iter().any(|note| note.contains("1 ahead; held by ticket 1 (user alice")), "{notes:?}");
    let history = std::fs::read_to_string(story.directory.path().join("history.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 2);
}
