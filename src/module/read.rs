//! Reads a piece of a file of the host. `fetch` is made of it: files of any size, in constant memory on both sides.
//!
//! ```yaml
//! - read: {src: /var/log/app.log, offset: 4194304}
//! ```

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};

use super::prelude::*;
use super::slurp::base64;
use crate::machine::Algorithm;

/// The bytes of one piece.
const PIECE: u64 = 4 << 20;

params! {
    pub struct Read {
        /// The file.
        src: PathText,
        /// Where the piece starts, in bytes.
        offset: i64 = 0,
        /// Give the SHA-1 of the whole file too.
        checksum: bool = false,
    }
}

impl Module for Read {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.src.0);
        let unreadable = |failure: Failure| Failure { msg: format!("file is not readable: {}", failure.msg), ..failure };
        let kind = match machine.stat(&path, true).map_err(unreadable)? {
            None => "absent",
            Some(stat) if stat.is_dir() => "directory",
            Some(_) => "file",
        };
        let outcome = machine.outcome().with("source", path.display().to_string()).with("kind", kind);
        if kind != "file" {
            return Ok(outcome);
        }
        let failed = |error: std::io::Error| Failure::new(format!("file is not readable: {}: {error}", path.display()));
        let checksum = if self.checksum { machine.checksum(&path, Algorithm::Sha1).map_err(unreadable)?.into() } else { Value::Null };
        let mut file = File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.offset.max(0).unsigned_abs())).map_err(failed)?;
        file.take(PIECE).read_to_end(&mut bytes).map_err(failed)?;
        Ok(outcome.with("size", size).with("checksum", checksum).with("length", bytes.len()).with("content", base64(&bytes)))
    }
}
