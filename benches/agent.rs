//! What a call costs that finds everything right: CPU of an agent and of whoever asks it together, by call.
//!
//! `cargo bench --bench agent` prints it and fails where it is more than [`LIMIT`]; `-- --test` only makes a few calls.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where something is broken")]

use std::io::{self, PipeReader, PipeWriter, Read};
use std::time::Duration;

use rappel::agent::{Host, serve_on};
use rappel::machine::Journal;
use rappel::wire::{self, Call, Map, Reply, Request};
use rustix::time::{ClockId, clock_gettime};

const LIMIT: Duration = Duration::from_micros(200);

struct Agent {
    requests: PipeWriter,
    replies: PipeReader,
}

impl Agent {
    fn start(journal: &std::path::Path) -> Self {
        let (input, requests) = io::pipe().unwrap();
        let (mut replies, output) = io::pipe().unwrap();
        let host = Host { journal: Journal::at(journal), program: None, token: None };
        std::thread::spawn(move || serve_on(host, input, output));
        replies.read_exact(&mut vec![0; wire::READY.len() + 1]).unwrap();
        let hello: Option<Reply> = wire::read_frame(&mut replies).unwrap();
        assert!(matches!(hello, Some(Reply::Hello(_))));
        Self { requests, replies }
    }

    fn call(&mut self, id: u64, module: &str, params: &Map) -> bool {
        let call = Call { id, module: module.to_owned(), params: params.clone(), ..Call::default() };
        wire::write_frame(&mut self.requests, &Request::Call(Box::new(call))).unwrap();
        loop {
            if let Some(Reply::Done { result, .. }) = wire::read_frame(&mut self.replies).unwrap() {
                return result.unwrap().changed;
            }
        }
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn main() {
    let calls: u32 = if std::env::args().any(|argument| argument == "--test") { 10 } else { 5_000 };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    std::fs::write(folder.path().join("f"), "port 8080\nname shop\n").unwrap();
    let mut agent = Agent::start(folder.path());
    let mut slow = false;
    for (module, params) in [
        ("ping", "{}".to_owned()),
        ("stat", r#"{"path": "DIR/d"}"#.to_owned()),
        ("stat", r#"{"path": "DIR/f", "get_mime": false}"#.to_owned()),
        ("stat", r#"{"path": "DIR/none"}"#.to_owned()),
        ("file", r#"{"path": "DIR/d", "state": "directory", "mode": "0755"}"#.to_owned()),
        ("copy", r#"{"content": "port 8080\nname shop\n", "dest": "DIR/f", "mode": "0644"}"#.to_owned()),
        ("lineinfile", r#"{"path": "DIR/f", "regexp": "^port", "line": "port 8080"}"#.to_owned()),
    ] {
        let text = params.replace("DIR", folder.path().to_str().unwrap());
        let given: Map = serde_json::from_str(&text).unwrap();
        agent.call(0, module, &given);
        let begun = cpu();
        for id in 1..=calls {
            assert!(!agent.call(id.into(), module, &given), "{module} changed something");
        }
        let each = cpu().saturating_sub(begun) / calls;
        println!("{module:12} {:7.1} us  {params}", each.as_secs_f64() * 1e6);
        slow |= calls > 10 && each > LIMIT;
    }
    assert!(!slow, "a call costs more than {LIMIT:?}");
}
