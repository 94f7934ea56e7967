//! [`Vault`]: opens and seals texts that start with `$ANSIBLE_VAULT`.
//!
//! The envelope is a header line and hexadecimal lines of 80 characters. Unfolded, those are again three lines in
//! hexadecimal: salt, HMAC-SHA256 of the ciphertext, ciphertext (AES-256-CTR, padded as PKCS#7 asks). PBKDF2-SHA256 makes
//! 80 bytes from password and salt: cipher key, HMAC key, first counter. Version 1.2 adds the vault id to the header; it is a
//! hint which password to try first, no more.

use std::fmt;

use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::Secrets;

type Aes256Ctr = ctr::Ctr128BE<aes::Aes256>;

const MAGIC: &str = "$ANSIBLE_VAULT";
const ROUNDS: u32 = 10_000;
const BLOCK: usize = 16;
const SALT: usize = 32;
const LINE: usize = 80;

/// The id of a password that was given without one.
pub const DEFAULT_ID: &str = "default";

/// Why an envelope could not be opened. None of them quotes a password or a plain text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VaultError {
    /// There is no header.
    #[error("not encrypted: the first line does not start with `{MAGIC}`")]
    NotSealed,
    /// The header names a version or cipher that this program does not know.
    #[error("cannot read vault format `{0}`: expected `1.1;AES256` or `1.2;AES256;ID`")]
    Unsupported(String),
    /// The lines below the header are damaged.
    #[error("damaged vault envelope: {0}")]
    Malformed(&'static str),
    /// There is no password at all.
    #[error("encrypted{}, but no vault password was given", of_id(.id.as_deref()))]
    NoPassword {
        /// The vault id in the header.
        id: Option<String>,
    },
    /// No password fits.
    #[error("encrypted{}, and no vault password given opens it; tried {}", of_id(.id.as_deref()), listed(.tried))]
    WrongPassword {
        /// The vault id in the header.
        id: Option<String>,
        /// The ids of the passwords tried, in that order.
        tried: Vec<String>,
    },
}

fn of_id(id: Option<&str>) -> String {
    id.map(|id| format!(" with vault id `{id}`")).unwrap_or_default()
}

fn listed(ids: &[String]) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

/// Vault passwords by vault id, in the order given. Memory that held a password is wiped.
#[derive(Clone, Default)]
pub struct Vault {
    passwords: Vec<(String, Zeroizing<Vec<u8>>)>,
    /// Only passwords of the id that is written in an envelope are tried.
    matching: bool,
    secrets: Secrets,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("ids", &self.ids().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// An envelope that was opened.
pub struct Opened {
    /// What was inside.
    pub plain: Zeroizing<Vec<u8>>,
    /// The id of the password that fitted.
    pub id: String,
    /// The vault id in the header.
    pub label: Option<String>,
}

impl Vault {
    /// A vault that knows one password, under the default id.
    pub fn with_password(password: impl Into<Vec<u8>>) -> Self {
        let mut vault = Self::default();
        vault.add(DEFAULT_ID, password);
        vault
    }

    /// Adds a password. One id may have several.
    pub fn add(&mut self, id: impl Into<String>, password: impl Into<Vec<u8>>) {
        self.passwords.push((id.into(), Zeroizing::new(password.into())));
    }

    /// Tries only passwords of the id that is written in an envelope.
    pub fn match_ids(&mut self) {
        self.matching = true;
    }

    /// Where whoever opens an envelope tells what must not be shown.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Whether no password is known.
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    /// The ids of the passwords, in the order given.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.passwords.iter().map(|(id, _)| id.as_str())
    }

    /// What is inside `envelope`.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open(&self, envelope: &str) -> Result<Vec<u8>, VaultError> {
        self.open_with_id(envelope).map(|mut opened| std::mem::take(&mut *opened.plain))
    }

    /// What is inside `envelope`; from now on it is hidden wherever it would be shown.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open_hidden(&self, envelope: &str) -> Result<Vec<u8>, VaultError> {
        let plain = self.open(envelope)?;
        self.secrets.hide(&String::from_utf8_lossy(&plain));
        Ok(plain)
    }

    /// What is inside `envelope`, and which password fitted: that of the id in the header is tried first, then all others.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open_with_id(&self, envelope: &str) -> Result<Opened, VaultError> {
        let envelope = Envelope::parse(envelope)?;
        let label = envelope.label;
        if self.passwords.is_empty() {
            return Err(VaultError::NoPassword { id: label });
        }
        let written = if self.matching { label.as_deref().or(Some("default")) } else { label.as_deref() };
        let named = |(id, _): &&(String, _)| Some(id.as_str()) == written;
        let others = self.passwords.iter().filter(|password| !self.matching && !named(password));
        let candidates = self.passwords.iter().filter(named).chain(others);
        let mut tried = Vec::new();
        for (id, password) in candidates {
            let keys = Keys::derive(password, &envelope.salt);
            if keys.authentic(&envelope.ciphertext, &envelope.tag) {
                return Ok(Opened { plain: keys.decrypt(envelope.ciphertext)?, id: id.clone(), label });
            }
            if !tried.contains(id) {
                tried.push(id.clone());
            }
        }
        Err(VaultError::WrongPassword { id: label, tried })
    }

    /// Puts `plain` into an envelope that the password of `id` opens (the first password if `None`).
    ///
    /// The id is written into the header unless it is the default one, as `ansible-vault` does.
    ///
    /// # Errors
    /// `NoPassword` if there is none of that id.
    pub fn seal(&self, plain: &[u8], id: Option<&str>) -> Result<String, VaultError> {
        self.seal_with(plain, id, &rand::random::<[u8; SALT]>())
    }

    /// The same with a salt of one's own: the same text gives the same envelope.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_with(&self, plain: &[u8], id: Option<&str>, salt: &[u8]) -> Result<String, VaultError> {
        let found = self.passwords.iter().find(|(known, _)| id.is_none_or(|id| id == known));
        let (id, password) = found.ok_or_else(|| VaultError::NoPassword { id: id.map(str::to_owned) })?;
        Ok(seal_salted(plain, id, password, salt))
    }
}

/// Whether `text` is an envelope.
pub fn is_sealed(text: impl AsRef<[u8]>) -> bool {
    text.as_ref().starts_with(MAGIC.as_bytes())
}

fn seal_salted(plain: &[u8], id: &str, password: &[u8], salt: &[u8]) -> String {
    let keys = Keys::derive(password, salt);
    let ciphertext = keys.encrypt(plain);
    let body = [hex(salt), hex(&keys.tag(&ciphertext)), hex(&ciphertext)].join("\n");
    let mut envelope = match id {
        DEFAULT_ID => format!("{MAGIC};1.1;AES256\n"),
        id => format!("{MAGIC};1.2;AES256;{id}\n"),
    };
    for (offset, digit) in hex(body.as_bytes()).chars().enumerate() {
        if offset > 0 && offset.is_multiple_of(LINE) {
            envelope.push('\n');
        }
        envelope.push(digit);
    }
    envelope.push('\n');
    envelope
}

/// An envelope, unfolded.
struct Envelope {
    label: Option<String>,
    salt: Vec<u8>,
    tag: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Envelope {
    fn parse(text: &str) -> Result<Self, VaultError> {
        let mut lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
        let header = lines.next().filter(|line| is_sealed(line)).ok_or(VaultError::NotSealed)?;
        let mut fields = header.split(';').map(str::trim).skip(1);
        let label = match (fields.next(), fields.next(), fields.next()) {
            (Some("1.1"), Some("AES256"), _) => None,
            (Some("1.2"), Some("AES256"), label) => label.map(str::to_owned),
            _ => return Err(VaultError::Unsupported(header.split_once(';').map_or(header, |(_, format)| format).to_owned())),
        };
        let body = unhex(lines.flat_map(str::bytes)).ok_or(VaultError::Malformed("expected lines of hexadecimal digits"))?;
        let mut parts = body.splitn(3, |byte| *byte == b'\n').map(|part| unhex(part.iter().copied()));
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten()) {
            (Some(salt), Some(tag), Some(ciphertext)) => Ok(Self { label, salt, tag, ciphertext }),
            _ => Err(VaultError::Malformed("expected salt, HMAC and ciphertext; it was cut short or changed")),
        }
    }
}

/// What PBKDF2 makes of a password.
struct Keys {
    cipher: [u8; 32],
    hmac: [u8; 32],
    counter: [u8; BLOCK],
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.cipher.zeroize();
        self.hmac.zeroize();
        self.counter.zeroize();
    }
}

impl Keys {
    fn derive(password: &[u8], salt: &[u8]) -> Self {
        let mut derived = Zeroizing::new([0; 80]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, ROUNDS, &mut *derived);
        let mut keys = Self { cipher: [0; 32], hmac: [0; 32], counter: [0; BLOCK] };
        let parts = keys.cipher.iter_mut().chain(&mut keys.hmac).chain(&mut keys.counter);
        for (byte, made) in parts.zip(derived.iter()) {
            *byte = *made;
        }
        keys
    }

    fn tag(&self, ciphertext: &[u8]) -> Vec<u8> {
        // An HMAC takes a key of any length, so the error that its signature allows cannot occur.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.hmac) else { return Vec::new() };
        mac.update(ciphertext);
        mac.finalize().into_bytes().to_vec()
    }

    fn authentic(&self, ciphertext: &[u8], tag: &[u8]) -> bool {
        self.tag(ciphertext).ct_eq(tag).into()
    }

    fn apply(&self, bytes: &mut [u8]) {
        Aes256Ctr::new(&self.cipher.into(), &self.counter.into()).apply_keystream(bytes);
    }

    fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        let padding = BLOCK - plain.len() % BLOCK;
        let mut bytes = Vec::with_capacity(plain.len() + padding);
        bytes.extend_from_slice(plain);
        bytes.resize(plain.len() + padding, u8::try_from(padding).unwrap_or_default());
        self.apply(&mut bytes);
        bytes
    }

    fn decrypt(&self, mut bytes: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.apply(&mut bytes);
        let mut plain = Zeroizing::new(bytes);
        let padding = plain.last().copied().map_or(0, usize::from);
        if padding == 0 || padding > BLOCK || padding > plain.len() {
            return Err(VaultError::Malformed("the padding at its end is wrong"));
        }
        let length = plain.len() - padding;
        plain.truncate(length);
        Ok(plain)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(digits: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut digits = digits.map(|digit| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()));
    while let Some(high) = digits.next() {
        bytes.push((high? << 4) | digits.next()??);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `ansible-vault encrypt` (core 2.19.14); the password is `swordfish`.
    const PLAIN_ID: &str = include_str!("../../tests/fixtures/vault/default.yml");
    /// Made by `ansible-vault encrypt --encrypt-vault-id prod`; the password is `sesame`.
    const PROD_ID: &str = include_str!("../../tests/fixtures/vault/prod.yml");

    fn vault(passwords: &[(&str, &str)]) -> Vault {
        let mut vault = Vault::default();
        for (id, password) in passwords {
            vault.add(*id, *password);
        }
        vault
    }

    #[test]
    fn opens_what_ansible_vault_sealed() {
        let both = vault(&[("default", "swordfish"), ("prod", "sesame")]);
        assert_eq!(both.open(PLAIN_ID).unwrap(), b"db_password: hunter2\n");
        let opened = both.open_with_id(PROD_ID).unwrap();
        assert_eq!((opened.plain.as_slice(), opened.id.as_str()), (&b"db_password: correct horse\n"[..], "prod"));
        // The id is a hint only: the password may be known by another name.
        assert_eq!(vault(&[("prod", "wrong"), ("other", "sesame")]).open_with_id(PROD_ID).unwrap().id, "other");
        let mut matching = vault(&[("prod", "wrong"), ("other", "sesame"), ("default", "swordfish")]);
        matching.match_ids();
        assert!(matching.open(PROD_ID).is_err() && matching.open(PLAIN_ID).is_ok());
        // Indented, as an inline `!vault |` is before YAML takes the indentation away.
        assert!(both.open(&PLAIN_ID.replace('\n', "\n      ")).is_ok());
        assert!(both.open(&PLAIN_ID.replace('\n', "\r\n")).is_ok());
    }

    #[test]
    fn opens_what_it_sealed() {
        let both = vault(&[("default", "swordfish"), ("prod", "sesame")]);
        for plain in ["", "a", "fifteen letters", "sixteen letters!", "seventeen letters", "snow ☃ man\n"] {
            for (id, header) in [(None, "$ANSIBLE_VAULT;1.1;AES256\n"), (Some("prod"), "$ANSIBLE_VAULT;1.2;AES256;prod\n")] {
                let sealed = both.seal(plain.as_bytes(), id).unwrap();
                assert!(sealed.starts_with(header) && sealed.ends_with('\n') && is_sealed(&sealed), "{sealed}");
                assert!(sealed.lines().skip(1).all(|line| line.len() <= LINE));
                assert_eq!(both.open(&sealed).unwrap(), plain.as_bytes());
            }
        }
        assert_ne!(both.seal(b"same", None).unwrap(), both.seal(b"same", None).unwrap(), "every envelope has its own salt");
    }

    #[test]
    fn seals_as_ansible_vault_does() {
        let opened = vault(&[("prod", "sesame")]).open_with_id(PROD_ID).unwrap();
        let salt = Envelope::parse(PROD_ID).unwrap().salt;
        assert_eq!(seal_salted(&opened.plain, "prod", b"sesame", &salt), PROD_ID);
    }

    #[test]
    fn says_why_not() {
        let wrong = vault(&[("default", "no"), ("prod", "nor this"), ("prod", "nor that")]);
        let cut = PLAIN_ID.get(..200).unwrap();
        let cases: &[(&Vault, &str, &str)] = &[
            (&wrong, PROD_ID, "encrypted with vault id `prod`, and no vault password given opens it; tried `prod`, `default`"),
            (&wrong, PLAIN_ID, "encrypted, and no vault password given opens it; tried `default`, `prod`"),
            (&Vault::default(), PROD_ID, "encrypted with vault id `prod`, but no vault password was given"),
            (&Vault::default(), PLAIN_ID, "encrypted, but no vault password was given"),
            (&wrong, "db_password: hunter2", "not encrypted: the first line does not start with `$ANSIBLE_VAULT`"),
            (&wrong, "", "not encrypted: the first line does not start with `$ANSIBLE_VAULT`"),
            (&wrong, "$ANSIBLE_VAULT;1.0;AES\n00", "cannot read vault format `1.0;AES`: expected `1.1;AES256` or `1.2;AES256;ID`"),
            (&wrong, "$ANSIBLE_VAULT;1.1;AES256\nzz", "damaged vault envelope: expected lines of hexadecimal digits"),
            (&wrong, cut, "damaged vault envelope: expected salt, HMAC and ciphertext; it was cut short or changed"),
        ];
        for (vault, envelope, message) in cases {
            assert_eq!(vault.open(envelope).unwrap_err().to_string(), *message);
        }
        let sealed = wrong.seal(b"x", Some("absent"));
        assert_eq!(sealed.unwrap_err(), VaultError::NoPassword { id: Some("absent".into()) });
    }

    #[test]
    fn hides_its_passwords() {
        let shown = format!("{:?}", vault(&[("prod", "sesame")]));
        assert_eq!(shown, "Vault { ids: [\"prod\"], .. }");
    }
}
