//! Keeps a user and password in a file for basic authentication.
//!
//! ```yaml
//! - htpasswd: {path: /etc/nginx/passwd, name: shop, password: "{{ shop_password }}", owner: root, group: www-data, mode: "0640"}
//! ```
//!
//! Any hash that the password fits stays. Passwords are hashed on the controller, so the host needs nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::openssl::Product;
use super::prelude::*;
use crate::choice;
use crate::module::FileAttributes;
use crate::template::{crypt, crypt_fits};

pub(super) const REVERSIBLE: Reversible = Reversible::Exact;

choice! {
    /// Whether it is wanted.
    pub(super) enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// How a new password is hashed.
    pub(super) enum Scheme {
        AprMd5 = "apr_md5_crypt",
        Bcrypt = "bcrypt",
        Md5 = "md5_crypt",
        Sha256 = "sha256_crypt",
        Sha512 = "sha512_crypt",
        Sha1 = "ldap_sha1",
        Plain = "plaintext",
    }
}

params! {
    pub struct Htpasswd {
        /// The file.
        path | dest | destfile: PathText,
        /// The user.
        name | username: String,
        /// The password.
        password: Option<String>,
        /// How a new password is hashed.
        hash_scheme | crypt_scheme: Scheme = Scheme::AprMd5,
        /// Make the file if it is not there.
        create: bool = true,
        /// Whether the user is wanted.
        state: State = State::Present,
    }
    group = file: FileAttributes;
    rules = [Rule::When("state", "present", &["password"])];
}

impl Htpasswd {
    fn hashed(&self, password: &str) -> Result<String, Failure> {
        match self.hash_scheme {
            Scheme::Plain => Ok(password.to_owned()),
            Scheme::Sha1 => Ok(sha1(password)),
            scheme => crypt(password, scheme.word(), None, None).map_err(Failure::new),
        }
    }

    /// The new text of the file, and what is said of it.
    fn edited(&self, text: &str) -> Result<(String, String), Failure> {
        let name = &self.name;
        let own = |line: &str| line.split_once(':').filter(|(known, _)| known == name).map(|(_, hash)| hash.trim_end().to_owned());
        let known = text.lines().find_map(own);
        let kept = text.lines().filter(|line| own(line).is_none()).map(|line| format!("{line}\n")).collect::<String>();
        let password = match (self.state, &self.password, &known) {
            (State::Absent, _, None) => return Ok((text.to_owned(), format!("{name} not present"))),
            (State::Absent, _, Some(_)) => return Ok((kept, format!("Remove {name}"))),
            (State::Present, None, _) => return Err(Failure::new("missing required parameter `password`")),
            (State::Present, Some(password), _) => password,
        };
        if known.as_deref().is_some_and(|hash| hash == password || hash == sha1(password) || crypt_fits(password, hash)) {
            return Ok((text.to_owned(), format!("{name} already present")));
        }
        let entry = format!("{name}:{}\n", self.hashed(password)?);
        let text = match known {
            None => kept + &entry,
            Some(_) => text.lines().map(|line| if own(line).is_some() { entry.clone() } else { format!("{line}\n") }).collect(),
        };
        Ok((text, format!("Add/update {name}")))
    }
}

fn sha1(password: &str) -> String {
    use sha1::{Digest as _, Sha1};
    format!("{{SHA}}{}", STANDARD.encode(Sha1::digest(password.as_bytes())))
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Htpasswd = call.decode()?;
    params.password.iter().for_each(|password| call.item.task.shared.events.hide(password));
    if params.name.contains([':', '\n']) {
        return Err(Failure::new(format!("expected a user without colon, found `{}`", params.name)).into());
    }
    let path = params.path.0.as_str();
    let product = Product { call: &call, path, backup: false, mode: None };
    let looked = call.query("stat", Map::from_iter([("path".to_owned(), path.into())])).await?;
    let there = looked.data.get("stat").and_then(|stat| stat.get("exists")).and_then(Value::to_bool).unwrap_or(false);
    if !there {
        if params.state == State::Absent {
            return Ok(Outcome::default().with("msg", format!("{} not present", params.name)).into());
        }
        if !params.create {
            return Err(Failure::new(format!("Destination {path} does not exist")).into());
        }
        return create(&params, &product).await;
    }
    let read = call.query("slurp", Map::from_iter([("src".to_owned(), path.into())])).await?;
    let bytes = STANDARD.decode(read.data.get("content").map(Value::to_text).unwrap_or_default()).unwrap_or_default();
    let text = String::from_utf8(bytes).map_err(|_| Failure::new(format!("{path} is no text in UTF-8")))?;
    let (edited, msg) = params.edited(&text)?;
    let outcome = if edited == text { product.keep().await? } else { product.write(&edited).await? };
    Ok(outcome.with("msg", msg).into())
}

/// Makes the file, and the directory for it.
async fn create(params: &Htpasswd, product: &Product<'_>) -> Result<Answer, Trouble> {
    let (text, _) = params.edited("")?;
    let msg = format!("Created {} and added {}", product.path, params.name);
    let folder = product.path.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty());
    if let Some(folder) = folder {
        let made = [("path", folder), ("state", "directory")].map(|(name, value)| (name.to_owned(), value.into()));
        let made = product.call.module("file", made.into()).await?;
        if made.changed && product.call.checking() {
            return Ok(Outcome { changed: true, ..Outcome::default() }.with("msg", msg).into());
        }
    }
    Ok(product.write(&text).await?.with("msg", msg).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared as _;

    #[test]
    fn files_change_where_they_should() {
        let given = |text: &str| Htpasswd::decode(&serde_json::from_str(text).unwrap()).unwrap();
        let text = "# ours\nme:$apr1$dxwF1O21$Xp9KhjhVyp2IyU8v4NZbZ/\nyou:{SHA}8Wyi36Noi/CMek4hVErxW9WYy3A=\n";
        // Hashes that passlib made.
        for (name, password) in [("me", "pw2"), ("you", "pw2")] {
            let (same, msg) = given(&format!(r#"{{"path": "/x", "name": "{name}", "password": "{password}"}}"#)).edited(text).unwrap();
            assert_eq!((same.as_str(), msg), (text, format!("{name} already present")));
        }
        let (changed, _) = given(r#"{"path": "/x", "name": "me", "password": "other", "hash_scheme": "ldap_sha1"}"#).edited(text).unwrap();
        assert_eq!(changed.lines().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(), ["# ours", "me", "you"]);
        assert!(changed.contains("me:{SHA}") && changed.contains("8Wyi36Noi"));
        let (gone, msg) = given(r#"{"path": "/x", "name": "me", "state": "absent"}"#).edited(text).unwrap();
        assert_eq!((gone.as_str(), msg.as_str()), ("# ours\nyou:{SHA}8Wyi36Noi/CMek4hVErxW9WYy3A=\n", "Remove me"));
    }
}
