//! What `password_hash` gives: crypt(3)'s SHA-512, SHA-256 and MD5, and bcrypt.

use blowfish::Blowfish;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use super::error::{Error, Result};
use super::random::Random;

const ITOA64: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BCRYPT64: &[u8] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `secret` hashed as passlib does with Ansible's defaults. The salt is random where none is given.
pub(super) fn hash(secret: &str, kind: &str, salt: Option<&str>, rounds: Option<u32>, ident: Option<&str>) -> Result<String> {
    let kind = kind.strip_suffix("_crypt").unwrap_or(kind);
    let length = match kind {
        "md5" | "apr_md5" => 8,
        "sha256" | "sha512" => 16,
        "blowfish" | "bcrypt" => 22,
        other => {
            return Err(Error::failed(format!("`{other}` is not in the list of supported algorithms: md5, blowfish, sha256, sha512")));
        }
    };
    let drawn = || {
        let mut random = Random::system();
        (0..length).map(|_| char::from(pick(ITOA64, random.position(64)))).collect()
    };
    let salt = salt.map_or_else(drawn, str::to_owned);
    if salt.is_empty() || salt.len() > length || !salt.bytes().all(|byte| ITOA64.contains(&byte)) {
        return Err(Error::failed(format!("expected a salt of up to {length} letters, digits, `.` and `/`")));
    }
    match kind {
        "md5" => Ok(md5_crypt(secret.as_bytes(), &salt, "$1$")),
        "apr_md5" => Ok(md5_crypt(secret.as_bytes(), &salt, "$apr1$")),
        "sha256" => Ok(sha_crypt::<Sha256>(secret.as_bytes(), &salt, rounds.unwrap_or(535_000), '5', &ORDER_256)),
        "sha512" => Ok(sha_crypt::<Sha512>(secret.as_bytes(), &salt, rounds.unwrap_or(656_000), '6', &ORDER_512)),
        _ => bcrypt(secret.as_bytes(), &salt, rounds.unwrap_or(12), ident.unwrap_or("2b")),
    }
}

/// Whether `known` is a hash of `secret`.
pub(super) fn fits(secret: &str, known: &str) -> bool {
    let made = match known.split('$').collect::<Vec<_>>().as_slice() {
        ["", "apr1", salt, _] => hash(secret, "apr_md5", Some(salt), None, None),
        ["", "1", salt, _] => hash(secret, "md5", Some(salt), None, None),
        ["", ident @ ("2a" | "2b" | "2y"), cost, rest] => hash(secret, "bcrypt", rest.get(..22), cost.parse().ok(), Some(ident)),
        ["", kind @ ("5" | "6"), middle @ .., salt, _] => {
            let rounds = middle.first().map_or(Some(5000), |rounds| rounds.strip_prefix("rounds=").and_then(|rounds| rounds.parse().ok()));
            hash(secret, if *kind == "5" { "sha256" } else { "sha512" }, Some(salt), rounds, None)
        }
        _ => return false,
    };
    made.is_ok_and(|made| made == known)
}

fn pick(alphabet: &[u8], index: usize) -> u8 {
    alphabet.get(index).copied().unwrap_or(b'.')
}

/// 24 bits as four letters, the lowest first.
fn letters(bytes: [u8; 3], count: usize, out: &mut String) {
    let [high, middle, low] = bytes.map(u32::from);
    let mut word = (high << 16) | (middle << 8) | low;
    for _ in 0..count {
        out.push(char::from(pick(ITOA64, (word & 0x3f) as usize)));
        word >>= 6;
    }
}

fn byte(bytes: &[u8], index: usize) -> u8 {
    bytes.get(index).copied().unwrap_or_default()
}

/// The first `length` bytes of `bytes` repeated.
fn repeated(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(length).collect()
}

const ORDER_512: [[usize; 3]; 22] = [
    [0, 21, 42],
    [22, 43, 1],
    [44, 2, 23],
    [3, 24, 45],
    [25, 46, 4],
    [47, 5, 26],
    [6, 27, 48],
    [28, 49, 7],
    [50, 8, 29],
    [9, 30, 51],
    [31, 52, 10],
    [53, 11, 32],
    [12, 33, 54],
    [34, 55, 13],
    [56, 14, 35],
    [15, 36, 57],
    [37, 58, 16],
    [59, 17, 38],
    [18, 39, 60],
    [40, 61, 19],
    [62, 20, 41],
    [99, 99, 63],
];
const ORDER_256: [[usize; 3]; 11] = [
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
    [99, 31, 30],
];

/// Ulrich Drepper's SHA-crypt, <https://www.akkadia.org/drepper/SHA-crypt.txt>.
fn sha_crypt<D: Digest>(secret: &[u8], salt: &str, rounds: u32, ident: char, order: &[[usize; 3]]) -> String {
    let rounds = rounds.clamp(1000, 999_999_999);
    let salt_bytes = salt.as_bytes();
    let alternate = D::new().chain_update(secret).chain_update(salt_bytes).chain_update(secret).finalize();
    let mut first = D::new().chain_update(secret).chain_update(salt_bytes).chain_update(repeated(&alternate, secret.len()));
    let mut length = secret.len();
    while length > 0 {
        first = if length & 1 == 1 { first.chain_update(&alternate) } else { first.chain_update(secret) };
        length >>= 1;
    }
    let mut state = first.finalize();
    let of_secret = (0..secret.len()).fold(D::new(), |digest, _| digest.chain_update(secret)).finalize();
    let of_secret = repeated(&of_secret, secret.len());
    let times = 16 + usize::from(byte(&state, 0));
    let of_salt = (0..times).fold(D::new(), |digest, _| digest.chain_update(salt_bytes)).finalize();
    let of_salt = repeated(&of_salt, salt_bytes.len());
    for round in 0..rounds {
        let mut digest = D::new();
        digest = if round & 1 == 1 { digest.chain_update(&of_secret) } else { digest.chain_update(&state) };
        if round % 3 != 0 {
            digest = digest.chain_update(&of_salt);
        }
        if round % 7 != 0 {
            digest = digest.chain_update(&of_secret);
        }
        digest = if round & 1 == 1 { digest.chain_update(&state) } else { digest.chain_update(&of_secret) };
        state = digest.finalize();
    }
    let rounds = if rounds == 5000 { String::new() } else { format!("rounds={rounds}$") };
    let mut out = format!("${ident}${rounds}{salt}$");
    for [high, middle, low] in order {
        // Places beyond the digest stand for zeros, of which nothing is written.
        let count = if *middle == 99 {
            2
        } else if *high == 99 {
            3
        } else {
            4
        };
        letters([byte(&state, *high), byte(&state, *middle), byte(&state, *low)], count, &mut out);
    }
    out
}

/// Apache's own form differs from the system's in its mark only.
fn md5_crypt(secret: &[u8], salt: &str, mark: &str) -> String {
    let salt_bytes = salt.as_bytes();
    let alternate = Md5::new().chain_update(secret).chain_update(salt_bytes).chain_update(secret).finalize();
    let mut first =
        Md5::new().chain_update(secret).chain_update(mark).chain_update(salt_bytes).chain_update(repeated(&alternate, secret.len()));
    let mut length = secret.len();
    while length > 0 {
        first = if length & 1 == 1 { first.chain_update([0]) } else { first.chain_update(secret.get(..1).unwrap_or_default()) };
        length >>= 1;
    }
    let mut state = first.finalize();
    for round in 0..1000 {
        let mut digest = Md5::new();
        digest = if round & 1 == 1 { digest.chain_update(secret) } else { digest.chain_update(state) };
        if round % 3 != 0 {
            digest = digest.chain_update(salt_bytes);
        }
        if round % 7 != 0 {
            digest = digest.chain_update(secret);
        }
        digest = if round & 1 == 1 { digest.chain_update(state) } else { digest.chain_update(secret) };
        state = digest.finalize();
    }
    let mut out = format!("{mark}{salt}$");
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        letters([byte(&state, high), byte(&state, middle), byte(&state, low)], 4, &mut out);
    }
    letters([0, 0, byte(&state, 11)], 2, &mut out);
    out
}

fn bcrypt(secret: &[u8], salt: &str, cost: u32, ident: &str) -> Result<String> {
    if !(4..=31).contains(&cost) {
        return Err(Error::failed("expected `rounds` of bcrypt from 4 to 31"));
    }
    if salt.len() != 22 {
        return Err(Error::failed("expected a salt of 22 letters for bcrypt"));
    }
    let salt_bytes = bcrypt_decoded(salt);
    let mut key: Vec<u8> = secret.iter().copied().take(72).collect();
    if key.len() < 72 {
        key.push(0);
    }
    let mut cipher: Blowfish = Blowfish::bc_init_state();
    cipher.salted_expand_key(&salt_bytes, &key);
    for _ in 0..1_u64 << cost {
        cipher.bc_expand_key(&key);
        cipher.bc_expand_key(&salt_bytes);
    }
    let text = b"OrpheanBeholderScryDoubt";
    let mut words: Vec<u32> = text.chunks(4).map(|chunk| chunk.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte))).collect();
    for pair in words.chunks_mut(2) {
        if let [left, right] = pair {
            for _ in 0..64 {
                [*left, *right] = cipher.bc_encrypt([*left, *right]);
            }
        }
    }
    let digest: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).take(23).collect();
    // The last letter of a salt has bits that say nothing; they are cleared, as passlib does.
    Ok(format!("${ident}${cost:02}${}{}", bcrypt_encoded(&salt_bytes), bcrypt_encoded(&digest)))
}

fn bcrypt_encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, index| (word << 8) | u32::from(byte(chunk, index)));
        for index in 0..=chunk.len() {
            out.push(char::from(pick(BCRYPT64, ((word >> (18 - 6 * index)) & 0x3f) as usize)));
        }
    }
    out
}

fn bcrypt_decoded(text: &str) -> Vec<u8> {
    let value = |letter: u8| BCRYPT64.iter().position(|known| *known == letter).unwrap_or_default();
    let bits: Vec<usize> = text.bytes().map(value).collect();
    let mut out = Vec::new();
    for chunk in bits.chunks(4) {
        let word = (0..4).fold(0, |word, index| (word << 6) | chunk.get(index).copied().unwrap_or_default());
        out.extend((0..3).map(|index| u8::try_from((word >> (16 - 8 * index)) & 0xff).unwrap_or_default()));
    }
    out.truncate(16);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded from passlib through Ansible's filter.
    #[test]
    fn hashes_of_passlib_fit() {
        for known in [
            "$2b$04$/JJVRss.iyBaRKy1CEOG1.PZJCmsWFzSSAsoBDZsTxIP74CV4cpiG",
            "$5$rounds=1000$91bMUgb4JFvgJNwt$qc4Bj2I5FWX8OjWRccsmcnxz28yKzED.4sud/DAG9r/",
            "$6$jhD6cKG3xEsEstHc$bieneHfEpp2OA8ttO8cQPORbSMoRt78c69iQwcWDM06oyKeWsZBfo687OvKqDqI9Zc1Q5cypF7lAiXYnuH37F0",
            "$apr1$ywaFGzSZ$IyFQERtpkoO2v4Z4hqayD1",
            "$1$U6iOg9Do$aD2zzbbbzbwOwbPliizas0",
        ] {
            assert!(fits("secret", known) && !fits("Secret", known), "{known}");
        }
        assert!(!fits("secret", "secret") && !fits("secret", "$9$x$y") && !fits("secret", "$2b$04$x"));
    }

    #[test]
    fn hashes_as_passlib_does() {
        let long = "a long password that is longer than any block, certainly longer than sixty four bytes, is it not so?";
        let table: &[(&str, &str, &str, Option<u32>, Option<&str>, &str)] = &[
            (
                "pw",
                "sha512",
                "mysalt",
                Some(5000),
                None,
                "$6$mysalt$.2Q/f6CLTJ7NFjKGQk.jKE5.cGgKx0pvxJTouBcj9c.QMvAmVybOayA.z2ZYDHtzYKlGvXURyRUQExUeqkbjy/",
            ),
            (
                "pw",
                "sha512",
                "mysalt",
                Some(1000),
                None,
                "$6$rounds=1000$mysalt$fgIxgkwVJYpXahuIsBuQN282G..lpRRa351dL1r5PUA7kC5sW49XO2d.mf2J3EvmwMLQsss5o.RFXCpBinK3D0",
            ),
            (
                long,
                "sha512",
                "saltsaltsaltsalt",
                Some(5000),
                None,
                "$6$saltsaltsaltsalt$LvoqQPdWtGKTrDr..5xgRGhWey9m5OzL3Ix65x4DkkELdDUBhD6BPWXdWhXsnyyZyhCjiI.B6FwdF99RxSD4l0",
            ),
            (long, "sha256", "saltsaltsaltsalt", Some(5000), None, "$5$saltsaltsaltsalt$zc6riNgDXbUm6QNIghQwtR3g/ef3SlfL0msXPo1InaD"),
            ("pw", "md5", "mysalt", None, None, "$1$mysalt$NGiHoaB55Akiz8nsOoh8J/"),
            ("pw", "blowfish", "1234567890123456789012", Some(5), None, "$2b$05$123456789012345678901uztUQIoyLDxaIUgJ.x54aS6eyLIVBeKi"),
            ("pw", "bcrypt", "1234567890123456789012", Some(5), Some("2a"), "$2a$05$123456789012345678901uztUQIoyLDxaIUgJ.x54aS6eyLIVBeKi"),
        ];
        for (secret, kind, salt, rounds, ident, expected) in table {
            assert_eq!(hash(secret, kind, Some(salt), *rounds, *ident).unwrap(), *expected);
        }
    }

    #[test]
    fn refuses_what_crypt_would_not_read() {
        assert!(hash("pw", "nope", None, None, None).is_err());
        assert!(hash("pw", "sha512", Some("bad salt!"), None, None).is_err());
        assert!(hash("pw", "bcrypt", Some("short"), None, None).is_err());
    }
}
