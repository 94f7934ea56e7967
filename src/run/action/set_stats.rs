//! Keeps data for the end of the run.
//!
//! ```yaml
//! - set_stats: {data: {deployed: "{{ version }}"}}
//! ```

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct SetStats {
        /// The data.
        data: Value,
        /// Keep it for each host instead of for the run.
        per_host: bool = false,
        /// Add to what is there instead of replacing it.
        aggregate: Value = true,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: SetStats = call.decode()?;
    let Value::Map(data) = params.data else {
        return Err(Failure::new("The 'data' option needs to be a dictionary/hash").into());
    };
    if let Some(name) = data.keys().find(|name| !is_variable(name)) {
        let rule = "Variables must start with a letter or underscore character, and contain only letters, numbers and underscores.";
        return Err(Failure::new(format!("The variable name '{name}' is not valid. {rule}")).into());
    }
    // As in Ansible, what is no word for true is false.
    let aggregate = params.aggregate.to_bool().unwrap_or(false);
    let mut stats = Map::new();
    stats.insert("data".to_owned(), data.clone().into());
    stats.insert("per_host".to_owned(), params.per_host.into());
    stats.insert("aggregate".to_owned(), aggregate.into());
    let effects = vec![Effect::Stats { data, per_host: params.per_host, aggregate }];
    Ok(Answer { outcome: Outcome::default().with("ansible_stats", stats), effects, ..Answer::default() })
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}
