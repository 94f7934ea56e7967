//! Gives the host credentials for a registry of images, or takes them away.
//!
//! ```yaml
//! - docker_login: {registry_url: reg.example.com, username: deploy, password: "{{ registry_password }}"}
//! ```
//!
//! The Engine asks the registry whether they are right; then they are kept where Docker's command line keeps them.

use super::docker::{Engine, HUB, at, config, config_path, message, object};
use super::prelude::*;
use super::slurp::base64;

choice! {
    /// Whether the credentials shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct DockerLogin {
        /// The registry.
        registry_url | registry | url: String = HUB,
        /// The user.
        username: Option<String>,
        /// The password or token.
        password: Option<String>,
        /// Ask the registry even if it is known already.
        reauthorize | reauth: bool = false,
        /// Where they are kept.
        config_path | dockercfg_path: Option<PathText>,
        /// Whether they shall be there.
        state: State = State::Present,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
        /// How long it may be silent, in seconds.
        timeout: i64 = 60,
    }
    rules = [Rule::When("state", "present", &["username", "password"])];
}

impl Module for DockerLogin {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = config_path(self.config_path.as_ref().map(|path| path.0.as_str()), machine);
        let mut known = config(&path, machine)?;
        let old = at(&known, &["auths", &self.registry_url, "auth"]).clone();
        let mut result = Value::Null;
        let wanted = match (self.state, &self.username, &self.password) {
            (State::Present, Some(user), Some(password)) => Some(base64(format!("{user}:{password}").as_bytes())),
            (State::Present, ..) => return Err(Failure::new("state is present but all of the following are missing: username, password")),
            (State::Absent, ..) => None,
        };
        if wanted.is_some() && !machine.checking() {
            result = self.ask(machine)?;
        }
        if old.as_str() != wanted.as_deref() {
            let Value::Map(map) = &mut known else { return Err(Failure::new(format!("{} is not a mapping", path.display()))) };
            let auths = map.entry("auths".to_owned()).or_insert_with(|| object([]));
            if let Value::Map(auths) = auths {
                match &wanted {
                    Some(auth) => drop(auths.insert(self.registry_url.clone(), object([("auth", auth.as_str().into())]))),
                    None => drop(auths.shift_remove(&self.registry_url)),
                }
            }
            if let Some(folder) = path.parent() {
                machine.make_dir(folder, &Attributes { mode: Some("0700".to_owned()), ..Attributes::default() })?;
            }
            let text = serde_json::to_string_pretty(&known).map_err(|error| Failure::new(error.to_string()))?;
            machine.write_secret(&path, &(text + "\n").into(), &Attributes { mode: Some("0600".to_owned()), ..Attributes::default() })?;
        }
        Ok(machine.outcome().with("login_result", result))
    }
}

impl DockerLogin {
    /// What the registry says.
    fn ask(&self, machine: &Machine) -> Result<Value, Failure> {
        let engine = Engine::new(self.docker_host.as_deref(), self.timeout, machine)?;
        let body = object([
            ("username", self.username.clone().into()),
            ("password", self.password.clone().into()),
            ("serveraddress", self.registry_url.as_str().into()),
        ]);
        let bytes = serde_json::to_vec(&body).map_err(|error| Failure::new(error.to_string()))?;
        let (status, answer) = engine.ask("POST", "/auth", &[], &bytes)?;
        if status >= 400 {
            let user = self.username.as_deref().unwrap_or_default();
            return Err(Failure::new(format!("Logging into {} for user {user} failed - {}", self.registry_url, message(&answer))));
        }
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }
}
