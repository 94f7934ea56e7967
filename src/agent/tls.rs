//! The program for TLS, which a worker lacks: asked for when a task first needs it, and kept beside this program like it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Shared, own_folder};
use crate::machine::http::{find_tls, find_tls_by};
use crate::wire::{Call, Digest, Failure, Map, Reply, Value};

/// Requests of `call` that need TLS ask the controller for the program that it offers.
pub(super) fn ask(shared: &Arc<Shared>, call: &Call) {
    let Some(digest) = call.tls else { return };
    // Not kept alive by this: its end is the end of its files.
    let shared = Arc::downgrade(shared);
    find_tls_by(Arc::new(move || {
        if let Some(program) = kept(digest) {
            return Ok(program);
        }
        let shared = shared.upgrade().ok_or("the connection has ended")?;
        let file = shared.spool.file(digest, &|digests| shared.reply(&Reply::Need { digests }));
        keep(&file.map_err(|failure| failure.msg)?, digest)
    }));
}

/// Requests of `call`, of which the controller hears nothing, find the program where it is kept.
pub(super) fn find(call: &Call) {
    if let Some(program) = call.tls.and_then(kept) {
        find_tls_by(Arc::new(move || Ok(program.clone())));
    }
}

/// Asks for the program now when `call` names a safe address, or sends mail: it will run when there is nobody to ask.
///
/// # Errors
/// It does not come.
pub(super) fn fetch_for(call: &Call) -> Result<(), Failure> {
    if call.tls.is_some() && (names_one(&call.params) || call.module.ends_with("mail")) {
        find_tls().map_err(Failure::new)?;
    }
    Ok(())
}

fn names_one(params: &Map) -> bool {
    fn has(value: &Value) -> bool {
        match value {
            Value::Str(text) => text.contains("https://"),
            Value::List(items) => items.iter().any(has),
            Value::Map(entries) => names_one(entries),
            _ => false,
        }
    }
    params.iter().any(|(_, value)| has(value))
}

/// Where the program is kept, and is.
fn kept(digest: Digest) -> Option<PathBuf> {
    let path = place(digest).filter(|path| path.is_file())?;
    // Its age is counted from its last use.
    let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
    Some(path)
}

fn place(digest: Digest) -> Option<PathBuf> {
    let name = digest.to_string();
    own_folder().map(|folder| folder.join(format!("agent-tls-{}", name.get(..32).unwrap_or(&name))))
}

/// Moves the program that has come as `file` to where it is kept, or runs it where it is.
fn keep(file: &Path, digest: Digest) -> Result<PathBuf, String> {
    let executable = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o700));
    let moved = || -> io::Result<PathBuf> {
        let place = place(digest).ok_or(io::ErrorKind::NotFound)?;
        let temporary = place.with_extension(std::process::id().to_string());
        let copied = fs::copy(file, &temporary).and_then(|_| executable(&temporary)).and_then(|()| fs::rename(&temporary, &place));
        copied.inspect_err(|_| drop(fs::remove_file(&temporary))).map(|()| place)
    };
    moved().or_else(|_| executable(file).map(|()| file.to_owned())).map_err(|error| format!("cannot keep the program for TLS: {error}"))
}
