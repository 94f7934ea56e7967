//! Copies a file from the host to the controller, of any size.
//!
//! ```yaml
//! - fetch: {src: /var/log/app.log, dest: logs/, flat: true}
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use md5::Md5;
use sha1::{Digest, Sha1};

use super::prelude::*;
use crate::run::tree::tidy;

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

const MISSING: &str = "the remote file does not exist";
const FOLDER: &str = "remote file is a directory, fetch cannot work on directories";

/// One piece of the file.
struct Piece {
    data: Map,
    bytes: Vec<u8>,
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Fetch = call.decode()?;
    if call.checking() {
        let msg = "check mode not (yet) supported for this module";
        return Ok(Outcome { skipped: Some(msg.to_owned()), ..Outcome::default() }.into());
    }
    let first = match piece(&call, &params.src.0, 0).await {
        Err(Trouble::Failed(failure, _)) if !params.fail_on_missing && failure.msg.starts_with("file is not readable") => {
            return Ok(Outcome::default()
                .with("file", params.src.0)
                .with("msg", format!("{}, not transferring, ignored", failure.msg))
                .into());
        }
        first => first?,
    };
    match (first.text("kind").as_str(), params.fail_on_missing) {
        ("absent", true) => return Err(Failure::new(MISSING).into()),
        ("directory", true) => return Err(Failure::new(FOLDER).into()),
        ("absent", false) => {
            let outcome = Outcome::default().with("file", params.src.0.as_str());
            return Ok(outcome.with("msg", format!("{MISSING}, not transferring, ignored")).into());
        }
        ("directory", false) => return Ok(Outcome::default().with("msg", format!("{FOLDER}, not transferring, ignored")).into()),
        _ => {}
    }
    let dest = destination(&call, &params, &first.text("source"))?;
    let unwritten = |error: io::Error| Failure::new(format!("cannot write {}: {error}", dest.display()));
    let remote = first.text("checksum");
    let local = Sums::of_file(&dest).map_err(unwritten)?;
    if let Some(local) = local.filter(|local| local.sha1 == remote) {
        let outcome = Outcome::default().with("checksum", remote).with("dest", dest.display().to_string());
        return Ok(outcome.with("file", params.src.0).with("md5sum", local.md5).into());
    }
    let sums = transfer(&call, &params.src.0, first, &dest).await?;
    if params.validate_checksum && sums.sha1 != remote {
        let failure = Failure::new(format!("{} changed while it was fetched: its checksum does not match", params.src.0));
        return Err(failure.with("checksum", sums.sha1).with("remote_checksum", remote).with("file", params.src.0).into());
    }
    Ok(Outcome { changed: true, ..Outcome::default() }
        .with("md5sum", sums.md5)
        .with("dest", dest.display().to_string())
        .with("checksum", remote.as_str())
        .with("remote_checksum", remote)
        .with("remote_md5sum", Value::Null)
        .into())
}

impl Piece {
    fn text(&self, name: &str) -> String {
        self.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

async fn piece(call: &ActionCall<'_>, src: &str, offset: u64) -> Result<Piece, Trouble> {
    let mut query = Map::new();
    query.insert("src".to_owned(), src.into());
    query.insert("offset".to_owned(), offset.into());
    query.insert("checksum".to_owned(), (offset == 0).into());
    let mut data = call.module("read", query).await?.data;
    let text = data.shift_remove("content").unwrap_or_default().to_text();
    let text = if text == "None" { String::new() } else { text };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    let bytes = bytes.map_err(|error| Failure::new(format!("the host sent nonsense: {error}")))?;
    Ok(Piece { data, bytes })
}

/// Brings the file `src` of the host to `dest`, for an action that wants it here.
pub(super) async fn bring(call: &ActionCall<'_>, src: &str, dest: &Path) -> Result<(), Trouble> {
    let first = piece(call, src, 0).await?;
    transfer(call, src, first, dest).await.map(drop)
}

/// Gets the rest and puts the file in its place once it is whole.
async fn transfer(call: &ActionCall<'_>, src: &str, first: Piece, dest: &Path) -> Result<Sums, Trouble> {
    let unwritten = |error: io::Error| Failure::new(format!("cannot write {}: {error}", dest.display()));
    let folder = dest.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(unwritten)?;
    let mut file = tempfile::Builder::new().permissions(permissions()).tempfile_in(folder).map_err(unwritten)?;
    let mut hashers = Hashers::default();
    let (mut bytes, mut offset) = (first.bytes, 0);
    while !bytes.is_empty() {
        file.write_all(&bytes).map_err(unwritten)?;
        hashers.update(&bytes);
        offset += bytes.len() as u64;
        bytes = piece(call, src, offset).await?.bytes;
    }
    file.persist(dest).map_err(|error| unwritten(error.error))?;
    Ok(hashers.finish())
}

/// What any new file gets; the system takes the umask off.
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

fn destination(call: &ActionCall<'_>, params: &Fetch, source: &str) -> Result<PathBuf, Trouble> {
    let task = call.item.task;
    let dest = match (params.dest.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(&params.dest),
    };
    // Joining an absolute path gives that path.
    let base = tidy(&task.play.plan.dir.join(dest));
    if !params.flat {
        // Tidied first: no `..` in a host's path may lead out of the host's directory.
        let inside = tidy(&Path::new("/").join(source));
        return Ok(base.join(&task.host).join(inside.strip_prefix("/").unwrap_or(&inside)));
    }
    if params.dest.ends_with('/') {
        let dest = base.join(Path::new(source).file_name().unwrap_or_default());
        if dest.is_dir() {
            let shown = dest.display();
            return Err(Failure::new(format!(
                "calculated dest '{shown}' is an existing directory, use another path that does not point to an existing directory"
            ))
            .into());
        }
        return Ok(dest);
    }
    if base.is_dir() {
        let msg = "dest is an existing directory, use a trailing slash if you want to fetch src into that directory";
        return Err(Failure::new(msg).into());
    }
    Ok(base)
}

/// The SHA-1 of a file of the controller; `None` when it cannot be read.
pub(super) fn checksum(path: &Path) -> Option<String> {
    Sums::of_file(path).ok().flatten().map(|sums| sums.sha1)
}

/// The checksums of a file.
struct Sums {
    sha1: String,
    md5: String,
}

impl Sums {
    /// `None` when there is no file.
    fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut hashers = Hashers::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer)?;
            match buffer.get(..read) {
                Some(bytes) if read > 0 => hashers.update(bytes),
                _ => return Ok(Some(hashers.finish())),
            }
        }
    }
}

#[derive(Default)]
struct Hashers {
    sha1: Sha1,
    md5: Md5,
}

impl Hashers {
    fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.md5.update(bytes);
    }

    fn finish(self) -> Sums {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Sums { sha1: hex(&self.sha1.finalize()), md5: hex(&self.md5.finalize()) }
    }
}
