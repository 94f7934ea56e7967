//! TLS: rustls, with what public and private servers speak today and no more, to keep the worker small.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, StreamOwned};

use super::connect::Stream;

/// Where distributions keep the certificates they trust.
const BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// A safe way to `host` over `stream`; without `validate`, to whoever answers.
///
/// # Errors
/// Nothing can be trusted, or the server should not be.
pub(in crate::machine) fn secured<S: Stream + 'static>(
    mut stream: S,
    host: &str,
    validate: bool,
    authorities: Option<&Path>,
    client: Option<(&Path, &Path)>,
) -> Result<Box<dyn Stream>, String> {
    let failed = |reason: String| format!("cannot connect to {host} safely: {reason}");
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let builder = if validate {
        builder.with_root_certificates(roots(authorities)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    };
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, key) = identity(certificate, key)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| failed(error.to_string()))?
        }
    };
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(Error::InvalidCertificate(reason)) => format!("Failed to validate the SSL certificate for {host}: {reason:?}"),
            _ => failed(error.to_string()),
        })?;
    }
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn provider() -> CryptoProvider {
    use ring::cipher_suite as suite;
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![ring::kx_group::X25519, ring::kx_group::SECP256R1, ring::kx_group::SECP384R1],
        ..ring::default_provider()
    }
}

/// What we show who asks who we are.
fn identity(certificate: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let unread = |path: &Path, error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(|error| unread(certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, &error))?;
    Ok((chain, key))
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, String> {
    let path =
        authorities.into_iter().chain(BUNDLES.iter().map(Path::new)).find(|path| path.is_file()).ok_or_else(|| {
            format!("the host has no certificates to trust (looked for {}): install `ca-certificates`", BUNDLES.join(", "))
        })?;
    let pem = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut roots = RootCertStore::empty();
    // One that is broken or of an unknown kind does not keep the others from being trusted.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() {
        return Err(format!("there is no certificate in {}", path.display()));
    }
    Ok(roots)
}

/// Believes whoever answers, for `validate_certs: false`.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread;

    use rustls::{ServerConfig, ServerConnection};

    use super::*;
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
            (both, "localhost", true, Some("server.pem"), Err("Failed to validate the SSL certificate for localhost: UnknownIssuer")),
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
