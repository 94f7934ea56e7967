//! How much of what playbooks use is native here, by the counts in `uses.txt`.

use rappel::module;
use rappel::run::action::ACTIONS;

const USES: &str = include_str!("uses.txt");
/// All tasks that were counted, also those of modules that the table leaves out.
const TASKS: u32 = 55_417;
/// In hundredths of a percent.
const SHARE: u32 = 9_420;

/// What is no module but a statement of the language.
const STATEMENTS: [&str; 4] = ["import_tasks", "import_role", "import_playbook", "include"];

fn native(name: &str) -> bool {
    let builtin = name.strip_prefix("ansible.builtin.").unwrap_or(name);
    let short = name.rsplit('.').next().unwrap();
    let action = ACTIONS.iter().any(|action| action.name == short || action.aliases.contains(&short));
    STATEMENTS.contains(&builtin) || action || module::find(name).is_some()
}

#[test]
fn most_tasks_run_natively() {
    let rows = USES.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ').unwrap());
    let rows: Vec<(u32, &str)> = rows.map(|(count, name)| (count.parse().unwrap(), name)).collect();
    assert!(rows.is_sorted_by(|one, next| one.0 >= next.0), "the table is sorted by uses");
    let (ours, missing): (Vec<(u32, &str)>, Vec<(u32, &str)>) = rows.into_iter().partition(|(_, name)| native(name));
    let covered: u32 = ours.iter().map(|(count, _)| count).sum();
    let share = covered * 10_000 / TASKS;
    println!("{covered} of {TASKS} tasks: {}.{:02} %; not native, most used first:", share / 100, share % 100);
    missing.iter().take(20).for_each(|(count, name)| println!("{count:6} {name}"));
    assert!(share >= SHARE, "{share} is less than {SHARE} hundredths of a percent");
}
