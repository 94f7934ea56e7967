//! `sha512_crypt` and `sha256_crypt`, the password hashes of `/etc/shadow`: Ulrich Drepper's algorithm.

use sha2::{Digest, Sha256, Sha512};

/// Which digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Sha256,
    Sha512,
}

/// `$6$salt$…`; `rounds` is not shown where it is 5000, which is what the format means without it.
pub(super) fn crypt(method: Method, password: &[u8], salt: &str, rounds: u32) -> String {
    let (ident, length) = if method == Method::Sha512 { ('6', 64) } else { ('5', 32) };
    let bytes = match method {
        Method::Sha256 => rounds_of::<Sha256>(password, salt.as_bytes(), rounds),
        Method::Sha512 => rounds_of::<Sha512>(password, salt.as_bytes(), rounds),
    };
    let shown = if rounds == 5000 { String::new() } else { format!("rounds={rounds}$") };
    format!("${ident}${shown}{salt}${}", encoded(&bytes, length))
}

/// `length` bytes made of `block` over and over.
fn repeated(block: &[u8], length: usize) -> Vec<u8> {
    block.iter().copied().cycle().take(length).collect()
}

fn rounds_of<D: Digest>(password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
    let alternate = D::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = D::new().chain_update(password).chain_update(salt).chain_update(repeated(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            first.update(&alternate);
        } else {
            first.update(password);
        }
        bits >>= 1;
    }
    let mut now = first.finalize();
    let mut passwords = D::new();
    for _ in 0..password.len() {
        passwords.update(password);
    }
    let passwords = repeated(&passwords.finalize(), password.len());
    let mut salts = D::new();
    for _ in 0..16 + usize::from(now.first().copied().unwrap_or_default()) {
        salts.update(salt);
    }
    let salts = repeated(&salts.finalize(), salt.len());
    for round in 0..rounds {
        let mut next = D::new();
        let odd = round % 2 == 1;
        next.update(if odd { &passwords[..] } else { &now[..] });
        if round % 3 != 0 {
            next.update(&salts);
        }
        if round % 7 != 0 {
            next.update(&passwords);
        }
        next.update(if odd { &now[..] } else { &passwords[..] });
        now = next.finalize();
    }
    now.to_vec()
}

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digest in the order of bytes that the format has: three at a time, a third of it apart, turning.
fn encoded(bytes: &[u8], length: usize) -> String {
    let byte = |index: usize| u32::from(bytes.get(index).copied().unwrap_or_default());
    let mut out = String::new();
    let mut put = |mut word: u32, characters: usize| {
        for _ in 0..characters {
            let index = usize::try_from(word & 0x3f).unwrap_or_default();
            out.push(ALPHABET.get(index).map_or('.', |letter| char::from(*letter)));
            word >>= 6;
        }
    };
    let third = length / 3;
    for step in 0..third {
        let mut places = [step, step + third, step + 2 * third];
        // The two formats turn in opposite directions.
        if length == 64 {
            places.rotate_left(step % 3)
        } else {
            places.rotate_right(step % 3)
        }
        let [high, middle, low] = places.map(byte);
        put((high << 16) | (middle << 8) | low, 4);
    }
    if length == 64 {
        put(byte(63), 2);
    } else {
        put((byte(31) << 8) | byte(30), 3);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Method, crypt};

    #[test]
    fn gives_what_the_specification_gives() {
        let cases = [
            (
                Method::Sha512,
                "Hello world!",
                "saltstring",
                5000,
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
            (Method::Sha256, "Hello world!", "saltstring", 5000, "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8"),
            (
                Method::Sha256,
                "Hello world!",
                "saltstringsaltst",
                10_000,
                "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZBeBsEsBcWa9QfKxNPTvRp1",
            ),
        ];
        for (method, password, salt, rounds, expected) in cases {
            assert_eq!(crypt(method, password.as_bytes(), salt, rounds), expected);
        }
    }
}
