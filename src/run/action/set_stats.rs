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
        data: Map,
        /// Keep it for each host instead of for the run.
        per_host: bool = false,
        /// Add to what is there instead of replacing it.
        aggregate: bool = true,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: SetStats = call.decode()?;
    let mut stats = Map::new();
    stats.insert("data".to_owned(), params.data.clone().into());
    stats.insert("per_host".to_owned(), params.per_host.into());
    stats.insert("aggregate".to_owned(), params.aggregate.into());
    let effects = vec![Effect::Stats { data: params.data, per_host: params.per_host, aggregate: params.aggregate }];
    Ok(Answer { outcome: Outcome::default().with("ansible_stats", stats), effects, ..Answer::default() })
}
