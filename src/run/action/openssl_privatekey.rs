//! Makes a private key, with the host's own `openssl`.
//!
//! ```yaml
//! - openssl_privatekey: {path: /etc/ssl/private/shop.key, size: 2048, owner: root, group: ssl-cert, mode: "0640"}
//! ```
//!
//! A key that is of the kind and size that is wanted stays. One with a passphrase cannot be made.

use super::openssl::{Product, openssl};
use super::prelude::*;
use crate::choice;
use crate::module::FileAttributes;

pub(super) const REVERSIBLE: Reversible = Reversible::Exact;

choice! {
    /// Whether it is wanted.
    pub(super) enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// The kind of key.
    pub(super) enum Kind { Rsa = "RSA", Ecc = "ECC", Ed25519 = "Ed25519", Ed448 = "Ed448", X25519 = "X25519", X448 = "X448" }
}
choice! {
    /// When a key that is there gives way to a new one.
    pub(super) enum Regenerate {
        Full = "full_idempotence",
        Partial = "partial_idempotence",
        Always = "always",
        Fail = "fail",
        Never = "never",
    }
}
choice! {
    /// How it is written.
    pub(super) enum Format { AutoIgnore = "auto_ignore", Auto = "auto", Pkcs1 = "pkcs1", Pkcs8 = "pkcs8" }
}

params! {
    pub struct OpensslPrivatekey {
        /// The file; mode 0600 unless the task says another.
        path: PathText,
        /// Whether it is wanted.
        state: State = State::Present,
        /// The kind of key.
        r#type: Kind = Kind::Rsa,
        /// How many bits, for RSA.
        size: i64 = 4096,
        /// The curve, for ECC: `secp256r1`, `secp384r1` …
        curve: Option<String>,
        /// How a new key is written; what is there may be written otherwise.
        format: Format = Format::AutoIgnore,
        /// When a key that is there gives way: it is of another kind or size, and with `full_idempotence` also when it cannot be read.
        regenerate: Regenerate = Regenerate::Full,
        /// Make a new one in any case.
        force: bool = false,
        /// Keep what was there as `path.PID.date~`.
        backup: bool = false,
        /// Put the key into the result, where it is shown as stars.
        return_content: bool = false,
        /// Has no meaning: it is the host's `openssl`.
        select_crypto_backend: String = "auto",
    }
    group = file: FileAttributes;
    rules = [Rule::When("type", "ECC", &["curve"])];
}

impl OpensslPrivatekey {
    /// What `openssl` calls the curve.
    fn curve(&self) -> &str {
        match self.curve.as_deref().unwrap_or_default() {
            "secp256r1" => "prime256v1",
            "secp192r1" => "prime192v1",
            other => other,
        }
    }

    /// Whether a key that `openssl` tells this of is the one that is wanted.
    fn fits(&self, told: &str) -> bool {
        match self.r#type {
            Kind::Rsa => told.contains("Modulus:") && told.contains(&format!("({} bit)", self.size)),
            Kind::Ecc => told.lines().any(|line| line.strip_prefix("ASN1 OID: ").is_some_and(|curve| curve.trim() == self.curve())),
            other => told.to_uppercase().starts_with(&other.word().to_uppercase()),
        }
    }

    async fn make(&self, call: &ActionCall<'_>) -> Result<String, Trouble> {
        let option = match self.r#type {
            Kind::Rsa => format!("rsa_keygen_bits:{}", self.size),
            Kind::Ecc => format!("ec_paramgen_curve:{}", self.curve()),
            _ => String::new(),
        };
        let algorithm = if self.r#type == Kind::Ecc { "EC" } else { self.r#type.word() };
        let mut words = vec!["genpkey", "-algorithm", algorithm];
        if !option.is_empty() {
            words.extend(["-pkeyopt", option.as_str()]);
        }
        let key = openssl(call, &words, None).await?;
        let plain = match self.r#type {
            Kind::Rsa => "rsa",
            Kind::Ecc => "ec",
            _ => return Ok(key),
        };
        match (self.format, plain) {
            (Format::Pkcs8, _) => Ok(key),
            // Before version 3 there was no such option, and the old form was the only one.
            (_, "rsa") => match openssl(call, &["rsa", "-traditional"], Some(&key)).await {
                Ok(key) => Ok(key),
                Err(_) => openssl(call, &["rsa"], Some(&key)).await,
            },
            _ => openssl(call, &[plain], Some(&key)).await,
        }
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: OpensslPrivatekey = call.decode()?;
    let path = params.path.0.as_str();
    let product = Product { call: &call, path, backup: params.backup, mode: Some("0600") };
    if params.state == State::Absent {
        return Ok(product.remove().await?.with("filename", path).into());
    }
    let looked = call.query("stat", Map::from_iter([("path".to_owned(), path.into()), ("get_checksum".to_owned(), false.into())])).await?;
    let there = looked.data.get("stat").and_then(|stat| stat.get("exists")).and_then(Value::to_bool).unwrap_or(false);
    let told =
        if there { openssl(&call, &["pkey", "-in", path, "-passin", "pass:", "-noout", "-text_pub"], None).await.ok() } else { None };
    let fits = told.as_deref().map(|told| params.fits(told));
    let renew = match (there, fits, params.regenerate) {
        (false, ..) | (.., Regenerate::Always) => true,
        _ if params.force => true,
        (_, _, Regenerate::Never) | (_, Some(true), _) => false,
        (_, None, Regenerate::Full) | (_, Some(false), Regenerate::Full | Regenerate::Partial) => true,
        (_, None, _) => return Err(Failure::new("Unable to read the key. The key is protected with a another passphrase / no passphrase or broken. Will not proceed.").into()),
        (_, Some(false), _) => return Err(Failure::new("Key has wrong type and/or size. Will not proceed. To force regeneration, call the module with `regenerate` set to `partial_idempotence`, `full_idempotence` or `always`, or with `force=true`.").into()),
    };
    let outcome = match renew {
        true if call.checking() => Outcome { changed: true, ..Outcome::default() },
        true => product.write(&params.make(&call).await?).await?,
        false => product.keep().await?,
    };
    let mut outcome = outcome.with("filename", path).with("type", params.r#type.word());
    if params.r#type == Kind::Rsa {
        outcome = outcome.with("size", params.size);
    }
    if params.return_content && !(renew && call.checking()) {
        let key = openssl(&call, &["pkey", "-in", path], None).await?;
        call.item.task.shared.events.hide(&key);
        outcome = outcome.with("privatekey", key);
    }
    Ok(outcome.into())
}
