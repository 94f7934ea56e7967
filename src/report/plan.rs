//! The plan of a dry run: what would change, grouped over hosts, and how well it can be undone.

use std::io;

use super::{Look, Quiet, Reporter, Streams};
use crate::event::{Changes, Event, EventKind};

/// Says what is wrong as it comes, and the plan at the end.
pub struct Plan {
    changes: Changes,
    quiet: Quiet,
}

impl Plan {
    /// A plan in the given look.
    pub fn new(look: &Look) -> Self {
        Self { changes: Changes::default(), quiet: Quiet::new(look) }
    }
}

impl Reporter for Plan {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        self.changes.apply(event);
        if matches!(event.kind, EventKind::RunFinished { .. }) {
            return writeln!(to.out, "{}{}", self.changes.text(), self.changes.summary());
        }
        self.quiet.on(event, to)
    }
}
