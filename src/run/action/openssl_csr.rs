//! Makes a request for a certificate, with the host's own `openssl`.
//!
//! ```yaml
//! - openssl_csr:
//!     path: /etc/ssl/shop.csr
//!     privatekey_path: /etc/ssl/private/shop.key
//!     common_name: shop.example.com
//!     subject_alt_name: ["DNS:shop.example.com", "DNS:www.shop.example.com"]
//! ```
//!
//! A request that says the same for the same key stays.

use super::openssl::{Product, openssl};
use super::prelude::*;
use crate::choice;
use crate::module::FileAttributes;

pub(super) const REVERSIBLE: Reversible = Reversible::Exact;

choice! {
    /// Whether it is wanted.
    pub(super) enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct OpensslCsr {
        /// The file.
        path: PathText,
        /// Whether it is wanted.
        state: State = State::Present,
        /// The key, which is on the host and has no passphrase.
        privatekey_path: Option<PathText>,
        /// Whom it is for: fields of the name. A list is several of them.
        subject: Option<Map>,
        /// Two letters of a country.
        country_name | C | countryName: Option<String>,
        /// State or province.
        state_or_province_name | ST | stateOrProvinceName: Option<String>,
        /// Town.
        locality_name | L | localityName: Option<String>,
        /// Organization.
        organization_name | O | organizationName: Option<String>,
        /// Part of the organization.
        organizational_unit_name | OU | organizationalUnitName: Option<String>,
        /// The name itself.
        common_name | CN | commonName: Option<String>,
        /// Mail address.
        email_address | E | emailAddress: Option<String>,
        /// Other names: `DNS:shop.example.com`, `IP:192.0.2.1`, `email:…`, `URI:…`.
        subject_alt_name | subjectAltName: Vec<String> = Vec::<String>::new(),
        /// Who does not understand them may not go on.
        subject_alt_name_critical | subjectAltName_critical: bool = false,
        /// Take the name itself as the other name, where none is given.
        use_common_name_for_san | useCommonNameForSAN: bool = true,
        /// What the key may do: `digitalSignature`, `keyCertSign` …
        key_usage | keyUsage: Vec<String> = Vec::<String>::new(),
        /// Who does not understand that may not go on.
        key_usage_critical | keyUsage_critical: bool = false,
        /// What the certificate is for: `serverAuth`, `clientAuth` …
        extended_key_usage | extKeyUsage | extendedKeyUsage: Vec<String> = Vec::<String>::new(),
        /// Who does not understand that may not go on.
        extended_key_usage_critical | extKeyUsage_critical | extendedKeyUsage_critical: bool = false,
        /// Whether it is an authority's: `CA:TRUE`, `pathlen:0`.
        basic_constraints | basicConstraints: Vec<String> = Vec::<String>::new(),
        /// Who does not understand that may not go on.
        basic_constraints_critical | basicConstraints_critical: bool = false,
        /// The digest that is signed.
        digest: String = "sha256",
        /// Make a new one in any case.
        force: bool = false,
        /// Keep what was there as `path.PID.date~`.
        backup: bool = false,
        /// Put the request into the result.
        return_content: bool = false,
        /// Has no meaning: there is one.
        version: i64 = 1,
        /// Has no meaning: it is the host's `openssl`.
        select_crypto_backend: String = "auto",
    }
    group = file: FileAttributes;
    rules = [Rule::When("state", "present", &["privatekey_path"])];
}

impl OpensslCsr {
    /// The fields of the name, in their order.
    fn name(&self) -> Vec<(String, String)> {
        let own = [
            ("C", &self.country_name),
            ("ST", &self.state_or_province_name),
            ("L", &self.locality_name),
            ("O", &self.organization_name),
            ("OU", &self.organizational_unit_name),
            ("CN", &self.common_name),
            ("emailAddress", &self.email_address),
        ];
        let mut fields: Vec<(String, String)> =
            own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect();
        for (name, value) in self.subject.iter().flatten() {
            match value {
                Value::List(items) => fields.extend(items.iter().map(|item| (name.clone(), item.to_text()))),
                one => fields.push((name.clone(), one.to_text())),
            }
        }
        fields
    }

    /// What `openssl` is told to make.
    fn configuration(&self) -> Result<String, Failure> {
        let name = self.name();
        let mut names = self.subject_alt_name.clone();
        let common = || name.iter().find(|(field, _)| matches!(field.as_str(), "CN" | "commonName"));
        if let (true, true, Some((_, common))) = (names.is_empty(), self.use_common_name_for_san, common()) {
            names.push(format!("DNS:{common}"));
        }
        let mut text = String::from(
            "[req]\nprompt = no\nutf8 = yes\nstring_mask = utf8only\ndistinguished_name = name\nreq_extensions = more\n[name]\n",
        );
        for (number, (field, value)) in name.iter().enumerate() {
            // A number before it, so that a field may be there twice.
            text.push_str(&format!("{number}.{field} = {}\n", plain(value)?));
        }
        text.push_str("[more]\n");
        for (field, values, critical) in [
            ("subjectAltName", &names, self.subject_alt_name_critical),
            ("keyUsage", &self.key_usage, self.key_usage_critical),
            ("extendedKeyUsage", &self.extended_key_usage, self.extended_key_usage_critical),
            ("basicConstraints", &self.basic_constraints, self.basic_constraints_critical),
        ] {
            if values.is_empty() {
                continue;
            }
            let words = values.iter().map(|value| plain(value)).collect::<Result<Vec<_>, _>>()?;
            let critical = if critical { "critical," } else { "" };
            text.push_str(&format!("{field} = {critical}{}\n", words.join(",")));
        }
        Ok(text)
    }
}

/// A value as the configuration of `openssl` has it.
fn plain(value: &str) -> Result<String, Failure> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(Failure::new(format!("expected one line, found `{}`", value.escape_default())));
    }
    Ok(value
        .chars()
        .flat_map(|letter| matches!(letter, '\\' | '$' | '#' | '"' | '\'').then_some('\\').into_iter().chain([letter]))
        .collect())
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: OpensslCsr = call.decode()?;
    let path = params.path.0.as_str();
    let product = Product { call: &call, path, backup: params.backup, mode: None };
    let key = match (&params.privatekey_path, params.state) {
        (_, State::Absent) => return Ok(product.remove().await?.with("filename", path).into()),
        (Some(key), State::Present) => key.0.as_str(),
        (None, State::Present) => return Err(Failure::new("missing required parameter `privatekey_path`").into()),
    };
    let digest = format!("-{}", params.digest);
    let words = ["req", "-new", "-key", key, digest.as_str(), "-config", "/dev/stdin", "-passin", "pass:"];
    let made = openssl(&call, &words, Some(&params.configuration()?)).await?;
    let content = params.return_content.then_some("csr");
    Ok(product.settle("req", made, params.force, content).await?.with("privatekey", key).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared as _;

    #[test]
    fn openssl_is_told_what_the_task_says() {
        let given = r#"{"path": "/x", "privatekey_path": "/k", "CN": "a$b", "subject": {"OU": ["x", "y"]}, "keyUsage": ["keyCertSign"], "key_usage_critical": true}"#;
        let text = OpensslCsr::decode(&serde_json::from_str::<Map>(given).map(canonical).unwrap()).unwrap().configuration().unwrap();
        let (_, told) = text.split_once("[name]\n").unwrap();
        assert_eq!(told, "0.CN = a\\$b\n1.OU = x\n2.OU = y\n[more]\nsubjectAltName = DNS:a\\$b\nkeyUsage = critical,keyCertSign\n");
        let broken = r#"{"path": "/x", "common_name": "a\nb"}"#;
        assert!(OpensslCsr::decode(&serde_json::from_str(broken).unwrap()).unwrap().configuration().is_err());
    }

    fn canonical(map: Map) -> Map {
        let name = |name: &str| OpensslCsr::SPEC.find(name).unwrap().name.to_owned();
        map.into_iter().map(|(key, value)| (name(&key), value)).collect()
    }
}
