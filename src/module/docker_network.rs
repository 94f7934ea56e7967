//! Makes networks of the Docker Engine, connects containers to them, or removes them.
//!
//! ```yaml
//! - docker_network: {name: shop, ipam_config: [{subnet: 172.30.0.0/24}], connected: [web, db]}
//! ```

use super::docker::{Back, Engine, at, encode, object};
use super::prelude::*;

choice! {
    /// Whether the network shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct DockerNetwork {
        /// Its name.
        name | network_name: String,
        /// Whether it shall be there.
        state: State = State::Present,
        /// The containers that shall be connected.
        connected | containers: Option<Vec<String>>,
        /// Leave other containers connected; nothing is disconnected when `connected` is not given.
        appends | incremental: bool = false,
        /// `bridge`, `overlay`, `macvlan` …
        driver: String = "bridge",
        /// Options of the driver.
        driver_options: Option<Map>,
        /// Remove it and make it anew even if it is right.
        force: bool = false,
        /// The driver of its addresses.
        ipam_driver: Option<String>,
        /// Its addresses: `subnet`, `iprange`, `gateway`, `aux_addresses`.
        ipam_config: Option<Value>,
        /// Options of the driver of addresses.
        ipam_driver_options: Option<Map>,
        /// Give addresses of version 6, too.
        enable_ipv6: Option<bool>,
        /// No way to the outside.
        internal: Option<bool>,
        /// Labels.
        labels: Option<Map>,
        /// `local`, `global` or `swarm`.
        scope: Option<String>,
        /// Containers of no service may be attached.
        attachable: Option<bool>,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
        /// How long it may be silent, in seconds.
        timeout: i64 = 60,
    }
}

impl Module for DockerNetwork {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let engine = Engine::new(self.docker_host.as_deref(), self.timeout, machine)?;
        let mut found = self.find(&engine)?;
        let mut actions: Vec<String> = Vec::new();
        let replace = found.as_ref().is_some_and(|found| self.force || !self.matches(found));
        if let Some(old) = found.as_ref().filter(|_| self.state == State::Absent || replace) {
            let names = connected(old);
            for name in &names {
                self.disconnect(&engine, name, machine)?;
                actions.push(format!("Disconnected container {name}"));
            }
            let back = Back("POST", "/networks/create".to_owned(), Some(description(old)));
            engine.act(machine, ("DELETE", &self.path(), None), (&format!("remove the network {}", self.name), &[back]))?;
            actions.push(format!("Removed network {}", self.name));
            found = None;
        }
        if self.state == State::Absent {
            return Ok(machine.outcome().with("actions", actions));
        }
        if found.is_none() {
            let body = self.wanted();
            let undo = Back("DELETE", self.path(), None);
            engine.act(machine, ("POST", "/networks/create", Some(&body)), (&format!("make the network {}", self.name), &[undo]))?;
            actions.push(format!("Created network {} with driver {}", self.name, self.driver));
        }
        if let Some(wanted) = &self.connected {
            let there = found.as_ref().map(connected).unwrap_or_default();
            for name in wanted.iter().filter(|name| !there.contains(name)) {
                let body = object([("Container", name.as_str().into())]);
                let undo = Back("POST", format!("{}/disconnect", self.path()), Some(object([("Container", name.as_str().into()), ("Force", true.into())])));
                engine.act(machine, ("POST", &format!("{}/connect", self.path()), Some(&body)), (&format!("connect {name} to {}", self.name), &[undo]))?;
                actions.push(format!("Connected container {name}"));
            }
            for name in there.iter().filter(|name| !self.appends && !wanted.contains(name)) {
                self.disconnect(&engine, name, machine)?;
                actions.push(format!("Disconnected container {name}"));
            }
        }
        let network = self.find(&engine)?.unwrap_or_default();
        let outcome = machine.outcome().with("network", network);
        Ok(if actions.is_empty() { outcome } else { outcome.with("actions", actions) })
    }
}

impl DockerNetwork {
    fn path(&self) -> String {
        format!("/networks/{}", encode(&self.name))
    }

    fn find(&self, engine: &Engine) -> Result<Option<Value>, Failure> {
        // An id's beginning would be found, too.
        Ok(engine.get(&self.path())?.filter(|found| at(found, &["Name"]).as_str() == Some(&self.name)))
    }

    fn disconnect(&self, engine: &Engine, name: &str, machine: &mut Machine) -> Result<(), Failure> {
        let body = object([("Container", name.into()), ("Force", true.into())]);
        let undo = Back("POST", format!("{}/connect", self.path()), Some(object([("Container", name.into())])));
        engine.act(machine, ("POST", &format!("{}/disconnect", self.path()), Some(&body)), (&format!("disconnect {name} from {}", self.name), &[undo])).map(drop)
    }

    fn ipam(&self) -> Vec<Value> {
        let entries = match &self.ipam_config {
            Some(Value::List(entries)) => entries.clone(),
            Some(entry @ Value::Map(_)) => vec![entry.clone()],
            _ => Vec::new(),
        };
        let names = [("subnet", "Subnet"), ("iprange", "IPRange"), ("gateway", "Gateway"), ("aux_addresses", "AuxiliaryAddresses")];
        let entry = |entry: &Value| {
            let fields = names.iter().filter_map(|(ours, theirs)| Some(((*theirs).to_owned(), entry.get(ours).filter(|value| !value.is_null())?.clone())));
            Value::Map(fields.collect())
        };
        entries.iter().map(entry).collect()
    }

    fn wanted(&self) -> Value {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("Name", Some(self.name.as_str().into()));
        set("CheckDuplicate", Some(true.into()));
        set("Driver", Some(self.driver.as_str().into()));
        set("Options", self.driver_options.as_ref().map(texts));
        set("Labels", self.labels.as_ref().map(texts));
        set("Internal", self.internal.map(Into::into));
        set("EnableIPv6", self.enable_ipv6.map(Into::into));
        set("Attachable", self.attachable.map(Into::into));
        set("Scope", self.scope.clone().map(Into::into));
        if self.ipam_config.is_some() || self.ipam_driver.is_some() || self.ipam_driver_options.is_some() {
            let mut ipam = object([("Driver", self.ipam_driver.clone().unwrap_or_else(|| "default".to_owned()).into()), ("Config", Value::List(self.ipam()))]);
            if let (Value::Map(ipam), Some(options)) = (&mut ipam, &self.ipam_driver_options) {
                ipam.insert("Options".to_owned(), texts(options));
            }
            set("IPAM", Some(ipam));
        }
        Value::Map(body)
    }

    /// Whether the network is as it shall be, in everything that the playbook says.
    fn matches(&self, found: &Value) -> bool {
        let Value::Map(wanted) = self.wanted() else { return false };
        let same = |(name, value): (&String, &Value)| match name.as_str() {
            "CheckDuplicate" => true,
            "IPAM" => {
                let there = at(found, &["IPAM", "Config"]).as_list().unwrap_or_default();
                let has = |entry: &Value| there.iter().any(|there| contains(there, entry));
                self.ipam().iter().all(has) && (self.ipam_driver.is_none() || at(found, &["IPAM", "Driver"]) == at(value, &["Driver"]))
            }
            name => contains(at(found, &[name]), value),
        };
        wanted.iter().all(same)
    }
}

/// Whether `found` has everything of `wanted`.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Map(found), Value::Map(wanted)) => wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value))),
        (Value::Null, Value::Map(wanted)) => wanted.is_empty(),
        (found, wanted) => found == wanted,
    }
}

/// The engine takes text only.
pub(super) fn texts(map: &Map) -> Value {
    let text = |value: &Value| match value {
        Value::Bool(flag) => flag.to_string(),
        other => other.to_text(),
    };
    Value::Map(map.iter().map(|(key, value)| (key.clone(), text(value).into())).collect())
}

fn connected(network: &Value) -> Vec<String> {
    let containers = at(network, &["Containers"]).as_map();
    containers.into_iter().flatten().map(|(_, container)| at(container, &["Name"]).to_text()).collect()
}

/// What makes the network anew.
fn description(network: &Value) -> Value {
    let keys = ["Name", "Driver", "Options", "Labels", "Internal", "EnableIPv6", "Attachable", "IPAM"];
    Value::Map(keys.iter().map(|key| ((*key).to_owned(), at(network, &[key]).clone())).filter(|(_, value)| !value.is_null()).collect())
}
