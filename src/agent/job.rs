//! Background jobs (`async:`): a module runs in a process of its own that outlives the agent, and leaves its result in
//! `~/.ansible_async`, where `async_status` and real Ansible look for it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Deadline;
use crate::machine::{Content, Entry, Item, Machine, Received, Settings, Stop, own_home};
use crate::module;
use crate::wire::{self, Blob, Call, Failure, Map, Outcome, TreeEntry, TreeItem, Value};

/// Files over this many bytes do not go along with a background job.
const MAX_FILES: u64 = 32 << 20;

/// Starts `call` in the background and says where its result will be.
///
/// # Errors
/// A module that does not exist, files that are too large, or the system's.
pub(super) fn start(mut call: Call, received: Vec<(String, Received)>, program: Option<&[OsString]>) -> Result<Outcome, Failure> {
    let limit = call.detach.take().unwrap_or_default();
    call.timeout = Some(limit);
    call.transaction = None;
    call.blobs = received.into_iter().map(|(name, received)| Ok((name, packed(received)?))).collect::<Result<_, Failure>>()?;
    let refused = |error: io::Error| Failure::new(format!("cannot start the task in the background: {error}"));
    let folder = folder(&call).map_err(refused)?;
    let id = new_id().map_err(refused)?;
    let file = folder.join(&id);
    let job: Map =
        [("started".to_owned(), true.into()), ("finished".to_owned(), false.into()), ("ansible_job_id".to_owned(), id.as_str().into())]
            .into_iter()
            .collect();
    write(&file, &job).map_err(refused)?;
    launch(call, &file, program).map_err(refused)?;
    Ok(Outcome { changed: true, ..Outcome::default() }
        .with("ansible_job_id", id)
        .with("results_file", file.display().to_string())
        .with("started", true)
        .with("finished", false))
}

fn folder(call: &Call) -> io::Result<PathBuf> {
    let given = call.environment.iter().find(|(name, _)| name == "ANSIBLE_ASYNC_DIR").map(|(_, value)| Machine::default().path(value));
    let folder = given.or_else(|| own_home().map(|home| home.join(".ansible_async")));
    let folder = folder.ok_or_else(|| io::Error::other("this user has no home directory"))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

fn new_id() -> io::Result<String> {
    let number = Machine::default().random::<8>().map_err(|failure| io::Error::other(failure.msg))?;
    Ok(format!("j{:012}.{}", u64::from_le_bytes(number) % 1_000_000_000_000, std::process::id()))
}

fn packed(received: Received) -> Result<Blob, Failure> {
    let inline = |content: &Content| {
        if content.size() > MAX_FILES {
            return Err(Failure::new(format!("a file of {} bytes is too large for a task in the background", content.size())));
        }
        content.to_vec().map(Blob::Inline).map_err(|error| Failure::new(format!("cannot read a file of the task: {error}")))
    };
    match received {
        Received::File(content) => inline(&content),
        Received::Tree(entries) => {
            let packed = entries.into_iter().map(|Entry { path, mode, item }| {
                let item = match item {
                    Item::Directory => TreeItem::Directory,
                    Item::Link(target) => TreeItem::Link(target.display().to_string()),
                    Item::File(content) => TreeItem::File(inline(&content)?),
                };
                Ok(TreeEntry { path: path.display().to_string(), mode, item })
            });
            packed.collect::<Result<_, Failure>>().map(Blob::Tree)
        }
    }
}

fn launch(call: Call, file: &Path, program: Option<&[OsString]>) -> io::Result<()> {
    let Some((program, arguments)) = program.and_then(<[_]>::split_first) else {
        let file = file.to_owned();
        thread::spawn(move || finish(&call, &file));
        return Ok(());
    };
    let mut command = Command::new(program);
    command.args(arguments).arg("--job").arg(file);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        wire::write_frame(&mut input, &call)?;
    }
    // Waited for, so that it does not stay a zombie when it ends before the agent.
    thread::spawn(move || child.wait());
    Ok(())
}

/// The process of a job: reads its call and runs it to the end.
///
/// # Errors
/// When there is no call, or the result cannot be written.
pub(super) fn main(file: &Path) -> io::Result<()> {
    // A session of its own: the end of the connection is no signal for it.
    let _ = rustix::process::setsid(); // a leader already, when started by hand
    let call = wire::read_frame::<Call>(&mut io::stdin())?.ok_or_else(|| io::Error::other("there is no call"))?;
    finish(&call, file)
}

fn finish(call: &Call, file: &Path) -> io::Result<()> {
    let result = run(call);
    let (mut data, changed, failure) = match result {
        Ok(outcome) => (outcome.data, outcome.changed, outcome.skipped.map(|_| None)),
        Err(failure) => (failure.data, failure.changed, Some(Some(failure.msg))),
    };
    data.insert("changed".to_owned(), changed.into());
    match failure {
        Some(Some(msg)) => {
            data.insert("failed".to_owned(), true.into());
            data.insert("msg".to_owned(), msg.into());
        }
        Some(None) => {
            data.insert("skipped".to_owned(), true.into());
        }
        None => {}
    }
    write(file, &data)
}

fn run(call: &Call) -> Result<Outcome, Failure> {
    let entry = module::find(&call.module).ok_or_else(|| Failure::new(format!("this agent has no module `{}`", call.module)))?;
    let stop = Stop::new().map_err(|error| Failure::new(format!("cannot start the task: {error}")))?;
    let deadline = call.timeout.map(|seconds| Deadline::start(Duration::from_secs(seconds.into()), stop.clone()));
    super::tls::find(call);
    let received = super::spool::Spool::new().gather(&call.blobs, &|_| Err(io::Error::other("a job has no connection")))?;
    let mut machine = Machine::new(Settings { environment: call.environment.clone(), received, stop: Some(stop), ..Settings::default() });
    let result = entry.run(&call.params, &mut machine);
    if deadline.is_some_and(|deadline| deadline.passed()) {
        return Err(Failure::new("Timeout exceeded"));
    }
    result.map_err(|failure| machine.failure(failure))
}

/// Writes a job's file in one go: whoever polls sees the old one or the new one.
fn write(file: &Path, map: &Map) -> io::Result<()> {
    let temporary = file.with_extension("tmp");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    serde_json::to_writer(&mut out, &Value::Map(map.clone()))?;
    out.flush()?;
    fs::rename(&temporary, file)
}
