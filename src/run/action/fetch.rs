//! Copies a file from the host to the controller.
//!
//! ```yaml
//! - fetch: {src: /var/log/app.log, dest: logs/, flat: true}
//! ```

use std::path::{Path, PathBuf};

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct Fetch {
        /// The file on the host.
        src: PathText,
        /// Where to put it on the controller: a directory, under which host name and path follow.
        dest: String,
        /// `dest` is the file itself, or a directory when it ends in `/`.
        flat: bool = false,
        /// Fail when the file is not there.
        fail_on_missing: bool = true,
        /// Compare checksums after the transfer.
        validate_checksum: bool = true,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Fetch = call.decode()?;
    let mut query = Map::new();
    query.insert("src".to_owned(), params.src.0.as_str().into());
    let slurped = match call.module("slurp", query).await {
        Ok(slurped) => slurped,
        Err(Trouble::Failed(failure, _)) if !params.fail_on_missing && failure.msg.contains("not found") => {
            return Ok(Outcome::default().with("msg", failure.msg + ", ignored").into());
        }
        Err(trouble) => return Err(trouble),
    };
    let text = slurped.data.get("content").and_then(Value::as_str).unwrap_or_default();
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| Failure::new(format!("the host sent nonsense: {error}")))?;
    let dest = destination(&call, &params);
    let checksum = sha1_hex(&bytes);
    let old = std::fs::read(&dest).ok();
    let changed = old.as_deref() != Some(bytes.as_slice());
    if changed && !call.item.task.shared.settings.check {
        write(&dest, &bytes).map_err(|error| Failure::new(format!("cannot write {}: {error}", dest.display())))?;
    }
    let outcome = Outcome { changed, ..Outcome::default() }
        .with("dest", dest.display().to_string())
        .with("checksum", checksum.as_str())
        .with("md5sum", Value::Null)
        .with("remote_checksum", checksum)
        .with("remote_md5sum", Value::Null)
        .with("file", params.src.0);
    Ok(outcome.into())
}

fn destination(call: &ActionCall<'_>, params: &Fetch) -> PathBuf {
    let task = call.item.task;
    let dest = Path::new(&params.dest);
    let base = if dest.is_absolute() { dest.to_owned() } else { task.play.plan.dir.join(dest) };
    if !params.flat {
        return base.join(&task.host).join(params.src.0.trim_start_matches('/'));
    }
    if params.dest.ends_with('/') { base.join(Path::new(&params.src.0).file_name().unwrap_or_default()) } else { base }
}

fn write(dest: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = dest.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(dest).map_err(|error| error.error)?;
    Ok(())
}

fn sha1_hex(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
