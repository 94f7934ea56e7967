//! The last replies, so that a call that is asked for twice is run once.

use std::collections::VecDeque;

use crate::wire::Reply;

/// How many are kept: a controller asks again for the last call, never for one long before.
const KEPT: usize = 16;

#[derive(Default)]
pub(super) struct Replies(VecDeque<Reply>);

impl Replies {
    pub(super) fn find(&self, call: u64) -> Option<&Reply> {
        self.0.iter().find(|reply| matches!(reply, Reply::Done { id, .. } if *id == call))
    }

    pub(super) fn keep(&mut self, reply: Reply) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(reply);
    }
}
