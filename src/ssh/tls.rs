//! The program for TLS, `rappel-tls`: an agent asks for it like for any other content, when a task first needs it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::blobs::Source;
use crate::wire::Digest;

/// The program for the architecture that this program was built for. Empty in quick development builds.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tls.bin"));

/// The programs that can be offered.
#[derive(Debug, Default)]
pub(super) struct TlsPrograms {
    folder: Option<PathBuf>,
    /// By architecture.
    known: Mutex<HashMap<String, Option<(Digest, Source)>>>,
}

impl TlsPrograms {
    /// The embedded program; `folder` holds `tls-ARCH` for other architectures.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, known: Mutex::default() }
    }

    /// What an agent on `arch` is offered.
    pub(super) fn offer(&self, arch: &str) -> Option<(Digest, Source)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(arch.to_owned()).or_insert_with(|| self.find(arch)).clone()
    }

    fn find(&self, arch: &str) -> Option<(Digest, Source)> {
        let program = if arch == std::env::consts::ARCH {
            Bytes::from_static(EMBEDDED)
        } else {
            std::fs::read(self.folder.as_ref()?.join(format!("tls-{arch}"))).ok()?.into()
        };
        (!program.is_empty()).then(|| (Digest::of(&program), Source::Bytes(program)))
    }
}
