//! OpenPGP public keys as apt and rpm keep them: out of their armour, apart from each other, with their numbers (RFC 4880).
//!
//! Keys are only sorted and counted here, never trusted: whoever uses a keyring checks the signatures.

use sha1::{Digest as _, Sha1};

use crate::machine::words::unbase64;

/// One key with everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The fingerprint: 40 digits.
    pub(super) fingerprint: String,
    /// The fingerprints of its subkeys.
    pub(super) subkeys: Vec<String>,
    /// Its packets.
    pub(super) bytes: Vec<u8>,
}

impl Key {
    /// The last 16 digits of the fingerprint, by which most tools call it.
    pub(super) fn id(&self) -> &str {
        self.fingerprint.get(self.fingerprint.len().saturating_sub(16)..).unwrap_or_default()
    }

    /// Whether `id`, upper-case digits, means this key: its fingerprint or an end of it.
    pub(super) fn is_called(&self, id: &str) -> bool {
        !id.is_empty() && self.fingerprint.ends_with(id)
    }

    /// Whether `id` means this key or one of its subkeys.
    pub(super) fn has(&self, id: &str) -> bool {
        self.is_called(id) || self.subkeys.iter().any(|subkey| !id.is_empty() && subkey.ends_with(id))
    }
}

/// The keys in `bytes`, armoured or not; nothing that is no key.
pub(super) fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut found: Vec<Key> = Vec::new();
    for block in binary(bytes) {
        let mut rest = block.as_slice();
        while let Some((packet, tail)) = Packet::split(rest) {
            match (packet.tag, found.last_mut()) {
                (6, _) => found.push(Key { fingerprint: packet.fingerprint(), subkeys: Vec::new(), bytes: packet.whole.to_vec() }),
                (_, None) => {}
                (tag, Some(key)) => {
                    if tag == 14 {
                        key.subkeys.push(packet.fingerprint());
                    }
                    key.bytes.extend_from_slice(packet.whole);
                }
            }
            rest = tail;
        }
    }
    found
}

/// Whether this is text in an armour.
pub(super) fn is_armoured(bytes: &[u8]) -> bool {
    bytes.windows(ARMOUR.len()).any(|window| window == ARMOUR)
}

const ARMOUR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The packets of every armoured block, or the bytes themselves.
fn binary(bytes: &[u8]) -> Vec<Vec<u8>> {
    if !is_armoured(bytes) {
        return vec![bytes.to_vec()];
    }
    let text = String::from_utf8_lossy(bytes);
    let mut blocks = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in text.lines().map(str::trim) {
        match &mut block {
            None if line.as_bytes() == ARMOUR => block = Some((true, String::new())),
            None => {}
            Some(_) if line.starts_with("-----END") => blocks.extend(block.take().map(|(_, text)| unbase64(&text))),
            // Headers such as `Version:` end with an empty line; they may also be missing altogether.
            Some((head, _)) if *head && line.is_empty() => *head = false,
            Some((head, _)) if *head && line.contains(": ") => {}
            Some((head, text)) if !line.starts_with('=') => {
                *head = false;
                text.push_str(line);
            }
            Some(_) => {}
        }
    }
    blocks
}

/// One packet.
struct Packet<'a> {
    tag: u8,
    body: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The first packet of `bytes`, and what follows; `None` at the end or where there is no packet.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let first = *bytes.first()?;
        if first & 0x80 == 0 {
            return None;
        }
        let number = |from: usize, count: usize| {
            let digits = bytes.get(from..from + count)?;
            Some(digits.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
        };
        let (tag, head, length) = if first & 0x40 != 0 {
            let (head, length) = match number(1, 1)? {
                short @ 0..192 => (2, short),
                two @ 192..224 => (3, ((two - 192) << 8) + number(2, 1)? + 192),
                255 => (6, number(2, 4)?),
                _ => return None, // of unknown length: never a key
            };
            (first & 0x3f, head, length)
        } else {
            let count = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            (first >> 2 & 0xf, 1 + count, number(1, count)?)
        };
        let end = head.checked_add(length)?;
        Some((Self { tag, body: bytes.get(head..end)?, whole: bytes.get(..end)? }, bytes.get(end..)?))
    }

    /// Of a key of version 4; empty for others, which no archive has signed with for twenty years.
    fn fingerprint(&self) -> String {
        let Ok(length) = u16::try_from(self.body.len()) else { return String::new() };
        if self.body.first() != Some(&4) {
            return String::new();
        }
        let digest = Sha1::new().chain_update([0x99]).chain_update(length.to_be_bytes()).chain_update(self.body).finalize();
        digest.iter().map(|byte| format!("{byte:02X}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `gpg --quick-gen-key`; the secret is thrown away.
    const ARMOURED: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEawQ2BRYJKwYBBAHaRw8BAQdAbrDeT1qaRlJcuWojjYwfmwDGCx8kg8z0FxzG\n\
         Ysqp6HW0InNob3AgYXJjaGl2ZSA8YXJjaGl2ZUBleGFtcGxlLmNvbT6IjwQTFggA\n\
         OBYhBM5xeh8eVP+dtBASOPxUCdtnapvjBQJrBDYFAhsDBQsJCAcCBhUKCQgLAgQW\n\
         AgMBAh4BAheAAAoJEPxUCdtnapvjC6kA+JO1PCOqfLIdITrhNM4BnBqfNxHeXnE5\n\
         icoe/53XVNEBAPZjCFfS/VDpUbEs1dx+YGeS/ANtlHF1pXMXBwRa0IIOuDgEawQ2\n\
         BRIKKwYBBAGXVQEFAQEHQIhma/8+8bZeHt0F0w56I7LL5ZkMnDf6CK41fIM7boog\n\
         AwEIB4h4BBgWCAAgFiEEznF6Hx5U/520EBI4/FQJ22dqm+MFAmsENgUCGwwACgkQ\n\
         /FQJ22dqm+OaOwEAtQOfQjoCpEt/SFNBjbMJRG591I5hOIDPDpQT41QeroQA/RDb\n\
         vtUfXMk8f4qMjpKaOoObH4eRubGLlQZ2VTw8yNkM\n\
         =6p8F\n-----END PGP PUBLIC KEY BLOCK-----\n";

    #[test]
    fn keys_have_numbers() {
        for text in [ARMOURED.to_owned(), ARMOURED.replace("\n\n", "\nVersion: GnuPG v1\n\n")] {
            let found = keys(text.as_bytes());
            let key = found.first().unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(key.fingerprint, "CE717A1F1E54FF9DB4101238FC5409DB676A9BE3");
            assert!(key.is_called(key.id()) && !key.is_called("DEADBEEF") && key.has("A50D941E90A24A0D"));
            assert_eq!(keys(&[key.bytes.clone(), key.bytes.clone()].concat()).len(), 2);
        }
        assert_eq!(keys(b"garbage"), []);
    }
}
