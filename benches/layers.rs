//! The layers one by one: reading a playbook, compiling it, the bytes of a call, and a round trip to every host of a fleet.
//!
//! `cargo bench --bench layers`; with `-- --test` it only checks that all of it works.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so by panicking")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rappel::lab::{Fleet, Host};
use rappel::model::Loader;
use rappel::plan::{Compiler, Mistakes, Selection, Vars};
use rappel::ssh::{Blobs, Connector, ConnectorOptions, Endpoint, Link};
use rappel::template::{LookupCall, LookupError, Lookups, Templar, Value};
use rappel::text::vault::Vault;
use rappel::text::{Diagnostics, Sources, yaml};
use rappel::wire::{self, Blob, Call, Request};

/// Tasks of the playbook.
const TASKS: usize = 1000;
/// Hosts of the fleet.
const HOSTS: usize = 20;

/// No lookups.
struct Nowhere;

impl Lookups for Nowhere {
    fn lookup(&self, call: LookupCall<'_>) -> Result<Vec<Value>, LookupError> {
        Err(format!("no lookup `{}` here", call.name).into())
    }

    fn names(&self) -> &[&str] {
        &[]
    }
}

fn playbook() -> String {
    let mut text = "- hosts: all\n  gather_facts: false\n  vars: {app: shop, releases: [1, 2, 3]}\n  tasks:\n".to_owned();
    for number in 0..TASKS / 4 {
        writeln!(
            text,
            "    - name: folder {number}\n      file: {{path: \"/srv/{{{{ app }}}}/{number}\", state: directory, mode: \"0755\"}}"
        )
        .unwrap();
        writeln!(text, "    - name: content {number}\n      copy: {{content: \"{{{{ app | upper }}}}\\n\", dest: /srv/f{number}}}\n      when: app != 'none'").unwrap();
        writeln!(text, "    - name: repeated {number}\n      command: \"echo {{{{ item }}}}\"\n      loop: \"{{{{ releases }}}}\"\n      register: r{number}").unwrap();
        writeln!(text, "    - name: checked {number}\n      assert: {{that: [\"r{number} is success\"]}}").unwrap();
    }
    text
}

fn reading(criterion: &mut Criterion) {
    let text = playbook();
    let mut group = criterion.benchmark_group("1,000 tasks");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse YAML", |bencher| {
        bencher.iter(|| {
            let sources = Sources::default();
            let id = sources.add("bench.yml", text.as_str());
            black_box(yaml::parse(&sources, id, &mut Diagnostics::default()))
        });
    });
    group.bench_function("plan", |bencher| {
        bencher.iter(|| {
            let (sources, vault) = (Sources::default(), Arc::new(Vault::default()));
            let compiler = Compiler {
                templar: Templar::new(sources.clone(), Arc::clone(&vault), Arc::new(Nowhere)),
                loader: Arc::new(Loader::new(sources, vault)),
                actions: rappel::run::action::ACTIONS,
                selection: Arc::new(Selection::default()),
                extra: Arc::new(Vars::default()),
                roles_path: Arc::default(),
                collection_paths: Arc::default(),
                mistakes: Mistakes::BeforeRun,
                library: Arc::default(),
                private_roles: None,
            };
            let mut diags = Diagnostics::default();
            let plan = compiler.text("bench.yml", &text, &mut diags);
            assert!(!diags.has_errors());
            black_box(plan)
        });
    });
    group.finish();
}

fn wires(criterion: &mut Criterion) {
    let params = [("src", "app.conf.j2"), ("dest", "/srv/shop/app.conf"), ("mode", "0644")];
    let params: wire::Map = params.map(|(name, value)| (name.to_owned(), value.into())).into();
    for (name, size) in [("a call with 1 KiB", 1 << 10), ("a call with 64 KiB", 64 << 10)] {
        let blobs = vec![("src".to_owned(), Blob::Inline(vec![b'x'; size]))];
        let call = Request::Call(Box::new(Call { id: 7, module: "template".to_owned(), params: params.clone(), blobs, ..Call::default() }));
        criterion.bench_function(&format!("wire: {name}"), |bencher| {
            bencher.iter(|| {
                let frame = wire::encode(&call).unwrap();
                black_box(wire::read_frame::<Request>(&mut frame.as_slice()).unwrap())
            });
        });
    }
}

async fn ping(link: &Link) {
    let call = Call { module: "ping".to_owned(), ..Call::default() };
    link.call(call, &Blobs::default(), None).await.unwrap().unwrap();
}

fn fleet(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fleet = runtime.block_on(Fleet::start(HOSTS, folder.path())).unwrap();
    let options = ConnectorOptions { ssh_config: Some("none".into()), ssh_agent: Some("none".into()), ..ConnectorOptions::default() };
    let connector = Arc::new(Connector::new(options));
    let endpoint = |host: &Host| Endpoint {
        host: "127.0.0.1".into(),
        port: Some(host.port),
        user: Some("lab".into()),
        identity_files: vec![fleet.key()],
        ssh_args: fleet.ssh_args(),
        ..Endpoint::ssh(&host.name)
    };
    let endpoints: Vec<_> = fleet.hosts().iter().map(endpoint).collect();
    let connect = async || {
        let sessions = endpoints.iter().map(|endpoint| connector.connect(endpoint));
        futures::future::try_join_all(sessions).await.unwrap()
    };
    criterion.bench_function("fan-out: connect to 20 hosts", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let sessions = connect().await;
                futures::future::join_all(sessions.iter().map(|session| session.close())).await;
            });
        });
    });
    let (sessions, links) = runtime.block_on(async {
        let sessions = connect().await;
        let links = futures::future::try_join_all(sessions.iter().map(|session| session.agent(None))).await.unwrap();
        (sessions, links)
    });
    criterion.bench_function("fan-out: a task on 20 hosts", |bencher| {
        bencher.iter(|| runtime.block_on(futures::future::join_all(links.iter().map(|link| ping(link)))));
    });
    runtime.block_on(async {
        futures::future::join_all(sessions.iter().map(|session| session.close())).await;
        fleet.stop().await;
    });
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20);
    targets = reading, wires, fleet
}
criterion_main!(all);
