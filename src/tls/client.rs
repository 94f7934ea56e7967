//! The client's side of a connection.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, StreamOwned};

use super::Terms;

/// Where distributions keep the certificates they trust.
const BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// A safe connection over `stream`.
///
/// # Errors
/// Nothing can be trusted, or the server should not be.
pub fn secured<S: Read + Write>(mut stream: S, terms: &Terms) -> Result<StreamOwned<ClientConnection, S>, String> {
    let host = &terms.host;
    let failed = |reason: String| format!("cannot connect to {host} safely: {reason}");
    let name = ServerName::try_from(host.clone()).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let builder = if terms.validate {
        builder.with_root_certificates(roots(terms.authorities.as_deref())?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    };
    let config = match &terms.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, key) = identity(certificate, key)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| failed(error.to_string()))?
        }
    };
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(Error::InvalidCertificate(reason)) => {
                format!("Failed to validate the SSL certificate for {host}: certificate verify failed: {}", words(reason))
            }
            _ => failed(error.to_string()),
        })?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Why a certificate is not good.
fn words(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "nobody who is trusted here has issued it".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "it is for another name".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        other => format!("{other:?}"),
    }
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
