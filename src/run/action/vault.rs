//! What the actions that talk to Vault, which is no file of Ansible's vault, share: where it is, and how to log in there.

use super::ask::{Reply, Service, escaped};
use super::prelude::*;
use crate::choice;

choice! {
    /// How to log in.
    pub(super) enum Method {
        Token = "token",
        Userpass = "userpass",
        Ldap = "ldap",
        Approle = "approle",
        Jwt = "jwt",
        Cert = "cert",
        None = "none",
    }
}

params! {
    pub struct Access {
        /// Where Vault is; else `VAULT_ADDR` of the host.
        url: Option<String>,
        /// How to log in.
        auth_method: Method = Method::Token,
        /// Where the way to log in is mounted; by its own name, when not given.
        mount_point: Option<String>,
        /// The token; else `VAULT_TOKEN` of the host, else what is in the token's file.
        token: Option<String>,
        /// The directory of the token's file; the user's home when not given.
        token_path: Option<PathText>,
        /// The name of the token's file.
        token_file: String = ".vault-token",
        /// Ask whether the token holds.
        token_validate: Option<bool>,
        /// User, for `userpass` and `ldap`.
        username: Option<String>,
        /// Password, for `userpass` and `ldap`.
        password: Option<String>,
        /// Role, for `approle`, `jwt` and `cert`.
        role_id: Option<String>,
        /// The role's secret, for `approle`.
        secret_id: Option<String>,
        /// Token, for `jwt`.
        jwt: Option<String>,
        /// Certificate on the host, for `cert`.
        cert_auth_public_key: Option<PathText>,
        /// Its key on the host, for `cert`.
        cert_auth_private_key: Option<PathText>,
        /// The namespace; else `VAULT_NAMESPACE` of the host.
        namespace: Option<String>,
        /// Certificates on the host to trust instead of the system's; else `VAULT_CACERT`.
        ca_cert | cacert: Option<PathText>,
        /// Check certificates; as the host's `VAULT_SKIP_VERIFY` says, when not given.
        validate_certs: Option<bool>,
        /// Seconds.
        timeout: i64 = 30,
    }
}

/// Vault, with a token.
pub(super) struct Session {
    pub(super) service: Service,
    /// What the login gave.
    pub(super) login: Map,
    /// Whether there was one.
    pub(super) logged_in: bool,
}

impl Access {
    /// Logs in.
    pub(super) async fn session(&self, call: &ActionCall<'_>, validate: bool) -> Result<Session, Trouble> {
        let known = self.environment(call).await?;
        let mut service = self.service(&known)?;
        let (login, logged_in) = match self.auth_method {
            Method::None => (Map::new(), false),
            Method::Token => (self.by_token(call, &mut service, &known, validate).await?, false),
            _ => (self.by_login(call, &service).await?, true),
        };
        if let Some(token) = login.get("auth").and_then(|auth| auth.get("client_token")).map(Value::to_text) {
            call.item.task.shared.events.hide(&token);
            service.headers.insert("X-Vault-Token".to_owned(), token.into());
        }
        Ok(Session { service, login, logged_in })
    }

    /// The host's environment, if something is to be looked up there.
    async fn environment(&self, call: &ActionCall<'_>) -> Result<Map, Trouble> {
        if self.url.is_some() && (self.token.is_some() || self.auth_method != Method::Token) && self.validate_certs.is_some() {
            return Ok(Map::new());
        }
        call.host_environment().await
    }

    fn service(&self, known: &Map) -> Result<Service, Failure> {
        let look = |given: Option<&String>, name: &str| given.cloned().or_else(|| known.get(name).map(Value::to_text));
        let url = look(self.url.as_ref(), "VAULT_ADDR").ok_or_else(|| Failure::new("Required option url was not set."))?;
        let skip = known.get("VAULT_SKIP_VERIFY").and_then(Value::to_bool).unwrap_or(false);
        let mut options = Map::new();
        options.insert("validate_certs".to_owned(), self.validate_certs.unwrap_or(!skip).into());
        options.insert("timeout".to_owned(), self.timeout.into());
        let files = [
            ("ca_path", look(self.ca_cert.as_ref().map(|path| &path.0), "VAULT_CACERT")),
            ("client_cert", self.cert_auth_public_key.as_ref().map(|path| path.0.clone())),
            ("client_key", self.cert_auth_private_key.as_ref().map(|path| path.0.clone())),
        ];
        options.extend(files.into_iter().filter_map(|(name, path)| Some((name.to_owned(), path?.into()))));
        let mut headers = Map::from_iter([("X-Vault-Request".to_owned(), "true".into())]);
        headers.extend(look(self.namespace.as_ref(), "VAULT_NAMESPACE").map(|name| ("X-Vault-Namespace".to_owned(), name.into())));
        Ok(Service { base: format!("{}/v1/", url.trim_end_matches('/')), options, headers })
    }

    async fn by_token(&self, call: &ActionCall<'_>, service: &mut Service, known: &Map, validate: bool) -> Result<Map, Trouble> {
        let named = self.token.clone().or_else(|| known.get("VAULT_TOKEN").map(Value::to_text)).filter(|token| !token.is_empty());
        let token = match named {
            Some(token) => token,
            None => self.kept_token(call, known).await.ok_or_else(|| Failure::new("No Vault Token specified or discovered."))?,
        };
        call.item.task.shared.events.hide(&token);
        let mut auth = Map::from_iter([("client_token".to_owned(), token.as_str().into())]);
        if !self.token_validate.unwrap_or(validate) {
            return Ok(Map::from_iter([("auth".to_owned(), auth.into())]));
        }
        service.headers.insert("X-Vault-Token".to_owned(), token.into());
        let reply = service.ask(call, "GET", "auth/token/lookup-self", None).await?;
        if !reply.good() {
            return Err(Failure::new("Invalid Vault Token Specified.").into());
        }
        let data = reply.json.get("data").cloned().unwrap_or_default();
        auth.extend(data.as_map().cloned().unwrap_or_default());
        Ok(Map::from_iter([("auth".to_owned(), auth.into()), ("data".to_owned(), data)]))
    }

    /// What is in the token's file.
    async fn kept_token(&self, call: &ActionCall<'_>, known: &Map) -> Option<String> {
        use base64::Engine as _;
        let folder = self.token_path.as_ref().map(|path| path.0.clone()).or_else(|| known.get("HOME").map(Value::to_text))?;
        let path = format!("{folder}/{}", self.token_file);
        let read = call.query("slurp", Map::from_iter([("src".to_owned(), path.into())])).await.ok()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(read.data.get("content")?.to_text()).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|token| !token.is_empty())
    }

    async fn by_login(&self, call: &ActionCall<'_>, service: &Service) -> Result<Map, Trouble> {
        let (path, body) = self.login()?;
        body.values().for_each(|value| call.item.task.shared.events.hide(&value.to_text()));
        let reply = service.ask(call, "POST", &path, Some(body)).await?;
        match reply.json.as_map().filter(|_| reply.good()) {
            Some(login) => Ok(login.clone()),
            None => Err(reply.refusal(&format!("post {}{path}", service.base)).into()),
        }
    }

    /// Where to log in, and with what.
    fn login(&self) -> Result<(String, Map), Failure> {
        let name = self.auth_method.word();
        let needed: &[(&str, &Option<String>)] = match self.auth_method {
            Method::Userpass | Method::Ldap => &[("username", &self.username), ("password", &self.password)],
            Method::Approle => &[("role_id", &self.role_id)],
            Method::Jwt => &[("role_id", &self.role_id), ("jwt", &self.jwt)],
            _ => &[],
        };
        let missing: Vec<&str> = needed.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        if !missing.is_empty() {
            let (wanted, missing) = (needed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Value::from(missing).repr());
            return Err(Failure::new(format!(
                "Authentication method {name} requires options {} to be set, but these are missing: {missing}",
                Value::from(wanted).repr()
            )));
        }
        let mount = self.mount_point.as_deref().unwrap_or(name).trim_matches('/');
        let (path, fields) = match self.auth_method {
            Method::Userpass | Method::Ldap => (
                format!("auth/{mount}/login/{}", escaped(self.username.as_deref().unwrap_or_default())),
                vec![("password", &self.password)],
            ),
            Method::Jwt => (format!("auth/{mount}/login"), vec![("role", &self.role_id), ("jwt", &self.jwt)]),
            Method::Cert => (format!("auth/{mount}/login"), vec![("name", &self.role_id)]),
            _ => (format!("auth/{mount}/login"), vec![("role_id", &self.role_id), ("secret_id", &self.secret_id)]),
        };
        Ok((path, fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.as_deref()?.into()))).collect()))
    }
}

/// The fields of an answer, if it says yes.
pub(super) fn fields(reply: &Reply) -> Option<&Map> {
    reply.json.as_map().filter(|_| reply.good())
}

/// Hides every text in `value`.
pub(super) fn hide(call: &ActionCall<'_>, value: &Value) {
    match value {
        Value::Str(text) => call.item.task.shared.events.hide(text),
        Value::List(items) => items.iter().for_each(|item| hide(call, item)),
        Value::Map(map) => map.values().for_each(|value| hide(call, value)),
        _ => {}
    }
}
