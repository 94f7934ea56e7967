//! Logging in: keys, ssh-agent, certificates, password and keyboard-interactive, in OpenSSH's order.

use std::path::Path;
use std::sync::Arc;

use russh::MethodSet;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};

use super::client::Guard;
use super::keys::{self, Keys};
use super::settings::Settings;
use super::{ConnectError, Secret};

/// One login.
pub(super) struct Login<'a> {
    pub(super) handle: &'a mut Handle<Guard>,
    pub(super) settings: &'a Settings,
    pub(super) keys: &'a Keys,
    /// `None` also when the host key is not to be trusted with it.
    pub(super) password: Option<&'a Secret>,
    /// What must be asked for it; `None` for anything.
    pub(super) prompt: Option<&'a str>,
    /// `host:port`, for messages.
    pub(super) address: &'a str,
    pub(super) tried: Vec<String>,
    pub(super) allowed: Option<MethodSet>,
}

/// How one attempt went on.
enum Attempt {
    In,
    /// Accepted, but the server wants more.
    Further,
    Refused,
}

impl Login<'_> {
    /// Logs in.
    ///
    /// # Errors
    /// The server refused all we have: with what was tried, and what it allows.
    pub(super) async fn run(mut self) -> Result<(), ConnectError> {
        let methods = self.settings.methods.clone();
        // As many rounds as methods: each partial success (`AuthenticationMethods publickey,password`) starts another.
        for _ in 0..=methods.len() {
            let mut further = false;
            for method in &methods {
                if !self.is_allowed(method) {
                    continue;
                }
                let attempt = match method.as_str() {
                    "publickey" => self.public_keys().await?,
                    "password" => self.password().await?,
                    _ => self.keyboard().await?,
                };
                match attempt {
                    Attempt::In => return Ok(()),
                    Attempt::Refused => {}
                    Attempt::Further => {
                        further = true;
                        break;
                    }
                }
            }
            if !further {
                break;
            }
        }
        Err(self.denied().await)
    }

    fn is_allowed(&self, method: &str) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|kind| <&str>::from(kind) == method))
    }

    async fn denied(mut self) -> ConnectError {
        if self.allowed.is_none()
            && let Ok(result) = self.handle.authenticate_none(&self.settings.user).await
        {
            self.note(&result);
        }
        let names = self.allowed.as_ref().map(|allowed| allowed.iter().map(<&str>::from).collect::<Vec<_>>().join(","));
        let tried =
            if self.tried.is_empty() { "nothing: no key, ssh-agent or password is at hand".to_owned() } else { self.tried.join(", ") };
        let allowed = names.filter(|names| !names.is_empty()).unwrap_or_else(|| "the server does not say what it allows".to_owned());
        ConnectError::Auth { user: self.settings.user.clone(), address: self.address.to_owned(), allowed, tried }
    }

    fn note(&mut self, result: &AuthResult) -> Attempt {
        match result {
            AuthResult::Success => Attempt::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                // A closed connection counts as a failure that allows nothing.
                if !remaining_methods.is_empty() {
                    self.allowed = Some(remaining_methods.clone());
                }
                if *partial_success { Attempt::Further } else { Attempt::Refused }
            }
        }
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> ConnectError {
        ConnectError::Handshake { address: self.address.to_owned(), reason: format!("while logging in: {error}") }
    }

    /// Keys: the named ones first, each from the ssh-agent if that has it; then the agent's others; then the default files.
    async fn public_keys(&mut self) -> Result<Attempt, ConnectError> {
        let held = match &self.settings.agent {
            None => Arc::default(),
            Some(socket) => match self.keys.identities(socket).await {
                Ok(held) => held,
                Err(reason) => {
                    self.tried.push(reason);
                    Arc::default()
                }
            },
        };
        let mut offered = Vec::new();
        for path in self.settings.identities.clone() {
            let attempt = self.named(&path, &held, &mut offered, true).await?;
            if !matches!(attempt, Attempt::Refused) {
                return Ok(attempt);
            }
        }
        if !self.settings.identities_only {
            for identity in held.iter() {
                if offered.contains(&public_of(identity)) && matches!(identity, AgentIdentity::PublicKey { .. }) {
                    continue;
                }
                let attempt = self.agent_key(identity).await?;
                if !matches!(attempt, Attempt::Refused) {
                    return Ok(attempt);
                }
            }
        }
        for path in self.settings.default_identities.clone() {
            let attempt = self.named(&path, &held, &mut offered, false).await?;
            if !matches!(attempt, Attempt::Refused) {
                return Ok(attempt);
            }
        }
        Ok(Attempt::Refused)
    }

    /// Offers the key of the file `path`, its certificates first.
    async fn named(
        &mut self,
        path: &Path,
        held: &[AgentIdentity],
        offered: &mut Vec<PublicKey>,
        asked_for: bool,
    ) -> Result<Attempt, ConnectError> {
        if !asked_for && !path.exists() {
            return Ok(Attempt::Refused);
        }
        let public = keys::public(path).map(|key| PublicKey::new(key.key_data().clone(), ""));
        let in_agent = held.iter().find(|identity| {
            matches!(identity, AgentIdentity::PublicKey { .. }) && public.as_ref().is_some_and(|key| *key == public_of(identity))
        });
        if let Some(identity) = in_agent {
            offered.extend(public.clone());
            return self.agent_key(identity).await;
        }
        if public.as_ref().is_some_and(|key| offered.contains(key)) {
            return Ok(Attempt::Refused);
        }
        let key = match self.keys.private(path).await {
            Ok(key) => key,
            Err(reason) => {
                self.tried.push(format!("key {} ({reason})", path.display()));
                return Ok(Attempt::Refused);
            }
        };
        offered.push(PublicKey::new(key.public_key().key_data().clone(), ""));
        for certificate in keys::certificates(path, key.public_key(), &self.settings.certificates) {
            let attempt = self.certificate(path, Arc::clone(&key), certificate).await?;
            if !matches!(attempt, Attempt::Refused) {
                return Ok(attempt);
            }
        }
        self.key(path, key).await
    }

    async fn key(&mut self, path: &Path, key: Arc<PrivateKey>) -> Result<Attempt, ConnectError> {
        self.ready()?;
        let hash = self.hash(key.public_key()).await;
        self.tried.push(format!("key {}", path.display()));
        let offer = PrivateKeyWithHashAlg::new(key, hash);
        let result = self.handle.authenticate_publickey(&self.settings.user, offer).await;
        let result = result.map_err(|error| self.broken(&error))?;
        Ok(self.note(&result))
    }

    async fn certificate(&mut self, path: &Path, key: Arc<PrivateKey>, certificate: Certificate) -> Result<Attempt, ConnectError> {
        self.ready()?;
        self.tried.push(format!("certificate of {}", path.display()));
        let result = self.handle.authenticate_openssh_cert(&self.settings.user, key, certificate).await;
        let result = result.map_err(|error| self.broken(&error))?;
        Ok(self.note(&result))
    }

    async fn agent_key(&mut self, identity: &AgentIdentity) -> Result<Attempt, ConnectError> {
        self.ready()?;
        let Some(socket) = self.settings.agent.clone() else { return Ok(Attempt::Refused) };
        let mut agent = match keys::connect_agent(&socket).await {
            Ok(agent) => agent,
            Err(reason) => {
                self.tried.push(reason);
                return Ok(Attempt::Refused);
            }
        };
        let user = &self.settings.user;
        let hash = self.hash(&public_of(identity)).await;
        let (name, result) = match identity {
            AgentIdentity::PublicKey { key, comment } => {
                (format!("ssh-agent key {comment}"), self.handle.authenticate_publickey_with(user, key.clone(), hash, &mut agent).await)
            }
            AgentIdentity::Certificate { certificate, comment } => {
                let result = self.handle.authenticate_certificate_with(user, certificate.clone(), hash, &mut agent).await;
                (format!("ssh-agent certificate {comment}"), result)
            }
        };
        match result {
            Ok(result) => {
                self.tried.push(name);
                Ok(self.note(&result))
            }
            // An agent that will not sign (a locked one, a touch that did not come) has one key less.
            Err(error) => {
                self.tried.push(format!("{name} ({error})"));
                Ok(Attempt::Refused)
            }
        }
    }

    /// The hash to sign with: only RSA has a choice, and SHA-1 is not one.
    async fn hash(&self, key: &PublicKey) -> Option<HashAlg> {
        if !key.algorithm().is_rsa() {
            return None;
        }
        let supported = self.handle.best_supported_rsa_hash().await.ok().flatten();
        supported.flatten().or(Some(HashAlg::Sha512))
    }

    /// A server that has had enough attempts closes the connection.
    fn ready(&self) -> Result<(), ConnectError> {
        if !self.handle.is_closed() {
            return Ok(());
        }
        let tried = format!(
            "{}; then the server closed the connection (its `MaxAuthTries`: name one key, with `IdentitiesOnly yes`)",
            self.tried.join(", ")
        );
        let allowed = "too many authentication failures".to_owned();
        Err(ConnectError::Auth { user: self.settings.user.clone(), address: self.address.to_owned(), allowed, tried })
    }

    async fn password(&mut self) -> Result<Attempt, ConnectError> {
        let Some(password) = self.password else { return Ok(Attempt::Refused) };
        self.ready()?;
        self.tried.push("password".to_owned());
        // The question as OpenSSH's client puts it: this method has none of its own.
        self.asked(&format!("{}@{}'s password: ", self.settings.user, self.settings.host)).await;
        let result = self.handle.authenticate_password(&self.settings.user, password.expose()).await;
        let result = result.map_err(|error| self.broken(&error))?;
        Ok(self.note(&result))
    }

    /// Returns once `question` is the one that the password answers. Another is waited for in vain, as sshpass waits, until the
    /// time for logging in is over.
    async fn asked(&self, question: &str) {
        if self.prompt.is_some_and(|prompt| !question.contains(prompt)) {
            std::future::pending::<()>().await;
        }
    }

    /// Answers every hidden question with the password.
    async fn keyboard(&mut self) -> Result<Attempt, ConnectError> {
        let Some(password) = self.password else { return Ok(Attempt::Refused) };
        self.ready()?;
        self.tried.push("keyboard-interactive".to_owned());
        let mut reply = self.handle.authenticate_keyboard_interactive_start(&self.settings.user, None::<String>).await;
        let mut asked = 0;
        loop {
            match reply.map_err(|error| self.broken(&error))? {
                KeyboardInteractiveAuthResponse::Success => return Ok(Attempt::In),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    return Ok(self.note(&AuthResult::Failure { remaining_methods, partial_success }));
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                    asked += u32::from(!prompts.is_empty());
                    if asked > self.settings.password_prompts {
                        return Ok(Attempt::Refused);
                    }
                    for prompt in prompts.iter().filter(|prompt| !prompt.echo) {
                        self.asked(&prompt.prompt).await;
                    }
                    let answer = |echo: bool| if echo { String::new() } else { password.expose().to_owned() };
                    let answers = prompts.iter().map(|prompt| answer(prompt.echo)).collect();
                    reply = self.handle.authenticate_keyboard_interactive_respond(answers).await;
                }
            }
        }
    }
}

fn public_of(identity: &AgentIdentity) -> PublicKey {
    match identity {
        AgentIdentity::PublicKey { key, .. } => PublicKey::new(key.key_data().clone(), ""),
        AgentIdentity::Certificate { certificate, .. } => PublicKey::new(certificate.public_key().clone(), ""),
    }
}
