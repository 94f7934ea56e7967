//! The undo journal: what an effect is about to change is on disk before it is changed.

use std::path::Path;

use super::{Machine, Undo};
use crate::wire::{Digest, Failure};

/// What an effect is about to do to one path.
#[derive(Debug)]
pub(super) enum Intent<'a> {
    /// Put something where nothing is; the digest is a file's new content, where it is known.
    Create { path: &'a Path, digest: Option<Digest> },
    /// Replace or remove what is there, leaving the old file itself untouched (rename over it, unlink it).
    Replace { path: &'a Path, digest: Option<Digest> },
    /// Write into the file that is there.
    Rewrite { path: &'a Path, digest: Option<Digest> },
    /// Change mode, owner, times or flags.
    Attributes { path: &'a Path },
}

impl Machine {
    /// Writes the undo of what comes next to the journal, synced, when a transaction is open.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the journal comes behind this door")]
    pub(super) fn intend(&mut self, _intents: &[Intent<'_>]) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes the undo of the program that is run next to the journal, synced, when a transaction is open.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "the journal comes behind this door")]
    pub(super) fn intend_program(&mut self, _undo: Undo) -> Result<(), Failure> {
        Ok(())
    }
}
