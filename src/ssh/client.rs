//! [`Connection`]: one SSH connection, from the first packet to the last.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russh::client::{Config, Handle, Handler, connect_stream};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, ChannelOpenFailure, Disconnect, Error, Preferred, cipher, compression, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::TimeoutWriter;

use super::auth::Login;
use super::keys::Keys;
use super::known_hosts::{Known, KnownHosts, Verdict};
use super::program::Program;
use super::settings::{Settings, Strict, change_list};
use super::{ConnectError, Secret};

/// How long logging in may take: a password check over LDAP is slow, and servers give up after two minutes themselves.
const LOGIN: Duration = Duration::from_mins(1);

/// Any stream that a connection can run over. One type: each further one compiles the whole protocol again.
pub(super) type Stream = Box<dyn Duplex>;

/// Both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// One SSH connection.
pub(super) struct Connection {
    handle: Handle<Guard>,
    address: String,
    /// The connection that this one runs through.
    _through: Option<Arc<Connection>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Connection({})", self.address)
    }
}

/// What a handshake needs beside its stream.
pub(super) struct Introduction<'a> {
    pub(super) settings: &'a Settings,
    pub(super) known_hosts: &'a Arc<KnownHosts>,
    pub(super) keys: &'a Keys,
    pub(super) password: Option<&'a Secret>,
    /// What must be asked for it.
    pub(super) prompt: Option<&'a str>,
    pub(super) limit: Duration,
    pub(super) keepalive: Duration,
}

impl Connection {
    /// Shakes hands and logs in over `stream`.
    ///
    /// # Errors
    /// The server is not who it should be, or does not let us in.
    pub(super) async fn open(stream: Stream, through: Option<Arc<Connection>>, with: Introduction<'_>) -> Result<Self, ConnectError> {
        let Introduction { settings, known_hosts, keys, password, prompt, limit, keepalive } = with;
        let address = format!("{}:{}", settings.host, settings.port);
        let known = known_hosts.of(&settings.lookup_name(), &settings.known_hosts);
        let config = Arc::new(config(settings, &known, keepalive)?);
        let stream = impatient(stream, &config);
        let finding = Arc::new(Mutex::new(Finding::default()));
        let guard = Guard { settings: settings.clone(), known, known_hosts: Arc::clone(known_hosts), finding: Arc::clone(&finding) };
        let shaken = tokio::time::timeout(limit, connect_stream(config, stream, guard)).await;
        let Ok(shaken) = shaken else {
            return Err(ConnectError::Timeout { address, doing: "shaking hands", after: limit });
        };
        let found = std::mem::take(&mut *finding.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(error) = found.error {
            return Err(error);
        }
        let mut handle = shaken.map_err(|error| handshake_error(&address, &error, found.greeted))?;
        // Somebody who only pretends to be the host shall not get a password.
        let password = password.filter(|_| !found.changed);
        let login = Login { handle: &mut handle, settings, keys, password, prompt, address: &address, tried: Vec::new(), allowed: None };
        let logged_in = tokio::time::timeout(LOGIN, login.run()).await;
        logged_in.map_err(|_| ConnectError::Timeout { address: address.clone(), doing: "logging in", after: LOGIN })??;
        Ok(Self { handle, address, _through: through })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Starts `command` in the login shell; on a raw terminal without echo if one is wanted.
    ///
    /// # Errors
    /// [`ConnectError::Channel`] when the server wants no further program on this connection.
    pub(super) async fn exec(&self, command: &str, terminal: bool) -> Result<Program, ConnectError> {
        let channel = self.handle.channel_open_session().await.map_err(|error| self.channel_error(&error))?;
        if terminal {
            use russh::Pty;
            let off = [Pty::ECHO, Pty::ICANON, Pty::ISIG, Pty::ICRNL, Pty::IXON, Pty::OPOST, Pty::ONLCR, Pty::IEXTEN];
            let modes = off.map(|mode| (mode, 0));
            channel.request_pty(false, "dumb", 500, 50, 0, 0, &modes).await.map_err(|error| self.channel_error(&error))?;
        }
        channel.exec(true, command).await.map_err(|error| self.channel_error(&error))?;
        Ok(Program::on_channel(channel))
    }

    /// A stream to `host:port` as seen from the other end.
    ///
    /// # Errors
    /// The other end cannot or will not connect.
    pub(super) async fn forward(&self, host: &str, port: u16) -> Result<Stream, ConnectError> {
        let opened = self.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0).await;
        let channel = opened.map_err(|error| ConnectError::Forward {
            address: format!("{host}:{port}"),
            reason: match error {
                Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => "connect failed".to_owned(),
                Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                    "forwarding is prohibited (`AllowTcpForwarding`)".to_owned()
                }
                other => other.to_string(),
            },
        })?;
        Ok(Box::new(channel.into_stream()))
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        // It is closed in any case: by the other end, or when the last handle is dropped.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
    }

    fn channel_error(&self, error: &Error) -> ConnectError {
        let reason = match error {
            Error::ChannelOpenFailure(_) => "it refused to run another program on the connection (`MaxSessions`)".to_owned(),
            other => other.to_string(),
        };
        ConnectError::Channel { address: self.address.clone(), reason }
    }
}

fn handshake_error(address: &str, error: &Error, greeted: bool) -> ConnectError {
    let address = address.to_owned();
    let closed = match error {
        Error::Disconnect | Error::HUP => true,
        Error::IO(error) => {
            matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::BrokenPipe)
        }
        _ => false,
    };
    if closed && !greeted {
        return ConnectError::Refused { address };
    }
    let reason = match error {
        Error::NoCommonAlgo { kind, ours, theirs } => {
            // OpenSSH's words, and its keyword for what is allowed.
            let (what, keyword) = match kind {
                AlgorithmKind::Kex => ("key exchange method", "KexAlgorithms"),
                AlgorithmKind::Key => ("host key type", "HostKeyAlgorithms"),
                AlgorithmKind::Cipher => ("cipher", "Ciphers"),
                AlgorithmKind::Compression => ("compression", "Compression"),
                AlgorithmKind::Mac => ("MAC", "MACs"),
            };
            format!("no matching {what} found: the server has {}, `{keyword}` allows {}", theirs.join(","), ours.join(","))
        }
        Error::Version => "the server does not speak SSH 2".to_owned(),
        other => other.to_string(),
    };
    ConnectError::Handshake { address, reason }
}

/// What the guard found out.
#[derive(Debug, Default)]
struct Finding {
    /// The server showed a key.
    greeted: bool,
    /// It is not the known one, and was taken all the same.
    changed: bool,
    error: Option<ConnectError>,
}

/// Looks at the server's key.
pub(super) struct Guard {
    settings: Settings,
    known: Known,
    known_hosts: Arc<KnownHosts>,
    finding: Arc<Mutex<Finding>>,
}

impl Handler for Guard {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let judged = self.judge(shown);
        let mut finding = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
        finding.greeted = true;
        match judged {
            Ok(changed) => {
                finding.changed = changed;
                Ok(true)
            }
            Err(error) => {
                finding.error = Some(error);
                Ok(false)
            }
        }
    }
}

impl Guard {
    /// Whether the key is another than the known one; an error when it must not be taken.
    fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<bool, ConnectError> {
        let key = shown.public_key();
        let verdict = match shown {
            PublicKeyOrCertificate::PublicKey { .. } => self.known.judge(&key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                self.known.judge_certificate(certificate, &self.settings.key_name, now)
            }
        };
        let host = self.known.name.clone();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let algorithm = key.algorithm().to_string();
        match (verdict, self.settings.strict) {
            (Verdict::Known, _) => Ok(false),
            (Verdict::Revoked(place), _) => Err(ConnectError::HostKeyRevoked { host, fingerprint, place }),
            (Verdict::BadCertificate(reason), _) => Err(ConnectError::HostCertificate { host, reason }),
            (Verdict::Changed(_), Strict::No) => Ok(true),
            (Verdict::Changed(place), _) => Err(ConnectError::HostKeyChanged { host, algorithm, fingerprint, place }),
            (Verdict::Unknown, _) if self.is_known_without_port(&key) => Ok(false),
            (Verdict::Unknown, Strict::Yes) => Err(ConnectError::HostKeyUnknown { host, algorithm, fingerprint, scan: self.scan() }),
            (Verdict::Unknown, Strict::AcceptNew | Strict::No) => {
                self.learn(&key);
                Ok(false)
            }
        }
    }

    /// As in OpenSSH: a key known for the host on port 22 is good for its other ports.
    fn is_known_without_port(&self, key: &PublicKey) -> bool {
        let name = &self.settings.key_name;
        *name != self.known.name && self.known_hosts.of(name, &self.settings.known_hosts).judge(key) == Verdict::Known
    }

    fn learn(&self, key: &PublicKey) {
        let Some(path) = &self.settings.new_hosts else { return };
        if let Err(error) = self.known_hosts.learn(path, &self.known.name, key, self.settings.hash_new_hosts) {
            tracing::warn!(path = %path.display(), %error, "cannot write down a host key");
        }
    }

    /// The command that makes the key known.
    fn scan(&self) -> String {
        let port = if self.settings.port == 22 { String::new() } else { format!(" -p {}", self.settings.port) };
        let file = self.settings.new_hosts.as_ref().map_or_else(|| "~/.ssh/known_hosts".to_owned(), |path| path.display().to_string());
        format!("ssh-keyscan{port} {} >> {file}", self.settings.host)
    }
}

/// `stream`, on which a write fails when the other end takes nothing for as long as it may leave keepalives without an answer: russh
/// looks at no timer while it writes, and the system goes on trying for a quarter of an hour.
fn impatient(stream: Stream, config: &Config) -> Stream {
    let probes = u32::try_from(config.keepalive_max).ok().filter(|max| *max > 0).and_then(|max| max.checked_add(1));
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(config.keepalive_interval.zip(probes).and_then(|(interval, probes)| interval.checked_mul(probes)));
    Box::new(Box::pin(stream))
}

const HOST_KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

fn config(settings: &Settings, known: &Known, keepalive: Duration) -> Result<Config, ConnectError> {
    let mut host_keys = HOST_KEYS.to_vec();
    if let Some(text) = &settings.host_keys {
        let default: Vec<String> = HOST_KEYS.iter().map(ToString::to_string).collect();
        let default: Vec<&str> = default.iter().map(String::as_str).collect();
        let wanted = change_list(&default, text);
        host_keys = wanted.iter().filter_map(|name| HOST_KEYS.iter().find(|key| key.to_string() == *name).cloned()).collect();
        if host_keys.is_empty() {
            return Err(none_known("HostKeyAlgorithms", text));
        }
    }
    let host_keys = known.prefer(&host_keys);
    let certificates = if known.has_authority() { host_keys.clone() } else { Vec::new() };
    let preferred = Preferred {
        kex: Cow::Owned(key_exchanges(settings)?),
        key: Cow::Owned(host_keys),
        host_key_certificates: Cow::Owned(certificates),
        cipher: Cow::Owned(chosen(&ciphers(), settings.ciphers.as_deref(), "Ciphers")?),
        mac: Cow::Owned(chosen(MACS, settings.macs.as_deref(), "MACs")?),
        compression: Cow::Borrowed(&[compression::NONE]),
    };
    Ok(Config {
        preferred,
        nodelay: true,
        // As for OpenSSH, 0 is never.
        keepalive_interval: Some(settings.alive_interval.unwrap_or(keepalive)).filter(|interval| !interval.is_zero()),
        keepalive_max: settings.alive_max.unwrap_or(3),
        ..Config::default()
    })
}

const MACS: &[mac::Name] =
    &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512, mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

/// AES in hardware takes half the time of `ChaCha20`; without it, twice.
fn ciphers() -> Vec<cipher::Name> {
    let gcm = [cipher::AES_128_GCM, cipher::AES_256_GCM];
    let chacha = [cipher::CHACHA20_POLY1305];
    let rest = [cipher::AES_128_CTR, cipher::AES_192_CTR, cipher::AES_256_CTR];
    #[cfg(target_arch = "x86_64")]
    let fast = std::arch::is_x86_feature_detected!("aes");
    #[cfg(not(target_arch = "x86_64"))]
    let fast = true;
    let first = if fast { [&gcm[..], &chacha[..]].concat() } else { [&chacha[..], &gcm[..]].concat() };
    [first, rest.to_vec()].concat()
}

/// What the library offers, and the NIST curves, which OpenSSH offers too and which some servers have alone.
fn key_exchanges(settings: &Settings) -> Result<Vec<kex::Name>, ConnectError> {
    let (extensions, mut real): (Vec<kex::Name>, Vec<kex::Name>) =
        Preferred::DEFAULT.kex.iter().partition(|name| name.as_ref().starts_with("ext-info") || name.as_ref().starts_with("kex-strict"));
    let curves = real.iter().rposition(|name| name.as_ref().starts_with("curve25519")).map_or(0, |last| last + 1);
    real.splice(curves..curves, [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521]);
    let mut chosen = chosen(&real, settings.kex.as_deref(), "KexAlgorithms")?;
    chosen.extend(extensions);
    Ok(chosen)
}

/// The algorithms of `default`, as the user's `text` changes them; names that are not known here are passed over.
fn chosen<T>(default: &[T], text: Option<&str>, keyword: &str) -> Result<Vec<T>, ConnectError>
where
    T: AsRef<str> + Clone + for<'a> TryFrom<&'a str>,
{
    let Some(text) = text else { return Ok(default.to_vec()) };
    let names: Vec<&str> = default.iter().map(AsRef::as_ref).collect();
    let chosen: Vec<T> = change_list(&names, text).iter().filter_map(|name| T::try_from(name.as_str()).ok()).collect();
    if chosen.is_empty() { Err(none_known(keyword, text)) } else { Ok(chosen) }
}

fn none_known(keyword: &str, text: &str) -> ConnectError {
    ConnectError::Config(format!("none of the algorithms in `{keyword} {text}` is supported"))
}
