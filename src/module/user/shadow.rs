//! What `/etc/shadow` says of a user, and which groups list the user.

use std::path::Path;

use crate::machine::Machine;
use crate::machine::clock::{Moment, Period};
use crate::machine::owner::Group;
use crate::wire::Failure;

/// One line of shadow(5). Has no `Debug`: it holds a hash.
#[derive(Default)]
pub(super) struct Shadow {
    /// Whether there is a line at all.
    pub(super) there: bool,
    hash: String,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) warn: Option<i64>,
    pub(super) inactive: Option<i64>,
    /// In days since the epoch.
    pub(super) expires: Option<i64>,
}

impl Shadow {
    /// The line of `name`; empty when there is none.
    pub(super) fn of(name: &str, machine: &Machine) -> Result<Self, Failure> {
        let text = machine.read_text(Path::new("/etc/shadow"))?.unwrap_or_default();
        let line = text.lines().find(|line| line.split(':').next() == Some(name));
        Ok(line.map(Self::parse).unwrap_or_default())
    }

    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
        let hash = fields.get(1).copied().unwrap_or_default().to_owned();
        Self { there: true, hash, min: number(3), max: number(4), warn: number(5), inactive: number(6), expires: number(7) }
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether the password is locked; an account without any is not locked by this.
    pub(super) fn locked(&self) -> bool {
        self.hash.starts_with('!')
    }
}

/// The further groups of a user, by the host's own file.
pub(super) fn groups_of(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let groups = text.lines().filter_map(Group::parse).filter(|group| group.members.iter().any(|member| member == name));
    groups.map(|group| group.name).collect()
}

/// Days since the epoch; `None` for never.
#[expect(clippy::cast_possible_truncation, reason = "a date fits")]
pub(super) fn days(seconds: f64) -> Option<i64> {
    (seconds >= 0.0).then_some((seconds / 86400.0) as i64)
}

/// The date of a moment, in Greenwich, as useradd takes it.
#[expect(clippy::cast_possible_truncation, reason = "a date fits")]
pub(super) fn date(seconds: f64) -> String {
    let moment = Moment::at(seconds as i64, 0, Period::default());
    format!("{}-{:02}-{:02}", moment.year, moment.month, moment.day)
}

/// The date that is so many days after the epoch.
pub(super) fn date_of_days(days: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a date fits")]
    date(days as f64 * 86400.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let shadow = Shadow::parse("web:!$6$a$b:19000:0:99999:7::21990:");
        assert!(shadow.locked());
        assert_eq!((shadow.min, shadow.max, shadow.warn, shadow.inactive, shadow.expires), (Some(0), Some(99999), Some(7), None, Some(21990)));
        assert_eq!(date_of_days(21990), "2030-03-17");
        assert_eq!((days(1_900_000_000.0), days(-1.0)), (Some(21990), None));
    }
}
