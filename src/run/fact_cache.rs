//! Facts that outlive a run: one file of JSON per host, as `fact_caching = jsonfile` keeps them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::wire::Map;

/// Where facts are kept between runs.
#[derive(Clone, Debug)]
pub struct FactCache {
    /// The folder.
    pub folder: PathBuf,
    /// In front of the host in the name of its file.
    pub prefix: String,
    /// How long facts hold; `None` for ever.
    pub timeout: Option<Duration>,
}

impl FactCache {
    fn file(&self, host: &str) -> PathBuf {
        self.folder.join(format!("{}{}", self.prefix, host.replace('/', "_")))
    }

    /// The facts of `host`, unless there are none, or they are too old. A file that cannot be read holds none.
    pub(super) fn load(&self, host: &str) -> Option<Map> {
        let file = self.file(host);
        let written = fs::metadata(&file).and_then(|meta| meta.modified()).ok()?;
        if self.timeout.is_some_and(|timeout| written.elapsed().is_ok_and(|age| age > timeout)) {
            return None;
        }
        serde_json::from_slice(&fs::read(&file).ok()?).ok()
    }

    /// Keeps the facts of `host`, whole or not at all: another run may read them now.
    pub(super) fn store(&self, host: &str, facts: &Map) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let file = self.file(host);
        let fresh = self.folder.join(format!(".{}.{}", file.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
        // Facts may have secrets in them.
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        out.write_all(&serde_json::to_vec_pretty(facts)?)?;
        fs::rename(&fresh, &file)
    }

    /// Forgets what was kept of `host`.
    pub(super) fn forget(&self, host: &str) {
        let _ = fs::remove_file(self.file(host));
    }
}
