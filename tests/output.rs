//! Recorded runs, shown again in every format, against what is known to be right.
//!
//! `tests/output/NAME.jsonl` are the events of a run, `NAME.LOOK.txt` what `ansible-playbook` showed of the same playbook with
//! the settings of that look. `record.py` beside them writes both; it alone needs ansible. The outputs of our own are snapshots.

use std::fs;
use std::io::BufReader;

use rappel::event::Event;
use rappel::report::{Github, Human, Json, Jsonl, Junit, Look, Paint, Quiet, Reporter, ResultFormat, Streams, jsonl};

const FOLDER: &str = "tests/output";

fn events(name: &str) -> Vec<Event> {
    let file = fs::File::open(format!("{FOLDER}/{name}.jsonl")).unwrap();
    jsonl::read(BufReader::new(file)).map(Result::unwrap).collect()
}

fn shown(events: &[Event], mut reporter: impl Reporter) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    for event in events {
        reporter.on(event, &mut Streams { out: &mut out, err: &mut err }).unwrap();
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn look(name: &str) -> Look {
    let plain = Look::default();
    match name {
        "plain" => plain,
        "v" => Look { verbosity: 1, ..plain },
        "yaml" => Look { verbosity: 1, result_format: ResultFormat::Yaml, ..plain },
        "color" => Look { paint: Paint(true), ..plain },
        "hide-ok" => Look { display_ok_hosts: false, ..plain },
        "hide-skipped" => Look { display_skipped_hosts: false, ..plain },
        "stderr" => Look { display_failed_stderr: true, ..plain },
        "path" => Look { show_task_path_on_failure: true, ..plain },
        "markers" => Look { check_mode_markers: true, ..plain },
        "stats" => Look { show_custom_stats: true, ..plain },
        other => panic!("expected a look, found `{other}`"),
    }
}

#[test]
fn people_see_what_ansible_shows_them() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let [name, look_name, "txt"] = file.split('.').collect::<Vec<_>>()[..] else { continue };
        compared += 1;
        let expected = fs::read_to_string(&path).unwrap();
        let (found, _) = shown(&events(name), Human::new(look(look_name)));
        if found != expected {
            wrong.push(format!("=== {file}\n{}", difference(&expected, &found)));
        }
    }
    assert!(compared > 30, "only {compared} outputs were compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let at = expected.iter().zip(&found).take_while(|(expected, found)| expected == found).count();
    let rest =
        |lines: &[&str]| lines[at.saturating_sub(2)..].iter().take(8).map(|line| format!("  {line:?}")).collect::<Vec<_>>().join("\n");
    format!("line {}, expected:\n{}\nfound:\n{}\n", at + 1, rest(&expected), rest(&found))
}

#[test]
fn a_recording_is_written_as_it_was_read() {
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let read = events(name);
            let (written, _) = shown(&read, Jsonl);
            let again: Vec<Event> = jsonl::read(written.as_bytes()).map(Result::unwrap).collect();
            assert_eq!(format!("{read:?}"), format!("{again:?}"), "{name}");
        }
    }
}

/// The outputs that are our own, of one run that has a bit of everything.
#[test]
fn a_rolled_back_run_in_every_format() {
    let events = events("transaction");
    let summary = tempfile::NamedTempFile::new().unwrap();
    let outputs = tempfile::NamedTempFile::new().unwrap();
    let github = Github::new(Look::default(), Some(summary.path().to_owned()), Some(outputs.path().to_owned()));
    let formats = [
        ("human", shown(&events, Human::new(Look::default()))),
        ("quiet", shown(&events, Quiet::new(&Look::default()))),
        ("github", shown(&events, github)),
        ("junit", shown(&events, Junit::default())),
        ("json", shown(&events, Json::default())),
    ];
    for (name, (out, err)) in formats {
        insta::assert_snapshot!(format!("transaction.{name}"), format!("{out}--- standard error\n{err}"));
    }
    let written = format!("{}--- outputs\n{}", fs::read_to_string(summary.path()).unwrap(), fs::read_to_string(outputs.path()).unwrap());
    insta::assert_snapshot!("transaction.github-files", written);
}
