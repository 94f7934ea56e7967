//! Fetches an image for the Docker Engine.
//!
//! ```yaml
//! - docker_image_pull: {name: "reg.example.com/shop/web", tag: "7", pull: not_present}
//! ```

use super::docker::{Back, Engine, Name, at, encode};
use super::prelude::*;

choice! {
    /// When it is fetched.
    pub enum Pull { Always = "always", NotPresent = "not_present" }
}

params! {
    pub struct DockerImagePull {
        /// Its name, with or without its tag.
        name: String,
        /// Its tag, when the name has none.
        tag: String = "latest",
        /// When it is fetched.
        pull: Pull = Pull::Always,
        /// For which kind of machine.
        platform: Option<String>,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
        /// How long it may be silent, in seconds.
        timeout: i64 = 60,
    }
}

impl Module for DockerImagePull {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let engine = Engine::new(self.docker_host.as_deref(), self.timeout, machine)?;
        let name = Name::parse(&self.name, &self.tag);
        let shown = name.to_string();
        let old = engine.image(&shown)?;
        let actions = vec![format!("Pulled image {shown}")];
        if self.pull == Pull::NotPresent && old.is_some() {
            return Ok(machine.outcome().with("actions", Vec::<String>::new()).with("image", old));
        }
        if machine.checking() {
            // Whether the registry has a newer one is known only by fetching it.
            machine.mark_changed();
            return Ok(machine.outcome().with("actions", actions).with("image", old.unwrap_or_else(|| Map::new().into())));
        }
        let path = format!("/images/{}", encode(&shown));
        let back = match &old {
            None => Back("DELETE", path, None),
            Some(old) => {
                let id = at(old, &["Id"]).to_text();
                Back("POST", format!("/images/{}/tag?repo={}&tag={}", encode(&id), encode(&name.repository), encode(&name.tag)), None)
            }
        };
        machine.announce(engine.undo(&format!("fetch the image {shown}"), &[back]))?;
        engine.pull(&name, self.platform.as_deref(), machine)?;
        let now = engine.image(&shown)?.ok_or_else(|| Failure::new(format!("the engine does not have {shown} afterwards")))?;
        if old.is_none_or(|old| at(&old, &["Id"]) != at(&now, &["Id"])) {
            machine.mark_changed();
        }
        Ok(machine.outcome().with("actions", actions).with("image", now))
    }
}
