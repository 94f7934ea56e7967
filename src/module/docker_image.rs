//! Fetches, builds, loads, names, sends or removes images of the Docker Engine.
//!
//! ```yaml
//! - docker_image: {name: "reg.example.com/shop/web", tag: "7", source: pull}
//! ```
//!
//! Builds use the `docker` program of the host, which knows what belongs to a build; everything else is asked of the Engine.

use std::path::Path;
use std::time::Duration;

use super::docker::{Back, Engine, Name, at, encode};
use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// Whether the image shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}
choice! {
    /// Where it comes from.
    pub enum Source { Build = "build", Load = "load", Pull = "pull", Local = "local" }
}

params! {
    pub struct DockerImage {
        /// Its name, with or without its tag.
        name: String,
        /// Its tag, when the name has none.
        tag: String = "latest",
        /// Whether it shall be there.
        state: State = State::Present,
        /// Where it comes from.
        source: Option<Source>,
        /// How it is built: `path`, `dockerfile`, `args`, `target`, `nocache`, `pull`, `network`, `labels`, `platform`.
        build: Option<Map>,
        /// How it is fetched: `platform`.
        pull: Option<Map>,
        /// The file that it is loaded from.
        load_path: Option<PathText>,
        /// A file that it is written to.
        archive_path: Option<PathText>,
        /// Another name for it: a repository with or without a tag.
        repository: Option<String>,
        /// Send it to its registry.
        push: bool = false,
        /// Fetch, build or load it even if it is there.
        force_source: bool = false,
        /// Remove it even if it has other names.
        force_absent: bool = false,
        /// Give `repository` to it even if another has it.
        force_tag: bool = false,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
        /// How long it may be silent, in seconds.
        timeout: i64 = 60,
    }
    rules = [Rule::When("source", "build", &["build"]), Rule::When("source", "load", &["load_path"])];
}

impl Module for DockerImage {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let engine = Engine::new(self.docker_host.as_deref(), self.timeout, machine)?;
        let name = Name::parse(&self.name, &self.tag);
        let shown = name.to_string();
        let found = engine.image(&shown)?;
        let mut actions: Vec<String> = Vec::new();
        if self.state == State::Absent {
            if let Some(found) = &found {
                let path = format!("/images/{}?force={}", encode(&shown), u8::from(self.force_absent));
                let id = at(found, &["Id"]).to_text();
                let others = at(found, &["RepoTags"]).as_list().is_some_and(|names| names.len() > 1);
                let back = Back("POST", format!("/images/{}/tag?repo={}&tag={}", encode(&id), encode(&name.repository), encode(&name.tag)), None);
                let undo = if others { vec![back] } else { Vec::new() };
                engine.act(machine, ("DELETE", &path, None), (&format!("remove the image {shown}"), &undo))?;
                actions.push(format!("Removed image {shown}"));
                let gone = Value::Map(Map::from_iter([("state".to_owned(), "Deleted".into())]));
                return Ok(machine.outcome().with("actions", actions).with("image", gone));
            }
            return Ok(machine.outcome().with("actions", actions).with("image", Map::new()));
        }
        let source = self.source.or(self.build.is_some().then_some(Source::Build));
        let source = source.ok_or_else(|| Failure::new("state is present but all of the following are missing: source"))?;
        if found.is_none() || self.force_source {
            self.bring(source, &engine, &name, found.as_ref(), &mut actions, machine)?;
        }
        let mut image = engine.image(&shown)?;
        if let Some(path) = &self.archive_path {
            self.archive(&engine, &shown, image.as_ref(), &machine.path(&path.0), &mut actions, machine)?;
        }
        if let Some(repository) = &self.repository {
            let target = Name::parse(repository, &name.tag);
            let other = engine.image(&target.to_string())?;
            let same = other.as_ref().is_some_and(|other| at(other, &["Id"]) == at(image.as_ref().unwrap_or(&Value::Null), &["Id"]));
            if !same && (other.is_none() || self.force_tag) {
                let path = format!("/images/{}/tag?repo={}&tag={}", encode(&shown), encode(&target.repository), encode(&target.tag));
                let back = match &other {
                    None => Back("DELETE", format!("/images/{}?noprune=1", encode(&target.to_string())), None),
                    Some(other) => {
                        let id = at(other, &["Id"]).to_text();
                        Back("POST", format!("/images/{}/tag?repo={}&tag={}", encode(&id), encode(&target.repository), encode(&target.tag)), None)
                    }
                };
                engine.act(machine, ("POST", &path, None), (&format!("call {shown} {target}"), &[back]))?;
                actions.push(format!("Tagged image {shown} to {target}"));
            }
            if self.push {
                self.send(&engine, &target, &mut actions, machine)?;
            }
        } else if self.push {
            self.send(&engine, &name, &mut actions, machine)?;
        }
        if !machine.checking() {
            image = engine.image(&shown)?;
        }
        Ok(machine.outcome().with("actions", actions).with("image", image.unwrap_or_else(|| Map::new().into())))
    }
}

impl DockerImage {
    fn bring(&self, source: Source, engine: &Engine, name: &Name, old: Option<&Value>, actions: &mut Vec<String>, machine: &mut Machine) -> Result<(), Failure> {
        actions.push(match source {
            Source::Pull => format!("Pulled image {name}"),
            Source::Build => format!("Built image {name} from {}", self.building("path").unwrap_or_default()),
            Source::Load => format!("Loaded image {name} from {}", self.load_path.as_ref().map_or("", |path| path.0.as_str())),
            Source::Local => return if old.is_some() { Ok(()) } else { Err(Failure::new(format!("Cannot find the image {name} locally."))) },
        });
        if machine.checking() {
            machine.mark_changed();
            return Ok(());
        }
        if old.is_none() {
            machine.announce(engine.undo(&format!("bring the image {name}"), &[Back("DELETE", format!("/images/{}", encode(&name.to_string())), None)]))?;
        } else {
            machine.cannot_undo(format!("bring the image {name} again"))?;
        }
        match source {
            Source::Pull => {
                let platform = self.pull.as_ref().and_then(|pull| pull.get("platform")).map(Value::to_text);
                engine.pull(name, platform.as_deref(), machine)?;
            }
            Source::Load => {
                let path = self.load_path.as_ref().map(|path| machine.path(&path.0)).unwrap_or_default();
                let bytes = machine.read(&path)?;
                let headers = [("Content-Type".to_owned(), "application/x-tar".to_owned())];
                let (status, answer) = engine.patient(Duration::from_secs(600)).ask("POST", "/images/load?quiet=1", &headers, &bytes)?;
                if status >= 400 {
                    return Err(Failure::new(format!("Error loading image {name} - {}", super::docker::message(&answer))));
                }
            }
            Source::Build => self.build(engine, name, machine)?,
            Source::Local => {}
        }
        let now = engine.image(&name.to_string())?.ok_or_else(|| Failure::new(format!("the engine does not have {name} afterwards")))?;
        if old.is_none_or(|old| at(old, &["Id"]) != at(&now, &["Id"])) {
            machine.mark_changed();
        }
        Ok(())
    }

    fn building(&self, key: &str) -> Option<String> {
        self.build.as_ref().and_then(|build| build.get(key)).filter(|value| !value.is_null()).map(Value::to_text)
    }

    fn build(&self, engine: &Engine, name: &Name, machine: &mut Machine) -> Result<(), Failure> {
        let path = self.building("path").ok_or_else(|| Failure::new("`build` needs `path`: the directory that is built"))?;
        let mut command = Command::new("docker").plain().args(["-H", engine.address().as_str(), "build", "-t", name.to_string().as_str()]);
        for (key, option) in [("dockerfile", "--file"), ("target", "--target"), ("network", "--network"), ("platform", "--platform")] {
            if let Some(value) = self.building(key) {
                let value = if key == "dockerfile" { Path::new(&path).join(value).display().to_string() } else { value };
                command = command.args([option, value.as_str()]);
            }
        }
        for (key, option) in [("nocache", "--no-cache"), ("pull", "--pull"), ("rm", "--rm")] {
            if self.build.as_ref().and_then(|build| build.get(key)).and_then(Value::to_bool) == Some(true) {
                command = command.arg(option);
            }
        }
        for (key, option) in [("args", "--build-arg"), ("labels", "--label")] {
            for (name, value) in self.build.as_ref().and_then(|build| build.get(key)).and_then(Value::as_map).into_iter().flatten() {
                command = command.args([option.to_owned(), format!("{name}={}", value.to_text())]);
            }
        }
        let ran = machine.attempt(&command.arg(&path), Undo::Nothing)?;
        if ran.succeeded() { Ok(()) } else { Err(Failure::new(format!("Error building {name} - {}", ran.stderr_text().trim()))) }
    }

    fn archive(&self, engine: &Engine, name: &str, image: Option<&Value>, path: &Path, actions: &mut Vec<String>, machine: &mut Machine) -> Result<(), Failure> {
        if machine.exists(path) && !self.force_source && image.is_some() {
            return Ok(());
        }
        actions.push(format!("Archived image {name} to {}, since none present", path.display()));
        if machine.checking() {
            machine.mark_changed();
            return Ok(());
        }
        let (status, bytes) = engine.patient(Duration::from_secs(600)).ask("GET", &format!("/images/{}/get", encode(name)), &[], &[])?;
        if status >= 400 {
            return Err(Failure::new(format!("Error archiving {name} - {}", super::docker::message(&bytes))));
        }
        machine.write(path, &bytes.into(), &Attributes::default()).map(drop)
    }

    fn send(&self, engine: &Engine, name: &Name, actions: &mut Vec<String>, machine: &mut Machine) -> Result<(), Failure> {
        actions.push(format!("Pushed image {name} to {}", name.repository));
        machine.mark_changed();
        if machine.checking() {
            return Ok(());
        }
        machine.cannot_undo(format!("send the image {name} to its registry"))?;
        engine.push(name, machine)
    }
}
