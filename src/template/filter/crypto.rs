//! Digests, encodings, identifiers, and what a vault seals.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use uuid::Uuid;

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::password;
use crate::template::random::Random;
use crate::template::text::text_of;
use crate::template::value::Value;
use crate::text::Vault;
use crate::wire::carried;

pub(super) const FILTERS: &[Filter] = &[
    filter("hash", hash),
    filter("checksum", |_, value, _| digest(&value, "sha1")),
    filter("sha1", |_, value, _| digest(&value, "sha1")),
    filter("md5", |_, value, _| digest(&value, "md5")),
    filter("b64encode", b64encode),
    filter("b64decode", b64decode),
    filter("to_uuid", to_uuid),
    filter("password_hash", password_hash),
    filter("vault", vault),
    filter("unvault", unvault),
    filter("random_mac", random_mac),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(value: &Value, kind: &str) -> Result<Value> {
    let text = text_of(value)?;
    let bytes = carried::bytes_of(&text);
    Ok(Value::from(match kind {
        "md5" => hex(&Md5::digest(&bytes)),
        "sha1" => hex(&Sha1::digest(&bytes)),
        "sha224" => hex(&Sha224::digest(&bytes)),
        "sha256" => hex(&Sha256::digest(&bytes)),
        "sha384" => hex(&Sha384::digest(&bytes)),
        "sha512" => hex(&Sha512::digest(&bytes)),
        other => return Err(Error::failed(format!("unsupported hash type {other}"))),
    }))
}

fn hash(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let kind = args.required_or("hashtype", "sha1")?;
    args.end()?;
    digest(&value, &kind)
}

fn encoding(args: &mut Args) -> Result<String> {
    let name = args.required_or("encoding", "utf-8")?;
    args.named("urlsafe");
    Ok(name.to_lowercase().replace('_', "-"))
}

fn b64encode(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let urlsafe = args.named_flag("urlsafe", false);
    let bytes: Vec<u8> = match encoding(&mut args)?.as_str() {
        "utf-8" | "utf8" | "ascii" => carried::bytes_of(&text),
        "utf-16-le" | "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16-be" | "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        "utf-16" => [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect(),
        "latin-1" | "latin1" | "iso-8859-1" => {
            let byte = |c: char| u8::try_from(u32::from(c)).map_err(|_| Error::failed("a character that latin-1 does not have"));
            text.chars().map(byte).collect::<Result<_>>()?
        }
        other => return Err(Error::failed(format!("unknown encoding: {other}"))),
    };
    Ok(Value::from(if urlsafe { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) }))
}

fn b64decode(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text: String = text_of(&value)?.chars().filter(|c| !c.is_whitespace()).collect();
    // As Python's `urlsafe_b64decode`, which takes both alphabets.
    let text = if args.named_flag("urlsafe", false) { text.replace('-', "+").replace('_', "/") } else { text };
    let bytes = STANDARD.decode(text).map_err(|_| Error::failed("expected base64 (incorrect padding or characters)"))?;
    let words = |bytes: &[u8], word: fn([u8; 2]) -> u16| {
        String::from_utf16_lossy(
            &bytes
                .chunks_exact(2)
                .map(|pair| word([pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0)]))
                .collect::<Vec<_>>(),
        )
    };
    Ok(Value::from(match encoding(&mut args)?.as_str() {
        "utf-16-le" | "utf-16le" => words(&bytes, u16::from_le_bytes),
        "utf-16-be" | "utf-16be" => words(&bytes, u16::from_be_bytes),
        "utf-16" => words(bytes.get(2..).unwrap_or_default(), u16::from_le_bytes),
        "latin-1" | "latin1" | "iso-8859-1" => bytes.iter().map(|byte| char::from(*byte)).collect(),
        _ => carried::text_of(bytes),
    }))
}

/// Ansible's own namespace for identifiers made of text.
const NAMESPACE: Uuid = Uuid::from_u128(0x361e_6d51_faec_444a_9079_3413_86da_8e2e);

fn to_uuid(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let namespace = match args.text("namespace")? {
        Some(text) => text.parse().map_err(|_| Error::failed(format!("Invalid value '{text}' for 'namespace'")))?,
        None => NAMESPACE,
    };
    Ok(Value::from(Uuid::new_v5(&namespace, text_of(&value)?.as_bytes()).to_string()))
}

fn password_hash(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let secret = text_of(&value)?;
    let kind = args.required_or("hashtype", "sha512")?;
    let salt = args.text("salt")?;
    args.next("salt_size");
    let rounds = args.int("rounds")?.and_then(|rounds| u32::try_from(rounds).ok());
    let ident = args.text("ident")?;
    args.end()?;
    password::hash(&secret, &kind, salt.as_deref(), rounds, ident.as_deref()).map(Value::from)
}

fn vault(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let secret = args.required_text("secret")?;
    let salt = args.text("salt")?;
    let id = args.text("vault_id")?.unwrap_or_else(|| "filter_default".to_owned());
    let mut vault = Vault::default();
    vault.add(id.clone(), secret);
    let text = text_of(&value)?;
    let sealed = match salt {
        Some(salt) => vault.seal_with(text.as_bytes(), Some(&id), salt.as_bytes()),
        None => vault.seal(text.as_bytes(), Some(&id)),
    };
    sealed.map(Value::from).map_err(|error| Error::failed(error.to_string()))
}

fn unvault(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let vault = Vault::with_password(args.required_text("secret")?);
    let text = text_of(&value)?;
    if !crate::text::vault::is_sealed(&text) {
        return Ok(value);
    }
    let plain = vault.open_hidden(&text).map_err(|error| Error::failed(error.to_string()))?;
    String::from_utf8(plain).map(Value::from).map_err(|_| Error::failed("the sealed value is not text"))
}

fn random_mac(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let prefix = text_of(&value)?.to_lowercase();
    let known: Vec<&str> = prefix.split(':').filter(|part| !part.is_empty()).collect();
    if known.len() > 5 || known.iter().any(|part| part.len() != 2 || u8::from_str_radix(part, 16).is_err()) {
        return Err(Error::failed(format!("Invalid value ({prefix}) for random_mac: expected up to five pairs of hexadecimal digits")));
    }
    let mut random = args.next("seed").filter(|seed| !seed.is_none()).map_or_else(Random::system, |seed| Random::seeded(&seed));
    // As community.general: a number of five more digits than are known, cut to what is missing.
    let number = random.below(0xff_ffff_ffff - 0x10_0000_0000 + 1) + 0x10_0000_0000;
    let digits = format!("{number:x}");
    let drawn: Vec<&str> = (0..5).filter_map(|index| digits.get(index * 2..index * 2 + 2)).collect();
    let parts: Vec<&str> = known.iter().copied().chain(drawn).take(6).collect();
    Ok(Value::from(parts.join(":")))
}
