//! The tests, as in `x is defined`.

mod compare;
mod file;
mod kind;
mod outcome;
mod version;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arguments::Args;
use super::error::Result;
use super::eval::Eval;
use super::filter;
use super::value::Value;

/// One test.
#[derive(Clone, Copy)]
pub(super) struct Test {
    pub(super) name: &'static str,
    pub(super) run: Run,
    /// Whether it takes its subject and arguments as they are: lazy, or undefined.
    pub(super) raw: bool,
}

pub(super) type Run = fn(&Eval<'_>, Value, Args) -> Result<bool>;

const fn test(name: &'static str, run: Run) -> Test {
    Test { name, run, raw: false }
}

const fn raw(name: &'static str, run: Run) -> Test {
    Test { name, run, raw: true }
}

static ALL: LazyLock<HashMap<&'static str, &'static Test>> = LazyLock::new(|| {
    let areas: &[&[Test]] = &[compare::TESTS, file::TESTS, kind::TESTS, outcome::TESTS, version::TESTS];
    areas.iter().flat_map(|area| area.iter()).map(|test| (test.name, test)).collect()
});

/// The test `name`, short or with its collection.
pub(super) fn find(name: &str) -> Option<&'static Test> {
    ALL.get(filter::short(name)).copied()
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.keys().copied()
}
