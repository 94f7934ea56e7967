//! Modules by law: a case is data, and every case proves five things.
//!
//! Check mode predicts what happens and touches nothing; the first run makes the tree what it should be; the second run
//! changes nothing; undoing brings back every byte, mode, owner, link and time of before; and all of that with the journal
//! on the same disk (where old files are kept as second names) and on another (where they are copied).

#![expect(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "test support: a broken assumption is a failed test")]

mod agent;
mod tree;

mod archive;
mod copy;
mod crash;
mod edit;
mod engine;
mod file;
mod find;
mod foreign;
mod host;
mod hull;
mod job;
mod lists;
mod oracle;
mod programs;
mod servers;
mod settings;
mod source;
mod system;
mod transaction;
mod uses;

use serde_json::Value as Json;

use agent::{Agent, call};
pub use tree::Tree;

/// One case. `ROOT` in parameters and expected results stands for the directory that the trees are in.
pub struct Case {
    pub name: &'static str,
    pub module: &'static str,
    pub params: Json,
    /// Content of controller files, by parameter name.
    pub blobs: Vec<(&'static str, &'static str)>,
    pub before: Tree,
    /// What there is afterwards; `None` for the same as before.
    pub after: Option<Tree>,
    /// Entries that the result of the first run must have.
    pub result: Json,
    /// The message of the failure that is expected instead.
    pub fails: Option<&'static str>,
    /// Where programs are looked for first.
    pub path: Option<&'static str>,
    /// Whether a second run changes nothing.
    pub idempotent: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            name: "",
            module: "",
            params: Json::Null,
            blobs: Vec::new(),
            before: Tree::default(),
            after: None,
            result: Json::Object(serde_json::Map::new()),
            fails: None,
            path: None,
            idempotent: true,
        }
    }
}

/// Proves all laws for all cases.
pub fn prove(cases: &[Case]) {
    for case in cases {
        case.prove(&tempfile::tempdir().unwrap());
        if let Ok(other_disk) = tempfile::tempdir_in("/dev/shm") {
            case.prove(&other_disk);
        }
    }
}

impl Case {
    /// For what a second run changes again, by its nature.
    pub fn once(mut self) -> Self {
        self.idempotent = false;
        self
    }

    fn prove(&self, journal: &tempfile::TempDir) {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        self.before.build(root);
        let before = tree::snapshot(root);
        let mut agent = Agent::start(journal.path());
        let changes = self.after.is_some();

        let predicted = agent.run(self.call(root, true));
        assert_eq!(tree::snapshot(root), before, "{}: check mode touched something", self.name);
        if self.fails.is_none() {
            let predicted = predicted.unwrap_or_else(|failure| panic!("{}: check mode failed: {}", self.name, failure.msg));
            assert_eq!(predicted.changed, changes, "{}: check mode predicted wrongly", self.name);
        }

        agent.begin("t1");
        let mut first = self.call(root, false);
        first.transaction = Some(rappel::wire::Recording { id: "t1".into(), step: 1, undo: None });
        match (agent.run(first), self.fails) {
            (Ok(outcome), None) => {
                assert_eq!(outcome.changed, changes, "{}: changed", self.name);
                self.compare(root, &outcome.data);
            }
            (Err(failure), Some(expected)) => assert_eq!(failure.msg, expected.replace("ROOT", root.to_str().unwrap()), "{}", self.name),
            (Ok(outcome), Some(_)) => panic!("{}: expected a failure, found {outcome:?}", self.name),
            (Err(failure), None) => panic!("{}: failed: {}", self.name, failure.msg),
        }
        if let Some(after) = &self.after {
            after.assert_at(root, self.name);
        }

        if self.idempotent && self.fails.is_none() {
            let mut second = self.call(root, false);
            second.transaction = Some(rappel::wire::Recording { id: "t1".into(), step: 2, undo: None });
            let second = agent.run(second).unwrap_or_else(|failure| panic!("{}: the second run failed: {}", self.name, failure.msg));
            assert!(!second.changed, "{}: the second run changed something", self.name);
        }

        let report = agent.abort("t1");
        assert_eq!((report.conflicts, report.failures), (vec![], vec![]), "{}: undo", self.name);
        assert_eq!(tree::snapshot(root), before, "{}: undo did not bring everything back", self.name);
    }

    fn call(&self, root: &std::path::Path, check: bool) -> rappel::wire::Call {
        let text = serde_json::to_string(&self.params).unwrap().replace("ROOT", root.to_str().unwrap());
        let mut call = call(self.module, serde_json::from_str(&text).unwrap());
        call.check = check;
        call.diff = check;
        if let Some(first) = self.path {
            let path = format!("{}:{}", first.replace("ROOT", root.to_str().unwrap()), std::env::var("PATH").unwrap());
            call.environment = vec![("PATH".to_owned(), path)];
        }
        let blob = |content: &str| rappel::wire::Blob::Inline(content.as_bytes().to_vec());
        call.blobs = self.blobs.iter().map(|(name, content)| ((*name).to_owned(), blob(content))).collect();
        call
    }

    fn compare(&self, root: &std::path::Path, data: &rappel::wire::Map) {
        let text = serde_json::to_string(&self.result).unwrap().replace("ROOT", root.to_str().unwrap());
        let expected: serde_json::Map<String, Json> = serde_json::from_str(&text).unwrap();
        for (key, value) in expected {
            let found = data.get(&key).map(|value| serde_json::to_value(value).unwrap());
            assert_eq!(found.as_ref(), Some(&value), "{}: `{key}` of {data:?}", self.name);
        }
    }
}
