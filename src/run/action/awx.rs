//! What the actions for the objects of an AWX or Automation Platform controller share: where it is, and how an object becomes what
//! it should be.

use super::ask::{Service, escaped};
use super::prelude::*;
use crate::choice;

choice! {
    /// Whether an object is wanted.
    pub(super) enum State {
        Present = "present",
        Absent = "absent",
        Exists = "exists",
    }
}

params! {
    pub struct Access {
        /// The controller's address; else `CONTROLLER_HOST` of the host.
        controller_host | tower_host: Option<String>,
        /// User; else `CONTROLLER_USERNAME` of the host.
        controller_username | tower_username: Option<String>,
        /// Password; else `CONTROLLER_PASSWORD` of the host.
        controller_password | tower_password: Option<String>,
        /// Token instead, or what the module `token` gave; else `CONTROLLER_OAUTH_TOKEN` of the host.
        controller_oauthtoken | tower_oauthtoken: Option<Value>,
        /// Check certificates; as the host's `CONTROLLER_VERIFY_SSL` says, when not given.
        validate_certs | tower_verify_ssl: Option<bool>,
        /// Seconds.
        request_timeout: Option<f64>,
    }
}

/// A controller, as one action talks to it.
pub(super) struct Controller<'a> {
    call: &'a ActionCall<'a>,
    service: Service,
    checking: bool,
    pub(super) changed: bool,
}

impl Access {
    pub(super) async fn controller<'a>(&self, call: &'a ActionCall<'a>) -> Result<Controller<'a>, Trouble> {
        let known =
            if self.controller_host.is_some() && self.validate_certs.is_some() { Map::new() } else { call.host_environment().await? };
        let look = |name: &str| ["CONTROLLER", "TOWER"].iter().find_map(|start| known.get(&format!("{start}_{name}"))).map(Value::to_text);
        let host = self.controller_host.clone().or_else(|| look("HOST")).unwrap_or_else(|| "127.0.0.1".to_owned());
        let host = if host.contains("://") { host } else { format!("https://{host}") };
        let check = self.validate_certs.or_else(|| look("VERIFY_SSL").and_then(|text| Value::from(text).to_bool())).unwrap_or(true);
        let mut service = Service { base: format!("{}/api/v2/", host.trim_end_matches('/')), ..Service::default() };
        service.options.insert("validate_certs".to_owned(), check.into());
        #[expect(clippy::cast_possible_truncation, reason = "seconds")]
        service.options.insert("timeout".to_owned(), (self.request_timeout.unwrap_or(10.0).ceil() as i64).into());
        let token = match &self.controller_oauthtoken {
            Some(Value::Map(given)) => given.get("token").map(Value::to_text),
            given => given.as_ref().map(Value::to_text),
        };
        let user = self.controller_username.clone().or_else(|| look("USERNAME"));
        let password = self.controller_password.clone().or_else(|| look("PASSWORD"));
        let token = token.or_else(|| look("OAUTH_TOKEN").filter(|_| user.is_none()));
        [&token, &password].into_iter().flatten().for_each(|secret| call.item.task.shared.events.hide(secret));
        match (token, user) {
            (Some(token), _) => drop(service.headers.insert("Authorization".to_owned(), format!("Bearer {token}").into())),
            (None, Some(user)) => {
                let login = [("url_username", user), ("url_password", password.unwrap_or_default())];
                service.options.extend(login.map(|(name, value)| (name.to_owned(), value.into())));
            }
            (None, None) => {}
        }
        Ok(Controller { call, service, checking: call.checking(), changed: false })
    }
}

impl Controller<'_> {
    async fn get(&self, path: &str) -> Result<Value, Trouble> {
        let reply = self.service.ask(self.call, "GET", path, None).await?;
        if reply.good() { Ok(reply.json) } else { Err(reply.refusal(&format!("get {}{path}", self.service.base)).into()) }
    }

    /// Changes something there, unless the task only predicts.
    async fn send(&mut self, method: &str, path: &str, body: Option<Map>) -> Result<Value, Trouble> {
        self.changed = true;
        if self.checking {
            return Ok(Value::Null);
        }
        let reply = self.service.ask(self.call, method, path, body).await?;
        if reply.good() {
            Ok(reply.json)
        } else {
            Err(reply.refusal(&format!("{} {}{path}", method.to_lowercase(), self.service.base)).into())
        }
    }

    /// The object of that name, or of that number; in one inventory, if one is given.
    pub(super) async fn find(&self, kind: &str, name: &str, inventory: Option<&Value>) -> Result<Option<Map>, Trouble> {
        let inside = inventory.map(|number| format!("&inventory={}", number.to_text())).unwrap_or_default();
        let number = name.parse::<u64>().ok().map(|number| format!("id={number}"));
        for filter in [Some(format!("name={}", escaped(name))), number].into_iter().flatten() {
            let found = self.get(&format!("{kind}/?{filter}{inside}")).await?;
            match found.get("results").and_then(Value::as_list).unwrap_or_default() {
                [] => {}
                [one] => return Ok(one.as_map().cloned()),
                more => {
                    return Err(
                        Failure::new(format!("there are {} {kind} with the name `{name}`: give its number instead", more.len())).into()
                    );
                }
            }
        }
        Ok(None)
    }

    /// The number of an object that must be there.
    pub(super) async fn number(&self, kind: &str, name: &str, inventory: Option<&Value>) -> Result<Value, Trouble> {
        let found = self.find(kind, name, inventory).await?.and_then(|object| object.get("id").cloned());
        found.ok_or_else(|| Failure::new(format!("Could not find {kind} with name {name}")).into())
    }

    /// Removes an object, if it is there.
    async fn remove(&mut self, kind: &str, there: Option<&Map>) -> Result<(), Trouble> {
        let Some(number) = there.and_then(|object| object.get("id")) else { return Ok(()) };
        self.send("DELETE", &format!("{kind}/{}/", number.to_text()), None).await.map(drop)
    }

    /// The result where nothing is to be made: the object shall not be there, and is removed, or is there and shall only be there.
    pub(super) async fn settled(&mut self, kind: &str, state: State, there: Option<&Map>) -> Result<Option<Outcome>, Trouble> {
        match (state, there) {
            (State::Present, _) | (State::Exists, None) => return Ok(None),
            (State::Exists, Some(_)) => {}
            (State::Absent, there) => self.remove(kind, there).await?,
        }
        Ok(Some(self.outcome(there.unwrap_or(&Map::new()))))
    }

    /// Makes an object what `wanted` says; what it is then.
    pub(super) async fn make(&mut self, kind: &str, there: Option<Map>, wanted: Map) -> Result<Map, Trouble> {
        let answer = match &there {
            None => self.send("POST", &format!("{kind}/"), Some(wanted)).await?,
            Some(object) if wanted.iter().all(|(name, value)| object.get(name).is_some_and(|there| same(name, value, there))) => {
                Value::Null
            }
            Some(object) => {
                let number = object.get("id").map(Value::to_text).unwrap_or_default();
                self.send("PATCH", &format!("{kind}/{number}/"), Some(wanted)).await?
            }
        };
        Ok(answer.as_map().cloned().or(there).unwrap_or_default())
    }

    /// Makes what belongs to an object, at `path`, exactly `wanted`, or at least that.
    pub(super) async fn relate(&mut self, path: &str, wanted: &[Value], keep: bool) -> Result<(), Trouble> {
        let mut there: Vec<Value> = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(page) = next {
            let found = self.get(&page).await?;
            there.extend(found.get("results").and_then(Value::as_list).unwrap_or_default().iter().filter_map(|one| one.get("id").cloned()));
            let following = found.get("next").and_then(Value::as_str).and_then(|address| address.split_once("/api/v2/"));
            next = following.map(|(_, rest)| rest.to_owned());
        }
        let pair = |name: &str, value: Value| (name.to_owned(), value);
        for gone in there.iter().filter(|number| !keep && !wanted.contains(number)) {
            self.send("POST", path, Some(Map::from_iter([pair("id", gone.clone()), pair("disassociate", true.into())]))).await?;
        }
        for new in wanted.iter().filter(|number| !there.contains(number)) {
            self.send("POST", path, Some(Map::from_iter([pair("id", new.clone())]))).await?;
        }
        Ok(())
    }

    /// The action's result.
    pub(super) fn outcome(&self, object: &Map) -> Outcome {
        let outcome = Outcome { changed: self.changed, ..Outcome::default() };
        let said = ["id", "name"].into_iter().filter_map(|name| Some((name, object.get(name)?.clone())));
        said.fold(outcome, |outcome, (name, value)| outcome.with(name, value))
    }
}

/// Whether a field is as wanted. Variables are a text there, and what counts is what it says.
fn same(name: &str, wanted: &Value, there: &Value) -> bool {
    let read = |value: &Value| serde_json::from_str::<Value>(&value.to_text()).ok();
    match name {
        "variables" => read(wanted) == read(there) || wanted.to_text() == "{}" && there.to_text().trim().is_empty(),
        _ => wanted == there,
    }
}

/// What is given, as fields of an object.
pub(super) fn fields(name: &str, inventory: &Value, description: Option<&String>, variables: Option<&Map>) -> Result<Map, Failure> {
    let mut fields = Map::from_iter([("name".to_owned(), name.into()), ("inventory".to_owned(), inventory.clone())]);
    if let Some(description) = description {
        fields.insert("description".to_owned(), description.as_str().into());
    }
    if let Some(variables) = variables {
        let text = serde_json::to_string(variables).map_err(|error| Failure::new(error.to_string()))?;
        fields.insert("variables".to_owned(), text.into());
    }
    Ok(fields)
}
