//! `serial` and `order`: which hosts go together, and in which order.

use std::sync::Arc;

use rand::seq::SliceRandom;

use super::{PlayState, Shared};
use crate::model::Keyword;
use crate::template::{Scope, is_omit, to_wire};
use crate::text::Diagnostic;
use crate::wire;

/// The hosts of `play`, batch by batch.
pub(super) fn batches(shared: &Arc<Shared>, play: &Arc<PlayState>) -> Result<Vec<Vec<String>>, Diagnostic> {
    let mut all = play.hosts.clone();
    let scope: Arc<dyn Scope> = Arc::new(shared.static_layers(play));
    if let Some(expr) = play.plan.keyword(Keyword::Order) {
        order(&mut all, &to_wire(&shared.templar.evaluate(expr, &scope)?).to_text());
    }
    let Some(expr) = play.plan.keyword(Keyword::Serial) else { return Ok(vec![all]) };
    let sizes = shared.templar.evaluate(expr, &scope)?;
    if is_omit(&sizes) {
        return Ok(vec![all]);
    }
    let sizes = match to_wire(&sizes) {
        wire::Value::List(items) => items,
        other => vec![other],
    };
    let wrong = |text: &str| {
        Diagnostic::error("serial", format!("`serial`: expected a number of hosts or a percentage, found `{text}`")).at(expr.span(), "")
    };
    let sizes = sizes
        .iter()
        .map(|size| batch_size(&size.to_text(), all.len()).ok_or_else(|| wrong(&size.to_text())))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(split(all, &sizes))
}

/// `3`, or `30%` of all hosts (at least one); 0 means all.
fn batch_size(text: &str, hosts: usize) -> Option<usize> {
    let text = text.trim();
    let size = match text.strip_suffix('%') {
        Some(share) => {
            let share: f64 = share.trim().parse().ok().filter(|share| (0.0..=1e6).contains(share))?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a number of hosts")]
            let size = (share / 100.0 * hosts as f64) as usize;
            size.max(1)
        }
        None => text.parse::<i64>().ok().map(|size| usize::try_from(size).unwrap_or(0))?,
    };
    Some(if size == 0 { hosts } else { size })
}

/// The last size repeats.
fn split(mut hosts: Vec<String>, sizes: &[usize]) -> Vec<Vec<String>> {
    let mut batches = Vec::new();
    let mut sizes = sizes.iter().copied().peekable();
    let mut size = hosts.len();
    while !hosts.is_empty() {
        size = sizes.next().unwrap_or(size).clamp(1, hosts.len().max(1));
        let rest = hosts.split_off(size.min(hosts.len()));
        batches.push(std::mem::replace(&mut hosts, rest));
    }
    batches
}

/// Puts hosts into the order that `order` names; anything else leaves the inventory's.
fn order(hosts: &mut [String], order: &str) {
    match order {
        "sorted" => hosts.sort(),
        "reverse_sorted" => {
            hosts.sort();
            hosts.reverse();
        }
        "reverse_inventory" => hosts.reverse(),
        "shuffle" => hosts.shuffle(&mut rand::rng()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_cut_as_ansible_cuts_them() {
        let cases: [(&[&str], usize, &[usize]); 7] = [
            (&["2"], 5, &[2, 2, 1]),
            (&["30%"], 10, &[3, 3, 3, 1]),
            (&["10%"], 5, &[1, 1, 1, 1, 1]),
            (&["1", "2"], 6, &[1, 2, 2, 1]),
            (&["1", "50%", "100%"], 10, &[1, 5, 4]),
            (&["0"], 3, &[3]),
            (&["100"], 3, &[3]),
        ];
        for (sizes, count, wanted) in cases {
            let hosts: Vec<String> = (0..count).map(|index| format!("h{index}")).collect();
            let sizes: Vec<usize> = sizes.iter().map(|size| batch_size(size, count).unwrap()).collect();
            let found: Vec<usize> = split(hosts, &sizes).iter().map(Vec::len).collect();
            assert_eq!(found, wanted, "{sizes:?} of {count}");
        }
        assert_eq!(batch_size("many", 3), None);
    }
}
