//! Where TLS comes from: out of this program, or out of a second one when this is a worker without it.

use std::os::fd::OwnedFd;

use super::connect::Stream;
use crate::tls::Terms;

/// A safe connection over `socket`.
///
/// # Errors
/// There is no program for it, nothing can be trusted, or the server should not be.
pub(in crate::machine) fn secured(socket: impl Stream + Into<OwnedFd> + 'static, terms: &Terms) -> Result<Box<dyn Stream>, String> {
    #[cfg(feature = "tls")]
    let safe = crate::tls::secured(socket, terms)?;
    #[cfg(not(feature = "tls"))]
    let safe = {
        let program = super::find_tls().map_err(|reason| format!("cannot connect to {} safely: {reason}", terms.host))?;
        super::Tunnel::open(&program, socket.into(), terms)?
    };
    Ok(Box::new(safe))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::thread;

    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use crate::machine::http::Exchange;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    /// A server for one connection; where it listens.
    fn serve(versions: &[&'static rustls::SupportedProtocolVersion]) -> u16 {
        let chain = CertificateDer::pem_file_iter(fixture("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_protocol_versions(versions).unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream));
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            // A client that trusts nobody has gone by now.
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe");
            let _ = stream.get_mut().flush();
        });
        port
    }

    #[test]
    fn a_server_is_believed_when_its_authority_is() {
        let both: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
        for (versions, host, validate, authority, expected) in [
            (both, "localhost", true, Some("authority.pem"), Ok("safe")),
            (&both[1..], "127.0.0.1", true, Some("authority.pem"), Ok("safe")),
            (both, "localhost", false, None, Ok("safe")),
            (
                both,
                "localhost",
                true,
                Some("server.pem"),
                Err(
                    "Failed to validate the SSL certificate for localhost: certificate verify failed: nobody who is trusted here has issued it",
                ),
            ),
            (both, "localhost", true, Some("server.key"), Err("there is no certificate in ")),
        ] {
            let url = format!("https://{host}:{}/", serve(versions));
            let answer = Exchange { validate, ca_path: authority.map(fixture), proxy: false, ..Exchange::get(url) }.send();
            match expected {
                Ok(body) => assert_eq!(answer.unwrap().body, body.as_bytes()),
                Err(reason) => assert!(answer.unwrap_err().starts_with(reason), "{reason}"),
            }
        }
    }
}
