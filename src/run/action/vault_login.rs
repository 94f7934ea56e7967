//! Logs in to a Vault server, for a token that other tasks use.
//!
//! ```yaml
//! - community.hashi_vault.vault_login: {url: "https://vault:8200", auth_method: approle, role_id: web, secret_id: "{{ secret_id }}"}
//!   register: vault
//! - community.hashi_vault.vault_kv2_get: {url: "https://vault:8200", token: "{{ vault.login.auth.client_token }}", path: shop}
//! ```
//!
//! The host asks, as its `uri` would; the token is shown as stars wherever it would be seen.

use super::prelude::*;
use super::vault::{Access, Method};

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct VaultLogin {}
    group = access: Access;
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: VaultLogin = call.decode()?;
    if params.access.auth_method == Method::None {
        return Err(Failure::new("The 'none' auth method is not valid for this module.").into());
    }
    let login = params.access.auth_method != Method::Token;
    if login && call.checking() {
        let auth = Map::from_iter([("client_token".to_owned(), Value::Null)]);
        let nothing = Map::from_iter([("auth".to_owned(), auth.into())]);
        return Ok(Outcome { changed: true, ..Outcome::default() }.with("login", nothing).into());
    }
    let session = params.access.session(&call, true).await?;
    Ok(Outcome { changed: session.logged_in, ..Outcome::default() }.with("login", session.login).into())
}
