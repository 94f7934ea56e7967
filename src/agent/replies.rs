//! The last replies, so that a request that is asked for twice is run once.

use std::collections::{HashSet, VecDeque};
use std::io;

use crate::wire::{self, Failure, Reply};

/// How many bytes of replies are kept: a controller asks again for what was under way when its connection broke.
const KEPT: usize = 8 << 20;

#[derive(Default)]
pub(super) struct Replies {
    /// The last ones, as frames.
    kept: VecDeque<(u64, Vec<u8>)>,
    size: usize,
    /// What was answered before those.
    forgotten: HashSet<u64>,
}

impl Replies {
    /// The frame that answers request `id`: what `run` comes to, or came to when it was asked for before.
    ///
    /// # Errors
    /// A reply that does not fit into a frame.
    pub(super) fn answer(&mut self, id: u64, run: impl FnOnce() -> Reply) -> io::Result<Vec<u8>> {
        if let Some((_, frame)) = self.kept.iter().find(|(known, _)| *known == id) {
            return Ok(frame.clone());
        }
        if self.forgotten.contains(&id) {
            let failure = Failure::new("this was done before the connection broke, and what came of it was not kept");
            return wire::encode(&Reply::Done { id, result: Err(failure) });
        }
        let frame = wire::encode(&run())?;
        self.size += frame.len();
        self.kept.push_back((id, frame.clone()));
        while self.size > KEPT && self.kept.len() > 1 {
            if let Some((old, frame)) = self.kept.pop_front() {
                self.size -= frame.len();
                self.forgotten.insert(old);
            }
        }
        Ok(frame)
    }
}
