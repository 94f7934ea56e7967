//! Makes or removes volumes of the Docker Engine.
//!
//! ```yaml
//! - docker_volume: {name: shop-data, labels: {backup: "yes"}}
//! ```
//!
//! The content of a volume that was removed does not come back.

use super::docker::{Back, Engine, at, encode, object};
use super::docker_network::texts;
use super::prelude::*;

choice! {
    /// Whether the volume shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// When a volume is made anew.
    pub enum Recreate { Always = "always", Never = "never", OptionsChanged = "options-changed" }
}

params! {
    pub struct DockerVolume {
        /// Its name.
        volume_name | name: String,
        /// Whether it shall be there.
        state: State = State::Present,
        /// Its driver.
        driver: String = "local",
        /// Options of the driver.
        driver_options: Option<Map>,
        /// Labels.
        labels: Option<Map>,
        /// When a volume that is there is removed, with what is in it, and made anew.
        recreate: Recreate = Recreate::Never,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
        /// How long it may be silent, in seconds.
        timeout: i64 = 60,
    }
}

impl Module for DockerVolume {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let engine = Engine::new(self.docker_host.as_deref(), self.timeout, machine)?;
        let path = format!("/volumes/{}", encode(&self.volume_name));
        let mut found = engine.get(&path)?;
        let mut actions = Vec::new();
        let differs = found.as_ref().is_some_and(|found| self.differs(found));
        let anew = self.recreate == Recreate::Always || self.recreate == Recreate::OptionsChanged && differs;
        if found.is_some() && (self.state == State::Absent || anew) {
            engine.act(machine, ("DELETE", &path, None), (&format!("remove the volume {} with what is in it", self.volume_name), &[]))?;
            actions.push(format!("Removed volume {}", self.volume_name));
            found = None;
        }
        if self.state == State::Absent {
            return Ok(machine.outcome().with("actions", actions));
        }
        if found.is_none() {
            let empty = Map::new();
            let body = object([
                ("Name", self.volume_name.as_str().into()),
                ("Driver", self.driver.as_str().into()),
                ("DriverOpts", texts(self.driver_options.as_ref().unwrap_or(&empty))),
                ("Labels", texts(self.labels.as_ref().unwrap_or(&empty))),
            ]);
            let undo = Back("DELETE", path.clone(), None);
            engine.act(machine, ("POST", "/volumes/create", Some(&body)), (&format!("make the volume {}", self.volume_name), &[undo]))?;
            actions.push(format!("Created volume {} with driver {}", self.volume_name, self.driver));
        }
        let volume = engine.get(&path)?.unwrap_or_default();
        let outcome = machine.outcome().with("volume", volume);
        Ok(if actions.is_empty() { outcome } else { outcome.with("actions", actions) })
    }
}

impl DockerVolume {
    fn differs(&self, found: &Value) -> bool {
        let has = |name: &str, wanted: &Option<Map>| {
            let Some(Value::Map(wanted)) = wanted.as_ref().map(texts) else { return true };
            wanted.iter().all(|(key, value)| at(found, &[name, key]) == value)
        };
        at(found, &["Driver"]).as_str() != Some(&self.driver) || !has("Options", &self.driver_options) || !has("Labels", &self.labels)
    }
}
