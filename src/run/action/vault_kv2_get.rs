//! Reads a secret of a Vault server, from a key-value store of version 2.
//!
//! ```yaml
//! - community.hashi_vault.vault_kv2_get: {url: "https://vault:8200", token: "{{ vault_token }}", path: shop/db}
//!   register: db
//! - template: {src: shop.conf.j2, dest: /etc/shop.conf, mode: "0600"}
//!   vars: {db_password: "{{ db.secret.password }}"}
//! ```
//!
//! The host asks, as its `uri` would; every text of the secret is shown as stars wherever it would be seen.

use super::prelude::*;
use super::vault::{Access, fields, hide};

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct VaultKv2Get {
        /// The secret's path below the mount point.
        path: String,
        /// Which version; the last when not given.
        version: Option<i64>,
        /// Where the store is mounted.
        engine_mount_point: String = "secret",
    }
    group = access: Access;
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: VaultKv2Get = call.decode()?;
    let session = params.access.session(&call, false).await?;
    let version = params.version.map(|version| format!("?version={version}")).unwrap_or_default();
    let address = format!("{}/data/{}{version}", params.engine_mount_point.trim_matches('/'), params.path.trim_matches('/'));
    let reply = session.service.ask(&call, "GET", &address, None).await?;
    let path = &params.path;
    let Some(raw) = fields(&reply) else {
        let version = params.version.map_or_else(|| "latest".to_owned(), |version| version.to_string());
        return Err(match reply.status {
            403 => Failure::new(format!("Forbidden: Permission Denied to path ['{path}'].")),
            404 => Failure::new(format!(
                "Invalid or missing path ['{path}'] with secret version '{version}'. Check the path or secret version."
            )),
            _ => reply.refusal(&format!("get {}{address}", session.service.base)),
        }
        .into());
    };
    let data = raw.get("data").cloned().unwrap_or_default();
    let part = |name: &str| data.get(name).cloned().unwrap_or_default();
    let (secret, metadata) = (part("data"), part("metadata"));
    hide(&call, &secret);
    Ok(Outcome::default().with("raw", raw.clone()).with("data", data).with("secret", secret).with("metadata", metadata).into())
}
