//! The tests, as in `x is defined`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::Eval;
use super::value::Value;
use super::{filter, python};

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
    let areas: &[&[Test]] = &[TESTS];
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

const TESTS: &[Test] = &[
    raw("defined", |_, value, _| Ok(!value.is_undefined())),
    raw("undefined", |_, value, _| Ok(value.is_undefined())),
    test("none", |_, value, _| Ok(value.is_none())),
    test("equalto", |_, value, mut args| Ok(python::equal(&value, &args.required("other")?))),
];

/// The subject of a raw test, which must still be defined.
#[expect(dead_code, reason = "used by the tests of the next commit")]
fn defined(value: &Value) -> Result<()> {
    match value {
        Value::Undefined(missing) => Err(Error::undefined(missing)),
        _ => Ok(()),
    }
}
