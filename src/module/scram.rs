//! Whether a password is the one that a PostgreSQL server keeps in its own form: SCRAM-SHA-256 (RFC 5803) or MD5.

use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::machine::words::unbase64;

/// Whether the server, for the role `user`, keeps `password` as `kept`.
pub(super) fn is_kept_as(password: &str, user: &str, kept: &str) -> bool {
    if password == kept {
        return true;
    }
    if let Some(digest) = kept.strip_prefix("md5") {
        let found: String = Md5::digest(format!("{password}{user}")).iter().map(|byte| format!("{byte:02x}")).collect();
        return found == digest;
    }
    // `SCRAM-SHA-256$4096:salt$stored key:server key`
    let Some((head, keys)) = kept.strip_prefix("SCRAM-SHA-256$").and_then(|rest| rest.split_once('$')) else { return false };
    let (Some((rounds, salt)), Some((_, server))) = (head.split_once(':'), keys.split_once(':')) else { return false };
    let Ok(rounds) = rounds.parse::<u32>() else { return false };
    let salted = stretched(password.as_bytes(), &unbase64(salt), rounds);
    hmac(&salted, b"Server Key").as_slice() == unbase64(server)
}

/// PBKDF2 with HMAC-SHA-256, one block.
fn stretched(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut block = hmac(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = block;
    for _ in 1..rounds {
        block = hmac(password, &block);
        sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        let digest: [u8; 32] = Sha256::digest(key).into();
        block.iter_mut().zip(digest).for_each(|(place, byte)| *place = byte);
    } else {
        block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_known_again() {
        // Made by PostgreSQL 15: `ALTER ROLE shop PASSWORD 'secret'`.
        const KEPT: &str = "SCRAM-SHA-256$4096:RPV1eM8b30eohFLVD17fhw==$+iRaId9hLweuKokeRi+55o/SdA41Osga5OwpBDYGjB4=:sfdFlAqoilt9AvfCV4kCeJnp/LBYinUKJla9CokkuAY=";
        const OLD: &str = "md5f433c50293bc7afbe20b67ceb15a1e55";
        for kept in [KEPT, OLD] {
            assert!(is_kept_as("secret", "shop", kept), "{kept}");
            assert!(!is_kept_as("Secret", "shop", kept), "{kept}");
            assert!(is_kept_as(kept, "shop", kept));
        }
    }
}
