//! Digest authentication (RFC 7616): who we are, without showing the password.

use std::fs::File;
use std::io::Read;

use super::Answer;
use crate::machine::Algorithm;
use crate::machine::look::{checksum_of, hex};

/// What a server wants to be answered.
struct Challenge<'a> {
    realm: &'a str,
    nonce: &'a str,
    opaque: Option<&'a str>,
    /// Whether the answer is counted, which newer servers want.
    counted: bool,
    algorithm: (Algorithm, &'a str),
}

impl<'a> Challenge<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim().strip_prefix("Digest ")?;
        let field = |name: &str| {
            let mut fields = fields(text);
            fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let name = field("algorithm").unwrap_or("MD5");
        let algorithm = match name.to_ascii_uppercase().as_str() {
            "MD5" => Algorithm::Md5,
            "SHA" => Algorithm::Sha1,
            "SHA-256" => Algorithm::Sha256,
            _ => return None,
        };
        let counted = field("qop").is_some_and(|ways| ways.split(',').any(|way| way.trim() == "auth"));
        Some(Self { realm: field("realm")?, nonce: field("nonce")?, opaque: field("opaque"), counted, algorithm: (algorithm, name) })
    }

    /// The header for one request.
    fn answer(&self, user: &str, password: &str, method: &str, path: &str, salt: &str) -> Option<String> {
        let digest = |parts: &[&str]| checksum_of(parts.join(":").as_bytes(), self.algorithm.0).ok();
        let (us, it) = (digest(&[user, self.realm, password])?, digest(&[method, path])?);
        let response =
            if self.counted { digest(&[&us, self.nonce, "00000001", salt, "auth", &it])? } else { digest(&[&us, self.nonce, &it])? };
        let mut text = format!(
            "Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{path}\", response=\"{response}\", algorithm={}",
            self.realm, self.nonce, self.algorithm.1
        );
        if let Some(opaque) = self.opaque {
            text.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if self.counted {
            text.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{salt}\""));
        }
        Some(text)
    }
}

/// `a=1, b="2, 3"`
fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (key, tail) = rest.split_once('=')?;
        let (value, after) = match tail.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => tail.split_at(tail.find(',').unwrap_or(tail.len())),
        };
        rest = after.trim_start_matches([',', ' ']);
        Some((key.trim(), value.trim()))
    })
}

/// The header that a server which has said no asks for; `None` when it asks for no digest.
pub(super) fn reply(answer: &Answer, (user, password): (&str, &str), method: &str, path: &str) -> Option<String> {
    let mut asked = answer.headers.iter().filter(|(name, _)| answer.status == 401 && name == "www-authenticate");
    let challenge = asked.find_map(|(_, text)| Challenge::of(text))?;
    let mut salt = [0; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut salt)).ok()?;
    challenge.answer(user, password, method, path, &hex(&salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_answered_as_the_standard_does() {
        let realm = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
            nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let answer = |text: &str| {
            let salt = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            Challenge::of(text).unwrap().answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", salt).unwrap()
        };
        assert!(answer(realm).contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""), "{}", answer(realm));
        let modern = realm.replace("MD5", "SHA-256");
        assert!(answer(&modern).contains("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""));
        assert!(Challenge::of("Basic realm=x").is_none());
    }
}
