//! Looks at a container of the Docker Engine.
//!
//! ```yaml
//! - docker_container_info: {name: web}
//!   register: web
//! - debug: {msg: "{{ web.container.State.Status if web.exists else 'gone' }}"}
//! ```

use super::docker::{Engine, encode};
use super::prelude::*;

params! {
    pub struct DockerContainerInfo {
        /// Its name or id.
        name: String,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
        /// How long it may be silent, in seconds.
        timeout: i64 = 60,
    }
}

impl Module for DockerContainerInfo {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let engine = Engine::new(self.docker_host.as_deref(), self.timeout, machine)?;
        let found = engine.get(&format!("/containers/{}/json", encode(&self.name)))?;
        Ok(machine.outcome().with("exists", found.is_some()).with("container", found))
    }
}
