//! The worker as it ships, on a real sshd: TLS by a program of its own, and old programs that go.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rappel::ssh::{Blobs, Connector, ConnectorOptions, Link, Session};
use rappel::wire::Call;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::real::target;
use super::{call, options};
use crate::support::sshd::{Sshd, text};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A server that answers everybody with two megabytes; its port.
fn serve() -> u16 {
    let chain = CertificateDer::pem_file_iter(fixture("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            // A client that trusts nobody has gone by now.
            let body = vec![b'x'; 2 << 20];
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.get_mut().write_all(head.as_bytes()).and_then(|()| stream.get_mut().write_all(&body));
            let _ = stream.get_mut().flush();
        }
    });
    port
}

/// The programs that the host keeps.
fn kept(cache: &Path) -> Vec<String> {
    let names = std::fs::read_dir(cache.join("rappel")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.map(|name| name.trim_end_matches(|letter| letter != '-').to_owned()).collect();
    names.sort();
    names
}

/// An agent out of the worker that this build carries, if it carries one.
async fn start(sshd: &Sshd, folder: &Path) -> Option<(Arc<Session>, Arc<Link>)> {
    let connector = Connector::new(ConnectorOptions { agent: None, ..options(folder) });
    let session = connector.connect(&target(sshd, folder)).await.unwrap();
    match session.agent(None).await {
        Ok(link) => Some((session, link)),
        Err(error) if error.to_string().contains("carries no agent") => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_host_gets_tls_when_a_task_first_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "").await else { return };
    let Some((session, link)) = start(&sshd, folder).await else { return };
    let cache = folder.join("sshd/cache");
    link.call(call("ping", &[]), &Blobs::default(), None).await.unwrap().unwrap();
    assert_eq!(kept(&cache), ["agent-"]);

    let (port, file) = (serve(), folder.join("file"));
    let fetch = |host: &str, authority: &str| {
        let (url, authority) = (format!("https://{host}:{port}/"), fixture(authority));
        call("get_url", &[("url", &url), ("dest", text(&file)), ("ca_path", text(&authority)), ("force", "yes")])
    };
    let fetched = link.call(fetch("localhost", "authority.pem"), &Blobs::default(), None).await.unwrap().unwrap();
    assert!(fetched.changed && std::fs::metadata(&file).unwrap().len() == 2 << 20);
    assert_eq!(kept(&cache), ["agent-", "agent-tls-"]);
    let refused = link.call(fetch("localhost", "server.pem"), &Blobs::default(), None).await.unwrap().unwrap_err();
    assert!(refused.msg.contains("Failed to validate the SSL certificate for localhost"), "{}", refused.msg);

    // A job has no controller to ask, and finds it.
    std::fs::remove_file(&file).unwrap();
    let jobs = vec![("ANSIBLE_ASYNC_DIR".to_owned(), text(&folder.join("jobs")).to_owned())];
    let job = Call { detach: Some(30), environment: jobs.clone(), ..fetch("127.0.0.1", "authority.pem") };
    let started = link.call(job, &Blobs::default(), None).await.unwrap().unwrap();
    let id = started.data["ansible_job_id"].to_text();
    let finished = async {
        loop {
            let status = Call { environment: jobs.clone(), ..call("async_status", &[("jid", &id)]) };
            let status = link.call(status, &Blobs::default(), None).await.unwrap().unwrap();
            if status.data["finished"] == true.into() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), finished).await.unwrap();
    assert!(status.changed && file.is_file(), "{status:?}");
    session.close().await;
}

#[tokio::test]
async fn programs_that_nobody_started_for_a_month_go() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(sshd) = Sshd::start(&folder.join("sshd"), "").await else { return };
    let cache = folder.join("sshd/cache/rappel");
    std::fs::create_dir_all(&cache).unwrap();
    let old = std::time::SystemTime::now() - Duration::from_hours(31 * 24);
    for (name, modified) in [("agent-old", Some(old)), ("agent-tls-old", Some(old)), ("agent-young", None), ("else", Some(old))] {
        let file = std::fs::File::create(cache.join(name)).unwrap();
        file.set_modified(modified.unwrap_or_else(std::time::SystemTime::now)).unwrap();
    }
    let Some((session, link)) = start(&sshd, folder).await else { return };
    link.ping().await.unwrap();
    let left = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: std::collections::BTreeSet<_> = left.collect();
    assert!(!left.contains("agent-old") && !left.contains("agent-tls-old"), "{left:?}");
    assert!(left.contains("agent-young") && left.contains("else") && left.len() == 3, "{left:?}");
    session.close().await;
}
