//! The filters, one file per area. Each area lists its filters in a table; a filter's name there is its short name.

#![expect(clippy::needless_pass_by_value, reason = "all filters have one signature, so that they fit in one table")]

mod choose;
mod crypto;
mod dict;
mod json;
pub(super) mod list;
pub(super) mod net;
mod number;
mod path;
mod query;
pub(super) mod regex;
pub(super) mod subelements;
mod text;
pub(super) mod time;
mod yaml;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arguments::Args;
use super::error::Result;
use super::eval::Eval;
use super::value::Value;

/// One filter.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    pub(super) name: &'static str,
    pub(super) run: Run,
    /// Whether it takes its subject and arguments as they are: lazy, or undefined.
    pub(super) raw: bool,
}

pub(super) type Run = fn(&Eval<'_>, Value, Args) -> Result<Value>;

const fn filter(name: &'static str, run: Run) -> Filter {
    Filter { name, run, raw: false }
}

const fn raw(name: &'static str, run: Run) -> Filter {
    Filter { name, run, raw: true }
}

static ALL: LazyLock<HashMap<&'static str, &'static Filter>> = LazyLock::new(|| {
    let areas: &[&[Filter]] = &[
        choose::FILTERS,
        crypto::FILTERS,
        dict::FILTERS,
        json::FILTERS,
        list::FILTERS,
        subelements::FILTERS,
        net::FILTERS,
        number::FILTERS,
        path::FILTERS,
        query::FILTERS,
        regex::FILTERS,
        text::FILTERS,
        time::FILTERS,
        yaml::FILTERS,
    ];
    areas.iter().flat_map(|area| area.iter()).map(|filter| (filter.name, filter)).collect()
});

/// Collections whose filters are known by their short names here.
const COLLECTIONS: &[&str] =
    &["ansible.builtin.", "ansible.legacy.", "ansible.utils.", "ansible.netcommon.", "community.general.", "ansible.posix."];

/// The name without its collection.
pub(super) fn short(name: &str) -> &str {
    COLLECTIONS.iter().find_map(|collection| name.strip_prefix(collection)).unwrap_or(name)
}

/// The filter `name`, short or with its collection.
pub(super) fn find(name: &str) -> Option<&'static Filter> {
    ALL.get(short(name)).copied()
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.keys().copied()
}
