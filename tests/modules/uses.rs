//! How much of what playbooks use is native here: by the counts in `uses.txt` of all tasks, and by those in `deploys.txt` of the
//! repositories that deploy.

use rappel::module;
use rappel::run::action::ACTIONS;

/// What is counted, in which unit, of how many in all, and how much of it is ours at least, in hundredths of a percent. What the tables
/// leave out counts as not ours.
const COUNTS: [(&str, &str, u32, u32); 2] =
    [("tasks", include_str!("uses.txt"), 55_417, 9_440), ("shares of the tasks that deploy", include_str!("deploys.txt"), 10_000, 9_700)];

/// What is no module but a statement of the language.
const STATEMENTS: [&str; 4] = ["import_tasks", "import_role", "import_playbook", "include"];

fn native(name: &str) -> bool {
    let short = module::short_name(name);
    let action = ACTIONS.iter().any(|action| action.name == short || action.aliases.contains(&short));
    STATEMENTS.contains(&short) || action || module::find(name).is_some()
}

#[test]
fn most_tasks_run_natively() {
    for (what, table, all, least) in COUNTS {
        let rows = table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ').unwrap());
        let rows: Vec<(u32, &str)> = rows.map(|(count, name)| (count.parse().unwrap(), name)).collect();
        assert!(rows.is_sorted_by(|one, next| one.0 >= next.0), "the table is sorted by uses");
        let (ours, missing): (Vec<(u32, &str)>, Vec<(u32, &str)>) = rows.into_iter().partition(|(_, name)| native(name));
        let covered: u32 = ours.iter().map(|(count, _)| count).sum();
        let share = covered * 10_000 / all;
        println!("{covered} of {all} {what}: {}.{:02} %; not native, most used first:", share / 100, share % 100);
        missing.iter().take(20).for_each(|(count, name)| println!("{count:6} {name}"));
        assert!(share >= least, "{share} is less than {least} hundredths of a percent of {what}");
    }
}
