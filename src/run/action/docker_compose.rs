//! Starts the containers of a Compose project, in the words of the module that came before `docker_compose_v2`.
//!
//! ```yaml
//! - community.docker.docker_compose: {project_src: /srv/shop, pull: true, remove_orphans: true}
//! ```
//!
//! `docker compose` of the host does the work, as with [`docker_compose_v2`](docker_compose_v2.md): the old program and its library
//! for Python are not needed.

use super::prelude::*;
use crate::choice;

pub(super) const REVERSIBLE: Reversible = Reversible::BestEffort;

choice! {
    /// Whether it is wanted.
    pub(super) enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// When containers are replaced.
    pub(super) enum Recreate { Smart = "smart", Always = "always", Never = "never" }
}
choice! {
    /// Which images are removed.
    pub(super) enum Images { All = "all", Local = "local" }
}

params! {
    pub struct DockerCompose {
        /// The directory of the project.
        project_src: Option<PathText>,
        /// Its name.
        project_name: Option<String>,
        /// Its files, in that directory.
        files: Vec<String> = Vec::<String>::new(),
        /// The project itself, instead of a directory.
        definition: Option<Map>,
        /// A file with its environment.
        env_file: Option<PathText>,
        /// Profiles to use.
        profiles: Vec<String> = Vec::<String>::new(),
        /// Only these services.
        services: Vec<String> = Vec::<String>::new(),
        /// Whether it is wanted.
        state: State = State::Present,
        /// Leave its containers stopped.
        stopped: bool = false,
        /// Restart its containers.
        restarted: bool = false,
        /// Fetch its images again.
        pull: bool = false,
        /// Build its images again.
        build: bool = false,
        /// When containers are replaced.
        recreate: Recreate = Recreate::Smart,
        /// Start what a service depends on, too.
        dependencies: bool = true,
        /// How many containers a service has.
        scale: Option<Map>,
        /// Remove containers of services that are not in the project any more.
        remove_orphans: bool = false,
        /// Remove images with `absent`.
        remove_images: Option<Images>,
        /// Remove volumes with `absent`.
        remove_volumes: bool = false,
        /// How long containers have to stop, in seconds.
        timeout: i64 = 10,
        /// Has no meaning: certificates are the program's own matter.
        hostname_check: bool = false,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
    }
    rules = [Rule::OneOf(&["project_src", "definition"]), Rule::Exclusive(&["project_src", "definition"])];
}

impl DockerCompose {
    /// The same in the words of `docker_compose_v2`.
    fn translated(&self, state: &str) -> Map {
        let mut map = Map::new();
        let mut set = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
        let texts = [
            ("project_src", self.project_src.as_ref().map(|path| path.0.as_str())),
            ("project_name", self.project_name.as_deref()),
            ("remove_images", self.remove_images.map(Images::word)),
            ("docker_host", self.docker_host.as_deref()),
            ("pull", self.pull.then_some("always")),
            ("build", self.build.then_some("always")),
            ("recreate", Some(self.recreate.word()).filter(|word| *word != "smart")),
            ("state", Some(state)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                set(name, text.into());
            }
        }
        for (name, items) in [("files", &self.files), ("profiles", &self.profiles), ("services", &self.services)] {
            set(name, items.clone().into());
        }
        set("env_files", self.env_file.iter().map(|path| path.0.as_str()).collect::<Vec<_>>().into());
        for (name, flag) in
            [("dependencies", self.dependencies), ("remove_orphans", self.remove_orphans), ("remove_volumes", self.remove_volumes)]
        {
            set(name, flag.into());
        }
        set("timeout", self.timeout.into());
        for (name, given) in [("definition", &self.definition), ("scale", &self.scale)] {
            if let Some(given) = given {
                set(name, given.clone().into());
            }
        }
        map
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: DockerCompose = call.decode()?;
    let state = match params.state {
        State::Absent => "absent",
        State::Present if params.stopped => "stopped",
        State::Present => "present",
    };
    let mut outcome = call.module("docker_compose_v2", params.translated(state)).await?;
    if params.restarted && state == "present" {
        let again = call.module("docker_compose_v2", params.translated("restarted")).await?;
        outcome = Outcome { changed: outcome.changed || again.changed, ..again };
    }
    let services = services(outcome.data.get("containers").and_then(Value::as_list).unwrap_or_default());
    Ok(outcome.with("services", services).into())
}

/// Containers by their service and name.
fn services(containers: &[Value]) -> Map {
    let mut services = Map::new();
    for container in containers {
        let text = |name: &str| container.get(name).map(Value::to_text).unwrap_or_default();
        let runs = text("State") == "running";
        let state = Map::from_iter([("running".to_owned(), runs.into()), ("status".to_owned(), text("State").into())]);
        let about = [("image", text("Image").into()), ("cmd", text("Command").into()), ("state", state.into())];
        let about: Map = about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if let Value::Map(service) = services.entry(text("Service")).or_insert_with(|| Map::new().into()) {
            service.insert(text("Name"), about.into());
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared as _;

    #[test]
    fn old_words_become_new_ones() {
        let given = r#"{"project_src": "/s", "pull": true, "recreate": "smart", "env_file": "e", "remove_images": "all"}"#;
        let map = DockerCompose::decode(&serde_json::from_str(given).unwrap()).unwrap().translated("present");
        let text = |name: &str| map.get(name).map(Value::to_text);
        assert_eq!((text("pull"), text("recreate"), text("remove_images")), (Some("always".to_owned()), None, Some("all".to_owned())));
        assert_eq!(map["env_files"], vec!["e"].into());
        let params = crate::module::find("docker_compose_v2").unwrap().spec;
        assert!(map.keys().all(|name| params.find(name).is_some()), "{map:?}");
    }

    #[test]
    fn containers_are_told_by_service() {
        let listed: Value =
            serde_json::from_str(r#"[{"Service": "web", "Name": "shop-web-1", "State": "running", "Image": "web:1"}]"#).unwrap();
        let services = services(listed.as_list().unwrap());
        let running = services["web"].get("shop-web-1").and_then(|container| container.get("state")).and_then(|state| state.get("running"));
        assert_eq!(running, Some(&true.into()));
    }
}
