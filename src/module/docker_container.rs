//! Runs containers of the Docker Engine as the playbook describes them.
//!
//! ```yaml
//! - docker_container:
//!     name: web
//!     image: shop/web:7
//!     ports: ["8080:80"]
//!     env: {MODE: production}
//!     restart_policy: unless-stopped
//! ```
//!
//! A container that differs in anything the playbook says is replaced. Undo makes the old one again, from its own description;
//! what it had written outside of volumes is gone.

mod params;
mod wanted;

use std::time::{Duration, Instant};

use super::docker::{Back, Engine, Name, at, encode, object};
use super::prelude::*;
use crate::wire::Diff;
pub(super) use params::DockerContainer;
use params::{Pull, State};
use wanted::{differences, endpoint};

impl Module for DockerContainer {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(mut self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let engine = Engine::new(self.docker_host.as_deref(), self.timeout, machine)?;
        let found = self.find(&engine)?;
        if self.state == State::Absent {
            if let Some(old) = &found {
                self.stop(&engine, old, machine)?;
                self.remove(&engine, old, machine)?;
                show(machine, &["exists: true".to_owned()], &["exists: false".to_owned()]);
            }
            return Ok(machine.outcome());
        }
        let image = self.image(&engine, found.as_ref(), machine)?;
        let changes = match &found {
            Some(found) => differences(&self, found, image.as_ref())?,
            None => Vec::new(),
        };
        let replace = found.is_some() && (self.recreate || !changes.is_empty());
        for (name, before, after) in &changes {
            show(machine, &[format!("{name}: {}", before.repr())], &[format!("{name}: {}", after.repr())]);
        }
        if let Some(old) = found.as_ref().filter(|_| replace) {
            self.image = self.image.take().or_else(|| at(old, &["Config", "Image"]).as_str().map(str::to_owned));
            self.stop(&engine, old, machine)?;
            self.remove(&engine, old, machine)?;
        }
        let fresh = found.is_none() || replace;
        if fresh {
            if found.is_none() {
                show(machine, &["exists: false".to_owned()], &["exists: true".to_owned()]);
            }
            self.create(&engine, machine)?;
        }
        let current = if fresh && machine.checking() { None } else { self.find(&engine)? };
        if let Some(current) = &current {
            self.connect(&engine, current, machine)?;
        }
        let running = current.as_ref().is_some_and(|current| at(current, &["State", "Running"]).to_bool() == Some(true));
        self.settle(&engine, current.as_ref(), running, fresh, machine)
    }
}

fn show(machine: &mut Machine, before: &[String], after: &[String]) {
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect();
    machine.add_diff(Diff { before: text(before), after: text(after), ..Diff::default() });
}

impl DockerContainer {
    fn path(&self, end: &str) -> String {
        format!("/containers/{}{end}", encode(&self.name))
    }

    fn find(&self, engine: &Engine) -> Result<Option<Value>, Failure> {
        engine.get(&self.path("/json"))
    }

    /// The image that is asked for, fetched when it is not there.
    fn image(&self, engine: &Engine, found: Option<&Value>, machine: &mut Machine) -> Result<Option<Value>, Failure> {
        let Some(image) = &self.image else {
            let needed = found.is_none();
            let msg = "Cannot create container when image is not specified!";
            return if needed { Err(Failure::new(msg)) } else { Ok(None) };
        };
        let pull = self.pull.unwrap_or(Pull::Missing);
        let there = engine.image(image)?;
        if there.is_some() && pull != Pull::Always {
            return Ok(there);
        }
        if pull == Pull::Never {
            return Err(Failure::new(format!("Cannot find image with name {image}, and pull=never")));
        }
        if machine.checking() {
            if there.is_none() {
                machine.mark_changed();
            }
            return Ok(there);
        }
        engine.pull(&Name::parse(image, "latest"), self.platform.as_deref(), machine)?;
        let now = engine.image(image)?;
        if at(now.as_ref().unwrap_or(&Value::Null), &["Id"]) != at(there.as_ref().unwrap_or(&Value::Null), &["Id"]) {
            machine.mark_changed();
        }
        Ok(now)
    }

    fn create(&self, engine: &Engine, machine: &mut Machine) -> Result<(), Failure> {
        let body = wanted::body(self)?;
        let mut path = format!("/containers/create?name={}", encode(&self.name));
        if let Some(platform) = &self.platform {
            path.push_str(&format!("&platform={}", encode(platform)));
        }
        let undo = Back("DELETE", self.path("?force=1"), None);
        let made = engine.act(machine, ("POST", &path, Some(&body)), (&format!("make the container {}", self.name), &[undo]))?;
        for warning in at(&made, &["Warnings"]).as_list().unwrap_or_default() {
            machine.warn(format!("Docker warning: {}", warning.to_text()));
        }
        Ok(())
    }

    fn stop(&self, engine: &Engine, old: &Value, machine: &mut Machine) -> Result<(), Failure> {
        if at(old, &["State", "Running"]).to_bool() != Some(true) {
            return Ok(());
        }
        let seconds = self.stop_timeout.unwrap_or(10);
        let path = match (&self.kill_signal, self.force_kill) {
            (Some(signal), true) => self.path(&format!("/kill?signal={}", encode(signal))),
            (None, true) => self.path("/kill"),
            (_, false) => self.path(&format!("/stop?t={seconds}")),
        };
        let undo = Back("POST", self.path("/start"), None);
        let patient = engine.patient(Duration::from_secs(seconds.max(0).unsigned_abs() + 60));
        patient.act(machine, ("POST", &path, None), (&format!("stop the container {}", self.name), &[undo])).map(drop)
    }

    fn remove(&self, engine: &Engine, old: &Value, machine: &mut Machine) -> Result<(), Failure> {
        let volumes = if self.keep_volumes { "" } else { "&v=1" };
        let mut again = at(old, &["Config"]).clone();
        if let Value::Map(again) = &mut again {
            again.insert("HostConfig".to_owned(), at(old, &["HostConfig"]).clone());
            let endpoints = at(old, &["NetworkSettings", "Networks"]).as_map().into_iter().flatten();
            // One network can be given when a container is made.
            let first = endpoints.take(1).map(|(name, network)| {
                let kept = object([("Aliases", at(network, &["Aliases"]).clone()), ("IPAMConfig", at(network, &["IPAMConfig"]).clone())]);
                (name.clone(), kept)
            });
            again.insert("NetworkingConfig".to_owned(), object([("EndpointsConfig", Value::Map(first.collect()))]));
        }
        let undo = Back("POST", format!("/containers/create?name={}", encode(&self.name)), Some(again));
        let path = self.path(&format!("?force=1{volumes}"));
        engine.act(machine, ("DELETE", &path, None), (&format!("remove the container {}", self.name), &[undo])).map(drop)
    }

    /// Connects the networks that are missing, or that have it under other names or addresses.
    fn connect(&self, engine: &Engine, current: &Value, machine: &mut Machine) -> Result<(), Failure> {
        let Some(networks) = &self.networks else { return Ok(()) };
        for network in networks {
            let name = at(network, &["name"]).to_text();
            let there = at(current, &["NetworkSettings", "Networks", &name]);
            let wanted = endpoint(network);
            if !there.is_null() && wanted::endpoint_matches(there, &wanted) {
                continue;
            }
            let path = format!("/networks/{}", encode(&name));
            let leave = object([("Container", self.name.as_str().into()), ("Force", true.into())]);
            if !there.is_null() {
                let undo = Back("POST", format!("{path}/connect"), Some(object([("Container", self.name.as_str().into())])));
                engine.act(machine, ("POST", &format!("{path}/disconnect"), Some(&leave)), (&format!("disconnect {} from {name}", self.name), &[undo]))?;
            }
            let join = object([("Container", self.name.as_str().into()), ("EndpointConfig", wanted)]);
            let undo = Back("POST", format!("{path}/disconnect"), Some(leave));
            engine.act(machine, ("POST", &format!("{path}/connect"), Some(&join)), (&format!("connect {} to {name}", self.name), &[undo]))?;
        }
        if !self.purge_networks {
            return Ok(());
        }
        let wanted: Vec<String> = networks.iter().map(|network| at(network, &["name"]).to_text()).collect();
        for (name, _) in at(current, &["NetworkSettings", "Networks"]).as_map().into_iter().flatten().filter(|(name, _)| !wanted.contains(name)) {
            let path = format!("/networks/{}", encode(name));
            let leave = object([("Container", self.name.as_str().into()), ("Force", true.into())]);
            let undo = Back("POST", format!("{path}/connect"), Some(object([("Container", self.name.as_str().into())])));
            engine.act(machine, ("POST", &format!("{path}/disconnect"), Some(&leave)), (&format!("disconnect {} from {name}", self.name), &[undo]))?;
        }
        Ok(())
    }

    /// Starts, stops or pauses it as asked, and tells how it is then.
    fn settle(&self, engine: &Engine, current: Option<&Value>, running: bool, fresh: bool, machine: &mut Machine) -> Result<Outcome, Failure> {
        let starts = matches!(self.state, State::Started | State::Healthy);
        if starts && !running {
            let undo = Back("POST", self.path("/stop"), None);
            engine.act(machine, ("POST", &self.path("/start"), None), (&format!("start the container {}", self.name), &[undo]))?;
            show(machine, &["running: false".to_owned()], &["running: true".to_owned()]);
            if !self.detach && !machine.checking() {
                return self.finish(engine, machine);
            }
        } else if starts && self.restart && !fresh {
            let path = self.path(&format!("/restart?t={}", self.stop_timeout.unwrap_or(10)));
            let undo = Back("POST", path.clone(), None);
            engine.act(machine, ("POST", &path, None), (&format!("restart the container {}", self.name), &[undo]))?;
        } else if self.state == State::Stopped
            && let Some(current) = current
        {
            self.stop(engine, current, machine)?;
        }
        let paused = current.is_some_and(|current| at(current, &["State", "Paused"]).to_bool() == Some(true));
        if let Some(wanted) = self.paused.filter(|wanted| starts && *wanted != paused) {
            let (word, back) = if wanted { ("/pause", "/unpause") } else { ("/unpause", "/pause") };
            let undo = Back("POST", self.path(back), None);
            engine.act(machine, ("POST", &self.path(word), None), (&format!("{} the container {}", word.trim_start_matches('/'), self.name), &[undo]))?;
        }
        if self.state == State::Healthy && !machine.checking() {
            self.wait_for_health(engine, machine)?;
        }
        let container = if machine.checking() { current.cloned() } else { self.find(engine)? };
        Ok(machine.outcome().with("container", container))
    }

    fn wait_for_health(&self, engine: &Engine, machine: &Machine) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            machine.go_on()?;
            let current = self.find(engine)?.unwrap_or_default();
            let health = at(&current, &["State", "Health", "Status"]).to_text();
            match health.as_str() {
                "healthy" | "None" => return Ok(()),
                "unhealthy" => return Err(Failure::new(format!("Container {} is unhealthy", self.name)).with("container", current)),
                _ => {}
            }
            if begun.elapsed().as_secs_f64() > self.healthy_wait_timeout {
                let msg = format!("Timeout of {} seconds exceeded while waiting for container to become healthy", self.healthy_wait_timeout);
                return Err(Failure::new(msg).with("container", current));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits for its end, and takes what it printed.
    fn finish(&self, engine: &Engine, machine: &mut Machine) -> Result<Outcome, Failure> {
        let patient = engine.patient(Duration::from_secs(86_400));
        let ended = patient.send("POST", &self.path("/wait"), None)?;
        let status = match at(&ended, &["StatusCode"]) {
            Value::Int(status) => *status,
            _ => -1,
        };
        let (_, log) = engine.ask("GET", &self.path("/logs?stdout=1&stderr=1"), &[], &[])?;
        let output = if self.tty == Some(true) { String::from_utf8_lossy(&log).into_owned() } else { unframed(&log) };
        let mut container = self.find(engine)?.unwrap_or_default();
        if let Value::Map(container) = &mut container {
            container.insert("Output".to_owned(), output.as_str().into());
        }
        if self.cleanup {
            engine.send("DELETE", &self.path("?force=1&v=1"), None)?;
        }
        if status != 0 {
            let failure = Failure::new(output).with("status", status).with("container", container);
            return Err(Failure { changed: true, ..failure });
        }
        Ok(machine.outcome().with("status", status).with("container", container))
    }
}

/// Both outputs of a container, out of the frames that tell them apart.
fn unframed(mut log: &[u8]) -> String {
    let mut out = Vec::new();
    while let (Some(head), Some(rest)) = (log.get(..8), log.get(8..)) {
        let length = head.iter().skip(4).fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)).min(rest.len());
        out.extend_from_slice(rest.get(..length).unwrap_or_default());
        log = rest.get(length..).unwrap_or_default();
    }
    String::from_utf8_lossy(&out).into_owned()
}
