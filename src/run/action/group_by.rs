//! Puts the host into a group named by a fact.
//!
//! ```yaml
//! - group_by: {key: "os_{{ ansible_facts.distribution }}"}
//! ```

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct GroupBy {
        /// The group's name; blanks become `-`.
        key: String,
        /// Groups that the group belongs to.
        parents: Vec<String> = ["all".to_owned()],
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: GroupBy = call.decode()?;
    let group = params.key.replace(' ', "-");
    let parents: Vec<String> = params.parents.iter().map(|parent| parent.replace(' ', "-")).collect();
    let task = call.item.task;
    let changed = !task.shared.inventory().members(&group).contains(task.host.as_str());
    let outcome = Outcome { changed, ..Outcome::default() }.with("add_group", group.as_str()).with("parent_groups", parents.clone());
    Ok(Answer { outcome, effects: vec![Effect::GroupBy { group, parents }], ..Answer::default() })
}
