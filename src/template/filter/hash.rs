//! Digests, password hashes, base64 and UUIDs.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Filter, crypt, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::random;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("b64encode", b64encode),
    filter("b64decode", b64decode),
    filter("md5", |_, value, _| digest("md5", &text_of(&value)?).map(Value::from)),
    filter("sha1", |_, value, _| digest("sha1", &text_of(&value)?).map(Value::from)),
    filter("checksum", |_, value, _| digest("sha1", &text_of(&value)?).map(Value::from)),
    filter("hash", |_, value, mut args| digest(&args.required_or("hashtype", "sha1")?, &text_of(&value)?).map(Value::from)),
    filter("password_hash", password_hash),
    filter("to_uuid", to_uuid),
];

fn digest(kind: &str, text: &str) -> Result<String> {
    fn hex<D: md5::Digest>(text: &str) -> String {
        D::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
    Ok(match kind {
        "md5" => hex::<md5::Md5>(text),
        "sha1" => hex::<sha1::Sha1>(text),
        "sha224" => hex::<sha2::Sha224>(text),
        "sha256" => hex::<sha2::Sha256>(text),
        "sha384" => hex::<sha2::Sha384>(text),
        "sha512" => hex::<sha2::Sha512>(text),
        "sha512_224" => hex::<sha2::Sha512_224>(text),
        "sha512_256" => hex::<sha2::Sha512_256>(text),
        other => return Err(Error::failed(format!("unsupported hash type {other}"))),
    })
}

/// That text is meant as UTF-8, the only encoding here.
fn encoding(args: &mut Args) -> Result<()> {
    let name = args.required_or("encoding", "utf-8")?;
    match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "ascii" | "us-ascii" => Ok(()),
        _ => Err(Error::failed(format!("the encoding `{name}` is not supported, only utf-8"))),
    }
}

/// The text in UTF-16, for PowerShell; `None` where the encoding is another one.
fn wide(args: &Args) -> bool {
    let given = args.positional.front().or_else(|| args.named.iter().find(|(name, _)| &**name == "encoding").map(|(_, value)| value));
    given.and_then(Value::as_str).is_some_and(|name| matches!(name.to_ascii_lowercase().as_str(), "utf-16-le" | "utf-16le" | "utf_16_le"))
}

fn b64encode(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let bytes = if wide(&args) {
        args.next("encoding");
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    } else {
        encoding(&mut args)?;
        text.into_bytes()
    };
    let url_safe = args.flag("urlsafe", false);
    args.end()?;
    Ok(Value::from(if url_safe { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) }))
}

const FORGIVING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical).with_decode_allow_trailing_bits(true);

fn b64decode(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    // Python drops what is not in the alphabet.
    let text: String = text_of(&value)?.chars().filter(|c| c.is_ascii_alphanumeric() || "+/=-_".contains(*c)).collect();
    let wide = wide(&args);
    if wide {
        args.next("encoding");
    } else {
        encoding(&mut args)?;
    }
    let url_safe = args.flag("urlsafe", false);
    args.end()?;
    let alphabet = if url_safe { alphabet::URL_SAFE } else { alphabet::STANDARD };
    let bytes = GeneralPurpose::new(&alphabet, FORGIVING).decode(text.as_bytes()).map_err(|error| match error {
        base64::DecodeError::InvalidPadding | base64::DecodeError::InvalidLength(_) => Error::failed("Incorrect padding"),
        other => Error::failed(format!("not base64: {other}")),
    })?;
    if wide {
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| pair.iter().rev().fold(0, |unit, byte| (unit << 8) | u16::from(*byte))).collect();
        return String::from_utf16(&units).map(Value::from).map_err(|_| Error::failed("the decoded bytes are not UTF-16 text"));
    }
    String::from_utf8(bytes).map(Value::from).map_err(|_| Error::failed("the decoded bytes are not UTF-8 text"))
}

const SALT_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn password_hash(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let password = text_of(&value)?;
    let kind = args.required_or("hashtype", "sha512")?;
    let salt = args.text("salt")?;
    let size = args.size("salt_size", 0)?;
    let rounds = args.int("rounds")?;
    args.next("ident");
    args.end()?;
    let method = match kind.as_str() {
        "sha512" | "sha512_crypt" => crypt::Method::Sha512,
        "sha256" | "sha256_crypt" => crypt::Method::Sha256,
        other => {
            return Err(Error::failed(format!("the password hash `{other}` is not supported")).help("use `sha512` or `sha256`"));
        }
    };
    if size > 16 || salt.as_ref().is_some_and(|salt| salt.len() > 16) {
        return Err(Error::failed(format!("a salt for `{kind}` has at most 16 characters")));
    }
    if salt.iter().flat_map(|salt| salt.chars()).any(|c| !c.is_ascii_alphanumeric() && c != '.' && c != '/') {
        return Err(Error::failed("invalid characters in salt"));
    }
    let length = if size == 0 { 16 } else { size };
    let salt = salt.unwrap_or_else(|| random_salt(length));
    // Without `rounds`, what passlib takes: Ansible hashes with it.
    let usual = if method == crypt::Method::Sha512 { 656_000 } else { 535_000 };
    let rounds = rounds.and_then(|rounds| u32::try_from(rounds.clamp(1000, 999_999_999)).ok()).unwrap_or(usual);
    Ok(Value::from(crypt::crypt(method, password.as_bytes(), &salt, rounds)))
}

fn random_salt(length: usize) -> String {
    let letter = |_| random::choice_of(SALT_ALPHABET).map_or('.', char::from);
    (0..length).map(letter).collect()
}

/// The namespace of UUIDs that Ansible makes.
const NAMESPACE: &str = "361E6D51-FAEC-444A-9079-341386DA8E2E";

fn to_uuid(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let namespace = args.required_or("namespace", NAMESPACE)?;
    args.end()?;
    let namespace = uuid::Uuid::parse_str(&namespace).map_err(|_| Error::failed(format!("Invalid value '{namespace}' for 'namespace'")))?;
    Ok(Value::from(uuid::Uuid::new_v5(&namespace, text.as_bytes()).to_string()))
}
