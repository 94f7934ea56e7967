//! [`Hush`]: of a dry run only what is wrong is passed on as it comes. The rest is told once, grouped over the hosts.

use std::collections::HashMap;

use crate::event::{Event, EventKind, Status};

/// Holds back what would only be repeated by the plan.
#[derive(Debug, Default)]
pub(super) struct Hush {
    play: Option<Event>,
    tasks: HashMap<u64, Event>,
}

impl Hush {
    /// What is to be told now that `event` happened: nothing, or a failure with its play and task before it.
    pub(super) fn pass(&mut self, event: Event) -> Vec<Event> {
        match &event.kind {
            EventKind::PlayStarted { .. } => self.play = Some(event),
            EventKind::TaskStarted(info) => {
                self.tasks.insert(info.id, event);
            }
            EventKind::TaskFinished(result) | EventKind::ItemFinished(result)
                if matches!(result.status, Status::Failed | Status::Unreachable) =>
            {
                let task = self.tasks.remove(&result.task);
                return [self.play.take(), task, Some(event)].into_iter().flatten().collect();
            }
            EventKind::Warned(_) | EventKind::HostConnected { .. } | EventKind::Waiting { .. } => return vec![event],
            _ => {}
        }
        Vec::new()
    }
}
