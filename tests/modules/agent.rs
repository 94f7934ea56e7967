//! An agent in this process, or in one of its own, spoken to in frames.

use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::JoinHandle;

use rappel::agent::{Host, serve_on};
use rappel::machine::Journal;
use rappel::wire::{
    self, Begin, Call, Failure, Outcome, Reply, Request, TransactionRecord, TransactionReply, TransactionStep, UndoReport, Value,
};

pub struct Agent {
    requests: Option<Box<dyn Write>>,
    replies: Box<dyn Read>,
    thread: Option<JoinHandle<io::Result<()>>>,
    id: u64,
}

/// A call of `module`.
pub fn call(module: &str, params: Value) -> Call {
    let Value::Map(params) = params else { panic!("expected a mapping, found {params:?}") };
    Call { module: module.to_owned(), params, ..Call::default() }
}

impl Agent {
    pub fn start(journal: &Path) -> Self {
        let (input, requests) = io::pipe().unwrap();
        let (replies, output) = io::pipe().unwrap();
        let host = Host { journal: Journal::at(journal), program: None, token: None };
        let thread = std::thread::spawn(move || serve_on(host, input, output));
        let mut agent = Self::on(Box::new(requests), Box::new(replies));
        agent.thread = Some(thread);
        agent
    }

    /// One that runs elsewhere.
    pub fn on(requests: Box<dyn Write>, mut replies: Box<dyn Read>) -> Self {
        let mut line = vec![0; wire::READY.len() + 1];
        replies.read_exact(&mut line).unwrap();
        assert_eq!(line, format!("{}\n", wire::READY).into_bytes());
        let mut agent = Self { requests: Some(requests), replies, thread: None, id: 0 };
        assert!(matches!(agent.reply(), Reply::Hello(_)));
        agent
    }

    fn reply(&mut self) -> Reply {
        wire::read_frame(&mut self.replies).unwrap().expect("a reply")
    }

    fn send(&mut self, request: &Request) {
        wire::write_frame(self.requests.as_mut().unwrap(), request).unwrap();
    }

    /// Runs a call; its output is dropped.
    pub fn run(&mut self, mut call: Call) -> Result<Outcome, Failure> {
        self.id += 1;
        call.id = self.id;
        self.send(&Request::Call(Box::new(call)));
        loop {
            if let Reply::Done { id, result } = self.reply() {
                assert_eq!(id, self.id);
                return result;
            }
        }
    }

    pub fn step(&mut self, step: TransactionStep) -> Result<TransactionReply, Failure> {
        self.id += 1;
        self.send(&Request::Transaction { id: self.id, step });
        match self.reply() {
            Reply::Transaction { id, result } if id == self.id => result,
            other => panic!("expected an answer to a step, found {other:?}"),
        }
    }

    /// A name that no transaction here has had.
    pub fn unused(&self, name: &str) -> String {
        format!("{name}-{}", self.id)
    }

    pub fn begin(&mut self, id: &str) {
        self.begin_within(id, 0);
    }

    pub fn begin_within(&mut self, id: &str, confirm_within: u32) {
        let begin = Begin {
            id: id.to_owned(),
            participants: vec!["web1".into()],
            coordinator: "web1".into(),
            host: "web1".into(),
            confirm_within,
            purpose: "a test".into(),
            keeps_decision: true,
        };
        let reply = self.step(TransactionStep::Begin(begin));
        assert!(matches!(reply, Ok(TransactionReply::Done)), "{reply:?}");
    }

    pub fn abort(&mut self, id: &str) -> UndoReport {
        match self.step(TransactionStep::Abort { id: id.to_owned(), unvoted: false }) {
            Ok(TransactionReply::Undone(report)) => report,
            other => panic!("expected an undo, found {other:?}"),
        }
    }

    pub fn list(&mut self) -> Vec<TransactionRecord> {
        match self.step(TransactionStep::List) {
            Ok(TransactionReply::Listed(records)) => records,
            other => panic!("expected a list, found {other:?}"),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

/// Parameters from JSON.
pub fn params(json: serde_json::Value) -> Value {
    serde_json::from_value(json).unwrap()
}
