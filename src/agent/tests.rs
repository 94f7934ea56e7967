//! An agent in this process, by frames.

use super::*;
use crate::wire::{Blob, Digest, Map};

/// Everything that is written, in one place that outlives the agent.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn talk(requests: &[Request]) -> Vec<Reply> {
    let (reader, mut writer) = io::pipe().unwrap();
    let written = Written::default();
    let agent = thread::spawn({
        let written = written.clone();
        move || serve(reader, written)
    });
    for request in requests {
        wire::write_frame(&mut writer, request).unwrap();
    }
    // The input may only end once everything was answered: its end stops what runs.
    let done = |reply: &Reply| !matches!(reply, Reply::Hello(_) | Reply::Output { .. } | Reply::Need { .. });
    let wanted = requests.iter().filter(|request| !matches!(request, Request::Upload { .. } | Request::Cancel { .. })).count();
    loop {
        let replies = read(&written.0.lock().unwrap());
        if replies.iter().filter(|reply| done(reply)).count() == wanted {
            drop(writer);
            agent.join().unwrap().unwrap();
            return replies;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn read(bytes: &[u8]) -> Vec<Reply> {
    let Some(mut rest) = bytes.strip_prefix(b"RAPPEL1 READY\n") else { return Vec::new() };
    std::iter::from_fn(|| wire::read_frame(&mut rest).ok().flatten()).collect()
}

fn call(id: u64, module: &str, params: &[(&str, &str)]) -> Call {
    let params: Map = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Call { id, module: module.to_owned(), params, ..Call::default() }
}

#[test]
fn greets_and_runs_a_module() {
    let replies = talk(&[Request::Ping { id: 3 }, Request::Call(Box::new(call(4, "ping", &[("data", "yes")])))]);
    let Some(Reply::Hello(hello)) = replies.first() else { panic!("expected a greeting, found {replies:?}") };
    assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
    assert!(matches!(replies.get(1), Some(Reply::Pong { id: 3 })));
    let Some(Reply::Done { id: 4, result: Ok(outcome) }) = replies.get(2) else { panic!("expected an outcome, found {replies:?}") };
    assert_eq!(outcome.data["ping"], "yes".into());
}

#[test]
fn a_large_blob_is_asked_for() {
    let bytes = vec![7; 1000];
    let digest = Digest::of(&bytes);
    let mut needs = call(1, "ping", &[]);
    needs.blobs.push(("src".into(), Blob::Stored { digest, size: 1000 }));
    let (reader, mut writer) = io::pipe().unwrap();
    let written = Written::default();
    let agent = thread::spawn({
        let written = written.clone();
        move || serve(reader, written)
    });
    let wait_for = |wanted: fn(&Reply) -> bool| {
        while !read(&written.0.lock().unwrap()).iter().any(wanted) {
            thread::sleep(Duration::from_millis(2));
        }
    };
    wire::write_frame(&mut writer, &Request::Call(Box::new(needs.clone()))).unwrap();
    wait_for(|reply| matches!(reply, Reply::Need { .. }));
    for (half, last) in bytes.chunks(500).zip([false, true]) {
        wire::write_frame(&mut writer, &Request::Upload { digest, bytes: half.to_vec(), last }).unwrap();
    }
    wait_for(|reply| matches!(reply, Reply::Done { id: 1, result: Ok(_) }));
    needs.id = 2;
    wire::write_frame(&mut writer, &Request::Call(Box::new(needs))).unwrap();
    wait_for(|reply| matches!(reply, Reply::Done { id: 2, result: Ok(_) }));
    drop(writer);
    agent.join().unwrap().unwrap();
    let needs = read(&written.0.lock().unwrap()).iter().filter(|reply| matches!(reply, Reply::Need { .. })).count();
    assert_eq!(needs, 1, "a blob is asked for once");
}

#[test]
fn a_call_that_is_repeated_is_not_run_twice() {
    let first = Request::Call(Box::new(call(1, "ping", &[("data", "a")])));
    let again = Request::Call(Box::new(call(1, "ping", &[("data", "b")])));
    let replies = talk(&[first, again]);
    for reply in &replies[1..] {
        let Reply::Done { result: Ok(outcome), .. } = reply else { panic!("expected an outcome, found {reply:?}") };
        assert_eq!(outcome.data["ping"], "a".into());
    }
}
