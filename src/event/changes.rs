//! [`Changes`]: the fold over a dry run's events that gives the plan: what would change, on which hosts, and how well it can be
//! undone. Hosts with the same difference are one group.

use std::fmt::Write as _;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::{Event, EventKind, Status, TaskInfo, TaskResult, Undo};
use crate::wire::Diff;

/// Lines of one difference that a plan shows.
const SHOWN_LINES: usize = 60;

/// What a dry run found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    hosts: IndexSet<String>,
    tasks: IndexMap<u64, TaskInfo>,
    /// By place and name: batches number the same task anew.
    steps: IndexMap<(String, u32, String), Step>,
}

/// One task that would change something.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The task.
    pub task: TaskInfo,
    /// Who would be changed how.
    pub groups: Vec<Group>,
}

/// Hosts that one task would change in the same way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Which hosts.
    pub hosts: Vec<String>,
    /// The item of a loop.
    pub item: Option<String>,
    /// How.
    pub diff: Vec<Diff>,
    /// Whether the change is predicted; a command can only be run.
    pub known: bool,
}

impl Changes {
    /// Takes one more event into account.
    pub fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::PlayStarted { hosts, .. } => self.hosts.extend(hosts.iter().cloned()),
            EventKind::TaskStarted(info) => {
                self.tasks.insert(info.id, info.clone());
            }
            EventKind::ItemFinished(result) => self.changed(result),
            EventKind::TaskFinished(result) if !result.looped => self.changed(result),
            _ => {}
        }
    }

    /// Hosts in the order of their play, whoever was first.
    fn sort(step: &mut Step, hosts: &IndexSet<String>) {
        let place = |host: &String| hosts.get_index_of(host);
        let mut items: Vec<Option<String>> = Vec::new();
        for group in &mut step.groups {
            group.hosts.sort_by_key(place);
            if !items.contains(&group.item) {
                items.push(group.item.clone());
            }
        }
        let item = |group: &Group| items.iter().position(|item| *item == group.item);
        step.groups.sort_by_key(|group| (item(group), group.hosts.first().and_then(place)));
    }

    fn changed(&mut self, result: &TaskResult) {
        let Some(task) = self.tasks.get(&result.task) else { return };
        let known = result.status == Status::Changed;
        // A command has no prediction and skips itself; it has no condition to name.
        let skipped_itself = result.status == Status::Skipped && !result.result.contains_key("skip_reason");
        let unknown = skipped_itself && task.undo == Some(Undo::Impossible);
        if !(known || unknown) {
            return;
        }
        let key = (task.path.clone(), task.position.line, task.name.clone());
        let step = self.steps.entry(key).or_insert_with(|| Step { task: task.clone(), groups: Vec::new() });
        let same = |group: &&mut Group| group.item == result.item && group.diff == result.diff && group.known == known;
        if let Some(group) = step.groups.iter_mut().find(same) {
            group.hosts.push(result.host.clone());
        } else {
            let (hosts, item, diff) = (vec![result.host.clone()], result.item.clone(), result.diff.clone());
            step.groups.push(Group { hosts, item, diff, known });
        }
        Self::sort(step, &self.hosts);
    }

    /// The tasks that would change something, in order.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &Step> {
        self.steps.values()
    }

    /// One line: how much would change, and how well it can be undone.
    pub fn summary(&self) -> String {
        let hosts: IndexSet<_> = self.steps().flat_map(|step| &step.groups).flat_map(|group| &group.hosts).collect();
        if hosts.is_empty() {
            return format!("nothing would change on {}", count(self.hosts.len(), "host"));
        }
        let undoable = |wanted: Undo| self.steps().filter(|step| step.task.undo == Some(wanted)).count();
        let mut text = format!(
            "{} on {} of {}; {} can be undone exactly",
            count(self.steps.len(), "step"),
            hosts.len(),
            count(self.hosts.len(), "host"),
            undoable(Undo::Exact)
        );
        for (wanted, words) in [(Undo::BestEffort, "as well as possible"), (Undo::Impossible, "only by rescue tasks")] {
            if undoable(wanted) > 0 {
                let _ = write!(text, ", {} {words}", undoable(wanted));
            }
        }
        let unknown = self.steps().filter(|step| step.groups.iter().any(|group| !group.known)).count();
        if unknown > 0 {
            let _ = write!(text, "; {} cannot be predicted", count(unknown, "command"));
        }
        text
    }

    /// The plan for people: every step with its groups of hosts and their differences.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for step in self.steps() {
            let remark = match step.task.undo {
                Some(Undo::Exact) | None => "",
                Some(Undo::BestEffort) => " (undone as well as possible)",
                Some(Undo::Impossible) => " (cannot be undone but by a rescue task)",
            };
            let place = &step.task.position;
            let _ = writeln!(text, "{}{remark}  {}:{}", step.task.name, place.name, place.line);
            for group in &step.groups {
                let _ = writeln!(text, "  {}", self.headline(group));
                for line in difference(&group.diff) {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
        text
    }

    /// `18 hosts: item`, or their names where they are few.
    pub fn headline(&self, group: &Group) -> String {
        let hosts = match group.hosts.len() {
            all if all > 1 && all == self.hosts.len() => format!("all {all} hosts"),
            1..=3 => group.hosts.join(", "),
            many => format!("{many} hosts ({}, …)", group.hosts.first().map_or("", String::as_str)),
        };
        let item = group.item.as_ref().map(|item| format!(": {item}")).unwrap_or_default();
        let unknown = if group.known { "" } else { ": would run; what it changes cannot be known before" };
        format!("{hosts}{item}{unknown}")
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("{number} {noun}") } else { format!("{number} {noun}s") }
}

/// The lines of a difference, and how many more there are.
pub fn difference(diff: &[Diff]) -> Vec<String> {
    let all: String = diff.iter().map(unified).collect();
    let mut lines: Vec<_> = all.lines().take(SHOWN_LINES).map(str::to_owned).collect();
    let left = all.lines().count() - lines.len();
    if left > 0 {
        lines.push(format!("… {left} more lines"));
    }
    lines
}

/// A difference in the form that `patch` reads; empty where nothing differs.
pub fn unified(diff: &Diff) -> String {
    let header = |side: &str, what: &str| if what.is_empty() { side.to_owned() } else { format!("{side}: {what}") };
    TextDiff::from_lines(&diff.before, &diff.after)
        .unified_diff()
        .context_radius(3)
        .header(&header("before", &diff.before_header), &header("after", &diff.after_header))
        .to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: serde_json::Value) -> Event {
        let mut event = json!({"at": "2026-01-01T00:00:00Z", "elapsed": 0.0});
        event.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn task(id: u64, name: &str, module: &str, undo: &str) -> Event {
        event(
            json!({"event": "task_started", "id": id, "name": name, "role": null, "module": module, "position": {"name": "site.yml", "line": id, "column": 1},
            "path": "/site.yml", "handler": false, "check": true, "section": null, "no_log": false, "undo": undo}),
        )
    }

    fn result(task: u64, host: &str, status: &str, after: &str) -> Event {
        let diff = if after.is_empty() {
            json!([])
        } else {
            json!([{"before_header": "a", "after_header": "a", "before": "0\n", "after": after}])
        };
        event(
            json!({"event": "task_finished", "task": task, "host": host, "delegate": null, "status": status, "ignored": false, "rescued": false, "item": null,
            "result": {}, "diff": diff, "warnings": [], "finding": null, "took": 0.1, "shown": "verbose", "looped": false}),
        )
    }

    #[test]
    fn hosts_with_the_same_difference_are_one_group() {
        let mut changes = Changes::default();
        let hosts = ["w1", "w2", "w3", "w4"];
        changes.apply(&event(json!({"event": "play_started", "name": "p", "hosts": hosts, "check": true, "lockstep": true})));
        for each in [
            task(1, "Configure", "copy", "exact"),
            result(1, "w1", "changed", "1\n"),
            result(1, "w2", "changed", "2\n"),
            result(1, "w3", "changed", "1\n"),
            result(1, "w4", "ok", ""),
            task(2, "Migrate", "command", "impossible"),
        ] {
            changes.apply(&each);
        }
        hosts.iter().for_each(|host| changes.apply(&result(2, host, "skipped", "")));
        assert_eq!(
            changes.summary(),
            "2 steps on 4 of 4 hosts; 1 can be undone exactly, 1 only by rescue tasks; 1 command cannot be predicted"
        );
        let wanted = "Configure  site.yml:1\n  w1, w3\n    --- before: a\n    +++ after: a\n    @@ -1 +1 @@\n    -0\n    +1\n  w2\n    --- before: a\n    \
                      +++ after: a\n    @@ -1 +1 @@\n    -0\n    +2\nMigrate (cannot be undone but by a rescue task)  site.yml:2\n  \
                      all 4 hosts: would run; what it changes cannot be known before\n";
        assert_eq!(changes.text(), wanted);
        assert_eq!(Changes::default().summary(), "nothing would change on 0 hosts");
    }
}
