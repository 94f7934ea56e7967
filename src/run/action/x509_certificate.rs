//! Makes a certificate, signed by its own key or by an authority of one's own, with the host's own `openssl` (3.0 or later).
//!
//! ```yaml
//! - x509_certificate: {path: /etc/ssl/shop.pem, csr_path: /etc/ssl/shop.csr, privatekey_path: /etc/ssl/private/shop.key, provider: selfsigned}
//! - x509_certificate: {path: /etc/ssl/shop.pem, csr_path: /etc/ssl/shop.csr, provider: ownca, ownca_path: /etc/ssl/ca.pem, ownca_privatekey_path: /etc/ssl/private/ca.key}
//! ```
//!
//! A certificate that says the same stays, whenever it ends.

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
    /// Who signs it.
    pub(super) enum Provider { Selfsigned = "selfsigned", Ownca = "ownca" }
}

params! {
    pub struct X509Certificate {
        /// The file.
        path: PathText,
        /// Whether it is wanted.
        state: State = State::Present,
        /// Who signs it.
        provider: Option<Provider>,
        /// The request, on the host.
        csr_path: Option<PathText>,
        /// The key that it is for, on the host, without a passphrase.
        privatekey_path: Option<PathText>,
        /// The authority's certificate, on the host.
        ownca_path: Option<PathText>,
        /// The authority's key, on the host, without a passphrase.
        ownca_privatekey_path: Option<PathText>,
        /// The digest that is signed.
        selfsigned_digest: String = "sha256",
        /// The digest that is signed.
        ownca_digest: String = "sha256",
        /// How long it holds, in whole days or weeks from now: `+365d`, `+52w`.
        selfsigned_not_after | selfsigned_notAfter: String = "+3650d",
        /// How long it holds, in whole days or weeks from now: `+365d`, `+52w`.
        ownca_not_after: String = "+3650d",
        /// Make a new one in any case.
        force: bool = false,
        /// Keep what was there as `path.PID.date~`.
        backup: bool = false,
        /// Put the certificate into the result.
        return_content: bool = false,
        /// Has no meaning: when a certificate ends does not count.
        ignore_timestamps: bool = true,
        /// Has no meaning: it is the host's `openssl`.
        select_crypto_backend: String = "auto",
    }
    group = file: FileAttributes;
    rules = [
        Rule::When("state", "present", &["provider"]),
        Rule::When("provider", "selfsigned", &["privatekey_path", "csr_path"]),
        Rule::When("provider", "ownca", &["csr_path", "ownca_path", "ownca_privatekey_path"]),
    ];
}

/// Whole days of `+52w3d`.
fn days(text: &str) -> Option<u32> {
    let (mut days, mut number) = (0_u32, String::new());
    for letter in text.strip_prefix('+')?.chars() {
        let each = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            'w' => 7,
            'd' => 1,
            's' | 'm' | 'h' if number.parse() == Ok(0) => 0,
            _ => return None,
        };
        days = days.checked_add(number.parse::<u32>().ok()?.checked_mul(each)?)?;
        number.clear();
    }
    Some(days).filter(|days| number.is_empty() && *days > 0)
}

impl X509Certificate {
    async fn make(&self, call: &ActionCall<'_>) -> Result<String, Trouble> {
        let own = self.provider == Some(Provider::Ownca);
        let (name, until) =
            if own { ("ownca_not_after", &self.ownca_not_after) } else { ("selfsigned_not_after", &self.selfsigned_not_after) };
        let days = days(until)
            .ok_or_else(|| Failure::new(format!("`{name}`: expected whole days or weeks from now, `+365d`, found `{until}`")))?;
        let (days, digest) = (days.to_string(), format!("-{}", if own { &self.ownca_digest } else { &self.selfsigned_digest }));
        let path = |path: &Option<PathText>| path.as_ref().map(|path| path.0.clone()).unwrap_or_default();
        let (request, key) = (path(&self.csr_path), path(if own { &self.ownca_privatekey_path } else { &self.privatekey_path }));
        let (authority, random) = (path(&self.ownca_path), crate::template::random_text("0123456789abcdef", 38, None));
        // A serial number is positive: its first bit is 0.
        let serial = format!("0x1{random}");
        let mut words =
            vec!["x509", "-req", "-in", request.as_str(), "-days", days.as_str(), digest.as_str(), "-set_serial", serial.as_str()];
        words.extend(["-copy_extensions", "copyall", "-passin", "pass:"]);
        if own {
            words.extend(["-CA", authority.as_str(), "-CAkey", key.as_str()]);
        } else {
            words.extend(["-key", key.as_str()]);
        }
        openssl(call, &words, None).await
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: X509Certificate = call.decode()?;
    let path = params.path.0.as_str();
    let product = Product { call: &call, path, backup: params.backup, mode: None };
    if params.state == State::Absent {
        return Ok(product.remove().await?.with("filename", path).into());
    }
    let made = params.make(&call).await?;
    let content = params.return_content.then_some("certificate");
    Ok(product.settle("x509", made, params.force, content).await?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days() {
        for (text, expected) in
            [("+3650d", Some(3650)), ("+1w2d", Some(9)), ("+1w0h", Some(7)), ("+0s", None), ("20300101000000Z", None), ("+5h", None)]
        {
            assert_eq!(days(text), expected, "{text}");
        }
    }
}
