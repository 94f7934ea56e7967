//! Connections that break, stall or never come about.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rappel::lab::Fleet;
use rappel::ssh::{Blobs, Connector, ConnectorOptions, Link, LinkError};
use rappel::wire::{Blob, Failure, Outcome, TransactionStep, TreeEntry, TreeItem};

use super::{call, endpoint, options};
use crate::support::fault::Proxy;

#[tokio::test]
async fn a_task_is_one_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    link.ping().await.unwrap();
    let before = proxy.turns();
    for _ in 0..20 {
        link.call(call("ping", &[]), &Blobs::default(), None).await.unwrap().unwrap();
    }
    assert_eq!(proxy.turns() - before, 20);
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_lost_connection_is_made_again_between_calls() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    for round in 0..3 {
        link.call(call("ping", &[]), &Blobs::default(), None).await.unwrap().unwrap();
        proxy.cut();
        // The end of a connection is not known at once.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(proxy.connections(), round + 1);
    }
    link.call(call("ping", &[]), &Blobs::default(), None).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_whose_connection_cannot_be_had_again_is_reported_as_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let running = begin(&link, "sleep 60");
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.refuse(u64::MAX);
    proxy.cut();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(&error, LinkError::Lost { host, doing, .. } if host == "lab1" && doing == "shell"), "{error}");
    assert!(error.to_string().contains("it could not be had again"), "{error}");
    proxy.refuse(0);
    link.ping().await.unwrap();
}

/// Runs a command while the test goes on.
fn begin(link: &Arc<Link>, command: &str) -> tokio::task::JoinHandle<Result<Result<Outcome, Failure>, LinkError>> {
    let (link, call) = (Arc::clone(link), call("shell", &[("cmd", command)]));
    tokio::spawn(async move { link.call(call, &Blobs::default(), None).await })
}

#[tokio::test]
async fn calls_in_flight_are_asked_for_again_and_run_once_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let file = folder.path().join("ran");
    let (mut calls, mut wanted) = (Vec::new(), String::new());
    for number in 0..6 {
        calls.push(begin(&link, &format!("sleep 0.5; echo {number} >> {}", file.display())));
        wanted.push_str(&format!("{number}\n"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // One runs, one has been done, the others wait; then the same once more.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.cut();
    }
    for call in calls {
        assert!(call.await.unwrap().unwrap().unwrap().changed);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), wanted);
    assert_eq!(proxy.connections(), 3);
}

#[tokio::test]
async fn content_on_its_way_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(folder.path().join("content"), &content).unwrap();
    let mut blobs = Blobs::default();
    let dest = folder.path().join("dest");
    let mut copy = call("copy", &[("dest", dest.to_str().unwrap())]);
    copy.blobs.push(("src".into(), blobs.add_file(&folder.path().join("content")).unwrap()));
    proxy.cut_after(1_500_000);
    link.call(copy, &blobs, None).await.unwrap().unwrap();
    assert!(std::fs::read(dest).unwrap() == content);
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn an_agent_that_is_gone_is_not_asked_to_do_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let file = folder.path().join("ran");
    let running = begin(&link, &format!("echo >> {}; sleep 20", file.display()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    // A host that starts again: the connection and the agent are lost, and a new agent answers.
    proxy.refuse(1);
    proxy.cut();
    kill(link.hello().pid);
    let error = running.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("the agent that ran it is gone; whether it was done is not known"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "\n");
}

fn kill(process: u32) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(process.cast_signed()).unwrap(), rustix::process::Signal::KILL).unwrap();
}

/// Whether the process ends within `limit`.
async fn ends(process: u32, limit: Duration) -> bool {
    let started = std::time::Instant::now();
    let stat = || std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    while !stat().is_empty() && !stat().contains(") Z ") {
        if started.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
}

#[tokio::test]
async fn an_agent_ends_at_once_when_it_is_told_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, host.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let running = begin(&link, "sleep 60");
    tokio::time::sleep(Duration::from_millis(300)).await;
    session.close().await;
    assert!(running.await.unwrap().is_err());
    assert!(ends(link.hello().pid, Duration::from_secs(5)).await);
}

#[tokio::test]
async fn an_agent_without_its_controller_lets_go_of_a_transaction_that_is_to_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let connector = Connector::new(options(folder.path()));
    let session = connector.connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let begin = rappel::wire::Begin {
        id: "t".into(),
        participants: vec!["lab1".into()],
        coordinator: "lab1".into(),
        host: "lab1".into(),
        confirm_within: 0,
        purpose: "a test".into(),
        keeps_decision: true,
    };
    link.transaction(TransactionStep::Begin(begin)).await.unwrap().unwrap();
    let mut long = call("command", &[("cmd", "sleep 25")]);
    long.transaction = Some(rappel::wire::Recording { id: "t".into(), step: 1, undo: None });
    let running = tokio::spawn({
        let link = Arc::clone(&link);
        async move { link.call(long, &Blobs::default(), None).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.refuse(u64::MAX);
    proxy.cut();
    let other = connector.connect(&endpoint(&fleet, host, host.port)).await.unwrap().agent(None).await.unwrap();
    let asked = std::time::Instant::now();
    other.transaction(TransactionStep::Abort { id: "t".into(), unvoted: false }).await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(ends(link.hello().pid, Duration::from_secs(5)).await);
    running.abort();
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let connector = Connector::new(options(folder.path()));
    proxy.refuse(3);
    connector.connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    assert_eq!(proxy.connections(), 4);
    proxy.refuse(100);
    let error = connector.connect(&endpoint(&fleet, host, proxy.port)).await.unwrap_err();
    assert!(error.to_string().contains("closed the connection before the handshake"), "{error}");
    assert!(error.help().unwrap().contains("MaxStartups"));
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    proxy.stall(true);
    let told = Arc::new(Mutex::new(Vec::new()));
    let waiting = {
        let told = Arc::clone(&told);
        move |host: &str, doing: &str, _: Duration| told.lock().unwrap().push(format!("{host}: {doing}"))
    };
    let options = ConnectorOptions {
        connect_timeout: Duration::from_millis(500),
        waiting: Some((Duration::from_millis(200), Arc::new(waiting))),
        ..options(folder.path())
    };
    let error = Connector::new(options).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap_err();
    assert!(error.to_string().contains("did not answer within 0.5 s while shaking hands"), "{error}");
    assert!(told.lock().unwrap().contains(&"lab1: connect".to_owned()));
}

#[tokio::test]
async fn a_connection_that_goes_silent_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let options =
        ConnectorOptions { keepalive: Duration::from_millis(100), connect_timeout: Duration::from_millis(500), ..options(folder.path()) };
    let session = Connector::new(options).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    proxy.stall(true);
    let asked = tokio::time::timeout(Duration::from_secs(30), link.ping()).await.expect("keepalives end the wait");
    assert!(matches!(asked, Err(LinkError::Lost { .. })));
    proxy.stall(false);
    link.ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_is_not_probed_when_the_configuration_says_never() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let mut endpoint = endpoint(&fleet, host, proxy.port);
    endpoint.ssh_args.push_str(" -o ServerAliveInterval=0");
    let session = Connector::new(options(folder.path())).connect(&endpoint).await.unwrap();
    session.agent(None).await.unwrap().ping().await.unwrap();
    let sent = proxy.sent();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(proxy.sent(), sent);
}

#[tokio::test]
async fn a_connection_that_goes_silent_in_an_upload_is_noticed() {
    // The stream is full before the buffers of the system have grown, or else the server's window is.
    for (narrow, stalled_after) in [(true, 20_000), (false, 500_000)] {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
        let host = &fleet.hosts()[0];
        let proxy = if narrow { Proxy::narrow(host.port).await } else { Proxy::start(host.port).await };
        let options = ConnectorOptions {
            keepalive: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(500),
            ..options(folder.path())
        };
        let session = Connector::new(options).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
        let link = session.agent(None).await.unwrap();
        let content: Vec<u8> = (0..64_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(folder.path().join("content"), &content).unwrap();
        let mut blobs = Blobs::default();
        let mut copy = call("copy", &[("dest", folder.path().join("dest").to_str().unwrap())]);
        copy.blobs.push(("src".into(), blobs.add_file(&folder.path().join("content")).unwrap()));
        let sent = proxy.sent();
        let copying = link.call(copy, &blobs, None);
        let stalled = async {
            while proxy.sent() < sent + stalled_after {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            proxy.stall(true);
            // Who comes later finds no room to ask.
            tokio::time::sleep(Duration::from_millis(100)).await;
            link.ping().await
        };
        let both = Box::pin(async { tokio::join!(copying, stalled) });
        let (copied, asked) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("they end as an unanswered keepalive does");
        assert!(matches!(copied, Err(LinkError::Lost { .. })), "{copied:?}");
        assert!(asked.is_err());
        tokio::time::timeout(Duration::from_secs(10), session.close()).await.expect("nobody is waited for");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    // An agent that is large enough to be cut in the middle of.
    let large = folder.path().join("large");
    let mut text = std::fs::read(crate::support::agent_script(folder.path())).unwrap();
    text.extend((0..400_000_u32).flat_map(|number| format!("# {}\n", number.wrapping_mul(2_654_435_761)).into_bytes()));
    std::fs::write(&large, text).unwrap();
    let connector = Connector::new(ConnectorOptions { agent: Some(large), ..options(folder.path()) });
    let session = connector.connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    proxy.cut_after(200_000);
    let error = session.agent(None).await.unwrap_err();
    assert!(error.to_string().contains("cannot start the agent on `lab1`"), "{error}");
    let cache = host.home.join(".cache/rappel");
    for _ in 0..50 {
        if std::fs::read_dir(&cache).unwrap().next().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
    session.agent(None).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn a_large_blob_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = folder.path().join("content");
    std::fs::write(&file, &content).unwrap();
    let mut blobs = Blobs::default();
    let blob = blobs.add_file(&file).unwrap();
    assert!(matches!(blob, Blob::Stored { .. }));
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let before = proxy.sent();
        let mut with_blob = call("ping", &[]);
        with_blob.blobs.push(("src".into(), blob.clone()));
        link.call(with_blob, &blobs, None).await.unwrap().unwrap();
        sizes.push(proxy.sent() - before);
    }
    assert!(sizes[0] > 3_000_000 && sizes[1] < 10_000, "{sizes:?}");
    std::fs::write(&file, b"other").unwrap();
    let other = Blobs::default();
    let mut unknown = call("ping", &[]);
    unknown.blobs.push(("src".into(), Blob::Stored { digest: rappel::wire::Digest::of(b"nobody has this"), size: 1 }));
    let error = link.call(unknown, &other, None).await.unwrap_err();
    assert!(error.to_string().contains("no call has"), "{error}");
    link.ping().await.unwrap();
}

#[tokio::test]
async fn a_directory_of_many_files_is_a_few_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(1, &folder.path().join("fleet")).await.unwrap();
    let host = &fleet.hosts()[0];
    let proxy = Proxy::start(host.port).await;
    let session = Connector::new(options(folder.path())).connect(&endpoint(&fleet, host, proxy.port)).await.unwrap();
    let link = session.agent(None).await.unwrap();
    let mut blobs = Blobs::default();
    let entry = |number: usize| {
        let path = folder.path().join(format!("file{number}"));
        std::fs::write(&path, format!("content {number}")).unwrap();
        let item = TreeItem::File(blobs.add_stored(&path).unwrap());
        TreeEntry { path: format!("file{number}"), mode: 0o644, item }
    };
    let tree = Blob::Tree((0..1000).map(entry).collect());
    let target = folder.path().join("target");
    let mut copy = call("copy", &[("src", "/somewhere/"), ("dest", target.to_str().unwrap())]);
    copy.blobs.push(("src".into(), tree));
    let before = proxy.turns();
    link.call(copy, &blobs, None).await.unwrap().unwrap();
    assert!(proxy.turns() - before < 10, "{} round trips", proxy.turns() - before);
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1000);
    assert_eq!(std::fs::read(target.join("file999")).unwrap(), b"content 999");
}
